package batch

import (
	"encoding/base64"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch/internal/jsontext"
)

// EventOverhead is the size in bytes of an event without its records: {"Records":[]} less the comma that the last
// record does not have. An event of records has EventOverhead plus the sum of their [RecordSize].
const EventOverhead = len(`{"Records":[]}`) - len(`,`)

// EventSize returns the size in bytes of ev as [AppendEvent] writes it, the size that the payload limit counts. The JSON is
// not made for it.
func EventSize(ev events.KinesisEvent) int {
	if len(ev.Records) == 0 {
		return EventOverhead + len(`,`)
	}
	size := EventOverhead
	for i := range ev.Records {
		size += RecordSize(ev.Records[i])
	}
	return size
}

// RecordSize returns what r adds to the size of an event: its JSON object and one comma.
func RecordSize(r events.KinesisEventRecord) int {
	const fixed = len(`{"kinesis":{"kinesisSchemaVersion":"","partitionKey":,"sequenceNumber":"","data":"","approximateArrivalTimestamp":},` +
		`"eventSource":"","eventVersion":"","eventID":"","eventName":"","invokeIdentityArn":"","awsRegion":"","eventSourceARN":""},`)
	k := &r.Kinesis
	return fixed + jsontext.Len(k.KinesisSchemaVersion) + key(k.PartitionKey) + jsontext.Len(k.SequenceNumber) +
		base64.StdEncoding.EncodedLen(len(k.Data)) + seconds(k.ApproximateArrivalTimestamp.Time) +
		jsontext.Len(r.EventSource) + jsontext.Len(r.EventVersion) + jsontext.Len(r.EventID) + jsontext.Len(r.EventName) +
		jsontext.Len(r.InvokeIdentityArn) + jsontext.Len(r.AwsRegion) + jsontext.Len(r.EventSourceArn)
}

// Sizer returns a function that gives the [RecordSize] of records of s before there is an event: the Size of a
// [Batcher] whose Limits.Bytes is the payload limit less [EventOverhead].
func (s Source) Sizer() func(Record) int {
	one := s.Event(1, func(int) Record { return Record{Arrival: time.Unix(0, 0)} })
	fixed := RecordSize(one.Records[0]) - len(null) - len(`0`)
	return func(r Record) int {
		return fixed + key(r.PartitionKey) + 2*jsontext.Len(r.SequenceNumber) + // once more in eventID
			base64.StdEncoding.EncodedLen(len(r.Data)) + seconds(r.Arrival)
	}
}

// key returns the length of a partition key in JSON.
func key(s string) int {
	if s == "" {
		return len(null)
	}
	return jsontext.Len(s) + len(`""`)
}

// seconds returns the length of t as Unix seconds with up to three decimals (L60), or as null.
func seconds(t time.Time) int {
	if t.IsZero() {
		return len(null)
	}
	ms := t.UnixMilli()
	n := 10
	if s := ms / 1000; s < 1e9 || s >= 1e10 { // before 2001, or behind 2286
		n = 1
		if ms < 0 {
			n, ms = 2, -ms
		}
		for s := uint64(ms) / 1000; s >= 10; s /= 10 {
			n++
		}
	}
	switch ms %= 1000; {
	case ms == 0:
		return n
	case ms%100 == 0:
		return n + len(".0")
	case ms%10 == 0:
		return n + len(".00")
	}
	return n + len(".000")
}
