package wire

import (
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go/middleware"
)

// A Loan is the memory that the data of one reply's records is in. It is given back once, by whoever has these records alone,
// and then holds those of other replies. A Loan that is not given back is garbage like any other memory.
type Loan struct {
	d      *Decoder
	of     *kinesis.GetRecordsOutput // has the records
	blocks [][]byte
}

// minLent is the least that is lent: less is not worth the search for it.
const minLent = 512

// Lend is Option for a call whose data is in memory that goes to l. It is for a client that keeps nothing of the reply.
func (d *Decoder) Lend(l *Loan) func(*kinesis.Options) {
	return func(o *kinesis.Options) {
		o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
			*l = Loan{d: d}
			return d.join(s, l)
		})
	}
}

// block is memory for n bytes of data.
func (l *Loan) block(n int) []byte {
	if l == nil || n < minLent {
		return make([]byte, n)
	}
	b := l.d.shelf.block(n)
	l.blocks = append(l.blocks, b)
	return b[:n]
}

// Back gives the memory back that the data of out is in, once nobody has it any more. It is nil where there is none: another
// decoder has made out, or somebody has put it in the place of what was decoded.
func (l *Loan) Back(out *kinesis.GetRecordsOutput) func() {
	if l.of != out || len(l.blocks) == 0 {
		return nil
	}
	d, blocks := l.d, l.blocks
	*l = Loan{}
	return func() {
		for _, b := range blocks {
			if d.Spoil != nil {
				d.Spoil(b)
			}
			d.shelf.put(spare{block: b})
		}
		blocks = nil
	}
}
