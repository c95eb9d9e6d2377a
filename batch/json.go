package batch

import (
	"encoding/base64"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// AppendEvent appends ev as JSON to b, as Lambda writes it: the fields of L59 in their order, times as in L60, data in
// base64, no HTML escapes. It appends [EventSize] bytes.
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
		b = appendString(append(b, `,"shardId":`...), shard)
		b = appendString(append(b, `,"eventSourceARN":`...), arn)
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
	b = appendString(append(b, `{"kinesis":{"kinesisSchemaVersion":`...), k.KinesisSchemaVersion)
	b = appendKey(append(b, `,"partitionKey":`...), k.PartitionKey)
	b = appendString(append(b, `,"sequenceNumber":`...), k.SequenceNumber)
	b = base64.StdEncoding.AppendEncode(append(b, `,"data":"`...), k.Data)
	b = appendArrival(append(b, `","approximateArrivalTimestamp":`...), k.ApproximateArrivalTimestamp.Time)
	b = appendString(append(b, `},"eventSource":`...), r.EventSource)
	b = appendString(append(b, `,"eventVersion":`...), r.EventVersion)
	b = appendString(append(b, `,"eventID":`...), r.EventID)
	b = appendString(append(b, `,"eventName":`...), r.EventName)
	b = appendString(append(b, `,"invokeIdentityArn":`...), r.InvokeIdentityArn)
	b = appendString(append(b, `,"awsRegion":`...), r.AwsRegion)
	b = appendString(append(b, `,"eventSourceARN":`...), r.EventSourceArn)
	return append(b, '}')
}

// appendKey writes a partition key, null for a record without one (C26).
func appendKey(b []byte, key string) []byte {
	if key == "" {
		return append(b, null...)
	}
	return appendString(b, key)
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

// appendString writes s as a JSON string without HTML escapes; its length is that of quoted and two quotes. What is not
// UTF-8 becomes U+FFFD, as in encoding/json.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			b = append(b, s[from:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\b':
				b = append(b, `\b`...)
			case '\f':
				b = append(b, `\f`...)
			case '\n':
				b = append(b, `\n`...)
			case '\r':
				b = append(b, `\r`...)
			case '\t':
				b = append(b, `\t`...)
			default:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			i++
			from = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 || r == '\u2028' || r == '\u2029' {
			b = append(b, s[from:i]...)
			b = append(b, '\\', 'u', hex[r>>12], hex[r>>8&15], hex[r>>4&15], hex[r&15])
			from = i + size
		}
		i += size
	}
	return append(append(b, s[from:]...), '"')
}
