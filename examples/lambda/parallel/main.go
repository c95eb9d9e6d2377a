// Parallel is an AWS Lambda function that handles the records of one batch 16 at a time, in order within each
// partition key, and reports what failed: the batch comes again from the lowest failed record.
package main

import (
	"context"
	"fmt"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/partition"
)

func charge(_ context.Context, r events.KinesisEventRecord) error {
	fmt.Printf("%s: %s\n", r.Kinesis.PartitionKey, r.Kinesis.Data)
	return nil
}

func handle(ctx context.Context, ev events.KinesisEvent) (events.KinesisEventResponse, error) {
	return batch.Response(ev.Records, partition.Each(ctx, 16, ev.Records, batch.PartitionKey, charge)), nil
}

func main() {
	lambda.Start(handle)
}
