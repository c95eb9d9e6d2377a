package dynamostore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/checkpoint/dynamostore"
)

// A local client is a small DynamoDB in memory, which knows the two conditions of a Store. Programs have
// dynamodb.NewFromConfig(cfg) in its place.
type local struct {
	dynamostore.Client // of what is missing below
	made               bool
	rows               map[string]map[string]types.AttributeValue // by sort key
}

func text(v types.AttributeValue) string {
	s, _ := v.(*types.AttributeValueMemberS)
	if s == nil {
		return ""
	}
	return s.Value
}

func (c *local) DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error) {
	if !c.made {
		return nil, &types.ResourceNotFoundException{}
	}
	p, k := "p", "k"
	return &dynamodb.DescribeTableOutput{Table: &types.TableDescription{
		TableStatus:          types.TableStatusActive,
		KeySchema:            []types.KeySchemaElement{{AttributeName: &p, KeyType: types.KeyTypeHash}, {AttributeName: &k, KeyType: types.KeyTypeRange}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: &p, AttributeType: "S"}, {AttributeName: &k, AttributeType: "S"}},
	}}, nil
}

func (c *local) CreateTable(_ context.Context, in *dynamodb.CreateTableInput, _ ...func(*dynamodb.Options)) (*dynamodb.CreateTableOutput, error) {
	fmt.Printf("makes %s, %s\n", *in.TableName, in.BillingMode)
	c.made, c.rows = true, make(map[string]map[string]types.AttributeValue)
	return &dynamodb.CreateTableOutput{}, nil
}

func (c *local) GetItem(_ context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return &dynamodb.GetItemOutput{Item: c.rows[text(in.Key["k"])]}, nil
}

func (c *local) PutItem(_ context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	k := text(in.Item["k"])
	if text(c.rows[k]["r"]) != text(in.ExpressionAttributeValues[":r"]) {
		return nil, &types.ConditionalCheckFailedException{}
	}
	c.rows[k] = in.Item
	return &dynamodb.PutItemOutput{}, nil
}

func (c *local) Query(_ context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	out := new(dynamodb.QueryOutput)
	for k, row := range c.rows {
		if text(row["p"]) == text(in.ExpressionAttributeValues[":p"]) && strings.HasPrefix(k, text(in.ExpressionAttributeValues[":k"])) {
			out.Items = append(out.Items, row)
		}
	}
	return out, nil
}

// A consumer is given the Store by consumer.WithCheckpointer, and calls it itself. What it does is to change rows that
// nobody else has changed meanwhile.
func Example() {
	ctx := context.Background()
	table := dynamostore.New(new(local), "shardlane")
	if err := table.Create(ctx); err != nil {
		fmt.Println(err)
		return
	}
	first, err := table.Swap(ctx, checkpoint.Entry{Key: "billing/lease/orders/1", Value: []byte(`{"owner":"a"}`)})
	if err != nil {
		fmt.Println(err)
		return
	}
	first.Value = []byte(`{"owner":"b"}`)
	if _, err = table.Swap(ctx, first); err != nil {
		fmt.Println(err)
		return
	}
	_, err = table.Swap(ctx, first) // somebody was faster
	fmt.Println(errors.Is(err, checkpoint.ErrConflict))
	rows, err := table.List(ctx, "billing/lease/")
	fmt.Printf("%d row, %s, %v\n", len(rows), rows[0].Value, err)
	// Output:
	// makes shardlane, PAY_PER_REQUEST
	// true
	// 1 row, {"owner":"b"}, <nil>
}

// The first Store that uses a table settles its number of buckets. A worker with another number would look for the rows
// where they are not, and so it is refused.
func ExampleWithBuckets() {
	ctx := context.Background()
	client := new(local)
	if err := dynamostore.New(client, "shardlane", dynamostore.WithBuckets(4)).Create(ctx); err != nil {
		fmt.Println(err)
		return
	}
	_, err := dynamostore.New(client, "shardlane").List(ctx, "billing/lease/")
	fmt.Println(err)
	_, err = dynamostore.New(client, "shardlane", dynamostore.WithBuckets(8)).List(ctx, "billing/lease/")
	fmt.Println(err)
	// Output:
	// makes shardlane, PAY_PER_REQUEST
	// <nil>
	// dynamostore: List of "billing/lease/" in table "shardlane": another number of buckets: the table has 4, the option says 8: leave the option out, or move to a new table with checkpoint.Copy
}

// Errors say what can be done, and whether a write may be there.
func ExampleError() {
	table := dynamostore.New(new(missing), "shardlane")
	_, err := table.Swap(context.Background(), checkpoint.Entry{Key: "billing/lease/orders/1"})
	fmt.Println(err)
	fmt.Println(errors.Is(err, checkpoint.ErrNotApplied))
	var e *dynamostore.Error
	fmt.Println(errors.As(err, &e) && e.Op == "Swap")
	// Output:
	// dynamostore: Swap of "billing/lease/orders/1" in table "shardlane": not applied: ResourceNotFoundException: Requested resource not found: call Create, or correct the table's name or the client's region
	// true
	// true
}

type missing struct{ local }

func (*missing) GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	message := "Requested resource not found"
	return nil, &types.ResourceNotFoundException{Message: &message}
}
