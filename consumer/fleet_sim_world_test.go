package consumer_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// A simWorld is one seed while it is played: a stream, a store, and workers that come and go.
type simWorld struct {
	t     *testing.T
	plan  *simPlan
	srv   *kinesistest.Server
	store *checkpoint.Memory
	turns *simTurns
	began time.Time
	quiet chan struct{}  // closed when faults stop
	ends  chan struct{}  // closed when nothing is put any more
	late  sync.WaitGroup // writes on their way, and handlers, which may outlast their workers
	busy  sync.WaitGroup // steps and workers that come to their end

	mu        sync.Mutex
	log       []simEvent
	versions  map[string][]simVersion // of rows, by key
	rows      map[string]row          // of shards
	slots     []*simLife              // nil: free
	starts    []int                   // by slot
	down      time.Duration           // until when the store is
	hangs     bool                    // and then its calls hang, and are not refused
	armed     []simStep               // that wait for a write
	throttled time.Duration           // until when reads are
	calls     int
	reader    string // the worker whose call of the service is under way
	counts    map[string]int
	found     []simBreach // by the world itself
	shards    []kinesistest.ShardInfo
	calmed    time.Duration // when faults stopped
	still     time.Duration // from when on nothing may change hands
}

// A simLife is one worker, from its start to its end.
type simLife struct {
	w      *simWorld
	name   string
	slot   int
	dead   chan struct{} // closed when it is killed
	cancel context.CancelFunc
	exited chan struct{}
	err    error

	// Guarded by the world's mutex.
	paused  time.Duration // until when its way to the store is
	frozen  time.Duration // until when it stands still before each handler and each write
	beat    time.Duration // it is paused for so long behind its next heartbeat
	silent  time.Duration // the same of the stream
	stopped bool
}

// A simEvent is one line of the log: what the fakes and the handlers saw.
type simEvent struct {
	at     time.Duration
	kind   string
	who    string // a worker
	shard  string
	call   int
	recs   []simRec      // of a handler
	epoch  int64         // that a handler is told
	held   time.Duration // for how long a handler stood still before its start
	late   bool          // a write that was on its way for a while
	n      int           // records that are done
	row    row
	member string // its id
	st     string
	note   string
}

type simRec struct {
	seq, key string
	n        int
}

// The kinds of events beside those of the scenario.
const (
	simMember   = "member"  // a row of a worker is written
	simDeleted  = "deleted" // a row
	simCreated  = evCreated
	simAnchored = evAnchored
	simDone     = "context" // of a handler ends
	simHeld     = "held"    // a handler, before its start
	simDown     = "down"    // the store, for n
	simStray    = "stray"   // read by a worker whose the shard is not
	simNemesis  = "nemesis" // does something
	simPaused   = "paused"  // its way to the store, for n
)

func (w *simWorld) now() time.Duration { return time.Since(w.began) }
func (w *simWorld) calm() bool         { return isClosed(w.quiet) }

func (w *simWorld) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what]++
}

// note logs an event of a worker, unless it is dead.
func (w *simWorld) note(l *simLife, e simEvent) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l != nil {
		if isClosed(l.dead) {
			return false
		}
		e.who = l.name
	}
	e.at = w.now()
	w.log = append(w.log, e)
	return true
}

// play plays a plan in a bubble.
func (p *simPlan) play(t *testing.T, traced bool) *simWorld {
	srv := kinesistest.NewServer(stream, p.shards)
	defer srv.Close()
	srv.SetSeed(p.seed)
	srv.SetReadLimits(true)
	srv.SetLatency(0) // it is that of the way there
	w := &simWorld{
		t: t, plan: p, srv: srv, store: new(checkpoint.Memory), turns: newSimTurns(p.seed, traced), began: time.Now(), quiet: make(chan struct{}), ends: make(chan struct{}),
		versions: map[string][]simVersion{}, rows: map[string]row{}, counts: map[string]int{}, slots: make([]*simLife, p.workers), starts: make([]int, p.workers),
	}
	srv.Control("GetRecords", func(r *kinesistest.Request) *kinesistest.Fault {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.reader != workerOf(w.rows[r.Shard].Owner) {
			w.log = append(w.log, simEvent{at: w.now(), kind: simStray, who: w.reader, shard: r.Shard})
		}
		if w.now() < w.throttled {
			w.counts["read throttled"]++
			return kinesistest.Throttle(1)
		}
		return nil
	})
	go w.turns.give()
	defer w.turns.end()
	produced := make(chan struct{})
	go func() { defer close(produced); w.produce() }()
	for _, s := range p.script {
		if s.at >= p.over {
			break
		}
		w.turns.sleep(s.at-w.now(), "nemesis")
		if s.on != "" {
			w.arm(s)
			continue
		}
		w.step(s)
	}
	w.turns.sleep(p.over-w.now(), "nemesis")
	w.disarm()
	w.settle(produced)
	w.busy.Wait()
	w.late.Wait()
	return w
}

func (w *simWorld) produce() {
	tick := time.NewTicker(w.plan.pace)
	defer tick.Stop()
	for n := 0; ; n++ {
		w.turns.wait("producer")
		if isClosed(w.ends) {
			return
		}
		w.srv.Put(stream, fmt.Sprint("key", int(w.plan.roll("key", n)*float64(w.plan.keys))), fmt.Append(nil, n))
		select {
		case <-tick.C:
		case <-w.ends:
		}
	}
}

// step does one line of the script.
func (w *simWorld) step(s simStep) {
	w.mu.Lock()
	l := w.slots[s.slot]
	w.mu.Unlock()
	if did := w.nemesis(s, l); did {
		w.count(s.op)
	}
}

