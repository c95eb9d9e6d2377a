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

func data(out *kinesis.GetRecordsOutput) string {
	var all []string
	for _, r := range out.Records {
		all = append(all, string(r.Data))
	}
	return strings.Join(all, " ")
}

func TestIteratorTypes(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		var seqs []string
		var times []time.Time
		for i := range 5 {
			times = append(times, time.Now())
			_, seq := srv.Put("s", "k", fmt.Append(nil, i))
			seqs = append(seqs, seq)
			time.Sleep(time.Second)
		}
		ask := func(in kinesis.GetShardIteratorInput) (string, error) {
			in.StreamARN, in.ShardId = aws.String(arn("s")), aws.String(shardID(0))
			it, err := c.GetShardIterator(context.Background(), &in)
			if err != nil {
				return "", err
			}
			return data(must(get(c, it.ShardIterator, 0))), nil
		}
		srv.Trim("s", shardID(0), seqs[1])
		for name, tt := range map[string]struct {
			in   kinesis.GetShardIteratorInput
			want string
		}{
			"trim horizon":   {kinesis.GetShardIteratorInput{ShardIteratorType: "TRIM_HORIZON"}, "1 2 3 4"},
			"latest":         {kinesis.GetShardIteratorInput{ShardIteratorType: "LATEST"}, ""},
			"at":             {kinesis.GetShardIteratorInput{ShardIteratorType: "AT_SEQUENCE_NUMBER", StartingSequenceNumber: &seqs[2]}, "2 3 4"},
			"after":          {kinesis.GetShardIteratorInput{ShardIteratorType: "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber: &seqs[2]}, "3 4"},
			"after the last": {kinesis.GetShardIteratorInput{ShardIteratorType: "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber: &seqs[4]}, ""},
			"at a trimmed":   {kinesis.GetShardIteratorInput{ShardIteratorType: "AT_SEQUENCE_NUMBER", StartingSequenceNumber: &seqs[0]}, "1 2 3 4"},
			"time exactly":   {kinesis.GetShardIteratorInput{ShardIteratorType: "AT_TIMESTAMP", Timestamp: &times[3]}, "3 4"},
			"time between":   {kinesis.GetShardIteratorInput{ShardIteratorType: "AT_TIMESTAMP", Timestamp: aws.Time(times[3].Add(time.Millisecond))}, "4"},
			"time long ago":  {kinesis.GetShardIteratorInput{ShardIteratorType: "AT_TIMESTAMP", Timestamp: aws.Time(times[0].AddDate(-1, 0, 0))}, "1 2 3 4"},
		} {
			if got, err := ask(tt.in); err != nil || got != tt.want {
				t.Errorf("%s: read %q, %v; want %q", name, got, err, tt.want)
			}
		}
		foreign := sequence{created: 1, n: 7, at: 1}.String()
		for name, tt := range map[string]struct {
			in   kinesis.GetShardIteratorInput
			want string
		}{
			"no number":       {kinesis.GetShardIteratorInput{ShardIteratorType: "AT_SEQUENCE_NUMBER"}, "InvalidArgumentException"},
			"number too many": {kinesis.GetShardIteratorInput{ShardIteratorType: "LATEST", StartingSequenceNumber: &seqs[0]}, "InvalidArgumentException"},
			"no time":         {kinesis.GetShardIteratorInput{ShardIteratorType: "AT_TIMESTAMP"}, "InvalidArgumentException"},
			"future":          {kinesis.GetShardIteratorInput{ShardIteratorType: "AT_TIMESTAMP", Timestamp: aws.Time(time.Now().Add(time.Hour))}, "InvalidArgumentException"},
			"foreign number":  {kinesis.GetShardIteratorInput{ShardIteratorType: "AT_SEQUENCE_NUMBER", StartingSequenceNumber: &foreign}, "InvalidArgumentException"},
			"bad number":      {kinesis.GetShardIteratorInput{ShardIteratorType: "AT_SEQUENCE_NUMBER", StartingSequenceNumber: aws.String("0x1")}, "ValidationException"},
			"bad type":        {kinesis.GetShardIteratorInput{ShardIteratorType: "EARLIEST"}, "ValidationException"},
		} {
			if _, err := ask(tt.in); code(err) != tt.want {
				t.Errorf("%s: got %v, want %s", name, err, tt.want)
			}
		}
	})
}

func TestIteratorExpires(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		srv.SetLatency(0)
		it := iteratorOf(c, shardID(0), types.ShardIteratorTypeLatest)
		time.Sleep(5 * time.Minute)
		out, err := get(c, it, 0)
		if err != nil {
			t.Fatalf("at 5 minutes: %v", err)
		}
		time.Sleep(time.Millisecond)
		_, err = get(c, it, 0)
		wantCode(t, err, "ExpiredIteratorException")
		time.Sleep(4 * time.Minute)
		if _, err = get(c, out.NextShardIterator, 0); err != nil {
			t.Errorf("the next iterator does not start anew: %v", err)
		}
		_, err = get(c, aws.String("AAAA"), 0)
		wantCode(t, err, "InvalidArgumentException")
	})
}

