package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// delayed are who is asked how long a record takes, and what they are called.
var delayed = []struct {
	title string
	job   job
}{
	{"shardlane", job{Subject: "shardlane", Batch: 100}},
	{"shardlane, enhanced fan-out", job{Subject: "shardlane", Batch: 100, FanOut: true}},
	{"the same, 1 record a second on each shard", job{Subject: "shardlane", Batch: 100, FanOut: true, Rate: 10}},
	{titles["harlow"], job{Subject: "harlow", Batch: 1}},
	{titles["vmware"], job{Subject: "vmware", Batch: 10_000}},
}

// A delay is how long records took from their put until a handler had them, in milliseconds.
type delay struct {
	Subject   string  `json:"subject"`
	FanOut    bool    `json:"fan_out"`
	Shards    int     `json:"shards"`
	Puts      int     `json:"puts"`
	Rate      int     `json:"puts_per_second"`
	Mean      float64 `json:"mean_ms"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	Longest   float64 `json:"longest_ms"`
	Throttled int     `json:"reads_throttled"`
	Within    []int   `json:"within"` // each of limits, and any

	title string
}

var limits = []time.Duration{
	2 * time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
	200 * time.Millisecond, 300 * time.Millisecond, 500 * time.Millisecond, time.Second,
}

// delays measures the subjects one after the other, on 10 shards that get 200 records a second in all, unless a subject has a
// rate of its own, and a tenth of the records then. A read takes the server 20 ms. Events of fan-out take it none, but it has at
// least 200 ms between two of a shard.
func delays(ctx context.Context, puts int, progress io.Writer) (list []delay, err error) {
	for _, d := range delayed {
		j := d.job
		j.Transport, j.Load, j.Puts = "plain", load{Records: 1, Size: 8, Shards: 10, Pages: 1}, puts
		if j.Rate == 0 {
			j.Rate = 200
		} else {
			j.Puts /= 10
		}
		fmt.Fprintf(progress, "%s: %d puts\n", d.title, j.Puts)
		o, err := j.run(ctx)
		if err != nil {
			return nil, err
		}
		list = append(list, newDelay(d.title, j, o))
	}
	return list, nil
}

func newDelay(title string, j job, o outcome) delay {
	slices.Sort(o.Waits)
	n, sum := len(o.Waits), time.Duration(0)
	d := delay{Subject: j.Subject, FanOut: j.FanOut, Shards: j.Load.Shards, Puts: n, Rate: j.Rate, Throttled: o.Throttled, title: title}
	for _, w := range o.Waits {
		sum += w
	}
	for _, limit := range limits {
		at, _ := slices.BinarySearch(o.Waits, limit+1)
		d.Within = append(d.Within, at)
	}
	d.Within = append(d.Within, n)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	d.Mean, d.P50, d.P99, d.Longest = ms(sum/time.Duration(n)), ms(o.Waits[n/2]), ms(o.Waits[n*99/100]), ms(o.Waits[n-1])
	return d
}

// latencies measures and prints.
func latencies(ctx context.Context, quick, asJSON bool, out, progress io.Writer) error {
	puts := 10_000
	if quick {
		puts = 2000
	}
	list, err := delays(ctx, puts, progress)
	if err != nil {
		return err
	}
	if !asJSON {
		writeDelays(out, list)
		return nil
	}
	lines := json.NewEncoder(out)
	for _, d := range list {
		if err := lines.Encode(d); err != nil {
			return err
		}
	}
	return nil
}

func writeDelays(w io.Writer, list []delay) {
	fmt.Fprint(w, "| put to handler | mean | half | 99 of 100 | longest")
	for _, limit := range limits {
		fmt.Fprintf(w, " | ≤ %v", limit)
	}
	fmt.Fprintf(w, " | reads throttled |\n%s|\n", strings.Repeat("|---", 6+len(limits)))
	for _, d := range list {
		fmt.Fprintf(w, "| %s | %.1f ms | %.1f ms | %.1f ms | %.1f ms", d.title, d.Mean, d.P50, d.P99, d.Longest)
		for _, n := range d.Within[:len(limits)] {
			fmt.Fprintf(w, " | %.1f %%", 100*float64(n)/float64(d.Puts))
		}
		fmt.Fprintf(w, " | %d |\n", d.Throttled)
	}
}

// delay is a job with puts. The stream is in the same process: its data are the times at which they were put, of one clock.
func (r run) delay(ctx context.Context) (o outcome, err error) {
	l := r.Load
	srv := kinesistest.NewServer(l.stream(), l.Shards)
	defer srv.Close()
	srv.SetReadLimits(true)
	srv.SetLatencyFunc(func(op string) time.Duration {
		switch op {
		case "GetRecords":
			return 20 * time.Millisecond
		case "SubscribeToShardEvent":
			return 0
		default:
			return 10 * time.Millisecond
		}
	})
	r.Server.Plain = srv.URL()

	var mu sync.Mutex
	began := time.Now()
	m := &meter{
		warm: mark{int64(l.Shards), make(chan struct{})},
		full: mark{int64(l.Shards + r.Puts), make(chan struct{})},
		look: func(data []byte) {
			if put := binary.BigEndian.Uint64(data); put > 0 {
				mu.Lock()
				defer mu.Unlock()
				o.Waits = append(o.Waits, time.Since(began)-time.Duration(put))
			}
		},
	}
	for i := range l.Shards {
		from, _ := hashRange(l.Shards, i)
		srv.PutHash(l.stream(), "warm", from, make([]byte, 8))
	}
	ctx, stop := context.WithTimeout(ctx, 2*patience+time.Duration(r.Puts)*r.pace())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- r.consume(ctx, r.job, l.stream(), m) }()
	puts := make(chan struct{})
	go func() {
		defer close(puts)
		select {
		case <-m.warm.reached:
			r.put(ctx, srv, began)
		case <-ctx.Done():
		}
	}()
	select {
	case <-m.full.reached:
	case err := <-done:
		return o, fmt.Errorf("ended after %d of %d records: %w", m.records.Load(), m.full.at, err)
	case <-ctx.Done():
		return o, fmt.Errorf("%d of %d records: %w", m.records.Load(), m.full.at, ctx.Err())
	}
	<-puts
	stop()
	<-done
	for _, c := range srv.Calls() {
		if c.Op == "GetRecords" && c.Code == "ProvisionedThroughputExceededException" {
			o.Throttled++
		}
	}
	return o, nil
}

// pace is the mean time between two puts.
func (r run) pace() time.Duration { return time.Second / time.Duration(r.Rate) }

// put puts records at random, from a second on: whoever has just read all is caught up then.
func (r run) put(ctx context.Context, srv *kinesistest.Server, began time.Time) {
	dice := rand.New(rand.NewPCG(1, 2))
	_ = wait(ctx, settle)
	for i := range r.Puts {
		if wait(ctx, time.Duration(dice.ExpFloat64()*float64(r.pace()))) != nil {
			return
		}
		srv.Put(r.Load.stream(), fmt.Sprint(i), binary.BigEndian.AppendUint64(nil, uint64(time.Since(began))))
	}
}
