package kinesistest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/go-cmp/cmp"
)

func statusOf(c *kinesis.Client, stream string) string {
	out, err := c.DescribeStreamSummary(context.Background(), &kinesis.DescribeStreamSummaryInput{StreamName: &stream})
	if err != nil {
		return code(err)
	}
	return string(out.StreamDescriptionSummary.StreamStatus)
}

func TestStreamLife(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		ctx, name := t.Context(), aws.String("t")
		create := func() error {
			_, err := c.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(1)})
			return err
		}
		list := func(created *time.Time) error {
			_, err := c.ListShards(ctx, &kinesis.ListShardsInput{StreamName: name, StreamCreationTimestamp: created})
			return err
		}
		check := func(want string) {
			t.Helper()
			if got := statusOf(c, "t"); got != want {
				t.Errorf("status %s, want %s", got, want)
			}
		}
		check("ResourceNotFoundException")
		wantCode(t, create(), "")
		check("CREATING")
		wantCode(t, create(), "ResourceInUseException")
		wantCode(t, list(nil), "ResourceInUseException")
		_, err := c.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: name, PartitionKey: aws.String("k"), Data: []byte{1}})
		wantCode(t, err, "ResourceNotFoundException")
		time.Sleep(time.Second)
		check("ACTIVE")
		first := must(c.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: name})).StreamDescriptionSummary
		wantCode(t, list(first.StreamCreationTimestamp), "")
		_, seq := srv.Put("t", "k", []byte("old"))
		it := must(c.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: name, ShardId: aws.String(shardID(0)), ShardIteratorType: "TRIM_HORIZON"})).ShardIterator

		must(c.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: name, ShardToSplit: aws.String(shardID(0)), NewStartingHashKey: aws.String("2")}))
		check("UPDATING")
		if n := len(srv.Shards("t")); n != 1 {
			t.Errorf("%d shards while UPDATING, want 1", n)
		}
		_, err = c.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: name, ShardToMerge: aws.String(shardID(1)), AdjacentShardToMerge: aws.String(shardID(2))})
		wantCode(t, err, "ResourceInUseException")
		time.Sleep(time.Second)
		check("ACTIVE")
		must(c.MergeShards(ctx, &kinesis.MergeShardsInput{StreamARN: aws.String(arn("t")), ShardToMerge: aws.String(shardID(1)), AdjacentShardToMerge: aws.String(shardID(2))}))
		time.Sleep(time.Second)
		if sh := srv.Shards("t")[3]; strings.Join(sh.Parents, " ") != shardID(1)+" "+shardID(2) || sh.HashStart != "0" {
			t.Errorf("merged into %+v", sh)
		}
		must(c.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: name}))
		check("DELETING")
		_, err = get(c, it, 0)
		wantCode(t, err, "ResourceNotFoundException")
		time.Sleep(time.Second)
		check("ResourceNotFoundException")

		srv.CreateStream("t", 1)
		wantCode(t, list(first.StreamCreationTimestamp), "ResourceNotFoundException")
		_, err = get(c, it, 0)
		wantCode(t, err, "ResourceNotFoundException")
		_, err = c.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: name, ShardId: aws.String(shardID(0)), ShardIteratorType: "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber: &seq})
		wantCode(t, err, "InvalidArgumentException")
		if out := must(c.ListStreams(ctx, &kinesis.ListStreamsInput{Limit: aws.Int32(1)})); fmt.Sprint(out.StreamNames, *out.HasMoreStreams) != "[s] true" {
			t.Errorf("listed %v", out.StreamNames)
		} else if out = must(c.ListStreams(ctx, &kinesis.ListStreamsInput{NextToken: out.NextToken})); fmt.Sprint(out.StreamNames, *out.HasMoreStreams) != "[t] false" {
			t.Errorf("then listed %v", out.StreamNames)
		}
		srv.DeleteStream("t")
		check("ResourceNotFoundException")
	})
}

// TestCreatedAgain deletes a stream and creates it again in the same instant: nothing of the old one is good for the new.
func TestCreatedAgain(t *testing.T) {
	bubble(t, 2, func(t *testing.T, srv *Server, c *kinesis.Client) {
		created := func() time.Time {
			out := must(c.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("s")}))
			return *out.StreamDescriptionSummary.StreamCreationTimestamp
		}
		old := created()
		for range 5 {
			lower, _ := srv.Split("s", srv.Shards("s")[len(srv.Shards("s"))-1].ID)
			shard, seq := srv.PutHash("s", "k", srv.Shards("s")[0].HashStart, []byte("old"))
			it := iteratorOf(c, shard, types.ShardIteratorTypeTrimHorizon)
			held := srv.DeleteStream("s")
			if n := len(held); n < 4 || held[n-2].ID != lower || len(held[0].Records) != 1 || held[0].Records[0].SequenceNumber != seq {
				t.Fatalf("the stream held %+v", held)
			}
			srv.CreateStream("s", 2)
			again := created()
			if again.Unix() <= old.Unix() {
				t.Errorf("created at %v, and again at %v", old, again)
			}
			_, err := get(c, it, 0)
			wantCode(t, err, "ResourceNotFoundException")
			for range 10 {
				srv.PutHash("s", "k", "0", []byte("new"))
			}
			_, err = c.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{
				StreamName: aws.String("s"), ShardId: &shard, ShardIteratorType: "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber: &seq,
			})
			wantCode(t, err, "InvalidArgumentException")
			srv.DeleteStream("s")
			srv.CreateStream("s", 2)
			old = created()
		}
	})
}

