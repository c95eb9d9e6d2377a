package consumer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
)

// A simLink is a worker's way to the store of the fleet. It is slow, fails, and loses requests and replies.
type simLink struct {
	w *simWorld
	l *simLife
}

var (
	_ checkpoint.Store = simLink{}

	errSimLink = errors.New("the store does not answer")
)

// A simVersion is a row as it was from a time on; without a revision it was deleted.
type simVersion struct {
	at time.Duration
	e  checkpoint.Entry
}

// enter takes the time of a call and says what is wrong with it. A write may be applied later, at some time.
func (k simLink) enter(ctx context.Context, op, key string) (fault string, later time.Duration, err error) {
	w := k.w
	w.mu.Lock()
	w.calls++
	w.mu.Unlock()
	who := fmt.Sprint(k.l.name, op, key, w.now()) // and not how often it was called: of two alike at once, none is the first
	half, tail := 4*time.Millisecond+time.Duration(w.plan.roll("time", who)*float64(2*time.Millisecond)), w.plan.roll("tail", who)
	switch {
	case tail < 0.001:
		half *= 200
	case tail < 0.02:
		half *= 20
	case tail < 0.3 && op == "swap" && strings.Contains(key, "/member/") && !strings.Contains(key, "/member/"+k.l.name+"/"):
		half *= 100 // of who declares another dead, which may show life meanwhile
	}
	if err := k.l.wait(ctx, half, op+" "+key); err != nil {
		return "", 0, err
	}
	w.mu.Lock()
	now := w.now()
	paused, frozen, down, hangs := k.l.paused-now, k.l.frozen-now, w.down-now, w.hangs
	w.mu.Unlock()
	writes := op == "swap" || op == "delete"
	switch {
	case down > 0 && !hangs, paused > 0 && w.plan.roll("pause", who) < 0.3:
		w.count("call refused in an outage or a pause")
		return "before", 0, nil
	case down > 0 || paused > 0:
		w.count("call hangs in an outage or a pause")
		if err := k.l.wait(ctx, max(down, paused), "held "+who); err != nil {
			if writes && down <= 0 && w.plan.roll("pause late", who) < 0.3 {
				return "late", w.later(who), nil
			}
			return "", 0, err
		}
		w.mu.Lock()
		down = w.down - w.now()
		w.mu.Unlock()
		if down > 0 { // another outage goes on where that one has ended
			return "before", 0, nil
		}
	case frozen > 0:
		w.count("call held back")
		if err := k.l.wait(ctx, frozen, "held "+who); err != nil {
			if writes {
				return "late", max(0, frozen+now-w.now()) + w.later(who)/100, nil
			}
			return "", 0, err
		}
	}
	if w.calm() {
		return "", 0, nil
	}
	x, r := w.plan.roll("fault", who), w.plan.lost
	for _, f := range []struct {
		name string
		rate float64
	}{{"before", r.before}, {"after", r.after}, {"late", r.late}, {"refused", r.refused}} {
		if x < f.rate {
			if !writes {
				return "before", 0, nil
			}
			return f.name, w.later(who), nil
		}
		x -= f.rate
	}
	return "", 0, nil
}

// later is how long a write is on its way that comes late.
func (w *simWorld) later(who string) time.Duration {
	return time.Duration((0.02 + w.plan.later*w.plan.roll("later", who)) * float64(time.Second))
}

// reply takes the rest of the time of a call.
func (k simLink) reply(ctx context.Context, op, key string) error {
	w := k.w
	who := fmt.Sprint(k.l.name, op, key, w.now())
	d := 4*time.Millisecond + time.Duration(w.plan.roll("back", who)*float64(2*time.Millisecond)) // else all that hung go on in step
	if !w.calm() && w.plan.replies > 0 {
		if w.plan.roll("reply", who) < w.plan.replies {
			w.count("slow reply")
			d = time.Duration(w.plan.roll("replies", who) * float64(1300*time.Millisecond))
		}
	}
	return k.l.wait(ctx, d, "reply of "+op+" "+key)
}

