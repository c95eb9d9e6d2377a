package ledger_test

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"pgregory.net/rapid"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/kpl"
	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/ledger"
	"github.com/shardlane/shardlane/consumer/internal/page"
)

const plenty = 1 << 20

// A shard is what a stream holds, and which of it has truly had an outcome.
type shard struct {
	recs []types.Record
	all  []string // names of what is handled, in order
	done map[string]bool
}

// name is what tells records apart: sequence number and place in the aggregate.
func name(it page.Item) string {
	return fmt.Sprintf("%s.%d", strings.TrimLeft(it.Seq(), "0"), it.Sub())
}

// drawShard makes records with numbers as far apart as those of Kinesis, some of them aggregates.
func drawShard(t *rapid.T) *shard {
	sh := &shard{done: map[string]bool{}}
	zeros := rapid.SampledFrom([]string{"", "00"}).Draw(t, "zeros")
	seq := big.NewInt(rapid.Int64Range(0, 99).Draw(t, "first"))
	if rapid.Bool().Draw(t, "long") {
		seq.Lsh(seq.Add(seq, big.NewInt(1)), 180)
	}
	for range rapid.IntRange(10, 60).Draw(t, "records") {
		r := types.Record{SequenceNumber: aws.String(zeros + seq.String()), Data: []byte("x"), PartitionKey: aws.String("k")}
		if n := rapid.IntRange(-6, 4).Draw(t, "users"); n > 0 {
			r.Data = kpl.Encode(slices.Repeat([]kpl.UserRecord{{PartitionKey: "k", Data: []byte("u")}}, n)...)
		}
		sh.recs = append(sh.recs, r)
		step := big.NewInt(rapid.Int64Range(1, 300).Draw(t, "step"))
		seq = new(big.Int).Add(seq, step.Lsh(step, rapid.SampledFrom([]uint{0, 36, 80}).Draw(t, "scale")))
	}
	items, _ := sh.read(checkpoint.TrimHorizon, sh.recs, nil, nil)
	for _, it := range items {
		sh.all = append(sh.all, name(it))
	}
	return sh
}

// behind is what a reader gets that begins at a position.
func (sh *shard) behind(pos checkpoint.Position) []types.Record {
	seq, _, whole, ok := pos.Sequence()
	if !ok {
		return sh.recs
	}
	i := slices.IndexFunc(sh.recs, func(r types.Record) bool { return *r.SequenceNumber == seq })
	if whole {
		i++
	}
	return sh.recs[i:]
}

// read is what the books make of records read since a position: what is to be delivered, and what has its outcome.
func (sh *shard) read(pos checkpoint.Position, recs []types.Record, books *ledger.Ledger, skip func(page.Item) bool) (deliver, settled []page.Item) {
	sieve := page.Sieve{Split: true, Resume: page.Point{Sub: batch.NoSub}}
	if seq, sub, whole, ok := pos.Sequence(); ok && !whole {
		sieve.Resume = page.Point{Seq: seq, Sub: sub}
	}
	p, _, _ := sieve.Sift(page.New(recs, nil))
	if books == nil {
		return p.Items(nil)
	}
	var skips []bool
	if skip != nil {
		skips = make([]bool, p.Len())
		for i := range skips {
			skips[i] = skip(page.Item{P: p, I: int32(i)})
		}
	}
	return books.Enter(p, skips, time.Now())
}

// again is what a restart would not handle.
func (sh *shard) again(pos checkpoint.Position, set []byte, under string) (skipped map[string]bool) {
	skipped = map[string]bool{}
	for _, n := range sh.all {
		skipped[n] = true
	}
	deliver, _ := sh.read(pos, sh.behind(pos), ledger.New(pos, set, under), nil)
	for _, it := range deliver {
		delete(skipped, name(it))
	}
	return skipped
}

