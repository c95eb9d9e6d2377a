package kinesistest

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

// A ShardInfo is what a server knows of a shard.
type ShardInfo struct {
	ID                 string
	Parents            []string // none, one, or the two of a merge
	Children           []string // of a closed shard
	HashStart, HashEnd string   // decimal, both inclusive
	Created            time.Time
	Closed             bool      // by a split or a merge: no record is put to it any more
	ClosedAt           time.Time // zero while open
	Expired            bool      // closed for longer than the retention: no call tells of it
	Records            []Record  // every record that was ever put, in order
	Trimmed            int       // Records[:Trimmed] cannot be read any more
}

// Shards returns every shard that a stream ever had, in order of creation, with every record that was ever put to it:
// what a checker compares a consumer with. It panics when the stream does not exist. Memory is not given back before
// the stream is deleted.
func (s *Server) Shards(stream string) []ShardInfo {
	var infos []ShardInfo
	s.act("Shards", stream, func(st *streamState, _ time.Time) error {
		infos = st.infos(s.settings.prefix)
		return nil
	})
	return infos
}

func (st *streamState) infos(prefix string) (infos []ShardInfo) {
	for _, sh := range st.shards {
		info := ShardInfo{
			ID: sh.id, Parents: slices.Clone(sh.parents), HashStart: sh.start.String(), HashEnd: sh.end.String(),
			Created: sh.created, Closed: !sh.closed.IsZero(), ClosedAt: sh.closed, Expired: sh.expired,
			Records: told(sh.records, prefix), Trimmed: sh.trimmed,
		}
		for _, ch := range sh.children {
			info.Children = append(info.Children, ch.id)
		}
		infos = append(infos, info)
	}
	return infos
}

// Records returns every record that was ever put to a stream, in the order of arrival. It panics when the stream does
// not exist.
func (s *Server) Records(stream string) []Record {
	var all []Record
	var prefix string
	s.act("Records", stream, func(st *streamState, _ time.Time) error {
		for _, sh := range st.shards {
			all = append(all, sh.records...)
		}
		prefix = s.settings.prefix
		return nil
	})
	slices.SortFunc(all, func(a, b Record) int {
		p, _ := parseSequence(a.SequenceNumber)
		q, _ := parseSequence(b.SequenceNumber)
		return cmp.Compare(p.n, q.n)
	})
	return told(all, prefix)
}

// A Call is a call as the server carried it out. Calls that hang, name no operation or cannot be decoded are none. Each
// event of a subscription is one, too: SubscribeToShardEvent.
type Call struct {
	Op      string    // "GetRecords"
	Stream  string    // name, "" when the call names none
	Shard   string    // of the request, of its iterator, or of the record that PutRecord put; else ""
	Time    time.Time // when it took effect, or was refused, by the service's clock
	Code    string    // error code that came of it, "dropped" for a connection cut by a fault, "" for none
	Records int       // put or returned
	Bytes   int       // of their data and keys
	First   string    // sequence number of the first of them
	Last    string    // and of the last
}

type callKey struct{ op, stream, shard string }

// maxCalls is how many calls are kept.
const maxCalls = 100_000

// Calls returns the last 100,000 calls through clients, in the order in which they took effect. Methods of Server are not
// among them.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls[max(0, len(s.calls)-maxCalls):])
}

// Count returns how many calls of an operation through clients took effect or were refused, since the server began:
// those about a shard of a stream, with "" as shard those about the stream, and with "" for both all. A call about a
// shard counts for its stream, too. The stream is named by name or ARN.
func (s *Server) Count(op, stream, shard string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[callKey{op, streamName(stream), shard}]
}

func (s *Server) note(c *call, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.Time = s.now()
	s.noteLocked(c, err)
}

func (s *Server) noteLocked(c *call, err error) {
	if err == nil {
		err = c.faults.after
	}
	made := Call{Op: c.Op, Stream: c.Stream, Shard: c.Shard, Time: c.Time, Records: c.records, Bytes: c.bytes, First: c.first, Last: c.last}
	var refused *apiError
	switch {
	case errors.As(err, &refused):
		made.Code = refused.code
	case errors.Is(err, errDropped):
		made.Code = "dropped"
	}
	if len(s.calls) >= 2*maxCalls {
		s.calls = s.calls[:copy(s.calls, s.calls[maxCalls:])]
	}
	s.calls = append(s.calls, made)
	s.counts[callKey{c.Op, "", ""}]++
	if c.Stream != "" {
		s.counts[callKey{c.Op, c.Stream, ""}]++
	}
	if c.Shard != "" {
		s.counts[callKey{c.Op, c.Stream, c.Shard}]++
	}
}
