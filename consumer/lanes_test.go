package consumer_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer"
)

// Each lane fills batches of its own, of one shard and in the order of its sequence numbers. What is given up of one names
// its first and its last record, between which another lane's may lie, and its true count.
func TestLanesHaveTheirOwnBatches(t *testing.T) {
	for _, rule := range []string{"C2", "C22", "L15", "L18"} {
		t.Attr("rule", rule)
	}
	inField(t, 1, func(f *field) {
		f.work = func(context.Context, fieldBatch) error { return errPoison }
		keys := []string{laneKey("a", 0), laneKey("b", 1)}
		for range 3 {
			for _, key := range keys {
				f.put(shardID(0), key, 1)
			}
		}
		var documents []string
		life := f.start(consumer.WithParallelizationFactor(4), consumer.WithBatchSize(3), consumer.WithBatchingWindow(5*time.Second),
			consumer.WithMaxRetryAttempts(0), consumer.WithOnFailure(batch.All(f, batch.DestinationFunc(func(_ context.Context, failure *batch.Failure) error {
				f.mu.Lock()
				defer f.mu.Unlock()
				documents = append(documents, string(failure.Document()))
				return nil
			}))))
		time.Sleep(2 * time.Second) // full batches do not wait for their window
		life.stop()
		all := f.srv.Records("orders")
		for _, b := range f.seen() {
			for i := range b.recs {
				if b.key(i) != b.key(0) || i > 0 && b.recs[i-1].Kinesis.SequenceNumber >= b.recs[i].Kinesis.SequenceNumber {
					t.Errorf("a batch of %s has %s at %d", b.key(0), b.key(i), i)
				}
			}
		}
		slices.Sort(documents)
		for lane := range keys {
			want := fmt.Sprintf(`"startSequenceNumber":"%s","endSequenceNumber":"%s"`, all[lane].SequenceNumber, all[lane+4].SequenceNumber)
			found := slices.ContainsFunc(documents, func(d string) bool { return strings.Contains(d, want) && strings.Contains(d, `"batchSize":3,`) })
			if !found {
				t.Errorf("no document has %s and 3 records: %q", want, documents)
			}
		}
	})
}

// Consumers with different names see all records each, with checkpoints of their own.
func TestGroupsAreIndependent(t *testing.T) {
	for _, rule := range []string{"L14", "B6", "L13"} {
		t.Attr("rule", rule)
	}
	inField(t, 1, func(f *field) {
		f.put(shardID(0), "a", 10)
		for n, group := range []string{"billing", "audit", "search"} {
			life := f.start(consumer.WithGroup(group))
			time.Sleep(2 * time.Second)
			life.stop()
			if times, _ := f.handled(); times[f.srv.Records("orders")[0].SequenceNumber] != n+1 {
				t.Errorf("after group %d the first record was handled %v", n+1, times)
			}
		}
		life := f.start(consumer.WithGroup("audit"), consumer.WithStartingPosition(consumer.TrimHorizon()))
		time.Sleep(2 * time.Second)
		life.stop()
		if n := len(f.seen()); n != 3 {
			t.Errorf("%d invocations, want 3: the checkpoint wins over the starting position", n)
		}
	})
}

// A factor beyond Lambda's is a number of lanes like any other, and a large batch needs no window.
func TestManyLanes(t *testing.T) {
	for _, rule := range []string{"B1", "L9", "L24"} {
		t.Attr("rule", rule)
	}
	inField(t, 1, func(f *field) {
		running, most := 0, 0
		h := func(ctx context.Context, ev events.KinesisEvent) error {
			f.mu.Lock()
			running++
			most = max(most, running)
			f.mu.Unlock()
			time.Sleep(time.Second)
			f.mu.Lock()
			running--
			f.mu.Unlock()
			return f.handle(ctx, ev)
		}
		for i := range 500 {
			f.put(shardID(0), fmt.Sprint("key ", i), 1)
		}
		life := startField(f, h, consumer.WithParallelizationFactor(1000), consumer.WithBatchSize(10_000))
		time.Sleep(5 * time.Second)
		life.stop()
		f.once()
		if most < 300 {
			t.Errorf("%d invocations at once, want the lanes of 500 keys", most)
		}
	})
}

// A batch has at most 6 MiB as Lambda counts it unless told otherwise: four records of 1,000,000 bytes, and not five.
func TestDefaultPayloadLimit(t *testing.T) {
	t.Attr("rule", "L19")
	inField(t, 1, func(f *field) {
		for i := range 8 {
			f.srv.PutHash("orders", fmt.Sprint("key ", i), "0", make([]byte, 1_000_000))
		}
		life := f.start()
		time.Sleep(time.Minute)
		life.stop()
		f.once()
		for _, b := range f.seen() {
			if n := len(b.recs); n > 4 || b.recs[0].Kinesis.PartitionKey == "key 0" && n != 4 {
				t.Errorf("a batch of %d records", n)
			}
		}
	})
}
