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
// gives an error. A connection that is lost is made anew; then lines of the very moment may be missing.
func (c *Client) FollowLogs(ctx context.Context, site string, q LogQuery, each func(wire.LogLine) error) error {
	for {
		last, err := c.tail(ctx, path("/weir/sites/", site, "/logs/stream")+"?"+q.encode(), each)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && weir.ErrorCode(err) != weir.Unavailable {
			return err
		}
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

// maxEvent bounds one event, in bytes.
const maxEvent = 1 << 20

// tail gives lines until the connection ends, and tells the time of the last one.
func (c *Client) tail(ctx context.Context, at string, each func(wire.LogLine) error) (last time.Time, err error) {
	res, err := c.send(ctx, request{method: "GET", path: at, accept: "text/event-stream"}, 1)
	if err != nil {
		return last, err
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		return last, failure(res)
	}
	in := bufio.NewScanner(res.Body)
	in.Buffer(nil, maxEvent)
	for in.Scan() {
		text, ok := strings.CutPrefix(in.Text(), "data:")
		if !ok {
			continue
		}
		var l wire.LogLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			return last, &weir.Error{Code: weir.Invalid, Message: "the server's log can't be read", Err: err, Remedy: "see whether it is a Weir server of this version"}
		}
		if err := each(l); err != nil {
			return last, err
		}
		last = l.Time
	}
	return last, &weir.Error{Code: weir.Unavailable, Message: "the connection was lost", Err: errors.Join(in.Err())}
}
