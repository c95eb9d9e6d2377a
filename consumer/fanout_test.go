package consumer_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// TestFanOut: a shard is read by subscriptions alone, over several renewals, a split and a merge, and everything is handled
// once.
func TestFanOut(t *testing.T) {
	t.Parallel()
	inField(t, 2, func(f *field) {
		f.srv.SetReadLimits(true)
		f.put(shardID(0), "a", 50)
		one := f.start(consumer.WithEnhancedFanOut("billing"))
		time.Sleep(3 * time.Second)
		f.put(shardID(1), "b", 500)
		time.Sleep(7 * time.Minute)
		f.put(shardID(1), "b", 50)
		lower, upper := f.srv.Split("orders", shardID(0))
		f.put(lower, "a", 20)
		f.put(upper, "c", 20)
		merged := f.srv.Merge("orders", upper, shardID(1))
		f.put(merged, "c", 20)
		time.Sleep(10 * time.Minute)
		f.once()
		one.stop()
		for _, op := range []string{"GetRecords", "GetShardIterator"} {
			if n := f.srv.Count(op, "", ""); n > 0 {
				t.Errorf("%d calls of %s", n, op)
			}
		}
		t.Log(f.notices, f.srv.Count("SubscribeToShard", "", ""))
	})
}

// TestFanOutEnds: the end of a shard is what an event says that names no continuation and the children, or what has no more
// records and children in the list. Nothing before it is lost, nothing is read after it, and the children start.
func TestFanOutEnds(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		op     string
		faults []*kinesistest.Fault
	}{
		"plain":                     {},
		"without children":          {pushOp, []*kinesistest.Fault{kinesistest.HideChildren(0)}},
		"refused":                   {"SubscribeToShard", []*kinesistest.Fault{kinesistest.RefuseEnds(0)}},
		"without continuation":      {pushOp, []*kinesistest.Fault{kinesistest.Omit("ContinuationSequenceNumber", 20)}},
		"early without either":      {pushOp, []*kinesistest.Fault{kinesistest.Omit("ContinuationSequenceNumber", 20), kinesistest.EndEarly(20)}},
		"early and empty":           {pushOp, []*kinesistest.Fault{kinesistest.Omit("ContinuationSequenceNumber", 10), kinesistest.EmptyPages(10), kinesistest.EndEarly(10)}},
		"cut at the end":            {pushOp, []*kinesistest.Fault{kinesistest.Truncate(20)}},
		"cut after the end, hidden": {pushOp, []*kinesistest.Fault{kinesistest.HideChildren(0), kinesistest.EndEarly(0)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inField(t, 1, func(f *field) {
				f.srv.SetReadLimits(true)
				f.put(shard0, "a", 3)
				one := f.start(consumer.WithEnhancedFanOut("billing"))
				time.Sleep(30 * time.Second)
				for _, fault := range tt.faults {
					f.srv.Fail(tt.op, fault.OnShard(shard0))
				}
				f.put(shard0, "a", 3)
				if tt.op == "SubscribeToShard" { // the next one begins behind the last record of a closed shard
					f.srv.Fail(pushOp, kinesistest.HideChildren(1), kinesistest.EndEarly(1))
				}
				lower, upper := f.srv.Split("orders", shard0)
				f.put(lower, "a", 3)
				f.put(upper, "b", 3)
				time.Sleep(5 * time.Minute)
				f.once()
				f.gentle()
				n := f.srv.Count("SubscribeToShard", "orders", shard0)
				time.Sleep(10 * time.Minute)
				if more := f.srv.Count("SubscribeToShard", "orders", shard0) - n; more > 0 {
					t.Errorf("%d subscriptions behind the end", more)
				}
				if _, ended := f.rows(shard0); ended.IsZero() {
					t.Errorf("the end was not stored; told: %v", f.notices)
				}
				if f.notices["RetentionLost"] > 0 {
					t.Errorf("told: %v", f.notices)
				}
				one.stop()
			})
		})
	}
}

