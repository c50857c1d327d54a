package api

// What Netlify's clients say of a deploy's functions, in Weir's words.

import (
	"slices"

	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/internal/deploys"
	"github.com/weir-run/weir/internal/weir"
)

// declaration reads a declaration. Errors: weir.Invalid, for what can't be kept.
func declaration(in wire.Declaration) (deploys.Declaration, error) {
	d := deploys.Declaration{Files: in.Files, Functions: map[string]deploys.DeclaredFunction{}, Async: in.Async}
	for name, sum := range in.Functions {
		config, err := functionConfig(name, in.FunctionsConfig[name])
		if err != nil {
			return d, err
		}
		d.Functions[name] = deploys.DeclaredFunction{SHA256: sum, Config: config}
	}
	for _, s := range in.FunctionSchedules {
		f, ok := d.Functions[s.Name]
		if !ok {
			return d, &weir.Error{Code: weir.Invalid, Message: "there is a schedule for " + printable(s.Name) + ", which is no function of this deploy"}
		}
		f.Config.Schedule = s.Cron
		d.Functions[s.Name] = f
	}
	return d, nil
}

// functionConfig reads the configuration of one function. All routes of a function have the same methods and
// preferStatic, since it says them once.
func functionConfig(name string, in wire.FunctionConfig) (weir.FunctionConfig, error) {
	var out weir.FunctionConfig
	for i, r := range in.Routes {
		if i > 0 && (!slices.Equal(r.Methods, out.Methods) || r.PreferStatic != out.PreferStatic) {
			return out, &weir.Error{Code: weir.Invalid, Message: "the routes of the function " + printable(name) + " differ in their methods or in prefer_static"}
		}
		out.Paths = append(out.Paths, r.Pattern)
		out.Methods, out.PreferStatic = r.Methods, r.PreferStatic
	}
	for _, r := range in.ExcludedRoutes {
		out.ExcludedPaths = append(out.ExcludedPaths, r.Pattern)
	}
	if in.TrafficRules != nil {
		out.RateLimit = rateLimit(in.TrafficRules)
	}
	return out, nil
}

func rateLimit(in *wire.TrafficRules) *weir.RateLimit {
	c := in.Action.Config
	out := &weir.RateLimit{Window: c.RateLimit.Window, Limit: c.RateLimit.Limit, To: c.To}
	for _, k := range c.Aggregate.Keys {
		out.By = append(out.By, k.Type)
	}
	return out
}
