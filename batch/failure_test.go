package batch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"
	"github.com/shardlane/shardlane/batch"
	"pgregory.net/rapid"
)

// given returns the failure of section 7 of the rules, of a batch of records with these last digits of their sequence
// numbers. The first has arrived at 14:06:58.250, the last of several at 14:06:59.007.
func given(digits string) *batch.Failure {
	src := source
	src.IdentityARN = "arn:aws:iam::123456789012:role/billing"
	ev := src.Event(len(digits), func(i int) batch.Record {
		at := time.Date(2026, 3, 5, 14, 6, 58, 250_000_000, time.UTC)
		if i > 0 && i == len(digits)-1 {
			at = time.Date(2026, 3, 5, 15, 6, 59, 7_999_999, time.FixedZone("CET", 3600))
		}
		return batch.Record{
			PartitionKey: "customer-17", SequenceNumber: "4967100000000000000000000000000000000000000000000000001" + digits[i:i+1],
			Data: []byte(`{"k":"v"}`), Arrival: at,
		}
	})
	return &batch.Failure{
		Records: ev.Records, Condition: batch.RetryAttemptsExhausted, InvokeCount: 6, Responded: true, Unhandled: true,
		Time:      time.Date(2026, 3, 5, 15, 7, 21, 482_999_999, time.FixedZone("CET", 3600)),
		RequestID: "0f8b3c1e-5a44-4a0e-9a53-0d6d2f3f9b11", Shard: src.Shard, StreamARN: src.StreamARN,
		FunctionARN: "arn:aws:lambda:eu-west-1:123456789012:function:billing", ExecutedVersion: "$LATEST",
		MappingID: "5f0c2f6e-3f1b-4f43-9d53-6a4d3a1f7e10", ID: "b2c6a1de-8e0f-4f0c-a3a7-1d2f7d3b9a55",
	}
}

// section7 is the first document of section 7 as the rules show it, over several lines.
const section7 = `{"requestContext":{"requestId":"0f8b3c1e-5a44-4a0e-9a53-0d6d2f3f9b11",
                   "functionArn":"arn:aws:lambda:eu-west-1:123456789012:function:billing",
                   "condition":"RetryAttemptsExhausted",
                   "approximateInvokeCount":6},
 "responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},
 "version":"1.0",
 "timestamp":"2026-03-05T14:07:21.482Z",
 "KinesisBatchInfo":{"shardId":"shardId-000000000007",
                     "startSequenceNumber":"49671000000000000000000000000000000000000000000000000012",
                     "endSequenceNumber":"49671000000000000000000000000000000000000000000000000019",
                     "approximateArrivalOfFirstRecord":"2026-03-05T14:06:58.250Z",
                     "approximateArrivalOfLastRecord":"2026-03-05T14:06:59.007Z",
                     "batchSize":7,
                     "streamArn":"arn:aws:kinesis:eu-west-1:123456789012:stream/orders"}}`

// objectOfSection7 is its second document.
const objectOfSection7 = `{"requestContext":{"requestId":"0f8b3c1e-5a44-4a0e-9a53-0d6d2f3f9b11","functionArn":"billing","condition":"RetryAttemptsExhausted","approximateInvokeCount":6},
 "responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":null},
 "version":"1.0",
 "payload":"{\"Records\":[{\"kinesis\":{\"kinesisSchemaVersion\":\"1.0\",\"partitionKey\":\"customer-17\",\"sequenceNumber\":\"49671000000000000000000000000000000000000000000000000012\",\"data\":\"eyJrIjoidiJ9\",\"approximateArrivalTimestamp\":1772719618.25},\"eventSource\":\"aws:kinesis\",\"eventVersion\":\"1.0\",\"eventID\":\"shardId-000000000007:49671000000000000000000000000000000000000000000000000012\",\"eventName\":\"aws:kinesis:record\",\"invokeIdentityArn\":\"arn:aws:iam::123456789012:role/billing\",\"awsRegion\":\"eu-west-1\",\"eventSourceARN\":\"arn:aws:kinesis:eu-west-1:123456789012:stream/orders\"}]}",
 "timestamp":"2026-03-05T14:07:21.482Z",
 "KinesisBatchInfo":{"shardId":"shardId-000000000007","startSequenceNumber":"49671000000000000000000000000000000000000000000000000012","endSequenceNumber":"49671000000000000000000000000000000000000000000000000012","approximateArrivalOfFirstRecord":"2026-03-05T14:06:58.250Z","approximateArrivalOfLastRecord":"2026-03-05T14:06:58.250Z","batchSize":1,"streamArn":"arn:aws:kinesis:eu-west-1:123456789012:stream/orders"}}`

