package tell_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/metrics"
)

// A book is a logger that writes down what is logged at INFO and above.
type book struct {
	mu    sync.Mutex
	lines []string
}

func (b *book) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (b *book) WithAttrs([]slog.Attr) slog.Handler           { return b }
func (b *book) WithGroup(string) slog.Handler                { return b }
func (b *book) Handle(_ context.Context, r slog.Record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	line := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "detail" || a.Key == "attempts" || a.Key == "unlogged" {
			line += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		}
		return true
	})
	b.lines = append(b.lines, line)
	return nil
}

func outlet(b *book, snap *metrics.Snapshot) *tell.Outlet {
	return &tell.Outlet{
		Group: "g", Stream: "orders", Worker: "w", Logger: slog.New(b), Recorder: snap, Apart: apart,
		Wrap:  func(shard string, f tell.Failure) error { return fmt.Errorf("%s: %s: %w", shard, f.Op, f.Err) },
		Text:  func(err error) (text, hint string) { return err.Error(), "" },
		Final: func(error) bool { return false },
	}
}

var errDown = errors.New("down")

// What keeps failing is logged at once, then once a minute, and its end once; every try is counted.
func TestTroubleThatLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, snap := new(book), new(metrics.Snapshot)
		sh := outlet(b, snap).Teller("shard")
		for i := range 190 {
			err := sh.Fail(metrics.ReadFailed, tell.Failure{Op: "GetRecords", Err: errDown})
			if !errors.Is(err, errDown) || !errors.Is(sh.Latest(), errDown) {
				t.Fatal(err, sh.Latest())
			}
			if lasting := sh.Lasting(time.Now()); (lasting != nil) != (i >= 10) {
				t.Fatalf("after %d s health is %v", i, lasting)
			}
			time.Sleep(time.Second)
		}
		sh.Mend("GetRecords", "GetShardIterator")
		sh.Mend("GetRecords")
		want := "WARN ReadFailed\nWARN ReadFailed attempts=61\nWARN ReadFailed attempts=121\nWARN ReadFailed attempts=181\n" +
			"INFO Recovered detail=GetRecords recovered after 3m10s, 190 attempts"
		if got := strings.Join(b.lines, "\n"); got != want {
			t.Errorf("logged\n%s\nwant\n%s", got, want)
		}
		l := metrics.Labels{Group: "g", Stream: "orders", Shard: "shard", Worker: "w"}
		if n := snap.Value(metrics.ReadFailed, l); n != 190 {
			t.Errorf("counted %v of 190 failures", n)
		}
		if sh.Latest() != nil || sh.Lasting(time.Now()) != nil {
			t.Error("the trouble is still there")
		}
	})
}

// A throttle that is over at once has no end to tell of.
func TestTroubleThatPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(book)
		sh := outlet(b, new(metrics.Snapshot)).Teller("shard")
		_ = sh.Fail(metrics.ReadThrottled, tell.Failure{Op: "GetRecords", Err: errDown})
		time.Sleep(time.Second)
		sh.Mend("GetRecords")
		if got := strings.Join(b.lines, "\n"); got != "WARN ReadThrottled" {
			t.Errorf("logged %s", got)
		}
	})
}

// A hundred failing lanes write ten lines a minute; the others are counted in the next one.
func TestManyFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(book)
		o := outlet(b, new(metrics.Snapshot))
		for range 2 {
			for i := range 100 {
				_ = o.Teller(fmt.Sprint(i)).Fail(metrics.HandlerFailed, tell.Failure{Op: "handler", Err: errDown})
			}
			time.Sleep(time.Minute)
		}
		if len(b.lines) != 20 || !strings.HasSuffix(b.lines[10], "unlogged=90") {
			t.Errorf("%d lines:\n%s", len(b.lines), strings.Join(b.lines, "\n"))
		}
	})
}

// What is not logged is counted once: the next line has what came since the one before it.
func TestUnloggedFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(book)
		o := outlet(b, new(metrics.Snapshot))
		fail := func(n int) {
			for range n {
				_ = o.Teller("").Fail(metrics.HandlerFailed, tell.Failure{Op: "handler", Err: errDown})
			}
			time.Sleep(time.Minute)
		}
		fail(15)
		fail(12)
		fail(1)
		if got := b.lines[10] + ", " + b.lines[20]; len(b.lines) != 21 || got != "WARN HandlerFailed unlogged=5, WARN HandlerFailed unlogged=2" {
			t.Errorf("%d lines: %s", len(b.lines), got)
		}
	})
}

