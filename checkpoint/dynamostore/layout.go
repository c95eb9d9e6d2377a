package dynamostore

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/shardlane/shardlane/checkpoint"
)

const (
	maxBuckets = 256
	leases     = "lease/" // what follows the group in the keys of rows that are spread
	layoutKey  = "layout" // partition and key of the row that says how many buckets there are; no partition of others is without a slash
)

// A layout is what is known of the table's number of buckets: 0 until its row was read.
type layout struct{ buckets atomic.Int32 }

// A layoutRow is the value of that row.
type layoutRow struct {
	V       int `json:"v"`
	Buckets int `json:"buckets"`
}

// partition returns the partition of key: its group with the slash behind it, and for lease rows the bucket behind that,
// if there are several. A key without a slash is in the partition of the empty group.
func partition(key string, buckets int) string {
	group, rest, ok := strings.Cut(key, "/")
	if !ok {
		return "/"
	}
	if buckets == 1 || !strings.HasPrefix(rest, leases) {
		return group + "/"
	}
	sum := fnv.New32a()
	sum.Write([]byte(key))
	return bucket(group, int(sum.Sum32()%uint32(buckets)))
}

func bucket(group string, i int) string { return group + "/" + leases + strconv.Itoa(i) }

// partitions returns those that hold the rows whose keys start with prefix; false if it could be any.
func partitions(prefix string, buckets int) ([]string, bool) {
	group, rest, ok := strings.Cut(prefix, "/")
	if !ok {
		return nil, false
	}
	var parts []string
	if buckets == 1 || !strings.HasPrefix(rest, leases) {
		parts = append(parts, group+"/")
	}
	if buckets > 1 && (strings.HasPrefix(rest, leases) || strings.HasPrefix(leases, rest)) {
		for i := range buckets {
			parts = append(parts, bucket(group, i))
		}
	}
	return parts, true
}

func isLayout(r row) bool {
	p, ok := r["p"].(*types.AttributeValueMemberS)
	return ok && p.Value == layoutKey
}

// buckets returns the table's number of buckets. Workers that disagree would each have leases of their own, so it is
// read from the table, and put there if this is the first Store that uses it.
func (s *Store) buckets(ctx context.Context) (int, error) {
	if err := s.Validate(); err != nil {
		return 0, err
	}
	n := int(s.layout.buckets.Load())
	if n == 0 {
		var err error
		if n, err = s.readLayout(ctx); err != nil {
			return 0, err
		}
		s.layout.buckets.Store(int32(n))
	}
	if s.given && s.asked != n {
		return 0, fmt.Errorf("%w: the table has %d, the option says %d: leave the option out, or move to a new table with checkpoint.Copy", ErrBuckets, n, s.asked)
	}
	return n, nil
}

// readLayout reads the row of the layout, or puts it.
func (s *Store) readLayout(ctx context.Context) (int, error) {
	e, err := s.get(ctx, layoutKey, layoutKey)
	if err != nil {
		return 0, err
	}
	if e.Revision == "" {
		e.Value, _ = json.Marshal(layoutRow{V: 1, Buckets: max(s.asked, 1)})
		e.Revision = rand.Text()
		err = s.put(ctx, layoutKey, e, "")
		if conflict(err) { // another one was faster
			e, err = s.get(ctx, layoutKey, layoutKey)
		}
		if err != nil {
			return 0, err
		}
	}
	return parseLayout(e)
}

func parseLayout(e checkpoint.Entry) (int, error) {
	var row layoutRow
	switch err := json.Unmarshal(e.Value, &row); {
	case err != nil, row.V < 1, row.V == 1 && (row.Buckets < 1 || row.Buckets > maxBuckets):
		return 0, fmt.Errorf("%w: the row %q says %.100q", ErrItem, layoutKey, e.Value)
	case row.V > 1:
		return 0, errors.New("the table is laid out by a newer version of this package: update")
	}
	return row.Buckets, nil
}
