package consumer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A mapping is what the JSON of an event source mapping says.
type mapping struct {
	stream      string   // EventSourceArn
	options     []Option // in the order of the document
	needsStart  bool     // it says nothing about where to start
	destination string   // the ARN under OnFailure; empty if there is none
	reports     bool     // FunctionResponseTypes has ReportBatchItemFailures
	warnings    []string // what has no meaning here
}

const (
	maxMapping = 1 << 20 // bytes
	// modifiedMargin is what reading starts before the time at which a mapping was disabled: Lambda may have stopped reading
	// before it wrote that time, and to repeat is better than to skip.
	modifiedMargin = time.Minute
)

// A fields object is a JSON object whose keys are taken out one by one: what is left is unknown.
type fields map[string]json.RawMessage

// take takes a value out; null is an absent one.
func (f fields) take(key string) (json.RawMessage, bool) {
	raw, ok := f[key]
	delete(f, key)
	return raw, ok && string(raw) != "null"
}

// readMapping reads what AWS's tools print for a mapping, or the properties of CloudFormation or SAM. Its error joins all
// that is wrong.
func readMapping(r io.Reader) (m mapping, _ error) {
	text, err := io.ReadAll(io.LimitReader(r, maxMapping+1))
	if err != nil {
		return m, err
	}
	if len(text) > maxMapping {
		return m, fmt.Errorf("more than %d bytes", maxMapping)
	}
	f, err := mappingFields(text)
	if err != nil {
		return m, err
	}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	m.source(f, bad)
	m.settings(f, bad)
	m.start(f, bad)
	m.failures(f, bad)
	m.ignore(f)
	for _, key := range []string{
		"Queues", "Topics", "SourceAccessConfigurations", "SelfManagedEventSource", "AmazonManagedKafkaEventSourceConfig",
		"SelfManagedKafkaEventSourceConfig", "DocumentDBEventSourceConfig", "ScalingConfig", "ProvisionedPollerConfig", "LoggingConfig",
	} {
		if raw, ok := f.take(key); ok && string(raw) != "[]" && string(raw) != "{}" {
			bad("%s: this is no setting of a Kinesis stream, and is not supported", key)
		}
	}
	for _, key := range keysOf(f) {
		bad("%s: unknown; a name that is misspelt would be lost", key)
	}
	return m, errors.Join(errs...)
}

