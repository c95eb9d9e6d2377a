package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/kpl"
	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/lane"
	"github.com/shardlane/shardlane/consumer/internal/lease"
	"github.com/shardlane/shardlane/consumer/internal/ledger"
	"github.com/shardlane/shardlane/consumer/internal/page"
	"github.com/shardlane/shardlane/consumer/internal/reader"
	"github.com/shardlane/shardlane/consumer/internal/shardmap"
	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/metrics"
)

// A shard is one owned shard for one tenure: it wires the reader, the books, the lanes and the lease together. It is a
// value, not a goroutine: a poll worker delivers pages, a lane has a goroutine while it has records to run, and completion
// is told to the stream.
type shard struct {
	s      *stream
	id     string
	lease  *lease.Lease
	tell   *tell.Teller
	source reader.Source
	sieve  *page.Sieve
	books  *ledger.Ledger
	lanes  *lane.Set
	caller *caller

	handlers context.Context // of its handlers
	cut      context.CancelFunc
	halted   chan struct{} // closed when it must start nothing more
	halting  sync.Once
	lost     atomic.Bool             // somebody else owns it
	full     atomic.Bool             // reading waits for room of its own
	parked   atomic.Bool             // reading waits for room of any kind
	roomy    atomic.Int64            // since when it does not, in nanoseconds since the worker began
	queued   atomic.Int64            // lanes that wait for their turn
	turned   atomic.Int64            // when one had it last, likewise
	unsorted atomic.Bool             // a page waits for the function of WithSharder
	done     atomic.Bool             // complete, and the stream knows
	read     atomic.Pointer[reading] // the last successful read

	spanned, raw, outside bool // what has been told; belong to the source

	outcome atomic.Int64 // when the first outcome was, in nanoseconds since the worker began; 0: there is none
	turn    turn         // belongs to the checkpoint loop

	progressed atomic.Int64 // when the mark was last seen to have moved, or nothing to wait; Unix nanoseconds

	// Of its end, set before the books are closed.
	closed   bool // it was read to its end
	tip      bool // it came to the ending position by an empty page
	children []shardmap.Shard

	put map[string]lease.Row // of children, at the end; belongs to conclude
}

// maxSpan caps the distance between the mark and the newest record, in records.
const maxSpan = 1_000_000

// newShard makes a shard of a lease that has just been claimed. It reads nothing until its source is woken.
func newShard(s *stream, id string, l *lease.Lease, parents []kpl.HashRange) *shard {
	w, cfg, row := s.w, s.c.cfg, l.Row()
	sh := &shard{
		s: s, id: id, lease: l, tell: s.c.out.Teller(id), halted: make(chan struct{}), books: ledger.New(row.Ck), put: map[string]lease.Row{},
	}
	now := time.Now()
	sh.read.Store(&reading{at: now, asOf: now, none: true})
	sh.turn = newTurn(now, w.rnd)
	sh.progressed.Store(now.UnixNano())
	sh.handlers, sh.cut = context.WithCancel(w.handlers)
	src := s.source(id)
	sh.sieve = &page.Sieve{Source: src, Split: cfg.deaggregate, Filter: cfg.filter, Resume: resume(row.Ck), Parents: parents, Placed: s.placedAt}
	sh.sieve.Hashes, _ = kpl.ParseHashRange(row.HashStart, row.HashEnd) // a row without one bounds nothing
	sh.caller = &caller{sh: sh, cfg: cfg, handler: s.c.handler, src: src, epoch: l.Epoch(), began: make([]atomic.Int64, cfg.factor), deliveries: make([]<-chan error, cfg.factor)}
	sh.lanes = lane.New(sh.rules(), sh, sh.caller, sh.books, sh.freed)
	p := &reader.Poller{
		Client: s.c.client, Stream: s.c.stream, Shard: id, From: row.Ck, Sink: sh, Oracle: s, Tell: sh.tell,
		Kept: s.retention, Reply: s.clock.Reply, Pause: w.rnd.backoff(200*time.Millisecond, 10*time.Second),
	}
	sh.source = p.On(&w.sched)
	return sh
}

