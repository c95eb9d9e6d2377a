package reader

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// scheduled runs a Scheduler for a test.
func scheduled(t *testing.T) *Scheduler {
	s := new(Scheduler)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return s
}

func TestSchedulerPollsWhenDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scheduled(t)
		began := time.Now()
		var polls [3][]time.Duration
		for i := range polls {
			s.Wake(NewEntry(func(context.Context) (time.Time, bool) {
				polls[i] = append(polls[i], time.Since(began))
				return time.Now().Add(time.Duration(i+1) * time.Second), len(polls[i]) < 4
			}))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for i, got := range polls {
			for n, at := range got {
				if want := time.Duration(n*(i+1)) * time.Second; at != want {
					t.Errorf("entry %d: poll %d at %v, want %v", i, n, at, want)
				}
			}
			if len(got) != 4 {
				t.Errorf("entry %d: %d polls, want 4: then it is parked", i, len(got))
			}
		}
	})
}

func TestSchedulerWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scheduled(t)
		polls := 0
		take := time.Duration(0)
		e := NewEntry(func(context.Context) (time.Time, bool) {
			polls++
			time.Sleep(take)
			return time.Now().Add(time.Hour), polls != 2
		})
		expect := func(want int, why string) {
			t.Helper()
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if polls != want {
				t.Errorf("%s: %d polls, want %d", why, polls, want)
			}
		}
		s.Wake(e)
		expect(1, "first Wake")
		s.Wake(e)
		s.Wake(e)
		expect(2, "Wake before it is due")
		s.Wake(e)
		expect(3, "Wake of a parked entry")
		take = time.Second
		s.Wake(e)
		time.Sleep(time.Millisecond)
		s.Wake(e) // while it runs
		s.Wake(e)
		expect(5, "Wake during a poll leads to one more")
	})
}

func TestSchedulerRemove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scheduled(t)
		running, polls := false, 0
		e := NewEntry(func(context.Context) (time.Time, bool) {
			polls++
			running = true
			time.Sleep(time.Second)
			running = false
			return time.Now(), true
		})
		s.Wake(e)
		time.Sleep(time.Millisecond)
		<-s.Remove(e)
		if running {
			t.Error("a poll runs after Remove")
		}
		s.Wake(e)
		time.Sleep(time.Minute)
		synctest.Wait()
		if polls != 1 {
			t.Errorf("%d polls, want 1: none after Remove", polls)
		}
		<-s.Remove(e) // once more
		idle := NewEntry(nil)
		<-s.Remove(idle) // never taken in
	})
}

func TestSchedulerRunsPollsSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scheduled(t)
		var now, most, polls atomic.Int64
		for range 3 * Workers {
			s.Wake(NewEntry(func(context.Context) (time.Time, bool) {
				if n := now.Add(1); n > most.Load() {
					most.Store(n)
				}
				time.Sleep(100 * time.Millisecond)
				now.Add(-1)
				polls.Add(1)
				return time.Time{}, false
			}))
		}
		time.Sleep(301 * time.Millisecond)
		synctest.Wait()
		if most.Load() != Workers || polls.Load() != 3*Workers {
			t.Errorf("%d of %d polls done in 0.3 s, %d at once, want all, %d at once", polls.Load(), 3*Workers, most.Load(), Workers)
		}
	})
}

// Polls that hang do not stop the others, however many they are.
func TestSchedulerGoesOnWhilePollsHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scheduled(t)
		for range 3 * Workers {
			s.Wake(NewEntry(func(ctx context.Context) (time.Time, bool) {
				<-ctx.Done()
				return time.Time{}, false
			}))
		}
		var polls atomic.Int64
		s.Wake(NewEntry(func(context.Context) (time.Time, bool) {
			polls.Add(1)
			return time.Now().Add(time.Second), true
		}))
		time.Sleep(2*Workers*patience + time.Second)
		if polls.Load() == 0 {
			t.Error("a shard waits for others whose calls hang")
		}
		before := polls.Load()
		time.Sleep(time.Minute)
		if n := polls.Load() - before; n < 45 {
			t.Errorf("%d polls in a minute, want about one a second", n)
		}
	})
}

