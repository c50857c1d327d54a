// Package policy says what a function may do: rules, the one canonical form of a request, and a
// pure decision about it. It does no I/O, knows no clock and no network; the front ends that read
// policies from files are its sub-packages, the walls that hold decisions are elsewhere.
//
// # Decisions where a request or a rule could be read in two ways
//
// Requests are refused before any rule is asked if they hold: a dot segment or an empty one, also in
// front of an encoded semicolon; a plain semicolon in the path (some servers cut off what follows
// it); an escape of a slash, backslash, dot, control character or of a character that needs none; an
// escape of an escape ("%252e"); escapes that are not the shortest UTF-8; a target that is not in
// origin form. Printable characters that RFC 3986 wants escaped in a path are escaped, since clients
// differ in whether they do it. Labels of a host that begin with "xn--" must be the one spelling of a
// name, as WHATWG URL has it (the two differ only where their versions of Unicode do). The query is forwarded as it is, and looked into only by rules that
// have one: see QueryParam.
//
// In patterns, "*" alone is at least one character of a segment (none, in Intrinsic's), "*" with other
// characters may be none, and an escape is one character. "**" at the end needs a segment, which may
// be the empty one after a slash: "/v1/**" matches "/v1/" but not "/v1". A rule for WebSockets never
// allows other requests to the same URL, nor the other way round. DIR/** is DIR and all below it, as
// the kernel holds it. Of several rules that allow a request, the first in the policy is named.
package policy