// TestDoneOverTenures plays tenures of a shard, each from a checkpoint of an earlier one. What a checkpoint and its set cover
// has had an outcome; of what is above the checkpoint, all that has had one up to some place is covered, and nothing above it.
func TestDoneOverTenures(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sh := drawShard(t)
		pos, set := checkpoint.TrimHorizon, []byte(nil)
		for range rapid.IntRange(2, 4).Draw(t, "tenures") {
			known := sh.again(pos, set, "a") // of what was done before; anything else may have been forgotten
			l := ledger.New(pos, set, "a")
			rest := sh.behind(pos)
			var open []page.Item
			settle := func(items []page.Item) {
				for _, it := range items {
					sh.done[name(it)], known[name(it)] = true, true
				}
				l.Done(items)
			}
			resume := pos
			checkAt := func(limit int) (checkpoint.Position, []byte) {
				p, done, _, _, err := l.Position(limit)
				if err != nil {
					t.Fatal(err)
				}
				if len(done) > limit {
					t.Fatalf("%d bytes, the limit is %d", len(done), limit)
				}
				got, end := sh.again(p, done, "a"), false
				for _, n := range sh.all {
					switch {
					case got[n] && !sh.done[n]:
						t.Fatalf("%s is taken for done beside %s", n, p)
					case got[n] && end:
						t.Fatalf("%s is kept, and one below it is not", n)
					case !got[n] && known[n]:
						if end = true; limit == plenty {
							t.Fatalf("%s is not taken for done beside %s", n, p)
						}
					}
				}
				_, whole, _, _, _ := l.Position(plenty)
				below := l.Short(limit)
				if (below == nil) != slices.Equal(done, whole) {
					t.Fatalf("%d bytes of %d are kept, and it is short: %t", len(done), len(whole), below != nil)
				}
				for _, it := range open {
					if below == nil {
						break
					}
					at := slices.Index(sh.all, name(it))
					for i, n := range sh.all {
						if below(it) && i < at && known[n] && !got[n] || !below(it) && i > at && got[n] {
							t.Fatalf("%s is below what has no room: %t, and %s is kept: %t", name(it), below(it), n, got[n])
						}
					}
				}
				return p, done
			}
			for range rapid.IntRange(3, 12).Draw(t, "steps") {
				switch rapid.SampledFrom([]string{"read", "read", "read", "done", "done", "all", "store"}).Draw(t, "step") {
				case "read":
					n := min(len(rest), rapid.IntRange(1, 9).Draw(t, "page"))
					var skip func(page.Item) bool
					if rapid.Bool().Draw(t, "filter") {
						skip = func(page.Item) bool { return rapid.IntRange(0, 3).Draw(t, "skip") == 0 }
					}
					deliver, settled := sh.read(resume, rest[:n], l, skip)
					for _, it := range deliver {
						if known[name(it)] {
							t.Fatalf("%s comes again", name(it))
						}
					}
					rest, open = rest[n:], append(open, deliver...)
					settle(settled)
				case "done":
					for range rapid.IntRange(0, len(open)).Draw(t, "n") {
						i := rapid.IntRange(0, len(open)-1).Draw(t, "i")
						settle(open[i : i+1])
						open = slices.Delete(open, i, i+1)
					}
				case "all":
					settle(open)
					open = nil
				case "store":
					pos, set = checkAt(rapid.SampledFrom([]int{0, 12, 20, 40, 80, plenty}).Draw(t, "limit"))
					l.Stored(pos, set)
				}
				_, full := checkAt(plenty)
				checkAt(rapid.IntRange(0, len(full)).Draw(t, "limit"))
			}
			lastPos, last := checkAt(plenty)
			l.Drop()
			l.Done(open)
			if p, done := checkAt(plenty); p != lastPos || !slices.Equal(done, last) {
				t.Fatalf("%s and %x before the stop, %s and %x behind it", lastPos, last, p, done)
			}
			if rapid.Bool().Draw(t, "clean") {
				pos, set = lastPos, last
			}
			misread(t, sh, pos, set)
		}
	})
}

