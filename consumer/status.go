package consumer

import (
	"errors"
	"fmt"
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
	Waiting State = "waiting" // its parents are not finished, or this worker has not claimed it, or has given it up
	Running State = "running" // it is read and handled
	Ending  State = "ending"  // all of it has been read; its end is being stored
	Ended   State = "ended"   // finished: its children may start
	Reached State = "reached" // it has reached the ending position
	Lost    State = "lost"    // somebody else has claimed it
)

// Status is what a consumer is doing at one moment. All ages are zero where nothing waits.
type Status struct {
	Worker string
	// Distribution is how Kinesis places the stream's records, as its description says at the start and once a minute:
	// "USER_PARTITION_KEY" (by their keys), or "AUTO" (as Kinesis likes). It is empty when the description does not say, as
	// for streams of provisioned capacity, before there is one, and with a client that is not the SDK's.
	Distribution string
	Shards       []ShardStatus // sorted by shard ID; all that have a row: running ones and those that wait or have ended
	err          error
	ready        error
	behind       time.Duration
}

// ShardStatus is the status of one shard. Ages, lanes and bytes are zero unless this worker owns the shard. Ages are by the
// service's clock.
type ShardStatus struct {
	Group      string // of the consumer
	Stream     string // name or ARN as given
	Shard      string
	State      State
	Owner      string // worker/incarnation, of a lost shard the new one; empty if nobody owns it
	Epoch      int64  // of the lease; it grows with every change of owner
	Checkpoint checkpoint.Position

	HeadAge       time.Duration // how far the newest record read is behind the tip; it grows while reads fail, hang or do not tell
	ReadAge       time.Duration // since the last successful read; before the first one, since the claim; 0 when all is read
	QueueAge      time.Duration // age of the oldest record that was read and has no outcome
	CheckpointAge time.Duration // age of the oldest record that the stored checkpoint does not cover
	LanesBusy     int           // handlers running
	ReadAhead     int64         // bytes charged

	Err error // the trouble it is in, an *Error; nil if none
}

// Err is the health check: nil while all goes well. It joins the trouble of the consumer, such as a stream that is gone or a
// store that does not answer, and that of each shard. It reports
//
//   - at once, trouble that waiting does not mend, such as denied access;
//   - after 10 s, a step that keeps failing, such as a handler;
//   - 2 s after its timeout, a handler that has not returned; after 15 minutes, where it has no timeout;
//   - after 3 minutes, a shard that has room and was not read, whatever its reads do: a page may take that long on a slow
//     line;
//   - a lane that has stood still for a minute longer than its batching window and the handler's timeout, unless it waits
//     for its turn under WithMaxConcurrency while others have theirs.
//
// Each is an [*Error], with a hint.
func (s Status) Err() error { return s.err }

// Ready is the readiness check: nil when the stream has been described, its shards may be claimed, and every shard that this
// worker owns now has been read once. A worker without shards is ready. Before Run has come that far, while it drains, and
// while it does not run, Ready returns an [*Error] that says what it waits for.
func (s Status) Ready() error { return s.ready }

// Behind is the greatest lag of a shard: the age of its oldest record without an outcome, or how far reading is behind the
// tip. It grows while reads fail or hang, and while the stream cannot be opened or a shard not be claimed. It is zero when
// all shards are caught up, and while no shard runs and nothing fails.
func (s Status) Behind() time.Duration { return s.behind }

// A Notice is one event: a gap, a takeover, a loss, a stall or a degraded mode. Every event is also a log record and a
// counter with the same name. [metrics.Events] lists them.
type Notice struct {
	Name   string // of the event, for example "LeaseTakenOver"
	Group  string // of the consumer
	Stream string // name or ARN as given
	Shard  string // empty if the event concerns the stream
	Time   time.Time
	Err    error  // the cause; nil if nothing failed
	Detail string // one sentence; may be empty
}

