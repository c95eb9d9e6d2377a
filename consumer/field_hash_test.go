package consumer_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/shardlane/shardlane/consumer"
)

// TestField_F64: explicit hash keys put the records of one partition key into two shards. All are handled, each shard's in
// their order and one after another; between the shards there is none, and none waits for the other.
func TestField_F64(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "L24")
	inContract(t, 2, func(f *field) {
		f.work = func(_ context.Context, b fieldBatch) error {
			if b.Shard == shard0 {
				time.Sleep(10 * time.Second)
			}
			return nil
		}
		life := f.start(consumer.WithParallelizationFactor(4), consumer.WithBatchSize(2), consumer.WithDeaggregation(true))
		for range 10 {
			for n := range 2 {
				f.put(shardID(n), "alice", 1)
			}
		}
		time.Sleep(5 * time.Second)
		if times, _ := f.handled(); len(times) != 10 {
			t.Errorf("while one shard is slow, %d records of the key were handled, want the other shard's 10", len(times))
		}
		time.Sleep(time.Minute)
		f.once()
		put, got, ended := map[string][]string{}, map[string][]string{}, map[string]time.Time{}
		for _, sh := range f.srv.Shards("orders") {
			for _, r := range sh.Records {
				put[sh.ID] = append(put[sh.ID], r.SequenceNumber)
			}
		}
		for _, b := range f.seen() {
			if b.begun.Before(ended[b.Shard]) {
				t.Errorf("%s: two invocations of the key at once, at %v", b.Shard, b.begun)
			}
			ended[b.Shard] = b.ended
			for _, r := range b.recs {
				got[b.Shard] = append(got[b.Shard], r.Kinesis.SequenceNumber)
			}
		}
		for shard, want := range put {
			if !slices.Equal(got[shard], want) {
				t.Errorf("%s: handled %s, want them as they were put", shard, fmt.Sprint(got[shard]))
			}
		}
		life.stop()
	})
}
