package egress

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/weir-run/weir/internal/record"
)

const (
	smuggleHead = "POST /v1/charges HTTP/1.1\r\nHost: api.test\r\n"
	hidden      = "GET /v1/customers?hidden HTTP/1.1\r\nHost: api.test\r\n\r\n"
)

// TestSmuggling: whatever a message hides, only what was decided on reaches the upstream.
func TestSmuggling(t *testing.T) {
	for name, text := range map[string]string{
		"pipelined":          smuggleHead + "Content-Length: 3\r\n\r\na=1" + hidden,
		"CL.TE":              smuggleHead + "Content-Length: 59\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"TE.CL":              smuggleHead + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n36\r\n" + hidden + "\r\n0\r\n\r\n",
		"TE.TE":              smuggleHead + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + hidden,
		"TE list":            smuggleHead + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + hidden,
		"TE unknown":         smuggleHead + "Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\n" + hidden,
		"TE tab":             smuggleHead + "Transfer-Encoding:\tchunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" + hidden,
		"TE vertical tab":    smuggleHead + "Transfer-Encoding: \x0bchunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" + hidden,
		"TE space colon":     smuggleHead + "Transfer-Encoding : chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" + hidden,
		"TE underscore":      smuggleHead + "Transfer_Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n" + hidden,
		"two lengths":        smuggleHead + "Content-Length: 0\r\nContent-Length: 54\r\n\r\n" + hidden,
		"length list":        smuggleHead + "Content-Length: 0, 54\r\n\r\n" + hidden,
		"length plus":        smuggleHead + "Content-Length: +0\r\n\r\n" + hidden,
		"length negative":    smuggleHead + "Content-Length: -1\r\n\r\n" + hidden,
		"length hex":         smuggleHead + "Content-Length: 0x0\r\n\r\n" + hidden,
		"chunk extension":    smuggleHead + "Transfer-Encoding: chunked\r\n\r\n0;a=\r\nb\r\n\r\n" + hidden,
		"chunk ext newline":  smuggleHead + "Transfer-Encoding: chunked\r\n\r\n1;a=\nx\r\na\r\n0\r\n\r\n" + hidden,
		"chunk overflow":     smuggleHead + "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n" + hidden,
		"chunk bare LF":      smuggleHead + "Transfer-Encoding: chunked\r\n\r\n1\na\n0\n\n" + hidden,
		"folded":             smuggleHead + "X-A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n" + hidden,
		"bare LF":            strings.ReplaceAll(smuggleHead, "\r\n", "\n") + "Content-Length: 0\n\n" + hidden,
		"bare CR":            smuggleHead + "X-A: b\rTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n" + hidden,
		"NUL in a name":      smuggleHead + "X-A\x00: b\r\nContent-Length: 0\r\n\r\n" + hidden,
		"NUL in a value":     smuggleHead + "X-A: b\x00c\r\nContent-Length: 0\r\n\r\n" + hidden,
		"h2c upgrade":        smuggleHead + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nContent-Length: 0\r\n\r\n" + hidden,
		"odd upgrade":        smuggleHead + "Connection: Upgrade\r\nUpgrade: tls/1.0\r\nContent-Length: 0\r\n\r\n" + hidden,
		"h2 preface":         "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + hidden,
		"HTTP/0.9":           "POST /v1/charges\r\n" + hidden,
		"HTTP/1.0":           "POST /v1/charges HTTP/1.0\r\nHost: api.test\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n" + hidden,
		"HTTP/1.0 TE":        "POST /v1/charges HTTP/1.0\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"two hosts":          "POST /v1/charges HTTP/1.1\r\nHost: api.test\r\nHost: evil.test\r\nContent-Length: 0\r\n\r\n",
		"two hosts reversed": "POST /v1/charges HTTP/1.1\r\nHost: evil.test\r\nHost: api.test\r\nContent-Length: 0\r\n\r\n",
		"two equal hosts":    "POST /v1/charges HTTP/1.1\r\nHost: api.test\r\nHost: api.test\r\nContent-Length: 0\r\n\r\n",
		"folded host":        "POST /v1/charges HTTP/1.1\r\nHost: api.test\r\n evil.test\r\nContent-Length: 0\r\n\r\n",
		"host with CR":       "POST /v1/charges HTTP/1.1\r\nHost: api.test\rX: evil.test\r\nContent-Length: 0\r\n\r\n",
		"space in target":    "POST /v1/charges HTTP/1.1 /x HTTP/1.1\r\nHost: api.test\r\n\r\n",
		"trailer override":   smuggleHead + "Trailer: X-HTTP-Method-Override\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-HTTP-Method-Override: DELETE\r\nContent-Length: 5\r\n\r\n",
		"expect and hide":    smuggleHead + "Expect: 100-continue\r\nContent-Length: 3\r\n\r\na=1" + hidden,
		"odd expectation":    smuggleHead + "Expect: wonders\r\nContent-Length: 0\r\n\r\n" + hidden,
		"denied with a body": "GET /v1/customers HTTP/1.1\r\nHost: api.test\r\nContent-Length: 80\r\n\r\n" + smuggleHead + "\r\n" + hidden,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, config{rules: []string{charge}})
			out := w.raw("api.test:443", text, 2)
			for _, r := range w.up.got() {
				if r != "POST /v1/charges | api.test" {
					t.Errorf("the upstream received %s", r)
				}
			}
			for k := range w.up.header(0) {
				if strings.Contains(strings.ToLower(k), "override") || strings.Contains(k, "_") || k == "Upgrade" {
					t.Errorf("the upstream received the header %s", k)
				}
			}
			if strings.Count(out, "200 ok") > 1 {
				t.Errorf("two requests were answered: %q", out)
			}
		})
	}
}

