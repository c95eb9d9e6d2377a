package kinesistest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

func registerAs(c *kinesis.Client, stream, name string) (*types.Consumer, error) {
	out, err := c.RegisterStreamConsumer(context.Background(), &kinesis.RegisterStreamConsumerInput{StreamARN: aws.String(arn(stream)), ConsumerName: &name})
	if err != nil {
		return nil, err
	}
	return out.Consumer, nil
}

// statusOfConsumer describes a consumer in each of the ways, and returns its status if they agree.
func statusOfConsumer(t *testing.T, c *kinesis.Client, consumer *types.Consumer) string {
	t.Helper()
	var told []string
	for _, in := range []*kinesis.DescribeStreamConsumerInput{
		{ConsumerARN: consumer.ConsumerARN},
		{StreamARN: aws.String(arn("s")), ConsumerName: consumer.ConsumerName},
		{ConsumerARN: consumer.ConsumerARN, StreamARN: aws.String(arn("s")), ConsumerName: consumer.ConsumerName},
	} {
		out, err := c.DescribeStreamConsumer(context.Background(), in)
		if err != nil {
			told = append(told, code(err))
			continue
		}
		d := out.ConsumerDescription
		if *d.ConsumerARN != *consumer.ConsumerARN || *d.ConsumerName != *consumer.ConsumerName || *d.StreamARN != arn("s") || !d.ConsumerCreationTimestamp.Equal(*consumer.ConsumerCreationTimestamp) {
			t.Errorf("described as %+v", d)
		}
		told = append(told, string(d.ConsumerStatus))
	}
	if told[0] != told[1] || told[1] != told[2] {
		t.Errorf("told %v", told)
	}
	return told[0]
}

func TestConsumerLife(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		first := must(registerAs(c, "s", "c"))
		check := func(consumer *types.Consumer, want string) {
			t.Helper()
			if got := statusOfConsumer(t, c, consumer); got != want {
				t.Errorf("status %s, want %s", got, want)
			}
		}
		if first.ConsumerStatus != types.ConsumerStatusCreating || !strings.HasPrefix(*first.ConsumerARN, arn("s")+"/consumer/c:") {
			t.Errorf("registered %+v", first)
		}
		check(first, "CREATING")
		_, err := subscribe(t.Context(), c, *first.ConsumerARN, 0, tip)
		wantCode(t, err, "ResourceInUseException")
		_, err = registerAs(c, "s", "c")
		wantCode(t, err, "ResourceInUseException")
		time.Sleep(500 * time.Millisecond)
		check(first, "ACTIVE")
		if out := must(c.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("s")})); *out.StreamDescriptionSummary.ConsumerCount != 1 {
			t.Errorf("%d consumers counted", *out.StreamDescriptionSummary.ConsumerCount)
		}
		_, err = c.DeleteStream(t.Context(), &kinesis.DeleteStreamInput{StreamName: aws.String("s")})
		wantCode(t, err, "ResourceInUseException")

		must(c.DeregisterStreamConsumer(t.Context(), &kinesis.DeregisterStreamConsumerInput{StreamARN: aws.String(arn("s")), ConsumerName: aws.String("c")}))
		check(first, "DELETING")
		_, err = registerAs(c, "s", "c")
		wantCode(t, err, "ResourceInUseException")
		time.Sleep(300 * time.Millisecond)
		must(c.DeregisterStreamConsumer(t.Context(), &kinesis.DeregisterStreamConsumerInput{ConsumerARN: first.ConsumerARN})) // changes nothing
		time.Sleep(200 * time.Millisecond)
		check(first, "ResourceNotFoundException")
		_, err = c.DeregisterStreamConsumer(t.Context(), &kinesis.DeregisterStreamConsumerInput{ConsumerARN: first.ConsumerARN})
		wantCode(t, err, "ResourceNotFoundException")

		// One of the same name has another ARN, within the second, too.
		srv.SetTransition(0)
		seen := map[string]bool{*first.ConsumerARN: true}
		for i := range 4 {
			again := must(registerAs(c, "s", "c"))
			if again.ConsumerStatus != types.ConsumerStatusActive || seen[*again.ConsumerARN] {
				t.Errorf("registered again as %+v", again)
			}
			seen[*again.ConsumerARN] = true
			_, err := c.DescribeStreamConsumer(t.Context(), &kinesis.DescribeStreamConsumerInput{ConsumerARN: first.ConsumerARN})
			wantCode(t, err, "ResourceNotFoundException")
			check(again, "ACTIVE")
			if first = again; i%2 == 1 { // with its stream
				srv.DeleteStream("s")
				srv.CreateStream("s", 1)
				continue
			}
			must(c.DeregisterStreamConsumer(t.Context(), &kinesis.DeregisterStreamConsumerInput{ConsumerARN: first.ConsumerARN}))
		}
		if n := srv.Count("DescribeStreamConsumer", "s", ""); n != srv.Count("DescribeStreamConsumer", "", "") {
			t.Errorf("%d calls are counted for the stream", n)
		}
	})
}

