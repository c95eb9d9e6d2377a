package dynamostore_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go"
	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/checkpoint/dynamostore"
)

// calls are the operations on a row, with the call that each makes.
func calls(st checkpoint.Store) map[string]func(ctx context.Context) error {
	e := checkpoint.Entry{Key: "billing/member/w/1", Value: []byte("{}"), Revision: "1"}
	return map[string]func(ctx context.Context) error{
		"GetItem":    func(ctx context.Context) error { _, err := st.Get(ctx, e.Key); return err },
		"Query":      func(ctx context.Context) error { _, err := st.List(ctx, "billing/member/"); return err },
		"Scan":       func(ctx context.Context) error { _, err := st.List(ctx, ""); return err },
		"PutItem":    func(ctx context.Context) error { _, err := st.Swap(ctx, e); return err },
		"DeleteItem": func(ctx context.Context) error { return st.Delete(ctx, e) },
	}
}

// TestRefusals answers each call with an error, once.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		code              string
		status            int
		conflict, certain bool // of writes
		hint              string
	}{
		{"ConditionalCheckFailedException", 400, true, false, ""},
		{"ProvisionedThroughputExceededException", 400, false, true, "is throttled"},
		{"ThrottlingException", 400, false, true, "is throttled"},
		{"RequestLimitExceeded", 400, false, true, "is throttled"},
		{"ResourceNotFoundException", 400, false, true, "call Create, or correct the table's name"},
		{"AccessDeniedException", 400, false, true, "allow dynamodb:"},
		{"UnrecognizedClientException", 400, false, true, "check the client's credentials"},
		{"InvalidSignatureException", 400, false, true, "the clock of this machine"},
		{"ExpiredTokenException", 400, false, true, "new credentials"},
		{"ValidationException", 400, false, true, ""},
		{"InternalServerError", 500, false, false, ""},
		{"ServiceUnavailable", 503, false, false, ""},
		{"ThrottlingException", 503, false, false, "is throttled"}, // from whoever answers in its place
		{"TransactionConflictException", 400, false, false, ""},
		{"OfALaterVersion", 400, false, false, ""},
	} {
		n := map[string]int{}
		for op, call := range calls(dynamostore.New(answers(func(op, body string) (int, string) {
			if answer, ok := readsLayout(op, body); ok {
				return 200, answer
			}
			n[op]++
			return c.status, refusal(c.code)
		}), "table")) {
			err := call(t.Context())
			write := op == "PutItem" || op == "DeleteItem"
			if got := errors.Is(err, checkpoint.ErrConflict); err == nil || got != (write && c.conflict) {
				t.Errorf("%s, %s: is a conflict: %v: %v", c.code, op, got, err)
			}
			if got := errors.Is(err, checkpoint.ErrNotApplied); got != (write && c.certain) {
				t.Errorf("%s, %s: is not applied: %v: %v", c.code, op, got, err)
			}
			if n[op] != 1 {
				t.Errorf("%s: %d calls of %s, want 1", c.code, n[op], op)
			}
			if write && c.conflict {
				continue
			}
			var typed *dynamostore.Error
			var api smithy.APIError
			if !errors.As(err, &typed) || !errors.As(err, &api) || api.ErrorCode() != c.code || !strings.Contains(typed.Hint, c.hint) || !strings.HasSuffix(err.Error(), typed.Hint) {
				t.Errorf("%s, %s: %v, want hint %q", c.code, op, err, c.hint)
			}
			if c.code == "AccessDeniedException" && !strings.Contains(typed.Hint, "dynamodb:"+op+" ") {
				t.Errorf("%s: hint %q", op, typed.Hint)
			}
			if !strings.HasPrefix(err.Error(), "dynamostore: "+typed.Op+" of \""+typed.Key+"\" in table \"table\": ") {
				t.Errorf("%s: %v", op, err)
			}
		}
	}
}

// TestGarbledAnswers holds what is no answer of DynamoDB for unknown.
func TestGarbledAnswers(t *testing.T) {
	for _, c := range []struct {
		status int
		answer string
	}{{200, "<html>"}, {200, `{"Item":`}, {400, "<html>"}, {400, `{"__type":"Conditional`}, {302, ""}, {413, "{}"}} {
		for op, call := range calls(dynamostore.New(answers(func(op, body string) (int, string) {
			if answer, ok := readsLayout(op, body); ok {
				return 200, answer
			}
			return c.status, c.answer
		}), "table")) {
			if err := call(t.Context()); err == nil || errors.Is(err, checkpoint.ErrConflict) || errors.Is(err, checkpoint.ErrNotApplied) {
				t.Errorf("%d %s: %s: %v", c.status, c.answer, op, err)
			}
		}
	}
}

// TestUnsent is about clients that have nothing to send.
func TestUnsent(t *testing.T) {
	never := wire(func(*http.Request) (*http.Response, error) { return nil, errors.New("sent") })
	for hint, o := range map[string]dynamodb.Options{
		"the client finds no credentials": {Region: "eu-west-1", Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{}, errors.New("none")
		})},
		"give the client a region": {Credentials: aws.AnonymousCredentials{}},
	} {
		o.HTTPClient = &http.Client{Transport: never}
		st := dynamostore.New(dynamodb.New(o), "table")
		for op, call := range calls(st) {
			var typed *dynamostore.Error
			err := call(t.Context())
			if !errors.As(err, &typed) || typed.Hint != hint {
				t.Errorf("%s: %v, want hint %q", op, err, hint)
			}
			if write := op == "PutItem" || op == "DeleteItem"; errors.Is(err, checkpoint.ErrNotApplied) != write {
				t.Errorf("%s: the number of buckets could not be read, and a write %v", op, err)
			}
		}
	}
}

