package kinesistest

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// TestClockCheck signs calls by a clock that is off. Each has a client of its own, since newer ones learn from an answer.
func TestClockCheck(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, _ *kinesis.Client) {
		srv.SetLatency(0)
		check := func(offset time.Duration, want string) {
			t.Helper()
			srv.SetClock(offset)
			err := put(srv.Client())
			wantCode(t, err, want)
			var answer *smithyhttp.ResponseError
			if want == "" || !errors.As(err, &answer) {
				return
			}
			date := must(http.ParseTime(answer.Response.Header.Get("Date")))
			if off := date.Sub(time.Now().Add(offset)); answer.HTTPStatusCode() != http.StatusBadRequest || off.Abs() > time.Second {
				t.Errorf("refused with status %d and a Date that is %v off", answer.HTTPStatusCode(), off)
			}
		}
		check(time.Hour, "")
		srv.SetClockCheck(true)
		check(0, "")
		check(5*time.Minute, "")
		check(-5*time.Minute, "")
		check(5*time.Minute+time.Second, "InvalidSignatureException")
		check(-5*time.Minute-time.Second, "InvalidSignatureException")
		if n := len(srv.Records("s")); n != 4 {
			t.Errorf("%d records are stored, want the 4 that were accepted", n)
		}
		if calls := srv.Calls(); len(calls) != 6 || calls[5].Code != "InvalidSignatureException" {
			t.Errorf("calls %+v", calls)
		}
		if _, code := post(t, srv, "ListStreams", `{}`); code != "" {
			t.Errorf("a call that is not signed: %s", code)
		}
		if _, code := post(t, srv, "ListStreams", `{}`, "X-Amz-Date", "today"); code != "IncompleteSignatureException" {
			t.Errorf("a call signed today: %s", code)
		}
		srv.Fail("PutRecord", Throttle(1))
		wantCode(t, put(srv.Client()), "ProvisionedThroughputExceededException")
		wantCode(t, put(srv.Client()), "InvalidSignatureException")
		srv.SetClockCheck(false)
		wantCode(t, put(srv.Client()), "")
	})
}

// TestClockBack sets the clock back after a split: the children are listed nevertheless.
func TestClockBack(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		time.Sleep(time.Hour)
		srv.Split("s", "shardId-000000000000")
		srv.SetClock(-10 * time.Minute)
		if out := must(c.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: aws.String("s")})); len(out.Shards) != 3 {
			t.Errorf("%d shards are listed, want 3", len(out.Shards))
		}
	})
}
