package consumer_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/big"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/shardlane/shardlane/consumer"
)

// pages is a client without a network: each of its shards has some pages of the same records, and is quiet then.
type pages struct {
	shards int
	recs   [][]types.Record
}

func (p pages) DescribeStreamSummary(context.Context, *kinesis.DescribeStreamSummaryInput, ...func(*kinesis.Options)) (*kinesis.DescribeStreamSummaryOutput, error) {
	return &kinesis.DescribeStreamSummaryOutput{StreamDescriptionSummary: &types.StreamDescriptionSummary{
		StreamName: aws.String("orders"), StreamARN: aws.String("arn:aws:kinesis:us-east-1:123456789012:stream/orders"),
		StreamCreationTimestamp: aws.Time(time.Unix(1, 0)), RetentionPeriodHours: aws.Int32(24),
	}}, nil
}

func (p pages) ListShards(context.Context, *kinesis.ListShardsInput, ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error) {
	out := &kinesis.ListShardsOutput{}
	size := new(big.Int).Div(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(int64(p.shards)))
	for i := range p.shards {
		from := new(big.Int).Mul(size, big.NewInt(int64(i)))
		to := new(big.Int).Sub(new(big.Int).Add(from, size), big.NewInt(1))
		if i == p.shards-1 {
			to.SetString(lastHash, 10)
		}
		out.Shards = append(out.Shards, types.Shard{
			ShardId: aws.String(shardID(i)), HashKeyRange: &types.HashKeyRange{StartingHashKey: aws.String(from.String()), EndingHashKey: aws.String(to.String())},
			SequenceNumberRange: &types.SequenceNumberRange{StartingSequenceNumber: aws.String("1")},
		})
	}
	return out, nil
}

func (p pages) GetShardIterator(context.Context, *kinesis.GetShardIteratorInput, ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error) {
	return &kinesis.GetShardIteratorOutput{ShardIterator: aws.String("0")}, nil
}

func (p pages) GetRecords(_ context.Context, in *kinesis.GetRecordsInput, _ ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error) {
	n, _ := strconv.Atoi(*in.ShardIterator)
	out := &kinesis.GetRecordsOutput{NextShardIterator: aws.String(strconv.Itoa(n + 1)), MillisBehindLatest: aws.Int64(0)}
	if n < len(p.recs) {
		out.Records, out.MillisBehindLatest = p.recs[n], aws.Int64(1)
	}
	return out, nil
}

func pageOf(page, n, size int) []types.Record {
	recs := make([]types.Record, n)
	at := time.Now()
	for i := range recs {
		recs[i] = types.Record{
			SequenceNumber: aws.String(fmt.Sprintf("4967%052d", page*n+i)), PartitionKey: aws.String(fmt.Sprint("customer-", i%500)),
			Data: make([]byte, size), ApproximateArrivalTimestamp: &at,
		}
	}
	return recs
}

// BenchmarkPipeline is what a record costs between its page and the handler, without a network and a decoder: the CPU time
// of the whole process, by getrusage. Page a has 10,000 records of 1 KB, page c 500 of 100 bytes.
func BenchmarkPipeline(b *testing.B) {
	for _, bb := range []struct {
		name                               string
		records, size, batch, shards, each int
	}{
		{"a/batch=10000", 10_000, 1000, 10_000, 40, 1},
		{"a/batch=100", 10_000, 1000, 100, 40, 1},
		{"c/batch=10000", 500, 100, 10_000, 40, 20},
		{"c/batch=100", 500, 100, 100, 40, 20},
	} {
		b.Run(bb.name, func(b *testing.B) {
			p := pages{shards: bb.shards}
			for i := range bb.each {
				p.recs = append(p.recs, pageOf(i, bb.records, bb.size))
			}
			total := int64(bb.records * bb.shards * bb.each)
			b.ReportAllocs()
			var before, after syscall.Rusage
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
			for range b.N {
				ctx, cancel := context.WithCancel(b.Context())
				var seen atomic.Int64
				err := consumer.Run(ctx, p, "orders", func(_ context.Context, ev events.KinesisEvent) error {
					if seen.Add(int64(len(ev.Records))) == total {
						cancel()
					}
					return nil
				}, consumer.WithBatchSize(bb.batch), consumer.WithLogger(slog.New(slog.DiscardHandler)))
				cancel()
				if err != nil || seen.Load() != total {
					b.Fatalf("%d of %d records, %v", seen.Load(), total, err)
				}
			}
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
			cpu := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
			b.ReportMetric(float64(cpu.Nanoseconds())/float64(total*int64(b.N)), "cpu-ns/record")
			b.ReportMetric(0, "ns/op")
		})
	}
}
