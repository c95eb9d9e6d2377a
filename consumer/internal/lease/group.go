package lease

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
)

// maxOffers is how many offers a member row has room for, with the longest names
// that are likely. An owner that is not told of is a claim that comes later.
const maxOffers = 200

// A Group is this worker's membership in a consumer group: its own row, which
// Run keeps alive, and what the rows of the others say. It is safe for
// concurrent use.
//
// The hooks are set before Run, are called from its goroutines, at once perhaps,
// and must return soon; none needs to be set.
type Group struct {
	Trouble func(op string, err error) // an operation failed: "heartbeat", "members", "member <id>", "fence <id>", "collect"; nil: it works again
	Fenced  func(id string)            // this worker has declared a member dead
	Over    func(id string, err error) // this incarnation is dead, and why; a new one joins
	Twin    func(id string)            // another live member has this worker's name

	store, reserved checkpoint.Store
	name, worker    string
	incarnation     func() string
	exclusive       bool
	wrote           marks
	kick            chan struct{} // holds one element: the own row has news
	rouse           chan struct{} // the same: the watch has something to look at
	heart           *heart        // of Run; of Leave when Run has ended

	mu       sync.Mutex
	tenure   *Tenure // nil before the join, and between two incarnations
	self     string  // the member id that joins or has joined
	acked    time.Time
	streams  map[string]posted // served
	chg      int64
	retired  bool
	news     int64     // counts what is to be told at once
	fresh    time.Time // since when there is some that no heartbeat has taken along
	others   []Peer
	standing []string // as in View
	read     bool     // the list of members was read once
	ids      []string
	since    time.Time // ids are unchanged
	settled  bool
	changes  chan struct{}
	departed bool // Leave was called
}

// posted is what a stream says of itself.
type posted struct {
	settings string // a short hash of those by which it is handled
	held     int
	offers   []Offer
}

// NewGroup returns the membership of worker in the group called name. Heartbeats
// go through reserved, which shows the same rows as store and may be store
// itself. incarnation returns a new random name at each call, without a slash.
func NewGroup(store, reserved checkpoint.Store, name, worker string, incarnation func() string) *Group {
	g := &Group{
		store: store, reserved: reserved, name: name, worker: worker, incarnation: incarnation,
		kick: make(chan struct{}, 1), rouse: make(chan struct{}, 1),
		streams: make(map[string]posted), changes: make(chan struct{}),
	}
	if x, ok := store.(interface{ Exclusive() bool }); ok && x.Exclusive() {
		g.exclusive, g.read, g.settled = true, true, true
		g.self = worker + "/" + incarnation()
		g.tenure = newTenure(store, name, g.self, &g.wrote, true)
	}
	return g
}

// Exclusive reports whether nobody else can have the store open: there are no
// member rows then, and one Tenure that is valid for ever.
func (g *Group) Exclusive() bool { return g.exclusive }

// Tenure returns the present incarnation; nil until its row was seen stored.
func (g *Group) Tenure() *Tenure {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.tenure
}

// Changes is closed at the next change of the tenure or of what View says of
// others.
func (g *Group) Changes() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changes
}

// A View is what a worker knows of its group. Peers are the live members, this
// one among them, by id; there are none until this one has joined and has read
// the rows of the others. Settled means that the same ones have been there for two
// heartbeats.
type View struct {
	Self    string
	Peers   []Peer
	Settled bool

	standing []string // members, sorted, whose rows do not say that they are dead
}

// View returns what is known now.
func (g *Group) View() View {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.tenure == nil || !g.read {
		return View{}
	}
	peers := append(slices.Clip(g.others), g.row().peer(g.tenure.owner))
	slices.SortFunc(peers, func(a, b Peer) int { return strings.Compare(a.ID, b.ID) })
	return View{Self: g.tenure.owner, Peers: peers, Settled: g.settled, standing: g.standing}
}

// Gone reports whether owner, whom a lease names, is nobody, is dead, or has no
// row that is known: the lease may be claimed, and Claim finds out. It is false
// for who is no peer and not dead yet.
func (v View) Gone(owner string) bool {
	if owner == v.Self {
		return owner == ""
	}
	_, found := slices.BinarySearch(v.standing, owner)
	return !found
}

// Serving returns the peers that serve stream.
func (v View) Serving(stream string) []Peer {
	return slices.DeleteFunc(slices.Clone(v.Peers), func(p Peer) bool { return !slices.Contains(p.Streams, stream) })
}

