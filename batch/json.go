package batch

import (
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch/internal/jsontext"
)

// AppendEvent appends ev as JSON to b, as Lambda writes it: the fields of its records in Lambda's order, data in base64,
// times as Unix seconds with up to three decimals, null for an absent key or time, no HTML escapes. It appends [EventSize] bytes.
func AppendEvent(b []byte, ev events.KinesisEvent) []byte {
	return appendEvent(b, ev.Records, nil, "", "")
}

// appendEvent appends an event, in window mode with the fields of L48.
func appendEvent(b []byte, rs []events.KinesisEventRecord, w *Window, shard, arn string) []byte {
	b = append(b, `{"Records":[`...)
	for i := range rs {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendRecord(b, &rs[i])
	}
	b = append(b, ']')
	if w != nil {
		b = jsontext.AppendString(append(b, `,"shardId":`...), shard)
		b = jsontext.AppendString(append(b, `,"eventSourceARN":`...), arn)
		b = append(b, ',')
		b = appendWindow(b, w)
	}
	return append(b, '}')
}

// appendWindow appends the window's fields, and its state where there is one.
func appendWindow(b []byte, w *Window) []byte {
	const layout = `"2006-01-02T15:04:05Z"`
	b = w.Start.UTC().AppendFormat(append(b, `"window":{"start":`...), layout)
	b = w.End.UTC().AppendFormat(append(b, `,"end":`...), layout)
	b = append(b, '}')
	if w.State != nil {
		b = append(append(b, `,"state":`...), w.State...)
	}
	b = strconv.AppendBool(append(b, `,"isFinalInvokeForWindow":`...), w.Final)
	return strconv.AppendBool(append(b, `,"isWindowTerminatedEarly":`...), w.Early)
}

func appendRecord(b []byte, r *events.KinesisEventRecord) []byte {
	k := &r.Kinesis
	b = jsontext.AppendString(append(b, `{"kinesis":{"kinesisSchemaVersion":`...), k.KinesisSchemaVersion)
	b = appendKey(append(b, `,"partitionKey":`...), k.PartitionKey)
	b = jsontext.AppendString(append(b, `,"sequenceNumber":`...), k.SequenceNumber)
	b = base64.StdEncoding.AppendEncode(append(b, `,"data":"`...), k.Data)
	b = appendArrival(append(b, `","approximateArrivalTimestamp":`...), k.ApproximateArrivalTimestamp.Time)
	b = jsontext.AppendString(append(b, `},"eventSource":`...), r.EventSource)
	b = jsontext.AppendString(append(b, `,"eventVersion":`...), r.EventVersion)
	b = jsontext.AppendString(append(b, `,"eventID":`...), r.EventID)
	b = jsontext.AppendString(append(b, `,"eventName":`...), r.EventName)
	b = jsontext.AppendString(append(b, `,"invokeIdentityArn":`...), r.InvokeIdentityArn)
	b = jsontext.AppendString(append(b, `,"awsRegion":`...), r.AwsRegion)
	b = jsontext.AppendString(append(b, `,"eventSourceARN":`...), r.EventSourceArn)
	return append(b, '}')
}

// appendState writes the state of a window, its keys in order.
func appendState(b []byte, state map[string]string) []byte {
	b = append(b, '{')
	for i, key := range slices.Sorted(maps.Keys(state)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = jsontext.AppendString(append(jsontext.AppendString(b, key), ':'), state[key])
	}
	return append(b, '}')
}

// appendKey writes a partition key, null for a record without one (C26).
func appendKey(b []byte, key string) []byte {
	if key == "" {
		return append(b, null...)
	}
	return jsontext.AppendString(b, key)
}

// appendArrival writes a time of arrival, null for a record without one (C27).
func appendArrival(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, null...)
	}
	return appendSeconds(b, t.UnixMilli())
}

// null is what a record has in JSON for an absent field.
const null = "null"

// appendSeconds writes milliseconds as seconds with up to three decimals, no trailing zeros and no exponent (L60, P2).
func appendSeconds(b []byte, ms int64) []byte {
	if ms < 0 {
		b, ms = append(b, '-'), -ms
	}
	b = strconv.AppendInt(b, ms/1000, 10)
	if ms %= 1000; ms > 0 {
		b = append(b, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
		for b[len(b)-1] == '0' {
			b = b[:len(b)-1]
		}
	}
	return b
}

func appendInt(b []byte, n int) []byte { return strconv.AppendInt(b, int64(n), 10) }
