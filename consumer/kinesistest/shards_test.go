package kinesistest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestLineage(t *testing.T) {
	srv := NewServer("s", 2)
	defer srv.Close()
	srv.PutHash("s", "k", "0", []byte("1"))
	lower, upper := srv.Split("s", shardID(0))
	srv.PutHash("s", "k", "0", []byte("2"))
	child := srv.Merge("s", shardID(1), upper)
	shard, _ := srv.PutHash("s", "k", "340282366920938463463374607431768211455", []byte("3"))
	type sh struct {
		ID, Parents, Children, Range string
		Closed                       bool
		Data                         string
	}
	var got []sh
	for _, i := range srv.Shards("s") {
		var d strings.Builder
		for _, r := range i.Records {
			d.Write(r.Data)
		}
		got = append(got, sh{i.ID, strings.Join(i.Parents, ","), strings.Join(i.Children, ","), i.HashStart + "-" + i.HashEnd, i.Closed, d.String()})
	}
	want := []sh{
		{shardID(0), "", lower + "," + upper, "0-170141183460469231731687303715884105727", true, "1"},
		{shardID(1), "", child, "170141183460469231731687303715884105728-340282366920938463463374607431768211455", true, ""},
		{lower, shardID(0), "", "0-85070591730234615865843651857942052863", false, "2"},
		{upper, shardID(0), child, "85070591730234615865843651857942052864-170141183460469231731687303715884105727", true, ""},
		{child, shardID(1) + "," + upper, "", "85070591730234615865843651857942052864-340282366920938463463374607431768211455", false, "3"},
	}
	if d := cmp.Diff(want, got); d != "" || shard != child {
		t.Errorf("shards (-want +got):\n%s", d)
	}
	if all := srv.Records("s"); len(all) != 3 || string(all[0].Data)+string(all[1].Data)+string(all[2].Data) != "123" {
		t.Errorf("records in order of arrival: %v", all)
	}
}

// TestReshardingKeepsTheRange checks after random splits, merges and scalings that open shards cover every hash key
// once, that closed shards are covered by their children, and that sequence numbers grow from parents to children.
func TestReshardingKeepsTheRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		srv := NewServer("s", rapid.IntRange(1, 20).Draw(t, "shards"))
		defer srv.Close()
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			open := srv.streams["s"].open
			i := rapid.IntRange(0, len(open)-1).Draw(t, "shard")
			switch rapid.IntRange(0, 2).Draw(t, "step") {
			case 0:
				srv.Split("s", open[i].id)
			case 1:
				if i > 0 {
					srv.Merge("s", open[i].id, open[i-1].id)
				}
			case 2:
				n := rapid.IntRange(1, 40).Draw(t, "target")
				if srv.Reshard("s", n); !slices.EqualFunc(srv.streams["s"].open, uniform(n), func(sh *shard, h hash) bool { return sh.start == h }) {
					t.Fatalf("not uniform after scaling to %d", n)
				}
			}
			srv.Put("s", "k", nil)
		}
		st := srv.streams["s"]
		next := hash{}
		for i, sh := range st.open {
			if sh.start != next || sh.end.less(sh.start) || !sh.closed.IsZero() {
				t.Fatalf("open shard %d covers %s to %s after %s", i, sh.start, sh.end, next)
			}
			next = sh.end.add(1)
		}
		if next != (hash{}) {
			t.Fatalf("open shards end at %s", next)
		}
		for _, sh := range st.shards {
			if (len(sh.children) > 0) == sh.closed.IsZero() || len(sh.parents) > 2 {
				t.Fatalf("shard %s: closed %v, children %d, parents %d", sh.id, sh.closed, len(sh.children), len(sh.parents))
			}
			for _, ch := range sh.children {
				if ch.first <= sh.last {
					t.Fatalf("child %s begins at %s, its parent %s ends at %s", ch.id, ch.first, sh.id, sh.last)
				}
			}
		}
	})
}

func TestShardFilters(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		srv.SetLatency(0)
		// 0 from the start; 1 and 2 from 1 h; 3 (of 1 and 2) from 2 h.
		start := time.Now()
		time.Sleep(time.Hour)
		a, b := srv.Split("s", shardID(0))
		time.Sleep(time.Hour)
		srv.Merge("s", a, b)
		time.Sleep(time.Hour)
		list := func(f *types.ShardFilter) string {
			out, err := c.ListShards(context.Background(), &kinesis.ListShardsInput{StreamARN: aws.String(arn("s")), ShardFilter: f})
			if err != nil {
				return code(err)
			}
			var ids strings.Builder
			for _, sh := range out.Shards {
				ids.WriteString(strings.TrimLeft((*sh.ShardId)[8:11], "0") + (*sh.ShardId)[len(*sh.ShardId)-1:])
			}
			return ids.String()
		}
		at := func(d time.Duration) *time.Time { return aws.Time(start.Add(d)) }
		check := func(f *types.ShardFilter, want string) {
			t.Helper()
			if got := list(f); got != want {
				t.Errorf("%+v: got %q, want %q", f, got, want)
			}
		}
		check(nil, "0123")
		check(&types.ShardFilter{Type: "FROM_TRIM_HORIZON"}, "0123")
		check(&types.ShardFilter{Type: "AT_TRIM_HORIZON"}, "0")
		check(&types.ShardFilter{Type: "AT_LATEST"}, "3")
		check(&types.ShardFilter{Type: "AFTER_SHARD_ID", ShardId: aws.String(shardID(1))}, "23")
		check(&types.ShardFilter{Type: "AT_TIMESTAMP", Timestamp: at(-time.Hour)}, "0")
		check(&types.ShardFilter{Type: "AT_TIMESTAMP", Timestamp: at(30 * time.Minute)}, "0")
		check(&types.ShardFilter{Type: "AT_TIMESTAMP", Timestamp: at(time.Hour)}, "012")
		check(&types.ShardFilter{Type: "AT_TIMESTAMP", Timestamp: at(90 * time.Minute)}, "12")
		check(&types.ShardFilter{Type: "AT_TIMESTAMP", Timestamp: at(150 * time.Minute)}, "3")
		check(&types.ShardFilter{Type: "FROM_TIMESTAMP", Timestamp: at(-time.Hour)}, "0123")
		check(&types.ShardFilter{Type: "FROM_TIMESTAMP", Timestamp: at(90 * time.Minute)}, "123")
		check(&types.ShardFilter{Type: "FROM_TIMESTAMP", Timestamp: at(150 * time.Minute)}, "3")
		for _, f := range []types.ShardFilter{
			{Type: "AT_TIMESTAMP"},
			{Type: "AFTER_SHARD_ID"},
			{Type: "AT_LATEST", Timestamp: at(0)},
			{Type: "AT_LATEST", ShardId: aws.String(shardID(0))},
		} {
			check(&f, "InvalidArgumentException")
		}
		check(&types.ShardFilter{Type: "AT_NOON"}, "ValidationException")
		time.Sleep(22*time.Hour + 30*time.Minute) // the horizon is at 1:30
		check(&types.ShardFilter{Type: "AT_TRIM_HORIZON"}, "12")
		check(&types.ShardFilter{Type: "FROM_TRIM_HORIZON"}, "123")
		check(&types.ShardFilter{Type: "AT_TIMESTAMP", Timestamp: at(0)}, "12")
		check(nil, "123")
	})
}