func TestUpdateShardCount(t *testing.T) {
	bubble(t, 3, func(t *testing.T, srv *Server, c *kinesis.Client) {
		srv.SetTransition(0)
		scale := func(n int32) error {
			out, err := c.UpdateShardCount(context.Background(), &kinesis.UpdateShardCountInput{StreamName: aws.String("s"), TargetShardCount: &n, ScalingType: "UNIFORM_SCALING"})
			if err == nil && (*out.TargetShardCount != n || int(n) != len(srv.streams["s"].open)) {
				t.Errorf("scaled from %d to %d, %d shards are open", *out.CurrentShardCount, n, len(srv.streams["s"].open))
			}
			return err
		}
		wantCode(t, scale(7), "LimitExceededException")
		wantCode(t, scale(1), "LimitExceededException")
		wantCode(t, scale(0), "ValidationException")
		for _, n := range []int32{6, 3, 4, 8, 5, 5, 6, 7, 4, 2} {
			wantCode(t, scale(n), "")
		}
		wantCode(t, scale(3), "LimitExceededException") // the eleventh in 24 h
		time.Sleep(24 * time.Hour)
		srv.SetShardLimit(2)
		wantCode(t, scale(3), "LimitExceededException")
		srv.SetShardLimit(3)
		wantCode(t, scale(3), "")
	})
}

func TestRefusals(t *testing.T) {
	bubble(t, 4, func(t *testing.T, srv *Server, c *kinesis.Client) {
		ctx, s := t.Context(), aws.String("s")
		srv.SetLatency(0)
		srv.Split("s", shardID(3))
		put := func(in types.PutRecordsRequestEntry) error {
			_, err := c.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: s, Data: in.Data, PartitionKey: in.PartitionKey, ExplicitHashKey: in.ExplicitHashKey})
			return err
		}
		puts := func(n, size int, key string) error {
			in := &kinesis.PutRecordsInput{StreamName: s, Records: []types.PutRecordsRequestEntry{}}
			for range n {
				in.Records = append(in.Records, types.PutRecordsRequestEntry{PartitionKey: &key, Data: make([]byte, size)})
			}
			_, err := c.PutRecords(ctx, in)
			return err
		}
		iterator := func(name, arn *string, shard string) error {
			_, err := c.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: name, StreamARN: arn, ShardId: &shard, ShardIteratorType: "LATEST"})
			return err
		}
		split := func(shard, at string) error {
			_, err := c.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: s, ShardToSplit: &shard, NewStartingHashKey: &at})
			return err
		}
		merge := func(a, b string) error {
			_, err := c.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: s, ShardToMerge: &a, AdjacentShardToMerge: &b})
			return err
		}
		create := func(name string, n *int32, mode types.StreamMode) error {
			in := &kinesis.CreateStreamInput{StreamName: &name, ShardCount: n}
			if mode != "" {
				in.StreamModeDetails = &types.StreamModeDetails{StreamMode: mode}
			}
			_, err := c.CreateStream(ctx, in)
			return err
		}
		max128 := "340282366920938463463374607431768211455"
		const ok, validation, argument, missing, limit = "", "ValidationException", "InvalidArgumentException", "ResourceNotFoundException", "LimitExceededException"
		for name, tt := range map[string]struct {
			err  error
			want string
		}{
			"largest record":         {put(types.PutRecordsRequestEntry{Data: make([]byte, 1<<20-1), PartitionKey: aws.String("k")}), ok},
			"record too large":       {put(types.PutRecordsRequestEntry{Data: make([]byte, 1<<20), PartitionKey: aws.String("k")}), validation},
			"empty record":           {put(types.PutRecordsRequestEntry{Data: []byte{}, PartitionKey: aws.String("k")}), ok},
			"key of 256":             {put(types.PutRecordsRequestEntry{Data: []byte{1}, PartitionKey: aws.String(strings.Repeat("é", 256))}), ok},
			"key of 257":             {put(types.PutRecordsRequestEntry{Data: []byte{1}, PartitionKey: aws.String(strings.Repeat("é", 257))}), validation},
			"no key":                 {put(types.PutRecordsRequestEntry{Data: []byte{1}, PartitionKey: aws.String("")}), validation},
			"largest hash key":       {put(types.PutRecordsRequestEntry{Data: []byte{1}, PartitionKey: aws.String("k"), ExplicitHashKey: &max128}), ok},
			"hash key too large":     {put(types.PutRecordsRequestEntry{Data: []byte{1}, PartitionKey: aws.String("k"), ExplicitHashKey: aws.String("340282366920938463463374607431768211456")}), argument},
			"hash key no number":     {put(types.PutRecordsRequestEntry{Data: []byte{1}, PartitionKey: aws.String("k"), ExplicitHashKey: aws.String("007")}), validation},
			"no records":             {puts(0, 0, "k"), validation},
			"500 records":            {puts(500, 1, "k"), ok},
			"501 records":            {puts(501, 1, "k"), validation},
			"request too large":      {puts(11, 1<<20-1, "k"), argument},
			"one record too large":   {puts(2, 1<<20, "k"), validation},
			"no stream named":        {iterator(nil, nil, shardID(0)), argument},
			"two streams named":      {iterator(s, aws.String(arn("t")), shardID(0)), argument},
			"name and ARN":           {iterator(s, aws.String(arn("s")), shardID(0)), ok},
			"no such stream":         {iterator(aws.String("t"), nil, shardID(0)), missing},
			"ARN of elsewhere":       {iterator(nil, aws.String("arn:aws:kinesis:eu-west-1:123456789012:stream/s"), shardID(0)), missing},
			"no ARN":                 {iterator(nil, aws.String("s"), shardID(0)), validation},
			"no name":                {iterator(aws.String("a b"), nil, shardID(0)), validation},
			"no such shard":          {iterator(s, nil, shardID(9)), missing},
			"no shard id":            {iterator(s, nil, "shardId-0"), missing},
			"split a closed shard":   {split(shardID(3), "1"), argument},
			"split an unknown shard": {split(shardID(9), "1"), missing},
			"split at the edge":      {split(shardID(0), "1"), argument},
			"split outside":          {split(shardID(0), max128), argument},
			"split at no number":     {split(shardID(0), "x"), validation},
			"merge apart":            {merge(shardID(0), shardID(2)), argument},
			"merge with itself":      {merge(shardID(0), shardID(0)), argument},
			"merge round the end":    {merge(shardID(0), shardID(5)), argument},
			"merge a closed shard":   {merge(shardID(2), shardID(3)), argument},
			"merge an unknown shard": {merge(shardID(2), shardID(9)), missing},
			"create without count":   {create("t", nil, ""), argument},
			"create none":            {create("t", aws.Int32(0), ""), validation},
			"create too many":        {create("t", aws.Int32(20_000), ""), limit},
			"create a bad name":      {create(strings.Repeat("x", 129), aws.Int32(1), ""), validation},
			"create on demand":       {create("d", nil, types.StreamModeOnDemand), ok},
			"create both":            {create("e", aws.Int32(1), types.StreamModeOnDemand), argument},
		} {
			if got := code(tt.err); got != tt.want {
				t.Errorf("%s: got %v, want %q", name, tt.err, tt.want)
			}
		}
		for i := range 5 {
			want := ok
			if i == 4 {
				want = limit // d and four more are CREATING
			}
			wantCode(t, create(fmt.Sprint("n", i), aws.Int32(1), ""), want)
		}
		srv.SetMaxRecordSize("s", 10<<20)
		wantCode(t, put(types.PutRecordsRequestEntry{Data: make([]byte, 10<<20-1), PartitionKey: aws.String("k")}), ok)
		wantCode(t, put(types.PutRecordsRequestEntry{Data: make([]byte, 10<<20), PartitionKey: aws.String("k")}), validation)
	})
}

