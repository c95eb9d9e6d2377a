package main

import (
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/awslabs/kinesis-aggregation/go/v2/deaggregator"
	"golang.org/x/sync/errgroup"
)

var someCredentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "benchmark", SecretAccessKey: "benchmark"}, nil
})

// client is the SDK's, as it comes.
func (j *job) client() *kinesis.Client {
	return kinesis.New(kinesis.Options{
		Region: "us-east-1", Credentials: someCredentials, BaseEndpoint: aws.String(j.endpoint()),
		HTTPClient: awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { j.trust(t) }),
	})
}

// consumeSDK is a loop per shard around GetRecords, and nothing else. At most 16 calls run at once, as in the library. A
// shard that is caught up is asked again a second later.
func consumeSDK(ctx context.Context, j *job, stream string, m *meter) error {
	client := j.client()
	list, err := client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: &stream})
	if err != nil {
		return err
	}
	slots := make(chan struct{}, 16)
	var loops errgroup.Group
	for _, shard := range list.Shards {
		loops.Go(func() error {
			at, err := client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
				StreamName: &stream, ShardId: shard.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
			})
			if err != nil {
				return err
			}
			for it := at.ShardIterator; ; {
				slots <- struct{}{}
				out, err := client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: it})
				<-slots
				if err != nil {
					return err
				}
				if err := m.take(out.Records, j.Load.User > 0); err != nil {
					return err
				}
				it = out.NextShardIterator
				if *out.MillisBehindLatest == 0 && wait(ctx, time.Second) != nil {
					return nil
				}
			}
		})
	}
	return loops.Wait()
}

// take counts records, those in aggregates if there are any.
func (m *meter) take(records []types.Record, aggregated bool) (err error) {
	if aggregated {
		if records, err = deaggregator.DeaggregateRecords(records); err != nil {
			return err
		}
	}
	var bytes int
	for i := range records {
		bytes += m.size(records[i].Data)
	}
	m.got(len(records), bytes)
	return nil
}
