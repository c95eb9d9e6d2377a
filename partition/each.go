package partition

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"runtime/debug"
	"sync"
)

// Each calls f for every item, at most n calls at a time (n below 1 counts as 1), in parallel over keys and one after
// another, in order, within a key. The key "" means that an item has none, and is as good as one of its own: the item waits
// for no other and is skipped for none. Each returns one error per item once all its calls have returned; nil, and only nil,
// means that f returned nil for that item.
//
// A key stops at its first error: its later items are not started and get ErrSkipped. Other keys go on. Once ctx is done
// no further item is started; those left get an error that wraps ErrSkipped and ctx's cause. Of the items whose key is
// free the one with the lowest index is started first, so an early end leaves few gaps.
//
// A panic in f, or a call of runtime.Goexit, is the error of its item and does not reach the caller; the text has the
// stack, and a panic with an error wraps it. The ctx that f gets is ctx.
func Each[T any](ctx context.Context, n int, items []T, key func(T) string, f func(context.Context, T) error) []error {
	e := &each[T]{items: items, f: f, errs: make([]error, len(items))}
	heads := e.chain(key)
	for range min(max(n, 1), heads) {
		spawn(&e.workers, func() { e.work(ctx) })
	}
	e.workers.Wait()
	var left error
	for i, err := range e.errs {
		if err == errPending { //nolint:errorlint // never wrapped
			if left == nil {
				left = fmt.Errorf("%w: %w", ErrSkipped, context.Cause(ctx))
			}
			e.errs[i] = left
		}
	}
	return e.errs
}

// errPending stands in the errors of Each for an item that was not started yet.
var errPending = errors.New("partition: item pending")

// each is one call of Each.
type each[T any] struct {
	items   []T
	f       func(context.Context, T) error
	errs    []error // an item's error is written by the worker that has its key
	next    []int32 // next item of the same key, or -1
	workers sync.WaitGroup

	mu    sync.Mutex
	ready []uint64 // bit i: item i can be started
	low   int      // no bit is set in the words below
}

// chain links the items of each key, makes the first of each ready, and returns the number of keys. Items without one
// are all ready.
func (e *each[T]) chain(key func(T) string) int {
	e.next = make([]int32, len(e.items))
	e.ready = make([]uint64, (len(e.items)+63)/64)
	last, keyless := make(map[string]int32), 0
	for i, item := range e.items {
		e.errs[i], e.next[i] = errPending, -1
		k := key(item)
		if before, ok := last[k]; ok {
			e.next[before] = int32(i)
			last[k] = int32(i)
			continue
		}
		e.ready[i>>6] |= 1 << (i & 63)
		if k == "" {
			keyless++
		} else {
			last[k] = int32(i)
		}
	}
	return len(last) + keyless
}

// work calls f until no item is ready. A worker has one key at a time and puts at most that key back, so when it finds
// nothing ready, those that still run are enough.
func (e *each[T]) work(ctx context.Context) {
	exited := true
	defer func() {
		if exited { // f called Goexit: this goroutine cannot go on
			spawn(&e.workers, func() { e.work(ctx) })
		}
	}()
	for i := e.take(ctx, -1); i >= 0; i = e.take(ctx, i) {
		e.call(ctx, i)
	}
	exited = false
}

// call calls f for item i and stores the outcome.
func (e *each[T]) call(ctx context.Context, i int) {
	err := errExited
	defer func() {
		if v := recover(); v != nil {
			err = panicError(v)
		}
		if e.errs[i] = err; err != nil {
			for j := e.next[i]; j >= 0; j = e.next[j] {
				e.errs[j] = ErrSkipped
			}
			e.next[i] = -1
		}
	}()
	err = e.f(ctx, e.items[i])
}

// take makes the item after done ready, where done is not negative and has one, and returns the lowest ready item; -1
// if there is none or ctx is done.
func (e *each[T]) take(ctx context.Context, done int) int {
	if ctx.Err() != nil {
		return -1
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if done >= 0 && e.next[done] >= 0 {
		i := int(e.next[done])
		e.ready[i>>6] |= 1 << (i & 63)
		e.low = min(e.low, i>>6)
	}
	for ; e.low < len(e.ready); e.low++ {
		if w := e.ready[e.low]; w != 0 {
			e.ready[e.low] = w & (w - 1)
			return e.low<<6 + bits.TrailingZeros64(w)
		}
	}
	return -1
}

// panicError returns the error of an item whose call panicked with v.
func panicError(v any) error {
	if err, ok := v.(error); ok {
		return fmt.Errorf("partition: panic: %w\n%s", err, debug.Stack())
	}
	return fmt.Errorf("partition: panic: %v\n%s", v, debug.Stack())
}
