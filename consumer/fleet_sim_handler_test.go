package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer"
)

var errSimHandler = errors.New("the handler fails")

// consumer makes the consumer of a worker.
func (l *simLife) consumer(client consumer.Client, opts ...consumer.Option) (*consumer.Consumer, error) {
	if l.w.plan.strict {
		opts = append(opts, consumer.WithMaxRetryAttempts(0), consumer.WithOnFailure(batch.DestinationFunc(l.givenUp)))
	}
	if !l.w.plan.partial {
		return consumer.New(client, stream, func(ctx context.Context, ev events.KinesisEvent) error {
			_, err := l.handle(ctx, ev)
			return err
		}, opts...)
	}
	return consumer.New(client, stream, func(ctx context.Context, ev events.KinesisEvent) (resp events.KinesisEventResponse, err error) {
		n, err := l.handle(ctx, ev)
		if n > 0 && n < len(ev.Records) {
			resp.BatchItemFailures = []events.KinesisBatchItemFailure{{ItemIdentifier: ev.Records[n].Kinesis.SequenceNumber}}
			err = nil
		}
		return resp, err
	}, opts...)
}

// givenUp is told of records that are given up, of which there are none if handlers do not fail of themselves.
func (l *simLife) givenUp(_ context.Context, f *batch.Failure) error {
	l.w.turns.wait(fmt.Sprint(l.name, " gives up ", f.Shard, " ", f.Records[0].Kinesis.SequenceNumber))
	if !isClosed(l.dead) {
		l.w.breach(simGiven, f.Shard, "%s gives %d records up", l.name, len(f.Records))
	}
	return nil
}

// handle does the work of one call: so many records are done. Nothing that a dead worker does is seen.
func (l *simLife) handle(ctx context.Context, ev events.KinesisEvent) (done int, err error) {
	w, p := l.w, l.w.plan
	inv, _ := batch.InvocationFrom(ctx)
	who := fmt.Sprint(ev.Records[0].Kinesis.SequenceNumber, " ", inv.Attempt)
	start := simEvent{kind: evStart, shard: inv.Shard, epoch: inv.Epoch}
	for _, r := range ev.Records {
		rec := simRec{seq: r.Kinesis.SequenceNumber, key: r.Kinesis.PartitionKey}
		_, _ = fmt.Sscan(string(r.Kinesis.Data), &rec.n)
		start.recs = append(start.recs, rec)
	}
	w.turns.wait(fmt.Sprint(l.name, " starts ", who))
	w.late.Add(1)
	defer w.late.Done()
	w.mu.Lock()
	w.counts["calls of handlers"]++
	start.call = w.counts["calls of handlers"]
	w.mu.Unlock()
	what := fmt.Sprint("call ", start.call)
	unwatch := context.AfterFunc(ctx, func() {
		w.turns.wait("context of " + what)
		w.note(l, simEvent{kind: simDone, call: start.call, shard: inv.Shard})
	})
	defer unwatch()
	start.held = l.thaw(start)
	if !w.note(l, start) {
		<-ctx.Done()
		return 0, ctx.Err()
	}

	took, calm := 20*time.Millisecond+time.Duration(p.roll("work", who)*float64(100*time.Millisecond)), w.calm()
	if !calm && p.roll("slow", who) < p.slow {
		took += time.Duration(p.roll("slowly", who) * float64(15*time.Second))
	}
	if l.cutOff() && p.roll("stuck", who) < p.stuck {
		took += 15 * time.Second // what it calls is cut off, too
	}
	timer := time.NewTimer(took)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	w.turns.wait(what)
	if err = ctx.Err(); err != nil {
		unwind := time.Duration(p.roll("unwind", who) * float64(2900*time.Millisecond))
		if p.roll("tardy", who) < p.tardy {
			unwind = 2900 * time.Millisecond
		} else if p.roll("quick", who) < 0.5 {
			unwind /= 100
		}
		if !calm && p.roll("overstay", who) < p.overstay {
			unwind += time.Duration(p.roll("overstays", who) * float64(8*time.Second))
			w.count("handler overstays")
		}
		w.turns.sleep(unwind, what)
		if p.roll("anyway", who) < 0.3 {
			err = nil // it has done its work
		}
	}
	done = len(ev.Records)
	if err != nil || !calm && p.roll("fails", who) < p.failing {
		done, err = 0, errors.Join(err, errSimHandler)
		if p.partial {
			done = int(p.roll("until", who) * float64(len(ev.Records)))
		}
	}
	end := simEvent{kind: evFailed, call: start.call, shard: inv.Shard, n: done}
	switch done {
	case 0:
	case len(ev.Records):
		end.kind = evSucceeded
	default:
		end.kind = evProgress
	}
	if !w.note(l, end) {
		return 0, errSimHandler
	}
	return done, err
}
