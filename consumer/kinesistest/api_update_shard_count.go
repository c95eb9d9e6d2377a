package kinesistest

import (
	"slices"
	"time"
)

type updateShardCountInput struct {
	streamRef
	TargetShardCount *int
	ScalingType      *string
}

// apiUpdateShardCount makes the stream UPDATING and, at the end of the transition time, splits and merges until its open
// shards have equal ranges. It goes from half to double the open shards, ten times in 24 hours, within the account's
// limit (LimitExceededException).
func (s *Server) apiUpdateShardCount(c *call, in *updateShardCountInput) (any, error) {
	var v validation
	v.check(in.TargetShardCount != nil, "targetShardCount", "null", "not be null")
	v.within("targetShardCount", in.TargetShardCount, 1, 100_000)
	v.check(deref(in.ScalingType) == "UNIFORM_SCALING", "scalingType", deref(in.ScalingType), "satisfy enum value set: [UNIFORM_SCALING]")
	if err := v.err(); err != nil {
		return nil, err
	}
	st, err := s.changeable(&in.streamRef)
	if err != nil {
		return nil, err
	}
	open, target := len(st.open), *in.TargetShardCount
	switch {
	case st.onDemand:
		return nil, invalid("UpdateShardCount is not supported for stream %s in ON_DEMAND mode.", st.name)
	case target > 2*open:
		return nil, refuse("LimitExceededException", "UpdateShardCount cannot scale up over double your current open shard count. Current open shard count: %d Target shard count: %d", open, target)
	case 2*target < open:
		return nil, refuse("LimitExceededException", "UpdateShardCount cannot scale down below half your current open shard count. Current open shard count: %d Target shard count: %d", open, target)
	}
	st.scalings = slices.DeleteFunc(st.scalings, func(t time.Time) bool { return c.Time.Sub(t) >= 24*time.Hour })
	if len(st.scalings) >= 10 {
		return nil, refuse("LimitExceededException", "UpdateShardCount cannot be called more than 10 times in a rolling 24-hour period for stream %s under account %s.", st.name, account)
	}
	if err := s.admitShards(target - open); err != nil {
		return nil, err
	}
	st.scalings = append(st.scalings, c.Time)
	name := st.name
	s.during(st, updating, c.Time, func(now time.Time) { st.scale(target, now) })
	return struct {
		StreamName, StreamARN               string
		CurrentShardCount, TargetShardCount int
	}{name, arn(name), open, target}, nil
}
