package kinesistest_test

import (
	"flag"
	"fmt"
	"sync"
	"testing"
)

// runTest runs a test from an example, which has no *testing.T of its own: once, and without a word unless it fails.
func runTest(test func(*testing.T)) {
	for name, value := range map[string]string{"test.v": "false", "test.skip": ""} {
		f := flag.Lookup(name)
		before := fmt.Sprint(f.Value.(flag.Getter).Get())
		f.Value.Set(value)
		defer f.Value.Set(before)
	}
	var once sync.Once // whatever -count and -cpu say
	testing.RunTests(func(string, string) (bool, error) { return true, nil },
		[]testing.InternalTest{{Name: "Test", F: func(t *testing.T) { once.Do(func() { test(t) }) }}})
}
