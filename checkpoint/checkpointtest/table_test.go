package checkpointtest

import (
	"bytes"
	"context"
	"strings"
	"sync"

	"github.com/shardlane/shardlane/checkpoint"
)

// A table is a store written once more, to be broken: it has an opinion on how revisions are made and keys compared.
type table struct {
	next func(t *table, e checkpoint.Entry) string // nil: one counter for all rows
	fold func(key string) string                   // nil: the key itself

	mu    sync.Mutex
	count int
	rows  map[string]checkpoint.Entry
}

func (t *table) key(key string) string {
	if t.fold != nil {
		key = t.fold(key)
	}
	return key
}

func (t *table) Get(ctx context.Context, key string) (checkpoint.Entry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.rows[t.key(key)]
	if !ok {
		e.Key = key
	}
	e.Value = bytes.Clone(e.Value)
	return e, ctx.Err()
}

func (t *table) List(ctx context.Context, prefix string) (found []checkpoint.Entry, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, e := range t.rows {
		if strings.HasPrefix(key, t.key(prefix)) {
			e.Value = bytes.Clone(e.Value)
			found = append(found, e)
		}
	}
	return found, ctx.Err()
}

func (t *table) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return e, err
	}
	key := t.key(e.Key)
	if t.rows[key].Revision != e.Revision {
		return e, checkpoint.ErrConflict
	}
	if t.rows == nil {
		t.rows = make(map[string]checkpoint.Entry)
	}
	t.count++
	if t.next == nil {
		e.Revision = number(t.count)
	} else {
		e.Revision = t.next(t, e)
	}
	kept := e
	kept.Value = bytes.Clone(e.Value)
	t.rows[key] = kept
	return e, nil
}

func (t *table) Delete(ctx context.Context, e checkpoint.Entry) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if t.rows[t.key(e.Key)].Revision != e.Revision {
		return checkpoint.ErrConflict
	}
	delete(t.rows, t.key(e.Key))
	return nil
}

// An altered store does some things differently from the one inside.
type altered struct {
	checkpoint.Store
	list   func(context.Context, string) ([]checkpoint.Entry, error)
	get    func(context.Context, string) (checkpoint.Entry, error)
	swap   func(context.Context, checkpoint.Entry) (checkpoint.Entry, error)
	delete func(context.Context, checkpoint.Entry) error
}

func (a altered) List(ctx context.Context, prefix string) ([]checkpoint.Entry, error) {
	if a.list != nil {
		return a.list(ctx, prefix)
	}
	return a.Store.List(ctx, prefix)
}

func (a altered) Get(ctx context.Context, key string) (checkpoint.Entry, error) {
	if a.get != nil {
		return a.get(ctx, key)
	}
	return a.Store.Get(ctx, key)
}

func (a altered) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	if a.swap != nil {
		return a.swap(ctx, e)
	}
	return a.Store.Swap(ctx, e)
}

func (a altered) Delete(ctx context.Context, e checkpoint.Entry) error {
	if a.delete != nil {
		return a.delete(ctx, e)
	}
	return a.Store.Delete(ctx, e)
}
