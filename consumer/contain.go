package consumer

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// A result is what a function has returned.
type result[T any] struct {
	v   T
	err error
}

// contained calls f, which belongs to the user, and returns an error if it panics or ends its goroutine.
func contained[T any](who string, f func() (T, error)) (T, error) {
	res, _ := containedUntil(nil, 0, who, f)
	return res.v, res.err
}

// containedUntil is contained, but leaves f behind a grace after left is closed. runs is not nil then, as for guard.
func containedUntil[T any](left <-chan struct{}, grace time.Duration, who string, f func() (T, error)) (_ result[T], runs <-chan result[T]) {
	exited := result[T]{err: fmt.Errorf("%s called runtime.Goexit", who)}
	return guard(left, grace, exited, func() (r result[T]) {
		defer func() {
			if p := recover(); p != nil {
				r.err = fmt.Errorf("%s panicked%s: %v", who, where(), p)
			}
		}()
		r.v, r.err = f()
		return r
	})
}

// where says which line panicked, to the deferred function that has recovered from it.
func where() string {
	pc := make([]uintptr, 16)
	frames := runtime.CallersFrames(pc[:runtime.Callers(2, pc)])
	for inside := false; ; {
		f, more := frames.Next()
		switch {
		case strings.HasPrefix(f.Function, "runtime."):
			inside = true // the panic itself; what follows is where it began
		case inside:
			return fmt.Sprintf(" at %s:%d", filepath.Base(f.File), f.Line)
		}
		if !more {
			return ""
		}
	}
}
