package consumer

import (
	"github.com/shardlane/shardlane/consumer/internal/page"
	"github.com/shardlane/shardlane/consumer/internal/reader"
)

const (
	quietPage = 2 << 20 // for that much a shard is asked that was caught up
	firstPage = 10      // records that are asked for where they may be aggregates, of which each can hold many
)

// An expected says what the next page of a shard will be charged, by the pages before it.
type expected struct {
	each  int64   // a record of the service; 0: none has come
	grown float64 // what aggregates cost to what they came as
}

// came takes in what a read has brought, and what was made of it.
func (e *expected) came(read, made *page.Page) {
	n := int64(read.Len())
	if n == 0 {
		return
	}
	e.each = max(made.Cost()/n, e.each-e.each/8) // records of different sizes take turns
	e.grown = max(1, float64(made.Cost())/float64(read.Cost()), e.grown*7/8)
}

// record is what one costs.
func (e *expected) record() int64 {
	if e.each == 0 {
		return page.FullCost / reader.MaxRecords
	}
	return e.each
}

// page is how many records to ask for, and what they cost. A shard that was caught up has little, and the next page is there soon
// if it has more.
func (e *expected) page(tip, split bool) (records int, cost int64) {
	most := int64(reader.MaxRecords)
	switch {
	case split && e.each == 0:
		most = firstPage
	case tip:
		most = min(max(quietPage/e.record(), 1), most)
	}
	return int(most), min(most*e.record(), int64(page.FullCost*max(1, e.grown)))
}

// reserve reserves room for a page, before it is asked for. If there is little, the page is small: one record, if need be, of a
// shard that holds nothing. One that does waits until there is more.
func (sh *shard) reserve(holds bool) (limit int, ok bool) {
	limit, want := sh.expect.page(sh.read.Load().tip(), sh.sieve.Split)
	var least int64
	if holds {
		least = want / 4
	}
	got, ok := sh.f.pool.ahead.Reserve(sh.source, want, least)
	if !ok {
		return 0, false
	}
	sh.reserved.Add(got)
	if got < want {
		limit = int(max(1, got/sh.expect.record()))
	}
	return limit, true
}

// Release implements reader.Sink.
func (sh *shard) Release() {
	if n := sh.reserved.Swap(0); n > 0 {
		wake(sh.f.pool.ahead.Charge(-n))
	}
}

// wake lets shards read on.
func wake(sources []reader.Source) {
	for _, s := range sources {
		s.Wake()
	}
}
