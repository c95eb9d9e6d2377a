package reader

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	"github.com/cenkalti/backoff/v4"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/shardmap"
)

func TestPollerPace(t *testing.T) {
	t.Attr("rule", "L16")
	big := func() (*kinesis.GetRecordsOutput, error) {
		return &kinesis.GetRecordsOutput{
			NextShardIterator: aws.String("b"), MillisBehindLatest: aws.Int64(1),
			Records: []types.Record{{SequenceNumber: aws.String("9"), Data: make([]byte, 2_000_000), PartitionKey: aws.String(strings.Repeat("k", 1_000_000))}},
		}, nil
	}
	for _, tt := range []struct {
		name    string
		replies []func() (*kinesis.GetRecordsOutput, error)
		want    []time.Duration
	}{
		{"five calls a second while there is more", []func() (*kinesis.GetRecordsOutput, error){reply("a", 9, "1"), reply("b", 9, "2")}, []time.Duration{0, 200 * ms, 400 * ms, 600 * ms}},
		{"the time a shard takes to serve a page", []func() (*kinesis.GetRecordsOutput, error){big}, []time.Duration{0, 1500 * ms, 1700 * ms}},
		{"the owner before has spent the shard's calls", []func() (*kinesis.GetRecordsOutput, error){refuse("ProvisionedThroughputExceededException"), refuse("KMSThrottlingException")}, []time.Duration{0, 200 * ms, 400 * ms}},
		{"a pause after a failure", []func() (*kinesis.GetRecordsOutput, error){refuse("InternalFailure")}, []time.Duration{0, 400 * ms, 600 * ms}},
		{"never faster, not even for an expired iterator", []func() (*kinesis.GetRecordsOutput, error){refuse("ExpiredIteratorException"), refuse("ExpiredIteratorException")}, []time.Duration{0, 200 * ms, 400 * ms}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{replies: tt.replies}
				poll(t, s, &log{}, checkpoint.TrimHorizon, 3*time.Second)
				equal(t, "calls", s.calls[:len(tt.want)], tt.want)
			})
		})
	}
}

// One call a second after a throttle, but for the first five seconds, and a second from the reply to the fifth call before.
func TestPollerPaceOverTime(t *testing.T) {
	t.Attr("rule", "L16")
	synctest.Test(t, func(t *testing.T) {
		s := &script{pause: backoff.NewExponentialBackOff()} // from 500 ms on
		for range 40 {
			s.replies = append(s.replies, refuse("ProvisionedThroughputExceededException"))
		}
		poll(t, s, &log{}, checkpoint.TrimHorizon, 10*time.Second)
		if at := s.calls[25:28]; at[0] != 5*time.Second || at[1] != 6*time.Second || at[2] > 7500*ms {
			t.Errorf("throttled calls at %v, want one a second from 5 s on", at)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		slow := func() (*kinesis.GetRecordsOutput, error) { time.Sleep(150 * ms); return reply("a", 9, "1")() }
		s := &script{replies: []func() (*kinesis.GetRecordsOutput, error){slow, reply("a", 9, "2"), reply("a", 9, "3"), reply("a", 9, "4"), reply("a", 9, "5"), reply("a", 9, "6")}}
		poll(t, s, &log{}, checkpoint.TrimHorizon, 2*time.Second)
		equal(t, "calls", s.calls[:7], []time.Duration{0, 230 * ms, 430 * ms, 630 * ms, 830 * ms, 1150 * ms, 1350 * ms})
	})
}

func TestPollerStartsWhereItIsTold(t *testing.T) {
	whole, err := checkpoint.After("123")
	if err != nil {
		t.Fatal(err)
	}
	for from, want := range map[checkpoint.Position]string{
		checkpoint.TrimHorizon:               "TRIM_HORIZON",
		checkpoint.AtTime(time.Unix(7, 5e6)): "AT_TIMESTAMP 7005",
		whole:                                "AFTER_SEQUENCE_NUMBER 123",
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{}
			poll(t, s, &log{}, from, time.Second)
			equal(t, string(from), s.located, []string{want})
		})
	}
}

