package kinesistest

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"time"
)

// act runs f on a stream, at once. Streams are named by name or ARN.
func (s *Server) act(method, name string, f func(st *streamState, at time.Time) error) {
	if err := s.try(name, f); err != nil {
		panic(fmt.Sprintf("kinesistest: %s: %v", method, err))
	}
}

func (s *Server) try(name string, f func(st *streamState, at time.Time) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.now()
	s.settle(at)
	name = streamName(name)
	st, err := s.readable(&streamRef{StreamName: &name})
	if err != nil {
		return err
	}
	return f(st, at)
}

// CreateStream creates an active stream with so many shards of equal ranges of hash keys, at once. It panics when the
// stream exists or the name or the number is one that the service refuses, see [NewServer].
func (s *Server) CreateStream(stream string, shards int) {
	s.createStream("CreateStream", stream, shards, func(*streamState) {})
}

func (s *Server) createStream(method, stream string, shards int, as func(*streamState)) {
	var v validation
	v.name("streamName", stream)
	v.within("shardCount", &shards, 1, 100_000)
	if err := v.err(); err != nil {
		panic(fmt.Sprintf("kinesistest: %s: %v", method, err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.now()
	s.settle(at)
	if s.streams[stream] != nil {
		panic(fmt.Sprintf("kinesistest: %s: stream %s exists", method, stream))
	}
	st := s.newStream(stream, shards, at)
	as(st)
	s.streams[stream] = st
}

// DeleteStream deletes a stream, at once, and returns what it held, as [Server.Shards] does. Its iterators and sequence
// numbers are good for no stream of the same name that is created later, and that one's creation time is in a later
// second. It panics when the stream does not exist.
func (s *Server) DeleteStream(stream string) []ShardInfo {
	var held []ShardInfo
	s.act("DeleteStream", stream, func(st *streamState, _ time.Time) error {
		held = st.infos(s.settings.prefix)
		s.bury(st)
		return nil
	})
	return held
}

// Put puts a record, at once, and returns its shard and its sequence number. The MD5 of key chooses the shard. data is
// copied; nil is a record without data. An empty key is a record without one, which streams with [Auto] take; there no
// key chooses. It panics when the stream does not exist or the service would refuse the record: for a key that is missing
// or has more than 256 characters, or for its size, see [Server.SetMaxRecordSize]. Write limits do not apply.
func (s *Server) Put(stream, key string, data []byte) (shard, seq string) {
	return s.putEntry("Put", stream, entry{PartitionKey: keyOf(key), Data: data})
}

// PutHash is [Server.Put] with an explicit hash key, a decimal number below 2^128 without leading zeros, which decides
// the shard instead of key, but not under [Auto]. It panics also for a hash key that is none.
func (s *Server) PutHash(stream, key, hashKey string, data []byte) (shard, seq string) {
	return s.putEntry("PutHash", stream, entry{PartitionKey: keyOf(key), Data: data, ExplicitHashKey: &hashKey})
}

func keyOf(key string) *string {
	if key == "" {
		return nil
	}
	return &key
}

func (s *Server) putEntry(method, name string, e entry) (shard, seq string) {
	e.Data = append([]byte{}, e.Data...)
	s.act(method, name, func(st *streamState, at time.Time) error {
		var v validation
		e.validate(&v, "")
		if err := v.err(); err != nil {
			return err
		}
		h, err := st.accept(&e, "")
		if err != nil {
			return err
		}
		sh := s.place(st, h)
		shard, seq = sh.id, s.settings.prefix+st.put(sh, deref(e.PartitionKey), e.Data, at)
		return nil
	})
	return shard, seq
}

// Split splits an open shard in the middle of its hash keys, at once, and returns the two children, the one with the
// lower hash keys first. The shard is closed and keeps its records; later ones go to the children. It panics when the
// shard cannot be split: it does not exist, is closed, or has one hash key.
func (s *Server) Split(stream, shard string) (lower, upper string) {
	s.act("Split", stream, func(st *streamState, at time.Time) error {
		sh, err := st.openShard(shard)
		if err != nil {
			return err
		}
		h := middle(sh.start, sh.end)
		if !sh.start.less(h) {
			return fmt.Errorf("shard %s has one hash key", shard)
		}
		l, u := st.split(sh, h, at)
		lower, upper = l.id, u.id
		return nil
	})
	return lower, upper
}

// SplitAt is [Server.Split] with the first hash key of the upper child, a decimal number above the shard's first hash
// key and at most its last.
func (s *Server) SplitAt(stream, shard, hashKey string) (lower, upper string) {
	s.act("SplitAt", stream, func(st *streamState, at time.Time) error {
		sh, err := st.openShard(shard)
		if err != nil {
			return err
		}
		h, ok := parseHash(hashKey)
		if !ok || !sh.start.less(h) || sh.end.less(h) {
			return fmt.Errorf("hash key %s does not split shard %s of %s to %s", hashKey, shard, sh.start, sh.end)
		}
		l, u := st.split(sh, h, at)
		lower, upper = l.id, u.id
		return nil
	})
	return lower, upper
}

// Merge merges two open shards with adjacent hash keys, at once, and returns their child. a becomes the child's parent
// and b its adjacent parent, whichever is lower. Both are closed and keep their records. It panics when the shards
// cannot be merged: one does not exist or is closed, or they are not adjacent.
func (s *Server) Merge(stream, a, b string) (child string) {
	s.act("Merge", stream, func(st *streamState, at time.Time) error {
		first, err := st.openShard(a)
		if err != nil {
			return err
		}
		second, err := st.openShard(b)
		if err != nil {
			return err
		}
		if !adjacent(first, second) {
			return fmt.Errorf("shards %s and %s are not adjacent", a, b)
		}
		child = st.merge(first, second, at).id
		return nil
	})
	return child
}

// Reshard splits and merges, at once, until so many shards with equal ranges of hash keys are open, as UpdateShardCount
// does, but from any number to any other. Some shards that it opens on the way are closed again at once, empty. It
// panics when the stream does not exist or the number is below 1.
func (s *Server) Reshard(stream string, shards int) {
	s.act("Reshard", stream, func(st *streamState, at time.Time) error {
		if shards < 1 {
			return fmt.Errorf("%d shards", shards)
		}
		st.scale(shards, at)
		return nil
	})
}

// Trim drops the records of a shard with sequence numbers below before, as if they were past retention; with "", all
// there are. Readers pass over them in silence, as with the service. [Server.Shards] still has them. It panics when the
// shard does not exist.
func (s *Server) Trim(stream, shard, before string) {
	s.act("Trim", stream, func(st *streamState, _ time.Time) error {
		sh := st.shard(shard)
		if sh == nil {
			return noShard(st, shard)
		}
		n := len(sh.records)
		if before = strings.TrimPrefix(before, s.settings.prefix); before != "" {
			n = sort.Search(n, func(i int) bool { return sh.records[i].SequenceNumber >= before })
		}
		sh.trimmed = max(sh.trimmed, n)
		return nil
	})
}

// TrimBefore drops what arrived before t from a stream, as if it were past retention, and the shards that were closed
// before t: they are listed no more, and asking for them gets ResourceNotFoundException. A t in the future is now. It
// panics when the stream does not exist.
func (s *Server) TrimBefore(stream string, t time.Time) {
	s.act("TrimBefore", stream, func(st *streamState, at time.Time) error {
		if t.After(at) {
			t = at
		}
		st.trim(t)
		return nil
	})
}

// SetRetention sets how long a stream keeps records, at once: any time above zero, where the API has 24 to 8760 hours.
// Calls that describe the stream tell it in whole hours, rounded down. Closed shards vanish when they have been closed
// for as long. What has been dropped does not come back with a longer one. Defaults to 24 h. It panics when the stream
// does not exist or d is not above zero.
func (s *Server) SetRetention(stream string, d time.Duration) {
	s.act("SetRetention", stream, func(st *streamState, at time.Time) error {
		if d <= 0 {
			return fmt.Errorf("retention of %v", d)
		}
		st.retention = d
		st.trim(at.Add(-d))
		return nil
	})
}

// SetMaxRecordSize sets how many bytes the data and the key of a record of a stream may have together, up to 10 MiB.
// Records that are stored stay. Defaults to 1 MiB. It panics when the stream does not exist or bytes is out of range.
func (s *Server) SetMaxRecordSize(stream string, bytes int) {
	s.act("SetMaxRecordSize", stream, func(st *streamState, _ time.Time) error {
		if bytes < 1 || bytes > 10<<20 {
			return fmt.Errorf("%d bytes are not between 1 and 10 MiB", bytes)
		}
		st.maxRecord = bytes
		return nil
	})
}

// SetTransition sets how long a stream, or a consumer of one, stays CREATING, UPDATING or DELETING after a call through a
// client; what the call changes, it changes at the end of that time. Methods of Server are not concerned. Zero changes it at once.
// Defaults to 500 ms.
func (s *Server) SetTransition(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings.transition = d
}

// SetShardEnd sets where GetRecords tells the end of a closed shard, by a nil NextShardIterator and ChildShards, and a
// subscription, by a nil ContinuationSequenceNumber and ChildShards: with 0 in the answer or event that has the last
// records, with n in the n-th empty one after it. The service does either, and readers
// have to bear both. Defaults to 0.
func (s *Server) SetShardEnd(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings.shardEnd = n
}

// SetEmptyPages puts n empty pages before each page of GetRecords that has records, each with an iterator that goes on
// and MillisBehindLatest above 0, and n empty events before each that has some: what [EmptyPages] does to single ones.
// Defaults to 0.
func (s *Server) SetEmptyPages(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings.emptyPages = n
}

// SetShardLimit sets how many open shards the account may have, all streams together. Calls that would exceed it get
// LimitExceededException; methods of Server do not look at it. Defaults to 20,000.
func (s *Server) SetShardLimit(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings.shardLimit = n
}

// SetSeed gives the server a source of random numbers, for faults that have a [Fault.Rate] and for the places of records
// under [Auto]. The same seed and the same order of calls give the same faults and places. Defaults to none: nothing is
// random.
func (s *Server) SetSeed(seed uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rand, s.seed = rand.New(rand.NewPCG(seed, seed)), seed
}
