package consumer

import (
	"errors"
	"io"
	"time"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer/internal/mapping"
	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/metrics"
)

// WithEventSourceMapping sets what the JSON of an event source mapping says, as if its options stood in its place: what
// get-event-source-mapping or create-event-source-mapping prints or takes, or the properties of a mapping in
// CloudFormation or SAM. With "" for the stream, New takes it from there. The option reads r, once, when it is made.
//
// What get-event-source-mapping prints never says where to start: if its State is Disabled, reading starts a minute before
// LastModified, else WithStartingPosition has to be given. A destination in it needs [WithOnFailure]. What has no meaning
// here is told of (MappingIgnored), as is a handler whose type disagrees with FunctionResponseTypes; what cannot be honoured
// is an error.
func WithEventSourceMapping(r io.Reader) Option {
	if r == nil {
		return func(c *config) { c.mappingErr = errors.New("the reader is nil") }
	}
	s, err := mapping.Read(r)
	opts := mapped(s)
	return func(c *config) {
		c.mapping, c.mappingErr = &s, err
		opts(c)
	}
}

// mapped is what the settings of a mapping stand for. What is not given is not set, and what is given is, zero included
// (L7).
func mapped(s mapping.Settings) Option {
	var opts []Option
	switch s.Start.Position {
	case "TRIM_HORIZON":
		opts = append(opts, WithStartingPosition(TrimHorizon()))
	case "LATEST":
		opts = append(opts, WithStartingPosition(Latest()))
	case "AT_TIMESTAMP":
		opts = append(opts, WithStartingPosition(At(s.Start.At)))
	}
	if s.Function != "" {
		opts = append(opts, WithFunctionARN(s.Function))
	}
	if s.UUID != "" {
		opts = append(opts, WithMappingUUID(s.UUID))
	}
	if s.Patterns != nil {
		opts = append(opts, WithFilter(s.Patterns...))
	}
	return Options(append(opts,
		given(s.BatchSize, WithBatchSize),
		given(s.BatchingWindow, WithBatchingWindow),
		given(s.ParallelizationFactor, WithParallelizationFactor),
		given(s.RetryAttempts, WithMaxRetryAttempts),
		given(s.RecordAge, WithMaxRecordAge),
		given(s.Bisect, WithBisectOnError),
		given(s.TumblingWindow, WithTumblingWindow))...)
}

// given is the option that a setting stands for; nil if it is not given.
func given[T int | bool | time.Duration](v *T, option func(T) Option) Option {
	if v == nil {
		return nil
	}
	return option(*v)
}

// validateMapping checks what an event source mapping asks for.
func (c *config) validateMapping(bad func(format string, args ...any)) {
	if c.mappingErr != nil {
		bad("WithEventSourceMapping: %w", c.mappingErr)
	}
	m := c.mapping
	if m == nil {
		return
	}
	if m.NeedsStart && !c.given["WithStartingPosition"] {
		bad("WithEventSourceMapping: where the mapping began long ago says nothing about now: give WithStartingPosition, or the JSON of the disabled mapping")
	}
	if m.Destination != "" && c.destination == nil {
		bad("WithEventSourceMapping: DestinationConfig names %s: give %s", m.Destination, mapping.DestinationLine(m.Destination))
	}
}

// warnOfMapping tells of what has no effect.
func (c *Consumer) warnOfMapping(t *tell.Teller) {
	m := c.cfg.mapping
	if m == nil {
		return
	}
	for _, w := range m.Warnings {
		t.Event(metrics.MappingIgnored, nil, w)
	}
	switch kind := c.handler.Kind(); {
	case m.Reports && kind == batch.Whole:
		t.Event(metrics.MappingIgnored, nil, "FunctionResponseTypes: a handler that returns an error only cannot report single records")
	case !m.Reports && kind == batch.Partial:
		t.Event(metrics.MappingIgnored, nil, "FunctionResponseTypes: the mapping does not read the records that this handler reports; here they are")
	}
}
