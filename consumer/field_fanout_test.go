package consumer_test

import (
	"context"
	"encoding/json"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

const pushOp = "SubscribeToShardEvent"

// gentle fails the test if a shard was subscribed to more than once a second.
func (f *field) gentle() {
	f.t.Helper()
	last := map[string]time.Time{}
	for _, c := range f.srv.Calls() {
		if c.Op != "SubscribeToShard" {
			continue
		}
		if at := last[c.Shard]; !at.IsZero() && c.Time.Sub(at) < time.Second {
			f.t.Errorf("%s was subscribed to %v after the time before", c.Shard, c.Time.Sub(at))
		}
		last[c.Shard] = c.Time
	}
}

// A fieldStart is where a subscription was asked to begin.
type fieldStart struct {
	Type, SequenceNumber string
	at                   time.Time
}

// behind tells whether it is behind a record, or at it.
func (s fieldStart) behind(seq string) bool {
	a, ok := new(big.Int).SetString(s.SequenceNumber, 10)
	b, _ := new(big.Int).SetString(seq, 10)
	return ok && s.Type == "AFTER_SEQUENCE_NUMBER" && a.Cmp(b) >= 0
}

// starts notes where subscriptions of all shards are asked to begin, from now on.
func (f *field) starts() func() []fieldStart {
	var mu sync.Mutex
	var all []fieldStart
	f.srv.Control("SubscribeToShard", func(r *kinesistest.Request) *kinesistest.Fault {
		var in struct{ StartingPosition fieldStart }
		if err := json.Unmarshal(r.Body, &in); err != nil {
			f.t.Error(err)
		}
		in.StartingPosition.at = r.Time
		mu.Lock()
		defer mu.Unlock()
		all = append(all, in.StartingPosition)
		return nil
	})
	return func() []fieldStart {
		mu.Lock()
		defer mu.Unlock()
		return append([]fieldStart(nil), all...)
	}
}

// pushed counts the records that events have brought.
func (f *field) pushed() (n int) {
	for _, c := range f.srv.Calls() {
		if c.Op == pushOp && c.Code == "" {
			n += c.Records
		}
	}
	return n
}

// TestField_F19: a handler takes longer than a subscription lasts. Subscriptions are renewed and the lease is kept beside it,
// and a stream that closes early is followed by another one.
func TestField_F19(t *testing.T) {
	t.Parallel()
	inField(t, 1, func(f *field) {
		f.work = func(_ context.Context, b fieldBatch) error {
			if b.has("slow") {
				time.Sleep(12 * time.Minute)
			}
			return nil
		}
		one := f.start(consumer.WithEnhancedFanOut("billing"), consumer.WithHandlerTimeout(-1))
		time.Sleep(10 * time.Second)
		f.put(shard0, "slow", 1)
		time.Sleep(11 * time.Minute)
		if n := f.srv.Count("SubscribeToShard", "orders", shard0); n < 3 {
			t.Errorf("%d subscriptions in 11 minutes", n)
		}
		f.put(shard0, "a", 10)
		time.Sleep(2 * time.Minute)
		f.once()
		for range 3 {
			f.srv.Fail(pushOp, kinesistest.EndEarly(1))
			time.Sleep(10 * time.Second)
			f.put(shard0, "a", 10)
			time.Sleep(10 * time.Second)
			f.once()
		}
		if n := f.notices["LeaseLost"] + f.notices["ReadFailed"]; n > 0 {
			t.Errorf("told: %v", f.notices)
		}
		one.stop()
	})
}

// TestField_F27: each renewal goes on behind what has been pushed, and nothing is pushed twice.
func TestField_F27(t *testing.T) {
	t.Parallel()
	inField(t, 1, func(f *field) {
		starts := f.starts()
		f.put(shard0, "a", 10)
		one := f.start(consumer.WithEnhancedFanOut("billing"))
		var last []string
		for range 30 {
			time.Sleep(time.Minute)
			f.put(shard0, "a", 10)
			time.Sleep(time.Second)
			recs := f.srv.Records("orders")
			for len(last) < len(starts()) {
				last = append(last, "")
			}
			last[len(last)-1] = recs[len(recs)-1].SequenceNumber
		}
		f.once()
		if n := f.pushed(); n != 310 {
			t.Errorf("%d records were pushed, want 310", n)
		}
		all := starts()
		if len(all) < 7 {
			t.Errorf("%d subscriptions in half an hour", len(all))
		}
		for i, s := range all[1:] {
			if last[i] != "" && !s.behind(last[i]) {
				t.Errorf("subscription %d begins %s %s, and the one before had brought %s", i+2, s.Type, s.SequenceNumber, last[i])
			}
		}
		one.stop()
	})
}

// TestField_F28: a subscription that is refused again and again is asked for once a second at most, and less often in the end; a
// stop does not wait for it, nor for one that hangs.
func TestField_F28(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]*kinesistest.Fault{
		"ResourceNotFoundException": kinesistest.Error("ResourceNotFoundException", 0), "LimitExceededException": kinesistest.Error("LimitExceededException", 0),
		"ResourceInUseException": kinesistest.Error("ResourceInUseException", 0), "InvalidArgumentException": kinesistest.Error("InvalidArgumentException", 0),
		"no answer": kinesistest.Hang(0), "an event first": kinesistest.NoInitialResponse(0),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inField(t, 1, func(f *field) {
				starts := f.starts()
				f.put(shard0, "a", 10)
				injected := f.srv.Fail("SubscribeToShard", fault)
				one := f.start(consumer.WithEnhancedFanOut("billing"))
				time.Sleep(5 * time.Minute)
				all := starts()
				for i, s := range all[1:] {
					if pause := s.at.Sub(all[i].at); pause < time.Second {
						t.Errorf("asked again after %v", pause)
					}
				}
				if len(all) < 10 || len(all) > 60 {
					t.Errorf("asked %d times in 5 minutes", len(all))
				}
				for n := len(starts()); len(starts()) == n; { // in the middle of one
					time.Sleep(50 * time.Millisecond)
				}
				from := time.Now()
				one.stop()
				if took := time.Since(from); took > 500*time.Millisecond {
					t.Errorf("a stop took %v", took)
				}
				for _, i := range injected {
					i.Stop()
				}
				one.run()
				time.Sleep(20 * time.Second)
				f.once()
				one.stop()
			})
		})
	}
}