// rules are what the shard's lanes go by.
func (sh *shard) rules() lane.Rules {
	cfg, s := sh.s.c.cfg, sh.s
	r := lane.Rules{
		Lanes: cfg.factor, Hash: cfg.sharder, NewID: s.w.rnd.uuid, Now: s.now, Kept: s.retention, Sizer: s.source(sh.id).Sizer,
		Limits: batch.Limits{Records: cfg.batchSize, Window: cfg.window},
		Policy: batch.Policy{Attempts: cfg.retries + 1, MaxAge: max(0, cfg.maxAge), Bisect: cfg.bisect},
		Backoff: func(n int) time.Duration {
			return s.w.rnd.jitter(batch.BackoffOf(n, cfg.backoffBase, cfg.backoffFactor, cfg.backoffCap))
		},
		Windows: lane.Windows{Length: cfg.tumbling, Over: sh.windowOver, Early: func(end time.Time) bool {
			return sh.closed || s.end.at.Before(end) // else the ending position is behind the window
		}},
	}
	if cfg.payload > 0 {
		r.Limits.Bytes = cfg.payload - batch.EventOverhead
	}
	if cfg.unordered {
		var next uint64 // pages come one at a time
		r.Hash = func(string) uint64 { next++; return next }
	}
	return r
}

// windowOver tells whether a tumbling window that ends at end is over for want of records (L52).
func (sh *shard) windowOver(end time.Time) (over bool, wait time.Duration) {
	due, last := sh.s.local(end.Add(sh.s.c.cfg.idleWindow)), sh.read.Load()
	return last.tip() && !last.at.Before(due), time.Until(due)
}

// resume is where reading begins inside an aggregate, if it does.
func resume(from checkpoint.Position) page.Point {
	if seq, sub, whole, numeric := from.Sequence(); numeric && !whole {
		return page.Point{Seq: seq, Sub: sub}
	}
	return page.Point{Sub: batch.NoSub}
}

// Enter implements lane.Gate: it waits for the handler, if its calls must not overlap (P1), and for the worker's limit.
func (sh *shard) Enter() (ctx context.Context, ok bool) {
	if w := sh.s.w; sh.s.serial != nil || w.limit != nil {
		sh.queued.Add(1)
		defer func() {
			sh.queued.Add(-1)
			now := int64(time.Since(w.began))
			sh.turned.Store(now)
			w.turned.Store(now)
		}()
	}
	if !sh.s.serial.Enter(sh, sh.halted) {
		return nil, false
	}
	if !sh.s.w.limit.Enter(sh, sh.halted) {
		sh.s.serial.Leave(sh)
		return nil, false
	}
	return sh.handlers, true
}

// Leave implements lane.Gate.
func (sh *shard) Leave() {
	sh.s.w.limit.Leave(sh)
	sh.s.serial.Leave(sh)
}

// Stopped implements lane.Gate.
func (sh *shard) Stopped() <-chan struct{} { return sh.halted }

func (sh *shard) stopped() bool {
	select {
	case <-sh.halted:
		return true
	default:
		return false
	}
}

// freed is told of each outcome: the read-ahead gets room, and the shard may be complete.
func (sh *shard) freed(n int64) {
	if sh.outcome.Load() == 0 && sh.outcome.CompareAndSwap(0, int64(time.Since(sh.s.w.began)+1)) {
		select {
		case sh.s.w.nudge <- struct{}{}:
		default:
		}
	}
	if n > 0 {
		for other := range sh.s.w.ahead.Charge(-n) {
			other.source.Wake()
		}
	}
	if sh.full.Load() || n > 0 && sh.books.Figures().Charged == 0 { // without a page it may read, whatever others hold
		sh.source.Wake()
	}
	sh.complete()
}

// complete tells the stream, once, that nothing is left to read or to handle.
func (sh *shard) complete() {
	if sh.books.Complete() && !sh.done.Swap(true) {
		sh.s.completed(sh)
	}
}

// checkpoint stores the mark if it has moved.
func (sh *shard) checkpoint() {
	sh.gauge()
	sh.progressed.Store(sh.turn.taken(time.Now(), sh.outcome.Load() != 0, sh.books.Figures()).UnixNano())
	pos, arrival, moved, err := sh.position()
	if err != nil {
		_ = sh.unreadable(err)
	}
	at, ok := sh.covered()
	switch keep := sh.s.retention(); {
	case !ok:
	case moved && arrival == 0: // C27
		arrival = at.UnixMilli()
	case !moved && keep > 0 && at.Sub(time.UnixMilli(arrival)) > keep/4:
		arrival, moved = at.UnixMilli(), true // else a restart would think that records may be lost
	}
	if !moved || sh.lost.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(sh.handlers), storeTimeout)
	defer cancel()
	if sh.store("checkpoint", func() error { return sh.lease.Checkpoint(ctx, pos, arrival) }) == nil {
		sh.books.Stored(pos)
	}
}

