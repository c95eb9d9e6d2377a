package consumer_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/metrics"
)

// The tests called TestContract… hold a consumer to the rules of batch/SEMANTICS.md, from the outside. Each names those
// that it proves.

// letters puts one record for each letter of s, its key and its data, into a shard.
func (f *field) letters(shard, s string) {
	f.t.Helper()
	for letter := range strings.SplitSeq(s, "") {
		f.put(shard, letter, 1)
	}
}

// noticed returns how many notices of a name there were.
func (f *field) noticed(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.notices[name]
}

// checkpoint returns the position stored last for the first shard.
func (f *field) checkpoint() string {
	last := ""
	for _, w := range f.store.written() {
		if w.shard == shard0 {
			last = string(w.ck)
		}
	}
	return last
}

// A trace is what a handler got and a destination was given, in order.
type trace struct {
	mu   sync.Mutex
	all  []attempt
	gone []parting
}

// An attempt is one call of a handler.
type attempt struct {
	batch.Invocation
	data string // of all records: with a letter each "abc"
	at   time.Time
}

// A parting is one call of a destination.
type parting struct {
	*batch.Failure
	data string
	at   time.Time
}

func dataOf(recs []events.KinesisEventRecord) string {
	var b strings.Builder
	for i := range recs {
		b.Write(recs[i].Kinesis.Data)
	}
	return b.String()
}

func (tr *trace) add(ctx context.Context, recs []events.KinesisEventRecord) attempt {
	a := attempt{data: dataOf(recs), at: time.Now()}
	a.Invocation, _ = batch.InvocationFrom(ctx)
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.all = append(tr.all, a)
	return a
}

func (tr *trace) attempts() []attempt {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return slices.Clone(tr.all)
}

// lines has one text for each attempt, its number and its data: "2 abc".
func (tr *trace) lines() (lines []string) {
	for _, a := range tr.attempts() {
		lines = append(lines, fmt.Sprint(a.Attempt, " ", a.data))
	}
	return lines
}

// Deliver makes the trace a destination.
func (tr *trace) Deliver(_ context.Context, f *batch.Failure) error {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.gone = append(tr.gone, parting{f, dataOf(f.Records), time.Now()})
	return nil
}

// partings returns what the destination got.
func (tr *trace) partings() []parting {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return slices.Clone(tr.gone)
}

// documents has one text for each of them: "abc RetryAttemptsExhausted 3".
func (tr *trace) documents() (lines []string) {
	for _, p := range tr.partings() {
		lines = append(lines, fmt.Sprint(p.data, " ", p.Condition, " ", p.InvokeCount))
	}
	return lines
}

// fails is a handler that fails every batch that has one of the letters bad.
func (tr *trace) fails(bad string) func(context.Context, events.KinesisEvent) error {
	return func(ctx context.Context, ev events.KinesisEvent) error {
		if strings.ContainsAny(tr.add(ctx, ev.Records).data, bad) {
			return errPoison
		}
		return nil
	}
}

// reports is a handler that reports every record that is one of the letters bad, the last one first.
func (tr *trace) reports(bad string) func(context.Context, events.KinesisEvent) (events.KinesisEventResponse, error) {
	return func(ctx context.Context, ev events.KinesisEvent) (resp events.KinesisEventResponse, err error) {
		tr.add(ctx, ev.Records)
		for _, r := range slices.Backward(ev.Records) {
			if strings.Contains(bad, string(r.Kinesis.Data)) {
				resp.BatchItemFailures = append(resp.BatchItemFailures, events.KinesisBatchItemFailure{ItemIdentifier: r.Kinesis.SequenceNumber})
			}
		}
		return resp, nil
	}
}

// want compares lists of lines.
func want(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

// between fails the test unless d is within base and base with the full jitter, give or take 50 ms for the call itself.
func between(t *testing.T, what string, d, base time.Duration) {
	t.Helper()
	if d < base || d > base+base/5+50*time.Millisecond {
		t.Errorf("%s: %v, want %v and at most 20 %% more", what, d, base)
	}
}

// totals compares the sums of counters.
func totals(t *testing.T, snap *metrics.Snapshot, want map[*metrics.Metric]float64) {
	t.Helper()
	for m, n := range want {
		if got := snap.Sum(m); got != n {
			t.Errorf("%s is %v, want %v", m.Name, got, n)
		}
	}
}

func goexit() { runtime.Goexit() }
