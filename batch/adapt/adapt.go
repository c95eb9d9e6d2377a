// Package adapt runs Lambda functions that have no Kinesis signature: whatever lambda.Start takes, a consumer can run.
// It stands apart from package batch because it imports aws-lambda-go's runtime, package lambda.
package adapt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/shardlane/shardlane/batch"
)

// Func returns h as a handler of the JSON form. h is what lambda.Start takes: a function with up to two arguments, a
// context.Context and a value that a Kinesis event decodes into, and up to two results, a value and an error; or a
// lambda.Handler. What h returns is encoded as lambda.Start does it.
//
// Item failures in it are read if the result type of h is events.KinesisEventResponse,
// events.KinesisTimeWindowEventResponse, a type defined by one of these, or a pointer to one: then h reports as the typed
// forms do. Any other type does not say that it reports, and its item failures are read if the consumer is told to.
//
// A record without a partition key or a time of arrival has null there in JSON. aws-lambda-go decodes these as "" and, in
// an events.KinesisEvent, as the start of 1970; the typed forms of a handler get the zero time.
//
// Calls of a function overlap. Each of them has a handler of lambda.NewHandler to itself, for one alone mixes up the
// responses of calls that overlap. A panic of h reaches the caller.
//
// A lambda.Handler may hold such a handler, or state, so its calls do not overlap: a call waits for the one before, or
// until its ctx is done. The time limit of the call runs meanwhile. Giving the Handler's Invoke method to consumer.New
// instead lets a consumer wait before the call. A Handler whose calls may overlap is batch.Concurrent(h.Invoke).
//
// Func does not call h. A nil h, or a nil function, gives nil, which consumer.New reports. Func panics if h is anything
// else that lambda.Start would refuse, or a function whose argument no Kinesis event decodes into, as []byte or string: a
// function on JSON is a handler as it is.
func Func(h any) batch.Concurrent {
	v := reflect.ValueOf(h)
	if !v.IsValid() || v.Kind() == reflect.Func && v.IsNil() {
		return nil
	}
	if handler, ok := h.(lambda.Handler); ok {
		return serial(handler)
	}
	if err := check(v.Type()); err != nil {
		panic(fmt.Sprintf("adapt: Func of %T: %v", h, err))
	}
	// A handler returns to the pool when its response has been copied: the next call writes over it. After a panic it does
	// not return.
	pool, reports := sync.Pool{New: func() any { return lambda.NewHandler(h) }}, reports(v.Type())
	return func(ctx context.Context, event []byte) ([]byte, error) {
		if reports {
			batch.ReadsItemFailures(ctx)
		}
		one := pool.Get().(lambda.Handler)
		response, err := one.Invoke(ctx, event)
		response = bytes.Clone(response)
		pool.Put(one)
		return response, err
	}
}

// serial returns a handler that makes one call of h at a time.
func serial(h lambda.Handler) batch.Concurrent {
	turn := make(chan struct{}, 1)
	return func(ctx context.Context, event []byte) ([]byte, error) {
		select {
		case turn <- struct{}{}:
		case <-ctx.Done():
			return nil, fmt.Errorf("adapt: call waits for the one before: %w", context.Cause(ctx))
		}
		defer func() { <-turn }()
		response, err := h.Invoke(ctx, event)
		return bytes.Clone(response), err
	}
}

// check returns what is wrong with t as the type of a handler function, by the rules of lambda.Start.
func check(t reflect.Type) error {
	if t.Kind() != reflect.Func {
		return errors.New("neither a function nor a lambda.Handler")
	}
	if t.IsVariadic() {
		return errors.New("a handler has a fixed number of arguments")
	}
	in := make([]reflect.Type, t.NumIn())
	for i := range in {
		in[i] = t.In(i)
	}
	if len(in) > 0 && isContext(in[0]) {
		in = in[1:]
	} else if len(in) > 1 {
		return fmt.Errorf("the first of several arguments is a context.Context, not %s", in[0])
	}
	if len(in) > 1 {
		return errors.New("more arguments than a context and an event")
	}
	if len(in) == 1 {
		var mismatch *json.UnmarshalTypeError
		if errors.As(json.Unmarshal([]byte(`{}`), reflect.New(in[0]).Interface()), &mismatch) {
			return fmt.Errorf("no event decodes into %s", in[0])
		}
	}
	switch n := t.NumOut(); {
	case n > 2:
		return errors.New("more results than a response and an error")
	case n > 0 && !t.Out(n-1).Implements(reflect.TypeFor[error]()):
		return fmt.Errorf("the last result is an error, not %s", t.Out(n-1))
	}
	return nil
}

// reports tells whether the result type of a handler function is one of those that report item failures.
func reports(t reflect.Type) bool {
	if t.NumOut() == 0 {
		return false
	}
	out := t.Out(0)
	if out.Kind() == reflect.Pointer {
		out = out.Elem()
	}
	return out.ConvertibleTo(reflect.TypeFor[events.KinesisEventResponse]()) ||
		out.ConvertibleTo(reflect.TypeFor[events.KinesisTimeWindowEventResponse]())
}

// isContext reports whether t is an interface with the methods of a context.Context, neither more nor fewer.
func isContext(t reflect.Type) bool {
	c := reflect.TypeFor[context.Context]()
	return t.Kind() == reflect.Interface && t.Implements(c) && c.Implements(t)
}
