package reader

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/shardlane/shardlane/metrics"
)

const (
	subscribeOp    = "SubscribeToShard"
	subscribePause = time.Second      // between two calls for a shard: the service refuses an earlier one
	subscribeAgain = 5 * time.Second  // likewise from a call that succeeded, also when its subscription has ended since
	subscribeFor   = 5 * time.Minute  // then the service ends a subscription
	renewBefore    = time.Minute      // that much earlier it is renewed here, and by jitter up to 12 s more
	heldTime       = 30 * time.Second // a subscription that is not read is kept for so long
	trialPause     = time.Minute      // at least, between two tries to return to fan-out
)

var (
	errUnregistered = errors.New("the stream consumer is not registered")
	errNoStream     = errors.New("the reply has no event stream")
	errNoEvent      = errors.New("the subscription ended without an event")
	errEndless      = errors.New("an event names neither a continuation nor children of the shard")
	errSilent       = fmt.Errorf("nothing of the event stream has come in time: %w", context.DeadlineExceeded)
)

// A Pusher makes the call by which a shard is pushed.
type Pusher interface {
	SubscribeToShard(context.Context, *kinesis.SubscribeToShardInput, ...func(*kinesis.Options)) (*kinesis.SubscribeToShardOutput, error)
}

// A Registry knows the stream consumer that shards are read through. It is asked by many Sources at a time.
type Registry interface {
	// Consumer returns the ARN, empty while it is not registered.
	Consumer() string
	// Missing is told that the service does not know that ARN, or that it is empty. It may look for another one.
	Missing(ctx context.Context, arn string)
}

// A Subscriber reads one shard by SubscribeToShard: the same places, in the same order, to the same Sink as its Poller, which
// keeps them. A poll of its Entry is a subscription, from the call to the end, on a goroutine of its own.
//
// What ends a subscription is not taken at its word, since half a stream looks like a whole one: reading has come to the end
// of the shard when an event says so, by naming no continuation and the children. After any other end the Subscriber goes on
// behind the last continuation whose records are with the Sink. A service that leaves the children out is asked for them, once
// nothing comes behind the last record.
//
// A Sink without room is not read for; the service stops sending then. After 30 s the subscription is given up, until there is
// room. Silence counts only while something is waited for: after 15 s the connection is taken for dead.
type Subscriber struct {
	*Poller
	Pusher   Pusher
	Registry Registry
	Jitter   func(time.Duration) time.Duration // up to a fifth more
	Now      func() time.Time                  // the service's time
	Fallback time.Duration                     // after so long without an event reading goes on by polling; 0: never

	stop  context.Context // of the Source
	nudge chan struct{}   // there may be room again
	alone func(bool)

	continuation string    // of the last event that was delivered
	endless      bool      // the last event named neither a continuation nor children
	since        time.Time // of the first failure behind the last event; zero: there was none
	polls        bool      // reading goes on by polling
	trial        time.Time // of a subscription, while it does
}

// On makes a Source of the Subscriber, which is read from its first Wake on.
func (s *Subscriber) On(sched *Scheduler) Source {
	e := s.entry(sched, s.poll)
	s.alone = func(on bool) { sched.Alone(e, on) }
	s.alone(true)
	s.nudge = make(chan struct{}, 1)
	src := &pushing{polling: polling{sched, e}, nudge: s.nudge}
	s.stop, src.cancel = context.WithCancel(context.Background())
	return src
}

// A pushing is a Subscriber on its Scheduler.
type pushing struct {
	polling
	nudge  chan struct{}
	cancel context.CancelFunc
}

// Wake implements Source: a subscription that is held goes on, else the next one begins.
func (p *pushing) Wake() {
	select {
	case p.nudge <- struct{}{}:
	default:
	}
	p.polling.Wake()
}

// Stop implements Source. It ends a subscription at once.
func (p *pushing) Stop() <-chan struct{} {
	p.cancel()
	return p.polling.Stop()
}

