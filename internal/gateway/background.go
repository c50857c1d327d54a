package gateway

// Functions that nobody waits for: background functions, whose callers learn only that the invocation was taken, and
// scheduled ones, which have no URL but where their author tries them out.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/weir-run/weir/internal/cron"
	"github.com/weir-run/weir/internal/weir"
)

// Accepter takes an invocation of a background function. When it returns nil the invocation is sure to be carried
// out, as sure as the server makes it; the caller hangs up then. Errors are *weir.Error: Busy if there are too many.
type Accepter func(context.Context, weir.Invocation) error

// background takes an invocation, and answers 202 with an empty body as Netlify does.
func (g *gateway) background(w http.ResponseWriter, r *http.Request, m *matched, id string) {
	limits, err := g.Functions.Lookup(m.name)
	if err != nil {
		g.fail(w, id, m.name, err)
		return
	}
	inv, err := g.backgroundInvocation(w, r, m, id, limits)
	if err == nil {
		err = g.accept(r.Context(), inv)
	}
	if err != nil {
		g.fail(w, id, m.name, err)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

func (g *gateway) backgroundInvocation(w http.ResponseWriter, r *http.Request, m *matched, id string, limits weir.Limits) (weir.Invocation, error) {
	inv := weir.Invocation{}
	limit := min(limits.Request, weir.MaxBackgroundEvent)
	body, err := readBody(w, r, limit, m.name)
	if weir.ErrorCode(err) == weir.TooLarge {
		return inv, backgroundTooLarge(m.name, limit)
	}
	if err != nil {
		return inv, err
	}
	inv, err = g.invocation(r, m, body, id, limits)
	inv.ClientContext = nil // of somebody who is gone
	return inv, err
}

func backgroundTooLarge(name string, limit int64) error {
	return &weir.Error{Code: weir.TooLarge, Message: fmt.Sprintf("the request to %s, a background function, makes an event of more than %d bytes", name, limit),
		Remedy: "store what is large elsewhere, and send where it lies"}
}

func (g *gateway) accept(ctx context.Context, inv weir.Invocation) error {
	switch {
	case len(inv.Event) > weir.MaxBackgroundEvent:
		return backgroundTooLarge(inv.Function, weir.MaxBackgroundEvent)
	case g.Accept == nil:
		return &weir.Error{Code: weir.Unavailable, Message: "this server runs no background functions"}
	}
	return g.Accept(ctx, inv)
}

// scheduled runs a scheduled function for its author, with the event that it gets when its time has come, and says
// what became of it, as netlify dev does. Where it runs by its schedule it has no URL.
func (g *gateway) scheduled(w http.ResponseWriter, r *http.Request, m *matched, id string) {
	c := g.Configs[m.name]
	if !g.TrySchedules {
		g.refuse(w, http.StatusNotFound, m.name, "the function "+printable(m.name)+" runs by its schedule and has no URL", "run it now with weir jobs run")
		return
	}
	event, next, err := g.scheduledEvent(r, c.Schedule, id)
	if err != nil {
		g.fail(w, id, m.name, err)
		return
	}
	inv := weir.Invocation{ID: id, Function: m.name, Event: event}
	if c.Background {
		if err := g.accept(r.Context(), inv); err != nil {
			g.fail(w, id, m.name, err)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		return
	}
	res, err := g.Functions.Invoke(r.Context(), inv)
	if err == nil {
		res, err = res.Whole()
	}
	var thrown *weir.FunctionError
	switch {
	case err != nil && !errors.As(err, &thrown):
		g.fail(w, id, m.name, err)
	case thrown != nil:
		g.thrown(w, id, m.name, thrown)
	case res.Error != nil:
		g.thrown(w, id, m.name, res.Error)
	default:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		fmt.Fprintf(w, "%s is a scheduled function: it ran because you asked for it, and nobody gets its answer.\n"+
			"On a server it has no URL and runs by its schedule, %q in UTC; the next time would be %s.\n", m.name, c.Schedule, next)
	}
}

// scheduledEvent makes the event of a scheduled function; next is when its time comes.
func (g *gateway) scheduledEvent(r *http.Request, schedule, id string) (event json.RawMessage, next string, err error) {
	when, err := cron.Parse(schedule)
	if err != nil {
		return nil, "", &weir.Error{Code: weir.Broken, Message: fmt.Sprintf("%.80q is no schedule", schedule), Err: err}
	}
	e, err := newEvent(r, nil, id, g.clientOf(r), g.Headers)
	if err != nil {
		return nil, "", err
	}
	next = when.Next(time.Now()).Format("2006-01-02T15:04:05.000Z")
	e.method, e.body, e.hasBody = http.MethodPost, fmt.Sprintf(`{"next_run":"%s"}`, next), true
	e.headers["X-NF-Event"], e.headers["user-agent"] = []string{"schedule"}, []string{"Netlify Clockwork"}
	delete(e.headers, "content-length")
	delete(e.headers, "content-type")
	return e.json(), next, nil
}