func TestCalls(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		start := time.Now()
		srv.Fail("PutRecord", Throttle(1), DropAfter(1).After(1))
		for range 2 {
			if put(c) == nil {
				t.Error("no fault")
			}
		}
		must(get(c, iteratorOf(c, shardID(0), types.ShardIteratorTypeTrimHorizon), 0))
		ms := func(n int) time.Time { return start.Add(time.Duration(n) * time.Millisecond) }
		seq := srv.Records("s")[0].SequenceNumber
		want := []Call{
			{"PutRecord", "s", "", ms(5), "ProvisionedThroughputExceededException", 0, 0, "", ""},
			{"PutRecord", "s", shardID(0), ms(15), "dropped", 1, 2, seq, seq},
			{"GetShardIterator", "s", shardID(0), ms(25), "", 0, 0, "", ""},
			{"GetRecords", "s", shardID(0), ms(40), "", 1, 2, seq, seq},
		}
		if d := cmp.Diff(want, srv.Calls()); d != "" {
			t.Errorf("calls (-want +got):\n%s", d)
		}
	})
}

func TestEvent(t *testing.T) {
	ev := Event("alice", "1 espresso", "bob", "")
	if len(ev.Records) != 2 || string(ev.Records[0].Kinesis.Data) != "1 espresso" || ev.Records[1].Kinesis.PartitionKey != "bob" {
		t.Errorf("got %+v", ev)
	}
	a, b := ev.Records[0], ev.Records[1]
	if a.EventID != shardID(0)+":"+a.Kinesis.SequenceNumber || a.Kinesis.SequenceNumber >= b.Kinesis.SequenceNumber || a.EventSource != "aws:kinesis" || a.EventSourceArn != arn("stream") {
		t.Errorf("got %+v", a)
	}
	if _, err := json.Marshal(ev); err != nil {
		t.Error(err)
	}
}
