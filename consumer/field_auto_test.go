package consumer_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/shardlane/shardlane/batch/kpl"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
	"github.com/shardlane/shardlane/metrics"
)

// An aggregator puts user records together for the shard that their hash keys belong to, by the shard map that it knows.
// One that looks puts what went elsewhere again, record by record, as the KPL does: twice at the most.
type aggregator struct {
	f     *field
	looks bool
	put   map[string]bool // data that a put was acknowledged for
	n     int
}

// batch puts n user records in aggregates of ten, the hash keys of each aggregate within one shard.
func (a *aggregator) batch(n int) {
	var open []kinesistest.ShardInfo
	for _, sh := range a.f.srv.Shards("orders") {
		if !sh.Closed {
			open = append(open, sh)
		}
	}
	for range n / 10 {
		home := open[a.n/10%len(open)]
		var us []kpl.UserRecord
		for range 10 {
			id := fmt.Sprintf("r%04d", a.n)
			us = append(us, kpl.UserRecord{PartitionKey: id, ExplicitHashKey: home.HashStart, Data: []byte(id)})
			a.put[id] = true
			a.n++
		}
		a.send(home, 2, us)
	}
}

func (a *aggregator) send(home kinesistest.ShardInfo, again int, us []kpl.UserRecord) {
	to, _ := a.f.srv.PutHash("orders", fmt.Sprint("aggregate ", a.n), home.HashStart, kpl.Encode(us...))
	if a.looks && to != home.ID && again > 0 {
		for _, u := range us {
			a.send(home, again-1, []kpl.UserRecord{u})
		}
	}
}

// counted returns the sum of a metric over all labels.
func counted(s *metrics.Snapshot, m *metrics.Metric) float64 {
	total := 0.0
	for sample := range s.All() {
		if sample.Metric == m {
			total += sample.Value
		}
	}
	return total
}

// byKey makes the stream one whose description says that partition keys place its records.
func (f *field) byKey() {
	f.srv.SetDistribution("orders", kinesistest.Auto)
	f.srv.SetDistribution("orders", kinesistest.UserPartitionKey)
}

// TestField_F67: where the service places the records of a stream, whatever their keys, a user record whose hash key is
// another shard's is not there as well: nothing of an aggregate is left out. 1,000 of 1,000 are handled on 2, 4 and 8
// shards, with aggregators of both kinds, switched on and off in mid-stream, over a restart and a reshard.
func TestField_F67(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{2, 4, 8} {
		for _, looks := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d shards, looks %v", shards, looks), func(t *testing.T) {
				proves(t, "C25")
				inContract(t, shards, func(f *field) {
					var stats metrics.Snapshot
					f.byKey()
					f.srv.SetSeed(uint64(shards))
					a := &aggregator{f: f, looks: looks, put: map[string]bool{}}
					opts := consumer.Options(consumer.WithDeaggregation(true), consumer.WithMetrics(&stats))
					life := f.start(opts)
					a.batch(200)
					time.Sleep(5 * time.Second)
					f.srv.SetDistribution("orders", kinesistest.Auto)
					a.batch(300)
					time.Sleep(time.Second)
					life.stop() // a restart: what the first life saw is remembered
					_, upper := f.srv.Split("orders", shard0)
					f.srv.Merge("orders", upper, shardID(1))
					life = f.start(opts)
					time.Sleep(2 * time.Minute)
					a.batch(300)
					time.Sleep(5 * time.Second)
					f.srv.SetDistribution("orders", kinesistest.UserPartitionKey)
					a.batch(200)
					time.Sleep(30 * time.Second)
					life.stop()
					times := map[string]int{}
					for _, d := range f.data() {
						times[d]++
					}
					again := 0
					for id := range a.put {
						if times[id] == 0 {
							t.Errorf("%s is lost", id)
						}
						again += max(0, times[id]-1)
					}
					t.Logf("%d of %d handled, %d again; %v out of range", len(times), len(a.put), again, counted(&stats, metrics.OutOfRangeEventCount))
					if len(a.put) != 1000 || !looks && again > 0 {
						t.Errorf("%d put, %d handled twice", len(a.put), again)
					}
				})
			})
		}
	}
}

