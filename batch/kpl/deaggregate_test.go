package kpl_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/kpl"
)

// outer is an event of records r0, r1 and so on, with these data.
func outer(data ...[]byte) events.KinesisEvent {
	src := batch.Source{StreamARN: "arn:aws:kinesis:eu-west-1:123456789012:stream/orders", Region: "eu-west-1", Shard: "shardId-000000000000"}
	return src.Event(len(data), func(i int) batch.Record {
		return batch.Record{PartitionKey: "outer", SequenceNumber: fmt.Sprint("r", i), Data: data[i], Arrival: time.UnixMilli(int64(i) * 1250)}
	})
}

// A seen is what a handler of any form saw of its event.
type seen struct {
	records []string // partition key, data and identity
	window  string   // the shard of a time-window event
}

func (s *seen) see(ctx context.Context, rs []events.KinesisEventRecord) {
	s.records = nil
	for i, r := range rs {
		id := strings.TrimPrefix(batch.Identity(ctx, rs, i), "shardId-000000000000:")
		s.records = append(s.records, fmt.Sprintf("%s %s %s", r.Kinesis.PartitionKey, r.Kinesis.Data, id))
	}
}

type (
	named       func(context.Context, events.KinesisEvent) (events.KinesisEventResponse, error)
	namedWhole  func(context.Context, events.KinesisEvent) error
	namedWindow func(context.Context, events.KinesisTimeWindowEvent) (events.KinesisTimeWindowEventResponse, error)
)

// forms returns a handler of each form that notes what it sees, reports an item and fails. Each is called with a
// time-window event, of which it takes what its form has, and returns what the handler returned.
func forms(s *seen, failed []events.KinesisBatchItemFailure, fail error) map[string]func(context.Context, events.KinesisTimeWindowEvent) ([]events.KinesisBatchItemFailure, error) {
	whole := func(ctx context.Context, ev events.KinesisEvent) error {
		s.see(ctx, ev.Records)
		return fail
	}
	partial := func(ctx context.Context, ev events.KinesisEvent) (events.KinesisEventResponse, error) {
		s.see(ctx, ev.Records)
		return events.KinesisEventResponse{BatchItemFailures: failed}, fail
	}
	window := func(ctx context.Context, ev events.KinesisTimeWindowEvent) (events.KinesisTimeWindowEventResponse, error) {
		s.see(ctx, ev.Records)
		s.window = ev.ShardID
		return events.KinesisTimeWindowEventResponse{TimeWindowEventResponseProperties: events.TimeWindowEventResponseProperties{State: ev.State}, BatchItemFailures: failed}, fail
	}
	inJSON := func(ctx context.Context, event []byte) ([]byte, error) {
		var ev events.KinesisTimeWindowEvent
		if err := json.Unmarshal(event, &ev); err != nil {
			return nil, err
		}
		resp, err := window(ctx, ev)
		out, _ := json.Marshal(resp)
		return out, err
	}
	type in = events.KinesisTimeWindowEvent
	type out = []events.KinesisBatchItemFailure
	ofWhole := func(h func(context.Context, events.KinesisEvent) error) func(context.Context, in) (out, error) {
		return func(ctx context.Context, ev in) (out, error) { return failed, h(ctx, ev.KinesisEvent) }
	}
	ofPartial := func(h named) func(context.Context, in) (out, error) {
		return func(ctx context.Context, ev in) (out, error) {
			resp, err := h(ctx, ev.KinesisEvent)
			return resp.BatchItemFailures, err
		}
	}
	ofWindow := func(h namedWindow) func(context.Context, in) (out, error) {
		return func(ctx context.Context, ev in) (out, error) {
			resp, err := h(ctx, ev)
			if resp.State["kept"] != "so" || s.window != "shardId-000000000000" {
				return nil, fmt.Errorf("state %v of window %q", resp.State, s.window)
			}
			return resp.BatchItemFailures, err
		}
	}
	ofJSON := func(h batch.Concurrent) func(context.Context, in) (out, error) {
		return ofWindow(func(ctx context.Context, ev in) (resp events.KinesisTimeWindowEventResponse, _ error) {
			event := append(bytes.TrimSuffix(batch.AppendEvent(nil, ev.KinesisEvent), []byte("}")), `,"shardId":"shardId-000000000000","state":{"kept":"so"}}`...)
			b, err := h(ctx, event)
			return resp, errors.Join(json.Unmarshal(b, &resp), err)
		})
	}
	return map[string]func(context.Context, in) (out, error){
		"whole": ofWhole(kpl.Deaggregate(whole)), "named whole": ofWhole(kpl.Deaggregate(namedWhole(whole))),
		"partial": ofPartial(kpl.Deaggregate(partial)), "named partial": ofPartial(kpl.Deaggregate(named(partial))),
		"window": ofWindow(kpl.Deaggregate(window)), "named window": ofWindow(kpl.Deaggregate(namedWindow(window))),
		"json": ofJSON(kpl.Deaggregate(inJSON)), "concurrent": ofJSON(kpl.Deaggregate(batch.Concurrent(inJSON))),
		"twice": ofPartial(kpl.Deaggregate(kpl.Deaggregate(partial))), "twice json": ofJSON(kpl.Deaggregate(kpl.Deaggregate(inJSON))),
	}
}

