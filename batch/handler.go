package batch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"

	"github.com/aws/aws-lambda-go/events"
)

// Func is the constraint on handlers that a consumer runs. The type of a handler decides how its result is read:
//
//	func(context.Context, events.KinesisEvent) error                                 the batch succeeds or fails
//	func(context.Context, events.KinesisEvent) (events.KinesisEventResponse, error)  records may fail, by sequence number
//	func(context.Context, events.KinesisTimeWindowEvent) (events.KinesisTimeWindowEventResponse, error)
//	                                                                                 tumbling windows with a state
//
//	func(context.Context, []byte) ([]byte, error)                                    the event and the response as JSON
//
// Named function types and method values fit as well. The third form needs a window. The fourth is the Invoke
// method of a lambda.Handler: within one consumer its calls never overlap, since lambda.NewHandler's are not safe to,
// unless its type is [Concurrent]. Package adapt makes one of any other function that lambda.Start takes.
type Func interface {
	Typed |
		~func(context.Context, []byte) ([]byte, error)
}

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
	jsonFunc    = func(context.Context, []byte) ([]byte, error)
)

// A Concurrent is a handler of the JSON form whose calls may overlap. It keeps nothing of a response it has returned.
type Concurrent func(context.Context, []byte) ([]byte, error)

// Kind is the form of a handler, which selects how its result is read.
type Kind uint8

// The forms of handlers.
const (
	Whole    Kind = iota + 1 // events.KinesisEvent → error
	Partial                  // events.KinesisEvent → events.KinesisEventResponse, error
	Windowed                 // events.KinesisTimeWindowEvent → events.KinesisTimeWindowEventResponse, error
	JSON                     // []byte → []byte, error
)

