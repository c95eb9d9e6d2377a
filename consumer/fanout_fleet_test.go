package consumer_test

import (
	"testing"
	"time"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// TestFanOutHandOver: workers come and go, and shards with them, without a record that is handled twice. One that takes a shard
// over subscribes at once, unless the one before had subscribed within the last 5 s, which the service refuses.
func TestFanOutHandOver(t *testing.T) {
	t.Parallel()
	inFleet(t, 6, func(f *fleet) {
		f.srv.SetReadLimits(true)
		push := consumer.WithEnhancedFanOut("billing")
		one := f.start("one", push)
		f.balanced(30*time.Second, 6, one)
		time.Sleep(20 * time.Second)
		two := f.start("two", push)
		f.balanced(30*time.Second, 3, one, two)
		time.Sleep(20 * time.Second)
		three := f.start("three", push)
		f.balanced(90*time.Second, 2, one, two, three)
		time.Sleep(20 * time.Second)
		if _, err := one.running.stop(); err != nil {
			t.Error(err)
		}
		f.balanced(90*time.Second, 3, two, three)
		time.Sleep(20 * time.Second)
		f.end(two, three)
		f.unrepeated()
		gaps := f.handOvers()
		for _, gap := range gaps {
			if gap > time.Second {
				t.Errorf("a shard was not handled for %v", gap)
			}
		}
		if len(gaps) < 6 {
			t.Errorf("%d shards were handed over", len(gaps))
		}
		for _, c := range f.srv.Calls() {
			if c.Op == "SubscribeToShard" && c.Code != "" {
				t.Errorf("%s was refused: %s", c.Shard, c.Code)
			}
		}
	})
}

// TestFanOutTakesOverSoon: a worker leaves a second after it has subscribed. The next one is refused until 5 s are over, tells of
// no trouble, and goes on then.
func TestFanOutTakesOverSoon(t *testing.T) {
	t.Parallel()
	inFleet(t, 1, func(f *fleet) {
		f.srv.SetReadLimits(true)
		push := consumer.WithEnhancedFanOut("billing")
		one := f.start("one", push)
		f.balanced(30*time.Second, 1, one)
		time.Sleep(20 * time.Second)
		told := map[string]int{}
		two := f.start("two", push, consumer.WithNotify(func(n consumer.Notice) { told[n.Name]++ }))
		time.Sleep(10 * time.Second)
		f.srv.Fail(pushOp, kinesistest.EndEarly(1))
		time.Sleep(500 * time.Millisecond) // it has subscribed anew; the hand-over is announced for 3 s
		if _, err := one.running.stop(); err != nil {
			t.Error(err)
		}
		time.Sleep(20 * time.Second)
		f.end(two)
		f.unrepeated()
		refused := 0
		for _, c := range f.srv.Calls() {
			if c.Code == "ResourceInUseException" {
				refused++
			}
		}
		if refused < 1 || told["ReadFailed"] > 0 {
			t.Errorf("%d calls were refused; told: %v", refused, told)
		}
		for _, gap := range f.handOvers() {
			if gap > 6*time.Second {
				t.Errorf("the shard was not handled for %v", gap)
			}
		}
	})
}

// TestFanOutCrash: the subscription of a worker that stands still goes to the one that has taken its shard.
func TestFanOutCrash(t *testing.T) {
	t.Parallel()
	inFleet(t, 2, func(f *fleet) {
		push := consumer.WithEnhancedFanOut("billing")
		one := f.start("one", push)
		f.balanced(30*time.Second, 2, one)
		two := f.start("two", push)
		f.balanced(30*time.Second, 1, one, two)
		time.Sleep(10 * time.Second)
		one.link.cut.Store(true)
		f.balanced(30*time.Second, 2, two)
		time.Sleep(5 * time.Second)
		one.link.cut.Store(false)
		f.balanced(30*time.Second, 1, one, two)
		time.Sleep(time.Minute)
		f.end(one, two)
	})
}