// TestMalformedIsRefusedAndRecorded: what Go's server can't parse is a refusal like any other.
func TestMalformedIsRefusedAndRecorded(t *testing.T) {
	for name, text := range map[string]string{
		"two hosts":     "POST /v1/charges HTTP/1.1\r\nHost: api.test\r\nHost: evil.test\r\n\r\n",
		"no host":       "POST /v1/charges HTTP/1.1\r\n\r\n",
		"no version":    "POST /v1/charges\r\n\r\n",
		"TE unknown":    smuggleHead + "Transfer-Encoding: x\r\n\r\n",
		"expectation":   smuggleHead + "Expect: wonders\r\n\r\n",
		"large header":  smuggleHead + "X-A: " + strings.Repeat("a", 80<<10) + "\r\n\r\n",
		"many headers":  smuggleHead + strings.Repeat("X-A: aaaaaaaaaaaaaaaa\r\n", 5000) + "\r\n",
		"version":       "POST /v1/charges HTTP/3.0\r\nHost: api.test\r\n\r\n",
		"after a first": smuggleHead + "Content-Length: 0\r\n\r\nGET /v1/charges HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, config{rules: []string{charge}})
			out := w.raw("api.test:443", text, 2)
			if !strings.Contains(out, `"code":"EWEIR"`) {
				t.Errorf("%q", out)
			}
			w.denied(name, func(d record.Decision) bool { return d.Kind == "http" && d.Target == "https://api.test:443" })
		})
	}
}

// TestFramingIsWrittenAnew looks at the very bytes that an upstream gets.
func TestFramingIsWrittenAnew(t *testing.T) {
	secure := &tls.Config{Certificates: []tls.Certificate{outsideCert(t, time.Now().Add(time.Hour), "api.test")}}
	heads := make(chan string, 1)
	addr := listening(t, func(raw net.Conn) {
		c := tls.Server(raw, secure)
		head, _ := readHead(bufio.NewReader(c))
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		c.Close()
		heads <- head
	})
	w := newWorld(t, config{rules: []string{"POST https://api.test/**"}, resolve: []string{"api.test=" + addr}})
	for text, want := range map[string]string{
		"POST /a HTTP/1.1\r\nHOST: API.test:443\r\nx-b:  c \r\nContent-Length: 0\r\n\r\n":                                 "POST /a HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0\r\nX-B: c\r\n\r\n",
		"POST /a?b=%2F%zz HTTP/1.1\r\nHost: api.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": "POST /a?b=%2F%zz HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n",
		"POST /%c3%a9\" HTTP/1.1\nHost: api.test\nX-A: 1\n\t2\nContent-Length: 0\n\n":                                     "POST /%C3%A9%22 HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0\r\nX-A: 1 2\r\n\r\n",
		"POST /a? HTTP/1.0\r\nHost: api.test\r\nContent-Length: 0\r\n\r\n":                                                "POST /a HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0\r\n\r\n",
	} {
		if out := w.raw("api.test:443", text, 1); !strings.HasPrefix(out, "200") {
			t.Errorf("%q: %q", text, out)
			continue
		}
		if got := <-heads; got != want {
			t.Errorf("%q became\n%q, want\n%q", text, got, want)
		}
	}
}

// h2Raw sends one request with these header fields in their order over HTTP/2, as no decent client
// would, and gives the status or "reset".
func h2Raw(w *world, fields ...string) string {
	w.tb.Helper()
	c, err := w.tlsDial("api.test:443", "api.test", "h2")
	if err != nil {
		w.tb.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, http2.ClientPreface)
	fr := http2.NewFramer(c, c)
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	fr.WriteSettings()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			return "closed"
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			return f.PseudoValue("status")
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return "reset"
		}
	}
}

