package kinesistest

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// TestSubscriptionLastsByTheServicesClock: one that is older than five minutes by that clock has ended, and brings no event that
// leaves out what the stream has dropped since.
func TestSubscriptionLastsByTheServicesClock(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		consumer := register(t, c, "c")
		r := must(subscribe(t.Context(), c, consumer, 0, tip))
		if r.event() == nil {
			t.Fatal("no event")
		}
		srv.SetClock(4 * time.Minute)
		if r.event() == nil {
			t.Error("it ended after four minutes")
		}
		srv.SetClock(5 * time.Minute)
		if e := r.event(); e != nil {
			t.Errorf("after five minutes it brings %v", e)
		}
		r.Close()
	})
}
