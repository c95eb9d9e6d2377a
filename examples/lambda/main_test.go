package main

import (
	"context"
	"log"

	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// A handler is tested with an event made by hand, without a server.
func Example() {
	ev := kinesistest.Event("alice", "1 espresso", "bob", "1 cortado")
	if err := handle(context.Background(), ev); err != nil {
		log.Fatal(err)
	}
	// Output:
	// alice: 1 espresso
	// bob: 1 cortado
}
