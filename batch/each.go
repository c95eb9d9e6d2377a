package batch

import (
	"context"
	"sync"

	"github.com/aws/aws-lambda-go/events"
)

// Each returns a handler that calls f for one record after the other, in the order of the batch, and reports the first
// record whose call returns an error. It and everything after it come again, and the records before it do not (L36). Once
// ctx is done Each starts no further record and reports the first one that is left out.
//
// Each does not recover a panic of f. The error itself does not travel in a response: a consumer gets it as the cause of
// the failure, and follows [ErrThrottled] in it (C13); in Lambda it is lost unless f logs it. Each(nil) is nil.
func Each(f func(context.Context, events.KinesisEventRecord) error) func(context.Context, events.KinesisEvent) (events.KinesisEventResponse, error) {
	if f == nil {
		return nil
	}
	return func(ctx context.Context, ev events.KinesisEvent) (events.KinesisEventResponse, error) {
		one := narrow(ctx, ev.Records)
		for i, r := range ev.Records {
			err := context.Cause(ctx)
			if err == nil {
				err = f(one(i), r)
			}
			if err == nil {
				continue
			}
			if cs, ok := ctx.Value(causesKey{}).(*causes); ok {
				cs.add(r.Kinesis.SequenceNumber, err)
			}
			return events.KinesisEventResponse{BatchItemFailures: []events.KinesisBatchItemFailure{
				{ItemIdentifier: r.Kinesis.SequenceNumber},
			}}, nil
		}
		return events.KinesisEventResponse{}, nil
	}
}

type causesKey struct{}

// causes holds why records failed, from where the error is known to where the attempt is judged. A response cannot
// carry it. An interceptor may call the handler several times, and concurrently.
type causes struct {
	mu   sync.Mutex
	list []cause
}

type cause struct {
	id  string // sequence number
	err error
}

func (c *causes) add(id string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, cause{id, err})
}

// of returns the latest error of the record, nil if there is none.
func (c *causes) of(id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.list) - 1; i >= 0; i-- {
		if c.list[i].id == id {
			return c.list[i].err
		}
	}
	return nil
}
