package kinesistest_test

import (
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// Assertions on streams: creation, description, retention, deletion.

func (s *session) create(name string, shards int32) error {
	_, err := s.c.CreateStream(s.ctx, &kinesis.CreateStreamInput{StreamName: &name, ShardCount: &shards})
	return err
}

func streams(s *session) {
	name := s.stream("streams", 3)
	d := s.summary(name)
	s.is("summary", line(aws.ToString(d.StreamName) == name, d.StreamStatus, aws.ToInt32(d.OpenShardCount), aws.ToInt32(d.RetentionPeriodHours),
		d.EncryptionType, aws.ToInt32(d.ConsumerCount)), "true ACTIVE 3 24 NONE 0")
	s.is("summary/mode", mode(d.StreamModeDetails), "PROVISIONED")
	arn := aws.ToString(d.StreamARN)
	s.is("summary/arn", regexp.MustCompile(`^arn:aws:kinesis:us-east-1:\d{12}:stream/`).ReplaceAllString(arn, ""), name)
	s.is("summary/created", time.Since(aws.ToTime(d.StreamCreationTimestamp)).Abs() < time.Minute, true)

	out := must(s.c.DescribeStream(s.ctx, &kinesis.DescribeStreamInput{StreamName: &name}))(s).StreamDescription
	s.is("describe", line(aws.ToString(out.StreamName) == name, aws.ToString(out.StreamARN) == arn, out.StreamStatus, aws.ToInt32(out.RetentionPeriodHours),
		aws.ToBool(out.HasMoreShards), out.EncryptionType, aws.ToTime(out.StreamCreationTimestamp).Equal(aws.ToTime(d.StreamCreationTimestamp))), "true true ACTIVE 24 false NONE true")
	s.is("describe/mode", mode(out.StreamModeDetails), "PROVISIONED")
	s.is("describe/shards", ids(out.Shards), "0 1 2")
	s.is("describe/ranges", ranges(out.Shards), uniform(3))
	page := must(s.c.DescribeStream(s.ctx, &kinesis.DescribeStreamInput{StreamName: &name, Limit: aws.Int32(1)}))(s).StreamDescription
	s.is("describe/limit", line(ids(page.Shards), aws.ToBool(page.HasMoreShards)), "0 true")
	page = must(s.c.DescribeStream(s.ctx, &kinesis.DescribeStreamInput{StreamName: &name, ExclusiveStartShardId: aws.String(id(0))}))(s).StreamDescription
	s.is("describe/start", line(ids(page.Shards), aws.ToBool(page.HasMoreShards)), "1 2 false")
	_, err := s.c.DescribeStream(s.ctx, &kinesis.DescribeStreamInput{StreamName: &name, Limit: aws.Int32(10_001)})
	s.refuses("describe/limit above 10,000", err, "ValidationException")

	byARN, err := s.c.DescribeStreamSummary(s.ctx, &kinesis.DescribeStreamSummaryInput{StreamARN: &arn})
	got := codeOf(err)
	if err == nil {
		got = aws.ToString(byARN.StreamDescriptionSummary.StreamName)
	}
	s.is("summary/by arn", strings.ReplaceAll(got, name, "it"), "it")
	_, err = s.c.DescribeStreamSummary(s.ctx, &kinesis.DescribeStreamSummaryInput{StreamARN: aws.String(arn + "-missing")})
	s.refuses("summary/by arn of none", err, "ResourceNotFoundException")
	_, err = s.c.DescribeStreamSummary(s.ctx, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String(name + "-missing")})
	s.refuses("summary/missing", err, "ResourceNotFoundException")
	_, err = s.c.DescribeStream(s.ctx, &kinesis.DescribeStreamInput{StreamName: aws.String(name + "-missing")})
	s.refuses("describe/missing", err, "ResourceNotFoundException")

	s.refuses("create/again", s.create(name, 1), "ResourceInUseException")
	s.refuses("create/0 shards", s.create(s.unique("none"), 0), "ValidationException")
	s.refuses("create/bad name", s.create("a b", 1), "ValidationException")
	s.refuses("create/long name", s.create(strings.Repeat("n", 129), 1), "ValidationException")
	s.refuses("create/above the account's shards", s.create(s.unique("many"), 101), "LimitExceededException")

	list := must(s.c.ListStreams(s.ctx, &kinesis.ListStreamsInput{Limit: aws.Int32(10_000)}))(s)
	s.is("list streams", slices.Contains(list.StreamNames, name), true)
	s.stream("another", 1)
	list = must(s.c.ListStreams(s.ctx, &kinesis.ListStreamsInput{Limit: aws.Int32(1)}))(s)
	s.is("list streams/limit", line(len(list.StreamNames), aws.ToBool(list.HasMoreStreams)), "1 true")
	next := must(s.c.ListStreams(s.ctx, &kinesis.ListStreamsInput{ExclusiveStartStreamName: &list.StreamNames[0]}))(s)
	s.is("list streams/start", slices.Contains(next.StreamNames, list.StreamNames[0]), false)
}

