package consumer_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// A world is one seed while it runs: a stream with producers and somebody who reshards it, a store, and one process
// after the other that consumes.
type world struct {
	*history
	t       *testing.T
	plan    *plan
	srv     *kinesistest.Server
	shelf   *shelf
	late    sync.WaitGroup // store writes on their way
	unwinds sync.WaitGroup // processes that were cut off
	others  sync.WaitGroup // producers and resharder
	over    chan struct{}  // closed when producers and resharder stop
	quiet   chan struct{}  // closed when faults stop
	path    string         // of the store's file
	past    *world         // of the stream that had the name before; nil: none had
	played  *atomic.Pointer[world]

	// Guarded by the history's mutex.
	counts   map[string]int      // what happened
	attempts map[string]int      // by first sequence number
	done     map[string]bool     // records that have an outcome
	closed   map[string]bool     // in window mode, those that belong to a final call that is over
	dropped  map[string][]string // those that this life has given up in open windows, by shard
	ended    map[string]bool
	rows     map[string]row // by shard, as stored
	anchored bool           // the starting position is stored
	calls    int
	took     time.Duration  // from the last fault until all was settled
	requests map[string]int // by operation and shard
	process  *process

	placing sync.Mutex // held by who puts a record, or switches how they are placed
	auto    bool       // the service places them
	ranges  map[string]kinesistest.ShardInfo

	deliveries int
	puts       [producers + 1]int // by producer
	all        *truth             // once all is put
}

// A process is one life of the consumer.
type process struct {
	w      *world
	n      int
	plan   life
	dead   chan struct{} // closed when it is cut off
	due    chan struct{} // closed when it is to be stopped
	cancel context.CancelFunc
	exited chan struct{}
	err    error // of Run

	// Guarded by the history's mutex.
	seen     int            // events of the kind that life.upon names
	claimed  bool           // it has a shard, or had one
	stopping bool           // it has been asked to stop
	failed   map[string]int // failures that count, by request
}

const stream = "orders"

// run plays a plan to its end and returns what happened: a world, and a second one if the stream is created again. It is
// called in a bubble.
func (p *plan) run(t *testing.T, dir string) (worlds []*world) {
	srv := p.server()
	defer srv.Close()
	srv.SetShardEnd(p.shardEnd)
	srv.SetEmptyPages(p.emptyPages)
	srv.SetReadLimits(p.readLimits)
	w := p.world(t, srv, time.Now().Add(p.ageing()+p.warmup))
	w.path, w.played = filepath.Join(dir, "checkpoints"), new(atomic.Pointer[world])
	w.played.Store(w)
	srv.Control("*", func(r *kinesistest.Request) *kinesistest.Fault { return w.played.Load().fault(r) })
	w.openStore()
	w.age()
	w.busy()
	for last := w; last != nil; {
		worlds = append(worlds, last)
		last = last.play()
	}
	for _, w := range worlds {
		w.unwinds.Wait()
		w.late.Wait()
		w.scope(w.plan)
		w.made = w.truth()
	}
	if f, ok := worlds[len(worlds)-1].shelf.open.(*checkpoint.File); ok {
		f.Close()
	}
	return worlds
}

// world makes the world of a stream.
func (p *plan) world(t *testing.T, srv *kinesistest.Server, began time.Time) *world {
	w := &world{
		t: t, plan: p, srv: srv, over: make(chan struct{}), quiet: make(chan struct{}), auto: p.auto(-never),
		counts: map[string]int{}, attempts: map[string]int{}, done: map[string]bool{}, closed: map[string]bool{}, dropped: map[string][]string{},
		ranges: map[string]kinesistest.ShardInfo{}, ended: map[string]bool{}, rows: map[string]row{}, requests: map[string]int{},
		history: &history{began: began, features: p.features, parts: map[string][]part{}, places: map[string]int{}},
	}
	w.shelf = &shelf{w: w, versions: map[string][]version{}, calls: map[string]int{}}
	return w
}

// busy starts who writes to the stream and changes it.
func (w *world) busy() {
	for i := range producers {
		w.others.Go(func() { w.produce(i) })
	}
	w.others.Go(w.reshard)
	w.others.Go(w.distribute)
	w.others.Go(w.line)
	w.others.Go(w.step)
	w.others.Go(w.flood)
}

