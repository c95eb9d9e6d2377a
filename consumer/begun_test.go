package consumer_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// A start is told once, with where its shards resume, and so is its end. A Run that never came so far tells of neither.
func TestStartedAndStopped(t *testing.T) {
	inContract(t, 2, func(f *field) {
		var mu sync.Mutex
		var told []string
		notes := consumer.WithNotify(func(n consumer.Notice) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, fmt.Sprintf("%s: %s", n.Name, n.Detail))
		})
		life := f.start(notes)
		f.put(shard0, "a", 1)
		time.Sleep(90 * time.Second)
		f.srv.Split("orders", shard0)
		time.Sleep(30 * time.Second)
		life.stop()
		life = f.start(notes)
		time.Sleep(time.Minute)
		life.stop()
		denied := f.srv.Fail("DescribeStreamSummary", kinesistest.Error("AccessDeniedException", 0))
		life = f.start(notes)
		if err := life.wait(time.Minute); !errors.Is(err, consumer.ErrAccessDenied) {
			t.Errorf("Run: %v", err)
		}
		denied[0].Stop()
		told = slices.DeleteFunc(told, func(s string) bool { return s[:8] != "Consumer" })
		want := []string{
			"ConsumerStarted: shards: 2 from TRIM_HORIZON", "ConsumerStopped: after 2m0s",
			"ConsumerStarted: shards: 1 ended, 3 from TRIM_HORIZON", "ConsumerStopped: after 1m0s",
		}
		if !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}
