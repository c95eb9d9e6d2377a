package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

var errFull = errors.New("no space left on device")

var simPath = filepath.Join("folder", "store")

// A history knows what the caller of a File was told.
type history struct {
	acked   map[string]Entry
	unknown map[string][]Entry // what may be there instead, until another write is acknowledged
	n       int
}

func newHistory() *history { return &history{acked: map[string]Entry{}, unknown: map[string][]Entry{}} }

// swap writes a new value, or deletes the row, and takes down what the File says of it.
func (h *history) swap(f *File, key string, remove bool) error {
	h.n++
	next := Entry{Key: key, Value: fmt.Appendf(nil, "value %d\n\x00%s", h.n, key), Revision: h.acked[key].Revision}
	// While the call is under way, a power cut may leave the write or not.
	before := h.unknown[key]
	maybe := Entry{Key: key, Value: next.Value}
	if remove {
		maybe.Value = nil
	}
	h.unknown[key] = append(slices.Clip(before), maybe)
	var err error
	if remove {
		err = f.Delete(context.Background(), next)
		next = Entry{Key: key}
	} else {
		next, err = f.Swap(context.Background(), next)
	}
	switch {
	case err == nil:
		h.acked[key] = next
		clear(h.unknown)
	case errors.Is(err, ErrNotApplied):
		h.unknown[key] = before
	}
	return err
}

// script is a life of a File in which the log is written anew several times.
func (h *history) script(f *File) (errs []error) {
	for i := range 24 {
		errs = append(errs, h.swap(f, string(rune('a'+i%3)), i%7 == 6 && i%3 != 0))
	}
	return append(errs, h.swap(f, "a", true), h.swap(f, "b", true), h.swap(f, "a", false))
}

// check holds what a File shows against what was acknowledged.
func (h *history) check(f *File, unknown bool) error {
	for _, key := range []string{"a", "b", "c"} {
		want := h.acked[key]
		got, err := f.Get(context.Background(), key)
		if err != nil {
			return err
		}
		if got.Revision == want.Revision && string(got.Value) == string(want.Value) {
			continue
		}
		if unknown && slices.ContainsFunc(h.unknown[key], func(maybe Entry) bool {
			return string(got.Value) == string(maybe.Value) && (got.Revision == "") == (maybe.Value == nil)
		}) {
			continue
		}
		return fmt.Errorf("row %s is %q, acknowledged %q, maybe %q", key, got, want, h.unknown[key])
	}
	return nil
}

// checkCrashes cuts the power at this moment, in every way, and opens the store again; also after a second power cut
// while it is opened, at every step of that.
func (h *history) checkCrashes(d *simDisk, seen map[string]bool, again bool) error {
	for _, after := range d.crashes() {
		state := fmt.Sprint(after, h.acked, h.unknown, again)
		if seen[state] {
			continue
		}
		seen[state] = true
		before := after.String()
		if again {
			after.before = func(d *simDisk, _ string) error { return h.checkCrashes(d, seen, false) }
		}
		f, err := openFile(after, simPath, 100)
		if err == nil {
			after.before = nil
			err = errors.Join(h.check(f, true), h.write(f))
		}
		if err != nil {
			return fmt.Errorf("after a power cut that left\n%s%w", before, err)
		}
	}
	return nil
}

// write checks that a File can be written.
func (h *history) write(f *File) error {
	_, err := f.Swap(context.Background(), Entry{Key: "other", Value: []byte("value")})
	return err
}

// TestFilePowerCut cuts the power at every step.
func TestFilePowerCut(t *testing.T) {
	h, d, seen := newHistory(), newSimDisk(), map[string]bool{}
	var steps []string
	d.before = func(d *simDisk, step string) error {
		if err := h.checkCrashes(d, seen, true); err != nil {
			t.Fatalf("before step %d, %s: %v", d.steps, step, err)
		}
		steps = append(steps, step)
		return nil
	}
	f, err := openFile(d, simPath, 100)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(h.script(f)...); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if n := count(steps, "rename"); n < 4 {
		t.Errorf("the log was written anew %d times only", n)
	}
	t.Logf("%d steps, %d disks", len(steps), len(seen))
}

