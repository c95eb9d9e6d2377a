package consumer

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/shardlane/shardlane/consumer/internal/lease"
	"github.com/shardlane/shardlane/metrics"
)

// deployTime is what a deploy may take: so long workers of one group may handle a stream by different settings.
const deployTime = 15 * time.Minute

// fingerprint is a short hash of the settings that say how records are handled, but for functions, which cannot be compared, and
// for what a machine may have of its own.
func (c *config) fingerprint() string {
	sum := sha256.Sum256(fmt.Append(nil,
		c.batchSize, c.window, c.factor, c.sharder != nil, c.unordered, c.payload, c.timeout, c.deaggregate, c.patterns,
		c.retries, c.maxAge, c.bisect, c.reports, c.backoffBase, c.backoffFactor, c.backoffCap, c.destination != nil,
		c.tumbling, c.idleWindow,
	))
	return hex.EncodeToString(sum[:4])
}

// A difference is that others handle the stream by other settings.
type difference struct {
	since time.Time // zero: there is none
	told  bool
}

// differing tells, once, that another worker has handled the stream by other settings for longer than a deploy takes.
func (s *stream) differing(view lease.View, now time.Time) {
	other, mine := "", s.cfg.fingerprint()
	for _, p := range view.Serving(s.key) {
		if set := p.SettingsOf(s.key); set != "" && set != mine {
			other = p.ID
		}
	}
	d := &s.share.differs
	switch {
	case other == "":
		*d = difference{}
	case d.since.IsZero():
		d.since = now
	case !d.told && now.Sub(d.since) >= deployTime:
		d.told = true
		s.tell.Event(metrics.SettingsDiffer, nil, fmt.Sprintf("%s has handled the stream by other settings for %v: batch size, factor, limits or the like; what becomes of a record depends on who has its shard",
			other, deployTime))
	}
}
