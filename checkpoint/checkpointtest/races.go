package checkpointtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
)

// within calls f and waits no longer than limit for it to return.
func within(limit time.Duration, f func() error) (returned bool, err error) {
	done := make(chan error, 1)
	go func() { done <- f() }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err = <-done:
		return true, err
	case <-timer.C:
		return false, nil
	}
}

// repeat calls round n times, or until the budget is spent, but 25 times at least.
func (s *suite) repeat(n int, round func(i int) error) error {
	start := time.Now()
	for i := 0; i < n && (i < 25 || time.Since(start) < s.budget); i++ {
		if err := round(i); err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
	}
	return nil
}

// race lets 16 writers write at one revision, and checks that one of them wins. Every tenth round they delete the row,
// so that in the next one they put it.
func race(ctx context.Context, s *suite) error {
	const writers, rounds = 16, 1000
	row := checkpoint.Entry{Key: s.prefix + "row"}
	return s.repeat(rounds, func(round int) error {
		var wg sync.WaitGroup
		start := make(chan struct{})
		results := make([]checkpoint.Entry, writers)
		errs := make([]error, writers)
		for w := range writers {
			results[w] = checkpoint.Entry{Key: row.Key, Value: fmt.Appendf(nil, "round %d writer %d", round, w), Revision: row.Revision}
			wg.Go(func() {
				<-start
				if round%10 == 9 && row.Revision != "" {
					errs[w] = s.handle(w).Delete(ctx, results[w])
					results[w] = checkpoint.Entry{Key: row.Key}
				} else {
					results[w], errs[w] = s.handle(w).Swap(ctx, results[w])
				}
			})
		}
		close(start)
		wg.Wait()
		winners, conflicts := 0, 0
		for w, err := range errs {
			switch {
			case err == nil:
				row = results[w]
				winners++
			case errors.Is(err, checkpoint.ErrConflict):
				conflicts++
			case !errors.Is(err, checkpoint.ErrNotApplied):
				return fmt.Errorf("writer %d of %d: %w", w, writers, err)
			}
		}
		if winners > 1 || winners == 0 && conflicts > 0 {
			return fmt.Errorf("%d of %d writers at one revision won, want 1", winners, writers)
		}
		return holds(ctx, s.handle(round), row)
	})
}

// lostReply lets the ctx end at every moment of a Swap that nobody else competes with. Whatever the Swap returns then,
// it is not ErrConflict, and the row agrees with it.
func lostReply(ctx context.Context, s *suite) error {
	const steps, rounds = 16, 10
	start := time.Now()
	if _, err := s.put(ctx, "pace", "value"); err != nil {
		return err
	}
	pace := time.Since(start)
	return s.repeat(steps*rounds, func(round int) error {
		step := round % steps
		key := fmt.Sprintf("row/%d", round)
		old, err := s.put(ctx, key, "old")
		if err != nil {
			return err
		}
		cut, cancel := context.WithTimeout(ctx, 2*pace*time.Duration(step)/steps)
		if round/steps%2 == 0 {
			cut, cancel = withLooks(ctx, step)
		}
		defer cancel()
		next := checkpoint.Entry{Key: old.Key, Value: []byte("new"), Revision: old.Revision}
		got, err := s.handle(round).Swap(cut, next)
		switch {
		case err == nil:
			return holds(ctx, s.a, got)
		case errors.Is(err, checkpoint.ErrConflict):
			return fmt.Errorf("Swap at the present revision, whose ctx ended: %w", err)
		case errors.Is(err, checkpoint.ErrNotApplied):
			if err := holds(ctx, s.a, old); err != nil {
				return fmt.Errorf("after ErrNotApplied: %w", err)
			}
		}
		// Unknown: the same Swap again applies, or the first one did.
		again, err2 := s.a.Swap(ctx, next)
		if err2 == nil {
			return holds(ctx, s.b, again)
		}
		row, err3 := s.a.Get(ctx, old.Key)
		if !errors.Is(err2, checkpoint.ErrConflict) || err3 != nil || string(row.Value) != "new" {
			return fmt.Errorf("Swap returned %w, then %w, then Get %s, %s", err, err2, show(row), fmt.Sprint(err3))
		}
		return nil
	})
}

// A looked is a ctx that ends when its Err was looked at a number of times, so that it ends between two given steps of
// a call.
type looked struct {
	context.Context
	left atomic.Int64
	end  context.CancelFunc
}

func withLooks(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	l := &looked{Context: ctx, end: cancel}
	l.left.Store(int64(n))
	return l, cancel
}

func (l *looked) Err() error {
	if l.left.Add(-1) < 0 {
		l.end()
	}
	return l.Context.Err()
}
