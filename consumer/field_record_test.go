package consumer_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/kpl"
	"github.com/shardlane/shardlane/consumer"
)

// changed is a client whose records are changed before the consumer gets them.
type changed struct {
	consumer.Client
	change func(r *types.Record)
}

func (c changed) GetRecords(ctx context.Context, in *kinesis.GetRecordsInput, o ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error) {
	out, err := c.Client.GetRecords(ctx, in, o...)
	if err == nil {
		for i := range out.Records {
			c.change(&out.Records[i])
		}
	}
	return out, err
}

// TestField_F59: records without a time of arrival are not of the year 1: no limit of age and no retention ends them.
//
//   - hand-written clients, some services: the time is absent, and read as its zero value
func TestField_F59(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "C27")
	inField(t, 1, func(f *field) {
		f.put(shardID(0), "alice", 30)
		var failed atomic.Bool
		f.work = func(context.Context, fieldBatch) error {
			if !failed.Swap(true) { // and not while they wait either
				return fmt.Errorf("once")
			}
			return nil
		}
		life := f.startOn(changed{f.srv.Client(), func(r *types.Record) { r.ApproximateArrivalTimestamp = nil }},
			consumer.WithMaxRecordAge(time.Minute), consumer.WithOnFailure(f), consumer.WithBatchSize(10))
		time.Sleep(10 * time.Second)
		life.stop()
		f.once()
		if n := len(f.givenUp()); n > 0 || f.noticed("RetentionLost") > 0 {
			t.Errorf("%d records were given up, notices %v", n, f.notices)
		}
		for _, b := range f.seen() {
			if b.IteratorAge != batch.NoAge {
				t.Errorf("the handler is told of an age of %v", b.IteratorAge)
			}
			for _, r := range b.recs {
				if at := r.Kinesis.ApproximateArrivalTimestamp; !at.IsZero() {
					t.Errorf("record %s arrived at %v", r.Kinesis.SequenceNumber, at)
				}
			}
		}
	})
}

// TestField_F66: a key inside an alternative of "$or" replaces the one beside it, as in AWS's matcher.
//
//   - matchers built from the documentation: both have to match
func TestField_F66(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "C31")
	inField(t, 1, func(f *field) {
		data := []string{`{"status":"zoned"}`, `{"status":"active"}`, `{"status":"active","vip":true}`, `{"vip":true}`, `{"status":"zoned","vip":true}`}
		for i, d := range data {
			f.srv.Put("orders", fmt.Sprint("key", i), []byte(d))
		}
		f.since = time.Now().Add(time.Hour) // what is filtered out is not handled
		life := f.start(consumer.WithFilter(`{"data":{"status":["active"],"$or":[{"status":[{"prefix":"z"}]},{"vip":[true]}]}}`))
		time.Sleep(5 * time.Second)
		life.stop()
		got := f.data()
		slices.Sort(got)
		if want := []string{`{"status":"active","vip":true}`, `{"status":"zoned","vip":true}`, `{"status":"zoned"}`}; !slices.Equal(got, want) {
			t.Errorf("handled %q, want %q", got, want)
		}
	})
}

// TestField_F68: records without a key do not share one lane, whatever the sharder; those with a key keep theirs.
//
//   - kpipe, Kafka clients: one queue for all of them
func TestField_F68(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "C26")
	inField(t, 1, func(f *field) {
		for i := range 40 {
			f.put(shardID(0), fmt.Sprint("key", i), 1)
		}
		f.work = func(_ context.Context, b fieldBatch) error {
			time.Sleep(time.Second)
			return nil
		}
		life := f.startOn(changed{f.srv.Client(), func(r *types.Record) { r.PartitionKey = nil }},
			consumer.WithParallelizationFactor(4), consumer.WithBatchSize(1), consumer.WithSharder(func(string) uint64 { return 0 }))
		time.Sleep(15 * time.Second)
		life.stop()
		f.once()
		all := f.seen()
		if last := all[len(all)-1].begun.Sub(all[0].begun); len(all) != 40 || last != 9*time.Second {
			t.Errorf("%d records on 4 lanes: the last began after %v, want 9s", len(all), last)
		}
		for _, b := range all {
			if b.key(0) != "" {
				t.Errorf("a record without a key has %q", b.key(0))
			}
		}
	})
}

// TestField_F70: what a filter answers and what is written does not depend on the toolchain that built the library.
//
//   - Go 1.27: encoding/json and strconv answer otherwise
func TestField_F70(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "C17")
	t.Attr("rule", "C6")
	long := strings.Repeat("9", 1<<19)
	inField(t, 1, func(f *field) {
		f.srv.Put("orders", "less", []byte(`{"n":`+long+`.5}`))
		f.srv.Put("orders", "more", []byte(`{"n":1`+long+`.5}`))
		f.since = time.Now().Add(time.Hour) // as above
		life := f.start(consumer.WithFilter(`{"data":{"n":[{"numeric":[">=",1e524288]}]}}`))
		time.Sleep(5 * time.Second)
		life.stop()
		for _, b := range f.seen() {
			if len(b.recs) != 1 || !b.has("more") {
				t.Errorf("a batch of %d records passed", len(b.recs))
			}
		}
		if len(f.seen()) != 1 {
			t.Errorf("%d batches passed", len(f.seen()))
		}
	})
	inField(t, 1, func(f *field) {
		f.aggregate(shardID(0), kpl.UserRecord{PartitionKey: "\xff\u2028", Data: []byte("1")})
		var got string
		h := func(_ context.Context, in []byte) ([]byte, error) {
			_, got, _ = strings.Cut(string(in), `"partitionKey":`)
			got, _, _ = strings.Cut(got, `,`)
			return nil, nil
		}
		f.since = time.Now().Add(time.Hour) // the handler does not tell the field
		life := startField(f, h, consumer.WithDeaggregation(true))
		time.Sleep(5 * time.Second)
		life.stop()
		if want := `"\ufffd\u2028"`; got != want {
			t.Errorf("the key is %s, want %s", got, want)
		}
	})
}
