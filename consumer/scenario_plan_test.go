package consumer_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// A plan is all that one seed of the scenario decides beforehand: settings, what goes wrong when, and how each life of
// the process ends. Whatever is decided while the scenario runs is a function of the seed and of what it is decided for,
// see roll, and not of the order in which goroutines come to ask.
type plan struct {
	seed uint64
	features

	start      consumer.Position
	atPast     time.Duration // of an AT_TIMESTAMP start: how long before the first life
	shardEnd   int           // empty answers before a shard's end is told
	emptyPages int
	readLimits bool
	push       bool // records are pushed, by enhanced fan-out
	network    bool // the in-memory network, else calls go straight to the server
	file       bool // a checkpoint.File, else a checkpoint.Memory
	staleLists bool

	keys    int
	rate    time.Duration // mean time between two records of a producer
	warmup  time.Duration // from the first record to the first life
	reshard []reshard
	bursts  []burst
	lives   []life
	last    settings // of the life that settles all

	next  *plan         // of the stream that takes the place of this one in the last life; nil: none does
	gap   time.Duration // until it does
	first int           // number of the first life
	salt  uint64        // what makes its rolls others than those of the plan before
}

// A reshard is a split or a merge of some shard, decided by pick among those that are open then.
type reshard struct {
	at    time.Duration
	merge bool
	pick  float64
}

// A burst is a time in which calls of some operations, or the store, fail at a rate.
type burst struct {
	from, to time.Duration
	op       string  // "GetRecords"; "*" for all, "store" for the store
	fault    string  // see faults
	rate     float64 // of the calls that it meets
}

// A life is one incarnation of the process: its settings, and how it ends, after a time, or earlier when something has
// happened.
type life struct {
	settings
	start consumer.Position // that it asks for, if the first one has anchored the stream
	after time.Duration
	upon  string        // kind of event upon which the process ends; "" for none
	nth   int           // the how manieth event of that kind
	clean bool          // it is stopped, and drains
	pause time.Duration // before the next one
}

const (
	scenarioCuts   = 19 // processes cut off without drain
	scenarioStops  = 5  // and stopped in between
	scenarioShards = 8
	producers      = 3
)

// newPlan draws the plan of a seed.
func newPlan(seed uint64) *plan {
	r := rand.New(rand.NewPCG(seed, 0x5ca1ab1e))
	p := &plan{
		seed:       seed,
		shardEnd:   pick(r, 0, 0, 1, 3),
		emptyPages: pick(r, 0, 0, 0, 1, 2),
		readLimits: r.IntN(3) == 0,
		network:    r.IntN(8) == 0,
		file:       r.IntN(8) == 0,
		staleLists: r.IntN(8) != 0,
		keys:       pick(r, 5, 40, 200),
		rate:       pick(r, 80*time.Millisecond, 160*time.Millisecond),
		warmup:     pick(r, 0, time.Second, 4*time.Second),
	}
	switch r.IntN(6) {
	case 0:
		p.start = consumer.TrimHorizon()
	case 1, 2:
		p.start, p.atPast = consumer.Position{}, time.Duration(r.Int64N(int64(p.warmup)+1))
	default:
		p.start = consumer.Latest()
	}
	p.drawFeatures()
	p.drawLives(r)
	p.drawReshards(r)
	p.drawBursts(r)
	p.drawSettings()
	p.drawNext()
	return p
}

func (p *plan) drawLives(r *rand.Rand) {
	between := func(a, b time.Duration) time.Duration { return a + time.Duration(r.Int64N(int64(b-a))) }
	for range scenarioCuts {
		l := life{after: between(200*time.Millisecond, 2*time.Second)}
		switch r.IntN(10) {
		case 0: // long enough for a checkpoint
			l.after = between(10200*time.Millisecond, 10800*time.Millisecond)
		case 1:
			l.after, l.upon, l.nth = 10500*time.Millisecond, evMarked, 1+r.IntN(4)
		case 2, 3, 4:
			l.after, l.upon = between(2*time.Second, 4*time.Second), pick(r, evEnded, evCreated, evClaimed, evSucceeded)
			l.nth = 1 + r.IntN(4)
			if l.upon == evSucceeded {
				l.nth = 1 + r.IntN(60)
			}
		}
		p.lives = append(p.lives, l)
	}
	for i := range scenarioStops {
		l := life{after: between(time.Second, 3*time.Second), clean: true}
		switch {
		case i < 2: // in a handler call
			l.upon, l.nth = evStart, 1+r.IntN(20)
		case i < 4 && !p.plain: // in a delivery
			l.upon, l.nth = evDelivery, 1+r.IntN(2)
			l.after += time.Second
		}
		i := r.IntN(len(p.lives) + 1)
		p.lives = append(p.lives[:i], append([]life{l}, p.lives[i:]...)...)
	}
	// The last one but that which settles all ends when a shard has: its heir may see an old list.
	p.lives = append(p.lives, life{after: 8 * time.Second, upon: evEnded, nth: 1})
	for i := range p.lives {
		p.lives[i].start = pick(r, consumer.Latest(), consumer.Latest(), consumer.TrimHorizon(), p.start)
		if i < len(p.lives)-1 && r.IntN(6) == 0 || i == 0 && r.IntN(2) == 0 {
			p.lives[i].pause = between(time.Second, 3*time.Second)
		}
	}
	if first := &p.lives[0]; !first.clean { // it reads before it ends, and when the next one begins, not all has a checkpoint
		first.after, first.upon = between(time.Second, 1500*time.Millisecond), ""
	}
	p.lives[1].start = consumer.Latest()
}

