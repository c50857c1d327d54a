package gateway

// From an HTTP request to a Netlify v1 event, byte for byte what Netlify's own runtime gives.

import (
	"encoding/base64"
	"encoding/json"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
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
}

// hopByHop are the headers that end at the gateway (RFC 9110, section 7.6.1).
var hopByHop = []string{"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}

// newEvent makes the event of a request whose body has been read. The error is a weir.Invalid.
func newEvent(r *http.Request, body []byte, id string) (*event, error) {
	query, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	e := &event{
		path:     r.URL.EscapedPath(),
		rawQuery: r.URL.RawQuery,
		method:   r.Method,
		headers:  headersOf(r, id),
		query:    query,
		hasBody:  len(body) > 0,
	}
	e.rawURL = "http://" + r.Host + e.path
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
func headersOf(r *http.Request, id string) map[string][]string {
	drop := append([]string(nil), hopByHop...)
	for _, v := range r.Header["Connection"] {
		for name := range strings.SplitSeq(v, ",") {
			drop = append(drop, strings.ToLower(strings.TrimSpace(name)))
		}
	}
	out := make(map[string][]string, len(r.Header)+5)
	for name, values := range r.Header {
		name = strings.ToLower(name)
		if slices.Contains(drop, name) || strings.HasPrefix(name, "x-nf-") {
			continue
		}
		out[name] = values
	}
	ip, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		ip = r.RemoteAddr
	}
	out["host"] = []string{r.Host}
	out["client-ip"] = []string{ip}
	out["x-forwarded-for"] = append(slices.Clone(out["x-forwarded-for"]), ip)
	out["x-forwarded-proto"] = []string{"http"}
	out["x-nf-client-connection-ip"] = []string{ip}
	out["x-nf-request-id"] = []string{id}
	return out
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

// json writes the event as JSON.
func (e *event) json() []byte {
	v := struct {
		RawURL     string              `json:"rawUrl"`
		RawQuery   string              `json:"rawQuery"`
		Path       string              `json:"path"`
		Method     string              `json:"httpMethod"`
		Headers    map[string]string   `json:"headers"`
		Multi      map[string][]string `json:"multiValueHeaders"`
		Query      map[string]string   `json:"queryStringParameters"`
		MultiQuery map[string][]string `json:"multiValueQueryStringParameters"`
		Body       *string             `json:"body"`
		Base64     bool                `json:"isBase64Encoded"`
		Route      *string             `json:"route"`
	}{e.rawURL, e.rawQuery, e.path, e.method, joined(e.headers), e.headers, joined(e.query), e.query, nil, e.base64, nil}
	if e.hasBody {
		v.Body = &e.body
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings can always be written
	}
	return b
}

// joined gives one string for each name: "1, 2" for two values.
func joined(m map[string][]string) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[k] = strings.Join(v, ", ")
	}
	return out
}