// oneLine removes the line breaks between the parts of a document, and their indents.
func oneLine(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(strings.TrimSpace(line))
	}
	return b.String()
}

// TestDocument compares documents with those of section 7, to the byte, and with what its table makes of them.
func TestDocument(t *testing.T) {
	t.Attr("rule", "L43")
	t.Attr("rule", "L44")
	t.Attr("rule", "L45")
	t.Attr("rule", "C12")
	t.Attr("rule", "C27")
	t.Attr("rule", "P3")
	const (
		seven     = "2456789"
		batchInfo = `"startSequenceNumber":"49671000000000000000000000000000000000000000000000000012",` +
			`"endSequenceNumber":"49671000000000000000000000000000000000000000000000000019",` +
			`"approximateArrivalOfFirstRecord":"2026-03-05T14:06:58.250Z","approximateArrivalOfLastRecord":"2026-03-05T14:06:59.007Z","batchSize":7,`
		response = `"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},`
	)
	berlin := time.FixedZone("CET", 3600)
	window := batch.Window{
		Start: time.Date(2026, 3, 5, 15, 7, 0, 0, berlin), End: time.Date(2026, 3, 5, 15, 8, 0, 0, berlin),
		State: json.RawMessage(`{"total":"41"}`), // in payloads only
	}
	const inWindow = `,"timeWindowInfo":{"window":{"start":"2026-03-05T14:07:00Z","end":"2026-03-05T14:08:00Z"},`
	for name, tt := range map[string]struct {
		digits string
		change func(f *batch.Failure)
		edits  []string // of the document of section 7: pairs of old and new
	}{
		"as shown": {seven, func(*batch.Failure) {}, nil},
		"a bad or partial response": {seven, func(f *batch.Failure) { f.Unhandled = false }, []string{
			`"functionError":"Unhandled"`, `"functionError":null`,
		}},
		"expired after attempts": {seven, func(f *batch.Failure) { f.Condition, f.Responded = batch.RecordAgeExceeded, false }, []string{
			"RetryAttemptsExhausted", "RecordAgeExceeded", response, "",
		}},
		"expired untried": {seven, func(f *batch.Failure) {
			f.Condition, f.Responded, f.Unhandled, f.InvokeCount = batch.RecordAgeExceeded, false, false, 1
		}, []string{
			"RetryAttemptsExhausted", "RecordAgeExceeded", response, "", `"approximateInvokeCount":6`, `"approximateInvokeCount":1`,
		}},
		"oversized": {"2", func(f *batch.Failure) { f.Responded, f.Unhandled = false, false }, []string{
			response, "", "000019", "000012", "14:06:59.007Z", "14:06:58.250Z", `"batchSize":7`, `"batchSize":1`,
		}},
		"other names": {seven, func(f *batch.Failure) {
			f.FunctionARN, f.ExecutedVersion, f.RequestID = "<billing> & \"more\"\n\x01\xff", "7", "é\u2028"
		}, []string{
			"arn:aws:lambda:eu-west-1:123456789012:function:billing", `<billing> & \"more\"\n\u0001\ufffd`, "$LATEST", "7",
			"0f8b3c1e-5a44-4a0e-9a53-0d6d2f3f9b11", `é\u2028`,
		}},
		"a consumer of enhanced fan-out": {seven, func(f *batch.Failure) { f.StreamARN += "/consumer/billing:1772719618" }, []string{
			"stream/orders", "stream/orders/consumer/billing:1772719618",
		}},
		"no times of arrival": {seven, func(f *batch.Failure) {
			for i := range f.Records {
				f.Records[i].Kinesis.ApproximateArrivalTimestamp = events.SecondsEpochTime{}
			}
		}, []string{`"2026-03-05T14:06:58.250Z"`, "null", `"2026-03-05T14:06:59.007Z"`, "null"}},
		"whole seconds": {seven, func(f *batch.Failure) { f.Time = time.Date(2026, 3, 5, 14, 7, 21, 999_999, time.UTC) }, []string{"21.482Z", "21.000Z"}},
		"a window": {seven, func(f *batch.Failure) { f.Window = &window }, []string{
			`stream/orders"}}`, `stream/orders"}` + inWindow + `"isFinalInvokeForWindow":false,"isWindowTerminatedEarly":false}}`,
		}},
		"a window's final call": {"", func(f *batch.Failure) { w := window; w.Final = true; f.Window = &w }, []string{
			batchInfo, "", `stream/orders"}}`, `stream/orders"}` + inWindow + `"isFinalInvokeForWindow":true,"isWindowTerminatedEarly":false}}`,
		}},
		"an early final call": {"", func(f *batch.Failure) { w := window; w.Final, w.Early = true, true; f.Window = &w }, []string{
			batchInfo, "", `stream/orders"}}`, `stream/orders"}` + inWindow + `"isFinalInvokeForWindow":true,"isWindowTerminatedEarly":true}}`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f, want := given(tt.digits), oneLine(section7)
			tt.change(f)
			for i := 0; i < len(tt.edits); i += 2 {
				if !strings.Contains(want, tt.edits[i]) {
					t.Fatalf("nothing to replace: %s", tt.edits[i])
				}
				want = strings.ReplaceAll(want, tt.edits[i], tt.edits[i+1])
			}
			if diff := cmp.Diff(want, string(f.Document())); diff != "" {
				t.Errorf("the document (-want +got):\n%s", diff)
			}
			// The document of a bucket is the same but for the payload, which is escaped by somebody else here.
			var payload strings.Builder
			enc := json.NewEncoder(&payload)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(string(f.Event())); err != nil {
				t.Fatal(err)
			}
			want = strings.Replace(want, `"version":"1.0",`, `"version":"1.0","payload":`+strings.TrimSpace(payload.String())+`,`, 1)
			if diff := cmp.Diff(want, string(f.PayloadDocument())); diff != "" {
				t.Errorf("the document of a bucket (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPayload compares the document of a bucket with that of section 7, its events with those of sections 8 and 10.
func TestPayload(t *testing.T) {
	t.Attr("rule", "L45")
	t.Attr("rule", "L48")
	t.Attr("rule", "L59")
	t.Attr("rule", "P2")
	f := given("2")
	f.FunctionARN, f.Unhandled = "billing", false
	if diff := cmp.Diff(oneLine(objectOfSection7), string(f.PayloadDocument())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := string(batch.AppendEvent([]byte("x"), events.KinesisEvent{Records: f.Records})); got != "x"+string(f.Event()) {
		t.Errorf("AppendEvent gives\n%s\nEvent\n%s", got, f.Event())
	}

	f.Records[0].Kinesis.PartitionKey = "<a&b>\u2028\"\\"
	event, object := string(f.Event()), string(f.PayloadDocument())
	if want := `"partitionKey":"<a&b>\u2028\"\\"`; !strings.Contains(event, want) {
		t.Errorf("the event %s has no %s", event, want)
	}
	if want := `\"partitionKey\":\"<a&b>\\u2028\\\"\\\\\"`; !strings.Contains(object, want) {
		t.Errorf("the document %s has no %s", object, want)
	}

	f = given("")
	f.Window = &batch.Window{
		Start: time.Date(2026, 3, 5, 14, 7, 0, 0, time.UTC), End: time.Date(2026, 3, 5, 14, 8, 0, 0, time.UTC),
		Final: true, State: json.RawMessage(`{"total":"41"}`),
	}
	const want = `{"Records":[],"shardId":"shardId-000000000007","eventSourceARN":"arn:aws:kinesis:eu-west-1:123456789012:stream/orders",` +
		`"window":{"start":"2026-03-05T14:07:00Z","end":"2026-03-05T14:08:00Z"},` +
		`"state":{"total":"41"},"isFinalInvokeForWindow":true,"isWindowTerminatedEarly":false}`
	if diff := cmp.Diff(want, string(f.Event())); diff != "" {
		t.Errorf("the final call (-want +got):\n%s", diff)
	}
	if object, want := string(f.PayloadDocument()), `"payload":"`+strings.ReplaceAll(want, `"`, `\"`)+`"`; !strings.Contains(object, want) {
		t.Errorf("the document %s has no %s", object, want)
	}
}

func TestObjectKey(t *testing.T) {
	t.Attr("rule", "L46")
	t.Attr("rule", "C12")
	f := given("2")
	const at = "aws/lambda/5f0c2f6e-3f1b-4f43-9d53-6a4d3a1f7e10/shardId-000000000007/2026/03/05/2026-03-05T14.07.21-"
	if got, want := f.ObjectKey(), at+"b2c6a1de-8e0f-4f0c-a3a7-1d2f7d3b9a55"; got != want {
		t.Errorf("key %s, want %s", got, want)
	}
	f.ID = ""
	if got, want := f.ObjectKey(), at+f.RequestID; got != want {
		t.Errorf("without an id, key %s, want %s", got, want)
	}
	f.Time = time.Date(2027, 1, 1, 0, 30, 0, 0, time.FixedZone("CET", 3600))
	if got := f.ObjectKey(); !strings.Contains(got, "/2026/12/31/2026-12-31T23.30.00-") {
		t.Errorf("the key %s is not in UTC", got)
	}
}

// TestAppendEvent holds the JSON of random events to the size that the payload limit counts, to a second encoder, and to
// what encoding/json reads from it.
func TestAppendEvent(t *testing.T) {
	t.Attr("rule", "L59")
	t.Attr("rule", "L60")
	t.Attr("rule", "C6")
	t.Attr("rule", "P2")
	text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 12), func(b []byte) string { return string(b) }),
		rapid.SampledFrom([]string{"<&>", "\u2028\u2029", "\ufffd", "\x7f\x00\b\f\n\r\t\"\\/\x1f", "\xe2\x80", "\xed\xa0\x80", "😀\xf0"}))
	ms := rapid.OneOf(rapid.Int64Range(-5000, 5000), rapid.Int64Range(0, 4e12), rapid.Map(rapid.Int64Range(-1e4, 1e7), func(n int64) int64 { return n * 100 }))
	rapid.Check(t, func(t *rapid.T) {
		rs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) record {
			return record{
				AwsRegion: text.Draw(t, "region"), EventID: text.Draw(t, "id"), EventName: text.Draw(t, "name"), EventSource: text.Draw(t, "source"),
				EventSourceArn: text.Draw(t, "arn"), EventVersion: text.Draw(t, "version"), InvokeIdentityArn: text.Draw(t, "identity"),
				Kinesis: events.KinesisRecord{
					ApproximateArrivalTimestamp: events.SecondsEpochTime{Time: time.UnixMilli(ms.Draw(t, "ms")).UTC()},
					Data:                        rapid.SliceOf(rapid.Byte()).Draw(t, "data"), PartitionKey: text.Draw(t, "key"),
					SequenceNumber: text.Draw(t, "number"), KinesisSchemaVersion: text.Draw(t, "schema"),
				},
			}
		}), 0, 4).Draw(t, "records")
		ev := events.KinesisEvent{Records: rs}
		b := batch.AppendEvent(nil, ev)
		if len(b) != batch.EventSize(ev) {
			t.Fatalf("%d bytes, EventSize %d:\n%s", len(b), batch.EventSize(ev), b)
		}
		if want := eventJSON(ev); string(b) != want {
			t.Fatalf("the event is\n%s\nwant\n%s", b, want)
		}

		// Times are read as text, because events reads them by way of a float64.
		type kinesis struct {
			events.KinesisRecord
			ApproximateArrivalTimestamp json.Number `json:"approximateArrivalTimestamp"`
		}
		var back struct {
			Records []struct {
				record
				Kinesis kinesis `json:"kinesis"`
			}
		}
		dec := json.NewDecoder(bytes.NewReader(b))
		if err := dec.Decode(&back); err != nil || back.Records == nil || len(back.Records) != len(rs) {
			t.Fatalf("error %v, %d records, want %d", err, len(back.Records), len(rs))
		}
		valid := func(s string) string { // what encoding/json makes of it
			var out string
			b, err := json.Marshal(s)
			if err = errors.Join(err, json.Unmarshal(b, &out)); err != nil {
				t.Fatal(err)
			}
			return out
		}
		for i, r := range back.Records {
			want := rs[i]
			for _, s := range []*string{
				&want.AwsRegion, &want.EventID, &want.EventName, &want.EventSource, &want.EventSourceArn, &want.EventVersion,
				&want.InvokeIdentityArn, &want.Kinesis.PartitionKey, &want.Kinesis.SequenceNumber, &want.Kinesis.KinesisSchemaVersion,
			} {
				*s = valid(*s)
			}
			got := r.record
			got.Kinesis = r.Kinesis.KinesisRecord
			at, err := r.Kinesis.ApproximateArrivalTimestamp.Float64()
			if n := want.Kinesis.ApproximateArrivalTimestamp.UnixMilli(); err != nil || at != float64(n)/1000 {
				t.Fatalf("error %v, time %v of %d ms", err, r.Kinesis.ApproximateArrivalTimestamp, n)
			}
			want.Kinesis.ApproximateArrivalTimestamp = got.Kinesis.ApproximateArrivalTimestamp
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("record %d (-want +got):\n%s", i, diff)
			}
		}
	})
}

