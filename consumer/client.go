package consumer

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/shardlane/shardlane/consumer/internal/reader"
)

// A Client makes the Kinesis calls of a consumer. A *kinesis.Client is one; the caller configures region, credentials and
// endpoint. The SDK's own retries are switched off per call, because the consumer retries by its own rules.
//
// A client that wraps another one passes the options of a call on: by them the consumer sees a reply come, so that a call of
// GetRecords may take as long as a slow line needs, and ends after 15 s of silence. Without them a call has 15 s; one for a
// single record that takes longer gets up to 5 minutes, step by step. The options also put the consumer's own decoder of
// records into the call; without them the SDK decodes, which takes more time.
//
// A client that wraps another one may keep what it returns. Of a *kinesis.Client itself the consumer uses the memory of records
// again once they are handled: middleware of its options may look at them during the call, and copies what it keeps.
//
// Where the HTTP client is the one that the SDK builds, an *awshttp.BuildableClient, GetRecords goes over connections of its
// own, made like that one's, but of HTTP/1.1 and up to 64 of them idle for 90 s or what the client says: HTTP/2 takes more
// processor time. Any other HTTP client carries GetRecords as it is, and where calls go is the client's matter in any case.
type Client interface {
	DescribeStreamSummary(context.Context, *kinesis.DescribeStreamSummaryInput, ...func(*kinesis.Options)) (*kinesis.DescribeStreamSummaryOutput, error)
	ListShards(context.Context, *kinesis.ListShardsInput, ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error)
	GetShardIterator(context.Context, *kinesis.GetShardIteratorInput, ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error)
	GetRecords(context.Context, *kinesis.GetRecordsInput, ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error)
}

// A FanOutClient makes the calls of a consumer that reads by enhanced fan-out, too. A *kinesis.Client is one.
//
// SubscribeToShard goes over the client's own connections, best of HTTP/2, since each shard keeps one of HTTP/1.1 for itself. It
// lasts up to five minutes: a shorter time limit of the HTTP client ends it, and it begins again. A client that wraps another
// one passes the options of that call on: by them the consumer sees bytes come, and keeps from the SDK what its decoder of
// event streams cannot stand. In service/kinesis v1.27.0 that is a stream that does not begin with
// an initial-response, on which it waits for ever, and a header of an unknown type, on which it panics where nobody can
// recover. Without the options, a call that waits so is left behind after 17 s, with its goroutines.
type FanOutClient interface {
	Client
	RegisterStreamConsumer(context.Context, *kinesis.RegisterStreamConsumerInput, ...func(*kinesis.Options)) (*kinesis.RegisterStreamConsumerOutput, error)
	DescribeStreamConsumer(context.Context, *kinesis.DescribeStreamConsumerInput, ...func(*kinesis.Options)) (*kinesis.DescribeStreamConsumerOutput, error)
	ListStreamConsumers(context.Context, *kinesis.ListStreamConsumersInput, ...func(*kinesis.Options)) (*kinesis.ListStreamConsumersOutput, error)
	DeregisterStreamConsumer(context.Context, *kinesis.DeregisterStreamConsumerInput, ...func(*kinesis.Options)) (*kinesis.DeregisterStreamConsumerOutput, error)
	SubscribeToShard(context.Context, *kinesis.SubscribeToShardInput, ...func(*kinesis.Options)) (*kinesis.SubscribeToShardOutput, error)
}

var (
	_ FanOutClient  = (*kinesis.Client)(nil)
	_ reader.Client = Client(nil)
	_ reader.Pusher = FanOutClient(nil)
)
