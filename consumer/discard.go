package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer/internal/page"
	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/metrics"
)

// destinationTimeout is what a destination gets for one delivery (C23).
const destinationTimeout = 30 * time.Second

// GiveUp implements lane.Caller: it tells of records that are given up and delivers their document, before they have their
// outcome (L35). It returns false if a stop or the loss of the shard cut the delivery off.
func (c *caller) GiveUp(lane int, d *batch.Discard[page.Item]) bool {
	n := len(d.Records)
	if c.lost.Load() {
		return false
	}
	f := tell.Failure{Op: "discard", Err: d.Err, Hint: "see the error of the handler; the lane goes on behind these records"}
	if f.Err == nil {
		f.Err = errors.New("no attempt was made")
	}
	e := c.f.out.Wrap(c.id, f)
	detail := fmt.Sprintf("%s: %s after %s, request %s", d.Condition, count(n, "record"), count(d.InvokeCount, "attempt"), d.RequestID)
	if n > 0 {
		detail += ", from " + d.Records[0].Seq()
	}
	if c.f.cfg.destination == nil {
		c.tell.Record(metrics.DroppedEventCount, float64(n))
		c.tell.Event(metrics.RecordsDiscarded, e, detail)
		return true
	}
	err := c.deliver(lane, c.failure(d))
	if err != nil && (c.handlers.Err() != nil || c.lost.Load()) {
		return false
	}
	if err == nil {
		c.tell.Record(metrics.OnFailureDestinationDeliveredEventCount, float64(n))
		c.tell.Event(metrics.RecordsDiscarded, e, detail)
		return true
	}
	c.tell.Record(metrics.DestinationDeliveryFailures, 1)
	c.tell.Record(metrics.DroppedEventCount, float64(n))
	c.tell.Event(metrics.RecordsDiscarded, e, detail)
	c.tell.Event(metrics.DestinationFailed, c.f.out.Wrap(c.id, tell.Failure{
		Op: "deliver", Err: err,
		Hint: "the destination did not take the document, and nothing tries again; the records are in the stream until their retention ends",
	}), detail)
	return true
}

// errExited is the error of a delivery that ended its goroutine.
var errExited = errors.New("consumer: the destination called runtime.Goexit")

// failure is what a destination gets to know of d.
func (c *caller) failure(d *batch.Discard[page.Item]) *batch.Failure {
	called := d.Condition == batch.RetryAttemptsExhausted && d.Outcome != batch.Oversized
	return &batch.Failure{
		Records:   page.Event(c.src, d.Records).Records,
		Condition: d.Condition, InvokeCount: d.InvokeCount, Err: d.Err,
		Responded: called, Unhandled: called && d.Outcome != batch.Rejected,
		Time: c.f.now(), RequestID: d.RequestID, Shard: c.id, StreamARN: c.src.StreamARN, Window: d.Call,
		FunctionARN: c.f.cfg.functionARN, ExecutedVersion: c.f.cfg.version, MappingID: c.f.mapping, ID: c.ids.uuid(),
	}
}

// deliver hands a failure to the destination. One that panics has failed. One that ignores the end of its context is left
// behind, and the lane's next delivery waits for it: one goroutine is left behind per lane at most.
func (c *caller) deliver(lane int, f *batch.Failure) error {
	ctx, cancel := context.WithTimeout(c.handlers, destinationTimeout)
	defer cancel()
	if before := c.deliveries[lane]; before != nil {
		select {
		case <-before:
			c.deliveries[lane] = nil
		case <-ctx.Done():
			return fmt.Errorf("an earlier delivery of the lane still runs: %w", context.Cause(ctx))
		}
	}
	err, runs := guard(ctx.Done(), unwindTime/2, errExited, func() (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("the destination panicked: %v", v)
			}
		}()
		return c.f.cfg.destination.Deliver(ctx, f)
	})
	if runs != nil {
		c.deliveries[lane] = runs
		return fmt.Errorf("the destination ignores the end of its context, and was left behind: %w", context.Cause(ctx))
	}
	return err
}
