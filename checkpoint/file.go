package checkpoint

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

// compactSlack is the number of bytes by which a log may exceed four times its live bytes.
const compactSlack = 1 << 20

// A File is a Store in one file, for one process on one machine. Rows are held in memory; the file is a log to which
// each write is appended and made durable (fsync) before Swap or Delete returns. Writes that come while one is under
// way are made durable together by the next. A log above four times its live bytes and 1 MiB is written anew.
//
// The path with ".lock" added is the lock file: while a File is open, opening it again gives [ErrLocked], in this
// process and in any other one of this machine. The lock file stays behind and is harmless. The path with ".new" added
// is the log that is about to replace the present one. File systems that are shared between machines may not honour
// the lock.
//
// An error while writing, such as a full disk, loses nothing that was acknowledged. The next write repairs the log
// first, so that writes succeed again as soon as the cause is gone.
//
// Create one with [OpenFile].
type File struct {
	path   string
	disk   disk
	slack  int64
	unlock io.Closer

	// turn holds a token while somebody writes. What writing needs alone is guarded by it and not by mu.
	turn chan struct{}
	log  logFile // nil: there is none that can be trusted, and the next commit writes one
	size int64   // bytes of the log that count: behind them lies what a failed write left
	sum  uint32  // checksum for the next line
	torn bool    // something lies behind size
	live int64   // bytes of the records of rows
	stay int64   // size up to which the log is not written anew, after that has failed

	mu     sync.Mutex
	rows   map[string]Entry // what is durable
	queue  []*write
	closed bool
}

var _ Store = (*File)(nil)

// A write is a Swap or Delete that waits for its turn.
type write struct {
	from string // the revision that the row must be at
	to   Entry  // the row afterwards; Revision "" deletes
	err  error  // valid when done is closed
	done chan struct{}
}

// OpenFile opens the store at path, or creates it if there is no such file; the folder must exist.
//
// A last line that was cut off by a crash is dropped, as nobody was told that it was written. Damage anywhere else is
// refused with a [*CorruptError], and the file left as it is. A file that is open elsewhere gives [ErrLocked]. Other
// errors wrap an [*fs.PathError], so that errors.Is finds fs.ErrNotExist (no such folder) and fs.ErrPermission.
func OpenFile(path string) (*File, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, openError(err)
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // one lock for all names of the file
	}
	mode := os.FileMode(0o644)
	switch info, err := os.Stat(path); {
	case err == nil && info.IsDir():
		return nil, openError(&fs.PathError{Op: "open", Path: path, Err: syscall.EISDIR})
	case err == nil && !info.Mode().IsRegular():
		return nil, openError(&fs.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")})
	case err == nil:
		mode = info.Mode().Perm()
	case !errors.Is(err, fs.ErrNotExist):
		return nil, openError(err)
	default:
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			return nil, fmt.Errorf("checkpoint: folder of %s: %w", path, err)
		}
	}
	return openFile(osDisk{mode}, path, compactSlack)
}

func openError(err error) error { return fmt.Errorf("checkpoint: %w", err) }

func openFile(d disk, path string, slack int64) (*File, error) {
	unlock, err := d.lock(path + ".lock")
	if errors.Is(err, ErrLocked) {
		return nil, fmt.Errorf("%w: %s is open in another process, or elsewhere in this one", ErrLocked, path)
	}
	if err != nil {
		return nil, openError(err)
	}
	f := &File{path: path, disk: d, slack: slack, unlock: unlock, turn: make(chan struct{}, 1)}
	if err := f.load(); err != nil {
		unlock.Close()
		return nil, err
	}
	return f, nil
}

// load reads the log and writes it anew: what was read may be in the system's cache only, after a failed fsync of an
// earlier process.
func (f *File) load() error {
	f.rows = make(map[string]Entry)
	r, err := f.disk.read(f.path)
	if err == nil {
		f.rows, err = readLog(f.path, r)
		r.Close()
	}
	if errors.Is(err, ErrCorrupt) {
		return err
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return openError(err)
	}
	for _, e := range f.rows {
		f.live += recordSize(e)
	}
	if err := f.rewrite(); err != nil {
		return openError(err)
	}
	return nil
}

// Exclusive reports true: nobody else has the file open.
func (f *File) Exclusive() bool { return true }

// List returns the rows whose keys start with prefix, sorted by key.
func (f *File) List(ctx context.Context, prefix string) ([]Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.usable(ctx); err != nil {
		return nil, err
	}
	return list(f.rows, prefix), nil
}

// Get returns the row of key, or an Entry with Revision "".
func (f *File) Get(ctx context.Context, key string) (Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.usable(ctx); err != nil {
		return Entry{Key: key}, err
	}
	return get(f.rows, key), nil
}

// Swap puts e.Value if the row is at e.Revision. When it returns without an error the row is on the disk. After any
// other error than ErrConflict the store goes on as if the write had not been, but unless the error wraps
// ErrNotApplied the write may be there when the file is opened the next time.
func (f *File) Swap(ctx context.Context, e Entry) (Entry, error) {
	if err := checkSize(e); err != nil {
		return e, err
	}
	to := Entry{Key: e.Key, Value: bytes.Clone(e.Value), Revision: rand.Text()}
	if err := f.write(ctx, e.Revision, to); err != nil {
		return e, err
	}
	e.Revision = to.Revision
	return e, nil
}

// Delete removes the row of e.Key if it is at e.Revision. Its errors are those of Swap.
func (f *File) Delete(ctx context.Context, e Entry) error {
	return f.write(ctx, e.Revision, Entry{Key: e.Key})
}

// Close waits for the write under way, closes the file and gives up the lock. Writes that wait fail, as does every
// later call but Close, which then does nothing.
func (f *File) Close() error {
	f.turn <- struct{}{}
	defer func() { <-f.turn }()
	f.mu.Lock()
	closed, waiting := f.closed, f.queue
	f.closed, f.queue = true, nil
	f.mu.Unlock()
	finish(waiting, notApplied(f.errClosed()))
	if closed {
		return nil
	}
	var err error
	if f.log != nil {
		err = f.log.Close()
		f.log = nil
	}
	return errors.Join(err, f.unlock.Close())
}

func (f *File) errClosed() error {
	return fmt.Errorf("checkpoint: %w", &fs.PathError{Op: "use", Path: f.path, Err: fs.ErrClosed})
}

// usable is called with mu held.
func (f *File) usable(ctx context.Context) error {
	if f.closed {
		return f.errClosed()
	}
	return ctx.Err()
}

// write queues a change and waits until it is done. Whoever gets the turn commits all that is queued; so it needs no
// goroutine, and n writers that wait cost one fsync.
func (f *File) write(ctx context.Context, from string, to Entry) error {
	w := &write{from: from, to: to, done: make(chan struct{})}
	f.mu.Lock()
	if err := f.usable(ctx); err != nil {
		f.mu.Unlock()
		return notApplied(err)
	}
	f.queue = append(f.queue, w)
	f.mu.Unlock()

	select {
	case <-w.done:
	case f.turn <- struct{}{}:
		f.commit()
		<-f.turn
		<-w.done // by this commit, by an earlier one, or by Close
	case <-ctx.Done():
		return f.abandon(ctx, w)
	}
	return w.err
}

// abandon gives up w. If it is not queued any more its outcome is unknown.
func (f *File) abandon(ctx context.Context, w *write) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.Index(f.queue, w)
	if i < 0 {
		return fmt.Errorf("checkpoint: gave up waiting for %s: %w", f.path, ctx.Err())
	}
	f.queue = slices.Delete(f.queue, i, i+1)
	return notApplied(ctx.Err())
}
