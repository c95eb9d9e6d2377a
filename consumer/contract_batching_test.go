package consumer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/consumer"
)

// The batching window begins when the lane is free and has a record. It ends early with a full batch, which may join
// records of several reads. Without a window, what waits is a batch.
func TestContractBatchingWindow(t *testing.T) {
	t.Parallel()
	proves(t, "C4", "C5", "L15", "L17", "L18", "L20", "L23")
	inContract(t, 1, func(f *field) {
		tr := new(trace)
		life := f.startTrace(tr, func(ctx context.Context, ev events.KinesisEvent) error {
			tr.add(ctx, ev.Records)
			time.Sleep(15 * time.Second)
			return nil
		}, consumer.WithBatchingWindow(10*time.Second), consumer.WithBatchSize(4))
		time.Sleep(5 * time.Second)
		begun := time.Now()
		f.letters(shard0, "a")
		time.Sleep(5 * time.Second)
		f.letters(shard0, "b") // joins the window of a, which ends after 10 s
		time.Sleep(7 * time.Second)
		f.letters(shard0, "c") // waits while ab are handled, until 25 s, and then for a window of its own
		time.Sleep(25 * time.Second)
		f.letters(shard0, "d") // at 37 s, while c is handled, until 50 s
		time.Sleep(18 * time.Second)
		f.letters(shard0, "efgh") // at 55 s: def
		time.Sleep(2 * time.Minute)
		want(t, "attempts", tr.lines(), "1 ab", "1 c", "1 defg", "1 h")
		for i, at := range []time.Duration{10 * time.Second, 35 * time.Second, 55 * time.Second, 80 * time.Second} {
			if d := tr.attempts()[i].at.Sub(begun); d < at || d > at+time.Second {
				t.Errorf("call %d came after %v, want %v", i+1, d, at)
			}
		}
		life.stop()
	})
	t.Run("none", func(t *testing.T) {
		inContract(t, 1, func(f *field) {
			tr := new(trace)
			life := f.startTrace(tr, tr.fails(""), consumer.WithBatchSize(3))
			time.Sleep(5 * time.Second)
			f.letters(shard0, "a")
			time.Sleep(2 * time.Second)
			f.letters(shard0, "bcdefgh")
			time.Sleep(2 * time.Second)
			want(t, "attempts", tr.lines(), "1 a", "1 bcd", "1 efg", "1 h")
			life.stop()
		})
	})
}

// Size and window of a batch are those of a lane, of which there may be up to 1,000; each batch is of one shard, in its
// order.
func TestContractBatchOfOneLane(t *testing.T) {
	t.Parallel()
	proves(t, "B1", "C2", "L15", "L24", "L18")
	inField(t, 2, func(f *field) {
		f.work = func(_ context.Context, b fieldBatch) error {
			for i := range b.recs {
				if i > 0 && b.recs[i].Kinesis.SequenceNumber <= b.recs[i-1].Kinesis.SequenceNumber {
					t.Errorf("a batch is not in order: %s", b.recs[i].EventID)
				}
				if !strings.HasPrefix(b.recs[i].EventID, b.Shard+":") || b.key(i) != b.key(0) {
					t.Errorf("a batch of %s with key %s has %s with key %s", b.Shard, b.key(0), b.recs[i].EventID, b.key(i))
				}
			}
			time.Sleep(10 * time.Second)
			return nil
		}
		hash := func(key string) uint64 { // a lane for each key
			var lane uint64
			_, _ = fmt.Sscan(key[strings.LastIndex(key, ".")+1:], &lane)
			return lane
		}
		life := f.start(consumer.WithParallelizationFactor(1000), consumer.WithSharder(hash), consumer.WithBatchSize(2))
		time.Sleep(2 * time.Second)
		for n := range 2 {
			for lane := range 500 {
				f.put(shardID(n), fmt.Sprintf("%d.%d", n, 2*lane), 3)
			}
		}
		time.Sleep(8 * time.Second)
		if all := f.seen(); len(all) != 1000 {
			t.Errorf("%d calls at once, want one for each of 1,000 keys", len(all))
		}
		time.Sleep(30 * time.Second)
		f.once()
		life.stop()
	})
}

// The starting position counts where no checkpoint is; then the checkpoint does. Consumers of other groups have their own,
// and see all records. What was stored never goes back.
func TestContractCheckpointWins(t *testing.T) {
	t.Parallel()
	proves(t, "L13", "L14", "L41", "C24")
	inContract(t, 1, func(f *field) {
		tr := new(trace)
		f.letters(shard0, "ab")
		time.Sleep(2 * time.Second)
		run := func(opts ...consumer.Option) []string {
			tr.mu.Lock()
			tr.all = nil
			tr.mu.Unlock()
			life := f.startTrace(tr, tr.fails(""), opts...)
			time.Sleep(3 * time.Second) // less than the checkpoint's interval: the stop writes it
			life.stop()
			return tr.lines()
		}
		want(t, "the first run", run(), "1 ab")
		f.letters(shard0, "c")
		time.Sleep(2 * time.Second)
		want(t, "a restart at LATEST", run(consumer.WithStartingPosition(consumer.Latest())), "1 c")
		want(t, "a restart at TRIM_HORIZON", run())
		want(t, "another group", run(consumer.WithGroup("shipping")), "1 abc")
		want(t, "another group at LATEST", run(consumer.WithGroup("late"), consumer.WithStartingPosition(consumer.Latest())))
		last := map[string]string{}
		for _, w := range f.store.written() {
			if ck := string(w.ck); ck < last[w.key] {
				t.Errorf("%s: checkpoint %s after %s", w.key, ck, last[w.key])
			} else {
				last[w.key] = ck
			}
		}
	})
}