// TestFanOutWaits: a handler that does not come forward stops the stream and nothing else. The subscription is given up after a
// while, silence is not held against it meanwhile, and nothing comes twice.
func TestFanOutWaits(t *testing.T) {
	t.Parallel()
	inField(t, 2, func(f *field) {
		f.srv.SetReadLimits(true)
		wait := make(chan struct{})
		f.work = func(_ context.Context, b fieldBatch) error {
			if b.Shard == shard0 {
				<-wait
			}
			time.Sleep(10 * time.Millisecond)
			return nil
		}
		one := f.start(consumer.WithEnhancedFanOut("billing"), consumer.WithReadAhead(100, 1<<20))
		time.Sleep(2 * time.Second)
		for range 60 {
			f.put(shard0, "a", 20)
			f.put(shardID(1), "b", 20)
			time.Sleep(time.Second)
		}
		time.Sleep(10 * time.Minute)
		var late time.Duration
		_, first := f.handled()
		for _, r := range f.srv.Shards("orders")[1].Records {
			late = max(late, first[r.SequenceNumber].Sub(r.Arrival))
		}
		if late > time.Second || len(f.srv.Shards("orders")[1].Records) != 1200 {
			t.Errorf("records of the other shard were handled up to %v late", late)
		}
		if got := one.c.Status().Shards[0].ReadAhead; got > 5<<20 {
			t.Errorf("%d bytes are read ahead", got)
		}
		if n := f.srv.Count("SubscribeToShard", "orders", shard0); n != 1 {
			t.Errorf("%d subscriptions while nothing could be read", n)
		}
		close(wait)
		time.Sleep(time.Minute)
		f.once()
		f.gentle()
		for _, name := range []string{"ReadFailed", "ReadThrottled"} {
			if f.notices[name] > 0 {
				t.Errorf("told: %v", f.notices)
			}
		}
		one.stop()
	})
}

// TestFanOutLeavesPollersAlone: a group that is pushed a flood takes nothing of the calls and bytes that another one polls by.
func TestFanOutLeavesPollersAlone(t *testing.T) {
	t.Parallel()
	inField(t, 1, func(f *field) {
		f.srv.SetReadLimits(true)
		told := map[string]int{}
		polled, begun := 0, time.Now()
		other, err := consumer.New(f.srv.Client(), "orders", func(_ context.Context, ev events.KinesisEvent) error {
			for _, r := range ev.Records {
				if late := time.Since(r.Kinesis.ApproximateArrivalTimestamp.Time); late > time.Second && time.Since(begun) > 2*time.Second {
					t.Errorf("polled %v after its arrival", late)
				}
			}
			polled += len(ev.Records)
			return nil
		}, silent(), consumer.WithGroup("polling"), consumer.WithCheckpointer(f.store), consumer.WithNotify(func(n consumer.Notice) { told[n.Name]++ }))
		if err != nil {
			t.Fatal(err)
		}
		one := f.start(consumer.WithEnhancedFanOut("billing"))
		two := &fieldLife{f: f, c: other}
		two.run()
		time.Sleep(3 * time.Second)
		for range 60 {
			f.put(shard0, "a", 100)
			time.Sleep(time.Second)
		}
		time.Sleep(5 * time.Second)
		one.stop()
		two.stop()
		f.once()
		if polled != 6000 || told["ReadThrottled"] > 0 {
			t.Errorf("%d records were polled; told: %v", polled, told)
		}
	})
}

// TestFanOutStops: a stop, a hand-over and a lost lease end a subscription at once.
func TestFanOutStops(t *testing.T) {
	t.Parallel()
	inField(t, 1, func(f *field) {
		one := f.start(consumer.WithEnhancedFanOut("billing"))
		time.Sleep(time.Minute)
		f.put(shard0, "a", 10)
		time.Sleep(time.Second)
		from := time.Now()
		one.stop()
		if took := time.Since(from); took > time.Second {
			t.Errorf("a stop took %v", took)
		}
		f.once()
	})
}

