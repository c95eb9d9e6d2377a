package batch

import (
	"context"
	"fmt"
	"sync"
)

type attemptKey struct{}

// An attempt is the context of one call of a handler. It holds what is said about the call besides its result: why records
// failed, from where the error is known to where the attempt is judged, and how the response is to be read. An interceptor
// may call the handler several times, and concurrently.
type attempt struct {
	context.Context //nolint:containedctx // it is one itself

	mu     sync.Mutex
	causes []cause
	reads  bool // item failures, by ReadsItemFailures
}

// Value implements context.Context.
func (a *attempt) Value(key any) any {
	if key == (attemptKey{}) {
		return a
	}
	return a.Context.Value(key)
}

// String implements fmt.Stringer: what prints a context looks at nothing else of it.
func (a *attempt) String() string { return fmt.Sprint(a.Context) + ".Attempt" }

// A cause is why a record failed.
type cause struct {
	id  string // sequence number
	err error
}

// attemptOf returns the attempt that ctx belongs to, nil if no [Handler] made the call.
func attemptOf(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

// ReadsItemFailures says of the call that ctx belongs to that its response is read for item failures, as that of the typed
// forms is, whatever Handler.Reports says. A handler of the JSON form calls it, before it returns, where its own
// response type says that it reports; package adapt does. Elsewhere, and inside Lambda, it does nothing.
func ReadsItemFailures(ctx context.Context) {
	if a := attemptOf(ctx); a != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.reads = true
	}
}

func (a *attempt) reporting() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.reads
}

func (a *attempt) add(id string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.causes = append(a.causes, cause{id, err})
}

// of returns the latest error of the record, nil if there is none.
func (a *attempt) of(id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := len(a.causes) - 1; i >= 0; i-- {
		if a.causes[i].id == id {
			return a.causes[i].err
		}
	}
	return nil
}
