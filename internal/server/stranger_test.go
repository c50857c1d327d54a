package server

// What a stranger on the network may do to a server: it goes on, and others notice nothing.

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/weir-run/weir/internal/deploys"
)

// raw sends bytes to a door and gives what comes back until it closes the connection or a time is over.
func raw(t *testing.T, d *door, wait time.Duration, send string) string {
	t.Helper()
	c, err := net.Dial("tcp", d.addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(wait))
	if _, err := io.WriteString(c, send); err != nil {
		return ""
	}
	got, err := io.ReadAll(c)
	if err != nil {
		return string(got) + " and the connection is open"
	}
	return string(got)
}

// TestSlowClients: whoever doesn't come to an end of what they send loses the connection, wherever they send it.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	var all sync.WaitGroup
	for name, send := range map[string]string{
		"nothing":            "",
		"half a header":      "GET / HTTP/1.1\r\nHost: shop.loc",
		"half a body":        "POST / HTTP/1.1\r\nHost: nobody.localhost\r\nContent-Length: 100000\r\n\r\n{",
		"half a chunk":       "POST / HTTP/1.1\r\nHost: nobody.localhost\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nabc",
		"half a declaration": "POST /api/v1/sites HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\n{",
	} {
		for _, d := range []*door{p.sites, p.api} {
			all.Go(func() {
				if got := raw(t, d, 25*time.Second, send); strings.HasSuffix(got, "is open") {
					t.Errorf("%s to %s: %.300q", name, d.what, got)
				}
			})
		}
	}
	all.Wait()
}

// TestStrangeRequests: names that are no site's, and requests that two readers would understand differently.
func TestStrangeRequests(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	site := p.site("shop")
	d := p.deploy(site, owner, content{files: map[string]string{"index.html": "the page", "api/v1/sites": "a file"}}, deploys.BeginOptions{})
	p.shows("shop.localhost", d)
	end := "Connection: close\r\n\r\n"
	for name, c := range map[string]struct {
		to     *door
		send   string
		status string
		not    string
	}{
		"a host that is no site":    {p.sites, "GET / HTTP/1.1\r\nHost: nobody.localhost\r\n" + end, " 404 ", "the page"},
		"a huge host":               {p.sites, "GET / HTTP/1.1\r\nHost: " + strings.Repeat("a", 60<<10) + ".localhost\r\n" + end, " 404 ", "aaaa"},
		"a host that is too large":  {p.sites, "GET / HTTP/1.1\r\nHost: " + strings.Repeat("a", 200<<10) + "\r\n" + end, " 431 ", "the page"},
		"a thousand dashes":         {p.sites, "GET / HTTP/1.1\r\nHost: " + strings.Repeat("--", 500) + "shop.localhost\r\n" + end, " 404 ", "the page"},
		"two hosts":                 {p.sites, "GET / HTTP/1.1\r\nHost: shop.localhost\r\nHost: nobody.localhost\r\n" + end, " 400 ", "the page"},
		"a host of control bytes":   {p.sites, "GET / HTTP/1.1\r\nHost: shop\x00.localhost\r\n" + end, " 400 ", "the page"},
		"a URL and a host":          {p.sites, "GET http://nobody.localhost/ HTTP/1.1\r\nHost: shop.localhost\r\n" + end, " 404 ", "the page"},
		"the API by a site's door":  {p.sites, "GET /api/v1/sites HTTP/1.1\r\nHost: 127.0.0.1\r\n" + end, " 404 ", "token"},
		"a site by the API's door":  {p.api, "GET / HTTP/1.1\r\nHost: shop.localhost\r\n" + end, " 403 ", "the page"},
		"a length and chunks":       {p.sites, "POST / HTTP/1.1\r\nHost: nobody.localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /api/v1/sites HTTP/1.1\r\nHost: 127.0.0.1\r\n" + end, " 404 ", "token"},
		"two lengths":               {p.api, "POST /api/v1/sites HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 50\r\n" + end, " 400 ", "the page"},
		"chunks of another kind":    {p.api, "POST /api/v1/sites HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: xchunked\r\n" + end, " 501 ", "the page"},
		"a tunnel":                  {p.sites, "CONNECT 127.0.0.1:" + fmt.Sprint(p.api.addr().Port) + " HTTP/1.1\r\nHost: shop.localhost\r\n" + end, " 404 ", "200"},
		"HTTP/2 without TLS":        {p.sites, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", " 404 ", "the page"},
		"what is no HTTP":           {p.api, "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", " 400 ", "the page"},
		"a million headers":         {p.api, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + strings.Repeat("a: b\r\n", 100_000) + end, " 431 ", "the page"},
		"a token that is too large": {p.api, "GET /api/v1/sites HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + strings.Repeat("x", 50<<10) + "\r\n" + end, " 401 ", "xxxx"},
		"a site's page, to be sure": {p.sites, "GET / HTTP/1.1\r\nHost: SHOP.localhost:99\r\n" + end, " 200 ", "\x00"},
	} {
		got := raw(t, c.to, 10*time.Second, c.send)
		line, rest, _ := strings.Cut(got, "\r\n")
		if !strings.Contains(line, c.status) || strings.Contains(rest, c.not) {
			t.Errorf("%s: %.300q", name, got)
		}
	}
}

// TestManyConnections: a thousand that say nothing don't keep anybody from being answered.
func TestManyConnections(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	for range 1000 {
		for _, d := range []*door{p.sites, p.api} {
			c, err := net.Dial("tcp", d.addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
	}
	if status, _ := p.get("nobody.localhost", "/"); status != 404 {
		t.Error(status)
	}
	res, err := http.Get(p.APIAddr() + "/api/v1/sites")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if line, _ := bufio.NewReader(res.Body).ReadString('\n'); res.StatusCode != 401 {
		t.Error(res.StatusCode, line)
	}
}

// TestUntakenAnswersOfTheAPI: a stranger who asks by HTTP/2 and gives no room for an answer doesn't hold it for ever.
func TestUntakenAnswersOfTheAPI(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, func(o *ServeOptions) { o.APICertificates = []Certificate{certificate(t, t.TempDir(), "api.test")} })
	conn, err := tls.Dial("tcp", p.api.addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	io.WriteString(conn, http2.ClientPreface)
	framer := http2.NewFramer(conn, conn)
	framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, h := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "127.0.0.1"}, {":path", "/api/v1/openapi.json"}} {
		encoder.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
	for {
		f, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("the answer waits to be taken: %v", err)
		}
		if _, reset := f.(*http2.RSTStreamFrame); reset {
			return
		}
	}
}
