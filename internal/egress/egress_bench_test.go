package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"
)

// bench gives a client inside a sandbox and one that talks to the same upstream directly.
func bench(b *testing.B) (inside, direct *http.Client) {
	chunk := make([]byte, 256<<10)
	w := newWorld(b, config{rules: []string{"GET https://api.test/**"}, handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/big" {
			rw.Header().Set("Content-Length", fmt.Sprint(100<<20))
			for range 400 {
				if _, err := rw.Write(chunk); err != nil {
					return
				}
			}
			return
		}
		io.WriteString(rw, `{"ok":true}`)
	})})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(outsideCA().pem)
	t := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", w.up.tls.Listener.Addr().String())
		}}
	b.Cleanup(t.CloseIdleConnections)
	return w.client(false), &http.Client{Transport: t}
}

func fetch(b *testing.B, c *http.Client, path string) time.Duration {
	start := time.Now()
	resp, err := c.Get("https://api.test" + path)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		b.Fatal(err)
	}
	resp.Body.Close()
	return time.Since(start)
}

// BenchmarkKeepAlive prints the median of a request through the egress over the direct one.
func BenchmarkKeepAlive(b *testing.B) {
	inside, direct := bench(b)
	fetch(b, inside, "/small")
	fetch(b, direct, "/small")
	var in, out []time.Duration
	for b.Loop() {
		in = append(in, fetch(b, inside, "/small"))
		out = append(out, fetch(b, direct, "/small"))
	}
	slices.Sort(in)
	slices.Sort(out)
	b.ReportMetric(float64(in[len(in)/2])/float64(out[len(out)/2]), "x-direct")
	b.ReportMetric(float64(in[len(in)/2].Microseconds()), "us-p50")
}

// BenchmarkDownload prints the rate of 100 MB through the egress over the direct one.
func BenchmarkDownload(b *testing.B) {
	inside, direct := bench(b)
	var in, out time.Duration
	for b.Loop() {
		in += fetch(b, inside, "/big")
		out += fetch(b, direct, "/big")
	}
	b.ReportMetric(float64(out)/float64(in), "x-direct")
	b.ReportMetric(float64(b.N)*100/in.Seconds(), "MB/s")
}