// Every form sees user records, once split, with identities of their own. A corrupt aggregate among good ones is a record
// of its own (F17).
func TestDeaggregate(t *testing.T) {
	t.Attr("rule", "L62")
	t.Attr("rule", "L63")
	t.Attr("rule", "C21")
	whole, nested := pair(), kpl.Encode(kpl.UserRecord{PartitionKey: "n", Data: pair()}, kpl.UserRecord{PartitionKey: "n"})
	broken := bytes.Clone(whole)
	broken[6] ^= 1
	var s seen
	failed, fail := []events.KinesisBatchItemFailure{{ItemIdentifier: "r3"}, {ItemIdentifier: "no record's"}}, errors.New("boom")
	for name, call := range forms(&s, failed, fail) {
		ev := events.KinesisTimeWindowEvent{KinesisEvent: outer([]byte("plain"), whole, broken, whole, nested)}
		ev.ShardID, ev.State = "shardId-000000000000", map[string]string{"kept": "so"}
		got, err := call(t.Context(), ev)
		if !errors.Is(err, fail) || !cmp.Equal(got, failed) {
			t.Errorf("%s returns %v, %v", name, got, err)
		}
		want := []string{
			"outer plain r0", "a 1 r1/0", "b 2 r1/1", "outer " + string(broken) + " r2", "a 1 r3/0", "b 2 r3/1",
			"n " + string(whole) + " r4/0", "n  r4/1",
		}
		if !slices.Equal(s.records, want) {
			t.Errorf("%s saw %q, want %q", name, s.records, want)
		}
		if len(ev.Records) != 5 || !bytes.Equal(ev.Records[1].Kinesis.Data, whole) {
			t.Errorf("%s changes the event of its caller", name)
		}
	}
}

// All else of a user record is that of its aggregate.
func TestDeaggregateFields(t *testing.T) {
	t.Attr("rule", "L63")
	ev := outer([]byte("plain"), pair())
	want := ev.Records[1]
	want.Kinesis.PartitionKey, want.Kinesis.Data = "b", []byte("2")
	h := kpl.Deaggregate(func(_ context.Context, ev events.KinesisEvent) error {
		if diff := cmp.Diff(want, ev.Records[2]); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		return nil
	})
	if err := h(t.Context(), ev); err != nil {
		t.Error(err)
	}
}