func TestPollerKeepsItsPlace(t *testing.T) {
	for _, tt := range []struct {
		name    string
		failure func() (*kinesis.GetRecordsOutput, error)
		used    []string
		located []string
	}{
		{"throttle", refuse("ProvisionedThroughputExceededException"), []string{"located 1", "a", "a"}, []string{"TRIM_HORIZON"}},
		{"server error", refuse("ServiceUnavailable"), []string{"located 1", "a", "a"}, []string{"TRIM_HORIZON"}},
		{"connection", func() (*kinesis.GetRecordsOutput, error) { return nil, errors.New("reset") }, []string{"located 1", "a", "a"}, []string{"TRIM_HORIZON"}},
		{"expired", refuse("ExpiredIteratorException"), []string{"located 1", "a", "located 2"}, []string{"TRIM_HORIZON", "AFTER_SEQUENCE_NUMBER 2"}},
		{"invalid iterator", refuse("InvalidArgumentException"), []string{"located 1", "a", "located 2"}, []string{"TRIM_HORIZON", "AFTER_SEQUENCE_NUMBER 2"}},
		{"nil iterator without children", reply("", 5), []string{"located 1", "a", "located 2"}, []string{"TRIM_HORIZON", "AFTER_SEQUENCE_NUMBER 2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{replies: []func() (*kinesis.GetRecordsOutput, error){reply("a", 9, "1", "2"), tt.failure, reply("b", 0, "3")}}
				l := &log{}
				poll(t, s, l, checkpoint.TrimHorizon, 5*time.Second)
				equal(t, "iterators", s.used[:3], tt.used)
				equal(t, "positions", s.located, tt.located)
				equal(t, "records", l.seqs(), []string{"1", "2", "3"})
			})
		})
	}
}

func TestPollerDropsRepeatedRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{replies: []func() (*kinesis.GetRecordsOutput, error){
			reply("a", 9, "8", "9"), reply("b", 9, "8", "9"), reply("c", 9, "9", "10", "11"), reply("d", 9, "100"),
		}}
		l := &log{}
		poll(t, s, l, checkpoint.TrimHorizon, 2*time.Second)
		equal(t, "records", l.seqs(), []string{"8", "9", "10", "11", "100"})
	})
}

func TestPollerShardEnd(t *testing.T) {
	child := types.ChildShard{ShardId: aws.String("child"), ParentShards: []string{"shard"}}
	stranger := types.ChildShard{ShardId: aws.String("x"), ParentShards: []string{"other"}}
	for _, tt := range []struct {
		name     string
		named    []types.ChildShard // by the reply
		listed   []shardmap.Shard   // by ListShards
		end      bool
		children string
	}{
		{"named", []types.ChildShard{child}, nil, true, "child"},
		{"listed", nil, []shardmap.Shard{{ID: "child"}}, true, "child"},
		{"of another parent", []types.ChildShard{stranger}, nil, false, ""},
		{"none", nil, nil, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				last := func() (*kinesis.GetRecordsOutput, error) {
					out, err := reply("", 0, "1")()
					out.ChildShards = tt.named
					return out, err
				}
				s := &script{replies: []func() (*kinesis.GetRecordsOutput, error){last}}
				l := &log{children: tt.listed}
				poll(t, s, l, checkpoint.TrimHorizon, time.Second)
				equal(t, "records", l.seqs(), []string{"1"})
				if l.reads[0].End != tt.end || tt.end != (len(s.calls) == 1) {
					t.Errorf("end %v after %d calls, want %v", l.reads[0].End, len(s.calls), tt.end)
				}
				if tt.end && l.reads[0].Children[0].ID != tt.children {
					t.Errorf("children %v", l.reads[0].Children)
				}
			})
		})
	}
}

func TestPollerInvalidPosition(t *testing.T) {
	after, err := checkpoint.After("123")
	if err != nil {
		t.Fatal(err)
	}
	for _, fate := range []Fate{Known, Void} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{replies: []func() (*kinesis.GetRecordsOutput, error){reply("a", 0, "7")}}
			s.locate = func(in *kinesis.GetShardIteratorInput) error {
				if in.ShardIteratorType == types.ShardIteratorTypeTrimHorizon {
					return nil
				}
				return &smithy.GenericAPIError{Code: "InvalidArgumentException"}
			}
			l := &log{fate: fate}
			poll(t, s, l, after, 2*time.Second)
			if fate == Void { // another stream: its records are not read by old positions
				equal(t, "told", l.entries, []string{"fate"})
				equal(t, "records", l.seqs(), nil)
				return
			}
			equal(t, "told", l.entries, []string{"fate", "fate", "RetentionLost position " + string(after), "ReadFailed GetShardIterator"})
			equal(t, "positions", s.located, []string{"AFTER_SEQUENCE_NUMBER 123", "AT_SEQUENCE_NUMBER 123", "TRIM_HORIZON"})
			equal(t, "records", l.seqs(), []string{"7"})
		})
	}
}