func TestPagesAndLag(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		srv.SetLatency(0)
		for range 10_001 {
			srv.Put("s", "k", []byte("x"))
		}
		time.Sleep(3 * time.Second)
		out := must(get(c, iteratorOf(c, shardID(0), types.ShardIteratorTypeTrimHorizon), 0))
		if len(out.Records) != 10_000 || *out.MillisBehindLatest != 3000 {
			t.Errorf("got %d records, %d ms behind; want 10000 and 3000", len(out.Records), *out.MillisBehindLatest)
		}
		out = must(get(c, out.NextShardIterator, 0))
		if len(out.Records) != 1 || *out.MillisBehindLatest != 0 {
			t.Errorf("got %d records, %d ms behind; want 1 and 0", len(out.Records), *out.MillisBehindLatest)
		}
		if out = must(get(c, iteratorOf(c, shardID(0), types.ShardIteratorTypeTrimHorizon), 7)); len(out.Records) != 7 {
			t.Errorf("got %d records, want the 7 of the limit", len(out.Records))
		}
		for _, limit := range []int32{-1, 10_001} {
			_, err := c.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: out.NextShardIterator, Limit: &limit})
			wantCode(t, err, "ValidationException")
		}
		_, err := c.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: out.NextShardIterator, StreamARN: aws.String(arn("other"))})
		wantCode(t, err, "InvalidArgumentException")
	})
}

// TestShardEnd reads a split shard to its end: n answers without records come before it is told.
func TestShardEnd(t *testing.T) {
	for n := range 3 {
		bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
			srv.SetShardEnd(n)
			srv.Put("s", "k", []byte("1"))
			lower, upper := srv.Split("s", shardID(0))
			srv.Put("s", "k", []byte("2"))
			out := must(get(c, iteratorOf(c, shardID(0), types.ShardIteratorTypeTrimHorizon), 0))
			if data(out) != "1" {
				t.Errorf("read %q, want 1", data(out))
			}
			for i := range n {
				if out.NextShardIterator == nil || len(out.ChildShards) > 0 {
					t.Fatalf("answer %d of %d has the end already", i, n)
				}
				out = must(get(c, out.NextShardIterator, 0))
			}
			if out.NextShardIterator != nil {
				t.Error("the last answer has an iterator")
			}
			type child struct{ ID, Parents, Start, End string }
			var got, want []child
			for _, ch := range out.ChildShards {
				got = append(got, child{*ch.ShardId, fmt.Sprint(ch.ParentShards), *ch.HashKeyRange.StartingHashKey, *ch.HashKeyRange.EndingHashKey})
			}
			for _, sh := range srv.Shards("s")[1:] {
				want = append(want, child{sh.ID, fmt.Sprint(sh.Parents), sh.HashStart, sh.HashEnd})
			}
			if d := cmp.Diff(want, got); d != "" || want[0].ID != lower || want[1].ID != upper {
				t.Errorf("children (-want +got):\n%s", d)
			}
			// LATEST on a closed shard is at its end.
			out = must(get(c, iteratorOf(c, shardID(0), types.ShardIteratorTypeLatest), 0))
			if (out.NextShardIterator == nil) != (n < 2) {
				t.Errorf("with %d empty answers, the first answer from LATEST: iterator %v", n, out.NextShardIterator)
			}
		})
	}
}

