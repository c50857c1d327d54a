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
	"syscall"
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

// spent is what something took by the clock and of the processors.
type spent struct{ wall, cpu time.Duration }

func fetch(b *testing.B, c *http.Client, path string) spent {
	start, used := time.Now(), processorTime(b)
	resp, err := c.Get("https://api.test" + path)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		b.Fatal(err)
	}
	resp.Body.Close()
	return spent{time.Since(start), processorTime(b) - used}
}

// processorTime gives that of this process: client, egress and upstream.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// turns fetches through the egress and directly, by turns. It reports what the egress adds in processor
// time, and gives its median by the clock.
func turns(b *testing.B, path string) (in time.Duration) {
	inside, direct := bench(b)
	fetch(b, inside, path)
	fetch(b, direct, path)
	b.ReportAllocs()
	var ins, outs []time.Duration
	var added time.Duration
	for b.Loop() {
		i, o := fetch(b, inside, path), fetch(b, direct, path)
		ins, outs, added = append(ins, i.wall), append(outs, o.wall), added+i.cpu-o.cpu
	}
	slices.Sort(ins)
	slices.Sort(outs)
	in, out := ins[len(ins)/2], outs[len(outs)/2]
	b.ReportMetric(float64(in)/float64(out), "x-direct")
	b.ReportMetric(float64(added.Nanoseconds())/1000/float64(b.N), "cpu-us-added")
	return in
}

// BenchmarkKeepAlive prints the median of a request through the egress over the direct one.
func BenchmarkKeepAlive(b *testing.B) {
	in := turns(b, "/small")
	b.ReportMetric(float64(in.Nanoseconds())/1000, "us-p50")
}

// BenchmarkDownload prints the time of 100 MB through the egress over the direct one.
func BenchmarkDownload(b *testing.B) {
	in := turns(b, "/big")
	b.ReportMetric(100/in.Seconds(), "MB/s")
}
