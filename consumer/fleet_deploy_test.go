package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/consumer"
)

// Deploy after deploy, whichever replica comes first: nothing is lost, handled twice or unhealthy, and no shard goes back and
// forth.
func TestFleetDeploys(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"new", "old"} {
		t.Run(first+" first", func(t *testing.T) {
			t.Parallel()
			inFleet(t, 4, func(f *fleet) {
				replicas := []*replica{f.start("pod-a-0"), f.start("pod-b-0")}
				healthy := func(for_ time.Duration) {
					for start := time.Now(); time.Since(start) < for_; time.Sleep(time.Second) {
						for _, r := range replicas {
							if err := r.c.Status().Err(); err != nil {
								t.Errorf("%s: %v", r.name, err)
							}
						}
					}
				}
				ready := func(r *replica) {
					f.until(r.name+" is ready", 5*time.Second, func() bool { return r.c.Status().Ready() == nil })
				}
				f.until("2 shards each", 30*time.Second, func() bool { return replicas[0].owned() == 2 && replicas[1].owned() == 2 })
				healthy(20 * time.Second)
				for n := 1; n <= 3; n++ {
					for i, pod := range []string{"pod-a", "pod-b"} {
						next := func() { replicas[i] = f.start(fmt.Sprintf("%s-%d", pod, n)); ready(replicas[i]) }
						old := replicas[i]
						if first == "new" {
							next()
							healthy(5 * time.Second)
						}
						if _, err := old.running.stop(); err != nil {
							t.Errorf("%s: %v", old.name, err)
						}
						if first == "old" {
							next()
						}
						healthy(10 * time.Second)
					}
				}
				// A shard that was handed over stays for a minute.
				f.until("2 shards each", 90*time.Second, func() bool { return replicas[0].owned() == 2 && replicas[1].owned() == 2 })
				epochs := owners(t, f.store)
				healthy(5 * time.Minute)
				if now := owners(t, f.store); now != epochs {
					t.Errorf("shards have moved while the workers stayed the same: from\n%sto\n%s", epochs, now)
				}
				f.end(replicas...)
				if n := f.twice(); n > 0 {
					t.Errorf("%d records were handled twice", n)
				}
				for _, gap := range f.handOvers() {
					if gap > time.Second {
						t.Errorf("a shard was not handled for %v while it changed hands", gap)
					}
				}
			})
		})
	}
}

// A worker whose store does not answer for a while pauses, and goes on in the same epoch.
func TestFleetPause(t *testing.T) {
	t.Parallel()
	inFleet(t, 4, func(f *fleet) {
		one, two := f.start("one"), f.start("two")
		f.until("2 shards each", 30*time.Second, func() bool { return one.owned() == 2 && two.owned() == 2 })
		time.Sleep(20 * time.Second)
		before := owners(t, f.store)
		one.link.cut.Store(true)
		time.Sleep(7200 * time.Millisecond) // less than what makes it dead, whenever its last heartbeat was
		one.link.cut.Store(false)
		time.Sleep(20 * time.Second)
		if after := owners(t, f.store); after != before {
			t.Errorf("owners were\n%s and are\n%s", before, after)
		}
		f.end(one, two)
		if n := f.twice(); n > 0 {
			t.Errorf("%d records were handled twice: a pause loses no result", n)
		}
	})
}

// A stream is split and merged while two workers share it.
func TestFleetReshards(t *testing.T) {
	t.Parallel()
	inFleet(t, 2, func(f *fleet) {
		one, two := f.start("one"), f.start("two")
		f.until("1 shard each", 30*time.Second, func() bool { return one.owned() == 1 && two.owned() == 1 })
		a, b := f.srv.Split("orders", shard0)
		f.until("3 shards are read", 30*time.Second, func() bool { return one.owned()+two.owned() == 3 })
		time.Sleep(30 * time.Second)
		f.srv.Merge("orders", a, b)
		f.until("2 shards are read", 30*time.Second, func() bool { return one.owned() == 1 && two.owned() == 1 })
		f.end(one, two)
		if n := f.twice(); n > 0 {
			t.Errorf("%d records were handled twice", n)
		}
	})
}

// Two workers with one name both work, and say so.
func TestFleetTwins(t *testing.T) {
	t.Parallel()
	inFleet(t, 2, func(f *fleet) {
		var seen notices
		one, two := f.start("pod", consumer.WithNotify(seen.add)), f.start("pod")
		f.until("1 shard each", 30*time.Second, func() bool { return one.owned() == 1 && two.owned() == 1 })
		time.Sleep(30 * time.Second)
		if seen.count("WorkerTwin") != 1 {
			t.Errorf("notices %q, want WorkerTwin once", seen.names)
		}
		f.end(one, two)
		if n := f.twice(); n > 0 {
			t.Errorf("%d records were handled twice", n)
		}
	})
}

