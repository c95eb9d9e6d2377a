package reader

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	"github.com/cenkalti/backoff/v4"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/page"
	"github.com/shardlane/shardlane/consumer/internal/shardmap"
	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/consumer/internal/wire"
	"github.com/shardlane/shardlane/metrics"
)

// A Client makes the two calls that reading takes.
type Client interface {
	GetShardIterator(context.Context, *kinesis.GetShardIteratorInput, ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error)
	GetRecords(context.Context, *kinesis.GetRecordsInput, ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error)
}

// A Poller reads one shard by GetRecords. It is used by one Scheduler only.
//
// The Poller never calls more than 5 times a second, pays for each page with the time that a shard takes to serve it, calls
// less often while other consumers leave less (see quota and share), keeps its iterator over failures, and replaces an expired
// one behind the last record that it has fetched (L16).
// A call ends when its reply is silent, not when it is long, and a page that does not come through is asked for in
// smaller ones (see call and fit). One whose records are not in order is a failure.
type Poller struct {
	Client   Client
	Stream   string // name or ARN
	Shard    string
	From     checkpoint.Position // where reading starts
	Since    time.Time           // by the service's clock: nothing that arrived until then is missing; zero: unknown
	Interval time.Duration       // of calls at the tip of the shard; 0: as often as the limits and the Scheduler's budget allow
	Sink     Sink
	Oracle   Oracle
	Tell     *tell.Teller                            // of the shard
	Kept     func() time.Duration                    // the stream's retention; 0: unknown
	Pause    backoff.BackOff                         // after failures
	Line     *wire.Line                              // carries GetRecords
	Wire     *wire.Decoder                           // decodes replies
	Bare     bool                                    // the Client is the SDK's, which keeps nothing of what it has returned
	Reply    func(service, sent, received time.Time) // told of each reply that names its time; may be nil

	idle func(idle bool, spent time.Duration) time.Duration // the interval of a caught-up shard: Scheduler.SetIdle
	long func(silent bool)                                  // a poll takes long: Scheduler.Long

	over      bool // reading has ended, whoever wakes
	limit     int  // of records in the page that is asked for
	began     time.Time
	iterator  string
	lastSeq   string    // of the last record fetched
	notBefore time.Time // of the next call
	back      func()    // of the last reply: gives back the memory of its data
	quota     quota
	share     share
	resigned  bool // a call was sent again for its signature
	unsure    bool // the stream may be another one, which has to be asked before an iterator is taken

	lag     lag
	fit     fit
	silence *time.Timer // of the poll that runs: calls Long
	refusal refusal
}

// poll makes the next call. It implements the poll function of a Scheduler's Entry.
func (p *Poller) poll(ctx context.Context) (next time.Time, ok bool) {
	if p.over || ctx.Err() != nil {
		return time.Time{}, false
	}
	if time.Now().Before(p.notBefore) {
		return p.notBefore, true
	}
	limit, room := p.Sink.Reserve()
	if !room {
		p.idle(false, 0)
		return time.Time{}, false
	}
	defer p.Sink.Release()
	p.limit = limit
	if p.began.IsZero() {
		p.began = time.Now()
	}
	p.silence = time.AfterFunc(hangTime, p.hangs)
	defer p.silence.Stop()
	slow := time.AfterFunc(slowTime, func() { p.long(false) })
	defer slow.Stop()
	if p.iterator == "" {
		if p.unsure {
			if fate := p.fate(ctx); fate == Unknown {
				return p.failed(ctx, "GetShardIterator", errUnsure)
			} else if fate != Known {
				return p.end()
			}
			p.unsure = false
		}
		if err := p.locate(ctx); err != nil {
			return p.failed(ctx, "GetShardIterator", err)
		}
		if p.iterator == "" {
			return p.unlocated(ctx)
		}
	}
	out, c, err := p.get(ctx)
	p.quota.spend(c.replied)
	if err != nil {
		p.notBefore = p.spaced(c.began.Add(c.even()))
		return p.failed(ctx, "GetRecords", err)
	}
	return p.got(ctx, c, out)
}

// hangs lets nobody wait for a call without a sign of life.
func (p *Poller) hangs() {
	p.Sink.Release()
	p.long(true)
}

// got delivers a reply.
func (p *Poller) got(ctx context.Context, c *call, out *kinesis.GetRecordsOutput) (next time.Time, ok bool) {
	read := Read{Told: out.MillisBehindLatest != nil, Behind: time.Duration(aws.ToInt64(out.MillisBehindLatest)) * time.Millisecond}
	read.Now, read.back = p.clock(out.ResultMetadata, c.began), p.back
	p.back = nil
	p.lagging(c.began, read)
	p.quota.pay(c, out.Records)
	empty := len(out.Records) == 0
	if err := ordered(out.Records); err != nil {
		return p.failed(ctx, "GetRecords", err)
	}
	recs := p.fresh(out.Records)

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
			if len(recs) > 0 && !p.deliver(recs, read) {
				return p.end()
			}
			return p.failed(ctx, "GetRecords", err)
		}
		read.End, read.Children = true, children
	}
	p.Pause.Reset()
	p.resigned = false
	p.lag.read(c.began, read)
	if !p.deliver(recs, read) || read.End {
		return p.end()
	}
	p.notBefore = p.paced(c, empty, read)
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
	p.idle(false, 0)
	return time.Time{}, false
}

