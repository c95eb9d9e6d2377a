package kinesistest

type getShardIteratorInput struct {
	streamRef
	ShardId                *string
	ShardIteratorType      *string
	StartingSequenceNumber *string
	Timestamp              *timestamp
}

func (in *getShardIteratorInput) shardID() string { return deref(in.ShardId) }

// apiGetShardIterator gives out an iterator of one of five types. A sequence number must be one that the shard could
// have given out (InvalidArgumentException); one that is trimmed is good, and means the oldest record there is. So does
// a time before it; a time in the future is refused (InvalidArgumentException). A shard past retention does not exist
// (ResourceNotFoundException).
func (s *Server) apiGetShardIterator(c *call, in *getShardIteratorInput) (any, error) {
	var v validation
	v.required("shardId", in.ShardId)
	v.required("shardIteratorType", in.ShardIteratorType)
	if in.ShardId != nil {
		v.name("shardId", *in.ShardId)
	}
	p := position{deref(in.ShardIteratorType), in.StartingSequenceNumber, in.Timestamp}
	p.validate(&v, "shardIteratorType", "startingSequenceNumber", s.settings.prefix)
	if err := v.err(); err != nil {
		return nil, err
	}
	if err := p.complete(); err != nil {
		return nil, err
	}
	st, err := s.readable(&in.streamRef)
	if err != nil {
		return nil, err
	}
	sh := st.shard(*in.ShardId)
	if sh == nil {
		return nil, noShard(st, *in.ShardId)
	}
	index, err := s.index(c, st, sh, p)
	if err != nil {
		return nil, err
	}
	if c.faults.noIterator && !sh.closed.IsZero() && index == len(sh.records) {
		return struct{}{}, nil
	}
	it := iterator{Stream: st.name, Birth: st.birth, Shard: sh.id, Index: index, Issued: c.Time.UnixMilli()}
	return struct{ ShardIterator string }{it.String()}, nil
}
