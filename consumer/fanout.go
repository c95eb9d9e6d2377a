package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/shardlane/shardlane/consumer/internal/lease"
	"github.com/shardlane/shardlane/consumer/internal/reader"
	"github.com/shardlane/shardlane/metrics"
)

const (
	enlistPause = time.Second      // between two looks at a stream consumer that is not ACTIVE
	enlistTime  = time.Minute      // that it takes to be
	enlistAgain = 10 * time.Second // from one search for it to the next
	priceOf     = "it is paid for each hour and shard of the stream until consumer.DeregisterFanOut removes it, and for each GB that is read through it"
)

// DeregisterFanOut removes the registration of a stream consumer, which costs money for as long as it stands: see
// [WithEnhancedFanOut]. The stream is given by name or ARN. Stop all workers that read through it first: one that runs
// registers it again. Where there is no such stream consumer, DeregisterFanOut returns nil. It returns when the service has
// taken the call, which ends the payment; some seconds later the name is free. Other errors of the service are returned in an
// [*Error], after the retries that the client is set to.
func DeregisterFanOut(ctx context.Context, c FanOutClient, stream, name string) error {
	failed := func(op string, err error) error { return newError(stream, "", op, err, "") }
	_, arn := reader.StreamID(stream)
	if arn == nil {
		out, err := c.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &stream})
		if err != nil {
			return failed("DescribeStreamSummary", err)
		}
		if out.StreamDescriptionSummary == nil || aws.ToString(out.StreamDescriptionSummary.StreamARN) == "" {
			return failed("DescribeStreamSummary", errors.New("the reply names no stream ARN"))
		}
		arn = out.StreamDescriptionSummary.StreamARN
	}
	_, err := c.DescribeStreamConsumer(ctx, &kinesis.DescribeStreamConsumerInput{StreamARN: arn, ConsumerName: &name})
	if err == nil {
		_, err = c.DeregisterStreamConsumer(ctx, &kinesis.DeregisterStreamConsumerInput{StreamARN: arn, ConsumerName: &name})
	}
	if err == nil || reader.Code(err) == "ResourceNotFoundException" {
		return nil
	}
	return failed("DeregisterStreamConsumer", err)
}

// enrolment is what is known of the stream consumer that shards are read through.
type enrolment struct {
	search chan struct{} // holds one element while one looks for it
	told   bool          // that it is there, and paid for; belongs to who holds search
	asked  time.Time     // likewise
	warned bool          // of those that nobody reads through; belongs to open
	stream string        // the stream's ARN; set by open

	arn atomic.Pointer[string] // nil: there is none
}

// Consumer implements reader.Registry.
func (s *stream) Consumer() string { return aws.ToString(s.enrolled.arn.Load()) }

// Missing implements reader.Registry: it looks for the stream consumer again, which another worker may have registered anew,
// and registers it if there is none. Shards that ask at one time share the search.
func (s *stream) Missing(ctx context.Context, arn string) {
	e := &s.enrolled
	select {
	case e.search <- struct{}{}:
		defer func() { <-e.search }()
	case <-ctx.Done():
		return
	}
	if s.Consumer() == arn && time.Since(e.asked) >= enlistAgain {
		_ = s.find(ctx, enlistAgain)
	}
}

// enlist finds or registers the stream consumer, where shards are pushed. With WithPollingFallback what waiting may mend is
// waited for later, when shards need it.
func (s *stream) enlist(ctx context.Context, stream string) error {
	if s.enrolled.stream = stream; !s.cfg.pushes() {
		return nil
	}
	if err := s.find(ctx, enlistTime); err != nil && (s.cfg.fallback == 0 || permanent(err)) {
		return err
	}
	if arn := s.Consumer(); arn != "" {
		s.src.StreamARN = arn // L61
	}
	return nil
}

// find looks for the stream consumer, registers it if need be, and waits until it is ACTIVE, as long as limit says.
func (s *stream) find(ctx context.Context, limit time.Duration) error {
	e := &s.enrolled
	defer func() { e.asked = time.Now() }()
	for until := time.Now().Add(limit); ; {
		status, arn, err := s.lookUp(ctx)
		switch {
		case err != nil:
			return err
		case status == types.ConsumerStatusActive && arn != "":
			e.arn.Store(&arn)
			s.tell.Mend("DescribeStreamConsumer", "RegisterStreamConsumer")
			return nil
		case time.Now().After(until):
			return s.failed("DescribeStreamConsumer", fmt.Errorf("the stream consumer is %s, and not ACTIVE, after %v", status, limit), "it is looked at again")
		}
		if !sleep(ctx, nil, enlistPause) {
			return ctx.Err()
		}
	}
}

