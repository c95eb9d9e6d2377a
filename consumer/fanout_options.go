package consumer

import (
	"strings"
	"time"

	"github.com/shardlane/shardlane/consumer/internal/mapping"
)

// WithEnhancedFanOut makes Kinesis push the records, over a subscription for each shard with 2 MB/s of its own: no other
// consumer of the stream takes anything of it, and records come within about 70 ms, as AWS says. It is paid for each hour and shard of the
// stream for which the stream consumer is registered, whether anything reads or not, and for each GB. The name is that of the
// stream consumer, of 1 to 128 letters, digits, '_', '.' and '-'. It is registered if the stream has none of that name, which
// the event FanOutRegistration says before; nothing but [DeregisterFanOut] removes it, and FanOutIdle tells of those that the
// group has left. Consumers of one stream in different groups need different ones, or they end each other's subscriptions; the
// workers of a group use the same one.
//
// KPL aggregates are split then, unless [WithDeaggregation] says otherwise, and eventSourceARN of events and documents is the ARN of
// the stream consumer: that is Lambda's way. The client must be a [FanOutClient]. The ARN of a stream consumer in place of the
// stream's has the same effect, with one that is registered already, and excludes this option. Defaults to polling.
func WithEnhancedFanOut(name string) Option {
	return func(c *config) { c.fanOut = name; c.given["WithEnhancedFanOut"] = true }
}

// WithPollingFallback sets after which time without an event of enhanced fan-out, while it fails, a shard is polled. A
// subscription is tried again as often, but once a minute at most, and replaces polling when it works. The events FanOutSuspended
// and FanOutResumed tell of both. While the stream consumer cannot be registered, shards are polled, too, and events have the
// stream's ARN. 1 s or more. Defaults to none: a shard waits until a subscription works.
func WithPollingFallback(after time.Duration) Option {
	return func(c *config) { c.fallback = after; c.given["WithPollingFallback"] = true }
}

// pushes tells whether enhanced fan-out is asked for.
func (c *config) pushes() bool { return c.given["WithEnhancedFanOut"] || c.consumerARN != "" }

// streamConsumer is the name of the stream consumer that shards are read through, empty if they are polled.
func (c *config) streamConsumer() string {
	if _, rest, ok := strings.Cut(c.consumerARN, "/consumer/"); ok {
		name, _, _ := strings.Cut(rest, ":")
		return name
	}
	return c.fanOut
}

// consumed takes the ARN of a stream consumer apart, and returns the stream's.
func (c *config) consumed(stream string) string {
	if of, rest, ok := strings.Cut(stream, "/consumer/"); ok && mapping.ValidConsumer(rest) && strings.HasPrefix(of, "arn:") {
		c.consumerARN, stream = stream, of
	}
	if c.pushes() && !c.given["WithDeaggregation"] {
		c.deaggregate = true // L63
	}
	return stream
}

// validateFanOut checks how records come.
func (c *config) validateFanOut(client Client, bad func(format string, args ...any)) {
	name := c.given["WithEnhancedFanOut"]
	if name && !mapping.ValidStream(c.fanOut) || strings.HasPrefix(c.fanOut, "arn:") {
		bad("WithEnhancedFanOut(%q): want a name of 1 to 128 letters, digits, '_', '.' and '-'", c.fanOut)
	}
	if name && c.consumerARN != "" {
		bad("WithEnhancedFanOut(%q) with the stream consumer %s: give one of them", c.fanOut, c.consumerARN)
	}
	if _, ok := client.(FanOutClient); c.pushes() && !ok && !isNil(client) {
		bad("enhanced fan-out needs a client that makes its calls: want a FanOutClient such as *kinesis.Client, not a %T", client)
	}
	switch given := c.given["WithPollingFallback"]; {
	case given && c.fallback < time.Second:
		bad("WithPollingFallback(%v): want 1s or more", c.fallback)
	case given && !c.pushes():
		bad("WithPollingFallback(%v) without enhanced fan-out: give WithEnhancedFanOut, too", c.fallback)
	}
}
