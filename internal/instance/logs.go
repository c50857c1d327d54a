package instance

// What a function prints becomes log lines that say which invocation printed them. Output is
// hostile: lines are bounded, and so is what one invocation may print.

import (
	"bytes"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/weir"
)

const (
	maxLine = 16 << 10 // bytes of one log line; a longer one is cut into several
	// drainTime bounds how long the next invocation waits for the output of the last one to be
	// attributed; nearly always there is nothing to wait for.
	drainTime = 50 * time.Millisecond
)

// heapWords are V8's last words when its heap is full.
var heapWords = []byte("JavaScript heap out of memory")

// Line is one line that a function printed.
type Line struct {
	Time     time.Time
	Function string
	Instance string
	Request  string // the invocation that printed it, or the last one before; "" at import
	Stream   string // "stdout" or "stderr"
	Text     string
}

// logs reads the two pipes of one instance.
type logs struct {
	stdout, stderr *os.File // the program's ends, closed once it has them
	readers        [2]*os.File
	done           sync.WaitGroup

	mu    sync.Mutex
	sink  func(Line) // nil: nobody's yet
	tag   Line       // function, instance and request of the lines being read
	left  int64      // bytes that the current invocation may still print
	limit int64
	heap  bool // V8 has said that its heap is full, or the function has, to nobody's harm
}

// newLogs makes the pipes. What comes before the process is somebody's is dropped.
func newLogs() (*logs, error) {
	l := &logs{}
	var err error
	if l.readers[0], l.stdout, err = os.Pipe(); err != nil {
		return nil, err
	}
	if l.readers[1], l.stderr, err = os.Pipe(); err != nil {
		l.readers[0].Close()
		l.stdout.Close()
		return nil, err
	}
	for i, stream := range []string{"stdout", "stderr"} {
		l.done.Add(1)
		go l.read(l.readers[i], stream)
	}
	return l, nil
}

// adopt says whose the lines are from now on, and how many bytes of them one invocation may print.
func (l *logs) adopt(sink func(Line), tag Line, limit int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sink, l.tag, l.left, l.limit = sink, tag, limit, limit
}

// started closes the program's ends on our side; from now on the pipes end with the program.
func (l *logs) started() {
	l.stdout.Close()
	l.stderr.Close()
}

// begin attributes what is printed from now on to an invocation.
func (l *logs) begin(request string) {
	l.drain()
	l.mu.Lock()
	l.tag.Request = request
	l.left, l.heap = l.limit, false
	l.mu.Unlock()
}

// drain waits until what the program has printed so far has been read.
func (l *logs) drain() {
	deadline := time.Now().Add(drainTime)
	for _, r := range l.readers {
		for pending(r) && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
	}
}

// pending tells whether a pipe holds bytes that nobody has read (TIOCINQ, which is FIONREAD).
func pending(f *os.File) bool {
	c, err := f.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	c.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return err == nil && n > 0
}

// close ends the reading. The program has ended, so what it printed has been read or is about to
// be; a reader that something else holds open is cut off.
func (l *logs) close() {
	for _, r := range l.readers {
		r.SetReadDeadline(time.Now().Add(drainTime))
	}
	l.done.Wait()
}

func (l *logs) read(r *os.File, stream string) {
	defer l.done.Done()
	defer r.Close()
	buf := make([]byte, maxLine)
	n := 0
	for {
		m, err := r.Read(buf[n:])
		n += m
		rest := buf[:n]
		if !l.wanted(stream, rest) { // that it is lines costs nothing then; V8's words may come in pieces
			rest = rest[max(0, len(rest)-len(heapWords)):]
		}
		for {
			i := bytes.IndexByte(rest, '\n')
			if i < 0 {
				break
			}
			l.emit(stream, rest[:i])
			rest = rest[i+1:]
		}
		if len(rest) == len(buf) || (err != nil && len(rest) > 0) {
			l.emit(stream, rest)
			rest = nil
		}
		n = copy(buf, rest)
		if err != nil {
			if err != io.EOF {
				io.Copy(io.Discard, r)
			}
			return
		}
	}
}

// heapFull tells whether the program's last words were that its heap is full. V8 then aborts, which
// alone looks like any other crash.
func (l *logs) heapFull() bool {
	l.drain()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heap
}

// wanted looks for V8's last words in what was read, and tells whether the current invocation may print
// any more.
func (l *logs) wanted(stream string, text []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heap = l.heap || stream == "stderr" && bytes.Contains(text, heapWords)
	return l.left >= 0
}

// charge takes what will be logged of an error's trace from what the invocation may print, and cuts the
// rest of it off.
func (l *logs) charge(e *weir.FunctionError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, line := range e.Trace {
		if !l.spend(len(line)) {
			e.Trace = e.Trace[:i]
			return
		}
	}
}

// emit hands one line on while the invocation's budget lasts.
func (l *logs) emit(stream string, text []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sink != nil && l.spend(len(text)) {
		l.line(stream, string(bytes.ToValidUTF8(text, []byte("�"))))
	}
}

// spend takes a line of n bytes from the budget and tells whether there was room for it. That there was
// none is printed once. The caller holds l.mu.
func (l *logs) spend(n int) bool {
	if l.left < 0 {
		return false
	}
	if l.left -= int64(n) + 1; l.left < 0 {
		l.line("stderr", "(log limit reached: the rest of this invocation's output is dropped; raise limits.log)")
	}
	return l.left >= 0
}

func (l *logs) line(stream, text string) {
	line := l.tag
	line.Time, line.Stream, line.Text = time.Now(), stream, text
	l.sink(line)
}
