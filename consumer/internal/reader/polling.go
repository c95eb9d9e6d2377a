package reader

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	"github.com/cenkalti/backoff/v4"

	"github.com/shardlane/shardlane/checkpoint"
)

const (
	minInterval     = 200 * time.Millisecond // 5 calls/s and shard (L16)
	maxIdleInterval = 5 * time.Second
	throttledPace   = time.Second     // the pace after a throttle (L16)
	takeover        = 5 * time.Second // the owner before may have spent the shard's calls (L16)
	bytesPerSecond  = 2_000_000       // what a shard serves (L16)
)

// A Client makes the two calls that reading takes.
type Client interface {
	GetShardIterator(context.Context, *kinesis.GetShardIteratorInput, ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error)
	GetRecords(context.Context, *kinesis.GetRecordsInput, ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error)
}

// A Page is what one GetRecords call returned, less the records that an earlier page had.
type Page struct {
	Records  []types.Record
	Behind   time.Duration      // MillisBehindLatest
	Now      time.Time          // the service's clock, to the second; the local one where the reply names none
	End      bool               // the shard is closed and this is its last page
	Children []types.ChildShard // at the end
}

// A Sink takes what a Poller reads. Its methods are called by one goroutine at a time.
type Sink interface {
	// Room is false while the read-ahead is full. The Poller is then parked until Scheduler.Wake.
	Room() bool
	// Page takes a page. It returns false to end reading.
	Page(Page) bool
	// Failed tells that a call failed. Reading goes on after a pause.
	Failed(op string, err error)
	// Children lists the shards that name this one as parent, for a shard whose last page names none.
	Children(context.Context) ([]types.ChildShard, error)
	// Missing tells that the service does not know the shard, its stream, or a position in it. Reading ends if it
	// returns false.
	Missing(context.Context, error) bool
	// Trimmed tells that the position from is not valid any more, and that reading goes on at the oldest record.
	Trimmed(from checkpoint.Position, err error)
	// Lagging tells, before each page but the first, how old the oldest record may have been that was not read yet: how
	// far reading was behind at the page before, and the time since.
	Lagging(behind time.Duration)
}

// A Poller reads one shard by GetRecords. It is used by one Scheduler only.
//
// The Poller never calls more than 5 times a second, pays for each page with the time that a shard takes to serve it,
// keeps its iterator over failures, and replaces an expired one behind the last record that it has fetched (L16).
// A call ends when its reply is silent, not when it is long, and a page that does not come through is asked for in
// smaller ones (see call and fit).
type Poller struct {
	Client Client
	Stream string // name or ARN
	Shard  string
	From   checkpoint.Position // where reading starts
	Sink   Sink
	Pause  backoff.BackOff                         // after failures
	Idle   func(idle bool) time.Duration           // the interval of a caught-up shard: Scheduler.SetIdle
	Reply  func(service, sent, received time.Time) // told of each reply that names its time; may be nil
	Long   func(silent bool)                       // a poll takes long: Scheduler.Long

	over      bool // reading has ended, whoever wakes
	began     time.Time
	iterator  string
	lastSeq   string       // of the last record fetched
	notBefore time.Time    // of the next call
	replies   [5]time.Time // to the last calls of GetRecords, in a ring
	calls     int
	resigned  bool // a call was sent again for its signature

	behind   time.Duration // at the last good reply
	lastRead time.Time     // when it was asked for
	lastNow  time.Time     // its time by the service's clock

	fit     fit
	silence *time.Timer // of the poll that runs: calls Long
	refusal refusal
}

// Poll makes the next call. It implements the poll function of a Scheduler's Entry.
func (p *Poller) Poll(ctx context.Context) (next time.Time, ok bool) {
	if p.over || ctx.Err() != nil {
		return time.Time{}, false
	}
	if now := time.Now(); now.Before(p.notBefore) {
		return p.notBefore, true
	}
	if !p.Sink.Room() {
		p.Idle(false)
		return time.Time{}, false
	}
	if p.began.IsZero() {
		p.began = time.Now()
	}
	p.silence = time.AfterFunc(hangTime, func() { p.Long(true) })
	defer p.silence.Stop()
	slow := time.AfterFunc(slowTime, func() { p.Long(false) })
	defer slow.Stop()
	if p.iterator == "" {
		if err := p.locate(ctx); err != nil {
			return p.failed(ctx, "GetShardIterator", err)
		}
		if p.iterator == "" {
			return p.unlocated(ctx)
		}
	}
	start := time.Now()
	out, replied, err := p.get(ctx)
	p.replies[p.calls%len(p.replies)] = replied
	p.calls++
	if err != nil {
		p.notBefore = p.spaced(start.Add(minInterval))
		return p.failed(ctx, "GetRecords", err)
	}
	return p.got(ctx, start, replied, out)
}

// spaced is t, or when the next call may start: a second after the reply to the fifth before it, since the service counts
// calls when they reach it.
func (p *Poller) spaced(t time.Time) time.Time {
	free := p.replies[p.calls%len(p.replies)].Add(time.Duration(len(p.replies)) * minInterval)
	if free.After(t) {
		return free
	}
	return t
}

