package batch_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"
	"github.com/shardlane/shardlane/batch"
)

// logged returns an interceptor that appends to *log, if there is one, what goes in and out.
func logged(log *[]string) batch.Interceptor {
	return func(ctx context.Context, rs []record, next batch.Next) ([]failure, error) {
		failed, err := next(ctx, rs)
		if log != nil {
			*log = append(*log, fmt.Sprintf("%v → %v %v", keys(rs), failed, err))
		}
		return failed, err
	}
}

// only returns an interceptor that passes on the records of the keys.
func only(ks ...string) batch.Interceptor {
	return func(ctx context.Context, rs []record, next batch.Next) ([]failure, error) {
		var some []record
		for _, r := range rs {
			if slices.Contains(ks, r.Kinesis.PartitionKey) {
				some = append(some, r)
			}
		}
		return next(ctx, some)
	}
}

func never(context.Context, []record, batch.Next) ([]failure, error) { return nil, nil }

// again calls next once more if it failed.
func again(ctx context.Context, rs []record, next batch.Next) ([]failure, error) {
	failed, err := next(ctx, rs)
	if err != nil || len(failed) > 0 {
		return next(ctx, rs)
	}
	return failed, err
}

// halves passes on the records in two calls.
func halves(ctx context.Context, rs []record, next batch.Next) ([]failure, error) {
	a, err := next(ctx, rs[:len(rs)/2])
	if err != nil {
		return a, err
	}
	b, err := next(ctx, rs[len(rs)/2:])
	return append(a, b...), err
}

// TestWrap runs interceptors around a handler that fails on the first call with "bad" in the batch.
func TestWrap(t *testing.T) {
	t.Attr("rule", "L22")
	for _, c := range []struct {
		name    string
		is      []batch.Interceptor
		keys    []string
		outcome batch.Outcome // of a handler that fails as a whole; a report of the second record is progress
		calls   []string      // of the handler
	}{
		{"none", nil, []string{"a", "b"}, batch.Succeeded, []string{"[a b]"}},
		{"pass", []batch.Interceptor{logged(nil), logged(nil)}, []string{"a", "bad"}, batch.Failed, []string{"[a bad]"}},
		{"fewer", []batch.Interceptor{only("b")}, []string{"a", "b", "bad"}, batch.Succeeded, []string{"[b]"}},
		{"no records", []batch.Interceptor{only()}, []string{"a", "bad"}, batch.Succeeded, nil},
		{"never", []batch.Interceptor{never}, []string{"bad"}, batch.Succeeded, nil},
		{"twice", []batch.Interceptor{again}, []string{"a", "bad"}, batch.Succeeded, []string{"[a bad]", "[a bad]"}},
		{"halves", []batch.Interceptor{halves}, []string{"a", "b", "c"}, batch.Succeeded, []string{"[a]", "[b c]"}},
		{"reports", []batch.Interceptor{func(ctx context.Context, rs []record, next batch.Next) ([]failure, error) {
			return failures(rs[1].Kinesis.SequenceNumber), nil
		}}, []string{"a", "b"}, batch.Failed, nil},
		{"panic", []batch.Interceptor{logged(nil), func(context.Context, []record, batch.Next) ([]failure, error) {
			panic("no")
		}}, []string{"a"}, batch.Failed, nil},
	} {
		var calls []string
		seen := false
		bad := func(rs []record) (ids []string) {
			calls = append(calls, fmt.Sprint(keys(rs)))
			for _, r := range rs {
				if r.Kinesis.PartitionKey == "bad" && !seen {
					ids, seen = append(ids, r.Kinesis.SequenceNumber), true
				}
			}
			return ids
		}
		var whole wholeHandler = func(_ context.Context, ev events.KinesisEvent) error {
			if ids := bad(ev.Records); len(ids) > 0 {
				return errors.New("bad")
			}
			return nil
		}
		var partial partialHandler = func(_ context.Context, ev events.KinesisEvent) (resp events.KinesisEventResponse, err error) {
			resp.BatchItemFailures = failures(bad(ev.Records)...)
			return resp, nil
		}
		for _, h := range []batch.Handler{handlerOf(t, batch.Wrap(whole, c.is...)), handlerOf(t, batch.Wrap(partial, c.is...))} {
			calls, seen = nil, false
			want := c.outcome
			if h.Kind() == batch.Partial && want == batch.Failed && c.name != "panic" {
				want = batch.Progressed
			}
			res := h.Call(t.Context(), event(c.keys...), nil)
			if res.Outcome != want || want == batch.Progressed && res.Progress != 1 || !slices.Equal(calls, c.calls) {
				t.Errorf("%s, %s: %s %v after %q, want %s after %q", c.name, h.Kind(), res.Outcome, res.Err, calls, want, c.calls)
			}
		}
	}
	if panicOf(func() { batch.Wrap(func(context.Context, events.KinesisEvent) error { return nil }, nil) }) == nil {
		t.Error("a nil interceptor is accepted")
	}
}

