package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"math"
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

// TestShardsInMemory: the coordination of an idle shard holds 1,000 bytes at most, beside the shard itself: its lease, what was
// written of it, its row in the census and its place in the listing. The store is not part of it. Shards come to the worker
// as in a run: from the rows, by a claim; then each is checkpointed, and the stream listed once more.
func TestShardsInMemory(t *testing.T) {
	const shards = 1000
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	store := alone{new(checkpoint.Memory)}
	for i := range shards {
		if err := lease.NewTable(store, "orders", scaleStream, "worker/first").Create(t.Context(), shardID(i), scaleRow()); err != nil {
			t.Fatal(err)
		}
	}
	state := func(id string, r lease.Row) shardmap.State {
		return shardmap.State{
			Shard: shardmap.Shard{ID: id, HashStart: r.HashStart, HashEnd: r.HashEnd},
			Root:  r.Root, Started: r.Ck != checkpoint.TrimHorizon, Owner: r.Owner, Epoch: r.Epoch, Checkpoint: string(r.Ck),
		}
	}
	listed := func() (list []shardmap.Shard) {
		for i := range shards {
			list = append(list, shardmap.Shard{ID: shardID(i), HashStart: strings.Clone(scaleRow().HashStart), HashEnd: strings.Clone(scaleRow().HashEnd)})
		}
		return list
	}
	leases := make([]*lease.Lease, shards)
	work := func(n int) (*lease.Group, *shardmap.Census) {
		g := lease.NewGroup(store, nil, "orders", "worker", func() string { return "0123456789ABCDEFGHIJKLMNOP" })
		table, census := g.Tenure().Table(scaleStream), shardmap.NewCensus()
		rows, _, err := table.Rows(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		known := map[string]shardmap.State{}
		for id, r := range rows {
			known[id] = state(id, r)
		}
		census.Merge(listed(), known, func(string) bool { return false })
		for i, id := range census.Startable() {
			l, err := table.Claim(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Checkpoint(t.Context(), lease.Progress{Pos: scalePosition(n), Arrival: 1700000000000}); err != nil {
				t.Fatal(err)
			}
			census.Put(state(id, l.Row()))
			leases[i] = l
		}
		census.Merge(listed(), nil, nil)
		return g, census
	}
	held := int64(math.MaxInt64)
	for n := range 4 { // what the first one leaves of types is no shard's; what other tests leave goes meanwhile
		clear(leases)
		before := heap()
		g, census := work(n)
		held = min(held, heap()-before)
		runtime.KeepAlive(g)
		runtime.KeepAlive(census)
	}
	t.Logf("%d bytes per shard", held/shards)
	if leases[shards-1] == nil || held < 500*shards || held > 1000*shards {
		t.Errorf("%d shards hold %d bytes", shards, held)
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