// TestFanOutFallback: where subscriptions fail for as long as WithPollingFallback says, the shard is polled, from the place that
// was reached; once a minute fan-out is tried, and it replaces polling when it works. Both are told, and nothing is handled twice.
func TestFanOutFallback(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string][]*kinesistest.Fault{
		"refused":     {kinesistest.Error("KMSAccessDeniedException", 0)},
		"not found":   {kinesistest.Error("ResourceNotFoundException", 0)},
		"hanging":     {kinesistest.Hang(0)},
		"silent":      {kinesistest.StallAfter(20, 0)},
		"invalid":     {kinesistest.Error("InvalidArgumentException", 0)},
		"in use":      {kinesistest.Error("ResourceInUseException", 0)},
		"event first": {kinesistest.NoInitialResponse(0)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inField(t, 2, func(f *field) {
				f.srv.SetReadLimits(true)
				one := f.start(consumer.WithEnhancedFanOut("billing"), consumer.WithPollingFallback(20*time.Second))
				stop := make(chan struct{})
				go func() {
					for {
						select {
						case <-stop:
							return
						case <-time.After(500 * time.Millisecond):
							f.put(shard0, "a", 1)
							f.put(shardID(1), "b", 1)
						}
					}
				}()
				time.Sleep(30 * time.Second)
				fault := f.srv.Fail("SubscribeToShard", faults[0].OnShard(shard0))
				f.srv.Fail(pushOp, kinesistest.Drop(1).OnShard(shard0))
				time.Sleep(15 * time.Second)
				if n := f.srv.Count("GetRecords", "orders", shard0); n > 0 {
					t.Errorf("%d polls before the time", n)
				}
				time.Sleep(25 * time.Second)
				if n := f.srv.Count("GetRecords", "orders", shard0); n < 50 || f.notices["FanOutSuspended"] != 1 {
					t.Errorf("%d polls, told: %v", n, f.notices)
				}
				before, _ := f.handled()
				time.Sleep(3 * time.Minute)
				if after, _ := f.handled(); len(after)-len(before) < 2*350 {
					t.Errorf("%d records were handled in three minutes", len(after)-len(before))
				}
				if f.notices["FanOutSuspended"] != 1 || f.notices["FanOutResumed"] != 0 {
					t.Errorf("told: %v", f.notices)
				}
				fault[0].Stop()
				time.Sleep(90 * time.Second)
				polls := f.srv.Count("GetRecords", "orders", shard0)
				time.Sleep(2 * time.Minute)
				if n := f.srv.Count("GetRecords", "orders", shard0) - polls; n > 0 || f.notices["FanOutResumed"] != 1 {
					t.Errorf("%d polls when subscriptions work; told: %v", n, f.notices)
				}
				if n := f.srv.Count("GetRecords", "orders", shardID(1)); n > 0 {
					t.Errorf("%d polls of the other shard", n)
				}
				close(stop)
				time.Sleep(2 * time.Second)
				f.once()
				f.gentle()
				one.stop()
			})
		})
	}
}

// TestFanOutRegisters: a stream consumer is found by its name, or registered, which is told before; and waited for.
func TestFanOutRegisters(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		before func(f *field)
		calls  int // of RegisterStreamConsumer, with what came before
		within time.Duration
	}{
		"new":      {func(*field) {}, 1, 5 * time.Second},
		"there":    {func(f *field) { f.register("billing") }, 1, 3 * time.Second},
		"creating": {func(f *field) { f.srv.SetTransition(20 * time.Second); f.register("billing") }, 1, 25 * time.Second},
		"deleting": {func(f *field) {
			f.register("billing")
			f.srv.SetTransition(20 * time.Second)
			if err := consumer.DeregisterFanOut(f.t.Context(), f.srv.Client(), "orders", "billing"); err != nil {
				f.t.Fatal(err)
			}
		}, 2, 50 * time.Second},
		"another is first": {func(f *field) {
			f.srv.Fail("RegisterStreamConsumer", kinesistest.ErrorAfter("ResourceInUseException", 1))
		}, 1, 5 * time.Second},
		"unknown outcome": {func(f *field) { f.srv.Fail("RegisterStreamConsumer", kinesistest.DropAfter(1)) }, 1, 5 * time.Second},
		"too many":        {func(f *field) { f.srv.Fail("RegisterStreamConsumer", kinesistest.Error("LimitExceededException", 3)) }, 4, 10 * time.Second},
		"describe fails":  {func(f *field) { f.srv.Fail("DescribeStreamConsumer", kinesistest.Error("InternalFailure", 3)) }, 1, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inField(t, 1, func(f *field) {
				tt.before(f)
				f.put(shard0, "a", 10)
				from := time.Now()
				one := f.start(consumer.WithEnhancedFanOut("billing"))
				for limit := from.Add(2 * time.Minute); len(f.seen()) == 0 && time.Now().Before(limit); {
					time.Sleep(100 * time.Millisecond)
				}
				if took := time.Since(from); took > tt.within {
					t.Errorf("nothing was handled for %v; told: %v", took, f.notices)
				}
				time.Sleep(5 * time.Second)
				f.once()
				if n := f.srv.Count("RegisterStreamConsumer", "", ""); n != tt.calls {
					t.Errorf("%d calls of RegisterStreamConsumer, want %d", n, tt.calls)
				}
				if n := f.notices["FanOutRegistration"]; n < 1 {
					t.Errorf("told: %v", f.notices)
				}
				for _, b := range f.seen() {
					if arn := b.recs[0].EventSourceArn; !strings.Contains(arn, "stream/orders/consumer/billing:") {
						t.Errorf("an event is of %s", arn)
					}
				}
				one.stop()
			})
		})
	}
}