// Whoever asks for notices gets one for every failure, logged as a warning or not.
func TestNoticesOfAllFailures(t *testing.T) {
	n := 0
	o := outlet(new(book), new(metrics.Snapshot))
	o.Notify = func(tell.Notice) { n++ }
	for range 50 {
		_ = o.Teller("").Fail(metrics.HandlerFailed, tell.Failure{Op: "handler", Err: errDown})
	}
	sh := o.Teller("shard")
	for range 50 {
		_ = sh.Fail(metrics.ReadFailed, tell.Failure{Op: "GetRecords", Err: errDown})
	}
	if n != 100 {
		t.Errorf("%d notices of 100 failures", n)
	}
}

// The end of a trouble is told of whom its beginning was told, and of a trouble that an event has told.
func TestEndOfATrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(book)
		o := outlet(b, new(metrics.Snapshot))
		lanes := o.Teller("shard")
		for i := range 11 {
			_ = lanes.Fail(metrics.HandlerFailed, tell.Failure{Op: fmt.Sprint("lane ", i), Err: errDown})
		}
		_ = lanes.Hold(tell.Failure{Op: "lease", Err: errDown})
		time.Sleep(30 * time.Second)
		b.lines = nil
		if d := lanes.Lasted(time.Now(), "la"); d != 30*time.Second || lanes.Lasted(time.Now(), "x") != 0 {
			t.Errorf("lasted %v", d)
		}
		lanes.Mend("lane 9", "lane 10", "lease")
		want := "INFO Recovered detail=lane 9 recovered after 30s\nINFO Recovered detail=lease recovered after 30s"
		if got := strings.Join(b.lines, "\n"); got != want {
			t.Errorf("logged\n%s\nwant\n%s", got, want)
		}
	})
}

// A loss is a warning at least, whether something failed or not, and so is whatever has an error.
func TestLevels(t *testing.T) {
	quiet := map[*metrics.Metric]bool{metrics.ConsumerStarted: true, metrics.ConsumerStopped: true, metrics.FanOutRegistration: true, metrics.FanOutResumed: true, metrics.HandedOver: true, metrics.IteratorExpired: true, metrics.Recovered: true, metrics.ShardEnded: true}
	for _, m := range metrics.Events() {
		b := new(book)
		s := outlet(b, new(metrics.Snapshot)).Teller("")
		s.Event(m, nil, "")
		s.Event(m, errDown, "")
		if loud := !strings.HasPrefix(b.lines[0], "INFO"); loud == quiet[m] {
			t.Errorf("%s is told as %s", m, b.lines[0])
		}
		if strings.HasPrefix(b.lines[1], "INFO") {
			t.Errorf("%s with an error is told as %s", m, b.lines[1])
		}
	}
}

func apart(f func()) {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	<-done
}

// An observer that panics or exits is told of to the others, and whoever told goes on.
func TestObserverPanics(t *testing.T) {
	for _, fail := range []func(){func() { panic("no") }, runtime.Goexit} {
		b, snap := new(book), new(metrics.Snapshot)
		o := outlet(b, snap)
		o.Notify = func(tell.Notice) { fail() }
		o.Teller("shard").Event(metrics.ShardEnded, nil, "")
		if snap.Sum(metrics.ShardEnded) != 1 || snap.Sum(metrics.ObserverPanicked) != 1 || len(b.lines) != 2 {
			t.Error(b.lines)
		}
	}
}

// A recorder keeps what comes behind a value at which it fails.
func TestRecorderThatFails(t *testing.T) {
	for _, fail := range []func(){func() { panic("no") }, runtime.Goexit} {
		b := new(book)
		o := outlet(b, nil)
		r := &brittle{fail: fail}
		o.Recorder = r
		o.Teller("shard").Records(tell.Value{Metric: metrics.HeadAge, Value: 1}, tell.Value{Metric: metrics.LanesBusy, Value: 2}, tell.Value{Metric: metrics.QueueAge, Value: 3})
		if r.Sum(metrics.HeadAge) != 1 || r.Sum(metrics.QueueAge) != 3 || r.Sum(metrics.ObserverPanicked) != 1 || len(b.lines) != 1 {
			t.Errorf("kept %v and %v, told %q", r.Sum(metrics.HeadAge), r.Sum(metrics.QueueAge), b.lines)
		}
	}
}

// A brittle recorder fails at one metric.
type brittle struct {
	metrics.Snapshot
	fail func()
}

func (r *brittle) Record(m *metrics.Metric, l metrics.Labels, v float64) {
	if m == metrics.LanesBusy {
		r.fail()
	}
	r.Snapshot.Record(m, l, v)
}
