package ledger_test

import (
	"runtime"
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
	above, _ := l.Enter(page.New([]types.Record{{SequenceNumber: aws.String(text[:500])}, {SequenceNumber: aws.String(text[:501])}}), nil, time.Time{})
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
