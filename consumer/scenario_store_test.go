package consumer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
)

var errSilent = errors.New("scenario: the store does not answer")

// A shelf is the store of a world, with what every write has left: processes reach it through a drawer each.
type shelf struct {
	w        *world
	open     checkpoint.Store     // as the process that runs has it open
	versions map[string][]version // by key; guarded by the history's mutex, as the order of the writes
	calls    map[string]int       // by process, operation and key; guarded alike
	past     map[string]bool      // keys of rows of the stream that had the name before
}

// inherit takes what a shelf has in it for the rows of the stream before.
func (s *shelf) inherit(from *shelf) {
	s.open, s.past = from.open, map[string]bool{}
	for key, versions := range from.versions {
		last := versions[len(versions)-1]
		s.versions[key] = []version{{-never, last.entry}}
		s.past[key] = true
	}
}

// foreign notes the use of a row that is not the stream's.
func (d drawer) foreign(op, key string) {
	if d.past[key] && !d.p.isDead() {
		d.p.breaks(ruleRow, "", "%s of %s, a row of the stream that had the name before", op, key)
	}
}

type version struct {
	at    time.Duration
	entry checkpoint.Entry
}

// A drawer is the store as one process sees it. It is slow, loses requests and replies, and applies late. Once the
// process is cut off, no call of it has an effect but those that were on their way.
type drawer struct {
	*shelf
	p    *process
	base checkpoint.Store // as this process has it open
}

var _ checkpoint.Store = drawer{}

// Exclusive says that there is one process at a time: several of them are played by the tests of fleets.
func (d drawer) Exclusive() bool { return true }

// enter waits half of the latency and says what goes wrong with a call.
func (d drawer) enter(ctx context.Context, op, key string) (fault string, err error) {
	d.w.mu.Lock()
	who := fmt.Sprint(d.p.n, op, key)
	d.calls[who]++
	n := d.calls[who]
	d.w.mu.Unlock()
	half := 5*time.Millisecond + time.Duration(d.w.plan.roll("store time", who, n)*float64(2*time.Millisecond))
	if d.w.plan.roll("store tail", who, n) < 0.01 {
		half *= 40
	}
	if err := d.wait(ctx, half); err != nil {
		return "", err
	}
	if d.w.calm() {
		return "", nil
	}
	fault = d.w.plan.at(d.w.now(), "store", who, n)
	if fault != "" && op != "swap" {
		fault = "before"
	}
	return fault, nil
}

func (d drawer) wait(ctx context.Context, t time.Duration) error {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	case <-d.p.dead:
		return errCut
	}
}

// first tells whether this process asks for the first time.
func (d drawer) first(what string) bool {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	what = fmt.Sprint(d.p.n, what)
	d.calls[what]++
	return d.calls[what] == 1
}

// sent counts a write that will take effect later, unless the process has been cut off: nothing of it is sent then, and
// who waits for late writes knows all of them.
func (d drawer) sent() bool {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	if d.p.isDead() {
		return false
	}
	d.w.late.Add(1)
	return true
}

// leave waits the other half.
func (d drawer) leave(ctx context.Context) error { return d.wait(ctx, 5*time.Millisecond) }

func (d drawer) List(ctx context.Context, prefix string) ([]checkpoint.Entry, error) {
	fault, err := d.enter(ctx, "list", prefix)
	if err != nil {
		return nil, err
	}
	if fault != "" {
		d.w.sometimes("store list failed")
		return nil, errSilent
	}
	rows, err := d.base.List(ctx, prefix)
	if err == nil && d.w.plan.staleLists {
		rows = d.stale(prefix)
	}
	for _, e := range rows {
		d.foreign("list", e.Key)
	}
	return rows, errors.Join(err, d.leave(ctx))
}

