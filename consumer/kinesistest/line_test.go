package kinesistest

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// TestBandwidth reads a page of 750,000 bytes of data, 1 MB of JSON, over lines of several widths.
func TestBandwidth(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		srv.SetLatency(0)
		data := bytes.Repeat([]byte{0x5a}, 750_000)
		srv.Put("s", "k", data)
		read := func() time.Duration {
			it := iteratorOf(c, shardID(0), types.ShardIteratorTypeTrimHorizon)
			start := time.Now()
			if out, err := get(c, it, 0); err != nil || len(out.Records) != 1 || !bytes.Equal(out.Records[0].Data, data) {
				t.Errorf("read %v, %v", out, err)
			}
			return time.Since(start)
		}
		about := func(when string, took, want time.Duration) {
			t.Helper()
			if took < want || took > want+want/100 {
				t.Errorf("%s: took %v, want %v and at most a hundredth more", when, took, want)
			}
		}
		about("without a limit", read(), 0)
		for _, rate := range []int{10_000_000, 125_000, 3_000} {
			srv.SetBandwidth(rate)
			about("limited", read(), 1_000_000*time.Second/time.Duration(rate))
		}
		srv.SetBandwidth(100_000)
		var both sync.WaitGroup
		start := time.Now()
		for range 2 {
			both.Go(func() { read() })
		}
		both.Wait()
		about("two at once", time.Since(start), 20*time.Second)
		start = time.Now()
		both.Go(func() { read() })
		time.Sleep(5 * time.Second)
		srv.SetBandwidth(1_000_000)
		both.Wait()
		about("widened in the middle", time.Since(start), 5*time.Second+500*time.Millisecond)
		srv.SetBandwidth(1000)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := c.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iteratorOf(c, shardID(0), types.ShardIteratorTypeTrimHorizon)}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller without patience: %v", err)
		}
		srv.SetBandwidth(100_000)
		about("after one that gave up", read(), 10*time.Second)
		srv.SetBandwidth(0)
		about("no limit again", read(), 0)
	})
}

// TestLargestRecord carries a record of 10 MiB, and a page of 10 MiB, over 1 Mbit/s.
func TestLargestRecord(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		srv.SetMaxRecordSize("s", 10<<20)
		large := bytes.Repeat([]byte{0x5a}, 10<<20-1)
		must(c.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: aws.String("s"), PartitionKey: aws.String("k"), Data: large}))
		srv.Put("s", "k", large[:8<<20])
		srv.Put("s", "k", large[:2<<20-2])
		srv.SetBandwidth(125_000)
		it := iteratorOf(c, shardID(0), types.ShardIteratorTypeTrimHorizon)
		for _, want := range []int{1, 2} {
			start := time.Now()
			out := must(get(c, it, 0))
			size := 0
			for _, r := range out.Records {
				size += len(r.Data)
			}
			if len(out.Records) != want || size < 10<<20-2 {
				t.Errorf("read %d records of %d bytes, want %d of 10 MiB", len(out.Records), size, want)
			}
			if took := time.Since(start).Round(time.Second); took != 112*time.Second {
				t.Errorf("10 MiB took %v, want 112s", took)
			}
			it = out.NextShardIterator
		}
		_, err := c.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: aws.String("s"), PartitionKey: aws.String("kk"), Data: large})
		wantCode(t, err, "ValidationException")
	})
}

func TestBrokenBodies(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		srv.Put("s", "k", make([]byte, 300))
		it := iteratorOf(c, shardID(0), types.ShardIteratorTypeTrimHorizon)
		read := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := c.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: it})
			return err
		}
		for _, stall := range []bool{false, true} {
			for _, n := range []int{-1, 0, 1, 100, 1 << 20} {
				f := CutAfter(n, 1)
				if stall {
					f = StallAfter(n, 1)
				}
				srv.Fail("GetRecords", f)
				start := time.Now()
				err := read()
				took := time.Since(start)
				switch {
				case n == 1<<20 && err != nil:
					t.Errorf("an answer shorter than %d bytes: %v", n, err)
				case n < 1<<20 && err == nil:
					t.Errorf("an answer of %d bytes was taken for whole", n)
				case n < 1<<20 && (took >= 5*time.Second) != stall:
					t.Errorf("an answer of %d bytes, stalled %v, failed after %v", n, stall, took)
				}
			}
		}
		if calls := srv.Calls(); calls[len(calls)-1].Records != 1 || calls[len(calls)-2].Code != "" {
			t.Errorf("the calls took effect: %+v", calls[len(calls)-2:])
		}
		if err := read(); err != nil {
			t.Error(err)
		}
	})
}

// TestCloseEndsSlowAnswers closes a server while answers are under way.
func TestCloseEndsSlowAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, start := NewServer("s", 1), time.Now()
		c := srv.Client()
		srv.Put("s", "k", make([]byte, 1000))
		it := iteratorOf(c, shardID(0), types.ShardIteratorTypeTrimHorizon)
		srv.SetBandwidth(1)
		srv.Fail("GetRecords", StallAfter(0, 1))
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if _, err := get(c, it, 0); err == nil {
					t.Error("a call outlived Close")
				}
			})
		}
		time.Sleep(time.Second)
		srv.Close()
		all.Wait()
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("Close took %v", took)
		}
	})
}
