// Quickstart consumes a stream of an in-process Kinesis with a function that lambda.Start would take as well.
// It prints five orders, each customer's in order, and ends by itself.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/aws/aws-lambda-go/events"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

func handle(_ context.Context, ev events.KinesisEvent) error {
	for _, r := range ev.Records {
		fmt.Printf("%s: %s\n", r.Kinesis.PartitionKey, r.Kinesis.Data)
	}
	return nil
}

func main() {
	srv := kinesistest.NewServer("orders", 2) // in-process; on AWS: kinesis.NewFromConfig(cfg)
	srv.Put("orders", "alice", []byte("1 espresso"))
	srv.Put("orders", "bob", []byte("1 cortado"))
	srv.Put("orders", "alice", []byte("2 water"))
	srv.Put("orders", "carol", []byte("1 flat white"))
	srv.Put("orders", "bob", []byte("2 croissant"))

	err := consumer.Run(context.Background(), srv.Client(), "orders", handle,
		consumer.WithEndingPosition(consumer.Latest())) // without it: until ctx is done
	if err != nil {
		log.Fatal(err)
	}
}