// poll makes a subscription and reads it to its end, or polls once where subscriptions fail. It implements the poll function
// of a Scheduler's Entry.
func (s *Subscriber) poll(ctx context.Context) (next time.Time, ok bool) {
	now := time.Now()
	if s.polls {
		if now.Before(s.trial) || s.over {
			return s.Poller.poll(ctx)
		}
		s.polls = false // for one try, on a goroutine of its own
		s.idle(false, 0)
		s.alone(true)
		return now, true
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.stop, cancel)()
	if s.over || ctx.Err() != nil {
		return time.Time{}, false
	}
	if now.Before(s.notBefore) {
		return s.notBefore, true
	}
	if !s.room() {
		return time.Time{}, false
	}
	if s.began.IsZero() {
		s.began = now
	}
	s.silence = time.AfterFunc(hangTime, s.hangs) // Oracles reset it
	defer s.silence.Stop()
	if next, ok = s.subscribe(ctx); !ok || s.Fallback <= 0 || s.since.IsZero() {
		return next, ok
	}
	if fall := s.since.Add(s.Fallback); s.trial.IsZero() && time.Now().Before(fall) {
		s.notBefore = minTime(next, fall)
		return s.notBefore, true
	}
	return s.fall()
}

// fall goes on by polling, until the next trial.
func (s *Subscriber) fall() (next time.Time, ok bool) {
	if s.trial.IsZero() {
		s.Tell.Event(metrics.FanOutSuspended, nil, fmt.Sprintf("subscriptions have failed for %v: the shard is polled, and fan-out tried again every %v",
			time.Since(s.since).Round(time.Second), s.pause()))
	}
	s.polls, s.iterator, s.trial = true, "", time.Now().Add(s.pause())
	s.alone(false)
	s.notBefore = s.spaced(time.Now())
	return s.notBefore, true
}

// pause is the time between two trials.
func (s *Subscriber) pause() time.Duration { return max(s.Fallback, trialPause) }

// subscribe makes a subscription, and reads it to its end.
func (s *Subscriber) subscribe(ctx context.Context) (next time.Time, ok bool) {
	start := time.Now()
	s.notBefore = start.Add(subscribePause)
	if s.unsure {
		if fate := s.fate(ctx); fate == Unknown {
			return s.failed(ctx, "", errUnsure)
		} else if fate != Known {
			return s.end()
		}
		s.unsure = false
	}
	arn := s.Registry.Consumer()
	if arn == "" {
		s.Registry.Missing(ctx, arn)
		if arn = s.Registry.Consumer(); arn == "" {
			return s.failed(ctx, arn, errUnregistered)
		}
	}
	in := &kinesis.SubscribeToShardInput{ConsumerARN: &arn, ShardId: &s.Shard, StartingPosition: &types.StartingPosition{}}
	at := in.StartingPosition
	if at.Type, at.SequenceNumber, at.Timestamp = s.position(); s.goesOn() {
		at.Type, at.SequenceNumber, at.Timestamp = types.ShardIteratorTypeAfterSequenceNumber, aws.String(s.continuation), nil
	}
	sub, err := open(ctx, s.Pusher, in, s.patience())
	if err != nil {
		return s.failed(ctx, arn, err)
	}
	defer sub.close()
	s.notBefore = time.Now().Add(subscribeAgain)
	s.clock(sub.out.ResultMetadata, start)
	sub.until = time.Now().Add(subscribeFor - s.Jitter(renewBefore))
	for {
		ev, err := sub.next(ctx)
		switch {
		case ctx.Err() != nil:
			return time.Time{}, false
		case err != nil:
			return s.failed(ctx, arn, err)
		case ev == nil: // it was renewed, or has ended
			if !sub.served {
				return s.failed(ctx, arn, errNoEvent)
			}
			return s.notBefore, true
		}
		sub.served = true
		if more, err := s.take(ctx, ev); err != nil {
			return s.failed(ctx, arn, err)
		} else if !more {
			return s.end()
		}
		if !s.room() && !s.hold(ctx, sub) {
			return time.Time{}, false
		}
	}
}

// patience is how long a call may take until its first event.
func (s *Subscriber) patience() time.Duration {
	if s.Fallback > 0 && !s.since.IsZero() && s.trial.IsZero() { // not behind the time to fall
		return min(callTimeout, max(time.Until(s.since.Add(s.Fallback)), subscribePause))
	}
	return callTimeout
}

