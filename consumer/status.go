package consumer

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/metrics"
)

// A State says what a shard of a running consumer is doing.
type State string

// The states of a shard.
const (
	Waiting State = "waiting" // its parents are not finished, or it is about to be claimed
	Running State = "running" // it is read and handled
	Ending  State = "ending"  // all of it has been read; its end is being stored
	Ended   State = "ended"   // finished: its children may start
	Reached State = "reached" // it has come to the ending position
	Lost    State = "lost"    // somebody else has claimed it
)

// Status is what a consumer is doing at one moment. All ages are zero where nothing waits.
type Status struct {
	Worker string
	Shards []ShardStatus // sorted by shard ID; all that have a row: running ones and those that wait or have ended
	err    error
	behind time.Duration
}

// ShardStatus is the part of one shard. Ages, lanes and bytes are those of a shard that is owned here, else zero; ages
// are by the clock of this machine, except for HeadAge.
type ShardStatus struct {
	Group      string // of the consumer
	Stream     string // name or ARN as given
	Shard      string
	State      State
	Owner      string // worker/incarnation; empty if nobody owns it
	Epoch      int64  // of the lease; it grows with every change of owner
	Checkpoint checkpoint.Position

	HeadAge       time.Duration // distance of the newest record read from the tip
	ReadAge       time.Duration // since the last successful read
	QueueAge      time.Duration // age of the oldest record read without an outcome
	CheckpointAge time.Duration // age of the oldest record that the stored checkpoint does not cover
	LanesBusy     int           // handlers running
	ReadAhead     int64         // bytes charged

	Err error // the trouble it is in, an *Error; nil if none
}

// Err is the health check: nil while all goes well. It joins what concerns the consumer, such as a stream that is gone or
// a store that does not answer, and the trouble of each shard, both once they have lasted for 10 s; trouble that waiting
// does not mend, such as denied access, is told at once. A handler that keeps failing counts as trouble of its shard.
// Each is an [*Error], with a hint.
func (s Status) Err() error { return s.err }

// Behind is the greatest lag of a shard: how old the oldest record is that has no outcome yet, or how far reading is
// behind the tip. Zero when all shards are caught up, and while no shard runs.
func (s Status) Behind() time.Duration { return s.behind }

// A Notice tells of one event: a gap, a takeover, a loss, a stall or a degraded mode. Every event is also one log record
// and one counter, all by the same name; package metrics has the list of names ([metrics.Events]).
type Notice struct {
	Name   string // of the event, for example "LeaseTakenOver"
	Group  string // of the consumer
	Stream string // name or ARN as given
	Shard  string // empty if the event concerns the stream
	Time   time.Time
	Err    error  // what caused it, nil if nothing failed
	Detail string // one sentence; may be empty
}

// outlet is where a consumer of a stream tells of events.
func (c *config) outlet(stream string) *tell.Outlet {
	o := &tell.Outlet{
		Group: c.group, Stream: stream, Worker: c.worker, Logger: c.logger, Recorder: c.recorder, Final: permanent,
		Wrap: func(shard string, f tell.Failure) error {
			return newError(stream, shard, f.Op, f.Err, f.Hint)
		},
		Text: func(err error) (text, hint string) {
			if e, ok := err.(*Error); ok { //nolint:errorlint // the text of what wraps one has its hint
				return e.text(), e.Hint
			}
			return err.Error(), ""
		},
	}
	if c.notify != nil {
		o.Notify = func(n tell.Notice) {
			c.notify(Notice{Name: n.Event.Name, Group: c.group, Stream: stream, Shard: n.Shard, Time: n.Time, Err: n.Err, Detail: n.Detail})
		}
	}
	return o
}

// status is what the stream's shards are doing now.
func (s *stream) status(now time.Time) Status {
	s.mu.Lock()
	all := Status{Worker: s.c.cfg.worker, err: s.tell.Lasting(now)}
	if s.fatal != nil {
		all.err = join(s.fatal, all.err)
	}
	for id, r := range s.census.Rows() {
		st := ShardStatus{Group: s.c.cfg.group, Stream: s.c.stream, Shard: id, State: Waiting, Owner: r.Owner, Epoch: r.Epoch, Checkpoint: checkpoint.Position(r.Checkpoint)}
		if known := s.states[id]; known != "" {
			st.State = known
		}
		if r.Ended {
			st.State = Ended
		}
		all.Shards = append(all.Shards, st)
	}
	running := make(map[string]*shard, len(s.shards))
	maps.Copy(running, s.shards)
	s.mu.Unlock()
	slices.SortFunc(all.Shards, func(a, b ShardStatus) int { return strings.Compare(a.Shard, b.Shard) })
	errs := []error{all.err}
	for i := range all.Shards {
		if sh := running[all.Shards[i].Shard]; sh != nil {
			behind, lasting := sh.status(&all.Shards[i], now)
			errs = append(errs, lasting)
			all.behind = max(all.behind, behind)
		}
	}
	all.err = join(errs...)
	return all
}

// status fills st, and returns how far the shard is behind and the trouble that has lasted.
func (sh *shard) status(st *ShardStatus, now time.Time) (behind time.Duration, lasting error) {
	row := sh.lease.Row()
	st.Owner, st.Epoch, st.Checkpoint = row.Owner, row.Epoch, row.Ck
	switch {
	case sh.lost.Load():
		st.State = Lost
	case sh.done.Load():
		st.State = Ending
	default:
		st.State = Running
	}
	last, f := sh.read.Load(), sh.books.Figures()
	st.HeadAge, st.ReadAge = last.behind, now.Sub(last.at)
	st.QueueAge, st.CheckpointAge = age(now, f.Oldest), age(now, f.Unstored)
	st.LanesBusy, st.ReadAhead = int(sh.caller.busy.Load()), f.Charged
	st.Err = sh.tell.Latest()
	return max(st.QueueAge, st.HeadAge), sh.tell.Lasting(now)
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
	_, _ = sh.status(&st, time.Now())
	sh.tell.Record(metrics.HeadAge, st.HeadAge.Seconds())
	sh.tell.Record(metrics.ReadAge, st.ReadAge.Seconds())
	sh.tell.Record(metrics.QueueAge, st.QueueAge.Seconds())
	sh.tell.Record(metrics.CheckpointAge, st.CheckpointAge.Seconds())
	sh.tell.Record(metrics.ReadAheadBytes, float64(st.ReadAhead))
}
