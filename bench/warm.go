package main

// Requests a second through the gateway to a warm function on one connection, against the same
// handler under bare node:http.

import (
	"bufio"
	"bytes"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const nodeHTTP = `const { handler } = require('./functions/hello.js');
const s = require('http').createServer(async (req, res) => { const r = await handler({}, {}); res.writeHead(r.statusCode); res.end(r.body); });
s.keepAliveTimeout = 60000;
s.listen(0, '127.0.0.1', () => console.log('http://127.0.0.1:' + s.address().port));
`

func (b *bench) warm() []figure {
	site := b.site("warm", map[string]string{"functions/hello.js": trivial, "http.js": nodeHTTP})
	s := b.serve(site)
	defer s.stop()
	node := exec.Command("node", filepath.Join(site, "http.js"))
	out, err := node.StdoutPipe()
	check(err)
	check(node.Start())
	defer func() { node.Process.Kill(); node.Wait() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	check(err)
	bareURL := strings.TrimSpace(line)
	var ours, bare []float64
	for range 5 {
		ours = append(ours, rate(s.url+"/.netlify/functions/hello"))
		bare = append(bare, rate(bareURL))
	}
	return []figure{{name: "warm request, one connection", ours: median(ours), peer: median(bare), unit: "/s", bound: 0.5, atLeast: true}}
}

// rate gives how many requests a second one connection gets answered, over two seconds. The client
// is one thread that writes and reads without Go's scheduler in between: on two cores, a heavier
// one would take from the servers what it is to measure.
func rate(address string) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	u, err := url.Parse(address)
	check(err)
	port, err := strconv.Atoi(u.Port())
	check(err)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	check(err)
	defer unix.Close(fd)
	check(unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}))
	check(unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	request := []byte("GET " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host + "\r\n\r\n")
	buf := make([]byte, 16<<10)
	get := func() {
		_, err := unix.Write(fd, request)
		check(err)
		for n := 0; ; {
			m, err := unix.Read(fd, buf[n:])
			check(err)
			if m == 0 {
				check(fmt.Errorf("%s closed the connection", address))
			}
			if n += m; answered(buf[:n]) {
				return
			}
		}
	}
	for range 500 {
		get()
	}
	n, start := 0, time.Now()
	for time.Since(start) < 2*time.Second {
		get()
		n++
	}
	return float64(n) / time.Since(start).Seconds()
}

// answered tells whether b holds the whole answer of the trivial handler, with a length or chunked.
func answered(b []byte) bool {
	if !bytes.HasPrefix(b, []byte("HTTP/1.1 200")) {
		check(fmt.Errorf("an answer begins %q", b))
	}
	return bytes.HasSuffix(b, []byte("\r\n\r\nhello")) || bytes.HasSuffix(b, []byte("hello\r\n0\r\n\r\n"))
}
