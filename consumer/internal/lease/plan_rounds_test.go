package lease

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// round applies the moves of all members, planned over one view, in an order given by r, and returns how many there were.
// A lease that is claimed by several goes to the first, as in a store.
func (p planned) round(r *rand.Rand) (claims, sheds int) {
	view := p.clone()
	rows := make(map[string]*Holding, len(p.leases))
	for i := range p.leases {
		rows[p.leases[i].Shard] = &p.leases[i]
	}
	for _, i := range r.Perm(len(view.peers)) {
		id := view.peers[i].ID
		m := Plan("orders", id, view.peers, view.leases, true)
		claims, sheds = claims+len(m.Claim), sheds+len(m.Shed)
		for _, c := range m.Claim {
			if l := rows[c]; l.Owner == "" {
				*l = Holding{Shard: c, Owner: id}
			}
		}
		for _, o := range m.Shed {
			*rows[o.Lease] = Holding{Shard: o.Lease, To: o.To}
		}
	}
	return claims, sheds
}

// loads returns how many leases each member owns.
func (p planned) loads() map[string]int {
	n := map[string]int{}
	for _, peer := range p.peers {
		n[peer.ID] = 0
	}
	for _, l := range p.leases {
		if l.Owner != "" {
			n[l.Owner]++
		}
	}
	return n
}

func spread(loads map[string]int) (least, most int) {
	least = 1 << 30
	for _, n := range loads {
		least, most = min(least, n), max(most, n)
	}
	return least, most
}

// From any state, what is free and what is shed finds its place in two rounds, the third moves nothing.
func TestPlanConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, r := drawPlan(t, false), rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 0))
		_, excess := spread(p.loads())
		limit := 2 + excess/maxSheds
		for range limit {
			p.round(r)
		}
		before := p.clone()
		if claims, sheds := p.round(r); claims+sheds > 0 {
			t.Fatalf("%d claims and %d sheds after %d rounds: %+v", claims, sheds, limit, before)
		}
		if least, most := spread(p.loads()); most-least > 1 {
			t.Fatalf("uneven: %v", p.loads())
		}
	})
}

// With weights, members that leave, stale leases and those meant for somebody it takes a round more at most: a stale lease
// goes to whoever comes first. Leases of somebody whose death is not established stay where they are.
func TestPlanConvergesFromAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, r := drawPlan(t, true), rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 0))
		for i := range p.leases {
			p.leases[i].Rest = false
		}
		was := p.clone()
		for range 3 + len(p.leases)/maxSheds {
			p.round(r)
		}
		stay := slices.ContainsFunc(p.peers, func(q Peer) bool { return !q.Leaving })
		if claims, sheds := p.round(r); claims+sheds > 0 {
			t.Fatalf("%d claims and %d sheds go on: %+v", claims, sheds, p)
		}
		var caps, leases int
		for i, l := range p.leases {
			if o := was.leases[i].Owner; o != "" && was.peer(o) == nil {
				if l != was.leases[i] {
					t.Fatalf("%+v became %+v", was.leases[i], l)
				}
				continue
			}
			leases++
			if o := p.peer(l.Owner); stay == (o == nil || o.Leaving) {
				t.Fatalf("%+v is left", l)
			}
		}
		weight := func(q Peer) int { return min(max(q.Cap, 1), maxCap) }
		for _, q := range p.peers {
			if !q.Leaving {
				caps += weight(q)
			}
		}
		for _, q := range p.peers {
			n := p.loads()[q.ID]
			if !q.Leaving && (n < leases*weight(q)/caps || n > (leases*weight(q)+caps-1)/caps) {
				t.Fatalf("%s of weight %d in %d has %d of %d", q.ID, weight(q), caps, n, leases)
			}
		}
	})
}

// No distribution in which each member has its share, rounded in whatever way, is closer than the one that is planned.
func TestPlanMovesTheMinimum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t, false)
		p.leases = p.leases[:min(len(p.leases), maxSheds)] // all can move at once
		var caps int
		for i := range p.peers {
			p.peers[i].Cap = rapid.IntRange(1, 4).Draw(t, "cap")
			caps += p.peers[i].Cap
		}
		loads := p.loads()
		var least func(i, left int) int // sheds of the members from i on, if they are to hold left leases
		least = func(i, left int) int {
			if i == len(p.peers) {
				if left == 0 {
					return 0
				}
				return 1 << 20
			}
			share, n := len(p.leases)*p.peers[i].Cap, loads[p.peers[i].ID]
			best := 1 << 20
			for q := share / caps; q <= (share+caps-1)/caps; q++ {
				best = min(best, max(0, n-q)+least(i+1, left-q))
			}
			return best
		}
		want, sheds := least(0, len(p.leases)), 0
		for _, peer := range p.peers {
			sheds += len(Plan("orders", peer.ID, p.peers, p.leases, true).Shed)
		}
		if sheds != want {
			t.Fatalf("%d sheds, %d are enough: %+v", sheds, want, p)
		}
	})
}

