package partition

import "slices"

// run is the part of one Submit that goes to one lane.
type run[T any] struct {
	lane  int
	items []T
}

// few is the number of items up to which a run for each costs less than a counting sort.
const few = 4

// sort copies items into one array, grouped by lane and in order within a lane, and returns one run per lane (few items:
// one per item). A run's capacity is its length, so appending to it does not reach into the next.
func (l *Lanes[T]) sort(items []T) []run[T] {
	switch {
	case len(items) == 0:
		return nil
	case l.n == 1:
		return []run[T]{{0, slices.Clone(items)}}
	}
	hash := l.Hash
	if hash == nil {
		hash = Hash
	}
	if len(items) <= few {
		sorted, runs := slices.Clone(items), make([]run[T], len(items))
		for i := range sorted {
			runs[i] = run[T]{int(l.pick(l.key(sorted[i]), hash)), sorted[i : i+1 : i+1]}
		}
		return runs
	}

	var small [64]int32
	ends := small[:]
	if l.n > len(small) {
		ends = make([]int32, l.n)
	}
	ends = ends[:l.n]
	ids := make([]int32, len(items))
	for i := range items {
		id := int32(l.pick(l.key(items[i]), hash))
		ids[i] = id
		ends[id]++
	}
	used, end := 0, int32(0)
	for id, count := range ends {
		if count > 0 {
			used++
		}
		ends[id] = end // the begin, for now: placing the items moves it to the end
		end += count
	}
	sorted := make([]T, len(items))
	for i, id := range ids {
		sorted[ends[id]] = items[i]
		ends[id]++
	}
	runs, begin := make([]run[T], 0, used), int32(0)
	for id, end := range ends {
		if begin < end {
			runs = append(runs, run[T]{id, sorted[begin:end:end]})
		}
		begin = end
	}
	return runs
}

// pick returns the lane of a key. An item without a key has no order to keep, so these take the lanes in turn (C26).
func (l *Lanes[T]) pick(key string, hash func(string) uint64) uint64 {
	if key == "" {
		return (l.turn.Add(1) - 1) % uint64(l.n)
	}
	return hash(key) % uint64(l.n)
}
