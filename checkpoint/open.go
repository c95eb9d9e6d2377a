package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const (
	compactSlack = 1 << 20 // bytes by which a log may exceed four times its live bytes
	newSuffix    = ".new"  // of the log that is about to replace the present one
	newMode      = os.FileMode(0o600)
)

// OpenFile opens the store at path, or creates it if there is no such file; the folder must exist. It does not wait: a
// store that is open elsewhere gives a [*LockedError], which wraps [ErrLocked].
//
// A last line that was cut off by a crash is dropped, as nobody was told that it was written. Damage anywhere else is
// refused with a [*CorruptError], and the file left as it is. A store that exists is opened on a full disk, too, and then
// fails writes until there is room. Other errors wrap an [*fs.PathError], so that errors.Is finds fs.ErrNotExist (no such
// folder) and fs.ErrPermission.
func OpenFile(path string) (*File, error) {
	path, err := resolve(path)
	if err != nil {
		return nil, err
	}
	return openFile(osDisk{}, path, compactSlack)
}

// OpenFileContext is OpenFile, but while the store is open elsewhere it waits until that ends, or ctx does: a process of
// a rolling deploy takes over as soon as the one before it is gone. When ctx ends, the error wraps ctx's and ErrLocked,
// and is a [*LockedError] that names who still has the store. It looks ten times a second. Those who wait for one store
// get it in no particular order.
func OpenFileContext(ctx context.Context, path string) (*File, error) {
	path, err := resolve(path)
	if err != nil {
		return nil, err
	}
	held, err := await(ctx, osDisk{}, path)
	if err != nil {
		return nil, err
	}
	return load(osDisk{}, path, compactSlack, held)
}

func openFile(d disk, path string, slack int64) (*File, error) {
	held, err := lock(d, path)
	if err != nil {
		return nil, err
	}
	return load(d, path, slack, held)
}

// resolve returns the one name that a store has, whatever it is called, so that it has one lock.
func resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", openError(err)
	}
	target, err := filepath.EvalSymlinks(path)
	if err == nil {
		path = target
	} else if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return "", openError(&fs.PathError{Op: "open", Path: path, Err: errors.New("symbolic link to a file that does not exist")})
	}
	switch info, err := os.Stat(path); {
	case err == nil && info.IsDir():
		return "", openError(&fs.PathError{Op: "open", Path: path, Err: syscall.EISDIR})
	case err == nil && !info.Mode().IsRegular():
		return "", openError(&fs.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")})
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", openError(err)
	case err != nil:
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			return "", fmt.Errorf("checkpoint: folder of %s: %w", path, err)
		}
	}
	return path, nil
}

func openError(err error) error { return fmt.Errorf("checkpoint: %w", err) }

// load opens the store whose lock is held.
func load(d disk, path string, slack int64, held file) (*File, error) {
	f := &File{path: path, disk: d, slack: slack, lock: held, turn: make(chan struct{}, 1)}
	var err error
	if f.lockInfo, err = held.Stat(); err == nil {
		err = f.load()
	}
	if err == nil {
		return f, nil
	}
	held.Close()
	if f.log != nil {
		f.log.Close()
	}
	if errors.Is(err, ErrCorrupt) {
		return nil, err
	}
	return nil, openError(err)
}

// load reads the log, and makes a new one if there is none. Only that needs room. What fails otherwise fails again in the
// first write, and is told there.
func (f *File) load() error {
	log, err := f.disk.open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		f.rows = make(map[string]Entry)
		return f.rewrite()
	}
	if err != nil {
		return err
	}
	f.log = log
	if f.info, err = log.Stat(); err != nil {
		return err
	}
	f.end = f.info.Size()
	read, err := readLog(f.path, io.NewSectionReader(log, 0, f.end))
	if err != nil {
		return err
	}
	f.rows, f.size, f.sum = read.rows, read.size, read.sum
	for _, e := range f.rows {
		f.live += recordSize(e)
	}
	if f.size == 0 { // made by hand
		return f.rewrite()
	}
	if !f.compact() && f.log != nil {
		f.refresh(read.last)
	}
	return nil
}

// refresh makes durable what was read. All of the log is, but perhaps its name, and its last line, which begins at last:
// after a failed fsync of an earlier process the system may hold that in its cache only, and not know. So it is written
// again, in its place, where it needs no room.
func (f *File) refresh(last int64) {
	line := make([]byte, f.size-last)
	n, err := f.log.ReadAt(line, last)
	if n == len(line) {
		_, err = f.log.WriteAt(line, last)
	}
	if err == nil {
		err = f.log.Sync()
	}
	if err == nil {
		err = f.disk.syncDir(filepath.Dir(f.path))
	}
	if err != nil {
		f.distrust()
	}
}
