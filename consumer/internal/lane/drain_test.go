package lane_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/lane"
	"github.com/shardlane/shardlane/consumer/internal/ledger"
	"github.com/shardlane/shardlane/consumer/internal/page"
)

// A lapsing gate gives the first attempt a context that has ended. What that attempt comes to is said by first, and whether it
// ends behind a stop.
type lapsing struct {
	gate
	first batch.Result
	stops bool
	calls int
}

func (g *lapsing) Enter() (context.Context, bool) {
	ctx, cancel := context.WithCancel(context.Background())
	if g.calls == 0 {
		cancel()
	} else {
		context.AfterFunc(context.Background(), cancel)
	}
	return ctx, true
}

func (g *lapsing) Attempt(context.Context, lane.Attempt) batch.Result {
	if g.calls++; g.calls > 1 {
		return batch.Result{Outcome: batch.Succeeded}
	}
	if g.stops {
		close(g.stop)
	}
	return g.first
}

// An attempt that a lapse cut off, and behind which the lane has gone on, is none that the end of a drain cut off.
func TestDrainBehindALapse(t *testing.T) {
	for _, c := range []struct {
		first batch.Outcome
		stops bool
		cut   bool
	}{
		{batch.Interrupted, false, false},
		{batch.Progressed, false, false},
		{batch.Failed, false, false},
		{batch.Aborted, true, true},
		{batch.Progressed, true, true},
		{batch.Succeeded, true, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			now := time.Now()
			g := &lapsing{gate: gate{stop: make(chan struct{})}, first: batch.Result{Outcome: c.first, Progress: 1, Err: context.Canceled}, stops: c.stops}
			books := ledger.New(checkpoint.TrimHorizon, nil, "a")
			record := func(seq string) types.Record {
				return types.Record{SequenceNumber: aws.String(seq), PartitionKey: aws.String("k"), ApproximateArrivalTimestamp: &now}
			}
			items, _ := books.Enter(page.New([]types.Record{record("1"), record("2")}, nil), nil, now)
			set := lane.New(lane.Rules{
				Lanes: 1, Limits: batch.Limits{Records: 10}, Now: time.Now, Kept: func() time.Duration { return 0 },
				Backoff: func(int) time.Duration { return 0 },
			}, g, g, books, func(int64) {})
			if err := set.Submit(items); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if !c.stops {
				close(g.stop)
			}
			if got := set.Drain(g, 100); got != c.cut {
				t.Errorf("%s, behind a stop %t: cut off %t", c.first, c.stops, got)
			}
		})
	}
}
