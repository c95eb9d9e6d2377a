package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func perm(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

// TestFileMode checks that what is new is for its owner only, and that a store keeps its mode, also as changed later.
func TestFileMode(t *testing.T) {
	if runtime.GOOS == "windows" { // it has other permissions
		return
	}
	path := filepath.Join(t.TempDir(), "store")
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, name := range []string{path, path + lockSuffix} {
		if mode := perm(t, name); mode != 0o600 {
			t.Errorf("%s has mode %v", name, mode)
		}
	}
	for _, mode := range []fs.FileMode{0o666, 0o640, 0o600} { // an umask takes nothing off
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Swap(t.Context(), Entry{Key: mode.String()}); err != nil {
			t.Fatal(err)
		}
		if err := f.rewrite(); err != nil {
			t.Fatal(err)
		}
		if got := perm(t, path); got != mode {
			t.Errorf("written anew, a store with mode %v has %v", mode, got)
		}
		f.Close()
		if f, err = OpenFile(path); err != nil {
			t.Fatal(err)
		}
		if got := perm(t, path); got != mode {
			t.Errorf("opened, a store with mode %v has %v", mode, got)
		}
	}
}

// TestFileLinks puts symbolic links and the leavings of a crash where a File makes its files.
func TestFileLinks(t *testing.T) {
	dir := t.TempDir()
	path, victim := filepath.Join(dir, "store"), filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	spared := func(when string) {
		t.Helper()
		if text, err := os.ReadFile(victim); err != nil || string(text) != "precious" || perm(t, victim) != 0o644 {
			t.Errorf("%s: the file behind the link is %q, %v", when, text, err)
		}
	}
	for _, left := range []func(name string) error{
		func(name string) error { return os.Symlink(victim, name) },
		func(name string) error { return os.Link(victim, name) },
		func(name string) error { return os.WriteFile(name, []byte(strings.Repeat("half a log", 1000)), 0o444) },
	} {
		os.Remove(path)
		if err := left(path + newSuffix); err != nil {
			t.Fatal(err)
		}
		f, err := OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		spared("a new log")
		if err := f.Close(); err != nil || !perm(t, path).IsRegular() || perm(t, path) != 0o600 {
			t.Errorf("the store has mode %v, %v", perm(t, path), err)
		}
	}
	made := filepath.Join(dir, "made")
	for _, target := range []string{victim, made} {
		if err := errors.Join(os.Remove(path+lockSuffix), os.Symlink(target, path+lockSuffix)); err != nil {
			t.Fatal(err)
		}
		if f, err := OpenFile(path); err == nil {
			f.Close()
			t.Error("opened with a link in place of the lock file")
		}
		spared("a lock")
	}
	if _, err := os.Lstat(made); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a lock made a file elsewhere: %v", err)
	}

	nowhere := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "not mounted", "store"), nowhere); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFile(nowhere); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("a link to nowhere: %v", err)
	}
	if perm(t, nowhere)&fs.ModeSymlink == 0 {
		t.Error("the link to nowhere was replaced")
	}
}

// TestLockFileRemoved takes a lock whose file somebody removes with the lock in his hands.
func TestLockFileRemoved(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	stop, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if f, err := lockFile(name); err == nil {
				os.Remove(name)
				f.Close()
			}
		}
	}()
	for range 2000 {
		f, err := lockFile(name)
		if err != nil {
			continue
		}
		mine, err := f.Stat()
		now, err2 := os.Lstat(name)
		if err := errors.Join(err, err2); err != nil || !os.SameFile(mine, now) {
			t.Errorf("the lock is that of a file which is gone: %v", err)
			break
		}
		f.Close()
	}
	close(stop)
	<-over
}

// TestFileRemoved removes a real file under a File.
func TestFileRemoved(t *testing.T) {
	if runtime.GOOS == "windows" { // it does not remove a file that is open
		return
	}
	path := filepath.Join(t.TempDir(), "store")
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	e, err := f.Swap(t.Context(), Entry{Key: "k", Value: []byte("v")})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + lockSuffix} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Swap(t.Context(), e); !errors.Is(err, ErrReplaced) || !errors.Is(err, ErrNotApplied) || !strings.Contains(err.Error(), name+" was removed") {
			t.Errorf("without %s: %v", name, err)
		}
		if e, err = f.Swap(t.Context(), e); err != nil {
			t.Errorf("the write after that: %v", err)
		}
		if _, err := OpenFile(path); !errors.Is(err, ErrLocked) {
			t.Errorf("opened once more: %v", err)
		}
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if f, err = OpenFile(path); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := f.Get(t.Context(), "k"); err != nil || got.Revision != e.Revision {
		t.Errorf("opened again: %v, %v", got, err)
	}
	other := filepath.Join(filepath.Dir(path), "other")
	if err := errors.Join(os.WriteFile(other, []byte("a backup"), 0o600), os.Rename(other, path)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := f.Swap(t.Context(), e); !errors.Is(err, ErrReplaced) || !strings.Contains(err.Error(), "another file") {
			t.Errorf("with another file: %v", err)
		}
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "a backup" {
		t.Errorf("the other file is now %q, %v", text, err)
	}
}

