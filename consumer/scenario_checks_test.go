package consumer_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// TestScenarioChecker holds both checkers against histories written by hand: shard A with three records is split into B
// and C, which merge into D. Records are named by shard and number; a1, a3, b1 and d1 have key k, the others have key l.
func TestScenarioChecker(t *testing.T) {
	// What a faultless consumer does, in one life that ends cleanly.
	good := []string{
		"began 0", "created A 0", "claimed A 1 0", "read A", "start 1 a1 a2", "succeeded 1", "start 2 a3", "succeeded 2",
		"marked A 1 a3", "created B 0", "created C 0", "ended A 2", "claimed B 1 0", "claimed C 1 0", "read B", "read C",
		"start 3 b1", "succeeded 3", "start 4 c1", "failed 4", "start 5 c1", "succeeded 5", "created D 0", "ended B 2", "ended C 2",
		"claimed D 1 0", "read D", "start 6 d1", "succeeded 6", "released D 2 d1", "returned",
	}
	end := []string{"marked A 2 a3", "created B 0", "created C 0", "ended A 3"} // by an heir
	tests := []struct {
		name     string
		from, to int      // of good that are replaced
		by       []string // nil: left out
		want     []string // rules
	}{
		{"faultless", 0, 0, nil, nil},
		{"never handled", 27, 30, []string{"released D 2 0"}, []string{ruleLost}},
		{"older than the start", 3, 3, []string{"start 9 01", "succeeded 9"}, []string{ruleEarly}},
		{"key out of order", 4, 8, []string{"start 2 a3", "succeeded 2", "start 1 a1 a2", "succeeded 1"}, []string{ruleOrder, ruleResume}},
		{"order across shards", 16, 18, []string{"start 9 d1", "succeeded 9", "start 3 b1", "succeeded 3"}, []string{ruleOrder, ruleParents, ruleTwice}},
		{"a failure is passed", 5, 6, []string{"failed 1"}, []string{ruleLost, ruleMark, ruleOrder}},
		{"two calls with a key", 5, 8, []string{"start 2 a3", "succeeded 1", "succeeded 2"}, []string{ruleOrder, ruleOverlap}},
		{"batch above the limit", 4, 8, []string{"start 1 a1 a2 a3", "succeeded 1"}, []string{ruleBatch}},
		{"batch out of order", 4, 5, []string{"start 1 a2 a1"}, []string{ruleBatch}},
		{"mark too far", 4, 4, []string{"marked A 1 a1"}, []string{ruleMark, ruleRerun}},
		{"mark too far by one", 6, 6, []string{"marked A 1 a3"}, []string{ruleMark, ruleRerun}},
		{"mark goes back", 9, 9, []string{"marked A 1 a1"}, []string{ruleRow}},
		{"end of an open shard", 29, 30, []string{"ended D 2"}, []string{ruleMark}},
		{"end with a record in flight", 7, 12, []string{"created B 0", "created C 0", "ended A 2", "succeeded 2"}, []string{ruleMark}},
		{"end before the children", 9, 12, []string{"created B 0", "ended A 2", "created C 0"}, []string{ruleChildren}},
		{"child before its second parent", 24, 29, []string{"claimed D 1 0", "start 6 d1", "succeeded 6", "ended C 2"}, []string{ruleParents}},
		{"claim without an epoch", 12, 13, []string{"claimed B 1 0", "other B 1 0"}, []string{ruleRow}},
		{"written after the end", 12, 12, []string{"released A 3 a3"}, []string{ruleRow}},
		{"handled twice in a life", 8, 8, []string{"start 9 a3", "succeeded 9"}, []string{ruleTwice}},
		{"below the mark", 9, 9, []string{"start 9 a3", "succeeded 9"}, []string{ruleRerun, ruleTwice}},
		{"handled again by an heir, as is right", 8, 12, slices.Concat([]string{"cut", "began 1", "claimed A 2 0", "start 9 a1 a2", "succeeded 9", "start 10 a3", "succeeded 10"}, end), nil},
		{"an heir leaves a record out", 8, 12, slices.Concat([]string{"cut", "began 1", "claimed A 2 0", "start 10 a3", "succeeded 10"}, end), []string{ruleResume}},
		{"cut off within a call", 7, 12, slices.Concat([]string{"cut", "began 1", "claimed A 2 0", "start 9 a1 a2", "succeeded 9", "start 10 a3", "succeeded 10"}, end), nil},
		{"done above the mark", 4, 12, slices.Concat([]string{"start 1 a1", "start 2 a2", "succeeded 2", "marked A 1 0 a2", "cut", "began 1", "claimed A 2 0 a2", "start 9 a1 a3", "succeeded 9"}, end), nil},
		{"done above the mark, and handled again", 4, 12, slices.Concat([]string{"start 1 a1", "start 2 a2", "succeeded 2", "marked A 1 0 a2", "cut", "began 1", "claimed A 2 0 a2", "start 9 a1 a2", "succeeded 9", "start 10 a3", "succeeded 10"}, end), []string{ruleRerun}},
		{"taken for done above the mark", 4, 12, slices.Concat([]string{"start 1 a1", "start 2 a2", "marked A 1 0 a2", "cut", "began 1", "claimed A 2 0 a2", "start 9 a1 a3", "succeeded 9"}, end), []string{ruleLost, ruleMark, ruleOrder}},
		{"left out above the mark", 8, 12, slices.Concat([]string{"cut", "began 1", "claimed A 2 0 a2", "start 10 a3", "succeeded 10"}, end), []string{ruleResume}},
		{"what is done above the mark is not stored", 4, 12, slices.Concat([]string{"start 1 a1", "start 2 a2", "succeeded 2", "failed 1", "released A 2 0", "returned", "began 1", "claimed A 3 0", "start 9 a1 a2", "succeeded 9", "start 10 a3", "succeeded 10", "marked A 3 a3", "created B 0", "created C 0", "ended A 4"}), []string{ruleDrain}},
		{"not given up", 29, 30, []string{"marked D 1 d1"}, []string{ruleDrain}},
		{"released too low", 29, 30, []string{"released D 2 0"}, []string{ruleDrain}},
		{"progress", 4, 8, []string{"start 1 a1 a2", "progress 1 1", "start 9 a2", "succeeded 9", "start 2 a3", "succeeded 2"}, nil},
		{"progress goes too far", 4, 8, []string{"start 1 a1 a2", "progress 1 1", "start 2 a3", "succeeded 2"}, []string{ruleLost, ruleMark, ruleOrder}},
		{"no progress after all", 4, 8, []string{"start 1 a1 a2", "progress 1 1", "start 9 a1 a2", "succeeded 9", "start 2 a3", "succeeded 2"}, []string{rulePieces, ruleTwice}},
		{"given up", 4, 8, []string{"start 1 a1 a2", "failed 1", "discarded a1 a2", "start 2 a3", "succeeded 2"}, nil},
		{"given up behind the mark", 4, 8, []string{"start 1 a1 a2", "failed 1", "marked A 1 a2", "discarded a1 a2", "start 2 a3", "succeeded 2"}, []string{ruleMark}},
		{"given up and tried", 4, 8, []string{"start 1 a1 a2", "failed 1", "discarded a1 a2", "start 9 a2", "succeeded 9", "start 2 a3", "succeeded 2"}, []string{ruleTwice}},
		{"half of a batch alone", 4, 8, []string{"start 1 a1 a2", "failed 1", "start 8 a1", "succeeded 8", "start 9 a2", "succeeded 9", "start 2 a3", "succeeded 2"}, []string{rulePieces}},
		{"more calls than lanes", 20, 20, []string{"start 7 c1", "start 8 c1", "start 9 c1", "failed 7", "failed 8", "failed 9"}, []string{ruleCap, ruleOverlap}},
		{"replaced with records unhandled", 28, 30, []string{"replaced", "released D 2 0"}, nil},
		{"astray in the new stream", 28, 30, []string{"replaced", "start 9 d9", "succeeded 9", "released D 2 x1"}, nil},
		{"astray too early", 28, 30, []string{"start 9 d9", "succeeded 9", "replaced", "released D 2 0"}, []string{ruleBatch}},
		{"astray behind a checkpoint", 8, 30, []string{"cut", "began 1", "claimed A 2 a2", "replaced", "start 9 a9", "succeeded 9", "released A 3 a2"}, []string{ruleBatch}},
		{"mark too far before it is replaced", 28, 30, []string{"released D 2 x1", "replaced"}, []string{ruleMark}},
		{"six reads in a second", 3, 4, []string{"read A", "read A", "read A", "read A", "read A", "read A"}, []string{ruleRate}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			script := slices.Concat(good[:tt.from], tt.by, good[tt.to:])
			h := scripted(script)
			found := h.check()
			var rules []string
			for _, v := range found {
				rules = append(rules, v.rule)
			}
			slices.Sort(rules)
			if rules = slices.Compact(rules); !slices.Equal(rules, tt.want) {
				t.Errorf("broken rules %q, want %q: %v", rules, tt.want, found)
			}
			if one, two := h.disagreement(found); len(one)+len(two) > 0 {
				t.Errorf("%q only by the first checker, %q only by the second", one, two)
			}
		})
	}
}

