package page

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/filter"
	"github.com/shardlane/shardlane/batch/kpl"
)

// A Sieve splits aggregates and filters, for one shard. Its fields are set before its first page; it is used for one page
// at a time.
type Sieve struct {
	Source batch.Source
	Split  bool          // aggregates are split
	Filter *filter.Set   // nil or empty: none
	Hashes kpl.HashRange // of the shard
	Resume Point         // reading resumes inside this aggregate, behind this user record; Sub NoSub: it does not

	// What a stale shard map explains (L65). Parents are the ranges of the shard's parents; none: they are not known, or
	// reading has not begun at the shard's first record. Placed tells whether producers chose the shard of every record of
	// the stream, as far as is known (C25).
	Parents []kpl.HashRange
	Placed  func(arrival time.Time) bool

	first   time.Time // arrival of the shard's first record
	begun   bool
	keyless bool // a record without a key was seen, which the service has placed
}

// staleTime is for how long behind a shard's first record producers may still have the shard map of before.
const staleTime = 10 * time.Minute

// Seen counts what a Sieve found in a page.
type Seen struct {
	Filtered   int // records that no pattern matches
	Outside    int // user records whose hash key is not the shard's
	Left       int // those of them that are left out, since their producer puts them again
	Aggregates int // aggregates, split or not
	Keyless    int // records without a partition key
}

// Sift makes a page of what was read: aggregates are split, where that is on, and then filtered. skip is true for records
// that have their outcome already and are not for the handler; it is nil if there are none.
func (s *Sieve) Sift(p *Page) (out *Page, skip []bool, seen Seen) {
	for i := range p.recs {
		if p.recs[i].PartitionKey == nil {
			seen.Keyless++
			s.keyless = true
		}
	}
	if !s.begun && p.Len() > 0 {
		s.first, s.begun = Item{p, 0}.Arrival(), true
	}
	if s.Split {
		p, skip = s.split(p, &seen)
	} else {
		for i := range p.recs {
			if kpl.IsAggregate(p.recs[i].Data) {
				seen.Aggregates++
			}
		}
	}
	if s.Filter != nil && s.Filter.Len() > 0 && p.Len() > 0 {
		if skip == nil {
			skip = make([]bool, p.Len())
		}
		for i := range skip {
			if r := (Item{p, int32(i)}).Record(); !skip[i] && !s.Filter.Match(&s.Source, &r) { //nolint:gosec // see Items
				skip[i] = true
				seen.Filtered++
			}
		}
	}
	return p, skip, seen
}

// split puts user records in the place of the aggregates of p. Those of an aggregate that the checkpoint covers already
// are left out (C21). One that is left out because its producer puts it again keeps its place, and is to be skipped (L65).
func (s *Sieve) split(p *Page, seen *Seen) (out *Page, skip []bool) {
	var users []kpl.UserRecord
	var recs []types.Record
	var subs []int64
	for i := range p.recs {
		r := &p.recs[i]
		var ok bool
		if users, ok = kpl.Decode(r.Data, users[:0]); ok && recs == nil {
			recs = make([]types.Record, i, len(p.recs)+len(users))
			copy(recs, p.recs)
			subs = make([]int64, i, cap(recs))
			for j := range subs {
				subs[j] = batch.NoSub
			}
		}
		if !ok {
			if recs != nil {
				recs, subs = append(recs, *r), append(subs, batch.NoSub)
			}
			continue
		}
		seen.Aggregates++
		resumed := s.Resume.Sub != batch.NoSub && aws.ToString(r.SequenceNumber) == s.Resume.Seq
		stale := s.stale(users, Item{p, int32(i)}.Arrival()) //nolint:gosec // see Items
		keys := make([]string, len(users))
		for j := range users {
			if resumed && int64(j) <= s.Resume.Sub {
				continue
			}
			u := *r
			keys[j] = users[j].PartitionKey
			u.PartitionKey, u.Data = &keys[j], users[j].Data
			if keyed(users[j]) && !s.Hashes.Contains(users[j]) {
				seen.Outside++
				if stale {
					for len(skip) < len(recs) {
						skip = append(skip, false)
					}
					skip = append(skip, true)
					seen.Left++
				}
			}
			recs, subs = append(recs, u), append(subs, int64(j))
		}
	}
	if recs == nil {
		return p, nil
	}
	if skip != nil {
		skip = append(skip, make([]bool, len(recs)-len(skip))...)
	}
	return p.become(recs, subs), skip
}

// keyed tells whether a user record has a hash key, by which its producer may have chosen a shard (C26).
func keyed(u kpl.UserRecord) bool { return u.PartitionKey != "" }

// stale tells whether a stale shard map explains that a user record of an aggregate is not the shard's: its producer chose
// the shard, shortly after a reshard, for a range that was one before. Such a producer learns where the aggregate went and
// puts the record again. In every other case nobody does, and the record is delivered: a duplicate is allowed, a loss is
// not (C25).
func (s *Sieve) stale(users []kpl.UserRecord, arrival time.Time) bool {
	if s.keyless || len(s.Parents) == 0 || s.first.IsZero() || arrival.IsZero() || arrival.Sub(s.first) > staleTime {
		return false
	}
	for _, parent := range s.Parents {
		within := true
		for _, u := range users {
			within = within && keyed(u) && parent.Contains(u)
		}
		if within {
			return s.Placed(arrival)
		}
	}
	return false
}
