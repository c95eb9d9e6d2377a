package consumer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
	"github.com/shardlane/shardlane/metrics"
)

// Records that leave the stream while a failing batch keeps them in memory are lost: told of and counted, but not
// dropped, and in no document. The lane goes on with what the stream still has.
func TestContractRetentionWhileBlocked(t *testing.T) {
	t.Parallel()
	proves(t, "C10", "L33", "L27", "L67")
	inContract(t, 1, func(f *field) {
		f.rareReads()
		tr, snap := new(trace), new(metrics.Snapshot)
		begun := time.Now()
		f.letters(shard0, "abc")
		var detail string
		life := f.startTrace(tr, tr.fails("abc"), consumer.WithMetrics(snap), consumer.WithBackoff(time.Hour, 1, time.Hour),
			consumer.WithMaxRetryAttempts(1000), consumer.WithNotify(func(n consumer.Notice) {
				f.mu.Lock()
				defer f.mu.Unlock()
				if f.notices[n.Name]++; n.Name == "RetentionLost" {
					detail = n.Detail
				}
			}))
		time.Sleep(12 * time.Hour)
		f.letters(shard0, "de")
		time.Sleep(14 * time.Hour)
		all := tr.attempts()
		if last := all[len(all)-2]; last.data != "abc" || last.at.Sub(begun) >= 24*time.Hour {
			t.Errorf("the last attempt of abc was %v after their arrival, want less than 24h", last.at.Sub(begun))
		}
		if last := all[len(all)-1]; last.data != "de" || last.Attempt != 1 {
			t.Errorf("the last attempt was %s, want the first one of de", last.data)
		}
		totals(t, snap, map[*metrics.Metric]float64{
			metrics.RetentionLostEventCount: 3, metrics.DroppedEventCount: 0, metrics.OnFailureDestinationDeliveredEventCount: 0,
		})
		if n := f.noticed("RetentionLost"); n != 1 || !strings.HasPrefix(detail, "3 records") {
			t.Errorf("%d notices of RetentionLost, %q, want 1 of 3 records", n, detail)
		}
		want(t, "documents", tr.documents())
		life.stop()
		if ck := f.checkpoint(); !strings.Contains(ck, f.srv.Records("orders")[4].SequenceNumber) {
			t.Errorf("checkpoint %s, want it behind the last record", ck)
		}
	})
}

// Only what has left the stream is skipped; the rest is the same slice.
func TestContractRetentionOfPrefix(t *testing.T) {
	t.Parallel()
	proves(t, "C10", "L27")
	inContract(t, 1, func(f *field) {
		f.rareReads()
		tr, snap := new(trace), new(metrics.Snapshot)
		f.letters(shard0, "ab")
		time.Sleep(12 * time.Hour)
		f.letters(shard0, "c")
		life := f.startTrace(tr, tr.fails("c"), consumer.WithMetrics(snap), consumer.WithBackoff(time.Hour, 1, time.Hour))
		time.Sleep(20 * time.Hour)
		all := tr.attempts()
		n := len(all)
		if n < 14 || all[n-1].data != "c" || all[0].data != "abc" || all[n-1].RequestID != all[0].RequestID || all[n-1].Attempt != n {
			t.Errorf("attempts %q, want them all to be of one slice, which becomes shorter", tr.lines())
		}
		totals(t, snap, map[*metrics.Metric]float64{metrics.RetentionLostEventCount: 2, metrics.DroppedEventCount: 0})
		life.stop()
	})
}

// The age limit comes before the retention: what has reached both has a document.
func TestContractAgeBeforeRetention(t *testing.T) {
	t.Parallel()
	proves(t, "L27", "L31")
	inContract(t, 1, func(f *field) {
		f.rareReads()
		tr, snap := new(trace), new(metrics.Snapshot)
		f.letters(shard0, "ab")
		life := f.startTrace(tr, tr.fails("ab"), consumer.WithMetrics(snap), consumer.WithBackoff(time.Hour, 1, time.Hour), consumer.WithMaxRecordAge(24*time.Hour))
		time.Sleep(25 * time.Hour)
		totals(t, snap, map[*metrics.Metric]float64{metrics.RetentionLostEventCount: 0, metrics.OnFailureDestinationDeliveredEventCount: 2})
		if docs := tr.documents(); len(docs) != 1 || !strings.HasPrefix(docs[0], "ab RecordAgeExceeded ") {
			t.Errorf("documents %q, want one of both", docs)
		}
		life.stop()
	})
}

