package diff

// What is no rule, but a privilege like any other: the mode, native libraries, limits, how instances run.

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

// limits are the limits with how each is written.
var limits = []struct {
	name string
	get  func(weir.Limits) float64
	text func(float64) string
}{
	{"timeout", func(l weir.Limits) float64 { return float64(l.Timeout) }, func(n float64) string { return time.Duration(n).String() }},
	{"memory", func(l weir.Limits) float64 { return float64(l.Memory) }, size},
	{"cpu", func(l weir.Limits) float64 { return l.CPU }, func(n float64) string { return strconv.FormatFloat(n, 'g', -1, 64) }},
	{"tmp", func(l weir.Limits) float64 { return float64(l.Tmp) }, size},
	{"processes", func(l weir.Limits) float64 { return float64(l.Processes) }, count},
	{"files", func(l weir.Limits) float64 { return float64(l.Files) }, count},
	{"request", func(l weir.Limits) float64 { return float64(l.Request) }, size},
	{"response", func(l weir.Limits) float64 { return float64(l.Response) }, size},
	{"log", func(l weir.Limits) float64 { return float64(l.Log) }, size},
}

// size gives bytes in their largest whole unit, as weir.toml has them.
func size(n float64) string {
	whole, unit := int64(n), 0
	for whole != 0 && whole%1024 == 0 && unit < 3 {
		whole, unit = whole/1024, unit+1
	}
	return strconv.FormatInt(whole, 10) + []string{"B", "KB", "MB", "GB"}[unit]
}

func count(n float64) string { return strconv.Itoa(int(n)) }

// settings tells of each setting that changed whether it is a gain.
func settings(before, after *policy.Policy, tell func(gain bool, c Change)) {
	if before.Mode != after.Mode {
		monitors := after.Mode == policy.Monitor
		c := Change{Kind: "mode", What: "monitor, was enforce", Why: "nothing is denied any more", Pos: after.At("mode")}
		if !monitors {
			c = Change{Kind: "mode", What: "enforce, was monitor", Pos: before.At("mode")}
		}
		tell(monitors, c)
	}
	if before.Addons != after.Addons {
		c := Change{Kind: "addons", What: "native libraries may be loaded", Pos: after.At("addons")}
		if before.Addons {
			c.Pos = before.At("addons")
		}
		tell(after.Addons, c)
	}
	a, b := before.Limits.WithDefaults(), after.Limits.WithDefaults()
	for _, l := range limits {
		if was, is := l.get(a), l.get(b); was != is {
			c := Change{Kind: "limit", What: fmt.Sprintf("%s = %s, was %s", l.name, l.text(is), l.text(was)), Pos: after.At("limits." + l.name)}
			tell(is > was, c)
		}
	}
	running(before.Running, after.Running, func(gain bool, kind, format string, args ...any) {
		tell(gain, Change{Kind: kind, What: fmt.Sprintf(format, args...), Pos: weir.Position{File: after.Source}})
	})
}

// running tells what changed in how instances run. Who shares a process with other invocations may find
// something of theirs; who has more instances has more of the machine.
func running(before, after weir.Running, tell func(gain bool, kind, format string, args ...any)) {
	was, is := cmp.Or(before.Isolation, weir.PerInstance), cmp.Or(after.Isolation, weir.PerInstance)
	if was != is {
		tell(was == weir.PerRequest, "isolation", "isolation = %s, was %s", is, was)
	}
	if was, is := cmp.Or(before.Concurrency, 1), cmp.Or(after.Concurrency, 1); was != is {
		tell(is > was, "limit", "concurrency = %d, was %d", is, was)
	}
	if was, is := before.KeepWarm, after.KeepWarm; was != is {
		tell(is > was, "limit", "keep_warm = %d, was %d", is, was)
	}
}
