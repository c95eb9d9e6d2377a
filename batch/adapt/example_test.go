package adapt_test

import (
	"context"
	"fmt"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/adapt"
)

// orders is an event with two orders.
var orders = batch.Source{Shard: "shardId-000000000007"}.Event(2, func(i int) batch.Record {
	return batch.Record{
		PartitionKey: []string{"alice", "bob"}[i], SequenceNumber: []string{"4967", "4968"}[i], Data: []byte("1 espresso"),
	}
})

// A function with an event type of its own, as lambda.Start takes it. consumer.New takes what Func returns.
func ExampleFunc() {
	type event struct {
		Records []struct {
			EventID string
			Kinesis struct {
				PartitionKey string
				Data         []byte
			}
		}
	}
	handle := adapt.Func(func(_ context.Context, ev event) error {
		for _, r := range ev.Records {
			fmt.Printf("%s %s: %s\n", r.EventID, r.Kinesis.PartitionKey, r.Kinesis.Data)
		}
		return nil
	})
	_, err := handle(context.Background(), batch.AppendEvent(nil, orders))
	fmt.Println(err)
	// Output:
	// shardId-000000000007:4967 alice: 1 espresso
	// shardId-000000000007:4968 bob: 1 espresso
	// <nil>
}

// A result type that names failed records is enough for a consumer to read them.
func ExampleFunc_reports() {
	handle := adapt.Func(func(ev *events.KinesisEvent) (*events.KinesisEventResponse, error) {
		return &events.KinesisEventResponse{BatchItemFailures: []events.KinesisBatchItemFailure{
			{ItemIdentifier: ev.Records[1].Kinesis.SequenceNumber},
		}}, nil
	})
	h, err := batch.HandlerOf(handle) // as a consumer does
	if err != nil {
		fmt.Println(err)
		return
	}
	res := h.Call(context.Background(), orders, nil)
	fmt.Println(res.Outcome, "after", res.Progress)
	fmt.Println(res.Err)
	// Output:
	// progressed after 1
	// batch: handler reported record 2 of 2, 4968
}
