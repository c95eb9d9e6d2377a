package checkpointtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/shardlane/shardlane/checkpoint"
)

func absentRow(ctx context.Context, s *suite) error {
	absent := checkpoint.Entry{Key: s.prefix + "absent"}
	for _, st := range s.handles() {
		if err := holds(ctx, st, absent); err != nil {
			return err
		}
		if err := st.Delete(ctx, absent); err != nil {
			return fmt.Errorf("Delete of an absent row at revision \"\": %w", err)
		}
		if err := s.lists(ctx, st, absent.Key); err != nil {
			return err
		}
	}
	return nil
}

func putIfAbsent(ctx context.Context, s *suite) error {
	row, err := s.put(ctx, "row", "first")
	if err != nil {
		return err
	}
	for _, st := range s.handles() {
		_, err = st.Swap(ctx, checkpoint.Entry{Key: row.Key, Value: []byte("second")})
		if err := conflicts(ctx, st, "Swap at revision \"\" of a row that is there", err, row); err != nil {
			return err
		}
		err = st.Delete(ctx, checkpoint.Entry{Key: row.Key})
		if err := conflicts(ctx, st, "Delete at revision \"\" of a row that is there", err, row); err != nil {
			return err
		}
	}
	return nil
}

// revisions checks that every Swap gives a new one, usable at once and through either handle.
func revisions(ctx context.Context, s *suite) error {
	seen := make(map[string]bool)
	row := checkpoint.Entry{Key: s.prefix + "row", Value: []byte("always the same")}
	var err error
	for i := range 100 {
		if row, err = swap(ctx, s.handle(i/2), row); err != nil {
			return err
		}
		if seen[row.Revision] {
			return fmt.Errorf("Swap returned revision %q for the second time", row.Revision)
		}
		seen[row.Revision] = true
		if err := holds(ctx, s.handle(i), row); err != nil {
			return err
		}
	}
	return nil
}

func staleRevision(ctx context.Context, s *suite) error {
	first, err := s.put(ctx, "row", "first")
	if err != nil {
		return err
	}
	second, err := swap(ctx, s.a, checkpoint.Entry{Key: first.Key, Value: []byte("second"), Revision: first.Revision})
	if err != nil {
		return err
	}
	for _, st := range s.handles() {
		_, err = st.Swap(ctx, first)
		if err := conflicts(ctx, st, "Swap at a revision of the past", err, second); err != nil {
			return err
		}
		if err := conflicts(ctx, st, "Delete at a revision of the past", st.Delete(ctx, first), second); err != nil {
			return err
		}
	}
	return nil
}

// foreignRevision tries revisions that this store never gave to the row, in forms that other stores use.
func foreignRevision(ctx context.Context, s *suite) error {
	row, err := s.put(ctx, "row", "value")
	if err != nil {
		return err
	}
	other, err := s.put(ctx, "other", "value")
	if err != nil {
		return err
	}
	absent := checkpoint.Entry{Key: s.prefix + "absent"}
	for i, revision := range []string{
		other.Revision, row.Revision + "0", "0", "-1", "1e99", "null", "*", "%",
		"4QCXLLGTNBTCGN6HIOTKDWCZ6K", "e3b0c442-98fc-1c14-9afb-f4c8996fb924", "' OR '1'='1", "é", strings.Repeat("9", 500),
	} {
		if revision == row.Revision {
			continue // revisions of two rows may be equal
		}
		st := s.handle(i)
		for _, row := range []checkpoint.Entry{row, absent} {
			e := checkpoint.Entry{Key: row.Key, Value: []byte("wrong"), Revision: revision}
			_, err := st.Swap(ctx, e)
			if err := conflicts(ctx, st, fmt.Sprintf("Swap at foreign revision %.40q", revision), err, row); err != nil {
				return err
			}
			err = st.Delete(ctx, e)
			if err := conflicts(ctx, st, fmt.Sprintf("Delete at foreign revision %.40q", revision), err, row); err != nil {
				return err
			}
		}
	}
	return nil
}

// deleteAndPut checks that a row which is put again after Delete has no revision that it had before.
func deleteAndPut(ctx context.Context, s *suite) error {
	var past []checkpoint.Entry
	seen := make(map[string]bool)
	for i := range 50 {
		st := s.handle(i)
		row, err := s.put(ctx, "row", "always the same")
		if err != nil {
			return err
		}
		for range i % 3 { // lives of different lengths
			past, seen[row.Revision] = append(past, row), true
			if row, err = swap(ctx, st, row); err != nil {
				return err
			}
		}
		if seen[row.Revision] {
			return fmt.Errorf("revision %q came back after Delete", row.Revision)
		}
		for _, old := range past[max(0, len(past)-3):] {
			_, err = st.Swap(ctx, old)
			if err := conflicts(ctx, st, "Swap at a revision from before Delete", err, row); err != nil {
				return err
			}
		}
		past, seen[row.Revision] = append(past, row), true
		if err := st.Delete(ctx, row); err != nil {
			return fmt.Errorf("Delete at the present revision: %w", err)
		}
		gone := checkpoint.Entry{Key: row.Key}
		if err := holds(ctx, s.handle(i+1), gone); err != nil {
			return fmt.Errorf("after Delete: %w", err)
		}
		_, err = st.Swap(ctx, row)
		if err := conflicts(ctx, st, "Swap of a deleted row", err, gone); err != nil {
			return err
		}
		if err := conflicts(ctx, st, "second Delete of a row", st.Delete(ctx, row), gone); err != nil {
			return err
		}
	}
	return s.lists(ctx, s.b, s.prefix+"row")
}

