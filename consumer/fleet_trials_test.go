package consumer_test

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/shardlane/shardlane/consumer"
)

// trials is how often the events of a fleet are tried: SHARDLANE_FLEET_TRIALS times, or else a few times.
func trials(t *testing.T, n int) int {
	t.Helper()
	if text := os.Getenv("SHARDLANE_FLEET_TRIALS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 {
			t.Fatalf("SHARDLANE_FLEET_TRIALS=%s: want a number", text)
		}
	}
	return n
}

// spread prints how long something took.
func spread(t *testing.T, what string, took []time.Duration) {
	t.Helper()
	slices.Sort(took)
	at := func(p int) time.Duration { return took[min(len(took)-1, len(took)*p/100)].Round(time.Millisecond) }
	t.Logf("%s, %d times: half of them within %v, 99 of 100 within %v, all within %v", what, len(took), at(50), at(99), took[len(took)-1].Round(time.Millisecond))
}

// vary makes calls take as long as they do in the world: the store 10 ms, reads 20 ms, handlers 100 ms, or longer.
func (f *fleet) vary(dice *rand.Rand) {
	f.work, f.dice = 100*time.Millisecond, dice
	f.srv.SetLatencyFunc(func(op string) time.Duration {
		if op == "GetRecords" {
			return f.takes(20 * time.Millisecond)
		}
		return f.takes(10 * time.Millisecond)
	})
}

// pair starts two workers and returns some time after each has its half of 4 shards.
func (f *fleet) pair(dice *rand.Rand, opts ...consumer.Option) (one, two *replica) {
	f.t.Helper()
	f.vary(rand.New(rand.NewPCG(dice.Uint64(), 0)))
	one, two = f.start("one", opts...), f.start("two", opts...)
	f.until("2 shards each", 30*time.Second, func() bool { return one.owned() == 2 && two.owned() == 2 })
	time.Sleep(time.Duration(dice.Int64N(int64(20 * time.Second))))
	return one, two
}

// After a crash every shard has a handler at work within 13 s, whenever it happens.
func TestFleetCrashTrials(t *testing.T) {
	t.Parallel()
	var took []time.Duration
	for n := range trials(t, 4) {
		dice := rand.New(rand.NewPCG(uint64(n), 1))
		inFleet(t, 4, func(f *fleet) {
			one, two := f.pair(dice)
			var lost []string
			for _, sh := range one.c.Status().Shards {
				if sh.State == consumer.Running && !f.firstOf("one", sh.Shard, time.Time{}).IsZero() { // keys fall into it
					lost = append(lost, sh.Shard)
				}
			}
			killed := time.Now()
			one.kill()
			time.Sleep(20 * time.Second)
			for _, shard := range lost {
				at := f.firstOf("two", shard, killed)
				if at.IsZero() || at.Sub(killed) > 13*time.Second {
					t.Errorf("trial %d: %s had its first handler %v after the crash", n, shard, at.Sub(killed))
				}
				took = append(took, at.Sub(killed))
			}
			one.link.cut.Store(false)
			f.end(one, two)
		})
	}
	spread(t, "from the crash to the next owner's first handler", took)
}

// A shard that is handed over at a stop is not handled for less than a second, and nothing is handled twice.
func TestFleetHandOverTrials(t *testing.T) {
	t.Parallel()
	var took []time.Duration
	for n := range trials(t, 4) {
		dice := rand.New(rand.NewPCG(uint64(n), 2))
		inFleet(t, 4, func(f *fleet) { took = append(took, f.handOver(dice, 0)...) })
	}
	spread(t, "without a handler at a hand-over", took)
	slices.Sort(took)
	if p99 := took[min(len(took)-1, len(took)*99/100)]; p99 > time.Second {
		t.Errorf("99 of 100 hand-overs took up to %v, want less than a second", p99)
	}
}

// By enhanced fan-out, too, unless the shard is released within 5 s of the last subscription: then the next one is refused until
// these are over.
func TestFanOutHandOverTrials(t *testing.T) {
	t.Parallel()
	var took []time.Duration
	for n := range trials(t, 4) {
		dice := rand.New(rand.NewPCG(uint64(n), 5))
		inFleet(t, 4, func(f *fleet) {
			lull := time.Duration(dice.Int64N(int64(4 * time.Minute))) // as long as a subscription lasts
			gaps := f.handOver(dice, lull, consumer.WithEnhancedFanOut("billing"))
			took = append(took, gaps...)
			refused := map[string]bool{}
			for _, c := range f.srv.Calls() {
				if c.Code == "ResourceInUseException" {
					refused[c.Shard] = true
				}
			}
			late := 0
			for _, gap := range gaps {
				if gap > time.Second {
					late++
				}
			}
			if late > len(refused) || slices.Max(gaps) > 6*time.Second {
				t.Errorf("trial %d: gaps of %v, with subscriptions refused for %d shards", n, gaps, len(refused))
			}
		})
	}
	spread(t, "without a handler at a hand-over", took)
}

// handOver lets one of two workers end after a lull, and returns how long each of its shards had no handler.
func (f *fleet) handOver(dice *rand.Rand, lull time.Duration, opts ...consumer.Option) []time.Duration {
	f.t.Helper()
	one, two := f.pair(dice, opts...)
	time.Sleep(lull)
	if _, err := one.running.stop(); err != nil {
		f.t.Error(err)
	}
	time.Sleep(5 * time.Second)
	f.end(two)
	if n := f.twice(); n > 0 {
		f.t.Errorf("%d records were handled twice", n)
	}
	return f.handOvers()
}

// firstOf is when a worker first handled a record of a shard behind a time.
func (f *fleet) firstOf(worker, shard string, after time.Time) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.log {
		if c.worker == worker && c.shard == shard && c.began.After(after) {
			return c.began
		}
	}
	return time.Time{}
}
