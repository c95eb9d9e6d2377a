package lease

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
)

func mapKeys[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }

// A proc is a process of a worker, which may be killed and started again.
type proc struct {
	w     *world
	name  string
	lives int
	life  *life // nil: it does not run; under w.mu

	frozen time.Time     // until when nothing of it runs; under w.mu
	thawed time.Time     // the last such time that has begun
	apart  time.Time     // until when it does not reach the store
	trap   time.Duration // for which it freezes between its next check and what it has checked for
}

// A life is one run of the process.
type life struct {
	p      *proc
	g      *Group
	ctx    context.Context
	kill   context.CancelFunc
	number int
	incs   int

	mu    sync.Mutex
	calls map[string]int
	runs  map[string]*run
	doubt map[string]time.Time // claims of unknown result, and until when to look
	free  map[string]time.Time // since when a lease is seen to be nobody's
	moved map[string]time.Time
}

func (p *proc) start() {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.life != nil {
		return
	}
	p.lives++
	l := &life{
		p: p, number: p.lives, calls: make(map[string]int), runs: make(map[string]*run), doubt: make(map[string]time.Time),
		free: make(map[string]time.Time), moved: make(map[string]time.Time),
	}
	l.ctx, l.kill = context.WithCancel(p.w.ctx)
	l.g = NewGroup(l, l, "group", p.name, func() string { l.incs++; return fmt.Sprintf("%s%d-%d", p.name, l.number, l.incs) })
	l.g.Serve(stream, "")
	l.g.Fenced = func(string) { p.w.happened("fenced") }
	l.g.Over = func(string, error) { p.w.happened("over") }
	p.life = l
	p.w.log("%s starts", p.name)
	p.w.all.Go(func() { l.g.Run(l.ctx) })
	p.w.all.Go(l.work)
}

// kill ends the process as it is.
func (p *proc) kill() {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	l := p.life
	if l == nil {
		return
	}
	p.life = nil
	l.kill()
	p.w.counts["killed"]++
	p.w.log("%s is killed", p.name)
	for id, turns := range p.w.active {
		var others []*turn
		for _, s := range turns {
			if s.run.life != l {
				others = append(others, s)
			}
		}
		p.w.active[id] = others
	}
}

// restart kills the process and starts it again after d; of none, at once, and only if it does not run.
func (p *proc) restart(d time.Duration) {
	if d == 0 {
		p.start()
		return
	}
	p.kill()
	p.w.all.Go(func() {
		if travel(p.w.ctx, d) == nil {
			p.start()
		}
	})
}

func (p *proc) freeze(d time.Duration) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.frozen = time.Now().Add(d)
	p.w.counts["froze"]++
	p.w.log("%s freezes for %v", p.name, d)
}

// spring is a moment between check and effect. A life that was killed may get there before it knows, or not, and has none.
func (l *life) spring() {
	p := l.p
	p.w.mu.Lock()
	if l.ctx.Err() != nil {
		p.w.mu.Unlock()
		return
	}
	d := p.trap
	p.trap = 0
	p.w.mu.Unlock()
	if left := chaos - time.Since(p.w.began); d > 0 && left > 0 {
		p.freeze(min(d, left))
	}
}

func (p *proc) cut(d time.Duration) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.apart = time.Now().Add(d)
	p.w.counts["was cut off"]++
	p.w.log("%s is cut off for %v", p.name, d)
}

// leave lets the process stop as it should, for ten seconds, and starts it again.
func (p *proc) leave() {
	p.w.mu.Lock()
	l := p.life
	p.w.mu.Unlock()
	if l == nil {
		return
	}
	l.g.Retire()
	p.w.all.Go(func() {
		for range 40 { // no multiple of Beat, so that nothing falls together
			if travel(l.ctx, 247*time.Millisecond) != nil {
				return
			}
			l.mu.Lock()
			held := len(l.runs) + len(l.doubt)
			l.mu.Unlock()
			if held == 0 {
				p.w.happened("left")
				break
			}
		}
		p.restart(time.Second)
	})
}

