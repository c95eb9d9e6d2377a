package consumer_test

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// A simWire is a worker's way to the stream.
type simWire struct{ l *simLife }

func (s simWire) Do(req *http.Request) (*http.Response, error) {
	l, w := s.l, s.l.w
	w.mu.Lock()
	silent := time.Until(w.began.Add(l.silent))
	w.mu.Unlock()
	if silent > 0 || isClosed(l.dead) {
		return nil, errCut
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	_, op, _ := strings.Cut(req.Header.Get("X-Amz-Target"), ".")
	what, half := fmt.Sprintf("%s %08x", op, crc32.ChecksumIEEE(body)), 5*time.Millisecond
	if op == "GetRecords" {
		half *= 2
	}
	if err := l.wait(req.Context(), half, what); err != nil {
		return nil, err
	}
	out := req.WithContext(req.Context()) // a copy
	out.Body = io.NopCloser(bytes.NewReader(body))
	w.mu.Lock()
	w.reader = l.name
	w.mu.Unlock()
	resp, err := straight{w.srv}.Do(out)
	if err := l.wait(req.Context(), half, "reply of "+what); err != nil {
		return nil, err
	}
	return resp, err
}

// reshard splits a shard, or merges two, as long as there are not too many or too few.
func (w *simWorld) reshard(s simStep) bool {
	var open []kinesistest.ShardInfo
	for _, sh := range w.srv.Shards(stream) {
		if !sh.Closed {
			open = append(open, sh)
		}
	}
	if s.op == simSplit {
		if len(open) > w.plan.shards+2 {
			return false
		}
		w.srv.Split(stream, open[int(s.pick*float64(len(open)))].ID)
		return true
	}
	var pairs [][2]string
	w.mu.Lock()
	for _, a := range open {
		for _, b := range open {
			if one, two := w.rows[a.ID].Owner, w.rows[b.ID].Owner; adjacent(a, b) && (s.op == simMerge || one != "" && two != "" && one != two) {
				pairs = append(pairs, [2]string{a.ID, b.ID})
			}
		}
	}
	w.mu.Unlock()
	if len(open) <= 2 || len(pairs) == 0 {
		return false
	}
	pair := pairs[int(s.pick*float64(len(pairs)))]
	w.srv.Merge(stream, pair[0], pair[1])
	return true
}

// loseMember deletes the row of a worker by hand.
func (w *simWorld) loseMember(l *simLife) bool {
	w.mu.Lock()
	var e checkpoint.Entry
	for _, key := range slices.Sorted(maps.Keys(w.versions)) {
		versions := w.versions[key]
		if v := versions[len(versions)-1].e; v.Revision != "" && strings.HasPrefix(key, "g/member/"+l.name+"/") && memberOf(v).St == "ALIVE" {
			e = v
		}
	}
	w.mu.Unlock()
	return e.Revision != "" && w.remove(nil, e, false) == nil
}

// loseLease deletes the row of a shard by hand that somebody, or a certain worker, works: the one that the step is about, or
// any. Somebody has had it for half a minute. Of a younger owner the others may not know: they put the row as it was before then,
// beside one that cannot notice since it is cut off.
func (w *simWorld) loseLease(s simStep, who string) bool {
	w.mu.Lock()
	var entries []checkpoint.Entry
	for _, key := range slices.Sorted(maps.Keys(w.versions)) {
		versions := w.versions[key]
		if !strings.Contains(key, "/lease/") || versions[len(versions)-1].e.Revision == "" {
			continue
		}
		put := len(versions) - 1 // when it got its present owner
		for put > 0 && versions[put-1].e.Revision != "" && decoded(versions[put-1].e).Owner == decoded(versions[put].e).Owner {
			put--
		}
		if w.now()-versions[put].at < 30*time.Second {
			continue
		}
		if v := versions[len(versions)-1].e; strings.HasSuffix(key, s.shard) {
			if owner := decoded(v).Owner; owner != "" && (who == "" || workerOf(owner) == who) {
				entries = append(entries, v)
			}
		}
	}
	w.mu.Unlock()
	return len(entries) > 0 && w.remove(nil, entries[int(s.pick*float64(len(entries)))], false) == nil
}

// Times within which all must be in order when faults have stopped.
const (
	simOwned   = 25 * time.Second // every shard has an owner: two terms, where a member's row was deleted, and two looks
	simCaught  = 60 * time.Second // all is handled
	simRest    = 90 * time.Second // nothing changes hands any more: a shard that was handed over stays for a minute
	simStill   = 40 * time.Second // and for so long it is looked at
	simDeadRow = "DEAD"
)

// settle lets faults end, and looks whether all comes into order.
func (w *simWorld) settle(produced chan struct{}) {
	w.busy.Wait() // who stops, stops
	w.turns.wait("calm")
	for slot := range w.slots {
		w.mu.Lock()
		l, first := w.slots[slot], slot < 2
		w.mu.Unlock()
		if l == nil && first {
			w.start(slot)
		}
	}
	w.mu.Lock()
	w.calmed = w.now()
	w.log = append(w.log, simEvent{at: w.now(), kind: simNemesis, note: "calm"})
	w.mu.Unlock()
	close(w.quiet)
	w.await(simMembers, 6*time.Second, w.outcast)
	w.await(simOwners, w.calmed+simOwned-w.now(), w.unowned)
	close(w.ends)
	<-produced
	w.turns.wait("last records")
	for _, sh := range w.srv.Shards(stream) {
		if !sh.Closed {
			w.srv.PutHash(stream, "last of "+sh.ID, sh.HashStart, []byte("-1"))
		}
	}
	w.await(simCatchUp, simCaught, w.unsettled)
	if w.plan.rest {
		w.turns.sleep(time.Until(w.began.Add(w.calmed+simRest)), "still")
		w.mu.Lock()
		w.still = w.now()
		w.mu.Unlock()
		w.turns.sleep(simStill, "the end")
	}
	w.mu.Lock()
	w.log = append(w.log, simEvent{at: w.now(), kind: simNemesis, note: "the end"})
	lives := slices.Clone(w.slots)
	w.mu.Unlock()
	for _, l := range lives {
		if l != nil {
			w.busy.Go(l.stop)
		}
	}
	w.busy.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(w.rows)) {
		if r := w.rows[id]; r.Owner != "" {
			w.found = append(w.found, simBreach{simStops, id, "", fmt.Sprintf("it belongs to %s when all have stopped", r.Owner), len(w.log) - 1})
		}
	}
	w.shards = w.srv.Shards(stream)
}

