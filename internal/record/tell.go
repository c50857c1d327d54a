package record

// Denials for others than files: told as they come, and as bounded as records are.

// Teller gives denials to a function, the first of equal ones at once and those that follow within
// the second as one that counts them, so that whoever puts them into words is not flooded either.
type Teller struct{ agg *aggregator }

// NewTeller makes a Teller, which must be closed. tell may be called from several goroutines.
func NewTeller(tell func(Decision)) *Teller { return &Teller{newAggregator(tell)} }

// Decided takes a decision.
func (t *Teller) Decided(d Decision) {
	if d.Verdict != Allow {
		t.agg.add(d)
	}
}

// Invoked takes an invocation, of which nothing is told.
func (t *Teller) Invoked(Invocation) {}

// Close tells what is still counted.
func (t *Teller) Close() { t.agg.close() }
