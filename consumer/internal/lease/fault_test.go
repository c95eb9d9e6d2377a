package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/shardlane/shardlane/checkpoint"
)

// Every operation under every fault: it fails or not, and repeating it comes to
// the same row, epoch + 1 where the operation says so, and nothing that arrives
// later changes it.
func TestFaults(t *testing.T) {
	for name, op := range map[string]struct {
		do    func(context.Context, *Lease) error
		owner string
		epoch int64
		ck    checkpoint.Position
	}{
		"checkpoint": {func(ctx context.Context, l *Lease) error { return l.Checkpoint(ctx, Progress{Pos: pos(5)}) }, "host/a", 1, pos(5)},
		"release":    {func(ctx context.Context, l *Lease) error { return l.Release(ctx, Progress{Pos: pos(5)}, "") }, "", 2, pos(5)},
		"end":        {func(ctx context.Context, l *Lease) error { return l.End(ctx, nil) }, "", 2, checkpoint.End},
	} {
		for f := range faults {
			for g := range faults {
				t.Run(fmt.Sprintf("%s/%v,%v", name, f, g), func(t *testing.T) {
					s, _, l := claimed(t)
					s.onSwap = once(f, g)
					tries := 1
					for op.do(t.Context(), l) != nil {
						if tries++; tries > 3 {
							t.Fatal("no end after the faults stopped")
						}
					}
					for len(s.delayed) > 0 {
						s.deliver(0)
					}
					if r := s.stored(t); r.Owner != op.owner || r.Epoch != op.epoch || r.Ck != op.ck || r.Epoch != l.Epoch() {
						t.Errorf("stored %+v, lease has %+v", r, l.Row())
					}
					s.check(t)
				})
			}
		}
	}
}

func TestFaultErrors(t *testing.T) {
	for f, wantErr := range map[fault]error{
		fine: nil, before: errReset, after: errReset, late: errReset, throttled: checkpoint.ErrNotApplied, twice: nil,
	} {
		s, _, l := claimed(t)
		s.onSwap = once(f)
		calls := s.calls
		want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(1)}), wantErr)
		gets := 0
		if f == twice {
			gets = 1 // a conflict is read back at once
		}
		if s.calls.get != calls.get+gets || s.calls.swap != calls.swap+1 {
			t.Errorf("%v: a write was repeated without the caller, or read back too early: %+v after %+v", f, s.calls, calls)
		}
		calls = s.calls
		want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(1)}), nil)
		get, swap := s.calls.get-calls.get, s.calls.swap-calls.swap
		if exp := map[fault][2]int{before: {1, 1}, after: {1, 0}, late: {1, 1}, throttled: {0, 1}}[f]; exp != [2]int{get, swap} {
			t.Errorf("%v: repeating cost %d Gets and %d Swaps, want %v", f, get, swap, exp)
		}
	}
}

// A release that may still arrive is never followed by more work on the lease:
// it is repeated, or a new claim undoes it.
func TestUnresolvedRelease(t *testing.T) {
	for _, close := range []func(context.Context, *Lease) error{
		func(ctx context.Context, l *Lease) error { return l.Release(ctx, Progress{}, "") },
		func(ctx context.Context, l *Lease) error { return l.End(ctx, nil) },
	} {
		s, a, l := claimed(t)
		want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(1)}), nil)
		s.onSwap = once(late, before)
		want(t, close(t.Context(), l), errReset)
		want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(2)}), ErrReleased)
		want(t, close(t.Context(), l), errReset) // reads the old row, sends again
		want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(2)}), ErrReleased)

		undo, err := a.Claim(t.Context(), shard)
		want(t, err, nil)
		s.deliver(0)
		want(t, undo.Checkpoint(t.Context(), Progress{Pos: pos(2)}), nil)
		want(t, close(t.Context(), l), ErrLost)
		if r := s.stored(t); r.Owner != "host/a" || r.Ck != pos(2) {
			t.Errorf("the late release took effect: %+v", r)
		}
		s.check(t)
	}
	// One that is certainly not applied leaves the lease as it was.
	s, _, l := claimed(t)
	s.onSwap = once(throttled)
	want(t, l.Release(t.Context(), Progress{}, ""), checkpoint.ErrNotApplied)
	want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(1)}), nil)
	// So does a call that was never made.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	want(t, l.Release(ctx, Progress{}, ""), context.Canceled)
	want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(2)}), nil)
}

