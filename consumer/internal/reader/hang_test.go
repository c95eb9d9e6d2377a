package reader

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// long starts n entries whose polls take a while, and tell so as a Poller does.
func long(s *Scheduler, n int, silent bool, take func() time.Duration) {
	for range n {
		var e *Entry
		e = NewEntry(func(ctx context.Context) (time.Time, bool) {
			tell := time.AfterFunc(hangTime, func() { s.Long(e, silent) })
			defer tell.Stop()
			select {
			case <-time.After(take()):
			case <-ctx.Done():
			}
			return time.Now().Add(minInterval), true
		})
		s.Wake(e)
	}
}

// A lateness is how late the latest poll of some entries was.
type lateness struct{ atomic.Int64 }

func (l *lateness) worst() time.Duration { return time.Duration(l.Swap(0)) }

// healthy starts n entries that are polled every 200 ms, for 20 ms each.
func healthy(s *Scheduler, n int) *lateness {
	late := new(lateness)
	for range n {
		due := time.Now()
		s.Wake(NewEntry(func(context.Context) (time.Time, bool) {
			for was, d := late.Load(), int64(time.Since(due)); d > was && !late.CompareAndSwap(was, d); was = late.Load() {
			}
			time.Sleep(20 * time.Millisecond)
			due = time.Now().Add(180 * time.Millisecond)
			return due, true
		}))
	}
	return late
}

// The bound of the package comment: h shards that hang delay the others by 1 s + h/16 s, once.
func TestSchedulerBoundsWhatHangs(t *testing.T) {
	for _, n := range []int{16, 100, 400} {
		synctest.Test(t, func(t *testing.T) {
			s := scheduled(t)
			before := runtime.NumGoroutine()
			long(s, n, true, func() time.Duration { return 15 * time.Second })
			late := healthy(s, 100)
			time.Sleep(time.Minute)
			if worst, limit := late.worst(), time.Second+time.Duration(n)*time.Second/16; worst > limit {
				t.Errorf("%d shards that hang delayed another by %v, at most %v", n, worst, limit)
			}
			time.Sleep(time.Minute)
			if worst := late.worst(); worst > 250*time.Millisecond {
				t.Errorf("%d shards that go on hanging delay others by %v", n, worst)
			}
			synctest.Wait()
			if more := runtime.NumGoroutine() - before; more > 1+Workers+n {
				t.Errorf("%d goroutines for %d shards that hang", more, n)
			}
		})
	}
}

// Pages that are long in coming hold nobody up either, if they are few; more of them get no more memory.
func TestSchedulerBoundsLongPages(t *testing.T) {
	for n, limit := range map[int]time.Duration{16: 1100 * ms, 32: 3200 * ms} {
		synctest.Test(t, func(t *testing.T) {
			s := scheduled(t)
			before := runtime.NumGoroutine()
			long(s, n, false, func() time.Duration { return 15 * time.Second })
			late := healthy(s, 50)
			time.Sleep(time.Minute)
			if worst := late.worst(); n == 16 && worst > limit {
				t.Errorf("%d long pages delayed others by %v, at most %v", n, worst, limit)
			}
			synctest.Wait()
			if more := runtime.NumGoroutine() - before; more > 3*Workers {
				t.Errorf("%d goroutines for %d long pages", more, n)
			}
		})
	}
}

// A flood of long pages gets 16 workers more, and then one every 200 ms: pages take memory.
func TestSchedulerBoundsFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scheduled(t)
		before := runtime.NumGoroutine()
		long(s, 100, false, func() time.Duration { return 15 * time.Second })
		time.Sleep(5*time.Second - ms)
		synctest.Wait()
		if more := runtime.NumGoroutine() - before; more > 2*Workers+25+2 { // goroutines of others may come to an end late
			t.Errorf("%d pages at once after 5 s", more)
		}
	})
}

// A shard that answers again is polled by the workers again, and a worker that was replaced ends.
func TestSchedulerTakesBackWhatAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scheduled(t)
		synctest.Wait()
		before := runtime.NumGoroutine() + Workers // once they are hired
		began := time.Now()
		var now, most atomic.Int64
		for range 100 {
			var e *Entry
			e = NewEntry(func(context.Context) (time.Time, bool) {
				if time.Since(began) < 10*time.Second {
					time.Sleep(2 * time.Second)
					s.Long(e, true)
				}
				if n := now.Add(1); time.Since(began) > 20*time.Second && n > most.Load() {
					most.Store(n)
				}
				time.Sleep(10 * time.Millisecond)
				now.Add(-1)
				return time.Now().Add(minInterval), true
			})
			s.Wake(e)
		}
		time.Sleep(30*time.Second + 5*time.Millisecond)
		synctest.Wait()
		if n := most.Load(); n > Workers {
			t.Errorf("%d polls at once", n)
		}
		if n := runtime.NumGoroutine() - before; n > 0 {
			t.Errorf("%d goroutines more than workers", n)
		}
	})
}
