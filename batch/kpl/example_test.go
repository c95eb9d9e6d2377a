package kpl_test

import (
	"context"
	"fmt"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/kpl"
)

func orders() []byte {
	return kpl.Encode(
		kpl.UserRecord{PartitionKey: "alice", Data: []byte("1 espresso")},
		kpl.UserRecord{PartitionKey: "bob", Data: []byte("1 cortado")})
}

// A slice serves for many records.
func ExampleDecode() {
	var users []kpl.UserRecord
	for _, data := range [][]byte{orders(), []byte("2 lattes")} {
		var ok bool
		if users, ok = kpl.Decode(data, users[:0]); !ok {
			fmt.Printf("ordinary: %s\n", data)
		}
		for i, u := range users {
			fmt.Printf("%d %s: %s\n", i, u.PartitionKey, u.Data)
		}
	}
	// Output:
	// 0 alice: 1 espresso
	// 1 bob: 1 cortado
	// ordinary: 2 lattes
}

// After a split, an aggregate that was sent before it may hold records of both children.
func ExampleHashRange() {
	child, err := kpl.ParseHashRange("0", "170141183460469231731687303715884105727")
	if err != nil {
		panic(err)
	}
	users, _ := kpl.Decode(orders(), nil)
	for _, u := range users {
		fmt.Println(u.PartitionKey, child.Contains(u))
	}
	// Output:
	// alice true
	// bob false
}

func ExampleDeaggregate() {
	handle := kpl.Deaggregate(func(ctx context.Context, ev events.KinesisEvent) error {
		for i, r := range ev.Records {
			fmt.Printf("%s %s: %s\n", batch.Identity(ctx, ev.Records, i), r.Kinesis.PartitionKey, r.Kinesis.Data)
		}
		return nil
	})
	// In Lambda: lambda.Start(handle)
	err := handle(context.Background(), events.KinesisEvent{Records: []events.KinesisEventRecord{{
		EventID: "shardId-000000000000:495", Kinesis: events.KinesisRecord{SequenceNumber: "495", PartitionKey: "a", Data: orders()},
	}}})
	fmt.Println(err)
	// Output:
	// shardId-000000000000:495/0 alice: 1 espresso
	// shardId-000000000000:495/1 bob: 1 cortado
	// <nil>
}
