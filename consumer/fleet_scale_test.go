package consumer_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/lease"
)

const scaleStream = "123456789012:orders:1700000000"

// scaleRow is the row of one of many shards, as long as those of a stream of Kinesis.
func scaleRow() lease.Row {
	return lease.Row{
		Ck: checkpoint.TrimHorizon, Arrival: 1700000000000, Root: true,
		HashStart: "170141183460469231731687303715884105728", HashEnd: "173544006929678616366321049790201787843",
	}
}

// scalePosition is the n-th checkpoint of a shard, likewise.
func scalePosition(n int) checkpoint.Position {
	pos, _ := checkpoint.After(fmt.Sprintf("4967%052d", n))
	return pos
}

// Larger fleets without streams: members, leases, checkpoints and lists at the pace of the library, and the plan. What their
// workers ask of the store is within the formulas, too. With SHARDLANE_COSTS=1 it plays the larger ones as well.
func TestFleetCostsAtScale(t *testing.T) {
	t.Parallel()
	type fleet struct{ shards, workers int }
	fleets := []fleet{{100, 5}}
	if os.Getenv("SHARDLANE_COSTS") != "" {
		fleets = append(fleets, fleet{1000, 50}, fleet{10_000, 200})
	}
	for _, c := range fleets {
		t.Run(fmt.Sprintf("%d shards, %d workers", c.shards, c.workers), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { playAtScale(t, c.shards, c.workers) })
		})
	}
}

// playAtScale counts what a fleet asks for in ten minutes, in which each worker lists the leases once.
func playAtScale(t *testing.T, shards, workers int) {
	const hold, lists = 10 * time.Second, 10 * time.Minute
	m := &meter{Store: new(checkpoint.Memory)}
	ctx, stop := context.WithCancel(t.Context())
	groups := make([]*lease.Group, workers)
	for i := range workers {
		g := lease.NewGroup(m, m, "orders", fmt.Sprintf("orders-7d9f8b6c5d-x%04d", i), func() string { return fmt.Sprintf("%026d", i) })
		g.Serve(scaleStream, "")
		groups[i] = g
		go g.Run(ctx)
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(time.Second)
	held := make([][]*lease.Lease, workers)
	for i := range shards {
		n := i % workers
		table := groups[n].Tenure().Table(scaleStream)
		id := fmt.Sprintf("shardId-%012d", i)
		if err := table.Create(ctx, id, scaleRow()); err != nil {
			t.Fatal(err)
		}
		l, err := table.Claim(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		held[n] = append(held[n], l)
	}
	for i, g := range groups {
		g.Post(scaleStream, len(held[i]), nil)
		for range held[i] {
			g.Touch()
		}
		go func() { // the checkpoints of a worker, spread over the interval
			step := hold / time.Duration(len(held[i]))
			for n := 1; ; n++ {
				for _, l := range held[i] {
					if time.Sleep(step); ctx.Err() != nil {
						return
					}
					if err := l.Checkpoint(ctx, lease.Progress{Pos: scalePosition(n), Arrival: time.Now().UnixMilli()}); err != nil {
						t.Error(err)
					}
				}
			}
		}()
	}
	time.Sleep(time.Minute)
	m.reset()
	began := time.Now()
	for i, g := range groups {
		time.Sleep(lists/time.Duration(workers) - 1)
		if i%10 > 0 {
			_, _ = m.List(ctx, g.Tenure().Table(scaleStream).Key(""))
			continue // reading the rows takes this test long
		}
		rows, _, err := g.Tenure().Table(scaleStream).Rows(ctx)
		if err != nil || len(rows) != shards {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		var leases []lease.Holding
		for id, r := range rows {
			leases = append(leases, lease.Holding{Shard: id, Owner: r.Owner})
		}
		view := g.View()
		if moves := lease.Plan(scaleStream, view.Self, view.Serving(scaleStream), leases, view.Settled); len(view.Peers) != workers || len(moves.Claim)+len(moves.Shed) > 0 {
			t.Fatalf("worker %d sees %d and moves %v", i, len(view.Peers), moves)
		}
	}
	m.reset().within(t, shards, workers, time.Since(began))
	stop()
	time.Sleep(hold) // for the goroutines to end
}
