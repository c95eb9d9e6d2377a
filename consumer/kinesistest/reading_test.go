package kinesistest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// register registers a consumer of the stream "s" and waits until it is ACTIVE.
func register(t *testing.T, c *kinesis.Client, name string) string {
	t.Helper()
	out, err := c.RegisterStreamConsumer(t.Context(), &kinesis.RegisterStreamConsumerInput{StreamARN: aws.String(arn("s")), ConsumerName: &name})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	return *out.Consumer.ConsumerARN
}

// reading is a subscription as its reader sees it.
type reading struct {
	*kinesis.SubscribeToShardEventStream
	began time.Time
}

func subscribe(ctx context.Context, c *kinesis.Client, consumer string, shard int, at types.StartingPosition) (*reading, error) {
	out, err := c.SubscribeToShard(ctx, &kinesis.SubscribeToShardInput{ConsumerARN: &consumer, ShardId: aws.String(shardID(shard)), StartingPosition: &at})
	if err != nil {
		return nil, err
	}
	return &reading{out.GetStream(), time.Now()}, nil
}

var (
	horizon = types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon}
	tip     = types.StartingPosition{Type: types.ShardIteratorTypeLatest}
)

func after(seq *string) types.StartingPosition {
	return types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: seq}
}

// event returns the next event, or nil at the end.
func (r *reading) event() *types.SubscribeToShardEvent {
	switch e := (<-r.Events()).(type) {
	case nil:
		return nil
	case *types.SubscribeToShardEventStreamMemberSubscribeToShardEvent:
		return &e.Value
	default:
		panic(fmt.Sprintf("event %T", e))
	}
}

// records reads events until one is empty or has no continuation, and joins the data.
func (r *reading) records() (data string, last *types.SubscribeToShardEvent) {
	var all []string
	for {
		e := r.event()
		if e == nil {
			return strings.Join(append(all, "end"), " "), last
		}
		for _, rec := range e.Records {
			all = append(all, string(rec.Data))
		}
		if last = e; len(e.Records) == 0 || e.ContinuationSequenceNumber == nil {
			return strings.Join(all, " "), last
		}
	}
}

// rest waits for the end and tells how it ended.
func (r *reading) rest() (events int, refusal string) {
	for r.event() != nil {
		events++
	}
	return events, code(r.Err())
}

// tell puts an event into words: its data, and what is odd about it.
func tell(event types.SubscribeToShardEventStream) string {
	e := &event.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent).Value
	var said []string
	for _, rec := range e.Records {
		said = append(said, string(rec.Data))
	}
	if *e.MillisBehindLatest > 0 {
		said = append(said, "behind")
	}
	if e.ContinuationSequenceNumber == nil {
		said = append(said, "no continuation")
	}
	return strings.Join(said, " ")
}
