package consumer

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/metrics"
)

// What DescribeStreamSummary calls the ways in which Kinesis places records.
const (
	placedByKey     = "USER_PARTITION_KEY"
	placedByService = "AUTO"
)

// A placement is what is known of how Kinesis places a stream's records (C25). Records stay where they were put when the
// strategy is changed, so what was seen once counts for good.
type placement struct {
	strategy atomic.Pointer[string] // of the last description; nil before the first, empty if it names none
	at       atomic.Int64           // when that was asked for, by the service's clock, in Unix nanoseconds
	auto     atomic.Bool            // the service places, or has placed, records by itself

	// Of the stream's loop.
	kept  bool // the row of the stream says so
	tried bool // to put it there
}

// described notes what a description says that was asked for at a time of the service's clock.
func (p *placement) described(strategy string, at time.Time) {
	p.strategy.Store(&strategy)
	p.at.Store(at.UnixNano())
	if strategy == placedByService {
		p.auto.Store(true)
	}
}

// latest is the strategy of the last description, empty if it is not known.
func (p *placement) latest() string {
	if s := p.strategy.Load(); s != nil {
		return *s
	}
	return ""
}

// placedByUsers tells whether partition keys alone have decided where the stream's records are. It is false in doubt.
func (s *stream) placedByUsers() bool {
	return s.placed.latest() == placedByKey && !s.placed.auto.Load()
}

// placedAt tells the same of the time when a record arrived that has been read: where the last description may be older
// than the record, it asks for another.
func (s *stream) placedAt(arrival time.Time) bool {
	if s.placedByUsers() && s.placed.at.Load() <= arrival.Add(clockDoubt).UnixNano() {
		if _, err := s.describe(s.pool.work); err != nil {
			return false
		}
	}
	return s.placedByUsers()
}

// clockDoubt is what the service's clock is known to, and more.
const clockDoubt = 2 * time.Second

// sawKeyless is told by a shard that has read a record without a partition key, which the service itself has placed. Only
// the first call does something: the loop stores it.
func (s *stream) sawKeyless() {
	if !s.placed.auto.Load() && !s.placed.auto.Swap(true) {
		s.look()
	}
}

// keepPlacement stores in the row of the stream that the service has placed records. A try that fails is repeated when again
// is set, with the next audit.
func (s *stream) keepPlacement(ctx context.Context, again bool) {
	p := &s.placed
	if !p.auto.Load() || p.kept || p.tried && !again {
		return
	}
	p.tried = true
	work := ctx // a write is not cut off by a stop
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	meta, known, err := s.table().Meta(ctx)
	if err == nil {
		if !known { // deleted by hand: it comes back as it was
			meta = s.meta
			meta.Revision = ""
		}
		if !meta.Auto {
			meta.Auto = true
			meta, err = s.table().PutMeta(ctx, meta)
		}
		p.kept = err == nil && meta.Auto // else somebody else wrote the row at this moment
	}
	const op = "row of the stream"
	switch {
	case err == nil:
		s.tell.Mend(op)
	case work.Err() == nil:
		_ = s.tell.Fail(metrics.StoreFailed, tell.Failure{Op: op, Err: err, Hint: "that Kinesis has placed records by itself is stored once the store answers"})
	}
}

// readStrategy is an option of a DescribeStreamSummary call. It reads the strategy from the JSON of the reply: the SDK knows
// the field since service/kinesis v1.56.0 only, and the library takes older ones. What is not understood leaves strategy
// as it is; the SDK sees the same bytes.
func readStrategy(strategy *string) func(*kinesis.Options) {
	look := func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
		out, md, err := next.HandleDeserialize(ctx, in)
		if r, ok := out.RawResponse.(*smithyhttp.Response); err == nil && ok && r.StatusCode == http.StatusOK && r.Body != nil {
			body := r.Body
			text, failed := io.ReadAll(body)
			var rest io.Reader = bytes.NewReader(text)
			if failed != nil {
				rest = io.MultiReader(rest, body) // which fails again
			}
			r.Body = struct {
				io.Reader
				io.Closer
			}{rest, body}
			var reply struct {
				StreamDescriptionSummary struct{ RecordDistributionStrategy string }
			}
			if json.Unmarshal(text, &reply) == nil {
				*strategy = reply.StreamDescriptionSummary.RecordDistributionStrategy
			}
		}
		return out, md, err
	}
	return func(o *kinesis.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			// Behind the deserializer is before it: this step runs backwards. A stack without one has no JSON.
			_ = stack.Deserialize.Insert(middleware.DeserializeMiddlewareFunc("shardlane:strategy", look), "OperationDeserializer", middleware.After)
			return nil
		})
	}
}
