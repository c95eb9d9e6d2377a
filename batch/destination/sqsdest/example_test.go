package sqsdest_test

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/destination/sqsdest"
)

// A printer is a client that prints instead of sending. Programs have sqs.NewFromConfig(cfg) in its place.
type printer struct{}

func (printer) SendMessage(_ context.Context, in *sqs.SendMessageInput, _ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	fmt.Println(*in.MessageBody)
	return &sqs.SendMessageOutput{}, nil
}

// A consumer is given the destination by consumer.WithOnFailure, and calls Validate and Deliver itself.
func Example() {
	d := sqsdest.New(printer{}, "https://sqs.eu-west-1.amazonaws.com/123456789012/failed")
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

// A FIFO queue cannot be a destination; consumer.New says so before any call is made.
func ExampleDestination_Validate() {
	d := sqsdest.New(printer{}, "https://sqs.eu-west-1.amazonaws.com/123456789012/failed.fifo")
	fmt.Println(d.Validate())
	// Output:
	// sqsdest: queue URL "https://sqs.eu-west-1.amazonaws.com/123456789012/failed.fifo": a FIFO queue; a destination is a standard queue
}
