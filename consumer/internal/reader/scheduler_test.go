package reader

import (
	"context"
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

// The interval of idle shards grows with their number: 200 calls/s in all, 5 s at most (L16).
func TestSchedulerIdleInterval(t *testing.T) {
	t.Attr("rule", "L16")
	var s Scheduler
	entries := make([]*Entry, 2000)
	for i := range entries {
		entries[i] = NewEntry(nil)
		got := s.SetIdle(entries[i], true)
		want := min(max(200*time.Millisecond, time.Duration(i+1)*time.Second/200), 5*time.Second)
		if got != want {
			t.Fatalf("%d idle shards are polled every %v, want %v", i+1, got, want)
		}
	}
	for _, e := range entries[:1500] {
		s.Remove(e)
	}
	s.SetIdle(entries[0], true) // removed: not counted
	if got := s.SetIdle(entries[1999], false); got != 499*time.Second/200 {
		t.Errorf("499 idle shards are polled every %v", got)
	}
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
