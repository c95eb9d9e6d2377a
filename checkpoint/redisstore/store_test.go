package redisstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/checkpoint/checkpointtest"
	"github.com/shardlane/shardlane/checkpoint/redisstore"
)

func TestStore(t *testing.T) {
	addr := shared(t)
	checkpointtest.Run(t, func(t *testing.T) (a, b checkpoint.Store) {
		o := &redis.Options{Addr: addr}
		return redisstore.New(open(t, o), "rules"), redisstore.New(open(t, o), "rules")
	})
}

// TestReserved holds what heartbeats use to the rules, beside its Store.
func TestReserved(t *testing.T) {
	addr := shared(t)
	checkpointtest.Run(t, func(t *testing.T) (a, b checkpoint.Store) {
		s := redisstore.New(open(t, &redis.Options{Addr: addr}), "rules")
		t.Cleanup(func() {
			for range 2 {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		})
		return s.Reserved(), s
	})
}

// TestDurable kills a server that writes its file before it answers, and starts it again, time after time.
func TestDurable(t *testing.T) {
	s := own(t, "--appendonly", "yes", "--appendfsync", "always")
	first := true
	checkpointtest.Reopen(t, func(t *testing.T) checkpoint.Store {
		if !first {
			s.kill()
			s.start()
		}
		first = false
		return redisstore.New(open(t, &redis.Options{Addr: s.addr}), "")
	})
}

// TestOlderCopy starts a server on an older copy of its data, as a failover to a replica that lagged behind does.
func TestOlderCopy(t *testing.T) {
	s := own(t)
	st := redisstore.New(open(t, &redis.Options{Addr: s.addr}), "")
	put := func(e checkpoint.Entry, value string) checkpoint.Entry {
		t.Helper()
		e.Value = []byte(value)
		e, err := st.Swap(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	old := put(checkpoint.Entry{Key: "billing/lease"}, "old")
	gone := put(checkpoint.Entry{Key: "billing/gone"}, "deleted after the copy")
	do(t, s.addr, "SAVE")
	lost := put(old, "lost")
	late := put(checkpoint.Entry{Key: "billing/late"}, "put after the copy")
	if err := st.Delete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	s.kill()
	s.start()

	if row, err := st.Get(t.Context(), old.Key); err != nil || row.Revision != old.Revision || string(row.Value) != "old" {
		t.Fatalf("got %+v, %v, want %+v", row, err, old)
	}
	for _, e := range []checkpoint.Entry{lost, late} {
		if _, err := st.Swap(t.Context(), e); !errors.Is(err, checkpoint.ErrConflict) {
			t.Errorf("Swap of %s at a revision that was lost: got %v", e.Key, err)
		}
		if err := st.Delete(t.Context(), e); !errors.Is(err, checkpoint.ErrConflict) {
			t.Errorf("Delete of %s at a revision that was lost: got %v", e.Key, err)
		}
	}
	if row, err := st.Get(t.Context(), gone.Key); err != nil || row.Revision != gone.Revision {
		t.Errorf("a lost Delete: got %+v, %v", row, err)
	}
	seen := []string{"", old.Revision, lost.Revision, gone.Revision, late.Revision}
	for _, e := range []checkpoint.Entry{put(old, "again"), put(checkpoint.Entry{Key: late.Key}, "again")} {
		if slices.Contains(seen, e.Revision) {
			t.Errorf("revision %q came back", e.Revision)
		}
	}
}

// certain checks that a write was refused for good: ErrNotApplied, and not ErrConflict.
func certain(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, checkpoint.ErrNotApplied) || errors.Is(err, checkpoint.ErrConflict) {
		t.Errorf("%s: got %v, want ErrNotApplied", what, err)
	}
}

// unknown checks that nothing is claimed about a write.
func unknown(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil || errors.Is(err, checkpoint.ErrNotApplied) || errors.Is(err, checkpoint.ErrConflict) {
		t.Errorf("%s: got %v, want an unknown outcome", what, err)
	}
}

// permissions returns the words of each line of the package's documentation that makes a user.
func permissions(t *testing.T) (lines [][]string) {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if _, words, ok := strings.Cut(line, "ACL SETUSER "); ok {
			lines = append(lines, strings.Fields(words))
		}
	}
	if len(lines) != 2 {
		t.Fatalf("%d lines of the documentation make a user", len(lines))
	}
	return lines
}

// TestPermissions runs the store as the user of the package's documentation, with one permission less each time.
func TestPermissions(t *testing.T) {
	words := permissions(t)[0]
	s := own(t)
	st := redisstore.New(open(t, &redis.Options{Addr: s.addr, Username: "shardlane", Password: "password"}), "shardlane")
	all := func() (err error) {
		do(t, s.addr, "SCRIPT", "FLUSH")
		do(t, s.addr, "DEL", "{shardlane}:rows", "{shardlane}:index")
		do(t, s.addr, "HSET", "{shardlane}:rows", "k2", strings.Repeat("r", 26)+"value") // without index
		e, err := st.Swap(t.Context(), checkpoint.Entry{Key: "k"})
		if err != nil {
			return err
		}
		if got, err := st.Get(t.Context(), "k"); err != nil || got.Revision != e.Revision {
			return fmt.Errorf("get: %v, %w", got, err)
		}
		if rows, err := st.List(t.Context(), "k"); err != nil || len(rows) != 2 {
			return fmt.Errorf("list: %v, %w", rows, err)
		}
		if err := st.Delete(t.Context(), e); err != nil {
			return err
		}
		if do(t, s.addr, "ZSCORE", "{shardlane}:index", "k2") == nil {
			return errors.New("not in the index")
		}
		if n := do(t, s.addr, "ZCARD", "{shardlane}:index"); n != int64(1) {
			return fmt.Errorf("%v in the index", n)
		}
		return nil
	}
	grant := func(without string) {
		args := []any{"ACL", "SETUSER"}
		for _, w := range words {
			if w != without {
				args = append(args, w)
			}
		}
		do(t, s.addr, "ACL", "DELUSER", "shardlane")
		do(t, s.addr, args...)
	}
	grant("")
	if err := all(); err != nil {
		t.Fatalf("with %q: %v", words, err)
	}
	_, err := redisstore.New(open(t, &redis.Options{Addr: s.addr, Username: "shardlane", Password: "password"}), "other").
		Swap(t.Context(), checkpoint.Entry{Key: "k"})
	certain(t, "a key of another prefix", err)
	tried := 0
	for _, w := range words {
		if w[0] != '+' && w[0] != '~' {
			continue
		}
		tried++
		grant(w)
		if err := all(); err == nil {
			t.Errorf("without %s nothing is missed", w)
		} else if errors.Is(err, checkpoint.ErrConflict) {
			t.Errorf("without %s: %v", w, err)
		}
	}
	if tried != 13 {
		t.Errorf("the line has %d permissions", tried)
	}
	for _, w := range []string{"+hset", "+zadd", "+evalsha", "+hget", "~{shardlane}:*"} {
		grant(w)
		_, err := st.Swap(t.Context(), checkpoint.Entry{Key: "denied"})
		certain(t, "Swap without "+w, err)
		if n := do(t, s.addr, "HEXISTS", "{shardlane}:rows", "denied"); n != int64(0) {
			t.Errorf("without %s: the row is there", w)
		}
	}
	// What a Delete without ZREM leaves in the index is no row.
	grant("+zrem")
	e, err := st.Swap(t.Context(), checkpoint.Entry{Key: "x"})
	if err == nil {
		err = st.Delete(t.Context(), e)
	}
	if rows, err2 := st.List(t.Context(), "x"); err != nil || err2 != nil || len(rows) != 0 {
		t.Errorf("got %v, %v, %v", err, rows, err2)
	}
}

// TestFull fills the memory of a server: reading and deleting go on.
func TestFull(t *testing.T) {
	s := own(t)
	st := redisstore.New(open(t, &redis.Options{Addr: s.addr}), "")
	e, err := st.Swap(t.Context(), checkpoint.Entry{Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	do(t, s.addr, "CONFIG", "SET", "maxmemory", "1")
	do(t, s.addr, "SCRIPT", "FLUSH")
	_, err = st.Swap(t.Context(), e)
	certain(t, "Swap", err)
	if got, err := st.Get(t.Context(), "k"); err != nil || got.Revision != e.Revision {
		t.Errorf("Get: %v, %v", got, err)
	}
	if rows, err := st.List(t.Context(), ""); err != nil || len(rows) != 1 {
		t.Errorf("List: %v, %v", rows, err)
	}
	if err := st.Delete(t.Context(), e); err != nil {
		t.Errorf("Delete: %v", err)
	}
}

// TestReplica makes a server a replica of nothing: what it still has may be old, and Get does not return it.
func TestReplica(t *testing.T) {
	s := own(t)
	st := redisstore.New(open(t, &redis.Options{Addr: s.addr}), "")
	e, err := st.Swap(t.Context(), checkpoint.Entry{Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	do(t, s.addr, "REPLICAOF", "127.0.0.1", "1")
	if got, err := st.Get(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), "READONLY") {
		t.Errorf("Get at a replica: %v, %v", got, err)
	}
	_, err = st.Swap(t.Context(), e)
	certain(t, "Swap at a replica", err)
	do(t, s.addr, "REPLICAOF", "NO", "ONE")
	if _, err = st.Swap(t.Context(), e); err != nil {
		t.Error(err)
	}
}

// TestIsolatedPrimary cuts a primary off from the replicas that it must have.
func TestIsolatedPrimary(t *testing.T) {
	s := own(t)
	st := redisstore.New(open(t, &redis.Options{Addr: s.addr}), "")
	do(t, s.addr, "CONFIG", "SET", "min-replicas-to-write", "1")
	if got, err := st.Get(t.Context(), "k"); err == nil {
		t.Errorf("Get: %v", got)
	}
	_, err := st.Swap(t.Context(), checkpoint.Entry{Key: "k"})
	certain(t, "Swap", err)
}

// TestForgottenScripts empties the cache of scripts before each call.
func TestForgottenScripts(t *testing.T) {
	s := own(t)
	st := redisstore.New(open(t, &redis.Options{Addr: s.addr}), "")
	e := checkpoint.Entry{Key: "k"}
	for i := range 3 {
		do(t, s.addr, "SCRIPT", "FLUSH")
		var err error
		if e, err = st.Swap(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		do(t, s.addr, "SCRIPT", "FLUSH")
		if got, err := st.Get(t.Context(), "k"); err != nil || got.Revision != e.Revision {
			t.Fatal(i, got, err)
		}
		do(t, s.addr, "SCRIPT", "FLUSH")
		if rows, err := st.List(t.Context(), ""); err != nil || len(rows) != 1 {
			t.Fatal(i, rows, err)
		}
	}
	do(t, s.addr, "SCRIPT", "FLUSH")
	if err := st.Delete(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

// TestForeignKeys puts the store where others have put something else.
func TestForeignKeys(t *testing.T) {
	s := own(t)
	for _, key := range []string{"rows", "index"} {
		do(t, s.addr, "FLUSHALL")
		st := redisstore.New(open(t, &redis.Options{Addr: s.addr}), "")
		e, err := st.Swap(t.Context(), checkpoint.Entry{Key: "k", Value: []byte("kept")})
		if err != nil {
			t.Fatal(err)
		}
		do(t, s.addr, "SET", "{shardlane}:"+key, "text")
		_, err = st.Swap(t.Context(), e)
		certain(t, key, err)
		if rows, err := st.List(t.Context(), ""); err == nil {
			t.Errorf("%s: List: %v", key, rows)
		}
		if key == "rows" {
			if got, err := st.Get(t.Context(), "k"); err == nil {
				t.Errorf("Get: %v", got)
			}
			certain(t, "Delete", st.Delete(t.Context(), e))
			continue
		}
		if got, err := st.Get(t.Context(), "k"); err != nil || !bytes.Equal(got.Value, e.Value) || got.Revision != e.Revision {
			t.Errorf("Get: %v, %v", got, err)
		}
		if err := st.Delete(t.Context(), e); err != nil {
			t.Error(err)
		}
	}
	// Rows that are shorter than a revision are rows, too.
	do(t, s.addr, "FLUSHALL")
	do(t, s.addr, "HSET", "{shardlane}:rows", "k", "short")
	st := redisstore.New(open(t, &redis.Options{Addr: s.addr}), "")
	got, err := st.Get(t.Context(), "k")
	if err != nil || got.Revision != "short" || len(got.Value) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := st.Swap(t.Context(), got); err != nil {
		t.Error(err)
	}
}

// TestPrefixes checks that stores with different prefixes share nothing, and that both keys of a store are in one slot.
func TestPrefixes(t *testing.T) {
	s := own(t)
	c := open(t, &redis.Options{Addr: s.addr})
	prefixes := []string{"", "a", "a:", "{a}", "{a", "a}", "{}", "}", "%7Da", "}a", "a/b", "\xff\x00"}
	for _, prefix := range prefixes {
		st := redisstore.New(c, prefix)
		if rows, err := st.List(t.Context(), ""); err != nil || len(rows) != 0 {
			t.Errorf("%q: %v, %v", prefix, rows, err)
		}
		if _, err := st.Swap(t.Context(), checkpoint.Entry{Key: "k"}); err != nil {
			t.Errorf("%q: %v", prefix, err)
		}
	}
	keys := do(t, s.addr, "KEYS", "*").([]any)
	if len(keys) != 2*len(prefixes) {
		t.Errorf("%d keys of %d prefixes", len(keys), len(prefixes))
	}
	for _, key := range keys {
		name, ok := strings.CutSuffix(key.(string), ":rows")
		if tag := name[min(1, len(name)):]; ok && (name[0] != '{' || strings.IndexByte(tag, '}') != len(tag)-1 || len(tag) < 2) {
			t.Errorf("%q has no tag in braces", key)
		}
	}
}

// TestBinaryKeys lists keys of all bytes, across pages, by prefixes that end at the end of the order.
func TestBinaryKeys(t *testing.T) {
	addr := shared(t)
	st := redisstore.New(open(t, &redis.Options{Addr: addr}), "binary"+time.Now().String())
	want := map[string][]string{}
	for a := range 256 {
		for _, rest := range []string{"", "\x00", "\xff", "\xff\xff", "a"} {
			key := string([]byte{byte(a)}) + rest
			if _, err := st.Swap(t.Context(), checkpoint.Entry{Key: key}); err != nil {
				t.Fatal(err)
			}
			for n := range len(key) + 1 {
				want[key[:n]] = append(want[key[:n]], key)
			}
		}
	}
	for prefix, keys := range want {
		rows, err := st.List(t.Context(), prefix)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, row := range rows {
			got = append(got, row.Key)
		}
		slices.Sort(keys)
		if !slices.Equal(got, keys) {
			t.Errorf("%q: got %d keys, want %d", prefix, len(got), len(keys))
		}
	}
}

// TestListDuringWrites lists more than a page while rows around it come and go: those that stay are there each time.
func TestListDuringWrites(t *testing.T) {
	addr := shared(t)
	st := redisstore.New(open(t, &redis.Options{Addr: addr}), "moving"+time.Now().String())
	const n = 1200
	for i := range n {
		if _, err := st.Swap(t.Context(), checkpoint.Entry{Key: fmt.Sprintf("%04d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			e, err := st.Swap(t.Context(), checkpoint.Entry{Key: fmt.Sprintf("%04d.5", i*7%n)})
			if err == nil {
				err = st.Delete(t.Context(), e)
			}
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for range 30 {
		rows, err := st.List(t.Context(), "")
		if err != nil {
			t.Error(err)
		}
		stay := 0
		for i, row := range rows {
			if len(row.Key) == 4 {
				stay++
			}
			if i > 0 && row.Key <= rows[i-1].Key {
				t.Errorf("%q after %q", row.Key, rows[i-1].Key)
			}
		}
		if stay != n {
			t.Errorf("%d of %d rows", stay, n)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
