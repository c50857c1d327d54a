package jobs

// What a scheduled function is called with: the event of an HTTP request that nobody sent, as Netlify makes it.

import (
	"encoding/json"
	"net/url"
	"time"
)

// scheduleEvent makes a v1 event. The function's body is {"next_run": TIME}, its header X-NF-Event "schedule".
func scheduleEvent(site, function, request string, next time.Time) (json.RawMessage, error) {
	u, err := url.Parse(site)
	if err != nil {
		return nil, err
	}
	path := "/.netlify/functions/" + url.PathEscape(function)
	body, err := json.Marshal(map[string]string{"next_run": next.UTC().Format("2006-01-02T15:04:05.000Z")})
	if err != nil {
		return nil, err
	}
	headers, multi := map[string]string{
		"host": u.Host, "user-agent": "Netlify Clockwork", "content-type": "application/json", "X-NF-Event": "schedule", "x-nf-request-id": request,
	}, map[string][]string{}
	for name, value := range headers {
		multi[name] = []string{value}
	}
	return json.Marshal(map[string]any{
		"rawUrl": site + path, "rawQuery": "", "path": path, "httpMethod": "POST", "headers": headers, "multiValueHeaders": multi,
		"queryStringParameters": map[string]string{}, "multiValueQueryStringParameters": map[string][]string{},
		"body": string(body), "isBase64Encoded": false,
	})
}