// release stores the mark and gives the lease up.
func (sh *shard) release(ctx context.Context) error {
	defer sh.cut()
	if sh.lost.Load() {
		return nil
	}
	pause := sh.s.w.rnd.backoff(100*time.Millisecond, time.Second)
	for {
		pos, arrival, _, bad := sh.position()
		if at, ok := sh.covered(); ok {
			arrival = max(arrival, at.UnixMilli())
		}
		if bad != nil {
			bad = sh.unreadable(bad)
		}
		err := sh.store("release", func() error {
			ctx, cancel := context.WithTimeout(ctx, storeTimeout)
			defer cancel()
			return sh.lease.Release(ctx, pos, arrival)
		})
		if err == nil || sh.lost.Load() {
			return bad
		}
		if !sleep(ctx, nil, pause.NextBackOff()) {
			return err
		}
	}
}

// position is what a checkpoint would store now. An error says that no checkpoint can be made.
func (sh *shard) position() (pos checkpoint.Position, arrival int64, moved bool, err error) {
	pos, at, moved, err := sh.books.Position()
	switch {
	case !moved:
		return pos, sh.lease.Row().Arrival, false, err
	case at.IsZero(): // unknown
		return pos, 0, true, nil
	}
	return pos, at.UnixMilli(), true, nil
}

// covered tells up to which time of the service everything that arrived is covered by the position: the shard was read to
// its tip then, and all of it has its outcome.
func (sh *shard) covered() (at time.Time, ok bool) {
	last := sh.read.Load()
	if !last.tip() || !sh.books.Idle() {
		return time.Time{}, false
	}
	return last.now, true
}

// unreadable tells of a sequence number that is no number (C28).
func (sh *shard) unreadable(err error) error {
	return sh.tell.Fail(metrics.SequenceUnreadable, tell.Failure{
		Op: "position", Err: err,
		Hint: "the service does not number its records as Kinesis does: no checkpoint is kept of this shard, and all that it has comes again after a restart",
	})
}

// store makes one write and draws the conclusions. The error it returns is an *Error.
func (sh *shard) store(op string, write func() error) error {
	err := write()
	f := tell.Failure{
		Op: op, Err: err,
		Hint: "the store did not take the write; records handled since the last checkpoint come again after a restart",
	}
	switch {
	case err == nil:
		sh.tell.Mend("checkpoint", "release", "end")
		return nil
	case errors.Is(err, lease.ErrReleased): // it ended meanwhile
		return sh.s.c.out.Wrap(sh.id, f)
	case errors.Is(err, lease.ErrLost):
		f.Err = fmt.Errorf("%w: %w", ErrLeaseLost, err)
		f.Hint = "another process works for this group; run one process per group"
		return sh.lose(metrics.LeaseLost, f)
	case errors.Is(err, lease.ErrRollback):
		f.Hint = "the store lost acknowledged writes, for example in a failover; records come again from its older state"
		return sh.lose(metrics.StoreRollback, f)
	}
	return sh.tell.Fail(metrics.CheckpointFailed, f)
}

// lose ends the shard here: another owner has it. It returns the error that says so.
func (sh *shard) lose(m *metrics.Metric, f tell.Failure) error {
	e := sh.tell.Hold(f)
	if sh.lost.Swap(true) {
		return e
	}
	sh.halt()
	sh.cut()
	sh.tell.Event(m, e, "")
	sh.s.lost(sh, f)
	return e
}

// halt lets nothing more begin: no read, no batch, no attempt.
func (sh *shard) halt() {
	sh.halting.Do(func() {
		close(sh.halted)
		sh.source.Stop()
	})
}

// drained waits until every lane has stopped. Handlers are given until the drain timeout, and then a moment to unwind.
func (sh *shard) drained() error {
	interrupted := sh.lanes.Drain() // soon: it was halted, or its handler is left behind
	rest := sh.books.Drop()         // nothing of it waits here any more
	last := *sh.read.Load()
	last.over = true
	sh.read.Store(&last)
	sh.gauge()
	for other := range sh.s.w.ahead.Charge(-rest) {
		other.source.Wake()
	}
	f := tell.Failure{Op: "drain"}
	m := metrics.DrainTimedOut
	switch {
	case sh.caller.overdue.Load() > 0:
		m, f.Err = metrics.HandlerRunning, ErrHandlerRunning
		f.Hint = "the handler must return when its context is done; the shard is not released"
	case sh.s.w.handlers.Err() != nil && interrupted && !sh.lost.Load():
		f.Err = ErrDrainTimeout
		f.Hint = "handlers, or deliveries to the destination, took longer than WithDrainTimeout; their records come again at the next start"
	default:
		return nil
	}
	err := sh.s.c.out.Wrap(sh.id, f)
	sh.tell.Event(m, err, "")
	return err
}
