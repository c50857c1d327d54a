package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/weir-run/weir/bench/report"
)

// verdicts gives the verdict of each bound by its name.
func verdicts(t report.Table) map[string]string {
	out := map[string]string{}
	for _, b := range bounds([]report.Table{t}) {
		out[b.Name] = b.Verdict()
	}
	return out
}

func TestBoundsAreJudgedByWhatTheyAreAbout(t *testing.T) {
	row := func(name, note string, cells ...float64) report.Row {
		r := report.Row{Name: name, Note: note}
		if len(cells) > 0 {
			r.Add(cells...)
		}
		return r
	}
	fresh := []report.Column{{Name: medianCol}, {Name: bothCores}}
	for name, c := range map[string]struct {
		table report.Table
		want  map[string]string
	}{
		"forked": {report.Table{Title: freshTitle + ", stripe", Columns: fresh, Rows: []report.Row{
			row(apart.name, "zygote 900", 5, 200), row(bare, "", 50, 20)}},
			map[string]string{`isolation = "request", two at a time (stripe)`: "MISSED"}},
		"started anew, however fast": {report.Table{Title: coldTitle + ", stripe", Columns: fresh[:1], Rows: []report.Row{
			row(plain.name, "process 15", 5), row(forked.name, "process 900", 5), row(bare, "", 50)}},
			map[string]string{"first answer from the pool, to node (stripe)": report.NotBuilt, "first answer from a zygote, to node (stripe)": report.NotBuilt}},
		"unknown to the binary, and not measured": {report.Table{Title: coldTitle + ", heavy", Columns: fresh[:1], Rows: []report.Row{
			row(plain.name, "ended"), row(forked.name, report.NotBuilt), row(bare, "", 50)}},
			map[string]string{"first answer from the pool, to node (heavy)": "not measured", "first answer from a zygote, to node (heavy)": report.NotBuilt}},
		"a thousand functions, one more process": {report.Table{Title: fleetTitle, Columns: make([]report.Column, 3), Rows: []report.Row{
			row(fleetRow(1), "", 1, 40, 1), row(fleetRow(deployed), "", 4, 60, 2)}},
			map[string]string{"memory of a deployed function without a process": "ok", "processes of deployed functions that nobody has called": "MISSED"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := verdicts(c.table)
			if len(got) != len(c.want) {
				t.Errorf("bounds %v, want %v", got, c.want)
			}
			for bound, want := range c.want {
				if got[bound] != want {
					t.Errorf("%s is %q, want %q", bound, got[bound], want)
				}
			}
		})
	}
}

func TestStartsAreCountedFromTheRecords(t *testing.T) {
	file := filepath.Join(t.TempDir(), "records.jsonl")
	records := `{"kind":"net"}
{"kind":"invocation","start":"process"}
{"kind":"invocation","start":"pool"}
{"kind":"invocation"}
{"kind":"invocation","start":"pool"}
`
	if err := os.WriteFile(file, []byte(records), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := (&server{records: file}).starts(); got != "pool 2, process 1" {
		t.Errorf("starts are %q", got)
	}
}
