package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/internal/lease"
	"github.com/shardlane/shardlane/consumer/internal/shardmap"
)

// BenchmarkShardsInMemory is what the coordination of an idle shard holds in memory, beside the shard itself: its lease, what
// was written of it, its row in the census and its place in the listing. The store is not part of it.
func BenchmarkShardsInMemory(b *testing.B) {
	const shards = 1000
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	store := alone{new(checkpoint.Memory)}
	claim := func() (*lease.Group, []*lease.Lease) {
		g := lease.NewGroup(store, nil, "orders", "worker", func() string { return "0123456789ABCDEFGHIJKLMNOP" })
		var leases []*lease.Lease
		for i := range shards {
			l, err := g.Tenure().Table(scaleStream).Claim(b.Context(), shardID(i))
			if err != nil {
				b.Fatal(err)
			}
			leases = append(leases, l)
		}
		return g, leases
	}
	for i := range shards {
		if err := lease.NewTable(store, "orders", scaleStream, "worker/first").Create(b.Context(), shardID(i), scaleRow()); err != nil {
			b.Fatal(err)
		}
	}
	_, leases := claim()
	for i, l := range leases {
		if err := l.Checkpoint(b.Context(), lease.Progress{Pos: scalePosition(i), Arrival: 1700000000000}); err != nil {
			b.Fatal(err)
		}
	}
	claim()
	for b.Loop() {
		before := heap()
		g, leases := claim()
		held := heap()
		census := shardmap.NewCensus()
		for i, l := range leases {
			r := l.Row()
			census.Put(shardmap.State{
				Shard: shardmap.Shard{ID: shardID(i), HashStart: r.HashStart, HashEnd: r.HashEnd},
				Root:  r.Root, Started: true, Owner: r.Owner, Epoch: r.Epoch, Checkpoint: string(r.Ck),
			})
		}
		listed := make([]shardmap.Shard, 0, shards)
		for i := range shards {
			listed = append(listed, shardmap.Shard{ID: shardID(i), HashStart: strings.Clone(scaleRow().HashStart), HashEnd: strings.Clone(scaleRow().HashEnd)})
		}
		census.Merge(listed, nil, nil)
		after := heap()
		b.ReportMetric(float64(held-before)/shards, "lease-B/shard")
		b.ReportMetric(float64(after-held)/shards, "census-B/shard")
		b.ReportMetric(0, "ns/op")
		runtime.KeepAlive(census)
		runtime.KeepAlive(leases)
		runtime.KeepAlive(g)
	}
}

// alone is a store that nobody else has open.
type alone struct{ checkpoint.Store }

func (alone) Exclusive() bool { return true }

// hushed is a client whose reads bring nothing, and take long.
type hushed struct{ pages }

func (hushed) GetRecords(ctx context.Context, _ *kinesis.GetRecordsInput, _ ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error) {
	<-ctx.Done()
	return nil, errors.New("nothing came")
}

// BenchmarkShardsAtRest is the CPU time that a worker with 1,000 shards takes while nothing happens, by getrusage: heartbeats,
// looks at the others, the loops of the stream and of the checkpoints. A minute passes for each iteration.
func BenchmarkShardsAtRest(b *testing.B) {
	const shards, rest = 1000, time.Minute
	ctx, stop := context.WithCancel(b.Context())
	c, err := consumer.New(hushed{pages{shards: shards}}, "orders", func(context.Context, events.KinesisEvent) error { return nil },
		silent(), consumer.WithGroup("g"), consumer.WithCheckpointer(new(checkpoint.Memory)), consumer.WithWorker("one"))
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	for len(c.Status().Shards) < shards {
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(2 * time.Second)
	used := func() time.Duration {
		var u syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	from, began := used(), time.Now()
	for range b.N {
		time.Sleep(rest)
	}
	cpu, passed := used()-from, time.Since(began)
	b.ReportMetric(100*cpu.Seconds()/passed.Seconds()/(shards/100), "%core/100shards")
	b.ReportMetric(0, "ns/op")
	stop()
	if err := <-ended; err != nil {
		b.Log(fmt.Errorf("the run ends with %w", err))
	}
}
