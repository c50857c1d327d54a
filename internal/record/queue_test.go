package record

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

const testSecret = "0123456789abcdef"

// receiver is somebody else's server. answer gives the status of each delivery, from 0.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	n      int
	bodies []string // that were taken
	faults []string
}

func receive(t *testing.T, answer func(n int) int) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		if err != nil || q.Method != "POST" || q.Header.Get("Content-Type") != "application/x-ndjson" ||
			q.Header.Get("Weir-Signature") != "sha256="+webhookSignature([]byte(testSecret), q.Header.Get("Weir-Timestamp"), body) {
			r.faults = append(r.faults, q.Method+" "+q.Header.Get("Weir-Signature"))
		}
		status := answer(r.n)
		r.n++
		if status/100 == 2 {
			r.bodies = append(r.bodies, string(body))
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(r.Close)
	return r
}

// taken gives how many records arrived, and how many were told as dropped.
func (r *receiver) taken(t *testing.T) (arrived, dropped int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.faults) > 0 {
		t.Errorf("bad deliveries: %v", r.faults)
	}
	if err := Read(strings.NewReader(strings.Join(r.bodies, "")), func(e Entry) error {
		if e.Dropped != nil {
			dropped += e.Dropped.Count
		} else {
			arrived++
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	return arrived, dropped
}

func hook(t *testing.T, url string, log io.Writer) *Queued {
	t.Helper()
	q, err := NewWebhook(url, []byte(testSecret), slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	q.retry = time.Millisecond // set before there is anything to send
	return q
}

func calls(q *Queued, n int) {
	for range n {
		q.Invoked(Invocation{Time: noon, Function: "fn", Outcome: "ok"})
	}
}

func TestWebhookSendsBatches(t *testing.T) {
	r := receive(t, func(int) int { return 204 })
	q := hook(t, r.URL+"/in?token=x", io.Discard)
	calls(q, 100)
	for range 100 {
		q.Decided(Decision{Time: noon, Verdict: Deny, Function: "fn", Kind: "http", Target: "https://evil.test/"})
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	arrived, dropped := r.taken(t)
	// 100 invocations, the first denial and their counts.
	if arrived < 102 || arrived > 110 || dropped != 0 || len(r.bodies) > 10 {
		t.Errorf("%d records, %d dropped, in %d batches", arrived, dropped, len(r.bodies))
	}
}

func TestWebhookTriesAgain(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	r := receive(t, func(n int) int { return []int{500, 429, 408, 503, 200}[min(n, 4)] })
	q := hook(t, r.URL+"/?token=hush", &log)
	calls(q, 3)
	<-r.tried(5)
	if err := q.Close(); err != nil {
		t.Error(err)
	}
	if arrived, dropped := r.taken(t); arrived != 3 || dropped != 0 {
		t.Errorf("%d records, %d dropped", arrived, dropped)
	}
	if strings.Count(log.String(), "can't be delivered yet") != 1 || strings.Contains(log.String(), "hush") {
		t.Errorf("the log says\n%s", &log)
	}
}

// tried is closed after n deliveries.
func (r *receiver) tried(n int) <-chan struct{} {
	c := make(chan struct{})
	go func() {
		defer close(c)
		for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
			r.mu.Lock()
			enough := r.n >= n
			r.mu.Unlock()
			if enough {
				return
			}
		}
	}()
	return c
}

// TestWebhookTellsOfRefusedRecords: what the receiver will never take is counted in its next batch.
func TestWebhookTellsOfRefusedRecords(t *testing.T) {
	for _, status := range []int{400, 401, 404, 413, 302} {
		var log bytes.Buffer
		r := receive(t, func(n int) int { return []int{status, 200}[min(n, 1)] })
		q := hook(t, r.URL, &log)
		q.gather = 0
		calls(q, 1)
		<-r.tried(1)
		calls(q, 2)
		if err := q.Close(); err != nil {
			t.Error(err)
		}
		arrived, dropped := r.taken(t)
		if arrived+dropped != 3 || dropped < 1 || !strings.Contains(log.String(), "records were refused") || !strings.Contains(log.String(), "records are being dropped") {
			t.Errorf("%d: %d records, %d dropped\n%s", status, arrived, dropped, &log)
		}
	}
}

// TestSlowSinkBlocksNobody: while the receiver does not answer, records are taken without waiting, up to
// a bound, and those beyond are counted.
func TestSlowSinkBlocksNobody(t *testing.T) {
	var log bytes.Buffer
	var got bytes.Buffer
	begun, free := make(chan struct{}), make(chan struct{})
	var once sync.Once
	q := newQueued("slow", slog.New(slog.NewTextHandler(&log, nil)), 0, func(_ context.Context, b []byte) error {
		once.Do(func() { close(begun) })
		<-free
		got.Write(b)
		return nil
	})
	go q.run()
	calls(q, 1)
	<-begun
	long := strings.Repeat("x", maxText)
	const n = 2 * maxQueued / maxText
	for range n {
		q.Invoked(Invocation{Time: noon, Function: "fn", Outcome: "error", Error: long})
	}
	q.mu.Lock()
	if q.bytes > maxQueued || q.lost == 0 {
		t.Errorf("%d bytes are queued, %d records lost", q.bytes, q.lost)
	}
	q.mu.Unlock()
	close(free)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	arrived, dropped := 0, 0
	if err := Read(&got, func(e Entry) error {
		if e.Dropped != nil {
			dropped += e.Dropped.Count
		} else {
			arrived++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if arrived+dropped != n+1 || dropped == 0 || strings.Count(log.String(), "records are being dropped") != 1 {
		t.Errorf("%d records, %d dropped of %d\n%s", arrived, dropped, n+1, &log)
	}
}

// TestCloseEnds: it does not wait for a receiver that never answers, nor for one that is not there.
func TestCloseEnds(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer silent.Close()
	defer close(hang)
	gone := httptest.NewServer(nil)
	gone.Close()
	_, w := io.Pipe() // nobody reads
	var closing sync.WaitGroup
	for name, q := range map[string]*Queued{
		"silent": hook(t, silent.URL, io.Discard), "gone": hook(t, gone.URL, io.Discard), "stream": NewStream(w, nil),
	} {
		closing.Go(func() {
			calls(q, 7)
			if err := q.Close(); err == nil || err.Error() != "7 records were not delivered" {
				t.Errorf("%s: error %v", name, err)
			}
		})
	}
	closing.Wait()
}

func TestStream(t *testing.T) {
	var b bytes.Buffer
	q := NewStream(&b, nil)
	calls(q, 3)
	q.Decided(Decision{Time: noon, Verdict: Deny, Function: "fn", Kind: "tcp", Target: "a:1"})
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(t, b.String()); err != nil || len(got) != 4 {
		t.Errorf("%v %+v", err, got)
	}
	q = NewStream(broken{}, nil)
	calls(q, 3)
	if err := q.Close(); err == nil || err.Error() != "3 records were not delivered" {
		t.Errorf("error %v", err)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("gone") }

func TestWebhookURLs(t *testing.T) {
	for url, ok := range map[string]bool{
		"https://siem.test/in?token=x": true, "http://127.0.0.1:9/": true, "http://[::1]:9/": true, "http://localhost/x": true,
		"http://siem.test/": false, "ftp://127.0.0.1/": false, "https://": false, "https://u:p@siem.test/": false, "https://siem.test/#x": false,
		"siem.test": false, "": false, "https://hush%zz/": false, "http://localhost.evil.test/": false,
	} {
		q, err := NewWebhook(url, []byte(testSecret), nil)
		if (err == nil) != ok || err != nil && (weir.ErrorCode(err) != weir.Invalid || strings.Contains(err.Error(), "hush")) {
			t.Errorf("%s: %v", url, err)
		}
		if q != nil {
			q.Close()
		}
	}
	if _, err := NewWebhook("https://siem.test/", []byte("short"), nil); err == nil || !strings.Contains(err.Error(), "5 bytes, less than 16") {
		t.Errorf("error %v", err)
	}
}

// TestWebhookSignature holds on to what the documentation tells receivers.
func TestWebhookSignature(t *testing.T) {
	// printf '1700000000.{}\n' | openssl dgst -sha256 -hmac 0123456789abcdef
	if got := webhookSignature([]byte(testSecret), "1700000000", []byte("{}\n")); got != "9762b6da9e539b8a12f2592a576916bb7d0e48ef60ccbf1c013f9b7158f9344f" {
		t.Error(got)
	}
}
