// Package reader fetches the shards of one worker: two heaps of due times and a bounded number of poll workers serve all of
// them, so that an idle shard costs a heap entry and not a goroutine. Shards that are caught up have a heap and 48 workers of
// their own, since their pages take no memory: so thousands of them do not delay one that has records, and are not delayed by it.
//
// A [Source] reads one shard: a [Scheduler] decides when, a [Poller] how. What is read goes to the Source's [Sink]; the package
// keeps no record once it has been delivered. What happens to a Source is told by its Teller.
//
// Shards whose calls hang delay the others little. A call without a sign of life holds one of 16 poll workers for a
// second, the first time; then another worker takes its place, and the shard has a goroutine of its own until a call of it is
// answered in time. So h shards that begin to hang at once delay a shard that is due by 1 s + h/16 s at most, once, and
// those that go on hanging delay nobody. Pages that are long in coming on a slow line hold a worker for 5 s, if they are
// 16 at most; when all workers are held up nevertheless, one is added every 200 ms, for one poll. So there are at most 82
// goroutines, one for each shard that hangs, and those added.
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
	name  string        // orders entries that are due at one instant
	every time.Duration // at which it is polled while it is caught up; 0: as the idle budget allows
	due   time.Time
	q     *queue // that it is, or was last, in
	index int    // in its heap, -1 while running or parked

	running bool
	worker  bool // on a worker's goroutine
	long    bool // on a goroutine of its own that was a worker's, for its page is long in coming
	silent  bool // running without a sign of life
	apart   bool // the last poll was silent: the next one gets a goroutine of its own
	alone   bool // every poll does
	removed bool
	again   bool          // woken while running
	at      time.Time     // when again
	idle    bool          // it is caught up, and counted
	ended   chan struct{} // closed when the last poll has returned after Remove
}

// A Scheduler polls entries when they are due. Its zero value is ready; Run does the work.
type Scheduler struct {
	mu      sync.Mutex
	busy    queue
	quiet   queue // of entries that are caught up
	budget  budget
	free    time.Time // when the next quiet entry may be polled, so that they keep apart
	long    int
	workers sync.WaitGroup // and polls apart
	once    sync.Once
}

// A queue is entries that wait for one set of workers.
type queue struct {
	entries
	kick  chan struct{}
	hired int    // workers
	hire  func() // starts one
}

// Workers is the number of polls that run at once, but for those that take long, and of those of shards that are caught up. When
// all workers are held up, a poll that has been due for the time of patience gets a goroutine of its own.
const (
	Workers  = 16
	quiet    = 48
	patience = 200 * time.Millisecond

	hangTime = time.Second     // without a sign of life, after which a poll holds up no worker
	slowTime = 5 * time.Second // for any poll: likewise, but for a few only

	slack = 2 * time.Millisecond // so much before its time a quiet entry may be polled, as timers are not more exact
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
		heap.Fix(e.q, e.index)
	}
	q := e.q
	s.mu.Unlock()
	s.nudge(q)
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
		heap.Remove(e.q, e.index)
	}
	if !e.running {
		close(e.ended)
	}
	return e.ended
}

// SetIdle tells whether e is caught up, and what of the CPU time of its call a clock has seen. It returns the interval at which
// e is polled while it is (L16), else 0.
func (s *Scheduler) SetIdle(e *Entry, idle bool, spent time.Duration) (interval time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !e.removed {
		s.setIdle(e, idle)
	}
	switch {
	case !idle:
		return 0
	case e.every > 0:
		return e.every
	}
	s.budget.spend(spent)
	return s.budget.interval()
}

func (s *Scheduler) setIdle(e *Entry, idle bool) {
	if e.idle != idle {
		e.idle = idle
		s.budget.count(e.every, idle)
	}
}

// Alone tells whether e's polls, from the next one on, get goroutines of their own: they take as long as they like.
func (s *Scheduler) Alone(e *Entry, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.alone = on
}

// Long tells that e's poll takes long: silent, for want of a sign of life, or else because its page is long in coming. The
// worker that it runs on is not counted any more, and another one takes its place. Of polls that are not silent at most 16
// are so favoured, since their pages take memory.
func (s *Scheduler) Long(e *Entry, silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !e.running {
		return
	}
	e.silent = e.silent || silent
	if !e.worker || !silent && s.long == Workers {
		return
	}
	e.worker = false
	if !silent {
		e.long = true
		s.long++
	}
	e.q.hire() // the poll that runs keeps Run waiting
}