// stale returns each row as it was at some time within the last two seconds.
func (d drawer) stale(prefix string) (rows []checkpoint.Entry) {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	now := d.w.now()
	for key, versions := range d.versions {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		back := time.Duration(max(0, 4*d.w.plan.roll("stale", key, int(now))-2) * float64(time.Second))
		if d.w.ended[key[strings.LastIndexByte(key, '/')+1:]] { // an old row tempts more here
			back = time.Duration(2 * d.w.plan.roll("stale end", key, int(now)) * float64(time.Second))
		}
		for i := len(versions) - 1; i >= 0; i-- {
			if versions[i].at <= now-back {
				rows = append(rows, versions[i].entry)
				if i < len(versions)-1 {
					d.w.counts["store list stale"]++
				}
				break
			}
		}
	}
	return rows
}

func (d drawer) Get(ctx context.Context, key string) (checkpoint.Entry, error) {
	fault, err := d.enter(ctx, "get", key)
	if err != nil {
		return checkpoint.Entry{}, err
	}
	d.foreign("get", key)
	if fault != "" {
		d.w.sometimes("store get failed")
		return checkpoint.Entry{}, errSilent
	}
	e, err := d.base.Get(ctx, key)
	return e, errors.Join(err, d.leave(ctx))
}

func (d drawer) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	fault, err := d.enter(ctx, "swap", e.Key)
	if err != nil {
		return e, err
	}
	d.foreign("swap", e.Key)
	if d.w.calm() && decoded(e).Ck == string(checkpoint.End) && d.first("end "+e.Key) {
		fault = "before" // an end that is tried once is stored by no later life
	}
	switch fault {
	case "before":
		d.w.sometimes("store error before apply")
		return e, errSilent
	case "refused":
		d.w.sometimes("store write refused")
		return e, fmt.Errorf("%w: %w", checkpoint.ErrNotApplied, errSilent)
	case "late":
		d.w.sometimes("store error, apply later")
		later := 20*time.Millisecond + time.Duration(d.w.plan.roll("late", e.Key+e.Revision, 0)*float64(1500*time.Millisecond))
		if !d.sent() {
			return e, errCut
		}
		go func() {
			defer d.w.late.Done()
			time.Sleep(later)
			if _, kind, err := d.apply(e, false); err == nil {
				d.w.sometimes("store write applied late")
				d.w.sometimes("store write applied late: " + kind)
			} else if errors.Is(err, checkpoint.ErrConflict) {
				d.w.sometimes("late store write lost to another")
			}
		}()
		return e, errSilent
	}
	stored, kind, err := d.apply(e, true)
	if err != nil {
		return e, errors.Join(err, d.leave(ctx))
	}
	if fault == "after" {
		d.w.sometimes("store reply lost")
		d.w.sometimes("store reply lost: " + kind)
		_ = d.leave(ctx)
		return e, errSilent
	}
	if err := d.leave(ctx); err != nil {
		return e, err
	}
	return stored, nil
}

// apply makes a write and logs it if it was accepted. What a process sends before it is cut off may arrive later.
func (d drawer) apply(e checkpoint.Entry, sent bool) (stored checkpoint.Entry, kind string, err error) {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	if sent && d.p.isDead() {
		return e, "", errCut
	}
	stored, err = d.base.Swap(context.Background(), e)
	if err != nil {
		return e, "", err
	}
	var before *row
	if old := d.versions[e.Key]; len(old) > 0 {
		r := decoded(old[len(old)-1].entry)
		before = &r
	}
	d.versions[e.Key] = append(d.versions[e.Key], version{d.w.now(), stored})
	ev := event{life: d.p.n, kind: evAnchored, row: decoded(e)}
	if !strings.Contains(e.Key, "/stream/") {
		ev.shard, ev.kind = e.Key[strings.LastIndexByte(e.Key, '/')+1:], written(before, ev.row)
	}
	if ev.shard != "" {
		d.w.rows[ev.shard] = ev.row
	} else {
		d.w.anchored = true
	}
	d.p.log(ev)
	return stored, ev.kind, nil
}

func (d drawer) Delete(ctx context.Context, e checkpoint.Entry) error {
	return fmt.Errorf("%w: the engine deletes nothing", checkpoint.ErrNotApplied)
}

func decoded(e checkpoint.Entry) (r row) {
	if err := json.Unmarshal(e.Value, &r); err != nil {
		panic(fmt.Sprintf("row %s: %v", e.Key, err))
	}
	r.done = r.spans()
	return r
}
