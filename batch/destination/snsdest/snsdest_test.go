package snsdest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/destination/internal/desttest"
	"github.com/shardlane/shardlane/batch/destination/snsdest"
)

const topicARN = "arn:aws:sns:eu-west-1:123456789012:failed"

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Code>%s</Code><Message>no</Message></Error></ErrorResponse>`, code)
}

func TestFaults(t *testing.T) {
	desttest.Faults(t, desttest.Case{
		New: func(cfg aws.Config) batch.Destination { return snsdest.New(sns.NewFromConfig(cfg), topicARN) },
		Handler: func() http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.FormValue("Action") != "Publish" || r.FormValue("TopicArn") != topicARN || r.Form.Has("Subject") {
					refuse(w, http.StatusNotFound, "NotFound")
					return
				}
				fmt.Fprint(w, `<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>`)
			})
		},
		Document: func(body string) string {
			form, err := url.ParseQuery(body)
			if err != nil {
				return err.Error()
			}
			return form.Get("Message")
		},
		Want:   (*batch.Failure).Document,
		Refuse: refuse, Throttle: http.StatusBadRequest, Code: "Throttling",
	})
}

// TestMoto publishes documents to a topic of a moto server and reads them from a queue that subscribed to it: once when the
// way there fails first, and twice when the reply is lost on the way back.
func TestMoto(t *testing.T) {
	at := desttest.Moto(t)
	t.Attr("rule", "L43")
	t.Attr("rule", "L44")
	t.Attr("rule", "C12")
	t.Attr("rule", "C23")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, q := sns.NewFromConfig(desttest.Config(at, desttest.Plain{})), sqs.NewFromConfig(desttest.Config(at, desttest.Plain{}))
	for name, tt := range map[string]struct {
		raw                     string
		refused, lost, messages int
	}{
		"enveloped": {"false", 0, 0, 1}, "raw": {"true", 0, 0, 1}, "refused-twice": {"true", 2, 0, 1}, "reply-lost": {"true", 0, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			id := aws.String(fmt.Sprint(name, time.Now().UnixNano()))
			topic, err := c.CreateTopic(ctx, &sns.CreateTopicInput{Name: id})
			if err != nil {
				t.Fatal(err)
			}
			queue, err := q.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: id})
			if err != nil {
				t.Fatal(err)
			}
			if _, err = c.Subscribe(ctx, &sns.SubscribeInput{
				TopicArn: topic.TopicArn, Protocol: aws.String("sqs"), Endpoint: aws.String("arn:aws:sqs:eu-west-1:123456789012:" + *id),
				Attributes: map[string]string{"RawMessageDelivery": tt.raw},
			}); err != nil {
				t.Fatal(err)
			}
			cfg := desttest.Config(at, desttest.Flaky(tt.refused, tt.lost))
			f := desttest.Failure()
			if err := snsdest.New(sns.NewFromConfig(cfg), *topic.TopicArn).Deliver(ctx, f); err != nil {
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
				body := *got.Messages[0].Body
				if tt.raw == "false" {
					var envelope struct{ Message, TopicArn string }
					if err := json.Unmarshal([]byte(body), &envelope); err != nil || envelope.TopicArn != *topic.TopicArn {
						t.Errorf("error %v: %s", err, body)
					}
					body = envelope.Message
				}
				if body != string(f.Document()) {
					t.Errorf("the message is\n%s\nwant\n%s", body, f.Document())
				}
			}
		})
	}
	t.Run("no such topic", func(t *testing.T) {
		err := snsdest.New(c, topicARN).Deliver(ctx, desttest.Failure())
		if err == nil || !strings.HasPrefix(err.Error(), "snsdest: "+topicARN+": ") {
			t.Errorf("error %v", err)
		}
	})
}

type client struct{ err error }

func (c client) Publish(context.Context, *sns.PublishInput, ...func(*sns.Options)) (*sns.PublishOutput, error) {
	return nil, c.err
}

func TestError(t *testing.T) {
	bad := errors.New("bad")
	if err := snsdest.New(client{bad}, topicARN).Deliver(t.Context(), desttest.Failure()); !errors.Is(err, bad) || err.Error() != "snsdest: "+topicARN+": bad" {
		t.Errorf("error %v", err)
	}
}

func TestValidate(t *testing.T) {
	t.Attr("rule", "L11")
	ok := client{}
	for _, arn := range []string{topicARN, "arn:aws-cn:sns:cn-north-1:123456789012:failed", "arn:aws:sns:eu-west-1:123456789012:fifo"} {
		desttest.Validate(t, snsdest.New(ok, arn))
	}
	desttest.Validate(t, snsdest.New(nil, ""), "snsdest: no client", "snsdest: no topic ARN")
	desttest.Validate(t, snsdest.New((*sns.Client)(nil), topicARN), "snsdest: no client")
	desttest.Validate(t, snsdest.New(ok, topicARN+".fifo"), `snsdest: topic ARN "`+topicARN+`.fifo": a FIFO topic; a destination is a standard topic`)
	for _, arn := range []string{"failed", "arn:aws:sqs:eu-west-1:123456789012:failed", "arn:aws:sns:eu-west-1:123456789012:", topicARN + ":8d3a2f6e"} {
		desttest.Validate(t, snsdest.New(ok, arn), fmt.Sprintf("snsdest: topic ARN %q: not one of a topic, as in %s", arn, topicARN))
	}
}
