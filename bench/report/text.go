package report

// Reports for people: on a terminal and in a Markdown page.

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Text writes a table for a terminal.
func (t Table) Text(w io.Writer) error { return aligned(w, t.Title, t.grid()) }

// Text writes what came of the bounds for a terminal.
func (r Report) Text(w io.Writer) error { return aligned(w, "What Weir holds itself to", r.bounds()) }

// aligned writes rows below a title, their columns one below the other.
func aligned(w io.Writer, title string, rows [][]string) error {
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(tw, "  "+strings.Join(row, "\t"))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s\n", title)
	for line := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// Markdown writes a report as sections of a page.
func (r Report) Markdown(w io.Writer) {
	fmt.Fprintf(w, "%s\n", wrap(r.Machine))
	markdown(w, append([][]string{{"what Weir holds itself to", "is", "bound", ""}}, r.bounds()...))
	for _, t := range r.Tables {
		fmt.Fprintf(w, "\n### %s\n", t.Title)
		markdown(w, t.grid())
	}
}

func markdown(w io.Writer, rows [][]string) {
	for i, row := range rows {
		if i == 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintln(w, "|"+strings.Repeat("---|", len(row)))
		}
	}
}

// wrap breaks prose into lines that a page may have.
func wrap(text string) string {
	var b strings.Builder
	width := 0
	for _, word := range strings.Fields(text) {
		switch {
		case width == 0:
		case width+1+len(word) > 110:
			b.WriteByte('\n')
			width = 0
		default:
			b.WriteByte(' ')
			width++
		}
		b.WriteString(word)
		width += len(word)
	}
	return b.String()
}

// grid gives a table's texts, the heads of the columns first; the notes stand in a column of their own if there are any.
func (t Table) grid() [][]string {
	head := []string{""}
	for _, c := range t.Columns {
		head = append(head, c.head())
	}
	noted := false
	rows := [][]string{nil}
	for _, r := range t.Rows {
		row := []string{r.Name}
		for i := range t.Columns {
			row = append(row, t.cell(r, i))
		}
		rows = append(rows, append(row, r.Note))
		noted = noted || r.Note != ""
	}
	rows[0] = append(head, "")
	if !noted {
		for i := range rows {
			rows[i] = rows[i][:len(rows[i])-1]
		}
	}
	return rows
}

// bounds gives a row for each bound: what it is about, what was measured, the limit, the verdict.
func (r Report) bounds() [][]string {
	var rows [][]string
	for _, b := range r.Bounds {
		sign, value := "at most ", ""
		if b.AtLeast {
			sign = "at least "
		}
		if b.Value != nil {
			value = Number(*b.Value) + b.Unit
		}
		rows = append(rows, []string{b.Name, value, sign + Number(b.Limit) + b.Unit, b.Verdict()})
	}
	return rows
}

// Marks between which a page holds the last results.
const (
	begin = "<!-- results: written by make bench, not by hand -->\n"
	end   = "<!-- end of results -->\n"
)

// Insert gives a page with its results replaced. It fails if the page has no place for them.
func Insert(page, results string) (string, error) {
	before, rest, ok := strings.Cut(page, begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return "", fmt.Errorf("the page has no lines %q and %q", strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return before + begin + results + end + after, nil
}
