package consumer_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/kpl"
	"github.com/shardlane/shardlane/consumer"
)

// windowed handles records in tumbling windows.
func (f *field) windowed(ctx context.Context, ev events.KinesisTimeWindowEvent) (res events.KinesisTimeWindowEventResponse, err error) {
	if res.State = map[string]string{}; len(ev.Records) > 0 {
		err = f.handle(ctx, events.KinesisEvent{Records: ev.Records})
	}
	return res, err
}

// holding makes the handler fail for batches with a record of a key, until release is called.
func (f *field) holding(key string) (release func()) {
	held := true
	f.work = func(_ context.Context, b fieldBatch) error {
		if held && b.has(key) {
			return errPoison
		}
		return nil
	}
	return func() { held = false }
}

// What is handled behind a record that waits does not come again, after a stop and after a crash; that record does, and what
// waits with it. If aggregates are split from then on, or windows are formed, or the row cannot be read, all comes again.
func TestContractDoneAboveCheckpoint(t *testing.T) {
	t.Parallel()
	proves(t, "C19", "C24", "L26", "L40")
	for name, tt := range map[string]struct {
		end     func(l *fieldLife)
		between func(f *field)
		opts    consumer.Option
		windows bool
		again   int
	}{
		"stop":               {end: (*fieldLife).stop},
		"crash":              {end: (*fieldLife).kill},
		"read otherwise":     {end: (*fieldLife).stop, opts: consumer.WithDeaggregation(true), again: 40},
		"in windows":         {end: (*fieldLife).stop, opts: consumer.Options(consumer.WithTumblingWindow(10*time.Second), consumer.WithParallelizationFactor(1)), windows: true, again: 40},
		"bent":               {end: (*fieldLife).stop, between: (*field).bend, again: 40},
		"bent, after a kill": {end: (*fieldLife).kill, between: (*field).bend, again: 40},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inField(t, 1, func(f *field) {
				slow, fast := laneKey("slow", 0), laneKey("fast", 1)
				release := f.holding(slow)
				for range 2 {
					f.put(shardID(0), slow, 1)
					f.put(shardID(0), fast, 20)
				}
				opts := consumer.Options(consumer.WithParallelizationFactor(2), consumer.WithDeaggregation(false), consumer.WithDrainTimeout(0))
				life := f.start(opts)
				time.Sleep(30 * time.Second)
				if n := f.again(fast, 0); n != 40 {
					t.Errorf("%d records were handled around those that wait, want 40", n)
				}
				tt.end(life)
				if tt.between != nil {
					tt.between(f)
				}
				release()
				more := consumer.Options()
				if tt.opts != nil {
					more = tt.opts
				}
				if tt.windows {
					life = startField(f, f.windowed, opts, more)
				} else {
					life = f.start(opts, more)
				}
				time.Sleep(time.Minute)
				f.complete()
				if n := f.again(fast, 1); n != tt.again {
					t.Errorf("%d records came again, want %d", n, tt.again)
				}
				if n := f.again(slow, 1); n != 0 {
					t.Errorf("%d of the records that waited were handled twice", n)
				}
				life.stop()
				if log := f.store.written(); len(log[len(log)-1].done) > 0 {
					t.Error("all is handled, and the row holds records above its checkpoint")
				}
			})
		})
	}
}

// A stop cuts aggregates: of each the user records without an outcome come again, and nothing else.
func TestContractDoneWithinAggregate(t *testing.T) {
	t.Parallel()
	proves(t, "C21", "L40")
	for name, end := range map[string]func(*fieldLife){"stop": (*fieldLife).stop, "crash": (*fieldLife).kill} {
		t.Run(name, func(t *testing.T) {
			inContract(t, 1, func(f *field) {
				slow, fast := laneKey("slow", 0), laneKey("fast", 1)
				release := f.holding(slow)
				user := func(key, data string) kpl.UserRecord {
					return kpl.UserRecord{PartitionKey: key, ExplicitHashKey: "0", Data: []byte(data)}
				}
				f.aggregate(shardID(0), user(fast, "a"), user(slow, "B"), user(fast, "c"), user(slow, "D"), user(fast, "e"))
				f.aggregate(shardID(0), user(slow, "F"), user(fast, "g"))
				f.aggregate(shardID(0), user(fast, "h"), user(slow, "I"))
				opts := consumer.Options(consumer.WithParallelizationFactor(2), consumer.WithDeaggregation(true), consumer.WithDrainTimeout(0))
				life := startField(f, batch.Each(f.one), opts)
				time.Sleep(30 * time.Second)
				want(t, "handled", sorted(f.data()), "a", "c", "e", "g", "h")
				end(life)
				release()
				life = startField(f, batch.Each(f.one), opts)
				time.Sleep(time.Minute)
				want(t, "handled", sorted(f.data()), "B", "D", "F", "I", "a", "c", "e", "g", "h")
				life.stop()
			})
		})
	}
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}
