package partition

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// item is the seq-th item of its key.
type item struct{ key, seq int }

func itemKey(i item) string { return strconv.Itoa(i.key) }

// A journal is what a function under Lanes has seen.
type journal struct {
	mu    sync.Mutex
	items map[int][]item // per lane
	calls [][]int        // lane and number of items of each call, in the order in which they began
	begun map[int][]time.Time
	busy  map[int]bool
	wrong []string
}

func newJournal() *journal {
	return &journal{items: make(map[int][]item), begun: make(map[int][]time.Time), busy: make(map[int]bool)}
}

func (j *journal) begin(lane int, items []item) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.busy[lane] {
		j.wrong = append(j.wrong, fmt.Sprintf("two calls of lane %d", lane))
	}
	j.busy[lane] = true
	j.items[lane] = append(j.items[lane], items...)
	_ = append(items, item{-1, -1}) // the call owns its items: no other lane sees this
	j.calls = append(j.calls, []int{lane, len(items)})
	j.begun[lane] = append(j.begun[lane], time.Now())
}

func (j *journal) end(lane int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.busy[lane] = false
}

func (j *journal) seen() [][]int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([][]int(nil), j.calls...)
}

// TestLanesProperty submits, wakes and waits at random under virtual time, and expects every item once, on its lane and
// in order, one call per lane, a call after every Wake, and the backlog kept.
func TestLanesProperty(t *testing.T) {
	t.Attr("rule", "L24")
	t.Attr("rule", "C1")
	type op struct {
		items []item
		wake  int // -1: none
		sleep time.Duration
	}
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 100).Draw(rt, "lanes")
		backlog := rapid.SampledFrom([]int{0, -1, 1, 7}).Draw(rt, "backlog")
		slow := time.Duration(rapid.IntRange(0, 3).Draw(rt, "slow"))
		ops := make([]op, rapid.IntRange(0, 30).Draw(rt, "ops"))
		next := make(map[int]int)
		for i := range ops {
			ops[i].wake = rapid.IntRange(-3, n-1).Draw(rt, "wake")
			ops[i].sleep = time.Duration(rapid.IntRange(0, 2).Draw(rt, "sleep"))
			for _, k := range rapid.SliceOfN(rapid.IntRange(0, 20), 0, 12).Draw(rt, "keys") {
				ops[i].items = append(ops[i].items, item{k, next[k]})
				next[k]++
			}
		}
		var wrong []string
		synctest.Test(t, func(t *testing.T) {
			j := newJournal()
			wrongf := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
			l := NewLanes(n, itemKey, func(_ context.Context, lane int, items []item) error {
				j.begin(lane, items)
				time.Sleep(slow * time.Duration(lane%3))
				j.end(lane)
				return nil
			})
			l.Backlog = backlog
			wakes := make(map[int]time.Time)
			submitted, most := 0, 0
			for _, o := range ops {
				if err := l.Submit(t.Context(), o.items...); err != nil {
					wrongf("Submit: %v", err)
				}
				submitted, most = submitted+len(o.items), max(most, len(o.items))
				l.mu.Lock()
				if backlog > 0 && l.pending >= backlog+most && l.pending > 0 {
					wrongf("%d items wait with a backlog of %d", l.pending, backlog)
				}
				l.mu.Unlock()
				if o.wake >= 0 {
					wakes[o.wake] = time.Now()
					l.Wake(o.wake)
				}
				time.Sleep(o.sleep)
				if r := l.Running(); r > n {
					wrongf("%d calls on %d lanes", r, n)
				}
			}
			if err := l.Drain(t.Context()); err != nil {
				wrongf("Drain: %v", err)
			}
			seq, handled := make(map[int]int), 0
			for lane, items := range j.items {
				for _, it := range items {
					if want := int(Hash(itemKey(it)) % uint64(n)); lane != want {
						wrongf("key %d on lane %d, want %d", it.key, lane, want)
					}
					if it.seq != seq[it.key] {
						wrongf("item %d of key %d after %d", it.seq, it.key, seq[it.key])
					}
					seq[it.key]++
					handled++
				}
			}
			if handled != submitted {
				wrongf("%d of %d items", handled, submitted)
			}
			for lane, at := range wakes {
				if b := j.begun[lane]; len(b) == 0 || b[len(b)-1].Before(at) {
					wrongf("no call of lane %d after its Wake", lane)
				}
			}
			if l.pending != 0 || l.busy != 0 || l.running != 0 || len(l.active) != 0 {
				wrongf("left: %d pending, %d busy, %d running, %d active", l.pending, l.busy, l.running, len(l.active))
			}
			wrong = append(wrong, j.wrong...)
		})
		if len(wrong) > 0 {
			rt.Fatal(strings.Join(wrong, "\n"))
		}
	})
}

