package reader

import (
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"unsafe"
	"weak"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/shardlane/shardlane/checkpoint"
)

// TestPollerKeepsNoPage holds that the last sequence number of a page, which is kept, does not keep the others alive: they
// are cut from one string.
func TestPollerKeepsNoPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text := strings.Repeat("4", 1000)
		names := weak.Make(unsafe.StringData(text))
		s, l := &script{replies: []func() (*kinesis.GetRecordsOutput, error){reply("a", 9, text[:56], text[:57])}}, &log{}
		text = "" //nolint:wastedassign // or this variable keeps it
		p := poller(s, l, checkpoint.TrimHorizon)
		p.poll(t.Context())
		if n := len(l.seqs()); n != 2 || len(p.lastSeq) != 57 {
			t.Fatalf("%d records, the last one %q", n, p.lastSeq)
		}
		l.reads, s.replies = nil, nil
		runtime.GC()
		if names.Value() != nil {
			t.Error("the text of the page is kept")
		}
		runtime.KeepAlive(p)
	})
}
