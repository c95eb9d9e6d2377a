package batch_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"
	"github.com/shardlane/shardlane/batch"
	"pgregory.net/rapid"
)

// TestEvent holds the fields of L59–L61, and L5: nothing that a handler does to an event reaches the source, another
// record or another attempt.
func TestEvent(t *testing.T) {
	t.Attr("rule", "L5")
	t.Attr("rule", "L59")
	t.Attr("rule", "L60")
	t.Attr("rule", "L61")
	src := source
	src.IdentityARN = "arn:aws:iam::123456789012:role/billing"
	arrival := time.Date(2026, 3, 5, 15, 6, 58, 250_999_999, time.FixedZone("CET", 3600))
	data := [][]byte{[]byte("one"), nil, []byte("three")}
	calls := 0
	build := func() events.KinesisEvent {
		return src.Event(len(data), func(i int) batch.Record {
			calls++
			return batch.Record{PartitionKey: fmt.Sprint("key", i), SequenceNumber: fmt.Sprint(49 + i), Data: data[i], Arrival: arrival}
		})
	}
	ev := build()
	want := events.KinesisEventRecord{
		AwsRegion: "eu-west-1", EventID: "shardId-000000000007:51", EventName: "aws:kinesis:record", EventSource: "aws:kinesis",
		EventSourceArn: "arn:aws:kinesis:eu-west-1:123456789012:stream/orders", EventVersion: "1.0",
		InvokeIdentityArn: "arn:aws:iam::123456789012:role/billing",
		Kinesis: events.KinesisRecord{
			ApproximateArrivalTimestamp: events.SecondsEpochTime{Time: time.Date(2026, 3, 5, 14, 6, 58, 250_000_000, time.UTC)},
			Data:                        []byte("three"), PartitionKey: "key2", SequenceNumber: "51", KinesisSchemaVersion: "1.0",
		},
	}
	if diff := cmp.Diff(want, ev.Records[2]); diff != "" || calls != 3 {
		t.Errorf("%d calls (-want +got):\n%s", calls, diff)
	}
	if loc := ev.Records[0].Kinesis.ApproximateArrivalTimestamp.Location(); loc != time.UTC {
		t.Errorf("times in %v", loc)
	}
	if d := ev.Records[1].Kinesis.Data; d == nil || len(d) != 0 {
		t.Errorf("no data is %#v, want empty", d)
	}
	for i := range ev.Records {
		k := &ev.Records[i].Kinesis
		_ = append(k.Data, 'X')
		if got := string(ev.Records[2].Kinesis.Data); got != "three" {
			t.Errorf("an append reached a neighbour: %q", got)
		}
		k.PartitionKey = "changed"
	}
	copy(ev.Records[2].Kinesis.Data, "XXXXX")
	ev = build()
	for i, r := range ev.Records {
		if !bytes.Equal(r.Kinesis.Data, []byte([]string{"one", "", "three"}[i])) || r.Kinesis.PartitionKey != fmt.Sprint("key", i) {
			t.Errorf("the next attempt sees %+v", r)
		}
	}
	if ev := src.Event(0, nil); ev.Records == nil || len(ev.Records) != 0 {
		t.Errorf("an empty event is %+v", ev)
	}
	r := batch.Record{PartitionKey: "k", SequenceNumber: "49", Data: data[0], Arrival: arrival}
	if n := testing.AllocsPerRun(20, func() { src.Event(100, func(int) batch.Record { return r }) }); n > 3 {
		t.Errorf("%v allocations", n)
	}
}

