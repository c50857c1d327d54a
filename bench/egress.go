package main

// What a call out of the sandbox costs, against the same code under bare Node.

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/weir-run/weir/bench/load"
	"github.com/weir-run/weir/bench/report"
)

const (
	egressTitle = "calls out over https"
	direct      = "direct"
	keepAlive   = "keep-alive request, p50"
	download    = "100 MB"
)

const callsOnce = "require(process.env.HANDLER).measure(Number(process.argv[2])).then((r) => process.stdout.write(JSON.stringify(r)));\n"

type callCost struct {
	P50  float64 // microseconds of a keep-alive request
	P99  float64
	Rate float64 // MB/s of a 100 MB download
}

var calling = config{name: "weir", rules: "http = [\"GET https://example.com/small\", \"GET https://example.com/big\"]\nlimits = { timeout = \"2m\" }\n"}

func (b *bench) egress() report.Table {
	t := report.Table{Title: egressTitle, Base: direct, Columns: []report.Column{
		{Name: keepAlive, Unit: "us"}, {Name: "p99", Unit: "us"}, {Name: download, Unit: "MB/s"}},
		Rows: []report.Row{{Name: calling.name}, {Name: direct}}}
	up := upstream()
	defer up.Close()
	port := up.Listener.Addr().(*net.TCPAddr).Port
	ca := filepath.Join(b.dir, "ca.pem")
	check(os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: up.Certificate().Raw}), 0o644))
	site, err := b.site(map[string]string{"calls": source("calls")})
	check(err)
	once := filepath.Join(site, "once.cjs")
	check(os.WriteFile(once, []byte(callsOnce), 0o644))
	s, err := b.weir(calling, site, "calls", "--upstream-ca", ca, "--resolve", fmt.Sprintf("example.com:443=127.0.0.1:%d", port))
	check(err)
	defer s.stop()
	for range b.rounds {
		text, err := fetch(load.Target{URL: s.target.URL})
		check(err)
		check(addCalls(&t.Rows[0], []byte(text)))
		cmd := b.prepare(exec.Command(b.node, once, fmt.Sprint(port)), site, "calls", port)
		cmd.Env = append(cmd.Env, "NODE_EXTRA_CA_CERTS="+ca)
		out, err := cmd.Output()
		check(err)
		check(addCalls(&t.Rows[1], out))
	}
	return t
}

func addCalls(row *report.Row, text []byte) error {
	var c callCost
	err := json.Unmarshal(text, &c)
	row.Add(c.P50, c.P99, c.Rate)
	return err
}

// upstream is the outside: a small answer and a large one.
func upstream() *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("/small", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"ok":true}`) })
	chunk := make([]byte, 256<<10)
	mux.HandleFunc("/big", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(100<<20))
		for range 400 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	s := httptest.NewUnstartedServer(mux)
	s.EnableHTTP2 = false
	s.StartTLS() // its certificate names example.com
	return s
}
