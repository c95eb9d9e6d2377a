package consumer_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// Reads that hang for some shards delay the others by 1 s and a sixteenth for each, once (package reader).
func TestHangingReadsDelayOthersLittle(t *testing.T) {
	t.Parallel()
	const bad, all = 32, 132
	inContract(t, all, func(f *field) {
		f.srv.SetLatency(20 * time.Millisecond)
		life := f.start()
		time.Sleep(5 * time.Second)
		f.srv.Control("GetRecords", func(r *kinesistest.Request) *kinesistest.Fault {
			if r.Shard < shardID(bad) {
				return kinesistest.Hang(1)
			}
			return nil
		})
		const idle = all * time.Second / 200 // between the polls of a caught-up shard
		for round, limit := range []time.Duration{idle + time.Second + bad*time.Second/16, idle} {
			begun := time.Now()
			for i := bad; i < all; i += 5 {
				f.put(shardID(i), fmt.Sprint(round, "/", i), 1)
			}
			time.Sleep(5 * time.Second)
			worst, n := time.Duration(0), 0
			for _, b := range f.seen() {
				if b.begun.After(begun) {
					worst, n = max(worst, b.ended.Sub(begun)), n+1
				}
			}
			if limit += 100 * time.Millisecond; worst > limit || n != 20 {
				t.Errorf("round %d: %d of 20 records, the last one after %v, at most %v", round, n, worst, limit)
			}
			time.Sleep(12 * time.Second) // the calls have failed, and the next ones hang
		}
		life.stop()
	})
}

// Where nothing was read for longer than records are kept, some may be lost, though reading was at the tip before.
func TestOutageLongerThanRetentionIsTold(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "C30")
	for name, tt := range map[string]struct {
		after time.Duration             // the stream keeps records for 2 hours
		fault func() *kinesistest.Fault // nil: the handler holds reading up
		told  int
	}{
		"the key is disabled":    {155 * time.Minute, func() *kinesistest.Fault { return kinesistest.Error("KMSDisabledException", 1) }, 1},
		"calls hang":             {155 * time.Minute, func() *kinesistest.Fault { return kinesistest.Hang(1) }, 1},
		"for less than that":     {100 * time.Minute, func() *kinesistest.Fault { return kinesistest.Error("KMSDisabledException", 1) }, 0},
		"the read-ahead is full": {155 * time.Minute, nil, 1},
		"nothing comes":          {130 * time.Minute, func() *kinesistest.Fault { return nil }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inContract(t, 1, func(f *field) {
				f.keepsFor(2 * time.Hour)
				f.rareReads()
				var blocked atomic.Bool
				if tt.fault == nil {
					blocked.Store(true)
					f.work = func(ctx context.Context, b fieldBatch) error {
						for blocked.Load() && ctx.Err() == nil {
							time.Sleep(time.Minute)
						}
						return ctx.Err()
					}
				}
				life := f.start(consumer.WithReadAhead(1, 1<<20), consumer.WithBatchSize(1), consumer.WithHandlerTimeout(-1))
				f.put(shard0, "a", 1)
				time.Sleep(time.Minute)
				outage := f.srv.Control("GetRecords", func(*kinesistest.Request) *kinesistest.Fault {
					if tt.fault == nil {
						return nil
					}
					return tt.fault()
				})
				time.Sleep(time.Minute)
				if tt.told > 0 {
					f.put(shard0, "b", 5) // gone before anything is read again
				}
				time.Sleep(tt.after)
				outage.Stop()
				blocked.Store(false)
				time.Sleep(5 * time.Minute)
				if n := f.noticed("RetentionLost"); n != tt.told {
					t.Errorf("%d notices of RetentionLost, want %d", n, tt.told)
				}
				life.stop()
			})
		})
	}
}

// Reads that fail from the claim on, for longer than the retention, lose what came before them.
func TestOutageFromTheStartIsTold(t *testing.T) {
	t.Parallel()
	proves(t, "C30")
	inContract(t, 1, func(f *field) {
		f.keepsFor(2 * time.Hour)
		outage := f.srv.Control("GetRecords", func(*kinesistest.Request) *kinesistest.Fault {
			return kinesistest.Error("KMSDisabledException", 1)
		})
		life := f.start()
		time.Sleep(time.Minute)
		f.put(shard0, "b", 5)
		time.Sleep(155 * time.Minute)
		outage.Stop()
		time.Sleep(5 * time.Minute)
		if n := f.noticed("RetentionLost"); n != 1 {
			t.Errorf("%d notices of RetentionLost, want one", n)
		}
		life.stop()
	})
}