func (k simLink) List(ctx context.Context, prefix string) ([]checkpoint.Entry, error) {
	fault, _, err := k.enter(ctx, "list", prefix)
	if err != nil {
		return nil, err
	}
	if fault != "" {
		return nil, errSimLink
	}
	if k.w.plan.stale && !k.w.calm() {
		return k.w.old(prefix), k.reply(ctx, "list", prefix)
	}
	rows, err := k.w.store.List(ctx, prefix)
	return rows, errors.Join(err, k.reply(ctx, "list", prefix))
}

// old returns each row as it was at some time within the last two seconds.
func (w *simWorld) old(prefix string) (rows []checkpoint.Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	for _, key := range slices.Sorted(maps.Keys(w.versions)) {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		versions := w.versions[key]
		back := time.Duration(max(0, 4*w.plan.roll("stale", key, now)-2) * float64(time.Second))
		for i := len(versions) - 1; i >= 0; i-- {
			if v := versions[i]; v.at <= now-back {
				if i < len(versions)-1 {
					w.counts["stale row listed"]++
				}
				if v.e.Revision != "" {
					rows = append(rows, v.e)
				}
				break
			}
		}
	}
	return rows
}

func (k simLink) Get(ctx context.Context, key string) (checkpoint.Entry, error) {
	fault, _, err := k.enter(ctx, "get", key)
	if err != nil {
		return checkpoint.Entry{}, err
	}
	if fault != "" {
		return checkpoint.Entry{}, errSimLink
	}
	e, err := k.w.store.Get(ctx, key)
	return e, errors.Join(err, k.reply(ctx, "get", key))
}

func (k simLink) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	stored := e
	err := k.write(ctx, "swap", e.Key, func(late bool) (err error) { stored, err = k.w.swap(k.l, e, late); return err })
	if err != nil {
		return e, err
	}
	return stored, nil
}

func (k simLink) Delete(ctx context.Context, e checkpoint.Entry) error {
	return k.write(ctx, "delete", e.Key, func(late bool) error { return k.w.remove(k.l, e, late) })
}

// write makes one write, or what becomes of it.
func (k simLink) write(ctx context.Context, op, key string, apply func(late bool) error) error {
	fault, later, err := k.enter(ctx, op, key)
	if err != nil {
		return err
	}
	switch fault {
	case "before":
		k.w.count("write failed before")
		return errSimLink
	case "refused":
		k.w.count("write refused")
		return fmt.Errorf("%w: %w", checkpoint.ErrNotApplied, errSimLink)
	case "late":
		k.w.count("write failed and sent")
		if !k.l.sends(&k.w.late) {
			return errSimLink
		}
		go func() {
			defer k.w.late.Done()
			k.w.turns.sleep(later, "late "+op+" "+key)
			_ = apply(true)
		}()
		return errSimLink
	}
	if err := apply(false); err != nil {
		return errors.Join(err, k.reply(ctx, op, key))
	}
	if fault == "after" {
		k.w.mu.Lock()
		k.w.counts["reply lost: "+k.w.log[len(k.w.log)-1].kind]++
		k.w.mu.Unlock()
		return errSimLink
	}
	if wait := k.last(key); wait > 0 {
		return k.l.wait(ctx, wait, "reply of "+op+" "+key)
	}
	return k.reply(ctx, op, key)
}

// last pauses a worker behind a heartbeat, if that is asked for, and returns how long the reply to that takes then.
func (k simLink) last(key string) time.Duration {
	w := k.w
	w.mu.Lock()
	d := k.l.beat
	if d == 0 || !strings.Contains(key, "/member/"+k.l.name+"/") {
		w.mu.Unlock()
		return 0
	}
	k.l.beat = 0
	w.counts["paused behind a heartbeat"]++
	w.mu.Unlock()
	w.until(&k.l.paused, d)
	w.note(k.l, simEvent{kind: simPaused, n: int(d)})
	return time.Duration((0.9 + 0.3*w.plan.roll("last", k.l.name, w.now())) * float64(time.Second))
}