// TestOpenFileContext waits for a store in virtual time, in vain and not.
func TestOpenFileContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newSimDisk()
		if _, err := openFile(d, simPath, 100); err != nil {
			t.Fatal(err)
		}
		tries := 0
		d.before = func(_ *simDisk, step string) error {
			if step == "lock" {
				tries++
			}
			return nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := await(ctx, d, simPath)
		var locked *LockedError
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrLocked) || !errors.As(err, &locked) || locked.PID != os.Getpid() {
			t.Errorf("waited in vain: %v", err)
		}
		if tries < 90 || tries > 101 {
			t.Errorf("%d tries in 10 s", tries)
		}
		if _, err := await(ctx, d, simPath); !errors.Is(err, context.DeadlineExceeded) || tries > 101 {
			t.Errorf("with a ctx that has ended: %v", err)
		}
		began := time.Now()
		d.before = func(d *simDisk, step string) error {
			if step == "lock" && time.Since(began) > time.Minute { // the other one has ended
				d.names[simPath+lockSuffix].locked = false
			}
			return nil
		}
		held, err := await(t.Context(), d, simPath)
		if took := time.Since(began); err != nil || took < time.Minute || took > time.Minute+2*lockPoll {
			t.Errorf("took %v, %v", took, err)
		}
		held.Close()
		d.before = func(*simDisk, string) error { return fs.ErrPermission }
		if _, err := await(t.Context(), d, simPath); !errors.Is(err, fs.ErrPermission) || !strings.HasPrefix(err.Error(), "checkpoint: ") {
			t.Errorf("another error: %v", err)
		}
	})
	path := filepath.Join(t.TempDir(), "store")
	f, err := OpenFileContext(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	if _, err := OpenFileContext(ctx, path); !errors.Is(err, context.Canceled) || !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), path) {
		t.Errorf("canceled: %v", err)
	}
	f.Close()
	if _, err := OpenFileContext(t.Context(), filepath.Join(path, "store")); err == nil {
		t.Error("opened a store in a file")
	}
}

// FuzzHolder reads lock files that are garbage.
func FuzzHolder(f *testing.F) {
	for _, text := range []string{
		"", "{", "null", `{"host":"web-1","pid":42,"since":"2026-11-30T12:00:00Z"}` + "\n", `{"host":"a\u001b[31m","pid":42}`,
		`{"host":"a","pid":-1}`, `{"pid":1e3}`, "\x00\x00\x00\x00", `{"host":"a","pid":42,"since":"yesterday"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		err := lockedError("/var/store", text)
		if !errors.Is(err, ErrLocked) || !strings.HasPrefix(err.Error(), ErrLocked.Error()+": /var/store is open ") {
			t.Fatalf("%q: %v", text, err)
		}
		if strings.ContainsFunc(err.Error(), unprintable) {
			t.Fatalf("%q: %q", text, err)
		}
		if err.PID < 0 || err.PID == 0 && (err.Host != "" || !err.Since.IsZero()) {
			t.Fatalf("%q: %+v", text, err)
		}
	})
}

// TestOpenFileByHand opens files that somebody has made empty, or with a part of the first line: they are new stores.
func TestOpenFileByHand(t *testing.T) {
	for _, text := range []string{"", "shard", logHeader} {
		path := filepath.Join(t.TempDir(), "store")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		e := Entry{Key: "k", Value: []byte("v")}
		for range 2 {
			f, err := OpenFile(path)
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			if e, err = f.Swap(t.Context(), e); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			if err := f.Close(); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
		}
	}
}

// A process of another host may have the number of this one.
func TestLockedErrorOfAnotherHost(t *testing.T) {
	err := &LockedError{Path: "store", Host: "elsewhere", PID: os.Getpid(), Since: time.Unix(0, 0).UTC()}
	want := fmt.Sprintf("checkpoint: file is locked: store is open in another process: %d on host elsewhere, since 1970-01-01T00:00:00Z", os.Getpid())
	if err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
}
