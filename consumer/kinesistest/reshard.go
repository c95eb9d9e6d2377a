package kinesistest

import "time"

// split closes a shard and opens two for its range, the upper one from a hash key within it.
func (st *streamState) split(sh *shard, at hash, now time.Time) (lower, upper *shard) {
	st.closeShard(sh, now)
	return st.addShard(sh.start, at.prev(), now, sh), st.addShard(at, sh.end, now, sh)
}

// merge closes two adjacent shards and opens one for both ranges.
func (st *streamState) merge(sh, adjacent *shard, now time.Time) *shard {
	st.closeShard(sh, now)
	st.closeShard(adjacent, now)
	start, end := sh.start, sh.end
	if adjacent.start.less(start) {
		start = adjacent.start
	}
	if end.less(adjacent.end) {
		end = adjacent.end
	}
	return st.addShard(start, end, now, sh, adjacent)
}

func adjacent(a, b *shard) bool {
	return a.end.add(1) == b.start && a.start.less(b.start) || b.end.add(1) == a.start && b.start.less(a.start)
}

// scale splits and merges until so many shards of equal ranges are open. As with the service, shards that live for no
// time at all can come about.
func (st *streamState) scale(target int, now time.Time) {
	starts := uniform(target)
	for _, h := range starts {
		if sh := st.route(h); sh.start != h {
			st.split(sh, h, now)
		}
	}
	for i, h := range starts {
		end := hash{}.prev()
		if i+1 < target {
			end = starts[i+1].prev()
		}
		for sh := st.route(h); sh.end.less(end); {
			sh = st.merge(sh, st.route(sh.end.add(1)), now)
		}
	}
}
