// Windows counts orders in tumbling windows of one second. A producer puts ten orders a second for five seconds; each
// window prints a line when it closes, and the counts of all lines add up to 50. A restart would replay an open window
// from its start, so that a count is never short.
package main

import (
	"context"
	"fmt"
	"log"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

func count(_ context.Context, ev events.KinesisTimeWindowEvent) (resp events.KinesisTimeWindowEventResponse, err error) {
	n, _ := strconv.Atoi(ev.State["orders"]) // the first call of a window has an empty state
	n += len(ev.Records)
	if ev.IsFinalInvokeForWindow {
		fmt.Printf("%s %s: %d orders\n", ev.ShardID, ev.Window.Start.Format(time.TimeOnly), n)
	}
	resp.State = map[string]string{"orders": strconv.Itoa(n)}
	return resp, nil
}

func main() {
	srv := kinesistest.NewServer("orders", 1)
	defer srv.Close()
	go func() {
		for i := range 50 {
			srv.Put("orders", "alice", fmt.Append(nil, i))
			time.Sleep(100 * time.Millisecond)
		}
		srv.Split("orders", "shardId-000000000000") // the end of a shard closes its last window early
	}()

	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	err := consumer.Run(ctx, srv.Client(), "orders", count, consumer.WithTumblingWindow(time.Second))
	if err != nil {
		log.Fatal(err)
	}
}
