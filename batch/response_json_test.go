package batch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/shardlane/shardlane/batch"
)

// classes has the rows of §5 for an event of records 9, 10 and 11, in this order.
var classes = []struct {
	body     string
	outcome  batch.Outcome
	progress int
	text     string // in the error
	typed    bool   // an events.KinesisEventResponse holds it
	rules    string
}{
	{"", batch.Succeeded, 0, "", false, ""},
	{" \r\n\t", batch.Succeeded, 0, "", false, ""},
	{`null`, batch.Succeeded, 0, "", true, ""},
	{`""`, batch.Succeeded, 0, "", false, ""},
	{`[]`, batch.Succeeded, 0, "", false, ""},
	{` [ ] `, batch.Succeeded, 0, "", false, ""},
	{`{}`, batch.Succeeded, 0, "", true, ""},
	{`{"batchItemFailures":null}`, batch.Succeeded, 0, "", true, "L38"},
	{`{"batchItemFailures":[]}`, batch.Succeeded, 0, "", true, "L38"},
	{`{"statusCode":500,"body":"no"}`, batch.Succeeded, 0, "", true, ""},
	{`{"BatchItemFailures":[{"itemIdentifier":"10"}]}`, batch.Succeeded, 0, "", false, ""}, // another key
	{`{"batchItemFailures":[{"itemIdentifier":"10"}]}`, batch.Progressed, 1, "record 2 of 3, 10", true, "L36"},
	{`{"batchItemFailures":[{"itemIdentifier":"11"}]}`, batch.Progressed, 2, "record 3 of 3, 11", true, "L36"},
	{`{"batchItemFailures":[{"itemIdentifier":"11"},{"itemIdentifier":"10"},{"itemIdentifier":"11"}]}`, batch.Progressed, 1, "record 2 of 3, 10", true, "L36"},
	{`{"batchItemFailures":[{"itemIdentifier":"10"},{"itemIdentifier":"9"}]}`, batch.Rejected, 0, "record 1 of 3, 9", true, "L37"}, // by place, not as text
	{`{"batchItemFailures":[{"itemIdentifier":"11","error":"why"}],"more":1}`, batch.Progressed, 2, "record 3 of 3", true, "L36"},
	{`{"batchItemFailures":[{"itemIdentifier":""}]}`, batch.Rejected, 0, "empty item identifier", true, "L38"},
	{`{"batchItemFailures":[{"itemIdentifier":null}]}`, batch.Rejected, 0, "item failure 1 has no identifier", true, "L38"},
	{`{"batchItemFailures":[{"itemIdentifier":10}]}`, batch.Rejected, 0, "item failure 1 has no identifier", false, ""},
	{`{"batchItemFailures":[{"itemIdentifier":["10"]}]}`, batch.Rejected, 0, "item failure 1 has no identifier", false, ""},
	{`{"batchItemFailures":[{"itemidentifier":"10"}]}`, batch.Rejected, 0, "item failure 1 has no identifier", false, ""},
	{`{"batchItemFailures":[{"id":"10"}]}`, batch.Rejected, 0, "item failure 1 has no identifier", true, "L38"},
	{`{"batchItemFailures":[{}]}`, batch.Rejected, 0, "item failure 1 has no identifier", true, "L38"},
	{`{"batchItemFailures":[null]}`, batch.Rejected, 0, "item failure 1 has no identifier", true, "L38"},
	{`{"batchItemFailures":["10"]}`, batch.Rejected, 0, "no list of objects", false, ""},
	{`{"batchItemFailures":[["10"]]}`, batch.Rejected, 0, "no list of objects", false, ""},
	{`{"batchItemFailures":[{"itemIdentifier":"12"}]}`, batch.Rejected, 0, `"12", which is no record`, true, "L38"},
	{`{"batchItemFailures":[{"itemIdentifier":"010"}]}`, batch.Rejected, 0, `"010", which is no record`, true, "L38"},
	{`{"batchItemFailures":[{"itemIdentifier":"10"},{"itemIdentifier":"12"}]}`, batch.Rejected, 0, `"12", which is no record`, true, "C8"},
	{`{"batchItemFailures":[{"itemIdentifier":"10"},{"itemIdentifier":""}]}`, batch.Rejected, 0, "empty item identifier", true, "C8"},
	{`{"batchItemFailures":[{"itemIdentifier":"10"},{}]}`, batch.Rejected, 0, "item failure 2 has no identifier", true, "C8"},
	{`{"batchItemFailures":[{"itemIdentifier":"10"},7]}`, batch.Rejected, 0, "no list of objects", false, "C8"},
	{`{"batchItemFailures":{}}`, batch.Rejected, 0, "no list of objects", false, ""},
	{`{"batchItemFailures":""}`, batch.Rejected, 0, "no list of objects", false, ""},
	{`{"batchItemFailures":0}`, batch.Rejected, 0, "no list of objects", false, ""},
	{`{"batchItemFailures":false}`, batch.Rejected, 0, "no list of objects", false, ""},
	{`done`, batch.Rejected, 0, "no JSON object", false, "C8"},
	{`"done"`, batch.Rejected, 0, "no JSON object", false, "C8"},
	{`" "`, batch.Rejected, 0, "no JSON object", false, "C8"},
	{`true`, batch.Rejected, 0, "no JSON object", false, "C8"},
	{`0`, batch.Rejected, 0, "no JSON object", false, "C8"},
	{`[{}]`, batch.Rejected, 0, "no JSON object", false, "C8"},
	{`[null]`, batch.Rejected, 0, "no JSON object", false, "C8"},
	{`{"batchItemFailures":[]`, batch.Rejected, 0, "no JSON object", false, "C8"},
	{`{}{}`, batch.Rejected, 0, "no JSON object", false, "C8"},
	{"\u00a0", batch.Rejected, 0, "no JSON object", false, "C8"}, // JSON has no such space
	{"\v", batch.Rejected, 0, "no JSON object", false, "C8"},
	{"\xff", batch.Rejected, 0, "no JSON object", false, "C8"},
}

