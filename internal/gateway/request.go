package gateway

// The body of a request. Functions v2 get a large one as it arrives, and so one whose length nobody knows yet;
// all others come with the event.

import (
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/weir-run/weir/internal/weir"
)

const (
	// maxBody bounds what is read of the body of any request, whatever a function's limit says.
	maxBody = 64 << 20
	// smallBody is how large a body of known length may be to come with the event of any function, in bytes.
	smallBody = 64 << 10
)

// requestBody gives the body of a request to a function: all of it, or one that flows.
func (g *gateway) requestBody(w http.ResponseWriter, r *http.Request, limit int64, name string) (whole []byte, flowing *flowingBody, err error) {
	limit = min(limit, maxBody)
	if c := g.Configs[name]; c.Form == weir.FormV2 && !c.Background && (r.ContentLength < 0 || r.ContentLength > smallBody) && r.ContentLength <= limit {
		return flow(w, r, limit, name)
	}
	whole, err = readBody(w, r, limit, name)
	return whole, nil, err
}

// flow reads the beginning of a body: who sends that slowly holds no instance. One that is small is whole then.
func flow(w http.ResponseWriter, r *http.Request, limit int64, name string) (whole []byte, flowing *flowingBody, err error) {
	b := newFlowingBody(w, r, limit, name)
	if paced, ok := r.Body.(*pacedBody); ok {
		if err := paced.take(smallBody); err != nil {
			return nil, nil, err
		}
	}
	head := make([]byte, smallBody)
	n, err := io.ReadFull(b, head)
	switch {
	case b.ended == io.EOF && n < len(head):
		return head[:n], nil, nil
	case err != nil:
		b.settle(w)
		return nil, nil, bodyError(err)
	}
	b.head = head
	// Else net/http takes the body away as soon as an answer begins. HTTP/2 never does, and says so by an error.
	_ = b.control.EnableFullDuplex()
	return nil, b, nil
}

// readBody reads the body, no more than the limit.
func readBody(w http.ResponseWriter, r *http.Request, limit int64, name string) ([]byte, error) {
	limit = min(limit, maxBody)
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close")
		return nil, requestTooLarge(name, limit)
	}
	var body io.Reader = http.MaxBytesReader(w, r.Body, limit)
	if paced, ok := r.Body.(*pacedBody); ok {
		body = held{body, paced}
	}
	return readAll(body, r.ContentLength, name, limit)
}

func requestTooLarge(name string, limit int64) error {
	return &weir.Error{Code: weir.TooLarge, Message: fmt.Sprintf("the request to %s is larger than %d bytes", name, limit),
		Remedy: "send less, or raise limits.request (binary bodies grow by a third when they become base64)"}
}

// flowingBody is a body that is read while the answer is already being written. One that is nil is no body:
// it has no state, and nothing becomes of it.
type flowingBody struct {
	request *http.Request
	control *http.ResponseController
	name    string // of the function
	limit   int64
	head    []byte // what was read already

	mu    sync.Mutex
	read  int64 // bytes
	ended error // why there is no more of it: io.EOF, or what went wrong
}

func newFlowingBody(w http.ResponseWriter, r *http.Request, limit int64, name string) *flowingBody {
	return &flowingBody{request: r, control: http.NewResponseController(w), name: name, limit: limit}
}

// Read is io.Reader's. Beyond the limit the error is a weir.TooLarge, and a weir.TooSlow if the client doesn't
// keep up.
func (b *flowingBody) Read(p []byte) (int, error) {
	if len(b.head) > 0 {
		n := copy(p, b.head)
		b.head = b.head[n:]
		return n, nil
	}
	b.mu.Lock()
	left, ended := b.limit-b.read, b.ended
	b.mu.Unlock()
	if ended != nil {
		return 0, ended
	}
	n, err := b.request.Body.Read(p[:min(int64(len(p)), left+1)]) // one byte more tells that the limit is passed
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended != nil {
		return 0, b.ended
	}
	if int64(n) > left {
		n, err = 0, requestTooLarge(b.name, b.limit)
	}
	b.read += int64(n)
	b.ended = err
	return n, err
}

// fault gives what was wrong with the body by the client's doing, nil if nothing was.
func (b *flowingBody) fault() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := weir.ErrorCode(b.ended); c != weir.TooLarge && c != weir.TooSlow {
		return nil
	}
	return b.ended
}

// settle is called before an answer begins. A connection on which more of the body may come takes no other
// request: what came would be read as one.
func (b *flowingBody) settle(w http.ResponseWriter) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended != io.EOF && b.request.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
	}
}

// close ends a Read that is under way, and those to come.
func (b *flowingBody) close() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended == nil {
		b.ended = io.ErrClosedPipe
		if paced, ok := b.request.Body.(*pacedBody); ok {
			paced.stop()
		}
	}
}
