package partition

import (
	"context"
	"fmt"
	"sync"
	"testing"
)

// TestEachShared: several invocations of a process call Each at once, as on Lambda Managed Instances, with the same key and
// function: each gets the errors of its own items, and keeps the order of its own keys.
func TestEachShared(t *testing.T) {
	type job struct {
		item
		call int
		last map[int]*int // by key: the position of the item before
	}
	key := func(j job) string { return itemKey(j.item) }
	one := func(_ context.Context, j job) error {
		last := j.last[j.key] // no lock: the key is what guards it
		if j.seq != *last+1 {
			return fmt.Errorf("call %d: %d of key %d comes behind %d", j.call, j.seq, j.key, *last)
		}
		*last = j.seq
		return nil
	}
	var all sync.WaitGroup
	for call := range 8 {
		all.Go(func() {
			for range 20 {
				jobs, last := make([]job, 200), map[int]*int{}
				for i := range jobs {
					jobs[i] = job{item{i % 7, i / 7}, call, last}
					if i < 7 {
						last[i] = new(int)
						*last[i] = -1
					}
				}
				for _, err := range Each(t.Context(), 4, jobs, key, one) {
					if err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
}
