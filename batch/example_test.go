package batch_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/shardlane/shardlane/batch"
)

func ExampleEach() {
	handle := batch.Each(func(_ context.Context, r events.KinesisEventRecord) error {
		if len(r.Kinesis.Data) == 0 {
			return errors.New("empty order")
		}
		fmt.Printf("%s: %s\n", r.Kinesis.PartitionKey, r.Kinesis.Data)
		return nil
	})
	resp, err := handle(context.Background(), events.KinesisEvent{Records: []events.KinesisEventRecord{
		{Kinesis: events.KinesisRecord{SequenceNumber: "1", PartitionKey: "alice", Data: []byte("1 espresso")}},
		{Kinesis: events.KinesisRecord{SequenceNumber: "2", PartitionKey: "bob"}},
		{Kinesis: events.KinesisRecord{SequenceNumber: "3", PartitionKey: "carol", Data: []byte("2 lattes")}},
	}})
	fmt.Println(resp.BatchItemFailures, err)
	// Output:
	// alice: 1 espresso
	// [{2}] <nil>
}

func ExampleWrap() {
	charge := func(_ context.Context, ev events.KinesisEvent) error {
		fmt.Println("charge", len(ev.Records))
		return nil
	}
	count := func(ctx context.Context, rs []events.KinesisEventRecord, next batch.Next) ([]events.KinesisBatchItemFailure, error) {
		failed, err := next(ctx, rs)
		fmt.Println("records", len(rs), "failed", len(failed), "err", err)
		return failed, err
	}
	sample := func(ctx context.Context, rs []events.KinesisEventRecord, next batch.Next) ([]events.KinesisBatchItemFailure, error) {
		return next(ctx, rs[:1]) // what is not passed on has succeeded
	}
	handle := batch.Wrap(charge, count, sample)
	err := handle(context.Background(), events.KinesisEvent{Records: make([]events.KinesisEventRecord, 3)})
	fmt.Println(err)
	// Output:
	// charge 1
	// records 3 failed 0 err <nil>
	// <nil>
}

func ExampleBatcher() {
	b := batch.Batcher[string]{Limits: batch.Limits{Records: 2, Window: time.Second}}
	start := time.Now()
	b.Add(start, "a", "b", "c")
	for items := range b.Ready(start) {
		fmt.Println("full:", items)
	}
	at, _ := b.Deadline()
	fmt.Println("next in", at.Sub(start))
	for items := range b.Ready(at) {
		fmt.Println("window elapsed:", items)
	}
	// Output:
	// full: [a b]
	// next in 1s
	// window elapsed: [c]
}
