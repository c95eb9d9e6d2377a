package batch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// ErrThrottled is what a handler returns, alone or wrapped, when something it needs has no capacity. The batch is tried
// again after a backoff, which doubles with each such answer in a row, and the attempt is not counted:
// Invocation.Attempt stays, and no limit of retries will end it. Inside Lambda it is an error like any other.
var ErrThrottled = errors.New("batch: throttled")

// An Invocation says what a handler may know about one attempt, beyond its event.
type Invocation struct {
	Stream  string // name of the stream
	Shard   string // shard id, "shardId-000000000007"
	Epoch   int64  // epoch of the lease on the shard: a sink that keeps the highest one it saw can refuse a stale owner
	Attempt int    // 1 for the first attempt of the batch; throttled attempts do not count
	// IteratorAge is the age of the last record when the event was handed over, at least 0. It is NoAge, which is
	// below 0, if that record has no time of arrival, and 0 if there is no record, as in a window's final call.
	IteratorAge time.Duration
	RequestID   string // a UUID, the same for all attempts of a slice; also LambdaContext.AwsRequestID
	FunctionARN string // also LambdaContext.InvokedFunctionArn; the group's name unless configured
	// Subs holds one number per record of the event: the index of the record in its KPL aggregate, or NoSub. It is nil
	// if no record comes from an aggregate. Behind an interceptor it belongs to the records that were passed on.
	Subs []int64
}

type invocationKey struct{}

// An invocation is a context that knows an Invocation.
type invocation struct {
	context.Context //nolint:containedctx // it is one itself

	inv    Invocation
	lambda lambdacontext.LambdaContext
}

// Value implements context.Context.
func (c *invocation) Value(key any) any {
	if key == (invocationKey{}) {
		return &c.inv
	}
	return c.Context.Value(key)
}

// String implements fmt.Stringer.
func (c *invocation) String() string { return fmt.Sprint(c.Context) + ".Invocation" }

// NewContext returns a ctx that carries inv for [InvocationFrom], and RequestID and FunctionARN for
// lambdacontext.FromContext. Tests of handlers use it as consumers do.
func NewContext(ctx context.Context, inv Invocation) context.Context {
	c := &invocation{inv: inv, lambda: lambdacontext.LambdaContext{AwsRequestID: inv.RequestID, InvokedFunctionArn: inv.FunctionARN}}
	c.Context = lambdacontext.NewContext(ctx, &c.lambda)
	return c
}

// InvocationFrom returns what a consumer says about the attempt that ctx belongs to. ok is false, and the Invocation
// zero, inside Lambda and wherever else no consumer called the handler.
func InvocationFrom(ctx context.Context) (inv Invocation, ok bool) {
	p, ok := ctx.Value(invocationKey{}).(*Invocation)
	if !ok {
		return Invocation{}, false
	}
	inv = *p
	if subs, ok := ctx.Value(subsKey{}).(*subRecords); ok {
		inv.Subs = subs.index
	}
	return inv, true
}
