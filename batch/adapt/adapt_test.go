package adapt_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/adapt"
)

// handlerOf returns h as a consumer has it that reads item failures.
func handlerOf(t *testing.T, h any) batch.Handler {
	t.Helper()
	handler, err := batch.HandlerOf(adapt.Func(h))
	if err != nil {
		t.Fatal(err)
	}
	if handler.Kind() != batch.JSON || handler.Serial() {
		t.Errorf("%T: kind %s, serial %v", h, handler.Kind(), handler.Serial())
	}
	handler.Reports = true
	return handler
}

// event returns an event with a record per sequence number.
func event(ids ...string) events.KinesisEvent {
	return batch.Source{Shard: "shardId-000000000007"}.Event(len(ids), func(i int) batch.Record {
		return batch.Record{PartitionKey: "key", SequenceNumber: ids[i], Data: []byte("order " + ids[i])}
	})
}

type (
	payload  struct{ Records []events.KinesisEventRecord }
	response struct {
		BatchItemFailures []map[string]string `json:"batchItemFailures"`
	}
	refusal struct{}
)

func (refusal) Error() string { return "refused" }

func report(id string) []map[string]string { return []map[string]string{{"itemIdentifier": id}} }

// TestFuncForms calls functions of all forms that lambda.Start takes with records 1 and 2. Those that report name 2.
func TestFuncForms(t *testing.T) {
	t.Attr("rule", "L2")
	t.Attr("rule", "L3")
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		h       any
		outcome batch.Outcome
	}{
		"nothing":     {func() {}, batch.Succeeded},
		"error":       {func() error { return boom }, batch.Failed},
		"own error":   {func(context.Context) *refusal { return &refusal{} }, batch.Failed},
		"throttled":   {func(context.Context) error { return fmt.Errorf("table: %w", batch.ErrThrottled) }, batch.Throttled},
		"ctx":         {func(context.Context) error { return nil }, batch.Succeeded},
		"event":       {func(events.KinesisEvent) error { return nil }, batch.Succeeded},
		"no result":   {func(context.Context, events.KinesisEvent) {}, batch.Succeeded},
		"any":         {func(in any) (any, error) { return map[string]any{"batchItemFailures": report("2")}, nil }, batch.Progressed},
		"raw":         {func(json.RawMessage) (json.RawMessage, error) { return json.RawMessage(`{"batchItemFailures":0}`), nil }, batch.Rejected},
		"value":       {func(context.Context, payload) (response, error) { return response{report("2")}, nil }, batch.Progressed},
		"pointers":    {func(_ context.Context, in *payload) (*response, error) { return &response{report("2")}, nil }, batch.Progressed},
		"nil pointer": {func(context.Context, *payload) (*response, error) { return nil, nil }, batch.Succeeded},
		"map": {func(_ context.Context, in map[string]any) (map[string]any, error) {
			return map[string]any{"batchItemFailures": report("2")}, nil
		}, batch.Progressed},
		"response and error": {func(context.Context, payload) (response, error) { return response{report("2")}, boom }, batch.Failed},
		"text":               {func(context.Context, payload) (string, error) { return "done", nil }, batch.Rejected},
		"no JSON":            {func(context.Context, payload) (any, error) { return func() {}, nil }, batch.Failed},
		"typed":              {func(context.Context, events.KinesisEvent) (r events.KinesisEventResponse, err error) { return r, nil }, batch.Succeeded},
	} {
		res := handlerOf(t, c.h).Call(t.Context(), event("1", "2"), nil)
		if res.Outcome != c.outcome || res.Outcome == batch.Progressed && res.Progress != 1 {
			t.Errorf("%s: %s after %d: %v, want %s", name, res.Outcome, res.Progress, res.Err, c.outcome)
		}
		if name == "error" && !errors.Is(res.Err, boom) {
			t.Errorf("%s: %v", name, res.Err)
		}
	}
}

type named events.KinesisEventResponse

