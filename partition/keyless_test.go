package partition

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestLanesWithoutKey submits items without a key, in Submits of several sizes: they take the lanes in turn, whatever the
// hash, and do not disturb the order of items that have one.
func TestLanesWithoutKey(t *testing.T) {
	t.Attr("rule", "C26")
	for _, n := range []int{1, 3, 100} {
		for _, size := range []int{1, few, few + 1, 50} {
			var mu sync.Mutex
			count, order := make([]int, n), map[int][]string{}
			l := NewLanes(n, func(s string) string { return s[:min(len(s), 1)] }, func(_ context.Context, lane int, items []string) error {
				mu.Lock()
				defer mu.Unlock()
				for _, s := range items {
					if s == "" {
						count[lane]++
					} else {
						order[lane] = append(order[lane], s)
					}
				}
				return nil
			})
			l.Hash = func(key string) uint64 {
				if key == "" {
					t.Error("the hash is asked for no key")
				}
				return 2
			}
			total := 0
			for i := 0; i < 12*n; i += size {
				items := make([]string, size)
				total += size
				for j := range items {
					if (i+j)%3 == 1 {
						items[j] = fmt.Sprintf("k%04d", i+j)
						total--
					}
				}
				if err := l.Submit(t.Context(), items...); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			for lane, got := range count {
				if got < total/n || got > (total+n-1)/n {
					t.Errorf("%d lanes, by %d: lane %d got %d of %d items without a key", n, size, lane, got, total)
				}
			}
			if len(order) != 1 || !isSorted(order[2%n]) {
				t.Errorf("%d lanes, by %d: items with a key came as %v", n, size, order)
			}
		}
	}
}

func isSorted(s []string) bool {
	for i := 1; i < len(s); i++ {
		if s[i-1] > s[i] {
			return false
		}
	}
	return true
}

// TestEachWithoutKey runs items without a key beside each other: none waits for another, and the error of one is its own.
func TestEachWithoutKey(t *testing.T) {
	t.Attr("rule", "C26")
	synctest.Test(t, func(t *testing.T) {
		bad, start := errors.New("bad"), time.Now()
		items := []string{"", "a", "", "", "a", ""}
		errs := Each(t.Context(), 10, items, func(s string) string { return s }, func(_ context.Context, s string) error {
			time.Sleep(time.Second)
			if s == "" {
				return bad
			}
			return nil
		})
		if diff := cmp.Diff([]error{bad, nil, bad, bad, nil, bad}, errs, cmp.Comparer(func(a, b error) bool { return a == b })); diff != "" { //nolint:errorlint // not wrapped
			t.Error(diff)
		}
		if d := time.Since(start); d != 2*time.Second { // the two of "a"
			t.Errorf("it took %v", d)
		}
	})
}
