package consumer_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
)

// lossIsTold holds that whatever was not handled was told of.
func (f *field) lossIsTold() {
	f.t.Helper()
	times, _ := f.handled()
	missing := 0
	for _, r := range f.srv.Records("orders") {
		if times[r.SequenceNumber] == 0 {
			missing++
		}
	}
	if missing > 0 && f.noticed("RetentionLost") == 0 {
		f.t.Errorf("%d records were lost in silence; notices %v", missing, f.notices)
	}
}

// LATEST is anchored, nothing comes, and the process is away for longer than the retention.
func TestAnchorOlderThanRetention(t *testing.T) {
	t.Parallel()
	proves(t, "C30")
	inContract(t, 1, func(f *field) {
		f.slowReads(10 * time.Second)
		life := f.start(consumer.WithStartingPosition(consumer.Latest()))
		time.Sleep(time.Minute)
		life.stop()
		f.put(shard0, "b", 5)
		time.Sleep(30 * time.Hour)
		f.put(shard0, "c", 1)
		life = f.start(consumer.WithStartingPosition(consumer.Latest()))
		time.Sleep(time.Minute)
		f.lossIsTold()
		life.stop()
	})
}

// The children of a split run and have nothing; the process is away for longer than the retention.
func TestChildOlderThanRetention(t *testing.T) {
	t.Parallel()
	proves(t, "C30")
	inContract(t, 1, func(f *field) {
		f.slowReads(10 * time.Second)
		life := f.start()
		f.put(shard0, "a", 1)
		time.Sleep(30 * time.Second)
		f.srv.Split("orders", shard0)
		time.Sleep(time.Minute)
		life.stop()
		f.put(shardID(1), "b", 5)
		time.Sleep(30 * time.Hour)
		f.put(shardID(1), "c", 1)
		life = f.start()
		time.Sleep(time.Minute)
		f.lossIsTold()
		life.stop()
	})
}

// A child may have lost records before it has a row: its parent was read to the end, and the store took nothing for longer
// than records are kept.
func TestChildLostBeforeItsRow(t *testing.T) {
	t.Parallel()
	proves(t, "C30")
	for down, quiet := range map[time.Duration]time.Duration{75 * time.Minute: 125 * time.Minute, 150 * time.Minute: time.Minute} {
		t.Run(fmt.Sprint(down), func(t *testing.T) {
			inContract(t, 1, func(f *field) {
				f.keepsFor(2 * time.Hour)
				f.rareReads()
				disk := &fullDisk{Store: new(checkpoint.Memory)}
				life := f.start(consumer.WithCheckpointer(disk))
				f.put(shard0, "a", 1)
				time.Sleep(quiet) // which is not the store's
				disk.set(true)
				f.srv.Split("orders", shard0)
				f.put(shardID(1), "b", 1)
				time.Sleep(down)
				disk.set(false)
				time.Sleep(5 * time.Minute)
				times, _ := f.handled()
				if told := f.noticed("RetentionLost") > 0; told != (down > 2*time.Hour) || told != (len(times) == 1) {
					t.Errorf("told of a possible loss: %v; %d records handled", told, len(times))
				}
				life.stop()
			})
		})
	}
}

// A quiet stream loses nothing, however long it is quiet and however often the process restarts: nothing is told.
func TestQuietStreamIsNoLoss(t *testing.T) {
	t.Parallel()
	proves(t, "C30", "C10")
	inContract(t, 1, func(f *field) {
		f.keepsFor(2 * time.Hour)
		f.rareReads()
		for _, kind := range []string{"stop", "kill"} {
			life := f.start(consumer.WithDrainTimeout(0))
			f.put(shard0, kind, 1)
			time.Sleep(130 * time.Minute) // longer than the retention
			if kind == "stop" {
				life.stop()
			} else {
				life.kill()
			}
			time.Sleep(50 * time.Minute)
		}
		life := f.start()
		time.Sleep(time.Minute)
		life.stop()
		if n := f.noticed("RetentionLost"); n != 0 {
			t.Errorf("%d losses told, and there was none", n)
		}
	})
}

// A loss is logged as an error.
func TestLossIsLoud(t *testing.T) {
	t.Parallel()
	proves(t, "C30")
	inContract(t, 1, func(f *field) {
		f.slowReads(10 * time.Second)
		log := new(levels)
		opts := consumer.Options(consumer.WithLogger(slog.New(log)))
		life := f.start(opts)
		f.put(shard0, "a", 1)
		time.Sleep(time.Minute)
		life.stop()
		f.put(shard0, "b", 1)
		time.Sleep(30 * time.Hour)
		life = f.start(opts)
		time.Sleep(time.Minute)
		life.stop()
		if !slices.Contains(log.lines, "ERROR RetentionLost") {
			t.Errorf("logged %q", log.lines)
		}
	})
}

// levels is a logger that keeps levels and names.
type levels struct{ lines []string }

func (l *levels) Enabled(context.Context, slog.Level) bool { return true }
func (l *levels) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *levels) WithGroup(string) slog.Handler            { return l }
func (l *levels) Handle(_ context.Context, r slog.Record) error {
	l.lines = append(l.lines, r.Level.String()+" "+r.Message)
	return nil
}
