package checkpoint

import (
	"errors"
	"io"
	"io/fs"
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
	err := f.guard()
	if err == nil {
		err = f.repair()
	}
	if err != nil {
		finish(writes, notApplied(err))
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
	f.compact()
}

// compact writes a log anew that is much larger than its rows, and reports whether it has. No write fails with it: a
// disk that is full says so at the next.
func (f *File) compact() bool {
	if f.size <= 4*f.live+f.slack || f.size <= f.stay {
		return false
	}
	if err := f.rewrite(); err != nil {
		f.stay = 2 * f.size
		return false
	}
	return true
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
		f.end = -1
		if info, err := f.log.Stat(); err == nil {
			f.end = info.Size()
		}
		if n < len(line) {
			return notApplied(err) // a line without its end is never read
		}
		return openError(err)
	}
	f.end = f.size + int64(len(line))
	if err := f.log.Sync(); err != nil {
		f.distrust()
		return openError(err)
	}
	if err := f.confirm(); err != nil {
		return err
	}
	f.size, f.sum = f.end, sum
	return nil
}

// repair makes the log fit for the next line. After a failed write it cuts off what the write left. After a failed
// fsync it writes the log anew: the system may have forgotten what it could not write, and a second fsync of the same
// file would say nothing of it.
func (f *File) repair() error {
	if f.log == nil || f.cut() != nil {
		return f.rewrite()
	}
	return nil
}

// cut removes what lies behind the last line.
func (f *File) cut() error {
	if f.end == f.size {
		return nil
	}
	if err := f.log.Truncate(f.size); err != nil {
		return err
	}
	f.end = f.size
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
	name := f.path + newSuffix
	next, err := f.writeNew(name)
	if err != nil {
		return err
	}
	if f.log != nil {
		f.distrust() // some systems do not replace a file that is open
	}
	if err := f.disk.rename(name, f.path); err != nil {
		return err
	}
	f.info, f.end = next.info, next.size
	if err := f.disk.syncDir(filepath.Dir(f.path)); err != nil {
		return err
	}
	log, err := f.disk.open(f.path)
	if err != nil {
		return err
	}
	f.log, f.size, f.sum, f.stay = log, next.size, next.sum, 0
	return nil
}

// A newLog is a log that was written and is not in its place yet.
type newLog struct {
	info fs.FileInfo
	size int64
	sum  uint32
}

// writeNew writes the rows to a new file, as readable as the old one, and makes its content durable. What it leaves when
// it fails, or a crash leaves, the next one removes: nobody else writes under that name while f holds the lock.
func (f *File) writeNew(name string) (next newLog, err error) {
	mode := newMode
	if f.info != nil {
		mode = f.info.Mode().Perm()
	}
	out, err := f.disk.create(name, mode)
	if errors.Is(err, fs.ErrExist) {
		if err = f.disk.remove(name); err == nil {
			out, err = f.disk.create(name, mode)
		}
	}
	if err != nil {
		return newLog{}, err
	}
	next.size, next.sum, err = writeLog(io.NewOffsetWriter(out, 0), f.rows)
	if err == nil {
		err = out.Sync()
	}
	if err == nil {
		next.info, err = out.Stat()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		_ = f.disk.remove(name) // makes room
	}
	return next, err
}
