package filter_test

import (
	"fmt"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/filter"
)

// Two patterns: what one of them matches passes. Of a field beside "$or" and in an alternative, the alternative's counts.
func ExampleCompile() {
	set, err := filter.Compile(
		`{"data": {"status": ["paid"], "$or": [{"status": ["new"], "vip": [true]}, {"amount": [{"numeric": [">=", 100]}]}]}}`,
		`{"partitionKey": [{"prefix": "test-"}]}`,
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range []batch.Record{
		{PartitionKey: "alice", Data: []byte(`{"status": "paid", "amount": 250}`)},
		{PartitionKey: "alice", Data: []byte(`{"status": "new", "vip": true}`)},
		{PartitionKey: "alice", Data: []byte(`{"status": "new", "amount": 250}`)},
		{PartitionKey: "test-1", Data: []byte(`not JSON`)},
	} {
		fmt.Println(set.Match(&batch.Source{}, &r))
	}
	// Output:
	// true
	// true
	// false
	// true
}