// thaw waits while the process is frozen, and then a moment, which is another one for each place, so that what was frozen
// goes on in the same order in each play of a seed. It returns false when the process is dead.
func (l *life) thaw(place ...any) bool {
	p := l.p
	for {
		p.w.mu.Lock()
		until := p.frozen
		if until.After(time.Now()) {
			p.thawed = until
		}
		p.w.mu.Unlock()
		if d := time.Until(until); d <= 0 {
			return l.ctx.Err() == nil
		} else if travel(l.ctx, d+time.Duration(p.w.dice(p.name, until.Sub(p.w.began), place).Int64N(int64(time.Millisecond)))) != nil {
			return false
		}
	}
}

// call is one call of the store by the process.
func (l *life) call(ctx context.Context, op, key string, apply func(r *rand.Rand) error) error {
	w := l.p.w
	l.mu.Lock()
	l.calls[op+key]++
	n := l.calls[op+key]
	l.mu.Unlock()
	if !l.thaw(op, key, n) {
		return context.Canceled
	}
	r := w.dice(l.p.name, l.number, op, key, n)
	there, back := delay(r), delay(r)
	w.mu.Lock()
	f, now := fine, time.Now()
	switch x := r.Float64(); {
	case now.Before(w.outage) || now.Before(l.p.apart):
		f = []fault{before, before, hang, late, after}[r.IntN(5)]
	case w.over():
	case x < w.rates[0]:
		f = before
	case x < w.rates[0]+w.rates[1]:
		f = after
	case x < w.rates[0]+w.rates[1]+w.rates[2]:
		f = late
	case x < w.rates[0]+w.rates[1]+w.rates[2]+w.rates[3]:
		f = throttled
	}
	w.mu.Unlock()
	if f == hang {
		<-ctx.Done()
		return ctx.Err()
	}
	err := travel(ctx, there)
	if err != nil && r.IntN(2) == 0 || f == late && op != "list" && op != "get" { // it is on its way
		d := time.Duration(r.Float64() * r.Float64() * float64(25*time.Second))
		w.all.Go(func() {
			if travel(w.ctx, d) != nil || op == "list" || op == "get" {
				return
			}
			if apply(r) == nil {
				w.happened("late write applied")
			} else {
				w.happened("late write too late")
			}
		})
		f = before
	}
	switch {
	case err != nil:
		return err
	case f == before, f == late:
		err = errReset
	case f == throttled:
		err = fmt.Errorf("slow down: %w", checkpoint.ErrNotApplied)
	default:
		err = apply(r)
		if f == after {
			err = errReset
		}
	}
	if lost := travel(ctx, back); lost != nil {
		return lost
	}
	if !l.thaw(op, key, n) {
		return context.Canceled
	}
	return err
}

func delay(r *rand.Rand) time.Duration {
	ms := 2 + r.ExpFloat64()*5
	if r.IntN(100) == 0 {
		ms += r.Float64() * 1500
	}
	return time.Duration(ms * float64(time.Millisecond))
}

func (l *life) List(ctx context.Context, prefix string) (list []checkpoint.Entry, _ error) {
	err := l.call(ctx, "list", prefix, func(r *rand.Rand) error { list = l.p.w.list(r, prefix); return nil })
	return list, err
}

func (l *life) Get(ctx context.Context, key string) (e checkpoint.Entry, _ error) {
	err := l.call(ctx, "get", key, func(*rand.Rand) (err error) {
		e, err = l.p.w.rows.Memory.Get(context.Background(), key)
		return err
	})
	return e, err
}

func (l *life) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	answer := make(chan checkpoint.Entry, 1)
	err := l.call(ctx, "swap", e.Key, func(*rand.Rand) error {
		stored, err := l.p.w.swap(e)
		if m, _ := decodeMember(e.Value); m.st == dead && errors.Is(err, checkpoint.ErrConflict) {
			l.p.w.happened("fence lost to a heartbeat") // or to another fence
		}
		if err == nil {
			answer <- stored
		}
		return err
	})
	if err != nil {
		return e, err
	}
	return <-answer, nil
}

func (l *life) Delete(ctx context.Context, e checkpoint.Entry) error {
	return l.call(ctx, "delete", e.Key, func(*rand.Rand) error {
		w := l.p.w
		w.mu.Lock()
		defer w.mu.Unlock()
		err := w.rows.Memory.Delete(context.Background(), e)
		if err == nil {
			w.keep(checkpoint.Entry{Key: e.Key})
			w.log("%s: deleted", e.Key)
		}
		return err
	})
}
