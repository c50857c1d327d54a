// Package egress is the way out of every sandbox. It takes the connections, DNS questions and
// datagrams that a sandbox captured, asks the policy about each request, carries out what is allowed as a
// request of its own, refuses the rest, and records both. In monitor mode it lets the rest through.
//
//	captured connection -> whose address? -> TLS, HTTP or raw TCP -> policy -> upstream
//	captured datagram   -> whose address? -> policy -> flow -> upstream
//
// Nothing that a function sends is passed on before it is decided, and no byte of an HTTP request
// is: it is parsed once and written anew from what was decided on. Names are answered inside, with
// addresses that mean something to one sandbox only; they are resolved when an allowed request is
// carried out. Questions for anything but addresses are asked outside if a rule names them.
//
// The package must not know what runs inside a sandbox, how it is confined or who invoked it. It
// asks the policy and nobody else. It never writes a body, a header's value or a query to a record
// or a log.
package egress
