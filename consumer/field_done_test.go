package consumer_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"testing"
	"time"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// bend changes one bit of the done-set that the shard's row holds, and fails the test unless there is one.
func (f *field) bend() {
	f.t.Helper()
	log := f.store.written()
	last := log[len(log)-1]
	if len(last.done) == 0 {
		f.t.Fatalf("no done-set beside %s", last.ck)
	}
	e, err := f.store.Get(f.t.Context(), last.key)
	if err != nil {
		f.t.Fatal(err)
	}
	text := func(b []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(b)) }
	bent := bytes.Clone(last.done)
	bent[len(bent)/2] ^= 4
	e.Value = bytes.Replace(e.Value, text(last.done), text(bent), 1)
	if _, err := f.store.Swap(f.t.Context(), e); err != nil {
		f.t.Fatal(err)
	}
}

// again returns how many records of a key were handled with success more than n times.
func (f *field) again(key string, n int) (records int) {
	times, _ := f.handled()
	for _, r := range f.srv.Records("orders") {
		if r.PartitionKey == key && times[r.SequenceNumber] > n {
			records++
		}
	}
	return records
}

// TestField_F57: behind a record that holds its lane, more runs of finished records come to lie than a row has room for.
// Nothing stalls: the row keeps its size, and what is left out of it comes again after a crash, in order. A clean stop has
// room for all of them. What cannot be read in the row is done again, all of it.
func TestField_F57(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "C26")
	inField(t, 1, func(f *field) {
		const n = 100
		bad, other := laneKey("bad", 0), laneKey("other", 1)
		held := true
		f.work = func(_ context.Context, b fieldBatch) error {
			if held && b.has(bad) {
				return errPoison
			}
			return nil
		}
		f.srv.SetDistribution("orders", kinesistest.Auto) // takes records without a key
		for i := range n {
			f.put(shardID(0), bad, 1)
			f.put(shardID(0), other, 1)
			if i%10 == 0 {
				f.put(shardID(0), "", 1)
			}
		}
		opts := consumer.Options(consumer.WithParallelizationFactor(4), consumer.WithBatchSize(1), consumer.WithDrainTimeout(0))
		life := f.start(opts)
		time.Sleep(30 * time.Second)
		if done := f.again(other, 0); done != n {
			t.Errorf("%d records were handled around those that wait, want %d", done, n)
		}
		life.kill()
		for _, w := range f.store.written() {
			if w.size > 800 { // with parents, long names and what a store adds: 1 KiB
				t.Errorf("a row of %d bytes", w.size)
			}
		}

		life = f.start(opts)
		time.Sleep(30 * time.Second)
		again := f.again(other, 1)
		if again == 0 || again > n-20 {
			t.Errorf("%d of %d records came again after a crash, want some, and fewer by what a row has room for", again, n)
		}
		life.stop()
		life = f.start(opts)
		time.Sleep(30 * time.Second)
		if more := f.again(other, 1) - again + f.again(other, 2); more > 0 {
			t.Errorf("%d records came again after a stop", more)
		}
		life.stop()

		f.bend()
		held = false
		life = f.start(opts)
		time.Sleep(time.Minute)
		f.complete()
		if again := f.again(other, 1); again != n {
			t.Errorf("%d records came again although the row cannot be read, want all %d", again, n)
		}
		life.stop()
	})
}