// TestField_F42: a half-open stream is noticed by its silence, with the lease kept; silence does not count while the handler keeps
// the stream from being read.
func TestField_F42(t *testing.T) {
	t.Parallel()
	inField(t, 1, func(f *field) {
		wait := make(chan struct{})
		f.work = func(_ context.Context, b fieldBatch) error {
			if b.has("block") {
				<-wait
			}
			return nil
		}
		one := f.start(consumer.WithEnhancedFanOut("billing"), consumer.WithReadAhead(100, 1<<20))
		time.Sleep(10 * time.Second)
		for _, fault := range []*kinesistest.Fault{kinesistest.Hang(1), kinesistest.StallAfter(100, 1), kinesistest.StallAfter(5, 1)} {
			f.srv.Fail(pushOp, fault)
			time.Sleep(4 * time.Second) // it is in force
			put := time.Now()
			f.put(shard0, "a", 10)
			time.Sleep(20 * time.Second)
			f.once()
			_, first := f.handled()
			for _, r := range f.srv.Records("orders") {
				if late := first[r.SequenceNumber].Sub(r.Arrival); !r.Arrival.Before(put) && late > 17*time.Second {
					t.Errorf("handled after %v", late)
				}
			}
		}
		if got := f.notices["ReadFailed"]; got != 3 || f.notices["LeaseLost"] > 0 {
			t.Errorf("told: %v", f.notices)
		}
		n := f.srv.Count("SubscribeToShard", "orders", shard0)
		f.put(shard0, "block", 1000)
		time.Sleep(25 * time.Second)
		close(wait)
		time.Sleep(5 * time.Second)
		f.once()
		if n := f.srv.Count("SubscribeToShard", "orders", shard0) - n; n > 0 || f.notices["ReadFailed"] != 3 {
			t.Errorf("%d subscriptions when a handler held the stream up; told: %v", n, f.notices)
		}
		one.stop()
	})
}

// TestField_F44: after an error reading goes on from the last continuation, be it of an event with records or without.
func TestField_F44(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func() *kinesistest.Fault{
		"exception": func() *kinesistest.Fault { return kinesistest.Error("InternalFailureException", 1) },
		"cut":       func() *kinesistest.Fault { return kinesistest.Truncate(1) },
		"corrupt":   func() *kinesistest.Fault { return kinesistest.Corrupt(1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inField(t, 1, func(f *field) {
				starts := f.starts()
				one := f.start(consumer.WithEnhancedFanOut("billing"))
				time.Sleep(20 * time.Second)
				f.srv.Fail(pushOp, fault()) // nothing has been put yet
				time.Sleep(20 * time.Second)
				all := starts()
				if s := all[len(all)-1]; len(all) != 2 || !s.behind("0") {
					t.Errorf("of an empty shard the %d. subscription begins %s %s", len(all), s.Type, s.SequenceNumber)
				}
				f.put(shard0, "a", 10)
				time.Sleep(2 * time.Second)
				f.srv.Fail("SubscribeToShard", kinesistest.Error("InternalFailure", 2))
				f.srv.Fail(pushOp, fault())
				time.Sleep(20 * time.Second)
				recs := f.srv.Records("orders")
				if s := starts(); len(s) != 5 || !s[4].behind(recs[9].SequenceNumber) {
					t.Errorf("%d subscriptions, the last one begins %s %s", len(s), s[len(s)-1].Type, s[len(s)-1].SequenceNumber)
				}
				f.put(shard0, "a", 10)
				time.Sleep(2 * time.Second)
				f.once()
				if n := f.pushed(); n != 20 {
					t.Errorf("%d records were pushed, want 20", n)
				}
				one.stop()
			})
		})
	}
}

// TestField_F56: the end of a shard ends the subscriptions to it.
func TestField_F56(t *testing.T) {
	t.Parallel()
	inField(t, 2, func(f *field) {
		one := f.start(consumer.WithEnhancedFanOut("billing"))
		f.put(shard0, "a", 10)
		time.Sleep(10 * time.Second)
		f.put(shard0, "a", 10)
		lower, upper := f.srv.Split("orders", shard0)
		merged := f.srv.Merge("orders", upper, shardID(1))
		f.put(lower, "a", 10)
		f.put(merged, "b", 10)
		time.Sleep(20 * time.Minute)
		f.once()
		for _, shard := range []string{shard0, shardID(1), upper} {
			if n := f.srv.Count("SubscribeToShard", "orders", shard); n != 1 {
				t.Errorf("%d subscriptions to %s", n, shard)
			}
			if _, ended := f.rows(shard); ended.IsZero() {
				t.Errorf("%s has not ended", shard)
			}
		}
		one.stop()
	})
}
