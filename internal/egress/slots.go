package egress

// This file exists because whatever a program may begin without end (requests, connections, even the
// refusals of them) has an end here: so many at once and no more.

// slots is a counting semaphore: its capacity is how many may be taken at once, its length how many
// are.
type slots chan struct{}

// tryTake takes a slot if one is free; who has taken it gives it back.
func (s slots) tryTake() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s slots) give() { <-s }
