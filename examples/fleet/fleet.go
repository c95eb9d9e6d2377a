package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// A fleet is a stream, the workers that consume it, and whoever puts records into it.
type fleet struct {
	settings
	dir    string
	group  string
	server *kinesistest.Server
	client *kinesis.Client
	began  time.Time

	processes []*process // all that there ever were, in the order of their starts

	mu  sync.Mutex
	put map[string]int // by key: the number of its last record
}

// perSecond is how many records are put in a second, 10 at a time.
const perSecond = 400

// newFleet makes a stream and a store, without a worker and a record.
func newFleet(ctx context.Context, s settings) (*fleet, error) {
	dir, err := os.MkdirTemp("", "shardlane-fleet-")
	if err != nil {
		return nil, err
	}
	if s.store.Kind == "sqlite" && s.store.DSN == "" {
		s.store.DSN = filepath.Join(dir, "store.db")
	}
	f := &fleet{settings: s, dir: dir, group: "fleet-" + strconv.FormatInt(time.Now().UnixNano(), 36), put: map[string]int{}, began: time.Now()}
	if err := s.store.create(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	f.server = kinesistest.NewServer(stream, s.shards)
	f.server.SetRetention(stream, 10*time.Minute) // so that in a long soak shards vanish
	f.client = f.server.Client()
	return f, nil
}

// close ends what still runs, and removes what the fleet has left: its files unless they are to be looked at.
func (f *fleet) close(keep bool) error {
	for _, p := range f.processes {
		if !p.gone() {
			_ = p.kill()
		}
	}
	f.server.Close()
	err := f.store.clear(context.Background(), f.group)
	if keep {
		return err
	}
	return errors.Join(err, os.RemoveAll(f.dir))
}

// start starts a worker.
func (f *fleet) start(name string) error {
	p, err := launch(f.dir, &worker{Name: name, Group: f.group, Kinesis: f.server.URL(), Store: f.store, Unlucky: f.unlucky}, len(f.processes)+1)
	if err != nil {
		return err
	}
	f.processes = append(f.processes, p)
	return nil
}

// alive are the processes that run.
func (f *fleet) alive() (alive []*process) {
	for _, p := range f.processes {
		if !p.gone() {
			alive = append(alive, p)
		}
	}
	return alive
}

// read takes in what the workers have written. It fails if one of them has ended without being asked.
func (f *fleet) read() error {
	for _, p := range f.processes {
		if err := p.reader.read(); err != nil {
			return err
		}
		if p.gone() && p.killed.IsZero() && p.err != nil {
			return fmt.Errorf("%s ended: %w; see %s", p.name, p.err, f.dir)
		}
	}
	return nil
}

// produce puts records, of one key after another, until ctx ends.
func (f *fleet) produce(ctx context.Context) {
	keys := max(100, 5*f.shards) // so that hardly any shard has none
	tick := time.NewTicker(10 * time.Second / perSecond)
	defer tick.Stop()
	for k := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		f.mu.Lock()
		for range 10 {
			key := fmt.Sprint("key-", k)
			f.put[key]++
			f.server.Put(stream, key, strconv.AppendInt(nil, int64(f.put[key]), 10))
			k = (k + 1) % keys
		}
		f.mu.Unlock()
	}
}

// produced returns how many records of each key were put so far, and of all.
func (f *fleet) produced() (byKey map[string]int, all int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.put {
		all += n
	}
	return maps.Clone(f.put), all
}

// open are the shards that are not closed, by hash key.
func (f *fleet) open() (open []types.Shard) {
	out, err := f.client.ListShards(context.Background(), &kinesis.ListShardsInput{StreamName: aws.String(stream)})
	if err != nil {
		panic(err) // the server is in this process
	}
	for _, sh := range out.Shards {
		if sh.SequenceNumberRange.EndingSequenceNumber == nil {
			open = append(open, sh)
		}
	}
	slices.SortFunc(open, func(a, b types.Shard) int {
		x, y := *a.HashKeyRange.StartingHashKey, *b.HashKeyRange.StartingHashKey
		return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y))
	})
	return open
}

// owners says which living worker runs which shard. A shard that nobody runs is not in it.
func (f *fleet) owners() map[string]*process {
	by := map[string]*process{}
	for _, p := range f.alive() {
		for _, shard := range p.owns {
			by[shard] = p
		}
	}
	return by
}

// finish waits until all that was put is handled, and stops the workers. It returns an error if a worker does not end
// well; what the histories say is for the judge.
func (f *fleet) finish(ctx context.Context, limit time.Duration) error {
	byKey, _ := f.produced()
	late := time.Now().Add(limit)
	for {
		if err := f.read(); err != nil {
			return err
		}
		if missing(byKey, f.trails()) == 0 || time.Now().After(late) || !wait(ctx, 200*time.Millisecond) {
			break
		}
	}
	var group sync.WaitGroup
	alive := f.alive()
	errs := make([]error, len(alive))
	for i, p := range alive {
		group.Go(func() { errs[i] = p.stop() })
	}
	group.Wait()
	return errors.Join(errors.Join(errs...), f.read())
}

func (f *fleet) trails() (all []trail) {
	for _, p := range f.processes {
		t := p.trail
		if p.gone() {
			t.ended = p.at
		}
		all = append(all, t)
	}
	return all
}

// wait waits, and tells whether ctx goes on.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
