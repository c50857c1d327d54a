package demo

// The internet as far as the demo needs it: Stripe, a thief and a cloud's metadata service, all on
// 127.0.0.1, each on a port that was free. Each half of the story has one of its own.

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/weir-run/weir/internal/record"
)

// Who is on this internet. The names and addresses of the thief are reserved for documentation
// (RFC 2606, RFC 5737).
const (
	stripeHost   = "api.stripe.com"
	thiefHost    = "thief.example"
	thiefIP      = "203.0.113.66"
	thiefPort    = "4444"
	metadataIP   = "169.254.169.254"
	metadataWay  = "metadata"
	metadataTok  = "demo-session-token"
	metadataRole = "/latest/meta-data/iam/security-credentials/shop"
)

// internet is one set of stand-ins and what they saw.
type internet struct {
	ca       []byte            // PEM: who vouches for Stripe and for the thief
	routes   map[string]string // "host:port" of this internet: "127.0.0.1:port"
	resolver string            // the thief's name server, address and port
	closers  []func() error
	serving  sync.WaitGroup

	mu        sync.Mutex
	charges   int
	telemetry bool
	reached   map[string]int
	via       map[string]map[string]bool // name of a secret: ways
}

// openInternet starts the stand-ins. The caller must close them.
func openInternet() (n *internet, err error) {
	n = &internet{routes: map[string]string{}, reached: map[string]int{}, via: map[string]map[string]bool{}}
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	var cert tls.Certificate
	if n.ca, cert, err = authority(stripeHost, thiefHost); err != nil {
		return nil, err
	}
	if err := n.serveHTTP(stripeHost+":443", &cert, n.serveStripe); err != nil {
		return nil, err
	}
	if err := n.serveHTTP(thiefHost+":443", &cert, n.serveThief); err != nil {
		return nil, err
	}
	if err := n.serveHTTP(metadataIP+":80", nil, n.serveMetadata); err != nil {
		return nil, err
	}
	if err := n.serveTCP(thiefIP + ":" + thiefPort); err != nil {
		return nil, err
	}
	return n, n.serveDNS()
}

// close ends every server and returns when nothing of them runs any more.
func (n *internet) close() {
	for _, c := range n.closers {
		c()
	}
	n.serving.Wait()
}

// serveHTTP puts a server on this internet; with a certificate, one that speaks TLS.
func (n *internet) serveHTTP(name string, cert *tls.Certificate, h http.HandlerFunc) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	n.routes[name] = l.Addr().String()
	if cert != nil {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*cert}, NextProtos: []string{"http/1.1"}})
	}
	s := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	n.closers = append(n.closers, s.Close, l.Close)
	n.serving.Go(func() { s.Serve(l) })
	return nil
}

// serveStripe answers POST /v1/charges as api.stripe.com does.
func (n *internet) serveStripe(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, message string) {
		reply(w, status, map[string]any{"error": map[string]string{"type": "invalid_request_error", "message": message}})
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		return
	}
	form, err := url.ParseQuery(string(body))
	switch {
	case r.Method != http.MethodPost || r.URL.Path != "/v1/charges":
		refuse(http.StatusNotFound, fmt.Sprintf("Unrecognized request URL (%s: %s).", r.Method, r.URL.Path))
		return
	case r.Header.Get("Authorization") != "Bearer "+stripeKey:
		refuse(http.StatusUnauthorized, "Invalid API Key provided")
		return
	case err != nil || form.Get("amount") != "100" || form.Get("currency") != "usd" || form.Get("source") != "tok_amex":
		refuse(http.StatusBadRequest, "This stand-in takes only the demo's own charge")
		return
	}
	n.mu.Lock()
	n.charges++
	n.telemetry = n.telemetry || strings.Contains(r.Header.Get("X-Stripe-Client-User-Agent"), `"telemetry_id"`)
	id := fmt.Sprintf("ch_demo_%d", n.charges)
	n.mu.Unlock()
	reply(w, http.StatusOK, map[string]any{"id": id, "object": "charge", "amount": 100, "currency": "usd",
		"description": form.Get("description"), "paid": true, "status": "succeeded", "livemode": false})
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

// serveMetadata answers as the metadata service of a machine of AWS does (IMDSv2).
func (n *internet) serveMetadata(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	n.reached[metadataWay]++
	n.mu.Unlock()
	switch {
	case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token":
		io.WriteString(w, metadataTok)
	case r.Header.Get("X-Aws-Ec2-Metadata-Token") != metadataTok:
		w.WriteHeader(http.StatusUnauthorized)
	case r.URL.Path == metadataRole:
		reply(w, http.StatusOK, map[string]string{"Code": "Success", "AccessKeyId": "demo", "SecretAccessKey": cloudSecret})
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// half tells what this internet saw, once everything is over.
func (n *internet) half(answer []byte, failure string, log []string, denials []record.Decision) *Half {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := &Half{Telemetry: n.telemetry, Reached: maps.Clone(n.reached), Attempts: attempts(log), Log: log, Failure: failure}
	for _, s := range secrets {
		p := Piece{What: s.what, From: s.from, Via: []string{}}
		for _, way := range ways {
			if n.via[s.what][way] {
				p.Via = append(p.Via, way)
			}
		}
		h.Loot = append(h.Loot, p)
	}
	h.Others = join(h.Attempts, denials)
	if h.Failure == "" {
		h.Receipt, h.Failure = receipt(answer)
	}
	if h.Failure == "" && n.charges != 1 {
		h.Failure = fmt.Sprintf("Stripe saw %d valid charges", n.charges)
	}
	h.Charged = h.Failure == ""
	return h
}

// receipt reads the function's answer.
func receipt(answer []byte) (text, failure string) {
	var res struct {
		StatusCode int
		Body       string
	}
	var body struct{ ID, Status, Receipt string }
	err := json.Unmarshal(answer, &res)
	if err == nil {
		err = json.Unmarshal([]byte(res.Body), &body)
	}
	if err != nil || res.StatusCode != http.StatusOK || body.Status != "succeeded" {
		return "", fmt.Sprintf("the function answered %s", answer)
	}
	return body.Receipt, ""
}
