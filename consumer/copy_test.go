package consumer_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
)

// TestCopiedStore goes on in a copy of a store, whole or cut off after each of its rows but the first. A consumer whose own
// starting position is LATEST skips nothing there, and repeats nothing in the whole copy.
func TestCopiedStore(t *testing.T) {
	const rows = 5 // the stream, two shards, the children of one
	for cut := 1; cut <= rows; cut++ {
		t.Run(fmt.Sprint(cut, " rows"), func(t *testing.T) {
			inContract(t, 2, func(f *field) {
				put := func() {
					for _, sh := range f.srv.Shards("orders") {
						if !sh.Closed {
							f.put(sh.ID, sh.ID, 10)
						}
					}
				}
				latest := consumer.WithStartingPosition(consumer.Latest())
				f.since = time.Now()
				life := f.start(latest)
				time.Sleep(10 * time.Second)
				put()
				time.Sleep(10 * time.Second)
				f.srv.Split("orders", shardID(0))
				time.Sleep(20 * time.Second)
				put()
				time.Sleep(20 * time.Second)
				f.once()
				life.stop()
				put()
				time.Sleep(time.Hour)

				dst, left := new(fieldStore), cut
				dst.fail(func(op, _ string) error {
					if op == "Swap" {
						if left--; left < 0 {
							return errStore
						}
					}
					return nil
				})
				n, err := checkpoint.Copy(t.Context(), dst, f.store, "billing")
				if n != cut || errors.Is(err, errStore) != (cut < rows) {
					t.Fatalf("copied %d rows, %v", n, err)
				}
				dst.fail(nil)
				life = f.start(latest, consumer.WithCheckpointer(dst))
				time.Sleep(time.Minute)
				if cut == rows {
					f.once()
				} else {
					f.complete()
				}
				life.stop()
			})
		})
	}
}