// otherHandle checks that a Get sees what was acknowledged before, through the other handle too.
func otherHandle(ctx context.Context, s *suite) error {
	row := checkpoint.Entry{Key: s.prefix + "row"}
	var err error
	for i := range 200 {
		row.Value = fmt.Appendf(nil, "%d", i)
		if row, err = swap(ctx, s.handle(i), row); err != nil {
			return err
		}
		if err := holds(ctx, s.handle(i+1), row); err != nil {
			return fmt.Errorf("through the other handle: %w", err)
		}
	}
	if err := s.a.Delete(ctx, row); err != nil {
		return err
	}
	return holds(ctx, s.b, checkpoint.Entry{Key: row.Key})
}

// values checks that they come back byte for byte.
func values(ctx context.Context, s *suite) error {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	large := make([]byte, checkpoint.MaxValue)
	for i, rnd := 0, rand.New(rand.NewPCG(1, 2)); i < len(large); i++ {
		large[i] = byte(rnd.Uint32())
	}
	var rows []checkpoint.Entry
	for i, v := range [][]byte{
		{},
		{0},
		[]byte(" a\t\r\n\x00"), []byte(`{"k":"\u0000"}`), []byte("\xff\xfe\xc3("), []byte("e\u0301 \u00e9 \ufffd \U0001f600"),
		all, large, make([]byte, checkpoint.MaxValue), []byte("short again"),
	} {
		row, err := swap(ctx, s.handle(i), checkpoint.Entry{Key: fmt.Sprintf("%s%d", s.prefix, i), Value: v})
		if err != nil {
			return err
		}
		if err := holds(ctx, s.handle(i+1), row); err != nil {
			return err
		}
		rows = append(rows, row)
	}
	return s.lists(ctx, s.a, s.prefix, rows...)
}

// copies checks that the store and its caller share no memory.
func copies(ctx context.Context, s *suite) error {
	value := []byte("value")
	want, err := swap(ctx, s.a, checkpoint.Entry{Key: s.prefix + "row", Value: value})
	if err != nil {
		return err
	}
	want.Value = bytes.Clone(value)
	scribble(value)
	if err := holds(ctx, s.a, want); err != nil {
		return fmt.Errorf("after a change of the slice given to Swap: %w", err)
	}
	got, err := s.a.Get(ctx, want.Key)
	if err != nil {
		return err
	}
	scribble(got.Value)
	if err := holds(ctx, s.a, want); err != nil {
		return fmt.Errorf("after a change of the slice that Get returned: %w", err)
	}
	listed, err := s.a.List(ctx, want.Key)
	if err != nil {
		return err
	}
	for i := range listed {
		scribble(listed[i].Value)
	}
	if err := holds(ctx, s.a, want); err != nil {
		return fmt.Errorf("after a change of the slice that List returned: %w", err)
	}
	return nil
}

func scribble(value []byte) {
	for i := range value {
		value[i] ^= 0xff
	}
}

// keys checks that keys which differ in any byte are different rows.
func keys(ctx context.Context, s *suite) error {
	var rows []checkpoint.Entry
	for i, key := range []string{
		"k", "K", "k ", " k", "k/", "k//", "k/../k", "k%", "k_", "k*", "k?", "k#", "k+", "k%20", `k\`, `k"`, "k'", "k;--", "k:{x}",
		"é", "e\u0301", "É", "ß", "ss", "日本", strings.Repeat("long/", 100), strings.Repeat("long/", 100) + "x",
	} {
		row, err := s.put(ctx, "keys/"+key, fmt.Sprint(i))
		if err != nil {
			return fmt.Errorf("put if absent: %w", err)
		}
		rows = append(rows, row)
	}
	for _, row := range rows {
		if err := holds(ctx, s.b, row); err != nil {
			return err
		}
	}
	return s.lists(ctx, s.b, s.prefix, rows...)
}

// endedContext checks that a ctx which has ended is an error, at once, and never taken for a conflict.
func endedContext(ctx context.Context, s *suite) error {
	row, err := s.put(ctx, "row", "value")
	if err != nil {
		return err
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for _, st := range s.handles() {
		for _, call := range []struct {
			name string
			do   func() error
		}{
			{"List", func() error { _, err := st.List(ended, s.prefix); return err }},
			{"Get", func() error { _, err := st.Get(ended, row.Key); return err }},
			{"Swap", func() error { _, err := st.Swap(ended, row); return err }},
			{"Swap of an absent row", func() error { _, err := st.Swap(ended, checkpoint.Entry{Key: s.prefix + "absent"}); return err }},
			{"Delete", func() error { return st.Delete(ended, row) }},
		} {
			returned, err := within(s.prompt, call.do)
			switch {
			case !returned:
				return fmt.Errorf("%s with a ctx that has ended: no return after %v", call.name, s.prompt)
			case err == nil:
				return fmt.Errorf("%s with a ctx that has ended: no error", call.name)
			case errors.Is(err, checkpoint.ErrConflict):
				return fmt.Errorf("%s with a ctx that has ended: %w, but the revision is the present one", call.name, err)
			}
		}
	}
	return nil
}
