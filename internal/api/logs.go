package api

// Logs of a site: past lines, and live ones as server-sent events (WHATWG HTML, 9.2).

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/weir-run/weir/internal/access"
	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/internal/logs"
	"github.com/weir-run/weir/internal/weir"
)

var logRoutes = []route{
	{method: "GET", path: "/weir/sites/{site_id}/logs", id: "getLogs", about: "the last lines that functions printed, with what was denied and how invocations ended", right: access.Read, scope: ofSite, query: logQuery, out: []wire.LogLine{}, large: true, do: (*call).logs},
	{method: "GET", path: "/weir/sites/{site_id}/logs/stream", id: "followLogs", about: "the same as they come, as server-sent events", right: access.Read, scope: ofSite, query: logQuery, out: text("text/event-stream"), do: (*call).follow},
}

var logQuery = []string{"function", "request", "since", "limit"}

const (
	maxTails  = 64               // that are followed at a time,
	tailsEach = 8                // and of them by one token
	maxFollow = time.Hour        // of one; who wants more asks again
	heartbeat = 15 * time.Second // by which both ends learn that the other is gone
	maxWrite  = 30 * time.Second // for a client to take a line
	maxLimit  = 2000
)

// window reads since and limit of the query; 0 if there are none.
func (c *call) window() (since time.Time, limit int, err error) {
	q := c.r.URL.Query()
	if text := q.Get("since"); text != "" {
		if since, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return since, 0, &weir.Error{Code: weir.Invalid, Message: "since is a time such as 2026-01-02T15:04:05Z, not " + printable(text)}
		}
	}
	if text := q.Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 0 || limit > maxLimit {
			return since, 0, &weir.Error{Code: weir.Invalid, Message: "limit is a number up to " + strconv.Itoa(maxLimit)}
		}
	}
	return since, limit, nil
}

func (c *call) query() (logs.Query, error) {
	since, limit, err := c.window()
	q := c.r.URL.Query()
	return logs.Query{Site: c.site.ID, Function: q.Get("function"), Request: q.Get("request"), Since: since, Limit: limit}, err
}

func (c *call) logs() (any, error) {
	q, err := c.query()
	if err != nil {
		return nil, err
	}
	all, err := c.Logs.Past(c.r.Context(), q)
	if err != nil {
		return nil, err
	}
	out := []wire.LogLine{}
	for _, l := range all {
		out = append(out, wireLine(l))
	}
	return out, nil
}

func wireLine(l logs.Line) wire.LogLine {
	out := wire.LogLine{Time: l.Time, Deploy: l.Deploy, Function: l.Function, Request: l.Request, Stream: l.Stream, Text: l.Text}
	var about any
	switch {
	case l.Decision != nil:
		about = l.Decision
	case l.Invocation != nil:
		about = l.Invocation
	default:
		return out
	}
	out.Record, _ = json.Marshal(about) // a record can always be written
	return out
}

// follow sends lines until the client goes, takes none for too long, may no longer, or an hour is over.
func (c *call) follow() (any, error) {
	q, err := c.query()
	if err != nil {
		return nil, err
	}
	if !c.tails.begin(c.who.ID) {
		return nil, &weir.Error{Code: weir.Busy, Message: "too many logs are followed at a time", Remedy: "come again later, or ask for past lines"}
	}
	defer c.tails.end(c.who.ID)
	ctx, cancel := context.WithTimeout(c.r.Context(), maxFollow)
	defer cancel()
	lines := make(chan logs.Line)
	ended := make(chan error, 1)
	go func() {
		ended <- c.Logs.Follow(ctx, q, func(l logs.Line) error {
			select {
			case lines <- l:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	c.w.Header().Set("Content-Type", "text/event-stream")
	c.w.WriteHeader(http.StatusOK)
	beat := time.NewTicker(c.beat)
	defer beat.Stop()
	defer http.NewResponseController(c.w).SetWriteDeadline(time.Time{}) // the connection may serve other calls
	event := ": begin\n\n"                                              // a comment
	for c.send(event) == nil {
		select {
		case l := <-lines:
			b, err := json.Marshal(wireLine(l))
			if err != nil {
				return nil, err
			}
			event = fmt.Sprintf("data: %s\n\n", b)
		case <-beat.C:
			if !c.stillMay() {
				return streamed, nil
			}
			event = ": still here\n\n"
		case <-ended:
			return streamed, nil
		}
	}
	return streamed, nil
}

// send sends a piece of the stream at once.
func (c *call) send(event string) error {
	to := http.NewResponseController(c.w)
	if err := to.SetWriteDeadline(time.Now().Add(maxWrite)); err != nil {
		return err
	}
	if _, err := c.w.Write([]byte(event)); err != nil {
		return err
	}
	return to.Flush()
}
