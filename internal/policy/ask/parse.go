package ask

// How a question is written.

import (
	"fmt"
	"net"
	"path"
	"strconv"
	"strings"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

// forms is what a question looks like, for remedies.
const forms = `ask for "METHOD URL", "tcp HOST:PORT", "udp HOST:PORT", "dns TYPE NAME", "read PATH", "write PATH", "exec PATH", "env NAME" or "addon PATH"`

// Kinds are the words that a question about something else than a URL begins with.
var Kinds = []string{"tcp", "udp", "dns", "read", "write", "exec", "env", "addon"}

// Parse makes the request of a question: "METHOD URL", "tcp HOST:PORT", "udp HOST:PORT", "dns TYPE NAME",
// "read PATH", "write PATH", "exec PATH", "env NAME" or "addon PATH". The error is a *policy.Ambiguous if
// the request would be refused whatever the policy says, else a *weir.Error.
func Parse(question string) (policy.Request, error) {
	word, rest, ok := strings.Cut(strings.TrimSpace(question), " ")
	rest = strings.TrimSpace(rest)
	if !ok || rest == "" {
		remedy := forms
		if strings.Contains(word, "://") {
			remedy = fmt.Sprintf("write the method in front: %q", "GET "+word)
		}
		return policy.Request{}, unclear(remedy, "%q is not a question", word)
	}
	switch word {
	case "tcp", "udp":
		return endpoint(word, rest)
	case "dns":
		typ, name, ok := strings.Cut(rest, " ")
		if !ok {
			return policy.Request{}, unclear(`ask for "dns TYPE NAME", such as "dns TXT example.com"`, "%q is not a type and a name", rest)
		}
		if upper := strings.ToUpper(typ); typ != upper {
			return policy.Request{}, unclear(fmt.Sprintf("write %q", "dns "+upper+" "+strings.TrimSpace(name)), "types are written in upper case")
		}
		if !policy.IsDNSType(typ) {
			return policy.Request{}, unclear(`ask for a type such as MX, SRV or TXT, or by its number, such as "dns TYPE99 NAME"`, "%q is not a type of DNS records", typ)
		}
		return policy.NewDNS(typ, strings.TrimSpace(name))
	case "read", "write", "exec", "addon":
		return file(word, rest)
	case "env":
		if strings.ContainsAny(rest, " =") {
			return policy.Request{}, unclear("give the name alone", "%q is not the name of a variable", rest)
		}
		return policy.Request{Kind: policy.Env, Path: rest}, nil
	}
	return url(word, rest)
}

func unclear(remedy, format string, args ...any) error {
	return &weir.Error{Code: weir.Invalid, Message: fmt.Sprintf(format, args...), Remedy: remedy}
}

func url(method, text string) (policy.Request, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	lower := strings.ToLower(method)
	switch {
	case !ok && strings.Contains(method, "://"):
		return policy.Request{}, unclear("write the method in front", "%q is not a method", method)
	case !ok:
		near := policy.Suggest(lower, Kinds)
		remedy := forms
		if near != "" {
			remedy = fmt.Sprintf("did you mean %q?", near+" "+text)
		}
		return policy.Request{}, unclear(remedy, "%q is not a question: it has no URL", method+" "+text)
	case method != strings.ToUpper(method):
		return policy.Request{}, unclear(fmt.Sprintf("write %q", strings.ToUpper(method)+" "+text), "methods are exact, and written in upper case")
	}
	authority, target := rest, "/"
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, target = rest[:i], rest[i:]
		if target[0] != '/' {
			target = "/" + target
		}
	}
	// A fragment stays with the client; what is sent is what stands before it.
	target, _, _ = strings.Cut(target, "#")
	switch scheme {
	case "ws", "wss":
		if method != "GET" {
			return policy.Request{}, unclear(fmt.Sprintf("ask for %q", "GET "+text), "the method of a WebSocket is GET")
		}
		return policy.NewWS(scheme, authority, target)
	case "http", "https":
		return policy.NewHTTP(method, scheme, authority, target)
	}
	return policy.Request{}, unclear("write https://, http://, wss:// or ws://", "%q is not a scheme that a function can call", scheme)
}

func endpoint(word, text string) (policy.Request, error) {
	host, portText, err := net.SplitHostPort(text)
	port, portErr := strconv.ParseUint(portText, 10, 16)
	if err != nil || portErr != nil || port == 0 {
		return policy.Request{}, unclear(fmt.Sprintf(`ask for "%s HOST:PORT", such as "%s db.internal:5432"`, word, word), "%q is not a host and port", text)
	}
	if word == "udp" {
		return policy.NewUDP(host, uint16(port))
	}
	return policy.NewTCP(host, uint16(port))
}

// file takes paths as the function would name them; relative ones are below /var/task, where it starts.
func file(word, name string) (policy.Request, error) {
	kind := map[string]policy.Kind{"read": policy.Read, "write": policy.Write, "exec": policy.Exec, "addon": policy.Addon}[word]
	if kind == policy.Exec && !strings.Contains(name, "/") {
		return policy.NewFile(kind, name)
	}
	if !path.IsAbs(name) {
		name = path.Join("/var/task", name)
	}
	return policy.NewFile(kind, path.Clean(name))
}
