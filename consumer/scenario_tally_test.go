package consumer_test

import (
	"maps"
	"slices"
	"time"
)

// rarities are what must have happened at least once in a run of 50 seeds and more: every way in which something goes
// wrong, and the situations that bugs love. A run in which one has not happened proves less than it says.
var rarities = []string{
	"split", "merge", "split or merge of a shard nobody has read",
	"service: throttle", "service: 500", "service: 503", "service: 500 after", "service: drop", "service: drop after",
	"service: truncate", "service: cut", "service: stall", "service: delay", "service: hang", "service: expire", "service: empty", "service: repeat",
	"service: lag", "service: childless", "service: list late", "service: short lists",
	"store error before apply", "store write refused", "store error, apply later", "store get failed", "store list failed",
	"store list stale", "late store write lost to another",
	"store write applied late: claimed", "store write applied late: marked", "store write applied late: released",
	"store write applied late: ended",
	"store reply lost: created", "store reply lost: claimed", "store reply lost: marked", "store reply lost: released",
	"store reply lost: ended",
	"cut off upon created", "cut off upon claimed", "cut off upon marked", "cut off upon ended", "cut off upon succeeded",
	"handler: error", "handler: panic", "handler: ctx",
	"cut off in a handler call", "cut off between effect and checkpoint", "cut off in the middle of a reshard",
	"cut off between the rows of children and END", "one parent of a merge ended, the other not",
	"cut off with one parent of a merge ended", "stopped cleanly", "stopped within a handler call",
	"record came again after a restart", "END stored after a restart", "life without a claim",
	"handler: throttled", "handler: poison", "handler: report", "handler: bad report", "handler: timeout", "progress",
	"batch split", "all slots taken",
	"given up: RetryAttemptsExhausted", "given up: RecordAgeExceeded", "given up: larger than the limit", "given up: final call",
	"document delivered", "document refused", "document dropped", "document: error", "document: panic", "document: ctx",
	"cut off in a delivery", "stopped within a delivery",
	"filtered", "out of range", "out of range told", "broken aggregate", "claimed within an aggregate",
	"claimed with records done above the checkpoint",
	"final call: next window", "final call: idle", "final call: end of the shard", "final call: large state",
	"distribution AUTO", "distribution USER_PARTITION_KEY", "record without a key", "put again", "slow line", "10 MB page",
	"stream replaced", "stream replaced at once", "stream replaced after a while", "stream replaced with records unhandled",
	"replaced while handlers run", "records of the new stream put before the old life has ended",
	"clock of the service ahead", "clock of the service back", "loss told",
	"window replayed", "cut off with a window open", "stopped with a window open",
}

// tally counts what a history shows to have happened, beside what the fakes have counted.
func (w *world) tally() map[string]int {
	counts := maps.Clone(w.counts)
	truth := w.truth()
	read, started, running := map[string]bool{}, map[*rec]int{}, map[int]bool{}
	rows, claims := map[string]row{}, map[string]bool{}
	succeeded := map[*rec]bool{}
	calls := map[int][]string{}
	opened := map[string]bool{} // of merges: a child seen with one parent ended
	more := w.newFeatureTally(truth, counts)
	if slices.Contains(w.strays(), true) {
		counts["old life astray in the new stream"]++
	}
	for _, e := range w.events {
		more.add(e)
		switch e.kind {
		case evBegan:
			clear(claims)
			clear(running)
		case evRead:
			sh := truth.shard(e.shard)
			if !read[e.shard] && sh.Closed && sh.ClosedAt.Before(w.served(e.at)) {
				counts["split or merge of a shard nobody has read"]++
			}
			read[e.shard] = true
		case evStart:
			running[e.call], calls[e.call] = true, e.seqs
			for _, seq := range e.seqs {
				if r := truth.recs[seq]; r != nil {
					if before, ok := started[r]; ok && before != e.life {
						counts["record came again after a restart"]++
					}
					started[r] = e.life
				}
			}
		case evSucceeded, evFailed, evProgress, evDiscarded:
			delete(running, e.call)
			if e.kind == evFailed {
				counts["handler: "+e.note]++
			}
			for _, seq := range e.resolves(calls[e.call]) {
				succeeded[truth.recs[seq]] = true
			}
		case evTold:
			if e.note == "RetentionLost" {
				counts["loss told"]++
			}
		case evReplaced:
			counts["stream replaced"]++
			if len(running) > 0 {
				counts["replaced while handlers run"]++
			}
			if w.plan.gap > 0 {
				counts["stream replaced after a while"]++
			} else {
				counts["stream replaced at once"]++
			}
			for _, r := range truth.recs {
				if r.required && !succeeded[r] {
					counts["stream replaced with records unhandled"]++
					break
				}
			}
		case evStopped:
			if len(running) > 0 {
				counts["stopped within a handler call"]++
			}
		case evReturned:
			if e.note == "" {
				counts["stopped cleanly"]++
			}
		case evCut:
			if len(running) > 0 {
				counts["cut off in a handler call"]++
			}
			if len(claims) == 0 {
				counts["life without a claim"]++
			}
			for what, n := range truth.unfinished(rows, succeeded, w.served(e.at)) {
				counts[what] += n
			}
		case evClaimed:
			claims[e.shard] = true
			if len(e.row.done) > 0 {
				counts["claimed with records done above the checkpoint"]++
			}
			rows[e.shard] = e.row
		case evCreated, evMarked, evReleased:
			rows[e.shard] = e.row
		case evEnded:
			if e.row.Epoch > 2 {
				counts["END stored after a restart"]++
			}
			rows[e.shard] = e.row
			for _, sh := range truth.shards {
				if len(sh.Parents) == 2 && !opened[sh.ID] && truth.ended(rows, sh) == 1 {
					opened[sh.ID] = true
					counts["one parent of a merge ended, the other not"]++
				}
			}
		}
	}
	return counts
}

// ended counts the parents of a shard whose END is stored.
func (t *truth) ended(rows map[string]row, sh *shardTruth) (n int) {
	for _, p := range sh.Parents {
		if rows[p].Ck == endMark {
			n++
		}
	}
	return n
}

// unfinished counts what a cut at some time leaves half done.
func (t *truth) unfinished(rows map[string]row, succeeded map[*rec]bool, at time.Time) map[string]int {
	counts := map[string]int{}
	for id, sh := range t.shards {
		row, known := rows[id]
		if known && row.Ck != endMark && sh.Closed && !sh.ClosedAt.After(at) {
			counts["cut off in the middle of a reshard"] = 1
			for _, child := range sh.Children {
				if _, put := rows[child]; put && len(t.shard(child).Parents) == 1 {
					counts["cut off between the rows of children and END"] = 1
				}
			}
		}
		if len(sh.Parents) == 2 && t.ended(rows, sh) == 1 {
			counts["cut off with one parent of a merge ended"] = 1
		}
		for _, r := range sh.recs {
			if known && succeeded[r] && !row.holds(r) {
				counts["cut off between effect and checkpoint"] = 1
				break
			}
		}
	}
	return counts
}