// play plays the lives of a world. It returns the world of the stream that has been created again, nil if none has.
func (w *world) play() *world {
	time.Sleep(time.Until(w.began))
	for i, l := range w.plan.lives {
		if n := w.plan.first + i; n > 0 && w.plan.file {
			w.reopen()
		}
		if next := w.plan.next; next != nil && i == len(w.plan.lives)-1 {
			return w.replace(w.plan.first+i, l, next)
		}
		w.live(w.plan.first+i, l)
		time.Sleep(l.pause)
	}
	if w.plan.file {
		w.reopen()
	}
	w.settle()
	w.shards = w.srv.Shards(stream)
	return nil
}

// server makes a server with the stream.
func (p *plan) server() *kinesistest.Server {
	srv := kinesistest.NewServer("another", 1)
	srv.SetClock(p.clock - time.Hour) // a stream keeps nothing that looks older than itself
	defer srv.SetClock(p.clock)
	srv.SetSeed(p.seed)
	p.create(srv)
	return srv
}

// create creates the stream.
func (p *plan) create(srv *kinesistest.Server) {
	switch {
	case !p.onDemand:
		srv.CreateStream(stream, scenarioShards)
	case p.auto(-never):
		srv.CreateOnDemand(stream, scenarioShards, kinesistest.Auto)
	default:
		srv.CreateOnDemand(stream, scenarioShards, kinesistest.UserPartitionKey)
	}
	if p.retention > 0 {
		srv.SetRetention(stream, p.retention)
	}
}

func (w *world) openStore() {
	var err error
	if w.shelf.open, err = w.plan.openStore(w.path); err != nil {
		w.t.Fatal(err)
	}
}

// reopen opens the store's file as the next process does. What was on its way is waited for: a file has no network.
func (w *world) reopen() {
	w.late.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.shelf.open.(*checkpoint.File).Close(); err != nil {
		w.t.Error(err)
	}
	w.openStore()
}

// live runs one process to its planned end.
func (w *world) live(n int, l life) {
	p := w.start(n, l)
	timer := time.NewTimer(l.after)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.dead:
	case <-p.due:
	case <-p.exited:
		p.fail("", "Run returned by itself: %v", p.err)
	}
	if l.clean {
		p.stop()
		return
	}
	w.mu.Lock()
	p.cut()
	w.mu.Unlock()
	p.cancel()
	w.unwinds.Go(func() { // what is left of it unwinds without effect
		limit := time.NewTimer(l.drain + 5*time.Second)
		defer limit.Stop()
		select {
		case <-p.exited:
		case <-limit.C:
			p.fail("", "Run did not return in time after it was cut off")
			<-p.exited
		}
	})
}

