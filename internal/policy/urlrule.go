// This file exists because http and ws rules are the heart of the language: a method, a URL pattern
// and perhaps a query, matched in one place.

package policy

import (
	"slices"
	"strings"
	"unicode"
)

// urlRule is a compiled http or ws rule.
type urlRule struct {
	rule    int // index in Policy.Rules
	method  string
	schemes schemes
	host    hostPattern
	port    uint16    // 0: the default of the request's scheme
	segs    []segment // nil: the path is literal
	literal string    // the path, or its part before the first wildcard
	query   []QueryParam
}

// mismatch gives Allowed if the rule allows r, else the weightiest difference. The host is known
// to match.
func (u *urlRule) mismatch(r *Request) Reason {
	port := u.port
	if port == 0 {
		port = defaultPort(r.URL.Scheme)
	}
	switch {
	case u.schemes&schemeOf(r.URL.Scheme) == 0:
		return OtherScheme
	case port != r.URL.Port:
		return OtherPort
	case u.segs == nil && u.literal != r.URL.Path, u.segs != nil && !matchPath(u.segs, r.URL.Path):
		return OtherPath
	case u.method != r.Method:
		return OtherMethod
	case u.query != nil && !matchQuery(u.query, r.URL.Query):
		return OtherQuery
	}
	return Allowed
}

// ports gives the ports that the rule names, one or two.
func (u *urlRule) ports() []uint16 {
	switch {
	case u.port != 0:
		return []uint16{u.port}
	case u.schemes == schemeOf("*"):
		return []uint16{80, 443}
	case u.schemes&(schemeOf("https")|schemeOf("wss")) != 0:
		return []uint16{443}
	}
	return []uint16{80}
}

func parseURLRule(r *Rule) (urlRule, error) {
	u := urlRule{method: "GET", query: r.Query}
	pattern := r.Pattern
	if r.Kind == HTTP {
		var err error
		if u.method, pattern, err = splitMethod(r.Pattern); err != nil {
			return u, err
		}
	}
	before := "" // what stands before the URL where the rule was written
	if r.Kind == HTTP && !r.Globs {
		before = u.method + " "
	}
	scheme, rest, err := splitScheme(pattern, before)
	if err != nil {
		return u, err
	}
	u.schemes = schemeOf(scheme)
	switch ws := scheme == "ws" || scheme == "wss"; {
	case ws && r.Kind == HTTP:
		return u, invalid("allow GET", "the method of a WebSocket is GET, not %s", u.method)
	case !ws && r.Kind == WS:
		return u, invalid("write wss:// or ws://", "%s:// is not the scheme of a WebSocket", scheme)
	}
	authority, path := rest, "/"
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	switch {
	case strings.IndexByte(rest, '#') >= 0:
		return u, invalid("remove it", "a fragment (#…) is never sent to a server")
	case strings.IndexByte(rest, '?') >= 0 && !r.Globs:
		return u, invalid(`write { allow = "METHOD URL", query = { name = "*" } } to bind the query`, "the query is not part of the URL of a rule")
	}
	if u.host, u.port, err = parseAuthority(authority, r.Globs); err != nil {
		return u, err
	}
	switch {
	case u.port == 443 && (scheme == "http" || scheme == "ws"):
		return u, invalid("write "+scheme+"s:// or another port", "port 443 is the port of %ss", scheme)
	case u.port == 80 && (scheme == "https" || scheme == "wss"):
		return u, invalid("write "+strings.TrimSuffix(scheme, "s")+":// or another port", "port 80 is the port of %s", strings.TrimSuffix(scheme, "s"))
	case len(u.query) > maxParams:
		return u, invalid("", "a query has more than %d parameters", maxParams)
	}
	if u.segs, u.literal, err = parsePath(path, r.Globs); err != nil {
		return u, err
	}
	return u, checkParams(u.query)
}

