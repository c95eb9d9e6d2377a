package batch

import (
	"crypto/rand"
	"fmt"
	"slices"
	"time"
)

// A Lane is the retry state machine of one ordered queue of a shard (L27). It holds the slices that are not resolved
// and says after each attempt what follows; it makes no attempt itself, keeps no time and waits for nothing. A consumer
// goes round:
//
//	for s, ok := lane.Current(); ok; s, ok = lane.Current() {
//		step := lane.Settle(attempt(s))
//		// mark step.Resolved; leave on step.Stop; wait Backoff(step.Backoff) and jitter if it is above 0
//	}
//
// One slice is attempted at a time, and the next batch waits until the one before is resolved (L23). Nothing limits the
// attempts of a slice (L33). The zero value is ready to use. A Lane is not safe for concurrent use.
type Lane[T any] struct {
	NewID func() string // makes a request id per slice; nil: random UUIDs

	stack   []*Slice[T] // the last one is attempted
	stopped bool
}

// A Step is what follows an attempt.
type Step[T any] struct {
	Resolved []T  // records that are done with, in order; nil if there are none
	Backoff  int  // above 0: the wait before the next attempt is Backoff(Backoff) plus jitter
	Stop     bool // the lane has ended and resolves nothing more
}

// Push adds a batch behind everything that is there, as a new slice with a request id of its own. It takes over the
// batch. An empty batch is ignored (L22), and so is any batch after the lane stopped.
func (l *Lane[T]) Push(batch []T) {
	if len(batch) == 0 || l.stopped {
		return
	}
	newID := l.NewID
	if newID == nil {
		newID = uuid
	}
	l.stack = slices.Insert(l.stack, 0, &Slice[T]{Records: batch, RequestID: newID()})
}

// Current returns the slice to attempt. ok is false if there is none: the lane is free for the next batch, or stopped.
// The slice stays the same one until an attempt of it settles; it is for reading only.
func (l *Lane[T]) Current() (s *Slice[T], ok bool) {
	if l.stopped || len(l.stack) == 0 {
		return nil, false
	}
	return l.stack[len(l.stack)-1], true
}

// Len returns the number of slices that are not resolved, 0 after the lane stopped.
func (l *Lane[T]) Len() int { return len(l.stack) }

// Settle takes the result of an attempt of the current slice. It panics if there is no current slice.
//
//   - Succeeded resolves the slice.
//   - Failed counts the attempt; the same slice follows after the backoff of that count (L34).
//   - Throttled counts a wait; the same slice follows after the backoff of that count (C13).
//   - Interrupted leaves the slice as it is; it follows at once.
//   - Aborted stops the lane; what it holds stays unresolved (C15).
//
// Every outcome but Throttled ends a run of waits.
func (l *Lane[T]) Settle(r Result) Step[T] {
	s, ok := l.Current()
	if !ok {
		panic("batch: Settle of a lane without a slice")
	}
	if r.Outcome == Throttled {
		s.Waits++
		s.Err = r.Err
		return Step[T]{Backoff: s.Waits}
	}
	s.Waits = 0
	switch r.Outcome {
	case Succeeded:
		last := len(l.stack) - 1
		l.stack[last] = nil
		l.stack = l.stack[:last]
		return Step[T]{Resolved: s.Records}
	case Interrupted:
		return Step[T]{}
	case Aborted:
		l.stopped, l.stack = true, nil
		return Step[T]{Stop: true}
	}
	s.Attempts++
	s.Err = r.Err
	return Step[T]{Backoff: s.Attempts}
}

// Backoff returns the wait before retry n, counted from 1, without jitter: 200 ms, doubled with each retry, at most one
// minute (L34). It is 0 for n below 1.
func Backoff(n int) time.Duration {
	const base, limit, last = 200 * time.Millisecond, time.Minute, 9 // 200 ms × 2^8 is below a minute
	switch {
	case n < 1:
		return 0
	case n > last:
		return limit
	}
	return base << (n - 1)
}

// uuid returns a random UUID (version 4) in text form.
func uuid() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
