// Package mapping reads the JSON of an event source mapping, as AWS's tools print or take it.
package mapping

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
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
	NeedsStart  string      // why there is no Start and one has to be given; empty: none has to, or Open has it
	Open        []Reference // what it says by reference only
	Warnings    []string    // what has no meaning here, each with its field and the reason
}

// A Start is where reading starts.
type Start struct {
	Position string // TRIM_HORIZON, LATEST or AT_TIMESTAMP; empty: the mapping does not say
	At       time.Time
	Stopped  bool // a minute before the mapping was disabled
}

// A Reference is a value that is not in the document.
type Reference struct {
	Option string // the option that can say it; empty: the stream's name, or ARN, that New takes
	Text   string // its field and value, and why that is no use
}

// Refers is true if the value that an option can say is not in the document.
func (s *Settings) Refers(option string) bool {
	return s != nil && slices.ContainsFunc(s.Open, func(r Reference) bool { return r.Option == option })
}

const maxSize = 1 << 20 // bytes

// A complaint adds an error.
type complaint func(format string, args ...any)

// Read reads what AWS's tools print or take for a mapping, or the properties of CloudFormation or SAM. It does not check
// ranges: what it sets is checked like all other options. Its error joins all that is wrong, and what it could read stands
// beside it.
func Read(r io.Reader) (s Settings, _ error) {
	text, err := read(r)
	if err != nil {
		return s, err
	}
	f, err := parse(text)
	if err != nil {
		return s, err
	}
	var errs []error
	bad := func(format string, args ...any) {
		err := fmt.Errorf(format, args...)
		if errors.As(err, new(*unresolved)) {
			if option, ok := optionOf(err.Error()); ok {
				s.Open = append(s.Open, Reference{option, err.Error()})
				return
			}
			err = fmt.Errorf("%w: write the value that it has", err)
		}
		errs = append(errs, err)
	}
	if f = settingsIn(f, bad); f != nil {
		s.source(f, bad)
		s.position(f, bad) // before what it looks at is taken out
		s.function(f, bad)
		s.settings(f, bad)
		s.filters(f, bad)
		s.failures(f, bad)
		s.ignore(f, bad)
		refuse(f, bad)
		f.rest("", bad)
	}
	if s.Refers("WithFilter") {
		s.Patterns = nil // some of them would be another filter
	}
	return s, errors.Join(errs...)
}

// optionOf is the option that says what a field does; complaint begins with the field's path. It is empty for the stream,
// which New takes besides.
func optionOf(complaint string) (option string, ok bool) {
	path, _, _ := strings.Cut(complaint, ": ")
	if strings.HasPrefix(path, "DestinationConfig.OnSuccess") {
		return "", false // nothing can
	}
	field := path[:strings.IndexAny(path+".", ".[")]
	option, ok = map[string]string{
		"EventSourceArn":                 "",
		"Stream":                         "",
		"StartingPosition":               "WithStartingPosition",
		"StartingPositionTimestamp":      "WithStartingPosition",
		"FunctionName":                   "WithFunctionARN",
		"FunctionArn":                    "WithFunctionARN",
		"BatchSize":                      "WithBatchSize",
		"MaximumBatchingWindowInSeconds": "WithBatchingWindow",
		"ParallelizationFactor":          "WithParallelizationFactor",
		"MaximumRetryAttempts":           "WithMaxRetryAttempts",
		"MaximumRecordAgeInSeconds":      "WithMaxRecordAge",
		"BisectBatchOnFunctionError":     "WithBisectOnError",
		"TumblingWindowInSeconds":        "WithTumblingWindow",
		"FunctionResponseTypes":          "WithReportBatchItemFailures",
		"FilterCriteria":                 "WithFilter",
		"DestinationConfig":              "WithOnFailure",
	}[field]
	return option, ok
}

// function reads what names the function and the mapping (C12). A name that is no ARN says nothing here.
func (s *Settings) function(f *fields, bad complaint) {
	for _, key := range []string{"FunctionName", "FunctionArn"} {
		if arn, ok := value(f, key, textOf, bad); ok && serviceOf(arn) == "lambda" {
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
	if raw, ok := f.take("Enabled"); ok && literal(raw) == nil {
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

// forget takes out what SDKs say of the call in the result that they return.
func forget(f *fields) {
	for _, key := range []string{"ResultMetadata", "$metadata", "ResponseMetadata", "ContentLength", "HttpStatusCode"} {
		f.take(key) // of Go, of JavaScript, of Python, and two of .NET
	}
}
