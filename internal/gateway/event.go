package gateway

// From an HTTP request to a Netlify v1 event, byte for byte what Netlify's own runtime gives.

import (
	"encoding/base64"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/weir-run/weir/internal/weir"
)

// event is the first argument of a v1 handler.
type event struct {
	path, rawURL, rawQuery, method string
	headers                        map[string][]string // lower-case names
	query                          map[string][]string
	body                           string
	hasBody, base64                bool
	route                          string            // the pattern that led to the function, "" at its default URL
	params                         map[string]string // what the pattern's parameters stand for
}

// hopByHop are the headers that end at the gateway (RFC 9110, section 7.6.1).
var hopByHop = []string{"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}

// netlifyEvent is the header by which Netlify calls a function's handler of an event (of Identity, of a deploy) instead
// of the one for requests.
const netlifyEvent = "x-netlify-event"

// newEvent makes the event of a request whose body has been read. The error is a weir.Invalid.
func newEvent(r *http.Request, body []byte, id string, c client, more map[string]string) (*event, error) {
	query, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	e := &event{
		path:     r.URL.EscapedPath(),
		rawQuery: r.URL.RawQuery,
		method:   r.Method,
		headers:  headersOf(r, id, c, more),
		query:    query,
		hasBody:  len(body) > 0,
	}
	e.rawURL = c.scheme + "://" + r.Host + e.path
	if e.rawQuery != "" {
		e.rawURL += "?" + e.rawQuery
	}
	if isText(r.Header) && utf8.Valid(body) {
		e.body = string(body)
	} else {
		e.body = base64.StdEncoding.EncodeToString(body)
		e.base64 = e.hasBody
	}
	return e, nil
}

// headersOf gives the request's headers in lower case, with those that Netlify adds and without
// those that only Netlify may set.
func headersOf(r *http.Request, id string, c client, more map[string]string) map[string][]string {
	drop := hopByHop
	for _, v := range r.Header["Connection"] {
		for name := range strings.SplitSeq(v, ",") {
			drop = append(drop[:len(drop):len(drop)], strings.ToLower(strings.TrimSpace(name)))
		}
	}
	const own = 5 // headers that are set here
	out := make(map[string][]string, len(r.Header)+len(more)+own)
	values := make([]string, 0, len(more)+own)
	set := func(name, value string) {
		values = append(values, value)
		out[name] = values[len(values)-1 : len(values) : len(values)]
	}
	for name, values := range r.Header {
		name = strings.ToLower(name)
		if slices.Contains(drop, name) || strings.HasPrefix(name, "x-nf-") || name == netlifyEvent || !c.behind && ofProxies(name) {
			continue
		}
		out[name] = values
	}
	for name, value := range more {
		set(name, value)
	}
	set("host", r.Host)
	set("client-ip", c.addr)
	out["x-forwarded-for"] = append(slices.Clone(out["x-forwarded-for"]), c.peer)
	set("x-forwarded-proto", c.scheme)
	set("x-nf-client-connection-ip", c.addr)
	set("x-nf-request-id", id)
	return out
}

// ofProxies tells whether only a proxy may say what a header says: which host and scheme it was asked by, of which
// frameworks make URLs, and who asked. X-Forwarded-For is added to, as on Netlify.
func ofProxies(name string) bool {
	return strings.HasPrefix(name, "x-forwarded-") && name != "x-forwarded-for" || name == "forwarded" || name == "x-real-ip"
}

// parseQuery decodes a query string. Names keep their order of values.
func parseQuery(raw string) (map[string][]string, error) {
	out := map[string][]string{}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		n, err1 := url.QueryUnescape(name)
		v, err2 := url.QueryUnescape(value)
		if err1 != nil || err2 != nil {
			return nil, &weir.Error{Code: weir.Invalid, Message: "the query string has a broken percent escape"}
		}
		out[n] = append(out[n], v)
	}
	return out, nil
}

// isText tells whether a body is given as it is: text-like and not compressed. Everything else
// becomes base64.
func isText(h http.Header) bool {
	if enc := h.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return false
	}
	ct := h.Get("Content-Type")
	if ct == "" {
		return true
	}
	t, _, err := mime.ParseMediaType(ct)
	if err != nil {
		return false
	}
	return strings.HasPrefix(t, "text/") || strings.HasSuffix(t, "+json") || strings.HasSuffix(t, "+xml") ||
		slices.Contains([]string{"application/json", "application/xml", "application/javascript", "application/ecmascript",
			"application/x-www-form-urlencoded", "application/graphql", "application/x-ndjson", "application/ld+json"}, t)
}

// json writes the event as JSON. By hand: a general encoder takes longer than all else that the
// gateway does for a request.
func (e *event) json() []byte {
	b := make([]byte, 0, 2048+len(e.body)+len(e.body)/8)
	b = appendField(b, `{"rawUrl":`, e.rawURL)
	b = appendField(b, `,"rawQuery":`, e.rawQuery)
	b = appendField(b, `,"path":`, e.path)
	b = appendField(b, `,"httpMethod":`, e.method)
	b = appendMaps(b, `,"headers":`, `,"multiValueHeaders":`, e.headers)
	b = appendMaps(b, `,"queryStringParameters":`, `,"multiValueQueryStringParameters":`, e.query)
	if e.hasBody {
		b = appendField(b, `,"body":`, e.body)
	} else {
		b = append(b, `,"body":null`...)
	}
	b = strconv.AppendBool(append(b, `,"isBase64Encoded":`...), e.base64)
	if e.route == "" {
		return append(b, `,"route":null}`...)
	}
	b = append(appendField(b, `,"route":`, e.route), `,"pathParameters":{`...)
	for i, name := range slices.Sorted(maps.Keys(e.params)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = weir.AppendString(append(weir.AppendString(b, name), ':'), e.params[name])
	}
	return append(b, '}', '}')
}

func appendField(b []byte, key, value string) []byte {
	return weir.AppendString(append(b, key...), value)
}

// appendMaps writes values twice: joined ("1, 2"), then as lists.
func appendMaps(b []byte, single, multi string, m map[string][]string) []byte {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	b = append(append(b, single...), '{')
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(weir.AppendString(b, name), ':')
		if v := m[name]; len(v) == 1 {
			b = weir.AppendString(b, v[0])
		} else {
			b = weir.AppendString(b, strings.Join(v, ", "))
		}
	}
	b = append(append(append(b, '}'), multi...), '{')
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(weir.AppendString(b, name), ':', '[')
		for j, v := range m[name] {
			if j > 0 {
				b = append(b, ',')
			}
			b = weir.AppendString(b, v)
		}
		b = append(b, ']')
	}
	return append(b, '}')
}
