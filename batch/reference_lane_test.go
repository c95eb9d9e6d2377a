package batch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/shardlane/shardlane/batch"
)

// A run is a case in the hands of a Lane and a Handler.
type run struct {
	*world
	now      int
	lane     batch.Lane[int]
	handler  batch.Handler
	all      []record
	ids      map[string]int // by first appearance
	settled  []bool         // done with according to the handler, or given up
	resolved []bool
	position int
	trace    []line
	err      error
}

var (
	refEpoch   = time.UnixMilli(1772719618000)
	refLimit   = 9000 // bytes of an event
	smallData  = []byte("data")
	bigData    = make([]byte, refLimit)
	refGarbage = []string{
		`x`, `7`, `"x"`, `true`, `[1]`, `[{}]`, `{"batchItemFailures":{}}`, `{"batchItemFailures":"1"}`, `{"batchItemFailures":[`,
		`{"batchItemFailures":[{}]}`, `{"batchItemFailures":[7]}`, `{"batchItemFailures":[{"itemIdentifier":null}]}`,
		`{"batchItemFailures":[{"itemIdentifier":990}]}`, `{"batchItemFailures":[{"id":"990"}]}`,
	}
	refFine = []string{``, `null`, `""`, `[]`, `{}`, `{"batchItemFailures":null}`, `{"batchItemFailures":[]}`, `{"x":1}`}
)

func instant(ms int) time.Time { return refEpoch.Add(time.Duration(ms) * time.Millisecond) }

func millis(ms int) time.Duration { return time.Duration(max(ms, 0)) * time.Millisecond }

func newRun(c *refCase) *run {
	r := &run{world: newWorld(c), now: c.start, ids: map[string]int{}}
	r.settled, r.resolved = make([]bool, len(c.records)), make([]bool, len(c.records))
	r.all = source.Event(len(c.records), func(i int) batch.Record {
		in := batch.Record{PartitionKey: "k", SequenceNumber: seq(i), Data: smallData, Arrival: instant(c.records[i].arrival)}
		if c.records[i].big {
			in.Data = bigData
		}
		return in
	}).Records
	n := 0
	r.lane = batch.Lane[int]{
		NewID:   func() string { n++; return "id" + strconv.Itoa(n) },
		Arrival: func(i int) time.Time { return r.all[i].Kinesis.ApproximateArrivalTimestamp.Time },
		Policy: batch.Policy{
			Attempts: c.retries + 1, MaxAge: millis(c.maxAge), Bisect: c.bisect, Retention: millis(c.retention),
		},
	}
	switch c.form {
	case "whole":
		r.handler, r.err = batch.HandlerOf(func(_ context.Context, ev events.KinesisEvent) error {
			_, err := r.handle(indexes(ev.Records))
			return err
		})
	case "partial":
		r.handler, r.err = batch.HandlerOf(func(_ context.Context, ev events.KinesisEvent) (resp events.KinesisEventResponse, err error) {
			a, err := r.handle(indexes(ev.Records))
			resp.BatchItemFailures = failures(a.ids...)
			return resp, err
		})
	case "json":
		r.handler, r.err = batch.HandlerOf(func(_ context.Context, in []byte) ([]byte, error) {
			a, err := r.handle(scanned(string(in)))
			switch a.kind {
			case "fine":
				return []byte(refFine[a.pick%len(refFine)]), err
			case "garbage":
				return []byte(refGarbage[a.pick%len(refGarbage)]), err
			}
			out, _ := json.Marshal(events.KinesisEventResponse{BatchItemFailures: failures(a.ids...)})
			return out, err
		})
		r.handler.Reports = true
	}
	return r
}

func indexes(rs []record) (list []int) {
	for i := range rs {
		n, _ := strconv.Atoi(rs[i].Kinesis.SequenceNumber)
		list = append(list, n-990)
	}
	return list
}

func scanned(in string) (list []int) {
	for {
		_, after, ok := strings.Cut(in, `"sequenceNumber":"`)
		if !ok {
			return list
		}
		number, rest, _ := strings.Cut(after, `"`)
		n, _ := strconv.Atoi(number)
		list, in = append(list, n-990), rest
	}
}

// handle is the handler. Its call is written down with the records that it gets to see.
func (r *run) handle(records []int) (reply, error) {
	s, _ := r.lane.Current()
	r.log("call", s, records, s.Attempts+1, "")
	a := r.answer(records)
	switch a.kind {
	case "error":
		return a, errors.New("error")
	case "panic":
		panic("panic")
	case "busy":
		return a, fmt.Errorf("busy: %w", batch.ErrThrottled)
	}
	for _, i := range records { // what the handler holds for done, if its response is taken
		if slices.Contains(a.ids, seq(i)) || a.kind == "garbage" {
			break
		}
		r.settled[i] = true
	}
	return a, nil
}

