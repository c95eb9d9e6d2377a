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
// Where the HTTP client is the one that the SDK builds, an *awshttp.BuildableClient, GetRecords goes over connections of its
// own, made like that one's, but of HTTP/1.1 and up to 64 of them idle for 90 s or what the client says: HTTP/2 takes more
// processor time. Any other HTTP client carries GetRecords as it is, and where calls go is the client's matter in any case.
type Client interface {
	DescribeStreamSummary(context.Context, *kinesis.DescribeStreamSummaryInput, ...func(*kinesis.Options)) (*kinesis.DescribeStreamSummaryOutput, error)
	ListShards(context.Context, *kinesis.ListShardsInput, ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error)
	GetShardIterator(context.Context, *kinesis.GetShardIteratorInput, ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error)
	GetRecords(context.Context, *kinesis.GetRecordsInput, ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error)
}

var (
	_ Client        = (*kinesis.Client)(nil)
	_ reader.Client = Client(nil)
)