// A release ruled out by a write that took effect leaves the lease open.
func TestReleaseRuledOut(t *testing.T) {
	s, _, l := claimed(t)
	s.onSwap = once(late, fine, throttled)
	want(t, l.Release(t.Context(), Progress{Pos: pos(1)}, ""), errReset)
	s.remove(t, key)
	want(t, l.Release(t.Context(), Progress{Pos: pos(1)}, ""), checkpoint.ErrNotApplied) // put back, not released
	s.deliver(0)
	want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(2)}), nil)
	s.check(t)
}

// A write that read as "not applied" arrives before the next one, which has
// read the row already: both are this lease's.
func TestLateWriteBetweenReadAndWrite(t *testing.T) {
	s, _, l := claimed(t)
	s.onSwap = once(late)
	want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(1)}), errReset)
	s.onSwap = func(checkpoint.Entry) fault { s.onSwap = nil; s.deliver(0); return fine }
	want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(2)}), nil)
	if r := s.stored(t); r.Ck != pos(2) || r.Epoch != 1 {
		t.Errorf("stored %+v", r)
	}
	s.check(t)
}

// An end whose reply was lost, then a stop that releases what is held: one of
// the two is stored, and the stop is told that nothing is held any more.
func TestReleaseAfterUnresolvedEnd(t *testing.T) {
	for f, ck := range map[fault]checkpoint.Position{before: pos(1), after: checkpoint.End, late: pos(1)} {
		s, _, l := claimed(t)
		s.onSwap = once(f)
		want(t, l.End(t.Context(), nil), errReset)
		want(t, l.Release(t.Context(), Progress{Pos: pos(1)}, ""), nil)
		for len(s.delayed) > 0 {
			s.deliver(0)
		}
		if r := s.stored(t); r.Ck != ck || r.Owner != "" || r.Epoch != 2 {
			t.Errorf("%v: stored %+v", f, r)
		}
		s.check(t)
	}
}

// A release that arrives while another checkpoint is tried ends the tenure.
func TestLateReleaseBeforeRepeat(t *testing.T) {
	s, _, l := claimed(t)
	s.onSwap = once(late)
	want(t, l.Release(t.Context(), Progress{Pos: pos(1)}, ""), errReset)
	s.deliver(0)
	want(t, l.End(t.Context(), nil), ErrReleased)
	want(t, l.Release(t.Context(), Progress{Pos: pos(1)}, ""), nil)
	if r := s.stored(t); r.Epoch != 2 || r.Ck != pos(1) {
		t.Errorf("stored %+v", r)
	}
}

// A claim is never adopted by reading: whatever became of it, the next claim
// writes, and the lost one has no effect afterwards.
func TestUnresolvedClaim(t *testing.T) {
	for f, epoch := range map[fault]int64{before: 1, after: 2, late: 1, throttled: 1} {
		s, a := created(t)
		s.onSwap = once(f)
		_, err := a.Claim(t.Context(), shard)
		if err == nil {
			t.Fatalf("%v: no error", f)
		}
		l, err := a.Claim(t.Context(), shard)
		want(t, err, nil)
		for len(s.delayed) > 0 {
			s.deliver(0)
		}
		if r := s.stored(t); r.Owner != "host/a" || r.Epoch != epoch || l.Epoch() != epoch || l.Took() != "" {
			t.Errorf("%v: stored %+v", f, r)
		}
		want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(1)}), nil)
		s.check(t)
	}
	// The lost claim arrives between the Get and the Swap of the next.
	s, a := created(t)
	s.onSwap = once(late)
	_, err := a.Claim(t.Context(), shard)
	want(t, err, errReset)
	s.onSwap = func(checkpoint.Entry) fault { s.onSwap = nil; s.deliver(0); return fine }
	l, err := a.Claim(t.Context(), shard)
	want(t, err, nil)
	if l.Epoch() != 2 {
		t.Errorf("epoch %d", l.Epoch())
	}
	s.check(t)
}