func (w *simWorld) nemesis(s simStep, l *simLife) (did bool) {
	w.note(nil, simEvent{kind: simNemesis, note: strings.TrimSpace(s.String())})
	switch s.op {
	case simStart:
		return w.start(s.slot) != nil
	case simOutage:
		w.until(&w.down, s.d)
		w.hang(s.pick < 0.6)
		w.note(nil, simEvent{kind: simDown, n: int(s.d)})
		return true
	case simThrottle:
		w.until(&w.throttled, s.d)
		return true
	case simSplit, simMerge, simMergeBusy:
		return w.reshard(s)
	case simNoLease:
		return w.loseLease(s, "")
	}
	if l == nil {
		return false
	}
	switch s.op {
	case simKill:
		w.vacate(l)
		l.kill()
		w.replace(s)
	case simStop:
		w.vacate(l)
		w.busy.Go(l.stop)
		w.replace(s)
	case simPause:
		w.until(&l.paused, s.d)
		w.note(l, simEvent{kind: simPaused, n: int(s.d)})
	case simBeat:
		w.mu.Lock()
		l.beat = s.d
		w.mu.Unlock()
	case simFreeze:
		w.until(&l.frozen, s.d)
		w.note(l, simEvent{kind: simPaused, n: int(s.d)})
	case simSilence:
		w.until(&l.silent, s.d)
	case simNewFirst:
		w.vacate(l)
		w.start(s.slot)
		w.busy.Go(func() { time.Sleep(s.d); l.stop() })
	case simOldFirst:
		w.vacate(l)
		w.busy.Go(func() {
			l.stop()
			w.start(s.slot)
		})
	case simNoMember:
		return w.loseMember(l)
	case simNoMine:
		return w.loseLease(s, l.name)
	}
	return true
}

// vacate frees the place of a worker, if it still has it.
func (w *simWorld) vacate(l *simLife) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.slots[l.slot] == l {
		w.slots[l.slot] = nil
	}
}

// until makes something last for a while from now on, and not beyond the end of all faults.
func (w *simWorld) until(what *time.Duration, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*what = max(*what, min(w.now()+d, w.plan.over))
}

// start starts a worker in a place, if that is free.
func (w *simWorld) start(slot int) *simLife {
	w.mu.Lock()
	if w.slots[slot] != nil {
		w.mu.Unlock()
		return nil
	}
	w.starts[slot]++
	l := &simLife{w: w, name: string(rune('a'+slot)) + strconv.Itoa(w.starts[slot]), slot: slot, dead: make(chan struct{}), exited: make(chan struct{})}
	w.slots[slot] = l
	w.mu.Unlock()
	w.note(l, simEvent{kind: evBegan})
	client := w.srv.Client(func(o *kinesis.Options) {
		o.HTTPClient, o.Credentials = simWire{l}, aws.AnonymousCredentials{}
	})
	c, err := l.consumer(client, consumer.WithGroup("g"), consumer.WithCheckpointer(simLink{w, l}), consumer.WithWorker(l.name),
		consumer.WithStartingPosition(consumer.TrimHorizon()), consumer.WithDrainTimeout(w.plan.drain), consumer.WithBatchSize(w.plan.batch),
		consumer.WithParallelizationFactor(w.plan.factor), consumer.WithSeed(mixed(w.plan.seed, l.name, 0)),
		consumer.WithBackoff(100*time.Millisecond, 2, 5*time.Second), consumer.WithLogger(scenarioLogger()), consumer.WithNotify(l.told))
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	go func() {
		defer close(l.exited)
		l.err = c.Run(ctx)
	}()
	return l
}

// wait waits, unless the caller or the worker gives up, and then for its turn to do something.
func (l *simLife) wait(ctx context.Context, d time.Duration, what string) error {
	if isClosed(l.dead) {
		return errCut
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-l.dead:
	}
	l.w.turns.wait(l.name + " " + what)
	if isClosed(l.dead) {
		return errCut
	}
	return ctx.Err()
}

// told counts what a worker tells of. None of it counts for the rules.
func (l *simLife) told(n consumer.Notice) {
	if !isClosed(l.dead) {
		l.w.count("told: " + n.Name)
		l.w.mu.Lock()
		defer l.w.mu.Unlock()
		if n.Name == "DrainTimedOut" && !l.stopped {
			l.w.counts["hand-over reached the drain timeout"]++
		}
	}
}

// kill cuts a worker off from everything. What is left of it unwinds without effect.
func (l *simLife) kill() {
	l.w.mu.Lock()
	l.w.log = append(l.w.log, simEvent{at: l.w.now(), kind: evCut, who: l.name})
	close(l.dead)
	l.w.mu.Unlock()
	l.cancel()
	l.w.busy.Go(func() { <-l.exited })
}

// sends counts a write that takes effect later.
func (l *simLife) sends(late *sync.WaitGroup) bool {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if isClosed(l.dead) {
		return false
	}
	late.Add(1)
	return true
}

// stop ends a worker as SIGTERM does.
func (l *simLife) stop() {
	w := l.w
	w.turns.wait(l.name + " is stopped")
	w.mu.Lock()
	l.stopped = true
	w.mu.Unlock()
	w.note(l, simEvent{kind: evStopped})
	began := w.now()
	l.cancel()
	<-l.exited
	w.turns.wait(l.name + " has stopped")
	note := ""
	if l.err != nil {
		note = l.err.Error()
	}
	w.note(l, simEvent{kind: evReturned, note: note})
	if took := w.now() - began; took > w.plan.drain+10*time.Second {
		w.breach(simStops, "", "%s returns %v after it was asked to", l.name, took)
	}
}