// quote is s as a JSON string, by a table of its own: encoding/json writes what is not UTF-8 as Go's version has it.
func quote(s string) string {
	escapes := map[rune]string{
		'"': `\"`, '\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`, 0x2028: `\u2028`, 0x2029: `\u2029`,
	}
	var out strings.Builder
	out.WriteByte('"')
	for i, r := range s {
		escape, ok := escapes[r]
		switch {
		case ok:
			out.WriteString(escape)
		case r < ' ':
			fmt.Fprintf(&out, `\u%04x`, r)
		case r == '\ufffd' && !strings.HasPrefix(s[i:], "\ufffd"):
			out.WriteString(`\ufffd`)
		default:
			out.WriteRune(r)
		}
	}
	return out.String() + `"`
}

// eventJSON writes ev as section 10 of the rules shows it.
func eventJSON(ev events.KinesisEvent) string {
	var records []string
	for _, r := range ev.Records {
		k, key, at := r.Kinesis, "null", "null"
		if k.PartitionKey != "" {
			key = quote(k.PartitionKey)
		}
		if t := k.ApproximateArrivalTimestamp; !t.IsZero() {
			ms, sign := t.UnixMilli(), ""
			if ms < 0 {
				sign, ms = "-", -ms
			}
			at = sign + strconv.FormatInt(ms/1000, 10)
			if frac := strings.TrimRight(fmt.Sprintf("%03d", ms%1000), "0"); frac != "" {
				at += "." + frac
			}
		}
		records = append(records, `{"kinesis":{"kinesisSchemaVersion":`+quote(k.KinesisSchemaVersion)+`,"partitionKey":`+key+
			`,"sequenceNumber":`+quote(k.SequenceNumber)+`,"data":"`+base64.StdEncoding.EncodeToString(k.Data)+
			`","approximateArrivalTimestamp":`+at+`},"eventSource":`+quote(r.EventSource)+`,"eventVersion":`+quote(r.EventVersion)+
			`,"eventID":`+quote(r.EventID)+`,"eventName":`+quote(r.EventName)+`,"invokeIdentityArn":`+quote(r.InvokeIdentityArn)+
			`,"awsRegion":`+quote(r.AwsRegion)+`,"eventSourceARN":`+quote(r.EventSourceArn)+`}`)
	}
	return `{"Records":[` + strings.Join(records, ",") + `]}`
}

// TestSizeExample takes the record of section 10, to the byte.
func TestSizeExample(t *testing.T) {
	t.Attr("rule", "L59")
	t.Attr("rule", "C6")
	const want = `{"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"customer-17","sequenceNumber":"4967",` +
		`"data":"eyJrIjoidiJ9","approximateArrivalTimestamp":1772719618.25},` +
		`"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"shardId-000000000007:4967",` +
		`"eventName":"aws:kinesis:record","invokeIdentityArn":"",` +
		`"awsRegion":"eu-west-1","eventSourceARN":"arn:aws:kinesis:eu-west-1:123456789012:stream/orders"}]}`
	ev := source.Event(1, func(int) batch.Record {
		return batch.Record{PartitionKey: "customer-17", SequenceNumber: "4967", Data: []byte(`{"k":"v"}`), Arrival: time.UnixMilli(1772719618250)}
	})
	if got := eventJSON(ev); got != want || batch.EventSize(ev) != len(want) {
		t.Errorf("size %d, want %d; the test's own JSON is %s", batch.EventSize(ev), len(want), got)
	}
}

