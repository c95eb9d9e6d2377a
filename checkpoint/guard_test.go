package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// other opens the store on the same disk as another process, which has found no lock, does something with it, and ends.
func other(t *testing.T, d *simDisk, do func(f *File)) {
	t.Helper()
	before := d.before
	d.before = nil
	defer func() { d.before = before }()
	f, err := openFile(d, simPath, 100)
	if err != nil {
		t.Fatal(err)
	}
	do(f)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, f *File, key string) {
	t.Helper()
	e, err := f.Get(context.Background(), key)
	if err == nil {
		e.Value = []byte("of another process")
		_, err = f.Swap(context.Background(), e)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// meddling is what somebody may do to the files of a File that is open.
func meddling(t *testing.T) map[string]func(d *simDisk) {
	lockName := simPath + lockSuffix
	use := func(do func(f *File)) func(d *simDisk) {
		return func(d *simDisk) {
			delete(d.names, lockName)
			other(t, d, do)
		}
	}
	return map[string]func(d *simDisk){
		"store removed":           func(d *simDisk) { delete(d.names, simPath) },
		"store emptied":           func(d *simDisk) { d.names[simPath].write(0, nil, true) },
		"store cut":               func(d *simDisk) { d.names[simPath].write(int64(len(d.names[simPath].data)-3), nil, true) },
		"store grown":             func(d *simDisk) { d.names[simPath].write(int64(len(d.names[simPath].data)), []byte("more\n"), false) },
		"lock removed":            func(d *simDisk) { delete(d.names, lockName) },
		"lock replaced":           func(d *simDisk) { d.names[lockName] = &simFile{data: []byte("garbage")} },
		"both removed":            func(d *simDisk) { delete(d.names, lockName); delete(d.names, simPath) },
		"store and new log there": func(d *simDisk) { delete(d.names, simPath); d.names[simPath+newSuffix] = &simFile{data: []byte("x")} },
		"opened by another":       use(func(*File) {}),
		"written by another":      use(func(f *File) { put(t, f, "a") }),
		"written anew by another": use(func(f *File) {
			for range 30 {
				put(t, f, "a")
			}
		}),
		"store replaced": func(d *simDisk) {
			d.names[simPath] = &simFile{data: slices.Clone(d.names[simPath].data)}
		},
		"locked by another": func(d *simDisk) {
			delete(d.names, lockName)
			before := d.before
			d.before = nil
			if _, err := openFile(d, simPath, 100); err != nil {
				t.Fatal(err)
			}
			d.before = before
		},
	}
}

// TestFileMeddledWith does it before a write, and at every step of one. It is told. No write is acknowledged that is not in
// the file of that name afterwards; what can be mended costs a write or two; what is somebody else's is left alone.
func TestFileMeddledWith(t *testing.T) {
	foreign := []string{"written by another", "written anew by another", "store replaced", "locked by another"}
	inPlace := []string{"store emptied", "store cut", "store grown"}
	for what, meddle := range meddling(t) {
		for at := 0; ; at++ {
			h, d := newHistory(), newSimDisk()
			f := h.reopen(t, d)
			for _, key := range []string{"a", "b", "a", "a"} {
				if err := h.swap(f, key, false); err != nil {
					t.Fatal(err)
				}
			}
			steps, step := 0, ""
			d.before = func(d *simDisk, name string) error {
				if steps++; steps == at+1 {
					step = name
					meddle(d)
				}
				return nil
			}
			first := h.swap(f, "c", false)
			if step == "" {
				if at < 6 {
					t.Errorf("a write has %d steps", at)
				}
				break
			}
			if at > 0 && at < 3 && slices.Contains(inPlace, what) {
				continue // between the look and the write, nobody could tell
			}
			found := content(d)
			second := h.swap(f, "b", false)
			third := h.swap(f, "c", false)
			name := fmt.Sprintf("%s before step %d, %s", what, at, step)
			told := 0
			for _, err := range []error{first, second, third} {
				if errors.Is(err, ErrReplaced) {
					told++
				} else if err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			if told == 0 {
				t.Errorf("%s: it is not told", name)
			}
			if slices.Contains(foreign, what) {
				if second == nil || third == nil || content(d) != found || what == "locked by another" != errors.Is(third, ErrLocked) {
					t.Errorf("%s: %v, then %v", name, second, third)
				}
				continue
			}
			if third != nil {
				t.Errorf("%s: %v, then %v, then %v", name, first, second, third)
			}
			if err := errors.Join(h.check(f, false), f.Close(), h.check(h.reopen(t, d), true)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func content(d *simDisk) string {
	if f := d.names[simPath]; f != nil {
		return string(f.data)
	}
	return ""
}

// TestFileRemovedBeforeClose checks that Close puts a store back.
func TestFileRemovedBeforeClose(t *testing.T) {
	h, d := newHistory(), newSimDisk()
	f := h.reopen(t, d)
	if err := h.swap(f, "a", false); err != nil {
		t.Fatal(err)
	}
	delete(d.names, simPath)
	if err := f.Close(); !errors.Is(err, ErrReplaced) || !strings.Contains(err.Error(), "nothing is lost") {
		t.Errorf("Close: %v", err)
	}
	if err := h.check(h.reopen(t, d), false); err != nil {
		t.Error(err)
	}
}
