package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// TestServers runs the consumer to the end of a stream in real time, on kinesistest over TCP and on the emulators that
// are configured: with parallel lanes and a handler that fails now and then, with a split while it runs, a stop, a
// restart on the same store, a merge while that runs, another stop and a split during it, and a last run that ends by
// itself. SHARDLANE_KINESALITE and
// SHARDLANE_KINESIS_LOCAL hold the emulators' URLs; with SHARDLANE_REQUIRE_SERVERS=1 both must be there.
func TestServers(t *testing.T) {
	servers := map[string]string{}
	for name, env := range map[string]string{"kinesalite": "SHARDLANE_KINESALITE", "kinesis-local": "SHARDLANE_KINESIS_LOCAL"} {
		if at := os.Getenv(env); at != "" {
			servers[name] = at
		} else if os.Getenv("SHARDLANE_REQUIRE_SERVERS") == "1" {
			t.Errorf("%s is not set, and SHARDLANE_REQUIRE_SERVERS is", env)
		}
	}
	for name, shardEnd := range map[string]int{"kinesistest": 0, "kinesistest with empty pages at the end": 2} {
		srv := kinesistest.NewServer("unused", 1)
		t.Cleanup(srv.Close)
		srv.SetShardEnd(shardEnd)
		servers[name] = srv.URL()
	}
	for name, at := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			v := newVisit(ctx, t, at)
			v.journey()
		})
	}
}

// A visit is a stream on a server, what was put into it, and what handlers saw of it.
type visit struct {
	*testing.T
	ctx    context.Context
	c      *kinesis.Client
	stream string
	store  checkpoint.Memory

	put     map[string]int             // records by key; record n of a key has the data "n"
	in      map[string]map[string]bool // by shard, what was put into it, as "key/n"
	last    map[string]string          // by shard, the last sequence number
	parents map[string][]string        // by shard

	mu    sync.Mutex
	log   []handled
	busy  map[string]bool // keys in a handler
	calls int
}

// handled is a record of a call that succeeded.
type handled struct{ shard, key, data string }

func (h handled) name() string { return h.key + "/" + h.data }

func newVisit(ctx context.Context, t *testing.T, at string) *visit {
	u, err := url.Parse(at)
	if err != nil || u.Port() == "" {
		t.Fatalf("server URL %q: %v", at, err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", u.Port()))
	}}
	t.Cleanup(transport.CloseIdleConnections)
	v := &visit{
		T: t, ctx: ctx, stream: "visit-" + strconv.FormatInt(time.Now().UnixNano(), 36),
		c: kinesis.New(kinesis.Options{
			Region:       "us-east-1",
			BaseEndpoint: &at,
			HTTPClient:   &http.Client{Transport: onlyReaders{transport}},
			Retryer:      aws.NopRetryer{},
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
			}),
		}),
		put: map[string]int{}, in: map[string]map[string]bool{}, last: map[string]string{}, parents: map[string][]string{},
		busy: map[string]bool{},
	}
	v.done(v.c.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: &v.stream, ShardCount: aws.Int32(2)}))
	t.Cleanup(func() {
		_, _ = v.c.DeleteStream(context.Background(), &kinesis.DeleteStreamInput{StreamName: &v.stream})
	})
	v.active()
	return v
}

// onlyReaders shows Read and Close of request bodies only: smithy's body answers WriteTo with io.EOF once it is closed,
// which net/http takes for a failed write.
type onlyReaders struct{ http.RoundTripper }

func (o onlyReaders) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r = r.Clone(r.Context())
		r.Body = struct {
			io.Reader
			io.Closer
		}{r.Body, r.Body}
	}
	return o.RoundTripper.RoundTrip(r)
}

