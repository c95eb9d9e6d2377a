package checkpointtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
)

// lists checks that List returns exactly want, or comes to it: a list may be stale for a while.
func (s *suite) lists(ctx context.Context, st checkpoint.Store, prefix string, want ...checkpoint.Entry) error {
	start := time.Now()
	for {
		entries, err := st.List(ctx, prefix)
		if err != nil {
			return fmt.Errorf("List of %q: %w", prefix, err)
		}
		wrong := differ(entries, want)
		if wrong == nil {
			return nil
		}
		if time.Since(start) >= s.patience {
			return fmt.Errorf("List of %q: %w", prefix, wrong)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(s.patience / 100):
		}
	}
}

// differ says how a list differs from the rows that it should show, in any order.
func differ(entries, want []checkpoint.Entry) error {
	rows := make(map[string]checkpoint.Entry, len(want))
	for _, e := range want {
		rows[e.Key] = e
	}
	for _, e := range entries {
		row, ok := rows[e.Key]
		if !ok {
			return fmt.Errorf("%s is listed twice or does not belong there", show(e))
		}
		if !same(e, row) {
			return fmt.Errorf("%s is listed, want %s", show(e), show(row))
		}
		delete(rows, e.Key)
	}
	if len(rows) > 0 {
		return fmt.Errorf("%d of %d rows are missing", len(rows), len(want))
	}
	return nil
}

// prefixes checks that a prefix is compared byte by byte: it is no folder, no pattern, and has no upper and lower case.
func prefixes(ctx context.Context, s *suite) error {
	var rows []checkpoint.Entry
	for i, key := range []string{
		"a", "a/", "a/1", "a/1/x", "a/1/y", "a/10", "a/10/x", "b/a/1/x", "A/1/x", "a_1/x", "ab1/x", "a%/x", "a*/x", "a?/x", "a[1]/x",
		`a\/x`, "a.1/x", "é/x", "e/x",
	} {
		row, err := s.put(ctx, key, fmt.Sprint(i))
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	for i, prefix := range []string{
		"", "a", "a/", "a/1", "a/1/", "a/1/x", "a/10", "a/10/", "A", "a_", "a_1/", "a%", "a%/", "a*", "a?", "a[1]", "a[", `a\`, "a.", "é", "e", "x", "1",
	} {
		var want []checkpoint.Entry
		for _, row := range rows {
			if strings.HasPrefix(row.Key, s.prefix+prefix) {
				want = append(want, row)
			}
		}
		if err := s.lists(ctx, s.handle(i), s.prefix+prefix, want...); err != nil {
			return err
		}
	}
	return nil
}

// manyRows checks that List returns more rows, and more bytes, than servers put in one page.
func manyRows(ctx context.Context, s *suite) error {
	const n, writers = 5000, 16
	rows := make([]checkpoint.Entry, n)
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := w; i < n && errs[w] == nil; i += writers {
				rows[i] = checkpoint.Entry{Key: fmt.Sprintf("%srow/%d", s.prefix, i), Value: fmt.Appendf(nil, "%0400d", i)}
				rows[i], errs[w] = swap(ctx, s.handle(w), rows[i])
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, st := range s.handles() {
		if err := s.lists(ctx, st, s.prefix+"row/", rows...); err != nil {
			return err
		}
	}
	return nil
}
