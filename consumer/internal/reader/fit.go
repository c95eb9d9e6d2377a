package reader

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/shardlane/shardlane/consumer/internal/wire"
)

const (
	longPage   = 10 * time.Second
	shortPage  = 3 * time.Second
	growth     = 8               // full pages in a row before larger ones are asked for
	blindTotal = 5 * time.Minute // for a reply that cannot be watched: 14 MB, the largest record as JSON, at 370 kbit/s
)

// A fit is the size of pages that come through. A line may be slow, and what is on it may cut long replies off. So a page
// that was cut off, or fell silent, is asked for anew with a quarter of the records, and one that took long is followed
// by one of half as many; they grow again while they come quickly. A single record that does not come through, of a client
// whose replies cannot be watched, gets twice the time, up to 5 minutes.
type fit struct {
	smaller int           // records less than MaxRecords that are asked for
	full    int           // pages in a row that had them all
	more    time.Duration // more than callTimeout, for what cannot be watched
}

func (f *fit) limit() int              { return MaxRecords - f.smaller }
func (f *fit) patience() time.Duration { return callTimeout + f.more }
func (f *fit) set(limit int)           { f.smaller, f.full = MaxRecords-min(max(limit, 1), MaxRecords), 0 }

// failed takes in a call that failed, for so many records.
func (f *fit) failed(asked int, c *call) {
	switch {
	case !c.broken:
	case asked == 1 && !c.watched:
		f.more = min(2*f.patience(), blindTotal) - callTimeout
	default:
		f.set(asked / 4)
	}
}

// came takes in a page of n records that came in d.
func (f *fit) came(n int, d time.Duration) {
	if d < callTimeout {
		f.more = 0
	}
	switch {
	case d > longPage:
		if n > 1 {
			f.set(n / 2)
		}
	case d < shortPage && n == f.limit():
		if f.full++; f.full == growth {
			f.set(2 * n)
		}
	}
}

// get gets a page.
func (p *Poller) get(ctx context.Context) (out *kinesis.GetRecordsOutput, c *call, err error) {
	asked := min(p.fit.limit(), p.limit)
	in := &kinesis.GetRecordsInput{ShardIterator: &p.iterator, Limit: aws.Int32(int32(asked))}
	_, in.StreamARN = StreamID(p.Stream)
	decoder, loan := p.Wire.Option, new(wire.Loan)
	if p.Bare {
		decoder = p.Wire.Lend(loan)
	}
	c, err = p.call(ctx, p.fit.patience(), func(ctx context.Context, o func(*kinesis.Options)) (err error) {
		out, err = p.Client.GetRecords(ctx, in, o, p.Line.Option, decoder)
		return err
	})
	if err != nil {
		p.fit.failed(asked, c)
		return nil, c, err
	}
	start := c.began
	if c.watched {
		start = c.replied
	}
	p.fit.came(len(out.Records), time.Since(start))
	p.back = loan.Back(out)
	return out, c, nil
}