func TestWrapOrder(t *testing.T) {
	var log []string
	boom := errors.New("boom")
	h := batch.Wrap(batch.Each(func(_ context.Context, r record) error {
		if r.Kinesis.PartitionKey == "b" {
			return boom
		}
		return nil
	}), logged(&log), only("b", "c"), logged(&log))
	res := handlerOf(t, h).Call(t.Context(), event("a", "b", "c"), nil)
	want := []string{"[b c] → [{2}] <nil>", "[a b c] → [{2}] <nil>"}
	if diff := cmp.Diff(want, log); diff != "" || !errors.Is(res.Err, boom) || !strings.Contains(res.Err.Error(), "record 2 of 3") {
		t.Errorf("%v; log (-want +got):\n%s", res.Err, diff)
	}
}

// TestWrapCauses has an interceptor call a handler concurrently and report what failed: the cause that counts belongs
// to the lowest record that is reported, and is its latest.
func TestWrapCauses(t *testing.T) {
	var calls atomic.Int64
	parallel := func(ctx context.Context, rs []record, next batch.Next) (all []failure, err error) {
		out := make([][]failure, len(rs))
		var wg sync.WaitGroup
		for i := range rs {
			wg.Go(func() { out[i], _ = next(ctx, rs[i:i+1]) })
		}
		wg.Wait()
		return slices.Concat(out...), nil
	}
	h := handlerOf(t, batch.Wrap(batch.Each(func(_ context.Context, r record) error {
		return fmt.Errorf("cause of %s in round %d", r.Kinesis.PartitionKey, (calls.Add(1)+2)/3)
	}), func(ctx context.Context, rs []record, next batch.Next) ([]failure, error) {
		failed, err := next(ctx, rs)
		return failed[1:], err
	}, again, parallel))
	if res := h.Call(t.Context(), event("a", "b", "c"), nil); !strings.HasSuffix(fmt.Sprint(res.Err), "cause of b in round 2") {
		t.Errorf("%v, want the latest cause of b", res.Err)
	}
}

// TestWrapWindow counts records in the state, behind interceptors.
func TestWrapWindow(t *testing.T) {
	t.Attr("rule", "L51")
	t.Attr("rule", "C20")
	type call struct {
		Keys  []string
		State map[string]string
		Final bool
	}
	for _, c := range []struct {
		name   string
		i      batch.Interceptor
		keys   []string
		report map[int]string // call → reported sequence number
		final  bool
		calls  []call
		state  map[string]string
	}{
		{name: "pass", i: logged(nil), keys: []string{"a", "b"}, calls: []call{{[]string{"a", "b"}, map[string]string{"n": "x"}, false}}, state: map[string]string{"n": "xab"}},
		{name: "not called", i: never, keys: []string{"a"}, state: map[string]string{"n": "x"}},
		{name: "no records", i: only(), keys: []string{"a"}, state: map[string]string{"n": "x"}},
		{name: "final", i: logged(nil), final: true, calls: []call{{nil, map[string]string{"n": "x"}, true}}, state: map[string]string{"n": "x"}},
		{
			name: "halves", i: halves, keys: []string{"a", "b"}, state: map[string]string{"n": "xab"},
			calls: []call{{[]string{"a"}, map[string]string{"n": "x"}, false}, {[]string{"b"}, map[string]string{"n": "xa"}, false}},
		},
		{
			name: "no progress, again", i: again, keys: []string{"a", "b"}, report: map[int]string{1: "1"}, state: map[string]string{"n": "xab"},
			calls: []call{{[]string{"a", "b"}, map[string]string{"n": "x"}, false}, {[]string{"a", "b"}, map[string]string{"n": "x"}, false}},
		},
		{
			name: "progress", i: logged(nil), keys: []string{"a", "b"}, report: map[int]string{1: "2"}, state: map[string]string{"n": "xab"},
			calls: []call{{[]string{"a", "b"}, map[string]string{"n": "x"}, false}},
		},
	} {
		var calls []call
		var h windowHandler = func(_ context.Context, ev events.KinesisTimeWindowEvent) (resp events.KinesisTimeWindowEventResponse, err error) {
			if ev.Records == nil || ev.ShardID != "shard" || ev.State == nil {
				t.Errorf("%s: event %+v", c.name, ev)
			}
			calls = append(calls, call{keys(ev.Records), maps.Clone(ev.State), ev.IsFinalInvokeForWindow})
			ev.State["n"] += strings.Join(keys(ev.Records), "")
			resp.State = ev.State
			if id := c.report[len(calls)]; id != "" {
				resp.BatchItemFailures = failures(id)
			}
			return resp, nil
		}
		ev := events.KinesisTimeWindowEvent{KinesisEvent: event(c.keys...)}
		ev.ShardID, ev.State, ev.IsFinalInvokeForWindow = "shard", map[string]string{"n": "x"}, c.final
		resp, err := batch.Wrap(h, c.i)(t.Context(), ev)
		if diff := cmp.Diff(c.calls, calls); diff != "" || err != nil {
			t.Errorf("%s: %v; calls (-want +got):\n%s", c.name, err, diff)
		}
		if diff := cmp.Diff(c.state, resp.State); diff != "" {
			t.Errorf("%s: state (-want +got):\n%s", c.name, diff)
		}
	}
}
