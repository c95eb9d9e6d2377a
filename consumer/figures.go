package consumer

import (
	"errors"
	"fmt"
	"time"

	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/metrics"
)

// status fills st, and returns how far the shard is behind.
func (sh *shard) status(st *ShardStatus, now time.Time) (behind time.Duration) {
	row := sh.lease.Row()
	switch {
	case sh.lost.Load():
		st.State, row = Lost, sh.now()
	case sh.done.Load():
		st.State = Ending
	case row.Owner == "":
		st.State = Waiting // it was given up, at the end of Run
	default:
		st.State = Running
	}
	st.Owner, st.Epoch, st.Checkpoint = row.Owner, row.Epoch, row.Ck
	f := sh.books.Figures()
	last := sh.read.Load()
	if _, closed := sh.books.Settled(); !closed && !last.over {
		st.ReadAge = now.Sub(last.at)
	}
	st.HeadAge = sh.head(now)
	now = now.Add(time.Until(sh.f.now())) // by the clock of arrivals
	st.QueueAge, st.CheckpointAge = age(now, f.Oldest), age(now, f.Unstored)
	st.LanesBusy, st.ReadAhead = int(sh.caller.busy.Load()), f.Charged
	st.Err = sh.tell.Latest()
	return max(st.QueueAge, st.HeadAge)
}

// head is how far the newest record read is behind the tip, as far as the last read that tells goes: from then on it grows
// if reads fail, hang, stay away or do not tell.
func (sh *shard) head(now time.Time) time.Duration {
	last := sh.read.Load()
	silent := now.Sub(last.asOf)
	if last.over {
		return 0
	}
	if _, closed := sh.books.Settled(); closed || sh.stopped() {
		return last.behind
	}
	if !last.told || silent > readPause+sh.f.cfg.poll || sh.tell.Failing("GetRecords", "GetShardIterator", "SubscribeToShard") {
		return last.behind + silent
	}
	return last.behind
}

const (
	readPause   = 10 * time.Second // longer than that, and what WithPollInterval says, no shard waits for its next read
	unreadLimit = 3 * time.Minute
	endless     = 15 * time.Minute // of a handler without a timeout: Lambda's maximum
	stillLimit  = time.Minute
)

// still tells of what stands still without failing: a handler, the reader, a lane.
func (sh *shard) still(now time.Time) error {
	if sh.stopped() {
		return nil
	}
	cfg := sh.f.cfg
	var errs []error
	tell := func(op, hint, format string, a ...any) {
		errs = append(errs, newError(sh.f.given(), sh.id, op, fmt.Errorf(format, a...), hint))
	}
	limit := endless
	if cfg.timeout > 0 {
		limit = cfg.timeout
	}
	for i := range sh.caller.began {
		began := sh.caller.began[i].Load()
		if began == 0 {
			continue
		}
		if ran := now.Sub(sh.f.pool.began) - time.Duration(began); ran >= limit+unwindTime {
			tell(handlerOp(i), "the handler must return when its context is done; the records behind it in its lane wait",
				"the handler has been running for %v", ran.Round(time.Second))
		}
	}
	f := sh.books.Figures()
	_, closed := sh.books.Settled()
	since := sh.read.Load().at
	if roomy := sh.f.pool.began.Add(time.Duration(sh.roomy.Load())); roomy.After(since) {
		since = roomy
	}
	if silent := now.Sub(since); silent >= unreadLimit && !closed && !sh.parked.Load() {
		tell("GetRecords", "a read of the shard hangs, or its line is slow", "the shard has not been read for %v", silent.Round(time.Second))
	}
	run := now.Sub(sh.f.pool.began)
	turns := sh.queued.Load() > 0 && run-time.Duration(sh.f.pool.turned.Load()) < max(limit, endless)+stillLimit
	waits := min(now.Sub(sh.f.pool.began)-time.Duration(sh.progressed.Load()), run-time.Duration(sh.turned.Load()))
	if f.Held > 0 && waits >= cfg.window+limit+stillLimit && !turns {
		tell("lanes", "their lane stands still; if WithMaxConcurrency is set, it may be too low for what runs at once",
			"no record of the shard has had an outcome for %v; it holds %s", waits.Round(time.Second), count(f.Held, "record"))
	}
	return errors.Join(errs...)
}

// age is how long ago t was, 0 if there is no t.
func age(now, t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return max(0, now.Sub(t))
}

// gauge records the ages and what is held.
func (sh *shard) gauge() {
	var st ShardStatus
	_ = sh.status(&st, time.Now())
	sh.tell.Records(
		tell.Value{Metric: metrics.HeadAge, Value: st.HeadAge.Seconds()},
		tell.Value{Metric: metrics.ReadAge, Value: st.ReadAge.Seconds()},
		tell.Value{Metric: metrics.QueueAge, Value: st.QueueAge.Seconds()},
		tell.Value{Metric: metrics.CheckpointAge, Value: st.CheckpointAge.Seconds()},
		tell.Value{Metric: metrics.ReadAheadBytes, Value: float64(st.ReadAhead)},
	)
}
