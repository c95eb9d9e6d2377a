package dynamostore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/checkpoint/dynamostore"
)

func layoutRow() map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"p": &types.AttributeValueMemberS{Value: "layout"}, "k": &types.AttributeValueMemberS{Value: "layout"}}
}

// TestPolicy compares the policy of the package comment with the calls of a Client.
func TestPolicy(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var policy struct {
		Version   string
		Statement []struct {
			Effect, Resource string
			Action           []string
		}
	}
	_, block, _ := strings.Cut(strings.ReplaceAll(string(text), "\n//\t", "\n"), "\n{\n")
	block, _, _ = strings.Cut(block, "\n//")
	if err := json.Unmarshal([]byte("{"+block), &policy); err != nil {
		t.Fatal(err)
	}
	if policy.Version != "2012-10-17" || len(policy.Statement) != 1 || policy.Statement[0].Effect != "Allow" || !strings.HasPrefix(policy.Statement[0].Resource, "arn:aws:dynamodb:") {
		t.Errorf("policy %+v", policy)
	}
	var want []string
	client := reflect.TypeFor[dynamostore.Client]()
	for i := range client.NumMethod() {
		want = append(want, "dynamodb:"+client.Method(i).Name)
	}
	if got := slices.Sorted(slices.Values(policy.Statement[0].Action)); !slices.Equal(got, want) {
		t.Errorf("the policy allows %q, the calls are %q", got, want)
	}
}

// A metered client adds up what calls cost.
type metered struct {
	*dynamodb.Client
	units float64
}

func (m *metered) add(c *types.ConsumedCapacity) {
	if c != nil {
		m.units += *c.CapacityUnits
	}
}

func (m *metered) GetItem(ctx context.Context, in *dynamodb.GetItemInput, opts ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	in.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
	out, err := m.Client.GetItem(ctx, in, opts...)
	if err == nil {
		m.add(out.ConsumedCapacity)
	}
	return out, err
}

func (m *metered) PutItem(ctx context.Context, in *dynamodb.PutItemInput, opts ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	in.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
	out, err := m.Client.PutItem(ctx, in, opts...)
	if err == nil {
		m.add(out.ConsumedCapacity)
	}
	return out, err
}

func (m *metered) DeleteItem(ctx context.Context, in *dynamodb.DeleteItemInput, opts ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error) {
	in.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
	out, err := m.Client.DeleteItem(ctx, in, opts...)
	if err == nil {
		m.add(out.ConsumedCapacity)
	}
	return out, err
}

func (m *metered) Query(ctx context.Context, in *dynamodb.QueryInput, opts ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	in.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
	out, err := m.Client.Query(ctx, in, opts...)
	if err == nil {
		m.add(out.ConsumedCapacity)
	}
	return out, err
}

// TestCosts holds the table of costs in the package comment to what dynalite charges.
func TestCosts(t *testing.T) {
	s := dynalite().up(t)
	m := &metered{Client: s.connect()}
	st := dynamostore.New(m, s.table(t, dynamostore.WithBuckets(2)))
	var small, other, large checkpoint.Entry
	const key = "billing/lease/123456789012:orders:1700000000/shardId-000000000007"
	swap := func(e *checkpoint.Entry, key string, size int) func() (err error) {
		return func() (err error) {
			e.Key, e.Value = key, []byte(strings.Repeat("v", size))
			*e, err = st.Swap(t.Context(), *e)
			return err
		}
	}
	list := func(prefix string) func() error {
		return func() error { _, err := st.List(t.Context(), prefix); return err }
	}
	get := func(key string) func() error {
		return func() error { _, err := st.Get(t.Context(), key); return err }
	}
	for _, c := range []struct {
		what  string
		units float64
		do    func() error
	}{
		{"the first call, and Get of no row", 2, get("none/x")},
		{"Get of no row", 1, get("none/x")},
		{"Swap of a lease with 850 bytes", 1, swap(&small, key, 850)},
		{"Swap of a lease with 1,000 bytes", 2, swap(&small, key, 1000)},
		{"Swap back", 2, swap(&small, key, 850)},
		{"Get of it", 1, get(key)},
		{"Swap of 10,000 bytes", 10, swap(&large, "billing/member/w/1", 10_000)},
		{"Get of it", 3, get("billing/member/w/1")},
		{"List of it", 1.5, list("billing/member/")},
		{"List of no row", 0.5, list("billing/stream/")},
		{"Swap of the row of another shard", 1, swap(&other, "billing/lease/123456789012:orders:1700000000/shardId-000000000008", 850)},
		{"List of two buckets with a row each", 1, list("billing/lease/")},
		{"Delete of 10,000 bytes", 10, func() error { return st.Delete(t.Context(), large) }},
		{"Delete of no row", 1, func() error { return st.Delete(t.Context(), checkpoint.Entry{Key: "none/x"}) }},
	} {
		m.units = 0
		err := c.do()
		if known := s.deviates(fmt.Sprintf("%s costs %v units", c.what, c.units)); err != nil || (m.units == c.units) == known {
			t.Errorf("%s: %v, %v units, want %v; known as a deviation: %v", c.what, err, m.units, c.units, known)
		}
	}
}
