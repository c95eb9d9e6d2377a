package consumer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// A tumbler is a handler of windows whose state lists the data that it has seen. It logs final calls, and what it was asked
// to fail.
type tumbler struct {
	f    *field
	pad  int                                       // bytes that the state has besides
	fail func(events.KinesisTimeWindowEvent) error // nil: nothing fails
	mu   sync.Mutex
	ends []windowEnd
	all  []events.KinesisTimeWindowEvent
}

// A windowEnd is a final call.
type windowEnd struct {
	shard string
	start time.Time
	early bool
	seen  string // data, each followed by a space
	at    time.Time
}

func (w *tumbler) handle(ctx context.Context, ev events.KinesisTimeWindowEvent) (resp events.KinesisTimeWindowEventResponse, err error) {
	resp.State = map[string]string{"seen": ev.State["seen"]}
	for _, r := range ev.Records {
		resp.State["seen"] += string(r.Kinesis.Data) + " "
		if at := r.Kinesis.ApproximateArrivalTimestamp; !at.Before(ev.Window.End.Time) {
			w.f.t.Errorf("a record of %v in the window to %v", at, ev.Window.End)
		}
	}
	if w.pad > 0 {
		resp.State["pad"] = strings.Repeat("x", w.pad)
	}
	w.mu.Lock()
	w.all = append(w.all, ev)
	w.mu.Unlock()
	if w.fail != nil {
		if err := w.fail(ev); err != nil {
			return resp, err
		}
	}
	if !ev.IsFinalInvokeForWindow {
		return resp, w.f.handle(ctx, ev.KinesisEvent)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends = append(w.ends, windowEnd{ev.ShardID, ev.Window.Start.Time, ev.IsWindowTerminatedEarly, ev.State["seen"], time.Now()})
	return resp, nil
}

// seen are the data of all final calls, window by window.
func (w *tumbler) seen() (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.ends {
		all = append(all, e.seen)
	}
	return all
}

// aligned waits for the second second of a minute.
func aligned() {
	time.Sleep(time.Until(time.Now().Truncate(time.Minute).Add(time.Minute + time.Second)))
}

var everyMinute = consumer.WithTumblingWindow(time.Minute)

// A window ends with the first record of a later one, and 120 s after its end when none comes and the shard is caught up;
// one without records has no call.
func TestWindowEnds(t *testing.T) {
	t.Parallel()
	for _, rule := range []string{"L47", "L51", "L52", "C20"} {
		t.Attr("rule", rule)
	}
	inField(t, 1, func(f *field) {
		w := &tumbler{f: f}
		aligned()
		life := startField(f, w.handle, everyMinute)
		f.put(shardID(0), "a", 2)
		time.Sleep(time.Minute)
		f.put(shardID(0), "b", 1)
		time.Sleep(time.Second)
		if got := w.seen(); !slices.Equal(got, []string{"a a "}) {
			t.Errorf("with a record of the next window: %q", got)
		}
		end := time.Now().Truncate(time.Minute).Add(time.Minute)
		time.Sleep(5 * time.Minute)
		if got := w.seen(); !slices.Equal(got, []string{"a a ", "b "}) {
			t.Fatalf("idle: %q", got)
		}
		if late := w.ends[1].at.Sub(end); late < 2*time.Minute || late > 2*time.Minute+6*time.Second || w.ends[1].early {
			t.Errorf("the idle window was closed %v after its end, early %t", late, w.ends[1].early)
		}
		time.Sleep(5 * time.Minute)
		if got := w.seen(); len(got) != 2 {
			t.Errorf("windows without records were closed: %q", got)
		}
		life.stop()
	})
}

// A shard that is not caught up does not close its window for want of records: they may be on their way.
func TestWindowIdleOnlyCaughtUp(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "C20")
	inField(t, 1, func(f *field) {
		w := &tumbler{f: f}
		aligned()
		life := startField(f, w.handle, everyMinute, consumer.WithWindowIdle(0))
		f.put(shardID(0), "a", 1)
		time.Sleep(5 * time.Second)
		fault := f.srv.Fail("GetRecords", kinesistest.Error("InternalFailure", 0))
		f.put(shardID(0), "a", 1)
		time.Sleep(10 * time.Minute)
		if got := w.seen(); len(got) > 0 {
			t.Errorf("closed while reads failed: %q", got)
		}
		fault[0].Stop()
		time.Sleep(time.Minute)
		if got := w.seen(); !slices.Equal(got, []string{"a a "}) {
			t.Errorf("got %q", got)
		}
		life.stop()
	})
}

