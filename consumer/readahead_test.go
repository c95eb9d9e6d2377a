package consumer_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// served sums the bytes and records that GetRecords returned of a shard.
func served(srv *kinesistest.Server, shard string) (size, records int) {
	for _, c := range srv.Calls() {
		if c.Op == "GetRecords" && c.Shard == shard {
			size, records = size+c.Bytes, records+c.Records
		}
	}
	return size, records
}

// A handler that hangs fills the read-ahead of its shard, to its bound and no further; the other shard goes on.
func TestReadAheadIsBounded(t *testing.T) {
	t.Attr("rule", "C3")
	const page = 10 << 20
	for _, tt := range []struct {
		name        string
		opt         consumer.Option
		size, n     int // of the records put
		most, least int // bytes served
	}{
		// Twice the data is charged, so half of 48 MiB is data; the page that was read last comes on top.
		{"default bytes", consumer.Options(), 1000 << 10, 45, 24<<20 + page, 24 << 20},
		{"fewer bytes", consumer.WithReadAhead(1000, 1<<20), 100 << 10, 150, 512<<10 + page, 512 << 10},
		{"records", consumer.WithReadAhead(200, 1<<30), 1000, 12_000, 200*1000 + 10_000*1010, 200 * 1000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := kinesistest.NewServer("orders", 2)
				defer srv.Close()
				for i := range tt.n {
					srv.PutHash("orders", fmt.Sprint(i%10), "0", bytes.Repeat([]byte("x"), tt.size))
				}
				var j journal
				r := start(t, srv, func(ctx context.Context, ev events.KinesisEvent) error {
					if len(ev.Records[0].Kinesis.Data) == tt.size {
						<-ctx.Done()
						return ctx.Err()
					}
					return j.handle(ctx, ev)
				}, tt.opt, consumer.WithDrainTimeout(0))
				time.Sleep(2 * time.Minute)
				size, _ := served(srv, shard0)
				if size < tt.least || size > tt.most {
					t.Errorf("%d bytes were read behind a handler that hangs, want %d to %d", size, tt.least, tt.most)
				}
				srv.PutHash("orders", "bob", lastHash, []byte("other shard"))
				time.Sleep(time.Second)
				if !j.has("other shard") {
					t.Error("the other shard does not go on")
				}
				held := r.c.Status().Shards[0].ReadAhead
				if held < int64(2*size) || held > int64(2*size)+int64(tt.n)*1000 {
					t.Errorf("Status says %d bytes are charged for the %d read, want twice these and some overhead", held, size)
				}
				if _, err := r.stop(); err == nil {
					t.Error("Run returned nil though a handler was cut off")
				}
			})
		})
	}
}

// Once there is room again, reading goes on, and everything is handled.
func TestReadAheadGoesOn(t *testing.T) {
	t.Attr("rule", "C3")
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		const n = 100
		for i := range n {
			srv.Put("orders", fmt.Sprint(i%7), bytes.Repeat([]byte("x"), 20<<10))
		}
		handled := 0
		r := start(t, srv, func(_ context.Context, ev events.KinesisEvent) error {
			time.Sleep(100 * time.Millisecond)
			handled += len(ev.Records)
			return nil
		}, consumer.WithReadAhead(10, 1), consumer.WithBatchSize(10), consumer.WithBatchingWindow(10*time.Second))
		time.Sleep(5 * time.Minute)
		if _, err := r.stop(); err != nil || handled != n {
			t.Errorf("Run returned %v, %d of %d records handled", err, handled, n)
		}
	})
}

// A full read-ahead makes waiting batches ready, whatever their window (C3).
func TestFullReadAheadEndsTheWindow(t *testing.T) {
	t.Attr("rule", "C3")
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		for i := range 60 {
			srv.Put("orders", fmt.Sprint(i), []byte("x"))
		}
		began := time.Now()
		var first atomic.Int64
		r := start(t, srv, func(context.Context, events.KinesisEvent) error {
			first.CompareAndSwap(0, int64(time.Since(began)))
			return nil
		}, consumer.WithReadAhead(50, 1<<20), consumer.WithBatchSize(50), consumer.WithParallelizationFactor(4),
			consumer.WithBatchingWindow(300*time.Second))
		time.Sleep(10 * time.Minute)
		if d := time.Duration(first.Load()); d == 0 || d > 5*time.Second {
			t.Errorf("the first batch came after %v, want soon", d)
		}
		if _, err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// A shard that hangs may use up the read-ahead of the worker. Another one is always allowed a page, again and again.
func TestReadAheadOfAllIsUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 2)
		defer srv.Close()
		for range 20 {
			srv.PutHash("orders", "alice", "0", bytes.Repeat([]byte("x"), 100<<10))
		}
		var j journal
		limit := debug.SetMemoryLimit(4 << 20) // so the worker's is 1 MiB
		r := start(t, srv, func(ctx context.Context, ev events.KinesisEvent) error {
			if ev.Records[0].Kinesis.PartitionKey == "alice" {
				<-ctx.Done()
				return ctx.Err()
			}
			time.Sleep(time.Second) // the shard is full meanwhile
			return j.handle(ctx, ev)
		}, consumer.WithDrainTimeout(0))
		synctest.Wait()
		debug.SetMemoryLimit(limit)
		time.Sleep(5 * time.Second)
		for i := range 5 {
			srv.PutHash("orders", "bob", lastHash, fmt.Append(nil, i))
			time.Sleep(5 * time.Second)
			if !j.has(fmt.Sprint(i)) {
				t.Fatalf("record %d of the other shard is not handled", i)
			}
		}
		_, _ = r.stop()
	})
}
