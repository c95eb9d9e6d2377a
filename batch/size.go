package batch

import (
	"encoding/base64"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// EventOverhead is the size in bytes of an event without its records: {"Records":[]} less the comma that the last
// record does not have. An event of records has EventOverhead plus the sum of their [RecordSize].
const EventOverhead = len(`{"Records":[]}`) - len(`,`)

// EventSize returns the size in bytes of ev as JSON, the size that the payload limit counts (L19, C6): the fields of L59
// and no others, data in base64, times as in L60, no HTML escapes. The JSON is not made for it.
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
	return fixed + quoted(k.KinesisSchemaVersion) + key(k.PartitionKey) + quoted(k.SequenceNumber) +
		base64.StdEncoding.EncodedLen(len(k.Data)) + seconds(k.ApproximateArrivalTimestamp.Time) +
		quoted(r.EventSource) + quoted(r.EventVersion) + quoted(r.EventID) + quoted(r.EventName) +
		quoted(r.InvokeIdentityArn) + quoted(r.AwsRegion) + quoted(r.EventSourceArn)
}

// Sizer returns a function that gives the [RecordSize] of records of s before there is an event: the Size of a
// [Batcher] whose Limits.Bytes is the payload limit less [EventOverhead].
func (s Source) Sizer() func(Record) int {
	one := s.Event(1, func(int) Record { return Record{Arrival: time.Unix(0, 0)} })
	fixed := RecordSize(one.Records[0]) - len(null) - len(`0`)
	return func(r Record) int {
		return fixed + key(r.PartitionKey) + 2*quoted(r.SequenceNumber) + // once more in eventID
			base64.StdEncoding.EncodedLen(len(r.Data)) + seconds(r.Arrival)
	}
}

// key returns the length of a partition key in JSON.
func key(s string) int {
	if s == "" {
		return len(null)
	}
	return quoted(s) + len(`""`)
}

// quoted returns the length of s as a JSON string, without the quotes.
func quoted(s string) int {
	n, i := len(s), 0
	for i+8 <= len(s) && unescaped(s[i:i+8]) {
		i += 8
	}
	for i < len(s) {
		c := s[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case c >= ' ' && c != '"' && c != '\\':
			case c == '"', c == '\\', c == '\b', c == '\f', c == '\n', c == '\r', c == '\t':
				n++
			default:
				n += len(`\u0000`) - 1
			}
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 || r == '\u2028' || r == '\u2029' {
			n += len(`\ufffd`) - size
		}
		i += size
	}
	return n
}

// unescaped tells whether the first eight bytes of s stand for themselves in a JSON string: none is a control character,
// a quote, a backslash or beyond ASCII. It looks at all of them at once: a byte of x less one borrows into its top bit
// if it was zero.
func unescaped(s string) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	_ = s[7]
	x := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	quote, backslash := x^ones*'"', x^ones*'\\'
	return (x|(x-ones*' ')|(quote-ones)|(backslash-ones))&tops == 0
}

// seconds returns the length of t as Unix seconds with up to three decimals (L60), or as null.
func seconds(t time.Time) int {
	if t.IsZero() {
		return len(null)
	}
	ms := t.UnixMilli()
	n := 1
	if ms < 0 {
		n, ms = 2, -ms
	}
	for s := uint64(ms) / 1000; s >= 10; s /= 10 {
		n++
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