// calm reports whether nothing goes wrong any more.
func (w *world) calm() bool { return isClosed(w.quiet) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// settle lets producers and faults end, and a last process catch up and stop.
func (w *world) settle() {
	close(w.over)
	close(w.quiet)
	p := w.start(w.plan.first+len(w.plan.lives), life{settings: w.plan.last})
	w.others.Wait()
	for _, sh := range w.srv.Shards(stream) { // so that every shard is waited for
		if !sh.Closed {
			w.srv.PutHash(stream, "last of "+sh.ID, sh.HashStart, []byte("{}"))
		}
	}
	w.shards = w.srv.Shards(stream)
	calm := time.Now()
	for {
		shard, rest := w.unsettled()
		if rest == "" {
			break
		}
		if time.Since(calm) > settleTime {
			p.fail(shard, "within %v of the last fault, %s", settleTime, rest)
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	w.took = time.Since(calm)
	p.stop()
}

// settleTime is how long catching up may take. It holds the longest pauses after failures, but not the minute to the next
// audit: nothing may wait for that.
const settleTime = 55 * time.Second

// unsettled says what must be handled, or stored, and has not been yet; "" for nothing.
func (w *world) unsettled() (shard, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.scope(w.plan)
	if w.all == nil {
		w.all = w.truth()
	}
	for _, sh := range w.shards {
		for _, r := range w.all.shards[sh.ID].recs {
			switch {
			case !w.required(kinesistest.Record{Arrival: r.arrival}):
			case w.rows[sh.ID].covers(r) || r.unseen(&w.plan.last, w.now()):
			case !w.done[r.id]:
				return sh.ID, fmt.Sprintf("record %s has no outcome", r)
			case !w.closed[r.id]:
				return sh.ID, fmt.Sprintf("no final call has had record %s", r)
			}
		}
		if sh.Closed && !sh.Expired && w.inScope(sh) && !w.ended[sh.ID] {
			return sh.ID, fmt.Sprintf("the end of %s, closed after %v, is not stored", sh.ID, sh.ClosedAt.Sub(w.began))
		}
	}
	return "", ""
}

// start starts a process.
func (w *world) start(n int, l life) *process {
	p := &process{w: w, n: n, plan: l, dead: make(chan struct{}), due: make(chan struct{}), exited: make(chan struct{}), failed: map[string]int{}}
	w.mu.Lock()
	w.process = p
	clear(w.dropped)
	p.log(event{kind: evBegan, settings: &p.plan.settings})
	opts := append(w.plan.options(&l, w.began, w.anchored), w.plan.pushing(n)...)
	w.mu.Unlock()
	client := w.srv.Client(func(o *kinesis.Options) {
		next := o.HTTPClient
		if !w.plan.network {
			next = straight{w.srv}
		}
		o.HTTPClient, o.Credentials = wire{p.dead, next}, aws.AnonymousCredentials{} // a signature costs a tenth of a seed
	})
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	opts = append(opts, consumer.WithCheckpointer(drawer{w.shelf, p, w.shelf.open}),
		consumer.WithWorker(fmt.Sprintf("life%d", n)), consumer.WithLogger(scenarioLogger()), consumer.WithNotify(p.notify))
	if l.destination != "" {
		opts = append(opts, consumer.WithOnFailure(sink{p}))
	}
	c, err := p.consumer(client, opts...)
	if err != nil {
		w.t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		p.err = c.Run(ctx)
	}()
	return p
}

// scenarioLogger discards, unless SHARDLANE_SCENARIO_LOG is set.
func scenarioLogger() *slog.Logger {
	if os.Getenv("SHARDLANE_SCENARIO_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}

// stop ends a process as SIGTERM does.
func (p *process) stop() {
	w := p.w
	w.mu.Lock()
	p.log(event{kind: evStopped})
	p.stopping = true
	w.mu.Unlock()
	p.cancel()
	<-p.exited
	note := ""
	if p.err != nil {
		note = "error: " + p.err.Error()
	}
	w.mu.Lock()
	p.log(event{kind: evReturned, note: note})
	w.mu.Unlock()
}

// log appends an event of the process, unless it is cut off, and ends it if this is the event to do it upon. The
// caller holds mu.
func (p *process) log(e event) {
	e.life = p.n
	p.w.add(e)
	switch e.kind {
	case evEnded:
		p.w.ended[e.shard] = true
	case evClaimed:
		p.claimed = true
	}
	if p.plan.upon != e.kind {
		return
	}
	if p.seen++; p.seen == p.plan.nth && !p.isDead() {
		if p.plan.clean {
			close(p.due)
			return
		}
		p.w.counts["cut off upon "+e.kind]++
		p.cut()
	}
}

func (p *process) isDead() bool { return isClosed(p.dead) }

// cut cuts a process off: from here on, nothing it does has an effect. The caller holds mu.
func (p *process) cut() {
	if p.isDead() {
		return
	}
	p.w.add(event{life: p.n, kind: evCut})
	close(p.dead)
}

// fail notes that a process does not live as it should.
func (p *process) fail(shard, format string, args ...any) { p.breaks(ruleLive, shard, format, args...) }

// breaks notes a violation that the world sees itself.
func (p *process) breaks(rule, shard, format string, args ...any) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	what := fmt.Sprintf("life %d: ", p.n) + fmt.Sprintf(format, args...)
	p.w.seen = append(p.w.seen, violation{rule, what, len(p.w.events) - 1, "", shard})
}

func (w *world) sometimes(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what]++
}

// fault is the control function of the server: it logs reads, and draws faults.
func (w *world) fault(r *kinesistest.Request) *kinesistest.Fault {
	w.mu.Lock()
	who := r.Op + " " + r.Shard
	w.requests[who]++
	n := w.requests[who]
	if r.Op == "GetRecords" {
		w.add(event{life: w.process.n, kind: evRead, shard: r.Shard})
	}
	w.mu.Unlock()
	if w.calm() {
		return nil
	}
	as := w.plan.as(r.Op)
	name := w.plan.at(w.now(), as, who, n)
	if name == "stall" && !w.plan.network {
		return nil // nobody would give the line up
	}
	for _, f := range faults {
		if f.name == name && (f.op == "" || f.op == as) {
			w.sometimes("service: " + name)
			if as != r.Op {
				return pushedFault(name, r.Op, f.make)
			}
			return f.make()
		}
	}
	return nil
}