// deliver hands over what was read. A read that comes through mends what failed.
func (p *Poller) deliver(recs []types.Record, r Read) (more bool) {
	if n := len(recs); n > 0 {
		p.lastSeq = strings.Clone(aws.ToString(recs[n-1].SequenceNumber)) // what it is cut from is the page's
		p.refusal = refusal{}
	}
	p.Tell.Mend("GetRecords", "GetShardIterator", "SubscribeToShard")
	r.Page = page.New(recs, r.back)
	return p.Sink.Take(r)
}

// children are those that the last page names, or else the Oracle.
func (p *Poller) children(ctx context.Context, out *kinesis.GetRecordsOutput) (children []shardmap.Shard, err error) {
	if children = p.named(out.ChildShards); children != nil {
		return children, nil
	}
	return p.Oracle.Children(ctx, p.Shard)
}

// named are the children that a last page names, nil if it names none of this shard.
func (p *Poller) named(of []types.ChildShard) (children []shardmap.Shard) {
	if !slices.ContainsFunc(of, func(c types.ChildShard) bool { return slices.Contains(c.ParentShards, p.Shard) }) {
		return nil
	}
	for _, c := range of {
		children = append(children, ShardOf(c.ShardId, c.ParentShards, c.HashKeyRange))
	}
	return children
}

// failed decides what a failure means for the next call.
func (p *Poller) failed(ctx context.Context, op string, err error) (next time.Time, ok bool) {
	if ctx.Err() != nil {
		return time.Time{}, false
	}
	p.idle(false, 0)
	wait := p.Pause.NextBackOff()
	switch code := Code(err); code {
	case "InvalidSignatureException":
		if !p.resigned { // the SDK's client has learnt from the reply how far the clock is off
			p.resigned = true
			return p.notBefore, true
		}
	case "ExpiredIteratorException":
		p.iterator = ""
		p.expired(op, err)
		return p.notBefore, true
	case "ResourceNotFoundException", "InvalidArgumentException": // a stream that was created again knows no old position
		p.iterator = ""
		switch fate := p.fate(ctx); {
		case fate == Unknown:
			p.unsure = true // one that is good in any stream is not to be taken for that of this one
		case fate != Known:
			return p.end()
		case code == "InvalidArgumentException" && op != "GetRecords" && p.refused(err):
			return p.notBefore, true
		}
	}
	if Throttled(err) {
		wait = max(wait, throttledPace)
		if time.Since(p.began) < takeover {
			wait = minInterval
			p.Pause.Reset()
		} else if op == "GetRecords" && Code(err) == exceeded {
			p.share.throttled()
			// Who reads beside it may leave a gap now and then, at no time that is known, and slows down as soon as one call has
			// come through: waiting longer each time would leave the shard to the other.
			wait = throttledPace + wait%throttledPace
		}
	}
	p.troubled(op, err)
	p.notBefore = p.spaced(time.Now().Add(wait))
	return p.notBefore, true
}

// fate asks what became of the shard. The end of one that is gone is delivered, so that its children may start.
func (p *Poller) fate(ctx context.Context) Fate {
	p.silence.Reset(hangTime) // what the oracle asks for may hang, too
	fate, children := p.Oracle.Fate(ctx, p.Shard)
	p.silence.Stop()
	if fate == Trimmed {
		p.Tell.Event(metrics.RetentionLost, nil, "the shard is not listed any more; what was not read of it is lost")
		p.deliver(nil, Read{Now: time.Now(), End: true, Children: children})
	}
	return fate
}

// Code is the code of what the service has refused, empty for other errors.
func Code(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return ""
	}
	return api.ErrorCode()
}

// Throttled tells whether the service refused a call for its rate.
func Throttled(err error) bool {
	switch Code(err) {
	case exceeded, "LimitExceededException", "KMSThrottlingException", "ThrottlingException":
		return true
	}
	return false
}

// exceeded is the code of a call that found the limits of its shard used up.
const exceeded = "ProvisionedThroughputExceededException"

// StreamID splits what names a stream into the fields of a request: exactly one of the two is not nil.
func StreamID(stream string) (name, arn *string) {
	if len(stream) > 4 && stream[:4] == "arn:" {
		return nil, &stream
	}
	return &stream, nil
}

// NoRetries switches the SDK's own retries off: the library owns retries, pauses and their budget.
func NoRetries(o *kinesis.Options) { o.Retryer = aws.NopRetryer{} }
