package checkpoint

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
)

// A File is a Store in one file, for one process on one machine. Rows are held in memory; the file is a log to which
// each write is appended. Swap and Delete return when the write is durable (fsync, on macOS F_FULLFSYNC): neither a crash
// of the process nor a power cut loses what they have acknowledged, as far as the disk keeps its promise. A write that was
// under way when the process died may be there or not. Writes that come while one is under way are made durable together
// by the next. A log above four times its live bytes and 1 MiB is written anew, if there is room for that.
//
// An error while writing, such as a full disk, loses nothing that was acknowledged. The next write repairs the log
// first, so that writes succeed again as soon as the cause is gone. To open a store that exists takes no room.
//
// # Files
//
// The path with ".lock" added is the lock file, which names the process that has the store open: to open it once more
// gives a [*LockedError], in this process and in any other one of this machine. The lock file stays behind and is
// harmless. The path with ".new" added is a log that is about to replace the present one; what a crash leaves of it is
// removed by the next. File systems that are shared between machines may not honour the lock.
//
// All are made with mode 0600, for their owner only: who may write the store can make records be skipped, and who may
// open the lock file can keep the store from being opened. A store that exists keeps its mode, which somebody may have
// chosen, also when its log is written anew; what an earlier version made has 0644, to be mended with chmod. Neither the
// lock file nor the new log is reached through a symbolic link; the path itself may be one, to a file that exists.
//
// # Interference
//
// Each write first looks whether the file and the lock file are still its own, and looks at the file again before it
// acknowledges. If somebody has removed the file, or changed its size, it is written anew from memory: nothing is lost,
// and that one write fails with [ErrReplaced], so that it is told. So it is when the lock file was removed and nobody has
// used that. A file that was put in the place of the store is left alone, and so is one that another process has opened
// or changed after the lock file was removed: every write fails with ErrReplaced then, until the File is closed. To begin
// anew, remove the file while no process has it open; Close, too, puts back a file that was removed.
//
// Create one with [OpenFile] or [OpenFileContext].
type File struct {
	path  string
	disk  disk
	slack int64

	// turn holds a token while somebody writes. What writing needs alone is guarded by it and not by mu.
	turn     chan struct{}
	lock     file
	lockInfo fs.FileInfo
	log      file        // nil: there is none that can be trusted, and the next commit writes one
	info     fs.FileInfo // of the file at path
	size     int64       // bytes of the log that count
	end      int64       // bytes of the file at path: more than size if a failed write left something
	sum      uint32      // checksum for the next line
	live     int64       // bytes of the records of rows
	stay     int64       // size up to which the log is not written anew, after that has failed

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
// later call but Close, which then does nothing. If the file was removed meanwhile, Close writes it anew and returns an
// error that wraps ErrReplaced.
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
	err := f.guard()
	if f.log != nil {
		err = errors.Join(err, f.log.Close())
		f.log = nil
	}
	return errors.Join(err, f.lock.Close())
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
