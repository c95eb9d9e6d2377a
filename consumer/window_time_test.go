package consumer_test

import (
	"slices"
	"testing"
	"time"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// Empty pages with records behind them are no reason to close a window, however long they last.
func TestWindowIdleBehindEmptyPages(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "C20")
	inField(t, 1, func(f *field) {
		w := &tumbler{f: f}
		aligned()
		life := startField(f, w.handle, everyMinute, consumer.WithWindowIdle(0))
		f.put(shardID(0), "a", 1)
		time.Sleep(5 * time.Second)
		fault := f.srv.Fail("GetRecords", kinesistest.EmptyPages(0))
		time.Sleep(time.Second) // for a read that is on its way
		f.put(shardID(0), "a", 1)
		time.Sleep(5 * time.Minute)
		if got := w.seen(); len(got) > 0 {
			t.Errorf("closed while records of it were behind empty pages: %q", got)
		}
		fault[0].Stop()
		time.Sleep(time.Minute)
		if got := w.seen(); !slices.Equal(got, []string{"a a "}) {
			t.Errorf("got %q, want one window of both records", got)
		}
		life.stop()
	})
}

// Windows are those of the service's clock: where this machine's is off, an idle window is closed neither early nor late.
func TestWindowIdleOfServiceTime(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "C9")
	t.Attr("rule", "C20")
	for _, off := range []time.Duration{-time.Minute, time.Minute} {
		t.Run(off.String(), func(t *testing.T) {
			inField(t, 1, func(f *field) {
				f.srv.SetClock(off)
				w := &tumbler{f: f}
				aligned()
				life := startField(f, w.handle, everyMinute, consumer.WithWindowIdle(20*time.Second))
				f.put(shardID(0), "a", 1)
				time.Sleep(50 * time.Second)
				f.put(shardID(0), "a", 1)
				time.Sleep(5 * time.Minute)
				if got := w.seen(); !slices.Equal(got, []string{"a a "}) {
					t.Fatalf("got %q, want one window of both records", got)
				}
				end := w.all[0].Window.End.Time
				if late := w.ends[0].at.Add(off).Sub(end); late < 19*time.Second || late > 26*time.Second {
					t.Errorf("the window was closed %v after its end, by the service's clock, which tells whole seconds; want 20s", late)
				}
				life.stop()
			})
		})
	}
}

// At the ending position an open window is closed: early if its time was not over there.
func TestWindowAtEndingPosition(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "L52")
	for name, tt := range map[string]struct {
		end   time.Duration // from a second into the minute
		early bool
	}{"within the window": {10 * time.Second, true}, "at its end": {59 * time.Second, false}, "behind it": {80 * time.Second, false}} {
		t.Run(name, func(t *testing.T) {
			inField(t, 1, func(f *field) {
				w := &tumbler{f: f}
				aligned()
				f.put(shardID(0), "a", 1)
				life := startField(f, w.handle, everyMinute, consumer.WithEndingPosition(consumer.At(time.Now().Add(tt.end))))
				if err := life.wait(3 * time.Minute); err != nil {
					t.Error(err)
				}
				if len(w.ends) != 1 || w.ends[0].early != tt.early {
					t.Errorf("final calls %+v, want one, early %v", w.ends, tt.early)
				}
			})
		})
	}
}
