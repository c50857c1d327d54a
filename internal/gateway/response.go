package gateway

// From what a handler gave to an HTTP answer. The handler's word is hostile: nothing it gives may
// break the framing of the answer.

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/weir-run/weir/internal/weir"
)

// maxHeaders bounds the bytes of all headers of an answer.
const maxHeaders = 64 << 10

// result is what a v1 handler may give.
type result struct {
	StatusCode json.RawMessage              `json:"statusCode"`
	Headers    map[string]json.RawMessage   `json:"headers"`
	Multi      map[string][]json.RawMessage `json:"multiValueHeaders"`
	Body       json.RawMessage              `json:"body"`
	Base64     bool                         `json:"isBase64Encoded"`
}

// nonsense is the error of a result that is no answer.
func nonsense(name, format string, args ...any) error {
	return &weir.Error{Code: weir.Broken, Message: name + " answered with nonsense: " + fmt.Sprintf(format, args...),
		Remedy: "answer { statusCode, headers, body } with a body that is a string"}
}

// writeResult answers with what a handler gave. The error is a *weir.Error, and then nothing has
// been written.
func (g *gateway) writeResult(w http.ResponseWriter, r *http.Request, payload json.RawMessage, limit int64, name string) error {
	if len(payload) == 0 || payload[0] != '{' {
		return nonsense(name, "it gave %s, not an object", printable(string(payload)))
	}
	var res result
	if err := json.Unmarshal(payload, &res); err != nil {
		return nonsense(name, "a field has another type than it may have")
	}
	status, headers, err := headOf(&res, name)
	if err != nil {
		return err
	}
	body, err := bodyOf(&res, limit, name)
	if err != nil {
		return err
	}
	if status == http.StatusResetContent {
		body = nil // a client waits for none (RFC 9110, section 15.3.6)
	}
	if hasBody(status) {
		body = encodeAnswer(r, status, headers, body)
		headers.Set("Content-Length", strconv.Itoa(len(body)))
	}
	if r.Method == http.MethodHead || !hasBody(status) {
		writeHead(w, status, headers)
		return nil
	}
	if len(body) > pieceSize { // it lies in memory for as long as the client takes
		client, n := g.roomFor(r), int64(len(payload)+len(body))
		if !g.Bodies.Take(client, n) {
			return noRoom("what " + name + " answered")
		}
		defer g.Bodies.Give(client, n)
	}
	writeHead(w, status, headers)
	g.writeWhole(w, body)
	return nil
}

// headOf gives what stands before the body of an answer.
func headOf(res *result, name string) (status int, headers http.Header, err error) {
	if len(res.StatusCode) == 0 {
		return 0, nil, nonsense(name, "there is no statusCode")
	}
	status, err = strconv.Atoi(strings.Trim(string(res.StatusCode), `"`))
	if err != nil || status < 200 || status > 599 {
		return 0, nil, nonsense(name, "statusCode is %s, not a number from 200 to 599", printable(string(res.StatusCode)))
	}
	headers, err = answerHeaders(res, name)
	return status, headers, err
}

// hasBody tells whether an answer with a status may have a body (RFC 9110, sections 15.3.5 and 15.4.5).
func hasBody(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

func writeHead(w http.ResponseWriter, status int, headers http.Header) {
	maps.Copy(w.Header(), headers)
	if hasBody(status) && headers.Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	w.WriteHeader(status)
}

// lineEnds are what base64 may be broken by.
var lineEnds = strings.NewReplacer("\n", "", "\r", "")

// bodyOf gives the body as the client receives it. The limit counts it as the handler gave it, in
// base64 if it is: as Netlify does, and as the Lambda Invoke API here.
func bodyOf(res *result, limit int64, name string) ([]byte, error) {
	if len(res.Body) == 0 || bytes.Equal(res.Body, []byte("null")) {
		return nil, nil
	}
	var text string
	if err := json.Unmarshal(res.Body, &text); err != nil {
		return nil, nonsense(name, "body is not a string")
	}
	if int64(len(text)) > limit {
		return nil, &weir.Error{Code: weir.Crashed, Message: fmt.Sprintf("what %s answered is too large: %d bytes, the limit is %d", name, len(text), limit),
			Remedy: "answer less, or raise limits.response (binary bodies grow by a third when they become base64)"}
	}
	if !res.Base64 {
		return []byte(text), nil
	}
	b, err := base64.StdEncoding.DecodeString(lineEnds.Replace(text))
	if err != nil {
		return nil, nonsense(name, "isBase64Encoded is set and body is not base64")
	}
	return b, nil
}

// reservedHeaders are the answer's framing and Netlify's own.
var reservedHeaders = append([]string{"content-length", "x-nf-invocation-metadata", "x-nf-start-timestamp", "x-nf-request-id"}, hopByHop...)

func answerHeaders(res *result, name string) (http.Header, error) {
	out := http.Header{}
	size := 0
	add := func(k string, raw json.RawMessage) error {
		v, err := headerValue(raw)
		switch {
		case !httpguts.ValidHeaderFieldName(k):
			return nonsense(name, "'%s' is not the name of a header", printable(k))
		case err != nil || !httpguts.ValidHeaderFieldValue(v):
			return nonsense(name, "the value of header %s can't be sent", printable(k))
		case slices.Contains(reservedHeaders, strings.ToLower(k)):
			return nil
		}
		if size += len(k) + len(v) + 4; size > maxHeaders {
			return nonsense(name, "its headers are larger than %d bytes", maxHeaders)
		}
		out.Add(k, v)
		return nil
	}
	multi := map[string]bool{}
	for _, k := range slices.Sorted(maps.Keys(res.Multi)) {
		multi[strings.ToLower(k)] = true
		for _, raw := range res.Multi[k] {
			if err := add(k, raw); err != nil {
				return nil, err
			}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(res.Headers)) {
		if multi[strings.ToLower(k)] {
			continue // multiValueHeaders win, as on Lambda
		}
		out.Del(k) // the same name in other letters: one value, and always the same
		values := []json.RawMessage{res.Headers[k]}
		if raw := values[0]; raw[0] == '[' { // several of one name, as netlify-cli has it
			values = nil
			if err := json.Unmarshal(raw, &values); err != nil {
				return nil, err
			}
		}
		for _, raw := range values {
			if err := add(k, raw); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// headerValue gives a string, number or boolean as text.
func headerValue(raw json.RawMessage) (string, error) {
	if len(raw) > 0 && raw[0] == '"' {
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	}
	if len(raw) == 0 || raw[0] == '{' || raw[0] == '[' || bytes.Equal(raw, []byte("null")) {
		return "", fmt.Errorf("not a value")
	}
	return string(raw), nil
}
