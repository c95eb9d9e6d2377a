package reader

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	"github.com/cenkalti/backoff/v4"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/page"
	"github.com/shardlane/shardlane/consumer/internal/shardmap"
	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/consumer/internal/wire"
	"github.com/shardlane/shardlane/metrics"
)

// A script is a Client that answers GetRecords from a list and notes iterators, limits and times. It is blind to options.
type script struct {
	replies []func() (*kinesis.GetRecordsOutput, error)
	locate  func(*kinesis.GetShardIteratorInput) error
	nowhere func(n int) bool // the n-th reply of GetShardIterator names no iterator
	limits  []int32
	pause   backoff.BackOff // of the Poller; nil: 400 ms
	began   time.Time
	calls   []time.Duration // of GetRecords, since the beginning
	used    []string        // iterators
	located []string        // types and positions
}

func (s *script) GetShardIterator(_ context.Context, in *kinesis.GetShardIteratorInput, _ ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error) {
	from := string(in.ShardIteratorType)
	if in.StartingSequenceNumber != nil {
		from += " " + *in.StartingSequenceNumber
	}
	if in.Timestamp != nil {
		from += fmt.Sprint(" ", in.Timestamp.UnixMilli())
	}
	s.located = append(s.located, from)
	if s.locate != nil {
		if err := s.locate(in); err != nil {
			return nil, err
		}
	}
	if s.nowhere != nil && s.nowhere(len(s.located)) {
		return &kinesis.GetShardIteratorOutput{}, nil
	}
	return &kinesis.GetShardIteratorOutput{ShardIterator: aws.String(fmt.Sprint("located ", len(s.located)))}, nil
}

func (s *script) GetRecords(ctx context.Context, in *kinesis.GetRecordsInput, _ ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error) {
	s.calls = append(s.calls, time.Since(s.began))
	s.used = append(s.used, *in.ShardIterator)
	s.limits = append(s.limits, *in.Limit)
	if len(s.replies) == 0 {
		return &kinesis.GetRecordsOutput{NextShardIterator: in.ShardIterator, MillisBehindLatest: aws.Int64(0)}, nil
	}
	next := s.replies[0]
	s.replies = s.replies[1:]
	if next == nil { // it hangs
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return next()
}

// reply is a page of records with the given sequence numbers and 10 bytes each.
func reply(next string, behind int64, seqs ...string) func() (*kinesis.GetRecordsOutput, error) {
	out := &kinesis.GetRecordsOutput{MillisBehindLatest: &behind}
	if next != "" {
		out.NextShardIterator = &next
	}
	for _, s := range seqs {
		out.Records = append(out.Records, types.Record{SequenceNumber: aws.String(s), Data: make([]byte, 10)})
	}
	return func() (*kinesis.GetRecordsOutput, error) { return out, nil }
}

// untold is a reply that does not say how far behind it is.
func untold(next string, seqs ...string) func() (*kinesis.GetRecordsOutput, error) {
	return func() (*kinesis.GetRecordsOutput, error) {
		out, err := reply(next, 0, seqs...)()
		out.MillisBehindLatest = nil
		return out, err
	}
}

func refuse(code string) func() (*kinesis.GetRecordsOutput, error) {
	return func() (*kinesis.GetRecordsOutput, error) {
		return nil, &smithy.GenericAPIError{Code: code, Message: "refused"}
	}
}

// A log is a Sink and an Oracle that writes everything down, and what a Poller tells.
type log struct {
	full     bool
	limit    int // 0: MaxRecords
	until    int // pages taken, 0: all
	kept     time.Duration
	reads    []Read
	entries  []string
	details  []string
	failed   func(error)
	children []shardmap.Shard
	fate     Fate
}

func (l *log) Release() {}

func (l *log) Reserve() (int, bool) { return cmp.Or(l.limit, MaxRecords), !l.full }
func (l *log) Take(r Read) bool {
	l.reads = append(l.reads, r)
	return l.until == 0 || len(l.reads) < l.until
}

func (l *log) Children(context.Context, string) ([]shardmap.Shard, error) {
	l.entries = append(l.entries, "children")
	return l.children, nil
}

func (l *log) Fate(context.Context, string) (Fate, []shardmap.Shard) {
	l.entries = append(l.entries, "fate")
	return l.fate, l.children
}

func (l *log) retention() time.Duration { return l.kept }

// teller writes events down: the name, and what failed or was lost.
func (l *log) teller() *tell.Teller {
	o := &tell.Outlet{
		Logger: slog.New(slog.DiscardHandler), Recorder: metrics.Discard{}, Apart: func(f func()) { f() },
		Wrap: func(_ string, f tell.Failure) error { return failure(f) }, Text: func(error) (text, hint string) { return "", "" },
	}
	o.Notify = func(n tell.Notice) {
		what, _, _ := strings.Cut(n.Detail, " is not")
		if f, ok := n.Err.(failure); ok { //nolint:errorlint // as Wrap makes it
			if l.failed != nil {
				l.failed(f.Err)
			}
			if what = f.Op; n.Event == metrics.RetentionLost {
				what, _, _ = strings.Cut(n.Detail, " is not")
			}
		}
		l.entries = append(l.entries, n.Event.Name+" "+what)
		l.details = append(l.details, n.Detail)
	}
	return o.Teller("shard")
}

type failure tell.Failure

func (f failure) Error() string { return f.Op + ": " + f.Err.Error() }

// seqs is what was delivered.
func (l *log) seqs() (all []string) {
	for _, r := range l.reads {
		all = append(all, seqs(r.Page)...)
	}
	return all
}

func seqs(p *page.Page) (all []string) {
	items, _ := p.Items(nil)
	for _, it := range items {
		all = append(all, it.Seq())
	}
	return all
}

// A double is what a Poller of a test reads for.
type double interface {
	Sink
	Oracle
	teller() *tell.Teller
	retention() time.Duration
}

// poller returns a Poller that no Scheduler polls.
func poller(c Client, d double, from checkpoint.Position) *Poller {
	return &Poller{
		Client: c, Line: new(wire.Line), Wire: new(wire.Decoder), Stream: "orders", Shard: "shard", From: from, Sink: d, Oracle: d, Tell: d.teller(), Kept: d.retention,
		Pause: &backoff.ZeroBackOff{}, idle: func(bool, time.Duration) time.Duration { return time.Second }, long: func(bool) {},
	}
}

// poll runs a Poller for d of the bubble's time.
func poll(t *testing.T, s *script, l *log, from checkpoint.Position, d time.Duration) *Poller {
	t.Helper()
	s.began = time.Now()
	sched := scheduled(t)
	p := poller(s, l, from)
	p.Pause = backoff.NewConstantBackOff(400 * time.Millisecond)
	if s.pause != nil {
		p.Pause = s.pause
	}
	src := p.On(sched)
	src.Wake()
	time.Sleep(d)
	<-src.Stop()
	return p
}

func equal[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

const ms = time.Millisecond
