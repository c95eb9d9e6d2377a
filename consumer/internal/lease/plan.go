package lease

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
)

// A Holding is a lease that counts in the plan: its shard may be read and has not ended.
type Holding struct {
	Shard string
	Owner string // ID of a member; empty for nobody, and for a member that is dead
	To    string // ID of the member that a released lease is meant for; empty for nobody, or once it had its time to claim
	Rest  bool   // it has moved a short while ago and stays where it is
	Stale bool   // nobody has claimed it for Term: whoever can takes it, whatever its quota
}

// Moves is what one worker has to do, sorted by shard. Where an Offer's To is empty, nobody is there to take the lease.
type Moves struct {
	Claim []string
	Shed  []Offer
}

const (
	maxSheds = 16      // of a member that stays, in one round
	maxCap   = 1 << 20 // keeps the product of leases and weight small
)

// Plan returns the moves of self that bring the leases of one stream closer to an even distribution by Cap. It is a pure
// function of its arguments, whatever their order, so workers that see the same compute plans that fit together. IDs are
// unique, and so are shards.
//
// Each member that stays has a quota: its share of the leases, rounded up for those that hold most and down for the
// others. Members above their quota, and all that leave, shed; members below it take, first what nobody holds, then what
// is shed. What moves is the minimum. Until settled, members that stay shed nothing; one that leaves sheds all at once. A
// Cap below 1 counts as 1, and one above maxCap as maxCap.
//
// A lease whose owner is neither empty nor one of peers belongs to somebody whose death is not established: it is left
// alone, and the others share the rest. If self is not one of peers, there are no moves.
func Plan(stream, self string, peers []Peer, leases []Holding, settled bool) Moves {
	var m Moves
	s := newStakes(stream, peers)
	me := s.find(self)
	if me < 0 {
		return m
	}
	var free, mine []ranked // nobody's; held by self and not at rest
	for _, l := range leases {
		to := s.taker(l.To)
		switch owner := s.find(l.Owner); {
		case owner >= 0:
			s[owner].held++
			if owner == me && (!l.Rest || s[me].leaving) {
				mine = append(mine, rank(l.Shard))
			}
		case l.Owner != "":
		case l.Stale:
			free = append(free, rank(l.Shard))
			if !s[me].leaving {
				m.Claim = append(m.Claim, l.Shard)
			}
		case to >= 0:
			s[to].held++
			if to == me {
				m.Claim = append(m.Claim, l.Shard)
			}
		default:
			free = append(free, rank(l.Shard))
		}
	}
	s.share(len(free))

	gap := gaps{stakes: s}
	slices.SortFunc(free, ranked.compare)
	for _, l := range free {
		if gap.next() == me {
			m.Claim = append(m.Claim, l.shard)
		}
	}
	// Each member has gaps of its own to fill, so what it sheds does not depend on what others can shed now.
	slices.SortFunc(mine, ranked.compare)
	for i, giver := range s {
		for n := range giver.held - giver.quota {
			to := gap.next()
			if i == me && n < len(mine) && (giver.leaving || settled && n < maxSheds) {
				m.Shed = append(m.Shed, Offer{Lease: mine[n].shard, To: s.id(to)})
			}
		}
	}
	slices.Sort(m.Claim)
	m.Claim = slices.Compact(m.Claim) // a stale one may be within the quota as well
	slices.SortFunc(m.Shed, func(a, b Offer) int { return strings.Compare(a.Lease, b.Lease) })
	return m
}

// A ranked is a lease in the order in which leases are given away: by a hash, which spreads neighbours. All versions of the
// library have to agree on it.
type ranked struct {
	hash  uint64
	shard string
}

func rank(shard string) ranked {
	sum := sha256.Sum256([]byte(shard))
	return ranked{binary.BigEndian.Uint64(sum[:]), shard}
}

func (r ranked) compare(o ranked) int {
	return cmp.Or(cmp.Compare(r.hash, o.hash), strings.Compare(r.shard, o.shard))
}

// A stake is a Peer in the books of one plan.
type stake struct {
	id      string
	turn    ranked // among those with equal claims to a lease that is left over: another one for each stream
	cap     int64
	leaving bool
	held    int // leases it owns, and those that are meant for it
	quota   int // leases it should have
}

// stakes are those of all members, sorted by ID.
type stakes []stake

func newStakes(stream string, peers []Peer) stakes {
	s := make(stakes, len(peers))
	for i, p := range peers {
		s[i] = stake{id: p.ID, turn: rank(stream + "\n" + p.ID), cap: int64(min(max(p.Cap, 1), maxCap)), leaving: p.Leaving}
	}
	slices.SortFunc(s, func(a, b stake) int { return strings.Compare(a.id, b.id) })
	return s
}

// find returns the index of a member, or −1.
func (s stakes) find(id string) int {
	i, ok := slices.BinarySearchFunc(s, id, func(m stake, id string) int { return strings.Compare(m.id, id) })
	if !ok {
		return -1
	}
	return i
}

// taker is find for members that take leases.
func (s stakes) taker(id string) int {
	i := s.find(id)
	if i >= 0 && s[i].leaving {
		return -1
	}
	return i
}

// id returns the ID of a member; that of −1 is empty.
func (s stakes) id(i int) string {
	if i < 0 {
		return ""
	}
	return s[i].id
}

// share sets the quotas for all leases that are held, and so many free ones. They are the shares rounded down; the leases
// left over go, one each, to those that hold most above that, of those whose share is no whole number; among equals in an
// order that differs by stream, so that many streams of few shards do not all fall to one member.
func (s stakes) share(free int) {
	leases, caps := int64(free), int64(0)
	for _, m := range s {
		leases += int64(m.held)
		if !m.leaving {
			caps += m.cap
		}
	}
	left := leases
	var up []int
	for i := range s {
		if m := &s[i]; !m.leaving {
			m.quota = int(leases * m.cap / caps)
			left -= int64(m.quota)
			if leases*m.cap%caps != 0 {
				up = append(up, i)
			}
		}
	}
	slices.SortFunc(up, func(a, b int) int {
		return cmp.Or(cmp.Compare(s[b].held-s[b].quota, s[a].held-s[a].quota), s[a].turn.compare(s[b].turn))
	})
	for _, i := range up[:min(int(left), len(up))] {
		s[i].quota++
	}
}

// gaps are the leases that members are short of, by member.
type gaps struct {
	stakes
	at, used int
}

// next takes a gap and returns whose it is; −1 if there is none.
func (g *gaps) next() int {
	for ; g.at < len(g.stakes); g.at, g.used = g.at+1, 0 {
		if m := g.stakes[g.at]; g.used < m.quota-m.held {
			g.used++
			return g.at
		}
	}
	return -1
}
