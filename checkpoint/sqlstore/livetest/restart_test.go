package livetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/checkpoint/sqlstore"
)

// A writer is the only one who writes to its row, and keeps to the rules: after an unknown outcome it looks.
type writer struct {
	checkpoint.Store
	row           checkpoint.Entry
	count         int
	acked         atomic.Int64
	unknown, sure int
}

// write writes the next value once. It returns an error only for what must not be.
func (w *writer) write(ctx context.Context) error {
	w.count++
	next := w.row
	next.Value = fmt.Append(nil, w.count)
	next, err := w.Swap(ctx, next)
	switch {
	case err == nil:
		w.row = next
		w.acked.Add(1)
		return nil
	case errors.Is(err, checkpoint.ErrConflict):
		return fmt.Errorf("write %d: nobody else writes, and: %w", w.count, err)
	case errors.Is(err, checkpoint.ErrNotApplied):
		w.sure++
	default:
		w.unknown++
	}
	for ctx.Err() == nil {
		now, getErr := w.Get(ctx, w.row.Key)
		if getErr != nil {
			continue
		}
		applied := now.Revision != w.row.Revision
		if applied && (string(now.Value) != fmt.Sprint(w.count) || errors.Is(err, checkpoint.ErrNotApplied)) {
			return fmt.Errorf("write %d ended with %w, and the row is %q", w.count, err, now.Value)
		}
		if !applied && string(now.Value) != string(w.row.Value) {
			return fmt.Errorf("write %d: an acknowledged write is lost: %q, want %q", w.count, now.Value, w.row.Value)
		}
		w.row = now
		return nil
	}
	return ctx.Err()
}

// TestRestart crashes PostgreSQL and starts it again while it is written to.
func TestRestart(t *testing.T) {
	restart := os.Getenv("SHARDLANE_POSTGRES_RESTART")
	for _, d := range servers(t) {
		if d.dialect != sqlstore.Postgres {
			continue
		}
		if restart == "" {
			t.Fatal("SHARDLANE_POSTGRES_RESTART is not set, and SHARDLANE_POSTGRES is")
		}
		_, table := d.table(t)
		s := sqlstore.New(d.open(t, access{}), d.dialect, sqlstore.WithTable(table))
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		var writers []*writer
		var wg sync.WaitGroup
		end := make(chan struct{})
		for i := range 8 {
			w := &writer{Store: s}
			if i%4 == 0 {
				w.Store = s.Reserved()
			}
			w.row = put(t, w.Store, "0")
			writers = append(writers, w)
			wg.Go(func() {
				for {
					select {
					case <-end:
						return
					default:
					}
					if err := w.write(ctx); err != nil {
						t.Errorf("writer %d: %v", i, err)
						return
					}
				}
			})
		}
		progress := func() {
			t.Helper()
			var from []int64
			for _, w := range writers {
				from = append(from, w.acked.Load())
			}
			until(t, "every writer has written 20 times", func() bool {
				for i, w := range writers {
					if w.acked.Load() < from[i]+20 {
						return t.Failed()
					}
				}
				return true
			})
		}
		for range 2 {
			progress()
			if out, err := exec.CommandContext(ctx, restart).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		progress()
		close(end)
		wg.Wait()
		unknown, sure := 0, 0
		for _, w := range writers {
			unknown, sure = unknown+w.unknown, sure+w.sure
		}
		if unknown == 0 {
			t.Error("no outcome was unknown: nobody wrote when the server crashed")
		}
		t.Logf("%d outcomes were unknown, and %d writes certainly not applied", unknown, sure)
	}
}