// numbered returns an event of records with sequence numbers that are ordered as numbers, and not as text.
func numbered() events.KinesisEvent {
	return source.Event(3, func(i int) batch.Record {
		return batch.Record{PartitionKey: "key", SequenceNumber: fmt.Sprint(9 + i)}
	})
}

// TestClasses holds the table of §5 for responses in JSON, with item failures read and ignored (L4), and for those that
// are events.KinesisEventResponse (L38).
func TestClasses(t *testing.T) {
	for _, c := range classes {
		t.Run(c.body, func(t *testing.T) {
			t.Attr("rule", "L2")
			t.Attr("rule", "L4")
			if c.rules != "" {
				t.Attr("rule", c.rules)
			}
			answer := func(context.Context, []byte) ([]byte, error) { return []byte(c.body), nil }
			h := handlerOf(t, answer)
			if res := h.Call(t.Context(), numbered(), nil); res.Outcome != batch.Succeeded || res.Err != nil {
				t.Errorf("without reports: %s %v", res.Outcome, res.Err)
			}
			h.Reports = true
			check := func(form string, res batch.Result) {
				if res.Outcome != c.outcome || res.Progress != c.progress || (res.Err == nil) != (c.outcome == batch.Succeeded) {
					t.Errorf("%s: %s after %d: %v, want %s after %d", form, res.Outcome, res.Progress, res.Err, c.outcome, c.progress)
				} else if res.Err != nil && form == "json" && !strings.Contains(res.Err.Error(), c.text) {
					t.Errorf("error %q, want %q in it", res.Err, c.text)
				}
			}
			check("json", h.Call(t.Context(), numbered(), nil))
			if !c.typed {
				return
			}
			typed := handlerOf(t, func(context.Context, events.KinesisEvent) (resp events.KinesisEventResponse, err error) {
				return resp, json.Unmarshal([]byte(c.body), &resp)
			})
			check("typed", typed.Call(t.Context(), numbered(), nil))
		})
	}
}

