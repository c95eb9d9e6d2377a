package checkpointtest_test

import (
	"path/filepath"
	"testing"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/checkpoint/checkpointtest"
)

// In the tests of a store: two clients of one storage, as two processes have.
func ExampleRun() {
	type Client struct{ checkpoint.Store } // of your store
	server := new(checkpoint.Memory)
	dial := func() Client { return Client{server} }

	_ = func(t *testing.T) { // func TestStore(t *testing.T)
		checkpointtest.Run(t, func(t *testing.T) (a, b checkpoint.Store) {
			return dial(), dial()
		})
	}
}

// A durable store is opened again and again, and keeps what it has acknowledged.
func ExampleReopen() {
	_ = func(t *testing.T) { // func TestStoreReopen(t *testing.T)
		path := filepath.Join(t.TempDir(), "store")
		checkpointtest.Reopen(t, func(t *testing.T) checkpoint.Store {
			store, err := checkpoint.OpenFile(path)
			if err != nil {
				t.Fatal(err)
			}
			return store
		})
	}
}