func (r *run) log(what string, s *batch.Slice[int], records []int, n int, note string) {
	l := line{what: what, records: text(records), n: n, at: r.now, note: note}
	if s != nil {
		l.id = r.idOf(s.RequestID)
	}
	r.trace = append(r.trace, l)
}

func (r *run) idOf(id string) int {
	if r.ids[id] == 0 {
		r.ids[id] = len(r.ids) + 1
	}
	return r.ids[id]
}

func (r *run) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// take does what step says, in the order of its fields.
func (r *run) take(s *batch.Slice[int], step batch.Step[int]) {
	if d := step.Discarded; d != nil {
		if !slices.Equal(d.Records, step.Resolved) {
			r.fail("%v is discarded, and %v resolved with it", d.Records, step.Resolved)
		}
		r.trace = append(r.trace, line{
			what: "discard", records: text(d.Records), id: r.idOf(d.RequestID), n: d.InvokeCount, at: r.now,
			note: string(d.Condition) + " " + r.document(d),
		})
	}
	if len(step.Lost) > 0 {
		r.log("lost", s, step.Lost, 0, "")
	}
	for _, i := range step.Resolved {
		if r.resolved[i] {
			r.fail("record %d is resolved twice", i)
		}
		if step.Discarded == nil && len(step.Lost) == 0 && !r.settled[i] {
			r.fail("record %d is resolved and was not done", i)
		}
		r.settled[i], r.resolved[i] = true, true
	}
	for r.position < len(r.resolved) && r.resolved[r.position] {
		r.position++
	}
	if len(step.Resolved) > 0 {
		r.log("checkpoint", nil, step.Resolved, r.position, "")
	}
}

// document is the functionError of the document for d: absent without a responseContext.
func (r *run) document(d *batch.Discard[int]) string {
	called := d.Condition == batch.RetryAttemptsExhausted && d.Outcome != batch.Oversized
	f := batch.Failure{
		Condition: d.Condition, InvokeCount: d.InvokeCount, RequestID: d.RequestID,
		Responded: called, Unhandled: called && d.Outcome != batch.Rejected, ExecutedVersion: "$LATEST",
	}
	for _, i := range d.Records {
		f.Records = append(f.Records, r.all[i])
	}
	doc := string(f.Document())
	first, last := d.Records[0], d.Records[len(d.Records)-1]
	for _, want := range []string{
		`"requestId":"` + d.RequestID + `"`, `"condition":"` + string(d.Condition) + `"`,
		`"approximateInvokeCount":` + strconv.Itoa(d.InvokeCount) + `}`,
		`"startSequenceNumber":"` + seq(first) + `"`, `"endSequenceNumber":"` + seq(last) + `"`,
		`"batchSize":` + strconv.Itoa(len(d.Records)) + `,`,
	} {
		if !strings.Contains(doc, want) {
			r.fail("no %s in %s", want, doc)
		}
	}
	_, after, ok := strings.Cut(doc, `"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":`)
	switch {
	case !ok:
		return "absent"
	case strings.HasPrefix(after, "null}"):
		return "null"
	case strings.HasPrefix(after, `"Unhandled"}`):
		return "Unhandled"
	}
	return doc
}

func (r *run) attempt(s *batch.Slice[int]) batch.Result {
	took, event := r.begin()
	defer func() { r.now += took }()
	switch event {
	case "aborted":
		r.log(event, s, s.Records, s.Attempts+1, "")
		return batch.Result{Outcome: batch.Aborted}
	case "interrupted":
		r.log(event, s, s.Records, s.Attempts+1, "")
		return batch.Result{Outcome: batch.Interrupted}
	}
	ev := events.KinesisEvent{Records: make([]record, len(s.Records))}
	for i, at := range s.Records {
		ev.Records[i] = r.all[at]
	}
	if batch.EventSize(ev) > refLimit {
		r.log("oversized", s, s.Records, s.Attempts+1, "")
		return batch.Result{Outcome: batch.Oversized, Err: errors.New("oversized")}
	}
	return r.handler.Call(context.Background(), ev, nil)
}