// swap applies a write and logs what it has done. What was on its way when a worker was killed arrives.
func (w *simWorld) swap(l *simLife, e checkpoint.Entry, late bool) (checkpoint.Entry, error) {
	w.mu.Lock()
	if !late && isClosed(l.dead) {
		w.mu.Unlock()
		return e, errSimLink
	}
	stored, err := w.store.Swap(context.Background(), e)
	if err != nil {
		w.conflict(l, e)
		w.mu.Unlock()
		return e, err
	}
	w.versions[e.Key] = append(w.versions[e.Key], simVersion{w.now(), stored})
	ev := w.written(l, stored)
	if ev.late = late; late {
		w.counts["applied late: "+ev.kind]++
	}
	w.log = append(w.log, ev)
	var steps []simStep
	if !isClosed(l.dead) { // else it was on its way, and there is nobody to do anything to
		steps = w.moment(l, ev)
	}
	w.mu.Unlock()
	for _, s := range steps {
		if w.nemesis(s, l) {
			w.count(s.op + " at " + s.on)
		}
	}
	return stored, nil
}

// written is the event of a write.
func (w *simWorld) written(l *simLife, e checkpoint.Entry) simEvent {
	ev := simEvent{at: w.now(), who: l.name}
	_, rest, _ := strings.Cut(e.Key, "/")
	kind, id, _ := strings.Cut(rest, "/")
	switch kind {
	case "member":
		m := memberOf(e)
		ev.kind, ev.member, ev.st, ev.note = simMember, id, m.St, m.By
	case "lease":
		ev.shard = id[strings.LastIndexByte(id, '/')+1:]
		ev.kind, ev.row = simCreated, decoded(e)
		if old, ok := w.rows[ev.shard]; ok {
			ev.kind = written(&old, ev.row)
		}
		w.rows[ev.shard] = ev.row
	default:
		ev.kind = simAnchored
	}
	return ev
}

// conflict counts what a refused write would have done. The caller holds mu.
func (w *simWorld) conflict(l *simLife, e checkpoint.Entry) {
	versions := w.versions[e.Key]
	if len(versions) == 0 {
		return
	}
	last := versions[len(versions)-1].e
	switch {
	case last.Revision == "":
	case strings.Contains(e.Key, "/member/"):
		if memberOf(e).St == "DEAD" && memberOf(last).St != "DEAD" {
			w.counts["fence lost to a heartbeat"]++
		}
	case strings.Contains(e.Key, "/lease/"):
		mine, its := decoded(e), decoded(last)
		if mine.Owner != its.Owner && strings.HasPrefix(mine.Owner, l.name+"/") {
			w.counts["claim lost to another"]++
		}
	}
}

// remove deletes a row: l is nil for who does it by hand.
func (w *simWorld) remove(l *simLife, e checkpoint.Entry, late bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l != nil && !late && isClosed(l.dead) {
		return errSimLink
	}
	if err := w.store.Delete(context.Background(), e); err != nil {
		return err
	}
	w.versions[e.Key] = append(w.versions[e.Key], simVersion{at: w.now()})
	ev := simEvent{at: w.now(), kind: simDeleted, who: "hand"}
	if l != nil {
		ev.who = l.name
	}
	_, rest, _ := strings.Cut(e.Key, "/")
	kind, id, _ := strings.Cut(rest, "/")
	if kind == "member" {
		ev.member = id
	} else {
		ev.shard = id[strings.LastIndexByte(id, '/')+1:]
		delete(w.rows, ev.shard)
	}
	w.log = append(w.log, ev)
	return nil
}

// A simRow is what the simulation knows of a member's row.
type simRow struct {
	St string `json:"st"`
	By string `json:"by"`
}

func memberOf(e checkpoint.Entry) (m simRow) {
	if err := json.Unmarshal(e.Value, &m); err != nil {
		panic(fmt.Sprintf("row %s: %v", e.Key, err))
	}
	return m
}