// Serve says that this worker serves stream, by settings whose hash is shown to the others; it may be empty.
func (g *Group) Serve(stream, settings string) {
	g.tell(func() bool {
		now, known := g.streams[stream]
		now.settings = settings
		g.streams[stream] = now
		return !known
	})
}

// Quit takes Serve back.
func (g *Group) Quit(stream string) {
	g.tell(func() bool {
		_, known := g.streams[stream]
		delete(g.streams, stream)
		return known
	})
}

// Post says how many leases of a stream that is served this worker holds, and
// which of them it offers: their shards alone, as Plan has them. New offers are
// told at once, the rest by the next heartbeat.
func (g *Group) Post(stream string, held int, offers []Offer) {
	offers = slices.Clone(offers)
	for i := range offers {
		offers[i].Lease = stream + "/" + offers[i].Lease
	}
	g.tell(func() bool {
		old, served := g.streams[stream]
		if !served {
			return false
		}
		g.streams[stream] = posted{old.settings, held, offers}
		return slices.ContainsFunc(offers, func(o Offer) bool { return !slices.Contains(old.offers, o) })
	})
}

// Touch says, at once, that this worker has changed the set of leases: others
// look at the rows of the leases.
func (g *Group) Touch() { g.tell(func() bool { g.chg++; return true }) }

// Retire says, at once, that this worker leaves: it takes nothing more.
func (g *Group) Retire() {
	g.tell(func() bool {
		was := g.retired
		g.retired = true
		return !was
	})
}

// tell changes what the own row says; change returns whether it is urgent.
func (g *Group) tell(change func() bool) {
	g.mu.Lock()
	urgent := change()
	if urgent {
		g.news++
		if g.fresh.IsZero() {
			g.fresh = time.Now()
		}
	}
	g.mu.Unlock()
	if urgent {
		knock(g.kick)
	}
}

// row returns what the own row is to say. It is called under mu.
func (g *Group) row() member {
	m := member{v: Version, st: alive, weight: 1, chg: g.chg, streams: slices.Sorted(maps.Keys(g.streams))}
	if g.retired {
		m.st = leaving
	}
	for _, stream := range m.streams {
		m.held += g.streams[stream].held
		m.settings = append(m.settings, g.streams[stream].settings)
		m.offers = append(m.offers, g.streams[stream].offers...)
	}
	slices.SortFunc(m.offers, func(a, b Offer) int {
		return cmp.Or(strings.Compare(a.Lease, b.Lease), strings.Compare(a.To, b.To))
	})
	m.offers = m.offers[:min(len(m.offers), maxOffers)]
	return m
}

// joined takes note of a tenure; nil: of its end.
func (g *Group) joined(t *Tenure) {
	g.mu.Lock()
	g.tenure = t
	g.refresh(true)
	g.mu.Unlock()
	knock(g.rouse)
}

// refresh works out what is derived, and tells those who wait for a change. It
// is called under mu.
func (g *Group) refresh(changed bool) {
	var ids []string
	if g.tenure != nil && g.read {
		ids = append(ids, g.tenure.owner)
		for _, p := range g.others {
			ids = append(ids, p.ID)
		}
		slices.Sort(ids)
	}
	now := time.Now()
	if !slices.Equal(ids, g.ids) {
		g.ids, g.since, changed = ids, now, true
	}
	settled := len(ids) > 0 && now.Sub(g.since) >= 2*Beat
	if changed || settled != g.settled {
		close(g.changes)
		g.changes = make(chan struct{})
	}
	g.settled = settled
}

// knock wakes whoever listens to c, now or when it next looks.
func knock(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// pause waits until a time, a knock or the end of ctx. It returns false at the
// latter.
func pause(ctx context.Context, until time.Time, knocked <-chan struct{}) bool {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-knocked:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// Complaints tell of failures, and once that each is over.
type complaints struct {
	tell func(op string, err error) // may be nil
	open map[string]bool
}

// note tells of err, or that op works, if it did not before.
func (c *complaints) note(op string, err error) {
	if err == nil && !c.open[op] {
		return
	}
	if c.open == nil {
		c.open = make(map[string]bool)
	}
	if err == nil {
		delete(c.open, op)
	} else {
		c.open[op] = true
	}
	if c.tell != nil {
		c.tell(op, err)
	}
}
