package batch

import (
	"crypto/rand"
	"fmt"
	"slices"
	"time"
)

// A Policy limits the attempts of a slice. The zero Policy has no limits: a failing slice is tried until it succeeds, and
// blocks its lane as long.
type Policy struct {
	Attempts  int           // most counted attempts of a slice, one more than the retries; 0: no limit
	MaxAge    time.Duration // records that old are discarded; 0: no limit
	Bisect    bool          // a failed slice of several records is halved instead of tried again
	Retention time.Duration // records that old have left the stream; 0: unknown, none has
}

// A Lane is the retry state machine of one ordered queue of a shard. It holds the slices that are not resolved
// and says before and after each attempt what follows; it makes no attempt itself, keeps no time and waits for nothing.
// A consumer goes round:
//
//	for lane.Len() > 0 {
//		step := lane.Expire(now) // before every attempt
//		// settle step as below
//		s, ok := lane.Current()
//		if !ok || step.Over || len(step.Resolved) > 0 {
//			continue
//		}
//		step = lane.Settle(attempt(s))
//		// deliver step.Discarded, report step.Lost, mark step.Resolved; leave on step.Stop;
//		// wait Backoff(step.Backoff) and jitter if it is above 0
//	}
//
// One slice is attempted at a time, and the next batch waits until the one before, with everything cut from it, is
// resolved. With a Window the Lane also keeps the state of tumbling windows; see [Lane.Close]. Fields are set
// before the first call; Policy may change between calls. A Lane is not safe for concurrent use.
type Lane[T any] struct {
	NewID   func() string     // makes a request id per slice; nil: random UUIDs
	Arrival func(T) time.Time // approximate arrival of a record, zero if it has none; needed for ages and windows
	Policy  Policy
	Window  time.Duration    // length of tumbling windows; 0: none
	Now     func() time.Time // the current time, for a window that begins with a record without arrival; nil: time.Now

	stack   []*Slice[T] // the last one is attempted
	stopped bool
	windows windows
}

// A Step is what follows an attempt, or precedes one.
type Step[T any] struct {
	Discarded *Discard[T] // for the destination, before Resolved counts; nil if nothing is given up
	Lost      []T         // gone by retention, to be reported
	Resolved  []T         // records that are done with, in order, those of Discarded and Lost included
	Backoff   int         // above 0: the wait before the next attempt is Backoff(Backoff) plus jitter
	Over      bool        // the current slice is resolved, and the next one, if there is one, is current
	Closed    bool        // the final call of a window is resolved
	Stop      bool        // the lane has ended and resolves nothing more
}

// A Discard is a run of records that is given up, and why.
type Discard[T any] struct {
	Records     []T // none in the final call of a window
	Condition   Condition
	RequestID   string
	InvokeCount int     // counted attempts, at least 1
	Outcome     Outcome // of the attempt that exhausted the limit; 0 with RecordAgeExceeded
	Err         error   // of the latest attempt; nil if there was none
	Call        *Window // in window mode: what the handler got, or would have got, beside the records
}

// Push adds a batch behind everything that is there, as a new slice with a request id of its own. It takes over the
// batch. An empty batch is ignored, and so is any batch after the lane stopped. In window mode the records have to
// belong to one window, by [Lane.SameWindow]; the final call of the window before is put in front of them.
func (l *Lane[T]) Push(batch []T) {
	if len(batch) == 0 || l.stopped {
		return
	}
	if l.Window > 0 {
		w := l.windowOf(batch[0])
		l.windows.next = time.Time{}
		if !w.Equal(l.windows.current.start) {
			l.Close(false)
			l.windows.current = span{w, w.Add(l.Window)}
		}
	}
	l.stack = slices.Insert(l.stack, 0, l.slice(batch))
}

func (l *Lane[T]) slice(records []T) *Slice[T] {
	newID := l.NewID
	if newID == nil {
		newID = uuid
	}
	return &Slice[T]{Records: records, RequestID: newID(), window: l.windows.current}
}

// Current returns the slice to attempt. ok is false if there is none: the lane is free for the next batch, or stopped.
// The slice stays the same one until it is resolved; it is for reading only.
func (l *Lane[T]) Current() (s *Slice[T], ok bool) {
	if l.stopped || len(l.stack) == 0 {
		return nil, false
	}
	return l.stack[len(l.stack)-1], true
}

// Len returns the number of slices that are not resolved, 0 after the lane stopped.
func (l *Lane[T]) Len() int { return len(l.stack) }

// Expire looks at the current slice before an attempt, the first one and any after a wait included. It takes records off
// its front: first those that have reached the maximum age, then those that have left the stream. An old record
// behind a younger one stays, one without a time of arrival has no age and never expires, and what is left
// stays the same slice. Only one of the two is taken at a time:
// while the Step is not empty and not Over, Expire is called again.
func (l *Lane[T]) Expire(now time.Time) Step[T] {
	s, ok := l.Current()
	if !ok {
		return Step[T]{}
	}
	if s.final {
		if s.tried.IsZero() {
			s.tried = now
		}
		if l.Policy.MaxAge > 0 && now.Sub(s.tried) >= l.Policy.MaxAge {
			return l.discard(s, nil, RecordAgeExceeded, Result{})
		}
		return Step[T]{}
	}
	if old := l.older(s, now, l.Policy.MaxAge); old != nil {
		return l.discard(s, old, RecordAgeExceeded, Result{})
	}
	if old := l.older(s, now, l.Policy.Retention); old != nil {
		step := l.cut(s, old)
		step.Lost = old
		return step
	}
	return Step[T]{}
}