func TestHTTP2Tricks(t *testing.T) {
	ok := []string{":method", "POST", ":scheme", "https", ":authority", "api.test", ":path", "/v1/charges"}
	with := func(more ...string) []string { return append(append([]string(nil), ok...), more...) }
	for name, c := range map[string]struct {
		fields []string
		want   string // statuses that are right, separated by spaces
	}{
		"decent":                    {ok, "200"},
		"host equal":                {with("host", "api.test"), "200"},
		"host differs":              {with("host", "evil.test"), "421 reset"},
		"two hosts":                 {with("host", "api.test", "host", "evil.test"), "421 reset"},
		"authority evil, host good": {[]string{":method", "POST", ":scheme", "https", ":authority", "evil.test", ":path", "/v1/charges", "host", "api.test"}, "421"},
		"no authority":              {[]string{":method", "POST", ":scheme", "https", ":path", "/v1/charges", "host", "evil.test"}, "421"},
		"nothing":                   {[]string{":method", "POST", ":scheme", "https", ":path", "/v1/charges"}, "400"},
		"userinfo":                  {[]string{":method", "POST", ":scheme", "https", ":authority", "api.test@evil.test", ":path", "/v1/charges"}, "400 reset"},
		"two paths":                 {with(":path", "/v1/customers"), "reset"},
		"two methods":               {with(":method", "GET"), "reset"},
		"two authorities":           {with(":authority", "evil.test"), "reset"},
		"absolute path":             {[]string{":method", "POST", ":scheme", "https", ":authority", "api.test", ":path", "https://evil.test/v1/charges"}, "400 reset"},
		"line break in a value":     {with("x-a", "b\r\nhost: evil.test"), "400 reset"},
		"line break in a name":      {with("x-a\r\nhost", "evil.test"), "400 reset"},
		"NUL":                       {with("x-a", "b\x00"), "400 reset"},
		"upper-case name":           {with("X-A", "b"), "reset"},
		"line break in the path":    {[]string{":method", "POST", ":scheme", "https", ":authority", "api.test", ":path", "/v1/charges HTTP/1.1\r\nHost: evil.test\r\n\r\nGET /x"}, "400 reset"},
		"line break in the method":  {[]string{":method", "POST /v1/customers HTTP/1.1\r\nx: ", ":scheme", "https", ":authority", "api.test", ":path", "/v1/charges"}, "400 reset"},
		"transfer-encoding":         {with("transfer-encoding", "chunked"), "400 reset"},
		"connection":                {with("connection", "x"), "400 reset"},
		"content-length lies":       {with("content-length", "54"), "200 400 reset"}, // sent with the length it has
		"CONNECT":                   {[]string{":method", "CONNECT", ":authority", "evil.test:443"}, "400 421"},
		"extended CONNECT":          {[]string{":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "api.test", ":path", "/v1/charges"}, "400 reset"},
		"dot segment":               {[]string{":method", "POST", ":scheme", "https", ":authority", "api.test", ":path", "/v1/../v1/charges"}, "400"},
		"pseudo after regular":      {[]string{"x-a", "b", ":method", "POST", ":scheme", "https", ":authority", "api.test", ":path", "/v1/charges"}, "reset"},
		"ftp":                       {[]string{":method", "POST", ":scheme", "ftp", ":authority", "api.test", ":path", "/v1/charges"}, "200 reset"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, config{rules: []string{charge}})
			got := h2Raw(w, c.fields...)
			if !strings.Contains(" "+c.want+" ", " "+got+" ") {
				t.Errorf("%s, want %s", got, c.want)
			}
			if got == "200" {
				w.only("POST /v1/charges | api.test")
			} else {
				w.only()
			}
		})
	}
}

// TestRefusedBodyIsNotAwaited: a refusal comes though the request never ends, and the connection is
// given up.
func TestRefusedBodyIsNotAwaited(t *testing.T) {
	w := newWorld(t, config{rules: []string{charge}})
	c, err := w.tlsDial("api.test:443", "api.test", "http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "PUT /v1/x HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1000000000\r\n\r\n")
	rd := bufio.NewReader(c)
	resp, err := http.ReadResponse(rd, nil)
	if err != nil || resp.StatusCode != 403 || !resp.Close {
		t.Fatalf("%v %+v", err, resp)
	}
	io.Copy(io.Discard, resp.Body)
	if _, err := rd.ReadByte(); err == nil {
		t.Error("the connection goes on")
	} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Error("the connection stays open")
	}
	w.only()
}

// TestRefusalIsSeenBySendersOfMuch: who sends a whole body before it reads must find the refusal,
// not a reset.
func TestRefusalIsSeenBySendersOfMuch(t *testing.T) {
	for _, two := range []bool{false, true} {
		w := newWorld(t, config{rules: []string{charge}})
		resp, body := w.do(w.client(two), "PUT", "https://api.test/v1/x", strings.Repeat("x", 600<<10))
		if p := problemOf(t, resp, body); p.Status != 403 {
			t.Errorf("h2 %v: %+v", two, p)
		}
		w.only()
	}
}
