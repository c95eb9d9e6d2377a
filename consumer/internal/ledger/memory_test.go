package ledger_test

import (
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"
	"weak"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/ledger"
	"github.com/shardlane/shardlane/consumer/internal/page"
)

// TestFreedPageIsFree holds that of a page that is done above the mark nothing is kept alive but its ends. Its sequence
// numbers are cut from one string.
func TestFreedPageIsFree(t *testing.T) {
	l := ledger.New(checkpoint.TrimHorizon, nil, "a")
	open, _ := l.Enter(read(1, 1), nil, time.Time{})
	text := strings.Repeat("5", 1000)
	names := weak.Make(unsafe.StringData(text))
	above, _ := l.Enter(page.New([]types.Record{{SequenceNumber: aws.String(text[:500])}, {SequenceNumber: aws.String(text[:501])}}, nil), nil, time.Time{})
	l.Done(above)
	runtime.GC()
	if names.Value() != nil {
		t.Error("the text of the page is kept")
	}
	if _, done, _, _, err := l.Position(1000); len(done) == 0 || err != nil {
		t.Error("nothing is told of what is done above the mark")
	}
	l.Done(open)
}

// TestPageGivesMemoryBack holds that a page gives its memory back once, with the outcome of its last record and not before, and
// never behind a stop: handlers may still run then.
func TestPageGivesMemoryBack(t *testing.T) {
	l := ledger.New(checkpoint.TrimHorizon, nil, "a")
	given := 0
	enter := func(seqs ...string) []page.Item {
		var recs []types.Record
		for i := range seqs {
			recs = append(recs, types.Record{SequenceNumber: &seqs[i]})
		}
		items, _ := l.Enter(page.New(recs, func() {
			l.Figures() // the books are not locked
			given++
		}), nil, time.Time{})
		return items
	}
	first, second, third := enter("1", "2"), enter("3", "4"), enter("5")
	for _, tt := range []struct {
		done []page.Item
		want int
	}{{second[1:], 0}, {first[:1], 0}, {slices.Concat(first[1:], second[:1]), 2}} {
		if l.Done(tt.done); given != tt.want {
			t.Errorf("given back %d times, want %d", given, tt.want)
		}
	}
	l.Drop()
	if l.Done(third); given != 2 {
		t.Error("given back behind a stop")
	}
}
