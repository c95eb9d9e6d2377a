package consumer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A mapping is what the JSON of an event source mapping says.
type mapping struct {
	stream      string   // the stream's ARN; empty if there is none
	options     []Option // one for each thing that is set, so their order means nothing
	needsStart  bool     // it does not say where to start
	destination string   // the ARN under OnFailure; empty if there is none
	reports     bool     // FunctionResponseTypes has ReportBatchItemFailures
	warnings    []string // what has no meaning here, each with its field and the reason
}

const maxMapping = 1 << 20 // bytes

// A complaint adds an error.
type complaint func(format string, args ...any)

// readMapping reads what AWS's tools print or take for a mapping, or the properties of CloudFormation or SAM. It does not
// check ranges: the options that it makes are checked like all others. Its error joins all that is wrong.
func readMapping(r io.Reader) (m mapping, _ error) {
	text, err := io.ReadAll(io.LimitReader(r, maxMapping+1))
	if err != nil {
		return m, err
	}
	if len(text) > maxMapping {
		return m, fmt.Errorf("more than %d bytes: want the JSON of one event source mapping", maxMapping)
	}
	f, err := parse(text)
	if err != nil {
		return m, err
	}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if f = settingsIn(f, bad); f != nil {
		m.source(f, bad)
		m.position(f, bad) // before what it looks at is taken out
		m.function(f)
		m.settings(f, bad)
		m.filters(f, bad)
		m.failures(f, bad)
		m.ignore(f, bad)
		refuse(f, bad)
		f.rest("", bad)
	}
	return m, errors.Join(errs...)
}

// settingsIn finds the object with the settings: all of f, the only mapping of Kinesis in a list, or the properties of a
// resource. It is nil if there is none.
func settingsIn(f *fields, bad complaint) *fields {
	switch {
	case f.has("EventSourceMappings"):
		raw, _ := f.take("EventSourceMappings")
		for _, key := range []string{"NextMarker", "NextToken"} {
			if _, ok := f.take(key); ok {
				bad("%s: the list goes on: give one mapping", key)
			}
		}
		f.rest("", bad)
		return listed(raw, bad)
	case f.has("Properties"):
		kind, _ := f.take("Type")
		if s, err := textOf(kind); err != nil || s != "AWS::Lambda::EventSourceMapping" && s != "Kinesis" {
			bad(`properties of the type %s: want "AWS::Lambda::EventSourceMapping", or "Kinesis" for an event of SAM`, short(kind))
		}
		raw, _ := f.take("Properties")
		for _, key := range []string{
			"Condition", "CreationPolicy", "DeletionPolicy", "DependsOn", "Metadata", "UpdatePolicy", "UpdateReplacePolicy",
		} {
			f.take(key) // what CloudFormation does with the resource
		}
		f.rest("", bad)
		properties, err := objectOf(raw)
		if err != nil {
			bad("Properties: %w", err)
		}
		return properties
	}
	return f
}

// listed finds the one mapping of Kinesis in a list of mappings.
func listed(raw json.RawMessage, bad complaint) (found *fields) {
	list, err := listOf(raw)
	if err != nil {
		bad("EventSourceMappings: %w", err)
		return nil
	}
	n := 0
	for i, raw := range list {
		one, err := objectOf(raw)
		if err != nil {
			bad("EventSourceMappings[%d]: %w", i, err)
			continue
		}
		if arn, err := textOf(one.values["EventSourceArn"]); err == nil && serviceOf(arn) == "kinesis" {
			found = one
			n++
		}
	}
	if n != 1 {
		bad("EventSourceMappings: %d mappings of Kinesis streams among %d: give one of them", n, len(list))
		return nil
	}
	return found
}

// source reads the stream.
func (m *mapping) source(f *fields, bad complaint) {
	given := ""
	for _, key := range []string{"EventSourceArn", "Stream"} {
		s, ok := value(f, key, textOf, bad)
		if !ok {
			continue
		}
		switch service := serviceOf(s); {
		case given != "":
			bad("%s: %q: there is %s, too: give one of them", key, s, given)
		case service == "":
			bad("%s: %q: want the ARN of a Kinesis stream", key, s)
		case service != "kinesis":
			bad("%s: %q is a source of service %s: want the ARN of a Kinesis stream", key, s, service)
		case strings.Contains(s, "/consumer/"):
			bad("%s: %q is the ARN of a stream consumer: enhanced fan-out is not supported, want the stream's", key, s)
		case !validStream(s):
			bad("%s: %q: want the ARN of a Kinesis stream, as arn:aws:kinesis:us-east-1:123456789012:stream/orders", key, s)
		default:
			m.stream = s
		}
		given = key
	}
}

// serviceOf is the service of an ARN; empty if s is none.
func serviceOf(s string) string {
	if part := strings.SplitN(s, ":", 6); len(part) == 6 && part[0] == "arn" && part[1] != "" {
		return part[2]
	}
	return ""
}

