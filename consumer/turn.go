package consumer

import (
	"time"

	"github.com/shardlane/shardlane/consumer/internal/ledger"
)

// A turn is when a shard's checkpoint is due, and since when nothing of it has moved. It belongs to the checkpoint loop.
type turn struct {
	next  time.Time
	lag   time.Duration // from the first outcome to the first checkpoint
	early bool          // the first checkpoint of the tenure has not been tried

	mark  int64     // outcomes without a gap
	moved time.Time // when mark was seen to have moved, or nothing to wait
}

// newTurn gives a shard a time of its own, so that shards do not write together.
func newTurn(now time.Time, r *random) turn {
	part := float64(r.uint64()>>11) / (1 << 53)
	return turn{
		next: now.Add(time.Duration(part * float64(checkpointInterval))), lag: time.Duration((0.5 + part/2) * float64(time.Second)),
		early: true, moved: now,
	}
}

// due is when the shard's next checkpoint is due.
func (sh *shard) due() time.Time {
	if first := sh.outcome.Load(); first != 0 && sh.turn.early {
		return minTime(sh.turn.next, sh.f.pool.began.Add(time.Duration(first)+sh.turn.lag))
	}
	return sh.turn.next
}

// taken notes that the shard had its turn. It returns when something of the shard was last seen to move.
func (t *turn) taken(now time.Time, outcome bool, f ledger.Figures) (moved time.Time) {
	if outcome {
		t.early = false
	}
	if !now.Before(t.next) {
		t.next = now.Add(checkpointInterval)
	}
	if f.Held == 0 || f.Mark != t.mark {
		t.mark, t.moved = f.Mark, now
	}
	return t.moved
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
