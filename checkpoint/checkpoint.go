// Package checkpoint keeps how far a consumer got, and who owns what, in rows that change by compare-and-swap.
//
// A [Store] holds the rows. [Memory] keeps them in the process, [File] in one file; other packages, and users, bring
// stores for databases, which package checkpointtest holds to the rules. [Copy] moves a consumer from one to another. A
// [Position] is a place in a shard.
package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// MaxValue is the size in bytes up to which every Store takes a value. Memory and File refuse a larger one.
const MaxValue = 64 << 10

// An Entry is one row of a Store.
type Entry struct {
	Key      string
	Value    []byte // opaque, up to MaxValue bytes; the store never interprets it
	Revision string // names one write of Key; opaque, compared with == only; "" means: no such row
}

// A Store is a table of rows that change by compare-and-swap. All methods may be called concurrently, and neither
// side keeps or changes a Value that the other one still holds.
//
// Swap and Delete return [ErrConflict] if and only if the store itself answered that the revision differs. Every other
// error (a time-out, a reset connection, a ctx that ended) leaves the outcome unknown: the write may be applied, now
// or later. An error that wraps [ErrNotApplied] says for certain that it is not, and never will be. A Store never
// repeats a write by itself, and switches off the retries of its driver: a second attempt would take its own success
// for a conflict.
//
// A revision changes at every successful Swap and is never used twice for one key, also not after Delete and a new put:
// a random token per write is enough, a counter that starts again at 1 is not.
//
// A Store may also have the method Exclusive() bool. True means that nobody else can have it open while this value
// does, so that whoever owned a row before is gone.
//
// A Store may also have the method Reserved() Store: the same rows over connections of its own, so that heartbeats never
// wait for a connection that other calls hold.
type Store interface {
	// List returns the rows whose keys start with prefix, byte by byte, in any order: all of them or an error. The
	// result may be stale.
	List(ctx context.Context, prefix string) ([]Entry, error)

	// Get returns the row of key as it is at some instant during the call (linearizable). For an absent key it returns
	// an Entry with Revision "" and no error.
	Get(ctx context.Context, key string) (Entry, error)

	// Swap puts e.Value in the row of e.Key if the row is at e.Revision, where "" means that there is no row, and
	// returns the Entry with its new revision. It is atomic and, in a durable store, durable when it returns.
	Swap(ctx context.Context, e Entry) (Entry, error)

	// Delete removes the row of e.Key if it is at e.Revision. It does not look at e.Value.
	Delete(ctx context.Context, e Entry) error
}

// Errors of stores and positions, to be tested with errors.Is.
var (
	// ErrConflict says that the row is not at the revision that Swap or Delete named. Nothing was changed.
	ErrConflict = errors.New("checkpoint: entry changed since it was read")

	// ErrNotApplied says that a write is not applied and never will be, whatever else the error says. An error of Swap
	// or Delete that wraps neither it nor ErrConflict leaves the outcome unknown.
	ErrNotApplied = errors.New("checkpoint: write not applied")

	// ErrLocked says that a File is open elsewhere, in this process or another one. The error is a *LockedError.
	ErrLocked = errors.New("checkpoint: file is locked")

	// ErrReplaced says that the file of an open File, or its lock file, was removed, replaced or changed by somebody
	// else. The error says which, whether the File has mended it, and what to do.
	ErrReplaced = errors.New("checkpoint: file was removed or replaced while it was open")

	// ErrSequence says that a record's sequence number is no number: empty, other characters than decimal digits, or
	// more than 999 of them. There is no Position for such a record.
	ErrSequence = errors.New("checkpoint: bad sequence number")

	// ErrInUse says that Copy has seen a sign of life of a worker of the group, which the error names by its row.
	ErrInUse = errors.New("checkpoint: group is in use")

	// ErrOccupied says that the destination of Copy has a row of the group that differs from the source. The error names it.
	ErrOccupied = errors.New("checkpoint: destination holds other rows of the group")

	// ErrCorrupt says that a File holds something that this package did not write. The error is a *CorruptError.
	ErrCorrupt = errors.New("checkpoint: file is corrupt")
)

// A CorruptError names the line of a File that is damaged, and what can be done. It wraps [ErrCorrupt].
type CorruptError struct {
	Path   string
	Line   int    // 1 is the first line of the file
	Reason string // what is wrong with the line
}

// Error names the file, the line, the reason and the remedy.
func (e *CorruptError) Error() string {
	if e.Line <= 1 {
		return fmt.Sprintf("checkpoint: %s: line %d: %s: choose another path, or restore a copy of the file", e.Path, e.Line, e.Reason)
	}
	return fmt.Sprintf("checkpoint: %s: line %d: %s: restore a copy of the file, or keep only its first %d lines "+
		"(what was written later is forgotten, and its records are delivered again)", e.Path, e.Line, e.Reason, e.Line-1)
}

// Unwrap returns ErrCorrupt.
func (e *CorruptError) Unwrap() error { return ErrCorrupt }

// A because is an error and its cause, in a text that names the package once.
type because struct{ err, cause error }

func (b because) Error() string {
	return b.err.Error() + ": " + strings.TrimPrefix(b.cause.Error(), "checkpoint: ")
}

func (b because) Unwrap() []error { return []error{b.err, b.cause} }

// notApplied returns err as the cause for which a write is known not to be applied.
func notApplied(err error) error { return because{ErrNotApplied, err} }

// checkSize refuses a value that not every Store takes.
func checkSize(e Entry) error {
	if len(e.Value) > MaxValue {
		return notApplied(fmt.Errorf("value of %q has %d bytes, the limit is %d", e.Key, len(e.Value), MaxValue))
	}
	return nil
}
