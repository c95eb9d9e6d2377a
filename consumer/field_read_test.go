package consumer_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// reads returns the GetRecords calls of a shard.
func (f *field) reads(shard string) []kinesistest.Call {
	var reads []kinesistest.Call
	for _, c := range f.srv.Calls() {
		if c.Op == "GetRecords" && c.Shard == shard {
			reads = append(reads, c)
		}
	}
	return reads
}

// TestField_F02: after a throttle, an error or an expired iterator, reading goes on behind the last record fetched, not
// where the checkpoint is; and the iterator is kept where it is still good.
func TestField_F02(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "L26")
	inField(t, 1, func(f *field) {
		const shard = "shardId-000000000000"
		f.put(shard, "a", 50)
		life := f.start()
		time.Sleep(2 * time.Second) // all is handled, nothing is stored
		for _, fault := range []*kinesistest.Fault{
			kinesistest.Throttle(2), kinesistest.ExpireIterators(1), kinesistest.Error("InternalFailure", 2), kinesistest.Drop(1),
		} {
			f.srv.Fail("GetRecords", fault)
			f.put(shard, "a", 50)
			time.Sleep(1500 * time.Millisecond)
		}
		time.Sleep(5 * time.Second)
		f.once()
		read := 0
		for _, c := range f.reads(shard) {
			read += c.Records
		}
		if iterators := f.srv.Count("GetShardIterator", "orders", shard); read != 250 || iterators != 2 {
			t.Errorf("250 records were read %d times, with %d iterators", read, iterators)
		}
		life.stop()
	})
}

// TestField_F30: a shard is read 5 times a second at most, and a page of n bytes is followed by a pause of n / 2,000,000 s
// (I17); records of a key are never in two invocations at once (I5), which sound looks at.
func TestField_F30(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "L16")
	inField(t, 2, func(f *field) {
		f.work = func(_ context.Context, b fieldBatch) error {
			time.Sleep(300 * time.Millisecond)
			if b.Attempt == 1 && b.key(0) == "c" {
				return errors.New("not at the first attempt")
			}
			return nil
		}
		data := make([]byte, 200_000)
		for range 25 {
			f.srv.PutHash("orders", "large", "0", data)
		}
		life := f.start(consumer.WithParallelizationFactor(10))
		f.srv.Fail("GetRecords", kinesistest.Throttle(1).After(8), kinesistest.ExpireIterators(2).After(20))
		for range 100 {
			for _, key := range []string{"a", "b", "c", "d"} {
				f.put(shardID(1), key, 3)
			}
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(20 * time.Second)
		f.once()
		for n := range 2 {
			reads := f.reads(shardID(n))
			for i := range reads[1:] {
				gap, debt := reads[i+1].Time.Sub(reads[i].Time), time.Duration(reads[i].Bytes)*time.Second/2_000_000
				if gap < 200*time.Millisecond || gap < debt*999/1000 { // keys are a ten-thousandth of the bytes
					t.Errorf("shard %d: read %d came %v after one of %d bytes", n, i+1, gap, reads[i].Bytes)
				}
			}
			if len(reads) < 70 {
				t.Errorf("shard %d: %d reads in 30 s", n, len(reads))
			}
		}
		life.stop()
	})
}

// TestField_F31: pauses double from 200 ms, to one minute between attempts and 10 s between reads, with up to 20 %
// of jitter (L34, C9), and begin anew after a success; the end of a shard in an empty page, with errors around it, is an
// end like any other.
func TestField_F31(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "C9")
	t.Attr("rule", "L34")
	inField(t, 1, func(f *field) {
		const shard, ms = "shardId-000000000000", time.Millisecond
		within := func(what string, n int, got, want, more time.Duration) {
			t.Helper()
			if got < want || got > want*6/5+more {
				t.Errorf("pause %d of %s was %v, want %v to 20 %% more", n, what, got, want)
			}
		}
		f.work = func(_ context.Context, b fieldBatch) error {
			if b.Attempt <= 11 {
				return errors.New("not yet")
			}
			return nil
		}
		life := f.start()
		f.put(shard, "a", 1)
		time.Sleep(5 * time.Minute)
		f.complete()
		law := []time.Duration{200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, 12800 * ms, 25600 * ms, 51200 * ms, time.Minute, time.Minute}
		for i, b := range f.seen()[1:] {
			within("attempts", i+1, b.begun.Sub(f.seen()[i].ended), law[i], 0)
		}

		f.work = nil
		f.put(shard, "a", 1)
		begun := time.Now()
		for range 2 {
			f.srv.Fail("GetRecords", kinesistest.Error("InternalFailure", 8))
			time.Sleep(2 * time.Minute)
		}
		law = []time.Duration{200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, 10 * time.Second, 10 * time.Second}
		failed := 0
		reads := f.reads(shard)
		for i, c := range reads {
			if c.Code != "" && c.Time.After(begun) {
				within("reads", failed%8+1, reads[i+1].Time.Sub(c.Time), law[failed%8], 20*ms)
				failed++
			}
		}
		if failed != 16 {
			t.Errorf("%d reads failed", failed)
		}

		f.srv.SetShardEnd(2)
		f.put(shard, "a", 1)
		lower, upper := f.srv.Split("orders", shard)
		f.put(lower, "a", 1)
		f.put(upper, "b", 1)
		f.srv.Fail("GetRecords", kinesistest.Truncate(2).After(1), kinesistest.Error("ServiceUnavailable", 2), kinesistest.HideChildren(0))
		f.srv.Merge("orders", lower, upper) // their ends are empty pages, too
		time.Sleep(30 * time.Second)
		f.once()
		life.stop()
	})
}