// function reads what names the function and the mapping (C12). A name that is no ARN says nothing here.
func (m *mapping) function(f *fields) {
	for _, key := range []string{"FunctionName", "FunctionArn"} {
		raw, _ := f.take(key)
		if s, err := textOf(raw); err == nil && serviceOf(s) == "lambda" {
			m.options = append(m.options, WithFunctionARN(s))
		}
	}
	raw, _ := f.take("UUID")
	if s, err := textOf(raw); err == nil && s != "" {
		m.options = append(m.options, WithMappingUUID(s))
	}
}

// settings reads what stands for one option each. What is not given is not set, and what is given is, zero included (L7).
func (m *mapping) settings(f *fields, bad complaint) {
	set(m, f, "BatchSize", intOf, WithBatchSize, bad)
	set(m, f, "MaximumBatchingWindowInSeconds", secondsOf, WithBatchingWindow, bad)
	set(m, f, "ParallelizationFactor", intOf, WithParallelizationFactor, bad)
	set(m, f, "MaximumRetryAttempts", intOf, WithMaxRetryAttempts, bad)
	set(m, f, "MaximumRecordAgeInSeconds", ageOf, WithMaxRecordAge, bad)
	set(m, f, "BisectBatchOnFunctionError", boolOf, WithBisectOnError, bad)
	set(m, f, "TumblingWindowInSeconds", secondsOf, WithTumblingWindow, bad)
	if types, ok := value(f, "FunctionResponseTypes", listOf, bad); ok {
		for _, raw := range types {
			if s, err := textOf(raw); err != nil || s != "ReportBatchItemFailures" || len(types) > 1 {
				bad(`FunctionResponseTypes: %s: want "ReportBatchItemFailures" once, or nothing`, short(raw))
			}
		}
		m.reports = len(types) > 0
	}
}

// set adds the option that a field stands for.
func set[T any](m *mapping, f *fields, key string, of func(json.RawMessage) (T, error), option func(T) Option, bad complaint) {
	if v, ok := value(f, key, of, bad); ok {
		m.options = append(m.options, option(v))
	}
}

// filters reads the patterns. A list without any is no filter (L10).
func (m *mapping) filters(f *fields, bad complaint) {
	if raw, ok := f.take("FilterCriteriaError"); ok {
		bad("FilterCriteriaError: %s: AWS could not read the patterns: give a mapping with FilterCriteria", short(raw))
	}
	criteria, ok := value(f, "FilterCriteria", objectOf, bad)
	if !ok {
		return
	}
	list, _ := value(criteria, "Filters", listOf, within("FilterCriteria", bad))
	criteria.rest("FilterCriteria.", bad)
	var patterns []string
	for i, raw := range list {
		path := fmt.Sprintf("FilterCriteria.Filters[%d]", i)
		one, err := objectOf(raw)
		if err != nil {
			bad("%s: %w", path, err)
			continue
		}
		switch pattern, ok := value(one, "Pattern", textOf, within(path, bad)); {
		case ok:
			patterns = append(patterns, pattern)
		case one.lacks("Pattern"):
			bad("%s: want a Pattern", path)
		}
		one.rest(path+".", bad)
	}
	m.options = append(m.options, WithFilter(patterns...))
}

// ignore takes out what has no meaning here, and warns of what one might count on.
func (m *mapping) ignore(f *fields, bad complaint) {
	if raw, ok := f.take("Enabled"); ok && !function(raw) {
		switch on, err := boolOf(raw); {
		case err != nil:
			bad("Enabled: %w", err)
		case !on:
			m.warnings = append(m.warnings, "Enabled: false has no meaning here: Run starts a consumer, and the end of its context stops it")
		}
	}
	for _, field := range []struct{ key, reason string }{
		{"KMSKeyArn", "filter patterns are not encrypted"},
		{"KmsKeyArn", "filter patterns are not encrypted"},
		{"MetricsConfig", "all metrics are made, and WithMetrics says where they go"},
		{"Tags", "a consumer has none"},
	} {
		if raw, ok := f.take(field.key); ok && !empty(raw) {
			m.warnings = append(m.warnings, field.key+" has no meaning here: "+field.reason)
		}
	}
	for _, key := range []string{"EventSourceMappingArn", "LastModified", "LastProcessingResult", "State", "StateTransitionReason"} {
		f.take(key) // how the mapping fared in Lambda
	}
}

// refuse tells of settings of other sources.
func refuse(f *fields, bad complaint) {
	for _, key := range []string{
		"AmazonManagedKafkaEventSourceConfig", "DocumentDBEventSourceConfig", "LoggingConfig", "ProvisionedPollerConfig", "Queues",
		"ScalingConfig", "SelfManagedEventSource", "SelfManagedKafkaEventSourceConfig", "SourceAccessConfigurations", "Topics",
	} {
		if raw, ok := f.take(key); ok && !empty(raw) {
			bad("%s: this is no setting of a Kinesis stream (%s): leave it out", key, short(raw))
		}
	}
}
