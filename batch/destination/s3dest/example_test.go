package s3dest_test

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/destination/s3dest"
)

// A printer is a client that prints instead of putting. Programs have s3.NewFromConfig(cfg) in its place.
type printer struct{}

func (printer) PutObject(_ context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	body, err := io.ReadAll(in.Body)
	fmt.Printf("%s\n%s\n", *in.Key, body)
	return &s3.PutObjectOutput{}, err
}

// A consumer is given the destination by consumer.WithOnFailure, and calls Validate and Deliver itself.
func Example() {
	d := s3dest.New(printer{}, "failed")
	if err := d.Validate(); err != nil {
		fmt.Println(err)
		return
	}
	err := d.Deliver(context.Background(), &batch.Failure{
		Condition: batch.RecordAgeExceeded, InvokeCount: 1, Time: time.UnixMilli(1772719641482), RequestID: "0f8b3c1e",
		Shard: "shardId-000000000007", StreamARN: "arn:aws:kinesis:eu-west-1:123456789012:stream/orders", FunctionARN: "billing",
		MappingID: "5f0c2f6e-3f1b-4f43-9d53-6a4d3a1f7e10", ID: "b2c6a1de-8e0f-4f0c-a3a7-1d2f7d3b9a55",
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// aws/lambda/5f0c2f6e-3f1b-4f43-9d53-6a4d3a1f7e10/shardId-000000000007/2026/03/05/2026-03-05T14.07.21-b2c6a1de-8e0f-4f0c-a3a7-1d2f7d3b9a55
	// {"requestContext":{"requestId":"0f8b3c1e","functionArn":"billing","condition":"RecordAgeExceeded","approximateInvokeCount":1},"version":"1.0","payload":"{\"Records\":[]}","timestamp":"2026-03-05T14:07:21.482Z","KinesisBatchInfo":{"shardId":"shardId-000000000007","streamArn":"arn:aws:kinesis:eu-west-1:123456789012:stream/orders"}}
}

// Lambda's settings have the ARN of a bucket, the client wants its name; consumer.New says so before any call is made.
func ExampleDestination_Validate() {
	d := s3dest.New(printer{}, "arn:aws:s3:::failed")
	fmt.Println(d.Validate())
	// Output:
	// s3dest: bucket "arn:aws:s3:::failed": an ARN; its last part is the name
}
