package consumer_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
)

// TestField_F47: each of three workers dies in its turn. There is none without whom the others cannot go on: its shards have
// living owners within 13 s.
func TestField_F47(t *testing.T) {
	t.Parallel()
	inFleet(t, 6, func(f *fleet) {
		replicas := []*replica{f.start("one"), f.start("two"), f.start("three")}
		f.balanced(30*time.Second, 2, replicas...)
		for i, dead := range replicas {
			time.Sleep(10 * time.Second)
			a, b := replicas[(i+1)%3], replicas[(i+2)%3]
			dead.kill()
			f.until("the others have all shards", 13*time.Second, func() bool { return a.owned()+b.owned() == 6 })
			dead.link.cut.Store(false)
			f.balanced(90*time.Second, 2, replicas...)
		}
		f.end(replicas...)
	})
}

// throttle refuses four of five calls of a worker, of each kind and key.
func throttle() func(op string, e checkpoint.Entry) error {
	var mu sync.Mutex
	calls := map[string]int{}
	return func(op string, e checkpoint.Entry) error {
		mu.Lock()
		defer mu.Unlock()
		if calls[op+e.Key]++; calls[op+e.Key]%5 != 0 {
			return fmt.Errorf("throttled: %w", checkpoint.ErrNotApplied)
		}
		return nil
	}
}

// TestField_F20: a store refuses four of five calls for 5 minutes. No worker ends or pauses, none is taken for dead, no shard
// gets another owner, and no record is handled twice.
func TestField_F20(t *testing.T) {
	t.Parallel()
	inFleet(t, 4, func(f *fleet) {
		var seen notices
		ways := []*tap{f.way(), f.way()}
		one, two := f.startVia(ways[0], "one", consumer.WithNotify(seen.add)), f.startVia(ways[1], "two", consumer.WithNotify(seen.add))
		f.balanced(30*time.Second, 2, one, two)
		time.Sleep(10 * time.Second)
		before := owners(t, f.store)
		for _, way := range ways {
			way.do(throttle())
		}
		from := time.Now()
		time.Sleep(5 * time.Minute)
		if after := owners(t, f.store); after != before {
			t.Errorf("owners were\n%s and are\n%s", before, after)
		}
		for _, name := range []string{"WorkerDead", "WorkerFenced", "LeaseLost", "LeaseTakenOver"} {
			if n := seen.count(name); n > 0 {
				t.Errorf("%s was told %d times", name, n)
			}
		}
		for _, r := range []*replica{one, two} {
			select {
			case err := <-r.ended:
				t.Fatalf("%s: Run returned %v", r.name, err)
			default:
			}
			if gap := f.pause(r.name, from); gap > time.Second {
				t.Errorf("%s begins nothing for %v", r.name, gap)
			}
		}
		for _, way := range ways {
			way.do(nil)
		}
		f.end(one, two)
		f.unrepeated()
	})
}

// TestField_F10: for 5 minutes, what two workers ask of the store is what the cost formula says, and a tenth: a heartbeat and a
// list of the members each every 2.5 s, and every 10 s a checkpoint of each shard that has records, of which most have none.
func TestField_F10(t *testing.T) {
	t.Parallel()
	inFleet(t, 20, func(f *fleet) {
		f.srv.SetLatencyFunc(func(op string) time.Duration {
			if op == "GetRecords" {
				return time.Second
			}
			return 10 * time.Millisecond
		})
		store := f.tapped()
		one, two := f.start("one"), f.start("two")
		f.balanced(30*time.Second, 10, one, two)
		time.Sleep(10 * time.Second)
		busy := map[string]bool{}
		f.mu.Lock()
		for _, c := range f.log {
			busy[c.shard] = true
		}
		f.mu.Unlock()
		before := [3]int{store.count("Swap", "Delete"), store.count("List"), store.count("Get")}
		const minutes = 5
		time.Sleep(minutes * time.Minute)
		writes, lists := 2/2.5+float64(len(busy))/10, 2/2.5
		for i, c := range []struct {
			what string
			got  int
			want float64 // a second
		}{{"writes", store.count("Swap", "Delete"), writes}, {"lists", store.count("List"), lists}, {"reads", store.count("Get"), 0.1}} {
			got, limit := c.got-before[i], c.want*1.1*minutes*60
			if float64(got) > limit {
				t.Errorf("%d %s in %d minutes, want %.0f at most", got, c.what, minutes, limit)
			}
		}
		f.end(one, two)
	})
}