// splitMethod reads "METHOD URL".
func splitMethod(s string) (method, url string, err error) {
	fields, err := splitSpaces(s)
	switch {
	case err != nil:
		return "", "", err
	case len(fields) == 1 && strings.Contains(s, "/"):
		url = fields[0]
		if !strings.Contains(url, "://") && url[0] != '/' {
			url = likelyScheme(url) + url
		}
		return "", "", invalid("write the method in front: "+quote("GET "+url), "the method is missing")
	case len(fields) < 2:
		return "", "", invalid(`write "METHOD URL", such as "GET https://api.example.com/v1/items"`, "a rule is a method and a URL")
	case len(fields) > 2 || strings.ContainsAny(fields[0], ",|"):
		url = fields[len(fields)-1]
		if i := slices.IndexFunc(fields, func(f string) bool { return strings.Contains(f, "://") }); i >= 0 {
			url = fields[i]
		}
		return "", "", invalid("write one rule for each method, such as "+quote("GET "+url), "a rule has one method and one URL")
	}
	method, url = fields[0], fields[1]
	upper := strings.ToUpper(method)
	switch {
	case strings.Contains(method, "/") && isToken(url):
		return "", "", invalid("write "+quote(strings.ToUpper(url)+" "+method), "the method stands before the URL")
	case method == "*" || strings.EqualFold(method, "ANY") || strings.EqualFold(method, "ALL"):
		return "", "", invalid("write one rule for each method", "methods are exact: %q is none", method)
	case isMethod(strings.TrimRight(upper, ":")) && upper[len(upper)-1] == ':':
		return "", "", invalid("write "+quote(strings.TrimRight(upper, ":")+" "+url), "no colon follows a method")
	case !isMethod(upper), schemeOf(strings.ToLower(method)) != 0:
		return "", "", invalid("write GET, POST, PUT, PATCH, DELETE, HEAD or another method", "%q is not a method", method)
	case upper == "CONNECT":
		return "", "", invalid("allow the host itself, by a URL or as HOST:PORT under tcp", "CONNECT asks for a proxy and can't be allowed")
	case method != upper:
		return "", "", invalid("write "+quote(upper+" "+url), "methods are written in upper case")
	}
	if near := Suggest(method, commonMethods); near != "" && near != method && !slices.Contains(otherMethods, method) {
		return "", "", invalid("did you mean "+quote(near+" "+url)+"?", "%q is not a method", method)
	}
	return method, url, nil
}

// splitSpaces cuts a pattern at spaces and tabs. White space of other kinds, which a copied text may
// bring along, is refused: nobody sees whether it was meant to be part of a name.
func splitSpaces(s string) ([]string, error) {
	if strings.ContainsFunc(s, func(c rune) bool { return c != ' ' && c != '\t' && (unicode.IsSpace(c) || unicode.IsControl(c)) }) {
		return nil, invalid("type it anew with plain spaces", "%+q holds white space that is not a space", s)
	}
	return strings.Fields(s), nil
}

// Methods in common use, and those of the IANA registry that look like a slip of one of them.
var (
	commonMethods = []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}
	otherMethods  = []string{"ACL", "BIND", "LOCK", "PRI", "PURGE", "SEARCH", "TRACE"}
)

// likelyScheme gives the scheme, with "://", that was probably meant for a URL without one.
func likelyScheme(url string) string {
	if strings.HasPrefix(url, "localhost") || strings.HasPrefix(url, "127.0.0.1") {
		return "http://"
	}
	return "https://"
}

// isMethod is narrower than a token: letters, digits, hyphen, underscore, a letter first.
func isMethod(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !isAlnum(c) && (i == 0 || c != '-' && c != '_') {
			return false
		}
	}
	return s != "" && s[0] >= 'A'
}

// splitScheme cuts a URL at "://"; before is for the remedies.
func splitScheme(url, before string) (scheme, rest string, err error) {
	scheme, rest, ok := strings.Cut(url, "://")
	switch {
	case ok && schemeOf(scheme) != 0:
		return scheme, rest, nil
	case ok && schemeOf(strings.ToLower(scheme)) != 0:
		return "", "", invalid("write "+quote(before+strings.ToLower(scheme)+"://"+rest), "schemes are written in lower case")
	case ok && strings.ContainsAny(scheme, "*?"):
		return "", "", invalid("write "+quote(before+"*://"+rest), "%q is not a scheme; * is both http and https", scheme)
	case ok:
		return "", "", invalid("write https://, http://, wss://, ws:// or *:// (http and https)", "%q is not a scheme that a rule can have", scheme)
	}
	for _, s := range []string{"https", "http", "wss", "ws", "*"} {
		if after, ok := strings.CutPrefix(url, s); ok && after != "" && (after[0] == ':' || after[0] == '/') {
			return "", "", invalid("write "+quote(before+s+"://"+strings.TrimLeft(after, ":/")), "the URL has no ://")
		}
	}
	if strings.HasPrefix(url, "/") && !strings.HasPrefix(url, "//") {
		return "", "", invalid("write the whole URL, such as "+quote(before+"https://api.example.com"+url), "the URL has no host")
	}
	url = strings.TrimLeft(url, "/")
	return "", "", invalid("write "+quote(before+likelyScheme(url)+url), "the URL has no scheme")
}
