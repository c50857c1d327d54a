// Package api is the control API: the calls of Netlify's API that its clients make, and Weir's own beside them. It
// decides nothing: it reads requests, asks whether their author may, calls what does the work, and words the answer.
package api
