// Package sqsdest sends documents of failed records to an SQS queue, as the on-failure destination of Lambda's event source
// mapping does.
//
//	consumer.WithOnFailure(sqsdest.New(sqs.NewFromConfig(cfg), "https://sqs.eu-west-1.amazonaws.com/123456789012/failed"))
//
// The body of a message is the document of one run of records. It names the records and does not hold them: they
// are read from the stream while they are still there. The queue is a standard queue.
//
// A document is sent once, with the retries of the client. A reply that is lost on the way makes the client send
// again, so that a document may be in the queue twice. The client needs the right to sqs:SendMessage.
package sqsdest
