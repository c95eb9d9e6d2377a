package kinesistest_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// brewsAfterAnOutage is a test, called TestBrewsAfterAnOutage in a package of your own. In the bubble that synctest.Test
// makes for it time is virtual: the outage of a minute is over at once.
func brewsAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.New(t, "orders", 2)
		srv.Put("orders", "alice", []byte("1 espresso"))
		srv.Fail("GetRecords", kinesistest.Error("ServiceUnavailable", 0).For(time.Minute))

		start := time.Now()
		brew := func(_ context.Context, ev events.KinesisEvent) error {
			for _, r := range ev.Records {
				fmt.Printf("%s for %s, after %v\n", r.Kinesis.Data, r.Kinesis.PartitionKey, time.Since(start).Truncate(time.Minute))
			}
			return nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		if err := consumer.Run(ctx, srv.Client(), "orders", brew, consumer.WithLogger(slog.New(slog.DiscardHandler))); err != nil {
			t.Error(err)
		}
	})
}

func ExampleNew() {
	runTest(brewsAfterAnOutage) // go test does it for functions whose names begin with Test
	// Output:
	// 1 espresso for alice, after 1m0s
}
