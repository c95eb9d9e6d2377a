package s3dest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/shardlane/shardlane/batch"
)

var _ batch.Destination = (*Destination)(nil)

// A Client puts objects, as a *s3.Client does.
type Client interface {
	PutObject(ctx context.Context, in *s3.PutObjectInput, opts ...func(*s3.Options)) (*s3.PutObjectOutput, error)
}

// A Destination puts documents into one bucket. Its methods may be called from several goroutines at once.
type Destination struct {
	client Client
	bucket string
}

// New returns a Destination that puts objects into the bucket of that name. It makes no call and checks nothing; see
// [Destination.Validate].
func New(client Client, bucket string) *Destination {
	return &Destination{client: client, bucket: bucket}
}

// Deliver puts the document of f, with its records, under the key of f. It returns when the bucket has it, or
// with the error of the client, which its retries did not help or ctx ended.
func (d *Destination) Deliver(ctx context.Context, f *batch.Failure) error {
	key := f.ObjectKey()
	_, err := d.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &d.bucket, Key: &key, Body: bytes.NewReader(f.PayloadDocument()), ContentType: aws.String("application/octet-stream"),
	})
	if err != nil {
		return fmt.Errorf("s3dest: %s/%s: %w", d.bucket, key, err)
	}
	return nil
}

// Validate returns everything that makes d unfit as a destination, without any call: no client, or a bucket that is empty
// or no name, such as Lambda's arn:aws:s3:::failed. It does not find out whether the bucket exists.
func (d *Destination) Validate() error {
	var errs []error
	if c, ok := d.client.(*s3.Client); d.client == nil || ok && c == nil {
		errs = append(errs, errors.New("s3dest: no client"))
	}
	switch {
	case d.bucket == "":
		errs = append(errs, errors.New("s3dest: no bucket"))
	case strings.HasPrefix(d.bucket, "arn:aws") && strings.Contains(d.bucket, ":s3:::"):
		errs = append(errs, fmt.Errorf("s3dest: bucket %q: an ARN; its last part is the name", d.bucket))
	case strings.Contains(d.bucket, "://"):
		errs = append(errs, fmt.Errorf("s3dest: bucket %q: a URL and not a name", d.bucket))
	}
	return errors.Join(errs...)
}
