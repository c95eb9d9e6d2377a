package ledger_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/ledger"
	"github.com/shardlane/shardlane/consumer/internal/page"
)

// What is entered and handled while a position is being stored is not covered by it.
func TestUnstoredBehindAWrite(t *testing.T) {
	l := ledger.New(checkpoint.TrimHorizon, nil, "")
	at := func(n int64) time.Time { return time.UnixMilli(1_772_719_620_000 + n).UTC() }
	handle := func(seq string, arrival time.Time) {
		items, _ := l.Enter(page.New([]types.Record{{SequenceNumber: aws.String(seq), PartitionKey: aws.String("k"), ApproximateArrivalTimestamp: &arrival}}, nil), nil, at(9))
		l.Done(items)
	}
	handle("1", at(1))
	position := func() checkpoint.Position {
		pos, _, _, _, err := l.Position(0)
		if err != nil {
			t.Fatal(err)
		}
		return pos
	}
	pos := position()
	handle("2", at(2))
	l.Stored(pos, nil)
	if got := l.Figures().Unstored; !got.Equal(at(2)) {
		t.Errorf("the oldest record that is not covered is of %v, want %v", got, at(2))
	}
	l.Stored(position(), nil)
	if got := l.Figures().Unstored; !got.IsZero() {
		t.Errorf("all is stored, and a record of %v is not covered", got)
	}
}
