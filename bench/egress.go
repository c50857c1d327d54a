package main

// What a call out of the sandbox costs, against the same code under bare Node.

import (
	_ "embed"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed testdata/calls.js
var calls string

const callsOnce = "require('./functions/calls.js').measure(Number(process.argv[2])).then((r) => process.stdout.write(JSON.stringify(r)));\n"

type callCost struct {
	P50  float64 // microseconds of a keep-alive request
	Rate float64 // MB/s of a 100 MB download
}

func (b *bench) egress() []figure {
	up := upstream()
	defer up.Close()
	port := up.Listener.Addr().(*net.TCPAddr).Port
	ca := filepath.Join(b.dir, "ca.pem")
	check(os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: up.Certificate().Raw}), 0o644))
	site := b.site("egress", map[string]string{
		"functions/calls.js": calls, "once.js": callsOnce,
		"weir.toml": "[functions.calls]\nhttp = [\"GET https://example.com/small\", \"GET https://example.com/big\"]\nlimits = { timeout = \"2m\" }\n",
	})
	s := b.serve(site, "--upstream-ca", ca, "--resolve", fmt.Sprintf("example.com:443=127.0.0.1:%d", port))
	defer s.stop()
	var lat, bareLat, down, bareDown []float64
	for range 5 {
		var ours, bare callCost
		check(json.Unmarshal([]byte(s.get(&http.Client{}, "calls")), &ours))
		cmd := exec.Command("node", filepath.Join(site, "once.js"), fmt.Sprint(port))
		cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+ca)
		out, err := cmd.Output()
		check(err)
		check(json.Unmarshal(out, &bare))
		lat, bareLat = append(lat, ours.P50), append(bareLat, bare.P50)
		down, bareDown = append(down, ours.Rate), append(bareDown, bare.Rate)
	}
	return []figure{
		{name: "https keep-alive request, p50", ours: median(lat), peer: median(bareLat), unit: "us", bound: 2},
		{name: "100 MB download over https", ours: median(down), peer: median(bareDown), unit: "MB/s", bound: 0.6, atLeast: true},
	}
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