// await waits until something is no longer amiss.
func (w *simWorld) await(rule string, limit time.Duration, amiss func() (shard, what string)) {
	for began := w.now(); ; time.Sleep(250 * time.Millisecond) {
		w.turns.wait("await " + rule)
		shard, what := amiss()
		if what == "" {
			w.mu.Lock()
			w.counts["slowest "+rule+" ms"] = max(w.counts["slowest "+rule+" ms"], int((w.now() - began).Milliseconds()))
			w.mu.Unlock()
			return
		}
		if w.now()-began > limit {
			w.breach(rule, shard, "%v after the last fault, %s", (w.now() - w.calmed).Round(time.Millisecond), what)
			return
		}
	}
}

// outcast names a worker without a live row.
func (w *simWorld) outcast() (shard, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.slots {
		if l != nil && !w.lives(l.name) {
			return "", l.name + " has no row that says that it lives"
		}
	}
	return "", ""
}

// lives reports whether a worker has a live row. The caller holds mu.
func (w *simWorld) lives(owner string) bool {
	for key, versions := range w.versions {
		if v := versions[len(versions)-1].e; v.Revision != "" && strings.HasPrefix(key, "g/member/"+owner) && memberOf(v).St == "ALIVE" {
			return true
		}
	}
	return false
}

// unowned names a shard that could be read and that nobody alive has. One whose row was deleted by hand may wait longer than
// others, and has to be caught up with like them.
func (w *simWorld) unowned() (shard, what string) {
	all := w.srv.Shards(stream)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, sh := range all {
		startable := true
		for _, p := range sh.Parents {
			startable = startable && w.rows[p].Ck == endMark
		}
		r, there := w.rows[sh.ID]
		deleted := !there && slices.ContainsFunc(slices.Collect(maps.Keys(w.versions)), func(key string) bool { return strings.HasSuffix(key, "/"+sh.ID) })
		if startable && !deleted && r.Ck != endMark && (r.Owner == "" || !w.lives(r.Owner)) {
			return sh.ID, fmt.Sprintf("it belongs to %q", r.Owner)
		}
	}
	return "", ""
}

// unsettled names a record that has no outcome, or a shard whose end is not stored.
func (w *simWorld) unsettled() (shard, what string) {
	all := w.srv.Shards(stream)
	w.mu.Lock()
	defer w.mu.Unlock()
	done := map[string]bool{}
	calls := map[int]simEvent{}
	for _, e := range w.log {
		switch e.kind {
		case evStart:
			calls[e.call] = e
		case evSucceeded, evProgress:
			for _, r := range calls[e.call].recs[:e.n] {
				done[r.seq] = true
			}
		}
	}
	for _, sh := range all {
		for _, r := range sh.Records {
			if !done[r.SequenceNumber] {
				return sh.ID, fmt.Sprintf("%s of %s has no outcome", r.Data, r.PartitionKey)
			}
		}
		if sh.Closed && w.rows[sh.ID].Ck != endMark {
			return sh.ID, "its end is not stored"
		}
	}
	return "", ""
}
