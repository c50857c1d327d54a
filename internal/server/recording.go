package server

// What the functions of one deploy do is recorded with the deploy's name, and none of its values.

import (
	"github.com/weir-run/weir/internal/instance"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

// deployRecorder takes the records of one deploy. It must be closed.
type deployRecorder struct {
	redactor   *record.Redactor
	violations *violations
}

func newDeployRecorder(next record.Recorder, d weir.Deploy, log func(instance.Line)) *deployRecorder {
	v := newViolations(log)
	return &deployRecorder{record.NewRedactor(record.Multi(labelled{next, d}, v)), v}
}

// Decided passes on a decision.
func (r *deployRecorder) Decided(d record.Decision) { r.redactor.Decided(d) }

// Invoked passes on an invocation.
func (r *deployRecorder) Invoked(i record.Invocation) { r.redactor.Invoked(i) }

// clean takes the values of the deploy's variables out of a text.
func (r *deployRecorder) clean(text string) string { return r.redactor.Text(text) }

// Close tells what is still counted.
func (r *deployRecorder) Close() { r.violations.Close() }

// labelled names the site and the deploy in what it passes on.
type labelled struct {
	next   record.Recorder
	deploy weir.Deploy
}

func (l labelled) Decided(d record.Decision) {
	d.Site, d.Deploy = l.deploy.Site, l.deploy.ID
	l.next.Decided(d)
}

func (l labelled) Invoked(i record.Invocation) {
	i.Site, i.Deploy = l.deploy.Site, l.deploy.ID
	l.next.Invoked(i)
}
