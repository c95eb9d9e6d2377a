package batch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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

// An answer is what a windowed handler does in one call. The zero answer adds the keys of the records to the state.
type answer struct {
	state  string // JSON, in place of that
	report string // a key
	err    error
}

// A tumbler runs records through a Batcher, a Lane and a windowed Handler, and writes down what happens. Time is in
// seconds since 1970.
type tumbler struct {
	lane    batch.Lane[batch.Record]
	batcher batch.Batcher[batch.Record]
	attempt func(events.KinesisEvent, *batch.Window) batch.Result
	answers map[int]answer // by call, from 1
	ahead   bool           // all batches are pushed before the first attempt
	now     time.Time
	calls   int
	state   string // of the latest call
	log     []string
}

// newTumbler has a handler of typed form, or of JSON form.
func newTumbler(length time.Duration, typed bool) *tumbler {
	w := &tumbler{now: time.Unix(0, 0)}
	w.lane.Window, w.lane.Arrival = length, func(r batch.Record) time.Time { return r.Arrival }
	w.lane.Now = func() time.Time { return w.now }
	w.batcher.Together = w.lane.SameWindow
	h, _ := batch.HandlerOf(w.json)
	if typed {
		h, _ = batch.HandlerOf(w.typed)
	}
	h.Reports = true
	w.attempt = func(ev events.KinesisEvent, call *batch.Window) batch.Result {
		return h.Call(context.Background(), ev, call)
	}
	return w
}

// settled stands for a handler and its Call, without JSON to make and to read.
func (w *tumbler) settled(ev events.KinesisEvent, call *batch.Window) batch.Result {
	a := w.entry(keys(ev.Records), call.Start, call.End, string(call.State), call.Final, call.Early)
	first := slices.IndexFunc(ev.Records, func(r record) bool { return r.Kinesis.PartitionKey == a.report })
	res := batch.Result{Outcome: batch.Succeeded, State: json.RawMessage(a.state), Err: a.err}
	switch {
	case a.err != nil:
		res.Outcome = batch.Failed
	case first == 0:
		res.Outcome = batch.Rejected
	case first > 0:
		res.Outcome, res.Progress = batch.Progressed, first
	}
	if a.state == "" {
		res.State = json.RawMessage(strings.Join(append(keys(ev.Records), string(call.State)), ""))
	}
	return res
}

// entry writes down a call. A state that is long is told by its length.
func (w *tumbler) entry(keys []string, start, end time.Time, state string, final, early bool) answer {
	w.calls++
	w.state = state
	if len(state) > 100 {
		state = fmt.Sprintf("%d bytes", len(state))
	}
	line := fmt.Sprintf("[%d %d) %s %s", start.Unix(), end.Unix(), state, strings.Join(keys, " "))
	if final {
		line += "final"
	}
	if early {
		line += " early"
	}
	w.log = append(w.log, line)
	return w.answers[w.calls]
}

func (w *tumbler) typed(_ context.Context, ev events.KinesisTimeWindowEvent) (resp events.KinesisTimeWindowEventResponse, err error) {
	if ev.Records == nil || ev.State == nil || ev.Window.Start.Location() != time.UTC || ev.Window.End.Location() != time.UTC ||
		ev.ShardID != source.Shard || ev.EventSourceARN != source.StreamARN {
		return resp, fmt.Errorf("event %+v", ev)
	}
	a := w.entry(keys(ev.Records), ev.Window.Start.Time, ev.Window.End.Time, string(plainJSON(ev.State)), ev.IsFinalInvokeForWindow, ev.IsWindowTerminatedEarly)
	resp.State = ev.State // the map may be changed, whatever comes of the attempt
	for _, r := range ev.Records {
		resp.State["n"] += r.Kinesis.PartitionKey
		if r.Kinesis.PartitionKey == a.report {
			resp.BatchItemFailures = append(resp.BatchItemFailures, failures(r.Kinesis.SequenceNumber)...)
		}
	}
	if a.state != "" {
		resp.State = nil
		if err := json.Unmarshal([]byte(a.state), &resp.State); err != nil {
			return resp, err
		}
	}
	return resp, a.err
}

