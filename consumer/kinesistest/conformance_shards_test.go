package kinesistest_test

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// Assertions on shards: lists, filters, splits, merges, UpdateShardCount.

const shardPrefix = "shardId-"

func id(n int) string { return fmt.Sprintf(shardPrefix+"%012d", n) }

// short is the number of a shard id.
func short(id *string) string {
	n, ok := strings.CutPrefix(aws.ToString(id), shardPrefix)
	if n = strings.TrimLeft(n, "0"); ok && n == "" {
		return "0"
	}
	return n
}

func ids(shards []types.Shard) string {
	var b []string
	for _, sh := range shards {
		b = append(b, short(sh.ShardId))
	}
	return strings.Join(b, " ")
}

func ranges(shards []types.Shard) string {
	var b []string
	for _, sh := range shards {
		b = append(b, aws.ToString(sh.HashKeyRange.StartingHashKey)+"-"+aws.ToString(sh.HashKeyRange.EndingHashKey))
	}
	return strings.Join(b, " ")
}

// lineage tells of each shard its parents, the adjacent one last, and whether it is closed.
func lineage(shards []types.Shard) string {
	var b []string
	for _, sh := range shards {
		text := short(sh.ShardId)
		if sh.ParentShardId != nil {
			text += "<" + short(sh.ParentShardId)
		}
		if sh.AdjacentParentShardId != nil {
			text += "+" + short(sh.AdjacentParentShardId)
		}
		if sh.SequenceNumberRange.EndingSequenceNumber != nil {
			text += " closed"
		}
		b = append(b, text)
	}
	return strings.Join(b, ", ")
}

func number(decimal string) *big.Int {
	n, ok := new(big.Int).SetString(decimal, 10)
	if !ok {
		return big.NewInt(-1)
	}
	return n
}

// list returns a ListShards call's shards, in as many pages as it takes, and how many each page had.
func (s *session) list(in kinesis.ListShardsInput) (shards []types.Shard, pages []int, err error) {
	for {
		out, err := s.c.ListShards(s.ctx, &in)
		if err != nil {
			return shards, pages, err
		}
		shards, pages = append(shards, out.Shards...), append(pages, len(out.Shards))
		if out.NextToken == nil {
			return shards, pages, nil
		}
		in = kinesis.ListShardsInput{NextToken: out.NextToken, MaxResults: in.MaxResults}
	}
}

func (s *session) shards(name string) []types.Shard {
	s.Helper()
	shards, _, err := s.list(kinesis.ListShardsInput{StreamName: &name})
	return ok(s, shards, err)
}

func (s *session) split(name string, shard int, at string) error {
	_, err := s.c.SplitShard(s.ctx, &kinesis.SplitShardInput{StreamName: &name, ShardToSplit: aws.String(id(shard)), NewStartingHashKey: &at})
	if err == nil {
		s.active(name)
	}
	return err
}

func (s *session) merge(name string, shard, adjacent int) error {
	_, err := s.c.MergeShards(s.ctx, &kinesis.MergeShardsInput{StreamName: &name, ShardToMerge: aws.String(id(shard)), AdjacentShardToMerge: aws.String(id(adjacent))})
	if err == nil {
		s.active(name)
	}
	return err
}

const (
	quarter = "85070591730234615865843651857942052864"  // 2^126
	half    = "170141183460469231731687303715884105728" // 2^127
	highest = "340282366920938463463374607431768211455" // 2^128 - 1
)

