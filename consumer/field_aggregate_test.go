package consumer_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/kpl"
	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
)

// lastHash is the hash key at the end of the last shard of any stream.
const lastHash = "340282366920938463463374607431768211455"

// aggregate puts user records into a shard, as one aggregate.
func (f *field) aggregate(shard string, users ...kpl.UserRecord) {
	f.t.Helper()
	f.raw(shard, kpl.Encode(users...))
}

// raw puts one record under a key of its own: the order of user records is that of their own keys.
func (f *field) raw(shard string, data []byte) {
	f.t.Helper()
	key := fmt.Sprint("aggregate ", len(f.srv.Records("orders")))
	for _, sh := range f.srv.Shards("orders") {
		if sh.ID == shard {
			f.srv.PutHash("orders", key, sh.HashStart, data)
			return
		}
	}
	f.t.Fatalf("there is no shard %s", shard)
}

// users are n user records with data and keys of their own, in the hash range of the first shard of any stream.
func users(from, n int) (us []kpl.UserRecord) {
	for i := range n {
		id := fmt.Sprintf("u%02d", from+i)
		us = append(us, kpl.UserRecord{PartitionKey: id, ExplicitHashKey: "0", Data: []byte(id)})
	}
	return us
}

// data returns what was handled with success, each record's data as often as it was.
func (f *field) data() (all []string) {
	for _, b := range f.seen() {
		if b.err == nil && !b.ended.IsZero() {
			for _, r := range b.recs {
				all = append(all, string(r.Kinesis.Data))
			}
		}
	}
	return all
}

func names(from, n int) (all []string) {
	for _, u := range users(from, n) {
		all = append(all, string(u.Data))
	}
	return all
}

// TestField_F09: a stop inside an aggregate resumes at the next user record, not behind the aggregate, and not at its
// beginning; after a crash none is missing.
func TestField_F09(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "C21")
	split := consumer.Options(consumer.WithDeaggregation(true), consumer.WithBatchSize(1), consumer.WithDrainTimeout(5*time.Second))
	inField(t, 1, func(f *field) {
		f.work = func(context.Context, fieldBatch) error {
			time.Sleep(time.Second)
			return nil
		}
		f.put(shardID(0), "before", 2)
		f.aggregate(shardID(0), users(0, 10)...)
		f.aggregate(shardID(0), users(10, 10)...)
		for range 7 { // stops inside and between aggregates
			life := f.start(split)
			time.Sleep(3500 * time.Millisecond)
			life.stop()
		}
		life := f.start(split)
		time.Sleep(time.Minute)
		life.stop()
		if got, want := f.data(), append([]string{"before", "before"}, names(0, 20)...); !slices.Equal(got, want) {
			t.Errorf("handled %q, want %q", got, want)
		}
		inside := 0
		for _, w := range f.store.written() {
			if _, _, whole, numeric := w.ck.Sequence(); numeric && !whole {
				inside++
			}
		}
		if inside == 0 {
			t.Error("no checkpoint was inside an aggregate")
		}
	})
	inField(t, 1, func(f *field) {
		f.work = func(ctx context.Context, _ fieldBatch) error {
			select {
			case <-time.After(3 * time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		f.aggregate(shardID(0), users(0, 20)...)
		crash := consumer.Options(split, consumer.WithDrainTimeout(0))
		for range 3 {
			life := f.start(crash)
			time.Sleep(17 * time.Second)
			life.kill()
		}
		life := f.start(crash)
		time.Sleep(2 * time.Minute)
		life.stop()
		got := f.data()
		if len(got) > 20+3*3 { // 10 s between checkpoints are 3 records at most
			t.Errorf("handled %d records: %q", len(got), got)
		}
		slices.Sort(got)
		if got = slices.Compact(got); !slices.Equal(got, names(0, 20)) {
			t.Errorf("handled %q", got)
		}
	})
}

// TestField_F17: a corrupt aggregate is one record, handed over as it is, and its neighbours are split as ever.
func TestField_F17(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "L62")
	t.Attr("rule", "B4")
	inField(t, 1, func(f *field) {
		corrupt := kpl.Encode(users(5, 5)...)
		corrupt[10] ^= 1
		f.aggregate(shardID(0), users(0, 5)...)
		f.raw(shardID(0), corrupt)
		f.aggregate(shardID(0), users(10, 5)...)
		life := f.start(consumer.WithDeaggregation(true))
		time.Sleep(5 * time.Second)
		life.stop()
		if got, want := f.data(), slices.Concat(names(0, 5), []string{string(corrupt)}, names(10, 5)); !slices.Equal(got, want) {
			t.Errorf("handled %q, want %q", got, want)
		}
	})
}

// TestField_F38: aggregates are handed over as they are only where that is Lambda's way, with one warning per shard that
// says what to do; or where it is asked for, without one.
func TestField_F38(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "L63")
	for _, given := range []bool{false, true} {
		inField(t, 2, func(f *field) {
			for n := range 2 {
				f.aggregate(shardID(n), users(10*n, 5)...)
				f.aggregate(shardID(n), users(10*n+5, 5)...)
			}
			opts, want := []consumer.Option(nil), 2
			if given {
				opts, want = append(opts, consumer.WithDeaggregation(false)), 0
			}
			life := f.start(opts...)
			time.Sleep(5 * time.Second)
			life.stop()
			f.once()
			if f.noticed("AggregatesRaw") != want {
				t.Errorf("option given %t: %d warnings, want %d", given, f.noticed("AggregatesRaw"), want)
			}
			for _, d := range f.data() {
				if !kpl.IsAggregate([]byte(d)) {
					t.Errorf("%q is no aggregate", d)
				}
			}
		})
	}
}

