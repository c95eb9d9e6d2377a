package consumer_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// A barred store asks before each call whether it is to be made.
type barred struct {
	checkpoint.Store
	bar func(op, key string) error
}

func (b barred) List(ctx context.Context, prefix string) ([]checkpoint.Entry, error) {
	time.Sleep(10 * time.Millisecond)
	if err := b.bar("List", prefix); err != nil {
		return nil, err
	}
	return b.Store.List(ctx, prefix)
}

func (b barred) Get(ctx context.Context, key string) (checkpoint.Entry, error) {
	time.Sleep(10 * time.Millisecond)
	if err := b.bar("Get", key); err != nil {
		return checkpoint.Entry{}, err
	}
	return b.Store.Get(ctx, key)
}

func (b barred) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	time.Sleep(10 * time.Millisecond)
	if err := b.bar("Swap", e.Key); err != nil {
		return e, err
	}
	return b.Store.Swap(ctx, e)
}

// An unlisted client lists no shards.
type unlisted struct{ consumer.Client }

func (unlisted) ListShards(context.Context, *kinesis.ListShardsInput, ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error) {
	return nil, errors.New("no route to the service")
}

// startOn starts a worker with a client of its own.
func (f *fleet) startOn(client consumer.Client, name string, opts ...consumer.Option) *replica {
	r := &replica{f: f, name: name, link: &link{Store: f.store}}
	c, err := consumer.New(client, "orders", r.handle, append([]consumer.Option{
		silent(), consumer.WithGroup("g"), consumer.WithCheckpointer(r.link), consumer.WithWorker(name), consumer.WithDrainTimeout(20 * time.Second),
	}, opts...)...)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(f.t.Context())
	r.running = &running{c, cancel, make(chan error, 1)}
	go func() { r.ended <- c.Run(ctx) }()
	return r
}

// A worker that cannot open the stream gets no shards.
func TestFleetNotOpened(t *testing.T) {
	t.Parallel()
	inFleet(t, 4, func(f *fleet) {
		one := f.start("one")
		f.until("one has 4 shards", 5*time.Second, func() bool { return one.owned() == 4 })
		before := owners(t, f.store)
		two := f.startOn(unlisted{f.srv.Client()}, "two")
		time.Sleep(2 * time.Minute)
		if after := owners(t, f.store); after != before {
			t.Errorf("shards are given to a worker that cannot list them: from\n%sto\n%s", before, after)
		}
		f.end(one, two)
	})
}

// A worker claims nothing before it knows who the others are.
func TestFleetLooksFirst(t *testing.T) {
	t.Parallel()
	inFleet(t, 4, func(f *fleet) {
		var bar atomic.Bool
		bar.Store(true)
		one := f.start("one", consumer.WithCheckpointer(barred{f.store, func(op, key string) error {
			if op == "List" && strings.Contains(key, "/member/") && bar.Load() {
				return errNoWay
			}
			return nil
		}}))
		time.Sleep(10 * time.Second)
		if n := one.owned(); n != 0 {
			t.Errorf("it has %d shards", n)
		}
		bar.Store(false)
		f.until("one has 4 shards", 5*time.Second, func() bool { return one.owned() == 4 })
		f.end(one)
	})
}

// A worker that failed to claim shards, and could not even look at them until another one had them for long, is well.
func TestFleetClaimMended(t *testing.T) {
	t.Parallel()
	inFleet(t, 4, func(f *fleet) {
		zero := f.start("zero") // puts the rows
		f.until("zero has 4 shards", 5*time.Second, func() bool { return zero.owned() == 4 })
		if _, err := zero.running.stop(); err != nil {
			t.Error(err)
		}
		var bar atomic.Bool
		bar.Store(true)
		one := f.start("one", consumer.WithCheckpointer(barred{f.store, func(op, key string) error {
			if op != "List" && strings.Contains(key, "/lease/") && strings.Contains(key, "shardId") && bar.Load() {
				return errNoWay
			}
			return nil
		}}))
		time.Sleep(5 * time.Second)
		two := f.start("two")
		f.until("two has 4 shards", 30*time.Second, func() bool { return two.owned() == 4 })
		time.Sleep(time.Minute)
		bar.Store(false)
		f.until("2 shards each", 2*time.Minute, func() bool { return one.owned() == 2 && two.owned() == 2 })
		time.Sleep(10 * time.Second)
		if err := errors.Join(one.c.Status().Err(), two.c.Status().Err()); err != nil {
			t.Error(err)
		}
		f.end(one, two)
	})
}

// Shards whose records have no readable numbers change hands like others.
func TestFleetUnreadableNumbers(t *testing.T) {
	t.Parallel()
	inFleet(t, 4, func(f *fleet) {
		f.srv.SetSequencePrefix("record-")
		one := f.start("one")
		f.until("one has 4 shards", 5*time.Second, func() bool { return one.owned() == 4 })
		time.Sleep(time.Second)
		two := f.start("two")
		f.until("2 shards each", 30*time.Second, func() bool { return one.owned() == 2 && two.owned() == 2 })
		time.Sleep(2 * time.Second)
		if _, err := two.running.stop(); !errors.Is(err, checkpoint.ErrSequence) {
			t.Errorf("two ends with %v", err)
		}
		f.until("one has 4 shards again", 20*time.Second, func() bool { return one.owned() == 4 })
		f.stop <- struct{}{}
		go func() { <-f.stop }()
		time.Sleep(5 * time.Second)
		if _, err := one.running.stop(); !errors.Is(err, checkpoint.ErrSequence) {
			t.Errorf("one ends with %v", err)
		}
	})
}

// A shard that cannot be claimed is nobody's, and keeps no worker from being ready. One that was claimed must have been read.
func TestFleetReadyWithoutAClaim(t *testing.T) {
	t.Parallel()
	inFleet(t, 4, func(f *fleet) {
		var bar atomic.Bool
		bar.Store(true)
		hidden := f.srv.Fail("GetRecords", kinesistest.Error("InternalFailure", 0))
		one := f.start("one", consumer.WithCheckpointer(barred{f.store, func(op, key string) error {
			if op == "Get" && strings.Contains(key, "/lease/") && strings.HasSuffix(key, shard0) && bar.Load() {
				return errNoWay
			}
			return nil
		}}))
		f.until("one has 3 shards", 10*time.Second, func() bool { return one.owned() == 3 })
		time.Sleep(5 * time.Second)
		if err := one.c.Status().Ready(); err == nil || !strings.Contains(err.Error(), "has not been read") {
			t.Errorf("without a read: %v", err)
		}
		hidden[0].Stop()
		f.until("it is ready", 20*time.Second, func() bool { return one.c.Status().Ready() == nil })
		time.Sleep(15 * time.Second)
		if s := one.c.Status(); s.Err() == nil || s.Behind() < 15*time.Second {
			t.Errorf("a shard that cannot be claimed is no trouble: health %v, Behind %v", s.Err(), s.Behind())
		}
		bar.Store(false)
		f.until("one has 4 shards", 20*time.Second, func() bool { return one.owned() == 4 })
		f.end(one)
	})
}
