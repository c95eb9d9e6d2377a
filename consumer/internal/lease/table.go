// Package lease keeps one row per shard in a checkpoint.Store: who owns the
// shard, and how far it was read. Owner and checkpoint change in one write, a
// compare-and-swap on the revision last seen, so a worker that lost a shard
// cannot move its checkpoint.
//
// A [Table] is the rows of one stream in one group. [Table.Claim] makes a
// [Lease], the right to write one row; it ends by [Lease.Release] or
// [Lease.End], or when another owner is found in the row.
//
// A write whose reply was lost may have been applied, or may be applied later.
// Nothing here retries: an operation that fails is repeated by its caller, with
// the caller's backoff, and first reads back what became of the earlier one. Every
// operation is safe to repeat.
//
// A [Group] is a worker's membership: heartbeats in a row of its own, and a look
// at those of the others. Its [Tenure] is the time in which this worker may claim
// and work; a member whose row stays unchanged for [Term] is declared dead, which
// is what frees its leases. No clock of another host takes part. Only Group.Run
// starts goroutines.
package lease

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/shardlane/shardlane/checkpoint"
)

// A Table reads and writes the rows of one stream for one group. It is safe for
// concurrent use.
type Table struct {
	// Restored, if set, is called after the row of a held lease was found gone
	// and was put back. It is set before the first use, must return soon, and
	// must not use the lease.
	Restored func(shard string, r Row)

	tenure        *Tenure
	store         checkpoint.Store
	group, stream string
	owner         string
}

// NewTable returns the Table of stream, "account:name:creationEpoch", in group,
// for a worker that nobody shares the store with: it takes every row over, and
// is valid for ever. owner is "<worker>/<incarnation>"; the incarnation is new at
// every start of a process and used by one Table per stream, as it tells one's
// own writes from all others.
func NewTable(store checkpoint.Store, group, stream, owner string) *Table {
	return newTenure(store, group, owner, &marks{}, true).Table(stream)
}

// metaKey returns the key of the row of the stream.
func (t *Table) metaKey() string {
	return url.PathEscape(t.group) + "/stream/" + url.PathEscape(t.stream)
}

// Key returns the key of the row of shard; of "", the prefix of all of them.
func (t *Table) Key(shard string) string {
	return leaseKey(t.group) + url.PathEscape(t.stream) + "/" + url.PathEscape(shard)
}

// leaseKey returns the prefix of the keys of all lease rows of group.
func leaseKey(group string) string { return url.PathEscape(group) + "/lease/" }

// Rows lists the rows of the stream by shard id. The list may be stale: it
// serves to choose what to do, never to do it. Rows that this version cannot
// read are returned apart, sorted by key, and concern their own shards only. The
// error is the store's.
func (t *Table) Rows(ctx context.Context) (map[string]Row, []*RowError, error) {
	prefix := t.Key("")
	list, err := t.store.List(ctx, prefix)
	if err != nil {
		return nil, nil, fmt.Errorf("lease: list the rows of stream %s: %w", t.stream, err)
	}
	rows := make(map[string]Row, len(list))
	var bad []*RowError
	for _, e := range list {
		shard := strings.TrimPrefix(e.Key, prefix)
		if plain, err := url.PathUnescape(shard); err == nil {
			shard = plain
		}
		r, err := decodeRow(e.Value)
		if err != nil {
			bad = append(bad, &RowError{Key: e.Key, Shard: shard, Err: err})
			continue
		}
		rows[shard] = r
	}
	slices.SortFunc(bad, func(a, b *RowError) int { return strings.Compare(a.Key, b.Key) })
	return rows, bad, nil
}

// Row returns the row of shard as it is now; false if there is none. Its error
// may be a *RowError.
func (t *Table) Row(ctx context.Context, shard string) (Row, bool, error) {
	e, r, err := t.get(ctx, shard)
	return r, err == nil && e.Revision != "", err
}

// get reads the row of shard. The Revision of an absent row is empty; that of
// one which cannot be decoded comes with a *RowError.
func (t *Table) get(ctx context.Context, shard string) (checkpoint.Entry, Row, error) {
	e, err := t.store.Get(ctx, t.Key(shard))
	if err != nil {
		return checkpoint.Entry{}, Row{}, fmt.Errorf("lease: read the row of %s: %w", shard, err)
	}
	if e.Revision == "" {
		return e, Row{}, nil
	}
	r, err := decodeRow(e.Value)
	if err != nil {
		return e, Row{}, &RowError{Key: t.Key(shard), Shard: shard, Err: err}
	}
	return e, r, nil
}

// swap writes r, signed, in place of the row with revision rev, and returns it
// as stored with its new revision. Its error wraps the store's.
func (t *Table) swap(ctx context.Context, shard string, r Row, rev string) (*Row, string, error) {
	value, err := r.encode()
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", checkpoint.ErrNotApplied, err)
	}
	e, err := t.store.Swap(ctx, checkpoint.Entry{Key: t.Key(shard), Value: value, Revision: rev})
	if err != nil {
		return nil, "", fmt.Errorf("lease: write the row of %s: %w", shard, err)
	}
	t.tenure.wrote.note(t.stream, shard, &r)
	return &r, e.Revision, nil
}