// Due returns the time at which the current slice has a record to expire by its maximum age, and whether there is one: a
// backoff ends early then.
func (l *Lane[T]) Due() (time.Time, bool) {
	s, ok := l.Current()
	switch {
	case !ok || l.Policy.MaxAge <= 0:
		return time.Time{}, false
	case s.final:
		return s.tried.Add(l.Policy.MaxAge), !s.tried.IsZero()
	}
	at := l.Arrival(s.Records[0])
	return at.Add(l.Policy.MaxAge), !at.IsZero()
}

// older is the longest prefix of s in which every record is at least that old, nil if there is none.
func (l *Lane[T]) older(s *Slice[T], now time.Time, age time.Duration) []T {
	if age <= 0 {
		return nil
	}
	n := 0
	for n < len(s.Records) {
		if at := l.Arrival(s.Records[n]); at.IsZero() || now.Sub(at) < age {
			break
		}
		n++
	}
	if n == 0 {
		return nil
	}
	return s.Records[:n]
}

// cut resolves the first records of s, all of them perhaps.
func (l *Lane[T]) cut(s *Slice[T], first []T) Step[T] {
	step := Step[T]{Resolved: first}
	if s.Records = s.Records[len(first):]; len(s.Records) == 0 {
		l.pop()
		step.Over = true
		if s.final {
			step.Closed = true
			l.windows.close()
			if next, ok := l.Current(); ok && next.final { // an early call was the last one: nothing came in between
				l.pop()
			}
			return step
		}
	}
	l.windows.begun = l.Window > 0
	return step
}

func (l *Lane[T]) pop() {
	last := len(l.stack) - 1
	l.stack[last] = nil
	l.stack = l.stack[:last]
}

func (l *Lane[T]) discard(s *Slice[T], records []T, why Condition, r Result) Step[T] {
	d := &Discard[T]{
		Records: records, Condition: why, RequestID: s.RequestID, InvokeCount: max(1, s.Attempts), Outcome: r.Outcome, Err: s.Err,
	}
	if l.Window > 0 {
		d.Call = l.call(s)
	}
	step := l.cut(s, records)
	step.Discarded = d
	return step
}

// Settle takes the result of an attempt of the current slice. It panics if there is no current slice.
//
//   - Succeeded resolves the slice.
//   - Progressed resolves the records before the lowest one reported; the rest is a new slice with attempts and a request
//     id of its own, tried at once. A Progress that is not inside the slice counts as Rejected.
//   - Failed, Rejected and Oversized fail the slice. With Policy.Bisect and several records it is split: two new slices,
//     the first ⌊n/2⌋ records on top. Else the attempt is counted; beyond the limit the slice is discarded, before
//     that it follows again after the backoff of that count.
//   - Throttled counts a wait; the same slice follows after the backoff of that count.
//   - Interrupted leaves the slice as it is; it follows at once.
//   - Aborted stops the lane; what it holds stays unresolved.
//
// Every outcome but Throttled ends a run of waits. In window mode the state of Succeeded and Progressed is adopted, and a
// state that has reached 1 MiB is followed by a final call at once.
func (l *Lane[T]) Settle(r Result) Step[T] {
	s, ok := l.Current()
	if !ok {
		panic("batch: Settle of a lane without a slice")
	}
	if r.Outcome == Progressed && (r.Progress <= 0 || r.Progress >= len(s.Records)) {
		r.Outcome = Rejected
	}
	if r.Outcome == Throttled {
		s.Waits++
		s.Err = r.Err
		return Step[T]{Backoff: s.Waits}
	}
	s.Waits = 0
	switch r.Outcome {
	case Succeeded:
		step := l.cut(s, s.Records)
		l.adopt(s, r)
		return step
	case Progressed:
		rest := *l.slice(s.Records[r.Progress:])
		rest.window = s.window
		step := l.cut(s, s.Records[:r.Progress])
		*s = rest
		l.adopt(s, r)
		step.Over = true
		return step
	case Interrupted:
		return Step[T]{}
	case Aborted:
		l.stopped, l.stack = true, nil
		return Step[T]{Stop: true}
	}
	s.Err = r.Err
	if n := len(s.Records); l.Policy.Bisect && n > 1 {
		left, right := l.slice(s.Records[:n/2:n/2]), l.slice(s.Records[n/2:])
		left.window, right.window = s.window, s.window
		left.Err, right.Err = r.Err, r.Err
		l.pop()
		l.stack = append(l.stack, right, left)
		return Step[T]{Over: true}
	}
	s.Attempts++
	if l.Policy.Attempts > 0 && s.Attempts >= l.Policy.Attempts {
		return l.discard(s, s.Records, RetryAttemptsExhausted, r)
	}
	return Step[T]{Backoff: s.Attempts}
}

// Backoff returns the wait before retry n, counted from 1, without jitter: 200 ms, doubled with each retry, at most one
// minute. It is 0 for n below 1.
func Backoff(n int) time.Duration { return BackoffOf(n, 200*time.Millisecond, 2, time.Minute) }

// BackoffOf is [Backoff] with another base, factor and cap: min(limit, base × factor^(n-1)).
func BackoffOf(n int, base time.Duration, factor float64, limit time.Duration) time.Duration {
	if n < 1 {
		return 0
	}
	d := float64(base)
	for ; n > 1 && d < float64(limit); n-- {
		d *= factor
	}
	if d >= float64(limit) {
		return limit
	}
	return time.Duration(d)
}

// uuid returns a random UUID (version 4) in text form.
func uuid() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