// outlet is where a consumer of a stream tells of events.
func (c *config) outlet(stream string) *tell.Outlet {
	o := &tell.Outlet{
		Group: c.group, Stream: stream, Worker: c.worker, Logger: c.logger, Recorder: c.recorder, Final: permanent, Apart: apart,
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
	all := Status{Worker: s.c.cfg.worker, Distribution: s.placed.latest(), err: s.tell.Lasting(now), ready: s.unready()}
	if s.fatal != nil {
		all.err = join(s.fatal, all.err)
	}
	switch {
	case s.stopped:
	case !s.up:
		all.behind = s.tell.Lasted(now, "")
	default:
		all.behind = s.tell.Lasted(now, "claim ")
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
			behind := sh.status(&all.Shards[i], now)
			errs = append(errs, sh.tell.Lasting(now), sh.still(now))
			all.behind = max(all.behind, behind)
		}
	}
	all.err = join(errs...)
	return all
}

// unready says what the stream waits for before it is ready, nil if it is. The caller holds mu.
func (s *stream) unready() error {
	f := tell.Failure{Op: "ready"}
	switch {
	case s.stopped:
		f.Err, f.Hint = errors.New("the consumer is draining"), "its shards are given up"
	case !s.up:
		f.Err, f.Hint = errors.New("the stream is not opened yet"), "Status.Err tells what fails, if something does"
	default:
		for _, sh := range s.shards {
			if sh.read.Load().none && !sh.lost.Load() {
				return s.c.out.Wrap(sh.id, tell.Failure{Op: "ready", Err: errors.New("the shard has not been read yet"), Hint: "Status.Err tells what fails, if something does"})
			}
		}
		return nil
	}
	return s.c.out.Wrap("", f)
}

// status fills st, and returns how far the shard is behind.
func (sh *shard) status(st *ShardStatus, now time.Time) (behind time.Duration) {
	row := sh.lease.Row()
	switch {
	case sh.lost.Load():
		st.State, row = Lost, sh.lease.Its()
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
	now = now.Add(sh.s.now().Sub(time.Now())) // by the clock of arrivals
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
	if !last.told || silent > readPause || sh.tell.Failing("GetRecords", "GetShardIterator") {
		return last.behind + silent
	}
	return last.behind
}

const (
	readPause   = 10 * time.Second // longer than that no shard waits for its next read
	unreadLimit = 3 * time.Minute
	endless     = 15 * time.Minute // of a handler without a timeout: Lambda's maximum
	stillLimit  = time.Minute
)

// still tells of what stands still without failing: a handler, the reader, a lane.
func (sh *shard) still(now time.Time) error {
	if sh.stopped() {
		return nil
	}
	cfg := sh.s.c.cfg
	var errs []error
	tell := func(op, hint, format string, a ...any) {
		errs = append(errs, newError(sh.s.c.stream, sh.id, op, fmt.Errorf(format, a...), hint))
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
		if ran := now.Sub(sh.s.w.began) - time.Duration(began); ran >= limit+unwindTime {
			tell(handlerOp(i), "the handler must return when its context is done; the records behind it in its lane wait",
				"the handler has been running for %v", ran.Round(time.Second))
		}
	}
	f := sh.books.Figures()
	_, closed := sh.books.Settled()
	since := sh.read.Load().at
	if roomy := sh.s.w.began.Add(time.Duration(sh.roomy.Load())); roomy.After(since) {
		since = roomy
	}
	if silent := now.Sub(since); silent >= unreadLimit && !closed && !sh.parked.Load() {
		tell("GetRecords", "a read of the shard hangs, or its line is slow", "the shard has not been read for %v", silent.Round(time.Second))
	}
	run := now.Sub(sh.s.w.began)
	turns := sh.queued.Load() > 0 && run-time.Duration(sh.s.w.turned.Load()) < max(limit, endless)+stillLimit
	waits := min(now.Sub(time.Unix(0, sh.progressed.Load())), run-time.Duration(sh.turned.Load()))
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
