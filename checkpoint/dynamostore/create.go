package dynamostore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Create makes the table if it is not there, billed on demand, and returns when it can be used; that takes some ten
// seconds. A table that is there is left as it is, if it has the right keys: otherwise the error wraps [ErrKeys]. Many
// may call Create at once, and again after an error. It waits until ctx is done.
//
// A table that is made in another way needs the partition key p and the sort key k, both strings, and nothing else. Then
// Create need not be called.
func (s *Store) Create(ctx context.Context) error {
	if err := s.create(ctx); err != nil {
		return s.failed("Create", "", err, false)
	}
	return nil
}

func (s *Store) create(ctx context.Context) error {
	if err := s.Validate(); err != nil {
		return err
	}
	s.layout.buckets.Store(0) // the table may be another one than before
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		usable, err := s.look(ctx)
		if err == nil && usable {
			_, err = s.buckets(ctx)
		}
		switch {
		case code(err) == "ResourceNotFoundException": // not everywhere yet, or deleted meanwhile
		case err != nil, usable:
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// look reports whether the table can be used, and makes it if there is none.
func (s *Store) look(ctx context.Context) (usable bool, err error) {
	limit, cancel := limited(ctx)
	defer cancel()
	out, err := s.client.DescribeTable(limit, &dynamodb.DescribeTableInput{TableName: &s.table}, s.once)
	if code(err) == "ResourceNotFoundException" {
		return false, s.make(ctx)
	}
	if err != nil {
		return false, err
	}
	switch status := out.Table.TableStatus; status {
	case types.TableStatusCreating, types.TableStatusActive, types.TableStatusUpdating:
		return status != types.TableStatusCreating, checkKeys(out.Table)
	case types.TableStatusDeleting: // and is made again when it is gone
		return false, nil
	default:
		return false, fmt.Errorf("the table is %s", status)
	}
}

func (s *Store) make(ctx context.Context) error {
	ctx, cancel := limited(ctx)
	defer cancel()
	p, k := "p", "k"
	_, err := s.client.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: &s.table, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: &p, AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: &k, AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: &p, KeyType: types.KeyTypeHash},
			{AttributeName: &k, KeyType: types.KeyTypeRange},
		},
	}, s.once)
	if code(err) == "ResourceInUseException" { // another one makes it, or has not deleted it yet
		return nil
	}
	return err
}

func checkKeys(t *types.TableDescription) error {
	kinds := make(map[string]types.ScalarAttributeType)
	for _, a := range t.AttributeDefinitions {
		kinds[*a.AttributeName] = a.AttributeType
	}
	var have []string
	for _, k := range t.KeySchema {
		have = append(have, fmt.Sprintf("%s (%s, %s)", *k.AttributeName, kinds[*k.AttributeName], k.KeyType))
	}
	const want = "p (S, HASH), k (S, RANGE)"
	if have := strings.Join(have, ", "); have != want {
		return fmt.Errorf("%w: %s instead of %s: give another table", ErrKeys, have, want)
	}
	return nil
}
