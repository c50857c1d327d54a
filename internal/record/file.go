package record

// Records as a chain of lines in a file, the evidence. A record is written before the caller goes on:
// one write(2) of one line costs a few microseconds, and then nothing can be lost by a queue.

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// maxText bounds a text field, in bytes; hostile code chooses URLs and paths.
const maxText = 2048

// How long a record stays without a signature: the chain is signed after so many records, and after
// so much time if there is something new.
const (
	signRecords = 1000
	signTime    = 5 * time.Second
)

// FileOptions says how records are written to a file.
type FileOptions struct {
	Key     *Key         // signs the chain
	MaxSize int64        // bytes after which the next file is begun; 0: DefaultMaxSize
	Keep    int          // files that are kept, with the one being written; 0: DefaultKeep
	Logger  *slog.Logger // told when records are lost; may be nil
}

// The bounds of what records may take on a disk.
const (
	DefaultMaxSize = 64 << 20
	DefaultKeep    = 10
)

// File appends records to a file, one JSON object a line, each chained to the one before and all of
// them signed now and then. It is safe for concurrent use.
type File struct {
	opts FileOptions
	path string
	agg  *aggregator
	stop chan struct{}
	done sync.WaitGroup // the goroutine that signs, and old files that are being closed
	lock *os.File       // held as long as this process writes

	mu       sync.Mutex
	f        *os.File
	seq      int       // number of the file in its chain
	size     int64     // bytes in it
	records  int       // that this process wrote to it
	unsigned int       // lines since the last checkpoint
	head     string    // hash of the last line, be it in the file or in rest
	rest     []byte    // what a line that was cut short still lacks
	buf      []byte    // of the last write, to be used again
	lost     int       // records that could not be written and that no line in the file tells of
	err      error     // why the first record of all was lost
	waits    time.Time // until when no new file is tried after one that could not be begun
}

// OpenFile goes on with the records at path, and begins them, readable by their owner only, if there
// are none. Errors are of code weir.Invalid: another process writes there, or what is there are no
// chained records.
func OpenFile(path string, o FileOptions) (*File, error) {
	o.MaxSize, o.Keep = cmp.Or(o.MaxSize, DefaultMaxSize), cmp.Or(o.Keep, DefaultKeep)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r := &File{opts: o, path: path, stop: make(chan struct{})}
	if err := r.open(); err != nil {
		return nil, err
	}
	r.agg = newAggregator(r.writeDecision)
	r.done.Go(r.run)
	return r, nil
}

// run signs what is new.
func (r *File) run() {
	tick := time.NewTicker(signTime)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.mu.Lock()
			r.stay()
			if r.unsigned > 0 {
				r.checkpoint("")
			}
			r.mu.Unlock()
		case <-r.stop:
			return
		}
	}
}

// Decided writes a decision, or counts it if it repeats one of the last second.
func (r *File) Decided(d Decision) { r.agg.add(d) }

func (r *File) writeDecision(d Decision) { r.write(encodeDecision(d)) }

// Invoked writes an invocation.
func (r *File) Invoked(i Invocation) {
	var room [512]byte // for most
	r.write(appendInvocation(room[:0], i), nil)
}

func (r *File) write(line []byte, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.makeRoom(len(line))
		err = r.append(line, nil)
	}
	if err != nil {
		if r.lost == 0 {
			r.opts.Logger.Error("records are being lost", "file", r.path, "error", err)
		}
		r.lost++
		r.err = cmp.Or(r.err, err)
		return
	}
	r.records++
	if r.unsigned >= signRecords {
		r.checkpoint("")
	}
}

// checkpoint signs all that was written. One that can't be written is written later. The caller holds
// the lock.
func (r *File) checkpoint(s State) error {
	line, err := encodeCheckpoint(s)
	if err == nil {
		err = r.append(line, r.opts.Key)
	}
	if err == nil {
		r.unsigned = 0
	}
	return err
}

func encodeCheckpoint(s State) ([]byte, error) {
	return encode(struct {
		mark
		Checkpoint
	}{mark{Version, "checkpoint"}, Checkpoint{Time: time.Now(), State: s}})
}

// append writes a line, chained to the one before and signed if a key is given. Before it goes what
// the last one still lacks and, if records were lost, a line that says how many: a disk that was full
// for a while leaves no gap that nobody sees. The error says that the line is lost. The caller holds
// the lock.
func (r *File) append(line []byte, key *Key) error {
	out := append(r.buf[:0], r.rest...)
	head, gapHead := r.head, r.head
	gap, begin := len(out), len(out) // where the gap's line begins, and the line
	if r.lost > 0 {
		told, err := encodeDropped(r.lost)
		if err != nil {
			return err
		}
		out = link(out, told, head, nil)
		begin = len(out)
		gapHead = Hash(out[gap:])
		head = gapHead
	}
	if line != nil {
		out = link(out, line, head, key)
		head = Hash(out[begin:])
	}
	r.buf = out
	n, err := r.f.Write(out)
	r.size += int64(n)
	switch {
	case err == nil || n > begin: // if it was cut inside the line, the next write ends it
		r.rest, err = bytes.Clone(out[n:]), nil
		r.told(begin > gap, gapHead)
		if line != nil {
			r.head = head
			r.unsigned++
		}
	case n > gap:
		r.rest = bytes.Clone(out[n:begin])
		r.told(true, gapHead)
	default:
		r.rest = r.rest[n:]
	}
	return err
}

// told takes note that a line in the file tells of all that was lost.
func (r *File) told(gap bool, head string) {
	if gap {
		r.opts.Logger.Warn("records were lost; the file says how many", "file", r.path, "count", r.lost)
		r.head, r.lost = head, 0
		r.unsigned++
	}
}

// Close writes what is still counted, signs and closes the file. Its error says that records were lost.
func (r *File) Close() error {
	r.agg.close()
	close(r.stop)
	r.done.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.checkpoint(Closed); err != nil {
		r.err = cmp.Or(r.err, err)
	}
	if len(r.rest) > 0 {
		r.err = cmp.Or(r.err, r.append(nil, nil))
	}
	var err error
	if r.err != nil {
		err = fmt.Errorf("not all could be written: %v", r.err)
	}
	return errors.Join(err, r.f.Sync(), r.f.Close(), r.lock.Close())
}

// bounded cuts a text at maxText.
func bounded(s string) string { return boundedTo(s, maxText) }

func boundedTo(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return weir.Cut(s, n) + "…"
}
