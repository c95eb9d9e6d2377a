// Package reader fetches the shards of one worker: one heap of due times and a fixed number of poll workers serve all of
// them, so that an idle shard costs a heap entry and not a goroutine.
//
// A Scheduler decides when a shard is read, a Poller how. What is read goes to the Poller's Sink; the package keeps no
// record once it has been delivered.
package reader

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// An Entry is one shard's place in a Scheduler.
type Entry struct {
	poll  func(context.Context) (next time.Time, ok bool)
	due   time.Time
	index int // in the heap, -1 while running or parked

	running bool
	removed bool
	again   bool          // woken while running
	at      time.Time     // when again
	idle    bool          // counted in Scheduler.idle
	ended   chan struct{} // closed when the last poll has returned after Remove
}

// A Scheduler polls entries when they are due. Its zero value is ready; Run does the work.
type Scheduler struct {
	mu      sync.Mutex
	heap    entries
	idle    int
	kick    chan struct{}
	kickSet sync.Once
}

// Workers is the number of polls that run at once. When all of them take long, one is added every 200 ms that another is
// due, and ends with its poll: calls that hang delay the other shards and never stop them.
const (
	Workers  = 16
	patience = 200 * time.Millisecond
)

// NewEntry returns an Entry that no Scheduler knows yet. A poll returns the time of the next one; with ok false the entry
// is parked until Wake.
func NewEntry(poll func(context.Context) (next time.Time, ok bool)) *Entry {
	return &Entry{poll: poll, index: -1, ended: make(chan struct{})}
}

// Wake polls e as soon as a worker is free, after a poll that is running now. The first Wake takes e in.
func (s *Scheduler) Wake(e *Entry) {
	now := time.Now()
	s.mu.Lock()
	switch {
	case e.removed:
	case e.running:
		e.again, e.at = true, now
	case e.index < 0:
		s.push(e, now)
	case now.Before(e.due):
		e.due = now
		heap.Fix(&s.heap, e.index)
	}
	s.mu.Unlock()
	s.nudge()
}

// Remove takes e out and returns a channel that is closed as soon as no poll of e runs any more.
func (s *Scheduler) Remove(e *Entry) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.removed {
		return e.ended
	}
	e.removed = true
	s.setIdle(e, false)
	if e.index >= 0 {
		heap.Remove(&s.heap, e.index)
	}
	if !e.running {
		close(e.ended)
	}
	return e.ended
}

// SetIdle tells whether e is caught up. It returns the interval at which a caught-up shard is polled: 200 ms as long as
// all of them together make at most 200 calls/s, else evenly longer, up to 5 s (L16).
func (s *Scheduler) SetIdle(e *Entry, idle bool) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !e.removed {
		s.setIdle(e, idle)
	}
	return min(max(time.Duration(s.idle)*time.Second/200, minInterval), maxIdleInterval)
}

func (s *Scheduler) setIdle(e *Entry, idle bool) {
	if e.idle == idle {
		return
	}
	e.idle = idle
	if idle {
		s.idle++
	} else {
		s.idle--
	}
}

// Run polls until ctx is done, and returns when the last poll has.
func (s *Scheduler) Run(ctx context.Context) {
	ready := make(chan *Entry)
	var workers sync.WaitGroup
	for range Workers {
		workers.Go(func() {
			for e := range ready {
				s.poll(ctx, e)
			}
		})
	}
	defer workers.Wait()
	defer close(ready)

	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		e, wait := s.take(time.Now())
		if e != nil {
			wait = patience
		}
		timer.Reset(wait)
		if e == nil {
			select {
			case <-timer.C:
			case <-s.nudged():
			case <-ctx.Done():
			}
			continue
		}
		select {
		case ready <- e:
		case <-timer.C: // calls of other shards hang, and this one must not wait for them
			workers.Go(func() { s.poll(ctx, e) })
		case <-ctx.Done():
			s.polled(e, time.Time{}, false)
		}
	}
}

func (s *Scheduler) poll(ctx context.Context, e *Entry) {
	next, ok := e.poll(ctx)
	s.polled(e, next, ok)
}

// take returns the entry that is due, or how long nothing is.
func (s *Scheduler) take(now time.Time) (*Entry, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.heap) == 0 {
		return nil, time.Hour
	}
	if wait := s.heap[0].due.Sub(now); wait > 0 {
		return nil, wait
	}
	e := heap.Pop(&s.heap).(*Entry)
	e.running = true
	return e, 0
}

func (s *Scheduler) polled(e *Entry, next time.Time, ok bool) {
	s.mu.Lock()
	e.running = false
	switch {
	case e.removed:
		close(e.ended)
	case e.again:
		e.again = false
		s.push(e, e.at)
	case ok:
		s.push(e, next)
	}
	s.mu.Unlock()
	s.nudge()
}

func (s *Scheduler) push(e *Entry, due time.Time) {
	e.due = due
	heap.Push(&s.heap, e)
}

func (s *Scheduler) nudged() chan struct{} {
	s.kickSet.Do(func() { s.kick = make(chan struct{}, 1) })
	return s.kick
}

func (s *Scheduler) nudge() {
	select {
	case s.nudged() <- struct{}{}:
	default:
	}
}

type entries []*Entry

func (h entries) Len() int           { return len(h) }
func (h entries) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h entries) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *entries) Push(x any) {
	e := x.(*Entry)
	e.index = len(*h)
	*h = append(*h, e)
}

func (h *entries) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	e.index = -1
	return e
}
