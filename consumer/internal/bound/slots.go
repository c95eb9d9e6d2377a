package bound

import "sync"

// Slots bound how many attempts run at once (C13). Those that wait get a slot in the order in which they came; while others
// wait, no key holds more than half of the slots, rounded up. Nil Slots have no limit.
type Slots[K comparable] struct {
	n int

	mu    sync.Mutex
	taken int
	of    map[K]int // taken, by key
	queue []*ticket[K]
}

type ticket[K comparable] struct {
	key     K
	granted chan struct{}
}

// NewSlots returns n slots; nil, and so no limit, if n is less than one.
func NewSlots[K comparable](n int) *Slots[K] {
	if n < 1 {
		return nil
	}
	return &Slots[K]{n: n, of: map[K]int{}}
}

// Enter waits for a slot for k. It returns false, without one, if stop is closed first.
func (s *Slots[K]) Enter(k K, stop <-chan struct{}) bool {
	if s == nil {
		return true
	}
	t := &ticket[K]{k, make(chan struct{})}
	s.mu.Lock()
	s.queue = append(s.queue, t)
	granted := s.grant()
	s.mu.Unlock()
	tell(granted)
	select {
	case <-t.granted:
		return true
	case <-stop:
	}
	s.mu.Lock()
	for i, q := range s.queue {
		if q == t {
			s.queue = append(s.queue[:i:i], s.queue[i+1:]...) // no slot is free, or it would not have waited
			s.mu.Unlock()
			return false
		}
	}
	s.mu.Unlock()
	s.Leave(k) // it was granted meanwhile
	return false
}

// Take takes a slot for k at once, one more than there are perhaps: for what has been in one before, and leaves it soon.
func (s *Slots[K]) Take(k K) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken++
	s.of[k]++
}

// Leave gives a slot of k back.
func (s *Slots[K]) Leave(k K) {
	if s == nil {
		return
	}
	s.mu.Lock()
	s.taken--
	if s.of[k]--; s.of[k] == 0 {
		delete(s.of, k)
	}
	granted := s.grant()
	s.mu.Unlock()
	tell(granted)
}

// grant takes from the queue what may go. The caller holds mu, and tells them without it.
func (s *Slots[K]) grant() (granted []*ticket[K]) {
	for s.taken < s.n && len(s.queue) > 0 {
		next := 0
		for i, t := range s.queue {
			if s.of[t.key] < (s.n+1)/2 {
				next = i
				break
			}
		}
		t := s.queue[next]
		s.queue = append(s.queue[:next:next], s.queue[next+1:]...)
		s.taken++
		s.of[t.key]++
		granted = append(granted, t)
	}
	return granted
}

func tell[K comparable](granted []*ticket[K]) {
	for _, t := range granted {
		close(t.granted)
	}
}