// Only what a stale shard map explains is left out. In every other case a user record whose hash key is another shard's is
// delivered where it is.
func TestOutOfRangeIsDelivered(t *testing.T) {
	t.Parallel()
	proves(t, "C25", "L65")
	foreign := func(id, hash string) []kpl.UserRecord {
		return append(users(50, 1), kpl.UserRecord{PartitionKey: id, ExplicitHashKey: hash, Data: []byte(id)})
	}
	reshard := func(f *field) {
		f.put(shard0, "before", 1)
		time.Sleep(2 * time.Second)
		f.srv.Split("orders", shard0)
	}
	for name, play := range map[string]func(f *field, life *fieldLife) *fieldLife{
		"no parents": func(f *field, life *fieldLife) *fieldLife {
			f.aggregate(shardID(0), foreign("x", lastHash)...)
			return life
		},
		"long behind the reshard": func(f *field, life *fieldLife) *fieldLife {
			reshard(f)
			lower := shardID(2)
			f.aggregate(lower, users(20, 1)...)
			time.Sleep(11 * time.Minute)
			f.aggregate(lower, foreign("x", "170141183460469231731687303715884105727")...) // the upper child's
			return life
		},
		"wider than the parent": func(f *field, life *fieldLife) *fieldLife {
			reshard(f)
			f.aggregate(shardID(2), foreign("x", lastHash)...)
			return life
		},
		"a record without a key was seen": func(f *field, life *fieldLife) *fieldLife {
			f.srv.SetDistribution("orders", kinesistest.Auto)
			f.srv.Put("orders", "", []byte("keyless"))
			f.srv.SetDistribution("orders", kinesistest.UserPartitionKey)
			time.Sleep(5 * time.Second)
			reshard(f)
			f.aggregate(shardID(2), foreign("x", "170141183460469231731687303715884105727")...)
			return life
		},
		"a record without a key was seen by an earlier run": func(f *field, life *fieldLife) *fieldLife {
			f.srv.SetDistribution("orders", kinesistest.Auto)
			f.srv.Put("orders", "", []byte("keyless"))
			f.srv.SetDistribution("orders", kinesistest.UserPartitionKey)
			time.Sleep(5 * time.Second)
			life.stop()
			life = f.start(consumer.WithDeaggregation(true))
			time.Sleep(3 * time.Second)
			reshard(f)
			f.aggregate(shardID(2), foreign("x", "170141183460469231731687303715884105727")...)
			return life
		},
		"placed by the service": func(f *field, life *fieldLife) *fieldLife {
			f.srv.SetDistribution("orders", kinesistest.Auto)
			time.Sleep(2 * time.Minute)
			f.srv.SetDistribution("orders", kinesistest.UserPartitionKey)
			time.Sleep(2 * time.Minute)
			reshard(f)
			f.aggregate(shardID(2), foreign("x", "170141183460469231731687303715884105727")...)
			return life
		},
		"placed by the service since the last description": func(f *field, life *fieldLife) *fieldLife {
			reshard(f)
			f.aggregate(shardID(2), foreign("x", "170141183460469231731687303715884105727")...)
			f.srv.SetDistribution("orders", kinesistest.Auto) // before it is read
			return life
		},
		"not described since": func(f *field, life *fieldLife) *fieldLife {
			reshard(f)
			f.srv.Fail("DescribeStreamSummary", kinesistest.Error("InternalFailure", 9))
			f.aggregate(shardID(2), foreign("x", "170141183460469231731687303715884105727")...)
			return life
		},
		"behind a restart": func(f *field, life *fieldLife) *fieldLife {
			reshard(f)
			f.aggregate(shardID(2), users(20, 1)...)
			time.Sleep(10 * time.Second)
			life.stop()
			life = f.start(consumer.WithDeaggregation(true))
			f.aggregate(shardID(2), foreign("x", "170141183460469231731687303715884105727")...)
			return life
		},
	} {
		t.Run(name, func(t *testing.T) {
			inContract(t, 2, func(f *field) {
				f.byKey()
				f.slowReads(time.Second)
				life := f.start(consumer.WithDeaggregation(true))
				time.Sleep(3 * time.Second)
				life = play(f, life)
				time.Sleep(30 * time.Second)
				if d := f.data(); !slices.Contains(d, "x") || !slices.Contains(d, "u50") {
					t.Errorf("handled %q, want x among them", d)
				}
				if f.noticed("OutOfRange") != 1 {
					t.Errorf("%d notices, want one: %v", f.noticed("OutOfRange"), f.notices)
				}
				life.stop()
			})
		})
	}
}