func TestConsumerRefusals(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		consumer, stream := register(t, c, "c"), aws.String(arn("s"))
		for name, tt := range map[string]struct {
			in   kinesis.DescribeStreamConsumerInput
			want string
		}{
			"nothing":              {kinesis.DescribeStreamConsumerInput{}, "InvalidArgumentException"},
			"name alone":           {kinesis.DescribeStreamConsumerInput{ConsumerName: aws.String("c")}, "InvalidArgumentException"},
			"stream alone":         {kinesis.DescribeStreamConsumerInput{StreamARN: stream}, "InvalidArgumentException"},
			"other name":           {kinesis.DescribeStreamConsumerInput{ConsumerARN: &consumer, ConsumerName: aws.String("d")}, "InvalidArgumentException"},
			"other stream":         {kinesis.DescribeStreamConsumerInput{ConsumerARN: &consumer, StreamARN: aws.String(arn("r"))}, "InvalidArgumentException"},
			"no such name":         {kinesis.DescribeStreamConsumerInput{StreamARN: stream, ConsumerName: aws.String("d")}, "ResourceNotFoundException"},
			"no such stream":       {kinesis.DescribeStreamConsumerInput{StreamARN: aws.String(arn("r")), ConsumerName: aws.String("c")}, "ResourceNotFoundException"},
			"bad name":             {kinesis.DescribeStreamConsumerInput{StreamARN: stream, ConsumerName: aws.String("a/b")}, "ValidationException"},
			"ARN of a stream":      {kinesis.DescribeStreamConsumerInput{ConsumerARN: stream}, "ValidationException"},
			"ARN without time":     {kinesis.DescribeStreamConsumerInput{ConsumerARN: aws.String(arn("s") + "/consumer/c")}, "ValidationException"},
			"ARN of another time":  {kinesis.DescribeStreamConsumerInput{ConsumerARN: aws.String(arn("s") + "/consumer/c:1")}, "ResourceNotFoundException"},
			"ARN of other account": {kinesis.DescribeStreamConsumerInput{ConsumerARN: aws.String(strings.Replace(consumer, account, "999999999999", 1))}, "ResourceNotFoundException"},
			"time with a zero":     {kinesis.DescribeStreamConsumerInput{ConsumerARN: aws.String(strings.Replace(consumer, "/c:", "/c:0", 1))}, "ResourceNotFoundException"},
		} {
			if _, err := c.DescribeStreamConsumer(t.Context(), &tt.in); code(err) != tt.want {
				t.Errorf("%s: got %v, want %s", name, err, tt.want)
			}
		}
		_, err := registerAs(c, "r", "c")
		wantCode(t, err, "ResourceNotFoundException")
		_, err = registerAs(c, "s", "a b")
		wantCode(t, err, "ValidationException")
		must(c.SplitShard(t.Context(), &kinesis.SplitShardInput{StreamName: aws.String("s"), ShardToSplit: aws.String(shardID(0)), NewStartingHashKey: aws.String("2")}))
		_, err = registerAs(c, "s", "d") // while UPDATING
		wantCode(t, err, "ResourceInUseException")
	})
}

func TestConsumerLimits(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		srv.CreateStream("r", 1)
		for i := range 5 {
			must(registerAs(c, []string{"s", "r"}[i%2], fmt.Sprint("c", i)))
		}
		_, err := registerAs(c, "s", "sixth")
		wantCode(t, err, "LimitExceededException")
		time.Sleep(time.Second)
		for i := range 17 {
			must(registerAs(c, "s", fmt.Sprint("d", i)))
			time.Sleep(500 * time.Millisecond)
		}
		_, err = registerAs(c, "s", "21st")
		wantCode(t, err, "LimitExceededException")
		srv.SetConsumerLimit(50)
		must(registerAs(c, "s", "21st"))
	})
}

