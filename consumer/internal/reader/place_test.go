package reader

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/shardmap"
)

type replies = []func() (*kinesis.GetRecordsOutput, error)

// refusing is a script that gives no iterator for requests of a kind and position.
func refusing(rs replies, kinds ...string) *script {
	return &script{replies: rs, locate: func(in *kinesis.GetShardIteratorInput) error {
		if slices.Contains(kinds, fmt.Sprint(in.ShardIteratorType, " ", aws.ToString(in.StartingSequenceNumber))) {
			return &smithy.GenericAPIError{Code: "InvalidArgumentException"}
		}
		return nil
	}}
}

// A service may refuse an iterator behind the last record of a closed shard. The record itself is asked for then, and not
// delivered again.
func TestPollerRefusedBehind(t *testing.T) {
	from, err := checkpoint.After("123")
	if err != nil {
		t.Fatal(err)
	}
	child := shardmap.Shard{ID: "child", Parents: []string{"shard"}}
	const after, at = "AFTER_SEQUENCE_NUMBER 123", "AT_SEQUENCE_NUMBER 123"
	for _, tt := range []struct {
		name    string
		replies replies
		refused []string
		told    []string
		located []string
		seqs    []string
		end     bool
	}{
		{"at the end", replies{reply("", 0, "123")}, []string{after}, []string{"fate", "children"}, []string{after, at}, nil, true},
		{"at the end, in two pages", replies{reply("a", 0, "123"), reply("", 0)}, []string{after}, []string{"fate", "children"}, []string{after, at}, nil, true},
		{"more follows", replies{reply("a", 0), reply("b", 0, "123", "124"), reply("", 0, "125")}, []string{after}, []string{"fate", "children"}, []string{after, at}, []string{"124", "125"}, true},
		{"trimmed", replies{reply("a", 0), reply("b", 0, "130"), reply("", 0, "131")}, []string{after}, []string{"fate", "RetentionLost position 1/003123/~", "children"}, []string{after, at}, []string{"130", "131"}, true},
		{"a page that comes twice", replies{reply("a", 0, "123"), reply("", 0, "123", "124")}, []string{after}, []string{"fate", "children"}, []string{after, at}, []string{"124"}, true},
		{"an iterator that expires", replies{refuse("ExpiredIteratorException"), reply("", 0, "123")}, []string{after}, []string{"fate", "IteratorExpired GetRecords", "children"}, []string{after, at, at}, nil, true},
		{"an iterator that expires behind it", replies{reply("a", 0, "123"), refuse("ExpiredIteratorException"), reply("", 0, "123")}, []string{after}, []string{"fate", "IteratorExpired GetRecords", "children"}, []string{after, at, at}, nil, true},
		{"both", replies{reply("", 0, "7")}, []string{after, at}, []string{"fate", "fate", "RetentionLost position 1/003123/~", "ReadFailed GetShardIterator", "children"}, []string{after, at, "TRIM_HORIZON"}, []string{"7"}, true},
		{"both, and what is read then", replies{reply("a", 0, "7"), refuse("ExpiredIteratorException"), reply("", 0, "8")}, []string{after, at}, []string{"fate", "fate", "RetentionLost position 1/003123/~", "ReadFailed GetShardIterator", "IteratorExpired GetRecords", "children"}, []string{after, at, "TRIM_HORIZON", "AFTER_SEQUENCE_NUMBER 7"}, []string{"7", "8"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := refusing(tt.replies, tt.refused...)
				l := &log{children: []shardmap.Shard{child}}
				poll(t, s, l, from, 5*time.Second)
				equal(t, "told", l.entries, tt.told)
				equal(t, "positions", s.located, tt.located)
				equal(t, "records", l.seqs(), tt.seqs)
				if n := len(l.reads); n == 0 || l.reads[n-1].End != tt.end {
					t.Errorf("end %v", l.reads)
				}
			})
		})
	}
}

// The same within a tenure, where what was fetched is known: nothing of it is delivered again.
func TestPollerRefusedBehindWhatItRead(t *testing.T) {
	for name, tt := range map[string]struct {
		refused, located []string
	}{
		"at the end":        {[]string{"AFTER_SEQUENCE_NUMBER 9"}, []string{"TRIM_HORIZON", "AFTER_SEQUENCE_NUMBER 9", "AT_SEQUENCE_NUMBER 9"}},
		"trimmed meanwhile": {[]string{"AFTER_SEQUENCE_NUMBER 9", "AT_SEQUENCE_NUMBER 9"}, []string{"TRIM_HORIZON", "AFTER_SEQUENCE_NUMBER 9", "AT_SEQUENCE_NUMBER 9", "TRIM_HORIZON"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := refusing(replies{reply("a", 9, "8", "9"), refuse("ExpiredIteratorException"), reply("b", 9, "9", "10"), reply("c", 9, "11")}, tt.refused...)
				l := &log{}
				poll(t, s, l, checkpoint.TrimHorizon, 5*time.Second)
				equal(t, "records", l.seqs(), []string{"8", "9", "10", "11"})
				equal(t, "positions", s.located, tt.located)
				if told := slices.Contains(l.entries, "RetentionLost position 1/0019/~"); told != (len(tt.refused) == 2) {
					t.Errorf("told %v", l.entries)
				}
			})
		})
	}
}

