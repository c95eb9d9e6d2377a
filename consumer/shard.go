package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/kpl"
	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/lease"
	"github.com/shardlane/shardlane/consumer/internal/ledger"
	"github.com/shardlane/shardlane/consumer/internal/page"
	"github.com/shardlane/shardlane/consumer/internal/reader"
	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/metrics"
	"github.com/shardlane/shardlane/partition"
)

// A shard is one owned shard: page → lane → batch → slice → outcome → checkpoint. It is a value with a run queue, not a
// goroutine: a poll worker delivers pages, a lane has a goroutine while it has records to run, and completion is told to
// the stream.
//
// Every record of a page gets a position in mark. The mark is the only way to a checkpoint, and only resolve moves it.
type shard struct {
	s     *stream
	id    string
	lease *lease.Lease
	tell  *tell.Teller
	lanes *partition.Lanes[page.Item]
	lane  []laneState // an element belongs to its lane's goroutine
	books *ledger.Ledger
	sieve *page.Sieve
	late  bool // reading is behind the retention; belongs to the poller
	raw   bool // it has told of aggregates that are not split; belongs to the poller
	entry *reader.Entry

	handlers context.Context // of its handlers
	cut      context.CancelFunc
	halted   chan struct{} // closed when it must start nothing more
	halting  sync.Once
	lost     atomic.Bool // somebody else owns it
	flush    atomic.Bool // waiting batches are ready, whatever their window
	full     atomic.Bool // reading waits for room
	done     atomic.Bool // complete, and the stream knows

	mu       sync.Mutex
	closed   bool // it was read to its end
	tip      bool // it came to the ending position by an empty page
	children []types.ChildShard
	spanned  bool // at the cap of the span
	behind   time.Duration
	lastRead time.Time
	busy     int
	overdue  int // handlers left behind

	put map[string]lease.Row // of children, at the end; belongs to conclude
}

// maxSpan caps the distance between the mark and the newest record, in records.
const maxSpan = 1_000_000

// newShard makes a shard of a lease that has just been claimed. It reads nothing until its entry is scheduled.
func newShard(s *stream, id string, l *lease.Lease) *shard {
	cfg := s.c.cfg
	sh := &shard{
		s: s, id: id, lease: l, tell: s.c.out.Teller(id), halted: make(chan struct{}), books: ledger.New(l.Row().Ck), put: map[string]lease.Row{},
		lastRead: time.Now(), lane: make([]laneState, cfg.factor),
	}
	sh.sieve = &page.Sieve{Source: s.source(id), Split: cfg.deaggregate, Filter: cfg.filter, Resume: resume(l.Row().Ck)}
	sh.sieve.Hashes, _ = kpl.ParseHashRange(l.Row().HashStart, l.Row().HashEnd) // a row without one bounds nothing
	sh.handlers, sh.cut = context.WithCancel(s.w.handlers)
	sh.lanes = partition.NewLanes(cfg.factor, page.Item.Key, sh.serve)
	sh.lanes.Backlog = -1 // the read-ahead is the bound
	sh.lanes.Hash = cfg.sharder
	if cfg.unordered {
		var next uint64 // pages come one at a time
		sh.lanes.Hash = func(string) uint64 { next++; return next }
	}
	w := s.w
	p := &reader.Poller{
		Client: sh.s.c.client, Stream: sh.s.c.stream, Shard: sh.id, From: l.Row().Ck, Sink: sh,
		Pause: w.rnd.backoff(200*time.Millisecond, 10*time.Second),
		Idle:  func(idle bool) time.Duration { return w.sched.SetIdle(sh.entry, idle) },
	}
	sh.entry = reader.NewEntry(p.Poll)
	return sh
}

// resume is where reading begins inside an aggregate, if it does.
func resume(from checkpoint.Position) page.Point {
	if seq, sub, whole, numeric := from.Sequence(); numeric && !whole {
		return page.Point{Seq: seq, Sub: sub}
	}
	return page.Point{Sub: batch.NoSub}
}

// Room implements reader.Sink.
func (sh *shard) Room() bool {
	cfg := sh.s.c.cfg
	sh.full.Store(true) // before the look: what is freed behind it wakes the shard
	f := sh.books.Figures()
	over := f.Charged >= int64(cfg.aheadBytes) || f.Held >= cfg.aheadRecords
	full := over && f.Held > 0 || f.Span >= maxSpan // one page is always admitted
	sh.full.Store(full)
	if f.Span >= maxSpan && !sh.spanned {
		sh.tell.Event(metrics.SpanLimited, nil, fmt.Sprintf("%d records wait behind the oldest one without an outcome", f.Span))
	}
	sh.spanned = f.Span >= maxSpan
	if full || !sh.s.w.ahead.Admit(sh, f.Charged) {
		sh.flushAll() // C3: a full read-ahead makes every waiting batch ready
		return false
	}
	sh.flush.Store(false)
	return true
}

