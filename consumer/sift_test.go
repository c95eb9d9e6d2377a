package consumer_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shardlane/shardlane/batch/kpl"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/metrics"
)

// putData puts a payload into the first shard, under a key of its own.
func (f *field) putData(data string) {
	f.srv.PutHash("orders", fmt.Sprint("key ", len(f.srv.Records("orders"))), "0", []byte(data))
}

// Records that no pattern matches neither count in a batch nor start a batching window, are counted, never handed over,
// and the checkpoint passes them, also where nothing else is read.
func TestFilter(t *testing.T) {
	for _, rule := range []string{"L21", "L22", "L39", "L58"} {
		t.Attr("rule", rule)
	}
	inField(t, 1, func(f *field) {
		var stats metrics.Snapshot
		life := f.start(consumer.WithFilter(`{"data":{"type":["order"]}}`), consumer.WithBatchSize(2),
			consumer.WithBatchingWindow(10*time.Second), consumer.WithMetrics(&stats))
		time.Sleep(time.Second)
		for range 5 {
			f.putData(`{"type":"click"}`)
		}
		time.Sleep(5 * time.Second)
		start := time.Now()
		f.putData(`{"type":"order","id":1}`)
		f.putData(`not JSON`)
		time.Sleep(8 * time.Second)
		if n := len(f.seen()); n != 0 {
			t.Fatalf("%d invocations before the window ended", n)
		}
		time.Sleep(3 * time.Second)
		if b := f.seen(); len(b) != 1 || b[0].begun.Sub(start) < 10*time.Second {
			t.Fatalf("%d invocations", len(b))
		}
		for i := range 4 {
			f.putData(`{"type":"click"}`)
			f.putData(fmt.Sprintf(`{"type":"order","id":%d}`, i+2))
		}
		time.Sleep(time.Second) // two full batches
		var sizes []int
		for _, b := range f.seen() {
			sizes = append(sizes, len(b.recs))
		}
		if !slices.Equal(sizes, []int{1, 2, 2}) {
			t.Errorf("batches of %v records, want 1, 2 and 2", sizes)
		}
		f.putData(`{"type":"click"}`)
		time.Sleep(15 * time.Second)
		f.since = time.Now() // of what is filtered nothing is handled
		all := f.srv.Records("orders")
		last := f.store.written()[len(f.store.written())-1].ck
		if seq, _, whole, _ := last.Sequence(); !whole || seq != all[len(all)-1].SequenceNumber {
			t.Errorf("the checkpoint is %s, want one behind the last record", last)
		}
		if got := []float64{counted(&stats, metrics.PolledEventCount), counted(&stats, metrics.FilteredOutEventCount), counted(&stats, metrics.InvokedEventCount)}; !slices.Equal(got, []float64{16, 11, 5}) {
			t.Errorf("polled, filtered, invoked: %v, want 16, 11, 5", got)
		}
		life.stop()
	})
}

// Where aggregates are split, patterns, batches and counts see user records; elsewhere an aggregate is a payload that is no
// JSON.
func TestFilterAggregates(t *testing.T) {
	for _, rule := range []string{"L64", "C18", "C21"} {
		t.Attr("rule", rule)
	}
	for _, split := range []bool{true, false} {
		inField(t, 1, func(f *field) {
			var stats metrics.Snapshot
			us := users(0, 6)
			for i := range us {
				us[i].Data = fmt.Appendf(nil, `{"id":%d,"odd":%t}`, i, i%2 == 1)
			}
			f.aggregate(shardID(0), us...)
			life := f.start(consumer.WithDeaggregation(split), consumer.WithBatchSize(2), consumer.WithMetrics(&stats),
				consumer.WithFilter(`{"data":{"odd":[true]}}`))
			time.Sleep(5 * time.Second)
			life.stop()
			f.since = time.Now()
			want, counts := []string{`{"id":1,"odd":true}`, `{"id":3,"odd":true}`, `{"id":5,"odd":true}`}, []float64{6, 3, 3}
			if !split {
				want, counts = nil, []float64{1, 1, 0}
			}
			if got := f.data(); !slices.Equal(got, want) {
				t.Errorf("split %t: handled %q, want %q", split, got, want)
			}
			if got := []float64{counted(&stats, metrics.PolledEventCount), counted(&stats, metrics.FilteredOutEventCount), counted(&stats, metrics.InvokedEventCount)}; !slices.Equal(got, counts) {
				t.Errorf("split %t: polled, filtered, invoked: %v, want %v", split, got, counts)
			}
		})
	}
}

// The lane of a user record follows its own key: records of one key keep their order over aggregates and outside of them.
func TestAggregateOrder(t *testing.T) {
	for _, rule := range []string{"C21", "L24"} {
		t.Attr("rule", rule)
	}
	inField(t, 1, func(f *field) {
		f.work = func(_ context.Context, b fieldBatch) error {
			time.Sleep(time.Duration(len(b.key(0))) * time.Millisecond)
			return nil
		}
		var want []string
		for n := range 8 {
			id := fmt.Sprint("alice ", n)
			f.aggregate(shardID(0),
				kpl.UserRecord{PartitionKey: "a much longer key", ExplicitHashKey: "0", Data: []byte("x")},
				kpl.UserRecord{PartitionKey: "alice", ExplicitHashKey: "0", Data: []byte(id)})
			f.srv.PutHash("orders", "alice", "0", []byte(id+" plain"))
			want = append(want, id, id+" plain")
		}
		life := f.start(consumer.WithDeaggregation(true), consumer.WithParallelizationFactor(10), consumer.WithBatchSize(1))
		time.Sleep(5 * time.Second)
		life.stop()
		got := slices.DeleteFunc(f.data(), func(d string) bool { return d == "x" })
		if !slices.Equal(got, want) {
			t.Errorf("alice's records came as %q", got)
		}
		f.mu.Lock()
		f.batches = nil // sound knows partition keys of records, not of user records
		f.mu.Unlock()
		f.since = time.Now()
	})
}

// A pattern's key that no record has is told of when the consumer starts.
func TestFilterUnknownKey(t *testing.T) {
	t.Attr("rule", "C16")
	inField(t, 1, func(f *field) {
		life := f.start(consumer.WithFilter(`{"partitionkey":["a"]}`))
		time.Sleep(time.Second)
		synctest.Wait()
		if f.noticed("PatternKeyUnknown") != 1 {
			t.Errorf("%d notices", f.noticed("PatternKeyUnknown"))
		}
		life.stop()
	})
}