func lists(s *session) {
	name := s.stream("lists", 5)
	shards, pages, err := s.list(kinesis.ListShardsInput{StreamName: &name})
	s.is("list", line(ids(ok(s, shards, err)), pages), "0 1 2 3 4 [5]")
	s.is("list/ranges", ranges(shards), uniform(5))
	s.is("list/lineage", lineage(shards), "0, 1, 2, 3, 4")
	shards, pages, err = s.list(kinesis.ListShardsInput{StreamName: &name, MaxResults: aws.Int32(2)})
	s.is("list/pages", line(ids(ok(s, shards, err)), pages), "0 1 2 3 4 [2 2 1]")
	shards, _, err = s.list(kinesis.ListShardsInput{StreamName: &name, ExclusiveStartShardId: aws.String(id(2))})
	s.is("list/start", ids(ok(s, shards, err)), "3 4")
	d := s.summary(name)
	shards, _, err = s.list(kinesis.ListShardsInput{StreamARN: d.StreamARN})
	s.is("list/by arn", ids(shards)+" "+codeOf(err), "0 1 2 3 4 accepted")
	shards, _, err = s.list(kinesis.ListShardsInput{StreamName: &name, StreamCreationTimestamp: d.StreamCreationTimestamp})
	s.is("list/created", ids(shards)+" "+codeOf(err), "0 1 2 3 4 accepted")

	for what, in := range map[string]kinesis.ListShardsInput{
		"max results 0":            {StreamName: &name, MaxResults: aws.Int32(0)},
		"max results above 10,000": {StreamName: &name, MaxResults: aws.Int32(10_001)},
	} {
		_, _, err = s.list(in)
		s.refuses("list/"+what, err, "ValidationException")
	}
	_, _, err = s.list(kinesis.ListShardsInput{StreamName: aws.String(name + "-missing")})
	s.refuses("list/missing", err, "ResourceNotFoundException")
	out := must(s.c.ListShards(s.ctx, &kinesis.ListShardsInput{StreamName: &name, MaxResults: aws.Int32(1)}))(s)
	_, _, err = s.list(kinesis.ListShardsInput{StreamName: &name, NextToken: out.NextToken})
	s.refuses("list/token and name", err, "InvalidArgumentException")
	if s.may("list/garbage token") {
		_, _, err = s.list(kinesis.ListShardsInput{NextToken: aws.String("Z2FyYmFnZQ==")})
		s.refuses("list/garbage token", err, "InvalidArgumentException")
	}
	_, _, err = s.list(kinesis.ListShardsInput{NextToken: out.NextToken, ExclusiveStartShardId: aws.String(id(2))})
	s.refuses("list/token and start", err, "InvalidArgumentException")
}

