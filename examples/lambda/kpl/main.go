// Kpl is an AWS Lambda function whose handler sees the user records inside KPL aggregates. A failure of one is
// reported as a failure of its aggregate. Its dependency list holds no AWS SDK client.
package main

import (
	"context"
	"fmt"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/kpl"
)

func charge(_ context.Context, r events.KinesisEventRecord) error {
	fmt.Printf("%s: %s\n", r.Kinesis.PartitionKey, r.Kinesis.Data)
	return nil
}

func main() {
	lambda.Start(kpl.Deaggregate(batch.Each(charge)))
}
