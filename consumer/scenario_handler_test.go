package consumer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer"
)

// padded is the note of a success whose state is so large that it ends the window.
const padded = "large state"

// A given is what a handler is called with, whatever its form.
type given struct {
	shard  string
	keys   []string // sequence numbers, by which it reports
	ids    []string
	window *windowCall
	size   int
}

// A verdict is what a handler answers.
type verdict struct {
	err    error
	panics bool
	report []string
	state  map[string]string
}

// consumer makes the consumer of a process, with a handler of the form of its plan.
func (p *process) consumer(client consumer.Client, opts ...consumer.Option) (*consumer.Consumer, error) {
	f := &p.plan.settings
	jsonForm := func(ctx context.Context, in []byte) ([]byte, error) {
		var ev events.KinesisTimeWindowEvent
		if err := json.Unmarshal(in, &ev); err != nil {
			p.fail("", "event %.100q: %v", in, err)
			return nil, err
		}
		g := p.given(ctx, ev.KinesisEvent, nil, len(in))
		if f.tumbling > 0 {
			g = p.given(ctx, ev.KinesisEvent, &ev, batch.EventSize(ev.KinesisEvent))
		}
		v := p.handle(ctx, g)
		if v.err != nil || !f.reports && f.tumbling == 0 {
			return []byte(`"done"`), v.err
		}
		return json.Marshal(map[string]any{"state": v.state, "batchItemFailures": v.failures()})
	}
	switch {
	case f.form == "partial":
		return consumer.New(client, stream, func(ctx context.Context, ev events.KinesisEvent) (events.KinesisEventResponse, error) {
			v := p.handle(ctx, p.given(ctx, ev, nil, batch.EventSize(ev)))
			return events.KinesisEventResponse{BatchItemFailures: v.failures()}, v.err
		}, opts...)
	case f.form == "window":
		return consumer.New(client, stream, func(ctx context.Context, ev events.KinesisTimeWindowEvent) (events.KinesisTimeWindowEventResponse, error) {
			v := p.handle(ctx, p.given(ctx, ev.KinesisEvent, &ev, batch.EventSize(ev.KinesisEvent)))
			resp := events.KinesisTimeWindowEventResponse{BatchItemFailures: v.failures()}
			resp.State = v.state
			return resp, v.err
		}, opts...)
	case f.form == "json" && f.serial:
		return consumer.New(client, stream, jsonForm, opts...)
	case f.form == "json":
		return consumer.New(client, stream, batch.Concurrent(jsonForm), opts...)
	}
	return consumer.New(client, stream, func(ctx context.Context, ev events.KinesisEvent) error {
		return p.handle(ctx, p.given(ctx, ev, nil, batch.EventSize(ev))).err
	}, opts...)
}

// given tells what an event holds; w is nil outside of window mode.
func (p *process) given(ctx context.Context, ev events.KinesisEvent, w *events.KinesisTimeWindowEvent, size int) *given {
	g := &given{size: size}
	inv, _ := batch.InvocationFrom(ctx)
	for i, r := range ev.Records {
		id := r.Kinesis.SequenceNumber
		g.shard, _, _ = strings.Cut(r.EventID, ":")
		g.keys = append(g.keys, id)
		if inv.Subs != nil && inv.Subs[i] != batch.NoSub {
			id = fmt.Sprintf("%s#%d", id, inv.Subs[i])
		}
		g.ids = append(g.ids, id)
	}
	if w != nil {
		g.shard = w.ShardID
		g.window = &windowCall{
			start: w.Window.Start.Time, end: w.Window.End.Time, final: w.IsFinalInvokeForWindow, early: w.IsWindowTerminatedEarly,
			state: strings.Fields(w.State["ids"]), large: w.State["pad"] != "",
		}
	}
	return g
}

func (v verdict) failures() (items []events.KinesisBatchItemFailure) {
	for _, id := range v.report {
		items = append(items, events.KinesisBatchItemFailure{ItemIdentifier: id})
	}
	return items
}

// subject is what the fate of a call depends on, beside how often it was made.
func (g *given) subject() string {
	if len(g.ids) > 0 {
		return g.ids[0]
	}
	return g.shard + g.window.start.String()
}

