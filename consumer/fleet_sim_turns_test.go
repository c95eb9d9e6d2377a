package consumer_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// simTurns let one thing happen after the other in a bubble. Whoever is about to do what others can see waits for its turn.
// When nothing moves any more, one of those that wait goes on, and does all that it can until everything waits again. Which
// one follows from the seed, from what it is about to do, and from the time. So a seed has one trace, whatever the scheduler
// of Go does.
type simTurns struct {
	seed uint64
	came chan struct{} // holds one element: somebody waits
	over chan struct{}

	mu      sync.Mutex
	waiting []simTurn
	traced  bool
	trace   []string // the turns that were given, if they are kept
}

// A simTurn is that of somebody who waits. What it does is said in words that nobody else uses at that time.
type simTurn struct {
	what  string
	order uint64
	given chan struct{}
}

func newSimTurns(seed uint64, traced bool) *simTurns {
	return &simTurns{seed: seed, came: make(chan struct{}, 1), over: make(chan struct{}), traced: traced}
}

// wait waits for the caller's turn.
func (s *simTurns) wait(what string) {
	t := simTurn{what, mixed(s.seed, what, time.Now().UnixNano()), make(chan struct{})}
	s.mu.Lock()
	s.waiting = append(s.waiting, t)
	s.mu.Unlock()
	select {
	case s.came <- struct{}{}:
	default:
	}
	<-t.given
}

// sleep lets time go by, and then waits for the caller's turn.
func (s *simTurns) sleep(d time.Duration, what string) {
	time.Sleep(d)
	s.wait(what)
}

// give gives turns until end is called. Time goes on while nobody waits for one.
func (s *simTurns) give() {
	for {
		synctest.Wait()
		if t, ok := s.next(); ok {
			close(t.given)
			continue
		}
		select {
		case <-s.came:
		case <-s.over:
			return
		}
	}
}

func (s *simTurns) end() { close(s.over) }

func (s *simTurns) next() (t simTurn, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		return t, false
	}
	first := 0
	for i, t := range s.waiting {
		if f := s.waiting[first]; t.order < f.order || t.order == f.order && t.what < f.what {
			first = i
		}
	}
	t = s.waiting[first]
	s.waiting = slices.Delete(s.waiting, first, first+1)
	if s.traced {
		s.trace = append(s.trace, fmt.Sprintf("%s %s, and %d wait", time.Now().Format("04:05.000000000"), t.what, len(s.waiting)))
	}
	return t, true
}

// mixed is a number that depends on all of its arguments.
func mixed(seed uint64, what string, at int64) uint64 {
	h := seed ^ 14695981039346656037
	for i := range len(what) {
		h = (h ^ uint64(what[i])) * 1099511628211
	}
	h ^= uint64(at)
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// TestFleetTurns holds that turns are given one at a time, in an order that the seed alone decides.
func TestFleetTurns(t *testing.T) {
	t.Parallel()
	play := func(seed uint64) (order string) {
		synctest.Test(t, func(t *testing.T) {
			turns := newSimTurns(seed, false)
			go turns.give()
			defer turns.end()
			var all sync.WaitGroup
			for i := range 8 {
				all.Go(func() {
					for n := range 4 {
						turns.sleep(time.Duration(n%2)*time.Second, fmt.Sprint(i, " does ", n))
						order += fmt.Sprint(i) // as nobody else does anything
					}
				})
			}
			all.Wait()
		})
		return order
	}
	orders := map[string]bool{}
	for seed := range uint64(50) {
		one := play(seed)
		orders[one] = true
		if again := play(seed); one != again {
			t.Errorf("seed %d: %s and then %s", seed, one, again)
		}
	}
	if len(orders) < 50 {
		t.Errorf("%d orders for 50 seeds", len(orders))
	}
}