// TestSize compares the computed sizes with JSON that is made for it (L19, C6, L60).
func TestSize(t *testing.T) {
	t.Attr("rule", "L19")
	t.Attr("rule", "L60")
	t.Attr("rule", "C6")
	text := rapid.OneOf(rapid.String(), rapid.Custom(func(t *rapid.T) string {
		return string(rapid.SliceOfN(rapid.Byte(), 0, 12).Draw(t, "bytes")) // broken UTF-8 and control characters
	}), rapid.SampledFrom([]string{"<&>", "\u2028\u2029", "\ufffd", "\x7f\x00\b\f\n\r\t\"\\/"}))
	instant := rapid.OneOf(rapid.Int64Range(-5000, 5000), rapid.Int64Range(0, 4e12), rapid.Map(rapid.Int64Range(-1, 1e7), func(n int64) int64 { return n * 100 }))
	rapid.Check(t, func(t *rapid.T) {
		src := batch.Source{StreamARN: text.Draw(t, "arn"), Region: text.Draw(t, "region"), Shard: text.Draw(t, "shard"), IdentityARN: text.Draw(t, "identity")}
		// The parts of eventID are whole characters.
		src.Shard = strings.ToValidUTF8(src.Shard, "?")
		rs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) batch.Record {
			return batch.Record{
				PartitionKey: text.Draw(t, "key"), SequenceNumber: text.Draw(t, "number"), Data: rapid.SliceOf(rapid.Byte()).Draw(t, "data"),
				Arrival: time.UnixMilli(instant.Draw(t, "ms")),
			}
		}), 0, 4).Draw(t, "records")
		ev := src.Event(len(rs), func(i int) batch.Record { return rs[i] })
		want := len(eventJSON(ev))
		sum, sizer := batch.EventOverhead, src.Sizer()
		for _, r := range rs {
			sum += sizer(r)
		}
		if len(rs) == 0 {
			sum++
		}
		if got := batch.EventSize(ev); got != want || sum != want {
			t.Fatalf("EventSize %d, by Sizer %d, JSON %d", got, sum, want)
		}
	})
}

// TestSizeEscapes puts characters that JSON escapes at every place of a key.
func TestSizeEscapes(t *testing.T) {
	t.Attr("rule", "C6")
	plain := strings.Repeat("k", 17)
	for _, c := range []string{"\"", "\\", "\n", "\x01", "\x1f", "\x7f", "é", "\x80", "\xff", "<", " ", "\u2028"} {
		for i := range plain {
			ev := event(plain[:i] + c + plain[i+1:])
			if got, want := batch.EventSize(ev), len(eventJSON(ev)); got != want {
				t.Errorf("%q at %d: size %d, want %d", c, i, got, want)
			}
		}
	}
}

// TestPayloadLimit fills batches up to a limit: each one fits, and none would have room for the next record.
func TestPayloadLimit(t *testing.T) {
	t.Attr("rule", "L17")
	t.Attr("rule", "L19")
	const limit = 5000
	sizer := source.Sizer()
	b := batch.Batcher[batch.Record]{Limits: batch.Limits{Bytes: limit - batch.EventOverhead}, Size: sizer}
	for i := range 100 {
		b.Add(time.Time{}, batch.Record{PartitionKey: "k", SequenceNumber: fmt.Sprint(i), Data: make([]byte, i*7%300)})
	}
	batches := slices.Collect(b.Flush())
	for i, rs := range batches {
		size := batch.EventSize(source.Event(len(rs), func(i int) batch.Record { return rs[i] }))
		if size > limit || i+1 < len(batches) && size+sizer(batches[i+1][0]) <= limit {
			t.Errorf("batch %d of %d records has %d bytes", i, len(rs), size)
		}
	}
}

func BenchmarkSizer(b *testing.B) {
	r := batch.Record{PartitionKey: "customer-17", SequenceNumber: strings.Repeat("4", 56), Data: make([]byte, 1000), Arrival: time.UnixMilli(1772719618257)}
	size := source.Sizer()
	for b.Loop() {
		size(r)
	}
}

func BenchmarkEvent(b *testing.B) {
	const n = 100
	keys, numbers := make([]string, n), make([]string, n)
	for i := range n {
		keys[i], numbers[i] = fmt.Sprint("customer-", i), fmt.Sprintf("%056d", i)
	}
	for _, size := range []int{100, 1000} {
		data := make([]byte, size)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				source.Event(n, func(i int) batch.Record {
					return batch.Record{PartitionKey: keys[i], SequenceNumber: numbers[i], Data: data, Arrival: time.UnixMilli(1772719618257)}
				})
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/record")
		})
	}
}