func TestListShardsPages(t *testing.T) {
	bubble(t, 2500, func(t *testing.T, srv *Server, c *kinesis.Client) {
		ctx := t.Context()
		in, sizes, seen := &kinesis.ListShardsInput{StreamName: aws.String("s")}, []int{}, 0
		for {
			out := must(c.ListShards(ctx, in))
			sizes = append(sizes, len(out.Shards))
			for _, sh := range out.Shards {
				if *sh.ShardId != shardID(seen) {
					t.Fatalf("shard %d is %s", seen, *sh.ShardId)
				}
				seen++
			}
			if out.NextToken == nil {
				break
			}
			in = &kinesis.ListShardsInput{NextToken: out.NextToken}
			if len(sizes) == 1 { // shards that come between pages are on a later page
				srv.Split("s", shardID(0))
			}
		}
		if !slices.Equal(sizes, []int{1000, 1000, 502}) {
			t.Errorf("pages of %v shards, want 1000, 1000, 502", sizes)
		}
		page := func(in *kinesis.ListShardsInput) (int, *string, string) {
			out, err := c.ListShards(ctx, in)
			if err != nil {
				return 0, nil, code(err)
			}
			return len(out.Shards), out.NextToken, ""
		}
		if n, _, _ := page(&kinesis.ListShardsInput{StreamName: aws.String("s"), MaxResults: aws.Int32(2000)}); n != 1000 {
			t.Errorf("got %d shards, want no more than 1000", n)
		}
		srv.Split("s", shardID(2400))
		n, token, _ := page(&kinesis.ListShardsInput{
			StreamName: aws.String("s"), MaxResults: aws.Int32(300), ExclusiveStartShardId: aws.String(shardID(2000)),
			ShardFilter: &types.ShardFilter{Type: "AT_LATEST"},
		})
		if n != 300 {
			t.Errorf("got %d shards, want the 300 of MaxResults", n)
		}
		if n, _, _ = page(&kinesis.ListShardsInput{NextToken: token}); n != 202 {
			t.Errorf("got %d shards, want 202: the filter goes with the token", n)
		}
		for _, bad := range []*kinesis.ListShardsInput{
			{},
			{NextToken: token, StreamName: aws.String("s")},
			{NextToken: token, StreamCreationTimestamp: aws.Time(time.Now())},
			{NextToken: token, ExclusiveStartShardId: aws.String(shardID(0))},
			{NextToken: aws.String("AAAA")},
		} {
			if _, _, code := page(bad); code != "InvalidArgumentException" {
				t.Errorf("got %q, want InvalidArgumentException", code)
			}
		}
		if _, _, code := page(&kinesis.ListShardsInput{StreamName: aws.String("s"), MaxResults: aws.Int32(10_001)}); code != "ValidationException" {
			t.Errorf("got %q, want ValidationException", code)
		}
		time.Sleep(5*time.Minute + time.Second)
		if _, _, code := page(&kinesis.ListShardsInput{NextToken: token}); code != "ExpiredNextTokenException" {
			t.Errorf("got %q, want ExpiredNextTokenException", code)
		}
		d := must(c.DescribeStream(ctx, &kinesis.DescribeStreamInput{StreamName: aws.String("s"), ExclusiveStartShardId: aws.String(shardID(2400))})).StreamDescription
		if len(d.Shards) != 100 || !*d.HasMoreShards || *d.Shards[0].ShardId != shardID(2401) {
			t.Errorf("described %d shards, more %v", len(d.Shards), *d.HasMoreShards)
		}
		d = must(c.DescribeStream(ctx, &kinesis.DescribeStreamInput{StreamName: aws.String("s"), Limit: aws.Int32(10_000)})).StreamDescription
		if len(d.Shards) != 2504 || *d.HasMoreShards || d.Shards[0].SequenceNumberRange.EndingSequenceNumber == nil || *d.Shards[2500].ParentShardId != shardID(0) {
			t.Errorf("described %d shards, more %v", len(d.Shards), *d.HasMoreShards)
		}
	})
}
