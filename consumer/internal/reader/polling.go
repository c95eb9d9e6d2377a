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
	"github.com/cenkalti/backoff/v4"

	"github.com/shardlane/shardlane/checkpoint"
)

const (
	minInterval     = 200 * time.Millisecond // 5 calls/s and shard (L16)
	maxIdleInterval = 5 * time.Second
	throttledPace   = time.Second // the pace after a throttle (L16)
	bytesPerSecond  = 2_000_000   // what a shard serves (L16)
	callTimeout     = 15 * time.Second
	pageLimit       = 10_000 // records, the service's maximum
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
	Skew     time.Duration      // what the service's clock is ahead of the local one, 0 unless it exceeds a second
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
	// Lagging tells how old the oldest record was that could have been read, before a page of a shard that is behind.
	Lagging(behind time.Duration)
}

// A Poller reads one shard by GetRecords. It is used by one Scheduler only.
//
// The Poller never calls more than 5 times a second, pays for each page with the time that a shard takes to serve it,
// keeps its iterator over failures, and replaces an expired one behind the last record that it has fetched (L16).
type Poller struct {
	Client Client
	Stream string // name or ARN
	Shard  string
	From   checkpoint.Position // where reading starts
	Sink   Sink
	Pause  backoff.BackOff               // after failures
	Idle   func(idle bool) time.Duration // the interval of a caught-up shard: Scheduler.SetIdle

	over      bool // reading has ended, whoever wakes
	iterator  string
	lastSeq   string    // of the last record fetched
	notBefore time.Time // of the next call
	behind    time.Duration
	lastRead  time.Time
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
	if p.iterator == "" {
		if err := p.locate(ctx); err != nil {
			return p.failed(ctx, "GetShardIterator", err)
		}
	}
	start := time.Now()
	out, err := p.get(ctx)
	if err != nil {
		p.notBefore = start.Add(minInterval)
		return p.failed(ctx, "GetRecords", err)
	}
	return p.got(ctx, start, out)
}

// got delivers a reply.
func (p *Poller) got(ctx context.Context, start time.Time, out *kinesis.GetRecordsOutput) (next time.Time, ok bool) {
	if p.behind > 0 {
		p.Sink.Lagging(p.behind + start.Sub(p.lastRead))
	}
	page := Page{
		Behind: time.Duration(aws.ToInt64(out.MillisBehindLatest)) * time.Millisecond,
		Now:    time.Now(),
	}
	if t, ok := awsmiddleware.GetServerTime(out.ResultMetadata); ok {
		page.Now, page.Skew = t, Skew(t, start, time.Now())
	}
	bytes := 0
	for i := range out.Records {
		bytes += len(out.Records[i].Data)
	}
	page.Records = p.fresh(out.Records)

	p.iterator = aws.ToString(out.NextShardIterator)
	if p.iterator == "" {
		children, err := p.children(ctx, out)
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
	p.behind, p.lastRead = page.Behind, start
	if !p.deliver(page) || page.End {
		return p.end()
	}
	interval := p.Idle(len(out.Records) == 0 && page.Behind == 0)
	if len(out.Records) > 0 || page.Behind > 0 {
		interval = minInterval
	}
	debt := time.Duration(bytes) * time.Second / bytesPerSecond
	p.notBefore = start.Add(max(interval, debt))
	return p.notBefore, true
}

// Skew is what the service's clock is ahead of the local one, by a reply that names its second, 0 unless that is more than
// a second for certain (C9): the service was asked at sent, or later, and had answered at received.
func Skew(service, sent, received time.Time) time.Duration {
	ahead, back := service.Sub(received), service.Add(time.Second).Sub(sent)
	switch {
	case ahead > time.Second:
		return ahead
	case back < -time.Second:
		return back
	}
	return 0
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
	}
	return p.Sink.Page(page)
}

// fresh is rs without the records that have been delivered: a service that serves a page twice must not make a
// duplicate.
func (p *Poller) fresh(rs []types.Record) []types.Record {
	for len(rs) > 0 && p.lastSeq != "" && !after(aws.ToString(rs[0].SequenceNumber), p.lastSeq) {
		rs = rs[1:]
	}
	return rs
}

// after compares sequence numbers as the integers they are (L37).
func after(a, b string) bool {
	if len(a) != len(b) {
		return len(a) > len(b)
	}
	return a > b
}

func (p *Poller) children(ctx context.Context, out *kinesis.GetRecordsOutput) ([]types.ChildShard, error) {
	for _, c := range out.ChildShards {
		if slices.Contains(c.ParentShards, p.Shard) {
			return out.ChildShards, nil
		}
	}
	return p.Sink.Children(ctx)
}

// locate gets an iterator: behind the last record fetched, else at the start.
func (p *Poller) locate(ctx context.Context) error {
	in := &kinesis.GetShardIteratorInput{ShardId: &p.Shard}
	in.StreamName, in.StreamARN = StreamID(p.Stream)
	seq, _, whole, numeric := p.From.Sequence()
	at, timed := p.From.Time()
	switch {
	case p.lastSeq != "":
		in.ShardIteratorType, in.StartingSequenceNumber = types.ShardIteratorTypeAfterSequenceNumber, &p.lastSeq
	case numeric && whole:
		in.ShardIteratorType, in.StartingSequenceNumber = types.ShardIteratorTypeAfterSequenceNumber, &seq
	case numeric: // the rest of an aggregate: the record is read again
		in.ShardIteratorType, in.StartingSequenceNumber = types.ShardIteratorTypeAtSequenceNumber, &seq
	case timed:
		in.ShardIteratorType, in.Timestamp = types.ShardIteratorTypeAtTimestamp, &at
	default:
		in.ShardIteratorType = types.ShardIteratorTypeTrimHorizon
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := p.Client.GetShardIterator(ctx, in, NoRetries)
	if err != nil {
		return err
	}
	p.iterator = aws.ToString(out.ShardIterator)
	if p.iterator == "" {
		return errors.New("the reply names no iterator")
	}
	return nil
}

func (p *Poller) get(ctx context.Context) (*kinesis.GetRecordsOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	in := &kinesis.GetRecordsInput{ShardIterator: &p.iterator, Limit: aws.Int32(pageLimit)}
	_, in.StreamARN = StreamID(p.Stream)
	return p.Client.GetRecords(ctx, in, NoRetries)
}

// failed decides what a failure means for the next call.
func (p *Poller) failed(ctx context.Context, op string, err error) (next time.Time, ok bool) {
	if ctx.Err() != nil {
		return time.Time{}, false
	}
	p.Idle(false)
	wait := p.Pause.NextBackOff()
	var api smithy.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode() {
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
			// A time is never too old. One that is refused is ahead of the service's clock, and is waited for.
			if _, _, _, numeric := p.From.Sequence(); numeric && op == "GetShardIterator" && p.lastSeq == "" {
				p.Sink.Trimmed(p.From, err)
				p.From = checkpoint.TrimHorizon
			}
		}
	}
	if Throttled(err) {
		wait = max(wait, throttledPace)
	}
	p.Sink.Failed(op, err)
	p.notBefore = time.Now().Add(wait)
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
