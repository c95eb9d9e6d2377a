package consumer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/metrics"
)

// A record that is too old before its first attempt is given up without one. Its document counts one attempt, has a
// request id, and no response.
func TestContractAgeBeforeFirstAttempt(t *testing.T) {
	t.Parallel()
	proves(t, "L31", "L27", "L43", "C18", "L67")
	inContract(t, 1, func(f *field) {
		tr, snap := new(trace), new(metrics.Snapshot)
		f.letters(shard0, "abc")
		time.Sleep(time.Hour)
		f.letters(shard0, "de")
		life := f.startTrace(tr, tr.fails(""), consumer.WithMaxRecordAge(time.Minute), consumer.WithMetrics(snap))
		time.Sleep(time.Minute)
		want(t, "attempts", tr.lines(), "1 de") // the rest stays one slice
		want(t, "documents", tr.documents(), "abc RecordAgeExceeded 1")
		p := tr.partings()[0]
		if doc := string(p.Document()); strings.Contains(doc, "responseContext") || !strings.Contains(doc, `"batchSize":3`) || p.Err != nil {
			t.Errorf("document %s with error %v, want 3 records and no response", doc, p.Err)
		}
		if p.RequestID == "" || p.RequestID != tr.attempts()[0].RequestID {
			t.Errorf("request id %q, want that of the slice, %q", p.RequestID, tr.attempts()[0].RequestID)
		}
		totals(t, snap, map[*metrics.Metric]float64{
			metrics.PolledEventCount: 5, metrics.InvokedEventCount: 2, metrics.FailedInvokeEventCount: 0, metrics.DroppedEventCount: 0,
			metrics.OnFailureDestinationDeliveredEventCount: 3,
		})
		life.stop()
		if ck := f.checkpoint(); !strings.Contains(ck, f.srv.Records("orders")[4].SequenceNumber) {
			t.Errorf("checkpoint %s, want it behind the last record", ck)
		}
	})
}

// A record that comes of age during a backoff ends it, at the limit and not before. It goes without a response, however
// many attempts there were, and what is left is the same slice.
func TestContractAgeEndsBackoff(t *testing.T) {
	t.Parallel()
	proves(t, "C7", "L31", "L8", "L43", "L27")
	inContract(t, 1, func(f *field) {
		tr := new(trace)
		begun := time.Now()
		f.letters(shard0, "ab")
		time.Sleep(20 * time.Second)
		f.letters(shard0, "c")
		life := f.startTrace(tr, tr.fails("abc"), consumer.WithMaxRecordAge(time.Minute), consumer.WithBackoff(25*time.Second, 1, 25*time.Second))
		time.Sleep(2 * time.Minute)
		want(t, "attempts", tr.lines(), "1 abc", "2 abc", "3 c")
		want(t, "documents", tr.documents(), "ab RecordAgeExceeded 2", "c RecordAgeExceeded 3")
		p := tr.partings()
		for i, age := range []time.Duration{60 * time.Second, 80 * time.Second} {
			if at := p[i].at.Sub(begun); at != age {
				t.Errorf("document %d was delivered after %v, want %v", i+1, at, age)
			}
		}
		if doc := string(p[0].Document()); strings.Contains(doc, "responseContext") {
			t.Errorf("document %s, want no response after attempts, either", doc)
		}
		all := tr.attempts()
		if all[0].RequestID != all[2].RequestID || p[1].RequestID != all[0].RequestID {
			t.Error("the rest of the slice has another request id")
		}
		life.stop()
	})
}

// Only what is in front of a batch is taken from it: a record that is too old waits behind one that is not. Arrival times
// go back where the service's clock is set back.
func TestContractAgeOfPrefixOnly(t *testing.T) {
	t.Parallel()
	proves(t, "L31")
	inContract(t, 1, func(f *field) {
		tr := new(trace)
		time.Sleep(time.Hour) // no record is older than its stream
		f.srv.SetClock(-50 * time.Second)
		f.letters(shard0, "a")
		f.srv.SetClock(0)
		f.letters(shard0, "b")
		f.srv.SetClock(-50 * time.Second)
		f.letters(shard0, "c")
		f.srv.SetClock(0)
		time.Sleep(15 * time.Second)
		life := f.startTrace(tr, tr.fails(""), consumer.WithMaxRecordAge(time.Minute))
		time.Sleep(time.Minute)
		want(t, "attempts", tr.lines(), "1 bc")
		want(t, "documents", tr.documents(), "a RecordAgeExceeded 1")
		life.stop()
	})
}

