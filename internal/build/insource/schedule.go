package insource

// When a function runs by itself, and how often it may be called. Functions v2 say so in their config. One of the
// first form is made by schedule() of @netlify/functions, whose first argument says when
// (@netlify/zip-it-and-ship-it, src/runtimes/node/in_source_config/index.ts).

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/dop251/goja/ast"

	"github.com/weir-run/weir/internal/cron"
	"github.com/weir-run/weir/internal/weir"
)

const scheduleHelper = "schedule"

// imported finds the name by which a printed source has the helper.
var imported = []*regexp.Regexp{
	regexp.MustCompile(`(?m)^import \{[^}]*\bschedule(?: as ([\w$]+))?[ ,][^}]*\} from "@netlify/functions";`),
	regexp.MustCompile(`(?m)^(?:const|let|var) \{[^}]*\bschedule(?:: ([\w$]+))?[ ,][^}]*\} = require\("@netlify/functions"\)`),
}

// takeSchedule reads the schedule of a function v2.
func (c *Config) takeSchedule(texts func(string) ([]text, error)) error {
	given, err := texts("schedule")
	if err != nil || len(given) == 0 {
		return err
	}
	if len(given) > 1 {
		return invalid(given[1].at, "config.schedule has several texts").with("write one schedule, such as */5 * * * *")
	}
	c.Schedule, err = scheduleAt(given[0])
	return err
}

func scheduleAt(given text) (string, error) {
	if _, err := cron.Parse(given.value); err != nil {
		return "", invalid(given.at, "%.80q is no schedule: %v", given.value, err).
			with("write five fields of cron in UTC, such as */5 * * * *, or @hourly, @daily, @weekly, @monthly, @yearly")
	}
	return given.value, nil
}

// takeScheduled reads the schedule of a handler of the first form.
func (c *Config) takeScheduled(r *reader) error {
	helper := ""
	for _, by := range imported {
		if f := by.FindStringSubmatch(r.code); f != nil {
			if helper = f[1]; helper == "" {
				helper = scheduleHelper
			}
		}
	}
	call, ok := r.resolve(r.value(r.exports["handler"]), 0).(*ast.CallExpression)
	if !ok || !calls(call.Callee, helper) {
		if helper != "" {
			c.Warnings = append(c.Warnings, fmt.Sprintf("%s: nothing calls the function by a schedule: "+
				"it imports schedule of @netlify/functions, but its export handler isn't seen to be made by it", r.file))
		}
		return nil
	}
	if len(call.ArgumentList) == 0 {
		return invalid(r.pos(call), "schedule is called without a schedule").with(`write schedule("@hourly", handler)`)
	}
	value, err := r.text(call.ArgumentList[0], "the schedule", 0)
	if err != nil {
		return err
	}
	c.Schedule, err = scheduleAt(text{value, r.pos(call.ArgumentList[0])})
	return err
}

// calls tells whether a callee is the helper: by its name here, or as a member of the package, which is what
// bundlers make of it: (0, import_functions.schedule)(…).
func calls(callee ast.Expression, helper string) bool {
	if s, ok := callee.(*ast.SequenceExpression); ok && len(s.Sequence) > 0 {
		callee = s.Sequence[len(s.Sequence)-1]
	}
	switch c := callee.(type) {
	case *ast.Identifier:
		return helper != "" && c.Name.String() == helper
	case *ast.DotExpression:
		return c.Identifier.Name.String() == scheduleHelper
	}
	return false
}

// rateLimit reads the member of that name, nil if there is none.
func (r *reader) rateLimit(config *object) (*weir.RateLimit, error) {
	const name = "rateLimit"
	e, ok := config.members[name]
	if !ok || isUndefined(r.resolve(e, 0)) {
		return nil, nil
	}
	o, err := r.object(e, "config."+name, 0)
	if err != nil {
		return nil, err
	}
	limit := &weir.RateLimit{}
	if limit.Window, err = r.whole(o, "windowSize"); err != nil {
		return nil, err
	}
	if limit.Limit, err = r.whole(o, "windowLimit"); err != nil {
		return nil, err
	}
	by, err := r.texts(o, "aggregateBy")
	if err != nil {
		return nil, err
	}
	limit.By = values(by)
	action, err := r.texts(o, "action")
	if err != nil {
		return nil, err
	}
	to, err := r.texts(o, "to")
	if err != nil {
		return nil, err
	}
	if limit.To = first(to); first(action) == "rewrite" && limit.To == "" {
		return nil, invalid(r.pos(e), "config.rateLimit is to rewrite, and does not say where to").with(`add to: "/busy"`)
	}
	if !slices.Contains([]string{"", "rate_limit", "rewrite"}, first(action)) {
		return nil, invalid(action[0].at, "config.rateLimit: %.40q is no action", first(action)).with("expected rate_limit or rewrite")
	}
	if err := limit.Check(); err != nil {
		return nil, invalid(r.pos(e), "config.rateLimit: %v", err).with("write rateLimit: { windowSize: 60, windowLimit: 100, aggregateBy: [\"ip\"] }")
	}
	return limit, nil
}

func first(texts []text) string {
	if len(texts) == 0 {
		return ""
	}
	return texts[0].value
}
