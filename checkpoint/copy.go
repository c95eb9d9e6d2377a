package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"
)

// term is how long package consumer waits for a sign of life before it takes a worker for dead.
const term = 10 * time.Second

// Copy copies the rows of a group, how far each shard was read and where each stream began, from src to dst, and returns
// how many it has written. Stop the workers of the group first; start them again on dst. The rows in src stay: a worker that
// is started there by mistake repeats what the others do.
//
// Copy fails with [ErrInUse] if a worker of the group shows up in src or dst. Where rows tell of workers, running or
// not, it watches them for 10 seconds. In a store that is Exclusive nobody else can work, and Copy does not look: do not
// call it while a consumer of this process uses src or dst.
//
// It fails with [ErrOccupied], before it has written anything, if dst has a row of the group that src has not, or has with
// another value. Rows that are alike stay as they are. So a Copy that was interrupted or has failed can be repeated as long
// as nobody has worked in either store, and goes on where it ended.
//
// Rows of streams are written first. A worker that starts on half a copy finds the position where reading once began,
// reads from there the shards whose rows are missing, and repeats records; without the row of the stream it
// would begin at its own starting position, and might skip some.
//
// Values are copied byte for byte. What tells of workers is not copied, so a shard whose row names an owner, because its
// worker was killed, is read once dst has not seen that worker for 10 seconds; at once if dst is Exclusive.
//
// Copy handles one row at a time, with three calls for each.
func Copy(ctx context.Context, dst, src Store, group string) (int, error) {
	prefix := url.PathEscape(group) + "/" // as package consumer does
	watches := []*watch{{name: "source", store: src}, {name: "destination", store: dst}}
	look := func() error {
		for _, w := range watches {
			if err := w.look(ctx, prefix+"member/"); err != nil {
				return err
			}
		}
		return nil
	}
	if err := look(); err != nil {
		return 0, err
	}
	if slices.ContainsFunc(watches, (*watch).members) {
		if err := sleep(ctx, term); err != nil {
			return 0, fmt.Errorf("checkpoint: copy: %w", err)
		}
		if err := look(); err != nil {
			return 0, err
		}
	}
	rows, err := toCopy(ctx, dst, src, prefix)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, row := range rows {
		written, err := putCopy(ctx, dst, row)
		if err != nil {
			return n, err
		}
		if written {
			n++
		}
	}
	return n, look() // whoever came meanwhile may have changed rows, or have read half of them
}

// A watch looks for signs of life in the rows of workers.
type watch struct {
	name  string
	store Store
	seen  map[string]string // revisions by key; nil before the first look
}

// members reports whether there are rows of workers.
func (w *watch) members() bool {
	for _, revision := range w.seen {
		if revision != "" {
			return true
		}
	}
	return false
}

// look notes the rows of workers. If one is not as it was at the first look, its error wraps ErrInUse.
func (w *watch) look(ctx context.Context, prefix string) error {
	if x, ok := w.store.(interface{ Exclusive() bool }); ok && x.Exclusive() {
		return nil
	}
	list, err := w.store.List(ctx, prefix)
	if err != nil {
		return fmt.Errorf("checkpoint: copy: list workers in the %s: %w", w.name, err)
	}
	now := maps.Clone(w.seen)
	if now == nil {
		now = make(map[string]string)
	}
	for _, e := range list {
		if _, ok := now[e.Key]; !ok {
			now[e.Key] = ""
		}
	}
	for _, key := range slices.Sorted(maps.Keys(now)) { // a list may be stale
		e, err := w.store.Get(ctx, key)
		if err != nil {
			return fmt.Errorf("checkpoint: copy: read a worker in the %s: %w", w.name, err)
		}
		if w.seen != nil && e.Revision != w.seen[key] {
			return fmt.Errorf("%w: worker %s in the %s: stop it, and copy again", ErrInUse, key, w.name)
		}
		now[key] = e.Revision
	}
	w.seen = now
	return nil
}

// toCopy returns the rows of the group that dst does not have, in the order in which to write them.
func toCopy(ctx context.Context, dst, src Store, prefix string) (rows []Entry, err error) {
	for _, room := range []string{prefix + "stream/", prefix + "lease/"} {
		from, err := readRows(ctx, src, room)
		if err != nil {
			return nil, fmt.Errorf("checkpoint: copy: read the source: %w", err)
		}
		to, err := readRows(ctx, dst, room, slices.Collect(maps.Keys(from))...)
		if err != nil {
			return nil, fmt.Errorf("checkpoint: copy: read the destination: %w", err)
		}
		for _, key := range slices.Sorted(maps.Keys(to)) {
			if e, ok := from[key]; !ok || !bytes.Equal(e.Value, to[key].Value) {
				return nil, occupied(key)
			}
		}
		for _, key := range slices.Sorted(maps.Keys(from)) {
			if _, ok := to[key]; !ok {
				rows = append(rows, from[key])
			}
		}
	}
	return rows, nil
}

// readRows reads the rows that are listed, and those of keys, as they are now.
func readRows(ctx context.Context, st Store, prefix string, keys ...string) (map[string]Entry, error) {
	list, err := st.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		keys = append(keys, e.Key)
	}
	rows := make(map[string]Entry)
	for _, key := range keys {
		if _, ok := rows[key]; ok {
			continue
		}
		e, err := st.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		if e.Revision != "" {
			rows[key] = e
		}
	}
	return rows, nil
}

// putCopy puts a row that dst did not have, and reports whether it has. An error of the Swap may have come after the
// write.
func putCopy(ctx context.Context, dst Store, row Entry) (written bool, err error) {
	_, err = dst.Swap(ctx, Entry{Key: row.Key, Value: row.Value})
	if err == nil {
		return true, nil
	}
	now, errGet := dst.Get(ctx, row.Key)
	switch {
	case errGet == nil && now.Revision != "" && !bytes.Equal(now.Value, row.Value):
		return false, occupied(row.Key)
	case errGet == nil && now.Revision != "":
		return !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotApplied), nil
	}
	return false, fmt.Errorf("checkpoint: copy: write %s: %w", row.Key, err)
}

func occupied(key string) error {
	return fmt.Errorf("%w: %s: remove the group's rows there, or copy to another place", ErrOccupied, key)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