// String returns "whole", "partial", "window" or "json".
func (k Kind) String() string {
	switch k {
	case Whole:
		return "whole"
	case Partial:
		return "partial"
	case Windowed:
		return "window"
	case JSON:
		return "json"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// ErrGoexit is the error of an attempt whose handler ended its goroutine with runtime.Goexit, as testing.T.FailNow
// does. No function can return after that, so [Handler.Call] does not return it; see there.
var ErrGoexit = errors.New("batch: handler called runtime.Goexit")

// A PanicError is the error of an attempt whose handler, or an interceptor around it, panicked.
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
	// Reports says that responses of the JSON form are read for item failures: ReportBatchItemFailures. The typed
	// forms need no word of it, and ignore this one. A function of package adapt whose result type reports needs none
	// either ([ReadsItemFailures]). What other responses report is not acted on, and counted in Result.Unread.
	Reports bool

	kind    Kind
	serial  bool
	whole   wholeFunc
	partial partialFunc
	window  windowFunc
	json    jsonFunc
}

// HandlerOf converts h once, so that Call reaches it directly. It returns an error if h is nil.
func HandlerOf[H Func](h H) (Handler, error) {
	if h == nil {
		return Handler{}, errors.New("batch: handler is nil")
	}
	if c, ok := any(h).(Concurrent); ok {
		return Handler{kind: JSON, json: c}, nil
	}
	switch f := plain(h).(type) {
	case wholeFunc:
		return Handler{kind: Whole, whole: f}, nil
	case partialFunc:
		return Handler{kind: Partial, partial: f}, nil
	case windowFunc:
		return Handler{kind: Windowed, window: f}, nil
	case jsonFunc:
		return Handler{kind: JSON, json: f, serial: true}, nil
	}
	panic(fmt.Sprintf("batch: %T is not a handler type", h)) // Func admits nothing else
}

// Kind returns the form of the handler, 0 for the zero Handler.
func (h Handler) Kind() Kind { return h.kind }

// Serial reports whether calls of the handler must not overlap. Call does not see to it: its caller does.
func (h Handler) Serial() bool { return h.serial }

// Call makes one attempt: it calls the handler with ev and classifies what comes back (§5). w is nil except in window
// mode, where the state of w goes in and the result's State comes out.
//
//   - nil, and a response without item failures: [Succeeded]
//   - an error, whatever response comes with it, and a panic, which becomes a *[PanicError]: [Failed]
//   - an error that wraps [ErrThrottled]: [Throttled]
//   - item failures, the lowest of them behind the first record: [Progressed], with an error that names what was reported
//     and wraps the error that [Each] got for it
//   - item failures with the first record among them: [Rejected], or Throttled if that error wraps ErrThrottled
//   - a response that is not valid, and in window mode one without a state, except in a final call: Rejected
//
// Call does not watch ctx: a caller with a time limit compares ctx after the return. If the handler calls
// runtime.Goexit, Call does not return and its goroutine ends after the deferred calls: a caller that has to know runs
// Call in a goroutine whose result is preset to {Failed, ErrGoexit}.
func (h Handler) Call(ctx context.Context, ev events.KinesisEvent, w *Window) (res Result) {
	defer func() {
		if v := recover(); v != nil {
			res = Result{Outcome: Failed, Err: &PanicError{Value: v, Stack: debug.Stack()}}
		}
	}()
	if inv, ok := ctx.Value(invocationKey{}).(*Invocation); ok && inv.Subs != nil {
		ctx = WithSubRecords(ctx, ev.Records, inv.Subs)
	}
	if w == nil == (h.kind == Windowed) {
		if h.kind == Windowed {
			return Result{Outcome: Failed, Err: errors.New("batch: a time-window handler is called without a window")}
		}
		if h.kind != JSON {
			return Result{Outcome: Failed, Err: errors.New("batch: a handler without windows is called with one")}
		}
	}
	a := &attempt{Context: ctx}
	switch h.kind {
	case Whole:
		return resultOf(h.whole(a, ev))
	case Partial:
		ids := sequences(ev.Records)
		resp, err := h.partial(a, ev)
		if err != nil {
			return resultOf(err)
		}
		return reported(ids, resp.BatchItemFailures, a)
	case Windowed:
		return h.callWindow(a, ev, w)
	case JSON:
		return h.callJSON(a, ev, w)
	}
	return Result{Outcome: Failed, Err: errors.New("batch: zero Handler is called")}
}

func (h Handler) callWindow(a *attempt, ev events.KinesisEvent, w *Window) Result {
	ids := sequences(ev.Records)
	in := events.KinesisTimeWindowEvent{KinesisEvent: ev}
	in.ShardID, in.EventSourceARN = w.Shard, w.StreamARN
	in.Window = events.Window{
		Start: events.RFC3339EpochTime{Time: w.Start.UTC()}, End: events.RFC3339EpochTime{Time: w.End.UTC()}, // P3
	}
	in.IsFinalInvokeForWindow, in.IsWindowTerminatedEarly = w.Final, w.Early
	if in.Records == nil {
		in.Records = []events.KinesisEventRecord{} // L51
	}
	if err := json.Unmarshal(w.State, &in.State); err != nil {
		return Result{Outcome: Failed, Err: fmt.Errorf("batch: state of the window: %w", err)}
	}
	if in.State == nil {
		in.State = map[string]string{} // P4
	}
	resp, err := h.window(a, in)
	if err != nil {
		return resultOf(err)
	}
	res := reported(ids, resp.BatchItemFailures, a)
	if w.Final || res.Outcome != Succeeded && res.Outcome != Progressed {
		return res
	}
	if resp.State == nil {
		return Result{Outcome: Rejected, Err: errNoState}
	}
	res.State = appendState(nil, resp.State)
	return res
}

func (h Handler) callJSON(a *attempt, ev events.KinesisEvent, w *Window) Result {
	var in []byte
	if w == nil {
		in = make([]byte, 0, EventSize(ev))
		in = AppendEvent(in, ev)
	} else {
		in = appendEvent(nil, ev.Records, w, w.Shard, w.StreamARN)
	}
	out, err := h.json(a, in)
	if err != nil {
		return resultOf(err)
	}
	return classify(bytes.Clone(out), ev.Records, h.Reports || a.reporting(), w, a)
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

// plain returns h as a wholeFunc, partialFunc, windowFunc or jsonFunc. Reflection changes the type of the value only: the
// result is called directly.
func plain[H Func](h H) any {
	switch any(h).(type) {
	case wholeFunc, partialFunc, windowFunc, jsonFunc:
		return h
	}
	v := reflect.ValueOf(h)
	for _, t := range []reflect.Type{
		reflect.TypeFor[wholeFunc](), reflect.TypeFor[partialFunc](), reflect.TypeFor[windowFunc](), reflect.TypeFor[jsonFunc](),
	} {
		if v.CanConvert(t) {
			return v.Convert(t).Interface()
		}
	}
	panic("batch: " + v.Type().String() + " is not a handler type") // Func admits nothing else
}

// as returns f, one of the plain types, as the handler type H that has it as underlying type.
func as[H Typed](f any) H {
	if h, ok := f.(H); ok {
		return h
	}
	return reflect.ValueOf(f).Convert(reflect.TypeFor[H]()).Interface().(H)
}