// TestClassesOfErrors holds the last row of the table, and that no response weighs against an error.
func TestClassesOfErrors(t *testing.T) {
	for _, rule := range []string{"L1", "L3", "C13"} {
		t.Attr("rule", rule)
	}
	boom := errors.New("boom")
	for _, c := range []struct {
		err     error
		panics  bool
		outcome batch.Outcome
	}{
		{boom, false, batch.Failed},
		{boom, true, batch.Failed},
		{fmt.Errorf("table: %w", batch.ErrThrottled), false, batch.Throttled},
	} {
		for _, body := range []string{"", `{"batchItemFailures":[]}`, `{"batchItemFailures":[{"itemIdentifier":"10"}]}`, "broken"} {
			h := handlerOf(t, func(context.Context, []byte) ([]byte, error) {
				if c.panics {
					panic(c.err)
				}
				return []byte(body), c.err
			})
			h.Reports = true
			if res := h.Call(t.Context(), numbered(), nil); res.Outcome != c.outcome || !errors.Is(res.Err, c.err) || res.Progress != 0 {
				t.Errorf("%v with %q: %s after %d: %v", c.err, body, res.Outcome, res.Progress, res.Err)
			}
		}
	}
}

// TestClassesOfWindows holds which part of a response counts in window mode: the state always, item failures if they are
// read, and in a final call neither the state nor its absence.
func TestClassesOfWindows(t *testing.T) {
	for _, rule := range []string{"L4", "L49", "L51", "C20"} {
		t.Attr("rule", rule)
	}
	const (
		ok  = batch.Succeeded
		bad = batch.Rejected
	)
	for _, c := range []struct {
		body                   string
		silent, reports, final batch.Outcome
		state                  string // if it did not fail
		progress               int
	}{
		{`{"state":{"n":"1"}}`, ok, ok, ok, `{"n":"1"}`, 0},
		{`{"state":{"n": [1, null]},"batchItemFailures":[]}`, ok, ok, ok, `{"n": [1, null]}`, 0}, // any shape
		{`{"state":{},"batchItemFailures":null}`, ok, ok, ok, `{}`, 0},
		{`{"state":"text"}`, ok, ok, ok, `"text"`, 0},
		{`{"state":null}`, bad, bad, ok, "", 0},
		{`{"batchItemFailures":[]}`, bad, bad, ok, "", 0},
		{`{"State":{}}`, bad, bad, ok, "", 0},
		{``, bad, bad, ok, "", 0},
		{`null`, bad, bad, ok, "", 0},
		{`[]`, bad, bad, ok, "", 0},
		{`{}`, bad, bad, ok, "", 0},
		{`{"state":{},"batchItemFailures":[{"itemIdentifier":"10"}]}`, ok, batch.Progressed, bad, `{}`, 1}, // a final call has no record 10
		{`{"state":null,"batchItemFailures":[{"itemIdentifier":"10"}]}`, bad, bad, bad, "", 0},
		{`{"state":{},"batchItemFailures":[{"itemIdentifier":"9"}]}`, ok, bad, bad, `{}`, 0},
		{`{"state":{},"batchItemFailures":[{}]}`, ok, bad, bad, `{}`, 0},
		{`{"state":{}`, bad, bad, bad, "", 0},
		{`done`, bad, bad, bad, "", 0},
	} {
		h := handlerOf(t, func(context.Context, []byte) ([]byte, error) { return []byte(c.body), nil })
		for _, call := range []struct {
			name           string
			reports, final bool
			want           batch.Outcome
		}{{"silent", false, false, c.silent}, {"reports", true, false, c.reports}, {"final", true, true, c.final}} {
			h.Reports = call.reports
			ev := numbered()
			if call.final {
				ev = event()
			}
			res := h.Call(t.Context(), ev, &batch.Window{State: json.RawMessage(`{}`), Final: call.final})
			state := c.state
			if call.final || call.want == bad {
				state = ""
			}
			if res.Outcome != call.want || string(res.State) != state || call.want == batch.Progressed && res.Progress != c.progress {
				t.Errorf("%s, %s: %s after %d with state %s: %v; want %s", c.body, call.name, res.Outcome, res.Progress, res.State, res.Err, call.want)
			}
		}
	}
}

