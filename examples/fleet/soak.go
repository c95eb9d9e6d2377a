package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// A nemesis does to a fleet what happens to fleets.
type nemesis struct {
	*fleet
	out    io.Writer
	rand   *rand.Rand
	events []event
	quiet  span       // in which it did nothing
	struck []*process // the last one that was killed, and the one that was made to stand still
}

var errInterrupted = errors.New("interrupted")

// soak keeps a fleet in trouble, for a while or for so many trials, and tells what came of it.
func soak(ctx context.Context, s settings, out io.Writer) error {
	f, err := newFleet(ctx, s)
	if err != nil {
		return err
	}
	n := &nemesis{fleet: f, out: out, rand: rand.New(rand.NewPCG(s.seed, 0))}
	fmt.Fprintf(out, "seed %d, %d workers, %d shards, %s; histories in %s\n", s.seed, s.workers, s.shards, s.store.Kind, f.dir)
	err = n.run(ctx)
	if err == nil {
		load(out, f.trails(), n.quiet)
		err = f.result(out, n.events)
	}
	return errors.Join(err, f.close(err != nil))
}

func (n *nemesis) run(ctx context.Context) error {
	for i := range n.workers {
		if err := n.start(fmt.Sprint("worker-", i+1)); err != nil {
			return err
		}
	}
	producing, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() { n.produce(producing) })
	defer func() { stop(); group.Wait() }()

	if err := n.settle(ctx, true); err != nil {
		return err
	}
	n.quiet.from = time.Now()
	wait(ctx, max(n.lasts/6, 10*time.Second).Truncate(10*time.Second)) // a checkpoint of each shard in 10 s
	n.quiet.to = time.Now()
	steps := []func(context.Context) error{n.crash, n.freeze, n.reshard, n.thaw, n.roll, n.reshard}
	if n.trials > 0 {
		steps = []func(context.Context) error{n.crash, n.calm, n.restart, n.calm}
	}
	for trial := 1; ; trial++ {
		for _, step := range steps {
			if err := errors.Join(step(ctx), n.read()); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return errInterrupted
			}
		}
		if n.trials > 0 && trial == n.trials || n.trials == 0 && time.Since(n.began)+round/2 >= n.lasts {
			break
		}
	}
	if err := n.calm(ctx); err != nil {
		return err
	}
	stop()
	group.Wait()
	return n.finish(ctx, 3*time.Minute)
}

// round is about how long one takes.
const round = 40 * time.Second

// happens prints what is done. What moves shards from worker to worker is noted, too.
func (n *nemesis) happens(what, detail string) {
	moves := map[string]string{"kill -9": "kill -9 and a pause", "SIGCONT": "the end of the pause", "restart": "restart"}[what]
	if n.trials > 0 && what == "kill -9" {
		moves = what // there are no pauses
	}
	if moves != "" {
		n.events = append(n.events, event{time.Now(), moves})
	}
	fmt.Fprintf(n.out, "%6.1f s  %s %s\n", time.Since(n.began).Seconds(), what, detail)
}

// victim is a living worker, chosen at random among those that have shards.
func (n *nemesis) victim() *process {
	alive := n.alive()
	if busy := slices.DeleteFunc(slices.Clone(alive), func(p *process) bool { return len(p.owns) == 0 }); len(busy) > 0 {
		alive = busy
	}
	return alive[n.rand.IntN(len(alive))]
}

// settle waits until every open shard has had one worker for 5 s, the same one, and each worker its part if that is asked.
func (n *nemesis) settle(ctx context.Context, evenly bool) error {
	began, taken := time.Now(), false
	since, last := began, map[string]*process(nil)
	for late := time.Now().Add(2 * time.Minute); time.Now().Before(late); {
		if err := n.read(); err != nil {
			return err
		}
		owners, share, all := n.owners(), map[*process]int{}, true
		for _, sh := range n.open() {
			p := owners[*sh.ShardId]
			share[p]++
			all = all && p != nil
		}
		if all && !taken {
			n.happens("all shards", fmt.Sprintf("have a worker %.1f s later", time.Since(began).Seconds()))
			taken = true
		}
		if evenly {
			for _, p := range n.alive() {
				all = all && share[p] >= n.shards/n.workers
			}
		}
		if !all || !maps.Equal(owners, last) {
			since, last = time.Now(), owners
		}
		if time.Since(since) >= 5*time.Second {
			return nil
		}
		if !wait(ctx, 100*time.Millisecond) {
			return errInterrupted
		}
	}
	return errors.New("some shards have had no worker for 2 minutes, or never the same one for long")
}

// calm waits until no shard moves any more.
func (n *nemesis) calm(ctx context.Context) error { return n.settle(ctx, false) }

// crash kills a worker. Another one starts a second later.
func (n *nemesis) crash(ctx context.Context) error {
	p := n.victim()
	n.happens("kill -9", p.name)
	n.struck = []*process{p}
	err := p.kill()
	wait(ctx, time.Second)
	n.happens("start", p.name)
	return errors.Join(err, n.start(p.name))
}

// standsFor is how long a worker is made to stand still: longer than the others wait for a sign of life.
const standsFor = 15 * time.Second

// freeze makes a worker stand still.
func (n *nemesis) freeze(ctx context.Context) error {
	wait(ctx, time.Second)
	p := n.victim()
	n.happens("SIGSTOP", p.name)
	p.stops = append(p.stops, span{time.Now(), time.Now().Add(standsFor + time.Second)})
	n.struck = append(n.struck, p)
	return p.pause()
}

// thaw lets the worker that stands still go on.
func (n *nemesis) thaw(ctx context.Context) error {
	p := n.struck[1]
	s := &p.stops[len(p.stops)-1]
	wait(ctx, time.Until(s.from.Add(standsFor)))
	n.happens("SIGCONT", p.name)
	err := p.resume()
	s.to = time.Now()
	return err
}

// restart stops a worker as SIGTERM does, and starts another one.
func (n *nemesis) restart(context.Context) error {
	p := n.victim()
	n.happens("restart", p.name)
	return errors.Join(p.stop(), n.start(p.name))
}

// roll replaces every worker, one after another, as a deploy does: now the new one first, now the old one.
func (n *nemesis) roll(ctx context.Context) error {
	for i, p := range n.alive() {
		n.happens("restart", p.name)
		first := func() error { return p.stop() }
		second := func() error { return n.start(p.name) }
		if i%2 == 1 {
			first, second = second, first
		}
		if err := errors.Join(first(), second(), n.read()); err != nil {
			return err
		}
		wait(ctx, time.Second)
	}
	return nil
}

// reshard splits a shard of each worker that was struck last, and then of any, or merges it with its neighbour if there are
// many. The shards of those that were struck are behind, and their children have to wait.
func (n *nemesis) reshard(ctx context.Context) error {
	for _, p := range n.struck {
		open := n.open()
		i := n.rand.IntN(max(1, len(open)-1))
		if j := slices.IndexFunc(open, func(sh types.Shard) bool { return slices.Contains(p.owns, *sh.ShardId) }); j >= 0 {
			i = j
		}
		if len(open) < n.shards+2 {
			n.happens("split", short(*open[i].ShardId))
			n.server.Split(stream, *open[i].ShardId)
		} else {
			i = min(i, len(open)-2)
			n.happens("merge", short(*open[i].ShardId)+" and "+short(*open[i+1].ShardId))
			n.server.Merge(stream, *open[i].ShardId, *open[i+1].ShardId)
		}
		if !wait(ctx, 2*time.Second) {
			break
		}
	}
	return nil
}
