package kinesistest

import "time"

type mergeShardsInput struct {
	streamRef
	ShardToMerge         *string
	AdjacentShardToMerge *string
}

func (in *mergeShardsInput) shardID() string { return deref(in.ShardToMerge) }

// apiMergeShards makes the stream UPDATING and merges two open shards at the end of the transition time. They are
// adjacent, the lower one first (InvalidArgumentException), and the stream is ACTIVE (ResourceInUseException). The first
// named becomes the child's parent, the second its adjacent parent.
func (s *Server) apiMergeShards(c *call, in *mergeShardsInput) (any, error) {
	var v validation
	v.required("shardToMerge", in.ShardToMerge)
	v.required("adjacentShardToMerge", in.AdjacentShardToMerge)
	if err := v.err(); err != nil {
		return nil, err
	}
	st, err := s.changeable(&in.streamRef)
	if err != nil {
		return nil, err
	}
	a, err := st.openShard(*in.ShardToMerge)
	if err != nil {
		return nil, err
	}
	b, err := st.openShard(*in.AdjacentShardToMerge)
	if err != nil {
		return nil, err
	}
	if !adjacent(a, b) || b.start.less(a.start) { // the service wants the lower one first
		return nil, invalid("Shards %s and %s in stream %s under account %s are not an adjacent pair of shards eligible for merging", a.id, b.id, st.name, account)
	}
	s.during(st, updating, c.Time, func(now time.Time) { st.merge(a, b, now) })
	return nil, nil
}
