package batch

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"

	"github.com/aws/aws-lambda-go/events"
)

// Func is the constraint on handlers that a consumer runs. The type of a handler decides how its result is read (L2):
//
//	func(context.Context, events.KinesisEvent) error                                 the batch succeeds or fails
//	func(context.Context, events.KinesisEvent) (events.KinesisEventResponse, error)  records may fail, by sequence number
//	func(context.Context, events.KinesisTimeWindowEvent) (events.KinesisTimeWindowEventResponse, error)
//	                                                                                 tumbling windows with a state
//
// Named function types and method values fit as well. A consumer refuses the third form as long as it has no windows
// (L10); [Wrap] and lambda.Start take it.
type Func interface{ Typed }

// Typed is the constraint on handlers whose event and response are Go types. It is what [Wrap] takes.
type Typed interface {
	~func(context.Context, events.KinesisEvent) error |
		~func(context.Context, events.KinesisEvent) (events.KinesisEventResponse, error) |
		~func(context.Context, events.KinesisTimeWindowEvent) (events.KinesisTimeWindowEventResponse, error)
}

type (
	wholeFunc   = func(context.Context, events.KinesisEvent) error
	partialFunc = func(context.Context, events.KinesisEvent) (events.KinesisEventResponse, error)
	windowFunc  = func(context.Context, events.KinesisTimeWindowEvent) (events.KinesisTimeWindowEventResponse, error)
)

// Kind is the form of a handler, which selects how its result is read (L2).
type Kind uint8

// The forms of handlers.
const (
	Whole   Kind = iota + 1 // events.KinesisEvent → error
	Partial                 // events.KinesisEvent → events.KinesisEventResponse, error
	Window                  // events.KinesisTimeWindowEvent → events.KinesisTimeWindowEventResponse, error
)

// String returns "whole", "partial" or "window".
func (k Kind) String() string {
	switch k {
	case Whole:
		return "whole"
	case Partial:
		return "partial"
	case Window:
		return "window"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// ErrGoexit is the error of an attempt whose handler ended its goroutine with runtime.Goexit, as testing.T.FailNow
// does (L1). No function can return after that, so [Handler.Call] does not return it; see there.
var ErrGoexit = errors.New("batch: handler called runtime.Goexit")

// A PanicError is the error of an attempt whose handler, or an interceptor around it, panicked (L1).
type PanicError struct {
	Value any    // what panic was called with
	Stack []byte // the goroutine's stack at the panic, as debug.Stack formats it
}

// Error returns the panic's value, without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("batch: handler panicked: %v", e.Value) }

// Unwrap returns the panic's value if it is an error, and nil otherwise.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// A Handler is a handler of any form, ready to be called. [HandlerOf] makes one; the zero Handler fails every call.
type Handler struct {
	kind    Kind
	whole   wholeFunc
	partial partialFunc
}

// HandlerOf converts h once, so that Call reaches it directly. It returns an error if h is nil.
func HandlerOf[H Func](h H) (Handler, error) {
	if h == nil {
		return Handler{}, errors.New("batch: handler is nil")
	}
	switch f := plain(h).(type) {
	case wholeFunc:
		return Handler{kind: Whole, whole: f}, nil
	case partialFunc:
		return Handler{kind: Partial, partial: f}, nil
	default:
		return Handler{kind: Window}, nil
	}
}

// Kind returns the form of the handler, 0 for the zero Handler.
func (h Handler) Kind() Kind { return h.kind }

// Call makes one attempt: it calls the handler with ev and classifies what comes back.
//
//   - nil, and a response without item failures: [Succeeded]
//   - an error, whatever response comes with it (L3), and a panic, which becomes a *[PanicError]: [Failed]
//   - an error that wraps [ErrThrottled] (C13): [Throttled]
//   - a response with item failures: Failed as a whole, with an error that names what was reported and wraps the error
//     that [Each] got for it; Throttled if that one wraps ErrThrottled
//
// A handler of the form [Window] needs a window and is not called: its result is Failed.
//
// Call does not watch ctx: a caller with a time limit compares ctx after the return (C14). If the handler calls
// runtime.Goexit, Call does not return and its goroutine ends after the deferred calls: a caller that has to know runs
// Call in a goroutine whose result is preset to {Failed, ErrGoexit}.
func (h Handler) Call(ctx context.Context, ev events.KinesisEvent) (res Result) {
	defer func() {
		if v := recover(); v != nil {
			res = Result{Outcome: Failed, Err: &PanicError{Value: v, Stack: debug.Stack()}}
		}
	}()
	if inv, ok := ctx.Value(invocationKey{}).(*Invocation); ok && inv.Subs != nil {
		ctx = WithSubRecords(ctx, ev.Records, inv.Subs)
	}
	switch h.kind {
	case Whole:
		return resultOf(h.whole(ctx, ev))
	case Partial:
		cs, ids := &causes{}, sequences(ev.Records)
		resp, err := h.partial(context.WithValue(ctx, causesKey{}, cs), ev)
		if err == nil {
			err = reported(ids, resp.BatchItemFailures, cs)
		}
		return resultOf(err)
	case Window:
		return Result{Outcome: Failed, Err: errors.New("batch: a time-window handler is called without a window")}
	}
	return Result{Outcome: Failed, Err: errors.New("batch: zero Handler is called")}
}

func resultOf(err error) Result {
	switch {
	case err == nil:
		return Result{Outcome: Succeeded}
	case errors.Is(err, ErrThrottled):
		return Result{Outcome: Throttled, Err: err}
	}
	return Result{Outcome: Failed, Err: err}
}

// plain returns h as a wholeFunc, partialFunc or windowFunc. Reflection changes the type of the value only: the result
// is called directly.
func plain[H Typed](h H) any {
	switch any(h).(type) {
	case wholeFunc, partialFunc, windowFunc:
		return h
	}
	v := reflect.ValueOf(h)
	for _, t := range []reflect.Type{reflect.TypeFor[wholeFunc](), reflect.TypeFor[partialFunc](), reflect.TypeFor[windowFunc]()} {
		if v.CanConvert(t) {
			return v.Convert(t).Interface()
		}
	}
	panic("batch: " + v.Type().String() + " is not a handler type") // Typed admits nothing else
}

// as returns f, one of the plain types, as the handler type H that has it as underlying type.
func as[H Typed](f any) H {
	if h, ok := f.(H); ok {
		return h
	}
	return reflect.ValueOf(f).Convert(reflect.TypeFor[H]()).Interface().(H)
}
