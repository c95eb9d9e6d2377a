package sqsdest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/shardlane/shardlane/batch"
)

var _ batch.Destination = (*Destination)(nil)

// A Client sends messages, as a *sqs.Client does.
type Client interface {
	SendMessage(ctx context.Context, in *sqs.SendMessageInput, opts ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
}

// A Destination sends documents to one queue. Its methods may be called from several goroutines at once.
type Destination struct {
	client   Client
	queueURL string
}

// New returns a Destination that sends to the queue of queueURL. It makes no call and checks nothing; see
// [Destination.Validate].
func New(client Client, queueURL string) *Destination {
	return &Destination{client: client, queueURL: queueURL}
}

// Deliver sends the document of f. It returns when the queue has it, or with the error of the client, which its
// retries did not help or ctx ended.
func (d *Destination) Deliver(ctx context.Context, f *batch.Failure) error {
	body := string(f.Document())
	if _, err := d.client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &d.queueURL, MessageBody: &body}); err != nil {
		return fmt.Errorf("sqsdest: %s: %w", d.queueURL, err)
	}
	return nil
}

// Validate returns everything that makes d unfit as a destination, without any call: no client, or a queue URL that is
// empty, no URL, or that of a FIFO queue. It does not find out whether the queue exists.
func (d *Destination) Validate() error {
	var errs []error
	if c, ok := d.client.(*sqs.Client); d.client == nil || ok && c == nil {
		errs = append(errs, errors.New("sqsdest: no client"))
	}
	u, err := url.Parse(d.queueURL)
	switch {
	case d.queueURL == "":
		errs = append(errs, errors.New("sqsdest: no queue URL"))
	case err != nil || u.Host == "":
		errs = append(errs, fmt.Errorf("sqsdest: queue URL %q: not a URL as in https://sqs.eu-west-1.amazonaws.com/123456789012/failed", d.queueURL))
	case strings.HasSuffix(u.Path, ".fifo"):
		errs = append(errs, fmt.Errorf("sqsdest: queue URL %q: a FIFO queue; a destination is a standard queue", d.queueURL))
	}
	return errors.Join(errs...)
}
