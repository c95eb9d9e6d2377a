package checkpointtest

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
)

// TestSound runs the suite on stores that keep the rules in other ways than Memory does.
func TestSound(t *testing.T) {
	tombstones := func(t *table, e entry) string { return e.Key + number(t.count) }
	for name, open := range map[string]func() (a, b store){
		"one counter":      func() (a, b store) { t := new(table); return t, altered{Store: t} },
		"counter and key":  func() (a, b store) { t := &table{next: tombstones}; return t, t },
		"lists that lag":   func() (a, b store) { m := new(checkpoint.Memory); return m, lagging(m) },
		"conflicts at ctx": func() (a, b store) { m := new(checkpoint.Memory); return m, untidy(m) },
	} {
		t.Run(name, func(t *testing.T) {
			Run(t, func(*testing.T) (a, b checkpoint.Store) { return open() })
		})
	}
}

// lagging lists what there was two calls ago.
func lagging(m store) store {
	past := make(map[string][][]entry)
	return altered{Store: m, list: func(ctx context.Context, prefix string) ([]entry, error) {
		found, err := m.List(ctx, prefix)
		past[prefix] = append(past[prefix], found)
		return past[prefix][max(0, len(past[prefix])-3)], err
	}}
}

// untidy does not know what became of its write when the ctx ends, as a store behind a network.
func untidy(m store) store {
	return altered{Store: m, swap: func(ctx context.Context, e entry) (entry, error) {
		got, err := m.Swap(ctx, e)
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return got, err
	}}
}

// TestSlow runs the rules on a store that takes its time, of which the suite must not take too much.
func TestSlow(t *testing.T) {
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				m := slow(new(checkpoint.Memory), 10*time.Millisecond)
				if err := r.check(t.Context(), newSuite(m, m)); err != nil {
					t.Error(err)
				}
				if d := time.Since(start); d > 10*time.Second {
					t.Errorf("took %v", d)
				}
			})
		})
	}
}

// slow takes d before a Swap or Get and d after it, unless the ctx ends.
func slow(m store, d time.Duration) store {
	pause := func(ctx context.Context) error {
		select {
		case <-time.After(d):
			return ctx.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return altered{Store: m, swap: func(ctx context.Context, e entry) (entry, error) {
		if err := pause(ctx); err != nil {
			return e, err
		}
		got, err := m.Swap(ctx, e)
		if err != nil {
			return e, err
		}
		return got, pause(ctx)
	}, get: func(ctx context.Context, key string) (entry, error) {
		if err := pause(ctx); err != nil {
			return entry{Key: key}, err
		}
		return m.Get(ctx, key)
	}}
}

func TestReopen(t *testing.T) {
	m := new(checkpoint.Memory)
	Reopen(t, func(*testing.T) checkpoint.Store { return m })

	for name, open := range map[string]func(m store) store{
		"empty": func(store) store { return new(checkpoint.Memory) },
		"new revisions": func(m store) store {
			rows, _ := m.List(t.Context(), "")
			for _, e := range rows {
				force(m, e)
			}
			return m
		},
		"one row lost": func(m store) store {
			if rows, _ := m.List(t.Context(), ""); len(rows) > 0 {
				m.Delete(t.Context(), rows[len(rows)-1])
			}
			return m
		},
		"deletions lost": func(m store) store {
			return altered{Store: m, delete: func(context.Context, entry) error { return nil }}
		},
	} {
		m := store(new(checkpoint.Memory))
		if err := checkReopen(t.Context(), func() checkpoint.Store { m = open(m); return m }); err == nil {
			t.Errorf("%s: not seen", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
}

// TestRunFails runs Run in a process of its own, on a store that breaks one rule.
func TestRunFails(t *testing.T) {
	const variable = "CHECKPOINTTEST_BROKEN_STORE"
	if os.Getenv(variable) != "" {
		Run(t, func(*testing.T) (a, b checkpoint.Store) {
			m := new(checkpoint.Memory)
			broken := altered{Store: m, delete: func(context.Context, entry) error { return nil }}
			return broken, broken
		})
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestRunFails$", "-test.v")
	cmd.Env = append(os.Environ(), variable+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Error("the process succeeded")
	}
	for _, want := range []string{
		"--- FAIL: TestRunFails/stale_revision", "Delete at a revision of the past: got error <nil>, want ErrConflict",
		"--- FAIL: TestRunFails/delete_and_put_again", "--- PASS: TestRunFails/values",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
}