// filters lists 0 and 1, of which 0 is split into 2 and 3, and 3 merged with 1 into 4, at times between them.
func filters(s *session) {
	name := s.stream("filters", 2)
	var at []*time.Time
	apart := s.later
	if s.name == "kinesis-local" {
		apart = s.second // it compares seconds
	}
	mark := func(shard int) {
		apart()
		shards := s.shards(name)
		start := shards[slices.IndexFunc(shards, func(sh types.Shard) bool { return aws.ToString(sh.ShardId) == id(shard) })].HashKeyRange.StartingHashKey
		put := must(s.c.PutRecord(s.ctx, &kinesis.PutRecordInput{StreamName: &name, PartitionKey: aws.String("k"), ExplicitHashKey: start, Data: []byte("d")}))(s)
		it := must(s.c.GetShardIterator(s.ctx, &kinesis.GetShardIteratorInput{
			StreamName: &name, ShardId: put.ShardId,
			ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, StartingSequenceNumber: put.SequenceNumber,
		}))(s)
		rs := must(s.c.GetRecords(s.ctx, &kinesis.GetRecordsInput{ShardIterator: it.ShardIterator}))(s).Records
		if len(rs) == 0 {
			s.Fatal("no record at its own sequence number")
		}
		at = append(at, rs[0].ApproximateArrivalTimestamp)
		apart()
	}
	mark(0)
	ok(s, 0, s.split(name, 0, quarter))
	mark(2)
	ok(s, 0, s.merge(name, 3, 1))
	mark(4)
	s.is("filters/lineage", lineage(s.shards(name)), "0 closed, 1 closed, 2<0, 3<0 closed, 4<3+1")

	long := aws.Time(at[0].Add(-time.Hour))
	for _, f := range []struct {
		name   string
		filter types.ShardFilter
		want   string
	}{
		{"at latest", types.ShardFilter{Type: types.ShardFilterTypeAtLatest}, "2 4 accepted"},
		{"at trim horizon", types.ShardFilter{Type: types.ShardFilterTypeAtTrimHorizon}, "0 1 accepted"},
		{"from trim horizon", types.ShardFilter{Type: types.ShardFilterTypeFromTrimHorizon}, "0 1 2 3 4 accepted"},
		{"after shard", types.ShardFilter{Type: types.ShardFilterTypeAfterShardId, ShardId: aws.String(id(1))}, "2 3 4 accepted"},
		{"at a time before all", types.ShardFilter{Type: types.ShardFilterTypeAtTimestamp, Timestamp: long}, "0 1 accepted"},
		{"at a time before the split", types.ShardFilter{Type: types.ShardFilterTypeAtTimestamp, Timestamp: at[0]}, "0 1 accepted"},
		{"at a time before the merge", types.ShardFilter{Type: types.ShardFilterTypeAtTimestamp, Timestamp: at[1]}, "1 2 3 accepted"},
		{"at a time after both", types.ShardFilter{Type: types.ShardFilterTypeAtTimestamp, Timestamp: at[2]}, "2 4 accepted"},
		{"from a time before all", types.ShardFilter{Type: types.ShardFilterTypeFromTimestamp, Timestamp: long}, "0 1 2 3 4 accepted"},
		{"from a time before the split", types.ShardFilter{Type: types.ShardFilterTypeFromTimestamp, Timestamp: at[0]}, "0 1 2 3 4 accepted"},
		{"from a time before the merge", types.ShardFilter{Type: types.ShardFilterTypeFromTimestamp, Timestamp: at[1]}, "1 2 3 4 accepted"},
		{"from a time after both", types.ShardFilter{Type: types.ShardFilterTypeFromTimestamp, Timestamp: at[2]}, "2 4 accepted"},
		{"at no time", types.ShardFilter{Type: types.ShardFilterTypeAtTimestamp}, " InvalidArgumentException"},
		{"after no shard", types.ShardFilter{Type: types.ShardFilterTypeAfterShardId}, " InvalidArgumentException"},
		{"of no type", types.ShardFilter{Type: "NEVER"}, " ValidationException"},
	} {
		shards, _, err := s.list(kinesis.ListShardsInput{StreamName: &name, ShardFilter: &f.filter})
		s.is("filters/"+f.name, ids(shards)+" "+codeOf(err), f.want)
	}
	shards, pages, err := s.list(kinesis.ListShardsInput{
		StreamName: &name, MaxResults: aws.Int32(2),
		ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeFromTimestamp, Timestamp: at[1]},
	})
	s.is("filters/pages", line(ids(shards), pages, codeOf(err)), "1 2 3 4 [2 2] accepted")
}

func splits(s *session) {
	name := s.stream("splits", 1)
	before := s.shards(name)[0]
	s.refuses("split", s.split(name, 0, quarter), "accepted")
	shards := s.shards(name)
	s.is("split/lineage", lineage(shards), "0 closed, 1<0, 2<0")
	s.is("split/ranges", ranges(shards[1:]), "0-"+less(quarter)+" "+quarter+"-"+highest)
	s.is("split/open shards", aws.ToInt32(s.summary(name).OpenShardCount), 2)
	s.is("split/same start", aws.ToString(shards[0].SequenceNumberRange.StartingSequenceNumber), aws.ToString(before.SequenceNumberRange.StartingSequenceNumber))
	end := number(aws.ToString(shards[0].SequenceNumberRange.EndingSequenceNumber))
	s.is("split/end above start", end.Cmp(number(aws.ToString(before.SequenceNumberRange.StartingSequenceNumber))), 1)
	for i, sh := range shards[1:] {
		s.is(fmt.Sprintf("split/child %d begins above the end", i), number(aws.ToString(sh.SequenceNumberRange.StartingSequenceNumber)).Cmp(end), 1)
	}
	s.refuses("split/closed", s.split(name, 0, half), "InvalidArgumentException")
	s.refuses("split/missing shard", s.split(name, 9, half), "ResourceNotFoundException")
	s.refuses("split/missing stream", s.split(name+"-missing", 0, half), "ResourceNotFoundException")
	s.refuses("split/outside", s.split(name, 1, half), "InvalidArgumentException")
	s.refuses("split/at its end", s.split(name, 2, highest), "InvalidArgumentException")
	s.refuses("split/no number", s.split(name, 2, "half"), "ValidationException")
	s.refuses("split/at its start", s.split(name, 1, "0"), "InvalidArgumentException")
}

