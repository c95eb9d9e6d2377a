// Package checkpointtest holds implementations of checkpoint.Store to the rules of that interface.
package checkpointtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
)

// Run holds a store to every rule, each in a subtest with the name of the rule. Open returns two handles of one
// storage, as independent of each other as two processes: two clients with connections of their own, say. For a store
// that has only one handle, a and b are the same value. Open is called once per rule and may return the same storage
// each time: Run puts its rows under keys that start with "checkpointtest/" and a random part, and leaves them behind.
//
// A store that is as fast as memory takes about a second. Rules that repeat a race do it a thousand times, or for
// about three seconds if that is less.
//
// Whether acknowledged writes outlive the process is for [Reopen]. What a store does when its server is away, or
// answers late, is not tested beyond calls whose ctx ends.
func Run(t *testing.T, open func(t *testing.T) (a, b checkpoint.Store)) {
	t.Helper()
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			a, b := open(t)
			if err := r.check(t.Context(), newSuite(a, b)); err != nil {
				t.Error(err)
			}
		})
	}
}

// Reopen checks that a durable store keeps what it acknowledged, and its revisions, when it is opened again. Every call
// of open must open the same storage. Each store is closed before the next one is opened if it is an io.Closer.
func Reopen(t *testing.T, open func(t *testing.T) checkpoint.Store) {
	t.Helper()
	if err := checkReopen(t.Context(), func() checkpoint.Store { return open(t) }); err != nil {
		t.Error(err)
	}
}

// A rule is a property that every store has.
type rule struct {
	name  string
	check func(ctx context.Context, s *suite) error
}

func rules() []rule {
	return []rule{
		{"absent row", absentRow},
		{"put if absent", putIfAbsent},
		{"revisions", revisions},
		{"stale revision", staleRevision},
		{"foreign revision", foreignRevision},
		{"delete and put again", deleteAndPut},
		{"other handle", otherHandle},
		{"values", values},
		{"copies", copies},
		{"keys", keys},
		{"prefixes", prefixes},
		{"5,000 rows", manyRows},
		{"ended ctx", endedContext},
		{"lost reply", lostReply},
		{"race", race},
		{"linearizable", linearizability},
	}
}

// A suite is what a rule works with.
type suite struct {
	a, b     checkpoint.Store
	prefix   string        // of every key, so that storage can be shared
	patience time.Duration // how long a List may be stale
	prompt   time.Duration // how long a call may take whose ctx has ended
	budget   time.Duration // time for the rules that repeat a race
}

func newSuite(a, b checkpoint.Store) *suite {
	return &suite{a, b, "checkpointtest/" + rand.Text() + "/", 10 * time.Second, 2 * time.Second, 3 * time.Second}
}

// handles are both stores, for rules that hold for each.
func (s *suite) handles() []checkpoint.Store { return []checkpoint.Store{s.a, s.b} }

// handle is one of the two, in turn.
func (s *suite) handle(i int) checkpoint.Store { return s.handles()[i%2] }

// put writes a new row.
func (s *suite) put(ctx context.Context, key, value string) (checkpoint.Entry, error) {
	return swap(ctx, s.a, checkpoint.Entry{Key: s.prefix + key, Value: []byte(value)})
}

// swap is a Swap that must succeed, by a caller who keeps to the rules.
func swap(ctx context.Context, st checkpoint.Store, e checkpoint.Entry) (checkpoint.Entry, error) {
	got, err := st.Swap(ctx, e)
	switch {
	case err != nil:
		return got, fmt.Errorf("Swap of %q at its present revision: %w", e.Key, err)
	case got.Key != e.Key || !bytes.Equal(got.Value, e.Value):
		return got, fmt.Errorf("Swap of %q returned another entry: %s", e.Key, show(got))
	case got.Revision == "" || got.Revision == e.Revision:
		return got, fmt.Errorf("Swap of %q at revision %q returned revision %q", e.Key, e.Revision, got.Revision)
	}
	return got, nil
}

// holds checks that Get returns want.
func holds(ctx context.Context, st checkpoint.Store, want checkpoint.Entry) error {
	got, err := st.Get(ctx, want.Key)
	if err != nil {
		return fmt.Errorf("Get of %q: %w", want.Key, err)
	}
	if !same(got, want) {
		return fmt.Errorf("Get of %q returned %s, want %s", want.Key, show(got), show(want))
	}
	return nil
}

// conflicts checks the outcome of a write at a revision that the row is not at, and that it changed nothing.
func conflicts(ctx context.Context, st checkpoint.Store, what string, err error, row checkpoint.Entry) error {
	if !errors.Is(err, checkpoint.ErrConflict) {
		return fmt.Errorf("%s: got error %s, want ErrConflict", what, fmt.Sprint(err)) // it may be nil
	}
	if err := holds(ctx, st, row); err != nil {
		return fmt.Errorf("after %s: %w", what, err)
	}
	return nil
}

func same(a, b checkpoint.Entry) bool {
	return a.Key == b.Key && a.Revision == b.Revision && bytes.Equal(a.Value, b.Value)
}

func show(e checkpoint.Entry) string {
	return fmt.Sprintf("{%q, %d bytes %.40q, revision %q}", e.Key, len(e.Value), e.Value, e.Revision)
}

func checkReopen(ctx context.Context, open func() checkpoint.Store) error {
	var err error
	rows := make([]checkpoint.Entry, 20)
	gone := make([]checkpoint.Entry, 5)
	prefix := newSuite(nil, nil).prefix
	for round := range 5 {
		st := open()
		for i := range rows {
			if rows[i].Key == "" {
				rows[i].Key = fmt.Sprintf("%s%d", prefix, i)
			} else if err := holds(ctx, st, rows[i]); err != nil {
				return fmt.Errorf("opened again: %w", err)
			}
			rows[i].Value = fmt.Appendf(nil, "round %d", round)
			if rows[i], err = swap(ctx, st, rows[i]); err != nil {
				return fmt.Errorf("opened again: %w", err)
			}
		}
		for i := range gone {
			if gone[i].Revision != "" {
				_, err := st.Swap(ctx, gone[i])
				absent := checkpoint.Entry{Key: gone[i].Key}
				if err := conflicts(ctx, st, "opened again: Swap of a deleted row", err, absent); err != nil {
					return err
				}
			}
			gone[i] = checkpoint.Entry{Key: fmt.Sprintf("%sgone%d", prefix, i)}
			if gone[i], err = swap(ctx, st, gone[i]); err == nil {
				err = st.Delete(ctx, gone[i])
			}
			if err != nil {
				return err
			}
		}
		if c, ok := st.(io.Closer); ok {
			if err := c.Close(); err != nil {
				return fmt.Errorf("checkpointtest: Close: %w", err)
			}
		}
	}
	return nil
}