// A checkpoint of unknown result counts in what a row comes back as, until something later is stored.
func TestFurthest(t *testing.T) {
	s, _, l := claimed(t)
	want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(1)}), nil)
	s.onSwap = once(after)
	want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(2)}), errReset)
	if r := l.Row(); r.Ck != pos(1) {
		t.Errorf("stored is %+v", r)
	}
	if r := l.Furthest(); r.Ck != pos(2) || r.Owner != "host/a" || r.Epoch != 1 {
		t.Errorf("asked for was %+v", r)
	}
	want(t, l.End(t.Context(), nil), nil)
	if r := l.Furthest(); r.Ck != checkpoint.End || r.Owner != "" {
		t.Errorf("at the end: %+v", r)
	}
	s.check(t)
}

// A row deleted by hand is put back by its owner, with its own state and the
// next epoch, before anything else is written.
func TestRowGone(t *testing.T) {
	for f := range faults {
		s, a, l := claimed(t)
		var told []Row
		a.Restored = func(id string, r Row) {
			if id != shard {
				t.Errorf("told of %s", id)
			}
			told = append(told, r)
		}
		want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(3)}), nil)
		s.remove(t, key)
		s.onSwap = once(fine, f) // the conflict, then the re-put
		for tries := 0; l.Checkpoint(t.Context(), Progress{Pos: pos(4)}) != nil; tries++ {
			if tries > 2 {
				t.Fatalf("%v: no end", f)
			}
		}
		for len(s.delayed) > 0 {
			s.deliver(0)
		}
		r := s.stored(t)
		if r.Owner != "host/a" || r.Epoch != 2 || l.Epoch() != 2 || r.Ck != pos(4) || string(r.More["x"]) != `"keep"` {
			t.Errorf("%v: stored %+v", f, r)
		}
		if len(told) != 1 || told[0].Epoch != 2 {
			t.Errorf("%v: told %+v", f, told)
		}
		want(t, l.End(t.Context(), nil), nil)
		s.check(t)
	}
	// Somebody else puts it back first.
	s, _, l := claimed(t)
	s.remove(t, key)
	s.onSwap = func(e checkpoint.Entry) fault {
		if e.Revision == "" {
			s.onSwap = nil
			s.force(t, key, `{"v":1,"by":"b.1","epoch":0,"ck":"0/trim"}`)
		}
		return fine
	}
	want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(1)}), ErrLost)
	// A release puts the row back too: progress is not lost with it.
	s, _, l = claimed(t)
	s.remove(t, key)
	want(t, l.Release(t.Context(), Progress{Pos: pos(7)}, ""), nil)
	if r := s.stored(t); r.Owner != "" || r.Epoch != 3 || r.Ck != pos(7) {
		t.Errorf("released %+v", r)
	}
	s.check(t)
}

func TestRollback(t *testing.T) {
	for name, row := range map[string]string{
		"epoch":       `{"v":1,"by":"z.1","epoch":0,"ck":"0/trim"}`,
		"same tenure": `{"v":1,"by":"a.1","owner":"host/a","epoch":1,"ck":"0/trim"}`,
	} {
		s, a, l := claimed(t)
		want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(1)}), nil)
		s.force(t, key, row)
		want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(2)}), ErrRollback)
		want(t, l.Release(t.Context(), Progress{}, ""), ErrRollback)
		if name == "epoch" {
			_, err := a.Claim(t.Context(), shard)
			want(t, err, ErrRollback)
			_, err = table(s, "b").Claim(t.Context(), shard) // wrote nothing before
			want(t, err, nil)
		}
	}
	// A write that is known from reading back counts as written.
	s, a, l := claimed(t)
	s.onSwap = once(after)
	want(t, l.Release(t.Context(), Progress{Pos: pos(1)}, ""), errReset)
	want(t, l.Release(t.Context(), Progress{Pos: pos(1)}, ""), nil)
	s.force(t, key, `{"v":1,"by":"a.1","owner":"host/a","epoch":1,"ck":"0/trim"}`)
	_, err := a.Claim(t.Context(), shard)
	want(t, err, ErrRollback)
}

