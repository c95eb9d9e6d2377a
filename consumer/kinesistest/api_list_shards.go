package kinesistest

import "time"

type listShardsInput struct {
	streamRef
	NextToken               *string
	ExclusiveStartShardId   *string
	MaxResults              *int
	StreamCreationTimestamp *timestamp
	ShardFilter             *shardFilter
}

type shardFilter struct {
	Type      string
	ShardId   *string    `json:",omitempty"`
	Timestamp *timestamp `json:",omitempty"`
}

// maxShards is the size of a page, whatever MaxResults asks for.
const maxShards = 1000

// apiListShards tells the shards of a stream in the order of their ids, open or closed, but none past retention: at
// most MaxResults of them, and 1,000 whatever it says. A NextToken stands for the stream and the filter, goes on after
// the last shard of its page, and lives for 5 minutes (ExpiredNextTokenException); with it, StreamName,
// StreamCreationTimestamp, ExclusiveStartShardId and ShardFilter are refused (InvalidArgumentException), and StreamARN
// is only compared. A StreamCreationTimestamp that is not the stream's, to the second, is one of a stream that does not
// exist (ResourceNotFoundException). The stream is ACTIVE or UPDATING, else ResourceInUseException.
func (s *Server) apiListShards(c *call, in *listShardsInput) (any, error) {
	var v validation
	v.within("maxResults", in.MaxResults, 1, 10_000)
	if err := v.err(); err != nil {
		return nil, err
	}
	var token listToken
	if in.NextToken != nil {
		if in.StreamName != nil {
			return nil, invalid("NextToken and StreamName cannot be provided together.")
		}
		if in.ExclusiveStartShardId != nil || in.StreamCreationTimestamp != nil || in.ShardFilter != nil {
			return nil, invalid("NextToken cannot be provided together with ExclusiveStartShardId, StreamCreationTimestamp or ShardFilter.")
		}
		var err error
		if token, err = parseListToken(*in.NextToken); err != nil {
			return nil, invalid("NextToken is invalid.")
		}
		if in.StreamARN != nil && *in.StreamARN != arn(token.Stream) {
			return nil, invalid("NextToken is not of stream %s.", *in.StreamARN)
		}
		if issued := time.UnixMilli(token.Issued); c.Time.Sub(issued) > expiry {
			return nil, refuse("ExpiredNextTokenException", "NextToken expired. The token was created at time %s while right now it is %s.", issued.UTC(), c.Time)
		}
		in.streamRef = streamRef{StreamName: &token.Stream}
	} else {
		token = listToken{After: deref(in.ExclusiveStartShardId), Filter: in.ShardFilter}
	}
	st, err := s.stream(&in.streamRef)
	if err != nil {
		return nil, err
	}
	if in.StreamCreationTimestamp != nil && time.Time(*in.StreamCreationTimestamp).Unix() != st.created.Unix() ||
		in.NextToken != nil && token.Birth != st.birth {
		return nil, notFound(st.name)
	}
	if st.status == creating || st.status == deleting {
		return nil, inUse(st)
	}
	match, err := token.Filter.compile(st)
	if err != nil {
		return nil, err
	}
	limit := maxShards
	if in.MaxResults != nil {
		limit = min(*in.MaxResults, limit)
	}
	if c.faults.page > 0 {
		limit = min(limit, c.faults.page)
	}
	out := struct {
		Shards    []shardBody
		NextToken string `json:",omitempty"`
	}{Shards: []shardBody{}}
	for _, sh := range st.shards {
		if sh.expired || sh.id <= token.After || !match(sh) || c.hides(sh) {
			continue
		}
		if len(out.Shards) == limit {
			next := listToken{st.name, st.birth, out.Shards[limit-1].ShardId, token.Filter, c.Time.UnixMilli()}
			out.NextToken = next.String()
			break
		}
		body := sh.body(s.settings.prefix)
		if c.faults.orphans {
			body.ParentShardId, body.AdjacentParentShardId = "", ""
		}
		out.Shards = append(out.Shards, body)
	}
	return out, nil
}

// hides reports whether a shard is too young to be listed. One from before the clock was set back is not.
func (c *call) hides(sh *shard) bool {
	age := c.Time.Sub(sh.created)
	return age >= 0 && age < c.faults.late
}

// compile returns which shards the filter lets through; a nil filter lets all through.
func (f *shardFilter) compile(st *streamState) (func(*shard) bool, error) {
	if f == nil {
		return func(*shard) bool { return true }, nil
	}
	timed := f.Type == "AT_TIMESTAMP" || f.Type == "FROM_TIMESTAMP"
	switch {
	case timed && f.Timestamp == nil:
		return nil, invalid("Timestamp must be provided with ShardFilter type %s.", f.Type)
	case !timed && f.Timestamp != nil:
		return nil, invalid("Timestamp cannot be provided with ShardFilter type %s.", f.Type)
	case f.Type == "AFTER_SHARD_ID" && f.ShardId == nil:
		return nil, invalid("ShardId must be provided with ShardFilter type %s.", f.Type)
	case f.Type != "AFTER_SHARD_ID" && f.ShardId != nil:
		return nil, invalid("ShardId cannot be provided with ShardFilter type %s.", f.Type)
	}
	at := st.horizon
	if timed && time.Time(*f.Timestamp).After(at) {
		at = time.Time(*f.Timestamp)
	}
	open := func(sh *shard) bool { return sh.closed.IsZero() }
	from := func(sh *shard) bool { return open(sh) || !sh.closed.Before(at) }
	switch f.Type {
	case "AFTER_SHARD_ID":
		return func(sh *shard) bool { return sh.id > *f.ShardId }, nil
	case "AT_LATEST":
		return open, nil
	case "FROM_TRIM_HORIZON", "FROM_TIMESTAMP":
		return from, nil
	case "AT_TRIM_HORIZON", "AT_TIMESTAMP":
		return func(sh *shard) bool { return !sh.created.After(at) && from(sh) }, nil
	}
	var v validation
	v.check(false, "shardFilter.type", f.Type, "satisfy enum value set: [AFTER_SHARD_ID, AT_TRIM_HORIZON, FROM_TRIM_HORIZON, AT_LATEST, AT_TIMESTAMP, FROM_TIMESTAMP]")
	return nil, v.err()
}
