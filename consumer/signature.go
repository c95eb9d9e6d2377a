package consumer

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/shardlane/shardlane/consumer/internal/reader"
	"github.com/shardlane/shardlane/consumer/internal/wire"
)

const (
	signatureTolerance = 4 * time.Minute // of the service, less a minute for the way
	signatureTries     = 5               // before a signature that is refused is taken for that of a wrong secret
)

// A punctual client makes a call that is refused for its signature once more, at once: the reply says what time it is,
// and that is what the second one is signed with. Newer SDKs do so themselves, with the retries that are switched off
// here; they have learnt the time from the reply, too, and are left alone then. A panic of the client is an error.
type punctual struct {
	Client
	ahead atomic.Int64 // what the service's clock was ahead of this machine's at the last refusal
}

func (c *punctual) DescribeStreamSummary(ctx context.Context, in *kinesis.DescribeStreamSummaryInput, opts ...func(*kinesis.Options)) (*kinesis.DescribeStreamSummaryOutput, error) {
	return onTime(ctx, c, c.Client.DescribeStreamSummary, in, opts)
}

func (c *punctual) ListShards(ctx context.Context, in *kinesis.ListShardsInput, opts ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error) {
	return onTime(ctx, c, c.Client.ListShards, in, opts)
}

func (c *punctual) GetShardIterator(ctx context.Context, in *kinesis.GetShardIteratorInput, opts ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error) {
	return onTime(ctx, c, c.Client.GetShardIterator, in, opts)
}

func (c *punctual) GetRecords(ctx context.Context, in *kinesis.GetRecordsInput, opts ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error) {
	return onTime(ctx, c, c.Client.GetRecords, in, opts)
}

// A pusher is a punctual client that makes the calls of fan-out, too.
type pusher struct {
	*punctual
	its FanOutClient
}

func (c *pusher) RegisterStreamConsumer(ctx context.Context, in *kinesis.RegisterStreamConsumerInput, opts ...func(*kinesis.Options)) (*kinesis.RegisterStreamConsumerOutput, error) {
	return onTime(ctx, c.punctual, c.its.RegisterStreamConsumer, in, opts)
}

func (c *pusher) DescribeStreamConsumer(ctx context.Context, in *kinesis.DescribeStreamConsumerInput, opts ...func(*kinesis.Options)) (*kinesis.DescribeStreamConsumerOutput, error) {
	return onTime(ctx, c.punctual, c.its.DescribeStreamConsumer, in, opts)
}

func (c *pusher) ListStreamConsumers(ctx context.Context, in *kinesis.ListStreamConsumersInput, opts ...func(*kinesis.Options)) (*kinesis.ListStreamConsumersOutput, error) {
	return onTime(ctx, c.punctual, c.its.ListStreamConsumers, in, opts)
}

func (c *pusher) DeregisterStreamConsumer(ctx context.Context, in *kinesis.DeregisterStreamConsumerInput, opts ...func(*kinesis.Options)) (*kinesis.DeregisterStreamConsumerOutput, error) {
	return onTime(ctx, c.punctual, c.its.DeregisterStreamConsumer, in, opts)
}

func (c *pusher) SubscribeToShard(ctx context.Context, in *kinesis.SubscribeToShardInput, opts ...func(*kinesis.Options)) (*kinesis.SubscribeToShardOutput, error) {
	return onTime(ctx, c.punctual, c.its.SubscribeToShard, in, opts)
}

func onTime[I, O any](ctx context.Context, c *punctual, call func(context.Context, I, ...func(*kinesis.Options)) (O, error), in I, opts []func(*kinesis.Options)) (O, error) {
	try := func() (O, error) { return call(ctx, in, append(c.signed(opts), wire.Plain)...) }
	out, err := contained("the client", try)
	if !signatureRefused(err) || ctx.Err() != nil {
		return out, err
	}
	ahead, _ := serviceAhead(err)
	c.ahead.Store(int64(ahead))
	return contained("the client", try)
}

// signed adds to opts that requests are signed with the service's time, if it differs from this machine's.
func (c *punctual) signed(opts []func(*kinesis.Options)) []func(*kinesis.Options) {
	ahead := time.Duration(c.ahead.Load())
	if ahead.Abs() <= signatureTolerance {
		return opts
	}
	return append(opts, func(o *kinesis.Options) {
		if o.HTTPSignerV4 == nil || o.Credentials == nil {
			return
		}
		again := func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
			if r, ok := in.Request.(*smithyhttp.Request); ok {
				if err := resign(ctx, o, r.Request, time.Now().Add(ahead)); err != nil {
					return middleware.FinalizeOutput{}, middleware.Metadata{}, err
				}
			}
			return next.HandleFinalize(ctx, in)
		}
		o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
			return s.Finalize.Insert(middleware.FinalizeMiddlewareFunc("shardlane.Punctual", again), "Signing", middleware.After)
		})
	})
}

// resign signs a signed request with another time, unless its own is near enough.
func resign(ctx context.Context, o *kinesis.Options, r *http.Request, at time.Time) error {
	_, scope, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	part := strings.Split(scope, "/") // key ID, date, region, service, …
	signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || len(part) < 5 || at.Sub(signed).Abs() < time.Minute {
		return nil
	}
	creds, err := o.Credentials.Retrieve(ctx)
	if err != nil {
		return err
	}
	return o.HTTPSignerV4.SignHTTP(ctx, creds, r, v4.GetPayloadHash(ctx), part[3], part[2], at)
}

// signatureRefused tells whether a call was refused for its signature: a wrong secret does that, and a wrong clock.
func signatureRefused(err error) bool {
	switch reader.Code(err) {
	case "InvalidSignatureException", "SignatureDoesNotMatch", "RequestTimeTooSkewed", "RequestExpired":
		return true
	}
	return false
}

// serviceAhead is what the service's clock is ahead of this machine's, if err is a reply that says what time it is.
func serviceAhead(err error) (ahead time.Duration, known bool) {
	var reply *smithyhttp.ResponseError
	if !errors.As(err, &reply) || reply.Response == nil {
		return 0, false
	}
	at, err := http.ParseTime(reply.Response.Header.Get("Date"))
	if err != nil {
		return 0, false
	}
	return time.Until(at), true
}

// clockOff tells whether err is a reply that shows that this machine's clock is too far off for a signature.
func clockOff(err error) bool {
	ahead, known := serviceAhead(err)
	return known && ahead.Abs() > signatureTolerance
}
