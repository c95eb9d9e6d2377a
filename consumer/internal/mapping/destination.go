package mapping

import (
	"fmt"
	"strings"
)

// failures reads where records go that are given up. Which client to use no JSON can say, so this only keeps the ARN.
func (s *Settings) failures(f *fields, bad complaint) {
	config, ok := value(f, "DestinationConfig", objectOf, bad)
	if !ok {
		return
	}
	bad = within("DestinationConfig", bad)
	if arn, ok := destinationOf(config, "OnSuccess", bad); ok {
		bad("OnSuccess.Destination: %q: a stream has no destination for successes: leave it out", arn)
	}
	if arn, ok := destinationOf(config, "OnFailure", bad); ok {
		if err := checkDestination(arn); err != nil {
			bad("OnFailure.Destination: %w", err)
		} else {
			s.Destination = arn
		}
	}
	config.rest("", bad)
}

// destinationOf reads OnSuccess or OnFailure; tools print an empty object for none.
func destinationOf(config *fields, key string, bad complaint) (arn string, ok bool) {
	f, ok := value(config, key, objectOf, bad)
	if !ok {
		return "", false
	}
	arn, ok = value(f, "Destination", textOf, within(key, bad))
	f.take("Type") // SAM's; the ARN says it, too
	f.rest(key+".", bad)
	return arn, ok
}

// checkDestination says why an ARN is none of a destination.
func checkDestination(arn string) error {
	part := strings.Split(arn, ":") // arn, partition, service, region, account, resource
	service := serviceOf(arn)
	switch {
	case strings.HasPrefix(arn, "kafka://"):
		return fmt.Errorf("%q is a Kafka topic: want the ARN of a standard queue, a standard topic or a bucket", arn)
	case service == "":
		return &unresolved{fmt.Sprintf("%q", arn), "this is no ARN"}
	case service != "sqs" && service != "sns" && service != "s3":
		return fmt.Errorf("%q is %s: want the ARN of a standard queue, a standard topic or a bucket", arn, kindOf(service))
	case service == "s3" && (len(part) != 6 || part[3]+part[4] != "" || part[5] == "" || strings.Contains(part[5], "/")):
		return fmt.Errorf("%q: want the ARN of a bucket, as arn:aws:s3:::dead-letters", arn)
	case service == "s3":
		return nil
	case len(part) != 6 || part[3] == "" || part[4] == "" || part[5] == "":
		return fmt.Errorf("%q: want an ARN as arn:aws:%s:us-east-1:123456789012:dead-letters", arn, service)
	case strings.HasSuffix(arn, ".fifo"):
		return fmt.Errorf("%q: want a standard queue or topic, since FIFO ones are not supported", arn)
	}
	return nil
}

// DestinationLine is the line to write for a destination that a mapping names.
func DestinationLine(arn string) string {
	part := strings.Split(arn, ":")
	switch service := serviceOf(arn); service {
	case "sqs":
		domain := "amazonaws.com"
		if part[1] == "aws-cn" {
			domain += ".cn"
		}
		return fmt.Sprintf("consumer.WithOnFailure(sqsdest.New(client, %q))", "https://sqs."+part[3]+"."+domain+"/"+part[4]+"/"+part[5])
	case "s3":
		return fmt.Sprintf("consumer.WithOnFailure(s3dest.New(client, %q))", part[5])
	default:
		return fmt.Sprintf("consumer.WithOnFailure(snsdest.New(client, %q))", arn)
	}
}