// A restart replays the open window from an empty state, by a stop and by a crash, and no window is short.
func TestWindowRestart(t *testing.T) {
	t.Parallel()
	for _, rule := range []string{"C19", "L42", "L50"} {
		t.Attr("rule", rule)
	}
	inField(t, 1, func(f *field) {
		w := &tumbler{f: f}
		aligned()
		for _, end := range []func(*fieldLife){(*fieldLife).stop, (*fieldLife).kill, (*fieldLife).stop} {
			life := startField(f, w.handle, everyMinute, consumer.WithDrainTimeout(0))
			f.put(shardID(0), "a", 2)
			time.Sleep(15 * time.Second) // longer than the checkpoint's interval
			end(life)
			first := f.srv.Records("orders")[0].SequenceNumber
			for _, row := range f.store.written() {
				if seq, _, _, numeric := row.ck.Sequence(); numeric && seq >= first {
					t.Errorf("a checkpoint at %s, inside the open window", row.ck)
				}
			}
		}
		life := startField(f, w.handle, everyMinute)
		time.Sleep(time.Minute)
		f.put(shardID(0), "b", 1)
		time.Sleep(time.Second)
		life.stop()
		if got := w.seen(); !slices.Equal(got, []string{"a a a a a a "}) {
			t.Errorf("closed with %q", got)
		}
		last := f.store.written()[len(f.store.written())-1].ck
		if seq, _, whole, _ := last.Sequence(); !whole || seq != f.srv.Records("orders")[5].SequenceNumber {
			t.Errorf("the checkpoint is %s, want one behind the closed window", last)
		}
	})
}

// The end of a shard closes its window early, before its children start with windows of their own, at a split and at a merge.
func TestWindowReshard(t *testing.T) {
	t.Parallel()
	for _, rule := range []string{"L52", "L25"} {
		t.Attr("rule", rule)
	}
	inField(t, 1, func(f *field) {
		w := &tumbler{f: f}
		aligned()
		life := startField(f, w.handle, everyMinute)
		f.put(shardID(0), "a", 2)
		time.Sleep(3 * time.Second)
		f.srv.Split("orders", shardID(0))
		f.put(shardID(1), "b", 1)
		f.put(shardID(2), "c", 1)
		time.Sleep(10 * time.Second)
		if got := w.seen(); !slices.Equal(got, []string{"a a "}) || !w.ends[0].early {
			t.Errorf("after the split: %q", got)
		}
		f.srv.Merge("orders", shardID(1), shardID(2))
		f.put(shardID(3), "d", 1)
		time.Sleep(10 * time.Second)
		got := w.seen()
		slices.Sort(got)
		if !slices.Equal(got, []string{"a a ", "b ", "c "}) {
			t.Errorf("after the merge: %q", got)
		}
		time.Sleep(5 * time.Minute)
		if got = w.seen(); len(got) != 4 || got[3] != "d " || w.ends[3].early {
			t.Errorf("in the end: %q", got)
		}
		life.stop()
	})
}

// A state of 1 MiB ends its window at once; later records of the window begin anew, and have a final call of their own.
func TestWindowLargeState(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "L53")
	inField(t, 1, func(f *field) {
		w := &tumbler{f: f, pad: 1 << 20}
		aligned()
		life := startField(f, w.handle, everyMinute)
		for range 2 {
			f.put(shardID(0), "a", 1)
			time.Sleep(2 * time.Second)
		}
		if got := w.seen(); !slices.Equal(got, []string{"a ", "a "}) || !w.ends[0].early || !w.ends[1].early {
			t.Errorf("got %q", got)
		}
		time.Sleep(10 * time.Minute)
		if got := w.seen(); len(got) != 2 {
			t.Errorf("a window without further records was closed again: %q", got)
		}
		life.stop()
	})
}

