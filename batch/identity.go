package batch

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/aws/aws-lambda-go/events"
)

const (
	// NoSub is the sub-record index of a record that does not come from a KPL aggregate.
	NoSub int64 = -1
	// unknown is the index of a record that an interceptor changed beyond recognition.
	unknown int64 = -2
)

// Identity returns a key for the i-th of rs that is the same in every delivery of that record, here and in Lambda, and
// differs between the records of a KPL aggregate, which share sequence number and event id. It is made to be
// stored: a sink that keeps the identities it has seen can leave out what comes again. It is
// "<shard id>:<sequence number>", the event id, and "/<index>" after it for a record of an aggregate.
//
// rs is the slice that the handler or interceptor got, or records of it; ctx is the one that came with it. A record of
// an aggregate is known by its place and its data, or by its partition key and order where that leaves no doubt.
// Identity panics where it does leave doubt: behind an interceptor that drops some records of an aggregate and replaces
// the data of others.
func Identity(ctx context.Context, rs []events.KinesisEventRecord, i int) string {
	r := &rs[i]
	id := r.EventID
	if id == "" {
		id = r.Kinesis.SequenceNumber
	}
	s, ok := ctx.Value(subsKey{}).(*subRecords)
	if !ok {
		return id
	}
	var sub int64
	if len(rs) == len(s.marks) && s.marks[i] == markOf(r) {
		sub = s.index[i]
	} else {
		sub = s.of(rs)[i]
	}
	switch sub {
	case NoSub:
		return id
	case unknown:
		panic(fmt.Sprintf("batch: no identity: an interceptor dropped and changed records of the aggregate %s", id))
	}
	return id + "/" + strconv.FormatInt(sub, 10)
}

type subsKey struct{}

// subRecords says which records of an event come from where in their aggregate.
type subRecords struct {
	marks []mark  // of the records, as they were when the handler or interceptor got them
	index []int64 // of the records in their aggregates
}

// mark is what a record is known by when it comes back from an interceptor.
type mark struct {
	id, key string
	data    *byte // where the data starts, nil if it is empty: then the mark is not unique
}

func markOf(r *events.KinesisEventRecord) mark {
	m := mark{id: r.Kinesis.SequenceNumber, key: r.Kinesis.PartitionKey}
	if len(r.Kinesis.Data) > 0 {
		m.data = &r.Kinesis.Data[0]
	}
	return m
}

// WithSubRecords returns a ctx in which rs[i] is known as the sub-record index[i] of its aggregate, or as an ordinary
// record where index[i] is [NoSub]. What splits aggregates outside a consumer calls it; consumers set
// [Invocation.Subs]. It panics if the lengths differ.
func WithSubRecords(ctx context.Context, rs []events.KinesisEventRecord, index []int64) context.Context {
	if len(rs) != len(index) {
		panic(fmt.Sprintf("batch: WithSubRecords of %d records and %d indexes", len(rs), len(index)))
	}
	s := &subRecords{marks: make([]mark, len(rs)), index: index}
	for i := range rs {
		s.marks[i] = markOf(&rs[i])
	}
	return context.WithValue(ctx, subsKey{}, s)
}

// follow returns ctx with the sub-records for rs, the records that go on from here.
func follow(ctx context.Context, rs []events.KinesisEventRecord) context.Context {
	s, ok := ctx.Value(subsKey{}).(*subRecords)
	if !ok {
		return ctx
	}
	return WithSubRecords(ctx, rs, s.of(rs))
}

// narrow returns a function that returns ctx with the sub-record for one of rs.
func narrow(ctx context.Context, rs []events.KinesisEventRecord) func(i int) context.Context {
	s, ok := ctx.Value(subsKey{}).(*subRecords)
	if !ok {
		return func(int) context.Context { return ctx }
	}
	index := s.of(rs)
	return func(i int) context.Context { return WithSubRecords(ctx, rs[i:i+1], index[i:i+1]) }
}

// same tells whether rs are the records of s, unchanged.
func (s *subRecords) same(rs []events.KinesisEventRecord) bool {
	if len(rs) != len(s.marks) {
		return false
	}
	for i := range rs {
		if s.marks[i] != markOf(&rs[i]) {
			return false
		}
	}
	return true
}

// of returns the index in its aggregate of each of rs. Besides the sequence number it goes by the data, then by the key,
// then by nothing else. What several records share counts, in their order, if as many of rs have it as of s.
func (s *subRecords) of(rs []events.KinesisEventRecord) []int64 {
	if s.same(rs) {
		return s.index
	}
	out := make([]int64, len(rs))
	whole, aggregate := map[string]bool{}, map[string]bool{} // sequence numbers
	var from, to []int                                       // positions in s and in rs that are not matched yet
	for i, m := range s.marks {
		if s.index[i] == NoSub {
			whole[m.id] = true
			continue
		}
		aggregate[m.id] = true
		from = append(from, i)
	}
	for j := range rs {
		id := rs[j].Kinesis.SequenceNumber
		out[j] = NoSub
		if aggregate[id] && !whole[id] { // else an ordinary record, or one that an interceptor made
			out[j] = unknown
			to = append(to, j)
		}
	}
	for _, weaken := range []func(mark) mark{
		func(m mark) mark { return mark{id: m.id, data: m.data} },
		func(m mark) mark { return mark{id: m.id, key: m.key} },
		func(m mark) mark { return mark{id: m.id} },
	} {
		have, want := map[mark][]int{}, map[mark][]int{}
		for _, i := range from {
			m := weaken(s.marks[i])
			have[m] = append(have[m], i)
		}
		for _, j := range to {
			m := weaken(markOf(&rs[j]))
			want[m] = append(want[m], j)
		}
		from, to = nil, nil
		for m, is := range have {
			js := want[m]
			// One record, which may be passed on more than once.
			one := m.data != nil && !slices.ContainsFunc(is, func(i int) bool { return s.index[i] != s.index[is[0]] })
			if len(js) == 0 || len(is) != len(js) && !one {
				from = append(from, is...)
				continue
			}
			for x, j := range js {
				out[j] = s.index[is[min(x, len(is)-1)]]
			}
			delete(want, m)
		}
		for _, js := range want {
			to = append(to, js...)
		}
		slices.Sort(from)
		slices.Sort(to)
	}
	return out
}
