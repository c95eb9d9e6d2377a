package consumer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// A traffic is records that are put to a stream at random times, and how long each took to its handler.
type traffic struct {
	shards      int
	every       time.Duration // puts, in the mean
	least, most time.Duration // of a call

	mu    sync.Mutex
	puts  []time.Time
	waits []time.Duration
}

func (tr *traffic) handle(_ context.Context, ev events.KinesisEvent) error {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, r := range ev.Records {
		i, _ := strconv.Atoi(string(r.Kinesis.Data))
		tr.waits = append(tr.waits, time.Since(tr.puts[i]))
	}
	return nil
}

// run puts n records, with limits on, and returns how many reads were throttled.
func (tr *traffic) run(t *testing.T, n int) (throttled int) {
	r := rand.New(rand.NewPCG(1, 2))
	srv := kinesistest.NewServer("orders", tr.shards)
	defer srv.Close()
	srv.SetReadLimits(true)
	srv.SetLatencyFunc(func(string) time.Duration { // of many goroutines
		tr.mu.Lock()
		defer tr.mu.Unlock()
		return tr.least + rand.N(tr.most-tr.least)
	})
	var seen notices
	life := start(t, srv, tr.handle, consumer.WithNotify(seen.add))
	time.Sleep(10 * time.Second)
	for i := range n {
		time.Sleep(time.Duration(r.ExpFloat64() * float64(tr.every)))
		tr.mu.Lock()
		tr.puts = append(tr.puts, time.Now())
		tr.mu.Unlock()
		srv.Put("orders", fmt.Sprint(r.Int()), strconv.AppendInt(nil, int64(i), 10))
	}
	time.Sleep(10 * time.Second)
	if _, err := life.stop(); err != nil {
		t.Error(err)
	}
	if len(tr.waits) != n {
		t.Errorf("%d of %d records were handled", len(tr.waits), n)
	}
	slices.Sort(tr.waits)
	return seen.count("ReadThrottled")
}

// A shard that is caught up is read as often as its limits allow, evenly, and none of the reads is one too many: a record waits for
// half of an interval and a call in the mean, and for an interval and a long call at most, but for few.
func TestLatency(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "L16")
	const ms = time.Millisecond
	for _, tr := range []*traffic{
		{shards: 1, every: 50 * ms, most: ms / 10},
		{shards: 1, every: 50 * ms, least: 5 * ms, most: 35 * ms},
		{shards: 1, every: 50 * ms, least: 100 * ms, most: 200 * ms},
		{shards: 40, every: 5 * ms, least: 5 * ms, most: 35 * ms},
		{shards: 100, every: 2 * ms, least: 5 * ms, most: 35 * ms},
	} {
		t.Run(fmt.Sprintf("%d shards, calls of %v to %v", tr.shards, tr.least, tr.most), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const puts = 10_000
				if n := tr.run(t, puts); n > 0 {
					t.Errorf("%d reads were throttled, and nobody else reads", n)
				}
				call := (tr.least + tr.most) / 2
				interval, sum := (time.Second+call)/5, time.Duration(0)
				for _, d := range tr.waits {
					sum += d
				}
				mean, late := sum/puts, tr.waits[puts*99/100]
				if most := interval/2 + call + 5*ms; mean > most {
					t.Errorf("a record waited for %v in the mean, want %v at most", mean, most)
				}
				if most := interval + tr.most + 5*ms; late > most {
					t.Errorf("one record in a hundred waited for %v or longer, want %v at most", late, most)
				}
				t.Logf("mean %v, p99 %v, longest %v", mean, late, tr.waits[puts-1])
			})
		})
	}
}

// Reads of a shard that is caught up come as far apart as WithPollInterval says, with records or without.
func TestPollInterval(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "L16")
	for _, d := range []time.Duration{200 * time.Millisecond, 3 * time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			srv := kinesistest.NewServer("orders", 1)
			defer srv.Close()
			srv.SetReadLimits(true)
			var j journal
			r := start(t, srv, j.handle, consumer.WithPollInterval(d))
			for i := range 300 {
				time.Sleep(time.Second)
				srv.Put("orders", "a", fmt.Append(nil, i))
				if age := r.c.Status().Shards[0].HeadAge; age > 0 {
					t.Fatalf("reads come %v apart, and it is %v behind", d, age)
				}
			}
			last := time.Time{}
			reads := 0
			for _, c := range srv.Calls() {
				if c.Op != "GetRecords" {
					continue
				}
				reads++
				if gap := c.Time.Sub(last); c.Code != "" || reads > 1 && (gap < d || gap > max(d, 204*time.Millisecond)) {
					t.Fatalf("a read came %v behind another, %q; want %v", gap, c.Code, d)
				}
				last = c.Time
			}
			if want := int(300 * time.Second / max(d, 204*time.Millisecond)); reads < want || reads > want+1 {
				t.Errorf("%d reads every %v in 5 min", reads, d)
			}
			time.Sleep(d)
			if _, err := r.stop(); err != nil || len(j.entries) != 300 {
				t.Errorf("%d records were handled, Run returned %v", len(j.entries), err)
			}
		})
	}
}

// Two groups share the limits of a shard: each slows down and has its part, and is as fast as ever when it is alone again.
func TestGroupsShareAShard(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "L14")
	t.Attr("rule", "L16")
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		srv.SetReadLimits(true)
		var seen [2]notices
		var lives [2]*running
		var js [2]journal
		for i := range lives {
			lives[i] = start(t, srv, js[i].handle, consumer.WithGroup(fmt.Sprint("group ", i)), consumer.WithNotify(seen[i].add))
			time.Sleep(70 * time.Millisecond)
		}
		time.Sleep(20 * time.Second) // each finds its pace
		before := []int{seen[0].count("ReadThrottled"), seen[1].count("ReadThrottled")}
		served := srv.Count("GetRecords", "orders", shard0)
		for i := range 600 {
			srv.Put("orders", "a", fmt.Append(nil, i))
			time.Sleep(time.Second)
		}
		throttled := []int{seen[0].count("ReadThrottled") - before[0], seen[1].count("ReadThrottled") - before[1]}
		if served = srv.Count("GetRecords", "orders", shard0) - served - throttled[0] - throttled[1]; served < 2000 {
			t.Errorf("%d reads were served in 10 min, of 3,000 that the shard serves", served)
		}
		for i, n := range throttled {
			if n > served/10 {
				t.Errorf("group %d was throttled %d times beside %d reads", i, n, served)
			}
		}
		time.Sleep(15 * time.Second) // else the last record may wait for a group that has slowed down
		if _, err := lives[0].stop(); err != nil {
			t.Error(err)
		}
		time.Sleep(15 * time.Second)
		alone := srv.Count("GetRecords", "orders", shard0)
		time.Sleep(10 * time.Second)
		if alone = srv.Count("GetRecords", "orders", shard0) - alone; alone < 49 {
			t.Errorf("%d reads in 10 s of a group that is alone again", alone)
		}
		if _, err := lives[1].stop(); err != nil {
			t.Error(err)
		}
		for i := range js {
			if n := len(js[i].entries); n != 600 {
				t.Errorf("group %d handled %d of 600 records", i, n)
			}
		}
		t.Logf("%d reads were served, %v throttled", served, throttled)
	})
}
