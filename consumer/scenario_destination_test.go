package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer"
)

// A sink is the on-failure destination of a process: it is slow, and if it is a mixed one, it refuses, panics, and does not
// answer until its time is over.
type sink struct{ p *process }

// Deliver logs what it is given, and its answer.
func (s sink) Deliver(ctx context.Context, f *batch.Failure) error {
	p, w := s.p, s.p.w
	e := event{kind: evDelivery, shard: f.Shard, request: f.RequestID, note: string(f.Condition), n: f.InvokeCount}
	w.mu.Lock()
	if p.isDead() {
		w.mu.Unlock()
		return errCut
	}
	for _, r := range f.Records {
		id := r.Kinesis.SequenceNumber
		if place, split := w.places[string(r.Kinesis.Data)]; split && w.deaggregate {
			id = fmt.Sprintf("%s#%d", id, place)
		}
		e.seqs = append(e.seqs, id)
	}
	if f.Window != nil {
		e.window = &windowCall{start: f.Window.Start, end: f.Window.End, final: f.Window.Final, early: f.Window.Early}
	}
	w.deliveries++
	n := w.deliveries
	p.log(e)
	w.mu.Unlock()

	took := time.Duration(w.plan.roll("delivering", e.subject(), n) * float64(10*time.Millisecond))
	answer := ""
	if p.plan.destination == "mixed" && !w.calm() {
		switch chance := w.plan.roll("delivery", e.subject(), n); {
		case p.plan.upon == evDelivery && chance < 0.9: // a stop finds it at work
			answer, took = "hang", time.Hour
		case chance < 0.3:
			took *= 60
		case chance < 0.4:
			answer = "error"
		case chance < 0.5:
			answer = "panic"
		case chance < 0.65:
			answer, took = "hang", time.Hour
		}
	}
	timer := time.NewTimer(took)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		answer = "ctx"
	case <-p.dead:
		return errCut
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.isDead() {
		return errCut
	}
	e.kind = evDiscarded
	if answer == "" {
		e.note = "delivered"
		p.log(e)
		w.discarded(e)
		return nil
	}
	given := e
	e.kind, e.note = evRejected, answer
	p.log(e)
	if answer != "ctx" || errors.Is(ctx.Err(), context.DeadlineExceeded) { // else a stop has cut it off, and the records come again
		given.note = "refused"
		p.log(given)
		w.discarded(given)
	}
	if answer == "panic" {
		panic("scenario: the destination panics")
	}
	return errors.New("scenario: the destination refuses")
}

// subject is what the fate of a delivery depends on.
func (e *event) subject() string {
	if len(e.seqs) > 0 {
		return e.seqs[0]
	}
	return e.shard
}

// notify takes what the process tells. No outcome comes from that: what is told must have happened, and the other way round.
func (p *process) notify(n consumer.Notice) {
	_, request, _ := strings.Cut(n.Detail, "request ")
	request, _, _ = strings.Cut(request, ",")
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.isDead() {
		return
	}
	switch n.Name {
	case "DestinationFailed", "RecordsDiscarded":
		p.log(event{kind: evTold, shard: n.Shard, request: request, note: n.Name})
	case "RetentionLost":
		p.log(event{kind: evTold, shard: n.Shard, note: n.Name})
	case "StreamRecreated":
		if w.replaced > 0 && !p.stopping { // it stops as soon as it comes to that
			p.log(event{kind: evStopped, note: n.Name})
			p.stopping = true
		}
	case "OutOfRange":
		w.counts["out of range told"]++
	}
}

// discarded notes records that are given up. The caller holds mu.
func (w *world) discarded(e event) {
	for _, id := range e.seqs {
		w.done[id] = true
	}
	switch {
	case e.window == nil:
		for _, id := range e.seqs {
			w.closed[id] = true
		}
	case !e.window.final:
		w.dropped[e.shard] = append(w.dropped[e.shard], e.seqs...)
	default:
		for i := len(w.events) - 1; i >= 0; i-- {
			if s := &w.events[i]; s.kind == evStart && s.shard == e.shard && s.window.final {
				w.close(e.shard, s.window.state)
				break
			}
		}
	}
}

// close notes that the final call of a shard's window is over: that of the records in its state, and of those that were
// given up before it. The caller holds mu.
func (w *world) close(shard string, ids []string) {
	for _, id := range slices.Concat(ids, w.dropped[shard]) {
		w.closed[id] = true
	}
	delete(w.dropped, shard)
}
