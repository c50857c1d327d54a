package client

// Logs, past and live. Live ones come as server-sent events (WHATWG HTML, 9.2), of which a line that begins with
// "data:" is one log line.

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/internal/weir"
)

// LogQuery says which lines are wanted. A zero field is any.
type LogQuery struct {
	Function, Request string
	Since             time.Time
	Limit             int // the last so many; 0: 100, or those to come
}

func (q LogQuery) encode() string {
	v := url.Values{}
	for name, text := range map[string]string{"function": q.Function, "request": q.Request} {
		if text != "" {
			v.Set(name, text)
		}
	}
	if !q.Since.IsZero() {
		v.Set("since", q.Since.Format(time.RFC3339Nano))
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return v.Encode()
}

// Logs gives past lines of a site, in order.
func (c *Client) Logs(ctx context.Context, site string, q LogQuery) ([]wire.LogLine, error) {
	return call[[]wire.LogLine](ctx, c, request{method: "GET", path: path("/weir/sites/", site, "/logs") + "?" + q.encode()})
}

// FollowLogs gives each line of a site to each, past ones first if q names a limit or a time, until ctx ends or each
// gives an error. A connection that is lost is made anew; then lines of the very moment may be missing. away is told
// once each time that this takes longer, with the reason. That there is none to begin with is an error.
func (c *Client) FollowLogs(ctx context.Context, site string, q LogQuery, each func(wire.LogLine) error, away func(error)) error {
	for began, told := false, false; ; {
		last, connected, err := c.tail(ctx, path("/weir/sites/", site, "/logs/stream")+"?"+q.encode(), each)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && (weir.ErrorCode(err) != weir.Unavailable || !began && !connected) {
			return err
		}
		if !connected && !told {
			away(err)
		}
		began, told = true, !connected
		q.Limit = 0
		if !last.IsZero() {
			q.Since = last.Add(1)
		} else if q.Since.IsZero() {
			q.Since = time.Now()
		}
		if err := c.wait(ctx, time.Second); err != nil {
			return nil
		}
	}
}

const (
	maxEvent  = 1 << 20     // bytes of one event
	maxSilent = time.Minute // of a server, which sends something every 15 seconds: then it is lost, though nothing says so
)

// tail gives lines until the connection ends, and tells the time of the last one, and whether there was a connection.
func (c *Client) tail(ctx context.Context, at string, each func(wire.LogLine) error) (last time.Time, connected bool, err error) {
	ctx, hangUp := context.WithCancel(ctx)
	defer hangUp()
	res, err := c.send(ctx, request{method: "GET", path: at, accept: "text/event-stream"}, 1)
	if err != nil {
		return last, false, err
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		return last, false, failure(res)
	}
	silent := time.AfterFunc(c.silent, hangUp)
	defer silent.Stop()
	in := bufio.NewScanner(res.Body)
	in.Buffer(nil, maxEvent)
	for in.Scan() {
		silent.Reset(c.silent)
		text, ok := strings.CutPrefix(in.Text(), "data:")
		if !ok {
			continue
		}
		var l wire.LogLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			return last, true, &weir.Error{Code: weir.Invalid, Message: "the server's log can't be read", Err: err, Remedy: "see whether it is a Weir server of this version"}
		}
		if err := each(l); err != nil {
			return last, true, err
		}
		last = l.Time
	}
	return last, true, &weir.Error{Code: weir.Unavailable, Message: "the connection was lost", Err: errors.Join(in.Err())}
}
