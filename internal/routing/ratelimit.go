package routing

// How often a rule may be used: the table rate_limit of a rule in netlify.toml (docs.netlify.com, "Rate limiting").

import (
	"maps"
	"slices"

	"github.com/weir-run/weir/internal/weir"
)

// rateLimitOf reads the table. A rule whose limit can't be read is not applied: without it, it would have none.
func rateLimitOf(v any) (*weir.RateLimit, *fault) {
	const remedy = `write rate_limit = {window_limit = 100, window_size = 60, aggregate_by = ["ip"]}`
	table, ok := v.(map[string]any)
	if !ok {
		return nil, faulty(remedy, "rate_limit is no table")
	}
	limit := &weir.RateLimit{}
	for _, key := range slices.Sorted(maps.Keys(table)) {
		if !setLimit(limit, key, table[key]) {
			return nil, faulty(remedy, "rate_limit.%s can't be used as it is", key)
		}
	}
	if table["action"] == "rewrite" && limit.To == "" {
		return nil, faulty(`add to = "/busy"`, "rate_limit is to rewrite, and does not say where to")
	}
	if err := limit.Check(); err != nil {
		return nil, faulty(remedy, "%v", err)
	}
	return limit, nil
}

// setLimit takes a key of the table; false if it is none or has another type.
func setLimit(l *weir.RateLimit, key string, value any) bool {
	number, isNumber := value.(int64)
	text, isText := value.(string)
	switch key {
	case "window_limit":
		l.Limit = int(min(max(number, 0), weir.MaxRateLimit+1))
		return isNumber
	case "window_size":
		l.Window = int(min(max(number, 0), weir.MaxRateWindow+1))
		return isNumber
	case "to":
		l.To = text
		return isText
	case "action":
		return text == "rate_limit" || text == "rewrite"
	case "algorithm":
		return text == "sliding_window"
	case "aggregate_by":
		list, isList := value.([]any)
		if isText {
			list = []any{text}
		}
		for _, item := range list {
			by, _ := item.(string) // "" is refused by Check
			l.By = append(l.By, by)
		}
		return isText || isList
	}
	return false
}
