package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"strings"
	"testing"
)

func TestStatistics(t *testing.T) {
	for name, c := range map[string]struct{ got, want float64 }{
		"median of one":              {Median([]float64{3}), 3},
		"median of three, unsorted":  {Median([]float64{9, 1, 2}), 2},
		"median of four":             {Median([]float64{4, 1, 3, 2}), 2.5},
		"p99 of a hundred":           {Quantile(upTo(100), 0.99), 100},
		"p50 of a hundred":           {Quantile(upTo(100), 0.5), 51},
		"p99 of one":                 {Quantile([]float64{7}, 0.99), 7},
		"the largest":                {Quantile(upTo(10), 1), 10},
		"ratio round by round":       {Ratio([]float64{1, 30, 100}, []float64{2, 50, 300}), 0.5},
		"one slow round of one side": {Ratio([]float64{1, 1, 9}, []float64{2, 2, 2}), 0.5},
		"ratio of unequal rounds":    {Ratio([]float64{1, 1, 9}, []float64{4}), 0.25},
	} {
		if c.got != c.want {
			t.Errorf("%s is %v, want %v", name, c.got, c.want)
		}
	}
	values := []float64{3, 1, 2}
	if Median(values); values[0] != 3 {
		t.Error("Median changed the order of the rounds")
	}
}

func upTo(n int) []float64 {
	var out []float64
	for i := range n {
		out = append(out, float64(i+1))
	}
	return out
}

func TestNumbersAreReadAtAGlance(t *testing.T) {
	for v, want := range map[float64]string{0: "0.00", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 1234: "1,234", 1234567: "1,234,567"} {
		if got := Number(v); got != want {
			t.Errorf("%v reads %q, want %q", v, got, want)
		}
	}
}

func TestVerdicts(t *testing.T) {
	v := func(x float64) *float64 { return &x }
	for want, bounds := range map[string][]Bound{
		"ok":           {{Value: v(0.5), Limit: 0.6}, {Value: v(0.6), Limit: 0.6}, {Value: v(0.7), Limit: 0.6, AtLeast: true}, {Value: v(0.6), Limit: 0.6, AtLeast: true}},
		"MISSED":       {{Value: v(0.7), Limit: 0.6}, {Value: v(0.5), Limit: 0.6, AtLeast: true}},
		"not built":    {{Limit: 0.6, NotBuilt: true}},
		"not measured": {{Limit: 0.6}},
	} {
		for _, b := range bounds {
			if got := b.Verdict(); got != want {
				t.Errorf("%+v is %s, want %s", b, got, want)
			}
		}
	}
}

// example has a row that is measured, one that is not, and the base.
func example() Report {
	t := Table{Title: "warm <requests>", Base: "node", Columns: []Column{{"1 connection", "/s"}, {"p50", "us"}}, Rows: []Row{
		{Name: "weir", Cells: [][]float64{{6000, 5000, 7000}, {150, 160, 140}}},
		{Name: "node", Cells: [][]float64{{12000, 10000, 14000}, {75, 80, 70}}},
		{Name: "deno", Note: NotBuilt},
	}}
	return Report{Machine: "two cores", Tables: []Table{t}, Bounds: []Bound{
		t.Hold("warm", "weir", "node", "1 connection", 0.65, true),
		t.Hold("half", "weir", "node", "1 connection", 0.5, true),
		t.Hold("deno", "deno", "node", "p50", 2, false),
		t.Hold("none", "bun", "node", "p50", 2, false),
	}}
}

func TestText(t *testing.T) {
	r := example()
	var b bytes.Buffer
	if err := r.Tables[0].Text(&b); err != nil {
		t.Fatal(err)
	}
	if err := r.Text(&b); err != nil {
		t.Fatal(err)
	}
	want := `
warm <requests>
         1 connection, /s   p50, us
  weir   0.50x 6,000        2.00x 150
  node   1.00x 12,000       1.00x 75.0
  deno                                   not built

What Weir holds itself to
  warm   0.50x   at least 0.65x   MISSED
  half   0.50x   at least 0.50x   ok
  deno           at most 2.00x    not built
  none           at most 2.00x    not measured
`
	if got := b.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestMarkdown(t *testing.T) {
	var b bytes.Buffer
	example().Markdown(&b)
	want := `two cores

| what Weir holds itself to | is | bound |  |
|---|---|---|---|
| warm | 0.50x | at least 0.65x | MISSED |
| half | 0.50x | at least 0.50x | ok |
| deno |  | at most 2.00x | not built |
| none |  | at most 2.00x | not measured |

### warm <requests>

|  | 1 connection, /s | p50, us |  |
|---|---|---|---|
| weir | 0.50x 6,000 | 2.00x 150 |  |
| node | 1.00x 12,000 | 1.00x 75.0 |  |
| deno |  |  | not built |
`
	if got := b.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	page, err := Insert("before\n"+begin+"old\n"+end+"after\n", "new\n")
	if err != nil || page != "before\n"+begin+"new\n"+end+"after\n" {
		t.Errorf("%q, %v", page, err)
	}
	if _, err := Insert("before\n"+begin, "new"); err == nil {
		t.Error("results were put into a page without a place for them")
	}
}

func TestJSONHoldsEveryRound(t *testing.T) {
	var b bytes.Buffer
	if err := example().JSON(&b); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if got := back.Tables[0].Values("weir", "1 connection"); len(got) != 3 || got[1] != 5000 {
		t.Errorf("the rounds came back as %v", got)
	}
	if back.Bounds[2].Value != nil {
		t.Error("what was not measured came back as a value")
	}
}

func TestSVGIsWellFormedAndInProportion(t *testing.T) {
	g := example().Tables[0].Group("1 connection", func(row string) bool { return row == "weir" })
	if len(g.Bars) != 2 || !g.Bars[0].Ours || g.Bars[1].Ours {
		t.Fatalf("bars %+v", g.Bars)
	}
	var b bytes.Buffer
	if err := SVG(&b, []Group{g}); err != nil {
		t.Fatal(err)
	}
	var widths []string
	for d := xml.NewDecoder(strings.NewReader(b.String())); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
			for _, a := range e.Attr {
				if a.Name.Local == "width" {
					widths = append(widths, a.Value)
				}
			}
		}
	}
	if want := "760 195 390"; strings.Join(widths, " ") != want {
		t.Errorf("widths %v, want %s", widths, want)
	}
}
