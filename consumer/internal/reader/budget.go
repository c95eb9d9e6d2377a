package reader

import "time"

// A budget is what reads of shards that are caught up may take: half a core's time, as far as clocks can tell, so less where the
// machine has more to do. They share it evenly, and each may have a read every 5 s whatever it takes. Shards with an interval of
// their own are outside of it.
type budget struct {
	sharing int           // shards
	fixed   int64         // reads an hour of the others
	spent   time.Duration // that clocks have seen, in so many reads
	reads   int64
}

const (
	idleShare = 2                      // of a core: a half
	idleCost  = 100 * time.Microsecond // what no clock sees of a read: its way over the connection, and who is woken for it
	mostSeen  = time.Millisecond       // what takes longer has waited for something
	memory    = 1024                   // reads, of which the older ones count half from then on
)

// count takes a shard in, or out. Every is its own interval, if it has one.
func (b *budget) count(every time.Duration, in bool) {
	n := 1
	if !in {
		n = -1
	}
	if every > 0 {
		b.fixed += int64(n) * int64(time.Hour/every)
	} else {
		b.sharing += n
	}
}

// spend takes in what a clock has seen of the CPU time of a read.
func (b *budget) spend(seen time.Duration) {
	b.spent += min(seen, mostSeen)
	if b.reads++; b.reads == memory {
		b.spent, b.reads = b.spent/2, b.reads/2
	}
}

// cost is what a read takes of the CPU time: about 300 µs on machines that do other things, too, of which clocks see two thirds.
func (b *budget) cost() time.Duration {
	return idleCost + b.spent/time.Duration(max(b.reads, 1))
}

// interval is that of the shards that share the budget.
func (b *budget) interval() time.Duration {
	return min(max(time.Duration(b.sharing)*idleShare*b.cost(), minInterval), maxIdleInterval)
}

// distance is the mean time from one read to the next, of all shards that are caught up.
func (b *budget) distance() time.Duration {
	return time.Hour / time.Duration(max(b.fixed+int64(b.sharing)*int64(time.Hour/b.interval()), 1))
}
