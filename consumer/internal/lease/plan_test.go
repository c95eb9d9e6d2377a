package lease

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// planned are the members and the leases of a plan.
type planned struct {
	peers  []Peer
	leases []Holding
}

// parsePlan reads members, "a", "b:3" of weight 3, "c-" that leaves, and leases, "owner" or "owner>to", with "!" if stale
// and "=" if at rest. The shards are s0, s1, ….
func parsePlan(peers, leases string) (p planned) {
	for f := range strings.FieldsSeq(peers) {
		id, weight, _ := strings.Cut(f, ":")
		peer := Peer{ID: strings.TrimSuffix(id, "-"), Leaving: strings.HasSuffix(id, "-")}
		fmt.Sscan(weight, &peer.Cap)
		p.peers = append(p.peers, peer)
	}
	for i, f := range strings.Fields(leases) {
		owner, to, _ := strings.Cut(strings.Trim(f, "!="), ">")
		p.leases = append(p.leases, Holding{
			Shard: fmt.Sprint("s", i), Owner: strings.Trim(owner, "."), To: to,
			Stale: strings.Contains(f, "!"), Rest: strings.Contains(f, "="),
		})
	}
	return p
}

func TestPlan(t *testing.T) {
	for name, tt := range map[string]struct {
		peers, leases string
		unsettled     bool
		want          string // the moves of each member: claimed shards, and shed ones with ">to"
	}{
		"alone":                  {"a", ". . .", true, "a: s0 s1 s2"},
		"nobody":                 {"", ". .", false, ""},
		"no leases":              {"a b", "", false, "a: b:"},
		"balanced":               {"a b", "a b a", false, "a: b:"},
		"the odd one stays":      {"a b", "b b a", false, "a: b:"},
		"join":                   {"a b", "a a a a", false, "a: s2>b s3>b b:"},
		"join, unsettled":        {"a b", "a a a a", true, "a: b:"},
		"orphans, unsettled":     {"a b", "a . . b", true, "a: s2 b: s1"},
		"orphans, uneven":        {"a b", "a a . .", false, "a: b: s2 s3"},
		"fewer than members":     {"a b c", ". .", false, "a: s1 b: c: s0"},
		"weights":                {"a:3 b", ". . . . a b b b", false, "a: s0 s1 s2 s3 b: s7>a"},
		"weight 0 is 1":          {"a:0 b:1", "a a a a", false, "a: s2>b s3>b b:"},
		"weight -1 is 1":         {"a:-1 b:1", "a a a a", false, "a: s2>b s3>b b:"},
		"a whole share":          {"a:2 b:1 c:1", "a a b c", false, "a: b: c:"},
		"leaving":                {"a- b c", "a a b c", true, "a: s0>c s1>b b: c:"},
		"leaving, at rest":       {"a- b", "a= a= b", true, "a: s0>b s1>b b:"},
		"leaving claims nothing": {"a- b", ". .! .>a", true, "a: b: s0 s1 s2"},
		"all leave":              {"a- b-", "a b .", false, "a: s0> b: s1>"},
		"meant for b":            {"a b", ".>b", true, "a: b: s0"},
		"meant above quota":      {"a b", ".>b b", true, "a: b: s0"},
		"meant and counted":      {"a b", ".>b .>b . .", true, "a: s2 s3 b: s0 s1"},
		"meant for the dead":     {"a b", ".>z b", true, "a: s0 b:"},
		"meant for one leaving":  {"a b-", ".>b", true, "a: s0 b:"},
		"stale":                  {"a b", "b b .! .!", true, "a: s2 s3 b: s2 s3"},
		"stale, meant for a":     {"a b", ".>a!", true, "a: s0 b: s0"},
		"at rest":                {"a b", "a= a= a= a", false, "a: s3>b b:"},
		"all at rest":            {"a b", "a= a= a= a=", false, "a: b:"},
		"death not established":  {"a b", "z z z z a b .", false, "a: s6 b:"},
	} {
		t.Run(name, func(t *testing.T) {
			p := parsePlan(tt.peers, tt.leases)
			var got []string
			for _, peer := range p.peers {
				m := Plan("orders", peer.ID, p.peers, p.leases, !tt.unsettled)
				got = append(got, peer.ID+":")
				got = append(got, m.Claim...)
				for _, o := range m.Shed {
					got = append(got, o.Lease+">"+o.To)
				}
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	p := parsePlan("a b", "a a a a . .! .>c")
	if m := Plan("orders", "c", p.peers, p.leases, true); m.Claim != nil || m.Shed != nil {
		t.Errorf("somebody who is no peer moves %+v", m)
	}
}

// drawPlan draws any state; with rough false one in which leases are owned by peers or free, so that all of them can move.
func drawPlan(t *rapid.T, rough bool) (p planned) {
	for i := range rapid.IntRange(1, 9).Draw(t, "peers") {
		peer := Peer{ID: fmt.Sprintf("w%d/%d", i, rapid.IntRange(0, 99).Draw(t, "inc"))}
		if rough {
			peer.Cap = rapid.SampledFrom([]int{0, 1, 1, 2, 3, 7, math.MaxInt, -1}).Draw(t, "cap")
			peer.Leaving = rapid.IntRange(0, 4).Draw(t, "leaving") == 0
		}
		p.peers = append(p.peers, peer)
	}
	names := []string{""}
	for _, peer := range p.peers {
		names = append(names, peer.ID)
	}
	if rough {
		names = append(names, "gone/1", "w/")
	}
	name := rapid.SampledFrom(names)
	if rapid.IntRange(0, 3).Draw(t, "crowd") == 0 { // one owns nearly all
		name = rapid.SampledFrom(append(slices.Repeat([]string{p.peers[0].ID}, 20), names...))
	}
	for i := range rapid.IntRange(0, 40).Draw(t, "leases") {
		l := Holding{Shard: fmt.Sprintf("shardId-%012d", i*3), Owner: name.Draw(t, "owner")}
		if rough {
			l.To = name.Draw(t, "to")
			l.Rest = rapid.IntRange(0, 5).Draw(t, "rest") == 0
			l.Stale = rapid.IntRange(0, 9).Draw(t, "stale") == 0
		}
		p.leases = append(p.leases, l)
	}
	return p
}

func (p planned) clone() planned { return planned{slices.Clone(p.peers), slices.Clone(p.leases)} }

func (p planned) shuffle(r *rand.Rand) {
	r.Shuffle(len(p.peers), func(i, j int) { p.peers[i], p.peers[j] = p.peers[j], p.peers[i] })
	r.Shuffle(len(p.leases), func(i, j int) { p.leases[i], p.leases[j] = p.leases[j], p.leases[i] })
}

func (p planned) peer(id string) *Peer {
	if i := slices.IndexFunc(p.peers, func(peer Peer) bool { return peer.ID == id }); i >= 0 {
		return &p.peers[i]
	}
	return nil
}

// check holds the plans of all members over one view to what they promise each other.
func (p planned) check(t interface{ Fatalf(string, ...any) }, settled bool) {
	before, claims := p.clone(), map[string][]string{}
	for _, peer := range p.peers {
		m := Plan("orders", peer.ID, p.peers, p.leases, settled)
		if !slices.IsSorted(m.Claim) || !slices.IsSortedFunc(m.Shed, func(a, b Offer) int { return strings.Compare(a.Lease, b.Lease) }) {
			t.Fatalf("%s: not sorted: %+v", peer.ID, m)
		}
		if peer.Leaving && len(m.Claim) > 0 || !peer.Leaving && (len(m.Shed) > 16 || !settled && len(m.Shed) > 0) {
			t.Fatalf("%s: %+v, leaving %v, settled %v", peer.ID, m, peer.Leaving, settled)
		}
		for _, c := range m.Claim {
			claims[c] = append(claims[c], peer.ID)
		}
		shed, stay := map[string]bool{}, slices.ContainsFunc(p.peers, func(q Peer) bool { return !q.Leaving })
		for _, o := range m.Shed {
			to := p.peer(o.To)
			i := slices.IndexFunc(p.leases, func(l Holding) bool { return l.Shard == o.Lease })
			switch l := p.leases[i]; {
			case l.Owner != peer.ID || shed[l.Shard]:
				t.Fatalf("%s sheds %s of %q", peer.ID, o.Lease, l.Owner)
			case l.Rest && !peer.Leaving:
				t.Fatalf("%s sheds %s, which is at rest", peer.ID, o.Lease)
			case stay && (to == nil || to.Leaving) || !stay && o.To != "" || o.To == peer.ID:
				t.Fatalf("%s sheds %s to %q", peer.ID, o.Lease, o.To)
			}
			shed[o.Lease] = true
		}
		for _, l := range p.leases {
			if peer.Leaving && l.Owner == peer.ID && !shed[l.Shard] {
				t.Fatalf("%s leaves and keeps %s", peer.ID, l.Shard)
			}
		}
	}
	if diff := cmp.Diff(before, p, cmp.AllowUnexported(planned{})); diff != "" {
		t.Fatalf("arguments changed:\n%s", diff)
	}
	var staying []string
	for _, peer := range p.peers {
		if !peer.Leaving {
			staying = append(staying, peer.ID)
		}
	}
	for _, l := range p.leases {
		got, meant := claims[l.Shard], l.To
		switch {
		case l.Owner != "" || len(staying) == 0:
			if len(got) > 0 {
				t.Fatalf("%+v is claimed by %q", l, got)
			}
		case l.Stale:
			if !slices.Equal(got, staying) {
				t.Fatalf("%+v is claimed by %q, not by all", l, got)
			}
		case slices.Contains(staying, meant):
			if len(got) != 1 || got[0] != meant {
				t.Fatalf("%+v is claimed by %q", l, got)
			}
		case len(got) != 1:
			t.Fatalf("%+v is claimed by %q, not by one", l, got)
		}
	}
}

func TestPlansFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		drawPlan(t, true).check(t, rapid.Bool().Draw(t, "settled"))
	})
}

func TestPlanShuffled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t, true)
		p.sameShuffled(t, rapid.Uint64().Draw(t, "order"))
	})
}

