// Package snsdest publishes documents of failed records to an SNS topic, as the on-failure destination of Lambda's event
// source mapping does.
//
//	consumer.WithOnFailure(snsdest.New(sns.NewFromConfig(cfg), "arn:aws:sns:eu-west-1:123456789012:failed"))
//
// The Message of a publication is the document of one run of records; there is no subject. It names the records
// and does not hold them: they are read from the stream while they are still there. The topic is a standard topic.
//
// A document is published once, with the retries of the client. A reply that is lost on the way makes the client
// publish again, so that subscribers may get a document twice. The client needs the right to sns:Publish.
package snsdest