func (w *tumbler) json(_ context.Context, in []byte) ([]byte, error) {
	var ev struct {
		Records                                         []record
		ShardID, EventSourceARN                         string
		Window                                          struct{ Start, End time.Time }
		State                                           json.RawMessage
		IsFinalInvokeForWindow, IsWindowTerminatedEarly bool
	}
	if err := json.Unmarshal(in, &ev); err != nil || ev.Records == nil || ev.ShardID != source.Shard || ev.EventSourceARN != source.StreamARN {
		return nil, fmt.Errorf("event %s: %w", in, err)
	}
	a := w.entry(keys(ev.Records), ev.Window.Start, ev.Window.End, string(ev.State), ev.IsFinalInvokeForWindow, ev.IsWindowTerminatedEarly)
	var state map[string]string
	if err := json.Unmarshal(ev.State, &state); err != nil {
		return nil, err
	}
	failed := []map[string]string{}
	for _, r := range ev.Records {
		state["n"] += r.Kinesis.PartitionKey
		if r.Kinesis.PartitionKey == a.report {
			failed = append(failed, map[string]string{"itemIdentifier": r.Kinesis.SequenceNumber})
		}
	}
	resp := map[string]any{"state": state, "batchItemFailures": failed}
	if a.state != "" {
		resp["state"] = json.RawMessage(a.state)
	}
	clear(in)
	return plainJSON(resp), a.err
}

