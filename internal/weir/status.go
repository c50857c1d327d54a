package weir

// One table from the class of an error to an HTTP status, for all that answer by HTTP.

import "net/http"

// Status gives the HTTP status that answers with an error of this class have (RFC 9110, section 15).
func (c Code) Status() int {
	switch c {
	case Invalid:
		return http.StatusBadRequest
	case NotFound:
		return http.StatusNotFound
	case Conflict:
		return http.StatusConflict
	case Unknown:
		return http.StatusUnauthorized
	case Denied:
		return http.StatusForbidden
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case TooSlow:
		return http.StatusRequestTimeout
	case TimedOut:
		return http.StatusGatewayTimeout
	case Crashed, Broken:
		return http.StatusBadGateway
	case Busy:
		return http.StatusTooManyRequests
	case Unavailable, NoWall:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
