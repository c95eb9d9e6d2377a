package consumer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
)

// A stage is where a story is played: a fleet whose handlers write to one sink, which refuses what comes with an older epoch
// than it has seen of the shard.
type stage struct {
	f      *fleet
	began  time.Time
	actors map[string]*actor
	owners map[time.Duration]string // of the shards, when lines began
	since  time.Time                // the present line began
	late   chan func() error        // a release that is held up

	mu     sync.Mutex
	epochs map[string]int64 // that the sink has seen, by shard
}

// An actor is a worker of a story.
type actor struct {
	*replica
	s       *stage
	told    notices
	hold    atomic.Bool   // its next release is held up
	refused atomic.Int64  // by the sink
	dead    chan struct{} // closed when it is killed
	left    chan struct{} // closed when it has stopped; nil: it has not been asked to
	err     error         // of its run

	mu   sync.Mutex
	hail chan struct{} // closed when a batch is in the middle, where the worker is to freeze
	ice  chan struct{} // closed when it thaws; nil while it is not frozen
}

// play plays the story and returns the first line that is not true.
func (s *story) play(f *fleet) (failed error) {
	st := &stage{
		f: f, began: time.Now(), actors: map[string]*actor{}, owners: map[time.Duration]string{},
		late: make(chan func() error, 1), epochs: map[string]int64{},
	}
	ended := false
	for _, l := range s.lines {
		if l.end && !ended {
			ended = true
			failed = errors.Join(failed, st.end())
		}
		if failed != nil {
			break
		}
		if err := st.live(l); err != nil {
			failed = fmt.Errorf("line %d: %q: %w", l.n, l.text, err)
		}
	}
	if !ended {
		failed = errors.Join(failed, st.end())
	}
	return failed
}

