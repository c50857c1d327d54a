package gateway

// The AWS Lambda Invoke API (API versions 2015-03-31, and 2021-11-15 for answers that are streams): an event
// in, the handler's own result out, so that any Lambda client can drive functions.

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/weir-run/weir/internal/weir"
)

const (
	lambdaPath       = "/2015-03-31/functions/"
	lambdaStreamPath = "/2021-11-15/functions/"
)

// maxClientContext is AWS's bound of the header X-Amz-Client-Context, in bytes of base64.
const maxClientContext = 3583

func (g *gateway) lambda(w http.ResponseWriter, r *http.Request) {
	id := ulid.Make().String()
	w.Header().Set("X-Amzn-Requestid", id)
	name, streaming, ok := lambdaName(r.URL)
	switch {
	case foreignPage(r):
		g.lambdaError(w, id, name, http.StatusForbidden, "AccessDeniedException", "a page of another origin may not invoke functions")
		return
	case !ok:
		g.lambdaError(w, id, name, http.StatusNotFound, "ResourceNotFoundException", "no such call: use "+lambdaPath+"NAME/invocations or "+
			lambdaStreamPath+"NAME/response-streaming-invocations")
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", "POST")
		g.lambdaError(w, id, name, http.StatusMethodNotAllowed, "InvalidRequestContentException", "invocations are POST requests")
		return
	}
	limits, err := g.Functions.Lookup(name)
	if err != nil {
		g.lambdaFail(w, id, name, err)
		return
	}
	inv, err := lambdaInvocation(w, r, name, id, limits)
	if err != nil {
		g.lambdaFail(w, id, name, err)
		return
	}
	if g.unawaited(w, r, inv) {
		return
	}
	start := time.Now()
	res, err := g.Functions.Invoke(r.Context(), inv)
	if lambdaRefused(err) {
		g.lambdaFail(w, id, name, err)
		return
	}
	w.Header().Set("X-Amz-Executed-Version", "$LATEST")
	out := invoked{g, name, id, limits, start, res, err}
	if streaming {
		out.writeEvents(w, r)
		return
	}
	payload, thrown := out.whole()
	if thrown != nil {
		functionError(w, thrown)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	g.writeWhole(w, payload)
}

// unawaited answers a call that waits for no result, false for any other.
func (g *gateway) unawaited(w http.ResponseWriter, r *http.Request, inv weir.Invocation) bool {
	switch t := r.Header.Get("X-Amz-Invocation-Type"); t {
	case "", "RequestResponse":
		return false
	case "DryRun":
		w.WriteHeader(http.StatusNoContent)
	case "Event":
		if err := g.accept(r.Context(), inv); err != nil {
			g.lambdaFail(w, inv.ID, inv.Function, err)
			break
		}
		w.WriteHeader(http.StatusAccepted)
	default:
		g.lambdaError(w, inv.ID, inv.Function, http.StatusBadRequest, "InvalidParameterValueException", "there is no invocation type "+printable(t))
	}
	return true
}

// invoked is what became of an invocation.
type invoked struct {
	*gateway
	name, id string // function and request
	limits   weir.Limits
	start    time.Time
	res      weir.Result
	err      error
}

// whole gives the handler's result, or the error of the function in AWS's words. A stream is read to its end.
func (i *invoked) whole() (json.RawMessage, *weir.FunctionError) {
	res, err := i.res, i.err
	if res.Stream != nil {
		res.Stream.Body = &capped{res.Stream.Body, i.limits.Response}
		res, err = res.Whole()
	}
	switch {
	case err != nil:
		return nil, i.failure(err)
	case res.Error != nil:
		return nil, i.failure(res.Error)
	case exceeds(res.Payload, i.limits.Response):
		return nil, i.failure(errTooLong)
	}
	return res.Payload, nil
}

// failure logs an error and words it as AWS does.
func (i *invoked) failure(err error) *weir.FunctionError {
	var known *weir.Error
	var thrown *weir.FunctionError
	switch {
	case errors.Is(err, errTooLong):
		i.Logger.Error("no answer", "function", i.name, "request", i.id, "error", err)
		return &weir.FunctionError{Type: "Function.ResponseSizeTooLarge", Trace: []string{},
			Message: fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes)", i.limits.Response)}
	case !errors.As(err, &known) && errors.As(err, &thrown):
		i.logThrown(i.id, i.name, thrown)
		return thrown
	}
	i.Logger.Error("no answer", "function", i.name, "request", i.id, "error", err)
	return runtimeError(err, i.id, i.start)
}

// errTooLong says that an answer is larger than it may be.
var errTooLong = errors.New("the answer is too large")

// capped is a stream that may have no more than left bytes.
type capped struct {
	io.ReadCloser
	left int64
}

func (c *capped) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, errTooLong
	}
	return n, err
}

// foreignPage tells whether a browser sends the request for a page of another origin.
func foreignPage(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return true
	}
	origin := r.Header.Get("Origin")
	return origin != "" && origin != "http://"+r.Host
}

