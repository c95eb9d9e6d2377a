package consumer_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// A closed shard may answer with empty pages, not behind, before it tells its end. They are no ending position: the
// records of its children come before it.
func TestEndingPositionBehindClosedShards(t *testing.T) {
	for name, split := range map[string]bool{"LATEST": false, "AT_TIMESTAMP": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := kinesistest.NewServer("orders", 1)
				defer srv.Close()
				srv.SetShardEnd(3)
				var j journal
				put := func(n int) { srv.Put("orders", fmt.Sprint("k", n), fmt.Append(nil, n)) }
				end := consumer.Latest()
				if split {
					end = consumer.At(time.Now().Add(10 * time.Second))
				}
				put(0)
				if !split {
					srv.Split("orders", shard0)
					put(1)
					time.Sleep(time.Second)
				}
				r := start(t, srv, j.handle, consumer.WithEndingPosition(end))
				if split { // the last listing is older, and the pages at the end are read at the ending position
					time.Sleep(9900 * time.Millisecond)
					put(2)
					srv.Split("orders", shard0)
					put(1)
				}
				select {
				case err := <-r.ended:
					if err != nil {
						t.Error(err)
					}
				case <-time.After(5 * time.Minute):
					t.Error("Run does not end")
				}
				r.cancel()
				if !j.has("0") || !j.has("1") {
					t.Errorf("handled %v, want 0 and 1", j.entries)
				}
			})
		})
	}
}
