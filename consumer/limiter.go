package consumer

import "sync"

// A limiter bounds how many attempts run at once (C13). Lanes wait in the order in which they came; while lanes of other
// shards wait, no shard gets more than half of the slots, rounded up. A nil limiter has no limit.
type limiter struct {
	slots int

	mu      sync.Mutex
	running int
	of      map[*shard]int // running, by shard
	queue   []*ticket
}

type ticket struct {
	sh      *shard
	granted chan struct{}
}

func newLimiter(slots int) *limiter {
	if slots < 1 {
		return nil
	}
	return &limiter{slots: slots, of: map[*shard]int{}}
}

// enter waits for a slot. It returns false, without one, if the shard stops first.
func (g *limiter) enter(sh *shard) bool {
	if g == nil {
		return true
	}
	t := &ticket{sh, make(chan struct{})}
	g.mu.Lock()
	g.queue = append(g.queue, t)
	granted := g.grant()
	g.mu.Unlock()
	tell(granted)
	select {
	case <-t.granted:
		return true
	case <-sh.halted:
	}
	g.mu.Lock()
	for i, q := range g.queue {
		if q == t {
			g.queue = append(g.queue[:i:i], g.queue[i+1:]...)
			granted = g.grant() // one behind it may be free to go now
			g.mu.Unlock()
			tell(granted)
			return false
		}
	}
	g.mu.Unlock()
	g.leave(sh) // it was granted meanwhile
	return false
}

// leave gives the slot of a lane of sh back.
func (g *limiter) leave(sh *shard) {
	if g == nil {
		return
	}
	g.mu.Lock()
	g.running--
	if g.of[sh]--; g.of[sh] == 0 {
		delete(g.of, sh)
	}
	granted := g.grant()
	g.mu.Unlock()
	tell(granted)
}

// grant takes from the queue what may go. The caller holds mu, and tells them without it.
func (g *limiter) grant() (granted []*ticket) {
	for g.running < g.slots && len(g.queue) > 0 {
		next := 0
		for i, t := range g.queue {
			if g.of[t.sh] < (g.slots+1)/2 {
				next = i
				break
			}
		}
		t := g.queue[next]
		g.queue = append(g.queue[:next:next], g.queue[next+1:]...)
		g.running++
		g.of[t.sh]++
		granted = append(granted, t)
	}
	return granted
}

func tell(granted []*ticket) {
	for _, t := range granted {
		close(t.granted)
	}
}

// enter waits until a lane of the shard may make an attempt: for the handler, if its calls must not overlap (P1), and for
// the worker's limit. It returns false if the shard stops first.
func (sh *shard) enter() bool {
	if !sh.s.serial.enter(sh) {
		return false
	}
	if !sh.s.w.limit.enter(sh) {
		sh.s.serial.leave(sh)
		return false
	}
	return true
}

func (sh *shard) leave() {
	sh.s.w.limit.leave(sh)
	sh.s.serial.leave(sh)
}