// A row that its owner cannot read any more ends the tenure and is left alone.
func TestOwnedRowReplaced(t *testing.T) {
	for value, cause := range map[string]error{`{"v":2}`: ErrRowVersion, `?`: ErrRowCorrupt} {
		s, _, l := claimed(t)
		s.force(t, key, value)
		err := l.Checkpoint(t.Context(), Progress{Pos: pos(1)})
		want(t, err, ErrLost)
		want(t, err, cause)
		if e, _ := s.Memory.Get(t.Context(), key); string(e.Value) != value {
			t.Errorf("%s became %s", value, e.Value)
		}
	}
	s, _, l := claimed(t)
	s.force(t, key, `{"v":1,"by":"hand.1","owner":"host/a","epoch":1,"ck":"0/trim"}`)
	want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(1)}), ErrLost)
}

// Reading back can fail as well: the result stays unknown.
func TestReadBackFails(t *testing.T) {
	s, _, l := claimed(t)
	s.onSwap, s.onGet = once(after), func() error { return errReset }
	want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(1)}), errReset)
	want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(1)}), errReset)
	want(t, l.Release(t.Context(), Progress{Pos: pos(1)}, ""), errReset) // nothing sent
	s.onGet = nil
	want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(2)}), nil)
	s.check(t)
	// After a conflict too.
	want(t, func() error { _, err := table(s, "b").Claim(t.Context(), shard); return err }(), nil)
	s.onGet = func() error { return errReset }
	want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(3)}), errReset)
	s.onGet = nil
	want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(3)}), ErrLost)
	// Nor does a store that is wrong about conflicts keep anybody for ever.
	s, _, l = claimed(t)
	s.onSwap = func(checkpoint.Entry) fault { return conflict }
	calls := s.calls.swap
	want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(1)}), checkpoint.ErrConflict)
	_, err := table(s, "a").Claim(t.Context(), shard)
	want(t, err, checkpoint.ErrConflict)
	if n := s.calls.swap - calls; n > 2*maxTries {
		t.Errorf("%d writes", n)
	}
	_, err = table(s, "a").PutMeta(t.Context(), Meta{Start: checkpoint.TrimHorizon})
	if err == nil {
		t.Error("a meta row that nobody has was taken for written")
	}
	s.onSwap = nil
	// Errors of the other reads are the store's.
	s.onList = errReset
	_, _, err = table(s, "b").Rows(t.Context())
	want(t, err, errReset)
	s.onGet = func() error { return errReset }
	_, err = table(s, "b").Claim(t.Context(), shard)
	want(t, err, errReset)
	_, _, err = table(s, "b").Meta(t.Context())
	want(t, err, errReset)
}

// One write of a row is under way at most, whoever calls, and a caller that
// waits for its turn leaves when its context ends.
func TestOneWriteInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, l := claimed(t)
		var mu sync.Mutex
		inFlight := 0
		s.onSwap = func(checkpoint.Entry) fault {
			mu.Lock()
			inFlight++
			if inFlight > 1 {
				t.Error("two writes of one row at once")
			}
			mu.Unlock()
			time.Sleep(10 * time.Millisecond)
			mu.Lock()
			inFlight--
			mu.Unlock()
			return fine
		}
		var wg sync.WaitGroup
		for i := 1; i <= 20; i++ {
			wg.Go(func() {
				if err := l.Checkpoint(t.Context(), Progress{Pos: pos(i), Arrival: int64(i)}); err != nil && !errors.Is(err, ErrRegress) {
					t.Error(err)
				}
				l.Row()
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		start := time.Now()
		want(t, l.Checkpoint(ctx, Progress{Pos: pos(50)}), context.DeadlineExceeded)
		if d := time.Since(start); d != time.Millisecond {
			t.Errorf("waited %v for its turn", d)
		}
		wg.Wait()
		s.check(t)
	})
}