// hold returns Lanes over ints whose calls wait for a value from the channel and return it.
func hold(n int, j *journal) (*Lanes[item], chan error) {
	release := make(chan error)
	return NewLanes(n, itemKey, func(ctx context.Context, lane int, items []item) error {
		j.begin(lane, items)
		defer j.end(lane)
		select {
		case err := <-release:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}), release
}

func TestWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		l, release := hold(1, j)
		expect := func(want ...[]int) {
			t.Helper()
			synctest.Wait()
			if diff := cmp.Diff(want, j.seen()); diff != "" {
				t.Fatal(diff)
			}
		}
		l.Wake(0) // idle: a call at once
		expect([]int{0, 0})
		l.Wake(0) // running: one more call, however often
		l.Wake(0)
		l.Wake(0)
		expect([]int{0, 0})
		release <- nil
		expect([]int{0, 0}, []int{0, 0})
		l.Wake(0) // and with what comes meanwhile
		check(t, l.Submit(t.Context(), item{1, 0}, item{2, 0}))
		check(t, l.Submit(t.Context(), item{1, 1}))
		release <- nil
		expect([]int{0, 0}, []int{0, 0}, []int{0, 3})
		release <- nil
		expect([]int{0, 0}, []int{0, 0}, []int{0, 3})
		if l.Running() != 0 {
			t.Error("a lane runs with nothing to do")
		}

		// While Drain waits for a call, a Wake still counts; after it, no more.
		l.Wake(0)
		drained := make(chan error, 1)
		go func() { drained <- l.Drain(t.Context()) }()
		synctest.Wait()
		l.Wake(0)
		release <- nil
		expect([]int{0, 0}, []int{0, 0}, []int{0, 3}, []int{0, 0}, []int{0, 0})
		release <- nil
		check(t, <-drained)
		l.Wake(0)
		expect([]int{0, 0}, []int{0, 0}, []int{0, 3}, []int{0, 0}, []int{0, 0})
	})
	defer func() {
		if recover() == nil {
			t.Error("Wake of a lane that does not exist did not panic")
		}
	}()
	NewLanes(3, itemKey, nil).Wake(3)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestLaneError lets one lane fail: what waits there is dropped, the others finish, Submit and Drain tell.
func TestLaneError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := errors.New("bad")
		got := make([]int, 3)
		l := NewLanes(3, itemKey, func(_ context.Context, lane int, items []item) error {
			time.Sleep(time.Duration(lane+1) * time.Second)
			if lane == 1 {
				return bad
			}
			got[lane] += len(items)
			return nil
		})
		l.Hash = func(key string) uint64 { return uint64(key[0] - '0') }
		l.Backlog = 2
		start := time.Now()
		check(t, l.Submit(t.Context(), item{1, 0}))
		synctest.Wait()
		check(t, l.Submit(t.Context(), item{0, 0}, item{1, 1}, item{2, 0}, item{2, 1}, item{2, 2}))
		// The next waits for room, of which there is none when lane 1 fails: lane 2 has three items.
		if err := l.Submit(t.Context(), item{0, 0}, item{1, 2}); !errors.Is(err, bad) || time.Since(start) != 2*time.Second {
			t.Errorf("Submit waiting = %v after %v", err, time.Since(start))
		}
		if err := l.Submit(t.Context()); !errors.Is(err, bad) {
			t.Errorf("Submit of nothing = %v", err)
		}
		l.Wake(1)
		if err := l.Drain(t.Context()); !errors.Is(err, bad) {
			t.Errorf("Drain = %v", err)
		}
		if err := l.Submit(t.Context(), item{}); !errors.Is(err, ErrClosed) {
			t.Errorf("Submit after Drain = %v", err)
		}
		if diff := cmp.Diff([]int{1, 0, 3}, got); diff != "" || time.Since(start) != 3*time.Second || l.pending != 0 {
			t.Errorf("after %v, %d pending: %s", time.Since(start), l.pending, diff)
		}
	})
}

func TestSubmitWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, release := hold(1, newJournal())
		l.Backlog = 2
		check(t, l.Submit(t.Context(), item{}, item{}, item{})) // over the backlog at once
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.Submit(ctx, item{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Submit = %v, want the ctx's error", err)
		}
		if err := l.Submit(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Submit with a ctx that is done = %v", err)
		}
		check(t, l.Submit(t.Context())) // nothing to wait for
		const submits = 5
		var took sync.WaitGroup
		for range submits {
			took.Go(func() {
				if err := l.Submit(t.Context(), item{}, item{}); err != nil {
					t.Error(err)
				}
			})
		}
		for range submits + 1 {
			synctest.Wait()
			if l.pending > 3 {
				t.Errorf("%d items wait", l.pending)
			}
			release <- nil
		}
		took.Wait()

		check(t, l.Submit(t.Context(), item{}, item{}))
		refused, drained := make(chan error, 1), make(chan error, 1)
		go func() { refused <- l.Submit(t.Context(), item{}) }()
		synctest.Wait()
		go func() { drained <- l.Drain(t.Context()) }()
		if err := <-refused; !errors.Is(err, ErrClosed) {
			t.Errorf("Submit that waited when Drain began = %v", err)
		}
		if err := l.Submit(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("Submit while Drain waits = %v", err)
		}
		release <- nil
		check(t, <-drained)
	})
}

// TestDrainEnds has a call that ignores its ctx.
func TestDrainEnds(t *testing.T) {
	for _, drops := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			stuck, calls := make(chan struct{}), 0
			var cause error
			l := NewLanes(2, itemKey, func(ctx context.Context, _ int, _ []item) error {
				calls++
				<-stuck
				cause = ctx.Err()
				return nil
			})
			check(t, l.Submit(t.Context(), item{}))
			synctest.Wait()
			if drops {
				check(t, l.Submit(t.Context(), item{}))
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			patient := make(chan error, 1)
			go func() { patient <- l.Drain(t.Context()) }()
			start := time.Now()
			if err := l.Drain(ctx); err != ctx.Err() || time.Since(start) != time.Minute { //nolint:errorlint // it is that error
				t.Errorf("Drain = %v after %v", err, time.Since(start))
			}
			if l.Running() != 1 {
				t.Error("the call that ignores its ctx does not run any more")
			}
			l.Wake(0)
			l.Wake(1)
			time.Sleep(time.Second)
			close(stuck)
			want := error(nil)
			if drops {
				want = context.DeadlineExceeded // the patient Drain cannot say that all was handled
			}
			for _, err := range []error{<-patient, l.Drain(t.Context()), l.Drain(ctx)} {
				if !errors.Is(err, want) {
					t.Errorf("Drain = %v, want %v", err, want)
				}
			}
			if calls != 1 || cause == nil {
				t.Errorf("%d calls, ctx %v", calls, cause)
			}
		})
	}
	t.Run("nothing runs", func(t *testing.T) {
		done, cancel := context.WithCancel(t.Context())
		cancel()
		check(t, NewLanes(1, itemKey, nil).Drain(done)) // idle counts before ctx
	})
	t.Run("both", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			bad := errors.New("bad")
			l := NewLanes(2, itemKey, func(ctx context.Context, lane int, _ []item) error {
				if lane == 0 {
					return bad
				}
				<-ctx.Done()
				return nil
			})
			l.Wake(0)
			l.Wake(1)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := l.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, bad) {
				t.Errorf("Drain = %v", err)
			}
		})
	})
}