// Run polls until ctx is done, and returns when the last poll has.
func (s *Scheduler) Run(ctx context.Context) {
	s.workers.Go(func() { s.run(ctx, &s.quiet, quiet) })
	s.run(ctx, &s.busy, Workers)
	s.workers.Wait()
}

// run polls the entries of a queue. Workers are hired when they are needed, up to most.
func (s *Scheduler) run(ctx context.Context, q *queue, most int) {
	ready := make(chan *Entry)
	defer close(ready)
	s.mu.Lock()
	q.hire = func() {
		s.workers.Go(func() {
			for e := range ready {
				if !s.poll(ctx, e) {
					return
				}
			}
		})
	}
	s.mu.Unlock()

	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		e, apart, wait := s.take(q, time.Now())
		if e == nil {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-s.nudged(q):
			case <-ctx.Done():
			}
			continue
		}
		if apart {
			s.workers.Go(func() { s.poll(ctx, e) })
			continue
		}
		select {
		case ready <- e:
			continue
		default:
		}
		if q.hired < most {
			q.hired++
			q.hire()
		}
		timer.Reset(patience)
		select {
		case ready <- e:
		case <-timer.C: // the workers are held up, and this shard must not wait for them
			s.alone(e)
			s.workers.Go(func() { s.poll(ctx, e) })
		case <-ctx.Done():
			s.polled(e, time.Time{}, false)
		}
	}
}

// poll polls e and returns whether it has run on a worker to the end.
func (s *Scheduler) poll(ctx context.Context, e *Entry) bool {
	next, ok := e.poll(ctx)
	return s.polled(e, next, ok)
}

// take returns the entry of q that is due, and whether it is polled apart, or how long nothing is due. Those that are caught
// up begin at half of their mean distance at least, so that they do not come in step and stay so.
func (s *Scheduler) take(q *queue, now time.Time) (e *Entry, apart bool, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.Len() == 0 {
		return nil, false, time.Hour
	}
	due := q.entries[0].due
	if q == &s.quiet {
		due = later(due, s.free.Add(-slack))
	}
	if wait := due.Sub(now); wait > 0 {
		return nil, false, wait
	}
	if q == &s.quiet {
		s.free = later(s.free, now).Add(s.budget.distance() / 2)
	}
	e = heap.Pop(q).(*Entry)
	apart = e.apart || e.alone
	e.running, e.worker = true, !apart
	return e, apart, 0
}

// alone takes an entry that take has returned from the workers.
func (s *Scheduler) alone(e *Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.worker = false
}

func (s *Scheduler) polled(e *Entry, next time.Time, ok bool) (worker bool) {
	s.mu.Lock()
	if e.long {
		s.long--
	}
	worker = e.worker
	e.running, e.worker, e.long, e.silent, e.apart = false, false, false, false, e.silent
	switch {
	case e.removed:
		close(e.ended)
	case e.again:
		e.again = false
		s.push(e, e.at)
	case ok:
		s.push(e, next)
	}
	q := e.q
	s.mu.Unlock()
	s.nudge(q)
	return worker
}

func (s *Scheduler) push(e *Entry, due time.Time) {
	e.due, e.q = due, &s.busy
	if e.idle {
		e.q = &s.quiet
	}
	heap.Push(e.q, e)
}

func (s *Scheduler) nudged(q *queue) chan struct{} {
	s.once.Do(func() { s.busy.kick, s.quiet.kick = make(chan struct{}, 1), make(chan struct{}, 1) })
	return q.kick
}

// nudge lets the loop of q, if there is one, look at what is due.
func (s *Scheduler) nudge(q *queue) {
	if q == nil {
		return
	}
	select {
	case s.nudged(q) <- struct{}{}:
	default:
	}
}

type entries []*Entry

func (h entries) Len() int { return len(h) }

func (h entries) Less(i, j int) bool {
	if !h[i].due.Equal(h[j].due) {
		return h[i].due.Before(h[j].due)
	}
	return h[i].name < h[j].name
}

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
