package kinesistest

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// streamState is one stream of a name, from its creation to its deletion. It changes under the server's lock only.
type streamState struct {
	name         string
	birth        int // distinguishes streams of one name
	created      time.Time
	retention    time.Duration
	maxRecord    int // bytes of data, and of data and key
	onDemand     bool
	distribution Distribution
	placed       uint64   // records that the service placed
	shards       []*shard // in order of creation, so of id; expired ones too
	open         []*shard // in order of hash keys
	n            uint64   // counter of sequence numbers
	horizon      time.Time
	oldest       time.Time                  // when the horizon passes it, something is to be trimmed; zero: nothing is there
	scalings     []time.Time                // UpdateShardCount
	consumers    map[string]*streamConsumer // by name
	registered   map[string]time.Time       // when a consumer of a name was last created

	// status is CREATING, UPDATING or DELETING until changeAt, when change is made; then it is ACTIVE, or the stream
	// is gone. settle does so at the next look.
	status   string
	changeAt time.Time
	change   func(at time.Time)
}

type shard struct {
	id         string
	number     uint32
	parents    []string // none, one, or the one merged and the adjacent one
	children   []*shard
	start, end hash
	createdSec uint64 // of sequence numbers
	created    time.Time
	closed     time.Time // zero while open
	first      string    // starting sequence number
	last       string    // ending sequence number, of a closed shard
	expired    bool      // closed before the horizon: listed no more
	records    []Record  // all that were put, trimmed ones too
	trimmed    int       // records[:trimmed] cannot be read
	reads      window
	readBytes  window
	writes     window
	writeBytes window
	news       chan struct{} // closed by stir; nil: nobody waits
}

// A Record is one record as it is stored.
type Record struct {
	SequenceNumber string    // 56 decimal digits, so that numbers compare as strings
	PartitionKey   string    // "" of a record without one, see [Auto]
	Data           []byte    // not to be changed
	Arrival        time.Time // by the service's clock, in UTC and whole milliseconds
}

const (
	active   = "ACTIVE"
	creating = "CREATING"
	updating = "UPDATING"
	deleting = "DELETING"
)

// newStream returns an active stream. One that is created in the second of a deletion counts as created in the next:
// the service takes longer, and creation times and sequence numbers have to differ. The caller holds the lock.
func (s *Server) newStream(name string, shards int, at time.Time) *streamState {
	s.births++
	created := at
	if after := time.Unix(int64(s.buried)+1, 0); s.buried > 0 && created.Before(after) {
		created = after.UTC()
	}
	st := &streamState{
		name: name, birth: s.births, created: created, retention: 24 * time.Hour, maxRecord: 1 << 20,
		horizon: at, status: active, distribution: UserPartitionKey,
		consumers: make(map[string]*streamConsumer), registered: make(map[string]time.Time),
	}
	if shards > 0 {
		st.populate(shards, at)
	}
	return st
}

// populate makes the first shards. The horizon is theirs: a stream has nothing older.
func (st *streamState) populate(shards int, at time.Time) {
	st.horizon = at
	starts := uniform(shards)
	for i, start := range starts {
		end := hash{}.prev()
		if i+1 < len(starts) {
			end = starts[i+1].prev()
		}
		st.addShard(start, end, at)
	}
}

// addShard opens a shard for a range that no open shard covers.
func (st *streamState) addShard(start, end hash, at time.Time, parents ...*shard) *shard {
	sh := &shard{
		id: fmt.Sprintf("shardId-%012d", len(st.shards)), number: uint32(len(st.shards)),
		start: start, end: end, created: at, createdSec: uint64(max(at.Unix(), st.created.Unix(), 0)),
	}
	for _, p := range parents {
		sh.parents = append(sh.parents, p.id)
		p.children = append(p.children, sh)
		sh.createdSec = max(sh.createdSec, p.createdSec+1)
	}
	sh.first = st.next(sh, at)
	st.shards = append(st.shards, sh)
	i, _ := slices.BinarySearchFunc(st.open, start, func(o *shard, h hash) int {
		if o.start.less(h) {
			return -1
		}
		return 1
	})
	st.open = slices.Insert(st.open, i, sh)
	return sh
}

