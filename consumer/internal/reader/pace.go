package reader

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

const (
	minInterval     = 200 * time.Millisecond // 5 calls/s and shard (L16)
	maxIdleInterval = 5 * time.Second
	throttledPace   = time.Second     // the pace after a throttle (L16)
	takeover        = 5 * time.Second // the owner before may have spent the shard's calls (L16)
	bytesPerSecond  = 2_000_000       // what a shard serves (L16)
)

// A quota is what the calls of GetRecords leave of what a shard serves: five calls a second, and two megabytes. The service counts
// a call when it arrives, which is before its reply, whatever becomes of it; so the quota counts replies. GetShardIterator has a
// quota of its own, five calls a second as well; it is asked before a call of GetRecords or behind a pause, and so less often.
type quota struct {
	replies [5]time.Time // in a ring
	calls   int
	paid    time.Time // when the shard has served the last page
}

// spend notes a call: when the reply to it began, or when it failed.
func (q *quota) spend(replied time.Time) {
	q.replies[q.calls%len(q.replies)] = replied
	q.calls++
}

// pay notes the page that a call has brought.
func (q *quota) pay(c *call, records []types.Record) {
	bytes := 0
	for i := range records {
		bytes += len(records[i].Data) + len(aws.ToString(records[i].PartitionKey))
	}
	debt := time.Duration(bytes) * time.Second / bytesPerSecond
	q.paid = c.replied.Add(debt)
}

// free is when the next call may start: a second after the reply to the fifth before it, and when the last page is paid for.
func (q *quota) free() time.Time {
	return later(q.paid, q.replies[q.calls%len(q.replies)].Add(time.Duration(len(q.replies))*minInterval))
}

// even is the interval at which calls that take as long use the quota up without waiting for it: started every 200 ms, each
// sixth call would have to wait for the first one's reply.
func (c *call) even() time.Duration { return minInterval + c.replied.Sub(c.began)/5 }

// A share is what other consumers leave of a shard. As long as this one keeps the limits itself, a throttle says that others
// spend its calls, too. Each doubles the interval, up to a second, at which five consumers do not disturb each other, and each
// call that is served shortens it again by a sixteenth.
type share struct {
	interval time.Duration // 0: nobody is seen to read beside this one
}

func (s *share) throttled() { s.interval = min(2*max(s.interval, minInterval), throttledPace) }

func (s *share) served() {
	if s.interval -= s.interval / 16; s.interval <= minInterval {
		s.interval = 0
	}
}

// spaced is t, or when the next call of GetRecords may start.
func (p *Poller) spaced(t time.Time) time.Time { return later(t, p.quota.free()) }

// paced is when the call may start that follows one with a good reply: at once, as far as the limits allow, while there is
// more; as the Scheduler says at the tip of the shard.
func (p *Poller) paced(c *call, empty bool, r Read) time.Time {
	p.share.served()
	tip := r.Told && r.Behind == 0
	wait := p.idle(tip && (empty || p.Interval > 0), c.spent)
	return p.spaced(c.began.Add(max(wait, c.even(), p.share.interval)))
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
