package reader

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/shardmap"
)

func TestPollerTellsThatRecordsMayBeLost(t *testing.T) {
	t.Attr("rule", "C30")
	behind, failed := reply("a", 5000, "1"), refuse("InternalFailure")
	for name, tt := range map[string]struct {
		replies replies
		kept    time.Duration
		told    []string
	}{
		// 5 s behind at the first call, and the second good one comes 600 ms later.
		"just kept": {replies{behind, failed, reply("b", 0, "2")}, 5600 * ms, []string{"ReadFailed GetRecords"}},
		"not kept":  {replies{behind, failed, reply("b", 0, "2")}, 5600*ms - 1, []string{"ReadFailed GetRecords", "RetentionLost reading was 6s behind, and records are kept for 5.599999999s: some may be lost"}},
		"once":      {replies{behind, behind, behind}, time.Second, []string{"RetentionLost reading was 5s behind, and records are kept for 1s: some may be lost"}},
		"unknown":   {replies{behind, failed, behind}, 0, []string{"ReadFailed GetRecords"}},
		"replies that do not tell": {
			replies{behind, untold("b", "2"), untold("c", "3"), reply("d", 0, "4")},
			5600*ms - 1,
			[]string{"RetentionLost reading was 6s behind, and records are kept for 5.599999999s: some may be lost"},
		},
		"they never tell":           {replies{untold("a", "1"), untold("b", "2"), untold("c", "3"), untold("d", "4"), untold("e"), untold("f")}, 399 * ms, nil},
		"they never tell, and fail": {replies{untold("a", "1"), failed, untold("b", "2")}, 599 * ms, []string{"ReadFailed GetRecords", "RetentionLost reading was 1s behind, and records are kept for 599ms: some may be lost"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &log{kept: tt.kept}
				poll(t, &script{replies: tt.replies}, l, checkpoint.TrimHorizon, 1100*ms)
				equal(t, "told", l.entries, tt.told)
			})
		})
	}
}

// What a failure is called, and that a read which comes through mends it.
func TestPollerTellsOfFailures(t *testing.T) {
	for code, want := range map[string][]string{
		"ExpiredIteratorException":               {"IteratorExpired GetRecords"},
		"ProvisionedThroughputExceededException": {"ReadThrottled GetRecords"},
		"KMSThrottlingException":                 {"ReadThrottled GetRecords"},
		"InternalFailure":                        {"ReadFailed GetRecords"},
		"ResourceNotFoundException":              {"fate", "ReadFailed GetRecords"},
	} {
		t.Run(code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &log{}
				p := poll(t, &script{replies: replies{refuse(code)}}, l, checkpoint.TrimHorizon, 100*ms)
				equal(t, "told", l.entries, want)
				if want, got := code != "ExpiredIteratorException", p.Tell.Failing("GetRecords"); got != want {
					t.Errorf("in trouble: %v", got)
				}
				p = poll(t, &script{replies: replies{refuse(code), reply("a", 0)}}, l, checkpoint.TrimHorizon, 2*time.Second)
				if p.Tell.Failing("GetRecords") {
					t.Error("in trouble behind a good read")
				}
			})
		})
	}
}

// A shard that has left the stream is at its end, whether the stream still names children of it or not.
func TestPollerTrimmedShard(t *testing.T) {
	for _, children := range [][]shardmap.Shard{nil, {{ID: "child", Parents: []string{"shard"}}}} {
		synctest.Test(t, func(t *testing.T) {
			l := &log{fate: Trimmed, children: children}
			poll(t, &script{replies: replies{refuse("ResourceNotFoundException")}}, l, checkpoint.TrimHorizon, time.Second)
			equal(t, "told", l.entries, []string{"fate", "RetentionLost the shard"})
			if len(l.reads) != 1 || !l.reads[0].End || len(l.reads[0].Children) != len(children) || l.reads[0].Page.Len() != 0 {
				t.Errorf("read %+v, want the end", l.reads)
			}
		})
	}
}