// journey is the whole story.
func (v *visit) journey() {
	v.produce()
	stop := v.run()
	v.until("records are handled", func() bool { return v.saw(shard0) && v.saw(shardID(1)) })
	v.split(shard0)
	low, high := v.children(shard0)[0], v.children(shard0)[1]
	v.produce()
	v.until("a record of each child is handled", func() bool { return v.saw(low) && v.saw(high) })
	v.produce()
	stop()

	v.produce()
	stop = v.run()
	v.merge(high, shardID(1))
	v.produce()
	merged := v.children(high)[0]
	v.until("a record of the merged shard is handled", func() bool { return v.saw(merged) })
	stop()

	v.produce()
	v.split(low) // the last run meets a closed shard that it has not read
	v.produce()
	second := time.Now().Unix()
	v.until("the next second", func() bool { return time.Now().Unix() > second+1 }) // the tip is told in seconds
	if err := v.consumer(consumer.WithEndingPosition(consumer.Latest())).Run(v.ctx); err != nil {
		v.Errorf("the run to the end: %v", err)
	}
	if v.ctx.Err() != nil {
		v.Error("the run to the end did not come to it")
	}
	v.complete()
	grand := v.children(low)
	v.settled(map[string]bool{shard0: true, shardID(1): true, high: true, low: true, merged: false, grand[0]: false, grand[1]: false})
}

func (v *visit) consumer(opts ...consumer.Option) *consumer.Consumer {
	v.Helper()
	c, err := consumer.New(v.c, v.stream, v.handle, append(opts, silent(), consumer.WithGroup("visit"), consumer.WithCheckpointer(&v.store),
		consumer.WithBatchSize(7), consumer.WithParallelizationFactor(4))...)
	if err != nil {
		v.Fatal(err)
	}
	return c
}

// run starts a consumer and returns what stops it.
func (v *visit) run() (stop func()) {
	c := v.consumer()
	ctx, cancel := context.WithCancel(v.ctx)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	v.Cleanup(cancel)
	return func() {
		v.Helper()
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				v.Errorf("a run that was stopped: %v", err)
			}
		case <-v.ctx.Done():
			v.Fatal("a run did not stop")
		}
	}
}

// handle fails at every seventh call, and notes what it got at the others.
func (v *visit) handle(ctx context.Context, ev events.KinesisEvent) error {
	fails := v.enter(ev)
	defer v.leave(ev)
	select { // long enough to overlap
	case <-time.After(5 * time.Millisecond):
	case <-ctx.Done():
	}
	if fails {
		return errors.New("every seventh call fails")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range ev.Records {
		shard, _, _ := strings.Cut(r.EventID, ":")
		v.log = append(v.log, handled{shard, r.Kinesis.PartitionKey, string(r.Kinesis.Data)})
	}
	return nil
}

func (v *visit) enter(ev events.KinesisEvent) (fails bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.calls++
	for _, r := range ev.Records {
		if key := r.Kinesis.PartitionKey; v.busy[key] {
			v.Errorf("two handlers have key %s at once", key)
		}
	}
	for _, r := range ev.Records {
		v.busy[r.Kinesis.PartitionKey] = true
	}
	return v.calls%7 == 0
}

func (v *visit) leave(ev events.KinesisEvent) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range ev.Records {
		v.busy[r.Kinesis.PartitionKey] = false
	}
}

// saw tells whether a record of a shard has been handled.
func (v *visit) saw(shard string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.ContainsFunc(v.log, func(h handled) bool { return h.shard == shard })
}

// produce puts five records of each of 20 keys.
func (v *visit) produce() {
	v.Helper()
	var rs []types.PutRecordsRequestEntry
	var names []string
	for i := range 100 {
		key := fmt.Sprintf("k%02d", i%20)
		n := v.put[key]
		v.put[key]++
		names = append(names, fmt.Sprintf("%s/%d", key, n))
		rs = append(rs, types.PutRecordsRequestEntry{PartitionKey: &key, Data: []byte(strconv.Itoa(n))})
	}
	out, err := v.c.PutRecords(v.ctx, &kinesis.PutRecordsInput{StreamName: &v.stream, Records: rs})
	v.done(out, err)
	if n := aws.ToInt32(out.FailedRecordCount); n > 0 {
		v.Fatalf("%d records were not put", n)
	}
	for i, r := range out.Records {
		shard := *r.ShardId
		if v.in[shard] == nil {
			v.in[shard] = map[string]bool{}
		}
		v.in[shard][names[i]] = true
		v.last[shard] = *r.SequenceNumber
	}
}

func (v *visit) split(shard string) {
	v.Helper()
	for _, sh := range v.shards() {
		if *sh.ShardId == shard {
			low, _ := new(big.Int).SetString(*sh.HashKeyRange.StartingHashKey, 10)
			high, _ := new(big.Int).SetString(*sh.HashKeyRange.EndingHashKey, 10)
			middle := low.Add(low, high).Rsh(low, 1).String()
			v.done(v.c.SplitShard(v.ctx, &kinesis.SplitShardInput{StreamName: &v.stream, ShardToSplit: &shard, NewStartingHashKey: &middle}))
		}
	}
	v.active()
}