// length is how long faults and reshards go on, from the first life.
func (p *plan) length() time.Duration {
	var sum time.Duration
	for _, l := range p.lives {
		sum += l.after + l.pause
	}
	return sum
}

func (p *plan) drawReshards(r *rand.Rand) {
	for at := -p.warmup; at < p.length(); {
		at += 500*time.Millisecond + time.Duration(r.ExpFloat64()*float64(2*time.Second))
		p.reshard = append(p.reshard, reshard{at: at, merge: r.IntN(2) == 0, pick: r.Float64()})
		if r.IntN(6) == 0 { // at once again, likely of what nobody has read
			p.reshard = append(p.reshard, reshard{at: at + time.Millisecond, merge: r.IntN(2) == 0, pick: r.Float64()})
		}
	}
}

// faults of the service by name, and of which operation: "" for all.
var faults = []struct {
	name, op string
	make     func() *kinesistest.Fault
}{
	{"throttle", "", func() *kinesistest.Fault { return kinesistest.Throttle(1) }},
	{"500", "", func() *kinesistest.Fault { return kinesistest.Error("InternalFailure", 1) }},
	{"503", "", func() *kinesistest.Fault { return kinesistest.Error("ServiceUnavailable", 1) }},
	{"500 after", "", func() *kinesistest.Fault { return kinesistest.ErrorAfter("InternalFailure", 1) }},
	{"drop", "", func() *kinesistest.Fault { return kinesistest.Drop(1) }},
	{"drop after", "", func() *kinesistest.Fault { return kinesistest.DropAfter(1) }},
	{"truncate", "", func() *kinesistest.Fault { return kinesistest.Truncate(1) }},
	{"cut", "GetRecords", func() *kinesistest.Fault { return kinesistest.CutAfter(700, 1) }},
	{"stall", "GetRecords", func() *kinesistest.Fault { return kinesistest.StallAfter(700, 1) }},
	{"delay", "", func() *kinesistest.Fault { return kinesistest.Delay(700*time.Millisecond, 1) }},
	{"hang", "", func() *kinesistest.Fault { return kinesistest.Hang(1) }},
	{"expire", "GetRecords", func() *kinesistest.Fault { return kinesistest.ExpireIterators(1) }},
	{"empty", "GetRecords", func() *kinesistest.Fault { return kinesistest.EmptyPages(1) }},
	{"repeat", "GetRecords", func() *kinesistest.Fault { return kinesistest.RepeatPages(1) }},
	{"lag", "GetRecords", func() *kinesistest.Fault { return kinesistest.WrongLag(0, 1) }},
	{"childless", "GetRecords", func() *kinesistest.Fault { return kinesistest.HideChildren(1) }},
	{"list late", "ListShards", func() *kinesistest.Fault { return kinesistest.ListLate(2*time.Second, 1) }},
	{"short lists", "ListShards", func() *kinesistest.Fault { return kinesistest.ShortPages(3, 1) }},
}

// storeFaults are what a burst does to the store: before and after applying, applied after the error, and an error that
// says that the write was not applied.
var storeFaults = []string{"before", "after", "late", "refused"}