func (st *streamState) closeShard(sh *shard, at time.Time) {
	sh.closed, sh.last = at, st.next(sh, at)
	st.age(at)
	sh.stir()
	st.open = slices.DeleteFunc(st.open, func(o *shard) bool { return o == sh })
}

// next gives out a sequence number.
func (st *streamState) next(sh *shard, at time.Time) string {
	st.n++
	return sequence{created: sh.createdSec, shard: sh.number, n: st.n, at: uint64(max(at.Unix(), 0))}.String()
}

// route returns the open shard of a hash key.
func (st *streamState) route(h hash) *shard {
	i := sort.Search(len(st.open), func(i int) bool { return h.less(st.open[i].start) })
	return st.open[i-1]
}

func (st *streamState) put(sh *shard, key string, data []byte, at time.Time) string {
	seq := st.next(sh, at)
	sh.records = append(sh.records, Record{SequenceNumber: seq, PartitionKey: key, Data: data, Arrival: at})
	st.age(at)
	sh.stir()
	return seq
}

// age tells that something of a time is there.
func (st *streamState) age(at time.Time) {
	if st.oldest.IsZero() || at.Before(st.oldest) {
		st.oldest = at
	}
}

// shard returns a shard that is still listed.
func (st *streamState) shard(id string) *shard {
	n, err := strconv.Atoi(strings.TrimPrefix(id, "shardId-"))
	if err != nil || n < 0 || n >= len(st.shards) || st.shards[n].id != id || st.shards[n].expired {
		return nil
	}
	return st.shards[n]
}

// trim drops what arrived before the horizon, which never goes back, and the shards that were closed before it.
func (st *streamState) trim(horizon time.Time) {
	if horizon.After(st.horizon) {
		st.horizon = horizon
	}
	if st.oldest.IsZero() || !st.oldest.Before(st.horizon) {
		return
	}
	st.oldest = time.Time{}
	for _, sh := range st.shards {
		for sh.trimmed < len(sh.records) && sh.records[sh.trimmed].Arrival.Before(st.horizon) {
			sh.trimmed++
		}
		if sh.trimmed < len(sh.records) {
			st.age(sh.records[sh.trimmed].Arrival)
		}
		if !sh.closed.IsZero() && !sh.expired {
			if sh.expired = sh.closed.Before(st.horizon); !sh.expired {
				st.age(sh.closed)
			}
		}
	}
}

// settle brings every stream to a time: it makes changes that are due and drops what is past retention.
func (s *Server) settle(at time.Time) {
	for _, st := range s.streams {
		if st.status != active && !at.Before(st.changeAt) {
			change, due := st.change, st.changeAt
			deleted := st.status == deleting
			st.status, st.change = active, nil
			if change != nil {
				change(due)
			}
			if deleted {
				s.bury(st)
				continue
			}
		}
		st.settleConsumers(at)
		st.trim(at.Add(-st.retention))
	}
}

// bury forgets a stream. What it gave out, sequence numbers and the ARNs of consumers, is older than any later one.
func (s *Server) bury(st *streamState) {
	delete(s.streams, st.name)
	st.stir()
	for _, sh := range st.shards {
		s.buried = max(s.buried, sh.createdSec)
	}
	for _, created := range st.registered {
		s.buried = max(s.buried, uint64(created.Unix()))
	}
}

// during gives the stream a status for the transition's time, and then makes the change; with no transition time, at
// once.
func (s *Server) during(st *streamState, status string, at time.Time, change func(at time.Time)) {
	st.status, st.changeAt, st.change = status, at.Add(s.settings.transition), change
	s.settle(at)
	st.stir()
}
