package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/shardlane/shardlane/consumer"
)

// client is nil for the in-process Kinesis.
func (s settings) client() (*kinesis.Client, error) {
	if s.endpoint == "" && s.region == "" {
		return nil, nil
	}
	o := kinesis.Options{Region: s.region}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if s.endpoint != "" {
		o.BaseEndpoint = &s.endpoint
	}
	id, secret := os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY")
	if id == "" || secret == "" {
		return nil, errors.New("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; an emulator takes any")
	}
	o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: os.Getenv("AWS_SESSION_TOKEN")}, nil
	})
	return kinesis.New(o), nil
}

// ensure makes sure that there is a stream, and tells whether it is this program's own.
func ensure(ctx context.Context, client *kinesis.Client, stream string, shards int, own bool) (bool, error) {
	describe := &kinesis.DescribeStreamSummaryInput{StreamName: &stream}
	_, err := client.DescribeStreamSummary(ctx, describe)
	var missing *types.ResourceNotFoundException
	if errors.As(err, &missing) {
		own = true
		_, err = client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: &stream, ShardCount: aws.Int32(int32(shards))})
	}
	if err != nil {
		return false, err
	}
	return own, active(ctx, client, stream)
}

// active waits until the stream can be changed.
func active(ctx context.Context, client *kinesis.Client, stream string) error {
	for {
		out, err := client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &stream})
		if err != nil {
			return err
		}
		if out.StreamDescriptionSummary.StreamStatus == types.StreamStatusActive {
			return nil
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A producer places orders in rounds, one of each customer. A round ends when the stream has all of its orders, so a
// customer's orders arrive in order though PutRecords may refuse some.
type producer struct {
	settings
	client  *kinesis.Client
	run     int64
	reshard bool
	says    chan string  // what it does to the shards
	made    atomic.Int64 // orders in the stream
}

func (p *producer) produce(ctx context.Context, c *consumer.Consumer) error {
	for len(c.Status().Shards) == 0 { // it has to be there when it starts at the tip
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	rounds := p.orders / p.customers
	steps := map[int]func(context.Context) error{rounds / 3: p.split, rounds * 2 / 3: p.merge}
	began := time.Now()
	resharded := make(chan error, len(steps))
	pending := 0
	for round := range rounds {
		if step := steps[round]; step != nil && p.reshard {
			pending++
			go func() { resharded <- step(ctx) }() // orders are placed meanwhile
		}
		if err := p.round(ctx, round+1); err != nil {
			return err
		}
		due := began.Add(time.Duration(round+1) * time.Second * time.Duration(p.customers) / time.Duration(p.rate))
		if err := pause(ctx, time.Until(due)); err != nil {
			return err
		}
	}
	var err error
	for range pending {
		err = errors.Join(err, <-resharded)
	}
	return err
}

// round places order number n of every customer.
func (p *producer) round(ctx context.Context, n int) error {
	entries := make([]types.PutRecordsRequestEntry, p.customers)
	for i := range entries {
		data, err := json.Marshal(order{Run: p.run, Customer: i, Number: n})
		if err != nil {
			return err
		}
		entries[i] = types.PutRecordsRequestEntry{Data: data, PartitionKey: aws.String(fmt.Sprint("customer-", i))}
	}
	for len(entries) > 0 {
		out, err := p.client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: &p.stream, Records: entries})
		if err != nil {
			return err
		}
		var again []types.PutRecordsRequestEntry
		for i, r := range out.Records {
			if r.ErrorCode != nil {
				again = append(again, entries[i])
			}
		}
		p.made.Add(int64(len(entries) - len(again)))
		if entries = again; len(entries) > 0 {
			if err := pause(ctx, 200*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

// split halves the first open shard.
func (p *producer) split(ctx context.Context) error {
	open, err := p.open(ctx)
	if err != nil || len(open) == 0 {
		return err
	}
	lo, _ := new(big.Int).SetString(*open[0].HashKeyRange.StartingHashKey, 10)
	hi, _ := new(big.Int).SetString(*open[0].HashKeyRange.EndingHashKey, 10)
	middle := lo.Add(lo, hi).Rsh(lo, 1).String()
	if _, err = p.client.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: &p.stream, ShardToSplit: open[0].ShardId, NewStartingHashKey: &middle}); err != nil {
		return err
	}
	return p.say(ctx, "split "+*open[0].ShardId)
}

// merge joins two open shards that are neighbours.
func (p *producer) merge(ctx context.Context) error {
	if err := active(ctx, p.client, p.stream); err != nil {
		return err
	}
	open, err := p.open(ctx)
	if err != nil {
		return err
	}
	for _, a := range open {
		end, _ := new(big.Int).SetString(*a.HashKeyRange.EndingHashKey, 10)
		for _, b := range open {
			if *b.HashKeyRange.StartingHashKey == end.Add(end, big.NewInt(1)).String() {
				if _, err := p.client.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: &p.stream, ShardToMerge: a.ShardId, AdjacentShardToMerge: b.ShardId}); err != nil {
					return err
				}
				return p.say(ctx, "merged "+*a.ShardId+" and "+*b.ShardId)
			}
			end.Sub(end, big.NewInt(1))
		}
	}
	return nil
}

// say tells whoever watches what was done.
func (p *producer) say(ctx context.Context, what string) error {
	select {
	case p.says <- what:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *producer) open(ctx context.Context) (open []types.Shard, err error) {
	out, err := p.client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: &p.stream})
	if err != nil {
		return nil, err
	}
	for _, s := range out.Shards {
		if s.SequenceNumberRange.EndingSequenceNumber == nil {
			open = append(open, s)
		}
	}
	return open, nil
}
