package snsdest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/shardlane/shardlane/batch"
)

var _ batch.Destination = (*Destination)(nil)

// A Client publishes messages, as a *sns.Client does.
type Client interface {
	Publish(ctx context.Context, in *sns.PublishInput, opts ...func(*sns.Options)) (*sns.PublishOutput, error)
}

// A Destination publishes documents to one topic. Its methods may be called from several goroutines at once.
type Destination struct {
	client   Client
	topicARN string
}

// New returns a Destination that publishes to the topic of topicARN. It makes no call and checks nothing; see
// [Destination.Validate].
func New(client Client, topicARN string) *Destination {
	return &Destination{client: client, topicARN: topicARN}
}

// Deliver publishes the document of f. It returns when the topic has it, or with the error of the client, which its
// retries did not help or ctx ended.
func (d *Destination) Deliver(ctx context.Context, f *batch.Failure) error {
	message := string(f.Document())
	if _, err := d.client.Publish(ctx, &sns.PublishInput{TopicArn: &d.topicARN, Message: &message}); err != nil {
		return fmt.Errorf("snsdest: %s: %w", d.topicARN, err)
	}
	return nil
}

// Validate returns everything that makes d unfit as a destination, without any call: no client, or a topic ARN that is
// empty, not the ARN of a topic, or that of a FIFO topic. It does not find out whether the topic exists.
func (d *Destination) Validate() error {
	var errs []error
	if c, ok := d.client.(*sns.Client); d.client == nil || ok && c == nil {
		errs = append(errs, errors.New("snsdest: no client"))
	}
	a, err := arn.Parse(d.topicARN)
	switch {
	case d.topicARN == "":
		errs = append(errs, errors.New("snsdest: no topic ARN"))
	case err != nil || a.Service != "sns" || a.Resource == "" || strings.Contains(a.Resource, ":"):
		errs = append(errs, fmt.Errorf("snsdest: topic ARN %q: not one of a topic, as in arn:aws:sns:eu-west-1:123456789012:failed", d.topicARN))
	case strings.HasSuffix(a.Resource, ".fifo"):
		errs = append(errs, fmt.Errorf("snsdest: topic ARN %q: a FIFO topic; a destination is a standard topic", d.topicARN))
	}
	return errors.Join(errs...)
}
