package dynamostore_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/checkpoint/dynamostore"
)

// TestRequests looks at what is sent: reads of a row are consistent, writes have a condition, and no body can write itself,
// for which see readOnly.
func TestRequests(t *testing.T) {
	sent := map[string]string{}
	st := dynamostore.New(connect("http://127.0.0.1:1", wire(func(r *http.Request) (*http.Response, error) {
		if _, ok := r.Body.(io.WriterTo); ok {
			t.Errorf("the body of %s is a WriterTo", operation(r))
		}
		body, err := io.ReadAll(r.Body)
		if layout, ok := readsLayout(operation(r), string(body)); ok {
			return answer(r, 200, layout), err
		}
		sent[operation(r)] += string(body)
		return answer(r, 200, "{}"), err
	})), "table")
	for op, call := range calls(st) {
		if err := call(t.Context()); err != nil {
			t.Errorf("%s: %v", op, err)
		}
	}
	for op, want := range map[string]string{
		"GetItem": `"ConsistentRead":true`, "Query": `"KeyConditionExpression":"p = :p and begins_with(k, :k)"`, "Scan": `"TableName":"table"`,
		"PutItem": `"ConditionExpression":"r = :r"`, "DeleteItem": `"ConditionExpression":"r = :r"`,
	} {
		if got := sent[op]; !strings.Contains(got, want) || strings.Count(got, "TableName") != 1 {
			t.Errorf("%s sent %s, want %s once", op, got, want)
		}
	}
}

// silent is a client that gets no answer but to the question for the layout.
type silent struct{ tables }

func (silent) PutItem(ctx context.Context, _ *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (silent) Query(ctx context.Context, _ *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestDeadline waits for an answer that does not come.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := dynamostore.New(&silent{tables{script: []string{"ACTIVE"}}}, "table")
		for _, op := range []string{"PutItem", "Query"} {
			start := time.Now()
			err := calls(st)[op](t.Context())
			if took := time.Since(start); took != 5*time.Second || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, checkpoint.ErrNotApplied) || !strings.Contains(err.Error(), "no answer in time") {
				t.Errorf("%s: after %v: %v", op, took, err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			start = time.Now()
			err = calls(st)[op](ctx)
			if took := time.Since(start); took != time.Second || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, checkpoint.ErrNotApplied) {
				t.Errorf("%s with 1 s: after %v: %v", op, took, err)
			}
			cancel()
		}
	})
}
