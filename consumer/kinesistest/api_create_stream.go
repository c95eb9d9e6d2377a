package kinesistest

import "time"

type createStreamInput struct {
	StreamName        *string
	ShardCount        *int
	StreamModeDetails *struct{ StreamMode string }

	RecordDistributionStrategy *Distribution
}

func (in *createStreamInput) reference() *streamRef { return &streamRef{StreamName: in.StreamName} }

// apiCreateStream makes a stream that is CREATING, without shards, and ACTIVE after the transition time. It refuses a
// name that exists, also while DELETING (ResourceInUseException), a sixth stream that is CREATING and more shards than
// the account may have (LimitExceededException), and a shard count that is missing or does not fit the mode
// (InvalidArgumentException). A stream ON_DEMAND has 4 shards, which stay as they are, and may have the strategy AUTO,
// which others are refused (InvalidArgumentException).
func (s *Server) apiCreateStream(c *call, in *createStreamInput) (any, error) {
	onDemand := in.StreamModeDetails != nil && in.StreamModeDetails.StreamMode == "ON_DEMAND"
	var v validation
	v.required("streamName", in.StreamName)
	if in.StreamName != nil {
		v.name("streamName", *in.StreamName)
	}
	v.within("shardCount", in.ShardCount, 1, 100_000)
	distribution := UserPartitionKey
	if in.RecordDistributionStrategy != nil {
		distribution = *in.RecordDistributionStrategy
		distribution.validate(&v)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	shards := 4 // what the service gives an on-demand stream
	switch {
	case !onDemand && in.ShardCount == nil:
		return nil, invalid("ShardCount must be provided for a stream in PROVISIONED mode.")
	case onDemand && in.ShardCount != nil:
		return nil, invalid("ShardCount must not be provided for a stream in ON_DEMAND mode.")
	case !onDemand && distribution == Auto:
		return nil, autoProvisioned()
	case !onDemand:
		shards = *in.ShardCount
	}
	if s.streams[*in.StreamName] != nil {
		return nil, refuse("ResourceInUseException", "Stream %s under account %s already exists.", *in.StreamName, account)
	}
	if s.unsettled(creating) >= 5 {
		return nil, refuse("LimitExceededException", "Only 5 streams can be CREATING at a time under account %s.", account)
	}
	if err := s.admitShards(shards); err != nil {
		return nil, err
	}
	st := s.newStream(*in.StreamName, 0, c.Time)
	st.onDemand, st.distribution = onDemand, distribution
	s.streams[st.name] = st
	s.during(st, creating, c.Time, func(at time.Time) { st.populate(shards, at) })
	return nil, nil
}

// unsettled counts the streams in a status.
func (s *Server) unsettled(status string) (n int) {
	for _, st := range s.streams {
		if st.status == status {
			n++
		}
	}
	return n
}

// admitShards refuses more open shards than the account may have.
func (s *Server) admitShards(more int) error {
	open := 0
	for _, st := range s.streams {
		open += len(st.open)
	}
	if open+more > s.settings.shardLimit {
		return refuse("LimitExceededException", "This request would exceed the shard limit for the account %s in %s. Current shard count for the account: %d. Limit: %d. Number of additional shards that would have resulted from this request: %d.",
			account, region, open, s.settings.shardLimit, more)
	}
	return nil
}
