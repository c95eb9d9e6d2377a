package snsdest_test

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/destination/snsdest"
)

// A printer is a client that prints instead of publishing. Programs have sns.NewFromConfig(cfg) in its place.
type printer struct{}

func (printer) Publish(_ context.Context, in *sns.PublishInput, _ ...func(*sns.Options)) (*sns.PublishOutput, error) {
	fmt.Println(*in.Message)
	return &sns.PublishOutput{}, nil
}

// A consumer is given the destination by consumer.WithOnFailure, and calls Validate and Deliver itself.
func Example() {
	d := snsdest.New(printer{}, "arn:aws:sns:eu-west-1:123456789012:failed")
	if err := d.Validate(); err != nil {
		fmt.Println(err)
		return
	}
	err := d.Deliver(context.Background(), &batch.Failure{
		Condition: batch.RecordAgeExceeded, InvokeCount: 1, Time: time.UnixMilli(1772719641482), RequestID: "0f8b3c1e",
		Shard: "shardId-000000000007", StreamARN: "arn:aws:kinesis:eu-west-1:123456789012:stream/orders", FunctionARN: "billing",
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// {"requestContext":{"requestId":"0f8b3c1e","functionArn":"billing","condition":"RecordAgeExceeded","approximateInvokeCount":1},"version":"1.0","timestamp":"2026-03-05T14:07:21.482Z","KinesisBatchInfo":{"shardId":"shardId-000000000007","streamArn":"arn:aws:kinesis:eu-west-1:123456789012:stream/orders"}}
}

// The ARN of a queue is none of a topic; consumer.New says so before any call is made.
func ExampleDestination_Validate() {
	d := snsdest.New(printer{}, "arn:aws:sqs:eu-west-1:123456789012:failed")
	fmt.Println(d.Validate())
	// Output:
	// snsdest: topic ARN "arn:aws:sqs:eu-west-1:123456789012:failed": not one of a topic, as in arn:aws:sns:eu-west-1:123456789012:failed
}
