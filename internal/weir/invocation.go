package weir

import (
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"
)

// Invocation is one call of a function: an event in, the handler's own result out.
type Invocation struct {
	ID            string          // request id, unique; the handler's context.awsRequestId
	Function      string          // name of the function
	Event         json.RawMessage // the handler's first argument
	ClientContext json.RawMessage // context.clientContext, or nil
	Identity      json.RawMessage // context.identity, or nil
	// Body is the request's body where it is handed on as it arrives, instead of within Event; nil
	// otherwise. It is read until the answer is complete, Stream included, and is the caller's to close; a
	// Read may still be under way then. If it fails, but for io.EOF, the invocation is cancelled.
	Body io.Reader
}

// Form is how a function's handler is called.
type Form string

// The forms.
const (
	FormV1     Form = "v1"     // handler(event, context), as on AWS Lambda
	FormV2     Form = "v2"     // Netlify's: default export, from a Request to a Response
	FormStream Form = "stream" // awslambda.streamifyResponse: handler(event, responseStream, context)
)

// Result is what became of an invocation that reached the function. Exactly one field is set.
type Result struct {
	Payload json.RawMessage // what the handler gave; "null" when it gave nothing
	Error   *FunctionError  // what the handler threw
	Stream  *Stream         // an answer that is still being written
}

// Stream is an answer whose body comes piece by piece. Head is what a handler without streaming gives,
// but for its body: an object with statusCode, headers and multiValueHeaders, all optional.
//
// Body must be closed. Closing it before its end cancels the invocation. A Read fails with an *Error
// (TimedOut, Crashed, TooLarge) or a *FunctionError when the function ends its answer so: it is cut
// off then, and the client must see that it is.
type Stream struct {
	Head json.RawMessage
	Body io.ReadCloser
}

// Whole gives a result without Stream: a stream is read to its end and becomes what a handler without
// streaming gives, or the error that the function threw in its midst. Errors are the others of Read.
func (r Result) Whole() (Result, error) {
	if r.Stream == nil {
		return r, nil
	}
	defer r.Stream.Body.Close()
	body, err := io.ReadAll(r.Stream.Body)
	var thrown *FunctionError
	switch {
	case errors.As(err, &thrown):
		return Result{Error: thrown}, nil
	case err != nil:
		return Result{}, err
	}
	answer := map[string]any{}
	if err := json.Unmarshal(r.Stream.Head, &answer); err != nil {
		return Result{}, &Error{Code: Crashed, Message: "the head of the answer is no JSON object", Err: err}
	}
	answer["body"], answer["isBase64Encoded"] = string(body), false
	if !utf8.Valid(body) {
		answer["body"], answer["isBase64Encoded"] = body, true // encoding/json writes bytes as base64
	}
	payload, err := json.Marshal(answer)
	return Result{Payload: payload}, err
}

// FunctionError is an error that the function's own code threw, as AWS Lambda reports it
// (Lambda runtime API, "Invocation error"). Trace holds source-mapped stack lines.
type FunctionError struct {
	Type    string   `json:"errorType"`
	Message string   `json:"errorMessage"`
	Trace   []string `json:"trace"`
}

// Error gives "TYPE: MESSAGE".
func (e *FunctionError) Error() string { return e.Type + ": " + e.Message }
