// Package lane runs the lanes of one shard: records wait for a batch, a batch is attempted until all of it has an outcome,
// and tumbling windows are closed. What an attempt is, and when one may begin, is said by its user.
package lane

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer/internal/ledger"
	"github.com/shardlane/shardlane/consumer/internal/page"
	"github.com/shardlane/shardlane/partition"
)

// Rules are what the lanes of a shard go by.
type Rules struct {
	Lanes   int
	Hash    func(key string) uint64 // nil: partition.Hash
	Limits  batch.Limits            // of a batch; Bytes as Sizer counts them, 0: no limit
	Sizer   func() func(batch.Record) int
	Policy  batch.Policy              // but for Retention
	Backoff func(n int) time.Duration // before the n-th retry
	NewID   func() string             // of a request
	Now     func() time.Time          // by the service's clock
	Kept    func() time.Duration      // the stream's retention; 0: unknown
	Windows Windows                   // of tumbling windows
}

// Windows says when a tumbling window ends for want of records.
type Windows struct {
	Length time.Duration // 0: there are none
	// Over tells whether an open window that ends at end is over for want of records: the shard is caught up, and was read
	// so long behind the end. Else it may be so after wait.
	Over func(end time.Time) (over bool, wait time.Duration)
	// Early tells whether a window that ends at end is closed before its time once everything has been read.
	Early func(end time.Time) bool
}

// A Gate says when an attempt may begin. Enter waits; it returns the context of the attempt, or ok false if the shard has
// stopped. Leave follows each Enter that was ok, when the attempt is over.
type Gate interface {
	Enter() (ctx context.Context, ok bool)
	Leave()
	Stopped() <-chan struct{} // closed when nothing more may begin
}

// A Caller makes attempts.
type Caller interface {
	Attempt(ctx context.Context, a Attempt) batch.Result
	// GiveUp is called before records that are given up have their outcome. It returns false if that was cut off: nothing is
	// resolved then, and the records come again.
	GiveUp(lane int, d *batch.Discard[page.Item]) bool
	// Idle tells that a lane has nothing to do: nothing of it fails any more.
	Idle(lane int)
	// Lost tells of records that left the stream while they waited.
	Lost(items []page.Item)
}

// An Attempt is one try of a slice.
type Attempt struct {
	Lane      int
	Slice     *batch.Slice[page.Item]
	Window    *batch.Window // in window mode
	Oversized bool          // a record whose event is above the limit of bytes: the handler is not called (L32)
	Endless   bool          // there is no limit: it is tried until it succeeds
}

// A Set is the lanes of one shard.
type Set struct {
	rules    Rules
	gate     Gate
	call     Caller
	books    *ledger.Ledger
	resolved func(freed int64) // after every outcome
	lanes    *partition.Lanes[page.Item]
	lane     []lane
	flush    atomic.Bool // waiting batches are ready, whatever their window
	cut      atomic.Bool // since the stop, an attempt or a delivery ended by the end of its context
}

// New returns idle lanes. resolved is called when records have had their outcome in the books, with what they freed.
func New(r Rules, g Gate, c Caller, books *ledger.Ledger, resolved func(freed int64)) *Set {
	s := &Set{rules: r, gate: g, call: c, books: books, resolved: resolved, lane: make([]lane, r.Lanes)}
	s.lanes = partition.NewLanes(r.Lanes, page.Item.Key, s.serve)
	s.lanes.Backlog = -1 // the read-ahead is the bound
	s.lanes.Hash = r.Hash
	return s
}

// Submit hands records to their lanes, in order. It fails once Drain was called.
func (s *Set) Submit(items []page.Item) error {
	if err := s.lanes.Submit(context.Background(), items...); err != nil {
		return fmt.Errorf("lanes: %w", err)
	}
	return nil
}

// Flush makes every waiting batch ready, whatever its window, until Gather (C3).
func (s *Set) Flush() {
	if s.rules.Limits.Window > 0 && !s.flush.Swap(true) {
		s.wake()
	}
}

// Gather lets batches wait for more again.
func (s *Set) Gather() { s.flush.Store(false) }

// End says that nothing more will be submitted: waiting batches are ready, and open windows end with the shard (L52).
func (s *Set) End() {
	s.Flush()
	if s.rules.Windows.Length > 0 {
		s.wake()
	}
}

func (s *Set) wake() {
	for i := range s.lane {
		s.lanes.Wake(i)
	}
}

// Drain waits until every lane has stopped, which the gate makes them do soon. Where a row of limit bytes has no room for
// what is done above the checkpoint then, lanes go on with batches that wait, as far as late, which takes the gate's place,
// lets them: see rest. interrupted is true if an attempt, a delivery, or the wait for that room was cut off.
func (s *Set) Drain(late Gate, limit int) (interrupted bool) {
	_ = s.lanes.Drain(context.Background()) // lanes return no error
	for i := range s.lane {
		if t := s.lane[i].timer; t != nil {
			t.Stop()
		}
	}
	s.gate = late
	s.rest(limit)
	return s.cut.Load()
}

// resolve gives items their outcome.
func (s *Set) resolve(items []page.Item) {
	if len(items) > 0 {
		s.resolved(s.books.Done(items))
	}
}

func (s *Set) stopped() bool {
	select {
	case <-s.gate.Stopped():
		return true
	default:
		return false
	}
}
