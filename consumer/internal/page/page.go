// Package page holds what reads of a shard bring: a [Page] of records, each of which is an [Item] on its way to the handler.
//
// A [Sieve] makes of a page the one that is handled: aggregates split, records left out marked. [Event] makes of items what
// a handler gets.
package page

import (
	"encoding/base64"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/checkpoint"
)

// A Page is what one read brought, in the order of the shard. It is immutable once built, but for First, which the ledger
// of its shard sets, and Free.
type Page struct {
	First int64 // position of its first record among all of the shard

	recs []types.Record
	subs []int64 // places in aggregates; nil if there is none
	cost int64
	most int
	back func() // gives back the memory that the records are in; nil: it belongs to nobody else
}

// New returns a page of records. It takes them over. They may be in memory that is used again: then back gives it back,
// and is called once, when the page is freed; else it is nil.
func New(recs []types.Record, back func()) *Page { return build(recs, nil, back) }

func build(recs []types.Record, subs []int64, back func()) *Page {
	p := &Page{recs: recs, subs: subs, cost: int64(len(recs)) * recordCost, back: back}
	for i := range recs {
		r := &recs[i]
		key, seq := len(aws.ToString(r.PartitionKey)), len(aws.ToString(r.SequenceNumber))
		p.cost += 2 * int64(len(r.Data)+key)
		p.most = max(p.most, escaped*(key+2*seq)+base64.StdEncoding.EncodedLen(len(r.Data)))
	}
	p.most += len(`""`) + len("-9223372036854775.807") // around a key, and its time
	return p
}

// escaped is how long a byte of a JSON string is at most: \u0000.
const escaped = 6

// recordCost is what a record costs besides its data and key: its structs here and in an event.
const recordCost = 400

// FullCost is what the largest page of the service is charged: 10,000 records, and 10 MiB.
const FullCost = 10_000*recordCost + 2*10<<20

// Len is the number of records.
func (p *Page) Len() int { return len(p.recs) }

// Head is the first n records as a page of their own, which takes the place of p.
func (p *Page) Head(n int) *Page { return p.become(p.recs[:n], p.subs[:min(n, len(p.subs))]) }

// become is the page that p is made into: it has the memory now, and p will not be freed.
func (p *Page) become(recs []types.Record, subs []int64) *Page {
	back := p.back
	p.back = nil
	return build(recs, subs, back)
}

// Cost is what the page is charged: its data and keys twice, because attempts get copies, and 400 bytes a record.
func (p *Page) Cost() int64 { return p.cost }

// Most is what no record of the page exceeds by the size that it has in an event, beside that of a record without anything.
func (p *Page) Most() int { return p.most }

// Free lets go of the records, which may be overwritten from then on. Nothing but First may be asked of the page after it.
func (p *Page) Free() {
	back := p.back
	p.recs, p.subs, p.back = nil, nil, nil
	if back != nil {
		back()
	}
}

// Items appends the records of the page to deliver, and those for which skip is true to settled. A nil skip skips none.
func (p *Page) Items(skip []bool) (deliver, settled []Item) {
	deliver = make([]Item, 0, len(p.recs))
	for i := range p.recs {
		if it := (Item{p, int32(i)}); skip != nil && skip[i] { //nolint:gosec // a page has 10,000 records, or what their aggregates hold
			settled = append(settled, it)
		} else {
			deliver = append(deliver, it)
		}
	}
	return deliver, settled
}

// Point is the place of the i-th record.
func (p *Page) Point(i int) Point {
	it := Item{p, int32(i)} //nolint:gosec // as above
	at := Point{it.Seq(), batch.NoSub, it.Arrival()}
	if p.subs != nil && i+1 < len(p.recs) && (Item{p, it.I + 1}).Seq() == at.Seq {
		at.Sub = p.subs[i] // more of the aggregate follows
	}
	return at
}

// A Point is the last record of a prefix of the shard.
type Point struct {
	Seq     string
	Sub     int64     // the prefix ends with this user record of an aggregate; batch.NoSub: with the whole record
	Arrival time.Time // zero: unknown
}

// After is the place behind the point.
func (p Point) After() (checkpoint.Position, error) {
	if p.Sub == batch.NoSub {
		return checkpoint.After(p.Seq)
	}
	return checkpoint.AfterSub(p.Seq, p.Sub)
}

// An Item is one record of a page.
type Item struct {
	P *Page
	I int32
}

// Pos is the position of the record among all of its shard.
func (it Item) Pos() int64 { return it.P.First + int64(it.I) }

// Seq is the sequence number.
func (it Item) Seq() string { return aws.ToString(it.P.recs[it.I].SequenceNumber) }

// Key is the partition key, empty if the record has none.
func (it Item) Key() string { return aws.ToString(it.P.recs[it.I].PartitionKey) }

// Arrival is the approximate arrival time, zero if the record has none.
func (it Item) Arrival() time.Time { return aws.ToTime(it.P.recs[it.I].ApproximateArrivalTimestamp) }

// Sub is the place of the record in its aggregate, or batch.NoSub.
func (it Item) Sub() int64 {
	if it.P.subs == nil {
		return batch.NoSub
	}
	return it.P.subs[it.I]
}

// Record is the record itself. Its data is the page's.
func (it Item) Record() batch.Record {
	r := &it.P.recs[it.I]
	return batch.Record{
		PartitionKey: aws.ToString(r.PartitionKey), SequenceNumber: aws.ToString(r.SequenceNumber), Data: r.Data,
		Arrival: aws.ToTime(r.ApproximateArrivalTimestamp),
	}
}