// TestFuncReports has functions report record 2 of 2 to a consumer that is not told to read reports. Where the result type
// says that it reports, the report counts; elsewhere it is counted as unread.
func TestFuncReports(t *testing.T) {
	t.Attr("rule", "C29")
	t.Attr("rule", "L2")
	failed := []events.KinesisBatchItemFailure{{ItemIdentifier: "2"}}
	state := events.TimeWindowEventResponseProperties{State: map[string]string{"n": "2"}}
	window := &batch.Window{State: json.RawMessage(`{}`)}
	read, unread := batch.Result{Outcome: batch.Progressed, Progress: 1}, batch.Result{Outcome: batch.Succeeded, Unread: 1}
	adopted := batch.Result{Outcome: batch.Progressed, Progress: 1, State: json.RawMessage(`{"n":"2"}`)}
	ignored := batch.Result{Outcome: batch.Succeeded, Unread: 1, State: json.RawMessage(`{"n":"2"}`)}
	for name, c := range map[string]struct {
		h    any
		w    *batch.Window
		want batch.Result
	}{
		"value": {func(context.Context, events.KinesisEvent) (events.KinesisEventResponse, error) {
			return events.KinesisEventResponse{BatchItemFailures: failed}, nil
		}, nil, read},
		"pointer": {func(context.Context, *events.KinesisEvent) (*events.KinesisEventResponse, error) {
			return &events.KinesisEventResponse{BatchItemFailures: failed}, nil
		}, nil, read},
		"without ctx": {func(payload) (events.KinesisEventResponse, error) {
			return events.KinesisEventResponse{BatchItemFailures: failed}, nil
		}, nil, read},
		"defined type":        {func(payload) (named, error) { return named{BatchItemFailures: failed}, nil }, nil, read},
		"defined type by ref": {func(payload) (*named, error) { return &named{BatchItemFailures: failed}, nil }, nil, read},
		"nil pointer":         {func(payload) (*events.KinesisEventResponse, error) { return nil, nil }, nil, batch.Result{Outcome: batch.Succeeded}},
		"nobody": {func(payload) (events.KinesisEventResponse, error) {
			return events.KinesisEventResponse{BatchItemFailures: []events.KinesisBatchItemFailure{{}}}, nil
		}, nil, batch.Result{Outcome: batch.Rejected}},
		"error": {func(payload) (events.KinesisEventResponse, error) {
			return events.KinesisEventResponse{BatchItemFailures: failed}, errors.New("boom")
		}, nil, batch.Result{Outcome: batch.Failed}},
		"window": {func(events.KinesisTimeWindowEvent) (events.KinesisTimeWindowEventResponse, error) {
			return events.KinesisTimeWindowEventResponse{TimeWindowEventResponseProperties: state, BatchItemFailures: failed}, nil
		}, window, adopted},
		"window by pointer": {func(events.KinesisTimeWindowEvent) (*events.KinesisTimeWindowEventResponse, error) {
			return &events.KinesisTimeWindowEventResponse{TimeWindowEventResponseProperties: state, BatchItemFailures: failed}, nil
		}, window, adopted},
		"window without a state": {func(payload) (events.KinesisEventResponse, error) {
			return events.KinesisEventResponse{BatchItemFailures: failed}, nil
		}, window, batch.Result{Outcome: batch.Rejected}},
		"own type": {func(payload) (response, error) { return response{report("2")}, nil }, nil, unread},
		"any":      {func(payload) (any, error) { return events.KinesisEventResponse{BatchItemFailures: failed}, nil }, nil, unread},
		"another service": {func(payload) (events.SQSEventResponse, error) {
			return events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{{ItemIdentifier: "2"}}}, nil
		}, nil, unread},
		"own type in a window": {func(payload) (map[string]any, error) {
			return map[string]any{"state": map[string]string{"n": "2"}, "batchItemFailures": report("2")}, nil
		}, window, ignored},
		"error only": {func(payload) error { return nil }, nil, batch.Result{Outcome: batch.Succeeded}},
		"nothing":    {func(payload) {}, nil, batch.Result{Outcome: batch.Succeeded}},
		"lambda.Handler": {lambda.NewHandler(func(payload) (events.KinesisEventResponse, error) {
			return events.KinesisEventResponse{BatchItemFailures: failed}, nil
		}), nil, unread},
	} {
		h := handlerOf(t, c.h)
		h.Reports = false
		for range 2 {
			got := h.Call(t.Context(), event("1", "2"), c.w)
			got.Err = nil
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", c.want) {
				t.Errorf("%s: got %+v, want %+v", name, got, c.want)
			}
		}
	}
	// In Lambda and in tests there is no attempt that could be told.
	out, err := adapt.Func(func(payload) (events.KinesisEventResponse, error) {
		return events.KinesisEventResponse{BatchItemFailures: failed}, nil
	})(t.Context(), []byte(`{}`))
	if err != nil || string(out) != `{"batchItemFailures":[{"itemIdentifier":"2"}]}` {
		t.Errorf("%s, error %v", out, err)
	}
}