// TestFileFault lets every step fail once, and cuts the power at every step that follows.
func TestFileFault(t *testing.T) {
	seen := map[string]bool{}
	for fault := 1; ; fault++ {
		h, d := newHistory(), newSimDisk()
		name := ""
		d.before = func(d *simDisk, step string) error {
			if d.steps == fault {
				name = step
				return syscall.EIO
			}
			if d.steps < fault {
				return nil
			}
			return h.checkCrashes(d, seen, false)
		}
		f, err := openFile(d, simPath, 100)
		if err != nil {
			if !errors.Is(err, syscall.EIO) {
				t.Fatalf("step %d, %s, failed: open: %v", fault, name, err)
			}
			continue
		}
		failed := slices.DeleteFunc(h.script(f), func(err error) bool { return err == nil })
		for _, err := range failed {
			if len(failed) > 1 || !errors.Is(err, syscall.EIO) || errors.Is(err, ErrConflict) {
				t.Fatalf("step %d, %s, failed: %v", fault, name, failed)
			}
		}
		if err := h.check(f, false); err != nil {
			t.Fatalf("step %d, %s, failed: %v", fault, name, err)
		}
		if name == "" {
			t.Logf("%d faults, %d disks", fault-1, len(seen))
			return
		}
	}
}

// TestFileFullDisk fills the disk at every step, for good, and makes room again at the end.
func TestFileFullDisk(t *testing.T) {
	for _, full := range [][]string{{"write", "create"}, {"sync"}, {"write", "truncate", "sync", "rename", "syncDir"}} {
		for from := 1; ; from++ {
			h, d, seen := newHistory(), newSimDisk(), map[string]bool{}
			failures := 0
			d.before = func(d *simDisk, step string) error {
				if d.steps < from || !slices.Contains(full, step) {
					return nil
				}
				if failures++; failures < 3 { // the later ones are alike
					if err := h.checkCrashes(d, seen, false); err != nil {
						t.Fatalf("%v fail from step %d: %v", full, from, err)
					}
				}
				return errFull
			}
			f, err := openFile(d, simPath, 100)
			if err != nil {
				if !errors.Is(err, errFull) {
					t.Fatal(err)
				}
				continue
			}
			ok := true
			for i, err := range h.script(f) {
				ok = ok && err == nil
				if err != nil && (!errors.Is(err, errFull) || errors.Is(err, ErrConflict)) {
					t.Fatalf("%v fail from step %d: write %d: %v", full, from, i, err)
				}
			}
			if err := h.check(f, false); err != nil {
				t.Fatalf("%v fail from step %d: %v", full, from, err)
			}
			d.before = nil
			if err := errors.Join(h.script(f)...); err != nil {
				t.Fatalf("%v fail from step %d, then room: %v", full, from, err)
			}
			if err := h.checkCrashes(d, seen, false); err != nil {
				t.Fatalf("%v fail from step %d, then room: %v", full, from, err)
			}
			if ok {
				break
			}
		}
	}
}

// TestFileFaultKilled lets a step fail, at which the process is killed. The system lives on, with what it holds in its
// cache, so that the next process reads what was never made durable. That one is killed so, too; the third one writes,
// with a power cut at every step.
func TestFileFaultKilled(t *testing.T) {
	seen := map[string]bool{}
	for _, step := range []string{"sync", "write", "rename", "syncDir", "truncate"} {
		failures := 0
		for first := 0; ; first++ {
			more := false
			for second := range 2 {
				h, d := newHistory(), newSimDisk()
				one := h.life(t, d, step, first)
				h.life(t, d, step, second)
				if more = one; !one {
					break
				}
				failures++
				d.before = func(d *simDisk, _ string) error { return h.checkCrashes(d, seen, false) }
				f := h.reopen(t, d)
				for range 3 {
					if err := h.swap(f, "b", false); err != nil {
						t.Fatalf("%s fails after %d and %d, then: %v", step, first, second, err)
					}
				}
			}
			if !more {
				break
			}
		}
		if failures == 0 && step != "truncate" {
			t.Errorf("no %s failed", step)
		}
	}
	t.Logf("%d disks", len(seen))
}