// goesOn tells whether the last continuation is where reading goes on: it is behind the last record, and no record is asked for
// again.
func (s *Subscriber) goesOn() bool {
	place, _, ok := s.place()
	if s.refusal.unread || s.continuation == "" || ok && !after(s.continuation, place) {
		return false
	}
	return true
}

// take delivers an event. It returns false when reading has come to its end.
func (s *Subscriber) take(ctx context.Context, ev *types.SubscribeToShardEvent) (more bool, err error) {
	start := time.Now()
	read := Read{Told: ev.MillisBehindLatest != nil, Behind: time.Duration(aws.ToInt64(ev.MillisBehindLatest)) * time.Millisecond, Now: s.Now()}
	if n := len(ev.Records); n > 0 { // an event has no time of its own
		if at := aws.ToTime(ev.Records[n-1].ApproximateArrivalTimestamp); at.After(read.Now) {
			read.Now = at
		}
	}
	s.lagging(start, read)
	if err := ordered(ev.Records); err != nil {
		return true, err
	}
	recs := s.fresh(ev.Records)
	next := aws.ToString(ev.ContinuationSequenceNumber)
	if next == "" {
		if read.Children = s.named(ev.ChildShards); read.Children == nil && s.endless && len(recs) == 0 && read.Told && read.Behind == 0 {
			s.silence.Reset(hangTime)
			read.Children, err = s.Oracle.Children(ctx, s.Shard)
			s.silence.Stop()
		}
		if read.End = len(read.Children) > 0; !read.End {
			s.endless = true
			if len(recs) > 0 && !s.deliver(recs, read) {
				return false, nil
			}
			return true, errors.Join(errEndless, err)
		}
	}
	s.endless = false
	s.resumed()
	s.Pause.Reset()
	s.resigned = false
	s.lag.read(start, read)
	if !s.deliver(recs, read) || read.End {
		return false, nil
	}
	if !s.refusal.unread {
		s.continuation = strings.Clone(next)
	}
	return true, nil
}

// resumed notes that subscriptions work.
func (s *Subscriber) resumed() {
	s.since = time.Time{}
	if !s.trial.IsZero() {
		s.trial = time.Time{}
		s.Tell.Event(metrics.FanOutResumed, nil, "the shard is not polled any more")
	}
}

// room tells whether there is room for an event. None is kept for it, since it may be long in coming.
func (s *Subscriber) room() bool {
	_, ok := s.Sink.Reserve()
	s.Sink.Release()
	return ok
}

// hold waits for room, with the subscription open and not read. It returns false if that takes too long.
func (s *Subscriber) hold(ctx context.Context, sub *subscription) bool {
	limit := time.NewTimer(min(heldTime, time.Until(sub.until)))
	defer limit.Stop()
	for {
		select {
		case <-s.nudge:
			if s.room() {
				return true
			}
		case <-limit.C:
			return false // and parked: who makes room wakes the Source
		case <-ctx.Done():
			return false
		}
	}
}

// failed decides what a failure means for the next subscription.
func (s *Subscriber) failed(ctx context.Context, arn string, err error) (next time.Time, ok bool) {
	if ctx.Err() != nil {
		return time.Time{}, false
	}
	if s.since.IsZero() {
		s.since = time.Now()
	}
	code := Code(err)
	switch {
	case code == "InvalidArgumentException" && s.continuation != "":
		s.continuation = "" // the last record, or the start, is asked for instead
		return s.notBefore, true
	case code == "ResourceInUseException" && time.Since(s.began) <= takeover:
		return s.notBefore, true // the owner before has subscribed a moment ago
	}
	earliest := s.notBefore
	if next, ok = s.Poller.failed(ctx, subscribeOp, err); !ok {
		return next, false
	}
	if code == "ResourceNotFoundException" && !s.unsure {
		s.Registry.Missing(ctx, arn)
	}
	if next.Before(earliest) {
		next = earliest
	}
	s.notBefore = next
	return next, true
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