// A shard whose handler ignores its context is not handed over, and nothing is handled by two workers.
func TestFleetHandOverWithdrawn(t *testing.T) {
	t.Parallel()
	inFleet(t, 2, func(f *fleet) {
		var seen notices
		hang := make(chan struct{})
		one := &replica{f: f, name: "one", link: &link{Store: f.store}}
		one.running = start(f.t, f.srv, func(ctx context.Context, ev events.KinesisEvent) error {
			select {
			case <-hang:
			default:
				<-hang // whatever the context says
			}
			return one.handle(ctx, ev)
		}, consumer.WithGroup("g"), consumer.WithCheckpointer(one.link), consumer.WithWorker("one"), consumer.WithDrainTimeout(5*time.Second), consumer.WithNotify(seen.add))
		f.until("one has 2 shards", 5*time.Second, func() bool { return one.owned() == 2 })
		two := f.start("two")
		time.Sleep(time.Minute)
		if seen.count("HandOverWithdrawn") == 0 || two.owned() != 0 {
			t.Errorf("notices %q, and the second worker has %d shards", seen.names, two.owned())
		}
		close(hang)
		f.until("1 shard each", 2*time.Minute, func() bool { return one.owned() == 1 && two.owned() == 1 })
		time.Sleep(5 * time.Second)
		f.end(one, two)
	})
}

// All shards of a stream are claimed within 10 s by a worker that starts alone.
func TestFleetLoneStart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		shards int
		limit  time.Duration
	}{{100, 2 * time.Second}, {1000, 10 * time.Second}} {
		var took []time.Duration
		for n := range trials(t, 1) {
			inFleet(t, c.shards, func(f *fleet) {
				f.vary(rand.New(rand.NewPCG(uint64(n), 4)))
				one := f.start("one")
				took = append(took, f.until(fmt.Sprintf("one has %d shards", c.shards), c.limit, func() bool { return one.owned() == c.shards }))
				f.end(one)
			})
		}
		spread(t, fmt.Sprintf("until a worker has %d free shards", c.shards), took)
	}
}

// Workers with an ending position return when all shards have reached it, whoever had them.
func TestFleetEnds(t *testing.T) {
	t.Parallel()
	inFleet(t, 4, func(f *fleet) {
		end := consumer.WithEndingPosition(consumer.At(time.Now().Add(time.Minute)))
		one, two := f.start("one", end), f.start("two", end)
		f.until("2 shards each", 30*time.Second, func() bool { return one.owned() == 2 && two.owned() == 2 })
		for _, r := range []*replica{one, two} {
			select {
			case err := <-r.ended:
				if err != nil {
					t.Errorf("%s: %v", r.name, err)
				}
			case <-time.After(3 * time.Minute):
				t.Fatalf("%s has not returned: %+v", r.name, r.c.Status().Shards)
			}
		}
		rest := f.start("rest")
		time.Sleep(5 * time.Second)
		f.end(rest)
		if n := f.twice(); n > 0 {
			t.Errorf("%d records were handled twice", n)
		}
	})
}

// Two services that share a group by mistake, and read progress differently, don't.
func TestFleetOtherSettings(t *testing.T) {
	t.Parallel()
	inFleet(t, 2, func(f *fleet) {
		one := f.start("one")
		f.until("one has 2 shards", 5*time.Second, func() bool { return one.owned() == 2 })
		other := f.start("other", consumer.WithDeaggregation(true))
		select {
		case err := <-other.ended:
			if !errors.Is(err, consumer.ErrConfig) {
				t.Errorf("the other service ends with %v", err)
			}
		case <-time.After(time.Minute):
			t.Fatal("the other service shares the group")
		}
		same := f.start("same", consumer.WithBatchSize(7)) // a deploy that changes what progress does not depend on
		f.until("1 shard each", 30*time.Second, func() bool { return one.owned() == 1 && same.owned() == 1 })
		f.end(one, same)
		changed := f.start("changed", consumer.WithDeaggregation(true)) // once nobody works
		f.until("it has 2 shards", 5*time.Second, func() bool { return changed.owned() == 2 })
		if _, err := changed.running.stop(); err != nil {
			t.Error(err)
		}
	})
}

// Workers of one group with different settings are no trouble while a deploy goes on. Later each says so, once, until they have
// the same.
func TestFleetSettingsDiffer(t *testing.T) {
	t.Parallel()
	inFleet(t, 2, func(f *fleet) {
		f.stop <- struct{}{}
		go func() { <-f.stop }()
		f.srv.SetLatency(8 * time.Second) // nothing is read
		var first, second notices
		both := func() [2]int { return [2]int{first.count("SettingsDiffer"), second.count("SettingsDiffer")} }
		told := func(when string, want int) {
			if got := both(); got != [2]int{want, want} {
				t.Errorf("%s it is told %v times, want %d", when, got, want)
			}
		}
		one := f.start("one", consumer.WithNotify(first.add), consumer.WithMaxConcurrency(9))
		same := f.start("same", consumer.WithMaxConcurrency(8)) // as its machine can bear
		time.Sleep(20 * time.Minute)
		told("with the same settings", 0)
		for n := 1; n <= 2; n++ {
			other := f.start("other", consumer.WithNotify(second.add), consumer.WithBatchSize(7))
			time.Sleep(14 * time.Minute)
			told("in a deploy", n-1)
			time.Sleep(3 * time.Minute)
			told("behind it", n)
			time.Sleep(40 * time.Minute)
			told("for long", n)
			if _, err := other.running.stop(); err != nil {
				t.Error(err)
			}
			time.Sleep(2 * time.Minute)
		}
		for _, r := range []*replica{one, same} {
			if err := r.c.Status().Err(); err != nil {
				t.Error(err)
			}
			if _, err := r.running.stop(); err != nil {
				t.Error(err)
			}
		}
	})
}
