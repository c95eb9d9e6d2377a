package dynamostore_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/checkpoint/dynamostore"
)

// TestBuckets lets workers with different settings, each of which comes first in one race, use one table.
func TestBuckets(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		table := s.table(t, dynamostore.WithBuckets(4))
		e, err := s.store(table).Swap(t.Context(), checkpoint.Entry{Key: "billing/lease/s/1"})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.store(table, dynamostore.WithBuckets(4)).Get(t.Context(), e.Key); err != nil || got.Revision != e.Revision {
			t.Errorf("with the same number: %v, %v", got, err)
		}
		other := s.store(table, dynamostore.WithBuckets(1))
		for op, call := range calls(other) {
			if err := call(t.Context()); !errors.Is(err, dynamostore.ErrBuckets) || !strings.Contains(err.Error(), "the table has 4, the option says 1") {
				t.Errorf("with another number: %s: %v", op, err)
			}
		}
		if err := other.Create(t.Context()); !errors.Is(err, dynamostore.ErrBuckets) {
			t.Errorf("Create with another number: %v", err)
		}
	})
}

// TestFirstUse lets several come first.
func TestFirstUse(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		for range 5 {
			table := s.table(t)
			if _, err := s.connect().DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &table, Key: layoutRow()}); err != nil {
				t.Fatal(err)
			}
			stores, errs := make([]*dynamostore.Store, 8), make([]error, 8)
			var wg sync.WaitGroup
			for i := range stores {
				stores[i] = s.store(table, dynamostore.WithBuckets(1+i))
				wg.Go(func() {
					_, errs[i] = stores[i].Swap(t.Context(), checkpoint.Entry{Key: "billing/lease/s/" + string(rune('a'+i))})
				})
			}
			wg.Wait()
			winners := 0
			for i, err := range errs {
				switch {
				case err == nil:
					winners++
				case !errors.Is(err, dynamostore.ErrBuckets) || !errors.Is(err, checkpoint.ErrNotApplied):
					t.Errorf("%d buckets: %v", i+1, err)
				}
			}
			if all, err := s.store(table).List(t.Context(), "billing/lease/"); winners != 1 || err != nil || len(all) != 1 {
				t.Errorf("%d winners, rows %v, %v", winners, all, err)
			}
		}
	})
}

// TestMoreBuckets moves a group to a table with another number of buckets.
func TestMoreBuckets(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		few, many := s.store(s.table(t)), s.store(s.table(t, dynamostore.WithBuckets(4)))
		keys := []string{"billing/stream/s"}
		for i := range 20 {
			keys = append(keys, fmt.Sprint("billing/lease/s/", i))
		}
		for _, key := range append(keys, "other/stream/s") {
			if _, err := few.Swap(t.Context(), checkpoint.Entry{Key: key, Value: []byte("{}")}); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := checkpoint.Copy(t.Context(), many, few, "billing"); err != nil || n != len(keys) {
			t.Fatalf("copied %d, %v", n, err)
		}
		for _, key := range keys {
			if e, err := many.Get(t.Context(), key); err != nil || e.Revision == "" {
				t.Errorf("%s: %v, %v", key, e, err)
			}
		}
		if all, err := many.List(t.Context(), ""); err != nil || len(all) != len(keys) {
			t.Errorf("%d rows, %v", len(all), err)
		}
	})
}

// TestLayoutOfOthers refuses a table whose layout it does not know.
func TestLayoutOfOthers(t *testing.T) {
	for value, want := range map[string]string{
		`"v":{"S":"{\"v\":2,\"shape\":\"round\"}"}`: "newer version",
		`"v":{"S":"{\"v\":1,\"buckets\":0}"}`:       `the row "layout" says`,
		`"v":{"S":"hello"}`:                         `the row "layout" says`,
		`"x":{"S":"hello"}`:                         `the row "layout" says`,
	} {
		st := dynamostore.New(answers(func(op, body string) (int, string) {
			if op != "GetItem" {
				t.Errorf("%s %s", op, body)
			}
			return 200, `{"Item":{"k":{"S":"layout"},"r":{"S":"1"},` + value + `}}`
		}), "table")
		for op, call := range calls(st) {
			if err := call(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %s: %v", value, op, err)
			}
		}
	}
}

func TestValidate(t *testing.T) {
	c := new(dynamodb.Client)
	for want, st := range map[string]*dynamostore.Store{
		"":                                  dynamostore.New(c, "table", dynamostore.WithBuckets(0), dynamostore.WithBuckets(256)),
		"no client":                         dynamostore.New(nil, "table"),
		"dynamostore: no client":            dynamostore.New((*dynamodb.Client)(nil), "table"),
		"no table":                          dynamostore.New(c, ""),
		"WithBuckets(0): out of range 1 to": dynamostore.New(c, "table", dynamostore.WithBuckets(0)),
		"WithBuckets(257):":                 dynamostore.New(c, "table", dynamostore.WithBuckets(257)),
		"WithBuckets(-1):":                  dynamostore.New(c, "table", dynamostore.WithBuckets(-1)),
	} {
		err := st.Validate()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if want == "" {
			continue
		}
		for op, call := range calls(st) {
			if err := call(t.Context()); err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(want, "dynamostore: ")) {
				t.Errorf("%s: error %v, want %q", op, err, want)
			}
		}
	}
}