func TestListConsumers(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		srv.SetTransition(0)
		srv.SetConsumerLimit(200)
		stream := aws.String(arn("s"))
		list := func(in *kinesis.ListStreamConsumersInput) (names string, next *string) {
			t.Helper()
			in.StreamARN = stream
			out := must(c.ListStreamConsumers(t.Context(), in))
			for _, consumer := range out.Consumers {
				names += *consumer.ConsumerName
				if consumer.ConsumerStatus != types.ConsumerStatusActive || consumer.ConsumerARN == nil || consumer.ConsumerCreationTimestamp == nil {
					t.Errorf("listed %+v", consumer)
				}
			}
			return names, out.NextToken
		}
		if names, next := list(&kinesis.ListStreamConsumersInput{}); names != "" || next != nil {
			t.Errorf("listed %q", names)
		}
		for name := range strings.SplitSeq("dbeca", "") {
			must(registerAs(c, "s", name))
		}
		first, next := list(&kinesis.ListStreamConsumersInput{MaxResults: aws.Int32(2)})
		must(c.DeregisterStreamConsumer(t.Context(), &kinesis.DeregisterStreamConsumerInput{StreamARN: stream, ConsumerName: aws.String("b")}))
		srv.Fail("ListStreamConsumers", ShortPages(1, 1))
		second, then := list(&kinesis.ListStreamConsumersInput{NextToken: next, MaxResults: aws.Int32(2)})
		third, end := list(&kinesis.ListStreamConsumersInput{NextToken: then})
		if got := first + " " + second + " " + third; got != "ab c de" || end != nil {
			t.Errorf("listed %q", got)
		}
		for i := range 100 {
			must(registerAs(c, "s", fmt.Sprint("x", i)))
		}
		if names, next := list(&kinesis.ListStreamConsumersInput{MaxResults: aws.Int32(10_000)}); strings.Count(names, "x") != 96 || next == nil {
			t.Errorf("a page of %q", names)
		}
		ask := func(in *kinesis.ListStreamConsumersInput) error {
			_, err := c.ListStreamConsumers(t.Context(), in)
			return err
		}
		created := must(c.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("s")})).StreamDescriptionSummary.StreamCreationTimestamp
		shards := listToken{Stream: "s", Birth: 1, Issued: time.Now().UnixMilli()}.String()
		srv.CreateStream("r", 1)
		for name, tt := range map[string]struct {
			in   kinesis.ListStreamConsumersInput
			want string
		}{
			"right creation": {kinesis.ListStreamConsumersInput{StreamARN: stream, StreamCreationTimestamp: created}, ""},
			"wrong creation": {kinesis.ListStreamConsumersInput{StreamARN: stream, StreamCreationTimestamp: aws.Time(created.Add(time.Minute))}, "ResourceNotFoundException"},
			"both":           {kinesis.ListStreamConsumersInput{StreamARN: stream, StreamCreationTimestamp: created, NextToken: next}, "InvalidArgumentException"},
			"other stream":   {kinesis.ListStreamConsumersInput{StreamARN: aws.String(arn("r")), NextToken: next}, "InvalidArgumentException"},
			"no such stream": {kinesis.ListStreamConsumersInput{StreamARN: aws.String(arn("q"))}, "ResourceNotFoundException"},
			"garbage":        {kinesis.ListStreamConsumersInput{StreamARN: stream, NextToken: aws.String("AAAA")}, "InvalidArgumentException"},
			"token of shards": {
				kinesis.ListStreamConsumersInput{StreamARN: stream, NextToken: &shards}, "InvalidArgumentException",
			},
			"none at all": {kinesis.ListStreamConsumersInput{StreamARN: stream, MaxResults: aws.Int32(0)}, "ValidationException"},
		} {
			if err := ask(&tt.in); code(err) != tt.want {
				t.Errorf("%s: %v, want %q", name, err, tt.want)
			}
		}
		time.Sleep(6 * time.Minute)
		wantCode(t, ask(&kinesis.ListStreamConsumersInput{StreamARN: stream, NextToken: next}), "ExpiredNextTokenException")
		_, old := list(&kinesis.ListStreamConsumersInput{MaxResults: aws.Int32(1)})
		srv.DeleteStream("s")
		srv.CreateStream("s", 1)
		must(registerAs(c, "s", "a"))
		wantCode(t, ask(&kinesis.ListStreamConsumersInput{StreamARN: stream, NextToken: old}), "ResourceNotFoundException")
		if fresh, _ := list(&kinesis.ListStreamConsumersInput{}); fresh != "a" {
			t.Errorf("the new stream has %q", fresh)
		}
	})
}
