package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
	"github.com/shardlane/shardlane/metrics"
)

// A mapStore is a store whose zero value is nil, and no pointer.
type mapStore map[string]checkpoint.Store

func (m mapStore) List(ctx context.Context, p string) ([]checkpoint.Entry, error) {
	return m[""].List(ctx, p)
}

func (m mapStore) Get(ctx context.Context, key string) (checkpoint.Entry, error) {
	return m[""].Get(ctx, key)
}

func (m mapStore) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	return m[""].Swap(ctx, e)
}

func (m mapStore) Delete(ctx context.Context, e checkpoint.Entry) error { return m[""].Delete(ctx, e) }

// What is nil, as such or as a pointer in an interface, is an error of New and not a panic of Run.
func TestNothingIsNil(t *testing.T) {
	srv := kinesistest.NewServer("orders", 1)
	defer srv.Close()
	type opts = []consumer.Option
	for name, c := range map[string]struct {
		client consumer.Client
		opts   opts
		want   string
	}{
		"client":               {nil, nil, "client is nil"},
		"typed client":         {(*kinesis.Client)(nil), nil, "client is nil"},
		"store":                {srv.Client(), opts{consumer.WithCheckpointer(nil)}, "WithCheckpointer(nil)"},
		"typed store":          {srv.Client(), opts{consumer.WithCheckpointer((*checkpoint.Memory)(nil))}, "WithCheckpointer(nil)"},
		"file that failed":     {srv.Client(), opts{consumer.WithGroup("g"), consumer.WithCheckpointer((*checkpoint.File)(nil))}, "WithCheckpointer(nil)"},
		"map store":            {srv.Client(), opts{consumer.WithGroup("g"), consumer.WithCheckpointer(mapStore(nil))}, "WithCheckpointer(nil)"},
		"logger":               {srv.Client(), opts{consumer.WithLogger(nil)}, "WithLogger(nil)"},
		"recorder":             {srv.Client(), opts{consumer.WithMetrics(nil)}, "WithMetrics(nil)"},
		"typed recorder":       {srv.Client(), opts{consumer.WithMetrics((*metrics.Snapshot)(nil))}, "WithMetrics(nil)"},
		"destination":          {srv.Client(), opts{consumer.WithOnFailure(nil)}, "WithOnFailure(nil)"},
		"destination function": {srv.Client(), opts{consumer.WithOnFailure(batch.DestinationFunc(nil))}, "WithOnFailure(nil)"},
		"sharder":              {srv.Client(), opts{consumer.WithSharder(nil)}, "WithSharder(nil)"},
		"mapping":              {srv.Client(), opts{consumer.WithEventSourceMapping(nil)}, "WithEventSourceMapping"},
		"typed mapping":        {srv.Client(), opts{consumer.WithEventSourceMapping((*bytes.Reader)(nil))}, "WithEventSourceMapping"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := consumer.New(c.client, "orders", nothing, c.opts...)
			if !errors.Is(err, consumer.ErrConfig) || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("New returned %v, want ErrConfig with %s", err, c.want)
			}
			if err := consumer.Run(t.Context(), c.client, "orders", nothing, c.opts...); !errors.Is(err, consumer.ErrConfig) {
				t.Errorf("Run returned %v, want ErrConfig", err)
			}
		})
	}
	var whole func(context.Context, events.KinesisEvent) error
	var each func(context.Context, events.KinesisEventRecord) error
	var json func(context.Context, []byte) ([]byte, error)
	for name, newOf := range map[string]func() (*consumer.Consumer, error){
		"whole": func() (*consumer.Consumer, error) { return consumer.New(srv.Client(), "orders", whole) },
		"each":  func() (*consumer.Consumer, error) { return consumer.New(srv.Client(), "orders", batch.Each(each)) },
		"wrap":  func() (*consumer.Consumer, error) { return consumer.New(srv.Client(), "orders", batch.Wrap(whole)) },
		"json":  func() (*consumer.Consumer, error) { return consumer.New(srv.Client(), "orders", json) },
	} {
		if _, err := newOf(); !errors.Is(err, consumer.ErrConfig) || !strings.Contains(fmt.Sprint(err), "handler is nil") {
			t.Errorf("a nil handler, %s: %v, want ErrConfig", name, err)
		}
	}
	quiet := consumer.WithLogger(slog.New(slog.DiscardHandler))
	good, err := consumer.New(srv.Client(), "orders", nothing, quiet, nil, consumer.WithNotify(nil), consumer.Options(nil, quiet))
	if err != nil {
		t.Fatalf("nil options: %v, want none to matter", err)
	}
	for name, cs := range map[string][]*consumer.Consumer{"none": nil, "nil": {nil}, "one of two": {good, nil}, "zero": {new(consumer.Consumer)}} {
		if err := consumer.RunAll(t.Context(), cs...); !errors.Is(err, consumer.ErrConfig) {
			t.Errorf("RunAll of %s: %v, want ErrConfig", name, err)
		}
	}
	var none *consumer.Consumer
	if err := none.Run(t.Context()); !errors.Is(err, consumer.ErrConfig) {
		t.Errorf("Run of a nil Consumer: %v, want ErrConfig", err)
	}
	if st := none.Status(); st.Err() != nil || len(st.Shards) > 0 {
		t.Errorf("Status of a nil Consumer: %+v", st)
	}
}
