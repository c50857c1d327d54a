package demo

// The outcome for people: at most 60 lines of at most 100 columns.

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// Text writes the outcome for people, with colours if wanted.
func (o *Outcome) Text(w io.Writer, colours bool) error {
	p := &page{colours: colours}
	p.line("A function charges a card with the real stripe package. Its other dependency, receipt-format, was")
	p.line("hijacked in patch release 1.4.2. The same code ran twice, with the same secrets about. Stripe, the")
	p.line("thief and the cloud's metadata service were stand-ins on 127.0.0.1: nothing left this machine.")
	p.line("")
	p.row("", cell{text: "bare Node"}, cell{text: "behind Weir"})
	p.row("charge of 1.00 USD", p.charge(&o.Bare), p.charge(&o.Weir))
	for i, piece := range o.Bare.Loot {
		p.row(fmt.Sprintf("%s (%s)", piece.What, piece.From), p.loot(piece), p.loot(o.Weir.Loot[i]))
	}
	p.row("messages that reached the thief", p.messages(&o.Bare), p.messages(&o.Weir))
	p.line("")
	p.attempts(o.Weir.Attempts)
	p.others(o)
	p.line("")
	p.line("The whole policy, in weir.toml beside the function:")
	p.line("")
	for _, l := range policyLines() {
		p.line("  " + l)
	}
	p.line("")
	p.verdict(o)
	_, err := w.Write(p.Bytes())
	return err
}

// policyLines gives the policy as it stands in the site.
func policyLines() []string {
	b, err := siteFiles.ReadFile("site/weir.toml")
	if err != nil {
		panic(err) // the name is constant
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// page is the text as it grows.
type page struct {
	bytes.Buffer
	colours bool
}

const columns = 100

func (p *page) line(format string, args ...any) {
	fmt.Fprintf(p, format+"\n", args...)
}

// cell is a text with the colour that it is shown in, "" for none (ECMA-48, SGR).
type cell struct{ text, colour string }

const (
	red   = "31"
	green = "32"
)

func (p *page) row(what string, bare, walled cell) {
	p.line("%-46s%s%s%s", what, p.paint(bare), strings.Repeat(" ", max(0, 26-len(bare.text))), p.paint(walled))
}

func (p *page) paint(c cell) string {
	if p.colours && c.colour != "" {
		return "\x1b[" + c.colour + "m" + c.text + "\x1b[0m"
	}
	return c.text
}

func (p *page) charge(h *Half) cell {
	if h.Charged {
		return cell{"went through", green}
	}
	return cell{"failed", red}
}

func (p *page) loot(piece Piece) cell {
	if len(piece.Via) > 0 {
		return cell{"stolen: " + strings.Join(piece.Via, ", "), red}
	}
	return cell{"not stolen", green}
}

func (p *page) messages(h *Half) cell {
	n := 0
	for _, way := range ways {
		n += h.Reached[way]
	}
	if n > 0 {
		return cell{fmt.Sprint(n), red}
	}
	return cell{"none", green}
}

// attempts tells each one in a line. The text of attempts comes from inside the sandbox.
func (p *page) attempts(list []Attempt) {
	p.line("What the hijacked package tried behind Weir, what it got, and why:")
	p.line("")
	fix := ""
	for _, a := range list {
		if a.Denial != nil && a.Kind == "http" {
			fix = a.Denial.Fix
		}
		p.line("%s", cut(fmt.Sprintf("  %-45s%-15s%s", tried(a), a.Outcome, a.Why), columns))
	}
	if fix != "" {
		p.line("")
		p.line("Had you wanted one of these, its record says the line to add to weir.toml, for example:")
		p.line("  %s", cut(fix, columns-2))
	}
}

// tried says in words what an attempt was.
func tried(a Attempt) string {
	switch a.Kind {
	case "read":
		return "read " + a.Target
	case "exec":
		return "run " + a.Target
	case "tcp":
		return "connect to " + a.Target
	case "dns":
		return "ask DNS for " + a.Target
	}
	return a.Target
}

// others tells what Weir refused to the honest packages.
func (p *page) others(o *Outcome) {
	if o.Bare.Telemetry && !o.Weir.Telemetry {
		p.line("")
		p.line("stripe itself tries to keep a telemetry id in ~/.config: no rule lets it write there, so it is")
		p.line("refused, and the charge goes through all the same.")
	}
	for i, d := range o.Weir.Others {
		if i == 5 {
			p.line("also refused: %d more; see --json", len(o.Weir.Others)-i)
			break
		}
		p.line("%s", cut(fmt.Sprintf("also refused: %s %s %s: %s", d.Kind, d.Method, d.Target, d.Reason), columns))
	}
}

func (p *page) verdict(o *Outcome) {
	if o.CameTrue {
		p.line("The function works in both. Only behind Weir is it safe. Yours: weir dev path/to/site")
		return
	}
	p.line("%s", p.paint(cell{"This is not how it should have come out:", red}))
	for i, d := range o.Differed {
		if i == 10 {
			p.line("  and %d more; see --json", len(o.Differed)-i)
			break
		}
		p.line("  %s", cut(d, columns-2))
	}
}

// cut makes text fit for a line of a terminal: bounded, and without control characters.
func cut(s string, width int) string {
	r := []rune(strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s))
	if len(r) > width {
		return string(r[:width-3]) + "..."
	}
	return string(r)
}