// Page implements reader.Sink.
func (sh *shard) Page(p reader.Page) bool {
	tip := len(p.Records) == 0
	recs, reached := sh.s.end.cut(p)
	if tip && (p.End || reached && sh.s.closed(sh.id)) {
		reached = false // its children have records that it must not hold up
	}
	sh.s.skew.Store(int64(p.Skew))
	pg, skip := sh.sift(page.New(recs))
	sh.tell.Record(metrics.PolledEventCount, float64(pg.Len()))
	sh.tell.Mend("GetRecords", "GetShardIterator")
	sh.mu.Lock()
	if sh.stopped() { // nothing is charged behind drained
		sh.mu.Unlock()
		return false
	}
	sh.behind, sh.lastRead = p.Behind, time.Now()
	deliver, settled := sh.books.Enter(pg, skip)
	if len(deliver)+len(settled) > 0 {
		sh.s.w.ahead.Charge(pg.Cost())
	}
	sh.mu.Unlock()
	if err := sh.lanes.Submit(sh.handlers, deliver...); err != nil {
		return false // drained: the records come again at the next start
	}
	sh.resolve(settled)
	if p.End || reached {
		sh.mu.Lock()
		sh.closed, sh.children, sh.tip = p.End && !reached, p.Children, reached && tip
		sh.mu.Unlock()
		sh.books.Close()
		sh.flushAll()
		if sh.s.c.cfg.tumbling > 0 {
			sh.lanes.Wake(0) // the open window ends with the shard (L52)
		}
		sh.complete()
		return false
	}
	return true
}

// sift makes a page of what was read, and tells of what was found in it.
func (sh *shard) sift(p *page.Page) (out *page.Page, skip []bool) {
	out, skip, seen := sh.sieve.Sift(p)
	if sh.sieve.Filter.Len() > 0 && out.Len() > 0 {
		sh.tell.Record(metrics.FilteredOutEventCount, float64(seen.Filtered))
	}
	if seen.Outside > 0 {
		sh.tell.Record(metrics.OutOfRangeEventCount, float64(seen.Outside))
		sh.tell.Event(metrics.OutOfRange, nil, fmt.Sprintf("%d user records of aggregates are left out: their hash keys are those of other shards", seen.Outside))
	}
	if seen.Aggregates > 0 && !sh.sieve.Split && !sh.raw && !sh.s.c.cfg.given["WithDeaggregation"] {
		sh.raw = true // once (L63)
		sh.tell.Event(metrics.AggregatesRaw, nil, "the shard has KPL aggregates, which are handed over as they are; WithDeaggregation(true) splits them, and WithDeaggregation(false) says that this is meant")
	}
	return out, skip
}

// cut drops the records behind the ending position and tells whether a page reaches it.
func (e ending) cut(p reader.Page) (recs []types.Record, reached bool) {
	if e.at.IsZero() {
		return p.Records, false
	}
	for i := range p.Records {
		if !aws.ToTime(p.Records[i].ApproximateArrivalTimestamp).Before(e.at) {
			return p.Records[:i], true
		}
	}
	if len(p.Records) > 0 {
		return p.Records, false
	}
	return nil, e.tip && p.Behind == 0 || !p.Now.Add(-p.Behind).Before(e.at)
}

// Failed implements reader.Sink.
func (sh *shard) Failed(op string, err error) {
	m := metrics.ReadFailed
	var expired *types.ExpiredIteratorException
	switch {
	case errors.As(err, &expired):
		sh.tell.Event(metrics.IteratorExpired, err, "a new one is taken behind the last record read")
		return
	case reader.Throttled(err):
		m = metrics.ReadThrottled
	}
	hint, err := classified(err)
	_ = sh.tell.Fail(m, tell.Failure{Op: op, Err: err, Hint: hint})
}

// Children implements reader.Sink: a service that does not name the children of a shard that has ended lists them.
func (sh *shard) Children(ctx context.Context) ([]types.ChildShard, error) {
	return sh.s.children(ctx, sh.id)
}

