package checkpoint

import (
	"io"
	"os"
)

// A disk is what File needs of an operating system. Tests put faults and crashes in its place.
type disk interface {
	// lock takes the lock that the file name stands for, creating it if need be, until the Closer is closed. It does
	// not wait: a lock that is taken is ErrLocked.
	lock(name string) (io.Closer, error)
	read(name string) (io.ReadCloser, error)
	// create makes an empty file of that name, in the place of any there is.
	create(name string) (logFile, error)
	open(name string) (logFile, error)
	rename(from, to string) error
	remove(name string) error
	// syncDir makes durable what was created, renamed and removed in a folder.
	syncDir(dir string) error
}

// A logFile is a file open for writing.
type logFile interface {
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Close() error
}

// osDisk is the disk of the operating system. New files get its mode.
type osDisk struct{ mode os.FileMode }

func (osDisk) lock(name string) (io.Closer, error)     { return lockFile(name) }
func (osDisk) read(name string) (io.ReadCloser, error) { return os.Open(name) }
func (osDisk) open(name string) (logFile, error)       { return os.OpenFile(name, os.O_WRONLY, 0) }
func (osDisk) rename(from, to string) error            { return os.Rename(from, to) }
func (osDisk) remove(name string) error                { return os.Remove(name) }
func (osDisk) syncDir(dir string) error                { return syncDir(dir) }

func (d osDisk) create(name string) (logFile, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, d.mode)
}
