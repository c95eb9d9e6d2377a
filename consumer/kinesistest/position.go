package kinesistest

import (
	"sort"
	"strings"
	"time"
)

// position is where a reader asks to begin: an iterator, or a subscription.
type position struct {
	kind   string
	number *string
	at     *timestamp
}

// validate checks what needs no shard, with the names that the request has for it.
func (p position) validate(v *validation, kind, number, prefix string) {
	switch p.kind {
	case "", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", "TRIM_HORIZON", "LATEST", "AT_TIMESTAMP":
	default:
		v.check(false, kind, p.kind, "satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, TRIM_HORIZON]")
	}
	if p.number != nil {
		v.sequence(number, *p.number, prefix)
	}
}

// complete refuses a type without what it needs, or with what it does not.
func (p position) complete() error {
	bySequence := p.kind == "AT_SEQUENCE_NUMBER" || p.kind == "AFTER_SEQUENCE_NUMBER"
	if bySequence != (p.number != nil) || (p.kind == "AT_TIMESTAMP") != (p.at != nil) {
		return invalid("Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER with StartingSequenceNumber, (2) AT_TIMESTAMP with Timestamp, or (3) TRIM_HORIZON or LATEST with neither.")
	}
	return nil
}

// index returns the index of a position in a shard's records.
func (s *Server) index(c *call, st *streamState, sh *shard, p position) (index int, err error) {
	switch p.kind {
	case "TRIM_HORIZON":
		index = sh.trimmed
	case "LATEST":
		index = len(sh.records)
	case "AT_TIMESTAMP":
		at := time.Time(*p.at)
		if at.After(c.Time) {
			return 0, invalid("The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: %d, currentTimestampInMillis: %d", at.UnixMilli(), c.Time.UnixMilli())
		}
		index = sh.trimmed
		for index < len(sh.records) && sh.records[index].Arrival.Before(at) {
			index++
		}
	default:
		seq, ours := strings.CutPrefix(*p.number, s.settings.prefix)
		if q, ok := parseSequence(seq); !ours || !ok || q.shard != sh.number || q.created != sh.createdSec {
			return 0, invalid("StartingSequenceNumber %s used in %s on shard %s in stream %s under account %s is invalid because it did not come from this stream.", *p.number, c.Op, sh.id, st.name, account)
		}
		// Sequence numbers have one length here, so that they compare as strings.
		index = sort.Search(len(sh.records), func(i int) bool {
			return sh.records[i].SequenceNumber > seq || p.kind == "AT_SEQUENCE_NUMBER" && sh.records[i].SequenceNumber == seq
		})
		if c.faults.refuseEnd && p.kind == "AFTER_SEQUENCE_NUMBER" && !sh.closed.IsZero() && index == len(sh.records) {
			return 0, invalid("StartingSequenceNumber %s used in %s on shard %s in stream %s under account %s is invalid because it is the max possible value of the shard.", *p.number, c.Op, sh.id, st.name, account)
		}
	}
	return index, nil
}
