package batch

import (
	"strings"
	"time"
	"unsafe"

	"github.com/aws/aws-lambda-go/events"
)

// A Source is what all records of a shard have in common in an event.
type Source struct {
	StreamARN   string // eventSourceARN: the stream, or the stream consumer of enhanced fan-out
	Region      string // awsRegion
	Shard       string // the part of eventID before the colon
	IdentityARN string // invokeIdentityArn; package consumer leaves it empty
}

// A Record is what differs from record to record.
type Record struct {
	PartitionKey   string    // "": none, since a real key has at least one character; null in JSON
	SequenceNumber string    // decimal
	Data           []byte    // raw; base64 in JSON
	Arrival        time.Time // ApproximateArrivalTimestamp; zero: none, null in JSON
}

// NoAge is the age of a record whose time of arrival is not known.
const NoAge time.Duration = -1

// Age returns how old r is at now, at least 0, or [NoAge] if it has no time of arrival.
func (r Record) Age(now time.Time) time.Duration {
	if r.Arrival.IsZero() {
		return NoAge
	}
	return max(0, now.Sub(r.Arrival))
}

// Event builds the event of one attempt. The n records come from at, which is called once for each position. Their
// data is copied into one new block, each piece with its capacity cut to its length, so that a handler may change,
// append to and keep it without reaching the source or a neighbour. Keys and sequence numbers are copied into one string.
// Times are in UTC and truncated to milliseconds; that of a record without one is the zero time. An event has three
// allocations, whatever n.
func (s Source) Event(n int, at func(i int) Record) events.KinesisEvent {
	ev := events.KinesisEvent{Records: make([]events.KinesisEventRecord, n)}
	size, names := 0, 0
	for i := range ev.Records {
		in, k := at(i), &ev.Records[i].Kinesis
		k.Data, k.SequenceNumber, k.PartitionKey = in.Data, in.SequenceNumber, in.PartitionKey // replaced by copies below
		k.ApproximateArrivalTimestamp.Time = time.UnixMilli(in.Arrival.UnixMilli()).UTC()
		size += len(in.Data)
		names += len(s.Shard) + len(":") + len(in.SequenceNumber) + len(in.PartitionKey)
	}
	var ids, data strings.Builder // of which Grow clears nothing: all of it is written
	ids.Grow(names)
	data.Grow(size)
	for i := range ev.Records {
		k := &ev.Records[i].Kinesis
		data.Write(k.Data)
		ids.WriteString(s.Shard)
		ids.WriteByte(':')
		ids.WriteString(k.SequenceNumber)
		ids.WriteString(k.PartitionKey)
	}
	all, arena := ids.String(), written(&data)
	for i := range ev.Records {
		r := &ev.Records[i] // field by field: to set it as a whole costs more while garbage is collected
		k, from := &r.Kinesis, len(s.Shard)+len(":")
		to, end := from+len(k.SequenceNumber), from+len(k.SequenceNumber)+len(k.PartitionKey)
		r.EventID, k.SequenceNumber, k.PartitionKey, all = all[:to], all[from:to], all[to:end], all[end:]
		n := len(k.Data)
		k.Data, arena = arena[:n:n], arena[n:]
		r.AwsRegion, r.EventName, r.EventSource, r.EventSourceArn = s.Region, "aws:kinesis:record", "aws:kinesis", s.StreamARN
		r.EventVersion, r.InvokeIdentityArn, k.KinesisSchemaVersion = "1.0", s.IdentityARN, "1.0"
	}
	return ev
}

// written is what was written to b, to be changed by whom it is given to: nobody has it as a string.
func written(b *strings.Builder) []byte {
	if b.Len() == 0 {
		return []byte{}
	}
	return unsafe.Slice(unsafe.StringData(b.String()), b.Len())
}
