package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

func TestOpenFileErrors(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("notes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var none *fs.PathError
	for _, test := range []struct {
		path, text string
		is         error
	}{
		{filepath.Join(dir, "absent", "store"), filepath.Join(dir, "absent"), fs.ErrNotExist},
		{dir, "is a directory", syscall.EISDIR},
		{"", "is a directory", syscall.EISDIR},
		{filepath.Join(plain, "store"), plain, syscall.ENOTDIR},
		{os.DevNull, "not a regular file", nil},
		{plain, plain + ": line 1: ", ErrCorrupt},
	} {
		_, err := OpenFile(test.path)
		if err == nil || test.is != nil && !errors.Is(err, test.is) || !errors.Is(test.is, ErrCorrupt) && !errors.As(err, &none) {
			t.Errorf("%q: got %v, want %v", test.path, err, test.is)
			continue
		}
		if !strings.HasPrefix(err.Error(), "checkpoint: ") || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%q: no %q in %v", test.path, test.text, err)
		}
	}
	if text, err := os.ReadFile(plain); err != nil || string(text) != "notes\n" {
		t.Errorf("a file that was refused now holds %q, %v", text, err)
	}
}

func TestFileLocked(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "store"), filepath.Join(dir, "link")
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !f.Exclusive() {
		t.Error("not exclusive")
	}
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, link, dir + "/./store"} {
		if _, err := OpenFile(name); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), path) {
			t.Errorf("second open as %s: got %v", name, err)
		}
	}
	if _, err := f.Swap(t.Context(), Entry{Key: "k"}); err != nil {
		t.Errorf("after a second open: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if f, err = OpenFile(link); err != nil {
		t.Fatal(err)
	}
	if e, err := f.Get(t.Context(), "k"); err != nil || e.Revision == "" {
		t.Errorf("by the other name: %v, %v", e, err)
	}
	f.Close()
}

func TestFileClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	_, errList := f.List(t.Context(), "")
	_, errGet := f.Get(t.Context(), "k")
	_, errSwap := f.Swap(t.Context(), Entry{Key: "k"})
	for _, err := range []error{errList, errGet, errSwap, f.Delete(t.Context(), Entry{Key: "k"})} {
		if !errors.Is(err, fs.ErrClosed) || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v", err)
		}
	}
	if !errors.Is(errSwap, ErrNotApplied) {
		t.Errorf("got %v", errSwap)
	}
}

// TestFileCompacts checks the bound on the log, and that it does not creep up.
func TestFileCompacts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows := make([]Entry, 3)
	largest, shrunk, last := int64(0), 0, int64(0)
	for i := range 150 {
		e := &rows[i%len(rows)]
		e.Key, e.Value = fmt.Sprint(i%len(rows)), []byte(strings.Repeat("v", 40_000))
		if *e, err = f.Swap(t.Context(), *e); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		largest = max(largest, info.Size())
		if info.Size() < last {
			shrunk++
		}
		last = info.Size()
	}
	if live := int64(len(rows) * 40_100); largest > 4*live+compactSlack+40_100 || largest < compactSlack {
		t.Errorf("the log grew to %d bytes for %d bytes of rows", largest, live)
	}
	if shrunk < 3 {
		t.Errorf("6 MB were written, and the log shrank %d times", shrunk)
	}
	if _, err := os.Stat(path + ".new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the new log stayed behind: %v", err)
	}
}

// A gate holds a simDisk up in its syncs.
func gate(d *simDisk) (release chan struct{}) {
	release = make(chan struct{})
	d.before = func(_ *simDisk, step string) error {
		if step == "sync" {
			<-release
		}
		return nil
	}
	return release
}