// Random workers, faults, late arrivals and lost replies: flaky judges each
// write that takes effect; here, that what an operation returns is true, and
// that everything resolves once the faults stop.
func TestRandomFaults(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := &flaky{}
		s.force(t, key, `{"v":1,"by":"z.1","epoch":0,"ck":"0/trim","x":"keep"}`)
		roll := rapid.IntRange(0, 9)
		kinds := rapid.SampledFrom([]fault{before, after, late, late, throttled, twice})
		deliver := func() {
			if len(s.delayed) > 0 {
				s.deliver(rapid.IntRange(0, len(s.delayed)-1).Draw(rt, "which"))
			}
		}
		s.onSwap = func(checkpoint.Entry) fault {
			if roll.Draw(rt, "deliver?") < 2 {
				deliver()
			}
			if roll.Draw(rt, "fault?") < 5 {
				return fine
			}
			return kinds.Draw(rt, "fault")
		}
		s.onGet = func() error {
			if roll.Draw(rt, "get?") == 0 {
				return errReset
			}
			return nil
		}
		type worker struct {
			table *Table
			lease *Lease
			mark  int // what it has resolved
		}
		workers := []*worker{{table: table(s, "a")}, {table: table(s, "b")}}
		top := 0
		act := func(w *worker, op int) {
			ctx := rt.Context()
			if w.lease == nil || op == 0 {
				l, err := w.table.Claim(ctx, shard)
				if err != nil {
					if errors.Is(err, ErrEnded) != s.stored(t).Ended() && errors.Is(err, ErrEnded) {
						rt.Fatalf("claim: %v", err)
					}
					return
				}
				if r := s.stored(t); r.By != l.Row().By || r.Owner != w.table.owner || r.Epoch != l.Epoch() {
					rt.Fatalf("claimed %+v, stored %+v", l.Row(), r)
				}
				w.lease, w.mark = l, 0
				for i := top; i > 0; i-- {
					if pos(i) == l.Row().Ck {
						w.mark = i
					}
				}
				return
			}
			l := w.lease
			tenure := l.Epoch()
			switch op {
			case 1, 2, 3, 4, 5:
				if op > 2 {
					w.mark++
					top = max(top, w.mark)
				}
				if w.mark == 0 {
					return
				}
				if l.Checkpoint(ctx, Progress{Pos: pos(w.mark)}) == nil {
					s.took(rt, l.table, tenure, pos(w.mark), w.table.owner)
				}
			case 6, 7:
				err := l.Release(ctx, Progress{}, "")
				if err == nil {
					s.took(rt, l.table, l.Epoch(), l.Row().Ck, "")
				}
				if err == nil || errors.Is(err, ErrLost) || errors.Is(err, ErrReleased) {
					w.lease = nil
				}
			case 8:
				if roll.Draw(rt, "end?") > 0 {
					return
				}
				if l.End(ctx, nil) == nil {
					s.took(rt, l.table, l.Epoch(), checkpoint.End, "")
					w.lease = nil
				}
			case 9:
				deliver()
			}
		}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			act(rapid.SampledFrom(workers).Draw(rt, "worker"), roll.Draw(rt, "op"))
			s.check(rt)
		}
		s.onSwap, s.onGet = nil, nil
		for len(s.delayed) > 0 {
			s.deliver(len(s.delayed) - 1)
		}
		for _, w := range workers {
			if w.lease == nil {
				continue
			}
			if err := w.lease.Release(rt.Context(), Progress{}, ""); err != nil && !errors.Is(err, ErrLost) && !errors.Is(err, ErrReleased) {
				rt.Fatalf("no end after the faults stopped: %v", err)
			}
		}
		s.check(rt)
		if r := s.stored(t); r.Owner != "" && r.Owner != "host/a" && r.Owner != "host/b" {
			rt.Fatalf("stored %+v", r)
		}
	})
}

// took fails unless a write by the worker of tb took effect that left owner,
// epoch and a checkpoint not below ck.
func (s *flaky) took(t *rapid.T, tb *Table, epoch int64, ck checkpoint.Position, owner string) {
	t.Helper()
	for _, h := range s.history {
		if _, own := tb.tenure.mine(text(h.row, "by")); own && text(h.row, "owner") == owner &&
			number(h.row, "epoch") == epoch && text(h.row, "ck") >= string(ck) {
			return
		}
	}
	t.Fatalf("no write of epoch %d at %s by %s took effect", epoch, ck, tb.owner)
}
