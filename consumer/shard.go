package consumer

import (
	"context"
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
	f      *facts
	up     upstream
	id     string
	tenure *lease.Tenure
	lease  *lease.Lease
	rest   time.Time // it was handed over to this worker, and is not handed on before
	tell   *tell.Teller
	source reader.Source
	sieve  *page.Sieve
	books  *ledger.Ledger
	lanes  *lane.Set
	rnd    *random // jitter
	caller *caller

	handlers context.Context // of its handlers
	cut      context.CancelFunc
	halted   chan struct{} // closed when it must start nothing more
	halting  sync.Once
	period   atomic.Pointer[period]
	left     chan struct{} // closed when handlers that still run are left behind
	leaving  sync.Once
	lost     atomic.Bool             // somebody else owns it
	full     atomic.Bool             // reading waits for room of its own
	parked   atomic.Bool             // reading waits for room of any kind
	roomy    atomic.Int64            // since when it does not, in nanoseconds since the worker began
	queued   atomic.Int64            // lanes that wait for their turn
	turned   atomic.Int64            // when one had it last, likewise
	unsorted atomic.Bool             // a page waits for the function of WithSharder
	done     atomic.Bool             // complete, and the stream knows
	read     atomic.Pointer[reading] // the last successful read

	spanned, raw, outside bool         // what has been told; belong to the source
	expect                expected     // likewise
	reserved              atomic.Int64 // bytes, for the page that is on its way

	outcome atomic.Int64 // when the first outcome was, in nanoseconds since the worker began; 0: there is none
	turn    turn         // belongs to the checkpoint loop

	progressed atomic.Int64 // when the mark was last seen to have moved, or nothing to wait, in nanoseconds since the worker began

	// Of its end, set before the books are closed.
	closed   bool // it was read to its end
	tip      bool // it came to the ending position by an empty page
	children []shardmap.Shard

	put map[string]lease.Row // of children, at the end; belongs to conclude
}

// An upstream is what a shard asks and tells: its stream.
type upstream interface {
	reader.Oracle
	reader.Registry
	completed(*shard)                // nothing of it is left to read or to run
	lost(*shard, tell.Failure)       // somebody else owns it
	closed(id string) bool           // when the shards were last listed
	placedAt(arrival time.Time) bool // partition keys alone had placed the stream's records
	sawKeyless()                     // a record without a key was read
}

// maxSpan caps the distance between the mark and the newest record, in records.
const maxSpan = 1_000_000

// newShard makes a shard of a lease that has just been claimed. It reads nothing until its source is woken.
func newShard(f *facts, up upstream, id string, tenure *lease.Tenure, l *lease.Lease, parents []kpl.HashRange) *shard {
	p, cfg, row := f.pool, f.cfg, l.Row()
	sh := &shard{
		f: f, up: up, id: id, tenure: tenure, lease: l, tell: f.out.Teller(id), halted: make(chan struct{}), left: make(chan struct{}), books: ledger.New(row.Ck, row.Done, under(id, cfg)), put: map[string]lease.Row{},
	}
	sh.rnd = f.rnd.part(fmt.Sprint(id, " ", row.Epoch))
	now := time.Now()
	sh.read.Store(&reading{at: now, asOf: now, none: true})
	sh.turn = newTurn(now, sh.rnd)
	sh.progressed.Store(int64(now.Sub(p.began)))
	sh.handlers, sh.cut = context.WithCancel(p.handlers)
	src := f.source(id)
	sh.sieve = &page.Sieve{Source: src, Split: cfg.deaggregate, Filter: cfg.filter, Resume: resume(row.Ck), Parents: parents, Placed: up.placedAt}
	sh.sieve.Hashes, _ = kpl.ParseHashRange(row.HashStart, row.HashEnd) // a row without one bounds nothing
	sh.caller = &caller{f: f, id: id, tell: sh.tell, src: src, tenure: tenure, lease: l, handlers: sh.handlers, halted: sh.halted, left: sh.left, lost: &sh.lost, ids: sh.rnd.part("requests"), aside: sh.aside, began: make([]atomic.Int64, cfg.factor), deliveries: make([]<-chan error, cfg.factor)}
	sh.lanes = lane.New(sh.rules(), sh, sh.caller, sh.books, sh.freed)
	poller := &reader.Poller{
		Client: f.client, Bare: f.bare, Line: p.line, Wire: &p.replies, Stream: f.given(), Shard: id, From: row.Ck, Sink: sh, Oracle: up, Tell: sh.tell,
		Since: f.since(row), Interval: cfg.poll, Kept: f.retention, Reply: f.clock.Reply, Pause: sh.rnd.backoff(200*time.Millisecond, 10*time.Second),
	}
	if !cfg.pushes() {
		sh.source = poller.On(&p.sched)
	} else {
		pushed := &reader.Subscriber{Poller: poller, Pusher: f.fanOut, Registry: up, Jitter: sh.rnd.part("renewals").jitter, Now: f.now, Fallback: cfg.fallback}
		sh.source = pushed.On(&p.sched)
	}
	return sh
}