// Records grow old while a batch waits to fill, and while they wait behind another one.
func TestContractAgeWhileWaiting(t *testing.T) {
	t.Parallel()
	proves(t, "L31")
	inContract(t, 1, func(f *field) {
		tr := new(trace)
		life := f.startTrace(tr, func(ctx context.Context, ev events.KinesisEvent) error {
			tr.add(ctx, ev.Records)
			time.Sleep(90 * time.Second)
			return nil
		}, consumer.WithMaxRecordAge(time.Minute), consumer.WithBatchingWindow(50*time.Second), consumer.WithBatchSize(3))
		f.letters(shard0, "abc") // at once, and busy for 90 s
		time.Sleep(20 * time.Second)
		f.letters(shard0, "d") // too old when the lane is free
		time.Sleep(65 * time.Second)
		f.letters(shard0, "e")
		time.Sleep(4 * time.Minute)
		want(t, "attempts", tr.lines(), "1 abc", "1 e")
		want(t, "documents", tr.documents(), "d RecordAgeExceeded 1")
		life.stop()
	})
}

// A machine whose clock is off neither gives records up too early nor too late, and tells their true age. The service's
// clock is what counts, as its replies show it.
func TestContractClockThatIsOff(t *testing.T) {
	t.Parallel()
	proves(t, "C9", "C18")
	for _, off := range []time.Duration{-10 * time.Minute, -90 * time.Second, 0, 90 * time.Second, 10 * time.Minute} { // of the service
		t.Run(fmt.Sprint(off), func(t *testing.T) {
			inContract(t, 1, func(f *field) {
				time.Sleep(time.Hour) // no record is older than its stream
				f.srv.SetClock(off)
				tr, snap := new(trace), new(metrics.Snapshot)
				begun := time.Now()
				f.letters(shard0, "a")
				life := f.startTrace(tr, tr.fails("a"), consumer.WithMaxRecordAge(2*time.Minute), consumer.WithMetrics(snap),
					consumer.WithBackoff(30*time.Second, 1, 30*time.Second))
				time.Sleep(5 * time.Minute)
				f.letters(shard0, "b")
				time.Sleep(10 * time.Second)
				all, gone := tr.attempts(), tr.partings()
				if len(all) < 4 || len(gone) != 1 {
					t.Fatalf("attempts %q, documents %q", tr.lines(), tr.documents())
				}
				const second = time.Second + 100*time.Millisecond // the service tells its time in seconds
				if at := gone[0].at.Sub(begun); at < 2*time.Minute-second || at > 2*time.Minute+second {
					t.Errorf("the record was given up after %v, want 2m0s", at)
				}
				if d := gone[0].Time.Sub(gone[0].at) - off; d < -second || d > second {
					t.Errorf("the document's time is %v off the service's", d)
				}
				for _, a := range all {
					age := a.at.Sub(begun)
					if a.data == "b" {
						age -= 5 * time.Minute
					}
					if d := a.IteratorAge - age; d < -second || d > second {
						t.Errorf("attempt %d of %s: iterator age %v, want about %v", a.Attempt, a.data, a.IteratorAge, age)
					}
				}
				if d := snap.Distribution(metrics.IteratorAge); d.Count != int64(len(all)) || d.Max > 2*60*1000+1100 {
					t.Errorf("IteratorAge: %d values up to %v ms, want %d up to 2 minutes", d.Count, d.Max, len(all))
				}
				life.stop()
			})
		})
	}
}

// LATEST and an ending position go by the service's clock, too, and a restart within the retention loses nothing.
func TestContractClockThatIsOffAtStart(t *testing.T) {
	t.Parallel()
	proves(t, "C9", "C11", "C10")
	for _, off := range []time.Duration{-10 * time.Minute, 10 * time.Minute} {
		t.Run(fmt.Sprint(off), func(t *testing.T) {
			inContract(t, 1, func(f *field) {
				time.Sleep(time.Hour) // no record is older than its stream
				f.srv.SetClock(off)
				f.slowReads(5 * time.Second)
				tr := new(trace)
				f.letters(shard0, "x")
				time.Sleep(3 * time.Second)
				life := startField(f, tr.fails(""), consumer.WithStartingPosition(consumer.Latest()))
				time.Sleep(time.Second)
				f.letters(shard0, "ab")
				time.Sleep(30 * time.Second)
				life.stop()
				time.Sleep(24*time.Hour - 5*time.Minute) // ten minutes more on a clock that is as much ahead
				life = startField(f, tr.fails(""), consumer.WithEndingPosition(consumer.Latest()))
				if err := life.wait(time.Minute); err != nil {
					t.Error(err)
				}
				if got := strings.Join(tr.lines(), " "); got != "1 ab" && got != "1 a 1 b" {
					t.Errorf("attempts %q, want those of a and b", got)
				}
				if n := f.noticed("RetentionLost"); n != 0 {
					t.Errorf("%d notices of RetentionLost: want none within the retention", n)
				}
			})
		})
	}
}
