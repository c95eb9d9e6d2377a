package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
)

// guard looks whether the log and the lock file are still those of f, and mends what it can. Its error says what it
// found, mended or not.
func (f *File) guard() error {
	now, err := f.look(f.path, f.info) // before the lock file: another process replaces that first
	_, lost := f.look(f.path+lockSuffix, f.lockInfo)
	if lost == nil {
		return f.mend(now, err)
	}
	if !gone(lost) {
		return openError(lost)
	}
	if err := f.relock(); err != nil {
		return because{fmt.Errorf("%w: %s was removed", ErrReplaced, f.path+lockSuffix), err}
	}
	if err := f.mend(f.look(f.path, f.info)); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s was removed; it is there again, and nothing is lost", ErrReplaced, f.path+lockSuffix)
}

// relock takes the lock again after its file was removed, if nobody has used that.
func (f *File) relock() error {
	held, err := lock(f.disk, f.path)
	if err != nil {
		return err
	}
	info, err := held.Stat()
	if err == nil {
		var now fs.FileInfo
		now, err = f.look(f.path, f.info)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil // nobody has it
		} else if err == nil && now.Size() != f.end {
			err = errors.New("the store was written by another process since: start this one again")
		}
	}
	if err != nil {
		return errors.Join(err, held.Close())
	}
	f.lock.Close()
	f.lock, f.lockInfo = held, info
	return nil
}

// confirm looks at the files after a write and before it is acknowledged. What is wrong with the lock file is mended by
// the next write.
func (f *File) confirm() error {
	now, err := f.look(f.path, f.info)
	if _, lost := f.look(f.path+lockSuffix, f.lockInfo); gone(lost) {
		return fmt.Errorf("%w: %s was removed during a write", ErrReplaced, f.path+lockSuffix)
	} else if lost != nil {
		return openError(lost)
	}
	return f.mend(now, err)
}

// mend writes the log anew if it is gone or not as it was left. It returns an error in both cases. Now and err are what
// look says of it.
func (f *File) mend(now fs.FileInfo, err error) error {
	what := "changed"
	switch {
	case err == nil && now.Size() == f.end:
		f.info = now // its mode may be another one
		return nil
	case errors.Is(err, fs.ErrNotExist):
		what = "removed"
	case errors.Is(err, ErrReplaced):
		return fmt.Errorf("%w: another file is in the place of %s: remove that, or start this process again", ErrReplaced, f.path)
	case err != nil:
		return openError(err)
	}
	if err := f.rewrite(); err != nil {
		return because{fmt.Errorf("%w: %s was %s, and is not written anew", ErrReplaced, f.path, what), err}
	}
	return fmt.Errorf("%w: %s was %s; it is written anew, and nothing is lost", ErrReplaced, f.path, what)
}

// look returns what name stands for. The error is fs.ErrNotExist if that is nothing, and ErrReplaced if it is not the file
// that it was.
func (f *File) look(name string, was fs.FileInfo) (fs.FileInfo, error) {
	now, err := f.disk.stat(name)
	if err == nil && !f.disk.same(now, was) {
		err = ErrReplaced
	}
	return now, err
}

// gone tells whether an error of look says that the file is not where it was.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrReplaced) }
