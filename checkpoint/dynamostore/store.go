package dynamostore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/shardlane/shardlane/checkpoint"
)

var _ checkpoint.Store = (*Store)(nil)

// A Client makes the calls of a Store, as a *dynamodb.Client does. It must heed the options that a call is given: with
// them, a Store switches retries off.
type Client interface {
	GetItem(ctx context.Context, in *dynamodb.GetItemInput, opts ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	PutItem(ctx context.Context, in *dynamodb.PutItemInput, opts ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	DeleteItem(ctx context.Context, in *dynamodb.DeleteItemInput, opts ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	Query(ctx context.Context, in *dynamodb.QueryInput, opts ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	Scan(ctx context.Context, in *dynamodb.ScanInput, opts ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
	DescribeTable(ctx context.Context, in *dynamodb.DescribeTableInput, opts ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
	CreateTable(ctx context.Context, in *dynamodb.CreateTableInput, opts ...func(*dynamodb.Options)) (*dynamodb.CreateTableOutput, error)
}

// A Store keeps rows in one DynamoDB table. Its methods may be called from several goroutines at once.
type Store struct {
	client Client
	table  string
	given  bool // WithBuckets
	asked  int  // its number
	layout *layout
	conns  *conns // nil: those of the client
}

// An Option changes a Store.
type Option func(*Store)

// WithBuckets spreads the lease rows of a group over n partitions, 1 to 256. A table has one number of buckets: the
// first Store that uses a table notes it there, one without this option takes what it finds, and one with another number
// gets [ErrBuckets] at every call. The package comment says when one bucket is not enough. Defaults to what the table
// has, and for a new one to 1.
func WithBuckets(n int) Option {
	return func(s *Store) { s.given, s.asked = true, n }
}

// New returns a Store of the rows in table. It makes no call; what is wrong is said by [Store.Validate] and by every
// other method.
func New(c Client, table string, opts ...Option) *Store {
	s := &Store{client: c, table: table, layout: new(layout)}
	for _, opt := range opts {
		opt(s)
	}
	return s
}

// Validate returns everything that makes s unfit, without any call: no client, no table, or a number of buckets that is
// out of range.
func (s *Store) Validate() error {
	var errs []error
	if c, ok := s.client.(*dynamodb.Client); s.client == nil || ok && c == nil {
		errs = append(errs, errors.New("dynamostore: no client"))
	}
	if s.table == "" {
		errs = append(errs, errors.New("dynamostore: no table"))
	}
	if s.given && (s.asked < 1 || s.asked > maxBuckets) {
		errs = append(errs, fmt.Errorf("dynamostore: WithBuckets(%d): out of range 1 to %d", s.asked, maxBuckets))
	}
	return errors.Join(errs...)
}

// Reserved returns a Store of the same rows with connections of its own, so that heartbeats do not wait for anything
// else that uses the client. They are made as those of the client are, at the first call, where the client's HTTP client
// is the SDK's own or a *http.Client with a *http.Transport. Any other one is shared.
func (s *Store) Reserved() checkpoint.Store {
	r := *s
	r.conns = new(conns)
	return &r
}

// List returns the rows whose keys start with prefix, page after page until it has all of them. The rows may be a second
// old. A prefix that has no slash reads the whole table; see the package comment.
func (s *Store) List(ctx context.Context, prefix string) ([]checkpoint.Entry, error) {
	n, err := s.buckets(ctx)
	if err == nil {
		err = text(prefix)
	}
	var found []checkpoint.Entry
	if err == nil {
		if parts, ok := partitions(prefix, n); ok {
			for i := 0; i < len(parts) && err == nil; i++ {
				found, err = s.query(ctx, parts[i], prefix, found)
			}
		} else {
			found, err = s.scan(ctx, prefix)
		}
	}
	if err != nil {
		return nil, s.failed("List", prefix, err, false)
	}
	return found, nil
}

// Get returns the row of key by a consistent read, or an Entry with Revision "".
func (s *Store) Get(ctx context.Context, key string) (checkpoint.Entry, error) {
	e := checkpoint.Entry{Key: key}
	n, err := s.buckets(ctx)
	if err == nil {
		err = text(key)
	}
	if err == nil {
		e, err = s.get(ctx, partition(key, n), key)
	}
	if err != nil {
		return checkpoint.Entry{Key: key}, s.failed("Get", key, err, false)
	}
	return e, nil
}

// Swap puts e.Value by one conditional PutItem.
func (s *Store) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	n, err := s.mayWrite(ctx, e)
	if err != nil {
		return e, s.failed("Swap", e.Key, err, true)
	}
	next := e
	next.Revision = rand.Text()
	if err = s.put(ctx, partition(e.Key, n), next, e.Revision); err != nil {
		return e, s.failed("Swap", e.Key, err, refused(err))
	}
	return next, nil
}

// Delete removes the row of e.Key by one conditional DeleteItem.
func (s *Store) Delete(ctx context.Context, e checkpoint.Entry) error {
	n, err := s.mayWrite(ctx, e)
	if err != nil {
		return s.failed("Delete", e.Key, err, true)
	}
	in := &dynamodb.DeleteItemInput{TableName: &s.table, Key: key(partition(e.Key, n), e.Key)}
	in.ConditionExpression, in.ExpressionAttributeValues = unless(e.Revision)
	ctx, cancel := limited(ctx)
	defer cancel()
	if _, err = s.client.DeleteItem(ctx, in, s.once); err != nil {
		return s.failed("Delete", e.Key, err, refused(err))
	}
	return nil
}

// mayWrite says why a write is not even sent, and otherwise how many buckets there are.
func (s *Store) mayWrite(ctx context.Context, e checkpoint.Entry) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := text(e.Key); err != nil {
		return 0, err
	}
	if len(e.Value) > checkpoint.MaxValue {
		return 0, fmt.Errorf("the value has %d bytes, the limit is %d", len(e.Value), checkpoint.MaxValue)
	}
	return s.buckets(ctx)
}

func (s *Store) get(ctx context.Context, part, name string) (checkpoint.Entry, error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.table, Key: key(part, name), ConsistentRead: aws.Bool(true),
	}, s.once)
	if err != nil || len(out.Item) == 0 {
		return checkpoint.Entry{Key: name}, err
	}
	return entry(out.Item)
}

// put writes e if the row is at revision.
func (s *Store) put(ctx context.Context, part string, e checkpoint.Entry, revision string) error {
	in := &dynamodb.PutItemInput{TableName: &s.table, Item: item(part, e)}
	in.ConditionExpression, in.ExpressionAttributeValues = unless(revision)
	ctx, cancel := limited(ctx)
	defer cancel()
	_, err := s.client.PutItem(ctx, in, s.once)
	return err
}

// unless returns the condition that a row is at revision.
func unless(revision string) (*string, map[string]types.AttributeValue) {
	if revision == "" {
		return aws.String("attribute_not_exists(k)"), nil
	}
	return aws.String("r = :r"), map[string]types.AttributeValue{":r": str(revision)}
}

// query adds to found the rows of one partition whose keys start with prefix.
func (s *Store) query(ctx context.Context, part, prefix string, found []checkpoint.Entry) ([]checkpoint.Entry, error) {
	in := &dynamodb.QueryInput{
		TableName: &s.table, KeyConditionExpression: aws.String("p = :p and begins_with(k, :k)"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":p": str(part), ":k": str(prefix)},
	}
	return pages(found, func(start row) ([]row, row, error) {
		in.ExclusiveStartKey = start
		ctx, cancel := limited(ctx)
		defer cancel()
		out, err := s.client.Query(ctx, in, s.once)
		if err != nil {
			return nil, nil, err
		}
		return out.Items, out.LastEvaluatedKey, nil
	})
}

// scan returns the rows of the whole table whose keys start with prefix.
func (s *Store) scan(ctx context.Context, prefix string) ([]checkpoint.Entry, error) {
	in := &dynamodb.ScanInput{TableName: &s.table}
	if prefix != "" {
		in.FilterExpression = aws.String("begins_with(k, :k)")
		in.ExpressionAttributeValues = map[string]types.AttributeValue{":k": str(prefix)}
	}
	return pages(nil, func(start row) ([]row, row, error) {
		in.ExclusiveStartKey = start
		ctx, cancel := limited(ctx)
		defer cancel()
		out, err := s.client.Scan(ctx, in, s.once)
		if err != nil {
			return nil, nil, err
		}
		return out.Items, out.LastEvaluatedKey, nil
	})
}

// pages adds to found what next returns, page after page until there is none.
func pages(found []checkpoint.Entry, next func(start row) ([]row, row, error)) ([]checkpoint.Entry, error) {
	var start row
	for {
		rows, last, err := next(start)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			if isLayout(r) {
				continue
			}
			e, err := entry(r)
			if err != nil {
				return nil, err
			}
			found = append(found, e)
		}
		if len(last) == 0 {
			return found, nil
		}
		start = last
	}
}
