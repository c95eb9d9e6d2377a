package consumer

import (
	"fmt"
	"time"

	"github.com/shardlane/shardlane/consumer/internal/page"
	"github.com/shardlane/shardlane/consumer/internal/reader"
	"github.com/shardlane/shardlane/metrics"
)

// Reserve implements reader.Sink: a page has room while the read-ahead of the shard is not full, whatever its size, and as far as
// that of the worker allows.
func (sh *shard) Reserve() (limit int, ok bool) {
	limit, ok = sh.room()
	if was := sh.parked.Swap(!ok); was && ok {
		sh.roomy.Store(int64(time.Since(sh.f.pool.began)))
	}
	return limit, ok
}

func (sh *shard) room() (limit int, ok bool) {
	if sh.unsorted.Load() {
		return 0, false
	}
	cfg := sh.f.cfg
	sh.full.Store(true) // before the look: what is freed behind it wakes the shard
	f := sh.books.Figures()
	over := f.Charged >= int64(cfg.aheadBytes) || f.Held >= cfg.aheadRecords
	full := over && f.Held > 0 || f.Span >= maxSpan // one page is always admitted
	sh.full.Store(full)
	if f.Span >= maxSpan && !sh.spanned {
		sh.tell.Event(metrics.SpanLimited, nil, fmt.Sprintf("%d records wait behind the oldest one without an outcome", f.Span))
	}
	sh.spanned = f.Span >= maxSpan
	if !full {
		limit, ok = sh.reserve(f.Charged > 0)
	}
	if !ok {
		sh.lanes.Flush() // C3: a full read-ahead makes every waiting batch ready
		return 0, false
	}
	sh.lanes.Gather()
	return limit, true
}

// Take implements reader.Sink.
func (sh *shard) Take(r reader.Read) (more bool) {
	tip := r.Page.Len() == 0
	pg, reached := sh.f.end.cut(r)
	if tip && (r.End || reached && sh.up.closed(sh.id)) {
		reached = false // its children have records that it must not hold up
	}
	pg, skip := sh.sift(pg)
	sh.expect.came(r.Page, pg)
	sh.tell.Record(metrics.PolledEventCount, float64(pg.Len()))
	if sh.stopped() { // nothing is charged behind drained
		return false
	}
	deliver, settled := sh.books.Enter(pg, skip, sh.f.now())
	sh.read.Store(sh.read.Load().next(time.Now(), minTime(r.Now, sh.f.now()), r)) // what it brought is in the books
	if len(deliver)+len(settled) > 0 {
		sh.f.pool.ahead.Charge(pg.Cost())
	}
	if !sh.submit(deliver) {
		return false // drained: the records come again at the next start
	}
	if len(settled) > 0 {
		sh.freed(sh.books.Done(settled))
	}
	if !r.End && !reached {
		return true
	}
	sh.closed, sh.children, sh.tip = r.End && !reached, r.Children, reached && tip
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
		sh.up.sawKeyless()
	}
	if seen.Aggregates > 0 && !sh.sieve.Split && !sh.raw && !sh.f.cfg.given["WithDeaggregation"] {
		sh.raw = true // once (L63)
		sh.tell.Event(metrics.AggregatesRaw, nil, "the shard has KPL aggregates, which are handed over as they are; WithDeaggregation(true) splits them, and WithDeaggregation(false) says that this is meant")
	}
	return out, skip
}

// cut drops the records behind the ending position and tells whether a read reaches it. An empty page that does not say
// how far behind it is reaches nothing.
func (e ending) cut(r reader.Read) (p *page.Page, reached bool) {
	if e.at.IsZero() {
		return r.Page, false
	}
	for i := range r.Page.Len() {
		if !(page.Item{P: r.Page, I: int32(i)}).Arrival().Before(e.at) {
			return r.Page.Head(i), true
		}
	}
	if r.Page.Len() > 0 || !r.Told {
		return r.Page, false
	}
	return r.Page, e.tip && r.Behind == 0 || !r.Now.Add(-r.Behind).Before(e.at)
}

// A reading is what successful reads told of the shard.
type reading struct {
	at     time.Time     // of the last one; before the first one, of the claim
	now    time.Time     // of the last one by the service's clock, not later than the reply
	behind time.Duration // from the tip, as a read last told
	asOf   time.Time     // when it told so; of the claim, where none has
	told   bool          // the last one did
	none   bool          // there was none
	over   bool          // the tenure has ended: nothing of the shard waits here
}

// next is what is known behind a read at at, and at now by the service's clock. A shard that has been read to its end is not
// behind, whatever is told.
func (last *reading) next(at, now time.Time, r reader.Read) *reading {
	next := &reading{at: at, now: now, behind: last.behind, asOf: last.asOf}
	if r.Told || r.End {
		next.behind, next.asOf, next.told = r.Behind, at, true
	}
	return next
}

// tip tells whether the last read is known to have come to the tip.
func (last *reading) tip() bool { return last.told && last.behind == 0 }
