package weir

// An invocation and its result are what gateway, dispatcher and instance hand to each other.

import "encoding/json"

// Invocation is one call of a function: an event in, the handler's own result out.
type Invocation struct {
	ID            string          // request id, unique; the handler's context.awsRequestId
	Function      string          // name of the function
	Event         json.RawMessage // the handler's first argument
	ClientContext json.RawMessage // context.clientContext, or nil
	Identity      json.RawMessage // context.identity, or nil
}

// Result is what became of an invocation that reached the function. Exactly one field is set.
type Result struct {
	Payload json.RawMessage // what the handler gave; "null" when it gave nothing
	Error   *FunctionError  // what the handler threw
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