// got delivers a reply.
func (p *Poller) got(ctx context.Context, start, replied time.Time, out *kinesis.GetRecordsOutput) (next time.Time, ok bool) {
	page := Page{Behind: time.Duration(aws.ToInt64(out.MillisBehindLatest)) * time.Millisecond}
	page.Now = p.clock(out.ResultMetadata, start)
	if !p.lastRead.IsZero() { // a host that slept knows of it by the service's clock
		p.Sink.Lagging(p.behind + max(start.Sub(p.lastRead), page.Now.Sub(p.lastNow)))
	}
	bytes := 0
	for i := range out.Records {
		bytes += len(out.Records[i].Data)
	}
	page.Records = p.fresh(out.Records)

	p.iterator = aws.ToString(out.NextShardIterator)
	if p.iterator == "" {
		p.silence.Reset(hangTime)
		children, err := p.children(ctx, out)
		p.silence.Stop()
		if err != nil || len(children) == 0 {
			// Not an end but a read error. The records are kept, the iterator is taken anew behind them.
			if err == nil {
				err = fmt.Errorf("shard %s ended without children", p.Shard)
			}
			if len(page.Records) > 0 && !p.deliver(page) {
				return p.end()
			}
			return p.failed(ctx, "GetRecords", err)
		}
		page.End, page.Children = true, children
	}
	p.Pause.Reset()
	p.resigned = false
	p.behind, p.lastRead, p.lastNow = page.Behind, start, page.Now
	if !p.deliver(page) || page.End {
		return p.end()
	}
	interval := p.Idle(len(out.Records) == 0 && page.Behind == 0)
	if len(out.Records) > 0 || page.Behind > 0 {
		interval = minInterval
	}
	debt := time.Duration(bytes) * time.Second / bytesPerSecond
	p.notBefore = p.spaced(start.Add(max(interval, replied.Sub(start)+debt)))
	return p.notBefore, true
}

// clock is the service's time, by a reply to what was sent at start, and the local one where it names none.
func (p *Poller) clock(reply middleware.Metadata, start time.Time) time.Time {
	now := time.Now()
	t, ok := awsmiddleware.GetServerTime(reply)
	if !ok {
		return now
	}
	if p.Reply != nil {
		p.Reply(t, start, now)
	}
	return t
}

// end ends reading.
func (p *Poller) end() (next time.Time, ok bool) {
	p.over = true
	p.Idle(false)
	return time.Time{}, false
}

func (p *Poller) deliver(page Page) bool {
	if n := len(page.Records); n > 0 {
		p.lastSeq = aws.ToString(page.Records[n-1].SequenceNumber)
		p.refusal = refusal{}
	}
	return p.Sink.Page(page)
}

func (p *Poller) children(ctx context.Context, out *kinesis.GetRecordsOutput) ([]types.ChildShard, error) {
	for _, c := range out.ChildShards {
		if slices.Contains(c.ParentShards, p.Shard) {
			return out.ChildShards, nil
		}
	}
	return p.Sink.Children(ctx)
}

// failed decides what a failure means for the next call.
func (p *Poller) failed(ctx context.Context, op string, err error) (next time.Time, ok bool) {
	if ctx.Err() != nil {
		return time.Time{}, false
	}
	p.Idle(false)
	p.silence.Reset(hangTime) // what the sink asks for may hang, too
	wait := p.Pause.NextBackOff()
	var api smithy.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode() {
		case "InvalidSignatureException":
			if !p.resigned { // the SDK's client has learnt from the reply how far the clock is off
				p.resigned = true
				return p.notBefore, true
			}
		case "ExpiredIteratorException":
			p.iterator = ""
			p.Sink.Failed(op, err)
			return p.notBefore, true
		case "ResourceNotFoundException":
			p.iterator = ""
			if !p.Sink.Missing(ctx, err) {
				return p.end()
			}
		case "InvalidArgumentException":
			p.iterator = ""
			if !p.Sink.Missing(ctx, err) { // a stream that was created again knows no old position
				return p.end()
			}
			if op == "GetShardIterator" && p.refused(err) {
				return p.notBefore, true
			}
		}
	}
	if Throttled(err) {
		wait = max(wait, throttledPace)
		if time.Since(p.began) < takeover {
			wait = minInterval
			p.Pause.Reset()
		}
	}
	p.Sink.Failed(op, err)
	p.notBefore = p.spaced(time.Now().Add(wait))
	return p.notBefore, true
}

// Throttled tells whether the service refused a call for its rate.
func Throttled(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode() {
	case "ProvisionedThroughputExceededException", "LimitExceededException", "KMSThrottlingException", "ThrottlingException":
		return true
	}
	return false
}

// StreamID splits what names a stream into the fields of a request: exactly one of the two is not nil.
func StreamID(stream string) (name, arn *string) {
	if len(stream) > 4 && stream[:4] == "arn:" {
		return nil, &stream
	}
	return &stream, nil
}

// NoRetries switches the SDK's own retries off: the library owns retries, pauses and their budget.
func NoRetries(o *kinesis.Options) { o.Retryer = aws.NopRetryer{} }