// TestAppendEventTimes are milliseconds that a float64 in between would write otherwise, and the ends of their form.
func TestAppendEventTimes(t *testing.T) {
	t.Attr("rule", "L60")
	t.Attr("rule", "P2")
	for ms, want := range map[int64]string{
		0: "0", 1: "0.001", -1: "-0.001", 10: "0.01", 100: "0.1", 1000: "1", -1500: "-1.5", 999: "0.999", 1010: "1.01",
		1772719618250: "1772719618.25", 1772719618000: "1772719618", 1772719618001: "1772719618.001", 1772719618257: "1772719618.257",
		10_000_000_000: "10000000", 1_000_000_000_000_000: "1000000000000",
	} {
		r := record{Kinesis: events.KinesisRecord{ApproximateArrivalTimestamp: events.SecondsEpochTime{Time: time.UnixMilli(ms)}}}
		got := string(batch.AppendEvent(nil, events.KinesisEvent{Records: []record{r}}))
		if !strings.Contains(got, `"approximateArrivalTimestamp":`+want+`}`) {
			t.Errorf("%d ms is not %s: %s", ms, want, got)
		}
	}
}

// A taker is a destination that can be unfit.
type taker struct {
	batch.DestinationFunc
	unfit error
}

func (k taker) Validate() error { return k.unfit }

