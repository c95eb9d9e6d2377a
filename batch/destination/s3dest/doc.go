// Package s3dest puts documents of failed records, and the records, into an S3 bucket, as the on-failure destination of
// Lambda's event source mapping does.
//
//	consumer.WithOnFailure(s3dest.New(s3.NewFromConfig(cfg), "failed"))
//
// An object holds the document of one run of records, with their event as a JSON string in the key payload. Its key
// begins with aws/lambda, then the mapping, the shard and the time, and ends with a random UUID. Its size is that of
// the event and a little more than that again for each quote in it.
//
// An object is put once, with the retries of the client. A retry puts the same object under the same key. The client
// needs the right to s3:PutObject.
package s3dest
