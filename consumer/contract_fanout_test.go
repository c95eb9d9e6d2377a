package consumer_test

import (
	"testing"
	"time"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// TestFanOutFaults: whatever goes wrong with a subscription, each record is handled once and the shard is read on, at a pace that
// the service allows.
func TestFanOutFaults(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		op     string
		faults []*kinesistest.Fault
		notice string // one that is told
	}{
		"throttled":                {"SubscribeToShard", []*kinesistest.Fault{kinesistest.Throttle(5)}, "ReadThrottled"},
		"in use":                   {"SubscribeToShard", []*kinesistest.Fault{kinesistest.Error("ResourceInUseException", 9)}, "ReadFailed"},
		"not found":                {"SubscribeToShard", []*kinesistest.Fault{kinesistest.Error("ResourceNotFoundException", 3)}, "ReadFailed"},
		"KMS denied":               {"SubscribeToShard", []*kinesistest.Fault{kinesistest.Error("KMSAccessDeniedException", 3)}, "ReadFailed"},
		"KMS throttled":            {"SubscribeToShard", []*kinesistest.Fault{kinesistest.Error("KMSThrottlingException", 3)}, "ReadThrottled"},
		"internal failure":         {"SubscribeToShard", []*kinesistest.Fault{kinesistest.Error("InternalFailure", 3)}, "ReadFailed"},
		"error after":              {"SubscribeToShard", []*kinesistest.Fault{kinesistest.ErrorAfter("InternalFailure", 3)}, "ReadFailed"},
		"dropped":                  {"SubscribeToShard", []*kinesistest.Fault{kinesistest.Drop(3)}, "ReadFailed"},
		"dropped after":            {"SubscribeToShard", []*kinesistest.Fault{kinesistest.DropAfter(3)}, "ReadFailed"},
		"no answer":                {"SubscribeToShard", []*kinesistest.Fault{kinesistest.Hang(3)}, "ReadFailed"},
		"nothing of a stream":      {"SubscribeToShard", []*kinesistest.Fault{kinesistest.StallAfter(0, 2)}, "ReadFailed"},
		"half the first frame":     {"SubscribeToShard", []*kinesistest.Fault{kinesistest.StallAfter(20, 2)}, "ReadFailed"},
		"cut before it":            {"SubscribeToShard", []*kinesistest.Fault{kinesistest.CutAfter(0, 2)}, "ReadFailed"},
		"cut in it":                {"SubscribeToShard", []*kinesistest.Fault{kinesistest.Truncate(2)}, "ReadFailed"},
		"an event first":           {"SubscribeToShard", []*kinesistest.Fault{kinesistest.NoInitialResponse(2)}, "ReadFailed"},
		"cut before an event":      {pushOp, []*kinesistest.Fault{kinesistest.Drop(5)}, "ReadFailed"},
		"cut after an event":       {pushOp, []*kinesistest.Fault{kinesistest.DropAfter(5)}, "ReadFailed"},
		"cut in an event":          {pushOp, []*kinesistest.Fault{kinesistest.Truncate(5)}, "ReadFailed"},
		"cut in its lengths":       {pushOp, []*kinesistest.Fault{kinesistest.CutAfter(3, 5)}, "ReadFailed"},
		"stalled in an event":      {pushOp, []*kinesistest.Fault{kinesistest.StallAfter(100, 3)}, "ReadFailed"},
		"half-open":                {pushOp, []*kinesistest.Fault{kinesistest.Hang(3)}, "ReadFailed"},
		"internal failure in it":   {pushOp, []*kinesistest.Fault{kinesistest.Error("InternalFailureException", 5)}, "ReadFailed"},
		"KMS in it":                {pushOp, []*kinesistest.Fault{kinesistest.Error("KMSAccessDeniedException", 5)}, "ReadFailed"},
		"opt-in in it":             {pushOp, []*kinesistest.Fault{kinesistest.Error("KMSOptInRequired", 5)}, "ReadFailed"},
		"not found in it":          {pushOp, []*kinesistest.Fault{kinesistest.Error("ResourceNotFoundException", 5)}, "ReadFailed"},
		"taken over in it":         {pushOp, []*kinesistest.Fault{kinesistest.Error("ResourceInUseException", 5)}, "ReadFailed"},
		"unknown in it":            {pushOp, []*kinesistest.Fault{kinesistest.Error("Odd", 5)}, "ReadFailed"},
		"exception after an event": {pushOp, []*kinesistest.Fault{kinesistest.ErrorAfter("KMSNotFoundException", 5)}, "ReadFailed"},
		"corrupt":                  {pushOp, []*kinesistest.Fault{kinesistest.Corrupt(5)}, "ReadFailed"},
		"early":                    {pushOp, []*kinesistest.Fault{kinesistest.EndEarly(5)}, ""},
		"early, as a shard end":    {pushOp, []*kinesistest.Fault{kinesistest.EndEarly(5), kinesistest.Omit("ContinuationSequenceNumber", 5)}, "ReadFailed"},
		"old continuation":         {pushOp, []*kinesistest.Fault{kinesistest.OldContinuation(5), kinesistest.EndEarly(5)}, ""},
		"repeated":                 {pushOp, []*kinesistest.Fault{kinesistest.RepeatPages(5)}, ""},
		"empty":                    {pushOp, []*kinesistest.Fault{kinesistest.EmptyPages(5), kinesistest.EndEarly(5)}, ""},
		"wrong lag":                {pushOp, []*kinesistest.Fault{kinesistest.WrongLag(time.Hour, 20)}, ""},
		"without arrival":          {pushOp, []*kinesistest.Fault{kinesistest.Omit("ApproximateArrivalTimestamp", 20)}, ""},
		"without lag":              {pushOp, []*kinesistest.Fault{kinesistest.Omit("MillisBehindLatest", 20)}, ""},
		"slow":                     {pushOp, []*kinesistest.Fault{kinesistest.Drip(12*time.Second, 5)}, ""},
		"late":                     {pushOp, []*kinesistest.Fault{kinesistest.Delay(12*time.Second, 5)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inField(t, 1, func(f *field) {
				f.srv.SetReadLimits(true)
				for _, fault := range tt.faults {
					if f.srv.Fail(tt.op, fault.After(1)); tt.op == pushOp {
						continue
					}
					f.srv.Fail(pushOp, kinesistest.EndEarly(1).After(3)) // so that there is a second call
				}
				one := f.start(consumer.WithEnhancedFanOut("billing"))
				for range 300 {
					f.put(shard0, "a", 1)
					time.Sleep(500 * time.Millisecond)
				}
				time.Sleep(3 * time.Minute)
				f.put(shard0, "a", 1)
				time.Sleep(5 * time.Second)
				f.once()
				f.gentle()
				if tt.notice != "" && f.notices[tt.notice] == 0 {
					t.Errorf("told: %v, want %s", f.notices, tt.notice)
				}
				if tt.notice == "" && f.notices["ReadFailed"]+f.notices["RetentionLost"] > 0 {
					t.Errorf("told: %v", f.notices)
				}
				if err := one.c.Status().Err(); err != nil {
					t.Error(err)
				}
				one.stop()
			})
		})
	}
}
