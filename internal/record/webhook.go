package record

// Records for somebody else's server, in the manner of the browsers' Reporting API (report-to of a
// content security policy): in batches, besides the work, signed so that the receiver knows who sends.

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// minWebhookSecret is the length, in bytes, of the shortest key that deliveries are signed with.
const minWebhookSecret = 16

// Times of a webhook.
const (
	gatherTime = time.Second      // for a batch
	sendTime   = 10 * time.Second // for one delivery
)

// NewStream gives records as JSON lines to w, usually standard output.
func NewStream(w io.Writer, logger *slog.Logger) *Queued {
	q := newQueued("stream", logger, 0, func(_ context.Context, batch []byte) error {
		if _, err := w.Write(batch); err != nil {
			return refused{err} // part of it may be written: it can't be written again
		}
		return nil
	})
	go q.run()
	return q
}

// NewWebhook posts records to a URL, https or on this machine, signed with a secret. Errors are of code
// weir.Invalid.
func NewWebhook(to string, secret []byte, logger *slog.Logger) (*Queued, error) {
	u, err := webhookURL(to)
	if err == nil && len(secret) < minWebhookSecret {
		err = fmt.Errorf("the secret has %d bytes, less than %d", len(secret), minWebhookSecret)
	}
	if err != nil {
		return nil, &weir.Error{Code: weir.Invalid, Message: "no webhook for records", Err: err,
			Remedy: "give a URL such as https://example.com/weir and a file with a random secret"}
	}
	q := newQueued(u.Scheme+"://"+u.Host, logger, gatherTime, (&webhook{u.String(), secret, webhookClient()}).post)
	go q.run()
	return q, nil
}

func webhookURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("that is no URL") // the error would repeat what may be secret
	}
	ip := net.ParseIP(u.Hostname())
	switch local := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback(); {
	case u.Scheme != "https" && (u.Scheme != "http" || !local):
		return nil, errors.New("the URL must begin with https://, or lead to this machine")
	case u.Hostname() == "" || u.User != nil || u.Fragment != "":
		return nil, errors.New("the URL must have a host, and no user or fragment")
	}
	return u, nil
}

// webhookClient follows no redirects: records go to the host that was named.
func webhookClient() *http.Client {
	return &http.Client{
		Timeout:       sendTime,
		Transport:     &http.Transport{TLSHandshakeTimeout: sendTime, MaxIdleConns: 1, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type webhook struct {
	url    string
	secret []byte
	client *http.Client
}

// post delivers a batch. An answer that says the request itself is wrong is final.
func (w *webhook) post(ctx context.Context, batch []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(batch))
	if err != nil {
		return err
	}
	now := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("User-Agent", "weir")
	req.Header.Set("Weir-Timestamp", now)
	req.Header.Set("Weir-Signature", "sha256="+webhookSignature(w.secret, now, batch))
	resp, err := w.client.Do(req)
	if err != nil {
		var where *url.Error
		if errors.As(err, &where) {
			err = where.Err // without the URL, whose query may be secret
		}
		return err
	}
	defer resp.Body.Close()
	io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
	switch {
	case resp.StatusCode/100 == 2:
		return nil
	case resp.StatusCode/100 == 5 || resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusRequestTimeout:
		return fmt.Errorf("it answered %d", resp.StatusCode)
	}
	return refused{fmt.Errorf("it answered %d", resp.StatusCode)}
}

// webhookSignature is HMAC-SHA256 of the time, a dot and the body, in hex.
func webhookSignature(secret []byte, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}
