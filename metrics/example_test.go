package metrics_test

import (
	"fmt"
	"sync"

	"github.com/shardlane/shardlane/metrics"
)

// Totals is a Recorder that adds up counters over all shards, and drops the rest.
type Totals struct {
	mu  sync.Mutex
	sum map[string]float64
}

// Record keeps v. It is called from many goroutines, and does nothing that could make them wait.
func (t *Totals) Record(m *metrics.Metric, _ metrics.Labels, v float64) {
	if m.Kind != metrics.Counter {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sum == nil {
		t.sum = make(map[string]float64)
	}
	t.sum[m.Name] += v
}

// A Recorder of one's own: an exporter is one with a vendor behind it. A consumer gets it by consumer.WithMetrics.
func ExampleRecorder() {
	totals := new(Totals)
	var r metrics.Recorder = totals
	r.Record(metrics.PolledEventCount, metrics.Labels{Stream: "orders", Shard: "shardId-000000000000"}, 100)
	r.Record(metrics.PolledEventCount, metrics.Labels{Stream: "orders", Shard: "shardId-000000000001"}, 20)
	r.Record(metrics.IteratorAge, metrics.Labels{Stream: "orders", Shard: "shardId-000000000000"}, 350)
	fmt.Println(totals.sum)

	// Output:
	// map[PolledEventCount:120]
}

// A Snapshot next to a Recorder of one's own answers questions: ages by their maximum, amounts by their sum.
func ExampleTee() {
	var now metrics.Snapshot
	r := metrics.Tee(new(Totals), &now)
	for shard, age := range map[string]float64{"shardId-000000000000": 3, "shardId-000000000001": 75} {
		l := metrics.Labels{Stream: "orders", Shard: shard}
		r.Record(metrics.QueueAge, l, age)
		r.Record(metrics.PolledEventCount, l, 10)
	}
	fmt.Println("oldest:", now.Max(metrics.QueueAge), metrics.QueueAge.Unit)
	fmt.Println("read:", now.Sum(metrics.PolledEventCount), metrics.PolledEventCount.Unit)

	// Output:
	// oldest: 75 s
	// read: 20 records
}
