// Lambda is the quickstart's function inside Lambda: the same code, given to lambda.Start. It runs only there.
package main

import (
	"context"
	"fmt"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

func handle(_ context.Context, ev events.KinesisEvent) error {
	for _, r := range ev.Records {
		fmt.Printf("%s: %s\n", r.Kinesis.PartitionKey, r.Kinesis.Data)
	}
	return nil
}

func main() {
	lambda.Start(handle)
}
