package runtime

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// streamer is a function whose streams count what they give, and that tells the counts.
const streamer = `const made = {}, ended = {}; let open = [], late;
exports.__esModule = true;
exports.default = async (request, context) => {
  const url = new URL(request.url), id = url.searchParams.get('id');
  switch (url.pathname) {
  case '/made': return Response.json({ made: made[id] ?? 0, ended: ended[id] ?? '' });
  case '/open': { open.forEach((f) => f()); open = []; return new Response('opened'); }
  case '/wait': { context.waitUntil(new Promise((r) => { open.push(r); setInterval(() => {}, 1e6).unref(); const t = setInterval(() => {}, 1000); open.push(() => clearInterval(t)); })); return new Response('answered'); }
  case '/late': { late = request.body.getReader(); const t = setInterval(() => {}, 1000); await new Promise((r) => { open.push(r); }); clearInterval(t); return new Response('answered'); }
  case '/rest': { const { value } = await late.read(); return new Response(String(value.length)); }
  case '/deaf': { setInterval(() => {}, 1000); return new Response(new ReadableStream({ pull: (c) => { c.enqueue(Buffer.from('x')); }, cancel: () => { context.waitUntil(new Promise(() => {})); } })); }
  case '/never': setInterval(() => {}, 1000); return new Promise(() => {});
  case '/hang': return new Response(new ReadableStream({ pull: (c) => { c.enqueue(Buffer.from('x')); return new Promise((r) => setTimeout(r, 1e6)); } }));
  case '/throw': return new Response(new ReadableStream({ pull: async (c) => { if (made[id]) throw new RangeError('half way'); made[id] = 1; c.enqueue(Buffer.alloc(40000)); } }));
  case '/exit': return new Response(new ReadableStream({ pull: (c) => { if (made[id]) { setTimeout(() => { throw new Error('the end'); }); return new Promise(() => {}); } made[id] = 1; c.enqueue(Buffer.alloc(40000)); } }));
  case '/echo': return new Response(request.body, { headers: { 'content-type': 'x/y' } });
  case '/read': try { let n = 0; for await (const c of request.body) n += c.length; return Response.json({ n }); } catch (e) { ended[id] = e.message + ' ' + request.signal.aborted; throw e; }
  }
  let left = Number(url.searchParams.get('n'));
  made[id] = 0;
  request.signal.addEventListener('abort', () => { ended[id] = (ended[id] ?? '') + 'abort '; });
  return new Response(new ReadableStream({
    pull(c) { const n = Math.min(left, 65536); if (n === 0) return c.close(); left -= n; made[id] += n; c.enqueue(Buffer.alloc(n, 97)); },
    cancel() { ended[id] = (ended[id] ?? '') + 'cancel '; },
  }, { highWaterMark: 0 }));
};`

// call begins an invocation of a path; over is closed when nothing of it goes on.
func (p *process) call(t *testing.T, path string, body io.Reader) (weir.Result, chan struct{}, error) {
	t.Helper()
	method := "GET"
	if body != nil {
		method = "POST"
	}
	over := make(chan struct{})
	event := fmt.Sprintf(`{"rawUrl":"http://site.test%s","httpMethod":%q,"headers":{}}`, path, method)
	res, done, err := p.Invoke(weir.Invocation{ID: "id", Function: "fn", Event: json.RawMessage(event), Body: body}, time.Now().Add(time.Minute), func() { close(over) })
	if done {
		close(over)
	}
	return res, over, err
}

// open begins an answer in pieces.
func (p *process) open(t *testing.T, path string, body io.Reader) (*weir.Stream, chan struct{}) {
	t.Helper()
	res, over, err := p.call(t, path, body)
	if err != nil || res.Stream == nil {
		t.Fatalf("%s: %s %v %v", path, res.Payload, res.Error, err)
	}
	return res.Stream, over
}