func (r *run) run() {
	batches := r.c.batches
	for steps := 0; r.err == nil; steps++ {
		for r.lane.Len() == 0 || r.lane.Len() < r.c.ahead {
			if len(batches) == 0 {
				break
			}
			r.lane.Push(slices.Clone(batches[0]))
			batches = batches[1:]
		}
		s, ok := r.lane.Current()
		if !ok {
			return
		}
		if steps > 20_000 {
			r.fail("it does not end")
		}
		step := r.lane.Expire(instant(r.now))
		r.take(s, step)
		if step.Over || len(step.Resolved) > 0 {
			continue
		}
		step = r.lane.Settle(r.attempt(s))
		r.take(s, step)
		if step.Stop {
			return
		}
		if step.Backoff > 0 {
			r.log("sleep", s, s.Records, step.Backoff, "")
			wake := instant(r.now).Add(batch.Backoff(step.Backoff))
			if due, ok := r.lane.Due(); ok && due.Before(wake) {
				wake = due
			}
			r.now = max(r.now, int(wake.Sub(refEpoch).Milliseconds()))
		}
	}
}

// compare runs c in the model and in a Lane.
func compare(t *testing.T, name string, c *refCase, branches map[string]int) *run {
	t.Helper()
	m := &model{world: newWorld(c), now: c.start, ids: map[*refSlice]int{}, resolved: make([]bool, len(c.records)), branches: branches}
	m.run()
	r := newRun(c)
	r.run()
	if r.err == nil && slices.Equal(m.trace, r.trace) {
		return r
	}
	r.fail("the Lane leaves the model")
	i := 0
	for i < len(m.trace) && i < len(r.trace) && m.trace[i] == r.trace[i] {
		i++
	}
	show := func(trace []line) (text string) {
		for _, l := range trace[min(i, len(trace)):min(i+4, len(trace))] {
			text += "\n    " + l.String()
		}
		return text
	}
	t.Fatalf("%s: %v\n%v\nafter %d equal lines\n  want:%s\n  got:%s", name, r.err, c, i, show(m.trace), show(r.trace))
	return nil
}

func TestLaneReference(t *testing.T) {
	for _, rule := range []string{
		"L27", "L28", "L29", "L30", "L31", "L32", "L33", "L35", "L36", "L39", "L41", "C7", "C8", "C10", "C13",
	} {
		t.Attr("rule", rule)
	}
	number := func(name string, n uint64) uint64 {
		if s := os.Getenv(name); s != "" {
			var err error
			if n, err = strconv.ParseUint(s, 10, 64); err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	cases, seed := max(number("SHARDLANE_CASES", 0), 100_000), number("SHARDLANE_SEED", 1)
	if testing.Short() {
		cases = 5_000
	}
	branches := map[string]int{}
	for i := range cases {
		c := randomCase(rand.New(rand.NewPCG(seed, i)))
		name := fmt.Sprintf("seed %d, case %d", seed, i)
		if r := compare(t, name, c, branches); c.abort < 0 && r.position < len(c.records) {
			t.Fatalf("%s: it ends at record %d of %d\n%v", name, r.position, len(c.records), c)
		}
	}
	t.Logf("seed %d, %d cases: %v", seed, cases, branches)
	for _, name := range []string{
		"split", "progress", "no progress", "invalid id", "garbage", "discard by retries", "discard by age", "prefix expiry",
		"lost", "oversized discard", "throttle ended by age", "aborted", "interrupted",
	} {
		if branches[name] == 0 {
			t.Errorf("no case comes to: %s", name)
		}
	}
}

// TestLaneIsolation bisects every pattern of bad records in batches of up to 12.
func TestLaneIsolation(t *testing.T) {
	t.Attr("rule", "L29")
	for n := 1; n <= 12; n++ {
		for pattern := range 1 << n {
			c := &refCase{form: "whole", bisect: true, maxAge: -1, retention: -1, abort: -1, batches: [][]int{nil}}
			for i := range n {
				c.records = append(c.records, refRecord{fate: "error", times: -(pattern >> i & 1)})
				c.batches[0] = append(c.batches[0], i)
			}
			r := compare(t, fmt.Sprintf("pattern %b of %d", pattern, n), c, map[string]int{})
			failing, good, discarded := 0, 0, 0
			for i, l := range r.trace {
				switch {
				case l.what == "discard" && len(l.records) == 1 && pattern>>l.records[0]&1 == 1:
					discarded |= 1 << l.records[0]
				case l.what == "discard", l.what == "sleep":
					t.Fatalf("pattern %b of %d: %v", pattern, n, l)
				case l.what == "call" && i+1 < len(r.trace) && r.trace[i+1].what == "checkpoint":
					for _, at := range []byte(l.records) {
						if good>>at&1 == 1 {
							t.Fatalf("pattern %b of %d: record %d succeeds twice", pattern, n, at)
						}
						good |= 1 << at
					}
				case l.what == "call":
					failing++
				}
			}
			if failing > 2*n-1 || discarded != pattern || good != 1<<n-1-pattern {
				t.Fatalf("pattern %b of %d: %d calls fail, %b is discarded, %b succeeds", pattern, n, failing, discarded, good)
			}
		}
	}
}