// TestThrottled writes through a table that refuses four of five calls: a writer who repeats what is not applied needs
// no read-back.
func TestThrottled(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		table := s.table(t)
		seed := rand.NewPCG(1, 2)
		rnd, applied := rand.New(seed), 0
		st := dynamostore.New(connect(s.url, wire(func(r *http.Request) (*http.Response, error) {
			if rnd.IntN(5) > 0 {
				return refuse(r, "ProvisionedThroughputExceededException"), nil
			}
			if operation(r) == "PutItem" {
				applied++
			}
			return http.DefaultTransport.RoundTrip(r)
		})), table)
		const writes = 50
		row, refusals := checkpoint.Entry{Key: "billing/lease/orders/1"}, 0
		for range writes {
			var err error
			for row, err = st.Swap(t.Context(), row); errors.Is(err, checkpoint.ErrNotApplied); row, err = st.Swap(t.Context(), row) {
				refusals++
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if applied != writes || refusals < 2*writes {
			t.Errorf("%d writes reached the table, want %d; %d were refused", applied, writes, refusals)
		}
		if now, err := s.store(table).Get(t.Context(), row.Key); err != nil || now.Revision != row.Revision {
			t.Errorf("the row is %v, %v, want %v", now, err, row)
		}
	})
}

// TestTableVanishes deletes the table under a Store, and makes another one.
func TestTableVanishes(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		table := s.table(t)
		st := s.store(table)
		row, err := st.Swap(t.Context(), checkpoint.Entry{Key: "billing/lease/orders/1"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.connect().DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: &table}); err != nil {
			t.Fatal(err)
		}
		for op, call := range calls(st) { // dynalite deletes for a while
			var typed *dynamostore.Error
			err := call(t.Context())
			for err == nil || errors.Is(err, checkpoint.ErrConflict) {
				err = call(t.Context())
			}
			if !errors.As(err, &typed) || !strings.HasPrefix(typed.Hint, "call Create") {
				t.Errorf("%s: %v", op, err)
			}
			if write := op == "PutItem" || op == "DeleteItem"; errors.Is(err, checkpoint.ErrNotApplied) != write {
				t.Errorf("%s: %v", op, err)
			}
		}
		if err := s.store(table, dynamostore.WithBuckets(3)).Create(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := st.Swap(t.Context(), row); !errors.Is(err, checkpoint.ErrConflict) {
			t.Errorf("Swap of a row that went with its table: %v", err)
		}
		row.Revision = ""
		if row, err = st.Swap(t.Context(), row); err != nil {
			t.Fatal(err)
		}
		if now, err := s.store(table).Get(t.Context(), row.Key); err != nil || now.Revision != row.Revision {
			t.Errorf("a Store that found 3 buckets has %v, %v, and one that knew 1 wrote %v", now, err, row)
		}
	})
}

// TestBadCalls are refused before anything is sent.
func TestBadCalls(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	st := dynamostore.New(answers(func(op, body string) (int, string) {
		answer, ok := readsLayout(op, body)
		if !ok {
			t.Errorf("%s %s", op, body)
		}
		return 200, answer
	}), "table")
	if _, err := st.Get(t.Context(), "\xff"); err == nil {
		t.Error("Get of a key that is no text: no error")
	}
	for name, do := range map[string]func() error{
		"value": func() error {
			_, err := st.Swap(t.Context(), checkpoint.Entry{Key: "k", Value: make([]byte, checkpoint.MaxValue+1)})
			return err
		},
		"Swap at \xff":   func() error { _, err := st.Swap(t.Context(), checkpoint.Entry{Key: "\xff"}); return err },
		"Delete at \xff": func() error { return st.Delete(t.Context(), checkpoint.Entry{Key: "\xff"}) },
		"ended Swap":     func() error { _, err := st.Swap(ended, checkpoint.Entry{Key: "k"}); return err },
		"ended Delete":   func() error { return st.Delete(ended, checkpoint.Entry{Key: "k"}) },
	} {
		if err := do(); !errors.Is(err, checkpoint.ErrNotApplied) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := st.List(t.Context(), "g/\xff"); err == nil {
		t.Error("List of a prefix that is no text: no error")
	}
}

// TestForeignItems holds what others put into the table for an error, and not for an absent row.
func TestForeignItems(t *testing.T) {
	for _, item := range []string{
		`{"p":{"S":"g/"},"k":{"S":"g/k"}}`,
		`{"p":{"S":"g/"},"k":{"S":"g/k"},"r":{"S":""},"v":{"S":"x"}}`,
		`{"p":{"S":"g/"},"k":{"S":"g/k"},"r":{"N":"1"},"v":{"S":"x"}}`,
		`{"p":{"S":"g/"},"k":{"S":"g/k"},"r":{"S":"1"},"v":{"N":"1"}}`,
		`{"p":{"S":"g/"},"r":{"S":"1"}}`,
	} {
		st := dynamostore.New(answers(func(op, body string) (int, string) {
			if answer, ok := readsLayout(op, body); ok {
				return 200, answer
			}
			return 200, `{"Item":` + item + `,"Items":[` + item + `]}`
		}), "table")
		if e, err := st.Get(t.Context(), "g/k"); !errors.Is(err, dynamostore.ErrItem) {
			t.Errorf("Get with %s: %v, %v", item, e, err)
		}
		if all, err := st.List(t.Context(), "g/"); !errors.Is(err, dynamostore.ErrItem) {
			t.Errorf("List with %s: %v, %v", item, all, err)
		}
	}
}
