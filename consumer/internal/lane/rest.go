package lane

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shardlane/shardlane/consumer/internal/ledger"
	"github.com/shardlane/shardlane/consumer/internal/page"
	"github.com/shardlane/shardlane/partition"
)

// rest makes room in the row of a shard that is given up. What is done above the checkpoint lies between records that wait, and
// where it has more pieces than limit bytes can tell of, the upper ones would come again. So the lanes, which have stopped, go
// on side by side with what waits below those, until there is room, or nothing below them is left that may begin. What has
// failed is not tried again.
func (s *Set) rest(limit int) {
	for room := (&room{books: s.books, limit: limit}); room.short(); {
		var went atomic.Bool
		lanes := partition.NewLanes(len(s.lane), page.Item.Key, func(_ context.Context, n int, _ []page.Item) error {
			for s.fills(&s.lane[n], room) && s.late(n) {
				went.Store(true)
			}
			return nil
		})
		for n := range s.lane {
			lanes.Wake(n)
		}
		_ = lanes.Drain(context.Background())
		if !went.Load() {
			return
		}
	}
}

// fills tells whether a lane has a slice, or a batch that waits, which would make room and has not failed.
func (s *Set) fills(l *lane, room *room) bool {
	if l.slices.Len() == 0 {
		for batch := range l.batcher.Flush() {
			l.slices.Push(batch)
			break
		}
	}
	sl, ok := l.slices.Current()
	return ok && sl.Err == nil && room.wants(sl.Records[0])
}

// late makes one attempt for the room. It returns false if the lane has ended, or the gate is closed: that is the end of the
// time for it.
func (s *Set) late(n int) bool {
	l := &s.lane[n]
	_, ok := s.step(n, l)
	if !ok && l.slices.Len() > 0 {
		s.cut.Store(true)
	}
	return ok
}

// A room is what a row has for the records above its checkpoint. Lanes share it.
type room struct {
	books *ledger.Ledger
	limit int

	mu    sync.Mutex
	asked time.Time
	below func(page.Item) bool // nil: there is room for all
}

// roomTime is for how long what was found is good for lanes that go on: it takes milliseconds to find.
const roomTime = 50 * time.Millisecond

// short looks whether there is room for all.
func (r *room) short() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.below, r.asked = r.books.Short(r.limit), time.Now()
	return r.below != nil
}

// wants tells whether the outcome of a record would make room.
func (r *room) wants(it page.Item) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.asked) >= roomTime {
		r.below, r.asked = r.books.Short(r.limit), time.Now()
	}
	return r.below != nil && r.below(it)
}