// A restart later than the retention reports a possible loss.
func TestContractRestartAfterRetention(t *testing.T) {
	t.Parallel()
	proves(t, "C10")
	for _, away := range []time.Duration{23 * time.Hour, 25 * time.Hour} {
		t.Run(fmt.Sprint(away), func(t *testing.T) {
			inContract(t, 1, func(f *field) {
				tr := new(trace)
				f.letters(shard0, "a")
				life := f.startTrace(tr, tr.fails(""))
				time.Sleep(time.Minute)
				life.stop()
				time.Sleep(away)
				life = f.startTrace(tr, tr.fails(""))
				time.Sleep(time.Second)
				if told := f.noticed("RetentionLost") > 0; told != (away > 24*time.Hour) {
					t.Errorf("told of a possible loss: %v", told)
				}
				life.stop()
			})
		})
	}
}

// A host that sleeps learns the time from the service when it wakes. That is not when the shard was read to its tip: reads
// that fail from then on leave records unread, and the next start says that some may be lost.
func TestContractRestartBehindSleep(t *testing.T) {
	t.Parallel()
	proves(t, "C10", "C30")
	inContract(t, 1, func(f *field) {
		tr := new(trace)
		f.letters(shard0, "a")
		life := f.startTrace(tr, tr.fails(""))
		time.Sleep(time.Minute)
		down := true
		f.srv.Control("GetRecords", func(*kinesistest.Request) *kinesistest.Fault {
			if down {
				return kinesistest.Error("InternalFailure", 1)
			}
			return nil
		})
		time.Sleep(time.Second)
		f.srv.SetClock(30 * time.Hour) // as if this host had stood still meanwhile
		time.Sleep(2 * time.Minute)
		life.stop()
		down = false
		if n := f.noticed("RetentionLost"); n != 0 {
			t.Fatalf("%d notices before the restart", n)
		}
		life = f.startTrace(tr, tr.fails(""))
		time.Sleep(time.Second)
		if f.noticed("RetentionLost") == 0 {
			t.Error("30 hours were not read, and nothing tells of a possible loss")
		}
		life.stop()
	})
}

// The age of a checkpoint whose record has no arrival time is that of the tip to which the shard was read with it.
func TestContractRestartWithoutArrival(t *testing.T) {
	t.Parallel()
	proves(t, "C10", "C27", "C30")
	for _, away := range []time.Duration{23 * time.Hour, 25 * time.Hour} {
		t.Run(fmt.Sprint(away), func(t *testing.T) {
			inContract(t, 1, func(f *field) {
				f.srv.Fail("GetRecords", kinesistest.Omit("ApproximateArrivalTimestamp", -1))
				tr := new(trace)
				f.letters(shard0, "a")
				life := f.startTrace(tr, tr.fails(""), consumer.WithDrainTimeout(0))
				time.Sleep(time.Minute)
				life.kill()
				time.Sleep(away)
				life = f.startTrace(tr, tr.fails(""))
				time.Sleep(time.Second)
				if told := f.noticed("RetentionLost") > 0; told != (away > 24*time.Hour) {
					t.Errorf("told of a possible loss: %v", told)
				}
				life.stop()
			})
		})
	}
}

// A stop stores how far all is covered, and no more: what was read and has no outcome, what waits behind an empty page, and
// what an open window holds may be lost when the next start comes later than their retention.
func TestContractStopBeforeLoss(t *testing.T) {
	t.Parallel()
	proves(t, "C10", "C30")
	refused := func(ctx context.Context, ev events.KinesisEvent) error {
		if dataOf(ev.Records) == "b" {
			return errPoison
		}
		return nil
	}
	for name, start := range map[string]func(f *field) *fieldLife{
		"all is handled": func(f *field) *fieldLife {
			return startField(f, func(context.Context, events.KinesisEvent) error { return nil })
		},
		"without outcome": func(f *field) *fieldLife { return startField(f, refused) },
		"behind the tip":  func(f *field) *fieldLife { return startField(f, refused) },
		"in a window": func(f *field) *fieldLife {
			return startField(f, func(_ context.Context, ev events.KinesisTimeWindowEvent) (r events.KinesisTimeWindowEventResponse, err error) {
				r.State = ev.State
				return r, nil
			}, consumer.WithTumblingWindow(15*time.Minute))
		},
	} {
		t.Run(name, func(t *testing.T) {
			inContract(t, 1, func(f *field) {
				f.slowReads(time.Second)
				f.srv.SetRetention("orders", time.Hour)
				time.Sleep(time.Until(time.Now().Truncate(time.Hour).Add(time.Hour))) // a window begins
				f.letters(shard0, "a")
				life := start(f)
				time.Sleep(20 * time.Minute)
				if name == "behind the tip" {
					f.srv.Fail("GetRecords", kinesistest.EmptyPages(-1))
				}
				f.letters(shard0, "b")
				time.Sleep(2 * time.Minute)
				life.stop()
				time.Sleep(59*time.Minute + 30*time.Second) // b is gone by a minute and a half
				before := f.noticed("RetentionLost")
				life = start(f)
				time.Sleep(2 * time.Second)
				if told := f.noticed("RetentionLost") > before; told != (name != "all is handled") {
					t.Errorf("told of a possible loss: %v", told)
				}
				life.stop()
			})
		})
	}
}
