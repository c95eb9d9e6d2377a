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

// commit makes the queued writes durable in one line of the log. It is called with the turn.
func (f *File) commit() {
	f.mu.Lock()
	writes := f.queue
	f.queue = nil
	f.mu.Unlock()
	if len(writes) == 0 {
		return
	}
	if err := f.repair(); err != nil {
		finish(writes, notApplied(fmt.Errorf("checkpoint: %w", err)))
		return
	}
	changed, records := f.decide(writes)
	if len(records) > 0 {
		if err := f.append(records); err != nil {
			finish(writes, err) // also those in conflict: with what, perhaps, is not applied
			return
		}
	}
	f.apply(changed)
	for _, w := range writes {
		close(w.done)
	}
	if f.size > 4*f.live+f.slack && f.size > f.stay {
		if err := f.rewrite(); err != nil {
			f.stay = 2 * f.size // no write failed by it; a disk that is full says so at the next
		}
	}
}

// apply puts what is durable now in the rows. An Entry without a revision is a deletion.
func (f *File) apply(changed map[string]Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, e := range changed {
		f.live += recordSize(e) - recordSize(f.rows[key])
		if e.Revision == "" {
			delete(f.rows, key)
		} else {
			f.rows[key] = e
		}
	}
}

// decide holds the writes, in their order, against the rows. It sets the conflicts, and returns the rows that change
// and the records that say so.
func (f *File) decide(writes []*write) (changed map[string]Entry, records []byte) {
	changed = make(map[string]Entry)
	for _, w := range writes {
		row, ok := changed[w.to.Key]
		if !ok {
			row = f.rows[w.to.Key] // without mu: only the holder of the turn changes rows
		}
		switch {
		case row.Revision != w.from:
			w.err = ErrConflict
		case w.from != "" || w.to.Revision != "":
			changed[w.to.Key] = w.to
			records = appendRecord(records, w.to)
		}
	}
	return changed, records
}

// finish ends writes that all have one outcome.
func finish(writes []*write, err error) {
	for _, w := range writes {
		w.err = err
		close(w.done)
	}
}

// append adds a line to the log and makes it durable.
func (f *File) append(records []byte) error {
	line, sum := appendLine(nil, f.sum, records)
	if n, err := f.log.WriteAt(line, f.size); err != nil {
		f.torn = true
		if n < len(line) {
			return notApplied(fmt.Errorf("checkpoint: %w", err)) // a line without its end is never read
		}
		return fmt.Errorf("checkpoint: %w", err)
	}
	if err := f.log.Sync(); err != nil {
		f.distrust()
		return fmt.Errorf("checkpoint: %w", err)
	}
	f.size += int64(len(line))
	f.sum = sum
	return nil
}

// repair makes the log fit for the next line. After a failed write it cuts off what the write left. After a failed
// fsync it writes the log anew: the system may have forgotten what it could not write, and a second fsync of the same
// file would say nothing of it.
func (f *File) repair() error {
	if f.log == nil {
		return f.rewrite()
	}
	if f.torn {
		if err := f.log.Truncate(f.size); err != nil {
			return f.rewrite()
		}
		f.torn = false
	}
	return nil
}

// distrust closes the log, so that the next commit writes a new one.
func (f *File) distrust() {
	f.log.Close()
	f.log = nil
}

// rewrite puts a log of the present rows in the place of the old one. Until the rename, the old one is untouched; from
// then on either holds all that was acknowledged, and nothing more is until the rename is durable.
func (f *File) rewrite() error {
	name := f.path + ".new"
	size, sum, err := f.writeNew(name)
	if err != nil {
		f.disk.remove(name)
		return err
	}
	if f.log != nil {
		f.distrust() // some systems do not replace a file that is open
	}
	if err := f.disk.rename(name, f.path); err != nil {
		return err
	}
	if err := f.disk.syncDir(filepath.Dir(f.path)); err != nil {
		return err
	}
	log, err := f.disk.open(f.path)
	if err != nil {
		return err
	}
	f.log, f.size, f.sum, f.torn, f.stay = log, size, sum, false, 0
	return nil
}

// writeNew writes the rows to a new file and makes its content durable.
func (f *File) writeNew(name string) (size int64, sum uint32, err error) {
	file, err := f.disk.create(name)
	if err != nil {
		return 0, 0, err
	}
	size, sum, err = writeLog(io.NewOffsetWriter(file, 0), f.rows)
	if err == nil {
		err = file.Sync()
	}
	return size, sum, errors.Join(err, file.Close())
}