// live plays one line.
func (s *stage) live(l storyLine) error {
	if !l.end {
		time.Sleep(time.Until(s.began.Add(l.from)))
		if _, ok := s.owners[l.from]; !ok {
			s.owners[l.from] = owners(s.f.t, s.f.store)
		}
	}
	if l.act != nil {
		return l.act(s, l.words)
	}
	s.since = time.Now()
	for {
		instead, over := l.ok(s, l.words), l.end || !time.Now().Before(s.began.Add(l.to))
		switch {
		case instead == "" && (over || !l.throughout):
			return nil
		case instead != "" && (over || l.throughout):
			return fmt.Errorf("%v after the beginning %s", time.Since(s.began), instead)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// start starts a worker.
func (s *stage) start(part, name string) {
	a := &actor{s: s, dead: make(chan struct{}), replica: &replica{f: s.f, name: name, link: &link{Store: s.f.store, f: s.f}}}
	a.running = start(s.f.t, s.f.srv, a.handle, consumer.WithGroup("g"), consumer.WithCheckpointer(way{a.link, a}),
		consumer.WithWorker(name), consumer.WithDrainTimeout(20*time.Second), consumer.WithNotify(a.told.add))
	s.actors[part] = a
}

// end lets the workers that are there handle the rest, and ends all.
func (s *stage) end() (failed error) {
	var there []*replica
	for part, a := range s.actors {
		a.mu.Lock()
		if a.ice != nil && !isClosed(a.ice) {
			close(a.ice)
		}
		a.mu.Unlock()
		if a.left == nil && !isClosed(a.dead) {
			there = append(there, a.replica)
			continue
		}
		if a.left != nil {
			<-a.left
			if a.err != nil {
				failed = errors.Join(failed, fmt.Errorf("%s ends with %w", part, a.err))
			}
		}
	}
	s.f.end(there...)
	for _, a := range s.actors {
		if isClosed(a.dead) {
			<-a.ended
		}
	}
	return failed
}

// leaves asks the worker to stop.
func (a *actor) leaves() {
	a.left = make(chan struct{})
	go func() {
		defer close(a.left)
		_, a.err = a.running.stop()
	}()
}

// dies ends the worker as a crash does: from now on nothing that it does has an effect.
func (a *actor) dies() {
	close(a.dead)
	a.link.cut.Store(true)
	a.cancel()
}

// freeze waits for a batch, and stops the process in the middle of it.
func (a *actor) freeze() error {
	hail := make(chan struct{})
	a.mu.Lock()
	a.hail, a.ice = hail, make(chan struct{})
	a.mu.Unlock()
	select {
	case <-hail:
		return nil
	case <-time.After(5 * time.Second):
		return errors.New("it handles nothing")
	}
}

func (a *actor) thaw() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ice == nil || isClosed(a.ice) {
		return errors.New("it is not frozen")
	}
	close(a.ice)
	return nil
}

// frozen waits while the process stands still.
func (a *actor) frozen() {
	a.mu.Lock()
	ice := a.ice
	if ice != nil && a.hail != nil && !isClosed(a.hail) {
		ice = nil // it has yet to come
	}
	a.mu.Unlock()
	if ice != nil {
		<-ice
	}
}

// handle handles a batch, and writes its outcome to the sink.
func (a *actor) handle(ctx context.Context, ev events.KinesisEvent) error {
	a.frozen()
	if isClosed(a.dead) || ctx.Err() != nil {
		return errNoWay
	}
	inv, _ := batch.InvocationFrom(ctx)
	f, began := a.f, time.Now()
	select {
	case <-time.After(f.work):
	case <-ctx.Done():
		return ctx.Err()
	case <-a.dead:
		return errNoWay
	}
	a.mu.Lock()
	if a.hail != nil && !isClosed(a.hail) {
		close(a.hail) // here
	}
	a.mu.Unlock()
	a.frozen()
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	if inv.Epoch < a.s.epochs[inv.Shard] {
		a.refused.Add(1)
		return errors.New("the sink has seen a later epoch")
	}
	a.s.epochs[inv.Shard] = inv.Epoch
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, rec := range ev.Records {
		f.log = append(f.log, fleetCall{
			worker: a.name, shard: inv.Shard, key: rec.Kinesis.PartitionKey, data: string(rec.Kinesis.Data), epoch: inv.Epoch,
			began: began, ended: time.Now(),
		})
	}
	return nil
}

// A way is a link whose releases can be held up, and over which a process that stands still sends nothing.
type way struct {
	*link
	a *actor
}

func (w way) Get(ctx context.Context, key string) (checkpoint.Entry, error) {
	w.a.frozen()
	return w.link.Get(ctx, key)
}

func (w way) List(ctx context.Context, prefix string) ([]checkpoint.Entry, error) {
	w.a.frozen()
	return w.link.List(ctx, prefix)
}

func (w way) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	w.a.frozen()
	if strings.Contains(e.Key, "/lease/") && decoded(e).Owner == "" && e.Revision != "" && w.a.hold.Swap(false) {
		w.a.s.late <- func() error {
			_, err := w.Store.Swap(context.Background(), e)
			return err
		}
		time.Sleep(time.Second)
		return e, errNoWay
	}
	return w.link.Swap(ctx, e)
}

// deliver lets the release that was held up arrive.
func (s *stage) deliver() error {
	select {
	case apply := <-s.late:
		if err := apply(); err != nil && !errors.Is(err, checkpoint.ErrConflict) {
			return err
		}
		return nil
	default:
		return errors.New("no release was held up")
	}
}

// cut takes the store away from all, or gives it back.
func (s *stage) cut(away bool) {
	for _, a := range s.actors {
		a.link.cut.Store(away || isClosed(a.dead))
	}
}

// A storyRow is the row of a shard, with its key.
type storyRow struct {
	row
	key string
}

// row returns the row of a shard; there may be none.
func (s *stage) row(n string) (r storyRow) {
	for key, value := range rowsBelow(s.f.t, s.f.store, "g/lease/") {
		if strings.HasSuffix(key, "/"+shardID(number(n))) {
			r.key = key
			if err := json.Unmarshal([]byte(value), &r.row); err != nil {
				s.f.t.Error(err)
			}
		}
	}
	return r
}

// states is what the member rows of a worker say.
func (s *stage) states(part string) (states []string) {
	for key, value := range memberRows(s.f.t, s.f.store) {
		if strings.HasPrefix(key, "g/member/"+s.actors[part].name+"/") {
			var m simRow
			if err := json.Unmarshal([]byte(value), &m); err != nil {
				s.f.t.Error(err)
			}
			states = append(states, m.St)
		}
	}
	return states
}

// remove deletes rows by hand.
func (f *fleet) remove(prefix string) error {
	list, err := f.store.List(context.Background(), prefix)
	if err == nil && (len(list) == 0 || prefix == "") {
		err = errors.New("there is no row")
	}
	for _, e := range list {
		err = errors.Join(err, f.store.Delete(context.Background(), e))
	}
	return err
}

// handled says what was begun since the present line, of a shard or of any.
func (s *stage) handled(shard string) string {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	for _, c := range s.f.log {
		if c.began.After(s.since) && (shard == "" || c.shard == shard) {
			return fmt.Sprintf("%s handles %s", c.worker, c.shard)
		}
	}
	return ""
}
