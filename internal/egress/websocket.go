package egress

// This file exists because a WebSocket ends HTTP on its connection: what follows is passed on unread,
// so it must be certain that both ends agreed to it.

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/weir-run/weir/internal/policy"
)

// closeTime is how long one direction of a WebSocket may outlive the other.
const closeTime = 5 * time.Second

// upgrade carries out an allowed WebSocket handshake. Until the upstream has answered it as RFC 6455
// demands, nothing that the client sends is passed on; any other answer is an HTTP response.
func (c *conn) upgrade(w http.ResponseWriter, r *http.Request, req *policy.Request, budget *account) {
	out, _ := outgoing(r, req, budget)
	out.Header["Connection"] = []string{"Upgrade"}
	out.Header["Upgrade"] = []string{"websocket"}
	resp, err := byTransport(r.Context(), c.sandbox.function.http1, out)
	if err != nil {
		c.failed(w, r, req, err)
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		if !final(resp) {
			c.failed(w, r, req, errBadAnswer)
			return
		}
		if !pass(w, r, resp, budget) {
			panic(http.ErrAbortHandler)
		}
		return
	}
	up, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || !accepted(r, resp) {
		rec := recordOf(req)
		rec.Reason = "the upstream's answer is not a valid WebSocket handshake"
		c.refuse(w, r, http.StatusBadGateway, rec)
		return
	}
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	if err := switchProtocols(buffered.Writer, resp); err != nil {
		return
	}
	defer c.watch()()
	exchange(c.ctx, client, up, budget.reader(buffered.Reader), budget.reader(up))
}

// accepted checks the server's half of RFC 6455, section 4.1.
func accepted(r *http.Request, resp *http.Response) bool {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	accept, upgrade := resp.Header["Sec-Websocket-Accept"], resp.Header["Upgrade"]
	if len(accept) != 1 || accept[0] != base64.StdEncoding.EncodeToString(sum[:]) ||
		len(upgrade) != 1 || !strings.EqualFold(upgrade[0], "websocket") ||
		!httpguts.HeaderValuesContainsToken(resp.Header["Connection"], "upgrade") {
		return false
	}
	for _, p := range resp.Header["Sec-Websocket-Protocol"] {
		if !httpguts.HeaderValuesContainsToken(r.Header["Sec-Websocket-Protocol"], p) {
			return false
		}
	}
	return true
}

// switchProtocols tells the client that the upstream agreed.
func switchProtocols(w *bufio.Writer, resp *http.Response) error {
	w.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
	passed(resp.Header, ofConnection).Write(w)
	w.WriteString("\r\n")
	return w.Flush()
}

// exchange copies both ways, from one reader to the other side each. When one direction has ended, the
// other has a moment for its last words; at the end of ctx there is none, nor at that of a budget.
func exchange(ctx context.Context, client net.Conn, up io.ReadWriteCloser, fromClient, fromUp io.Reader) {
	end := func() {
		client.Close()
		up.Close()
	}
	defer context.AfterFunc(ctx, end)()
	ended := make(chan struct{}, 2)
	go func() {
		defer func() { ended <- struct{}{} }()
		if _, err := io.Copy(up, fromClient); errors.Is(err, errOverBudget) {
			end()
		}
		if c, ok := up.(closeWriter); ok {
			c.CloseWrite()
		}
	}()
	go func() {
		defer func() { ended <- struct{}{} }()
		if _, err := io.Copy(client, fromUp); errors.Is(err, errOverBudget) {
			end()
		}
		closeWrite(client)
	}()
	<-ended
	last := time.NewTimer(closeTime)
	defer last.Stop()
	select {
	case <-ended:
		return
	case <-last.C:
	}
	end()
	<-ended
}
