package dynamostore

import (
	"fmt"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/shardlane/shardlane/checkpoint"
)

// A row is an item of the table. Its attributes are p, the partition, and k, the key, which make its primary key; r, the
// revision; and v, the value: text where it is text, for whoever looks at the table, bytes where it is not, and absent
// where it is empty.
type row = map[string]types.AttributeValue

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func key(part, name string) row { return row{"p": str(part), "k": str(name)} }

func item(part string, e checkpoint.Entry) row {
	r := key(part, e.Key)
	r["r"] = str(e.Revision)
	switch {
	case len(e.Value) == 0:
	case utf8.Valid(e.Value):
		r["v"] = str(string(e.Value))
	default:
		r["v"] = &types.AttributeValueMemberB{Value: e.Value}
	}
	return r
}

// entry returns the Entry in r. Items that this package did not write are an error: as an absent row, somebody would put
// another one in its place.
func entry(r row) (checkpoint.Entry, error) {
	k, _ := r["k"].(*types.AttributeValueMemberS)
	if k == nil {
		return checkpoint.Entry{}, fmt.Errorf("%w: an item has no key k", ErrItem)
	}
	e := checkpoint.Entry{Key: k.Value, Value: []byte{}}
	rev, _ := r["r"].(*types.AttributeValueMemberS)
	if rev == nil || rev.Value == "" {
		return e, fmt.Errorf("%w: %q has no revision r", ErrItem, e.Key)
	}
	e.Revision = rev.Value
	switch v := r["v"].(type) {
	case nil:
	case *types.AttributeValueMemberS:
		e.Value = []byte(v.Value)
	case *types.AttributeValueMemberB:
		e.Value = v.Value
	default:
		return e, fmt.Errorf("%w: the value v of %q is neither a string nor binary", ErrItem, e.Key)
	}
	return e, nil
}

// text refuses keys that JSON would change on their way to the table, so that two of them could become one.
func text(key string) error {
	if !utf8.ValidString(key) {
		return fmt.Errorf("the key %q is not UTF-8", key)
	}
	return nil
}
