// Package metrics names what the engine measures, and passes it on.
//
// A [Metric] is a name, a unit and a kind; the catalogue has one variable for
// each, Lambda's own under Lambda's names. A [Recorder] receives the values:
// [Snapshot] keeps them in memory, [Tee] passes them to several recorders,
// [Discard] drops them. An exporter is a Recorder with a vendor behind it and
// needs nothing else of this package.
//
// Every event of the engine (a gap, a takeover, a loss, a stall) is a Counter
// under the event's name, next to its log record and its notice. The rules
// behind them are in SEMANTICS.md of package batch.
//
// The package starts no goroutine, reads no clock and imports the standard
// library only.
package metrics

import "log/slog"

// Kind says how the values of a metric combine.
type Kind uint8

const (
	// Counter is a total that grows: a value is added to it.
	Counter Kind = iota + 1
	// Gauge is a level: a value replaces the one before. Levels of several
	// shards add up where they are amounts (LanesBusy); ages do not, their
	// maximum counts.
	Gauge
	// Histogram is a distribution: a value is one observation.
	Histogram
)

// String returns "counter", "gauge" or "histogram".
func (k Kind) String() string {
	switch k {
	case Counter:
		return "counter"
	case Gauge:
		return "gauge"
	case Histogram:
		return "histogram"
	}
	return "unknown"
}

// A Metric is one thing that is measured. Its identity is its address: values
// recorded under two Metrics of one name stay apart. A Metric is never changed
// after its first use.
type Metric struct {
	Name string // CamelCase, unique in the catalogue
	Unit string // of one value: "records", "calls", "events", "lanes", "bytes", "ms" or "s"
	Help string // one sentence
	Kind Kind
	// Level is that of an event's log record: WARN or above for every loss,
	// possible loss, gap, take-over and degraded mode. Only events have one.
	Level slog.Level
}

// String returns the name.
func (m *Metric) String() string { return m.Name }

// Labels say what a value is about.
type Labels struct {
	Group  string // the consumer group; empty if it has no name
	Stream string // the stream, by name or ARN as the consumer was given it
	Shard  string // the shard id; empty for what concerns the stream as a whole
	Worker string // the worker's id, by default the host's name
}
