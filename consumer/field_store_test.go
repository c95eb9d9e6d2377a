package consumer_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

var errStore = errors.New("the store does not answer")

// TestField_F11: a store that fails is no store without progress. Nothing is read before it answers, and then reading
// goes on where it was, whichever of the rows did not come.
func TestField_F11(t *testing.T) {
	t.Parallel()
	inField(t, 2, func(f *field) {
		put := func() {
			f.put(shardID(0), "a", 10)
			f.put(shardID(1), "b", 10)
		}
		put()
		life := f.start()
		time.Sleep(time.Second)
		life.stop()
		for _, fails := range []func(op, key string) bool{
			func(_, key string) bool { return strings.Contains(key, "/stream/") },
			func(op, _ string) bool { return op == "List" },
			func(op, key string) bool { return op == "Get" && strings.Contains(key, "/lease/") },
			func(op, _ string) bool { return op == "Swap" },
			func(op, _ string) bool { return true },
		} {
			put()
			time.Sleep(time.Second) // reads that were under way end
			f.store.fail(func(op, key string) error {
				if fails(op, key) {
					return errStore
				}
				return nil
			})
			reads, batches := f.srv.Count("GetRecords", "", ""), len(f.seen())
			life := f.start(consumer.WithStartingPosition(consumer.Latest()))
			time.Sleep(30 * time.Second)
			if n := f.srv.Count("GetRecords", "", "") - reads; n > 0 || len(f.seen()) > batches {
				t.Errorf("%d reads and %d batches without the store", n, len(f.seen())-batches)
			}
			f.store.fail(nil)
			time.Sleep(40 * time.Second)
			f.once()
			life.stop()
		}
	})
}

// TestField_F12: while the store is down its callers back off, at the start and later; and nothing in the library ends
// the process.
func TestField_F12(t *testing.T) {
	inField(t, 4, func(f *field) {
		f.slowReads(time.Second)
		down := func() (calls int) {
			before := f.store.count()
			f.store.fail(func(string, string) error { return errStore })
			for range 5 {
				for n := range 3 {
					f.put(shardID(n), shardID(n), 1)
				}
				time.Sleep(time.Minute)
			}
			f.store.fail(nil)
			return f.store.count() - before
		}
		f.store.fail(func(string, string) error { return errStore })
		life := f.start()
		if n := down(); n > 45 { // 200 ms, doubling to 10 s
			t.Errorf("%d calls in 5 minutes of a start", n)
		}
		time.Sleep(20 * time.Second)
		f.once()
		f.put(shardID(3), "last", 5)
		f.srv.Split("orders", shardID(3))
		if n := down(); n > 260 { // of 3 shards one each 10 s, of the fourth the end each 5 s, of the stream one each 30 s
			t.Errorf("%d calls in 5 minutes of work", n)
		}
		time.Sleep(time.Minute)
		f.once()
		life.stop()
	})
	exits := map[string]bool{
		"os.Exit": true, "log.Fatal": true, "log.Fatalf": true, "log.Fatalln": true, "log.Panic": true, "log.Panicf": true,
		"log.Panicln": true, "syscall.Exit": true, "runtime.Goexit": true,
	}
	for _, dir := range []string{".", "internal/*", "../batch", "../partition", "../checkpoint", "../metrics"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no source: %v", dir, err)
		}
		for _, name := range files {
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok && !strings.HasSuffix(name, "_test.go") {
					if pkg, ok := sel.X.(*ast.Ident); ok && exits[pkg.Name+"."+sel.Sel.Name] {
						t.Errorf("%s calls %s.%s", name, pkg.Name, sel.Sel.Name)
					}
				}
				return true
			})
		}
	}
}

// TestField_F32: a start at LATEST is anchored in the store before the first read, at the service's time. What comes to a
// quiet shard between two runs is handled, after a stop and after a death.
func TestField_F32(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "C11")
	latest := consumer.Options(consumer.WithStartingPosition(consumer.Latest()), consumer.WithDrainTimeout(0))
	inField(t, 1, func(f *field) {
		for _, end := range []func(*fieldLife){(*fieldLife).stop, (*fieldLife).kill, (*fieldLife).stop, (*fieldLife).kill} {
			life := f.start(latest)
			time.Sleep(30 * time.Second)
			f.complete()
			end(life)
			f.put(shardID(0), "a", 10)
			time.Sleep(time.Minute)
		}
	})
	inField(t, 1, func(f *field) { // it dies before it has read anything
		fault := f.srv.Fail("GetRecords", kinesistest.Error("InternalFailure", 0))
		first := f.start(latest)
		time.Sleep(5 * time.Second)
		f.put(shardID(0), "a", 10)
		first.kill()
		fault[0].Stop()
		f.put(shardID(0), "a", 10)
		time.Sleep(time.Hour)
		life := f.start(latest)
		time.Sleep(time.Second)
		f.once()
		life.stop()
	})
	inField(t, 1, func(f *field) {
		const ahead = 10 * time.Minute
		f.srv.SetClock(ahead) // by the host's clock, old records would be new ones
		f.put(shardID(0), "old", 10)
		time.Sleep(5 * time.Second)
		f.since = time.Now().Add(ahead).Truncate(time.Second)
		life := f.start(latest)
		time.Sleep(5 * time.Second)
		f.put(shardID(0), "new", 10)
		time.Sleep(time.Second)
		w, reads := f.store.written(), f.reads(shardID(0))
		if len(w) == 0 || len(reads) == 0 || w[0].at.Add(ahead).After(reads[0].Time) {
			t.Fatalf("%d rows were written for %d reads, or the first one after the first read", len(w), len(reads))
		}
		if at, ok := w[0].ck.Time(); !ok || at.Before(f.since) || at.After(f.since.Add(time.Second)) {
			t.Errorf("the anchor is %s, want %d", w[0].ck, f.since.UnixMilli())
		}
		f.once()
		if b := f.seen(); len(b) != 1 || b[0].has("old") {
			t.Errorf("%d batches, want one of new records", len(b))
		}
		life.stop()
	})
}