// While nobody can tell whether the stream is still the same, no other position is tried, and no iterator is taken that would
// be good in any stream.
func TestPollerUnknownStream(t *testing.T) {
	after, err := checkpoint.After("123")
	if err != nil {
		t.Fatal(err)
	}
	for from, refusal := range map[checkpoint.Position]string{
		after: "InvalidArgumentException", checkpoint.TrimHorizon: "ResourceNotFoundException",
	} {
		for _, becomes := range []Fate{Known, Void} {
			synctest.Test(t, func(t *testing.T) {
				s := &script{replies: replies{reply("a", 0, "7")}}
				l := &log{fate: Unknown}
				s.locate = func(*kinesis.GetShardIteratorInput) error {
					if len(s.located) == 1 {
						return &smithy.GenericAPIError{Code: refusal}
					}
					return nil
				}
				p := poller(s, l, from)
				for range 5 {
					time.Sleep(time.Second)
					p.poll(t.Context())
				}
				if len(s.located) != 1 || len(s.calls) != 0 {
					t.Errorf("%d iterators and %d reads of nobody knows what", len(s.located), len(s.calls))
				}
				l.fate = becomes
				time.Sleep(time.Second)
				if _, ok := p.poll(t.Context()); ok != (becomes == Known) || len(s.calls) > 0 != (becomes == Known) {
					t.Errorf("fate %v: reading goes on %v, %d reads", becomes, ok, len(s.calls))
				}
				if len(s.located) > 1 && s.located[0] != s.located[1] {
					t.Errorf("positions %q", s.located)
				}
			})
		}
	}
}

func TestPollerParksAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		poll(t, s, &log{full: true}, checkpoint.TrimHorizon, time.Minute)
		if len(s.calls) != 0 {
			t.Errorf("%d calls without room", len(s.calls))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		poll(t, s, &log{until: 3}, checkpoint.TrimHorizon, time.Minute)
		if len(s.calls) != 3 {
			t.Errorf("%d calls, want 3: the sink took no more", len(s.calls))
		}
	})
}

// A reply that does not say how far behind it is does not say that it is at the tip: such a shard is not polled as one that
// is caught up.
func TestPollerUntoldLag(t *testing.T) {
	t.Attr("rule", "C27")
	for want, first := range map[bool]func() (*kinesis.GetRecordsOutput, error){true: reply("a", 0), false: untold("a")} {
		synctest.Test(t, func(t *testing.T) {
			l, idle := &log{}, !want
			p := poller(&script{replies: replies{first}}, l, checkpoint.TrimHorizon)
			p.idle = func(is bool, _ time.Duration) time.Duration { idle = is; return time.Second }
			p.poll(t.Context())
			if idle != want || l.reads[0].Told != want {
				t.Errorf("caught up %v, read %+v; want %v", idle, l.reads[0], want)
			}
		})
	}
}

// A page has no more records than the Sink has room for.
func TestPollerAsksForWhatTheSinkTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{replies: replies{reply("a", 9, "1"), nil}}
		poll(t, s, &log{limit: 100}, checkpoint.TrimHorizon, 20*time.Second)
		equal(t, "limits", s.limits[:3], []int32{100, 100, 25})
	})
}

// Reading that has ended stays so, whoever wakes the entry.
func TestPollerIsOver(t *testing.T) {
	for name, tt := range map[string]struct {
		reply func() (*kinesis.GetRecordsOutput, error)
		log   log
	}{
		"the sink has enough":   {reply("a", 9, "1"), log{until: 1}},
		"the shard has ended":   {reply("", 0, "1"), log{children: []shardmap.Shard{{}}}},
		"the shard is gone":     {refuse("ResourceNotFoundException"), log{fate: Trimmed}},
		"the stream is another": {refuse("InvalidArgumentException"), log{fate: Void}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{replies: []func() (*kinesis.GetRecordsOutput, error){tt.reply}}
			p := poller(s, &tt.log, checkpoint.TrimHorizon)
			for range 2 {
				if next, ok := p.poll(t.Context()); ok {
					t.Errorf("the next call is due at %v", next)
				}
				p.notBefore = time.Time{}
			}
			if len(s.calls) != 1 {
				t.Errorf("%d calls, want 1", len(s.calls))
			}
		})
	}
}

// A time is refused when the service's clock has not come to it. Reading from the oldest record instead would repeat all.
func TestPollerWaitsForItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, refused := &script{}, 0
		s.locate = func(*kinesis.GetShardIteratorInput) error {
			if refused++; refused > 2 {
				return nil
			}
			return &types.InvalidArgumentException{}
		}
		l := &log{}
		poll(t, s, l, checkpoint.AtTime(time.Unix(7, 0)), 5*time.Second)
		equal(t, "positions", s.located, []string{"AT_TIMESTAMP 7000", "AT_TIMESTAMP 7000", "AT_TIMESTAMP 7000"})
		if len(s.calls) == 0 || slices.ContainsFunc(l.entries, func(e string) bool { return strings.HasPrefix(e, "RetentionLost") }) {
			t.Errorf("%d calls, told %v", len(s.calls), l.entries)
		}
	})
}
