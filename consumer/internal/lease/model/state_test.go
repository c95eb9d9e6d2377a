package model

const (
	term    = 3 // ticks without a change after which a member may be fenced
	valid   = 2 // ticks after the send of a heartbeat for which a worker may start handlers
	lives   = 2 // incarnations of a worker that rows may name at a time
	members = 2 * lives
	leases  = 2
	flights = 2 // letters under way at a time
	ended   = 3 // the checkpoint of a shard that was read to its end
	now     = 2 // the epoch of each row in a canonical state; older ones are 1
)

// status is that of a member row.
type status uint8

const (
	absent status = iota
	alive
	leaving
	lost
	dead
)

// member is a row of the group. Its number is worker × lives + life.
type member struct {
	st   status
	age  uint8 // ticks since it changed
	sent uint8 // ticks since the write was sent that it shows
	old  bool  // it shows a join of a worker that knew at the time that another one had applied
}

// row is that of a lease.
type row struct {
	there            bool
	owner, epoch, ck uint8 // owner: a member's number + 1, 0 for nobody
}

// revision is what a worker knows of a row's.
type revision uint8

const (
	void    revision = iota // nothing: it has to read
	current                 // what the row has
	stale                   // one that the row had
)

// worker is a process.
type worker struct {
	up, frozen      bool
	me              uint8 // its member row
	joined, leaving bool
	over            bool // it knows that this incarnation is dead
	ack             uint8
	rev             revision // of its member row
}

// phase is how a worker stands to a lease.
type phase uint8

const (
	none      phase = iota
	claiming        // waits for the answer to a claim
	held            // may work
	releasing       // waits for the answer to a release or end
	unsure          // the result of its release or end is unknown
	undoing         // as unsure, and waits for the answer to a claim that undoes it
)

// delivery is where a handler of a lease is.
type delivery uint8

const (
	idle    delivery = iota
	checked          // validity was checked
	inside           // the handler runs
)

// holding is a worker's side of a lease.
type holding struct {
	ph              phase
	rev             revision
	epoch, ck, done uint8 // as stored, as far as it knows; outcomes
	in              delivery
	late            bool // the worker was frozen past term − valid with a handler in there
}

// op is what a letter asks of the store.
type op uint8

const (
	nothing op = iota
	join
	beat
	leave
	fence
	bury
	claim
	checkpoint
	release
	end
	child // puts the row of the child
)

// condition is what has to be so for a write to apply.
type condition uint8

const (
	unchanged condition = iota // the row has the revision that the writer saw
	changed                    // it had it: the write cannot apply
	ifAbsent
	sameOwner // only in mutants
	always    // only in mutants
)

// answer is what the store said.
type answer uint8

const (
	open answer = iota
	applied
	conflict
)

// letter is a write that was sent. After it has applied, unchanged means that the row is still as it left it.
type letter struct {
	op        op
	from, to  uint8 // a member; a member or members + a lease
	cond      condition
	was       uint8 // the owner that it saw
	st        status
	epoch, ck uint8
	age       uint8 // ticks since it was sent, of a join or beat
	waited    bool  // the sender waits for the answer
	said      answer
}

// state is all there is. It holds no pointers: states compare with ==.
type state struct {
	members [members]member
	rows    [leases]row
	workers [2]worker
	holds   [2][leases]holding
	net     [flights]letter
	faults  uint8 // that may still happen
}

// canonical brings states that behave alike to one form.
func (s *state) canonical() {
	s.tidy()
	for w := range s.workers {
		p := &s.workers[w]
		if !p.over || s.busy(w) {
			continue
		}
		p.ack = 0
		if me, ok := s.life(w); ok {
			*p = worker{up: true, me: me, frozen: p.frozen} // it joins again
			s.tidy()
		}
	}
	for l := range s.rows {
		r := &s.rows[l]
		if !r.there {
			continue
		}
		// Of an epoch only matters whether it is the row's, the next or an older one.
		relative := func(e uint8) uint8 { return uint8(max(1, now-int(r.epoch)+int(e))) }
		for w := range s.holds {
			if h := &s.holds[w][l]; h.epoch != 0 {
				h.epoch = relative(h.epoch)
			}
		}
		for i := range s.net {
			if n := &s.net[i]; n.op != nothing && n.lease() == l {
				n.epoch = relative(n.epoch)
			}
		}
		r.epoch = now
	}
	for i := range s.net {
		if s.net[i].cond == changed && s.net[i].said != applied {
			n := &s.net[i]
			n.st, n.epoch, n.ck, n.age, n.was = 0, 0, 0, 0, 0
		}
	}
	for i := 1; i < len(s.net); i++ {
		for j := i; j > 0 && s.net[j-1].pack() < s.net[j].pack(); j-- {
			s.net[j-1], s.net[j] = s.net[j], s.net[j-1]
		}
	}
}

// tidy clears what nobody can ask for any more of the members' rows.
func (s *state) tidy() {
	for i := range s.members {
		m, p := &s.members[i], s.workers[i/lives]
		if m.st == dead && !s.named(uint8(i)) {
			m.st = absent
		}
		if m.st == dead || m.st == absent {
			m.age = 0
		}
		if m.st == dead || m.st == absent || !p.up || p.over || p.me != uint8(i) {
			m.sent, m.old = 0, false
		}
	}
}

// lease returns the number of the lease that a letter is about, below 0 if it is about a member.
func (n letter) lease() int { return int(n.to) - members }

func (n letter) pack() uint64 {
	var p uint64
	for _, f := range [...]uint8{uint8(n.op), n.from, n.to, uint8(n.cond), n.was, uint8(n.st), n.epoch, n.ck, n.age, uint8(n.said)} {
		p = p<<4 | uint64(f)
	}
	p <<= 1
	if n.waited {
		p |= 1
	}
	return p
}

// forget removes the i-th letter.
func (s *state) forget(i int) { s.net[i] = letter{} }

// busy reports whether a worker has a handler somewhere.
func (s *state) busy(w int) bool {
	for _, h := range s.holds[w] {
		if h.in != idle {
			return true
		}
	}
	return false
}

// named reports whether a process, a letter or a lease is or names a member.
func (s *state) named(m uint8) bool {
	if p := s.workers[m/lives]; p.up && p.me == m {
		return true
	}
	for _, n := range s.net {
		if n.op != nothing && (n.from == m || n.to == m || n.was == m+1) {
			return true
		}
	}
	return s.owns(m)
}

// owns reports whether a lease names a member.
func (s *state) owns(m uint8) bool {
	for _, r := range s.rows {
		if r.owner == m+1 {
			return true
		}
	}
	return false
}

// life returns a member of a worker that has no row and that nothing names. It stands for a new incarnation.
func (s *state) life(w int) (uint8, bool) {
	for me := uint8(w * lives); me < uint8((w+1)*lives); me++ {
		if s.members[me].st == absent && !s.named(me) {
			return me, true
		}
	}
	return 0, false
}

// room returns where another letter can go, false if there is no room.
func (s *state) room() (int, bool) {
	for i, n := range s.net {
		if n.op == nothing {
			return i, true
		}
	}
	return 0, false
}

// waits reports whether a worker waits for an answer about a row.
func (s *state) waits(w int, to uint8) bool {
	for _, n := range s.net {
		if n.op != nothing && n.waited && int(n.from)/lives == w && n.to == to {
			return true
		}
	}
	return false
}
