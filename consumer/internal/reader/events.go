package reader

import (
	"errors"
	"fmt"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/metrics"
)

// expired tells that an iterator has.
func (p *Poller) expired(op string, err error) {
	p.Tell.Event(metrics.IteratorExpired, p.Tell.Error(tell.Failure{Op: op, Err: err}), "a new one is taken behind the last record read")
}

// troubled tells of a call that failed and will be made again.
func (p *Poller) troubled(op string, err error) {
	m, f := metrics.ReadFailed, tell.Failure{Op: op, Err: err, Hint: hint(op, err)}
	if Throttled(err) {
		m = metrics.ReadThrottled
		if Code(err) == exceeded && p.share.interval > 0 {
			f.Detail = fmt.Sprintf("others read the shard, too: reads of it now come %v apart, and closer again while they are not throttled", p.share.interval.Round(time.Millisecond))
		}
	}
	_ = p.Tell.Fail(m, f)
}

// hint says what to do about subscriptions that fail, where that is another thing than for other calls.
func hint(op string, err error) string {
	switch {
	case op != subscribeOp:
		return ""
	case errors.Is(err, errUnregistered):
		return "see what registering it says"
	case Code(err) == "ResourceInUseException":
		return "somebody else subscribes by the same stream consumer, or it is not ACTIVE: give every group a stream consumer of its own"
	case Code(err) == "ResourceNotFoundException":
		return "the stream consumer is gone: one that was given by its name is registered again, another one has to be registered by you"
	}
	return ""
}

// trimmed tells that the place is gone, and that reading goes on at the oldest record.
func (p *Poller) trimmed(err error) {
	from := p.From
	if p.lastSeq != "" {
		if pos, err := checkpoint.After(p.lastSeq); err == nil {
			from = pos
		}
	}
	p.Tell.Event(metrics.RetentionLost, p.Tell.Error(tell.Failure{
		Op: "GetShardIterator", Err: err, Hint: "what was not read before the oldest record is lost; a longer retention gives more time",
	}), fmt.Sprintf("position %s is not valid any more; reading goes on at the oldest record", from))
}

// A lag is how far reading was behind when a reply last told.
type lag struct {
	known  bool
	behind time.Duration // 0 before a reply has told
	asked  time.Time     // when it was asked for; zero: nothing has been read
	now    time.Time     // the same by the service's clock
	late   bool          // it has been told that records may be lost
}

// lagging tells once if the oldest record that was not read yet may be older than the stream keeps records (C30): reading
// was behind at the last reply that told, or had not begun, and time has passed since. A host that slept knows of that by
// the service's clock.
func (p *Poller) lagging(start time.Time, r Read) {
	l := &p.lag
	behind, kept := r.Now.Sub(p.Since), p.Kept()
	switch {
	case !l.asked.IsZero():
		behind = l.behind + max(start.Sub(l.asked), r.Now.Sub(l.now))
	case p.Since.IsZero():
		return
	}
	late := kept > 0 && behind > kept
	if late && !l.late {
		p.Tell.Event(metrics.RetentionLost, nil, fmt.Sprintf("reading was %v behind, and records are kept for %v: some may be lost", behind.Round(time.Second), kept))
	}
	l.late = late
}

// read notes a good reply. One that does not tell changes nothing, where there is something to keep.
func (l *lag) read(start time.Time, r Read) {
	if r.Told || !l.known {
		l.known, l.behind, l.asked, l.now = r.Told, r.Behind, start, r.Now
	}
}
