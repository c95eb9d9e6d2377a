package consumer_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// What "aws lambda get-event-source-mapping" prints of a mapping that is disabled has the stream, the settings, and the time
// from which on the records are left. Let IteratorAge reach 0 before you disable it.
func ExampleWithEventSourceMapping() {
	const printed = `{
		"UUID": "14e0db71-5d35-4eb5-b481-8945cf9d10c2",
		"EventSourceArn": "arn:aws:kinesis:us-east-1:123456789012:stream/orders",
		"FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:billing",
		"StartingPosition": "TRIM_HORIZON",
		"State": "Disabled",
		"LastModified": "2026-03-05T14:07:21.482000+00:00",
		"LastProcessingResult": "OK",
		"BatchSize": 100,
		"FilterCriteria": {"Filters": [{"Pattern": "{\"data\":{\"type\":[\"order\"]}}"}]}
	}`

	srv := kinesistest.NewServer("orders", 1)
	defer srv.Close()
	srv.Put("orders", "alice", []byte(`{"type":"order","id":1}`))
	srv.Put("orders", "alice", []byte(`{"type":"click","id":2}`))

	charge := func(_ context.Context, r events.KinesisEventRecord) error {
		fmt.Printf("charged %s\n", r.Kinesis.Data)
		return nil
	}
	err := consumer.Run(context.Background(), srv.Client(), "", batch.Each(charge), // "": the mapping's own stream
		consumer.WithEventSourceMapping(strings.NewReader(printed)),
		consumer.WithLogger(slog.New(slog.DiscardHandler)),
		consumer.WithEndingPosition(consumer.Latest()))
	if err != nil {
		fmt.Println(err)
		return
	}
	// Output:
	// charged {"type":"order","id":1}
}

// A template says much by reference only. Each such value is an error that says what to give, unless it is given: here the
// stream is an argument of New, and the batch size an option.
func ExampleWithEventSourceMapping_template() {
	const template = `{
		"Resources": {
			"Orders": {"Type": "AWS::Kinesis::Stream"},
			"Billing": {
				"Type": "AWS::Serverless::Function",
				"Properties": {
					"Handler": "bootstrap",
					"Events": {
						"Stream": {
							"Type": "Kinesis",
							"Properties": {
								"Stream": {"Fn::GetAtt": ["Orders", "Arn"]},
								"StartingPosition": "TRIM_HORIZON",
								"BatchSize": {"Ref": "BatchSize"},
								"MaximumRetryAttempts": 3
							}
						}
					}
				}
			}
		}
	}`

	srv := kinesistest.NewServer("orders", 1)
	defer srv.Close()
	charge := func(context.Context, events.KinesisEvent) error { return nil }

	_, err := consumer.New(srv.Client(), "", charge, consumer.WithEventSourceMapping(strings.NewReader(template)))
	fmt.Println(err)
	_, err = consumer.New(srv.Client(), "orders", charge, consumer.WithEventSourceMapping(strings.NewReader(template)), consumer.WithBatchSize(500))
	fmt.Println(err)
	// Output:
	// consumer: invalid configuration: WithEventSourceMapping: Stream: {"Fn::GetAtt":["Orders","Arn"]}: only CloudFormation can resolve it: give New the stream's name or ARN
	// consumer: invalid configuration: WithEventSourceMapping: BatchSize: {"Ref":"BatchSize"}: only CloudFormation can resolve it: give WithBatchSize, or write the value that it has
	// <nil>
}
