package batch_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/shardlane/shardlane/batch"
)

type (
	wholeHandler   func(context.Context, events.KinesisEvent) error
	partialHandler func(context.Context, events.KinesisEvent) (events.KinesisEventResponse, error)
	windowHandler  func(context.Context, events.KinesisTimeWindowEvent) (events.KinesisTimeWindowEventResponse, error)
)

func handlerOf[H batch.Func](t *testing.T, h H) batch.Handler {
	t.Helper()
	handler, err := batch.HandlerOf(h)
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

func TestHandlerOf(t *testing.T) {
	t.Attr("rule", "L2")
	var (
		whole   wholeHandler   = func(context.Context, events.KinesisEvent) error { return nil }
		partial partialHandler = func(context.Context, events.KinesisEvent) (r events.KinesisEventResponse, err error) {
			return r, nil
		}
		window windowHandler = func(context.Context, events.KinesisTimeWindowEvent) (r events.KinesisTimeWindowEventResponse, err error) {
			return r, nil
		}
	)
	for _, c := range []struct {
		name    string
		handler batch.Handler
		kind    batch.Kind
		outcome batch.Outcome
	}{
		{"named whole", handlerOf(t, whole), batch.Whole, batch.Succeeded},
		{"named partial", handlerOf(t, partial), batch.Partial, batch.Succeeded},
		{"named window", handlerOf(t, window), batch.Windowed, batch.Failed},
		{"plain", handlerOf(t, func(context.Context, events.KinesisEvent) error { return nil }), batch.Whole, batch.Succeeded},
		{"zero", batch.Handler{}, 0, batch.Failed},
	} {
		if c.handler.Kind() != c.kind {
			t.Errorf("%s: kind %s, want %s", c.name, c.handler.Kind(), c.kind)
		}
		if res := c.handler.Call(t.Context(), event("a"), nil); res.Outcome != c.outcome || (res.Err == nil) != (c.outcome == batch.Succeeded) {
			t.Errorf("%s: %v, want %s", c.name, res, c.outcome)
		}
	}
	for _, err := range []error{
		second(batch.HandlerOf(wholeHandler(nil))), second(batch.HandlerOf(batch.Each(nil))),
		second(batch.HandlerOf(batch.Wrap(windowHandler(nil), logged(nil)))),
	} {
		if err == nil {
			t.Error("a nil handler is accepted")
		}
	}
}

func second[A, B any](_ A, b B) B { return b }

// TestCall holds the classes of results: L1, L3, L36–L38, C8, C13.
func TestCall(t *testing.T) {
	t.Attr("rule", "L1")
	t.Attr("rule", "L3")
	t.Attr("rule", "L36")
	t.Attr("rule", "L38")
	t.Attr("rule", "C8")
	t.Attr("rule", "C13")
	boom := errors.New("boom")
	throttled := fmt.Errorf("table: %w", batch.ErrThrottled)
	for _, c := range []struct {
		name    string
		ids     []string // item identifiers that are reported
		err     error
		panics  any
		outcome batch.Outcome
		before  int    // records that are resolved by progress
		text    string // in the error
		wraps   error
	}{
		{name: "nil", outcome: batch.Succeeded},
		{name: "error", err: boom, outcome: batch.Failed, wraps: boom},
		{name: "error and report", ids: []string{"2"}, err: boom, outcome: batch.Failed, wraps: boom, text: "boom"},
		{name: "throttled", err: throttled, outcome: batch.Throttled, wraps: batch.ErrThrottled},
		{name: "panic", panics: "no table", outcome: batch.Failed, text: "no table"},
		{name: "panic with an error", panics: boom, outcome: batch.Failed, wraps: boom},
		{name: "panic is no throttle", panics: throttled, outcome: batch.Failed, wraps: batch.ErrThrottled},
		{name: "report", ids: []string{"3", "2", "3"}, outcome: batch.Progressed, before: 1, text: "record 2 of 3, 2"},
		{name: "report of the last", ids: []string{"3"}, outcome: batch.Progressed, before: 2, text: "record 3 of 3, 3"},
		{name: "report of the first", ids: []string{"3", "1"}, outcome: batch.Rejected, text: "record 1 of 3, 1"},
		{name: "empty identifier", ids: []string{"2", ""}, outcome: batch.Rejected, text: "empty item identifier"},
		{name: "foreign identifier", ids: []string{"2", "02"}, outcome: batch.Rejected, text: `"02", which is no record`},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := handlerOf(t, func(_ context.Context, ev events.KinesisEvent) (events.KinesisEventResponse, error) {
				if c.panics != nil {
					panic(c.panics)
				}
				clear(ev.Records) // reports are about the records as they came (L5)
				return events.KinesisEventResponse{BatchItemFailures: failures(c.ids...)}, c.err
			})
			res := h.Call(t.Context(), event("a", "b", "c"), nil)
			if res.Outcome != c.outcome || res.Progress != c.before || (res.Err == nil) != (c.outcome == batch.Succeeded) {
				t.Fatalf("%s after %d: %v, want %s after %d", res.Outcome, res.Progress, res.Err, c.outcome, c.before)
			}
			if c.text != "" && !strings.Contains(res.Err.Error(), c.text) || c.wraps != nil && !errors.Is(res.Err, c.wraps) {
				t.Errorf("error %q, want %q in it and %v wrapped", res.Err, c.text, c.wraps)
			}
			var p *batch.PanicError
			if c.panics != nil && (!errors.As(res.Err, &p) || !strings.Contains(string(p.Stack), "handler_test.go")) {
				t.Errorf("%T without the stack of the panic", res.Err)
			}
		})
	}
}

