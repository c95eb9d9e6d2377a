package consumer_test

import (
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

const scenarioEvents = "SubscribeToShardEvent" // what faults of events are of

// TestScenarioFanOut plays seeds of the scenario with records that are pushed: what happens to calls of GetRecords happens to
// events, and what happens to GetShardIterator to subscriptions.
func TestScenarioFanOut(t *testing.T) {
	first, last := seeds(t)
	for seed := first; seed <= last; seed++ {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p := newPlan(seed)
			p.pushed()
			var worlds []*world
			synctest.Test(t, func(t *testing.T) { worlds = p.run(t, dir) })
			for _, w := range worlds {
				if found := w.check(); len(found) > 0 {
					w.report(t, found, true)
				}
				if w.srv.Count(scenarioEvents, "", "") == 0 {
					t.Error("nothing was pushed")
				}
			}
		})
	}
}

// pushed makes a plan one of fan-out.
func (p *plan) pushed() {
	p.push, p.network = true, true
	if p.next != nil {
		p.next.pushed()
	}
}

// pushing are the options of a life whose records are pushed. It has another stream consumer than the two lives before, since
// the service lets 5 s pass from one subscription to the next one.
func (p *plan) pushing(life int) (opts []consumer.Option) {
	if !p.push {
		return nil
	}
	opts = append(opts, consumer.WithEnhancedFanOut(fmt.Sprint("consumer-", life%3)), consumer.WithDeaggregation(p.deaggregate))
	if life%4 == 0 {
		opts = append(opts, consumer.WithPollingFallback(time.Second))
	}
	return opts
}

// as is the operation whose faults a call has.
func (p *plan) as(op string) string {
	switch {
	case !p.push:
	case op == scenarioEvents:
		return "GetRecords"
	case op == "SubscribeToShard":
		return "GetShardIterator"
	}
	return op
}

// pushedFault is a fault of a subscription in place of one of a poll.
func pushedFault(name, op string, other func() *kinesistest.Fault) *kinesistest.Fault {
	switch {
	case name == "expire" && op == scenarioEvents:
		return kinesistest.EndEarly(1)
	case name == "lag" && op == scenarioEvents:
		return kinesistest.OldContinuation(1)
	}
	return other()
}
