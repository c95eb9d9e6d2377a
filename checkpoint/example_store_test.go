package checkpoint_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/shardlane/shardlane/checkpoint"
)

// A Table is a Store over a database, which is a map here. What a real one does is in the comments, as SQL.
type Table struct {
	mu   sync.Mutex
	rows map[string]checkpoint.Entry
}

// List is SELECT key, value, revision FROM rows WHERE starts_with(key, $prefix): every page of it, or an error.
func (t *Table) List(ctx context.Context, prefix string) ([]checkpoint.Entry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []checkpoint.Entry
	for key, e := range t.rows {
		if strings.HasPrefix(key, prefix) {
			e.Value = append([]byte(nil), e.Value...) // the caller may change it
			all = append(all, e)
		}
	}
	return all, ctx.Err()
}

// Get is SELECT value, revision FROM rows WHERE key = $key, from the primary, never from a replica.
func (t *Table) Get(ctx context.Context, key string) (checkpoint.Entry, error) {
	all, err := t.List(ctx, key)
	for _, e := range all {
		if e.Key == key {
			return e, err
		}
	}
	return checkpoint.Entry{Key: key}, err // no row is no error
}

// Swap is INSERT … ON CONFLICT DO NOTHING where e.Revision is "", else UPDATE rows SET value = $value, revision = $new
// WHERE key = $key AND revision = $revision. Where that changes no row, the answer is ErrConflict. Any other error of the
// driver is returned as it is: the write may be there. It is not tried again here.
func (t *Table) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	next := checkpoint.Entry{Key: e.Key, Value: append([]byte(nil), e.Value...), Revision: rand.Text()} // never used twice
	if err := t.change(ctx, e, func() { t.rows[e.Key] = next }); err != nil {
		return e, err
	}
	e.Revision = next.Revision
	return e, nil
}

// Delete is DELETE FROM rows WHERE key = $key AND revision = $revision.
func (t *Table) Delete(ctx context.Context, e checkpoint.Entry) error {
	return t.change(ctx, e, func() { delete(t.rows, e.Key) })
}

func (t *Table) change(ctx context.Context, e checkpoint.Entry, apply func()) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", checkpoint.ErrNotApplied, err) // nothing was sent, for certain
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rows[e.Key].Revision != e.Revision {
		return checkpoint.ErrConflict
	}
	if t.rows == nil {
		t.rows = make(map[string]checkpoint.Entry)
	}
	apply()
	return nil
}

// A Store of one's own has four methods. Package checkpointtest holds it to their rules.
func Example_ownStore() {
	ctx := context.Background()
	var store checkpoint.Store = new(Table)
	seen, err := store.Swap(ctx, checkpoint.Entry{Key: "billing/lease", Value: []byte("worker one")})
	if err != nil {
		panic(err)
	}
	if _, err := store.Swap(ctx, seen); err != nil { // somebody is faster
		panic(err)
	}
	_, err = store.Swap(ctx, seen)
	fmt.Println(errors.Is(err, checkpoint.ErrConflict), err)
	rows, err := store.List(ctx, "billing/")
	fmt.Printf("%d row, %s, %v\n", len(rows), rows[0].Value, err)

	// Output:
	// true checkpoint: entry changed since it was read
	// 1 row, worker one, <nil>
}
