package diff

// The result for people: on a terminal, and as a comment on a pull request.

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// verdict sums a result up in one line.
func (r Result) verdict() string {
	if len(r.Changes) == 0 {
		return "no privilege is gained or lost"
	}
	return fmt.Sprintf("%s gained, %d lost", plural(r.Gains(), "privilege"), r.Losses())
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Text writes the result for a terminal.
func (r Result) Text(w io.Writer) error {
	var b strings.Builder
	function := ""
	for _, c := range r.Changes {
		if c.Function != function {
			function = c.Function
			b.WriteString(function + "\n")
		}
		sign := "-"
		if c.Gained {
			sign = "+"
		}
		fmt.Fprintf(&b, "  %s %s %s", sign, c.Kind, c.What)
		if c.Place != "" {
			fmt.Fprintf(&b, "  (%s)", c.Place)
		}
		b.WriteString("\n")
		for _, line := range c.notes() {
			b.WriteString("      " + line + "\n")
		}
	}
	r.functions(func(text string) { b.WriteString(text + "\n") })
	b.WriteString(r.verdict() + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// notes gives what is to be added to a change, a line each.
func (c Change) notes() []string {
	var out []string
	if c.Why != "" {
		out = append(out, c.Why)
	}
	if c.Example != "" && c.Example != c.What {
		out = append(out, "for example "+c.Example)
	}
	return out
}

func (r Result) functions(tell func(string)) {
	if len(r.Added) > 0 {
		tell("new: " + strings.Join(r.Added, ", "))
	}
	if len(r.Removed) > 0 {
		tell("gone: " + strings.Join(r.Removed, ", "))
	}
}

// JSON writes the result as one object.
func (r Result) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r.object())
}

// MarshalJSON gives the same object, for what holds a result.
func (r Result) MarshalJSON() ([]byte, error) { return json.Marshal(r.object()) }

func (r Result) object() any {
	return struct {
		Gained  int      `json:"gained"`
		Lost    int      `json:"lost"`
		Changes []Change `json:"changes"`
		Added   []string `json:"functions_added"`
		Removed []string `json:"functions_removed"`
	}{r.Gains(), r.Losses(), orEmpty(r.Changes), orEmpty(r.Added), orEmpty(r.Removed)}
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// Markdown writes the result as a comment on a pull request.
func (r Result) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "### Weir: %s\n", r.verdict())
	if len(r.Changes) > 0 {
		b.WriteString("\n| | function | privilege | where |\n|---|---|---|---|\n")
	}
	for _, c := range r.Changes {
		sign := "lost"
		if c.Gained {
			sign = "**gained**"
		}
		what := c.Kind + " " + code(c.What)
		for _, n := range c.notes() {
			if example, ok := strings.CutPrefix(n, "for example "); ok {
				n = "for example " + code(example)
			} else {
				n = escape(n)
			}
			what += "<br>" + n
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", sign, escape(c.Function), what, escape(c.Place))
	}
	r.functions(func(text string) { b.WriteString("\nFunctions " + escape(text) + "\n") })
	_, err := io.WriteString(w, b.String())
	return err
}

// code puts text of a policy's author into a cell as it is: nothing in it is markup.
func code(s string) string {
	return "<code>" + strings.ReplaceAll(escape(s), "://", "&#58;//") + "</code>" // no link to who knows where
}

var markup = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "|", "&#124;", "`", "&#96;", "*", "&#42;", "_", "&#95;",
	"[", "&#91;", "]", "&#93;", "\\", "&#92;", "~", "&#126;", "@", "&#64;", "#", "&#35;", "\n", " ", "\r", " ")

// escape makes text plain in Markdown and HTML: no link, mention or emphasis comes out of it.
func escape(s string) string { return markup.Replace(s) }
