package runtime

// A process that knows the secret and lies: nothing it says out of turn counts, and it is given up.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/weir"
)

// liar is the process's end of a channel.
type liar struct {
	*Conn
	peer *os.File
}

func newLiar(t testing.TB) *liar {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	l := &liar{peer: os.NewFile(uintptr(fds[1]), "peer")}
	if l.Conn, err = Dial(os.NewFile(uintptr(fds[0]), "ours"), ConnOptions{}); err != nil {
		t.Fatal(err)
	}
	l.maxStream = maxStream
	t.Cleanup(func() { l.peer.Close(); l.Close() })
	return l
}

// asked reads one request and gives its sequence.
func (l *liar) asked(t *testing.T) uint32 {
	head := make([]byte, headLen)
	if _, err := io.ReadFull(l.peer, head); err != nil {
		t.Error(err)
	}
	if _, err := io.CopyN(io.Discard, l.peer, int64(binary.LittleEndian.Uint32(head[8:]))); err != nil {
		t.Error(err)
	}
	return binary.LittleEndian.Uint32(head[4:])
}

// lie is one frame that is written in answer.
type lie struct {
	kind    byte
	last    bool
	payload string
	other   bool // it names an invocation that nobody asked for
}

func (l *liar) say(seq uint32, lies ...lie) {
	for _, f := range lies {
		if f.other {
			seq += 2
		}
		b := l.scan.encode(f.kind, seq, []byte(f.payload))
		if f.last {
			b[secretLen+1] = 1
		}
		l.peer.Write(b)
	}
}

func TestProtocolIsKept(t *testing.T) {
	head, piece, end := lie{kind: outHead, payload: "{}"}, lie{kind: outChunk, payload: "x"}, lie{kind: outEnd}
	full := lie{kind: outChunk, payload: string(make([]byte, window))}
	for name, c := range map[string]struct {
		lies []lie
		good bool // at the end, nothing is wrong
	}{
		"whole":                    {[]lie{{kind: outResult, payload: "1", last: true}}, true},
		"whole, settled later":     {[]lie{{kind: outResult, payload: "1"}, {kind: outSettled, last: true}}, true},
		"pieces":                   {[]lie{head, piece, piece, {kind: outEnd, last: true}}, true},
		"pieces, settled later":    {[]lie{head, piece, end, {kind: outSettled, last: true}}, true},
		"a window":                 {[]lie{head, full, {kind: outEnd, last: true}}, true},
		"another's sequence":       {[]lie{{kind: outResult, payload: "1", last: true, other: true}}, false},
		"piece before the head":    {[]lie{piece}, false},
		"end before the head":      {[]lie{end}, false},
		"head twice":               {[]lie{head, head}, false},
		"whole after the head":     {[]lie{head, {kind: outResult, payload: "1", last: true}}, false},
		"whole twice":              {[]lie{{kind: outResult, payload: "1"}, {kind: outResult, payload: "2"}}, false},
		"piece after the end":      {[]lie{head, end, piece}, false},
		"end twice":                {[]lie{head, end, end}, false},
		"error after the end":      {[]lie{head, end, {kind: outError, payload: "{}", last: true}}, false},
		"over a window":            {[]lie{head, full, piece}, false},
		"empty piece":              {[]lie{head, {kind: outChunk}}, false},
		"last piece":               {[]lie{head, {kind: outChunk, payload: "x", last: true}}, false},
		"last head":                {[]lie{{kind: outHead, payload: "{}", last: true}}, false},
		"settled before an answer": {[]lie{{kind: outSettled, last: true}}, false},
		"settled before the end":   {[]lie{head, {kind: outSettled, last: true}}, false},
		"settled and not":          {[]lie{head, end, {kind: outSettled}}, false},
		"settled twice":            {[]lie{head, {kind: outEnd, last: true}, {kind: outSettled, last: true}}, false},
		"credit that no one asked": {[]lie{{kind: outCredit, payload: "1"}}, false},
		"credit of nothing":        {[]lie{{kind: outCredit, payload: "0"}}, false},
		"credit that is no number": {[]lie{{kind: outCredit, payload: "x"}}, false},
		"loaded again":             {[]lie{{kind: outLoaded, payload: "{}"}}, false},
		"unknown type":             {[]lie{{kind: 99}}, false},
		"no JSON":                  {[]lie{{kind: outResult, payload: "{", last: true}}, false},
		"head that is no JSON":     {[]lie{{kind: outHead, payload: "{"}}, false},
		"error that is no JSON":    {[]lie{{kind: outError, payload: "{", last: true}}, false},
		"error in pieces, no JSON": {[]lie{head, {kind: outError, payload: "{", last: true}}, false},
		"long head":                {[]lie{{kind: outHead, payload: string(make([]byte, 1001))}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLiar(t)
			l.scan.limit = 1000
			go func() { l.say(l.asked(t), c.lies...) }()
			over := make(chan struct{})
			res, done, err := l.Invoke(weir.Invocation{Event: []byte("{}")}, time.Now().Add(time.Minute), func() { close(over) })
			if done {
				close(over)
			}
			if res.Stream != nil {
				_, err = io.ReadAll(res.Stream.Body)
			}
			if name == "settled twice" { // what comes when nothing is in flight is found when it is looked for
				for end := time.Now().Add(time.Minute); l.Clean() && time.Now().Before(end); {
				}
			}
			<-over
			if clean := l.Clean(); clean != c.good || c.good && err != nil {
				t.Errorf("clean: %v, error: %v", clean, err)
			}
		})
	}
}

