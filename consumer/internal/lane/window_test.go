package lane_test

import (
	"context"
	"fmt"
	"slices"
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

// A gate is always open, until it is stopped. It is a caller as well, whose attempts succeed and are noted.
type gate struct {
	stop chan struct{}
	got  []string
}

func (g *gate) Enter() (context.Context, bool) { return context.Background(), true }
func (g *gate) Leave()                         {}
func (g *gate) Stopped() <-chan struct{}       { return g.stop }

func (g *gate) Attempt(_ context.Context, a lane.Attempt) batch.Result {
	what := ""
	for _, it := range a.Slice.Records {
		what += it.Seq()
	}
	if a.Window.Final {
		what = fmt.Sprint("final, early ", a.Window.Early)
	}
	g.got = append(g.got, what)
	return batch.Result{Outcome: batch.Succeeded}
}

func (g *gate) GiveUp(int, *batch.Discard[page.Item]) bool { return true }
func (g *gate) Idle(int)                                   {}
func (g *gate) Lost([]page.Item)                           {}

// A window is not closed for want of records by a read that brings some of them, at whatever moment it comes.
func TestReadWhileWindowCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.UnixMilli(1_772_719_620_000)
		g, books := &gate{stop: make(chan struct{})}, ledger.New(checkpoint.TrimHorizon, nil, "")
		enter := func(seq string) (items []page.Item) {
			items, _ = books.Enter(page.New([]types.Record{{SequenceNumber: aws.String(seq), PartitionKey: aws.String("k"), ApproximateArrivalTimestamp: &start}}, nil), nil, time.Now())
			return items
		}
		var set *lane.Set
		var late []page.Item
		asked := 0
		set = lane.New(lane.Rules{
			Lanes: 1, Limits: batch.Limits{Records: 10}, Now: time.Now, Kept: func() time.Duration { return 0 },
			Windows: lane.Windows{
				Length: time.Minute, Early: func(time.Time) bool { return false },
				Over: func(time.Time) (bool, time.Duration) {
					if asked++; asked == 4 { // by closeWindow, and the shard is read just now
						late = enter("2")
						time.AfterFunc(time.Millisecond, func() { _ = set.Submit(late) })
					}
					return asked >= 4, 0
				},
			},
		}, g, g, books, func(int64) {})
		if err := set.Submit(enter("1")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		close(g.stop)
		set.Drain(g, 0)
		if want := []string{"1", "2", "final, early false"}; !slices.Equal(g.got, want) {
			t.Errorf("calls %q, want %q", g.got, want)
		}
	})
}