// TestFuncSees looks at what reaches a function: the records, and the ctx of a consumer with Lambda's own part.
func TestFuncSees(t *testing.T) {
	t.Attr("rule", "L2")
	seen := 0
	h := handlerOf(t, func(ctx context.Context, in *payload) error {
		seen++
		lc, ok := lambdacontext.FromContext(ctx)
		inv, _ := batch.InvocationFrom(ctx)
		if !ok || lc.AwsRequestID != "id" || lc.InvokedFunctionArn != "billing" || inv.Shard != "shard" {
			t.Errorf("Lambda context %+v, invocation %+v", lc, inv)
		}
		if len(in.Records) != 2 || string(in.Records[1].Kinesis.Data) != "order 2" || in.Records[0].EventID != "shardId-000000000007:1" {
			t.Errorf("event %+v", in)
		}
		return nil
	})
	ctx := batch.NewContext(t.Context(), batch.Invocation{Shard: "shard", RequestID: "id", FunctionARN: "billing"})
	if res := h.Call(ctx, event("1", "2"), nil); res.Outcome != batch.Succeeded || seen != 1 {
		t.Errorf("%s %v after %d calls", res.Outcome, res.Err, seen)
	}
}

// TestFuncConcurrent has many calls at once: each gets its own response, which stays what it was when further calls are
// made, and some panic.
func TestFuncConcurrent(t *testing.T) {
	t.Attr("rule", "P1")
	t.Attr("rule", "L1")
	const workers, calls = 16, 300
	h := adapt.Func(func(_ context.Context, in map[string]int) (map[string]any, error) {
		if in["n"]%10 == 9 {
			panic(in["n"])
		}
		return map[string]any{"n": in["n"], "fill": strings.Repeat("x", in["n"]%97)}, nil
	})
	one := func(n int) (got []byte, caught any) {
		defer func() { caught = recover() }()
		got, err := h(t.Context(), fmt.Appendf(nil, `{"n":%d}`, n))
		if err != nil {
			t.Error(err)
		}
		return got, nil
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			kept := map[int][]byte{}
			for i := range calls {
				n := w*calls + i
				got, caught := one(n)
				if caught != nil != (n%10 == 9) {
					t.Errorf("call %d: panic %v", n, caught)
				}
				if caught == nil {
					kept[n] = got
				}
			}
			for n, got := range kept {
				want := fmt.Sprintf(`{"fill":"%s","n":%d}`, strings.Repeat("x", n%97), n)
				if string(got) != want {
					t.Errorf("call %d got %q, want %q", n, got, want)
				}
			}
		})
	}
	wg.Wait()
}

// TestFuncOverlaps holds that a call does not wait for another one.
func TestFuncOverlaps(t *testing.T) {
	t.Attr("rule", "L6")
	synctest.Test(t, func(t *testing.T) {
		both := make(chan struct{})
		var inside atomic.Int32
		h := handlerOf(t, func(context.Context, payload) error {
			if inside.Add(1) == 2 {
				close(both)
			}
			<-both // a bubble in which nothing can go on fails
			return nil
		})
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { h.Call(t.Context(), event("1"), nil) })
		}
		wg.Wait()
	})
}

// TestFuncPanics holds that a panic leaves Func for the caller that recovers it, with the stack of the function.
func TestFuncPanics(t *testing.T) {
	t.Attr("rule", "L1")
	h := handlerOf(t, func(_ context.Context, in payload) error { panic("no table") })
	for range 2 {
		res := h.Call(t.Context(), event("1"), nil)
		var p *batch.PanicError
		if !errors.As(res.Err, &p) || res.Outcome != batch.Failed || p.Value != "no table" || !strings.Contains(string(p.Stack), "adapt_test.go") {
			t.Errorf("%s %v", res.Outcome, res.Err)
		}
	}
}

// audit is a lambda.Handler that writes every response into one buffer.
type audit struct {
	buffer []byte
	calls  int
	block  chan struct{} // if there is one, a call waits for it
}

func (a *audit) Invoke(_ context.Context, in []byte) ([]byte, error) {
	a.calls++
	if a.block != nil {
		<-a.block
	}
	if string(in) == "panic" {
		panic("no table")
	}
	a.buffer = append(a.buffer[:0], in...)
	return a.buffer, nil
}

// TestFuncHandler holds that calls of a lambda.Handler do not overlap, which the race detector sees, and that responses
// are copied before the next call.
func TestFuncHandler(t *testing.T) {
	t.Attr("rule", "P1")
	for name, h := range map[string]lambda.Handler{
		"own": &audit{}, "of lambda": lambda.NewHandler(func(in any) (any, error) { return in, nil }),
	} {
		f := adapt.Func(h)
		var wg sync.WaitGroup
		for w := range 16 {
			wg.Go(func() {
				var kept [][]byte
				for i := range 50 {
					got, err := f(t.Context(), fmt.Appendf(nil, "[%d]", w*50+i))
					if err != nil {
						t.Error(err)
					}
					kept = append(kept, got)
				}
				for i, got := range kept {
					if want := fmt.Sprintf("[%d]", w*50+i); string(got) != want {
						t.Errorf("%s: got %q, want %q", name, got, want)
					}
				}
			})
		}
		wg.Wait()
	}
}

