package policy

// A policy is a value: what front ends make, artifacts keep and the engine asks.

import "github.com/weir-run/weir/internal/weir"

// Mode says what becomes of a request that no rule allows.
type Mode uint8

// The modes.
const (
	Enforce Mode = iota // denied
	Monitor             // recorded and let through
)

// Policy is everything one function may do. The zero Policy allows nothing.
type Policy struct {
	Function string // the function it is for, for messages
	Source   string // what to name in messages: a file's path, or "" for a function without any policy
	Mode     Mode
	Rules    []Rule
	Addons   bool // native libraries of the bundle may be loaded
	Limits   weir.Limits
	Running  weir.Running
	// Settings says where "mode", "addons" and limits ("limits.timeout") are written; what has its default
	// is not in it.
	Settings map[string]weir.Position
	// Sections names, for a kind of rule (HTTP for WS, too), the section of weir.toml that its rules come
	// from, if that is a glob's: a rule added to a section of the function's own would replace them.
	Sections map[Kind]string
	// Intrinsic marks a policy of the Intrinsic front end: fixes are then worded as its calls.
	Intrinsic bool
}

// At gives the place of a setting (see Settings), that of all the policy if it isn't written.
func (p *Policy) At(setting string) weir.Position {
	if pos, written := p.Settings[setting]; written {
		return pos
	}
	return weir.Position{File: p.Source}
}

// Kind is the kind of a rule and of the request that it is about.
type Kind uint8

// The kinds.
const (
	HTTP  Kind = iota // an HTTP request: method and URL
	WS                // a WebSocket handshake: URL with scheme ws or wss
	TCP               // a connection to host and port
	UDP               // datagrams to host and port
	DNS               // a DNS question for other records than addresses
	Read              // reading a file
	Write             // writing a file
	Exec              // starting a program
	Env               // seeing a variable
	Addon             // loading a native library; decided by Policy.Addons
)

// Rule allows one thing. Pattern is as written (canonicalised by Compile): a method and URL
// pattern for HTTP ("POST https://api.stripe.com/v1/charges"), a URL pattern for WS, "host:port"
// for TCP and UDP, "TYPE name" for DNS, an absolute path or "DIR/**" for Read and Write, an absolute
// path for Exec, a name for Env.
type Rule struct {
	Kind    Kind
	Pattern string
	Query   []QueryParam // HTTP, WS: the only parameters allowed (see QueryParam); nil: the query is ignored
	Globs   bool         // "?" and "[...]" are glob characters (Intrinsic's patterns only)
	Budget  *Budget      // HTTP, WS: how much of it; nil: any amount
	Pos     weir.Position
}

// Budget bounds the calls that one rule allows. Decide does not count: who carries calls out counts
// by Engine.Charges, and gives OverBudget as the reason of those it then refuses.
type Budget struct {
	MaxCalls int   // calls; 0: any number
	MaxBytes int64 // bytes of the bodies of requests and responses, and of WebSockets both ways; 0: any number
	Per      Per
}

// Per is the span after which a budget is whole again.
type Per uint8

// The spans.
const (
	PerInvocation Per = iota
	PerMinute
)

// String gives the span as weir.toml names it.
func (p Per) String() string { return [...]string{"invocation", "minute"}[p] }

// QueryParam is one query parameter that a rule with a query allows, at most once. Value "*" is any
// value, and the parameter may be absent; any other value is exact, and the parameter must be there.
// Names and values are compared after decoding as a form (WHATWG URL, "+" is a space).
type QueryParam struct{ Name, Value string }

// Request is what is decided on, in canonical form: made by NewHTTP and its kin, never by
// hand from hostile text.
type Request struct {
	Kind   Kind
	Method string // HTTP
	URL    URL    // HTTP, WS
	Type   string // DNS: "TXT", "SRV" and so on
	Host   string // TCP, UDP: canonical host; DNS: canonical name
	Port   uint16 // TCP, UDP
	Path   string // Read, Write, Exec: clean absolute path; Env: the name
}

// URL is a canonical absolute URL: lower-case scheme and host, explicit port, a path in its one
// percent-encoding. What can be read two ways never becomes a URL (see NewHTTP).
type URL struct {
	Scheme string // http, https, ws or wss
	Host   string // lower-case name, IPv4, or IPv6 without brackets
	Port   uint16
	Path   string // starts with "/", percent-encoded canonically
	Query  string // as sent, without "?"
}

// Decision is the outcome for a Request. It holds indices only, so that deciding allocates nothing;
// Explain turns it into text.
type Decision struct {
	Allow   bool
	Rule    int // index in Policy.Rules of the rule that allowed, -1 if none
	Nearest int // for a denial: index of the rule that came nearest, -1 if none is near
	Reason  Reason
	Bound   int // of a denial: which bound says no, counted from 1; 0 if none does, or the engine has none
}

// Reason says why a request was denied.
type Reason uint8

// The reasons.
const (
	Allowed     Reason = iota
	NoPolicy           // the function has no policy at all
	NoRule             // nothing of this kind is allowed for this host, path or name
	OtherScheme        // the nearest rule differs in the scheme
	OtherPort          // … in the port
	OtherPath          // … in the path
	OtherMethod        // … in the method only
	OtherQuery         // … in the query only
	OtherType          // … in the type of the DNS question only
	OverBudget         // a rule allows it, but its budget is used up, or that of a Bound (never from Decide)
	OutOfBounds        // a rule, which is Nearest, allows it, but a Bound does not
)

// Service says how the egress must treat a host and port.
type Service uint8

// The services.
const (
	NoService   Service = iota // no rule: treated as HTTP so that the denial can name method and URL
	HTTPService                // named by an http or ws rule
	TCPService                 // named by a tcp rule: spliced, never parsed
)
