// Package mapping reads the JSON of an event source mapping, as AWS's tools print or take it.
package mapping

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Settings are what a mapping says. A nil pointer is what it does not say, an empty text likewise.
type Settings struct {
	Stream   string // the stream's ARN
	Function string // the function's ARN
	UUID     string // of the mapping

	BatchSize             *int
	BatchingWindow        *time.Duration
	ParallelizationFactor *int
	RetryAttempts         *int
	RecordAge             *time.Duration // -1: no limit
	Bisect                *bool
	TumblingWindow        *time.Duration
	Patterns              []string // of its filter; not nil if it has one, be it empty

	Reports     bool   // FunctionResponseTypes has ReportBatchItemFailures
	Destination string // the ARN under OnFailure
	Start       Start
	NeedsStart  bool     // it does not say where to start
	Warnings    []string // what has no meaning here, each with its field and the reason
}

// A Start is where reading starts.
type Start struct {
	Position string // TRIM_HORIZON, LATEST or AT_TIMESTAMP; empty: the mapping does not say
	At       time.Time
}

const maxSize = 1 << 20 // bytes

// A complaint adds an error.
type complaint func(format string, args ...any)

// Read reads what AWS's tools print or take for a mapping, or the properties of CloudFormation or SAM. It does not check
// ranges: what it sets is checked like all other options. Its error joins all that is wrong, and what it could read stands
// beside it.
func Read(r io.Reader) (s Settings, _ error) {
	text, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err != nil {
		return s, err
	}
	if len(text) > maxSize {
		return s, fmt.Errorf("more than %d bytes: want the JSON of one event source mapping", maxSize)
	}
	f, err := parse(text)
	if err != nil {
		return s, err
	}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if f = settingsIn(f, bad); f != nil {
		s.source(f, bad)
		s.position(f, bad) // before what it looks at is taken out
		s.function(f)
		s.settings(f, bad)
		s.filters(f, bad)
		s.failures(f, bad)
		s.ignore(f, bad)
		refuse(f, bad)
		f.rest("", bad)
	}
	return s, errors.Join(errs...)
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
func (s *Settings) source(f *fields, bad complaint) {
	given := ""
	for _, key := range []string{"EventSourceArn", "Stream"} {
		arn, ok := value(f, key, textOf, bad)
		if !ok {
			continue
		}
		switch service := serviceOf(arn); {
		case given != "":
			bad("%s: %q: there is %s, too: give one of them", key, arn, given)
		case service == "":
			bad("%s: %q: want the ARN of a Kinesis stream", key, arn)
		case service != "kinesis":
			bad("%s: %q is a source of service %s: want the ARN of a Kinesis stream", key, arn, service)
		case strings.Contains(arn, "/consumer/"):
			bad("%s: %q is the ARN of a stream consumer: enhanced fan-out is not supported, want the stream's", key, arn)
		case !ValidStream(arn):
			bad("%s: %q: want the ARN of a Kinesis stream, as arn:aws:kinesis:us-east-1:123456789012:stream/orders", key, arn)
		default:
			s.Stream = arn
		}
		given = key
	}
}

// ValidStream is true for a stream's name and for its ARN.
func ValidStream(s string) bool {
	if rest, ok := strings.CutPrefix(s, "arn:"); ok {
		part := strings.Split(rest, ":") // partition, service, region, account, resource
		if len(part) != 5 || part[1] != "kinesis" || part[2] == "" || part[3] == "" {
			return false
		}
		s, ok = strings.CutPrefix(part[4], "stream/")
		if !ok {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 128 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == ""
}

// serviceOf is the service of an ARN; empty if s is none.
func serviceOf(s string) string {
	if part := strings.SplitN(s, ":", 6); len(part) == 6 && part[0] == "arn" && part[1] != "" {
		return part[2]
	}
	return ""
}

// function reads what names the function and the mapping (C12). A name that is no ARN says nothing here.
func (s *Settings) function(f *fields) {
	for _, key := range []string{"FunctionName", "FunctionArn"} {
		raw, _ := f.take(key)
		if arn, err := textOf(raw); err == nil && serviceOf(arn) == "lambda" {
			s.Function = arn
		}
	}
	raw, _ := f.take("UUID")
	if id, err := textOf(raw); err == nil {
		s.UUID = id
	}
}

// settings reads what stands for one option each. What is not given is not set, and what is given is, zero included (L7).
func (s *Settings) settings(f *fields, bad complaint) {
	s.BatchSize = setting(f, "BatchSize", intOf, bad)
	s.BatchingWindow = setting(f, "MaximumBatchingWindowInSeconds", secondsOf, bad)
	s.ParallelizationFactor = setting(f, "ParallelizationFactor", intOf, bad)
	s.RetryAttempts = setting(f, "MaximumRetryAttempts", intOf, bad)
	s.RecordAge = setting(f, "MaximumRecordAgeInSeconds", ageOf, bad)
	s.Bisect = setting(f, "BisectBatchOnFunctionError", boolOf, bad)
	s.TumblingWindow = setting(f, "TumblingWindowInSeconds", secondsOf, bad)
	if types, ok := value(f, "FunctionResponseTypes", listOf, bad); ok {
		for _, raw := range types {
			if word, err := textOf(raw); err != nil || word != "ReportBatchItemFailures" || len(types) > 1 {
				bad(`FunctionResponseTypes: %s: want "ReportBatchItemFailures" once, or nothing`, short(raw))
			}
		}
		s.Reports = len(types) > 0
	}
}

// setting reads what a field sets; nil if it sets nothing.
func setting[T any](f *fields, key string, of func(json.RawMessage) (T, error), bad complaint) *T {
	if v, ok := value(f, key, of, bad); ok {
		return &v
	}
	return nil
}

// filters reads the patterns. A list without any is no filter (L10).
func (s *Settings) filters(f *fields, bad complaint) {
	if raw, ok := f.take("FilterCriteriaError"); ok {
		bad("FilterCriteriaError: %s: AWS could not read the patterns: give a mapping with FilterCriteria", short(raw))
	}
	criteria, ok := value(f, "FilterCriteria", objectOf, bad)
	if !ok {
		return
	}
	list, _ := value(criteria, "Filters", listOf, within("FilterCriteria", bad))
	criteria.rest("FilterCriteria.", bad)
	s.Patterns = []string{}
	for i, raw := range list {
		path := fmt.Sprintf("FilterCriteria.Filters[%d]", i)
		one, err := objectOf(raw)
		if err != nil {
			bad("%s: %w", path, err)
			continue
		}
		switch pattern, ok := value(one, "Pattern", textOf, within(path, bad)); {
		case ok:
			s.Patterns = append(s.Patterns, pattern)
		case one.lacks("Pattern"):
			bad("%s: want a Pattern", path)
		}
		one.rest(path+".", bad)
	}
}

// ignore takes out what has no meaning here, and warns of what one might count on.
func (s *Settings) ignore(f *fields, bad complaint) {
	if raw, ok := f.take("Enabled"); ok && !function(raw) {
		switch on, err := boolOf(raw); {
		case err != nil:
			bad("Enabled: %w", err)
		case !on:
			s.Warnings = append(s.Warnings, "Enabled: false has no meaning here: Run starts a consumer, and the end of its context stops it")
		}
	}
	for _, field := range []struct{ key, reason string }{
		{"KMSKeyArn", "filter patterns are not encrypted"},
		{"KmsKeyArn", "filter patterns are not encrypted"},
		{"MetricsConfig", "all metrics are made, and WithMetrics says where they go"},
		{"Tags", "a consumer has none"},
	} {
		if raw, ok := f.take(field.key); ok && !empty(raw) {
			s.Warnings = append(s.Warnings, field.key+" has no meaning here: "+field.reason)
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
