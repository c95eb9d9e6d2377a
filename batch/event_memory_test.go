package batch_test

import (
	"runtime"
	"strings"
	"testing"
	"unsafe"
	"weak"

	"github.com/shardlane/shardlane/batch"
)

// TestEventKeepsNothingAlive holds that a handler that keeps a record keeps what the event shows, and not the page of it.
func TestEventKeepsNothingAlive(t *testing.T) {
	text, data := strings.Repeat("4", 1000), make([]byte, 1000)
	names, block := weak.Make(unsafe.StringData(text)), weak.Make(unsafe.SliceData(data))
	ev := batch.Source{Shard: "s"}.Event(2, func(i int) batch.Record {
		return batch.Record{PartitionKey: text[:10+i], SequenceNumber: text[20 : 76+i], Data: data[:10]}
	})
	runtime.GC()
	if names.Value() != nil || block.Value() != nil {
		t.Errorf("names are kept: %v, data is kept: %v", names.Value() != nil, block.Value() != nil)
	}
	for i, r := range ev.Records {
		if k := r.Kinesis; len(k.PartitionKey) != 10+i || len(k.SequenceNumber) != 56+i || r.EventID != "s:"+k.SequenceNumber {
			t.Errorf("%+v", r)
		}
	}
}
