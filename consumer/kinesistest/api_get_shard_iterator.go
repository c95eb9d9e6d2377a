package kinesistest

import (
	"sort"
	"strings"
	"time"
)

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
	kind := deref(in.ShardIteratorType)
	switch kind {
	case "", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", "TRIM_HORIZON", "LATEST", "AT_TIMESTAMP":
	default:
		v.check(false, "shardIteratorType", kind, "satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, TRIM_HORIZON]")
	}
	if in.StartingSequenceNumber != nil {
		v.sequence("startingSequenceNumber", *in.StartingSequenceNumber, s.settings.prefix)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	bySequence := kind == "AT_SEQUENCE_NUMBER" || kind == "AFTER_SEQUENCE_NUMBER"
	if bySequence != (in.StartingSequenceNumber != nil) || (kind == "AT_TIMESTAMP") != (in.Timestamp != nil) {
		return nil, invalid("Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER with StartingSequenceNumber, (2) AT_TIMESTAMP with Timestamp, or (3) TRIM_HORIZON or LATEST with neither.")
	}
	st, err := s.readable(&in.streamRef)
	if err != nil {
		return nil, err
	}
	sh := st.shard(*in.ShardId)
	if sh == nil {
		return nil, noShard(st, *in.ShardId)
	}
	var index int
	switch kind {
	case "TRIM_HORIZON":
		index = sh.trimmed
	case "LATEST":
		index = len(sh.records)
	case "AT_TIMESTAMP":
		at := time.Time(*in.Timestamp)
		if at.After(c.Time) {
			return nil, invalid("The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: %d, currentTimestampInMillis: %d", at.UnixMilli(), c.Time.UnixMilli())
		}
		index = sh.trimmed
		for index < len(sh.records) && sh.records[index].Arrival.Before(at) {
			index++
		}
	default:
		seq, ours := strings.CutPrefix(*in.StartingSequenceNumber, s.settings.prefix)
		if q, ok := parseSequence(seq); !ours || !ok || q.shard != sh.number || q.created != sh.createdSec {
			return nil, invalid("StartingSequenceNumber %s used in GetShardIterator on shard %s in stream %s under account %s is invalid because it did not come from this stream.", *in.StartingSequenceNumber, sh.id, st.name, account)
		}
		// Sequence numbers have one length here, so that they compare as strings.
		index = sort.Search(len(sh.records), func(i int) bool {
			return sh.records[i].SequenceNumber > seq || kind == "AT_SEQUENCE_NUMBER" && sh.records[i].SequenceNumber == seq
		})
	}
	if !sh.closed.IsZero() && index == len(sh.records) {
		switch {
		case c.faults.refuseEnd && kind == "AFTER_SEQUENCE_NUMBER":
			return nil, invalid("StartingSequenceNumber %s used in GetShardIterator on shard %s in stream %s under account %s is invalid because it is the max possible value of the shard.", *in.StartingSequenceNumber, sh.id, st.name, account)
		case c.faults.noIterator:
			return struct{}{}, nil
		}
	}
	it := iterator{Stream: st.name, Birth: st.birth, Shard: sh.id, Index: index, Issued: c.Time.UnixMilli()}
	return struct{ ShardIterator string }{it.String()}, nil
}
