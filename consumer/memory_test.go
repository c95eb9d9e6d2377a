package consumer_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/shardlane/shardlane/batch/kpl"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// An endless client has full pages for every call, as many as it is asked for, or 10 MiB.
type endless struct {
	*kinesis.Client
	data []byte // of a record

	mu   sync.Mutex
	next int
}

func (c *endless) GetRecords(_ context.Context, in *kinesis.GetRecordsInput, _ ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error) {
	time.Sleep(20 * time.Millisecond)
	out := &kinesis.GetRecordsOutput{NextShardIterator: in.ShardIterator, MillisBehindLatest: aws.Int64(3_600_000)}
	c.mu.Lock()
	defer c.mu.Unlock()
	for range min(int(*in.Limit), max(1, 10<<20/len(c.data))) {
		c.next++
		out.Records = append(out.Records, types.Record{
			Data: bytes.Clone(c.data), PartitionKey: aws.String(fmt.Sprint("customer-", c.next)),
			SequenceNumber: aws.String(fmt.Sprintf("4965%052d", c.next)), ApproximateArrivalTimestamp: aws.Time(time.Now()),
		})
	}
	return out, nil
}

// consume runs a consumer of the client, all shards of which may hold budget bytes together, until the function that is returned is
// called.
func (c *endless) consume(t *testing.T, budget int64, handle func(context.Context, events.KinesisEvent) error, opts ...consumer.Option) (stop func()) {
	t.Helper()
	opts = append(opts, silent(), consumer.WithDrainTimeout(0))
	made, err := consumer.New(c, "orders", handle, opts...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	limit := debug.SetMemoryLimit(4 * budget) // it is looked at when Run begins
	go func() { ended <- made.Run(ctx) }()
	synctest.Wait()
	debug.SetMemoryLimit(limit)
	return func() { cancel(); <-ended }
}

// liveHeap is what is left behind a collection.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// However many shards have full pages, while all their handlers hang: the worker holds what its read-ahead may be, a record of
// each shard, and a little for each. Each of them has a handler.
func TestMemoryIsWhatIsSaid(t *testing.T) {
	t.Attr("rule", "C3")
	const budget = 64 << 20
	for _, tt := range []struct{ shards, size, users int }{
		{1, 1000, 0}, {64, 1000, 0}, {64, 1 << 20, 0}, {1000, 1000, 0}, {1000, 10_000, 0}, {64, 10, 1000}, {1000, 10, 100},
	} {
		t.Run(fmt.Sprintf("%d shards, records of %d bytes, %d in an aggregate", tt.shards, tt.size, tt.users), func(t *testing.T) {
			data, cost := make([]byte, tt.size), 2*tt.size
			if tt.users > 0 {
				data, cost = kpl.Encode(slices.Repeat([]kpl.UserRecord{{PartitionKey: "customer", Data: data}}, tt.users)...), tt.users*500
			}
			before := liveHeap()
			synctest.Test(t, func(t *testing.T) {
				srv := kinesistest.NewServer("orders", tt.shards)
				defer srv.Close()
				var mu sync.Mutex
				had := map[string]bool{}
				hang := func(ctx context.Context, ev events.KinesisEvent) error {
					shard, _, _ := strings.Cut(ev.Records[0].EventID, ":")
					mu.Lock()
					had[shard] = true
					mu.Unlock()
					<-ctx.Done()
					return ctx.Err()
				}
				client := &endless{Client: srv.Client(), data: data}
				stop := client.consume(t, budget, hang, consumer.WithDeaggregation(tt.users > 0))
				time.Sleep(3 * time.Minute)
				live, most := liveHeap()-before, int64(budget+64<<20+tt.shards*(4096+cost))
				t.Logf("%d MiB are live, at most %d MiB may be", live>>20, most>>20)
				if live > most {
					t.Error("that is too much")
				}
				mu.Lock()
				if len(had) != tt.shards {
					t.Errorf("%d of %d shards have a handler", len(had), tt.shards)
				}
				mu.Unlock()
				stop()
			})
		})
	}
}

// A shard whose handler hangs holds no more than its own: the others, which are read as fast as Kinesis serves them, go on as if it
// were not there.
func TestHangingHandlerLeavesOthersTheirMemory(t *testing.T) {
	t.Attr("rule", "C3")
	const shards, size = 8, 10_000
	handled := func(hangs bool) (n int) {
		synctest.Test(t, func(t *testing.T) {
			srv := kinesistest.NewServer("orders", shards)
			defer srv.Close()
			var mu sync.Mutex
			handle := func(ctx context.Context, ev events.KinesisEvent) error {
				if shard, _, _ := strings.Cut(ev.Records[0].EventID, ":"); hangs && shard == shard0 {
					<-ctx.Done()
					return ctx.Err()
				} else if shard != shard0 {
					mu.Lock()
					n += len(ev.Records)
					mu.Unlock()
				}
				time.Sleep(400 * time.Millisecond)
				return nil
			}
			client := &endless{Client: srv.Client(), data: make([]byte, size)}
			stop := client.consume(t, 200<<20, handle)
			time.Sleep(time.Minute)
			stop()
		})
		return n
	}
	with, without := handled(true), handled(false)
	t.Logf("%d records of the others are handled in a minute, %d without one that hangs", with, without)
	if with < without*95/100 || without == 0 {
		t.Error("want 95 % or more")
	}
}
