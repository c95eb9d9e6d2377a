package sqsdest_test

import (
	"context"
	"crypto/md5"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/destination/internal/desttest"
	"github.com/shardlane/shardlane/batch/destination/sqsdest"
)

const queueURL = "https://sqs.eu-west-1.amazonaws.com/123456789012/failed"

// sent is the call SendMessage in JSON.
type sent struct{ QueueUrl, MessageBody string }

func decode(body string) (s sent) {
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		s.MessageBody = fmt.Sprintf("%v: %s", err, body)
	}
	return s
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"__type":"com.amazonaws.sqs#%s","message":"no"}`, code)
}

func TestFaults(t *testing.T) {
	desttest.Faults(t, desttest.Case{
		New: func(cfg aws.Config) batch.Destination { return sqsdest.New(sqs.NewFromConfig(cfg), queueURL) },
		Handler: func() http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var s sent
				if err := json.NewDecoder(r.Body).Decode(&s); err != nil || s.QueueUrl != queueURL || !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".SendMessage") {
					refuse(w, http.StatusBadRequest, "InvalidAddress")
					return
				}
				fmt.Fprintf(w, `{"MessageId":"1","MD5OfMessageBody":"%x"}`, md5.Sum([]byte(s.MessageBody)))
			})
		},
		Document: func(body string) string { return decode(body).MessageBody },
		Want:     (*batch.Failure).Document,
		Refuse:   refuse, Throttle: http.StatusBadRequest, Code: "ThrottlingException",
	})
}

// TestMoto sends documents to a queue of a moto server and reads them from it: once when the way there fails first, and
// twice when the reply is lost on the way back.
func TestMoto(t *testing.T) {
	url := desttest.Moto(t)
	t.Attr("rule", "L43")
	t.Attr("rule", "L44")
	t.Attr("rule", "C12")
	t.Attr("rule", "C23")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	q := sqs.NewFromConfig(desttest.Config(url, desttest.Plain{}))
	for name, tt := range map[string]struct{ refused, lost, messages int }{
		"at-once": {0, 0, 1}, "refused-twice": {2, 0, 1}, "reply-lost": {0, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			queue, err := q.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(fmt.Sprint(name, time.Now().UnixNano()))})
			if err != nil {
				t.Fatal(err)
			}
			cfg := desttest.Config(url, desttest.Flaky(tt.refused, tt.lost))
			f := desttest.Failure()
			if err := sqsdest.New(sqs.NewFromConfig(cfg), *queue.QueueUrl).Deliver(ctx, f); err != nil {
				t.Fatal(err)
			}
			for n := 0; ; n++ {
				got, err := q.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl})
				if err != nil {
					t.Fatal(err)
				}
				if len(got.Messages) == 0 {
					if n != tt.messages {
						t.Errorf("%d messages, want %d", n, tt.messages)
					}
					return
				}
				if body := *got.Messages[0].Body; body != string(f.Document()) {
					t.Errorf("the message is\n%s\nwant\n%s", body, f.Document())
				}
			}
		})
	}
	t.Run("no such queue", func(t *testing.T) {
		at := url + "/123456789012/none"
		err := sqsdest.New(q, at).Deliver(ctx, desttest.Failure())
		if err == nil || !strings.HasPrefix(err.Error(), "sqsdest: "+at+": ") {
			t.Errorf("error %v", err)
		}
	})
}

type client struct{ err error }

func (c client) SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	return nil, c.err
}

func TestError(t *testing.T) {
	bad := errors.New("bad")
	if err := sqsdest.New(client{bad}, queueURL).Deliver(t.Context(), desttest.Failure()); !errors.Is(err, bad) || err.Error() != "sqsdest: "+queueURL+": bad" {
		t.Errorf("error %v", err)
	}
}

func TestValidate(t *testing.T) {
	t.Attr("rule", "L11")
	ok := client{}
	for _, url := range []string{queueURL, "http://127.0.0.1:9324/000000000000/failed", "https://sqs.eu-west-1.amazonaws.com/123456789012/fifo"} {
		desttest.Validate(t, sqsdest.New(ok, url))
	}
	desttest.Validate(t, sqsdest.New(nil, ""), "sqsdest: no client", "sqsdest: no queue URL")
	desttest.Validate(t, sqsdest.New((*sqs.Client)(nil), queueURL), "sqsdest: no client")
	desttest.Validate(t, sqsdest.New(ok, queueURL+".fifo"), `sqsdest: queue URL "`+queueURL+`.fifo": a FIFO queue; a destination is a standard queue`)
	for _, url := range []string{"failed", "arn:aws:sqs:eu-west-1:123456789012:failed", "https:// /failed", "failed.fifo"} {
		desttest.Validate(t, sqsdest.New(ok, url), fmt.Sprintf("sqsdest: queue URL %q: not a URL as in %s", url, queueURL))
	}
	if err := batch.All(sqsdest.New(ok, queueURL), sqsdest.New(ok, queueURL+".fifo")).(interface{ Validate() error }).Validate(); err == nil {
		t.Error("All has nothing against a FIFO queue")
	}
}