// TestAll gives a failure to several destinations: all get it whatever the others do, and their errors are joined.
func TestAll(t *testing.T) {
	t.Attr("rule", "B6")
	t.Attr("rule", "C23")
	f, bad, worse := given("2"), errors.New("bad"), errors.New("worse")
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, "of the caller")
	for name, tt := range map[string]struct{ of, want []error }{
		"none":          {nil, nil},
		"all took it":   {[]error{nil, nil}, nil},
		"one failed":    {[]error{bad, nil, nil}, []error{bad}},
		"several did":   {[]error{nil, bad, nil, worse}, []error{bad, worse}},
		"the only one":  {[]error{worse}, []error{worse}},
		"the last did":  {[]error{nil, nil, bad}, []error{bad}},
		"the same ones": {[]error{bad, bad}, []error{bad, bad}},
	} {
		t.Run(name, func(t *testing.T) {
			var ds []batch.Destination
			var asked []int
			for i, err := range tt.of {
				ds = append(ds, batch.DestinationFunc(func(c context.Context, g *batch.Failure) error {
					if c != ctx || g != f {
						t.Errorf("destination %d got %v", i, g)
					}
					asked = append(asked, i)
					return err
				}))
			}
			err := batch.All(ds...).Deliver(ctx, f)
			var got []error
			if err != nil {
				got = err.(interface{ Unwrap() []error }).Unwrap()
			}
			if !cmp.Equal(got, tt.want, cmp.Comparer(func(a, b error) bool { return a == b })) { //nolint:errorlint // not wrapped
				t.Errorf("errors %v, want %v", got, tt.want)
			}
			for i := range tt.of {
				if len(asked) != len(tt.of) || asked[i] != i {
					t.Fatalf("asked %v, want each of %d once and in order", asked, len(tt.of))
				}
			}
		})
	}
}

// TestAllValidate asks the destinations of All, and those of an All in it, whether they can be used.
func TestAllValidate(t *testing.T) {
	t.Attr("rule", "L11")
	t.Attr("rule", "L12")
	took := batch.DestinationFunc(func(context.Context, *batch.Failure) error { return nil })
	bad, worse := errors.New("bad"), errors.New("worse")
	validate := func(ds ...batch.Destination) error {
		return batch.All(ds...).(interface{ Validate() error }).Validate()
	}
	if err := validate(took, taker{took, nil}); err != nil {
		t.Errorf("error %v", err)
	}
	err := validate(taker{took, bad}, took, batch.All(taker{took, nil}, taker{took, worse}))
	if !errors.Is(err, bad) || !errors.Is(err, worse) {
		t.Errorf("error %v", err)
	}
	if err := validate(took, nil); err == nil || !strings.Contains(err.Error(), "nil destination") {
		t.Errorf("with a nil destination, error %v", err)
	}
}
