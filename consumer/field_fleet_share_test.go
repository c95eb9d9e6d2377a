package consumer_test

import (
	"strings"
	"testing"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
)

// TestField_F13: 100 shards that nobody has are read by the worker that starts, all of them within 2 s.
func TestField_F13(t *testing.T) {
	t.Parallel()
	inFleet(t, 100, func(f *fleet) {
		one := f.start("one")
		f.balanced(2*time.Second, 100, one)
		f.end(one)
	})
}

// TestField_F18: workers come to an even share while a shard has no owner, since its row takes no writes; and from rows that
// name workers of which nothing is known.
func TestField_F18(t *testing.T) {
	t.Parallel()
	t.Run("a shard that cannot be claimed", func(t *testing.T) {
		inFleet(t, 5, func(f *fleet) {
			store := f.tapped()
			store.do(func(op string, e checkpoint.Entry) error {
				if _, row, ok := shardRow(e); ok && op == "Swap" && row.Owner != "" && strings.HasSuffix(e.Key, shard0) {
					return errNoWay
				}
				return nil
			})
			one := f.start("one")
			f.balanced(5*time.Second, 4, one)
			two := f.start("two")
			f.until("the rest is shared", 30*time.Second, func() bool { return one.owned() == 3 && two.owned() == 1 }) // and one more that it is to claim
			store.do(nil)
			f.until("all have an owner", 15*time.Second, func() bool { return one.owned() == 3 && two.owned() == 2 })
			f.end(one, two)
		})
	})
	t.Run("rows that name nobody who is known", func(t *testing.T) {
		inFleet(t, 6, func(f *fleet) {
			store := f.tapped()
			first := f.start("first")
			f.balanced(5*time.Second, 6, first)
			time.Sleep(5 * time.Second)
			if _, err := first.running.stop(); err != nil {
				t.Error(err)
			}
			for n, ghost := range []string{"ghost/1", "ghost/1", "ghost/2", "", "", ""} {
				store.by(t, shardID(n), func(r map[string]any) {
					r["owner"], r["epoch"] = ghost, epoch(r, 1)
					if ghost == "" {
						r["to"] = "ghost/3"
					}
				})
			}
			one, two := f.start("one"), f.start("two")
			f.balanced(40*time.Second, 3, one, two)
			f.end(one, two)
			f.unrepeated()
		})
	})
}

// TestField_F51: 6 of 10 shards have come to their ends under one worker. A second one gets half of the others, as
// what has ended does not count.
func TestField_F51(t *testing.T) {
	t.Parallel()
	inFleet(t, 4, func(f *fleet) {
		one := f.start("one")
		f.balanced(5*time.Second, 4, one)
		for _, pair := range [][2]int{{0, 1}, {2, 3}} {
			f.srv.Merge("orders", shardID(pair[0]), shardID(pair[1]))
		}
		f.balanced(10*time.Second, 2, one)
		for _, n := range []int{4, 5} {
			f.srv.Split("orders", shardID(n))
		}
		f.balanced(10*time.Second, 4, one)
		two := f.start("two")
		f.balanced(30*time.Second, 2, one, two)
		time.Sleep(time.Minute)
		f.balanced(0, 2, one, two)
		f.end(one, two)
		f.unrepeated()
	})
}