func (p planned) sameShuffled(t interface{ Fatalf(string, ...any) }, order uint64) {
	q := p.clone()
	q.shuffle(rand.New(rand.NewPCG(order, 0)))
	for _, peer := range p.peers {
		for _, settled := range []bool{false, true} {
			want, got := Plan("orders", peer.ID, p.peers, p.leases, settled), Plan("orders", peer.ID, q.peers, q.leases, settled)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%s, settled %v: another order of %+v gives another plan:\n%s", peer.ID, settled, p, diff)
			}
		}
	}
}

// FuzzPlan reads a byte for each member and two for each lease.
func FuzzPlan(f *testing.F) {
	f.Add([]byte{1, 1, 1}, []byte{0, 0, 1, 0, 1, 0, 1, 0}, uint64(1))
	f.Add([]byte{0, 9, 130, 7}, bytes.Repeat([]byte{2, 1, 0, 64, 9, 9, 5, 128}, 9), uint64(2))
	f.Add([]byte{255}, bytes.Repeat([]byte{1, 0}, 40), uint64(3))
	f.Fuzz(func(t *testing.T, peers, leases []byte, order uint64) {
		var p planned
		peers, leases = peers[:min(len(peers), 16)], leases[:min(len(leases), 200)]
		name := func(b byte) string {
			if b %= 20; b == 0 {
				return ""
			}
			return fmt.Sprint("w/", b)
		}
		for i, b := range peers {
			p.peers = append(p.peers, Peer{ID: name(byte(i + 1)), Cap: int(b % 8), Leaving: b >= 128})
		}
		for i := 0; i+1 < len(leases); i += 2 {
			to, flags := leases[i+1]%32, leases[i+1]/32
			p.leases = append(p.leases, Holding{
				Shard: fmt.Sprint("s", i), Owner: name(leases[i]), To: name(to), Rest: flags&1 > 0, Stale: flags == 6,
			})
		}
		p.sameShuffled(t, order)
		p.check(t, order%2 == 0)
	})
}

// Many streams of one shard each do not all fall to one member.
func TestPlanOfManyStreams(t *testing.T) {
	peers := []Peer{{ID: "a/1"}, {ID: "b/1"}, {ID: "c/1"}}
	got := map[string]int{}
	for i := range 300 {
		for _, p := range peers {
			got[p.ID] += len(Plan(fmt.Sprint("stream", i), p.ID, peers, []Holding{{Shard: "shardId-000000000000"}}, true).Claim)
		}
	}
	for _, p := range peers {
		if n := got[p.ID]; n < 70 || n > 130 {
			t.Errorf("%s gets %d of 300 streams with one shard each", p.ID, n)
		}
	}
}
