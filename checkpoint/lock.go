package checkpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"
)

const (
	lockSuffix = ".lock"
	lockPoll   = 100 * time.Millisecond // between two tries of OpenFileContext
	maxHolder  = 4 << 10                // bytes that are read of a lock file
)

// A LockedError names the process that has a File open, as that process has written it into the lock file. It wraps
// [ErrLocked].
type LockedError struct {
	Path  string    // the store
	Host  string    // "" if the process left no name that can be read, as on a full disk
	PID   int       // on Host; in a container, its own number there
	Since time.Time // when the process opened the store, by its clock
}

// Error names the store, and who has it open.
func (e *LockedError) Error() string {
	host, _ := os.Hostname()
	switch {
	case e.PID == 0:
		return fmt.Sprintf("%v: %s is open in another process, or elsewhere in this one", ErrLocked, e.Path)
	case e.PID == os.Getpid() && e.Host == host:
		return fmt.Sprintf("%v: %s is open elsewhere in this process, since %s", ErrLocked, e.Path, e.Since.Format(time.RFC3339))
	}
	return fmt.Sprintf("%v: %s is open in another process: %d on host %s, since %s", ErrLocked, e.Path, e.PID, e.Host, e.Since.Format(time.RFC3339))
}

// Unwrap returns ErrLocked.
func (e *LockedError) Unwrap() error { return ErrLocked }

// A holder is what a lock file holds.
type holder struct {
	Host  string    `json:"host"`
	PID   int       `json:"pid"`
	Since time.Time `json:"since"`
}

// sign writes into a lock file who has it. A disk that does not take it, since it is full, keeps nobody from working.
func sign(lock file) {
	host, _ := os.Hostname()
	text, err := json.Marshal(holder{Host: host, PID: os.Getpid(), Since: time.Now().UTC().Truncate(time.Second)})
	if err == nil && lock.Truncate(0) == nil {
		_, _ = lock.WriteAt(append(text, '\n'), 0)
	}
}

// lock takes the lock of the store at path. The error for one that is taken is a *LockedError.
func lock(d disk, path string) (file, error) {
	f, err := d.lock(path + lockSuffix)
	if errors.Is(err, ErrLocked) {
		text, _ := d.holder(path + lockSuffix) // whoever has the lock may just be writing it
		return nil, lockedError(path, text)
	}
	if err != nil {
		return nil, openError(err)
	}
	sign(f)
	return f, nil
}

// lockedError says what a lock file holds. A text that is no holder, whole and fit to be printed, names nobody.
func lockedError(path string, text []byte) *LockedError {
	var h holder
	if err := json.Unmarshal(text, &h); err != nil || h.PID <= 0 || strings.ContainsFunc(h.Host, unprintable) {
		return &LockedError{Path: path}
	}
	return &LockedError{path, h.Host, h.PID, h.Since}
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// await takes the lock as soon as it is free. It gives up when ctx ends.
func await(ctx context.Context, d disk, path string) (file, error) {
	if err := ctx.Err(); err != nil {
		return nil, openError(err)
	}
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		f, err := lock(d, path)
		if !errors.Is(err, ErrLocked) {
			return f, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: gave up waiting: %w", err, ctx.Err())
		}
	}
}
