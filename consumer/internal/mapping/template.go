package mapping

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

const (
	mappingType  = "AWS::Lambda::EventSourceMapping"
	functionType = "AWS::Serverless::Function"
)

// A candidate is a mapping that a document has among other things.
type candidate struct {
	name   string // where it stands
	fields *fields
	source string // what it reads if that is no Kinesis stream, or unknown
}

// settingsIn finds the object with the settings: all of f, or the only mapping of a Kinesis stream in a list, a template or
// a function. It is nil if there is none.
func settingsIn(f *fields, bad complaint) *fields {
	forget(f)
	switch {
	case f.has("EventSourceMappings"):
		raw, _ := f.take("EventSourceMappings")
		for _, key := range []string{"NextMarker", "NextToken"} {
			if raw, ok := f.take(key); ok && string(raw) != `""` {
				bad("%s: the list goes on: give one mapping", key)
			}
		}
		f.rest("", bad)
		return listed(raw, bad)
	case f.has("Resources"):
		raw, _ := f.take("Resources")
		for _, key := range []string{
			"AWSTemplateFormatVersion", "Conditions", "Description", "Globals", "Hooks", "Mappings", "Metadata", "Outputs", "Parameters",
			"Rules", "Transform",
		} {
			f.take(key)
		}
		f.rest("", bad)
		return among("Resources", raw, bad)
	case f.has("Properties"):
		return propertiesOf(f, bad)
	}
	if found := candidates("", f); len(found) > 0 { // resources or events, by name
		return only("the document", found, bad)
	}
	return f
}

// propertiesOf finds the settings in a resource of CloudFormation, or an event of SAM.
func propertiesOf(f *fields, bad complaint) *fields {
	kind, _ := f.take("Type")
	name, err := textOf(kind)
	if err != nil || name != mappingType && name != functionType && name != "Kinesis" {
		bad("properties of the type %s: want %q, %q, or \"Kinesis\" for an event of SAM", short(kind), mappingType, functionType)
	}
	raw, _ := f.take("Properties")
	for _, key := range []string{
		"Condition", "Connectors", "CreationPolicy", "DeletionPolicy", "DependsOn", "Metadata", "UpdatePolicy", "UpdateReplacePolicy",
	} {
		f.take(key) // what CloudFormation does with the resource
	}
	f.rest("", bad)
	properties, err := objectOf(raw)
	if err != nil {
		bad("Properties: %w", err)
		return nil
	}
	if name == functionType {
		raw, _ := properties.take("Events")
		return among("Events", raw, bad)
	}
	return properties
}

// listed finds the mapping in a list of mappings.
func listed(raw json.RawMessage, bad complaint) *fields {
	list, err := listOf(raw)
	if err != nil {
		bad("EventSourceMappings: %w", err)
		return nil
	}
	var found []candidate
	for i, raw := range list {
		one, err := objectOf(raw)
		if err != nil {
			bad("EventSourceMappings[%d]: %w", i, err)
			continue
		}
		name := []string{fmt.Sprintf("EventSourceMappings[%d]", i)}
		for _, key := range []string{"FunctionArn", "UUID"} {
			if s, err := textOf(one.values[key]); err == nil && s != "" {
				name = append(name, s)
			}
		}
		found = append(found, candidate{strings.Join(name, " "), one, sourceOf(one, nil)})
	}
	return only("EventSourceMappings", found, bad)
}

// among finds the mapping among the resources of a template, or the events of a function.
func among(where string, raw json.RawMessage, bad complaint) *fields {
	if raw == nil {
		return only(where, nil, bad)
	}
	all, err := objectOf(raw)
	if err != nil {
		bad("%s: %w", where, err)
		return nil
	}
	return only(where, candidates(where, all), bad)
}

// candidates lists the mappings in resources or events, and in those of functions.
func candidates(where string, all *fields) (found []candidate) {
	for _, name := range slices.Sorted(maps.Keys(all.values)) {
		path := strings.TrimPrefix(where+"."+name, ".")
		if strings.HasPrefix(name, "Fn::ForEach::") && bytes.Contains(all.values[name], []byte("StartingPosition")) {
			found = append(found, candidate{path, nil, ""}) // there may be any number of mappings in it
		}
		one, err := objectOf(all.values[name])
		if err != nil {
			continue
		}
		kind, _ := textOf(one.values["Type"])
		properties, err := objectOf(one.values["Properties"])
		if err != nil {
			continue
		}
		switch kind {
		case mappingType:
			found = append(found, candidate{path, one, sourceOf(properties, all)})
		case functionType:
			if events, err := objectOf(properties.values["Events"]); err == nil {
				found = append(found, candidates(path+".Events", events)...)
			}
		case "Kinesis":
			found = append(found, candidate{path, one, ""})
		case "DocumentDB", "DynamoDB", "MQ", "MSK", "SelfManagedKafka", "SQS":
			found = append(found, candidate{path, one, "an event of " + kind})
		}
	}
	return found
}

// sourceOf calls what a mapping reads by its name; it is empty for a Kinesis stream, and for what cannot be known.
func sourceOf(f, resources *fields) string {
	for _, key := range []string{"SelfManagedEventSource", "AmazonManagedKafkaEventSourceConfig", "Topics"} {
		if raw := f.values[key]; f.has(key) && !empty(raw) {
			return "Kafka topics"
		}
	}
	raw := f.values["EventSourceArn"]
	if arn, err := textOf(raw); err == nil {
		if service := serviceOf(arn); service != "" && service != "kinesis" {
			return kindOf(service)
		}
	}
	if name := refersTo(raw); name != "" && resources != nil {
		if r, err := objectOf(resources.values[name]); err == nil {
			if kind, _ := textOf(r.values["Type"]); !strings.HasPrefix(kind, "AWS::Kinesis::") {
				return kind
			}
		}
	}
	return ""
}

// only takes the one mapping of a Kinesis stream; if there are more, or none, it says which there are.
func only(where string, all []candidate, bad complaint) *fields {
	var streams, others []string
	var found *fields
	for _, c := range all {
		if c.source == "" {
			streams, found = append(streams, c.name), c.fields
		} else {
			others = append(others, fmt.Sprintf("%s (%s)", c.name, c.source))
		}
	}
	switch {
	case len(all) == 0:
		bad("%s: there is no event source mapping: want one of a Kinesis stream", where)
	case len(streams) == 0:
		bad("%s: no mapping of a Kinesis stream, but %s", where, strings.Join(others, ", "))
	case len(streams) > 1:
		bad("%s: %d mappings of Kinesis streams: give one of %s", where, len(streams), strings.Join(streams, ", "))
	case found == nil:
		bad("%s: only CloudFormation can resolve it: give one mapping", streams[0])
	case found.has("Properties"):
		return propertiesOf(found, bad)
	default:
		return found
	}
	return nil
}
