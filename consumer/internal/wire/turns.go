package wire

import (
	"cmp"
	"runtime"
	"slices"
	"sync"
)

// Turns let few long replies be decoded at a time, so that not all that come at once are in memory in part. Who has its turn
// gives it up while it waits for bytes. The one that has come furthest is next, and is over soonest; what came of the
// others waits where the network keeps it.
type turns struct {
	mu      sync.Mutex
	taken   int
	waiting []*turn
}

// A turn is that of one reply.
type turn struct {
	of   *turns // nil: it takes none
	came int    // bytes of the reply
	has  bool
	next chan struct{}
}

// atOnce is half of the processors: the others have handlers to run.
func atOnce() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// take waits for the turn of a reply of which so many bytes have come.
func (t *turn) take(came int) {
	if t == nil || t.of == nil || t.has {
		return
	}
	if t.came, t.has = came, true; !t.of.enter(t) {
		<-t.next
	}
}

// enter takes a turn, or a place among those that wait for one.
func (ts *turns) enter(t *turn) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.taken < atOnce() {
		ts.taken++
		return true
	}
	t.next = make(chan struct{})
	ts.waiting = append(ts.waiting, t)
	return false
}

// give gives the turn up, if the reply has it.
func (t *turn) give() {
	if t == nil || !t.has {
		return
	}
	t.has = false
	ts := t.of
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if len(ts.waiting) == 0 {
		ts.taken--
		return
	}
	next := slices.MaxFunc(ts.waiting, func(a, b *turn) int { return cmp.Compare(a.came, b.came) })
	ts.waiting = slices.DeleteFunc(ts.waiting, func(t *turn) bool { return t == next })
	close(next.next)
}