func less(decimal string) string { return new(big.Int).Sub(number(decimal), big.NewInt(1)).String() }

func merges(s *session) {
	name := s.stream("merges", 4)
	s.refuses("merge/not adjacent", s.merge(name, 0, 2), "InvalidArgumentException")
	s.refuses("merge/itself", s.merge(name, 0, 0), "InvalidArgumentException")
	s.refuses("merge/missing shard", s.merge(name, 3, 4), "ResourceNotFoundException")
	s.refuses("merge/missing stream", s.merge(name+"-missing", 0, 1), "ResourceNotFoundException")
	s.refuses("merge", s.merge(name, 0, 1), "accepted")
	shards := s.shards(name)
	s.is("merge/lineage", lineage(shards), "0 closed, 1 closed, 2, 3, 4<0+1")
	s.is("merge/range", ranges(shards[4:]), "0-"+less(half))
	s.is("merge/open shards", aws.ToInt32(s.summary(name).OpenShardCount), 3)
	for i, sh := range shards[:2] {
		end := number(aws.ToString(sh.SequenceNumberRange.EndingSequenceNumber))
		s.is(fmt.Sprintf("merge/child begins above the end of %d", i), number(aws.ToString(shards[4].SequenceNumberRange.StartingSequenceNumber)).Cmp(end), 1)
	}
	s.refuses("merge/closed", s.merge(name, 0, 1), "InvalidArgumentException")
	s.refuses("merge/upper first", s.merge(name, 3, 2), "InvalidArgumentException")
}

func scaling(s *session) {
	name := s.stream("scaling", 2)
	scale := func(to int32) string {
		out, err := s.c.UpdateShardCount(s.ctx, &kinesis.UpdateShardCountInput{StreamName: &name, TargetShardCount: &to, ScalingType: types.ScalingTypeUniformScaling})
		if err != nil {
			return codeOf(err)
		}
		s.active(name)
		return fmt.Sprintf("from %d to %d", aws.ToInt32(out.CurrentShardCount), aws.ToInt32(out.TargetShardCount))
	}
	open := func() (open []types.Shard) {
		for _, sh := range s.shards(name) {
			if sh.SequenceNumberRange.EndingSequenceNumber == nil {
				open = append(open, sh)
			}
		}
		slices.SortFunc(open, func(a, b types.Shard) int {
			return number(*a.HashKeyRange.StartingHashKey).Cmp(number(*b.HashKeyRange.StartingHashKey))
		})
		return open
	}
	s.is("scaling/above double", scale(5), "LimitExceededException")
	s.is("scaling/double", scale(4), "from 2 to 4")
	s.is("scaling/double/uniform", ranges(open()) == uniform(4), true)
	s.is("scaling/double/no gap", gaps(open()), 0)
	s.is("scaling/below half", scale(1), "LimitExceededException")
	s.is("scaling/half", scale(2), "from 4 to 2")
	s.is("scaling/half/uniform", ranges(open()) == uniform(2), true)
	s.is("scaling/half/no gap", gaps(open()), 0)
	s.is("scaling/0", scale(0), "ValidationException")
}

// gaps counts where shards in the order of their ranges leave out hash keys, or have some twice.
func gaps(shards []types.Shard) (n int) {
	next := "0"
	for _, sh := range shards {
		if *sh.HashKeyRange.StartingHashKey != next {
			n++
		}
		next = new(big.Int).Add(number(*sh.HashKeyRange.EndingHashKey), big.NewInt(1)).String()
	}
	if less(next) != highest {
		n++
	}
	return n
}