// life opens the store and writes until the named step fails after n of them, and reports whether it has. Then the
// process is dead.
func (h *history) life(t *testing.T, d *simDisk, name string, n int) (failed bool) {
	d.before = func(_ *simDisk, step string) error {
		if step == name {
			if n--; n < 0 {
				failed = true
			}
		}
		if failed {
			return syscall.EIO
		}
		return nil
	}
	defer func() { d.before = nil }()
	f, err := h.open(d)
	if err != nil {
		return failed
	}
	for i := 0; i < 14 && !failed; i++ {
		if err := h.swap(f, string(rune('a'+i%3)), i%7 == 6 && i%3 != 0); err != nil && !failed {
			t.Fatal(err)
		}
	}
	return failed
}

// open opens a store whose last process is dead, and takes what it shows for granted, as a program does.
func (h *history) open(d *simDisk) (*File, error) {
	for _, f := range d.names {
		f.locked = false
	}
	f, err := openFile(d, simPath, 100)
	if err != nil {
		return nil, err
	}
	if err := h.check(f, true); err != nil {
		return nil, err
	}
	for _, key := range []string{"a", "b", "c"} {
		if got, _ := f.Get(context.Background(), key); got.Revision != h.acked[key].Revision {
			h.unknown[key] = append(h.unknown[key], Entry{Key: key, Value: h.acked[key].Value})
			h.acked[key] = got
		}
	}
	return f, nil
}

func (h *history) reopen(t *testing.T, d *simDisk) *File {
	t.Helper()
	f, err := h.open(d)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestFileOpensOnFullDisk opens stores, of which some are due to be written anew, while the disk takes nothing at all.
func TestFileOpensOnFullDisk(t *testing.T) {
	for writes := 1; writes < 40; writes++ {
		h, d := newHistory(), newSimDisk()
		f := h.reopen(t, d)
		f.slack = 1 << 20 // it grows; the next process is stricter
		for i := range writes {
			if err := h.swap(f, string(rune('a'+i%3)), false); err != nil {
				t.Fatal(err)
			}
		}
		full := true
		d.before = func(_ *simDisk, step string) error {
			if full && slices.Contains([]string{"create", "write", "truncate", "sync", "rename", "syncDir"}, step) {
				return errFull
			}
			return nil
		}
		f = h.reopen(t, d)
		if err := errors.Join(h.check(f, false), h.checkCrashes(d, map[string]bool{}, false)); err != nil {
			t.Fatal(err)
		}
		if err := h.swap(f, "a", false); !errors.Is(err, errFull) {
			t.Fatalf("a write: %v", err)
		}
		full = false
		if err := errors.Join(h.swap(f, "a", false), h.check(f, false), h.checkCrashes(d, map[string]bool{}, false)); err != nil {
			t.Fatalf("after %d writes, then room: %v", writes, err)
		}
	}
}

// TestFileWritesAnewSeldom lets a disk take lines and no new log: that is tried again when the log has doubled, not at each
// write. Once there is room, the log is small again, and stays so.
func TestFileWritesAnewSeldom(t *testing.T) {
	h, d := newHistory(), newSimDisk()
	f := h.reopen(t, d)
	tries, full := 0, true
	d.before = func(_ *simDisk, step string) error {
		if step == "create" {
			if tries++; full {
				return errFull
			}
		}
		return nil
	}
	largest := int64(0)
	write := func() {
		if err := h.swap(f, "a", false); err != nil {
			t.Fatal(err)
		}
		largest = max(largest, f.size)
	}
	for range 300 {
		write()
	}
	if tries == 0 || tries > 10 {
		t.Errorf("a new log was tried %d times in 300 writes", tries)
	}
	full = false
	for before := f.size; f.size >= before; {
		if write(); f.size > 3*before {
			t.Fatalf("%d bytes, and no new log", f.size)
		}
	}
	largest = 0
	for range 300 {
		write()
	}
	if limit := 5*f.live + f.slack; largest > limit {
		t.Errorf("the log grew to %d bytes, want %d", largest, limit)
	}
}

func count(list []string, s string) (n int) {
	for _, e := range list {
		if e == s {
			n++
		}
	}
	return n
}
