package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
)

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
		_ = f.disk.remove(name) // the next rewrite begins with an empty one anyway
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
