package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
	"github.com/shardlane/shardlane/metrics"
)

// ways are how code of the user fails that does not return.
func ways() map[string]func() {
	return map[string]func(){"panic": func() { panic("no") }, "Goexit": runtime.Goexit}
}

// A failing observer is a logger, a recorder and a notice function that never return.
type failingObserver struct{ fail func() }

func (o failingObserver) Enabled(context.Context, slog.Level) bool        { return true }
func (o failingObserver) WithAttrs([]slog.Attr) slog.Handler              { return o }
func (o failingObserver) WithGroup(string) slog.Handler                   { return o }
func (o failingObserver) Handle(context.Context, slog.Record) error       { o.fail(); return nil }
func (o failingObserver) Record(*metrics.Metric, metrics.Labels, float64) { o.fail() }
func (o failingObserver) notify(consumer.Notice)                          { o.fail() }
func (o failingObserver) options() (log, record, notify consumer.Option) {
	return consumer.WithLogger(slog.New(o)), consumer.WithMetrics(o), consumer.WithNotify(o.notify)
}

// Observers that never return hold up neither records nor shards: through failures, a split, a checkpoint and a stop.
func TestObserversThatNeverReturn(t *testing.T) {
	for name, fail := range ways() {
		log, record, notify := failingObserver{fail}.options()
		for who, opt := range map[string]consumer.Option{"logger": log, "recorder": record, "notify": notify, "all": consumer.Options(log, record, notify)} {
			t.Run(name+" of "+who, func(t *testing.T) {
				inField(t, 2, func(f *field) {
					var failed atomic.Bool
					f.work = func(context.Context, fieldBatch) error {
						if failed.CompareAndSwap(false, true) {
							return errors.New("once")
						}
						return nil
					}
					life := f.start(opt)
					f.put(shardID(0), "a", 10)
					f.put(shardID(1), "b", 10)
					time.Sleep(15 * time.Second)
					f.srv.Split("orders", shardID(0))
					time.Sleep(time.Second)
					f.srv.Put("orders", "a", []byte("a"))
					time.Sleep(15 * time.Second)
					life.stop()
					f.once()
				})
			})
		}
	}
}

// A sharder that never returns holds up its shard, which says so, and loses nothing: not at once, not at the end of the
// shard, and not if the process ends meanwhile.
func TestSharderThatNeverReturns(t *testing.T) {
	for name, fail := range ways() {
		t.Run(name, func(t *testing.T) {
			inField(t, 2, func(f *field) {
				var broken atomic.Bool
				broken.Store(true)
				sharder := func(key string) uint64 {
					if key == "bad" && broken.Load() {
						fail()
					}
					return uint64(len(key))
				}
				opts := consumer.Options(consumer.WithSharder(sharder), consumer.WithParallelizationFactor(4))
				life := f.start(opts)
				f.put(shardID(0), "good", 5)
				f.put(shardID(0), "bad", 5)
				f.put(shardID(1), "fine", 10)
				time.Sleep(5 * time.Second)
				f.put(shardID(0), "good", 5) // not before those that wait
				time.Sleep(5 * time.Second)
				f.srv.Split("orders", shardID(0))
				f.srv.Put("orders", "good", nil)
				time.Sleep(time.Minute)
				sh := life.c.Status().Shards[0]
				if err := life.c.Status().Err(); err == nil || !strings.Contains(fmt.Sprint(sh.Err), "WithSharder") || !strings.Contains(err.Error(), "WithSharder") {
					t.Errorf("the shard's error is %v, and the health check says %v", sh.Err, err)
				}
				if times, _ := f.handled(); len(times) < 10 {
					t.Errorf("%d records were handled, want those of the other shard", len(times))
				}
				life.stop()
				life = f.start(opts)
				time.Sleep(time.Minute)
				broken.Store(false)
				time.Sleep(3 * time.Minute)
				if err := life.c.Status().Err(); err != nil {
					t.Errorf("once it returns: %v", err)
				}
				f.complete()
				life.stop()
			})
		})
	}
}

// A wildStore and a wildClient never return from some of their calls.
type wildStore struct {
	checkpoint.Store
	fail func()
	n    atomic.Int64
}

func (s *wildStore) wild() {
	if n := uint32(s.n.Add(1)); n*2654435761>>16%4 == 0 {
		s.fail()
	}
}

func (s *wildStore) List(ctx context.Context, p string) ([]checkpoint.Entry, error) {
	s.wild()
	return s.Store.List(ctx, p)
}

func (s *wildStore) Get(ctx context.Context, key string) (checkpoint.Entry, error) {
	s.wild()
	return s.Store.Get(ctx, key)
}

func (s *wildStore) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	s.wild()
	return s.Store.Swap(ctx, e)
}

type wildClient struct {
	consumer.Client
	wild *wildStore
}

func (c wildClient) DescribeStreamSummary(ctx context.Context, in *kinesis.DescribeStreamSummaryInput, o ...func(*kinesis.Options)) (*kinesis.DescribeStreamSummaryOutput, error) {
	c.wild.wild()
	return c.Client.DescribeStreamSummary(ctx, in, o...)
}

func (c wildClient) GetRecords(ctx context.Context, in *kinesis.GetRecordsInput, o ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error) {
	c.wild.wild()
	return c.Client.GetRecords(ctx, in, o...)
}

// A store and a client that do not return from every fourth call or so are waited out like any other error.
func TestStoreAndClientThatNeverReturn(t *testing.T) {
	for name, fail := range ways() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := kinesistest.NewServer("orders", 2)
				defer srv.Close()
				store := &wildStore{Store: new(checkpoint.Memory), fail: fail}
				var j journal
				var told atomic.Int64
				c, err := consumer.New(wildClient{srv.Client(), store}, "orders", j.handle, silent(), consumer.WithGroup("g"), consumer.WithCheckpointer(store),
					consumer.WithNotify(func(n consumer.Notice) {
						if n.Err != nil && (strings.Contains(n.Err.Error(), "user_code_test.go") || strings.Contains(n.Err.Error(), "runtime.Goexit")) {
							told.Add(1)
						}
					}))
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
				defer cancel()
				want := make([]string, 20)
				for i := range want {
					want[i] = fmt.Sprint(100 + i)
					srv.Put("orders", want[i], []byte(want[i]))
				}
				if err := c.Run(ctx); err != nil {
					t.Error(err)
				}
				slices.Sort(j.entries)
				if !slices.Equal(j.entries, want) || told.Load() == 0 {
					t.Errorf("handled %v, told %d times", j.entries, told.Load())
				}
			})
		})
	}
}