// TestJSONEvent holds that a handler of the JSON form gets what AppendEvent writes, anew in every call.
func TestJSONEvent(t *testing.T) {
	for _, rule := range []string{"L5", "L59", "L60", "C6"} {
		t.Attr("rule", rule)
	}
	const want = `{"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"<a>","sequenceNumber":"1",` +
		`"data":"ZGF0YSBvZiA8YT4=","approximateArrivalTimestamp":1772719618.25},"eventSource":"aws:kinesis","eventVersion":"1.0",` +
		`"eventID":"shardId-000000000007:1","eventName":"aws:kinesis:record","invokeIdentityArn":"","awsRegion":"eu-west-1",` +
		`"eventSourceARN":"arn:aws:kinesis:eu-west-1:123456789012:stream/orders"}]}`
	ev := event("<a>")
	if got := string(batch.AppendEvent([]byte("to "), ev)); got != "to "+want || batch.EventSize(ev) != len(want) {
		t.Errorf("AppendEvent writes %s, size %d", got, batch.EventSize(ev))
	}
	h := handlerOf(t, func(_ context.Context, in []byte) ([]byte, error) {
		if string(in) != want {
			t.Errorf("got  %s\nwant %s", in, want)
		}
		clear(in)
		return nil, nil
	})
	for range 2 {
		if res := h.Call(t.Context(), ev, nil); res.Outcome != batch.Succeeded {
			t.Errorf("%s %v", res.Outcome, res.Err)
		}
	}
}

type invoker struct{ response []byte }

// Invoke writes every response over the one before.
func (v *invoker) Invoke(context.Context, []byte) ([]byte, error) { return v.response, nil }

// TestJSONForms holds which handlers of the JSON form must not overlap, and that what is kept of a response is a copy.
func TestJSONForms(t *testing.T) {
	for _, rule := range []string{"L2", "P1"} {
		t.Attr("rule", rule)
	}
	type named func(context.Context, []byte) ([]byte, error)
	f := func(context.Context, []byte) ([]byte, error) { return nil, nil }
	for _, c := range []struct {
		name   string
		h      batch.Handler
		kind   batch.Kind
		serial bool
	}{
		{"function", handlerOf(t, f), batch.JSON, true},
		{"named", handlerOf(t, named(f)), batch.JSON, true},
		{"method", handlerOf(t, (&invoker{}).Invoke), batch.JSON, true},
		{"concurrent", handlerOf(t, batch.Concurrent(f)), batch.JSON, false},
		{"typed", handlerOf(t, func(context.Context, events.KinesisEvent) error { return nil }), batch.Whole, false},
	} {
		if c.h.Kind() != c.kind || c.h.Serial() != c.serial {
			t.Errorf("%s: %s, serial %v", c.name, c.h.Kind(), c.h.Serial())
		}
	}
	for _, err := range []error{
		second(batch.HandlerOf(batch.Concurrent(nil))), second(batch.HandlerOf[func(context.Context, []byte) ([]byte, error)](nil)),
	} {
		if err == nil {
			t.Error("a nil handler is accepted")
		}
	}
	v := &invoker{response: []byte(`{"state":{"n":"1"}}`)}
	h := handlerOf(t, v.Invoke)
	res := h.Call(t.Context(), event("a"), &batch.Window{State: json.RawMessage(`{}`)})
	if copy(v.response, strings.Repeat("x", 100)); string(res.State) != `{"n":"1"}` {
		t.Errorf("the next call wrote over the state: %s", res.State)
	}
}