// The interval of idle shards grows with their number and with what their reads cost: half a core in all, 5 s at most (L16).
func TestSchedulerIdleInterval(t *testing.T) {
	t.Attr("rule", "L16")
	var s Scheduler
	entries := make([]*Entry, 30_000)
	want := func(what string, got, cost time.Duration, n int) {
		t.Helper()
		if want := min(max(200*ms, 2*time.Duration(n)*cost), 5*time.Second); got != want {
			t.Fatalf("%s: %d idle shards are polled every %v, want %v", what, n, got, want)
		}
	}
	for i := range entries {
		entries[i] = NewEntry(nil)
		want("no clock sees the cost", s.SetIdle(entries[i], true, 0), 100*time.Microsecond, i+1)
	}
	for _, e := range entries[:28_000] {
		s.Remove(e)
	}
	s.SetIdle(entries[0], true, 0) // removed: not counted
	if got := s.SetIdle(entries[28_000], false, 0); got != 0 {
		t.Errorf("an entry that is busy is polled every %v", got)
	}
	var got time.Duration
	for range 20_000 {
		got = s.SetIdle(entries[29_999], true, 300*time.Microsecond)
	}
	if got = got.Round(10 * ms); got != 1600*ms {
		t.Errorf("1,999 idle shards of reads that take 400 µs are polled every %v", got)
	}
	for range 20_000 {
		got = s.SetIdle(entries[29_999], true, time.Minute) // it has waited
	}
	if got = got.Round(10 * ms); got != 4400*ms {
		t.Errorf("1,999 idle shards of reads that take long are polled every %v", got)
	}
	own := NewEntry(nil)
	own.every = time.Minute
	if got := s.SetIdle(own, true, 0); got != time.Minute {
		t.Errorf("an entry with an interval of its own is polled every %v", got)
	}
	if got := s.budget.sharing; got != 1999 {
		t.Errorf("%d entries share the budget", got)
	}
}

// quietly starts n entries that are caught up, and whose polls take a while. It notes when they begin.
func quietly(s *Scheduler, n int, take time.Duration) (polls func() [][]time.Duration) {
	var mu sync.Mutex
	began, starts := time.Now(), make([][]time.Duration, n)
	for i := range n {
		var e *Entry
		e = NewEntry(func(context.Context) (time.Time, bool) {
			now := time.Now()
			mu.Lock()
			starts[i] = append(starts[i], now.Sub(began))
			mu.Unlock()
			time.Sleep(take)
			return now.Add(s.SetIdle(e, true, 0)), true
		})
		e.name = fmt.Sprint(i)
		s.Wake(e)
	}
	return func() [][]time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(starts)
	}
}

// Shards that were taken up at one instant do not stay in step.
func TestSchedulerKeepsQuietShardsApart(t *testing.T) {
	t.Attr("rule", "L16")
	synctest.Test(t, func(t *testing.T) {
		s := scheduled(t)
		polls := quietly(s, 40, 0)
		time.Sleep(10*time.Second + ms)
		var all []time.Duration
		for i, at := range polls() {
			if n := len(at); n < 49 || n > 51 {
				t.Errorf("shard %d was polled %d times in 10 s", i, n)
			}
			all = append(all, at[2:]...)
		}
		slices.Sort(all)
		for i := range all[4:] {
			if d := all[i+4] - all[i]; d < 5*ms {
				t.Fatalf("five polls within %v, %v after the beginning: 40 in 200 ms are 5 ms apart", d, all[i])
			}
		}
	})
}

// Ten thousand shards in one worker: each that is caught up is polled within the budget, evenly, and those with records as often
// as ever.
func TestSchedulerOfTenThousand(t *testing.T) {
	t.Attr("rule", "L16")
	synctest.Test(t, func(t *testing.T) {
		s := scheduled(t)
		before := runtime.NumGoroutine()
		polls := quietly(s, 10_000, 20*ms)
		time.Sleep(time.Minute)
		late := healthy(s, 20)
		time.Sleep(30 * time.Second)
		if worst := late.worst(); worst > 20*ms {
			t.Errorf("a shard with records waited for %v", worst)
		}
		synctest.Wait()
		if n := runtime.NumGoroutine() - before; n > 1+Workers+quiet {
			t.Errorf("%d goroutines", n)
		}
		total := 0
		for i, at := range polls() {
			at = at[1:] // the first one was not that of a shard that is caught up
			total += len(at)
			for n := 1; n < len(at); n++ {
				if at[n]-at[n-1] > 5*time.Second {
					t.Fatalf("shard %d waited for %v", i, at[n]-at[n-1])
				}
			}
		}
		if calls := total / 90; calls > 5000 || calls < 2000 {
			t.Errorf("%d polls a second, want 5,000 at most, and what 48 at once can make of it", calls)
		}
	})
}

// Entries that are due at one instant are taken in an order that nobody's haste decides.
func TestSchedulerOrdersByName(t *testing.T) {
	var s Scheduler
	due := time.Now().Add(-time.Second)
	for _, name := range []string{"b", "d", "a", "c"} {
		e := NewEntry(nil)
		e.name = name
		s.push(e, due)
	}
	var got []string
	for range 4 {
		e, _, _ := s.take(&s.busy, time.Now())
		got = append(got, e.name)
	}
	equal(t, "order", got, []string{"a", "b", "c", "d"})
}

func TestSchedulerRunWaitsForPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Scheduler
		ctx, cancel := context.WithCancel(t.Context())
		done := false
		s.Wake(NewEntry(func(ctx context.Context) (time.Time, bool) {
			<-ctx.Done()
			time.Sleep(time.Second)
			done = true
			return time.Now(), true
		}))
		time.AfterFunc(time.Second, cancel)
		s.Run(ctx)
		if !done {
			t.Error("Run returned before a poll did")
		}
	})
}