func TestEmptyPages(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		srv.SetEmptyPages(2)
		for i := range 4 {
			srv.Put("s", "k", fmt.Append(nil, i))
		}
		srv.Split("s", shardID(0))
		var got []string
		for it := iteratorOf(c, shardID(0), types.ShardIteratorTypeTrimHorizon); it != nil; {
			out := must(get(c, it, 3))
			got = append(got, data(out))
			if (*out.MillisBehindLatest > 0) != (out.NextShardIterator != nil) {
				t.Errorf("page %q is %d ms behind", data(out), *out.MillisBehindLatest)
			}
			it = out.NextShardIterator
		}
		if d := cmp.Diff([]string{"", "", "0 1 2", "", "", "3"}, got); d != "" {
			t.Errorf("pages (-want +got):\n%s", d)
		}
	})
}

func TestRetention(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		srv.Put("s", "k", []byte("old"))
		srv.Split("s", shardID(0))
		time.Sleep(12 * time.Hour)
		late, _ := srv.Put("s", "k", []byte("new"))
		time.Sleep(12*time.Hour - time.Second)
		it := iteratorOf(c, shardID(0), types.ShardIteratorTypeTrimHorizon)
		time.Sleep(time.Second)
		_, err := get(c, it, 0)
		wantCode(t, err, "ResourceNotFoundException") // the parent vanished with its records
		if infos := srv.Shards("s"); !infos[0].Expired || infos[0].Trimmed != 1 || len(infos[0].Records) != 1 {
			t.Errorf("the parent is %+v", infos[0])
		}
		if list := must(c.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: aws.String("s")})).Shards; len(list) != 2 {
			t.Errorf("%d shards are listed, want the 2 children", len(list))
		}
		if out := must(get(c, iteratorOf(c, late, types.ShardIteratorTypeTrimHorizon), 0)); data(out) != "new" {
			t.Errorf("read %q, want new", data(out))
		}
		hours := int32(48)
		must(c.IncreaseStreamRetentionPeriod(t.Context(), &kinesis.IncreaseStreamRetentionPeriodInput{StreamName: aws.String("s"), RetentionPeriodHours: &hours}))
		time.Sleep(13 * time.Hour)
		it = iteratorOf(c, late, types.ShardIteratorTypeTrimHorizon)
		if out := must(get(c, it, 0)); data(out) != "new" {
			t.Errorf("read %q, want new", data(out))
		}
		hours = 24
		must(c.DecreaseStreamRetentionPeriod(t.Context(), &kinesis.DecreaseStreamRetentionPeriodInput{StreamName: aws.String("s"), RetentionPeriodHours: &hours}))
		time.Sleep(time.Second)
		if out := must(get(c, it, 0)); data(out) != "" {
			t.Errorf("read %q, want nothing after the retention was lowered", data(out))
		}
		for _, hours := range []int32{23, 25, 8761} {
			_, err := c.DecreaseStreamRetentionPeriod(t.Context(), &kinesis.DecreaseStreamRetentionPeriodInput{StreamName: aws.String("s"), RetentionPeriodHours: &hours})
			wantCode(t, err, "InvalidArgumentException")
		}
		srv.SetRetention("s", time.Minute)
		srv.Put("s", "k", []byte("a"))
		time.Sleep(time.Second)
		srv.Put("s", "k", []byte("b"))
		srv.TrimBefore("s", time.Now())
		if out := must(get(c, iteratorOf(c, late, types.ShardIteratorTypeTrimHorizon), 0)); data(out) != "b" {
			t.Errorf("read %q, want b", data(out))
		}
		srv.Trim("s", late, "")
		if out := must(get(c, iteratorOf(c, late, types.ShardIteratorTypeTrimHorizon), 0)); data(out) != "" {
			t.Errorf("read %q, want nothing", data(out))
		}
	})
}

