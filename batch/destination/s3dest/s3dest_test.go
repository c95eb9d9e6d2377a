package s3dest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/destination/internal/desttest"
	"github.com/shardlane/shardlane/batch/destination/s3dest"
)

const bucket = "failed"

// connect returns a client that names buckets in paths, as servers without a domain want it.
func connect(cfg aws.Config) *s3.Client {
	return s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `<Error><Code>%s</Code><Message>no</Message></Error>`, code)
}

func TestFaults(t *testing.T) {
	desttest.Faults(t, desttest.Case{
		New: func(cfg aws.Config) batch.Destination { return s3dest.New(connect(cfg), bucket) },
		Handler: func() http.Handler {
			b := s3mem.New()
			if err := b.CreateBucket(bucket); err != nil {
				t.Fatal(err)
			}
			return gofakes3.New(b).Server()
		},
		Document: func(body string) string { return body },
		Want:     (*batch.Failure).PayloadDocument,
		Refuse:   refuse, Throttle: http.StatusServiceUnavailable, Code: "SlowDown",
	})
}

// TestServers puts objects into gofakes3 and, where there is one, a moto server, lists the bucket and reads them: each is
// there once, also when the way there fails first or the reply is lost on the way back.
func TestServers(t *testing.T) {
	t.Run("gofakes3", func(t *testing.T) {
		srv := httptest.NewServer(gofakes3.New(s3mem.New()).Server())
		defer srv.Close()
		objects(t, srv.URL)
	})
	t.Run("moto", func(t *testing.T) { objects(t, desttest.Moto(t)) })
}

func objects(t *testing.T, url string) {
	t.Attr("rule", "L43")
	t.Attr("rule", "L45")
	t.Attr("rule", "L46")
	t.Attr("rule", "C12")
	t.Attr("rule", "C23")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := connect(desttest.Config(url, desttest.Plain{}))
	large := desttest.Failure()
	for len(large.Event()) < 6<<20 { // the payload limit
		large.Records = append(large.Records, large.Records...)
	}
	final := desttest.Failure()
	final.Records, final.Window = nil, &batch.Window{Start: final.Time, End: final.Time.Add(time.Minute), Final: true}
	for name, tt := range map[string]struct {
		f             *batch.Failure
		refused, lost int
	}{
		"at-once": {desttest.Failure(), 0, 0}, "refused-twice": {desttest.Failure(), 2, 0}, "reply-lost": {desttest.Failure(), 0, 1},
		"large": {large, 1, 0}, "final": {final, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			in := aws.String(fmt.Sprint(name, "-", time.Now().UnixNano()))
			if _, err := c.CreateBucket(ctx, &s3.CreateBucketInput{
				Bucket: in, CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraintEuWest1},
			}); err != nil {
				t.Fatal(err)
			}
			cfg := desttest.Config(url, desttest.Flaky(tt.refused, tt.lost))
			if err := s3dest.New(connect(cfg), *in).Deliver(ctx, tt.f); err != nil {
				t.Fatal(err)
			}
			list, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: in})
			if err != nil {
				t.Fatal(err)
			}
			const key = "aws/lambda/5f0c2f6e-3f1b-4f43-9d53-6a4d3a1f7e10/shardId-000000000007/2026/03/05/2026-03-05T14.07.21-b2c6a1de-8e0f-4f0c-a3a7-1d2f7d3b9a55"
			if len(list.Contents) != 1 || *list.Contents[0].Key != key {
				t.Fatalf("objects %+v, want %s", list.Contents, key)
			}
			got, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: in, Key: aws.String(key)})
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(got.Body)
			if err != nil || !bytes.Equal(body, tt.f.PayloadDocument()) {
				t.Errorf("error %v, %d bytes, want %d", err, len(body), len(tt.f.PayloadDocument()))
			}
			if is := *got.ContentType; is != "application/octet-stream" {
				t.Errorf("content type %q", is)
			}
			var doc struct{ Payload string }
			if err := json.Unmarshal(body, &doc); err != nil || doc.Payload != string(tt.f.Event()) {
				t.Errorf("error %v, payload of %d bytes, want %d", err, len(doc.Payload), len(tt.f.Event()))
			}
		})
	}
	t.Run("no such bucket", func(t *testing.T) {
		var of interface{ ErrorCode() string }
		err := s3dest.New(c, "none").Deliver(ctx, desttest.Failure())
		if !errors.As(err, &of) || of.ErrorCode() != "NoSuchBucket" || !strings.HasPrefix(err.Error(), "s3dest: none/aws/lambda/") {
			t.Errorf("error %v", err)
		}
	})
}

type client struct{ err error }

func (c client) PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	return nil, c.err
}

func TestError(t *testing.T) {
	bad, f := errors.New("bad"), desttest.Failure()
	if err := s3dest.New(client{bad}, bucket).Deliver(t.Context(), f); !errors.Is(err, bad) || err.Error() != "s3dest: failed/"+f.ObjectKey()+": bad" {
		t.Errorf("error %v", err)
	}
}

func TestValidate(t *testing.T) {
	t.Attr("rule", "L11")
	ok := client{}
	for _, name := range []string{bucket, "failed.records-1", "arn:aws:s3:eu-west-1:123456789012:accesspoint/failed"} {
		desttest.Validate(t, s3dest.New(ok, name))
	}
	desttest.Validate(t, s3dest.New(nil, ""), "s3dest: no client", "s3dest: no bucket")
	desttest.Validate(t, s3dest.New((*s3.Client)(nil), bucket), "s3dest: no client")
	desttest.Validate(t, s3dest.New(ok, "arn:aws:s3:::failed"), `s3dest: bucket "arn:aws:s3:::failed": an ARN; its last part is the name`)
	desttest.Validate(t, s3dest.New(ok, "s3://failed"), `s3dest: bucket "s3://failed": a URL and not a name`)
}
