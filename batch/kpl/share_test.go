package kpl_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/kpl"
)

// aggregates is an event of so many aggregates, each with so many user records of 250 bytes.
func aggregates(name string, n, users int) events.KinesisEvent {
	data := make([][]byte, n)
	for i := range data {
		us := make([]kpl.UserRecord, users)
		for j := range us {
			us[j] = kpl.UserRecord{PartitionKey: fmt.Sprintf("%s-%d-%d", name, i, j), Data: bytes.Repeat([]byte(name[:1]), 250)}
		}
		data[i] = kpl.Encode(us...)
	}
	return outer(data...)
}

// TestDeaggregateShared: one handler serves several invocations of a process at once, as on Lambda Managed Instances: each
// sees the user records of its own event, and knows them by their own identities.
func TestDeaggregateShared(t *testing.T) {
	handle := kpl.Deaggregate(func(ctx context.Context, ev events.KinesisEvent) error {
		name, _ := ctx.Value(invoked{}).(string)
		if len(ev.Records) != 60 {
			return fmt.Errorf("%d records, want 60", len(ev.Records))
		}
		ids := map[string]bool{}
		for i, r := range ev.Records {
			if want := fmt.Sprintf("%s-%d-%d", name, i/20, i%20); r.Kinesis.PartitionKey != want || r.Kinesis.Data[0] != name[0] {
				return fmt.Errorf("%s got %s of %q, want %s", name, r.Kinesis.PartitionKey, r.Kinesis.Data[:1], want)
			}
			ids[batch.Identity(ctx, ev.Records, i)] = true
		}
		if len(ids) != 60 {
			return fmt.Errorf("%d identities of 60 records", len(ids))
		}
		return nil
	})
	var all sync.WaitGroup
	for n := range 8 {
		name := string(rune('a' + n))
		ev := aggregates(name, 3, 20)
		all.Go(func() {
			for range 50 {
				if err := handle(context.WithValue(t.Context(), invoked{}, name), ev); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

type invoked struct{}

// BenchmarkDeaggregate is what a record costs inside Lambda, before the handler sees it: user records of aggregates, and
// records of an event without any.
func BenchmarkDeaggregate(b *testing.B) {
	plain := make([][]byte, 100)
	for i := range plain {
		plain[i] = bytes.Repeat([]byte{'x'}, 250)
	}
	for name, c := range map[string]struct {
		ev events.KinesisEvent
		n  int
	}{"aggregates": {aggregates("a", 10, 100), 1000}, "plain": {outer(plain...), 100}} {
		b.Run(name, func(b *testing.B) {
			var saw int
			handle := kpl.Deaggregate(func(_ context.Context, ev events.KinesisEvent) error { saw = len(ev.Records); return nil })
			b.ReportAllocs()
			for b.Loop() {
				if err := handle(b.Context(), c.ev); err != nil || saw != c.n {
					b.Fatalf("%d records: %v", saw, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(c.n), "ns/record")
		})
	}
}
