package wire

// Variables, in Netlify's shapes.

import "time"

// Variable is a variable of a site or of the account.
type Variable struct {
	Key       string    `json:"key"`
	Scopes    []string  `json:"scopes"`
	Values    []Value   `json:"values"`
	Secret    bool      `json:"is_secret"`
	UpdatedAt time.Time `json:"updated_at,omitzero"`
	UpdatedBy *User     `json:"updated_by,omitempty"`
}

// Value is the value of a variable in one context.
type Value struct {
	ID        string `json:"id,omitempty"`
	Value     string `json:"value"` // "" if it is secret or not for whoever asks
	Context   string `json:"context"`
	Parameter string `json:"context_parameter,omitempty"` // the branch, of context "branch"
}