// TestField_F50: shortly after a reshard a producer still has the old shard map, and its aggregates have user records of
// another shard. Only these are left out, since such a producer puts them again. The others keep their place in the
// numbering, and checkpoints pass what is left out.
func TestField_F50(t *testing.T) {
	t.Parallel()
	for _, rule := range []string{"L65", "C25"} {
		t.Attr("rule", rule)
	}
	inField(t, 1, func(f *field) {
		var mu sync.Mutex
		var ids []string
		h := func(ctx context.Context, ev events.KinesisEvent) error {
			mu.Lock()
			defer mu.Unlock()
			for i := range ev.Records {
				_, sub, _ := strings.Cut(batch.Identity(ctx, ev.Records, i), "/")
				ids = append(ids, fmt.Sprintf("%s /%s", ev.Records[i].Kinesis.Data, sub))
			}
			return f.handle(ctx, ev)
		}
		f.byKey()
		f.put(shard0, "before", 1)
		life := startField(f, h, consumer.WithDeaggregation(true))
		time.Sleep(2 * time.Second)
		f.srv.Split("orders", shard0)
		mixed := users(0, 6)
		for _, i := range []int{1, 5} {
			mixed[i].ExplicitHashKey = lastHash
		}
		f.aggregate(shardID(1), mixed...)
		f.aggregate(shardID(1), kpl.UserRecord{PartitionKey: "z", ExplicitHashKey: lastHash, Data: []byte("z")}) // nothing of it belongs here
		time.Sleep(20 * time.Second)
		synctest.Wait()
		slices.Sort(ids)
		if want := []string{"u00 /0", "u02 /2", "u03 /3", "u04 /4"}; len(ids) != 5 || !slices.Equal(ids[1:], want) {
			t.Errorf("handled %q, want %q", ids, want)
		}
		if f.noticed("OutOfRange") != 1 {
			t.Errorf("%d events OutOfRange, want 1", f.noticed("OutOfRange"))
		}
		life.stop()
		f.since = time.Now() // the second aggregate has no record that is handled
		var stored checkpoint.Position
		for _, w := range f.store.written() {
			if w.shard == shardID(1) {
				stored = w.ck
			}
		}
		last := f.srv.Shards("orders")[1].Records[1].SequenceNumber
		if seq, _, whole, _ := stored.Sequence(); !whole || seq != last {
			t.Errorf("the last checkpoint is %s, want one behind %s", stored, last)
		}
	})
}
