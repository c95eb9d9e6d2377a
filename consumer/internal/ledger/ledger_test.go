package ledger_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"pgregory.net/rapid"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/ledger"
	"github.com/shardlane/shardlane/consumer/internal/page"
)

// arrived is when the record with number n arrived.
func arrived(n int) time.Time { return time.UnixMilli(int64(1000 * n)) }

func read(from, n int) *page.Page {
	recs := make([]types.Record, n)
	for i := range recs {
		recs[i] = types.Record{
			SequenceNumber: aws.String(fmt.Sprint(from + i)), Data: []byte("x"), PartitionKey: aws.String("k"),
			ApproximateArrivalTimestamp: aws.Time(arrived(from + i)),
		}
	}
	return page.New(recs, nil)
}

func after(t *rapid.T, n int) checkpoint.Position {
	pos, err := checkpoint.After(fmt.Sprint(n))
	if err != nil {
		t.Fatal(err)
	}
	return pos
}

// TestLedger plays pages, outcomes in any order, windows and checkpoints against books that keep every record in a list.
func TestLedger(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const first = 100
		l := ledger.New(checkpoint.TrimHorizon, nil, "a")
		var open []page.Item          // delivered, without an outcome
		var done []bool               // of each record read
		pages := map[*page.Page]int{} // open records
		cost := map[*page.Page]int64{}
		stored, pin, closed := checkpoint.TrimHorizon, -1, false
		var kept []byte
		prefix := func() (n int) {
			for n < len(done) && done[n] {
				n++
			}
			return n
		}
		settle := func(items []page.Item) {
			var want int64
			for _, it := range items {
				done[it.Pos()] = true
				if pages[it.P]--; pages[it.P] == 0 {
					want += cost[it.P]
					delete(pages, it.P)
				}
			}
			if freed := l.Done(items); freed != want {
				t.Fatalf("freed %d, want %d", freed, want)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(t *rapid.T) {
				if closed {
					return
				}
				n := rapid.IntRange(0, 5).Draw(t, "n")
				p := read(first+len(done), n)
				var skip []bool
				if rapid.Bool().Draw(t, "skips") {
					skip = rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, "skip")
				}
				if n > 0 {
					pages[p], cost[p] = n, p.Cost()
				}
				deliver, settled := l.Enter(p, skip, time.Now())
				if len(deliver)+len(settled) != n {
					t.Fatalf("%d to deliver, %d settled, of %d", len(deliver), len(settled), n)
				}
				done = append(done, make([]bool, n)...)
				open = append(open, deliver...)
				settle(settled)
			},
			"done": func(t *rapid.T) {
				if len(open) == 0 {
					return
				}
				from := rapid.IntRange(0, len(open)-1).Draw(t, "from")
				to := rapid.IntRange(from+1, len(open)).Draw(t, "to")
				settle(open[from:to])
				open = append(append([]page.Item(nil), open[:from]...), open[to:]...)
			},
			"pin": func(*rapid.T) {
				if pin < 0 {
					pin = prefix()
				}
				l.Pin()
			},
			"unpin": func(*rapid.T) { pin = -1; l.Unpin() },
			"close": func(*rapid.T) { closed = true; l.Close() },
			"store": func(*rapid.T) {
				pos, set, _, moved, err := l.Position(1000)
				if err != nil {
					t.Fatal(err)
				}
				if moved {
					stored, kept = pos, set
					l.Stored(pos, set)
				}
			},
			"": func(t *rapid.T) {
				n := prefix()
				mark := n
				if pin >= 0 {
					mark = pin
				}
				pos, set, arrival, moved, err := l.Position(1000)
				want := checkpoint.TrimHorizon
				if mark > 0 {
					want = after(t, first+mark-1)
				}
				switch {
				case err != nil:
					t.Fatal(err)
				case want == stored && (pos != stored || !arrival.IsZero()), want != stored && (pos != want || !arrival.Equal(arrived(first+mark-1))):
					t.Fatalf("position %s at %v, want %s", pos, arrival, want)
				case moved != (want != stored || !bytes.Equal(set, kept)):
					t.Fatalf("position %s with %x moved: %v; stored is %s with %x", want, set, moved, stored, kept)
				case pin >= 0 && set != nil:
					t.Fatalf("a set of %d bytes beside an open window", len(set))
				}
				var held int
				var charged int64
				for p := range pages {
					held += p.Len()
					charged += cost[p]
				}
				f := l.Figures()
				if f.Held != held || f.Charged != charged || f.Span != int64(len(done)-n) {
					t.Fatalf("%+v, want %d records, %d bytes, a span of %d", f, held, charged, len(done)-n)
				}
				if oldest := (time.Time{}); n < len(done) && !f.Oldest.Equal(arrived(first+n)) || n == len(done) && !f.Oldest.Equal(oldest) {
					t.Fatalf("the oldest arrived at %v", f.Oldest)
				}
				settled, shut := l.Settled()
				if settled != (n == len(done)) || shut != closed || l.Complete() != (closed && settled && pin < 0) {
					t.Fatalf("settled %v, closed %v, complete %v with %d of %d done", settled, shut, l.Complete(), n, len(done))
				}
			},
		})
		var charged int64
		for p := range pages {
			charged += cost[p]
		}
		if got := l.Drop(); got != charged || l.Figures().Charged != 0 || l.Done(open) != 0 {
			t.Fatalf("dropped %d, want %d", got, charged)
		}
	})
}