// plainJSON encodes without HTML escapes.
func plainJSON(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// add has records arrive: "a@10 b@70.5 c@", of which c has no time of arrival.
func (w *tumbler) add(records string) {
	for f := range strings.FieldsSeq(records) {
		key, at, _ := strings.Cut(f, "@")
		if at == "" {
			w.batcher.Add(w.now, batch.Record{PartitionKey: key, SequenceNumber: "1" + key})
			continue
		}
		s, _ := strconv.ParseFloat(at, 64)
		ms := int64(s * 1000)
		w.batcher.Add(w.now, batch.Record{PartitionKey: key, SequenceNumber: "1" + at + key, Arrival: time.UnixMilli(ms).In(time.FixedZone("CET", 3600))})
		if at := time.UnixMilli(ms); at.After(w.now) {
			w.now = at
		}
	}
	for rs := range w.batcher.Flush() {
		w.lane.Push(rs)
		if !w.ahead {
			w.drain()
		}
	}
	w.drain()
}

func (w *tumbler) drain() {
	for w.lane.Len() > 0 {
		step := w.lane.Expire(w.now)
		w.settle(step)
		s, ok := w.lane.Current()
		if !ok || step.Over || len(step.Resolved) > 0 {
			continue
		}
		call := w.lane.Call()
		call.Shard, call.StreamARN = source.Shard, source.StreamARN
		call.Start, call.End = call.Start.In(time.FixedZone("CET", 3600)), call.End.Local()
		step = w.lane.Settle(w.attempt(source.Event(len(s.Records), func(i int) batch.Record { return s.Records[i] }), call))
		w.settle(step)
		if step.Backoff > 0 {
			w.now = w.now.Add(batch.Backoff(step.Backoff))
		}
	}
}

func (w *tumbler) settle(step batch.Step[batch.Record]) {
	if d := step.Discarded; d != nil {
		line := fmt.Sprintf("discard %d: %s after %d", len(d.Records), d.Condition, d.InvokeCount)
		if d.Call == nil || d.Call.Final != step.Closed || string(d.Call.State) != w.state || d.Call.End.Sub(d.Call.Start) != w.lane.Window {
			line += fmt.Sprintf(" of %+v", d.Call)
		}
		w.log = append(w.log, line)
	}
	if step.Backoff > 0 {
		w.log = append(w.log, fmt.Sprintf("sleep %d", step.Backoff))
	}
}

// big is a state of exactly n bytes.
func big(n int) string { return fmt.Sprintf(`{"n":"%s"}`, strings.Repeat("<", n-len(`{"n":""}`))) }

// TestWindow runs windows of a minute to their end, in both forms, and pushed one by one or all at once. In the log a
// call is its window, its state and its records.
func TestWindow(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name    string
		rules   []string
		records string // one line at a time
		most    int    // records in a batch
		policy  batch.Policy
		answers map[int]answer
		end     func(*tumbler) // nil: the last window is closed
		want    []string
	}{
		{
			name: "borders", rules: []string{"L47", "L51", "L52"}, records: "a@0 b@59.999 c@60 d@119.999 e@120",
			want: []string{
				"[0 60) {} a b", `[0 60) {"n":"ab"} final`, "[60 120) {} c d", `[60 120) {"n":"cd"} final`,
				"[120 180) {} e", `[120 180) {"n":"e"} final`,
			},
		},
		{
			name: "batches in a window", rules: []string{"L47", "L50"}, records: "a@0 b@1 c@2 d@61", most: 2,
			want: []string{
				"[0 60) {} a b", `[0 60) {"n":"ab"} c`, `[0 60) {"n":"abc"} final`, "[60 120) {} d", `[60 120) {"n":"d"} final`,
			},
		},
		{
			name: "windows without records", rules: []string{"L51"}, records: "a@0 b@600",
			want: []string{"[0 60) {} a", `[0 60) {"n":"a"} final`, "[600 660) {} b", `[600 660) {"n":"b"} final`},
		},
		{
			name: "late record", rules: []string{"C20"}, records: "a@0 b@60 c@59\nd@10 e@120",
			want: []string{
				"[0 60) {} a", `[0 60) {"n":"a"} final`, "[60 120) {} b c", `[60 120) {"n":"bc"} d`, `[60 120) {"n":"bcd"} final`,
				"[120 180) {} e", `[120 180) {"n":"e"} final`,
			},
		},
		{
			name: "record without arrival in the open window", rules: []string{"C27"}, records: "a@0 b@ c@59\nd@60 e@",
			want: []string{
				"[0 60) {} a b c", `[0 60) {"n":"abc"} final`, "[60 120) {} d e", `[60 120) {"n":"de"} final`,
			},
		},
		{
			name: "record without arrival while an older window is open", rules: []string{"C27"}, records: "a@0",
			end: func(w *tumbler) {
				w.now = time.Unix(200, 0)
				w.add("b@ c@59")
				w.lane.Close(false)
			},
			want: []string{"[0 60) {} a", `[0 60) {"n":"a"} b c`, `[0 60) {"n":"abc"} final`},
		},
		{
			name: "record without arrival in the window of now", rules: []string{"C27"}, records: "a@0", most: 1,
			end: func(w *tumbler) {
				w.lane.Close(false)
				w.drain()
				w.now = time.Unix(200, 0)
				w.add("b@ c@181 d@179")
				w.add("e@240")
				w.lane.Close(false)
			},
			want: []string{
				"[0 60) {} a", `[0 60) {"n":"a"} final`,
				"[180 240) {} b", `[180 240) {"n":"b"} c`, `[180 240) {"n":"bc"} d`, `[180 240) {"n":"bcd"} final`,
				"[240 300) {} e", `[240 300) {"n":"e"} final`,
			},
		},
		{
			name: "record without arrival begins", rules: []string{"C27"}, records: "a@ b@30\nc@70", policy: batch.Policy{MaxAge: time.Second, Retention: time.Second},
			want: []string{"[0 60) {} a b", `[0 60) {"n":"ab"} final`, "[60 120) {} c", `[60 120) {"n":"c"} final`},
		},
		{
			name: "record without arrival after another window", rules: []string{"C27"}, records: "a@\nb@70\nc@",
			want: []string{
				"[0 60) {} a", `[0 60) {"n":"a"} final`, "[60 120) {} b", `[60 120) {"n":"b"} c`, `[60 120) {"n":"bc"} final`,
			},
		},
		{
			name: "record without arrival by a clock that is behind", rules: []string{"C27"}, records: "a@70",
			end: func(w *tumbler) {
				w.lane.Close(false)
				w.drain()
				w.now = time.Unix(50, 0)
				w.add("b@")
				w.add("c@61")
				w.lane.Close(false)
			},
			want: []string{"[60 120) {} a", `[60 120) {"n":"a"} final`, "[60 120) {} b", `[60 120) {"n":"b"} c`, `[60 120) {"n":"bc"} final`},
		},
		{
			name: "no window", rules: []string{"L51"}, records: "", want: nil,
		},
		{
			name: "failed attempts", rules: []string{"L50", "L54"}, records: "a@0 b@1", most: 1,
			answers: map[int]answer{1: {err: boom}, 3: {err: boom, state: `{"n":"no"}`}},
			want: []string{
				"[0 60) {} a", "sleep 1", "[0 60) {} a", `[0 60) {"n":"a"} b`, "sleep 1", `[0 60) {"n":"a"} b`, `[0 60) {"n":"ab"} final`,
			},
		},
		{
			name: "throttled", rules: []string{"L50", "C13"}, records: "a@0", answers: map[int]answer{1: {err: batch.ErrThrottled}, 3: {err: batch.ErrThrottled}},
			policy: batch.Policy{Attempts: 1},
			want:   []string{"[0 60) {} a", "sleep 1", "[0 60) {} a", `[0 60) {"n":"a"} final`, "sleep 1", `[0 60) {"n":"a"} final`},
		},
		{
			name: "progress", rules: []string{"C20", "L49"}, records: "a@0 b@1 c@2 d@60", answers: map[int]answer{1: {state: `{"n":"A"}`, report: "b"}},
			want: []string{
				"[0 60) {} a b c", `[0 60) {"n":"A"} b c`, `[0 60) {"n":"Abc"} final`, "[60 120) {} d", `[60 120) {"n":"d"} final`,
			},
		},
		{
			name: "no progress", rules: []string{"C20", "L50"}, records: "a@0 b@1", answers: map[int]answer{1: {state: `{"n":"A"}`, report: "a"}},
			want: []string{"[0 60) {} a b", "sleep 1", "[0 60) {} a b", `[0 60) {"n":"ab"} final`},
		},
		{
			name: "no state", rules: []string{"L49", "C20"}, records: "a@0", answers: map[int]answer{1: {state: "null"}, 3: {state: "null"}},
			want: []string{"[0 60) {} a", "sleep 1", "[0 60) {} a", `[0 60) {"n":"a"} final`},
		},
		{
			name: "progress without a state", rules: []string{"L49"}, records: "a@0 b@1", answers: map[int]answer{1: {state: "null", report: "b"}},
			want: []string{"[0 60) {} a b", "sleep 1", "[0 60) {} a b", `[0 60) {"n":"ab"} final`},
		},
		{
			name: "state of the final call", rules: []string{"L51"}, records: "a@0 b@60", answers: map[int]answer{2: {state: `{"n":"kept"}`}},
			want: []string{"[0 60) {} a", `[0 60) {"n":"a"} final`, "[60 120) {} b", `[60 120) {"n":"b"} final`},
		},
		{
			name: "halves", rules: []string{"L29", "L54"}, records: "a@0 b@1 c@2 d@60", policy: batch.Policy{Bisect: true}, answers: map[int]answer{1: {err: boom}},
			want: []string{
				"[0 60) {} a b c", "[0 60) {} a", `[0 60) {"n":"a"} b c`, `[0 60) {"n":"abc"} final`, "[60 120) {} d", `[60 120) {"n":"d"} final`,
			},
		},
		{
			name: "final call fails", rules: []string{"L54"}, records: "a@0 b@60", policy: batch.Policy{Attempts: 3, Bisect: true},
			answers: map[int]answer{2: {err: boom}, 3: {err: boom}, 4: {err: boom}},
			want: []string{
				"[0 60) {} a", `[0 60) {"n":"a"} final`, "sleep 1", `[0 60) {"n":"a"} final`, "sleep 2", `[0 60) {"n":"a"} final`,
				"discard 0: RetryAttemptsExhausted after 3", "[60 120) {} b", `[60 120) {"n":"b"} final`,
			},
		},
		{
			name: "final call grows old", rules: []string{"C20", "L54"}, records: "a@0", policy: batch.Policy{MaxAge: time.Second},
			answers: map[int]answer{2: {err: boom}, 3: {err: boom}, 4: {err: boom}},
			end:     func(w *tumbler) { w.now = time.Unix(1000, 0); w.lane.Close(false) },
			want: []string{
				"[0 60) {} a", `[0 60) {"n":"a"} final`, "sleep 1", `[0 60) {"n":"a"} final`, "sleep 2", `[0 60) {"n":"a"} final`, "sleep 3",
				"discard 0: RecordAgeExceeded after 3",
			},
		},
		{
			name: "given up", rules: []string{"L54"}, records: "a@0 b@1 c@2", most: 1, policy: batch.Policy{Attempts: 1}, answers: map[int]answer{2: {err: boom}},
			want: []string{
				"[0 60) {} a", `[0 60) {"n":"a"} b`, "discard 1: RetryAttemptsExhausted after 1", `[0 60) {"n":"a"} c`, `[0 60) {"n":"ac"} final`,
			},
		},
		{
			name: "large state", rules: []string{"L53", "C20"}, records: "a@0 b@1 c@60", most: 1, answers: map[int]answer{1: {state: big(1 << 20)}},
			want: []string{
				"[0 60) {} a", "[0 60) 1048576 bytes final early", "[0 60) {} b", `[0 60) {"n":"b"} final`, "[60 120) {} c", `[60 120) {"n":"c"} final`,
			},
		},
		{
			name: "state just not large", rules: []string{"L53"}, records: "a@0 b@60", most: 1, answers: map[int]answer{1: {state: big(1<<20 - 1)}},
			want: []string{"[0 60) {} a", "[0 60) 1048575 bytes final", "[60 120) {} b", `[60 120) {"n":"b"} final`},
		},
		{
			name: "large state with nothing behind", rules: []string{"L53", "C20"}, records: "a@0 b@60 c@120",
			answers: map[int]answer{1: {state: big(1 << 20)}, 3: {state: big(1 << 20)}},
			want: []string{
				"[0 60) {} a", "[0 60) 1048576 bytes final early", "[60 120) {} b", "[60 120) 1048576 bytes final early",
				"[120 180) {} c", `[120 180) {"n":"c"} final`,
			},
		},
		{
			name: "large state with progress", rules: []string{"L53", "C20"}, records: "a@0 b@1", answers: map[int]answer{1: {state: big(1 << 20), report: "b"}},
			want: []string{"[0 60) {} a b", "[0 60) 1048576 bytes final early", "[0 60) {} b", `[0 60) {"n":"b"} final`},
		},
		{
			name: "large state in a half", rules: []string{"L53", "L29"}, records: "a@0 b@1", policy: batch.Policy{Bisect: true},
			answers: map[int]answer{1: {err: boom}, 2: {state: big(1 << 20)}},
			want: []string{
				"[0 60) {} a b", "[0 60) {} a", "[0 60) 1048576 bytes final early", "[0 60) {} b", `[0 60) {"n":"b"} final`,
			},
		},
		{
			name: "early final call fails", rules: []string{"L53", "L54"}, records: "a@0 b@1", most: 1, policy: batch.Policy{Attempts: 2},
			answers: map[int]answer{1: {state: big(1 << 20)}, 2: {err: boom}, 3: {err: boom}},
			want: []string{
				"[0 60) {} a", "[0 60) 1048576 bytes final early", "sleep 1", "[0 60) 1048576 bytes final early",
				"discard 0: RetryAttemptsExhausted after 2", "[0 60) {} b", `[0 60) {"n":"b"} final`,
			},
		},
		{
			name: "shard ends", rules: []string{"L52"}, records: "a@0", end: func(w *tumbler) { w.lane.Close(true) },
			want: []string{"[0 60) {} a", `[0 60) {"n":"a"} final early`},
		},
		{
			name: "closed twice", rules: []string{"L51", "L52"}, records: "a@0",
			end:  func(w *tumbler) { w.lane.Close(false); w.lane.Close(true) },
			want: []string{"[0 60) {} a", `[0 60) {"n":"a"} final`},
		},
		{
			name: "closed and pushed", rules: []string{"L52"}, records: "a@0",
			end: func(w *tumbler) {
				l := &w.lane
				l.Close(false)
				l.Push([]batch.Record{{PartitionKey: "b", Arrival: time.Unix(60, 0)}})
				l.Push([]batch.Record{{PartitionKey: "c", Arrival: time.Unix(120, 0)}})
				l.Close(true)
			},
			want: []string{
				"[0 60) {} a", `[0 60) {"n":"a"} final`, "[60 120) {} b", `[60 120) {"n":"b"} final`, "[120 180) {} c", `[120 180) {"n":"c"} final early`,
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, rule := range c.rules {
				t.Attr("rule", rule)
			}
			for _, typed := range []bool{true, false} {
				for _, ahead := range []bool{false, true} {
					w := newTumbler(time.Minute, typed)
					w.answers, w.ahead, w.lane.Policy, w.batcher.Limits.Records = c.answers, ahead, c.policy, c.most
					for line := range strings.Lines(c.records) {
						w.add(line)
					}
					if c.end == nil {
						c.end = func(w *tumbler) { w.lane.Close(false) }
					}
					c.end(w)
					w.drain()
					if _, open := w.lane.Open(); open {
						t.Error("a window is open")
					}
					for i := range w.log {
						w.log[i] = strings.TrimSuffix(w.log[i], " ")
					}
					if diff := cmp.Diff(c.want, w.log); diff != "" {
						t.Errorf("typed %v, ahead %v (-want +got):\n%s", typed, ahead, diff)
					}
				}
			}
		})
	}
}

