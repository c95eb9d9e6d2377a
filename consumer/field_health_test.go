package consumer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// TestField_F71: caught up; then reads fail for an hour while records come. Behind grows from the first failure on, and
// health tells.
func TestField_F71(t *testing.T) {
	t.Parallel()
	inContract(t, 1, func(f *field) {
		life := f.start()
		f.put(shard0, "a", 1)
		time.Sleep(time.Minute)
		outage := f.srv.Control("GetRecords", func(*kinesistest.Request) *kinesistest.Fault {
			return kinesistest.Error("InternalFailure", 1)
		})
		time.Sleep(time.Second)
		f.put(shard0, "b", 5)
		time.Sleep(time.Hour)
		if s := life.c.Status(); s.Behind() < 50*time.Minute {
			t.Errorf("after an hour of failing reads, with 5 records waiting, Behind is %v, HeadAge %v, ReadAge %v",
				s.Behind(), s.Shards[0].HeadAge, s.Shards[0].ReadAge)
		}
		if s := life.c.Status(); s.Err() == nil {
			t.Error("an hour of failing reads is no trouble")
		}
		outage.Stop()
		time.Sleep(time.Minute)
		if s := life.c.Status(); s.Behind() != 0 || s.Err() != nil {
			t.Errorf("after the outage Behind is %v, health %v", s.Behind(), s.Err())
		}
		life.stop()
	})
}

// Before the first page, too, Behind grows while reads fail, and the consumer is not ready.
func TestBehindBeforeTheFirstPage(t *testing.T) {
	t.Parallel()
	inContract(t, 1, func(f *field) {
		outage := f.srv.Control("GetShardIterator", func(*kinesistest.Request) *kinesistest.Fault {
			return kinesistest.Error("InternalFailure", 1)
		})
		life := f.start()
		time.Sleep(time.Minute)
		if s := life.c.Status(); s.Behind() < 55*time.Second || s.Ready() == nil {
			t.Errorf("a minute without a page: Behind %v, ready: %v", s.Behind(), s.Ready())
		}
		outage.Stop()
		time.Sleep(30 * time.Second)
		if s := life.c.Status(); s.Behind() != 0 || s.Ready() != nil || s.Err() != nil {
			t.Errorf("with pages: Behind %v, ready %v, health %v", s.Behind(), s.Ready(), s.Err())
		}
		life.stop()
		if s := life.c.Status(); s.Ready() == nil {
			t.Error("a consumer that has stopped is ready")
		}
	})
}

// A handler that does not return is told of 2 s after its timeout, and a quarter of an hour after it began where it has none.
func TestHealthTellsOfHandlersThatHang(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ timeout, quiet, told time.Duration }{
		"timeout": {time.Minute, 58 * time.Second, 8 * time.Second},
		"none":    {-1, 15 * time.Minute, 8 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inContract(t, 1, func(f *field) {
				f.slowReads(time.Second)
				free := make(chan struct{})
				f.work = func(context.Context, fieldBatch) error { <-free; return nil }
				f.put(shard0, "a", 1)
				life := f.start(consumer.WithHandlerTimeout(tt.timeout))
				time.Sleep(tt.quiet)
				if err := life.c.Status().Err(); err != nil {
					t.Errorf("too early: %v", err)
				}
				time.Sleep(tt.told + time.Second)
				if err := life.c.Status().Err(); err == nil || !strings.Contains(err.Error(), "has been running for") {
					t.Errorf("health %v", err)
				}
				close(free)
				time.Sleep(10 * time.Second)
				life.stop()
			})
		})
	}
}

// A call that never returns, whatever its context says, is told of: the shard is not read.
func TestHealthTellsOfReadsThatHang(t *testing.T) {
	t.Parallel()
	inContract(t, 2, func(f *field) {
		f.slowReads(time.Second)
		f.srv.Control("GetRecords", func(r *kinesistest.Request) *kinesistest.Fault {
			if r.Shard == shard0 {
				return kinesistest.Hang(1)
			}
			return nil
		})
		life := f.start()
		time.Sleep(time.Minute)
		s := life.c.Status()
		var e *consumer.Error
		if !errors.As(s.Err(), &e) || e.Shard != shard0 || s.Behind() < 50*time.Second {
			t.Errorf("health %v, Behind %v", s.Err(), s.Behind())
		}
		life.stop()
	})
}

// Behind grows from the first failure on, not some time later, and a consumer that drains is not ready.
func TestBehindAtTheFirstFailure(t *testing.T) {
	t.Parallel()
	inContract(t, 1, func(f *field) {
		life := f.start()
		time.Sleep(time.Minute)
		outage := f.srv.Control("GetRecords", func(*kinesistest.Request) *kinesistest.Fault {
			return kinesistest.Error("InternalFailure", 1)
		})
		time.Sleep(5 * time.Second)
		if s := life.c.Status(); s.Behind() < 4*time.Second || s.Behind() > 6*time.Second {
			t.Errorf("after 5 s Behind is %v", s.Behind())
		}
		outage.Stop()
		time.Sleep(30 * time.Second)
		f.work = func(context.Context, fieldBatch) error { time.Sleep(10 * time.Second); return nil }
		f.put(shard0, "a", 1)
		time.Sleep(2 * time.Second)
		if err := life.c.Status().Ready(); err != nil {
			t.Errorf("ready: %v", err)
		}
		life.cancel()
		time.Sleep(time.Second)
		if err := life.c.Status().Ready(); err == nil || !strings.Contains(err.Error(), "draining") {
			t.Errorf("while it drains, ready: %v", err)
		}
		life.stop()
	})
}

// A handler has 2 s after its timeout to return.
func TestHealthLetsAHandlerUnwind(t *testing.T) {
	t.Parallel()
	inContract(t, 1, func(f *field) {
		f.work = func(ctx context.Context, _ fieldBatch) error {
			<-ctx.Done()
			time.Sleep(1500 * time.Millisecond)
			return nil
		}
		f.put(shard0, "a", 1)
		life := f.start(consumer.WithHandlerTimeout(5*time.Second), consumer.WithMaxRetryAttempts(0))
		for range 90 {
			time.Sleep(100 * time.Millisecond)
			if err := life.c.Status().Err(); err != nil {
				t.Fatal(err)
			}
		}
		life.stop()
	})
}
