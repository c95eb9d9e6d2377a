package consumer

import (
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/tell"
)

// A State says what a shard of a running consumer is doing.
type State string

// The states of a shard.
const (
	Waiting   State = "waiting"   // its parents are not finished, or this worker has not claimed it, or has given it up
	Running   State = "running"   // it is read and handled
	Ending    State = "ending"    // all of it has been read; its end is being stored
	Ended     State = "ended"     // finished: its children may start
	Reached   State = "reached"   // it has reached the ending position
	Lost      State = "lost"      // this worker had it, and lost it without giving it up
	Elsewhere State = "elsewhere" // another worker of the group has it
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

// Ready is the readiness check: nil when the stream has been described, the store has taken this worker's first heartbeat, it
// knows who the other workers are, and every shard that it owns now has been read once. A worker without shards is ready.
// Before Run has come that far, while it drains, and while it does not run, Ready returns an [*Error] that says what it
// waits for.
func (s Status) Ready() error { return s.ready }

// Behind is the greatest lag of a shard: the age of its oldest record without an outcome, or how far reading is behind the
// tip. It grows while reads fail or hang, and while the stream cannot be opened or a shard not be claimed. It is zero when
// all shards are caught up, and while no shard runs and nothing fails. The shards of other workers are theirs to tell.
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