func mode(d *types.StreamModeDetails) string {
	if d == nil {
		return "none"
	}
	return string(d.StreamMode)
}

// uniform is the ranges of n equal shards, as ranges has them.
func uniform(n int64) string {
	width := new(big.Int).Div(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(n))
	var b []string
	for i := range n {
		end := new(big.Int).Mul(width, big.NewInt(i+1))
		if i == n-1 {
			end.Lsh(big.NewInt(1), 128)
		}
		b = append(b, fmt.Sprintf("%d-%d", new(big.Int).Mul(width, big.NewInt(i)), end.Sub(end, big.NewInt(1))))
	}
	return strings.Join(b, " ")
}

func retention(s *session) {
	name := s.stream("retention", 1)
	increase := func(hours int32) error {
		_, err := s.c.IncreaseStreamRetentionPeriod(s.ctx, &kinesis.IncreaseStreamRetentionPeriodInput{StreamName: &name, RetentionPeriodHours: &hours})
		return err
	}
	decrease := func(hours int32) error {
		_, err := s.c.DecreaseStreamRetentionPeriod(s.ctx, &kinesis.DecreaseStreamRetentionPeriodInput{StreamName: &name, RetentionPeriodHours: &hours})
		return err
	}
	becomes := func(hours int32) {
		s.until(fmt.Sprintf("retention of %d h", hours), func() bool {
			d := s.summary(name)
			return aws.ToInt32(d.RetentionPeriodHours) == hours && d.StreamStatus == types.StreamStatusActive
		})
	}
	s.refuses("retention/increase", increase(48), "accepted")
	becomes(48)
	s.refuses("retention/increase to less", increase(36), "InvalidArgumentException")
	s.refuses("retention/decrease to more", decrease(72), "InvalidArgumentException")
	s.refuses("retention/decrease", decrease(24), "accepted")
	becomes(24)
	s.refuses("retention/below 24 h", decrease(23), "InvalidArgumentException")
	s.is("retention/above 365 d", increase(8761) != nil, true)
	_, err := s.c.IncreaseStreamRetentionPeriod(s.ctx, &kinesis.IncreaseStreamRetentionPeriodInput{StreamName: aws.String(name + "-missing"), RetentionPeriodHours: aws.Int32(48)})
	s.refuses("retention/missing stream", err, "ResourceNotFoundException")
}

func deletion(s *session) {
	name := s.stream("deletion", 1)
	s.put(name, "k", "old")
	created := aws.ToTime(s.summary(name).StreamCreationTimestamp)
	it := s.iterator(name, 0, types.ShardIteratorTypeTrimHorizon)
	remove := func() {
		_, err := s.c.DeleteStream(s.ctx, &kinesis.DeleteStreamInput{StreamName: &name})
		ok(s, 0, err)
		s.until("deletion", func() bool {
			_, err := s.c.DescribeStreamSummary(s.ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &name})
			return codeOf(err) == "ResourceNotFoundException"
		})
	}
	remove()
	_, err := s.c.PutRecord(s.ctx, &kinesis.PutRecordInput{StreamName: &name, PartitionKey: aws.String("k"), Data: []byte("d")})
	s.refuses("deleted/put", err, "ResourceNotFoundException")
	_, err = s.c.ListShards(s.ctx, &kinesis.ListShardsInput{StreamName: &name})
	s.refuses("deleted/list", err, "ResourceNotFoundException")
	_, err = s.c.GetRecords(s.ctx, &kinesis.GetRecordsInput{ShardIterator: &it})
	s.refuses("deleted/read", err, "ResourceNotFoundException")
	_, err = s.c.DeleteStream(s.ctx, &kinesis.DeleteStreamInput{StreamName: &name})
	s.refuses("deleted/delete", err, "ResourceNotFoundException")
	s.second()
	ok(s, 0, s.create(name, 1))
	s.active(name)
	s.is("created again/created", aws.ToTime(s.summary(name).StreamCreationTimestamp).After(created), true)
	s.is("created again/records", s.read(name, 0, types.ShardIteratorTypeTrimHorizon), "")
	remove()
}
