package kinesistest

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/go-cmp/cmp"
)

// Answers that lack something, and sequence numbers in an odd form.

func TestOmit(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		srv.Put("s", "<é>", []byte("1"))
		srv.Fail("GetRecords", Omit("ApproximateArrivalTimestamp", 2), Omit("MillisBehindLatest", 1))
		srv.Fail("ListShards", Omit("HashKeyRange", 1).After(1))
		for i, want := range [][2]bool{{false, false}, {false, true}, {true, true}} {
			out := must(get(c, iteratorOf(c, shardID(0), types.ShardIteratorTypeTrimHorizon), 0))
			r := out.Records[0]
			if got := [2]bool{r.ApproximateArrivalTimestamp != nil, out.MillisBehindLatest != nil}; got != want {
				t.Errorf("answer %d has arrival and lag %v, want %v", i, got, want)
			}
			if *r.PartitionKey != "<é>" || string(r.Data) != "1" || out.NextShardIterator == nil {
				t.Errorf("answer %d lacks more: %+v", i, out)
			}
		}
		for i := range 2 {
			sh := must(c.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: aws.String("s")})).Shards[0]
			if (sh.HashKeyRange == nil) != (i == 1) || sh.ShardId == nil {
				t.Errorf("list %d: %+v", i, sh)
			}
		}
	})
}

// TestEndsWithoutIterator asks for iterators at the end of a closed shard, at the tip of an open one, and before them.
func TestEndsWithoutIterator(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		_, first := srv.Put("s", "k", []byte("1"))
		_, last := srv.Put("s", "k", []byte("2"))
		ask := func(kind types.ShardIteratorType, seq string) string {
			in := &kinesis.GetShardIteratorInput{StreamName: aws.String("s"), ShardId: aws.String(shardID(0)), ShardIteratorType: kind}
			if seq != "" {
				in.StartingSequenceNumber = &seq
			}
			out, err := c.GetShardIterator(t.Context(), in)
			switch {
			case err != nil:
				return code(err)
			case out.ShardIterator == nil:
				return "none"
			}
			return "read " + data(must(get(c, out.ShardIterator, 0)))
		}
		all := func() []string {
			return []string{
				ask("TRIM_HORIZON", ""), ask("AFTER_SEQUENCE_NUMBER", first), ask("AT_SEQUENCE_NUMBER", last),
				ask("AFTER_SEQUENCE_NUMBER", last), ask("LATEST", ""),
			}
		}
		check := func(when string, want ...string) {
			t.Helper()
			if d := cmp.Diff(want, all()); d != "" {
				t.Errorf("%s (-want +got):\n%s", when, d)
			}
		}
		none := srv.Fail("GetShardIterator", NoIterators(0))[0]
		check("open, without iterators", "read 1 2", "read 2", "read 2", "read ", "read ")
		srv.Split("s", shardID(0))
		check("closed, without iterators", "read 1 2", "read 2", "read 2", "none", "none")
		none.Stop()
		refused := srv.Fail("GetShardIterator", RefuseEnds(0))[0]
		check("closed, refused", "read 1 2", "read 2", "read 2", "InvalidArgumentException", "read ")
		refused.Stop()
		check("closed", "read 1 2", "read 2", "read 2", "read ", "read ")
		ending := must(c.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: aws.String("s")})).Shards[0].SequenceNumberRange.EndingSequenceNumber
		srv.Fail("GetShardIterator", RefuseEnds(0))
		if got := ask("AFTER_SEQUENCE_NUMBER", *ending); got != "InvalidArgumentException" {
			t.Errorf("after the ending sequence number: %s", got)
		}
	})
}

func TestSequencePrefix(t *testing.T) {
	for _, prefix := range []string{"0000", "record-"} {
		bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
			srv.SetSequencePrefix(prefix)
			_, plain := srv.Put("s", "k", []byte("1"))
			put := must(c.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: aws.String("s"), PartitionKey: aws.String("k"), Data: []byte("2"), SequenceNumberForOrdering: &plain}))
			puts := must(c.PutRecords(t.Context(), &kinesis.PutRecordsInput{StreamName: aws.String("s"), Records: []types.PutRecordsRequestEntry{{PartitionKey: aws.String("k"), Data: []byte("3")}}}))
			told := []string{plain, *put.SequenceNumber, *puts.Records[0].SequenceNumber}
			var read, stored, sharded []string
			for _, r := range must(get(c, iteratorOf(c, shardID(0), types.ShardIteratorTypeTrimHorizon), 0)).Records {
				read = append(read, *r.SequenceNumber)
			}
			for _, r := range srv.Records("s") {
				stored = append(stored, r.SequenceNumber)
			}
			for _, r := range srv.Shards("s")[0].Records {
				sharded = append(sharded, r.SequenceNumber)
			}
			for _, got := range [][]string{read, stored, sharded} {
				if d := cmp.Diff(told, got); d != "" {
					t.Errorf("numbers (-told +got):\n%s", d)
				}
			}
			if len(plain) != len(prefix)+56 || plain[:len(prefix)] != prefix {
				t.Errorf("number %s has no prefix", plain)
			}
			after := func(seq string) (string, error) {
				it, err := c.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{
					StreamName: aws.String("s"), ShardId: aws.String(shardID(0)), ShardIteratorType: "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber: &seq,
				})
				if err != nil {
					return "", err
				}
				return data(must(get(c, it.ShardIterator, 0))), nil
			}
			if got, err := after(told[0]); got != "2 3" || err != nil {
				t.Errorf("after the first: read %q, %v", got, err)
			}
			for _, seq := range []string{told[0][len(prefix):], prefix, prefix + told[0], "x"} {
				_, err := after(seq)
				wantCode(t, err, "InvalidArgumentException")
			}
			srv.Trim("s", shardID(0), told[2])
			if out := must(get(c, iteratorOf(c, shardID(0), types.ShardIteratorTypeTrimHorizon), 0)); data(out) != "3" {
				t.Errorf("read %q after trimming, want 3", data(out))
			}
			srv.Split("s", shardID(0))
			for i, sh := range must(c.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: aws.String("s")})).Shards {
				r := sh.SequenceNumberRange
				if (*r.StartingSequenceNumber)[:len(prefix)] != prefix || (r.EndingSequenceNumber != nil) != (i == 0) || r.EndingSequenceNumber != nil && (*r.EndingSequenceNumber)[:len(prefix)] != prefix {
					t.Errorf("shard %d: %v", i, r)
				}
			}
		})
	}
}
