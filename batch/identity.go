package batch

import (
	"context"
	"fmt"
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
// differs between the records of a KPL aggregate, which share sequence number and event id (C21). It is made to be
// stored: a sink that keeps the identities it has seen can leave out what comes again (L26). It is
// "<shard id>:<sequence number>", the event id, and "/<index>" after it for a record of an aggregate.
//
// rs is the slice that the handler or interceptor got, or records of it. Records of an aggregate are known by position,
// else by their data, else by partition key where that leaves no doubt; Identity panics where it does, which takes an
// interceptor that replaces the data of records, drops others of the same aggregate and key, and so hides which ones.
func Identity(ctx context.Context, rs []events.KinesisEventRecord, i int) string {
	r := &rs[i]
	id := r.EventID
	if id == "" {
		id = r.Kinesis.SequenceNumber
	}
	subs, ok := ctx.Value(subsKey{}).(*subRecords)
	if !ok {
		return id
	}
	switch sub := subs.of(rs)[i]; sub {
	case NoSub:
		return id
	case unknown:
		panic(fmt.Sprintf("batch: no identity: an interceptor dropped and changed records of the aggregate %s", id))
	default:
		return id + "/" + strconv.FormatInt(sub, 10)
	}
}

type subsKey struct{}

// subRecords says which records of an event come from where in their aggregate.
type subRecords struct {
	rs    []events.KinesisEventRecord
	data  []*byte // where the data of rs starts, nil for none; a handler may set r.Kinesis.Data
	ids   []string
	index []int64
}

// WithSubRecords returns a ctx in which rs[i] is known as the sub-record index[i] of its aggregate, or as an ordinary
// record where index[i] is [NoSub]. What splits aggregates outside a consumer calls it; consumers set
// [Invocation.Subs]. It panics if the lengths differ.
func WithSubRecords(ctx context.Context, rs []events.KinesisEventRecord, index []int64) context.Context {
	if len(rs) != len(index) {
		panic(fmt.Sprintf("batch: WithSubRecords of %d records and %d indexes", len(rs), len(index)))
	}
	s := &subRecords{rs: rs, data: make([]*byte, len(rs)), ids: sequences(rs), index: index}
	for i := range rs {
		s.data[i] = start(rs[i].Kinesis.Data)
	}
	return context.WithValue(ctx, subsKey{}, s)
}

// follow returns ctx with the sub-records for rs, the records that an interceptor passes on.
func follow(ctx context.Context, rs []events.KinesisEventRecord) context.Context {
	subs, ok := ctx.Value(subsKey{}).(*subRecords)
	if !ok || subs.same(rs) {
		return ctx
	}
	return WithSubRecords(ctx, rs, subs.of(rs))
}

// same tells whether rs is the slice that s was made for.
func (s *subRecords) same(rs []events.KinesisEventRecord) bool {
	return len(rs) == len(s.rs) && (len(rs) == 0 || &rs[0] == &s.rs[0])
}

// of returns the index in its aggregate of each of rs.
func (s *subRecords) of(rs []events.KinesisEventRecord) []int64 {
	if s.same(rs) {
		return s.index
	}
	type name struct{ id, key string }
	whole := map[string]bool{} // sequence numbers of ordinary records
	byData := map[*byte]int{}  // start of data → position in s.rs
	for i, at := range s.data {
		if s.index[i] == NoSub {
			whole[s.ids[i]] = true
		} else if at != nil {
			byData[at] = i
		}
	}
	out := make([]int64, len(rs))
	found := make([]bool, len(s.rs))
	rest := map[name][]int{} // positions in rs that their data does not tell
	for j := range rs {
		k := &rs[j].Kinesis
		i, ok := byData[start(k.Data)]
		switch {
		case ok && s.ids[i] == k.SequenceNumber:
			out[j], found[i] = s.index[i], true
		case whole[k.SequenceNumber]:
			out[j] = NoSub
		default:
			out[j] = NoSub // a record that the interceptor made up
			rest[name{k.SequenceNumber, k.PartitionKey}] = append(rest[name{k.SequenceNumber, k.PartitionKey}], j)
		}
	}
	if len(rest) == 0 {
		return out
	}
	left, aggregate := map[name][]int64{}, map[string]bool{}
	for i, r := range s.rs {
		aggregate[s.ids[i]] = true
		if !found[i] && s.index[i] != NoSub {
			left[name{s.ids[i], r.Kinesis.PartitionKey}] = append(left[name{s.ids[i], r.Kinesis.PartitionKey}], s.index[i])
		}
	}
	for n, at := range rest {
		for x, j := range at {
			if len(left[n]) == len(at) {
				out[j] = left[n][x]
			} else if aggregate[n.id] {
				out[j] = unknown
			}
		}
	}
	return out
}

// start returns the address of the first byte of b, nil if there is none.
func start(b []byte) *byte {
	if len(b) == 0 {
		return nil
	}
	return &b[0]
}