// Create puts the row of shard if there is none; one that exists already is
// left as it is, with a nil error. Parents and children are sorted, V and By
// are set. A row that this worker has written before and that is gone comes
// back with its epoch + 1 and no lower checkpoint; an owner that r names is older
// than that then, and does not count.
func (t *Table) Create(ctx context.Context, shard string, r Row) error {
	r = r.clone()
	slices.Sort(r.Parents)
	slices.Sort(r.Children)
	if last := t.tenure.wrote.last(t.stream, shard); last != nil {
		if last.Epoch >= r.Epoch {
			r.Owner, r.To, r.Epoch = "", "", last.Epoch+1
		}
		if r.Ck.Less(last.Ck) {
			r = r.at(last.progress())
		}
	}
	r.V, r.By = Version, t.tenure.sign()
	value, err := r.encode()
	if err != nil {
		return err
	}
	_, err = t.store.Swap(ctx, checkpoint.Entry{Key: t.Key(shard), Value: value})
	if err != nil && !errors.Is(err, checkpoint.ErrConflict) {
		return fmt.Errorf("lease: create the row of %s: %w", shard, err)
	}
	return nil
}

// Claim makes this worker the owner of shard: owner and epoch + 1 in one write.
// A row that names another owner is taken over if that owner is dead; Took tells
// whom from. Work starts at the checkpoint of the lease's Row, never at a listed
// one.
//
// ErrNoRow, ErrEnded, ErrRollback and a *RowError stay until somebody acts;
// ErrFenced stays for this Table. ErrHeld says that the owner lives, or that its
// death is not established yet. Any other error may be repeated: a claim of
// unknown result that turns out to have been applied is claimed anew, never
// adopted by reading alone. An error that wraps checkpoint.ErrConflict says that
// another worker wrote the row at this moment, ErrLapsed that this one may not
// claim before its next heartbeat.
func (t *Table) Claim(ctx context.Context, shard string) (*Lease, error) {
	for try := 1; ; try++ {
		if err := t.tenure.check(); err != nil {
			return nil, fmt.Errorf("%w: %s is not claimed", err, shard)
		}
		e, r, err := t.get(ctx, shard)
		switch {
		case err != nil:
			return nil, err
		case e.Revision == "":
			return nil, fmt.Errorf("%w: %s", ErrNoRow, shard)
		}
		if last := t.tenure.wrote.last(t.stream, shard); last != nil && r.Epoch < last.Epoch {
			return nil, fmt.Errorf("%w: %s has epoch %d after %d", ErrRollback, shard, r.Epoch, last.Epoch)
		}
		if r.Ended() {
			return nil, fmt.Errorf("%w: %s", ErrEnded, shard)
		}
		took := r.Owner
		if took == t.owner {
			took = ""
		}
		if _, own := t.tenure.mine(r.By); try > 1 && !own || try > maxTries {
			return nil, fmt.Errorf("lease: claim %s: %w: it belongs to %q", shard, checkpoint.ErrConflict, r.Owner)
		}
		if err := t.gone(ctx, shard, took); err != nil {
			return nil, err
		}
		if err := t.tenure.check(); err != nil { // reading took its time
			return nil, fmt.Errorf("%w: %s is not claimed", err, shard)
		}
		r.Owner, r.To, r.Epoch = t.owner, "", r.Epoch+1
		r.V, r.By = Version, t.tenure.sign()
		stored, rev, err := t.swap(ctx, shard, r, e.Revision)
		switch {
		case err == nil:
			return &Lease{table: t, shard: shard, took: took, row: stored, rev: rev}, nil
		case !errors.Is(err, checkpoint.ErrConflict):
			return nil, err
		}
	}
}

// gone returns nil if owner, whom the row of shard names, is dead for good or is
// nobody. One who has no member row is buried: it gets one that says so, and that
// dies like any other. That there is none says nothing.
func (t *Table) gone(ctx context.Context, shard, owner string) error {
	if owner == "" || t.tenure.sole {
		return nil
	}
	key := memberKey(t.group, owner)
	e, err := t.store.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("lease: claim %s: read the member row of %s: %w", shard, owner, err)
	}
	if e.Revision == "" {
		value, err := member{v: Version, by: t.tenure.sign(), st: lost, weight: 1}.encode()
		if err == nil {
			_, err = t.store.Swap(ctx, checkpoint.Entry{Key: key, Value: value})
		}
		if err != nil && !errors.Is(err, checkpoint.ErrConflict) {
			return fmt.Errorf("lease: claim %s: put a member row for %s, which has none: %w", shard, owner, err)
		}
		return fmt.Errorf("%w: %s names %s, which had no member row and may be dead in %v", ErrHeld, shard, owner, Term)
	}
	m, err := decodeMember(e.Value)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %s names %s: %w", ErrHeld, shard, owner, err)
	case m.st != dead:
		return fmt.Errorf("%w: %s names %s, which is %s", ErrHeld, shard, owner, m.st)
	}
	return nil
}
