package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// certificate writes a certificate for a host, signed by itself, which is good for an hour or as long as is said.
func certificate(t *testing.T, dir, host string, good ...time.Duration) Certificate {
	t.Helper()
	good = append(good, time.Hour)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{host}, NotAfter: time.Now().Add(good[0]),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := Certificate{filepath.Join(dir, host+".pem"), filepath.Join(dir, host+".key")}
	os.WriteFile(c.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	os.WriteFile(c.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600)
	return c
}

func TestCertificateOfTheHost(t *testing.T) {
	dir := t.TempDir()
	files := []Certificate{certificate(t, dir, "a.test"), certificate(t, dir, "b.test")}
	d, err := open("sites", "127.0.0.1:0", "--listen", boundTo(4, nil), files, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	go d.serve()
	defer d.close(t.Context())
	shown := func(name string) (host, proto string) {
		client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{ServerName: name, InsecureSkipVerify: true}}}
		defer client.CloseIdleConnections()
		res, err := client.Get("https://" + d.addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return res.TLS.PeerCertificates[0].DNSNames[0], string(body)
	}
	for name, want := range map[string]string{"a.test": "a.test", "b.test": "b.test", "c.test": "a.test"} {
		if got, proto := shown(name); got != want || proto != "HTTP/2.0" {
			t.Errorf("%s: shown %s by %s", name, got, proto)
		}
	}
}

func TestCertificatesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	c, err := newCertificates([]Certificate{certificate(t, dir, "a.test")}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	serial := func() []byte {
		c.looked = time.Time{} // as if time had passed
		got, err := c.get(&tls.ClientHelloInfo{ServerName: "a.test"})
		if err != nil {
			t.Fatal(err)
		}
		return got.Certificate[0]
	}
	old := serial()
	if err := os.WriteFile(c.files[0].Key, []byte("half written"), 0o600); err != nil {
		t.Fatal(err)
	}
	if string(serial()) != string(old) {
		t.Error("a key that can't be read took the certificate away")
	}
	certificate(t, dir, "a.test")
	if string(serial()) == string(old) {
		t.Error("the new certificate is not shown")
	}
	if _, err := newCertificates([]Certificate{{dir + "/none", dir + "/none"}}, slog.New(slog.DiscardHandler)); weir.ErrorCode(err) != weir.Invalid {
		t.Error(err)
	}
}

// TestCertificatesThatEndAreTold: once a day, until there is a new one.
func TestCertificatesThatEndAreTold(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	files := []Certificate{certificate(t, dir, "a.test", 90*24*time.Hour), certificate(t, dir, "b.test", 24*time.Hour)}
	c, err := newCertificates(files, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	told := func() int {
		c.looked = time.Time{} // as if time had passed
		if _, err := c.get(&tls.ClientHelloInfo{ServerName: "a.test"}); err != nil {
			t.Fatal(err)
		}
		return strings.Count(log.String(), "level=WARN")
	}
	if n := told(); n != 1 || !strings.Contains(log.String(), "b.test.pem") || strings.Contains(log.String(), "a.test.pem") {
		t.Errorf("told %d times: %s", n, &log)
	}
	certificate(t, dir, "b.test", 90*24*time.Hour)
	c.told = time.Time{}
	if n := told(); n != 1 {
		t.Errorf("there is a new one: %s", &log)
	}
	certificate(t, dir, "a.test", -time.Hour)
	if n := told(); n != 2 || !strings.Contains(log.String(), "a.test.pem") {
		t.Errorf("one has ended: %s", &log)
	}
}
