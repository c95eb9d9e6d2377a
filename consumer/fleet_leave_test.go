package consumer_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
)

// A mute link applies the first claim of its worker and says that it does not know.
type mute struct {
	*link
	once    sync.Once
	claimed chan struct{}
}

func (m *mute) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	stored, err := m.link.Swap(ctx, e)
	if err == nil && strings.Contains(e.Key, "/lease/") && bytes.Contains(e.Value, []byte(`"owner":"one/`)) {
		m.once.Do(func() { err = errNoWay; close(m.claimed) })
	}
	return stored, err
}

// A worker that stops while it does not know whether a claim of it was applied gives the shard back: else its row would be
// gone while the shard names it, and nobody could have the shard for two terms.
func TestFleetLeavesNoClaim(t *testing.T) {
	inFleet(t, 1, func(f *fleet) {
		one := &replica{f: f, name: "one", link: &link{Store: f.store}}
		way := &mute{link: one.link, claimed: make(chan struct{})}
		one.running = start(f.t, f.srv, one.handle, consumer.WithGroup("g"), consumer.WithCheckpointer(way), consumer.WithWorker("one"))
		<-way.claimed
		if _, err := one.running.stop(); err != nil {
			f.t.Error(err)
		}
		for shard, row := range rows(f.t, f.store) {
			if strings.Contains(row, `"owner":"one/`) {
				f.t.Errorf("%s is named by %s, whose worker has stopped", shard, row)
			}
		}
		for key := range memberRows(f.t, f.store) {
			f.t.Errorf("row %s is left over", key)
		}
		two := f.start("two")
		f.until("two has the shard", 3*time.Second, func() bool { return two.owned() == 1 })
		f.end(two)
	})
}
