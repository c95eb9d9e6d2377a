package consumer_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
	"github.com/shardlane/shardlane/partition"
)

var errPoison = errors.New("poison")

// TestField_F33: one poison record holds its lane and, without a limit, nothing else: other lanes and other shards flow.
// With a limit it is given up, alone, and its lane goes on.
func TestField_F33(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "C3")
	t.Attr("rule", "L28")
	t.Attr("rule", "L33")
	inField(t, 2, func(f *field) {
		bad := laneKey("bad", 0)
		f.work = func(_ context.Context, b fieldBatch) error {
			if b.has(bad) {
				return errPoison
			}
			return nil
		}
		f.put(shardID(0), bad, 1)
		f.put(shardID(0), laneKey("other", 0), 30)
		f.put(shardID(0), laneKey("other", 1), 30)
		f.put(shardID(1), "elsewhere", 30)
		life := f.start(consumer.WithParallelizationFactor(4))
		time.Sleep(10 * time.Minute)
		life.alive()
		if times, _ := f.handled(); len(times) != 60 {
			t.Errorf("%d records were handled around the poison, want 60", len(times))
		}
		life.stop()

		life = f.start(consumer.WithParallelizationFactor(4), consumer.WithBisectOnError(true),
			consumer.WithMaxRetryAttempts(2), consumer.WithOnFailure(f))
		time.Sleep(time.Minute)
		f.complete()
		if gone := f.givenUp(); len(gone) != 1 {
			t.Errorf("%d records were given up, want the poison alone", len(gone))
		}
		life.stop()
	})
}

// TestField_F36: a poison record is isolated, by bisecting and by partial failures: no other record of its batch is given
// up with it, and none of those before it comes again, not even after a crash. Nor do those of other lanes behind it.
func TestField_F36(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "L29")
	t.Attr("rule", "L36")
	t.Attr("rule", "L39")
	inField(t, 1, func(f *field) {
		f.work = func(_ context.Context, b fieldBatch) error {
			if b.has("poison") {
				return errPoison
			}
			return nil
		}
		fill := func() {
			f.put(shardID(0), "before", 98)
			f.put(shardID(0), "poison", 1)
			f.put(shardID(0), "behind", 101)
		}
		fill()
		life := f.start(consumer.WithBatchSize(200), consumer.WithBisectOnError(true), consumer.WithMaxRetryAttempts(1), consumer.WithOnFailure(f))
		time.Sleep(time.Minute)
		f.once()
		if n := len(f.givenUp()); n != 1 {
			t.Errorf("%d records were given up by bisecting, want 1", n)
		}
		life.stop()

		fill()
		life = startField(f, batch.Each(f.one), consumer.WithBatchSize(200), consumer.WithDrainTimeout(0))
		time.Sleep(30 * time.Second) // longer than the checkpoint's interval
		life.kill()
		life = startField(f, batch.Each(f.one), consumer.WithBatchSize(200), consumer.WithBisectOnError(true),
			consumer.WithMaxRetryAttempts(1), consumer.WithOnFailure(f))
		time.Sleep(time.Minute)
		f.once()
		if n := len(f.givenUp()); n != 2 {
			t.Errorf("%d records were given up, want 2", n)
		}
		life.stop()

		f.put(shardID(0), "poison", 1)
		f.put(shardID(0), laneKey("elsewhere", 1-partition.Hash("poison")%2), 98)
		life = startField(f, batch.Each(f.one), consumer.WithParallelizationFactor(2), consumer.WithDrainTimeout(0))
		time.Sleep(30 * time.Second)
		life.kill()
		life = startField(f, batch.Each(f.one), consumer.WithParallelizationFactor(2),
			consumer.WithBisectOnError(true), consumer.WithMaxRetryAttempts(1), consumer.WithOnFailure(f))
		time.Sleep(time.Minute)
		f.once()
		life.stop()
	})
}

// TestField_F58: a start at LATEST misses nothing that arrives while it is being made, and what is given up comes with its
// data.
func TestField_F58(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "C11")
	inField(t, 1, func(f *field) {
		f.put(shardID(0), "old", 5)
		time.Sleep(2 * time.Second)
		f.since = time.Now()
		f.work = func(_ context.Context, b fieldBatch) error {
			if b.has("poison") {
				return errPoison
			}
			return nil
		}
		f.srv.Fail("GetShardIterator", kinesistest.Throttle(4))
		life := f.start(consumer.WithStartingPosition(consumer.Latest()), consumer.WithBisectOnError(true),
			consumer.WithMaxRetryAttempts(0), consumer.WithOnFailure(f))
		time.Sleep(time.Second) // the shard has no iterator yet
		f.put(shardID(0), "early", 5)
		f.put(shardID(0), "poison", 1)
		time.Sleep(time.Minute)
		f.complete()
		var data []string
		for _, failure := range f.givenUp() {
			for _, r := range failure.Records {
				data = append(data, string(r.Kinesis.Data))
			}
		}
		if !slices.Equal(data, []string{"poison"}) {
			t.Errorf("given up was %q, want the poison's data", data)
		}
		life.stop()
	})
}
