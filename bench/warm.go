package main

// Requests a second through the gateway to a warm function on one connection, against the same
// handler under bare node:http.

import (
	"bufio"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
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

// rate gives how many requests a second one connection gets answered, over two seconds.
func rate(url string) float64 {
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	get := func() {
		r, err := client.Get(url)
		check(err)
		_, err = io.Copy(io.Discard, r.Body)
		r.Body.Close()
		check(err)
	}
	for range 200 {
		get()
	}
	n, start := 0, time.Now()
	for time.Since(start) < 2*time.Second {
		get()
		n++
	}
	return float64(n) / time.Since(start).Seconds()
}