// Missing implements reader.Sink.
func (sh *shard) Missing(ctx context.Context, err error) bool { return sh.s.verify(ctx, sh) }

// Trimmed implements reader.Sink.
func (sh *shard) Trimmed(from checkpoint.Position, err error) {
	sh.tell.Event(metrics.RetentionLost, err, fmt.Sprintf("position %s is not valid any more; reading goes on at the oldest record", from))
}

// Lagging implements reader.Sink.
func (sh *shard) Lagging(behind time.Duration) {
	r := sh.s.retention()
	late := r > 0 && behind > r
	if late && !sh.late {
		sh.tell.Event(metrics.RetentionLost, nil, fmt.Sprintf("reading was %v behind, and records are kept for %v: some may be lost", behind.Round(time.Second), r))
	}
	sh.late = late
}

// flushAll makes every waiting batch ready.
func (sh *shard) flushAll() {
	if sh.s.c.cfg.window > 0 && !sh.flush.Swap(true) {
		for i := range sh.lane {
			sh.lanes.Wake(i)
		}
	}
}

// resolve gives items their outcome: the mark moves, the read-ahead gets room.
func (sh *shard) resolve(items []page.Item) {
	if len(items) == 0 {
		return
	}
	freed := sh.books.Done(items)
	if freed > 0 {
		for other := range sh.s.w.ahead.Charge(-freed) {
			sh.s.w.sched.Wake(other.entry)
		}
	}
	if sh.full.Load() || freed > 0 && sh.books.Figures().Charged == 0 { // without a page it may read, whatever others hold
		sh.s.w.sched.Wake(sh.entry)
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
	pos, arrival, moved := sh.position()
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
		pos, arrival, _ := sh.position()
		err := sh.store("release", func() error {
			ctx, cancel := context.WithTimeout(ctx, storeTimeout)
			defer cancel()
			return sh.lease.Release(ctx, pos, arrival)
		})
		if err == nil || sh.lost.Load() {
			return nil
		}
		if !sleep(ctx, nil, pause.NextBackOff()) {
			return err
		}
	}
}

// position is what a checkpoint would store now.
func (sh *shard) position() (pos checkpoint.Position, arrival int64, moved bool) {
	pos, at, moved, _ := sh.books.Position() // the service's numbers are valid
	if !moved {
		return pos, sh.lease.Row().Arrival, false
	}
	return pos, at.UnixMilli(), true
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
		sh.s.w.sched.Remove(sh.entry)
	})
}

// drained waits until every lane has stopped. Handlers are given until the drain timeout, and then a moment to unwind.
func (sh *shard) drained() error {
	_ = sh.lanes.Drain(context.Background()) // a lane returns soon: it was halted, or its handler is left behind
	for i := range sh.lane {
		sh.lane[i].stop()
	}
	sh.mu.Lock()
	overdue := sh.overdue
	sh.behind = 0
	sh.mu.Unlock()
	rest := sh.books.Drop() // nothing of it waits here any more
	sh.gauge()
	for other := range sh.s.w.ahead.Charge(-rest) {
		sh.s.w.sched.Wake(other.entry)
	}
	e := &Error{Stream: sh.s.c.stream, Shard: sh.id, Op: "drain"}
	switch {
	case overdue > 0:
		e.Err = ErrHandlerRunning
		e.Hint = "the handler must return when its context is done; the shard is not released"
		sh.tell.Event(metrics.HandlerRunning, e, "")
	case sh.s.w.handlers.Err() != nil && sh.interrupted():
		e.Err = ErrDrainTimeout
		e.Hint = "handlers, or deliveries to the destination, took longer than WithDrainTimeout; their records come again at the next start"
		sh.tell.Event(metrics.DrainTimedOut, e, "")
	default:
		return nil
	}
	return e
}

// interrupted tells whether a handler or a delivery ended by its context.
func (sh *shard) interrupted() bool {
	for i := range sh.lane {
		if sh.lane[i].interrupted {
			return true
		}
	}
	return false
}

// enter waits until a lane of the shard may make an attempt: for the handler, if its calls must not overlap (P1), and for
// the worker's limit. It returns false if the shard stops first.
func (sh *shard) enter() bool {
	if !sh.s.serial.Enter(sh, sh.halted) {
		return false
	}
	if !sh.s.w.limit.Enter(sh, sh.halted) {
		sh.s.serial.Leave(sh)
		return false
	}
	return true
}

func (sh *shard) leave() {
	sh.s.w.limit.Leave(sh)
	sh.s.serial.Leave(sh)
}
