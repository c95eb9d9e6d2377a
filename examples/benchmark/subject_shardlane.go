package main

import (
	"context"
	"log/slog"

	"github.com/aws/aws-lambda-go/events"
	"github.com/shardlane/shardlane/consumer"
)

// consumeShardlane is this library with its defaults, but for the batch size, for aggregates that are split, and for fan-out.
func consumeShardlane(ctx context.Context, j *job, stream string, m *meter) error {
	handle := func(_ context.Context, ev events.KinesisEvent) error {
		var bytes int
		for i := range ev.Records {
			bytes += m.size(ev.Records[i].Kinesis.Data)
		}
		m.got(len(ev.Records), bytes)
		return nil
	}
	options := []consumer.Option{
		consumer.WithBatchSize(j.Batch), consumer.WithDeaggregation(j.Load.User > 0), consumer.WithLogger(slog.New(slog.DiscardHandler)),
	}
	if j.FanOut {
		options = append(options, consumer.WithEnhancedFanOut("benchmark"))
	}
	return consumer.Run(ctx, j.client(), stream, handle, options...)
}
