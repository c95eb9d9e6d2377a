package batch_test

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
)

// TestStateLiteral has a typed handler return a state that encoding/json writes otherwise in other versions of Go: its
// bytes are counted and go into payloads (L53, L45).
func TestStateLiteral(t *testing.T) {
	t.Attr("rule", "L49")
	t.Attr("rule", "C6")
	for want, state := range map[string]map[string]string{
		`{}`: {}, `{"a":"1","b":"<&>","c":""}`: {"c": "", "b": "<&>", "a": "1"},
		`{"k\u2028":"\b\u0001","\ufffdk":"\ufffd\ufffd"}`: {"\xffk": "\xe2\x80", "k\u2028": "\b\x01"},
	} {
		h, _ := batch.HandlerOf(func(context.Context, events.KinesisTimeWindowEvent) (resp events.KinesisTimeWindowEventResponse, err error) {
			resp.State = state
			return resp, nil
		})
		if res := h.Call(t.Context(), event("a"), &batch.Window{State: []byte(`{}`)}); string(res.State) != want || res.Outcome != batch.Succeeded {
			t.Errorf("%s: state %s, want %s", res.Outcome, res.State, want)
		}
	}
}

// TestEventLiteral writes a record whose text needs all kinds of escapes, to the byte, and counts it.
func TestEventLiteral(t *testing.T) {
	t.Attr("rule", "C6")
	t.Attr("rule", "L59")
	const want = `{"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"<a&b>\"\\\u001f\ufffd\ufffd\u2028é",` +
		`"sequenceNumber":"1","data":"AP8=","approximateArrivalTimestamp":0.001},"eventSource":"aws:kinesis","eventVersion":"1.0",` +
		`"eventID":"s:1","eventName":"aws:kinesis:record","invokeIdentityArn":"","awsRegion":"","eventSourceARN":"\ufffd"}]}`
	r := batch.Record{PartitionKey: "<a&b>\"\\\x1f\xed\xa0\u2028é", SequenceNumber: "1", Data: []byte{0, 255}, Arrival: time.UnixMilli(1)}
	src := batch.Source{Shard: "s", StreamARN: "\xff"}
	ev := src.Event(1, func(int) batch.Record { return r })
	if got := string(batch.AppendEvent(nil, ev)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if n, m := batch.EventSize(ev), batch.EventOverhead+src.Sizer()(r); n != len(want) || m != len(want) {
		t.Errorf("sizes %d and %d, want %d", n, m, len(want))
	}
}
