package consumer_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
)

// TestField_F37: a worker joins while the only one is in the middle of batches of 2 s. The owner finishes what it runs, and
// gives the shard up in one write; only after that is it claimed. Nothing is handled twice.
func TestField_F37(t *testing.T) {
	t.Parallel()
	inFleet(t, 2, func(f *fleet) {
		f.work = 2 * time.Second
		store := f.tapped()
		one := f.start("one", consumer.WithBatchSize(1000))
		f.balanced(10*time.Second, 2, one)
		time.Sleep(10 * time.Second)
		two := f.start("two", consumer.WithBatchSize(1000))
		f.balanced(30*time.Second, 1, one, two)
		time.Sleep(5 * time.Second)
		f.end(one, two)
		f.unrepeated()
		store.forward(t)
		was := map[string]string{}
		for _, w := range store.rows("", time.Time{}) {
			if from := was[w.shard]; w.Owner != from && w.Owner != "" && from != "" {
				t.Errorf("%s was claimed by %s, and %s had not released it", w.shard, w.Owner, from)
			}
			was[w.shard] = w.Owner
		}
	})
}

// TestField_F46: each worker of a fleet is stopped in its turn. Its shards are released, and go on elsewhere within a second.
func TestField_F46(t *testing.T) {
	t.Parallel()
	inFleet(t, 6, func(f *fleet) {
		replicas := []*replica{f.start("a0"), f.start("b0"), f.start("c0")}
		f.balanced(30*time.Second, 2, replicas...)
		for i, pod := range []string{"a", "b", "c"} {
			time.Sleep(10 * time.Second)
			if _, err := replicas[i].running.stop(); err != nil {
				t.Errorf("%s: %v", replicas[i].name, err)
			}
			replicas[i] = f.start(pod + "1")
		}
		time.Sleep(20 * time.Second)
		f.end(replicas...)
		f.unrepeated()
		for _, gap := range f.handOvers() {
			if gap > time.Second {
				t.Errorf("a shard was not handled for %v at a deploy", gap)
			}
		}
	})
}

// TestField_F23: a fourth worker joins three that have 4 shards each, and leaves again. 3 shards move each time; the owners
// of the others are the same, and they are handled all the time.
func TestField_F23(t *testing.T) {
	t.Parallel()
	inFleet(t, 12, func(f *fleet) {
		store := f.tapped()
		three := []*replica{f.start("one"), f.start("two"), f.start("three")}
		f.balanced(30*time.Second, 4, three...)
		time.Sleep(70 * time.Second) // a shard that was handed over stays for a minute
		joined := time.Now()
		four := f.start("four")
		f.balanced(30*time.Second, 3, append(three, four)...)
		time.Sleep(70 * time.Second)
		if n := store.claims(joined); n != 3 {
			t.Errorf("%d shards moved when a fourth worker joined, want 3", n)
		}
		left := time.Now()
		if _, err := four.running.stop(); err != nil {
			t.Error(err)
		}
		f.balanced(5*time.Second, 4, three...)
		time.Sleep(10 * time.Second)
		if n := store.claims(left); n != 3 {
			t.Errorf("%d shards moved when it left, want 3", n)
		}
		moved := map[string]bool{}
		for _, w := range store.rows("", joined) {
			moved[w.shard] = moved[w.shard] || w.Owner == ""
		}
		f.mu.Lock()
		last := map[string]time.Time{}
		for _, c := range f.log {
			if was, ok := last[c.shard]; ok && was.After(joined) && !moved[c.shard] && c.began.Sub(was) > time.Second {
				t.Errorf("%s, which did not move, was not handled for %v", c.shard, c.began.Sub(was))
			}
			last[c.shard] = c.began
		}
		f.mu.Unlock()
		f.end(three...)
		f.unrepeated()
	})
}

// TestField_F48: whatever becomes of a hand-over, the shard is not silent. A handler that does not come to an end is ended by
// the drain timeout; one that does not heed that keeps the shard where it is; and where the target dies on the way,
// somebody else takes it.
func TestField_F48(t *testing.T) {
	t.Parallel()
	hangs := func(heed bool, free chan struct{}) func(r *replica) wholeBatch {
		return func(r *replica) wholeBatch {
			return func(ctx context.Context, ev events.KinesisEvent) error {
				done := ctx.Done()
				if !heed {
					done = nil
				}
				select {
				case <-free:
					return r.handle(ctx, ev)
				case <-done:
					return ctx.Err()
				}
			}
		}
	}
	drain := consumer.WithDrainTimeout(5 * time.Second)
	for _, heed := range []bool{true, false} {
		t.Run(fmt.Sprintf("a handler that hangs, heeds its context %t", heed), func(t *testing.T) {
			inFleet(t, 2, func(f *fleet) {
				free := make(chan struct{})
				one := f.startAs("one", hangs(heed, free), drain)
				f.balanced(5*time.Second, 2, one)
				two := f.start("two")
				time.Sleep(30 * time.Second)
				if n := two.owned(); heed && n != 1 || !heed && n != 0 {
					t.Errorf("after 30 s the second worker has %d shards", n)
				}
				close(free)
				f.balanced(2*time.Minute, 1, one, two)
				freed := time.Now()
				for _, r := range []*replica{one, two} {
					f.until(r.name+" works", 5*time.Second, func() bool { return !f.first(r.name, freed).IsZero() })
				}
				f.end(one, two)
			})
		})
	}
	t.Run("a target that dies", func(t *testing.T) {
		inFleet(t, 2, func(f *fleet) {
			store := f.tapped()
			one := f.start("one")
			f.balanced(5*time.Second, 2, one)
			two := f.start("two")
			store.do(func(_ string, e checkpoint.Entry) error {
				if _, row, ok := shardRow(e); ok && row.Owner == "" && row.To != "" {
					two.kill()
				}
				return nil
			})
			f.until("a shard is released to the second worker", 30*time.Second, func() bool { return two.link.cut.Load() })
			store.do(nil)
			f.balanced(14*time.Second, 2, one)
			two.link.cut.Store(false)
			f.end(one, two)
		})
	})
}
