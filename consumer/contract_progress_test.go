package consumer_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/metrics"
)

// The lowest record reported cuts the batch: what is before it is resolved, the rest is a new slice with a request id and
// attempts of its own, tried at once. Without progress the slice is tried again after its backoff.
func TestContractProgress(t *testing.T) {
	t.Parallel()
	proves(t, "L27", "L36", "L37", "L39", "L28", "L34")
	inContract(t, 1, func(f *field) {
		tr, snap := new(trace), new(metrics.Snapshot)
		f.letters(shard0, "abcdef")
		fix := time.Now().Add(30 * time.Second)
		handle := func(ctx context.Context, ev events.KinesisEvent) (events.KinesisEventResponse, error) {
			if time.Now().After(fix) {
				return tr.reports("")(ctx, ev)
			}
			return tr.reports("dfe")(ctx, ev)
		}
		life := startField(f, handle, consumer.WithMetrics(snap))
		time.Sleep(25 * time.Second) // a checkpoint is written meanwhile
		all := tr.attempts()
		want(t, "attempts", tr.lines()[:5], "1 abcdef", "1 def", "2 def", "3 def", "4 def")
		if all[0].RequestID == all[1].RequestID || all[1].RequestID != all[2].RequestID {
			t.Errorf("request ids %s, %s, %s: want a new one after progress, and the same one for a retry", all[0].RequestID, all[1].RequestID, all[2].RequestID)
		}
		if d := all[1].at.Sub(all[0].at); d > 10*time.Millisecond {
			t.Errorf("the rest was tried %v after progress, want no backoff", d)
		}
		between(t, "the first backoff", all[2].at.Sub(all[1].at), 200*time.Millisecond)
		between(t, "the second backoff", all[3].at.Sub(all[2].at), 400*time.Millisecond)
		third := f.srv.Records("orders")[2].SequenceNumber
		if ck := f.checkpoint(); !strings.Contains(ck, third) {
			t.Errorf("checkpoint %s, want it behind the third record, %s", ck, third)
		}
		time.Sleep(time.Minute)
		if last := tr.lines()[len(tr.lines())-1]; !strings.HasSuffix(last, " def") {
			t.Errorf("the last attempt was %q, want def", last)
		}
		if n := snap.Sum(metrics.FailedInvokeEventCount); n != snap.Sum(metrics.InvokedEventCount)-3 {
			t.Errorf("%v of %v records failed, want all but those of the last attempt", n, snap.Sum(metrics.InvokedEventCount))
		}
		life.stop()
		if ck := f.checkpoint(); !strings.Contains(ck, f.srv.Records("orders")[5].SequenceNumber) {
			t.Errorf("checkpoint %s, want it behind the last record", ck)
		}
	})
}

// With bisecting and reports, progress cuts at the lowest record reported; an error, and a report of the first record,
// halves. Every piece has a request id and all its attempts, and the right half follows all of the left one.
func TestContractProgressAndBisect(t *testing.T) {
	t.Parallel()
	proves(t, "L30", "L29", "L28", "L27")
	inContract(t, 1, func(f *field) {
		tr := new(trace)
		f.letters(shard0, "abcdefgh")
		f.since = time.Now()
		life := startField(f, func(ctx context.Context, ev events.KinesisEvent) (events.KinesisEventResponse, error) {
			if dataOf(ev.Records) == "fgh" {
				tr.add(ctx, ev.Records)
				return events.KinesisEventResponse{}, errPoison
			}
			return tr.reports("cf")(ctx, ev)
		}, consumer.WithBisectOnError(true), consumer.WithMaxRetryAttempts(1), consumer.WithOnFailure(tr))
		time.Sleep(30 * time.Second)
		want(t, "attempts", tr.lines(),
			"1 abcdefgh", // progress to c
			"1 cdefgh",   // no progress
			"1 cde",      // the left half, again without progress
			"1 c", "2 c", // given up
			"1 de",  //
			"1 fgh", // the right half, an error
			"1 f", "2 f", "1 gh")
		want(t, "documents", tr.documents(), "c RetryAttemptsExhausted 2", "f RetryAttemptsExhausted 2")
		ids := map[string]int{}
		for _, a := range tr.attempts() {
			ids[a.RequestID]++
		}
		if len(ids) != 8 {
			t.Errorf("%d request ids, want one for each of 8 slices", len(ids))
		}
		for _, p := range tr.partings() {
			if ids[p.RequestID] != 2 {
				t.Errorf("the document of %s has the request id of %d attempts, want its 2", p.data, ids[p.RequestID])
			}
		}
		life.stop()
	})
}

// Identifiers that are none of the batch fail it as a whole, also beside valid ones: nothing is resolved.
func TestContractUnknownIdentifiers(t *testing.T) {
	t.Parallel()
	proves(t, "C8", "L38", "L36")
	for name, id := range map[string]string{"of no record": "49671000000000000000000000000000000000000000000000000012", "empty": ""} {
		t.Run(name, func(t *testing.T) {
			inContract(t, 1, func(f *field) {
				tr := new(trace)
				f.letters(shard0, "abc")
				life := startField(f, func(ctx context.Context, ev events.KinesisEvent) (events.KinesisEventResponse, error) {
					tr.add(ctx, ev.Records)
					return events.KinesisEventResponse{BatchItemFailures: []events.KinesisBatchItemFailure{
						{ItemIdentifier: ev.Records[1].Kinesis.SequenceNumber}, {ItemIdentifier: id},
					}}, nil
				}, consumer.WithMaxRetryAttempts(2), consumer.WithOnFailure(tr))
				time.Sleep(10 * time.Second)
				want(t, "attempts", tr.lines(), "1 abc", "2 abc", "3 abc")
				want(t, "documents", tr.documents(), "abc RetryAttemptsExhausted 3")
				if doc := string(tr.partings()[0].Document()); !strings.Contains(doc, `"functionError":null`) {
					t.Errorf("document %s: want no function error, for there was a response", doc)
				}
				life.stop()
			})
		})
	}
}

// An error counts, whatever response comes with it.
func TestContractErrorBesideResponse(t *testing.T) {
	t.Parallel()
	proves(t, "L3")
	inContract(t, 1, func(f *field) {
		tr := new(trace)
		f.letters(shard0, "abc")
		life := startField(f, func(ctx context.Context, ev events.KinesisEvent) (events.KinesisEventResponse, error) {
			resp, _ := tr.reports("c")(ctx, ev)
			return resp, errPoison
		}, consumer.WithMaxRetryAttempts(1), consumer.WithOnFailure(tr))
		time.Sleep(10 * time.Second)
		want(t, "attempts", tr.lines(), "1 abc", "2 abc")
		if doc := string(tr.partings()[0].Document()); !strings.Contains(doc, `"functionError":"Unhandled"`) {
			t.Errorf("document %s: want Unhandled", doc)
		}
		life.stop()
	})
}