// handle is the handler of a process, behind its form.
func (p *process) handle(ctx context.Context, g *given) verdict {
	w, about := p.w, g.subject()
	inv, _ := batch.InvocationFrom(ctx)
	start := event{kind: evStart, shard: g.shard, seqs: g.ids, n: g.size, window: g.window, request: inv.RequestID}
	w.mu.Lock()
	if p.isDead() {
		w.mu.Unlock()
		return verdict{err: errCut} // a process that is gone calls nothing
	}
	w.calls++
	w.attempts[about]++
	n := w.attempts[about]
	start.call = w.calls
	p.log(start)
	w.mu.Unlock()

	took := time.Duration((0.5 + w.plan.roll("handling", about, n)) * float64(p.plan.handling))
	if w.plan.roll("tail", about, n) < 0.02 {
		took *= 20
	}
	if p.plan.timeout > 0 && w.plan.roll("hang", about, n) < 0.007 {
		took = time.Hour
	}
	timer := time.NewTimer(took)
	defer timer.Stop()
	end := event{kind: evSucceeded, shard: g.shard, call: start.call}
	var v verdict
	select {
	case <-timer.C:
		v = p.decide(g, about, n, &end)
	case <-ctx.Done():
		v.err = ctx.Err()
		end.kind, end.note = evFailed, "ctx"
		if errors.Is(v.err, context.DeadlineExceeded) {
			end.note = "timeout"
		}
	case <-p.dead:
		return verdict{err: errCut}
	}
	w.mu.Lock()
	if p.isDead() {
		w.mu.Unlock()
		return verdict{err: errCut}
	}
	p.log(end)
	w.note(g, end)
	if p.lastTry(start, end) {
		e := event{kind: evDiscarded, shard: g.shard, request: start.request, seqs: g.ids, window: g.window, note: "dropped"}
		p.log(e)
		w.discarded(e)
	}
	w.mu.Unlock()
	if v.panics {
		panic("scenario: the handler panics")
	}
	return v
}

// lastTry counts a failure, and reports whether the records of a call are given up by it and nobody will hear of them. The
// caller holds mu.
func (p *process) lastTry(start, end event) bool {
	s := &p.plan.settings
	if end.kind != evFailed || end.note == "ctx" || end.note == "throttled" || p.stopping || s.bisect && len(start.seqs) > 1 {
		return false
	}
	p.failed[start.request]++
	return s.destination == "" && s.retries >= 0 && p.failed[start.request] == s.retries+1 && !p.isDead()
}

// decide draws what becomes of a call that runs to its end, and notes it in end.
func (p *process) decide(g *given, about string, n int, end *event) (v verdict) {
	w, f, reports := p.w, &p.w.plan.features, p.plan.reports
	fail := func(note string, err error) verdict {
		end.kind, end.note, v.err = evFailed, note, err
		return v
	}
	switch chance := w.plan.roll("outcome", about, n); {
	case chance < 0.03:
		return fail("error", errors.New("scenario: the handler fails"))
	case chance < 0.05:
		v.panics = true
		return fail("panic", nil)
	case chance < 0.08 && f.throttles:
		return fail("throttled", fmt.Errorf("scenario: %w", batch.ErrThrottled))
	}
	if g.window != nil {
		v.state = map[string]string{"ids": strings.Join(slices.Concat(g.window.state, g.ids), " ")}
		if w.plan.roll("pad", about, n) < 0.003 {
			v.state["pad"], end.note = strings.Repeat("x", 1<<20), padded
		}
	}
	if len(g.ids) == 0 {
		return v
	}
	bad := -1
	for i, id := range g.ids {
		if f.poison > 0 && w.plan.roll("poison", id, 0) < f.poison && (f.heal == 0 || w.now() < f.heal && !w.calm()) {
			bad = i
			break
		}
	}
	if bad >= 0 && (!reports || w.plan.roll("poison error", about, n) < 0.2) {
		return fail("poison", errors.New("scenario: poison"))
	}
	if !reports {
		return v
	}
	chance := w.plan.roll("report", about, n)
	if bad < 0 && chance < 0.06 {
		bad = int(w.plan.roll("reported", about, n) * float64(len(g.ids)))
	}
	if bad >= 0 {
		v.report = []string{g.keys[len(g.keys)-1], g.keys[bad], g.keys[(bad+len(g.keys))/2], g.keys[bad]}
	}
	if chance > 0.98 {
		v.report = append(v.report, "47")
		return fail("bad report", nil)
	}
	if bad < 0 {
		return v
	}
	done := 0 // a number names the first record that has it (C21)
	for g.keys[done] != g.keys[bad] {
		done++
	}
	if done == 0 {
		return fail("report", nil)
	}
	end.kind, end.n = evProgress, done
	if g.window != nil {
		v.state["ids"] = strings.Join(slices.Concat(g.window.state, g.ids[:done]), " ")
	}
	return v
}

// note keeps what the end of a call settles. The caller holds mu.
func (w *world) note(g *given, end event) {
	n := 0
	switch end.kind {
	case evSucceeded:
		n = len(g.ids)
		if g.window != nil && g.window.final {
			w.close(g.shard, g.window.state)
		}
	case evProgress:
		n = end.n
	}
	for _, id := range g.ids[:n] {
		w.done[id] = true
		if g.window == nil {
			w.closed[id] = true
		}
	}
}
