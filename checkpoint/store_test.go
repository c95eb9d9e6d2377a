package checkpoint_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/checkpoint/checkpointtest"
)

func TestMemory(t *testing.T) {
	checkpointtest.Run(t, func(*testing.T) (a, b checkpoint.Store) {
		m := new(checkpoint.Memory)
		return m, m
	})
}

// TestOwnStore holds the store of the example to the rules.
func TestOwnStore(t *testing.T) {
	checkpointtest.Run(t, func(*testing.T) (a, b checkpoint.Store) {
		s := new(Table)
		return s, s
	})
}

func TestFile(t *testing.T) {
	checkpointtest.Run(t, func(t *testing.T) (a, b checkpoint.Store) {
		f := openFile(t, filepath.Join(t.TempDir(), "store"))
		return f, f
	})
}

func TestFileReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	checkpointtest.Reopen(t, func(t *testing.T) checkpoint.Store { return openFile(t, path) })
}

func openFile(t *testing.T, path string) *checkpoint.File {
	t.Helper()
	f, err := checkpoint.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestValueTooLarge(t *testing.T) {
	for _, st := range []checkpoint.Store{new(checkpoint.Memory), openFile(t, filepath.Join(t.TempDir(), "store"))} {
		e := checkpoint.Entry{Key: "k", Value: make([]byte, checkpoint.MaxValue+1)}
		if _, err := st.Swap(t.Context(), e); !errors.Is(err, checkpoint.ErrNotApplied) || errors.Is(err, checkpoint.ErrConflict) {
			t.Errorf("%T: got %v", st, err)
		}
		if got, err := st.Get(t.Context(), "k"); err != nil || got.Revision != "" {
			t.Errorf("%T: got %v, %v", st, got, err)
		}
	}
}

// BenchmarkFileSwap measures what one of many shards pays for a durable write.
func BenchmarkFileSwap(b *testing.B) {
	f, err := checkpoint.OpenFile(filepath.Join(b.TempDir(), "store"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var shards atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		e := checkpoint.Entry{Key: fmt.Sprint(shards.Add(1)), Value: make([]byte, 400)}
		for pb.Next() {
			var err error
			if e, err = f.Swap(b.Context(), e); err != nil {
				b.Error(err)
			}
		}
	})
}