func (p *plan) drawBursts(r *rand.Rand) {
	add := func(op, fault string) {
		from := time.Duration(r.Int64N(int64(p.length())))
		rate := pick(r, 0.05, 0.3, 0.9)
		length := 500*time.Millisecond + time.Duration(r.Int64N(int64(3*time.Second)))
		if fault == "hang" || fault == "stall" {
			rate = 0.05
		}
		p.bursts = append(p.bursts, burst{from, from + length, op, fault, rate})
	}
	for range 10 + r.IntN(30) {
		f := faults[r.IntN(len(faults))]
		op := f.op
		if op == "" {
			op = pick(r, "GetRecords", "GetRecords", "GetShardIterator", "ListShards", "*")
		}
		add(op, f.name)
	}
	for range 4 + r.IntN(10) {
		add("store", storeFaults[r.IntN(len(storeFaults))])
	}
	always := func(fault string, rate float64) {
		p.bursts = append(p.bursts, burst{0, p.length(), "GetRecords", fault, rate})
	}
	always("throttle", pick(r, 0.01, 0.03))
	always("expire", pick(r, 0, 0.01, 0.03))
	always("childless", pick(r, 0, 0.5, 0.9)) // it changes the answer at a shard's end only
	for _, f := range storeFaults {           // and a little of each all the time
		p.bursts = append(p.bursts, burst{0, p.length(), "store", f, pick(r, 0, 0.01, 0.03)})
	}
	// What shows records that a read leaves out, or brings again.
	always("drop after", pick(r, 0.03, 0.06))
	always("empty", pick(r, 0.01, 0.03))
	always("repeat", pick(r, 0.01, 0.03))
}

// options are those of a life but for what belongs to its world. It asks for the plan's start until that is anchored.
func (p *plan) options(l *life, began time.Time, anchored bool) []consumer.Option {
	start := p.start
	if anchored {
		start = l.start
	}
	if start == (consumer.Position{}) {
		start = consumer.At(began.Add(min(0, p.clock) - p.atPast)) // by neither clock in the future
	}
	opts := []consumer.Option{consumer.WithGroup("scenario"), consumer.WithStartingPosition(start)}
	return slices.Concat(opts, p.features.options(), l.settings.options())
}

// at returns the burst that meets the n-th call of an operation about a subject, or "".
func (p *plan) at(now time.Duration, op, subject string, n int) string {
	for i, b := range p.bursts {
		if now < b.from || now >= b.to || b.op != op && (b.op != "*" || op == "store") {
			continue
		}
		if p.roll(fmt.Sprint("burst", i), subject, n) < b.rate {
			return b.fault
		}
	}
	return ""
}

// roll returns a number from 0 to 1 that depends on the seed and the arguments only.
func (p *plan) roll(what, about string, n int) float64 {
	h := (p.seed+p.salt)*0x9e3779b97f4a7c15 + uint64(n)*0xbf58476d1ce4e5b9 + 0x632be59bd9b4e019
	for _, s := range [...]string{what, about} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 0x100000001b3
		}
		h ^= h >> 29
	}
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return float64((h^h>>31)>>11) / (1 << 53)
}

// String prints the plan, one line each for settings, lives, reshards and bursts.
func (p *plan) String() string {
	var b strings.Builder
	start := p.start.String()
	if p.start == (consumer.Position{}) {
		start = fmt.Sprintf("AT_TIMESTAMP -%v", p.atPast)
	}
	fmt.Fprintf(&b, "start %s, shard end after %d, empty pages %d, read limits %v, network %v, file %v, stale lists %v, %d keys, "+
		"a record every %v, warm-up %v\n",
		start, p.shardEnd, p.emptyPages, p.readLimits, p.network, p.file, p.staleLists, p.keys, p.rate, p.warmup)
	fmt.Fprintf(&b, "features: %s\n", &p.features)
	for i, l := range p.lives {
		fmt.Fprintf(&b, "life %d: %v", p.first+i, l.after.Round(time.Millisecond))
		if l.upon != "" {
			fmt.Fprintf(&b, "|%s#%d", l.upon, l.nth)
		}
		if l.clean {
			b.WriteString(" clean")
		}
		fmt.Fprintf(&b, ", pause %v", l.pause.Round(time.Millisecond))
		if i == 0 || fmt.Sprint(l.settings) != fmt.Sprint(p.lives[i-1].settings) {
			fmt.Fprintf(&b, ", %s", &l.settings)
		}
		b.WriteByte('\n')
	}
	if p.next != nil {
		fmt.Fprintf(&b, "in the last of them the stream is deleted, and created again after %v\nbursts:", p.gap)
	} else {
		fmt.Fprintf(&b, "last life: %s\nbursts:", &p.last)
	}
	for _, x := range p.bursts {
		fmt.Fprintf(&b, " %v-%v %s %s %.2f;", x.from.Round(time.Millisecond), x.to.Round(time.Millisecond), x.op, x.fault, x.rate)
	}
	return b.String()
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// openStore returns the store of a scenario, and how a new process opens it again.
func (p *plan) openStore(path string) (checkpoint.Store, error) {
	if !p.file {
		return new(checkpoint.Memory), nil
	}
	return checkpoint.OpenFile(path)
}
