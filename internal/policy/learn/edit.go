package learn

// The proposal as text. A weir.toml that is there stays as its author wrote it: rules are put into its
// lists, remarks above its lines, and sections that it lacks at its end.

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

// maxDoubts bounds how many rules are told as comments in one list; hostile records hold many.
const maxDoubts = 50

// Edit gives the text of a weir.toml with the proposal in it: the text of the one there is, or "" for
// a new one. have is what that text allows each function; name is for positions. The error is a
// *weir.Error if the text is written in a form that can't be added to.
func (p *Proposal) Edit(name, text string, have map[string]*policy.Policy) (string, error) {
	d := &document{name: name}
	if text != "" {
		d.lines = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	}
	d.before = map[string]bool{}
	for _, l := range d.lines {
		d.before[strings.TrimSpace(l)] = true
	}
	d.remark(p.Grants, p.From, p.To)
	for i := range p.Functions {
		f := &p.Functions[i]
		if f.Intrinsic {
			d.bootstrap(f)
			continue
		}
		if err := d.function(f, have[f.Name]); err != nil {
			return "", err
		}
	}
	if text == "" {
		d.lines = append(p.head(), d.lines...)
	}
	return strings.Join(d.lines, "\n") + "\n", nil
}

func (p *Proposal) head() []string {
	s := "# Learned from " + count(p.Records, "record")
	if !p.From.IsZero() {
		s += ", " + span(p.From, p.To)
	}
	out := []string{s + "."}
	for _, f := range p.Functions {
		if slices.ContainsFunc(f.Rules, func(r Rule) bool { return !r.Live() }) {
			out = append(out, "# What is commented out deserves a second look; remove the # of a rule if you know why the function", "# needs it.")
			break
		}
	}
	return append(out, "")
}

// document is the text of weir.toml while it is edited.
type document struct {
	name   string
	lines  []string
	before map[string]bool // lines that were there, trimmed
}

// remark writes above each grant that nobody used, of those functions that the records are about, that
// it is, and takes away what was remarked before. It goes first and from the end, since positions are
// those of the text as it was.
func (d *document) remark(grants []Grant, from, to time.Time) {
	byLine := map[int][]Grant{}
	for _, g := range grants {
		if g.line >= 1 && g.line <= len(d.lines) {
			byLine[g.line] = append(byLine[g.line], g)
		}
	}
	for n := len(d.lines); n > 0; n-- {
		d.lines = slices.Insert(d.lines, n-1, remarks(d.lines[n-1], byLine[n], from, to)...)
		for i := n - 2; i >= 0 && strings.HasPrefix(strings.TrimSpace(d.lines[i]), "# "); i-- {
			if slices.ContainsFunc(byLine[n], func(g Grant) bool { return strings.HasPrefix(strings.TrimSpace(d.lines[i]), g.mark()) }) {
				d.lines = slices.Delete(d.lines, i, i+1)
				n--
			}
		}
	}
}

// mark is how a remark about a grant begins.
func (g *Grant) mark() string { return "# " + quote(g.Rule) + " unused: " }

// remarks gives one for each grant of a line that no function used.
func remarks(line string, grants []Grant, from, to time.Time) []string {
	indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	var out, done []string
	for _, g := range grants {
		if slices.Contains(done, g.Rule) {
			continue
		}
		done = append(done, g.Rule)
		var functions []string
		last := g
		for _, o := range grants {
			if o.Rule == g.Rule {
				functions = append(functions, o.Function)
				if o.LastUse.After(last.LastUse) {
					last = o
				}
			}
		}
		if last.Unused {
			out = append(out, indent+plain(g.mark()+last.idle(from, to)+", by "+strings.Join(functions, ", ")))
		}
	}
	return out
}

// bootstrap tells what a function with an Intrinsic bootstrap did beyond its policy.
func (d *document) bootstrap(f *Function) {
	if len(f.Rules) == 0 {
		return
	}
	d.gap()
	d.lines = append(d.lines, "# "+f.Name+" has a policy of its own, an Intrinsic bootstrap; beyond it, it did this:")
	for i := range f.Rules {
		r := &f.Rules[i]
		d.lines = append(d.lines, comments(strings.Join(append([]string{r.evidence()}, r.Why...), "; "), "# ", item(r))...)
	}
}

// function puts the rules of one function into its section.
func (d *document) function(f *Function, have *policy.Policy) error {
	header := "[functions." + bare(f.Name) + "]"
	for _, key := range keys {
		var rules []Rule
		for _, r := range f.Rules {
			if r.Key == key && !d.told(&r) {
				rules = append(rules, r)
			}
		}
		if len(rules) == 0 {
			continue
		}
		start := d.section(f.Name)
		if start < 0 {
			if line := d.elsewhere(f.Name); line > 0 {
				return d.cannot(f.Name, line)
			}
			d.gap()
			d.lines = append(d.lines, header)
			start = len(d.lines) - 1
		}
		if err := d.key(f.Name, start, key, rules, have); err != nil {
			return err
		}
	}
	d.notes(f)
	return nil
}

// told tells whether a comment about a rule is there from an earlier time.
func (d *document) told(r *Rule) bool {
	return !r.Live() && d.before[r.doubt()]
}

// doubt is the rule as a comment.
func (r *Rule) doubt() string {
	if r.Key == "addons" {
		return "# addons = true"
	}
	return "# " + quote(r.Text) + ","
}

// notes tells at the end of a section what no rule can say.
func (d *document) notes(f *Function) {
	start := d.section(f.Name)
	if start < 0 || f.Lost == 0 {
		return
	}
	d.lines = slices.Insert(d.lines, start+1, "# "+f.LeftOut())
}

