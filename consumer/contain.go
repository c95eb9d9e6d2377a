package consumer

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
)

// contained calls f, which belongs to the user, and returns an error if it panics or ends its goroutine.
func contained[T any](who string, f func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	exited := result{err: fmt.Errorf("%s called runtime.Goexit", who)}
	res, _ := guard(nil, 0, exited, func() (r result) {
		defer func() {
			if p := recover(); p != nil {
				r.err = fmt.Errorf("%s panicked%s: %v", who, where(), p)
			}
		}()
		r.v, r.err = f()
		return r
	})
	return res.v, res.err
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