// made asks how much a stream has given, and how it ended.
func (p *process) made(t *testing.T, id string) (n int64, ended string) {
	t.Helper()
	res, _, err := p.call(t, "/made?id="+id, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := answerOf(t, res)
	var told struct {
		Made  int64
		Ended string
	}
	if err := json.Unmarshal([]byte(a.Body), &told); err != nil {
		t.Fatalf("%q: %v", a.Body, err)
	}
	return told.Made, told.Ended
}

// TestStreamsAreBounded: 200 MB go through, and at no time are more on their way than the window, on both sides
// together; the client that does not read holds up no other one.
func TestStreamsAreBounded(t *testing.T) {
	const total = 200 << 20
	p := must(t, streamer)
	p.maxStream = total
	stalled, stalledOver := p.open(t, "/?id=stalled&n=1000000", nil)
	s, over := p.open(t, fmt.Sprintf("/?id=a&n=%d", total), nil)
	k := s.Body.(*stream).k
	buf := make([]byte, 1<<20)
	var got int64
	for asked := int64(0); ; {
		n, err := s.Body.Read(buf)
		got += int64(n)
		p.Conn.mu.Lock()
		held := k.pieces.Len()
		p.Conn.mu.Unlock()
		if held > window {
			t.Fatalf("%d bytes wait here", held)
		}
		if got >= asked {
			asked += total / 8
			if made, _ := p.made(t, "a"); made > got+window+65536 {
				t.Fatalf("%d bytes were made when %d were read", made, got)
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s.Body.Close()
	<-over
	if got != total {
		t.Errorf("got %d bytes", got)
	}
	if made, _ := p.made(t, "stalled"); made > window+65536 {
		t.Errorf("%d bytes were made that nobody reads", made)
	}
	if rest, err := io.ReadAll(stalled.Body); len(rest) != 1_000_000 || err != nil {
		t.Errorf("the stalled stream gave %d bytes, %v", len(rest), err)
	}
	<-stalledOver
	if !p.Clean() {
		t.Error("the process is not clean")
	}
}

// TestBodiesOfRequestsAreBounded: what the function does not read is not read from the client.
func TestBodiesOfRequestsAreBounded(t *testing.T) {
	p := must(t, streamer)
	const total = 30 << 20
	res, over, err := p.call(t, "/read", io.LimitReader(zeros{}, total))
	if err != nil {
		t.Fatal(err)
	}
	if a, _ := answerOf(t, res); a.Body != fmt.Sprintf(`{"n":%d}`, total) {
		t.Errorf("got %s", a.Body)
	}
	<-over
	counted := &counter{Reader: io.LimitReader(zeros{}, total)}
	p.maxStream = total
	s, over := p.open(t, "/echo", counted)
	io.ReadFull(s.Body, make([]byte, 1))
	for range 10 {
		p.made(t, "")
		if n := counted.n.Load(); n > 3*window { // two windows, and what a stream of Node's holds itself
			t.Fatalf("%d bytes were read that nobody wants", n)
		}
	}
	if rest, err := io.ReadAll(s.Body); len(rest) != total-1 || err != nil {
		t.Errorf("got %d bytes back, %v", len(rest), err)
	}
	<-over
	if !p.Clean() {
		t.Error("the process is not clean")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type counter struct {
	io.Reader
	n atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// TestBodyWithinTheEvent: a handler that gets an event finds the body there.
func TestBodyWithinTheEvent(t *testing.T) {
	p := must(t, `exports.handler = async (e) => [e.body, e.isBase64Encoded];`)
	for _, c := range []struct{ event, body, want string }{
		{`{"isBase64Encoded":false}`, "tëxt", `["tëxt",false]`},
		{`{"isBase64Encoded":true}`, "text", `["dGV4dA==",true]`},
		{`{"isBase64Encoded":false}`, "\xff", `["/w==",true]`},
		{`{}`, "", `["",false]`},
	} {
		res, over, err := p.Invoke(weir.Invocation{Event: json.RawMessage(c.event), Body: strings.NewReader(c.body)}, time.Now().Add(10*time.Second), nil)
		if err != nil || !over || string(res.Payload) != c.want {
			t.Errorf("got %s %v, want %s", res.Payload, err, c.want)
		}
	}
}

// TestBodyThatIsReadLate: what has come of a body can be read when its invocation is over, to nobody's harm.
func TestBodyThatIsReadLate(t *testing.T) {
	p := must(t, streamer)
	body, more := io.Pipe()
	defer more.Close()
	answered := make(chan error)
	go func() {
		_, over, err := p.call(t, "/late", body)
		<-over
		answered <- err
	}()
	for range 2 { // whoever takes the second has sent the first
		io.WriteString(more, "piece")
	}
	p.call(t, "/open", nil)
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	res, _, err := p.call(t, "/rest", nil)
	if a, _ := answerOf(t, res); err != nil || a.Body != "5" {
		t.Errorf("%q %v", a.Body, err)
	}
	if !p.Clean() {
		t.Error("the process is not clean")
	}
}

// TestCancel: who closes an answer before its end ends it in the function, too.
func TestCancel(t *testing.T) {
	p := must(t, streamer)
	for _, n := range []int{0, 1, 100_000} {
		id := fmt.Sprint("c", n)
		s, over := p.open(t, "/?n=10000000&id="+id, nil)
		io.ReadFull(s.Body, make([]byte, n))
		s.Body.Close()
		<-over
		if _, ended := p.made(t, id); ended != "abort cancel " {
			t.Errorf("after %d bytes: %q", n, ended)
		}
		if _, err := s.Body.Read(make([]byte, 1)); err != ErrClosed {
			t.Errorf("a read after the close: %v", err)
		}
	}
	broken := io.MultiReader(bytes.NewReader(make([]byte, 100)), errReader{})
	res, over, err := p.call(t, "/read?id=r", broken)
	if err != nil || res.Error == nil || res.Error.Message != "the client is gone" {
		t.Errorf("a client that goes: %v %v", res.Error, err)
	}
	<-over
	if _, ended := p.made(t, "r"); ended != "the client is gone true" {
		t.Errorf("the function saw %q", ended)
	}
	if !p.Clean() {
		t.Error("the process is not clean")
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("gone") }

func TestCancelOfWritable(t *testing.T) {
	p := must(t, `let seen = '';
exports.handler = awslambda.streamifyResponse((event, out) => new Promise((done) => {
  if (event.ask) { out.end(seen); return done(); }
  out.on('close', () => { seen += 'close'; done(); });
  const write = () => { if (!out.destroyed) out.write(Buffer.alloc(50000), write); };
  write();
}));`)
	over := make(chan struct{})
	res, _, err := p.Invoke(weir.Invocation{Event: json.RawMessage(`{}`)}, time.Now().Add(time.Minute), func() { close(over) })
	if err != nil || res.Stream == nil {
		t.Fatalf("%+v %v", res, err)
	}
	io.ReadFull(res.Stream.Body, make([]byte, 1000))
	res.Stream.Body.Close()
	<-over
	if a, _ := p.run(t, weir.Invocation{Event: json.RawMessage(`{"ask":true}`)}); a.Body != "close" {
		t.Errorf("the function saw %q", a.Body)
	}
}

// TestCancelMustBeHeeded: who goes on with what nobody waits for is waited for no longer, by nobody; the others of
// its process come to their end, and it gets no more.
func TestCancelMustBeHeeded(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, p *process){
		"in an answer": func(t *testing.T, p *process) {
			s, over := p.open(t, "/deaf", nil)
			s.Body.Close()
			<-over
		},
		"before an answer": func(t *testing.T, p *process) {
			if _, over, err := p.call(t, "/never", errReader{}); err != ErrWentOn {
				t.Errorf("got %v", err)
			} else {
				<-over
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := must(t, streamer)
			p.grace = 10 * time.Millisecond
			body, more := io.Pipe()
			other, otherOver := p.open(t, "/echo", body)
			spoil(t, p)
			go func() { io.WriteString(more, "still here"); more.Close() }()
			if got, err := io.ReadAll(other.Body); err != nil || string(got) != "still here" {
				t.Errorf("the other one: %q %v", got, err)
			}
			<-otherOver
			if p.Clean() {
				t.Error("the process would be used again")
			}
		})
	}
}

// TestWaitUntil: an invocation is over when the function is done, not when it has answered.
func TestWaitUntil(t *testing.T) {
	p := must(t, streamer)
	res, over, err := p.call(t, "/wait", nil)
	if a, _ := answerOf(t, res); err != nil || a.Body != "answered" {
		t.Fatalf("%+v %v", a, err)
	}
	p.made(t, "") // a whole invocation later
	select {
	case <-over:
		t.Fatal("over before the function was done")
	default:
	}
	if _, _, err := p.call(t, "/open", nil); err != nil {
		t.Fatal(err)
	}
	<-over
	if !p.Clean() {
		t.Error("the process is not clean")
	}
	late := make(chan struct{})
	_, done, err := p.Invoke(weir.Invocation{Event: json.RawMessage(`{"rawUrl":"http://x/wait"}`)}, time.Now().Add(3*time.Second), func() { close(late) })
	if done || err != nil {
		t.Fatal(done, err)
	}
	<-late
	if p.Clean() {
		t.Error("what goes on after its time would be given another invocation")
	}
}

// TestStreamsThatAreCutOff: the reader is told why.
func TestStreamsThatAreCutOff(t *testing.T) {
	for path, check := range map[string]func(error) bool{
		"/throw?id=x": func(err error) bool {
			var e *weir.FunctionError
			return errors.As(err, &e) && e.Error() == "RangeError: half way"
		},
		"/exit?id=x": func(err error) bool {
			var e *weir.FunctionError
			return errors.As(err, &e) && e.Error() == "Error: the end"
		},
		"/?n=5000000":  func(err error) bool { return weir.ErrorCode(err) == weir.TooLarge },
		"/hang?late=1": func(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) },
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			p := must(t, streamer)
			p.maxStream = 1 << 20
			over := make(chan struct{})
			deadline := time.Now().Add(time.Minute)
			if strings.Contains(path, "late") {
				deadline = time.Now().Add(3 * time.Second)
			}
			res, ended, err := p.Invoke(weir.Invocation{Event: json.RawMessage(`{"rawUrl":"http://x` + path + `"}`)}, deadline, func() { close(over) })
			if err != nil || res.Stream == nil {
				t.Fatalf("%+v %v", res, err)
			}
			if _, err := io.ReadAll(res.Stream.Body); !check(err) {
				t.Errorf("got %v", err)
			}
			if !ended { // else it was cut off before its head was looked at
				<-over
			}
		})
	}
}

// TestAllInFlightAreTold: an error that ends the process answers every invocation.
func TestAllInFlightAreTold(t *testing.T) {
	p := must(t, `let n = 0; exports.handler = () => new Promise(() => { setInterval(() => {}, 1000); if (++n === 3) setTimeout(() => { throw new Error('all'); }); });`)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if r, err := p.invoke(t, `{}`); err != nil || r.Error == nil || r.Error.Message != "all" {
				t.Errorf("%+v %v", r.Error, err)
			}
		})
	}
	wg.Wait()
}

// TestManyAtATime: answers find who waits for them, in whatever order they come.
func TestManyAtATime(t *testing.T) {
	p := must(t, `exports.handler = async (e) => { await new Promise((r) => setTimeout(r, e.ms)); return e.n; };`)
	var wg sync.WaitGroup
	for n := range 200 {
		wg.Go(func() {
			if r, err := p.invoke(t, fmt.Sprintf(`{"n":%d,"ms":%d}`, n, n*7%20)); err != nil || string(r.Payload) != fmt.Sprint(n) {
				t.Errorf("%d: %s %v", n, r.Payload, err)
			}
		})
	}
	wg.Wait()
	if !p.Clean() {
		t.Error("the process is not clean")
	}
}
