package consumer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer"
)

// What a handler of the JSON form returns is read for item failures only where that is asked for; elsewhere it counts for
// nothing, whatever it is.
func TestContractJSONResponse(t *testing.T) {
	t.Parallel()
	proves(t, "L2", "L4", "C8", "L36")
	success, failure := []string{"1 abc"}, []string{"1 abc", "2 abc"}
	for _, tt := range []struct {
		response string // SEQ0, SEQ1 and SEQ2 stand for the sequence numbers
		want     []string
	}{
		{``, success},
		{`null`, success},
		{`""`, success},
		{`[]`, success},
		{`{}`, success},
		{`{"batchItemFailures":null}`, success},
		{`{"batchItemFailures":[]}`, success},
		{`{"other":[{"itemIdentifier":"SEQ1"}]}`, success},
		{`{"batchItemFailures":[{"itemIdentifier":"SEQ2"},{"itemIdentifier":"SEQ1"}]}`, []string{"1 abc", "1 bc", "2 bc"}},
		{`{"batchItemFailures":[{"itemIdentifier":"SEQ0"}]}`, failure},
		{`{"batchItemFailures":[{"itemIdentifier":""}]}`, failure},
		{`{"batchItemFailures":[{"itemIdentifier":null}]}`, failure},
		{`{"batchItemFailures":[{"itemIdentifier":7}]}`, failure},
		{`{"batchItemFailures":[{}]}`, failure},
		{`{"batchItemFailures":[{"id":"SEQ1"}]}`, failure},
		{`{"batchItemFailures":["SEQ1"]}`, failure},
		{`{"batchItemFailures":[{"itemIdentifier":"SEQ1"},{"itemIdentifier":"12"}]}`, failure},
		{`{"batchItemFailures":{"itemIdentifier":"SEQ1"}}`, failure},
		{`{"batchItemFailures":"SEQ1"}`, failure},
		{`ok`, failure},
		{`"ok"`, failure},
		{`200`, failure},
		{`true`, failure},
		{`["SEQ1"]`, failure},
		{`{"batchItemFailures":[]`, failure},
	} {
		for _, reports := range []string{"on", "off", "default"} {
			t.Run(tt.response+" "+reports, func(t *testing.T) {
				inContract(t, 1, func(f *field) {
					tr := new(trace)
					f.letters(shard0, "abc")
					response := tt.response
					for i, r := range f.srv.Records("orders") {
						response = strings.ReplaceAll(response, fmt.Sprint("SEQ", i), r.SequenceNumber)
					}
					opts := consumer.Options(consumer.WithMaxRetryAttempts(1), consumer.WithOnFailure(tr))
					if reports != "default" {
						opts = consumer.Options(opts, consumer.WithReportBatchItemFailures(reports == "on"))
					}
					var last []byte // each response is of the handler's own memory, and is written over by the next call
					life := startField(f, func(ctx context.Context, in []byte) ([]byte, error) {
						var data []byte
						for i, r := range f.srv.Records("orders") {
							if strings.Contains(string(in), `"`+r.SequenceNumber+`"`) {
								data = append(data, "abc"[i])
							}
						}
						a := attempt{data: string(data), at: time.Now()}
						a.Invocation, _ = batch.InvocationFrom(ctx)
						tr.mu.Lock()
						tr.all = append(tr.all, a)
						tr.mu.Unlock()
						clear(last)
						last = []byte(response)
						return last, nil
					}, opts)
					time.Sleep(10 * time.Second)
					wanted := tt.want
					if reports != "on" {
						wanted = success
					}
					want(t, "attempts", tr.lines(), wanted...)
					for _, p := range tr.partings() {
						if doc := string(p.Document()); !strings.Contains(doc, `"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":null}`) {
							t.Errorf("document %s, want one without a function error", doc)
						}
					}
					if gone := len(tr.partings()) > 0; gone != (len(wanted) > 1) {
						t.Errorf("documents %q", tr.documents())
					}
					life.stop()
				})
			})
		}
	}
}
