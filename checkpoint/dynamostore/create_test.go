package dynamostore_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/shardlane/shardlane/checkpoint/dynamostore"
)

// tables is a client that answers Create by a script: a status for each DescribeTable, or an error's code. The last one
// stays.
type tables struct {
	dynamostore.Client
	script  []string
	create  string // the code of CreateTable's error
	creates int
	keys    []types.KeySchemaElement
}

func failure(code string) error { return &smithy.GenericAPIError{Code: code, Message: "no"} }

func (c *tables) DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error) {
	status := c.script[0]
	if len(c.script) > 1 {
		c.script = c.script[1:]
	}
	if strings.HasSuffix(status, "Exception") {
		return nil, failure(status)
	}
	keys := c.keys
	if keys == nil {
		keys = []types.KeySchemaElement{{AttributeName: ptr("p"), KeyType: types.KeyTypeHash}, {AttributeName: ptr("k"), KeyType: types.KeyTypeRange}}
	}
	var attributes []types.AttributeDefinition
	for _, k := range keys {
		attributes = append(attributes, types.AttributeDefinition{AttributeName: k.AttributeName, AttributeType: types.ScalarAttributeTypeS})
	}
	return &dynamodb.DescribeTableOutput{Table: &types.TableDescription{
		TableStatus: types.TableStatus(status), KeySchema: keys, AttributeDefinitions: attributes,
	}}, nil
}

func (c *tables) CreateTable(_ context.Context, in *dynamodb.CreateTableInput, _ ...func(*dynamodb.Options)) (*dynamodb.CreateTableOutput, error) {
	c.creates++
	if in.BillingMode != types.BillingModePayPerRequest {
		return nil, failure("ValidationException")
	}
	if c.create != "" {
		return nil, failure(c.create)
	}
	return &dynamodb.CreateTableOutput{}, nil
}

func (c *tables) GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	if c.script[0] != "ACTIVE" && c.script[0] != "UPDATING" {
		return nil, failure("ResourceNotFoundException")
	}
	return &dynamodb.GetItemOutput{Item: map[string]types.AttributeValue{
		"k": &types.AttributeValueMemberS{Value: "layout"}, "r": &types.AttributeValueMemberS{Value: "1"},
		"v": &types.AttributeValueMemberS{Value: `{"v":1,"buckets":1}`},
	}}, nil
}

func TestCreate(t *testing.T) {
	const none = "ResourceNotFoundException"
	for name, c := range map[string]struct {
		tables
		creates int
		want    string // in the error
	}{
		"there":                          {tables{script: []string{"ACTIVE"}}, 0, ""},
		"there and changing":             {tables{script: []string{"UPDATING"}}, 0, ""},
		"made":                           {tables{script: []string{none, "CREATING", "CREATING", "ACTIVE"}}, 1, ""},
		"made and seen late":             {tables{script: []string{none, none, "CREATING", "ACTIVE"}}, 2, ""},
		"made by another one":            {tables{script: []string{none, "CREATING", "ACTIVE"}, create: "ResourceInUseException"}, 1, ""},
		"deleted before":                 {tables{script: []string{"DELETING", "DELETING", none, "CREATING", "ACTIVE"}}, 1, ""},
		"usable later than it is told":   {tables{script: []string{none, "ACTIVE", none, "ACTIVE"}}, 2, ""},
		"may not describe":               {tables{script: []string{"AccessDeniedException"}}, 0, "allow "},
		"may not create":                 {tables{script: []string{none}, create: "AccessDeniedException"}, 1, "allow "},
		"too many tables":                {tables{script: []string{none}, create: "LimitExceededException"}, 1, "LimitExceeded"},
		"never made":                     {tables{script: []string{none, "CREATING"}}, 1, "deadline exceeded"},
		"key of encryption out of sight": {tables{script: []string{"INACCESSIBLE_ENCRYPTION_CREDENTIALS"}}, 0, "INACCESSIBLE"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := dynamostore.New(&c.tables, "table").Create(ctx)
				if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, want %q", err, c.want)
				}
				if c.tables.creates != c.creates {
					t.Errorf("%d calls of CreateTable, want %d", c.tables.creates, c.creates)
				}
			})
		})
	}
}

func TestCreateWithOtherKeys(t *testing.T) {
	p, k := ptr("p"), ptr("k")
	for _, keys := range [][]types.KeySchemaElement{
		{{AttributeName: ptr("leaseKey"), KeyType: types.KeyTypeHash}},
		{{AttributeName: p, KeyType: types.KeyTypeHash}},
		{{AttributeName: k, KeyType: types.KeyTypeHash}, {AttributeName: p, KeyType: types.KeyTypeRange}},
	} {
		err := dynamostore.New(&tables{script: []string{"CREATING"}, keys: keys}, "table").Create(t.Context())
		if !errors.Is(err, dynamostore.ErrKeys) || !strings.Contains(err.Error(), *keys[0].AttributeName+" (S, HASH)") {
			t.Errorf("error %v", err)
		}
	}
}

// TestCreateOnServers makes a table from eight processes at once, and uses one that somebody else has made.
func TestCreateOnServers(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		table, errs := s.table(t), make([]error, 8)
		if _, err := s.connect().DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: &table}); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { errs[i] = s.store(table).Create(t.Context()) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		out, err := s.connect().DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &table})
		if err != nil || out.Table.BillingModeSummary == nil || out.Table.BillingModeSummary.BillingMode != types.BillingModePayPerRequest {
			t.Errorf("%+v, %v", out, err)
		}
		used := s.store(table)
		if _, err := used.Get(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.connect().DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: &table}); err != nil {
			t.Fatal(err)
		}
		if err := used.Create(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.store(table, dynamostore.WithBuckets(2)).Get(t.Context(), "k"); !errors.Is(err, dynamostore.ErrBuckets) {
			t.Errorf("a table that is made once more is laid out for 1 bucket: error %v", err)
		}
		other := table + "-other"
		_, err = s.connect().CreateTable(t.Context(), &dynamodb.CreateTableInput{
			TableName: &other, BillingMode: types.BillingModePayPerRequest,
			AttributeDefinitions: []types.AttributeDefinition{{AttributeName: ptr("p"), AttributeType: types.ScalarAttributeTypeN}},
			KeySchema:            []types.KeySchemaElement{{AttributeName: ptr("p"), KeyType: types.KeyTypeHash}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.store(other).Create(t.Context()); !errors.Is(err, dynamostore.ErrKeys) || !strings.Contains(err.Error(), "p (N, HASH) instead of") {
			t.Errorf("error %v", err)
		}
		// Whoever does not call Create is told the same by the first call.
		_, err = s.store(other).Get(t.Context(), "k")
		for err != nil && strings.Contains(err.Error(), "call Create") { // it is not ready
			_, err = s.store(other).Get(t.Context(), "k")
		}
		if err == nil || !strings.Contains(err.Error(), "its partition key must be p") {
			t.Errorf("error %v", err)
		}
	})
}
