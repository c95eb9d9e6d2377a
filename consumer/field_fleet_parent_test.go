package consumer_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
)

// TestField_F15: two shards of two workers are merged, and a batch of one of them takes 30 s, so that it has no checkpoint.
// The child waits for both, whichever it is.
func TestField_F15(t *testing.T) {
	t.Parallel()
	for _, slow := range []string{shardID(0), shardID(1)} {
		t.Run(fmt.Sprintf("%s is slow", slow), func(t *testing.T) {
			inFleet(t, 2, func(f *fleet) {
				store := f.tapped()
				free := make(chan struct{})
				h := held(func(id string) bool { return id == slow }, free)
				one, two := f.startAs("one", h), f.startAs("two", h)
				f.balanced(60*time.Second, 1, one, two)
				child := f.srv.Merge("orders", shardID(0), shardID(1))
				time.Sleep(30 * time.Second)
				close(free)
				f.until("the child is read", 5*time.Second, func() bool { return one.runs(child) || two.runs(child) })
				f.end(one, two)
				f.unrepeated()
				ended := map[string]time.Time{}
				for _, w := range store.rows("", time.Time{}) {
					if w.Ck == checkpoint.End {
						ended[w.shard] = w.at
					}
				}
				f.mu.Lock()
				defer f.mu.Unlock()
				for _, c := range f.log {
					for _, parent := range []string{shardID(0), shardID(1)} {
						if at := ended[parent]; c.shard == child && (at.IsZero() || c.began.Before(at)) {
							t.Fatalf("the child began at %v, and the end of %s was stored at %v", c.began, parent, at)
						}
					}
				}
			})
		})
	}
}

// TestField_F16: a child waits for a parent whose batch takes a minute. The parent's lease is kept all the time, and the worker
// that has come to the end of the other parent stops at once.
func TestField_F16(t *testing.T) {
	t.Parallel()
	inFleet(t, 2, func(f *fleet) {
		store := f.tapped()
		free := make(chan struct{})
		h := held(func(id string) bool { return id == shard0 }, free)
		replicas := []*replica{f.startAs("one", h), f.startAs("two", h)}
		f.balanced(60*time.Second, 1, replicas...)
		slow, waits := replicas[0], replicas[1]
		if waits.runs(shard0) {
			slow, waits = waits, slow
		}
		from := time.Now()
		child := f.srv.Merge("orders", shardID(0), shardID(1))
		time.Sleep(time.Minute)
		if n := store.claims(from); n != 0 || slow.owned() != 1 || waits.owned() != 0 {
			t.Errorf("%d claims while the child waits; the workers have %d and %d shards", n, slow.owned(), waits.owned())
		}
		waits.cancel()
		select {
		case err := <-waits.ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(5 * time.Second):
			t.Error("a worker whose shard waits for another's does not stop")
			defer func() { <-waits.ended }()
		}
		close(free)
		f.until("the child is read", 15*time.Second, func() bool { return slow.runs(child) })
		time.Sleep(5 * time.Second)
		f.end(slow)
		f.unrepeated()
	})
}
