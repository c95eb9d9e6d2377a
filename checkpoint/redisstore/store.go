package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/shardlane/shardlane/checkpoint"
)

const (
	revisionSize = 26  // of rand.Text
	page         = 500 // rows that one script lists
)

// A Store is a checkpoint.Store in Redis. Its methods may be called concurrently. Create one with [New].
type Store struct {
	client                 redis.UniversalClient
	rows, index            string // keys
	get, swap, del, listed script
	unfit                  error // why the client cannot be used

	mu       sync.Mutex
	reserved *Store // nil until it is asked for
}

var _ checkpoint.Store = (*Store)(nil)

// New returns a Store whose rows are in the keys {prefix}:rows and {prefix}:index. The prefix defaults to shardlane. New
// makes no call. The store uses the connections of c, which stays the caller's to close. The package's documentation says what
// it asks of c; every method of a Store on a *redis.Ring fails.
func New(c redis.UniversalClient, prefix string) *Store {
	if prefix == "" {
		prefix = "shardlane"
	}
	tag := "{" + strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D").Replace(prefix) + "}"
	s := &Store{
		client: c, rows: tag + ":rows", index: tag + ":index",
		get: newScript(getText), swap: newScript(swapText), del: newScript(deleteText), listed: newScript(listText),
	}
	switch c := c.(type) {
	case *redis.Client:
		s.client = strict(c)
	case *redis.Ring:
		s.unfit = errors.New("a Ring forgets rows when it loses a server: use a Client or a ClusterClient")
	}
	return s
}

// strict returns c with the same connections, without retries and hooks, and with contexts whose deadlines count.
func strict(c *redis.Client) *redis.Client {
	write := c.Options().WriteTimeout
	c = c.WithTimeout(c.Options().ReadTimeout) // its Options are a copy of its own
	o := c.Options()
	o.WriteTimeout, o.MaxRetries, o.ContextTimeoutEnabled = write, 0, true
	return c
}

// Reserved returns a Store of the same rows with connections of its own, for heartbeats: at most four, made when they are
// needed, with the options of the client that New was given, and without its hooks. It is the same Store each time. A client of
// another type than *redis.Client and *redis.ClusterClient cannot be copied: Reserved then returns s.
func (s *Store) Reserved() checkpoint.Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reserved != nil {
		return s.reserved
	}
	const connections = 4
	r := &Store{rows: s.rows, index: s.index, get: s.get, swap: s.swap, del: s.del, listed: s.listed}
	switch c := s.client.(type) {
	case *redis.Client:
		o := *c.Options()
		o.PoolSize, o.MaxActiveConns, o.MinIdleConns, o.MaxIdleConns, o.MaxConcurrentDials = connections, connections, 0, 0, 0
		o.MaxRetries, o.PushNotificationProcessor = -1, nil // -1 is none
		r.client = redis.NewClient(&o)
	case *redis.ClusterClient:
		o := *c.Options()
		o.PoolSize, o.MaxActiveConns, o.MinIdleConns, o.MaxIdleConns = connections, connections, 0, 0
		o.ContextTimeoutEnabled, o.PushNotificationProcessor = true, nil
		r.client = redis.NewClusterClient(&o)
	default:
		return s
	}
	s.reserved = r
	return r
}

// Close closes the connections of the Store that Reserved has returned. The client that New was given stays open.
func (s *Store) Close() error {
	s.mu.Lock()
	r := s.reserved
	s.mu.Unlock()
	if r == nil {
		return nil
	}
	if err := r.client.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
		return fmt.Errorf("redisstore: close: %w", err)
	}
	return nil
}

// List returns the rows whose keys start with prefix, sorted by key. It reads page after page: a row that is written, put or
// deleted meanwhile is seen before or after that. Rows that nobody touches are all there.
func (s *Store) List(ctx context.Context, prefix string) ([]checkpoint.Entry, error) {
	var found []checkpoint.Entry
	for from, end := "["+prefix, after(prefix); ; {
		reply, err := s.call(ctx, s.listed, nil, from, end, page)
		if err != nil {
			return nil, fmt.Errorf("redisstore: list %q: %w", prefix, err)
		}
		both, _ := reply.([]any)
		if len(both) != 2 {
			return nil, fmt.Errorf("redisstore: list %q: unexpected answer %T", prefix, reply)
		}
		keys, _ := both[0].([]any)
		rows, _ := both[1].([]any)
		if len(keys) != len(rows) {
			return nil, fmt.Errorf("redisstore: list %q: %d keys and %d rows", prefix, len(keys), len(rows))
		}
		for i := range keys {
			key, _ := keys[i].(string)
			if row, ok := rows[i].(string); ok { // nil: only the index has it
				found = append(found, entry(key, row))
			}
			from = "(" + key
		}
		if len(keys) < page {
			return found, nil
		}
	}
}

// after returns the end of the keys that start with prefix, as ZRANGEBYLEX has it.
func after(prefix string) string {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			return "(" + prefix[:i] + string([]byte{prefix[i] + 1})
		}
	}
	return "+"
}

// Get returns the row of key, or an Entry with Revision "", as the primary has it.
func (s *Store) Get(ctx context.Context, key string) (checkpoint.Entry, error) {
	reply, err := s.call(ctx, s.get, nil, key)
	if errors.Is(err, redis.Nil) {
		return checkpoint.Entry{Key: key}, nil
	}
	if err != nil {
		return checkpoint.Entry{Key: key}, fmt.Errorf("redisstore: get %q: %w", key, err)
	}
	row, ok := reply.(string)
	if !ok {
		return checkpoint.Entry{Key: key}, fmt.Errorf("redisstore: get %q: unexpected answer %T", key, reply)
	}
	return entry(key, row), nil
}

// Swap puts e.Value if the row is at e.Revision. Its error is ErrConflict if Redis says that the row is at another one, and
// wraps ErrNotApplied if the write was not sent or Redis has refused it. After any other error the outcome is unknown.
func (s *Store) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	revision := rand.Text()
	if err := s.write(ctx, "swap", s.swap, e.Key, e.Revision, revision, e.Value); err != nil {
		return e, err
	}
	e.Revision = revision
	return e, nil
}

// Delete removes the row of e.Key if it is at e.Revision. Its errors are those of Swap.
func (s *Store) Delete(ctx context.Context, e checkpoint.Entry) error {
	return s.write(ctx, "delete", s.del, e.Key, e.Revision, revisionSize)
}

// entry takes the revision and the value of a row apart.
func entry(key, row string) checkpoint.Entry {
	n := min(revisionSize, len(row))
	return checkpoint.Entry{Key: key, Value: []byte(row[n:]), Revision: row[:n]}
}
