package page

import (
	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
)

// Event is the event of one attempt: a copy, so that a handler may keep and change it (L5).
func Event(src batch.Source, items []Item) events.KinesisEvent {
	return src.Event(len(items), func(i int) batch.Record { return items[i].Record() })
}

// Subs are the places of items in their aggregates, nil if none comes from one (C21).
func Subs(items []Item) (subs []int64) {
	for i, it := range items {
		sub := it.Sub()
		if sub != batch.NoSub && subs == nil {
			subs = make([]int64, len(items))
			for j := range i {
				subs[j] = batch.NoSub
			}
		}
		if subs != nil {
			subs[i] = sub
		}
	}
	return subs
}