// TestWindowAhead pushes random records all at once and one batch at a time: the calls are the same, and the last one of
// every window is final.
func TestWindowAhead(t *testing.T) {
	t.Attr("rule", "L23")
	t.Attr("rule", "L52")
	large := big(1 << 20)
	rapid.Check(t, func(t *rapid.T) {
		answers := map[int]answer{}
		for i, n := range rapid.SliceOfN(rapid.IntRange(0, 9), 0, 12).Draw(t, "answers") {
			switch n {
			case 1:
				answers[i+1] = answer{err: errors.New("boom")}
			case 2:
				answers[i+1] = answer{report: "b"}
			case 3:
				answers[i+1] = answer{state: large}
			case 4:
				answers[i+1] = answer{state: large, report: "b"}
			}
		}
		var records strings.Builder
		for _, s := range rapid.SliceOfN(rapid.IntRange(0, 300), 0, 10).Draw(t, "seconds") {
			fmt.Fprintf(&records, "%s@%d ", rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key"), s)
		}
		most := rapid.IntRange(0, 3).Draw(t, "most")
		policy := batch.Policy{Attempts: rapid.IntRange(0, 2).Draw(t, "attempts"), Bisect: rapid.Bool().Draw(t, "bisect")}
		var logs [2][]string
		for i := range logs {
			w := newTumbler(time.Minute, false)
			w.attempt = w.settled
			w.answers, w.ahead, w.lane.Policy, w.batcher.Limits.Records = answers, i == 0, policy, most
			w.add(records.String())
			w.lane.Close(false)
			w.drain()
			logs[i] = w.log
		}
		if diff := cmp.Diff(logs[0], logs[1]); diff != "" {
			t.Fatalf("(-ahead +one by one):\n%s", diff)
		}
		last := map[string]bool{} // by window: the last call is final
		for _, line := range logs[0] {
			if window, _, ok := strings.Cut(line, ")"); ok {
				last[window] = strings.Contains(line, "final")
			}
		}
		for window, final := range last {
			if !final {
				t.Fatalf("no final call ends %s); log %q", window, logs[0])
			}
		}
	})
}

// TestWindowAligned has windows whose length divides no day, on both sides of 1970.
func TestWindowAligned(t *testing.T) {
	t.Attr("rule", "L47")
	for ms, want := range map[int64]int64{
		1772719612999: 1772719606, 1772719613000: 1772719613, 1772719618250: 1772719613, 1772719619999: 1772719613, 1772719620000: 1772719620,
		0: 0, 6999: 0, -1: -7, -7000: -7, -7001: -14,
	} {
		lane := batch.Lane[time.Time]{Window: 7 * time.Second, Arrival: func(at time.Time) time.Time { return at }}
		if _, open := lane.Open(); open {
			t.Error("a new lane has a window")
		}
		lane.Push([]time.Time{time.UnixMilli(ms)})
		w := lane.Call()
		if w.Start.Unix() != want || w.End.Unix() != want+7 || w.Start.Location() != time.UTC || w.End.Location() != time.UTC {
			t.Errorf("%d ms: window %v to %v, want from %d on", ms, w.Start, w.End, want)
		}
		if end, open := lane.Open(); !open || !end.Equal(w.End) {
			t.Errorf("%d ms: open %v until %v", ms, open, end)
		}
	}
}

// TestWindowIsKept has a batch begin with a record without arrival, and the next window begin while it is gathered: the batch
// goes to the window that its records were compared with.
func TestWindowIsKept(t *testing.T) {
	t.Attr("rule", "C27")
	t.Attr("rule", "L47")
	now := time.Unix(59, 0)
	lane := batch.Lane[time.Time]{
		Window: time.Minute, Arrival: func(at time.Time) time.Time { return at }, Now: func() time.Time { return now },
	}
	if !lane.SameWindow(time.Time{}, now) || lane.SameWindow(time.Time{}, time.Unix(60, 0)) {
		t.Error("a record without arrival is not in the window of now")
	}
	now = time.Unix(61, 0)
	if lane.Push([]time.Time{{}, time.Unix(59, 0)}); lane.Call().Start.Unix() != 0 {
		t.Errorf("a record of second 59 is in the window from %v on", lane.Call().Start)
	}
}

// TestWindowFinal settles the final call itself: its state goes nowhere, a report is no progress, and a window is open only
// while no final call waits.
func TestWindowFinal(t *testing.T) {
	for _, rule := range []string{"L51", "L54"} {
		t.Attr("rule", rule)
	}
	lane := batch.Lane[time.Time]{Window: time.Minute, Arrival: func(at time.Time) time.Time { return at }, Policy: batch.Policy{MaxAge: time.Minute}}
	now := time.Unix(1000, 0)
	settle := func(r batch.Result) batch.Step[time.Time] {
		if step := lane.Expire(now); step.Over || len(step.Resolved) > 0 {
			t.Fatalf("expired: %+v", step)
		}
		return lane.Settle(r)
	}
	lane.Push([]time.Time{now})
	settle(batch.Result{Outcome: batch.Succeeded, State: json.RawMessage(`1`)})
	if end, open := lane.Open(); !open || end.Unix() != 1020 {
		t.Errorf("open %v until %v", open, end)
	}
	lane.Close(false)
	for range 2 {
		if _, open := lane.Open(); open || lane.Len() != 1 {
			t.Errorf("open %v with %d slices", open, lane.Len())
		}
		lane.Close(true)
	}
	if _, ok := lane.Due(); ok {
		t.Error("a final call that was not tried has an age")
	}
	if step := settle(batch.Result{Outcome: batch.Progressed, Progress: 1}); step.Backoff != 1 {
		t.Errorf("a report in a final call: %+v", step)
	}
	if at, ok := lane.Due(); !ok || !at.Equal(now.Add(time.Minute)) {
		t.Errorf("the final call is due at %v %v", at, ok)
	}
	if w := lane.Call(); !w.Final || w.Early || string(w.State) != `1` {
		t.Errorf("%+v", w)
	}
	if step := settle(batch.Result{Outcome: batch.Succeeded, State: json.RawMessage(`2`)}); !step.Closed || !step.Over || step.Resolved != nil {
		t.Errorf("%+v", step)
	}
	lane.Push([]time.Time{now}) // of the same window, late
	if w := lane.Call(); w.Final || string(w.State) != `{}` || w.End.Unix() != 1020 {
		t.Errorf("%+v", w)
	}
}

// TestWindowEvent holds the JSON of the calls of a window, byte by byte.
func TestWindowEvent(t *testing.T) {
	for _, rule := range []string{"L48", "L51", "L59", "L60", "P2", "P3"} {
		t.Attr("rule", rule)
	}
	zone := time.FixedZone("CET", 3600)
	w := batch.Window{
		Start: time.Date(2026, 3, 5, 15, 7, 0, 0, zone), End: time.Date(2026, 3, 5, 15, 8, 0, 0, zone),
		State: json.RawMessage(`{"total":"<41>"}`), Shard: source.Shard, StreamARN: source.StreamARN,
	}
	const (
		front = `"shardId":"shardId-000000000007","eventSourceARN":"arn:aws:kinesis:eu-west-1:123456789012:stream/orders",` +
			`"window":{"start":"2026-03-05T14:07:00Z","end":"2026-03-05T14:08:00Z"},`
		one = `{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"a&b","sequenceNumber":"1","data":"ZGF0YSBvZiBhJmI=",` +
			`"approximateArrivalTimestamp":1772719618.25},"eventSource":"aws:kinesis","eventVersion":"1.0",` +
			`"eventID":"shardId-000000000007:1","eventName":"aws:kinesis:record","invokeIdentityArn":"","awsRegion":"eu-west-1",` +
			`"eventSourceARN":"arn:aws:kinesis:eu-west-1:123456789012:stream/orders"}`
	)
	final := w
	final.Final, final.Early = true, true
	for _, c := range []struct {
		ev   events.KinesisEvent
		w    batch.Window
		want string
	}{
		{event("a&b"), w, `{"Records":[` + one + `],` + front + `"state":{"total":"<41>"},"isFinalInvokeForWindow":false,"isWindowTerminatedEarly":false}`},
		{event(), final, `{"Records":[],` + front + `"state":{"total":"<41>"},"isFinalInvokeForWindow":true,"isWindowTerminatedEarly":true}`},
		{events.KinesisEvent{}, final, `{"Records":[],` + front + `"state":{"total":"<41>"},"isFinalInvokeForWindow":true,"isWindowTerminatedEarly":true}`},
	} {
		h := handlerOf(t, func(_ context.Context, in []byte) ([]byte, error) {
			if diff := cmp.Diff(c.want, string(in)); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
			return []byte(`{"state":{}}`), nil
		})
		if res := h.Call(t.Context(), c.ev, &c.w); res.Outcome != batch.Succeeded {
			t.Errorf("%s %v", res.Outcome, res.Err)
		}
	}
}

// TestWindowTyped holds what a typed handler relies on: bounds that print in UTC, and a state and records that are there.
func TestWindowTyped(t *testing.T) {
	for _, rule := range []string{"L50", "L51", "P3", "P4"} {
		t.Attr("rule", rule)
	}
	w := batch.Window{Start: time.Unix(60, 0).In(time.FixedZone("CET", 3600)), End: time.Unix(120, 0).In(time.FixedZone("CET", 3600)), Final: true}
	for _, state := range []string{`{}`, `null`} {
		w.State = json.RawMessage(state)
		h := handlerOf(t, func(_ context.Context, ev events.KinesisTimeWindowEvent) (resp events.KinesisTimeWindowEventResponse, err error) {
			bounds, _ := json.Marshal(ev.Window)
			if string(bounds) != `{"start":"1970-01-01T00:01:00Z","end":"1970-01-01T00:02:00Z"}` || ev.Records == nil {
				t.Errorf("window %s, records %#v", bounds, ev.Records)
			}
			ev.State["n"] = "1" // panics on a nil map
			return resp, nil
		})
		for range 2 {
			if res := h.Call(t.Context(), events.KinesisEvent{}, &w); res.Outcome != batch.Succeeded || string(w.State) != state {
				t.Errorf("state %s: %s %v, then %s", state, res.Outcome, res.Err, w.State)
			}
		}
	}
	// A map[string]string holds no other shape.
	w.State = json.RawMessage(`{"n":1}`)
	h := handlerOf(t, func(context.Context, events.KinesisTimeWindowEvent) (r events.KinesisTimeWindowEventResponse, err error) {
		return r, nil
	})
	if res := h.Call(t.Context(), events.KinesisEvent{}, &w); res.Outcome != batch.Failed || !strings.Contains(res.Err.Error(), "state of the window") {
		t.Errorf("%s %v", res.Outcome, res.Err)
	}
	// A handler of records is not called in a window, and one of windows not without.
	for _, res := range []batch.Result{
		h.Call(t.Context(), event("a"), nil), handlerOf(t, func(context.Context, events.KinesisEvent) error { return nil }).Call(t.Context(), event("a"), &w),
	} {
		if res.Outcome != batch.Failed {
			t.Errorf("%s %v", res.Outcome, res.Err)
		}
	}
}