func TestReadLimits(t *testing.T) {
	bubble(t, 2, func(t *testing.T, srv *Server, c *kinesis.Client) {
		srv.SetLatency(0)
		srv.SetReadLimits(true)
		it, other := iteratorOf(c, shardID(0), types.ShardIteratorTypeTrimHorizon), iteratorOf(c, shardID(1), types.ShardIteratorTypeTrimHorizon)
		for range 5 {
			must(get(c, it, 0))
		}
		_, err := get(c, it, 0)
		wantCode(t, err, "ProvisionedThroughputExceededException")
		must(get(c, other, 0)) // limits are a shard's own
		time.Sleep(time.Second)
		for range 12 {
			srv.PutHash("s", "k", "0", make([]byte, 1<<20-1))
		}
		// read is a call without the client, which takes long over large pages with the race detector.
		read := func(it *string, limit int) (records int, next *string, err error) {
			body, _ := json.Marshal(getRecordsInput{ShardIterator: it, Limit: &limit})
			answer, err := srv.answer(t.Context(), &call{Request: Request{Body: body}}, "Kinesis_20131202.GetRecords")
			if err != nil {
				return 0, it, err
			}
			var out struct{ NextShardIterator *string }
			if err := json.Unmarshal(answer, &out); err != nil {
				t.Fatal(err)
			}
			calls := srv.Calls()
			return calls[len(calls)-1].Records, out.NextShardIterator, nil
		}
		n, next, _ := read(it, 10_000)
		if n != 10 {
			t.Errorf("got %d records, want 10", n)
		}
		time.Sleep(5*time.Second - time.Millisecond)
		if _, _, err := read(next, 10_000); err == nil {
			t.Error("a call less than 5 s after 10 MiB is not refused")
		}
		time.Sleep(time.Millisecond)
		if n, _, _ = read(next, 10_000); n != 2 {
			t.Errorf("got %d records, want 2", n)
		}
		if n := srv.Count("GetRecords", "s", shardID(0)); n != 9 {
			t.Errorf("%d calls counted, want 9", n)
		}
		time.Sleep(5 * time.Second)
		_, next, _ = read(it, 6)
		if n, _, _ = read(next, 10_000); n != 4 {
			t.Errorf("got %d records after 6, want the 4 that 10 MiB leave", n)
		}
	})
}

func TestWriteLimits(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		srv.SetWriteLimits(true)
		put := func(n, size int) int {
			in := &kinesis.PutRecordsInput{StreamName: aws.String("s")}
			for range n {
				in.Records = append(in.Records, types.PutRecordsRequestEntry{PartitionKey: aws.String("k"), Data: make([]byte, size)})
			}
			return int(*must(c.PutRecords(context.Background(), in)).FailedRecordCount)
		}
		if got := []int{put(500, 1), put(499, 1), put(3, 1)}; !cmp.Equal(got, []int{0, 0, 2}) {
			t.Errorf("failed records %v, want 0 0 2", got)
		}
		time.Sleep(time.Second)
		if got := put(3, 400<<10); got != 1 {
			t.Errorf("%d records failed, want the third", got)
		}
		_, err := c.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: aws.String("s"), PartitionKey: aws.String("k"), Data: make([]byte, 400<<10)})
		wantCode(t, err, "ProvisionedThroughputExceededException")
	})
}

func TestClockOffset(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		srv.SetClock(10 * time.Minute)
		srv.Put("s", "k", nil)
		srv.SetClock(-time.Minute)
		srv.Put("s", "k", nil)
		r := must(get(c, iteratorOf(c, shardID(0), types.ShardIteratorTypeTrimHorizon), 0)).Records
		if d := r[1].ApproximateArrivalTimestamp.Sub(*r[0].ApproximateArrivalTimestamp); d != -11*time.Minute {
			t.Errorf("the second record arrived %v after the first, want -11m", d)
		}
		if *r[0].SequenceNumber >= *r[1].SequenceNumber {
			t.Error("sequence numbers go back with the clock")
		}
	})
}
