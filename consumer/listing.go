package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/shardlane/shardlane/consumer/internal/reader"
	"github.com/shardlane/shardlane/consumer/internal/shardmap"
	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/metrics"
)

// closed tells whether a shard was closed when the shards were last listed.
func (s *stream) closed(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.census.Closed(id)
}

// describe asks for the stream's identity and retention, and for how its records are placed.
func (s *stream) describe(ctx context.Context) (*types.StreamDescriptionSummary, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	in := &kinesis.DescribeStreamSummaryInput{}
	in.StreamName, in.StreamARN = reader.StreamID(s.given())
	var strategy string
	asked := s.now()
	out, err := s.client.DescribeStreamSummary(ctx, in, reader.NoRetries, readStrategy(&strategy))
	if err == nil && out.StreamDescriptionSummary == nil {
		err = errors.New("the reply describes no stream")
	}
	if err != nil {
		return nil, s.failed("DescribeStreamSummary", err, "")
	}
	s.tell.Mend("DescribeStreamSummary")
	s.placed.described(strategy, asked)
	d := out.StreamDescriptionSummary
	s.keep.Store(int64(time.Duration(aws.ToInt32(d.RetentionPeriodHours)) * time.Hour))
	return d, nil
}

// identify makes sure that the stream is still the one that was opened.
func (s *stream) identify(ctx context.Context) error {
	d, err := s.describe(ctx)
	if err != nil {
		return err
	}
	// A reply without the time of creation says nothing (C27).
	if created := aws.ToTime(d.StreamCreationTimestamp); !created.IsZero() && created.Unix() != s.created.Unix() {
		e := s.out.Wrap("", tell.Failure{
			Op:   "DescribeStreamSummary",
			Err:  fmt.Errorf("%w: it was created at %v, and this one at %v", ErrStreamRecreated, s.created.UTC(), created.UTC()),
			Hint: "start again: the new stream has rows of its own, and is read from the starting position",
		})
		s.mu.Lock()
		first := s.fatal == nil
		s.fatal = e
		s.mu.Unlock()
		if first {
			s.tell.Event(metrics.StreamRecreated, e, "")
			s.look()
		}
		return e
	}
	s.mu.Lock()
	s.identified = time.Now()
	s.mu.Unlock()
	return nil
}

// Fate implements reader.Oracle.
func (s *stream) Fate(ctx context.Context, shard string) (f reader.Fate, children []shardmap.Shard) {
	v := s.verify(ctx)
	switch {
	case errors.Is(v.err, ErrStreamRecreated):
		return reader.Void, nil
	case !v.same:
		return reader.Unknown, nil
	}
	newest := ""
	for _, l := range v.listed {
		newest = max(newest, l.ID)
		if l.ID == shard {
			return reader.Known, nil
		}
	}
	if v.err != nil || newest < shard {
		return reader.Known, nil // what is newer than the list is not gone, but not listed yet
	}
	return reader.Trimmed, childrenOf(v.listed, shard)
}

// A verdict is what the service said of the stream when shards were in doubt.
type verdict struct {
	asked  time.Time
	same   bool // it is the one that was opened
	listed []shardmap.Shard
	err    error
}

// verify makes sure that the stream is still the one that was opened, and lists its shards. Shards that ask while an answer
// is on its way share the next one: a thousand shards of a stream that was deleted would ask more often than AWS allows.
func (s *stream) verify(ctx context.Context) verdict {
	since := time.Now()
	select {
	case s.asking <- struct{}{}:
		defer func() { <-s.asking }()
	case <-ctx.Done():
		return verdict{err: ctx.Err()}
	}
	if !s.verdict.asked.Before(since) {
		return s.verdict
	}
	v := verdict{asked: time.Now()}
	if v.err = s.identify(ctx); v.err == nil {
		v.same = true
		v.listed, _, v.err = s.list(ctx, nil)
	}
	if ctx.Err() == nil {
		s.verdict = v
	}
	return v
}

// Children implements reader.Oracle: it lists the shards that name one as a parent.
func (s *stream) Children(ctx context.Context, shard string) ([]shardmap.Shard, error) {
	listed, _, err := s.list(ctx, nil)
	return childrenOf(listed, shard), err
}

// list returns all shards, page by page, and the service's time. It notes how far this machine's clock is off, since
// checkpoints are judged by their age before anything is read (C9, C10).
func (s *stream) list(ctx context.Context, filter *types.ShardFilter) (shards []shardmap.Shard, now time.Time, err error) {
	sent := time.Now()
	now = s.now()
	in := &kinesis.ListShardsInput{ShardFilter: filter}
	in.StreamName, in.StreamARN = reader.StreamID(s.given())
	for first := true; ; first = false {
		out, err := s.listPage(ctx, in)
		if err != nil {
			return nil, now, s.failed("ListShards", err, "")
		}
		if t, ok := awsmiddleware.GetServerTime(out.ResultMetadata); ok && first {
			now = t
			s.clock.Reply(t, sent, time.Now())
		}
		for _, sh := range out.Shards {
			parents := []string{aws.ToString(sh.ParentShardId), aws.ToString(sh.AdjacentParentShardId)}
			parents = slices.DeleteFunc(parents, func(p string) bool { return p == "" })
			l := reader.ShardOf(sh.ShardId, parents, sh.HashKeyRange)
			l.Closed = sh.SequenceNumberRange != nil && sh.SequenceNumberRange.EndingSequenceNumber != nil
			shards = append(shards, l)
		}
		if aws.ToString(out.NextToken) == "" {
			s.tell.Mend("ListShards")
			if filter == nil {
				s.firsts.saw(shards, now)
			}
			return shards, now, nil
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken} // a token excludes the name
	}
}

func (s *stream) listPage(ctx context.Context, in *kinesis.ListShardsInput) (*kinesis.ListShardsOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return s.client.ListShards(ctx, in, reader.NoRetries)
}

// firsts are when shards were seen first, of those that the first listing did not have.
type firsts struct {
	mu     sync.Mutex
	last   time.Time            // of the latest listing, by the service's clock
	newest string               // of all shards that were listed; empty: there was no listing
	absent map[string]time.Time // by shard: when it was not there yet
}

// saw takes a listing. It may be older than it says.
func (f *firsts) saw(shards []shardmap.Shard, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.absent == nil {
		f.absent = map[string]time.Time{}
	}
	oldest, newest := "", f.newest
	for _, sh := range shards {
		if f.newest != "" && sh.ID > f.newest {
			f.absent[sh.ID] = f.last
		}
		if oldest == "" || sh.ID < oldest {
			oldest = sh.ID
		}
		newest = max(newest, sh.ID)
	}
	maps.DeleteFunc(f.absent, func(id string, _ time.Time) bool { return id < oldest })
	f.last, f.newest = now.Add(-auditInterval), newest
}

// before is when a shard was not there yet, in milliseconds since 1970; 0: that is not known.
func (f *firsts) before(id string) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at := f.absent[id]; !at.IsZero() {
		return at.UnixMilli()
	}
	return 0
}

// childrenOf are the listed shards that name id as a parent.
func childrenOf(listed []shardmap.Shard, id string) (children []shardmap.Shard) {
	for _, l := range listed {
		if slices.Contains(l.Parents, id) {
			children = append(children, l)
		}
	}
	return children
}
