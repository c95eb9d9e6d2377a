package batch

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/aws/aws-lambda-go/events"
)

// Next is the rest of a chain of interceptors, with the handler at its end. It returns the records that failed, as the
// handler reported them, and the handler's error. With no records it returns nil, nil and the handler is not called,
// except in the final call of a window, which never has records.
type Next func(ctx context.Context, rs []events.KinesisEventRecord) ([]events.KinesisBatchItemFailure, error)

// An Interceptor stands between a batch and its handler. It gets the records of one attempt and calls next for all of
// them, for some of them, more than once, or not at all; what it returns is the result of the attempt. Records that it
// does not pass on and does not report have succeeded. It is called concurrently, as handlers are. The ctx that it
// hands to next has to come from its own, or else [Identity] and [InvocationFrom] see nothing.
type Interceptor func(ctx context.Context, rs []events.KinesisEventRecord, next Next) ([]events.KinesisBatchItemFailure, error)

// Wrap returns h with interceptors around it, the first one outermost. The result has the type of h and is called the
// same way: by a consumer, by lambda.Start, by a test. A panic passes through it.
//
// A handler that returns an error only has no way to report single records, so item failures that an interceptor
// returns become an error of the whole batch.
//
// A time-window handler gets the fields of its window with whatever records arrive at it. Each call of next gets the
// state that the latest call left: the one it returned if it succeeded or made progress, else the one before.
// If the handler was not called, the state stays as it was. Concurrent calls of next see the state of the call that
// ended last before they began.
//
// Positions for Identity follow the records: see there for what an interceptor may do to them. Wrap of a nil h is nil.
// It panics if an interceptor is nil.
func Wrap[H Typed](h H, interceptors ...Interceptor) H {
	if slices.ContainsFunc(interceptors, func(i Interceptor) bool { return i == nil }) {
		panic("batch: Wrap with a nil interceptor")
	}
	if h == nil || len(interceptors) == 0 {
		return h
	}
	is := slices.Clone(interceptors)
	switch f := plain(h).(type) {
	case wholeFunc:
		return as[H](wrapWhole(f, is))
	case partialFunc:
		return as[H](wrapPartial(f, is))
	case windowFunc:
		return as[H](wrapWindow(f, is))
	}
	return h
}

// chain calls the interceptors from the first to the last and then end.
func chain(ctx context.Context, rs []events.KinesisEventRecord, is []Interceptor, end Next) ([]events.KinesisBatchItemFailure, error) {
	if len(is) == 0 {
		return end(ctx, rs)
	}
	return is[0](ctx, rs, func(ctx context.Context, rs []events.KinesisEventRecord) ([]events.KinesisBatchItemFailure, error) {
		return chain(follow(ctx, rs), rs, is[1:], end)
	})
}

func wrapWhole(f wholeFunc, is []Interceptor) wholeFunc {
	end := func(ctx context.Context, rs []events.KinesisEventRecord) ([]events.KinesisBatchItemFailure, error) {
		if len(rs) == 0 {
			return nil, nil
		}
		return nil, f(ctx, events.KinesisEvent{Records: rs})
	}
	return func(ctx context.Context, ev events.KinesisEvent) error {
		failed, err := chain(ctx, ev.Records, is, end)
		if err == nil && len(failed) > 0 {
			err = fmt.Errorf("batch: interceptor reported %d failed records, the first is %q, around a handler that fails as a whole",
				len(failed), failed[0].ItemIdentifier)
		}
		return err
	}
}

func wrapPartial(f partialFunc, is []Interceptor) partialFunc {
	end := func(ctx context.Context, rs []events.KinesisEventRecord) ([]events.KinesisBatchItemFailure, error) {
		if len(rs) == 0 {
			return nil, nil
		}
		resp, err := f(ctx, events.KinesisEvent{Records: rs})
		return resp.BatchItemFailures, err
	}
	return func(ctx context.Context, ev events.KinesisEvent) (events.KinesisEventResponse, error) {
		failed, err := chain(ctx, ev.Records, is, end)
		return events.KinesisEventResponse{BatchItemFailures: failed}, err
	}
}

func wrapWindow(f windowFunc, is []Interceptor) windowFunc {
	return func(ctx context.Context, ev events.KinesisTimeWindowEvent) (resp events.KinesisTimeWindowEventResponse, err error) {
		var mu sync.Mutex // guards state and is not held while f runs
		state := maps.Clone(ev.State)
		if state == nil {
			state = map[string]string{}
		}
		end := func(ctx context.Context, rs []events.KinesisEventRecord) ([]events.KinesisBatchItemFailure, error) {
			if len(rs) == 0 {
				if !ev.IsFinalInvokeForWindow {
					return nil, nil
				}
				rs = []events.KinesisEventRecord{}
			}
			call, ids := ev, sequences(rs)
			call.Records = rs
			mu.Lock()
			call.State = maps.Clone(state)
			mu.Unlock()
			if call.State == nil { // a call before returned none
				call.State = map[string]string{}
			}
			resp, err := f(ctx, call)
			first, invalid := lowest(ids, resp.BatchItemFailures)
			if err == nil && invalid == nil && (first > 0 || len(resp.BatchItemFailures) == 0) {
				mu.Lock()
				state = resp.State
				mu.Unlock()
			}
			return resp.BatchItemFailures, err
		}
		resp.BatchItemFailures, err = chain(ctx, ev.Records, is, end)
		mu.Lock()
		defer mu.Unlock()
		resp.State = state
		return resp, err
	}
}