// A reply without an iterator is the end of a shard that has been read and has children, and an error of one that has none.
func TestPollerNoIterator(t *testing.T) {
	from, err := checkpoint.After("123")
	if err != nil {
		t.Fatal(err)
	}
	children := []shardmap.Shard{{ID: "child", Parents: []string{"shard"}}}
	for _, tt := range []struct {
		name     string
		from     checkpoint.Position
		nowhere  int
		children []shardmap.Shard
		end      bool
		seqs     []string
		located  []string
	}{
		{"at the end", from, 9, children, true, nil, []string{"AFTER_SEQUENCE_NUMBER 123", "AT_SEQUENCE_NUMBER 123"}},
		{"an empty shard", checkpoint.TrimHorizon, 9, children, true, nil, []string{"TRIM_HORIZON", "TRIM_HORIZON"}},
		{"the record is there", from, 1, children, false, []string{"124"}, []string{"AFTER_SEQUENCE_NUMBER 123", "AT_SEQUENCE_NUMBER 123"}},
		{"once only", checkpoint.TrimHorizon, 1, children, false, []string{"123", "124"}, []string{"TRIM_HORIZON", "TRIM_HORIZON"}},
		{"no children", from, 4, nil, false, []string{"124"}, []string{"AFTER_SEQUENCE_NUMBER 123", "AT_SEQUENCE_NUMBER 123", "AT_SEQUENCE_NUMBER 123", "AT_SEQUENCE_NUMBER 123", "AT_SEQUENCE_NUMBER 123"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{nowhere: func(n int) bool { return n <= tt.nowhere }, replies: replies{reply("a", 0, "123", "124")}}
				l := &log{children: tt.children}
				poll(t, s, l, tt.from, 5*time.Second)
				equal(t, "positions", s.located, tt.located)
				equal(t, "records", l.seqs(), tt.seqs)
				if n := len(l.reads); n == 0 || l.reads[n-1].End != tt.end || tt.end && len(l.reads[n-1].Children) != 1 {
					t.Errorf("pages %v, want the end %v", l.reads, tt.end)
				}
			})
		})
	}
}

// Replies without an iterator count in a row only.
func TestPollerNoIteratorNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{nowhere: func(n int) bool { return n%2 == 1 }, replies: replies{reply("a", 0), refuse("ExpiredIteratorException"), reply("b", 0, "1", "2")}}
		l := &log{children: []shardmap.Shard{{}}}
		poll(t, s, l, checkpoint.TrimHorizon, 5*time.Second)
		equal(t, "records", l.seqs(), []string{"1", "2"})
		equal(t, "positions", s.located, []string{"TRIM_HORIZON", "TRIM_HORIZON", "TRIM_HORIZON", "TRIM_HORIZON"})
	})
}

// Numbers are compared as such, with zeros in front or not. Of what is no number nothing is dropped.
func TestPollerUnusualNumbers(t *testing.T) {
	t.Attr("rule", "C28")
	for _, tt := range []struct {
		name        string
		first, then []string
		want        []string
	}{
		{"padded", []string{"0008", "0009"}, []string{"0009", "0010"}, []string{"0008", "0009", "0010"}},
		{"padded to another length", []string{"0009"}, []string{"009", "10", "0011"}, []string{"0009", "10", "0011"}},
		{"words", []string{"pear"}, []string{"fig", "apple"}, []string{"pear", "fig", "apple"}},
		{"one word", []string{"x", "x"}, []string{"x"}, []string{"x", "x", "x"}},
		{"a word behind a number", []string{"9"}, []string{"a", "1"}, []string{"9", "a", "1"}},
		{"none", []string{"9"}, []string{"", "10"}, []string{"9", "", "10"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &log{}
				s := &script{replies: replies{reply("a", 9, tt.first...), reply("b", 9, tt.then...), refuse("ExpiredIteratorException")}}
				poll(t, s, l, checkpoint.TrimHorizon, 2*time.Second)
				equal(t, "records", l.seqs(), tt.want)
				if last := s.located[len(s.located)-1]; last != "AFTER_SEQUENCE_NUMBER "+tt.want[len(tt.want)-1] {
					t.Errorf("reading goes on %s", last)
				}
			})
		})
	}
}

// The SDK learns how far a clock is off from the reply that refuses a signature, so the call is sent again at once, once.
func TestPollerSignature(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		no := refuse("InvalidSignatureException")
		s := &script{replies: replies{no, reply("a", 9, "1"), no, no, reply("b", 9, "2")}}
		l := &log{}
		poll(t, s, l, checkpoint.TrimHorizon, 2*time.Second)
		equal(t, "records", l.seqs(), []string{"1", "2"})
		equal(t, "calls", s.calls[:5], []time.Duration{0, 200 * ms, 400 * ms, 600 * ms, 1000 * ms})
		equal(t, "told", l.entries, []string{"ReadFailed GetRecords"})
	})
}
