package kinesistest

import "time"

type splitShardInput struct {
	streamRef
	ShardToSplit       *string
	NewStartingHashKey *string
}

func (in *splitShardInput) shardID() string { return deref(in.ShardToSplit) }

// apiSplitShard makes the stream UPDATING and splits an open shard at the end of the transition time; until then the
// shard takes records. The new hash key is at least two above the shard's first and below its last, and the shard open
// (InvalidArgumentException); the stream is ACTIVE (ResourceInUseException).
func (s *Server) apiSplitShard(c *call, in *splitShardInput) (any, error) {
	var v validation
	v.required("shardToSplit", in.ShardToSplit)
	v.required("newStartingHashKey", in.NewStartingHashKey)
	if in.NewStartingHashKey != nil {
		v.check(isNumber(*in.NewStartingHashKey, 39), "newStartingHashKey", *in.NewStartingHashKey, `satisfy regular expression pattern: 0|([1-9]\d{0,38})`)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	st, err := s.changeable(&in.streamRef)
	if err != nil {
		return nil, err
	}
	sh, err := st.openShard(*in.ShardToSplit)
	if err != nil {
		return nil, err
	}
	at, ok := parseHash(*in.NewStartingHashKey)
	if !ok || !sh.start.add(1).less(at) || !at.less(sh.end) {
		return nil, invalid("NewStartingHashKey %s used in SplitShard() on shard %s in stream %s under account %s is not both greater than one plus the shard's StartingHashKey %s and less than the shard's EndingHashKey %s.",
			*in.NewStartingHashKey, sh.id, st.name, account, sh.start, sh.end)
	}
	if err := s.admitShards(1); err != nil {
		return nil, err
	}
	s.during(st, updating, c.Time, func(now time.Time) { st.split(sh, at, now) })
	return nil, nil
}

// openShard returns a shard that can be split or merged.
func (st *streamState) openShard(id string) (*shard, error) {
	sh := st.shard(id)
	if sh == nil {
		return nil, noShard(st, id)
	}
	if !sh.closed.IsZero() {
		return nil, invalid("Shard %s in stream %s under account %s has already been merged or split, and thus is not eligible for merging or splitting.", id, st.name, account)
	}
	return sh, nil
}