// rules are what the shard's lanes go by.
func (sh *shard) rules() lane.Rules {
	cfg, f := sh.f.cfg, sh.f
	r := lane.Rules{
		Lanes: cfg.factor, Hash: cfg.sharder, NewID: sh.caller.ids.uuid, Now: f.now, Kept: f.retention, Sizer: f.source(sh.id).Sizer,
		Limits: batch.Limits{Records: cfg.batchSize, Window: cfg.window},
		Policy: batch.Policy{Attempts: cfg.retries + 1, MaxAge: max(0, cfg.maxAge), Bisect: cfg.bisect},
		Backoff: func(n int) time.Duration {
			return sh.rnd.jitter(batch.BackoffOf(n, cfg.backoffBase, cfg.backoffFactor, cfg.backoffCap))
		},
		Windows: lane.Windows{Length: cfg.tumbling, Over: sh.windowOver, Early: func(end time.Time) bool {
			return sh.closed || f.end.at.Before(end) // else the ending position is behind the window
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
	due, last := sh.f.local(end.Add(sh.f.cfg.idleWindow)), sh.read.Load()
	return last.tip() && !last.at.Before(due), time.Until(due)
}

// resume is where reading begins inside an aggregate, if it does.
func resume(from checkpoint.Position) page.Point {
	if seq, sub, whole, numeric := from.Sequence(); numeric && !whole {
		return page.Point{Seq: seq, Sub: sub}
	}
	return page.Point{Sub: batch.NoSub}
}

func (sh *shard) stopped() bool {
	return over(sh.halted)
}

// freed is told of each outcome: the read-ahead gets room, and the shard may be complete.
func (sh *shard) freed(n int64) {
	if sh.outcome.Load() == 0 && sh.outcome.CompareAndSwap(0, int64(time.Since(sh.f.pool.began)+1)) {
		select {
		case sh.f.pool.nudge <- struct{}{}:
		default:
		}
	}
	if n > 0 {
		wake(sh.f.pool.ahead.Charge(-n))
	}
	if sh.full.Load() || n > 0 && sh.books.Figures().Charged == 0 { // without a page it may read, whatever others hold
		sh.source.Wake()
	}
	sh.complete()
}

// complete tells the stream, once, that nothing is left to read or to handle.
func (sh *shard) complete() {
	if sh.books.Complete() && !sh.done.Swap(true) {
		sh.up.completed(sh)
	}
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
	sh.up.lost(sh, f)
	return e
}

// halt lets nothing more begin: no read, no batch, no attempt.
func (sh *shard) halt() {
	sh.halting.Do(func() {
		close(sh.halted)
		sh.source.Stop()
	})
}

// now is what is known of the shard's row, or asked of it: where the lease was lost, what it said then, if that could be read.
func (sh *shard) now() lease.Row {
	if its := sh.lease.Its(); its.V > 0 {
		return its
	}
	return sh.lease.Furthest()
}

// abandon leaves handlers behind that still run.
func (sh *shard) abandon() { sh.leaving.Do(func() { close(sh.left) }) }

// drained waits until every lane has stopped, and its row has room for what is done. Handlers are given until the drain
// timeout, and then a moment to unwind.
func (sh *shard) drained() error {
	interrupted := sh.lanes.Drain(lateGate{sh}, lastDoneSize) // soon: it was halted, or its handler is left behind
	rest := sh.books.Drop()                                   // nothing of it waits here any more
	last := *sh.read.Load()
	last.over = true
	sh.read.Store(&last)
	sh.gauge()
	wake(sh.f.pool.ahead.Leave(sh.source, rest))
	f := tell.Failure{Op: "drain"}
	m := metrics.DrainTimedOut
	switch {
	case sh.caller.overdue.Load() > 0:
		m, f.Err = metrics.HandlerRunning, ErrHandlerRunning
		f.Hint = "the handler must return when its context is done; the shard is not released"
	case sh.handlers.Err() != nil && interrupted && !sh.lost.Load():
		f.Err = ErrDrainTimeout
		f.Hint = "handlers, or deliveries to the destination, took longer than WithDrainTimeout; their records come again at the next start"
	default:
		return nil
	}
	err := sh.f.out.Wrap(sh.id, f)
	sh.tell.Event(m, err, "")
	return err
}
