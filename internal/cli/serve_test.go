package cli

// Commands for scripts that serve a site and call it: a fake upstream, weir dev, calls.

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// upstream HOST… serves the hosts by https, with a certificate in upstream.pem: each request is answered
// with its method, host and path. UPSTREAM is its address.
func upstream(ts *testscript.TestScript, _ bool, hosts []string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "upstream"}, DNSNames: hosts, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	ts.Check(err)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%s %s%s", r.Method, r.Host, r.URL.Path)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.StartTLS()
	ts.Defer(s.Close)
	ts.Check(os.WriteFile(ts.MkAbs("upstream.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	ts.Setenv("UPSTREAM", s.Listener.Addr().String())
}

// served is a weir dev or weir serve that a script runs.
type served struct {
	cmd *exec.Cmd
	url string
	end chan struct{}
}

const servedKey = "served"

// dev ARGS… runs weir dev until enddev; what it says on stderr gets into dev.err.
func dev(ts *testscript.TestScript, _ bool, args []string) {
	s := ts.Value(servedKey).(*served)
	s.cmd = exec.Command(inPath(ts, "weir"), append([]string{"dev", "--port", "0"}, args...)...)
	s.cmd.Dir = ts.MkAbs(".")
	s.cmd.Env = []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "WEIR_STATE_DIR=" + ts.Getenv("WEIR_STATE_DIR")}
	log, err := os.Create(ts.MkAbs("dev.err"))
	ts.Check(err)
	s.cmd.Stderr = log
	out, err := s.cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(s.cmd.Start())
	log.Close()
	ready, err := bufio.NewReader(out).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(ready), "ready ")
	if !ok {
		said, _ := os.ReadFile(ts.MkAbs("dev.err"))
		ts.Fatalf("weir dev said %q (%v)\n%s", ready, err, said)
	}
	s.url = url
	s.end = make(chan struct{})
	go func() { s.cmd.Wait(); close(s.end) }()
	ts.Defer(func() { s.cmd.Process.Kill(); <-s.end })
}

// enddev ends it, in order.
func enddev(ts *testscript.TestScript, _ bool, _ []string) {
	s := ts.Value(servedKey).(*served)
	ts.Check(s.cmd.Process.Signal(os.Interrupt))
	<-s.end
}

// call FUNCTION EVENT WANT invokes a function; WANT is a regular expression for what it answers.
func call(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: call FUNCTION EVENT WANT")
	}
	res, err := http.Post(ts.Value(servedKey).(*served).url+"/2015-03-31/functions/"+args[0]+"/invocations", "application/json", strings.NewReader(args[1]))
	ts.Check(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	ts.Check(err)
	ts.Logf("%s", body)
	if regexp.MustCompile(args[2]).Match(body) == neg {
		said, _ := os.ReadFile(ts.MkAbs("dev.err"))
		ts.Fatalf("%s answered %d %s\n%s", args[0], res.StatusCode, body, said)
	}
}
