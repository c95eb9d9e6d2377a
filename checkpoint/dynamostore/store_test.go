package dynamostore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/checkpoint/checkpointtest"
	"github.com/shardlane/shardlane/checkpoint/dynamostore"
)

func TestConformance(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		table := s.table(t)
		checkpointtest.Run(t, func(*testing.T) (a, b checkpoint.Store) {
			return s.store(table), s.store(table).Reserved()
		})
		checkpointtest.Reopen(t, func(*testing.T) checkpoint.Store { return s.store(table) })
	})
}

// asLeases makes every key that of a lease.
type asLeases struct{ checkpoint.Store }

func (s asLeases) List(ctx context.Context, prefix string) ([]checkpoint.Entry, error) {
	all, err := s.Store.List(ctx, "group/lease/"+prefix)
	for i := range all {
		all[i].Key = strings.TrimPrefix(all[i].Key, "group/lease/")
	}
	return all, err
}

func (s asLeases) Get(ctx context.Context, key string) (checkpoint.Entry, error) {
	e, err := s.Store.Get(ctx, "group/lease/"+key)
	e.Key = key
	return e, err
}

func (s asLeases) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	key := e.Key
	e.Key = "group/lease/" + e.Key
	e, err := s.Store.Swap(ctx, e)
	e.Key = key
	return e, err
}

func (s asLeases) Delete(ctx context.Context, e checkpoint.Entry) error {
	e.Key = "group/lease/" + e.Key
	return s.Store.Delete(ctx, e)
}

// TestConformanceOfBuckets holds rows that are spread to the rules.
func TestConformanceOfBuckets(t *testing.T) {
	s := dynalite().up(t)
	table := s.table(t, dynamostore.WithBuckets(4))
	checkpointtest.Run(t, func(*testing.T) (a, b checkpoint.Store) {
		return asLeases{s.store(table)}, asLeases{s.store(table)}
	})
}

// TestRace lets 16 writers with clients of their own put a row, change it and delete it: one of them does.
func TestRace(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		const writers, rounds = 16, 60
		table := s.table(t)
		stores := make([]checkpoint.Store, writers)
		for i := range stores {
			stores[i] = s.store(table)
		}
		row := checkpoint.Entry{Key: "billing/lease/orders/1"}
		for round := range rounds {
			remove := round%3 == 2
			got, errs := make([]checkpoint.Entry, writers), make([]error, writers)
			start := make(chan struct{})
			var wg sync.WaitGroup
			for i, st := range stores {
				wg.Go(func() {
					<-start
					if e := row; remove {
						got[i], errs[i] = checkpoint.Entry{Key: row.Key}, st.Delete(t.Context(), e)
					} else {
						e.Value = fmt.Appendf(nil, "%d by %d", round, i)
						got[i], errs[i] = st.Swap(t.Context(), e)
					}
				})
			}
			close(start)
			wg.Wait()
			winners := 0
			for i, err := range errs {
				if err == nil {
					winners++
					row = got[i]
				} else if !errors.Is(err, checkpoint.ErrConflict) {
					t.Fatalf("round %d, writer %d: %v", round, i, err)
				}
			}
			if winners != 1 {
				t.Fatalf("round %d: %d winners", round, winners)
			}
			if now, err := stores[round%writers].Get(t.Context(), row.Key); err != nil || now.Revision != row.Revision {
				t.Fatalf("round %d: the row is %v, %v, and the winner wrote %v", round, now, err, row)
			}
		}
	})
}

// A deviation is what a server does that DynamoDB does not.
type deviation struct{ server, what string }

// deviates reports whether that is known of s. A test that sees another deviation fails, and one that no longer sees a
// known one, too.
func (s server) deviates(what string) bool {
	return slices.Contains([]deviation{
		{"dynalite", "List of no row costs 0.5 units"},
	}, deviation{s.name, what})
}

// TestServers asks the servers for what the tests above take for granted.
func TestServers(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		table := s.table(t)
		st := s.store(table)
		for what, holds := range map[string]func() bool{
			"refuses a key of more than 1,024 bytes": func() bool {
				_, err := st.Swap(t.Context(), checkpoint.Entry{Key: "g/" + strings.Repeat("k", 1100)})
				return errors.Is(err, checkpoint.ErrNotApplied)
			},
			"refuses an empty key": func() bool {
				_, err := st.Swap(t.Context(), checkpoint.Entry{})
				return errors.Is(err, checkpoint.ErrNotApplied)
			},
			"answers pages of 1 MB": func() bool {
				for i := range 20 {
					if _, err := st.Swap(t.Context(), checkpoint.Entry{Key: fmt.Sprint("large/", i), Value: make([]byte, checkpoint.MaxValue)}); err != nil {
						t.Fatal(err)
					}
				}
				out, err := s.connect().Query(t.Context(), &dynamodb.QueryInput{
					TableName: &table, KeyConditionExpression: ptr("p = :p"),
					ExpressionAttributeValues: map[string]types.AttributeValue{":p": &types.AttributeValueMemberS{Value: "large/"}},
				})
				return err == nil && len(out.LastEvaluatedKey) > 0 && out.Count < 20
			},
		} {
			if holds() == s.deviates(what) {
				t.Errorf("%s: %v, and known as a deviation: %v", what, !s.deviates(what), s.deviates(what))
			}
		}
	})
}

func ptr[T any](v T) *T { return &v }

// TestAllRows lists what has no group to look in.
func TestAllRows(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		st := s.store(s.table(t, dynamostore.WithBuckets(3)))
		want := map[string]bool{}
		for _, key := range []string{"a", "layout", "a/", "ab/lease/s/1", "ab/lease/s/2", "ab/member/w/1", "b/stream/s", "/", "//"} {
			if _, err := st.Swap(t.Context(), checkpoint.Entry{Key: key}); err != nil {
				t.Fatal(err)
			}
			want[key] = true
		}
		for _, prefix := range []string{"", "a", "ab", "ab/", "ab/l", "ab/lease/", "ab/m", "b/stream/s", "/", "l", "x"} {
			all, err := st.List(t.Context(), prefix)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			for _, e := range all {
				if !want[e.Key] || seen[e.Key] || !strings.HasPrefix(e.Key, prefix) {
					t.Errorf("List of %q has %q", prefix, e.Key)
				}
				seen[e.Key] = true
			}
			for key := range want {
				if strings.HasPrefix(key, prefix) && !seen[key] {
					t.Errorf("List of %q lacks %q", prefix, key)
				}
			}
		}
	})
}