// scripted makes a history of lines as in TestScenarioChecker.
func scripted(lines []string) *history {
	h := &history{
		began:    time.Unix(0, 0),
		required: func(r kinesistest.Record) bool { return r.Data == nil }, inScope: func(kinesistest.ShardInfo) bool { return true },
		early: func(r kinesistest.Record) bool { return r.Data != nil },
	}
	seq := map[string]string{"0": "0/trim", "x1": "99999"} // x1 is of the stream that replaces it
	add := func(id string, parents, children []string, keys ...string) {
		sh := kinesistest.ShardInfo{ID: id, Parents: parents, Children: children, Closed: children != nil}
		for i, key := range keys {
			name := strings.ToLower(id) + strconv.Itoa(i+1)
			seq[name] = fmt.Sprintf("%d", 1000*int(id[0])+i)
			sh.Records = append(sh.Records, kinesistest.Record{SequenceNumber: seq[name], PartitionKey: key})
		}
		h.shards = append(h.shards, sh)
	}
	add("0", nil, nil, "k") // from before the start, like the record of it
	h.shards[0].Records[0].Data = []byte("early")
	add("A", nil, []string{"B", "C"}, "k", "l", "k")
	add("B", []string{"A"}, []string{"D"}, "k")
	add("C", []string{"A"}, []string{"D"}, "l")
	add("D", []string{"B", "C"}, nil, "k")
	life, started := 0, map[int]string{}
	settings := plainSettings
	settings.batchSize, settings.factor = 2, 2
	for i, line := range lines {
		var kind, a, b, c, d string
		_, _ = fmt.Sscan(line, &kind, &a, &b, &c, &d)
		e := event{at: time.Duration(i) * 100 * time.Millisecond, kind: kind, life: life, shard: a}
		switch kind {
		case evBegan:
			_, _ = fmt.Sscan(a, &life)
			e.life, e.shard, e.settings = life, "", &settings
		case evReplaced:
			h.replaced, e.shard = e.at, ""
		case evStart:
			_, _ = fmt.Sscan(a, &e.call)
			for _, name := range []string{b, c, d} {
				if name != "" {
					e.seqs = append(e.seqs, seq[name])
				}
			}
			e.shard = strings.ToUpper(b[:1])
			started[e.call] = e.shard
		case evSucceeded, evFailed, evProgress:
			_, _ = fmt.Sscan(a, &e.call)
			_, _ = fmt.Sscan(b, &e.n)
			e.shard = started[e.call]
		case evDiscarded:
			e.shard = strings.ToUpper(a[:1])
			for _, name := range []string{a, b} {
				if name != "" {
					e.seqs = append(e.seqs, seq[name])
				}
			}
		case evCreated, evClaimed, evMarked, evReleased, evEnded, "other":
			_, _ = fmt.Sscan(b, &e.row.Epoch)
			e.row.Ck = "0/trim"
			if s := seq[c]; c != "" && c != "0" {
				e.row.Ck = fmt.Sprintf("1/%03d%s/~", len(s), s)
			}
			if s := seq[d]; d != "" {
				place := fmt.Sprintf("1/%03d%s/~", len(s), s)
				e.row.done = []span{{place, place}}
			}
			switch kind {
			case evClaimed, evMarked:
				e.row.Owner = fmt.Sprint("life", life)
			case "other":
				e.kind, e.row.Owner = evClaimed, "somebody"
			case evEnded:
				e.row.Ck = endMark
			}
		}
		h.events = append(h.events, e)
	}
	return h
}
