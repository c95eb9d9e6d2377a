package checkpoint

import (
	"io"
	"io/fs"
	"os"
)

// A disk is what File needs of an operating system. Tests put faults and crashes in its place.
type disk interface {
	// lock takes the lock that the file name stands for, creating it if need be, until the file is closed. It does not
	// wait: a lock that is taken is ErrLocked. It does not follow a symbolic link.
	lock(name string) (file, error)
	// holder returns what the lock file says of the process that has it.
	holder(name string) ([]byte, error)
	open(name string) (file, error)
	// create makes a file of that name, which must not be there yet, with the permissions of mode.
	create(name string, mode fs.FileMode) (file, error)
	stat(name string) (fs.FileInfo, error)
	same(a, b fs.FileInfo) bool
	rename(from, to string) error
	remove(name string) error
	// syncDir makes durable what was created, renamed and removed in a folder.
	syncDir(dir string) error
}

// A file is open for reading and writing.
type file interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Stat() (fs.FileInfo, error)
	Close() error
}

// osDisk is the disk of the operating system.
type osDisk struct{}

func (osDisk) stat(name string) (fs.FileInfo, error) { return os.Stat(name) }
func (osDisk) same(a, b fs.FileInfo) bool            { return os.SameFile(a, b) }
func (osDisk) rename(from, to string) error          { return os.Rename(from, to) }
func (osDisk) remove(name string) error              { return os.Remove(name) }
func (osDisk) syncDir(dir string) error              { return syncDir(dir) }

func (osDisk) lock(name string) (file, error) {
	f, err := lockFile(name)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (osDisk) holder(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxHolder))
}

func (osDisk) open(name string) (file, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// create asks for permissions a second time if they are wider than those of a new file, which no umask may narrow.
func (osDisk) create(name string, mode fs.FileMode) (file, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, newMode)
	if err != nil {
		return nil, err
	}
	if mode != newMode {
		if err := f.Chmod(mode); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}
