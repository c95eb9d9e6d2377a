package partition

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestEachProperty runs Each over random keys and outcomes: order and exclusion within a key, at most n at a time, and
// per item what a plain loop over its key says.
func TestEachProperty(t *testing.T) {
	const ok, fails, panics, exits = 0, 1, 2, 3
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(-1, 5).Draw(rt, "n")
		items := make([]item, rapid.IntRange(0, 200).Draw(rt, "items"))
		keys := rapid.IntRange(1, 20).Draw(rt, "keys")
		what := make(map[item]int)
		next := make(map[int]int)
		for i := range items {
			k := rapid.IntRange(0, keys).Draw(rt, "key")
			items[i] = item{k, next[k]}
			next[k]++
			if rapid.IntRange(0, 9).Draw(rt, "bad") == 0 {
				what[items[i]] = rapid.IntRange(fails, exits).Draw(rt, "what")
			}
		}
		var mu sync.Mutex
		running, most, last := map[int]bool{}, 0, map[int]int{}
		errs := Each(t.Context(), n, items, itemKey, func(_ context.Context, it item) error {
			mu.Lock()
			if running[it.key] || last[it.key] != it.seq {
				rt.Errorf("item %d of key %d starts after %d items, running %v", it.seq, it.key, last[it.key], running[it.key])
			}
			running[it.key] = true
			most = max(most, len(running))
			mu.Unlock()
			runtime.Gosched()
			mu.Lock()
			defer mu.Unlock()
			delete(running, it.key)
			last[it.key]++
			switch what[it] {
			case fails:
				return fmt.Errorf("%v fails", it)
			case panics:
				panic(fmt.Errorf("%v panics", it))
			case exits:
				runtime.Goexit()
			}
			return nil
		})
		if most > max(n, 1) || len(errs) != len(items) {
			rt.Fatalf("%d at a time, want %d; %d errors of %d", most, n, len(errs), len(items))
		}
		failed := make(map[int]bool)
		for i, it := range items {
			want := "nil"
			switch {
			case failed[it.key]:
				want = ErrSkipped.Error()
			case what[it] == fails:
				want = fmt.Sprintf("%v fails", it)
			case what[it] == panics:
				want = fmt.Sprintf("partition: panic: %v panics\n", it)
			case what[it] == exits:
				want = errExited.Error()
			}
			failed[it.key] = failed[it.key] || what[it] != ok
			got := "nil"
			if errs[i] != nil {
				got = errs[i].Error()
			}
			if got != want && !(strings.HasPrefix(got, want) && strings.Contains(got, "each_test.go")) {
				rt.Errorf("item %v: %s, want %s", it, got, want)
			}
		}
	})
}

// TestEachStops ends the ctx after two of five seconds: what was started finishes, lowest index first.
func TestEachStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := errors.New("late")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second+1, late)
		defer cancel()
		items := []item{{0, 0}, {0, 1}, {1, 0}, {0, 2}, {1, 1}, {2, 0}, {2, 1}, {3, 0}, {3, 1}, {1, 2}}
		start := time.Now()
		errs := Each(ctx, 2, items, itemKey, func(context.Context, item) error {
			time.Sleep(time.Second)
			return nil
		})
		var done []int
		for i, err := range errs {
			switch {
			case err == nil:
				done = append(done, i)
			case !errors.Is(err, ErrSkipped) || !errors.Is(err, late):
				t.Errorf("item %d: %v", i, err)
			}
		}
		if diff := cmp.Diff([]int{0, 1, 2, 3, 4, 5}, done); diff != "" || time.Since(start) != 3*time.Second {
			t.Errorf("after %v: %s", time.Since(start), diff)
		}
		for i, err := range Each(ctx, 2, items, itemKey, nil) {
			if !errors.Is(err, ErrSkipped) {
				t.Errorf("item %d under a ctx that is done: %v", i, err)
			}
		}
	})
}

// TestEachError keeps the error that a panic carries, and tells it from a ctx that ended.
func TestEachError(t *testing.T) {
	bad := errors.New("bad")
	errs := Each(t.Context(), 4, []item{{1, 0}, {1, 1}, {2, 0}}, itemKey, func(_ context.Context, it item) error {
		if it == (item{1, 0}) {
			panic(bad)
		}
		return nil
	})
	if !errors.Is(errs[0], bad) || errs[1] != ErrSkipped || errs[2] != nil { //nolint:errorlint // not wrapped
		t.Errorf("%q", errs)
	}
}
