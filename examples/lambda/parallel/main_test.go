package main

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer/kinesistest"
	"github.com/shardlane/shardlane/partition"
)

// A batch of 100 records of 20 keys, whose calls take 10 ms each, takes a second one after another. On 16 lanes it takes
// as long as the keys of the busiest lane. Time is virtual: it counts waiting, and no work.
func TestParallelIsFaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var put []string
		for i := range 100 {
			put = append(put, fmt.Sprintf("customer-%d", i%20), fmt.Sprintf("order %d", i))
		}
		ev := kinesistest.Event(put...)
		slow := func(context.Context, events.KinesisEventRecord) error {
			time.Sleep(10 * time.Millisecond)
			return nil
		}
		took := func(n int) time.Duration {
			start := time.Now()
			resp := batch.Response(ev.Records, partition.Each(t.Context(), n, ev.Records, batch.PartitionKey, slow))
			if len(resp.BatchItemFailures) > 0 {
				t.Errorf("%d lanes: %v", n, resp)
			}
			return time.Since(start)
		}
		one, sixteen := took(1), took(16)
		t.Logf("1 lane: %v, 16 lanes: %v", one, sixteen)
		if one != time.Second || sixteen > 100*time.Millisecond {
			t.Errorf("1 lane took %v, 16 lanes took %v; want 1s and at most 100ms", one, sixteen)
		}
	})
}

func Example() {
	resp, err := handle(context.Background(), kinesistest.Event("alice", "1 espresso"))
	fmt.Println(len(resp.BatchItemFailures), err)
	// Output:
	// alice: 1 espresso
	// 0 <nil>
}

// BenchmarkHandle is what the lanes cost per record, with calls that do nothing.
func BenchmarkHandle(b *testing.B) {
	var put []string
	for i := range 100 {
		put = append(put, fmt.Sprintf("customer-%d", i%20), "order")
	}
	ev := kinesistest.Event(put...)
	none := func(context.Context, events.KinesisEventRecord) error { return nil }
	for b.Loop() {
		batch.Response(ev.Records, partition.Each(b.Context(), 16, ev.Records, batch.PartitionKey, none))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/record")
}