// TestFuncHandlerWaits has a call wait for one that hangs until its own ctx is done, and another follow a panic.
func TestFuncHandlerWaits(t *testing.T) {
	t.Attr("rule", "P1")
	synctest.Test(t, func(t *testing.T) {
		a := &audit{block: make(chan struct{})}
		f := adapt.Func(a)
		panicked := make(chan any)
		go func() {
			defer func() { panicked <- recover() }()
			f(t.Context(), []byte("panic"))
		}()
		synctest.Wait()
		boom := errors.New("boom")
		ctx, cancel := context.WithCancelCause(t.Context())
		waited := make(chan error)
		go func() {
			_, err := f(ctx, []byte("waits"))
			waited <- err
		}()
		synctest.Wait()
		cancel(boom)
		if err := <-waited; !errors.Is(err, boom) {
			t.Errorf("%v, want the cause of ctx", err)
		}
		close(a.block)
		if v := <-panicked; v != "no table" {
			t.Errorf("panic %v", v)
		}
		if got, err := f(t.Context(), []byte("next")); string(got) != "next" || err != nil || a.calls != 2 {
			t.Errorf("%q %v after %d calls, want next after 2", got, err, a.calls)
		}
	})
}

// TestFuncNil holds that nothing to call is left to consumer.New, which asks HandlerOf.
func TestFuncNil(t *testing.T) {
	var function func(context.Context, payload) error
	for _, h := range []any{nil, function} {
		if f := adapt.Func(h); f != nil {
			t.Errorf("a handler of %T nil", h)
		} else if _, err := batch.HandlerOf(f); err == nil {
			t.Error("HandlerOf accepts nil")
		}
	}
}

// narrower has a method more than a context.
type narrower interface {
	context.Context
	Extra()
}

// TestFuncRefuses holds that what can never work panics at once, as does what lambda.Start refuses.
func TestFuncRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		h    any
		want string
	}{
		"no function":        {42, "neither a function nor a lambda.Handler"},
		"three arguments":    {func(context.Context, payload, int) {}, "more arguments"},
		"event first":        {func(payload, context.Context) {}, "is a context.Context, not adapt_test.payload"},
		"two events":         {func(payload, payload) {}, "is a context.Context"},
		"two contexts":       {func(context.Context, context.Context) {}, ""},
		"narrower context":   {func(narrower, payload) {}, "is a context.Context"},
		"variadic":           {func(context.Context, ...payload) {}, "fixed number"},
		"three results":      {func() (int, int, error) { return 0, 0, nil }, "more results"},
		"no error":           {func() int { return 0 }, "is an error, not int"},
		"error first":        {func() (error, int) { return nil, 0 }, "is an error, not int"}, //nolint:staticcheck // that is the point
		"bytes":              {func(context.Context, []byte) ([]byte, error) { return nil, nil }, "no event decodes into []uint8"},
		"text":               {func(string) error { return nil }, "no event decodes into string"},
		"channel":            {func(chan int) error { return nil }, "no event decodes into chan int"},
		"interface as event": {func(fmt.Stringer) error { return nil }, "no event decodes into fmt.Stringer"},
	} {
		func() {
			defer func() {
				if v, ok := recover().(string); !ok || !strings.HasPrefix(v, "adapt: Func of ") || !strings.Contains(v, c.want) {
					t.Errorf("%s: panic %q, want %q in it", name, v, c.want)
				}
			}()
			adapt.Func(c.h)
		}()
	}
}

// TestFuncAbsent has a record without a key and a time: null in what a function gets, of which aws-lambda-go's own types
// make "" and 1970.
func TestFuncAbsent(t *testing.T) {
	t.Attr("rule", "C26")
	t.Attr("rule", "C27")
	ev := batch.Source{}.Event(1, func(int) batch.Record { return batch.Record{SequenceNumber: "1"} })
	h := handlerOf(t, func(in json.RawMessage) error {
		if s := string(in); !strings.Contains(s, `"partitionKey":null,`) || !strings.Contains(s, `"approximateArrivalTimestamp":null}`) {
			t.Errorf("the event is %s", s)
		}
		return nil
	})
	if res := h.Call(t.Context(), ev, nil); res.Outcome != batch.Succeeded {
		t.Error(res.Err)
	}
	h = handlerOf(t, func(in events.KinesisEvent) error {
		k := in.Records[0].Kinesis
		if k.PartitionKey != "" || k.ApproximateArrivalTimestamp.UnixMilli() != 0 {
			t.Errorf("the typed event has %q, %v", k.PartitionKey, k.ApproximateArrivalTimestamp)
		}
		return nil
	})
	if res := h.Call(t.Context(), ev, nil); res.Outcome != batch.Succeeded {
		t.Error(res.Err)
	}
}
