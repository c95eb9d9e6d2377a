package kinesistest

import "time"

// window is a sum over a sliding time.
type window struct {
	spent []spending
}

type spending struct {
	at time.Time
	n  int
}

// sum returns what was spent in the time that ends now.
func (w *window) sum(now time.Time, over time.Duration) (total int) {
	kept := w.spent[:0]
	for _, s := range w.spent {
		if now.Sub(s.at) < over {
			kept = append(kept, s)
			total += s.n
		}
	}
	w.spent = kept
	return total
}

func (w *window) add(now time.Time, n int) { w.spent = append(w.spent, spending{now, n}) }

const (
	maxReads      = 5        // GetRecords calls per shard and second
	maxReadBytes  = 10 << 20 // per shard and 5 s: 2 MiB/s; also the size of a page
	maxReadPage   = 10_000   // records of a page
	maxWrites     = 1000     // records per shard and second
	maxWriteBytes = 1 << 20  // per shard and second
)

// SetReadLimits turns the limits of reads on or off: 5 GetRecords calls a second and 2 MiB a second, averaged over
// 5 s, for each shard. A call above them gets ProvisionedThroughputExceededException and counts for nothing; a page has
// no more than what the 10 MiB of 5 s leave, one record at least. A consumer has 2 MiB a second of its own for each shard
// that it has subscribed to, and may call SubscribeToShard once a second, else LimitExceededException. Defaults to off.
func (s *Server) SetReadLimits(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings.readLimits = on
}

// SetWriteLimits turns the limits of writes on or off: 1,000 records and 1 MiB a second for each shard, for calls
// through a client. A record above them gets ProvisionedThroughputExceededException, in PutRecords alone. Defaults to
// off.
func (s *Server) SetWriteLimits(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings.writeLimits = on
}

// admitWrite counts a record against its shard's limits and reports whether it is within them.
func (s *Server) admitWrite(sh *shard, size int, at time.Time) bool {
	if !s.settings.writeLimits {
		return true
	}
	if sh.writes.sum(at, time.Second) >= maxWrites || sh.writeBytes.sum(at, time.Second)+size > maxWriteBytes {
		return false
	}
	sh.writes.add(at, 1)
	sh.writeBytes.add(at, size)
	return true
}