// lookUp returns the status of the stream consumer, and its ARN. One that is not there is registered, if it has a name.
func (s *stream) lookUp(ctx context.Context) (types.ConsumerStatus, string, error) {
	failed := func(op string, err error, hint string) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return s.failed(op, err, hint)
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	e, name := &s.enrolled, s.cfg.fanOut
	in := &kinesis.DescribeStreamConsumerInput{ConsumerARN: &s.cfg.consumerARN}
	if s.cfg.consumerARN == "" {
		in = &kinesis.DescribeStreamConsumerInput{StreamARN: &e.stream, ConsumerName: &name}
	}
	out, err := s.fanOut.DescribeStreamConsumer(call, in, reader.NoRetries)
	switch {
	case err == nil && out.ConsumerDescription == nil:
		return "", "", failed("DescribeStreamConsumer", errors.New("the reply describes no stream consumer"), "")
	case err == nil:
		d := out.ConsumerDescription
		if !e.told {
			e.told = true
			s.tell.Event(metrics.FanOutRegistration, nil, fmt.Sprintf("shards are read through the stream consumer %s, which is registered: %s", aws.ToString(d.ConsumerName), priceOf))
		}
		return d.ConsumerStatus, aws.ToString(d.ConsumerARN), nil
	case reader.Code(err) != "ResourceNotFoundException":
		return "", "", failed("DescribeStreamConsumer", err, "")
	case s.cfg.consumerARN != "":
		return "", "", failed("DescribeStreamConsumer", fmt.Errorf("%w: %w", ErrStreamNotFound, err),
			"the stream has no such stream consumer: correct the ARN, or give the stream's and WithEnhancedFanOut, which registers one")
	}
	e.told = true
	s.tell.Event(metrics.FanOutRegistration, nil, fmt.Sprintf("the stream consumer %s is being registered: %s", name, priceOf)) // before it costs anything
	made, err := s.fanOut.RegisterStreamConsumer(call, &kinesis.RegisterStreamConsumerInput{StreamARN: &e.stream, ConsumerName: &name}, reader.NoRetries)
	switch {
	case reader.Code(err) == "ResourceInUseException": // another worker was first, or the stream is being changed
		return types.ConsumerStatusCreating, "", nil
	case err != nil:
		return "", "", failed("RegisterStreamConsumer", err, registering(err))
	case made.Consumer == nil:
		return types.ConsumerStatusCreating, "", nil
	}
	return made.Consumer.ConsumerStatus, aws.ToString(made.Consumer.ConsumerARN), nil
}

// unread tells of stream consumers that the group has read through and this worker does not, if they may still be registered, and
// keeps the name of the present one in the stream's row.
func (s *stream) unread(ctx context.Context, meta *lease.Meta) error {
	mine := s.cfg.streamConsumer()
	var kept, idle []string
	for _, name := range meta.FanOut {
		if name == mine {
			continue
		}
		if gone := s.unregistered(ctx, name); gone {
			continue
		}
		kept, idle = append(kept, name), append(idle, name)
	}
	if len(idle) > 0 && !s.enrolled.warned {
		s.enrolled.warned = true
		s.tell.Event(metrics.FanOutIdle, nil, fmt.Sprintf("the group has read through stream consumers that this worker does not read through: %s; each is paid for until consumer.DeregisterFanOut removes it",
			strings.Join(idle, ", ")))
	}
	if s.cfg.pushes() {
		kept = append(kept, mine)
	}
	slices.Sort(kept)
	if slices.Equal(kept, meta.FanOut) {
		return nil
	}
	meta.FanOut = kept
	put, err := s.table().PutMeta(ctx, *meta)
	if err == nil {
		*meta = put
	}
	return err
}

// unregistered tells whether the stream has no such stream consumer for certain.
func (s *stream) unregistered(ctx context.Context, name string) bool {
	if s.fanOut == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := s.fanOut.DescribeStreamConsumer(ctx, &kinesis.DescribeStreamConsumerInput{StreamARN: &s.enrolled.stream, ConsumerName: &name}, reader.NoRetries)
	return reader.Code(err) == "ResourceNotFoundException"
}

// registering says what to do where a stream consumer cannot be registered.
func registering(err error) (hint string) {
	if reader.Code(err) == "LimitExceededException" {
		return "a stream has 20 stream consumers at most, or 50, and an account 5 that are being registered: it is tried again; remove those that nothing reads through"
	}
	return ""
}