// cannot says that a section is written, at a line from 1, in a form that can't be added to.
func (d *document) cannot(name string, line int) error {
	return &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: d.name, Line: line}, Message: "nothing can be added to the section of " + name,
		Remedy: fmt.Sprintf("write it as [functions.%s] with each key on a line of its own", bare(name))}
}

// gap separates a new section from what stands before it.
func (d *document) gap() {
	if len(d.lines) > 0 && d.lines[len(d.lines)-1] != "" {
		d.lines = append(d.lines, "")
	}
}

// section gives the index of a function's header, -1 if there is none.
func (d *document) section(name string) int {
	return slices.IndexFunc(d.lines, func(l string) bool {
		l, _, _ = strings.Cut(l, "#")
		switch strings.ReplaceAll(strings.TrimSpace(l), " ", "") {
		case "[functions." + name + "]", `[functions."` + name + `"]`, "[functions.'" + name + "']":
			return true
		}
		return false
	})
}

// elsewhere gives the line, from 1, on which the function's privileges are written without a header of its
// own, 0 if they aren't.
func (d *document) elsewhere(name string) int {
	in := ""
	for i, l := range d.lines {
		l = strings.TrimSpace(l)
		if strings.HasPrefix(l, "[") && strings.HasSuffix(l, "]") {
			in = l
		}
		key, _, assigned := strings.Cut(l, "=")
		key = strings.Trim(strings.TrimSpace(key), `"'`)
		if assigned && !strings.HasPrefix(l, "#") && (in == "[functions]" && (key == name || strings.HasPrefix(key, name+".")) ||
			in == "" && (key == "functions" || strings.HasPrefix(key, "functions."+name))) {
			return i + 1
		}
	}
	return 0
}

// key puts rules under a key of the section that begins at start.
func (d *document) key(function string, start int, key string, rules []Rule, have *policy.Policy) error {
	end := start + 1
	for end < len(d.lines) && !strings.HasPrefix(strings.TrimSpace(d.lines[end]), "[") {
		end++
	}
	for i := start + 1; i < end; i++ {
		k, value, ok := strings.Cut(d.lines[i], "=")
		if !ok || strings.Trim(strings.TrimSpace(k), `"'`) != key {
			continue
		}
		if key == "addons" {
			if rules[0].Live() {
				d.lines = slices.Replace(d.lines, i, i+1, fresh(key, rules, have)...)
			}
			return nil
		}
		return d.extend(function, i, len(d.lines[i])-len(value), rules)
	}
	for end > start+1 && strings.TrimSpace(d.lines[end-1]) == "" {
		end--
	}
	d.lines = slices.Insert(d.lines, end, fresh(key, rules, have)...)
	return nil
}

// fresh gives the lines of a key that the section doesn't have. What another section allows under
// this key counts no longer for the function, so it is said again.
func fresh(key string, rules []Rule, have *policy.Policy) []string {
	if key == "addons" {
		if r := &rules[0]; !r.Live() {
			return comments(r.remark(), "", r.doubt())
		}
		return comments(rules[0].evidence(), "", "addons = true")
	}
	out := []string{key + " = ["} // also if all its rules are comments: to accept one is to remove a "#"
	if have != nil {
		for i := range have.Rules {
			if r := &have.Rules[i]; keyOf(r.Kind) == key {
				out = append(out, "  "+inherited(r)+", # from a wider section")
			}
		}
	}
	return append(append(out, items(rules, "  ")...), "]")
}

// inherited writes a rule of a wider section again.
func inherited(r *policy.Rule) string {
	text := r.Pattern
	if r.Kind == policy.WS {
		text = "GET " + text
	}
	if r.Query == nil && r.Budget == nil {
		return quote(text)
	}
	parts := []string{"allow = " + quote(text)}
	if r.Query != nil {
		var q []string
		for _, p := range r.Query {
			q = append(q, quote(p.Name)+" = "+quote(p.Value))
		}
		parts = append(parts, "query = { "+strings.Join(q, ", ")+" }")
	}
	if b := r.Budget; b != nil {
		if b.MaxCalls > 0 {
			parts = append(parts, fmt.Sprintf("max_calls = %d", b.MaxCalls))
		}
		if b.MaxBytes > 0 {
			parts = append(parts, fmt.Sprintf(`max_bytes = "%dB"`, b.MaxBytes))
		}
		parts = append(parts, "per = "+quote(b.Per.String()))
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}

// items gives the lines of rules: evidence, then the rule; doubtful ones as comments.
func items(rules []Rule, indent string) []string {
	var out []string
	doubts := 0
	for i := range rules {
		r := &rules[i]
		if r.Live() {
			out = append(out, comments(r.evidence(), indent, quote(r.Text)+",")...)
			continue
		}
		if doubts++; doubts <= maxDoubts {
			out = append(out, comments(r.remark(), indent, r.doubt())...)
		}
	}
	if more := doubts - maxDoubts; more > 0 {
		out = append(out, fmt.Sprintf("%s# and %d more that deserve a second look; --json lists all", indent, more))
	}
	return out
}

// remark says why a second look, and the evidence.
func (r *Rule) remark() string {
	if r.Live() {
		return r.evidence()
	}
	return secondLook + strings.Join(r.Why, "; ") + " (" + r.evidence() + ")"
}

func comments(text, indent, rule string) []string {
	return []string{indent + "# " + plain(text), indent + rule}
}

// item gives a rule as it stands in weir.toml.
func item(r *Rule) string {
	if r.Key == "addons" {
		return "addons = true"
	}
	return r.Key + ": " + quote(r.Text)
}