// In a consumer that has split already, what a producer put into an aggregate is not split, and keeps its identity.
func TestDeaggregateInConsumer(t *testing.T) {
	t.Attr("rule", "C21")
	var s seen
	h, err := batch.HandlerOf(kpl.Deaggregate(func(ctx context.Context, ev events.KinesisEvent) error {
		s.see(ctx, ev.Records)
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	ctx := batch.NewContext(t.Context(), batch.Invocation{Subs: []int64{4, batch.NoSub}})
	h.Call(ctx, outer(pair(), []byte("plain")), nil)
	if want := []string{"outer " + string(pair()) + " r0/4", "outer plain r1"}; !slices.Equal(s.records, want) {
		t.Errorf("saw %q, want %q", s.records, want)
	}
	h.Call(batch.NewContext(t.Context(), batch.Invocation{}), outer(pair()), nil)
	if want := []string{"a 1 r0/0", "b 2 r0/1"}; !slices.Equal(s.records, want) {
		t.Errorf("where nothing was split: saw %q, want %q", s.records, want)
	}
}

// As JSON an event keeps what is not known here, byte for byte, and what is no event of Kinesis stays as it is.
func TestDeaggregateJSON(t *testing.T) {
	t.Attr("rule", "L63")
	t.Attr("rule", "C26")
	echo := kpl.Deaggregate(func(_ context.Context, event []byte) ([]byte, error) { return event, nil })
	data := `"` + base64.StdEncoding.EncodeToString(kpl.Encode(
		kpl.UserRecord{PartitionKey: `<"é">`, Data: []byte("1")}, kpl.UserRecord{PartitionKey: "b"})) + `"`
	keyless := `"` + base64.StdEncoding.EncodeToString(kpl.Encode(
		kpl.UserRecord{Data: []byte("1")}, kpl.UserRecord{PartitionKey: "\xff", Data: []byte("2")})) + `"`
	for _, c := range [][2]string{
		{
			`{"x" : 1.50, "Records":[ {"a":{"data":"1"},"kinesis": {"data" : ` + data + `, "n":1e2,"partitionKey":"k" ,"z":"<" } ,"y":[]},{"eventID":"plain"}] , "window":{ "start":"s"}} `,
			`{"x" : 1.50, "Records":[{"a":{"data":"1"},"kinesis": {"data" : "MQ==", "n":1e2,"partitionKey":"<\"é\">" ,"z":"<" } ,"y":[]},` +
				`{"a":{"data":"1"},"kinesis": {"data" : "", "n":1e2,"partitionKey":"b" ,"z":"<" } ,"y":[]},{"eventID":"plain"}] , "window":{ "start":"s"}} `,
		},
		{
			`{"Records":[{"kinesis":{"partitionKey":"first","partitionKey":"k","data":` + data + `}}]}`,
			`{"Records":[{"kinesis":{"partitionKey":"first","partitionKey":"<\"é\">","data":"MQ=="}},{"kinesis":{"partitionKey":"first","partitionKey":"b","data":""}}]}`,
		},
		{ // a record without a key of its own, and user records without one and with one that is not UTF-8
			`{"Records":[{"kinesis":{"partitionKey":null,"data":` + keyless + `}}]}`,
			`{"Records":[{"kinesis":{"partitionKey":null,"data":"MQ=="}},{"kinesis":{"partitionKey":"\ufffd","data":"Mg=="}}]}`,
		},
		{`{"Records":[{"kinesis":{"partitionKey":"k","data":"MQ=="}}], "é":"<"}`, ""},
		{`{"Records":[{"kinesis":{"data":` + data + `}}]}`, ""},
		{`{"Records":[{"Kinesis":{"partitionKey":"k","data":` + data + `}}]}`, ""},
		{`{"Records":[{"kinesis":{"partitionKey":"k","data":"84mawg="}}]}`, ""},
		{`{"Records":[1,{"body":` + data + `}]}`, ""},
		{`{"Records":{"data":` + data + `}}`, ""},
		{`{"records":[{"kinesis":{"partitionKey":"k","data":` + data + `}}]}`, ""},
		{`{"Records":[{"kinesis":{"partitionKey":"k","data":` + data + `}}`, ""},
		{`{"Records":` + data, ""},
		{`{1:` + data + `}`, ""},
		{`[` + data + `]`, ""},
		{data, ""},
		{`{}`, ""},
		{``, ""},
	} {
		want := c[1]
		if want == "" {
			want = c[0]
		}
		if got, err := echo(t.Context(), []byte(c[0])); err != nil || string(got) != want {
			t.Errorf("%s becomes\n%s, %v; want\n%s", c[0], got, err, want)
		}
	}
}

func TestDeaggregateNil(t *testing.T) {
	if kpl.Deaggregate[named](nil) != nil || kpl.Deaggregate[batch.Concurrent](nil) != nil {
		t.Error("nil is not nil")
	}
}

// A Lambda function that splits aggregates builds no client.
func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, "github.com/aws/aws-lambda-go/events") {
		t.Errorf("dependencies are %q", deps)
	}
	for _, d := range deps {
		if name, _, _ := strings.Cut(d, "/"); strings.Contains(name, ".") && !strings.HasPrefix(d, "github.com/shardlane/shardlane/batch") &&
			!strings.HasPrefix(d, "github.com/aws/aws-lambda-go/") {
			t.Errorf("depends on %s", d)
		}
	}
}
