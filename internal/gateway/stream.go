package gateway

// Answers that are written while the function still makes them.

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

const (
	pieceSize = 64 << 10 // bytes that are read of an answer at a time
	buffered  = 4 << 10  // bytes that net/http takes of an answer before it asks whether the client does
	// writeGrace is how long a client may take for what is left of an answer when the function may not go on.
	writeGrace = 10 * time.Second
)

// writeStream answers with a stream, piece by piece as they come: a client that reads slowly holds up the
// function, and one that hangs up cancels the invocation. An answer that the function does not end is cut off,
// so that no client takes it for whole. The error is a *weir.Error, and then nothing has been written.
func (g *gateway) writeStream(w http.ResponseWriter, r *http.Request, s *weir.Stream, name, id string, deadline time.Time) error {
	defer s.Body.Close()
	var res result
	if err := json.Unmarshal(s.Head, &res); err != nil {
		return nonsense(name, "a field has another type than it may have")
	}
	if len(res.StatusCode) == 0 {
		res.StatusCode = json.RawMessage("200")
	}
	status, headers, err := headOf(&res, name)
	if err != nil {
		return err
	}
	answer, release := g.Compressed.flow(w, r, status, headers)
	defer release()
	writeHead(w, status, headers)
	if r.Method == http.MethodHead || !hasBody(status) {
		return nil
	}
	control := http.NewResponseController(w)
	defer control.SetWriteDeadline(time.Time{}) // the connection's next answer has its own
	stop := context.AfterFunc(r.Context(), func() { s.Body.Close() })
	defer stop()
	err = g.copyFlushing(answer, control, s.Body, deadline.Add(writeGrace))
	if err == nil {
		err = answer.Close()
	}
	if err != nil {
		if r.Context().Err() == nil {
			g.cutOff(name, id, err)
		}
		panic(http.ErrAbortHandler)
	}
	return nil
}

// copyFlushing copies all of an answer; whatever has come is sent before more is waited for. A client that does
// not take a piece in time, or all of it until the deadline, gets no more.
func (g *gateway) copyFlushing(w io.Writer, control *http.ResponseController, from io.Reader, deadline time.Time) error {
	g.hurry(control, deadline)
	err := control.Flush() // the head
	for buf := make([]byte, pieceSize); err == nil; {
		_ = control.SetWriteDeadline(time.Time{}) // with HTTP/2 it would end an answer of which nothing is there to take
		n, ended := from.Read(buf)
		if n > 0 {
			g.hurry(control, deadline)
			if _, err = w.Write(buf[:n]); err == nil {
				err = control.Flush()
			}
		}
		switch {
		case ended == io.EOF:
			return err
		case ended != nil:
			return ended
		}
	}
	return err
}

// writeWhole writes an answer that is there already, by pieces that a client must take in time, too: it lies in
// memory until the last is taken.
func (g *gateway) writeWhole(w http.ResponseWriter, answer []byte) { writePaced(w, answer, g.patience) }

func writePaced(w http.ResponseWriter, answer []byte, patience time.Duration) {
	if len(answer) <= buffered {
		w.Write(answer)
		return
	}
	paced := newPacedAnswer(w, patience)
	defer paced.end()
	paced.Write(answer)
}

// hurry sets until when a client may take the next piece of an answer: as long as is waited for a client, and not
// beyond the deadline.
func (g *gateway) hurry(control *http.ResponseController, deadline time.Time) {
	until := time.Now().Add(g.patience)
	if deadline.Before(until) {
		until = deadline
	}
	_ = control.SetWriteDeadline(until) // who can't has no client that is slow
}

// cutOff logs why an answer has no end.
func (g *gateway) cutOff(name, id string, err error) {
	var thrown *weir.FunctionError
	if errors.As(err, &thrown) {
		g.logThrown(id, name, thrown)
		return
	}
	g.Logger.Error("the answer was cut off", "function", name, "request", id, "error", err)
}
