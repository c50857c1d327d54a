package wire

// Weir's own calls.

import (
	"encoding/json"
	"time"
)

// Error is how an error is told. Code, Message and Msg are what Netlify's clients show.
type Error struct {
	Code    int       `json:"code"` // HTTP status
	Message string    `json:"message"`
	Msg     string    `json:"msg"` // the same: netlify env reads it by this name
	Weir    ErrorInfo `json:"weir"`
}

// ErrorInfo is the error in Weir's own words.
type ErrorInfo struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
}

// Health says that a server runs.
type Health struct {
	Status  string `json:"status"`
	Version string `json:"version,omitempty"`
}

// Rotated says how many variables were sealed with another key before.
type Rotated struct {
	Sealed int `json:"sealed"`
}

// Review is what a reviewer has to say.
type Review struct {
	Note string `json:"note,omitempty"`
}

// Policy is the policy of a site that is set on the server: a weir.toml. "" for none.
type Policy struct {
	Text    string    `json:"text"`
	Author  string    `json:"author,omitempty"` // name of the token that set it
	Updated time.Time `json:"updated,omitzero"`
}

// Token is a token without its secret.
type Token struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Role     string    `json:"role"`            // "" of a deploy token
	Kind     string    `json:"kind"`            // "personal" or "deploy"
	Sites    []string  `json:"sites,omitempty"` // ids; none: all sites
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires,omitzero"`
	LastUsed time.Time `json:"last_used,omitzero"`
}

// NewToken asks for a token.
type NewToken struct {
	Name    string    `json:"name"`
	Role    string    `json:"role"`
	Kind    string    `json:"kind,omitempty"`
	Sites   []string  `json:"sites,omitempty"` // ids, names or domains
	Expires time.Time `json:"expires,omitzero"`
}

// CreatedToken is a new token with its secret, which is told this once.
type CreatedToken struct {
	Token
	Secret string `json:"secret"`
}

// Job is a background run.
type Job struct {
	ID       string    `json:"id"`
	Deploy   string    `json:"deploy"`
	Function string    `json:"function"`
	State    string    `json:"state"` // "waiting", "running", "dead"
	Accepted time.Time `json:"accepted"`
	Runs     int       `json:"runs"`            // that were begun
	Next     time.Time `json:"next,omitzero"`   // when the next one is
	Error    string    `json:"error,omitempty"` // how the last one ended
	Size     int       `json:"size"`            // of its event, in bytes
	Died     time.Time `json:"died,omitzero"`   // when it was given up
}

// Schedule is a function that runs by itself.
type Schedule struct {
	Function string    `json:"function"`
	Cron     string    `json:"cron"`
	Next     time.Time `json:"next,omitzero"`
	Last     time.Time `json:"last,omitzero"`
	Outcome  string    `json:"outcome,omitempty"` // of the last run
	Error    string    `json:"error,omitempty"`
}

// Outcome is how a run ended.
type Outcome struct {
	Outcome string `json:"outcome"` // "ok", or what went wrong
	Error   string `json:"error,omitempty"`
}

// LogLine is one line of a site's log: what a function printed, or what became of a call or an invocation.
type LogLine struct {
	Time     time.Time       `json:"time"`
	Deploy   string          `json:"deploy,omitempty"`
	Function string          `json:"function"`
	Request  string          `json:"request,omitempty"`
	Stream   string          `json:"stream"` // "stdout", "stderr", "denied", "invocation", "dropped"
	Text     string          `json:"text"`
	Record   json.RawMessage `json:"record,omitempty"` // of what was denied or invoked, see docs/records.md
}
