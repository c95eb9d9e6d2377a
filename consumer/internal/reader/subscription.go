package reader

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/shardlane/shardlane/consumer/internal/wire"
)

// A subscription is one that has begun.
type subscription struct {
	out     *kinesis.SubscribeToShardOutput
	stream  *kinesis.SubscribeToShardEventStream
	guard   *wire.Guard
	request context.Context
	cancel  context.CancelCauseFunc
	until   time.Time // it is renewed then
	served  bool      // an event has come
}

// open makes a call, with so much patience until its first event, the initial-response. A client that does not return 2 s after the
// end of its context is left behind, with what it returns later: see wire.Guard.
func open(ctx context.Context, p Pusher, in *kinesis.SubscribeToShardInput, patience time.Duration) (*subscription, error) {
	request, cancel := context.WithCancelCause(ctx)
	cut := func() { cancel(errSilent) }
	sub := &subscription{guard: &wire.Guard{Idle: callTimeout, Cut: cut}, request: request, cancel: cancel}
	limit := time.AfterFunc(patience, cut)
	defer limit.Stop()
	type reply struct {
		out *kinesis.SubscribeToShardOutput
		err error
	}
	answered, left := make(chan reply), make(chan struct{})
	go func() {
		out, err := p.SubscribeToShard(request, in, NoRetries, sub.guard.Option)
		select {
		case answered <- reply{out, err}:
		case <-left:
			if stream := streamOf(out); stream != nil {
				_ = stream.Close()
			}
		}
	}()
	var r reply
	select {
	case r = <-answered:
	case <-request.Done():
		late := time.NewTimer(lateTime)
		defer late.Stop()
		select {
		case r = <-answered:
		case <-late.C:
			close(left)
			r.err = context.Cause(request)
		}
	}
	sub.out, sub.stream = r.out, streamOf(r.out)
	if r.err == nil && sub.stream == nil {
		r.err = errNoStream
	}
	if r.err != nil {
		err := sub.failure(r.err)
		cancel(nil)
		return nil, err
	}
	return sub, nil
}

// lateTime is what a client gets to return, and a stream to end, behind the end of its context.
const lateTime = 2 * time.Second

// streamOf is the event stream of a reply, nil if it has none.
func streamOf(out *kinesis.SubscribeToShardOutput) *kinesis.SubscribeToShardEventStream {
	if out == nil || out.GetStream() == nil || out.GetStream().Reader == nil {
		return nil
	}
	return out.GetStream()
}

// next waits for an event. It returns nil at the end of the stream, with the error of one that was cut, and when the
// subscription is to be renewed.
func (sub *subscription) next(ctx context.Context) (*types.SubscribeToShardEvent, error) {
	renew := time.NewTimer(time.Until(sub.until))
	defer renew.Stop()
	if !sub.guard.Begun() { // nobody sees the bytes
		idle := time.AfterFunc(callTimeout, sub.guard.Cut)
		defer idle.Stop()
	}
	select {
	case ev, ok := <-sub.stream.Events():
		if !ok {
			return nil, sub.failure(sub.stream.Err())
		}
		pushed, ok := ev.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent)
		if !ok {
			return nil, fmt.Errorf("the event stream has an unknown event, %T", ev)
		}
		return &pushed.Value, nil
	case <-renew.C:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-sub.request.Done(): // a stream that does not end with its context
		return nil, context.Cause(sub.request)
	}
}

// failure is why a stream ended, as far as the SDK's error is known to be no better.
func (sub *subscription) failure(err error) error {
	if sub.request.Err() != nil {
		return context.Cause(sub.request)
	}
	if wrong := sub.guard.Err(); wrong != nil {
		return wrong
	}
	return err
}

// close ends the stream, and waits until the SDK's decoder has. What it had decoded comes again.
func (sub *subscription) close() {
	sub.cancel(nil)
	_ = sub.stream.Close()
	late := time.NewTimer(lateTime)
	defer late.Stop()
	for {
		select {
		case _, more := <-sub.stream.Events():
			if !more {
				return
			}
		case <-late.C:
			return
		}
	}
}
