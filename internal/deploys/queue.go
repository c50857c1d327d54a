package deploys

// Which deploy is driven next. A site has one at a time, and the one that was served longest ago goes first: so a site
// whose deploys take long, or that has many, delays itself.

import "sync"

// queue holds the deploys that are to be driven. It is safe for concurrent use.
type queue struct {
	come chan struct{} // has one in it when there may be something to take

	mu      sync.Mutex
	turn    int
	waiting map[string][]active // by site, in the order in which they came
	running map[string]bool     // by site
	served  map[string]int      // the last turn of each site that has something here
}

func newQueue() *queue {
	return &queue{come: make(chan struct{}, 1), waiting: map[string][]active{}, running: map[string]bool{}, served: map[string]int{}}
}

// put adds a deploy, unless it waits already.
func (q *queue) put(a active) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, w := range q.waiting[a.site] {
		if w.id == a.id {
			q.waiting[a.site][i].found = w.found && a.found
			return
		}
	}
	if _, known := q.served[a.site]; !known {
		q.turn++
		q.served[a.site] = q.turn
	}
	q.waiting[a.site] = append(q.waiting[a.site], a)
	q.call()
}

// take gives the next deploy, if there is one; then done must be called with it.
func (q *queue) take() (a active, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	next := ""
	for site, all := range q.waiting {
		if len(all) > 0 && !q.running[site] && (next == "" || q.served[site] < q.served[next]) {
			next = site
		}
	}
	if next == "" {
		return active{}, false
	}
	a = q.waiting[next][0]
	q.waiting[next] = q.waiting[next][1:]
	q.running[next] = true
	q.turn++
	q.served[next] = q.turn
	q.call() // there may be more for another worker
	return a, true
}

func (q *queue) done(a active) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.running, a.site)
	if len(q.waiting[a.site]) == 0 {
		delete(q.waiting, a.site)
		delete(q.served, a.site)
	}
	q.call()
}

func (q *queue) call() {
	select {
	case q.come <- struct{}{}:
	default:
	}
}