// newFleetPlan returns n members that own leases evenly.
func newFleetPlan(n, leases int) (p planned) {
	for i := range n {
		p.peers = append(p.peers, Peer{ID: fmt.Sprintf("worker-%04d/0", i)})
	}
	for i := range leases {
		p.leases = append(p.leases, Holding{Shard: fmt.Sprintf("shardId-%012d", i), Owner: p.peers[i%n].ID})
	}
	return p
}

// What moves in a fleet of 1,000 leases and 50 workers: the same as coordination §7 has for sticky quotas.
func TestPlanFleet(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	moves := func(t *testing.T, p planned, claims, rounds int) {
		t.Helper()
		was, n, quiet := p.clone(), 0, 0
		for ; quiet <= rounds; quiet++ {
			c, s := p.round(r)
			n += c
			if c+s == 0 {
				break
			}
		}
		if quiet != rounds {
			t.Errorf("quiet after %d rounds, want %d", quiet, rounds)
		}
		moved := 0
		for i, l := range p.leases {
			if l.Owner != was.leases[i].Owner {
				moved++
			}
		}
		least, most := spread(p.loads())
		t.Logf("%d claims, %d leases moved, %d to %d each", n, moved, least, most)
		if n != claims || moved != claims || most-least > 1 {
			t.Errorf("%d claims, %d leases moved, want %d; %d to %d each", n, moved, claims, least, most)
		}
	}
	t.Run("crash", func(t *testing.T) {
		p := newFleetPlan(50, 1000)
		for i := range p.leases {
			if p.leases[i].Owner == p.peers[7].ID {
				p.leases[i].Owner = ""
			}
		}
		p.peers = slices.Delete(p.peers, 7, 8)
		moves(t, p, 20, 1)
	})
	t.Run("leave", func(t *testing.T) {
		p := newFleetPlan(50, 1000)
		p.peers[7].Leaving = true
		was := p.clone()
		p.round(r)
		p.round(r)
		if p.loads()[p.peers[7].ID] != 0 {
			t.Error("the one that leaves is not empty after two rounds")
		}
		p.peers, p.leases = slices.Delete(p.peers, 7, 8), was.leases
		for i, l := range p.leases {
			if l.Owner == was.peers[7].ID {
				p.leases[i].Owner = ""
			}
		}
		moves(t, p, 20, 1)
	})
	t.Run("join", func(t *testing.T) {
		p := newFleetPlan(50, 1000)
		p.peers = append(p.peers, Peer{ID: "worker-0007a/0"})
		moves(t, p, 19, 2)
	})
	t.Run("second of two", func(t *testing.T) { // the bound of sheds holds it to 16 a round
		p := newFleetPlan(1, 1000)
		p.peers = append(p.peers, Peer{ID: "worker-0007a/0"})
		moves(t, p, 500, 33)
	})
	t.Run("start", func(t *testing.T) {
		p := newFleetPlan(50, 1000)
		for i := range p.leases {
			p.leases[i].Owner = ""
		}
		moves(t, p, 1000, 1)
	})
}

// Members come, crash and leave at random, while hand-overs are under way; quiet three rounds after each event, if none
// holds so much more than its share that the bound of sheds matters.
func TestPlanChurn(t *testing.T) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 2))
		p := newFleetPlan(10, 100)
		for event := range 60 {
			inc := Peer{ID: fmt.Sprintf("worker-%04d/%d", r.IntN(10), event+1)}
			for range r.IntN(3) { // the next event comes before it is quiet
				p.round(r)
			}
			i := r.IntN(len(p.peers))
			switch gone := p.peers[i].ID; {
			case len(p.peers) < 8 || r.IntN(2) == 0:
				p.peers = append(p.peers, inc)
			case r.IntN(2) == 0:
				p.peers[i].Leaving = true
				fallthrough
			default:
				if p.peers[i].Leaving {
					p.round(r)
				}
				p.peers = slices.Delete(p.peers, i, i+1)
				for i := range p.leases {
					if p.leases[i].Owner == gone {
						p.leases[i].Owner = ""
					}
				}
			}
			if r.IntN(3) > 0 {
				continue
			}
			for range 3 {
				p.round(r)
			}
			least, most := spread(p.loads())
			if c, s := p.round(r); c+s > 0 || most-least > 1 {
				t.Fatalf("seed %d, event %d: %d claims and %d sheds after three rounds, %d to %d each", seed, event, c, s, least, most)
			}
		}
	}
}

func BenchmarkPlan(b *testing.B) {
	p := newFleetPlan(200, 10_000)
	for _, bb := range []struct {
		name string
		free int // every so many leases are nobody's
	}{{"quiet", 1 << 30}, {"crash", 200}, {"start", 1}} {
		b.Run(bb.name, func(b *testing.B) {
			p := p.clone()
			for i := 0; i < len(p.leases); i += bb.free {
				p.leases[i].Owner = ""
			}
			p.shuffle(rand.New(rand.NewPCG(1, 1)))
			b.ReportAllocs()
			for b.Loop() {
				Plan("orders", p.peers[0].ID, p.peers, p.leases, true)
			}
		})
	}
}
