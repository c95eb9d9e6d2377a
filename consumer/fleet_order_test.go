package consumer_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/consumer"
)

// A worker cannot reach its store for a while, in the middle of batches, and comes back: in time, or when another one has its
// shards. Whatever its handlers do when their contexts end, the records of a key come in order and one after the other, to which
// inFleet holds them all; none is given up; and where the worker was in time, none comes twice.
func TestFleetOrderOverALapse(t *testing.T) {
	for what, heed := range map[string]func(ctx context.Context) context.Context{
		"fail at once": func(ctx context.Context) context.Context { return ctx },
		"fail later": func(ctx context.Context) context.Context {
			later, cancel := context.WithCancel(context.WithoutCancel(ctx))
			context.AfterFunc(ctx, func() { time.AfterFunc(1500*time.Millisecond, cancel) })
			return later
		},
		"succeed later": context.WithoutCancel,
	} {
		for how, away := range map[string]time.Duration{"in time": 7200 * time.Millisecond, "too late": 16 * time.Second} {
			t.Run(fmt.Sprintf("handlers %s, back %s", what, how), func(t *testing.T) {
				t.Parallel()
				inFleet(t, 2, func(f *fleet) {
					f.work = 2 * time.Second
					tr := new(trace)
					cut := 0
					opts := consumer.Options(consumer.WithParallelizationFactor(4), consumer.WithBatchSize(10_000), consumer.WithMaxRetryAttempts(0), consumer.WithOnFailure(tr))
					one := f.startAs("one", func(r *replica) wholeBatch {
						return func(ctx context.Context, ev events.KinesisEvent) error {
							err := r.handle(heed(ctx), ev)
							if ctx.Err() != nil {
								f.mu.Lock()
								cut++
								f.mu.Unlock()
							}
							return err
						}
					}, opts)
					two := f.start("two", opts)
					f.balanced(30*time.Second, 1, one, two)
					time.Sleep(10 * time.Second)
					before := owners(t, f.store)
					one.kill()
					time.Sleep(away)
					one.link.cut.Store(false)
					time.Sleep(10 * time.Second)
					if after := owners(t, f.store); (after == before) != (how == "in time") {
						t.Errorf("owners were\n%s and are\n%s", before, after)
					}
					f.end(one, two)
					if cut == 0 {
						t.Error("no handler ran when the validity ended")
					}
					want(t, "documents", tr.documents())
					if how == "in time" {
						f.unrepeated()
					}
				})
			})
		}
	}
}
