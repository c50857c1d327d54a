// Package report holds what was measured, judges it and writes it down: as text, JSON, Markdown and SVG. It must
// not know how anything is measured.
package report

// What was measured, as data: tables whose cells hold one value for each round, and the bounds that are judged by them.

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// Report is one run of the benchmarks.
type Report struct {
	Machine string  `json:"machine"` // processors, kernel, Node.js, date: in one line
	Tables  []Table `json:"tables"`
	Bounds  []Bound `json:"bounds"`
}

// Table compares its rows with one of them.
type Table struct {
	Title   string   `json:"title"`
	Base    string   `json:"base"` // the name of the row that the others are set in relation to; "": none is
	Columns []Column `json:"columns"`
	Rows    []Row    `json:"rows"`
}

// Column is one thing that was measured.
type Column struct {
	Name string `json:"name"`
	Unit string `json:"unit"` // "/s", "us", "ms", "MB", "KB" …
}

// Row is what was measured of one contender.
type Row struct {
	Name  string      `json:"name"`
	Cells [][]float64 `json:"cells"`          // by column; a value for each round, none if it was not measured
	Note  string      `json:"note,omitempty"` // why something was not measured, or what is to be known about it
}

// Bound is something that Weir holds itself to.
type Bound struct {
	Name     string   `json:"name"`
	Value    *float64 `json:"value"` // nil: it could not be measured
	Limit    float64  `json:"limit"`
	AtLeast  bool     `json:"at_least"`            // the value must be at least the limit, not at most
	Unit     string   `json:"unit"`                // "x" for a ratio
	NotBuilt bool     `json:"not_built,omitempty"` // what it is about is not in this binary
}

// NotBuilt is the note of what this binary doesn't know.
const NotBuilt = "not built"

// Verdict is "ok", "MISSED", "not built" or "not measured"; the row that it is about says why.
func (b Bound) Verdict() string {
	switch {
	case b.Value == nil && b.NotBuilt:
		return NotBuilt
	case b.Value == nil:
		return "not measured"
	case *b.Value == b.Limit, (*b.Value > b.Limit) == b.AtLeast:
		return "ok"
	}
	return "MISSED"
}

// Row gives the row of a name, nil if there is none.
func (t Table) Row(name string) *Row {
	if i := slices.IndexFunc(t.Rows, func(r Row) bool { return r.Name == name }); i >= 0 {
		return &t.Rows[i]
	}
	return nil
}

// Values gives what was measured of a row in a column; none if nothing was.
func (t Table) Values(row, column string) []float64 {
	r := t.Row(row)
	i := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == column })
	if r == nil || i < 0 || i >= len(r.Cells) {
		return nil
	}
	return r.Cells[i]
}

// Hold gives the bound of a row's ratio to another row in a column.
func (t Table) Hold(name, row, peer, column string, limit float64, atLeast bool) Bound {
	b := Bound{Name: name, Limit: limit, AtLeast: atLeast, Unit: "x"}
	ours, base := t.Values(row, column), t.Values(peer, column)
	if len(ours) > 0 && len(base) > 0 {
		v := Ratio(ours, base)
		b.Value = &v
	} else if r := t.Row(row); r != nil {
		b.NotBuilt = r.Note == NotBuilt
	}
	return b
}

// JSON writes a report as JSON.
func (r Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// cell is how a cell reads: first the ratio to the base, then the median.
func (t Table) cell(r Row, column int) string {
	if column >= len(r.Cells) || len(r.Cells[column]) == 0 {
		return ""
	}
	text := Number(Median(r.Cells[column]))
	base := t.Row(t.Base)
	if base == nil || column >= len(base.Cells) || len(base.Cells[column]) == 0 {
		return text
	}
	return fmt.Sprintf("%.2fx %s", Ratio(r.Cells[column], base.Cells[column]), text)
}

func (c Column) head() string {
	if c.Unit == "" {
		return c.Name
	}
	return c.Name + ", " + c.Unit
}

// Add adds a round to a row: a value for each column.
func (r *Row) Add(values ...float64) {
	if r.Cells == nil {
		r.Cells = make([][]float64, len(values))
	}
	for i, v := range values {
		r.Cells[i] = append(r.Cells[i], v)
	}
}

// Say adds to a row's note.
func (r *Row) Say(text string) {
	if r.Note != "" && text != "" {
		r.Note += "; "
	}
	r.Note += text
}
