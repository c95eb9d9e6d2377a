package batch

import (
	"context"

	"github.com/aws/aws-lambda-go/events"
)

// Each returns a handler that calls f for one record after the other, in the order of the batch, and reports the first
// record whose call returns an error. It and everything after it come again, and the records before it do not. Once
// ctx is done Each starts no further record and reports the first one that is left out.
//
// Each does not recover a panic of f. The error itself does not travel in a response: a consumer gets it as the cause of
// the failure, and follows [ErrThrottled] in it; in Lambda it is lost unless f logs it. Each(nil) is nil.
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
			if a := attemptOf(ctx); a != nil {
				a.add(r.Kinesis.SequenceNumber, err)
			}
			return events.KinesisEventResponse{BatchItemFailures: []events.KinesisBatchItemFailure{
				{ItemIdentifier: r.Kinesis.SequenceNumber},
			}}, nil
		}
		return events.KinesisEventResponse{}, nil
	}
}
