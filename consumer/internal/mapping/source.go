package mapping

import (
	"fmt"
	"strings"
)

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
			bad("%s: %w", key, &unresolved{fmt.Sprintf("%q", arn), "this is no ARN"})
		case service != "kinesis":
			bad("%s: %q is %s: want the ARN of a Kinesis stream", key, arn, kindOf(service))
		case !ValidStream(arn) && !consumerOf(arn):
			bad("%s: %q: want the ARN of a Kinesis stream, as arn:aws:kinesis:us-east-1:123456789012:stream/orders, or of a stream consumer", key, arn)
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

// consumerOf is true for the ARN of a stream consumer.
func consumerOf(arn string) bool {
	stream, rest, ok := strings.Cut(arn, "/consumer/")
	return ok && ValidStream(stream) && ValidConsumer(rest)
}

// ValidConsumer is true for what the ARN of a stream consumer has behind the stream's and "/consumer/": a name, and when it was
// registered.
func ValidConsumer(s string) bool {
	name, at, ok := strings.Cut(s, ":")
	return ok && ValidStream(name) && at != "" && strings.Trim(at, "0123456789") == ""
}

// serviceOf is the service of an ARN; empty if s is none.
func serviceOf(s string) string {
	if part := strings.SplitN(s, ":", 6); len(part) == 6 && part[0] == "arn" && part[1] != "" {
		return part[2]
	}
	return ""
}

// kindOf calls what a service has by its name.
func kindOf(service string) string {
	name, ok := map[string]string{
		"sqs": "an SQS queue", "dynamodb": "a DynamoDB stream", "kafka": "an MSK cluster, for Kafka topics", "mq": "an Amazon MQ broker",
		"rds": "a DocumentDB cluster", "kinesisvideo": "a Kinesis video stream", "firehose": "a Firehose stream", "sns": "an SNS topic",
		"s3": "an S3 bucket", "events": "an event bus", "lambda": "a Lambda function",
	}[service]
	if !ok {
		return "of service " + service
	}
	return name
}

// refuse tells of settings of other sources.
func refuse(f *fields, bad complaint) {
	for _, field := range []struct{ key, source string }{
		{"AmazonManagedKafkaEventSourceConfig", "Kafka"},
		{"DocumentDBEventSourceConfig", "DocumentDB"},
		{"LoggingConfig", "Kafka"},
		{"ProvisionedPollerConfig", "Kafka and SQS"},
		{"Queues", "Amazon MQ"},
		{"ScalingConfig", "SQS"},
		{"SelfManagedEventSource", "Kafka"},
		{"SelfManagedKafkaEventSourceConfig", "Kafka"},
		{"SourceAccessConfigurations", "Kafka, Amazon MQ and DocumentDB"},
		{"Topics", "Kafka"},
	} {
		if raw, ok := f.take(field.key); ok && !empty(raw) {
			bad("%s: this is a setting of %s (%s), and none of a Kinesis stream: leave it out", field.key, field.source, short(raw))
		}
	}
}
