package instance

// What a function prints becomes log lines that say which invocation printed them. Output is
// hostile: lines are bounded, and so is what one invocation may print.

import (
	"bytes"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/weir"
)

const (
	maxLine   = 16 << 10              // bytes of one log line; a longer one is cut into several
	pipeSize  = 64 << 10              // bytes that a pipe holds (pipe(7))
	drainTime = 50 * time.Millisecond // for the last words of a program that has ended
)

// heapWords are V8's last words when its heap is full.
var heapWords = []byte("JavaScript heap out of memory")

// Line is one line that a function printed.
type Line struct {
	Time     time.Time
	Function string
	Instance string
	Request  string   // the invocation that printed it, or the last one before; "" at import, and if it isn't known
	Among    []string // of which invocations it is one that printed it, if that is all that is known
	Stream   string   // "stdout" or "stderr"
	Text     string
}

// logs reads the two pipes of one instance.
type logs struct {
	stdout, stderr *os.File // the program's ends, closed once it has them
	outputs        [2]*output
	done           sync.WaitGroup

	mu     sync.Mutex
	sink   func(Line)       // nil: nobody's yet
	tag    Line             // function and instance
	flight []string         // the invocations that run now; when none does any more, the last one
	limit  int64            // bytes that one invocation may print
	left   int64            // of that, what bears no mark may still have since the last invocation began
	own    map[string]int64 // what those in flight may still print, if there are marks
	mark   []byte           // begins each; nil: there are none
	heap   bool             // V8 has said that its heap is full, or the function has, to nobody's harm
}

// output is our end of one of them.
type output struct {
	stream string
	pipe   *os.File

	mu  sync.Mutex // held from reading until what was read is handed on
	buf []byte
	n   int    // bytes of buf that are the beginning of a line
	by  string // who printed what was cut off before that, by its mark
}

// newLogs makes the pipes. What comes before the process is somebody's is dropped.
func newLogs() (*logs, error) {
	l := &logs{}
	for i, stream := range []string{"stdout", "stderr"} {
		l.outputs[i] = &output{stream: stream, buf: make([]byte, maxLine)}
	}
	var err error
	if l.outputs[0].pipe, l.stdout, err = os.Pipe(); err != nil {
		return nil, err
	}
	if l.outputs[1].pipe, l.stderr, err = os.Pipe(); err != nil {
		l.outputs[0].pipe.Close()
		l.stdout.Close()
		return nil, err
	}
	for _, o := range l.outputs {
		l.done.Add(1)
		go l.read(o)
	}
	return l, nil
}

// adopt says whose the lines are from now on, how many bytes of them one invocation may print, and what marks begin
// with, if there are any.
func (l *logs) adopt(sink func(Line), tag Line, limit int64, mark string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sink, l.tag, l.left, l.limit = sink, tag, limit, limit
	if mark != "" {
		l.mark, l.own = []byte("\x00"+mark+" "), map[string]int64{}
	}
}

// started closes the program's ends on our side; from now on the pipes end with the program.
func (l *logs) started() {
	l.stdout.Close()
	l.stderr.Close()
}

// begin takes account of a new invocation among those in flight.
func (l *logs) begin(request string, flight []string) {
	l.drain()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flight, l.left, l.heap = flight, l.limit, false
	if l.mark != nil {
		if len(flight) == 1 {
			clear(l.own)
		}
		l.own[request] = l.limit
	}
}

// over takes account of the end of one while others go on.
func (l *logs) over(request string, flight []string) {
	l.drain()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flight = flight
	delete(l.own, request)
}

// drain hands on what the program has printed so far. A program that goes on printing can't hold it up: it
// reads no more than a pipe holds.
func (l *logs) drain() {
	for _, o := range l.outputs {
		c, err := o.pipe.SyscallConn()
		if err != nil {
			continue // closed
		}
		c.Control(func(fd uintptr) {
			for read := 0; read < pipeSize; {
				n, _ := l.take(o, int(fd))
				if n <= 0 {
					return
				}
				read += n
			}
		})
	}
}

// close ends the reading. The program has ended, so what it printed has been read or is about to
// be; a reader that something else holds open is cut off.
func (l *logs) close() {
	for _, o := range l.outputs {
		o.pipe.SetReadDeadline(time.Now().Add(drainTime))
	}
	l.done.Wait()
}

// read hands on what is printed, until the program's end of the pipe is closed or time is up.
func (l *logs) read(o *output) {
	defer l.done.Done()
	defer o.pipe.Close()
	c, err := o.pipe.SyscallConn()
	for n := 1; err == nil && n > 0; {
		err = c.Read(func(fd uintptr) bool {
			var again error
			n, again = l.take(o, int(fd))
			return again != unix.EAGAIN // else it waits for more
		})
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.n > 0 {
		l.emit(o, o.buf[:o.n])
		o.n = 0
	}
}

// take reads once and hands on the lines that are whole. It gives the number of bytes, 0 at the end.
func (l *logs) take(o *output, fd int) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	m, err := unix.Read(fd, o.buf[o.n:])
	for err == unix.EINTR {
		m, err = unix.Read(fd, o.buf[o.n:])
	}
	if m <= 0 {
		return m, err
	}
	rest := o.buf[:o.n+m]
	if !l.wanted(o.stream, rest) { // that it is lines costs nothing then; V8's words may come in pieces
		rest = rest[max(0, len(rest)-len(heapWords)):]
	}
	for {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			break
		}
		l.emit(o, rest[:i])
		rest, o.by = rest[i+1:], ""
	}
	if len(rest) == len(o.buf) {
		cut := len(rest) - l.begun(rest)
		o.by = l.emit(o, rest[:cut])
		rest = rest[cut:]
	}
	o.n = copy(o.buf, rest)
	return m, nil
}

// heapFull tells whether the program's last words were that its heap is full. V8 then aborts, which
// alone looks like any other crash.
func (l *logs) heapFull() bool {
	l.drain()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heap
}

// wanted looks for V8's last words in what was read, and tells whether anybody may print any more.
func (l *logs) wanted(stream string, text []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heap = l.heap || stream == "stderr" && bytes.Contains(text, heapWords)
	for _, left := range l.own {
		if left >= 0 {
			return true
		}
	}
	return l.left >= 0
}

// charge takes what will be logged of an error's trace from what the invocation may print, and cuts the
// rest of it off.
func (l *logs) charge(request string, e *weir.FunctionError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, line := range e.Trace {
		if !l.spend(request, len(line)) {
			e.Trace = e.Trace[:i]
			return
		}
	}
}

// emit hands one line on while there is a budget for it. It gives whose the end of it is, by its mark.
func (l *logs) emit(o *output, text []byte) (by string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sink == nil {
		return ""
	}
	parts, by := l.parts(o.by, text)
	for _, p := range parts {
		if l.spend(p.by, len(p.text)) {
			l.line(o.stream, p.by, string(bytes.ToValidUTF8(p.text, []byte("�"))))
		}
	}
	return by
}