func keysOf(f fields) (keys []string) {
	for key := range f {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// mappingFields finds the object with the settings.
func mappingFields(text []byte) (fields, error) {
	f, err := objectOf(text)
	if err != nil {
		return nil, err
	}
	if raw, ok := f["EventSourceMappings"]; ok {
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil || len(list) != 1 {
			return nil, fmt.Errorf("EventSourceMappings: %d mappings: give one of them", len(list))
		}
		return objectOf(list[0])
	}
	raw, ok := f["Properties"]
	if !ok {
		return f, nil
	}
	if t := string(f["Type"]); t != `"AWS::Lambda::EventSourceMapping"` && t != `"Kinesis"` {
		return nil, fmt.Errorf("properties of the type %s: want AWS::Lambda::EventSourceMapping, or Kinesis", t)
	}
	return objectOf(raw)
}

// objectOf reads one JSON object and nothing behind it. A key that is given twice is an error.
func objectOf(text []byte) (fields, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	t, err := dec.Token()
	if err != nil {
		return nil, at(text, dec, err)
	}
	if t != json.Delim('{') {
		return nil, fmt.Errorf("want a JSON object, not %.40v", t)
	}
	f := fields{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, at(text, dec, err)
		}
		key, _ := t.(string)
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, at(text, dec, err)
		}
		if _, ok := f[key]; ok {
			return nil, fmt.Errorf("%s: given twice", key)
		}
		f[key] = bytes.TrimSpace(raw)
	}
	if _, err := dec.Token(); err != nil {
		return nil, at(text, dec, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, at(text, dec, errors.New("something follows the object"))
	}
	return f, nil
}

// at names the line at which reading stopped.
func at(text []byte, dec *json.Decoder, err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	line := 1 + bytes.Count(text[:min(int(dec.InputOffset()), len(text))], []byte("\n"))
	return fmt.Errorf("not valid JSON at line %d: %w", line, err)
}

// source reads which stream and which function the mapping connects.
func (m *mapping) source(f fields, bad func(string, ...any)) {
	for _, key := range []string{"EventSourceArn", "Stream"} {
		raw, ok := f.take(key)
		if !ok {
			continue
		}
		switch s, err := textOf(raw); {
		case err != nil:
			bad("%s: %w", key, err)
		case !strings.HasPrefix(s, "arn:") || !strings.Contains(s, ":kinesis:"):
			bad("%s: %q: want the ARN of a Kinesis stream", key, s)
		case strings.Contains(s, "/consumer/"):
			bad("%s: %q is the ARN of a stream consumer: enhanced fan-out is not supported, want the stream's", key, s)
		case !validStream(s):
			bad("%s: %q: want the ARN of a Kinesis stream", key, s)
		default:
			m.stream = s
		}
	}
	for _, key := range []string{"FunctionArn", "FunctionName"} {
		raw, ok := f.take(key)
		if s, err := textOf(raw); ok && err == nil && strings.HasPrefix(s, "arn:") {
			m.options = append(m.options, WithFunctionARN(s))
		}
	}
	if raw, ok := f["UUID"]; ok {
		if s, err := textOf(raw); err == nil && s != "" {
			m.options = append(m.options, WithMappingUUID(s))
		}
	}
}

// settings reads what stands for one option each.
func (m *mapping) settings(f fields, bad func(string, ...any)) {
	number := func(key string, option func(int) Option) {
		if raw, ok := f.take(key); ok {
			if n, err := intOf(raw); err != nil {
				bad("%s: %w", key, err)
			} else {
				m.options = append(m.options, option(n))
			}
		}
	}
	seconds := func(n int) time.Duration {
		if n == -1 { // without limit
			return -1
		}
		return time.Duration(n) * time.Second
	}
	number("BatchSize", WithBatchSize)
	number("MaximumBatchingWindowInSeconds", func(n int) Option { return WithBatchingWindow(seconds(n)) })
	number("ParallelizationFactor", WithParallelizationFactor)
	number("MaximumRetryAttempts", WithMaxRetryAttempts)
	number("MaximumRecordAgeInSeconds", func(n int) Option { return WithMaxRecordAge(seconds(n)) })
	number("TumblingWindowInSeconds", func(n int) Option { return WithTumblingWindow(seconds(n)) })
	if raw, ok := f.take("BisectBatchOnFunctionError"); ok {
		if on, err := boolOf(raw); err != nil {
			bad("BisectBatchOnFunctionError: %w", err)
		} else {
			m.options = append(m.options, WithBisectOnError(on))
		}
	}
	if raw, ok := f.take("FunctionResponseTypes"); ok {
		var types []string
		if err := json.Unmarshal(raw, &types); err != nil || len(types) > 1 || len(types) == 1 && types[0] != "ReportBatchItemFailures" {
			bad(`FunctionResponseTypes: %.80s: want ["ReportBatchItemFailures"] or []`, raw)
		}
		m.reports = len(types) > 0
	}
	if raw, ok := f.take("FilterCriteria"); ok {
		m.filters(raw, bad)
	}
	if raw, ok := f.take("FilterCriteriaError"); ok {
		bad("FilterCriteriaError: %.200s: the mapping's patterns could not be read", raw)
	}
}

func (m *mapping) filters(raw json.RawMessage, bad func(string, ...any)) {
	criteria, err := objectOf(raw)
	if err != nil {
		bad("FilterCriteria: %w", err)
		return
	}
	var list []json.RawMessage
	if filters, ok := criteria.take("Filters"); ok {
		err = json.Unmarshal(filters, &list)
	}
	if keys := keysOf(criteria); err != nil || len(keys) > 0 {
		bad("FilterCriteria: want Filters, a list, and nothing else")
	}
	var patterns []string
	for i, one := range list {
		filter, err := objectOf(one)
		var pattern string
		if err == nil {
			raw, _ := filter.take("Pattern")
			pattern, err = textOf(raw)
		}
		if err != nil || len(filter) > 0 {
			bad("FilterCriteria.Filters[%d]: want an object with Pattern, a string", i)
			continue
		}
		patterns = append(patterns, pattern)
	}
	m.options = append(m.options, WithFilter(patterns...))
}

// start reads where reading begins. What get-event-source-mapping prints says where the mapping began, long ago: LATEST
// would skip what came since, and TRIM_HORIZON repeat the retention. A disabled mapping says until when it read.
func (m *mapping) start(f fields, bad func(string, ...any)) {
	rawPosition, given := f.take("StartingPosition")
	rawTime, timed := f.take("StartingPositionTimestamp")
	state, printed := f.take("State")
	modified, hasTime := f.take("LastModified")
	if _, uuid := f.take("UUID"); uuid || printed || hasTime {
		m.needsStart = true
		if s, err := textOf(state); err != nil || s != "Disabled" {
			return
		}
		t, err := timeOf(modified)
		if err != nil {
			bad("LastModified: %w", err)
			return
		}
		m.options, m.needsStart = append(m.options, WithStartingPosition(At(t.Add(-modifiedMargin)))), false
		return
	}
	position, err := textOf(rawPosition)
	switch {
	case !given:
		m.needsStart = !timed
		if timed {
			bad("StartingPositionTimestamp: needs StartingPosition AT_TIMESTAMP")
		}
		return
	case err != nil:
		bad("StartingPosition: %w", err)
		return
	case timed != (position == "AT_TIMESTAMP"):
		bad("StartingPosition %s: StartingPositionTimestamp is for AT_TIMESTAMP, which needs it", position)
		return
	}
	switch position {
	case "TRIM_HORIZON":
		m.options = append(m.options, WithStartingPosition(TrimHorizon()))
	case "LATEST":
		m.options = append(m.options, WithStartingPosition(Latest()))
	case "AT_TIMESTAMP":
		t, err := timeOf(rawTime)
		if err != nil {
			bad("StartingPositionTimestamp: %w", err)
			return
		}
		m.options = append(m.options, WithStartingPosition(At(t)))
	default:
		bad("StartingPosition: %q: want TRIM_HORIZON, LATEST or AT_TIMESTAMP", position)
	}
}

// failures reads the destination.
func (m *mapping) failures(f fields, bad func(string, ...any)) {
	raw, ok := f.take("DestinationConfig")
	if !ok {
		return
	}
	config, err := objectOf(raw)
	if err != nil {
		bad("DestinationConfig: %w", err)
		return
	}
	for _, key := range []string{"OnSuccess", "OnFailure"} {
		raw, ok := config.take(key)
		if !ok {
			continue
		}
		destination, err := objectOf(raw)
		if err != nil {
			bad("DestinationConfig.%s: %w", key, err)
			continue
		}
		raw, given := destination.take("Destination")
		delete(destination, "Type") // SAM's: the ARN says it
		for _, unknown := range keysOf(destination) {
			bad("DestinationConfig.%s.%s: unknown", key, unknown)
		}
		if !given {
			continue
		}
		switch arn, err := textOf(raw); {
		case key == "OnSuccess":
			bad("DestinationConfig.OnSuccess: a stream has no destination for successes (L11)")
		case err != nil:
			bad("DestinationConfig.OnFailure.Destination: %w", err)
		case destinationLine(arn) == "":
			bad("DestinationConfig.OnFailure.Destination: %q: want the ARN of a standard queue, a standard topic or a bucket (L11)", arn)
		default:
			m.destination = arn
		}
	}
	for _, unknown := range keysOf(config) {
		bad("DestinationConfig.%s: unknown", unknown)
	}
}

// destinationLine is the line that stands for a destination; empty if there is none.
func destinationLine(arn string) string {
	part := strings.SplitN(arn, ":", 6)
	if len(part) < 6 || strings.HasSuffix(arn, ".fifo") {
		return ""
	}
	switch part[2] {
	case "sqs":
		return fmt.Sprintf("consumer.WithOnFailure(sqsdest.New(client, \"https://sqs.%s.amazonaws.com/%s/%s\"))", part[3], part[4], part[5])
	case "sns":
		return fmt.Sprintf("consumer.WithOnFailure(snsdest.New(client, %q))", arn)
	case "s3":
		return fmt.Sprintf("consumer.WithOnFailure(s3dest.New(client, %q))", part[5])
	}
	return ""
}

// ignore takes out what has no meaning here, and warns of what one might count on.
func (m *mapping) ignore(f fields) {
	if raw, ok := f.take("Enabled"); ok {
		if on, err := boolOf(raw); err != nil || !on {
			m.warnings = append(m.warnings, "Enabled: a consumer is started by Run and stopped by its context")
		}
	}
	for _, key := range []string{"KMSKeyArn", "KmsKeyArn", "MetricsConfig", "Tags"} {
		if raw, ok := f.take(key); ok && string(raw) != "{}" && string(raw) != "[]" {
			m.warnings = append(m.warnings, key+": it has no meaning here")
		}
	}
	for _, key := range []string{"EventSourceMappingArn", "LastProcessingResult", "StateTransitionReason", "FunctionName"} {
		f.take(key)
	}
}

func textOf(raw json.RawMessage) (s string, err error) {
	if err := literal(raw); err != nil {
		return "", err
	}
	if json.Unmarshal(raw, &s) != nil {
		return "", fmt.Errorf("%.80s: want a string", raw)
	}
	return s, nil
}

// intOf reads a whole number, which CloudFormation may write as a string.
func intOf(raw json.RawMessage) (int, error) {
	if err := literal(raw); err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.Trim(string(raw), `"`))
	if err != nil {
		return 0, fmt.Errorf("%.80s: want a whole number", raw)
	}
	return n, nil
}

func boolOf(raw json.RawMessage) (bool, error) {
	if err := literal(raw); err != nil {
		return false, err
	}
	switch strings.Trim(string(raw), `"`) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%.80s: want true or false", raw)
}

// timeOf reads RFC 3339, or Unix seconds.
func timeOf(raw json.RawMessage) (time.Time, error) {
	if err := literal(raw); err != nil {
		return time.Time{}, err
	}
	s := strings.Trim(string(raw), `"`)
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	if n, err := strconv.ParseFloat(s, 64); err == nil && n >= 0 && n < 1e11 {
		return time.UnixMilli(int64(n * 1000)), nil
	}
	return time.Time{}, fmt.Errorf("%.80s: want a time, as 2026-03-05T14:07:21Z or in Unix seconds", raw)
}

// literal refuses functions of CloudFormation.
func literal(raw json.RawMessage) error {
	if len(raw) > 0 && raw[0] == '{' {
		return fmt.Errorf("%.80s: only CloudFormation can resolve it; write the value", raw)
	}
	return nil
}
