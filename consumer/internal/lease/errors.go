package lease

import (
	"errors"
	"fmt"
)

// What an operation on a row ends with, other than an error of the store.
var (
	// ErrNoRow: the shard has no row to claim.
	ErrNoRow = errors.New("lease: the shard has no row")
	// ErrEnded: the shard was read to its end; nobody claims it again.
	ErrEnded = errors.New("lease: the shard has ended")
	// ErrLost: the row shows another owner or epoch. The tenure is over,
	// whatever became of its last write.
	ErrLost = errors.New("lease: lost to another owner")
	// ErrReleased: the lease was released or ended, or a release or end of
	// unknown result stands: that one is repeated, or a new claim undoes it.
	ErrReleased = errors.New("lease: released")
	// ErrRegress: the position is lower than one checkpointed before. Nothing
	// was sent.
	ErrRegress = errors.New("lease: checkpoint would go back")
	// ErrRollback: the row is older than one this worker has written: the store
	// lost a write that it had acknowledged.
	ErrRollback = errors.New("lease: the store lost an acknowledged write")
	// ErrHeld: the row names an owner who lives, or whose death is not
	// established yet.
	ErrHeld = errors.New("lease: held by another owner")
	// ErrLapsed: no heartbeat of this worker is known to be stored that is young
	// enough to work on. It may go on under the same leases.
	ErrLapsed = errors.New("lease: no recent heartbeat is known to be stored")
	// ErrFenced: this incarnation of the worker was declared dead, or has left.
	ErrFenced = errors.New("lease: this incarnation of the worker is over")
	// ErrRowVersion: the row was written by a newer version of the library.
	ErrRowVersion = errors.New("lease: row of a newer version")
	// ErrRowCorrupt: the row is not one that the library writes.
	ErrRowCorrupt = errors.New("lease: row cannot be read")
)

// A RowError reports one row that is left alone: of a newer version (it wraps
// ErrRowVersion) or unreadable (ErrRowCorrupt). Rows of other shards are not
// concerned.
type RowError struct {
	Key   string // of the row in the store
	Shard string // its shard id; empty for the row of the stream
	Err   error
}

// Error names the row, what is wrong with it and what to do.
func (e *RowError) Error() string {
	remedy := "repair the row, or delete it to start this shard again from the stream's starting position"
	if e.Shard == "" {
		remedy = "repair the row; without it the stream's starting position is lost"
	}
	if errors.Is(e.Err, ErrRowVersion) {
		remedy = "update this program; the row is left alone"
	}
	return fmt.Sprintf("%v: key %q: %s", e.Err, e.Key, remedy)
}

// Unwrap returns Err.
func (e *RowError) Unwrap() error { return e.Err }
