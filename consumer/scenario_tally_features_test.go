package consumer_test

import "strings"

// A featureTally counts what the features of a plan show.
type featureTally struct {
	*truth
	w       *world
	counts  map[string]int
	calls   map[int]event   // that run
	pending map[string]bool // deliveries that run, by request
	open    map[string]bool // windows, by shard
	life    *settings
	last    map[string]string // window of the latest call, by shard
	large   map[string]bool   // shards whose latest state ends its window
}

func (w *world) newFeatureTally(t *truth, counts map[string]int) *featureTally {
	for _, r := range t.recs {
		if r.outside {
			counts["out of range"]++
		}
		if r.filtered(&w.plan.last) {
			counts["filtered"]++
		}
	}
	return &featureTally{
		truth: t, w: w, counts: counts, calls: map[int]event{}, pending: map[string]bool{}, open: map[string]bool{},
		last: map[string]string{}, large: map[string]bool{},
	}
}

// add counts an event.
func (f *featureTally) add(e event) {
	switch e.kind {
	case evBegan:
		f.life = e.settings
		clear(f.calls)
		clear(f.pending)
		clear(f.open)
		clear(f.large)
	case evCut, evStopped:
		how := map[string]string{evCut: "cut off", evStopped: "stopped"}[e.kind]
		if len(f.pending) > 0 {
			f.counts[strings.Replace(how+" in a delivery", "stopped in", "stopped within", 1)]++
		}
		if len(f.open) > 0 {
			f.counts[how+" with a window open"]++
		}
	case evStart:
		f.start(e)
	case evSucceeded, evFailed, evProgress:
		f.end(e)
	case evDelivery:
		f.pending[e.request] = true
		f.counts["given up: "+e.note]++
	case evRejected:
		delete(f.pending, e.request)
		f.counts["document: "+e.note]++
	case evDiscarded:
		f.discarded(e)
	case evClaimed:
		if ck, ok := strings.CutPrefix(e.row.Ck, "1/"); ok && !strings.HasSuffix(ck, "/~") {
			f.counts["claimed within an aggregate"]++
		}
	}
}

func (f *featureTally) start(e event) {
	f.calls[e.call] = e
	if len(f.calls) == f.life.concurrency {
		f.counts["all slots taken"]++
	}
	w := e.window
	if w == nil {
		return
	}
	if !w.final {
		at := w.start.String()
		if f.last[e.shard] > at || f.last[e.shard] == at && len(w.state) == 0 && !f.open[e.shard] && !f.large[e.shard] {
			f.counts["window replayed"]++
		}
		f.last[e.shard] = at
		return
	}
	kind := "idle"
	for _, r := range f.shard(e.shard).recs {
		if !r.arrival.Before(w.end) && r.arrival.Before(f.w.served(e.at)) {
			kind = "next window"
		}
	}
	switch {
	case w.early && f.large[e.shard]:
		kind = "large state"
	case w.early:
		kind = "end of the shard"
	}
	f.counts["final call: "+kind]++
}

func (f *featureTally) end(e event) {
	start := f.calls[e.call]
	delete(f.calls, e.call)
	switch {
	case e.kind == evProgress:
		f.counts["progress"]++
	case e.kind == evFailed && f.life.bisect && len(start.seqs) > 1 && e.note != "ctx" && e.note != "throttled":
		f.counts["batch split"]++
	}
	if w := start.window; w != nil && e.kind != evFailed {
		f.large[e.shard] = e.note == padded
		f.windows(e.shard, w.final)
	}
}

func (f *featureTally) windows(shard string, final bool) {
	if final {
		delete(f.open, shard)
	} else {
		f.open[shard] = true
	}
}

func (f *featureTally) discarded(e event) {
	delete(f.pending, e.request)
	f.counts["document "+e.note]++
	if e.window != nil {
		f.windows(e.shard, e.window.final)
		if e.window.final {
			f.counts["given up: final call"]++
		}
	}
	if len(e.seqs) == 1 && f.recs[e.seqs[0]] != nil && f.recs[e.seqs[0]].oversized {
		f.counts["given up: larger than the limit"]++
	}
}
