package consumer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// Two streams and two handlers are one worker: one identity, one budget of memory, one drain.
func ExampleRunAll() {
	srv := kinesistest.NewServer("orders", 1) // in production a kinesis.Client
	defer srv.Close()
	srv.CreateStream("clicks", 1)
	srv.Put("orders", "alice", []byte("espresso"))
	srv.Put("clicks", "alice", []byte("/menu"))

	lines := make(chan string, 2)
	say := func(what string) func(context.Context, events.KinesisEvent) error {
		return func(_ context.Context, ev events.KinesisEvent) error {
			lines <- fmt.Sprintf("%s: %s", what, ev.Records[0].Kinesis.Data)
			return nil
		}
	}
	shared := consumer.Options(
		consumer.WithGroup("shop"), consumer.WithCheckpointer(new(checkpoint.Memory)),
		consumer.WithLogger(slog.New(slog.DiscardHandler)),
		consumer.WithEndingPosition(consumer.Latest()), // else it runs until its context is done
	)
	orders, err := consumer.New(srv.Client(), "orders", say("order"), shared)
	if err != nil {
		fmt.Println(err)
		return
	}
	clicks, err := consumer.New(srv.Client(), "clicks", say("click"), shared, consumer.WithBatchSize(1000))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := consumer.RunAll(context.Background(), orders, clicks); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(<-lines)
	fmt.Println(<-lines)
	// Unordered output:
	// order: espresso
	// click: /menu
}

// Run ends at the tip of the stream, as it is when Run starts. One that is stopped before says how far it has come.
func ExampleWithEndingPosition() {
	srv := kinesistest.NewServer("orders", 1)
	defer srv.Close()
	for _, order := range []string{"espresso", "cappuccino", "tea"} {
		srv.Put("orders", "alice", []byte(order))
	}

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	handle := func(_ context.Context, ev events.KinesisEvent) error {
		order := string(ev.Records[0].Kinesis.Data)
		if order == "tea" && ctx.Err() == nil {
			stop() // as a signal would
			return errors.New("no tea left")
		}
		fmt.Println(order)
		return nil
	}
	replay := func(ctx context.Context, store checkpoint.Store) error {
		return consumer.Run(ctx, srv.Client(), "orders", handle,
			consumer.WithGroup("replay"), consumer.WithCheckpointer(store),
			consumer.WithBatchSize(1), consumer.WithLogger(slog.New(slog.DiscardHandler)),
			consumer.WithStartingPosition(consumer.TrimHorizon()),
			consumer.WithEndingPosition(consumer.Latest()))
	}
	store := new(checkpoint.Memory) // a checkpoint.File, if another process goes on
	err := replay(ctx, store)
	fmt.Println("reached:", err == nil, "stopped:", errors.Is(err, consumer.ErrNotReached))
	err = replay(context.Background(), store)
	fmt.Println("reached:", err == nil)
	// Output:
	// espresso
	// cappuccino
	// reached: false stopped: true
	// tea
	// reached: true
}

// An Error says where something failed and what can be done about it. Its text ends with the hint.
func ExampleError() {
	srv := kinesistest.NewServer("orders", 1)
	defer srv.Close()
	handle := func(context.Context, events.KinesisEvent) error { return nil }

	err := consumer.Run(context.Background(), srv.Client(), "order", handle, consumer.WithLogger(slog.New(slog.DiscardHandler)))
	var e *consumer.Error
	if errors.As(err, &e) {
		fmt.Println("stream:", e.Stream)
		fmt.Println("step:  ", e.Op)
		fmt.Println("hint:  ", e.Hint)
	}
	fmt.Println("no such stream:", errors.Is(err, consumer.ErrStreamNotFound))
	// Output:
	// stream: order
	// step:   DescribeStreamSummary
	// hint:   check the stream's name, and the client's region and account
	// no such stream: true
}

// A Status as JSON, for a page of operators: here before Run.
func ExampleStatus() {
	srv := kinesistest.NewServer("orders", 1)
	defer srv.Close()
	handle := func(context.Context, events.KinesisEvent) error { return nil }
	c, err := consumer.New(srv.Client(), "orders", handle, consumer.WithWorker("pod-7"))
	if err != nil {
		fmt.Println(err)
		return
	}
	b, err := json.MarshalIndent(c.Status(), "", "  ")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s\n", b)
	// Output:
	// {
	//   "Worker": "pod-7",
	//   "Distribution": "",
	//   "Shards": [],
	//   "Behind": "0s",
	//   "Ready": "consumer: orders: ready: the consumer does not run; Run has not been called, or has returned",
	//   "Err": null
	// }
}
