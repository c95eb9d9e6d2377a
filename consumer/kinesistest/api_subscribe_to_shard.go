package kinesistest

import "time"

type subscribeToShardInput struct {
	ConsumerARN      *string
	ShardId          *string
	StartingPosition *struct {
		Type           *string
		SequenceNumber *string
		Timestamp      *timestamp
	}
}

func (in *subscribeToShardInput) reference() *streamRef {
	return (&consumerRef{ConsumerARN: in.ConsumerARN}).reference()
}

func (in *subscribeToShardInput) shardID() string { return deref(in.ShardId) }

// takeover is how long a subscription is safe from another one of the same consumer and shard.
const takeover = 5 * time.Second

// apiSubscribeToShard begins a subscription of an ACTIVE consumer (ResourceInUseException) to a shard, from a position as
// GetShardIterator has it. Within 5 seconds of the last one that succeeded, also when that has ended since, it is refused
// (ResourceInUseException); later it takes the old one over. With read limits on, a call within a second of the one before
// is refused (LimitExceededException) and counts for nothing.
func (s *Server) apiSubscribeToShard(c *call, in *subscribeToShardInput) (any, error) {
	var v validation
	v.required("consumerARN", in.ConsumerARN)
	v.required("shardId", in.ShardId)
	if in.ShardId != nil {
		v.name("shardId", *in.ShardId)
	}
	var p position
	if at := in.StartingPosition; at == nil {
		v.check(false, "startingPosition", "null", "not be null")
	} else {
		v.required("startingPosition.type", at.Type)
		p = position{deref(at.Type), at.SequenceNumber, at.Timestamp}
		p.validate(&v, "startingPosition.type", "startingPosition.sequenceNumber", s.settings.prefix)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	if err := p.complete(); err != nil {
		return nil, err
	}
	st, sc, err := s.consumer(&consumerRef{ConsumerARN: in.ConsumerARN})
	if err != nil {
		return nil, err
	}
	if st.status == deleting {
		return nil, notFound(st.name)
	}
	if sc.status != active {
		return nil, refuse("ResourceInUseException", "Consumer %s with creation timestamp %d under stream: %s, account %s is not in ACTIVE status.", sc.name, sc.created.Unix(), st.name, account)
	}
	sh := st.shard(*in.ShardId)
	if sh == nil {
		return nil, noShard(st, *in.ShardId)
	}
	now := time.Now()
	if s.settings.readLimits {
		if asked, ok := sc.asked[sh]; ok && now.Sub(asked) < time.Second {
			return nil, refuse("LimitExceededException", "Rate exceeded for consumer %s and shard %s.", *in.ConsumerARN, sh.id)
		}
		sc.asked[sh] = now
	}
	index, err := s.index(c, st, sh, p)
	if err != nil {
		return nil, err
	}
	if last := sc.subscribed[sh]; last != nil && now.Sub(last.began) < takeover {
		return nil, anotherSubscription(*in.ConsumerARN)
	}
	sub := &subscription{
		stream: st, consumer: sc, shard: sh, began: now, ahead: s.settings.offset, next: now, quiet: now,
		at: iterator{Stream: st.name, Birth: st.birth, Shard: sh.id, Index: index},
	}
	sc.subscribed[sh] = sub
	sh.stir() // the one that is taken over
	c.subscription = sub
	if c.faults.noInitial {
		return func() []byte { return nil }, nil
	}
	return func() []byte { return eventFrame("initial-response", []byte("{}")) }, nil
}

func anotherSubscription(consumer string) error {
	return refuse("ResourceInUseException", "Another active subscription exists for this consumer: %s", consumer)
}