// TestFileShares checks that writes which come during an fsync share the next one, and what each is told.
func TestFileShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newSimDisk()
		f, err := openFile(d, simPath, 1000)
		if err != nil {
			t.Fatal(err)
		}
		release := gate(d)
		results := make(map[string]chan error)
		swap := func(name, key, value string) {
			done := make(chan error, 1)
			results[name] = done
			go func() {
				_, err := f.Swap(t.Context(), Entry{Key: key, Value: []byte(value)})
				done <- err
			}()
			synctest.Wait()
		}
		swap("first", "a", "1")
		swap("second", "b", "1")
		swap("third", "c", "1")
		swap("rival of second", "b", "2")
		if e, err := f.Get(t.Context(), "a"); err != nil || e.Revision != "" {
			t.Errorf("a write is seen before it is durable: %v, %v", e, err)
		}
		release <- struct{}{}
		synctest.Wait()
		if err := <-results["first"]; err != nil {
			t.Error(err)
		}
		for _, name := range []string{"second", "third", "rival of second"} {
			if len(results[name]) != 0 {
				t.Errorf("%s returned before it was durable", name)
			}
		}
		release <- struct{}{}
		for name, want := range map[string]error{"second": nil, "third": nil, "rival of second": ErrConflict} {
			if err := <-results[name]; !errors.Is(err, want) {
				t.Errorf("%s: got %v, want %v", name, err, want)
			}
		}
		select {
		case release <- struct{}{}:
			t.Error("the second fsync was not for all")
		default:
		}
	})
}

// TestFileGivesUp ends the ctx of a write that waits, and of one that is under way.
func TestFileGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newSimDisk()
		f, err := openFile(d, simPath, 1000)
		if err != nil {
			t.Fatal(err)
		}
		release := gate(d)
		swap := func(key string) (result chan error, cancel func()) {
			ctx, cancel := context.WithCancel(t.Context())
			result = make(chan error, 1)
			go func() {
				_, err := f.Swap(ctx, Entry{Key: key})
				result <- err
			}()
			synctest.Wait()
			return result, cancel
		}
		first, cancel := swap("first")
		defer cancel()
		second, cancel := swap("second")
		cancel()
		if err := <-second; !errors.Is(err, context.Canceled) || !errors.Is(err, ErrNotApplied) {
			t.Errorf("a write that waits: got %v", err)
		}
		third, cancelThird := swap("third")
		fourth, cancelFourth := swap("fourth")
		release <- struct{}{} // now the third and the fourth are under way
		synctest.Wait()
		cancelThird()
		cancelFourth()
		synctest.Wait()
		if len(third)+len(fourth) != 1 { // the other one has the disk, and must see it through
			t.Errorf("%d writes returned, want 1", len(third)+len(fourth))
		}
		close(release)
		errs := []error{<-third, <-fourth}
		if errs[0] == nil {
			errs[0], errs[1] = errs[1], errs[0]
		}
		if errs[1] != nil || !errors.Is(errs[0], context.Canceled) || errors.Is(errs[0], ErrNotApplied) || errors.Is(errs[0], ErrConflict) {
			t.Errorf("writes that are under way: got %v", errs)
		}
		if err := <-first; err != nil {
			t.Error(err)
		}
		for key, want := range map[string]bool{"first": true, "second": false, "third": true, "fourth": true} {
			if e, err := f.Get(t.Context(), key); err != nil || (e.Revision != "") != want {
				t.Errorf("%s: got %v, %v", key, e, err)
			}
		}
	})
}

// TestFileCloseWaits closes a File while one write is under way and another one waits.
func TestFileCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newSimDisk()
		f, err := openFile(d, simPath, 1000)
		if err != nil {
			t.Fatal(err)
		}
		release := gate(d)
		results := make(chan error, 2)
		for _, key := range []string{"first", "second"} {
			go func() {
				_, err := f.Swap(t.Context(), Entry{Key: key})
				results <- err
			}()
			synctest.Wait()
		}
		closed := make(chan error, 1)
		go func() { closed <- f.Close() }()
		synctest.Wait()
		if len(closed) != 0 {
			t.Error("Close did not wait")
		}
		close(release)
		if err := <-closed; err != nil {
			t.Error(err)
		}
		for range 2 { // the second one came before Close, or not
			if err := <-results; err != nil && (!errors.Is(err, fs.ErrClosed) || !errors.Is(err, ErrNotApplied)) {
				t.Error(err)
			}
		}
	})
}
