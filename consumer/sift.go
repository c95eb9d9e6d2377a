package consumer

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/kpl"
	"github.com/shardlane/shardlane/metrics"
)

// sift makes a page of what was read: aggregates are split, where that is on, and then filtered. skip is true for records
// that have their outcome already and are not for the handler; it is nil if there are none.
func (sh *shard) sift(recs []types.Record) (pg *page, skip []bool) {
	pg = &page{recs: recs}
	if sh.s.c.cfg.deaggregate {
		skip = sh.split(pg)
	} else {
		sh.warnOfAggregates(recs)
	}
	if filter := sh.s.c.cfg.filter; filter.Len() > 0 && len(pg.recs) > 0 {
		src, out := sh.s.source(sh.id), 0
		if skip == nil {
			skip = make([]bool, len(pg.recs))
		}
		for i := range pg.recs {
			r := plain(record{Record: &pg.recs[i]})
			if !skip[i] && !filter.Match(&src, &r) {
				skip[i] = true
				out++
			}
		}
		sh.tell.Record(metrics.FilteredOutEventCount, float64(out))
	}
	pg.n, pg.left, pg.cost = int64(len(pg.recs)), len(pg.recs), cost(pg.recs)
	if pg.n > 0 {
		pg.last = pg.point(pg.n - 1)
	}
	return pg, skip
}

// records returns the records for the lanes, and those that are skipped.
func (pg *page) records(skip []bool) (items, out []record) {
	items = make([]record, 0, pg.n)
	for i := range pg.recs {
		r := record{&pg.recs[i], pg.first + int64(i), pg}
		if skip != nil && skip[i] {
			out = append(out, r)
		} else {
			items = append(items, r)
		}
	}
	return items, out
}

// split puts user records in the place of the aggregates of pg. Those of an aggregate that the checkpoint covers already
// are left out (C21). One whose hash key is not the shard's keeps its place, and is to be skipped (L65).
func (sh *shard) split(pg *page) (skip []bool) {
	var users []kpl.UserRecord
	var recs []types.Record
	outside := 0
	from, done, whole, numeric := sh.from.Sequence()
	for i := range pg.recs {
		r := &pg.recs[i]
		var ok bool
		if users, ok = kpl.Decode(r.Data, users[:0]); ok && recs == nil {
			recs = make([]types.Record, i, len(pg.recs)+len(users))
			copy(recs, pg.recs)
			pg.subs = make([]int64, i, cap(recs))
			for j := range pg.subs {
				pg.subs[j] = batch.NoSub
			}
		}
		if !ok {
			if recs != nil {
				recs, pg.subs = append(recs, *r), append(pg.subs, batch.NoSub)
			}
			continue
		}
		resumed := numeric && !whole && aws.ToString(r.SequenceNumber) == from
		keys := make([]string, len(users))
		for j := range users {
			if resumed && int64(j) <= done {
				continue
			}
			u := *r
			keys[j] = users[j].PartitionKey
			u.PartitionKey, u.Data = &keys[j], users[j].Data
			if !sh.hashes.Contains(users[j]) {
				for len(skip) < len(recs) {
					skip = append(skip, false)
				}
				skip = append(skip, true)
				outside++
			}
			recs, pg.subs = append(recs, u), append(pg.subs, int64(j))
		}
	}
	if recs != nil {
		pg.recs = recs
	}
	if outside > 0 {
		skip = append(skip, make([]bool, len(pg.recs)-len(skip))...)
		sh.tell.Record(metrics.OutOfRangeEventCount, float64(outside))
		sh.tell.Event(metrics.OutOfRange, nil, fmt.Sprintf("%d user records of aggregates are left out: their hash keys are those of other shards", outside))
	}
	return skip
}

// warnOfAggregates tells, once, that aggregates are handed over as they are, unless that is asked for (L63).
func (sh *shard) warnOfAggregates(recs []types.Record) {
	if sh.raw || sh.s.c.cfg.given["WithDeaggregation"] {
		return
	}
	for i := range recs {
		if kpl.IsAggregate(recs[i].Data) {
			sh.raw = true
			sh.tell.Event(metrics.AggregatesRaw, nil, "the shard has KPL aggregates, which are handed over as they are; WithDeaggregation(true) splits them, and WithDeaggregation(false) says that this is meant")
			return
		}
	}
}