// lambdaName gives the function of ".../functions/NAME/invocations", and whether its answer is wanted as it
// comes (".../NAME/response-streaming-invocations"). NAME may be a plain name, one with a qualifier, or an ARN.
func lambdaName(u *url.URL) (name string, streaming, ok bool) {
	rest, ok := strings.CutPrefix(u.Path, lambdaPath)
	call := "/invocations"
	if !ok {
		rest, streaming, call = strings.TrimPrefix(u.Path, lambdaStreamPath), true, "/response-streaming-invocations"
	}
	rest, ok = strings.CutSuffix(rest, call)
	if !ok || rest == "" || strings.Contains(rest, "/") {
		return "", streaming, false
	}
	parts := strings.Split(rest, ":")
	for i, p := range parts {
		if p == "function" && i > 0 && i+1 < len(parts) { // arn:aws:lambda:REGION:ACCOUNT:function:NAME, ACCOUNT:function:NAME
			return parts[i+1], streaming, true
		}
	}
	return parts[0], streaming, true
}

// exceeds tells whether a result is larger than it may be: its body, if it is an HTTP answer, else
// all of it.
func exceeds(payload json.RawMessage, limit int64) bool {
	if int64(len(payload)) <= limit {
		return false
	}
	var answer struct{ Body *string }
	if json.Unmarshal(payload, &answer) == nil && answer.Body != nil {
		return int64(len(*answer.Body)) > limit
	}
	return true
}

func lambdaInvocation(w http.ResponseWriter, r *http.Request, name, id string, limits weir.Limits) (weir.Invocation, error) {
	inv := weir.Invocation{ID: id, Function: name}
	body, err := readBody(w, r, limits.Request, name)
	if err != nil {
		return inv, err
	}
	if len(body) == 0 {
		body = []byte("{}")
	}
	if !json.Valid(body) {
		return inv, &weir.Error{Code: weir.Invalid, Message: "the event is not JSON"}
	}
	inv.Event = body
	if c := r.Header.Get("X-Amz-Client-Context"); c != "" {
		raw, err := base64.StdEncoding.DecodeString(c)
		if err != nil || len(c) > maxClientContext || !json.Valid(raw) {
			return inv, &weir.Error{Code: weir.Invalid, Message: "X-Amz-Client-Context is not base64 of at most 3583 bytes of JSON"}
		}
		inv.ClientContext = raw
	}
	return inv, nil
}

// runtimeError words what became of an invocation as AWS does.
func runtimeError(err error, id string, start time.Time) *weir.FunctionError {
	message, remedy := messageOf(err)
	if remedy != "" {
		message += " (" + remedy + ")"
	}
	e := &weir.FunctionError{Type: "Runtime.ExitError", Message: fmt.Sprintf("RequestId: %s Error: %s", id, message), Trace: []string{}}
	switch weir.ErrorCode(err) {
	case weir.TimedOut:
		e.Type = "Sandbox.Timedout"
		e.Message = fmt.Sprintf("%s %s Task timed out after %.2f seconds", start.UTC().Format("2006-01-02T15:04:05.000Z"), id, time.Since(start).Seconds())
	case weir.TooLarge:
		e.Type = "Function.ResponseSizeTooLarge"
	case weir.Broken:
		e.Type, e.Message = "Runtime.ImportModuleError", message
		var thrown *weir.FunctionError
		if errors.As(err, &thrown) {
			return thrown
		}
	}
	return e
}

func functionError(w http.ResponseWriter, e *weir.FunctionError) {
	w.Header().Set("X-Amz-Function-Error", "Unhandled")
	writeJSON(w, http.StatusOK, e)
}

// lambdaRefused tells whether no function has run, for a reason that is an error of the call itself.
func lambdaRefused(err error) bool {
	switch weir.ErrorCode(err) {
	case weir.NotFound, weir.Busy, weir.Unavailable:
		return true
	}
	return false
}

// lambdaFail answers with an error of the call itself.
func (g *gateway) lambdaFail(w http.ResponseWriter, id, name string, err error) {
	message, remedy := messageOf(err)
	if remedy != "" {
		message += " (" + remedy + ")"
	}
	mayRetry(w, err)
	status, kind := http.StatusInternalServerError, "ServiceException"
	switch weir.ErrorCode(err) {
	case weir.Busy:
		status, kind = http.StatusTooManyRequests, "TooManyRequestsException"
	case weir.Unavailable:
		status = http.StatusServiceUnavailable
	case weir.NotFound:
		status, kind = http.StatusNotFound, "ResourceNotFoundException"
	case weir.TooLarge:
		status, kind = http.StatusRequestEntityTooLarge, "RequestTooLargeException"
	case weir.TooSlow:
		status, kind = http.StatusRequestTimeout, "RequestTimeoutException"
	case weir.Invalid:
		status, kind = http.StatusBadRequest, "InvalidRequestContentException"
	}
	g.lambdaError(w, id, name, status, kind, message)
}

func (g *gateway) lambdaError(w http.ResponseWriter, id, name string, status int, kind, message string) {
	g.logRefusal(status, name, id, errors.New(message))
	w.Header().Set("X-Amzn-Errortype", kind)
	writeJSON(w, status, map[string]string{"Type": "User", "Message": message})
}
