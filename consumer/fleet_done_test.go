package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/consumer"
)

// manyHoles are more than a row can tell of, by about a third.
const manyHoles = 6000

// holes puts n records of a key of each of two lanes, in turn. Where one lane is slow, what the other has done lies between
// records that wait.
func (f *fleet) holes(n int) (slow, fast string) {
	slow, fast = laneKey("slow", 0), laneKey("fast", 1)
	for i := range n {
		f.srv.Put("orders", slow, fmt.Append(nil, i))
		f.srv.Put("orders", fast, fmt.Append(nil, i))
	}
	return slow, fast
}

// slowly makes the first handler of a key take a while, and each later one 10 ms.
func slowly(key string, first time.Duration) func(r *replica) wholeBatch {
	return func(r *replica) wholeBatch {
		begun := false
		return func(ctx context.Context, ev events.KinesisEvent) error {
			if ev.Records[0].Kinesis.PartitionKey == key {
				wait := 10 * time.Millisecond
				if !begun {
					begun, wait = true, first
				}
				select {
				case <-time.After(wait):
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return r.handle(ctx, ev)
		}
	}
}

// effects counts the records of a key that had effect with a worker.
func (f *fleet) effects(worker, key string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.log {
		if c.worker == worker && c.key == key && !c.ended.IsZero() {
			n++
		}
	}
	return n
}

// inHoles runs a test with a shard that one worker has, of two, in which the lane of slow is held up and the other one has
// done more pieces than a row has room for.
func inHoles(t *testing.T, h func(slow string) func(r *replica) wholeBatch, test func(f *fleet, one, two *replica, slow, fast string)) {
	t.Helper()
	inFleet(t, 1, func(f *fleet) {
		f.work = 0
		opts := consumer.Options(consumer.WithParallelizationFactor(2), consumer.WithBatchSize(10))
		one := f.startAs("one", h(laneKey("slow", 0)), opts)
		f.until("one has the shard", 5*time.Second, func() bool { return one.owned() == 1 })
		two := f.startAs("two", func(r *replica) wholeBatch { return r.handle }, opts)
		slow, fast := f.holes(manyHoles)
		f.until("the other lane is done", 5*time.Second, func() bool { return f.effects("one", fast) == manyHoles })
		test(f, one, two, slow, fast)
		for _, key := range []string{slow, fast} {
			if n := f.gapless(key); n != manyHoles {
				t.Errorf("record %d of %s was skipped", n, key)
			}
		}
	})
}

// gapless counts the records of a key that had effect, up to the first one that did not before a later one.
func (f *fleet) gapless(key string) (next int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.log {
		if c.key == key && !c.ended.IsZero() {
			switch n, _ := strconv.Atoi(c.data); {
			case n > next:
				return next
			case n == next:
				next++
			}
		}
	}
	return next
}

// A worker that stops goes on with what waits until the row of its shard has room for all that is done, and no longer: nothing
// comes again.
func TestFleetDrainsUntilThereIsRoom(t *testing.T) {
	t.Parallel()
	inHoles(t, func(slow string) func(r *replica) wholeBatch { return slowly(slow, 15*time.Second) }, func(f *fleet, one, two *replica, slow, fast string) {
		took, err := one.running.stop()
		if err != nil || took > 18*time.Second {
			t.Errorf("Run returned %v after %v", err, took)
		}
		if n := f.effects("one", slow); n < 1200 || n > 1800 {
			t.Errorf("it has handled %d records that waited, want as many as make room, about 1500", n)
		}
		f.end(two)
		if n := f.twice(); n > 0 {
			t.Errorf("%d records were handled twice", n)
		}
	})
}

// It does so until the drain timeout. Then the upper end of what is done comes again, and Run says so.
func TestFleetDrainsForRoomInTime(t *testing.T) {
	t.Parallel()
	inHoles(t, func(slow string) func(r *replica) wholeBatch { return slowly(slow, 20*time.Second) }, func(f *fleet, one, two *replica, slow, fast string) {
		_, err := one.running.stop()
		if !errors.Is(err, consumer.ErrDrainTimeout) {
			t.Errorf("Run returned %v", err)
		}
		handled := f.effects("one", slow)
		f.end(two)
		again := f.effects("two", fast)
		t.Logf("%d records were handled for room, %d came again", handled, again)
		if handled < 20 || again == 0 || again > 1500 || f.twice() > again+100 {
			t.Errorf("%d records were handled for room, and %d came again, %d in all", handled, again, f.twice())
		}
	})
}

// What has failed is not tried again for the room: the shard is given up at once, and the upper end of what is done comes again.
func TestFleetNoRoomBehindAFailure(t *testing.T) {
	t.Parallel()
	fails := func(slow string) func(r *replica) wholeBatch {
		return func(r *replica) wholeBatch {
			return func(ctx context.Context, ev events.KinesisEvent) error {
				if ev.Records[0].Kinesis.PartitionKey == slow {
					return errPoison
				}
				return r.handle(ctx, ev)
			}
		}
	}
	inHoles(t, fails, func(f *fleet, one, two *replica, slow, fast string) {
		if took, err := one.running.stop(); err != nil || took > 4*time.Second {
			t.Errorf("Run returned %v after %v", err, took)
		}
		f.end(two)
		if again := f.effects("two", fast); again == 0 || again > 1700 || f.twice() > again+100 {
			t.Errorf("%d records came again, %d in all, want about 1500", again, f.twice())
		}
	})
}
