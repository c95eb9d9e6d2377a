package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/page"
	"github.com/shardlane/shardlane/consumer/internal/reader"
	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/metrics"
)

// Room implements reader.Sink.
func (sh *shard) Room() bool {
	if sh.unsorted.Load() {
		return false
	}
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
		sh.lanes.Flush() // C3: a full read-ahead makes every waiting batch ready
		return false
	}
	sh.lanes.Gather()
	return true
}

// Page implements reader.Sink.
func (sh *shard) Page(p reader.Page) bool {
	tip := len(p.Records) == 0
	recs, reached := sh.s.end.cut(p)
	if tip && (p.End || reached && sh.s.closed(sh.id)) {
		reached = false // its children have records that it must not hold up
	}
	pg, skip := sh.sift(page.New(recs))
	sh.tell.Record(metrics.PolledEventCount, float64(pg.Len()))
	sh.tell.Mend("GetRecords", "GetShardIterator")
	if sh.stopped() { // nothing is charged behind drained
		return false
	}
	deliver, settled := sh.books.Enter(pg, skip)
	sh.read.Store(&reading{at: time.Now(), now: minTime(p.Now, sh.s.now()), behind: p.Behind}) // what it brought is in the books
	if len(deliver)+len(settled) > 0 {
		sh.s.w.ahead.Charge(pg.Cost())
	}
	if !sh.submit(deliver) {
		return false // drained: the records come again at the next start
	}
	if len(settled) > 0 {
		sh.freed(sh.books.Done(settled))
	}
	if !p.End && !reached {
		return true
	}
	sh.closed, sh.children, sh.tip = p.End && !reached, p.Children, reached && tip
	sh.books.Close()
	sh.lanes.End()
	sh.complete()
	return false
}

// sift makes a page of what was read, and tells of what was found in it.
func (sh *shard) sift(p *page.Page) (out *page.Page, skip []bool) {
	out, skip, seen := sh.sieve.Sift(p)
	if sh.sieve.Filter.Len() > 0 && out.Len() > 0 {
		sh.tell.Record(metrics.FilteredOutEventCount, float64(seen.Filtered))
	}
	if seen.Outside > 0 {
		sh.tell.Record(metrics.OutOfRangeEventCount, float64(seen.Outside))
	}
	if seen.Left > 0 {
		sh.tell.Event(metrics.OutOfRange, nil, count(seen.Left, "record")+
			" of aggregates left out: their hash keys are those of other shards, into which a producer that learns of the reshard puts them again")
	}
	if seen.Outside > seen.Left && !sh.outside {
		sh.outside = true // once
		sh.tell.Event(metrics.OutOfRange, nil, "aggregates have records whose hash keys are those of other shards; they are delivered here, "+
			"and without order if the service places the stream's records (distribution strategy AUTO)")
	}
	if seen.Keyless > 0 {
		sh.s.sawKeyless()
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
		sh.tell.Event(metrics.IteratorExpired, sh.s.c.out.Wrap(sh.id, tell.Failure{Op: op, Err: err}), "a new one is taken behind the last record read")
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
	e := sh.s.c.out.Wrap(sh.id, tell.Failure{
		Op: "GetShardIterator", Err: err, Hint: "what was not read before the oldest record is lost; a longer retention gives more time",
	})
	sh.tell.Event(metrics.RetentionLost, e, fmt.Sprintf("position %s is not valid any more; reading goes on at the oldest record", from))
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