// A final call that fails has the budget and the destination of a batch, and the shard waits for it.
func TestWindowFinalFails(t *testing.T) {
	t.Parallel()
	for _, rule := range []string{"L54", "L44", "L42"} {
		t.Attr("rule", rule)
	}
	inField(t, 1, func(f *field) {
		w := &tumbler{f: f, fail: func(ev events.KinesisTimeWindowEvent) error {
			if ev.IsFinalInvokeForWindow {
				return errPoison
			}
			return nil
		}}
		var documents []string
		aligned()
		start := time.Now().Truncate(time.Minute).UTC().Format(time.RFC3339)
		life := startField(f, w.handle, everyMinute, consumer.WithMaxRetryAttempts(2), consumer.WithBisectOnError(true),
			consumer.WithOnFailure(batch.DestinationFunc(func(_ context.Context, failure *batch.Failure) error {
				documents = append(documents, string(failure.Document()))
				return nil
			})))
		f.put(shardID(0), "a", 2)
		time.Sleep(time.Minute)
		f.put(shardID(0), "b", 1)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		finals := 0
		for _, ev := range w.all {
			if ev.IsFinalInvokeForWindow {
				finals++
			}
		}
		if finals != 3 || len(documents) != 1 {
			t.Fatalf("%d final calls and %d documents, want 3 and 1", finals, len(documents))
		}
		for _, part := range []string{
			`"KinesisBatchInfo":{"shardId":"shardId-000000000000","streamArn":`, `"approximateInvokeCount":3`,
			`"timeWindowInfo":{"window":{"start":"` + start + `"`, `"isFinalInvokeForWindow":true,"isWindowTerminatedEarly":false}`,
		} {
			if !strings.Contains(documents[0], part) {
				t.Errorf("%s has no %s", documents[0], part)
			}
		}
		if f.complete(); f.seen()[len(f.seen())-1].key(0) != "b" {
			t.Error("the shard did not go on")
		}
		life.stop()
	})
}

// What cannot go with windows is refused (L10).
func TestWindowOptions(t *testing.T) {
	t.Parallel()
	for _, rule := range []string{"L10", "B3"} {
		t.Attr("rule", rule)
	}
	srv := kinesistest.NewServer("orders", 1)
	defer srv.Close()
	window := func(_ context.Context, _ events.KinesisTimeWindowEvent) (r events.KinesisTimeWindowEventResponse, err error) {
		return r, nil
	}
	whole := func(context.Context, events.KinesisEvent) error { return nil }
	json := func(context.Context, []byte) ([]byte, error) { return nil, nil }
	for name, c := range map[string]struct {
		err  error
		want string // empty: no error
	}{
		"window":          {second(consumer.New(srv.Client(), "orders", window, everyMinute)), ""},
		"JSON":            {second(consumer.New(srv.Client(), "orders", json, everyMinute)), ""},
		"no patterns":     {second(consumer.New(srv.Client(), "orders", window, everyMinute, consumer.WithFilter())), ""},
		"no window":       {second(consumer.New(srv.Client(), "orders", window)), "WithTumblingWindow"},
		"other handler":   {second(consumer.New(srv.Client(), "orders", whole, everyMinute)), "whole form"},
		"factor":          {second(consumer.New(srv.Client(), "orders", window, everyMinute, consumer.WithParallelizationFactor(2))), "factor of 1"},
		"filter":          {second(consumer.New(srv.Client(), "orders", window, everyMinute, consumer.WithFilter(`{"partitionKey":["a"]}`))), "no filter"},
		"too long":        {second(consumer.New(srv.Client(), "orders", window, consumer.WithTumblingWindow(901*time.Second))), "0s to 15m0s"},
		"idle, no window": {second(consumer.New(srv.Client(), "orders", whole, consumer.WithWindowIdle(0))), "WithWindowIdle"},
		"idle below 0":    {second(consumer.New(srv.Client(), "orders", window, everyMinute, consumer.WithWindowIdle(-1))), "WithWindowIdle"},
	} {
		if c.want == "" && c.err != nil || c.want != "" && (!errors.Is(c.err, consumer.ErrConfig) || !strings.Contains(c.err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, c.err, c.want)
		}
	}
}

func second[T any](_ T, err error) error { return err }
