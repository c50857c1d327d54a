package report

// A chart of ratios as SVG 1.1: bars, one group below the other. It is small enough to need no library, and holds
// neither scripts nor links, so that any page may show it.

import (
	"fmt"
	"html"
	"io"
	"math"
)

// Measures of the chart in pixels.
const (
	chartWidth = 760
	labelWidth = 250
	barHeight  = 16
	barStep    = 22
	groupSpace = 40
	barWidth   = chartWidth - labelWidth - 120 // of the longest bar; room for its text is left
)

// Group is one part of a chart.
type Group struct {
	Title string
	Bars  []Bar
}

// Bar is one bar of a group.
type Bar struct {
	Name  string
	Value float64
	Text  string // stands behind the bar
	Ours  bool   // drawn in another colour
}

// Group gives a column of a table as bars: those rows in which it was measured. ours says which are Weir's.
func (t Table) Group(column string, ours func(row string) bool) Group {
	g := Group{Title: t.Title + ": " + column}
	for _, r := range t.Rows {
		values := t.Values(r.Name, column)
		if len(values) == 0 {
			continue
		}
		unit := ""
		for _, c := range t.Columns {
			if c.Name == column {
				unit = c.Unit
			}
		}
		m := Median(values)
		g.Bars = append(g.Bars, Bar{Name: r.Name, Value: m, Text: Number(m) + " " + unit, Ours: ours(r.Name)})
	}
	return g
}

// SVG draws groups of bars; each group has a scale of its own, from 0 to its largest value.
func SVG(w io.Writer, groups []Group) error {
	height := 10
	for _, g := range groups {
		height += groupSpace + barStep*len(g.Bars)
	}
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n",
		chartWidth, height, chartWidth, height)
	fmt.Fprintf(w, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", chartWidth, height)
	y := 0
	for _, g := range groups {
		y += groupSpace
		fmt.Fprintf(w, `<text x="10" y="%d" font-weight="bold">%s</text>`+"\n", y-12, html.EscapeString(g.Title))
		most := 0.0
		for _, b := range g.Bars {
			most = max(most, b.Value)
		}
		for _, b := range g.Bars {
			b.draw(w, y, most)
			y += barStep
		}
	}
	_, err := fmt.Fprintln(w, "</svg>")
	return err
}

func (b Bar) draw(w io.Writer, y int, most float64) {
	width, colour := 1, "#9aa5b1"
	if most > 0 {
		width = max(1, int(math.Round(b.Value/most*barWidth)))
	}
	if b.Ours {
		colour = "#1b6ca8"
	}
	text := y + barHeight - 4
	fmt.Fprintf(w, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", labelWidth-8, text, html.EscapeString(b.Name))
	fmt.Fprintf(w, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`+"\n", labelWidth, y, width, barHeight, colour)
	fmt.Fprintf(w, `<text x="%d" y="%d">%s</text>`+"\n", labelWidth+width+6, text, html.EscapeString(b.Text))
}
