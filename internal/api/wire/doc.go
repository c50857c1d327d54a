// Package wire holds the JSON of the control API, as the server writes it and the client reads it. The shapes of
// Netlify's calls are those that its clients read (open-api.netlify.com); it must not know what they stand for.
package wire