// misread fails the test unless a set that is not quite the one that was stored is empty.
func misread(t *rapid.T, sh *shard, pos checkpoint.Position, set []byte) {
	if len(set) == 0 {
		return
	}
	none := len(sh.again(pos, nil, "a"))
	bent := slices.Clone(set)
	bent[rapid.IntRange(0, len(set)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
	for what, got := range map[string]int{
		"bent":      len(sh.again(pos, bent, "a")),
		"cut":       len(sh.again(pos, set[:rapid.IntRange(0, len(set)-1).Draw(t, "length")], "a")),
		"foreign":   len(sh.again(pos, set, "b")),
		"unused":    len(sh.again(pos, set, "")),
		"misplaced": none - len(sh.again(checkpoint.AtTime(time.Unix(1, 0)), nil, "a")) + len(sh.again(checkpoint.AtTime(time.Unix(1, 0)), set, "a")),
	} {
		if got != none {
			t.Fatalf("a %s set covers %d records, want %d", what, got, none)
		}
	}
}

// A set that is over its limit loses its upper end, and the numbers that Kinesis gives out take a few bytes each.
func TestDoneSize(t *testing.T) {
	l := ledger.New(checkpoint.TrimHorizon, nil, "a")
	seq, _ := new(big.Int).SetString("49590338271490256608559692538361571095921575989136588898", 10)
	step, _ := new(big.Int).SetString("2564131663402632534000926720", 10) // as far as two that AWS shows
	var recs []types.Record
	for range 4001 {
		recs = append(recs, types.Record{SequenceNumber: aws.String(seq.String()), PartitionKey: aws.String("k")})
		seq = new(big.Int).Add(seq, step)
	}
	items, _ := l.Enter(page.New(recs, nil), nil, time.Now())
	for i := 1; i < len(items); i += 2 {
		l.Done(items[i : i+1])
	}
	sizes := map[int]int{}
	for _, limit := range []int{450, 35 << 10, plenty} {
		_, done, _, _, err := l.Position(limit)
		if err != nil || len(done) > limit {
			t.Fatalf("%d bytes of %d: %v", len(done), limit, err)
		}
		_, settled := ledger.New(checkpoint.TrimHorizon, done, "a").Enter(page.New(recs, nil), nil, time.Now())
		sizes[limit] = len(settled)
	}
	t.Logf("records kept: %v", sizes)
	if sizes[450] < 20 || sizes[35<<10] < 1900 || sizes[plenty] != 2000 {
		t.Errorf("kept %v of 2,000 records that lie between open ones", sizes)
	}
}

// Position and set are of one moment, while records get their outcomes: in whatever order these come, what is covered is the
// first ones of them.
func TestDoneAtOneMoment(t *testing.T) {
	const n = 200
	for seed := range uint64(30) {
		sh := &shard{}
		l := ledger.New(checkpoint.TrimHorizon, nil, "a")
		for i := range n {
			sh.recs = append(sh.recs, types.Record{SequenceNumber: aws.String(fmt.Sprint(1000 + i)), PartitionKey: aws.String("k")})
			sh.all = append(sh.all, fmt.Sprintf("%d.-1", 1000+i))
		}
		var items []page.Item
		for recs := range slices.Chunk(sh.recs, 10) {
			deliver, _ := l.Enter(page.New(recs, nil), nil, time.Now())
			items = append(items, deliver...)
		}
		r := rand.New(rand.NewPCG(seed, 0))
		for part := range slices.Chunk(items, 20) { // near each other, so that the mark moves all the time
			r.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
		}
		order := make([]string, n)
		for i, it := range items {
			order[i] = name(it)
		}
		var outcomes sync.WaitGroup
		outcomes.Go(func() {
			for i := range items {
				l.Done(items[i : i+1])
				runtime.Gosched()
			}
		})
		for got := 0; got < n; {
			pos, done, _, _, err := l.Position(plenty)
			if err != nil {
				t.Fatal(err)
			}
			covered := sh.again(pos, done, "a")
			got = len(covered)
			for _, name := range order[:got] {
				if !covered[name] {
					t.Fatalf("seed %d, beside %s: %s is not covered, which had its outcome before others that are", seed, pos, name)
				}
			}
		}
		outcomes.Wait()
	}
}

// Where no set is kept, none is.
func TestDoneOfNone(t *testing.T) {
	l := ledger.New(checkpoint.TrimHorizon, nil, "")
	items, _ := l.Enter(read(1, 2), nil, time.Now())
	l.Done(items[1:])
	if pos, done, _, moved, err := l.Position(plenty); pos != checkpoint.TrimHorizon || done != nil || moved || err != nil {
		t.Errorf("%s, %x, moved %v, %v", pos, done, moved, err)
	}
}

// Numbers that are none have no set, as they have no checkpoint (C28).
func TestDoneOfWords(t *testing.T) {
	l := ledger.New(checkpoint.TrimHorizon, nil, "a")
	items, _ := l.Enter(page.New([]types.Record{{SequenceNumber: aws.String("record-1")}, {SequenceNumber: aws.String("record-2")}}, nil), nil, time.Now())
	l.Done(items[1:])
	if pos, done, _, moved, err := l.Position(plenty); pos != checkpoint.TrimHorizon || done != nil || moved || err != nil {
		t.Errorf("%s, %x, moved %v, %v", pos, done, moved, err)
	}
	l.Done(items[:1])
	if _, done, _, moved, err := l.Position(plenty); done != nil || moved || err == nil {
		t.Errorf("%x, moved %v, no error", done, moved)
	}
}
