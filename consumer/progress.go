package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shardlane/shardlane/consumer/internal/lease"
	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/metrics"
)

const (
	doneSize     = 360      // of a done-set: 480 bytes in a row, which stays below 1 KiB with it, and with what a store adds
	lastDoneSize = 35 << 10 // of that of a release: below 48 KiB in its row, so that little comes again
)

// under is what the done-set of a shard means something under (C19): empty if it means nothing.
func under(id string, cfg *config) string {
	switch {
	case cfg.tumbling > 0:
		return "" // an open window is handled again from its first record on
	case cfg.deaggregate:
		return id + " user records"
	}
	return id
}

// checkpoint stores the mark and what is done above it, if they have changed.
func (sh *shard) checkpoint() {
	sh.gauge()
	sh.progressed.Store(int64(sh.turn.taken(time.Now(), sh.outcome.Load() != 0, sh.books.Figures()).Sub(sh.f.pool.began)))
	p, moved, err := sh.position(doneSize)
	if err != nil {
		_ = sh.unreadable(err)
	}
	at, ok := sh.covered()
	switch keep := sh.f.retention(); {
	case !ok:
	case moved && p.Arrival == 0: // C27
		p.Arrival = at.UnixMilli()
	case !moved && keep > 0 && at.Sub(time.UnixMilli(p.Arrival)) > keep/4:
		p.Arrival, moved = at.UnixMilli(), true // else a restart would think that records may be lost
	}
	if !moved || sh.lost.Load() || !sh.tenure.Valid() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(sh.handlers), storeTimeout)
	defer cancel()
	if sh.store("checkpoint", func() error { return sh.lease.Checkpoint(ctx, p) }) == nil {
		sh.books.Stored(p.Pos, p.Done)
	}
}

// release stores the mark and what is done above it, and gives the lease up, to another worker or to nobody.
func (sh *shard) release(ctx context.Context, to string) error {
	defer sh.cut()
	if sh.lost.Load() {
		return nil
	}
	pause := sh.rnd.backoff(100*time.Millisecond, time.Second)
	for {
		p, _, bad := sh.position(lastDoneSize)
		if at, ok := sh.covered(); ok {
			p.Arrival = max(p.Arrival, at.UnixMilli())
		}
		if bad != nil {
			bad = sh.unreadable(bad)
		}
		err := sh.store("release", func() error {
			ctx, cancel := context.WithTimeout(ctx, storeTimeout)
			defer cancel()
			return sh.lease.Release(ctx, p, to)
		})
		if err == nil || sh.lost.Load() {
			return bad
		}
		if !sleep(ctx, nil, pause.NextBackOff()) {
			return err
		}
	}
}

// position is what a checkpoint would store now, with a done-set of limit bytes at most. An error says that no checkpoint can
// be made.
func (sh *shard) position(limit int) (p lease.Progress, moved bool, err error) {
	pos, done, at, moved, err := sh.books.Position(limit)
	p = lease.Progress{Pos: pos, Done: done}
	switch {
	case !moved:
		p.Arrival = sh.lease.Row().Arrival
	case !at.IsZero(): // else it is unknown
		p.Arrival = at.UnixMilli()
	}
	return p, moved, err
}

// whole is until when nothing that arrived is missing of the shard, and nothing of its children can be, in milliseconds since
// 1970: they have nothing that is older than what it has.
func (sh *shard) whole() int64 {
	p, _, _ := sh.position(lastDoneSize)
	return max(p.Arrival, sh.lease.Row().Arrival)
}

// covered tells up to which time of the service everything that arrived is covered by the position: the shard was read to
// its tip then, and all of it has its outcome.
func (sh *shard) covered() (at time.Time, ok bool) {
	last := sh.read.Load()
	if !last.tip() || !sh.books.Idle() {
		return time.Time{}, false
	}
	return last.now, true
}

// unreadable tells of a sequence number that is no number (C28).
func (sh *shard) unreadable(err error) error {
	return sh.tell.Fail(metrics.SequenceUnreadable, tell.Failure{
		Op: "position", Err: err,
		Hint: "the service does not number its records as Kinesis does: no checkpoint is kept of this shard, and all that it has comes again after a restart",
	})
}

// store makes one write and draws the conclusions. The error it returns is an *Error.
func (sh *shard) store(op string, write func() error) error {
	err := write()
	f := tell.Failure{
		Op: op, Err: err,
		Hint: "the store did not take the write; records handled since the last checkpoint come again after a restart",
	}
	switch {
	case err == nil:
		sh.tell.Mend("checkpoint", "release", "end")
		return nil
	case errors.Is(err, lease.ErrReleased): // it ended meanwhile
		return sh.f.out.Wrap(sh.id, f)
	case errors.Is(err, lease.ErrLost):
		f.Err = fmt.Errorf("%w: %w", ErrLeaseLost, err)
		f.Hint = "another worker has the shard, and goes on from its last checkpoint"
		return sh.lose(metrics.LeaseLost, f)
	case errors.Is(err, lease.ErrRollback):
		f.Hint = "the store lost acknowledged writes, for example in a failover; records come again from its older state"
		return sh.lose(metrics.StoreRollback, f)
	}
	return sh.tell.Fail(metrics.CheckpointFailed, f)
}