// TestLanesRace has submitters, wakers and two Drains run into each other: what was accepted is handled, in order.
func TestLanesRace(t *testing.T) {
	const keys = 4
	for range 50 {
		var handled [keys]int
		l := NewLanes(keys, itemKey, func(_ context.Context, lane int, items []item) error {
			for _, it := range items {
				if it.key != lane || it.seq != handled[lane] {
					t.Errorf("item %v on lane %d after %d", it, lane, handled[lane])
				}
				handled[lane]++ // unguarded: a lane has one call at a time
			}
			return nil
		})
		l.Hash = func(key string) uint64 { return uint64(key[0] - '0') }
		l.Backlog = 8
		var accepted [keys]int
		enough := make(chan struct{})
		var workers sync.WaitGroup
		for k := range keys {
			workers.Go(func() {
				for seq := 0; ; seq += 2 {
					if err := l.Submit(t.Context(), item{k, seq}, item{k, seq + 1}); err != nil {
						if !errors.Is(err, ErrClosed) {
							t.Error(err)
						}
						return
					}
					if accepted[k] += 2; k == 0 && accepted[k] == 100 {
						close(enough)
					}
					l.Wake((k + 1) % keys)
				}
			})
		}
		for range 2 {
			workers.Go(func() {
				<-enough
				if err := l.Drain(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		workers.Wait()
		if handled != accepted {
			t.Fatalf("handled %v, accepted %v", handled, accepted)
		}
	}
}

// TestGoexit ends a call by runtime.Goexit, as t.FailNow does: the lane is not stranded.
func TestGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLanes(1, itemKey, func(context.Context, int, []item) error {
			runtime.Goexit()
			return nil
		})
		check(t, l.Submit(t.Context(), item{}))
		if err := l.Drain(t.Context()); !errors.Is(err, errExited) {
			t.Errorf("Drain = %v", err)
		}
		if l.Running() != 0 || l.pending != 0 {
			t.Errorf("%d calls run, %d items wait", l.Running(), l.pending)
		}
	})
}

// TestPanic runs itself in a process of its own: a panic in a lane ends it.
func TestPanic(t *testing.T) {
	const env = "PARTITION_TEST_PANIC"
	if os.Getenv(env) != "" {
		l := NewLanes(1, itemKey, func(context.Context, int, []item) error { panic("out of beans") })
		check(t, l.Submit(t.Context(), item{}))
		t.Logf("Drain = %v", l.Drain(t.Context()))
		select {}
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPanic$", "-test.timeout=10s")
	cmd.Env = append(os.Environ(), env+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "panic: out of beans") {
		t.Errorf("the process ended with %v:\n%s", err, out)
	}
}

// TestIdleLanes looks at what is kept after every lane had work, and at what a page allocates.
func TestIdleLanes(t *testing.T) {
	const lanes, records = 1000, 10_000
	handled := make(chan struct{}, 2*lanes)
	l := NewLanes(lanes, recordKey, func(context.Context, int, []record) error {
		handled <- struct{}{}
		return nil
	})
	for lane := range lanes {
		l.Wake(lane)
	}
	for range lanes {
		<-handled
	}
	check(t, l.Drain(t.Context()))
	kept := 0
	for ln := l.free; ln != nil; ln = ln.next {
		kept++
	}
	if l.active != nil || kept > keep || kept != l.kept {
		t.Errorf("idle lanes hold a map of %d and %d lanes, counted %d", len(l.active), kept, l.kept)
	}

	p := page(records)
	l = NewLanes(10, recordKey, func(context.Context, int, []record) error { return nil })
	if allocs := testing.AllocsPerRun(20, func() { check(t, l.Submit(t.Context(), p...)) }); allocs > records/100 {
		t.Errorf("%v allocations for a page of %d", allocs, records)
	}
	check(t, l.Drain(t.Context()))
}