// TestSilenceHasAnEnd: a process that says nothing more holds nobody longer than the deadline.
func TestSilenceHasAnEnd(t *testing.T) {
	l := newLiar(t)
	l.scan.limit = 1000
	go func() { l.say(l.asked(t), lie{kind: outHead, payload: "{}"}) }()
	over := make(chan struct{})
	res, _, err := l.Invoke(weir.Invocation{Event: []byte("{}")}, time.Now().Add(2*time.Second), func() { close(over) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(res.Stream.Body); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	<-over
	if l.Clean() {
		t.Error("it would be used again")
	}
}

// TestErrorThatIsTooLarge: one that ends an answer in pieces ends no other invocation.
func TestErrorThatIsTooLarge(t *testing.T) {
	l := newLiar(t)
	l.scan.limit = 1000
	other := make(chan error)
	go func() {
		_, _, err := l.Invoke(weir.Invocation{Event: []byte("1")}, time.Now().Add(time.Minute), func() {})
		other <- err
	}()
	seq := l.asked(t)
	go func() {
		l.say(l.asked(t), lie{kind: outHead, payload: "{}"}, lie{kind: outError, payload: string(make([]byte, 2000)), last: true})
		l.say(seq, lie{kind: outResult, payload: "1", last: true})
	}()
	res, _, err := l.Invoke(weir.Invocation{Event: []byte("1")}, time.Now().Add(time.Minute), func() {})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(res.Stream.Body); weir.ErrorCode(err) != weir.TooLarge {
		t.Errorf("the answer ended with %v", err)
	}
	if err := <-other; err != nil {
		t.Errorf("the other one ended with %v", err)
	}
}

// TestUploadThatIsNotTaken: one that its process does not take in time, or that its client gives up meanwhile, is the
// end of no other invocation.
func TestUploadThatIsNotTaken(t *testing.T) {
	gone, hangUp := io.Pipe()
	for name, c := range map[string]struct {
		body    io.Reader
		timeout time.Duration
		grace   time.Duration
		want    error
	}{
		"in time":    {zeros{}, 100 * time.Millisecond, time.Minute, os.ErrDeadlineExceeded},
		"any longer": {gone, time.Minute, 10 * time.Millisecond, ErrWentOn},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLiar(t)
			l.conn.SetWriteBuffer(4 << 10)
			l.grace = c.grace
			invoke := func(body io.Reader, timeout time.Duration) chan error {
				ended := make(chan error, 1)
				go func() {
					_, _, err := l.Invoke(weir.Invocation{Event: []byte("1"), Body: body}, time.Now().Add(timeout), func() {})
					ended <- err
				}()
				return ended
			}
			other := invoke(nil, time.Minute)
			seq := l.asked(t)
			upload := invoke(c.body, c.timeout)
			if c.body == gone {
				l.asked(t)
				for range 100 { // until no more is taken
					l.Refused(Refusal{Message: "no"})
				}
				hangUp.CloseWithError(io.ErrUnexpectedEOF)
			}
			if err := <-upload; !errors.Is(err, c.want) {
				t.Errorf("the upload ended with %v", err)
			}
			go io.Copy(io.Discard, l.peer)
			l.say(seq, lie{kind: outResult, payload: "1", last: true})
			if err := <-other; err != nil {
				t.Errorf("the other one ended with %v", err)
			}
		})
	}
}

// FuzzFrames: whatever frames a process that knows the secret sends, what is kept of them is bounded and who
// waits gets an end.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("\x08\x02{}\x09\x05hello\x0a\x00"))
	f.Add([]byte("\x03\x811"))
	f.Add([]byte("\x08\x02{}\x09\x05hello\x04\x82{}\x0c\x80\x0b\x011"))
	f.Fuzz(func(t *testing.T, plan []byte) {
		l := newLiar(t)
		l.scan.limit = 1000
		k := &call{conn: l.Conn, seq: 7, credit: window / 2, window: window}
		l.calls[7] = k
		for len(plan) >= 2 && l.err == nil {
			kind, last, n := plan[0], plan[1]&0x80 != 0, min(int(plan[1]&0x7f), len(plan)-2)
			frame := l.scan.encode(kind, 7, plan[2:2+n])
			if last {
				frame[secretLen+1] = 1
			}
			plan = plan[2+n:]
			l.take(copy(l.buf, frame))
			if k.pieces.Len() > window || k.credit > window || k.window < 0 {
				t.Fatalf("%d bytes kept, credit %d, window %d", k.pieces.Len(), k.credit, k.window)
			}
			if k.over && (k.answer == nil || !k.ended || l.calls[7] != nil) {
				t.Fatal("over without an answer")
			}
			if l.err == nil && k.ended && k.answer.kind == outHead && k.failure == nil { // with an error, who keeps the call tells it
				t.Fatal("an answer in pieces ended and its reader was not told")
			}
		}
		if fmt.Sprint(l.err) != "<nil>" && !l.dirty.Load() {
			t.Fatal("a broken channel would be used again")
		}
	})
}