func (v *visit) merge(low, high string) {
	v.Helper()
	v.done(v.c.MergeShards(v.ctx, &kinesis.MergeShardsInput{StreamName: &v.stream, ShardToMerge: &low, AdjacentShardToMerge: &high}))
	v.active()
}

func (v *visit) shards() []types.Shard {
	v.Helper()
	out, err := v.c.ListShards(v.ctx, &kinesis.ListShardsInput{StreamName: &v.stream})
	v.done(out, err)
	return out.Shards
}

// children lists the shards that have a shard as parent, the one with the lower hash keys first.
func (v *visit) children(shard string) (ids []string) {
	v.Helper()
	for _, sh := range v.shards() {
		parents := v.parents[*sh.ShardId]
		if slices.Contains(parents, shard) {
			ids = append(ids, *sh.ShardId)
		}
	}
	if len(ids) == 0 {
		v.Fatalf("shard %s has no children", shard)
	}
	return ids
}

// active waits until the stream has made its change, and notes its lineage.
func (v *visit) active() {
	v.Helper()
	v.until("the stream is active", func() bool {
		out, err := v.c.DescribeStreamSummary(v.ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &v.stream})
		v.done(out, err)
		return out.StreamDescriptionSummary.StreamStatus == types.StreamStatusActive
	})
	for _, sh := range v.shards() {
		var parents []string
		for _, p := range []*string{sh.ParentShardId, sh.AdjacentParentShardId} {
			if p != nil {
				parents = append(parents, *p)
			}
		}
		v.parents[*sh.ShardId] = parents
	}
}

// done ends the test if a call failed.
func (v *visit) done(_ any, err error) {
	v.Helper()
	if err != nil {
		v.Fatal(err)
	}
}

// until polls a condition.
func (v *visit) until(what string, met func() bool) {
	v.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !met() {
		select {
		case <-tick.C:
		case <-v.ctx.Done():
			v.Fatalf("until %s: %v", what, v.ctx.Err())
		}
	}
}

// complete asserts that every record was handled, some of them again, but none before those ahead of it of its key, nor
// before those of its shard's parents.
func (v *visit) complete() {
	v.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	times := map[string]int{}
	next := map[string]int{} // by key, the first record that has not been handled
	for _, h := range v.log {
		n, err := strconv.Atoi(h.data)
		switch {
		case err != nil || !v.in[h.shard][h.name()]:
			v.Errorf("record %s was not put into %s", h.name(), h.shard)
		case n > next[h.key]:
			v.Errorf("record %s of %s was handled before %s/%d", h.name(), h.shard, h.key, next[h.key])
		}
		next[h.key] = max(next[h.key], n+1)
		times[h.name()]++
		for _, parent := range v.parents[h.shard] {
			for earlier := range v.in[parent] {
				if times[earlier] == 0 {
					v.Errorf("record %s of %s was handled before %s of its parent %s", h.name(), h.shard, earlier, parent)
				}
			}
		}
	}
	for shard, names := range v.in {
		missing := 0
		for name := range names {
			if times[name] == 0 {
				missing++
			}
		}
		if missing > 0 {
			v.Errorf("%d of %d records of %s were not handled", missing, len(names), shard)
		}
	}
	v.Logf("%d records handled, %d of them again, in %d calls", len(times), len(v.log)-len(times), v.calls)
}

// settled asserts what the store holds after the run to the end: END for closed shards, for the others the last record.
func (v *visit) settled(closed map[string]bool) {
	v.Helper()
	found := rows(v.T, &v.store)
	for shard, ended := range closed {
		want := string(checkpoint.End)
		if !ended {
			last, err := checkpoint.After(v.last[shard])
			v.done(last, err)
			want = string(last)
		}
		if !strings.Contains(found[shard], strconv.Quote(want)) {
			v.Errorf("the row of %s is %s, want position %s", shard, found[shard], want)
		}
	}
	if len(found) != len(closed) {
		v.Errorf("the store has %d rows, want %d", len(found), len(closed))
	}
}