func TestCallGoexit(t *testing.T) {
	t.Attr("rule", "L1")
	h := handlerOf(t, func(context.Context, events.KinesisEvent) error { runtime.Goexit(); return nil })
	got := make(chan batch.Result)
	go func() {
		res := batch.Result{Outcome: batch.Failed, Err: batch.ErrGoexit}
		defer func() { got <- res }()
		res = h.Call(t.Context(), event("a"), nil)
	}()
	if res := <-got; res.Outcome != batch.Failed || !errors.Is(res.Err, batch.ErrGoexit) {
		t.Errorf("%v, want the preset result", res)
	}
}

func TestEach(t *testing.T) {
	t.Attr("rule", "L36")
	t.Attr("rule", "C13")
	boom := errors.New("boom")
	stopped, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	for _, c := range []struct {
		name    string
		ctx     context.Context
		keys    []string
		fail    string
		err     error
		outcome batch.Outcome
		called  int
		wraps   error
	}{
		{name: "empty", ctx: t.Context(), outcome: batch.Succeeded},
		{name: "all", ctx: t.Context(), keys: []string{"a", "b"}, called: 2, outcome: batch.Succeeded},
		{name: "first record", ctx: t.Context(), keys: []string{"a", "b"}, fail: "a", err: boom, called: 1, outcome: batch.Rejected, wraps: boom},
		{name: "a later record", ctx: t.Context(), keys: []string{"a", "b", "c"}, fail: "b", err: boom, called: 2, outcome: batch.Progressed, wraps: boom},
		{name: "throttled", ctx: t.Context(), keys: []string{"a", "b"}, fail: "a", err: batch.ErrThrottled, called: 1, outcome: batch.Throttled, wraps: batch.ErrThrottled},
		{
			name: "throttled after progress", ctx: t.Context(), keys: []string{"a", "b"}, fail: "b", err: batch.ErrThrottled, called: 2,
			outcome: batch.Progressed, wraps: batch.ErrThrottled,
		},
		{name: "ctx ends", ctx: stopped, keys: []string{"a", "stop", "c"}, called: 2, outcome: batch.Progressed, wraps: boom},
		{name: "ctx has ended", ctx: stopped, keys: []string{"a"}, outcome: batch.Rejected, wraps: boom},
		{name: "ctx ends with the last", ctx: stopped, keys: nil, outcome: batch.Succeeded},
	} {
		called := 0
		h := handlerOf(t, batch.Each(func(_ context.Context, r record) error {
			called++
			if r.Kinesis.PartitionKey == "stop" {
				stop(boom)
			}
			if r.Kinesis.PartitionKey == c.fail {
				return c.err
			}
			return nil
		}))
		res := h.Call(c.ctx, event(c.keys...), nil)
		if res.Outcome != c.outcome || !errors.Is(res.Err, c.wraps) || called != c.called {
			t.Errorf("%s: %s %v after %d records, want %s of %v after %d", c.name, res.Outcome, res.Err, called, c.outcome, c.wraps, c.called)
		}
		if last := called - 1; res.Outcome == batch.Progressed && c.fail != "" && res.Progress != last {
			t.Errorf("%s: %d records are resolved, want %d", c.name, res.Progress, last)
		}
	}
	// As Lambda calls it: the report only.
	resp, err := batch.Each(func(context.Context, record) error { return boom })(t.Context(), event("a", "b"))
	if err != nil || len(resp.BatchItemFailures) != 1 || resp.BatchItemFailures[0].ItemIdentifier != "1" {
		t.Errorf("outside a consumer: %v %v", resp, err)
	}
}

func TestResponse(t *testing.T) {
	rs, boom := event("a", "b", "c").Records, errors.New("boom")
	if got := batch.Response(rs, []error{nil, boom, batch.ErrThrottled}).BatchItemFailures; len(got) != 2 || got[0].ItemIdentifier != "2" {
		t.Errorf("%v, want 2 and 3", got)
	}
	if got := batch.Response(rs, make([]error, 3)).BatchItemFailures; len(got) != 0 {
		t.Errorf("%v, want none", got)
	}
	for _, errs := range [][]error{nil, make([]error, 2), make([]error, 4)} {
		if panicOf(func() { batch.Response(rs, errs) }) == nil {
			t.Errorf("no panic with %d errors for 3 records", len(errs))
		}
	}
}

func panicOf(f func()) (v any) {
	defer func() { v = recover() }()
	f()
	return nil
}