// TestJSONCause has a handler of the JSON form that calls a typed one: why a record failed is known as it is there.
func TestJSONCause(t *testing.T) {
	t.Attr("rule", "C13")
	each := batch.Each(func(context.Context, record) error { return batch.ErrThrottled })
	h := handlerOf(t, func(ctx context.Context, _ []byte) ([]byte, error) {
		resp, err := each(ctx, numbered())
		if err != nil {
			return nil, err
		}
		return json.Marshal(resp)
	})
	h.Reports = true
	if res := h.Call(t.Context(), numbered(), nil); res.Outcome != batch.Throttled || !errors.Is(res.Err, batch.ErrThrottled) {
		t.Errorf("%s %v", res.Outcome, res.Err)
	}
}

// FuzzClassify answers with any bytes, in and out of windows: the result has an outcome of its kind, and all that goes
// with it.
func FuzzClassify(f *testing.F) {
	for _, c := range classes {
		f.Add([]byte(c.body))
	}
	f.Add([]byte(`{"state":{"n":1},"batchItemFailures":[{"itemIdentifier":"11"}]}`))
	f.Add([]byte(`{"state":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		h := handlerOf(t, func(context.Context, []byte) ([]byte, error) { return body, nil })
		for _, reports := range []bool{false, true} {
			for _, w := range []*batch.Window{nil, {State: json.RawMessage(`{}`)}, {State: json.RawMessage(`{}`), Final: true}} {
				h.Reports = reports
				res := h.Call(t.Context(), numbered(), w)
				stated := w != nil && !w.Final
				var p *batch.PanicError
				switch {
				case errors.As(res.Err, &p):
					t.Fatalf("%q: %v\n%s", body, p, p.Stack)
				case res.Outcome == batch.Succeeded && res.Err == nil && res.Progress == 0:
				case res.Outcome == batch.Progressed && reports && res.Err != nil && (res.Progress == 1 || res.Progress == 2):
				case res.Outcome == batch.Rejected && (reports || w != nil) && res.Err != nil && res.Progress == 0 && res.State == nil:
					continue
				default:
					t.Fatalf("%q, reports %v, window %v: %+v", body, reports, w, res)
				}
				if stated != json.Valid(res.State) || string(res.State) == "null" {
					t.Fatalf("%q: %s with the state %q", body, res.Outcome, res.State)
				}
			}
		}
	})
}

// TestUnread counts the item failures of responses that are not read for them, and has a handler of the JSON form say
// itself that it reports.
func TestUnread(t *testing.T) {
	t.Attr("rule", "L4")
	t.Attr("rule", "C29")
	for body, want := range map[string]int{
		``: 0, `null`: 0, `{}`: 0, `done`: 0, `{"x":"\"batchItemFailures\""}`: 0, `["batchItemFailures"]`: 0, `{"batchItemFailures":`: 0,
		`{"batchItemFailures":null}`: 0, `{"batchItemFailures":[]}`: 0, `{"BatchItemFailures":[{}]}`: 0,
		`{"batchItemFailures":[{"itemIdentifier":"10"},{}]}`: 2, `{"batchItemFailures":{"itemIdentifier":"10"}}`: 1,
		`{"batchItemFailures":[1],"batchItemFailures":[1,2,3]}`: 3, `{"batchItemFailures":[1],"BATCHITEMFAILURES":[]}`: 1,
		`{"batchItem\u0046ailures":[1]}`: 1, `{"x":"\u00e9"}`: 0,
	} {
		reads := false
		h, _ := batch.HandlerOf(func(ctx context.Context, _ []byte) ([]byte, error) {
			if reads {
				batch.ReadsItemFailures(ctx)
			}
			return []byte(body), nil
		})
		if res := h.Call(t.Context(), numbered(), nil); res.Outcome != batch.Succeeded || res.Unread != want {
			t.Errorf("%s: %s, %d unread, want %d", body, res.Outcome, res.Unread, want)
		}
		reads = true
		marked := h.Call(t.Context(), numbered(), nil)
		reads, h.Reports = false, true
		if res := h.Call(t.Context(), numbered(), nil); res.Unread != 0 || res.Outcome != marked.Outcome || marked.Unread != 0 {
			t.Errorf("%s: marked %+v, with reports on %+v", body, marked, res)
		}
	}
	batch.ReadsItemFailures(t.Context()) // outside of a call it does nothing
}
