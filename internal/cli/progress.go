package cli

// A progress bar, on terminals only.

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// progress shows how much of something is done. It is safe for concurrent use.
type progress struct {
	to    io.Writer // nil: nobody looks on
	what  string
	total int64

	mu    sync.Mutex
	done  int64
	shown time.Time
}

const (
	barWidth = 30
	showEach = 100 * time.Millisecond
)

// newProgress shows progress on s.err, if that is a terminal and there is anything to do.
func newProgress(s *streams, what string, total int64) *progress {
	p := &progress{what: what, total: total}
	if f := terminal(s.err); f != nil && total > 0 {
		p.to = f
	}
	return p
}

// terminal gives the terminal behind a stream, nil if there is none.
func terminal(w io.Writer) *os.File {
	if m, ok := w.(messages); ok {
		w = m.to
	}
	f, ok := w.(*os.File)
	if !ok {
		return nil
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	return f
}

func (p *progress) add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	if p.to == nil || time.Since(p.shown) < showEach {
		return
	}
	p.shown = time.Now()
	p.show()
}

func (p *progress) show() {
	part := min(max(float64(p.done)/float64(p.total), 0), 1)
	full := int(part * barWidth)
	fmt.Fprintf(p.to, "\r\x1b[K%s [%s%s] %3.0f%% of %s", p.what, strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), 100*part, sizeText(p.total))
}

// end removes it.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.to != nil && !p.shown.IsZero() {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
	p.to = nil
}

// sizeText gives a number of bytes for people.
func sizeText(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}
