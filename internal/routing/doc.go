// Package routing is what a site says of its URLs: redirects, rewrites, proxies and headers, from _redirects, _headers
// and netlify.toml, and what they make of a request. It is pure: it must not know files, functions or the network.
package routing
