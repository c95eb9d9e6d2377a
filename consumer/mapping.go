package consumer

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/mapping"
	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/metrics"
)

// WithEventSourceMapping sets the options that an event source mapping's JSON stands for, as if they stood in its place:
// what get-event-source-mapping or create-event-source-mapping prints or takes, a program's dump of it, or a mapping's
// resource of CloudFormation or SAM, which may also be the only one of its kind in a function, a list or a whole template.
// With "" for the stream, New takes that from the mapping, too. UTF-8 and UTF-16 are read, YAML is not. The option reads r
// once, when it is made.
//
// What get-event-source-mapping prints does not say where to start. If its State is Disabled, reading starts a minute before
// LastModified, and what Lambda had not handled by then is skipped. So let IteratorAge reach 0 before you disable a mapping,
// and change nothing of it afterwards, since that moves LastModified; or give a position, anywhere among the options. The event MappingResumed warns of this while no checkpoint is stored. If
// LastProcessingResult is a problem, or State is another one, WithStartingPosition has to be given.
//
// A destination in it needs [WithOnFailure]. A value that a template has by reference only, as Ref or Fn::GetAtt, has to be
// given to New, or it is an error. The event MappingIgnored names what has no effect: a reference that was given to New
// instead, a setting without a meaning here, a FunctionResponseTypes that the handler's type contradicts. What cannot be
// honoured is an error.
func WithEventSourceMapping(r io.Reader) Option {
	if isNil(r) {
		return func(c *config) { c.mappingErr = errors.New("the reader is nil") }
	}
	s, err := mapping.Read(r)
	opts := optionsOf(s)
	return func(c *config) {
		c.mapping, c.mappingErr = &s, err
		opts(c)
	}
}

// optionsOf is what the settings of a mapping stand for. What is not given is not set, and what is given is, zero included
// (L7).
func optionsOf(s mapping.Settings) Option {
	var opts []Option
	switch {
	case s.Start.Stopped: // the mapping does not say it: any position that is given is the better one
	case s.Start.Position == "TRIM_HORIZON":
		opts = append(opts, WithStartingPosition(TrimHorizon()))
	case s.Start.Position == "LATEST":
		opts = append(opts, WithStartingPosition(Latest()))
	case s.Start.Position == "AT_TIMESTAMP":
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

// mapped sets what a mapping says and options have not said. It returns the stream, if New was given none that of the
// mapping.
func (c *config) mapped(stream string) string {
	m := c.mapping
	if m == nil {
		return stream
	}
	c.given[""] = stream != ""
	if stream == "" {
		stream = m.Stream
	}
	c.reports = c.reports || m.Reports && !c.given["WithReportBatchItemFailures"]
	if m.Start.Stopped && !c.given["WithStartingPosition"] {
		c.start = At(m.Start.At)
	}
	return stream
}

// validateMapping checks what an event source mapping asks for.
func (c *config) validateMapping(h batch.Handler, bad func(format string, args ...any)) {
	if c.mappingErr != nil {
		bad("WithEventSourceMapping: %w", c.mappingErr)
	}
	m := c.mapping
	if m == nil {
		return
	}
	if m.NeedsStart != "" && !c.given["WithStartingPosition"] {
		bad("WithEventSourceMapping: %s", m.NeedsStart)
	}
	if m.Destination != "" && c.destination == nil {
		bad("WithEventSourceMapping: DestinationConfig names %s: give %s", m.Destination, mapping.DestinationLine(m.Destination))
	}
	for _, r := range m.Open {
		switch {
		case c.given[r.Option], r.Option == "WithFunctionARN":
		case r.Option == "WithReportBatchItemFailures" && h.Kind() != batch.JSON: // the type says it
		case r.Option == "":
			bad("WithEventSourceMapping: %s: give New the stream's name or ARN", r.Text)
		default:
			bad("WithEventSourceMapping: %s: give %s, or write the value that it has", r.Text, r.Option)
		}
	}
}

// nameOf is the name of a stream that is given by name or ARN.
func nameOf(stream string) string { return stream[strings.LastIndex(stream, "/")+1:] }

// warnOfMapping tells of what a mapping says without effect, beside a stream and a kind of handler.
func (c *config) warnOfMapping(t *tell.Teller, stream string, kind batch.Kind) {
	m := c.mapping
	if m == nil {
		return
	}
	ignored := func(format string, args ...any) { t.Event(metrics.MappingIgnored, nil, fmt.Sprintf(format, args...)) }
	for _, w := range m.Warnings {
		ignored("%s", w)
	}
	for _, r := range m.Open {
		switch {
		case r.Option == "":
			ignored("%s: the stream that New was given counts", r.Text)
		case c.given[r.Option]:
			ignored("%s: %s counts", r.Text, r.Option)
		case r.Option == "WithFunctionARN":
			ignored("%s: the group stands for it, unless WithFunctionARN is given", r.Text)
		default:
			ignored("%s: the handler's type counts", r.Text)
		}
	}
	of, _, pushed := strings.Cut(m.Stream, "/consumer/")
	if pushed && !c.pushes() {
		ignored("the mapping reads by enhanced fan-out, and shards are polled: give WithEnhancedFanOut, or no stream")
	}
	if m.Stream != "" && nameOf(of) != nameOf(stream) {
		ignored("the mapping reads %s: %s, which New was given, counts", m.Stream, stream)
	}
	switch {
	case m.Refers("WithReportBatchItemFailures"):
	case m.Reports && kind == batch.Whole:
		ignored("FunctionResponseTypes: a handler that returns an error only cannot report single records")
	case !m.Reports && kind == batch.Partial:
		ignored("FunctionResponseTypes: the mapping does not read the records that this handler reports; here they are")
	}
}

// resumed tells that reading begins where Lambda stopped, if that is what begin, the stored beginning, means.
func (c *config) resumed(begin checkpoint.Position, t *tell.Teller) {
	if m := c.mapping; m == nil || !m.Start.Stopped || c.given["WithStartingPosition"] || begin != c.start.start(time.Time{}) {
		return
	}
	t.Event(metrics.MappingResumed, nil, fmt.Sprintf("reading begins at %s, a minute before LastModified of the mapping, and what Lambda had not handled "+
		"by then is skipped: if its IteratorAge was not 0, give WithStartingPosition and a new group", c.start.at.UTC().Format(time.RFC3339)))
}
