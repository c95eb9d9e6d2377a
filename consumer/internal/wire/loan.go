package wire

import (
	"time"
	"unsafe"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go/middleware"
)

// A Loan is the memory that one reply's records are in. It is given back once, by whoever has these records alone,
// and then holds those of other replies. A Loan that is not given back is garbage like any other memory.
type Loan struct {
	d      *Decoder
	of     *kinesis.GetRecordsOutput // has the records
	blocks [][]byte
	table  *table
}

// A table is the memory of the records themselves, with the strings and times that they point to.
type table struct {
	recs    []types.Record
	strings []string
	times   []time.Time
}

// newTable has room for n records.
func newTable(n int) *table {
	return &table{make([]types.Record, n), make([]string, 0, 2*n), make([]time.Time, 0, n)}
}

func (t *table) bytes() int {
	return cap(t.recs) * int(unsafe.Sizeof(types.Record{})+2*unsafe.Sizeof("")+unsafe.Sizeof(time.Time{}))
}

// Less than these is not lent: it is not worth the search for it.
const (
	minLent        = 512 // bytes
	minLentRecords = 16
)

// Lend is Option for a call whose records are in memory that goes to l. It is for a client that keeps nothing of the reply.
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

// records is memory for n records, which are empty.
func (l *Loan) records(n int) *table {
	if l == nil || n < minLentRecords {
		return newTable(n)
	}
	l.table = l.d.shelf.table(n)
	return l.table
}

// Back gives the memory back that the records of out are in, once nobody has it any more. It is nil where there is none: another
// decoder has made out, or somebody has put it in the place of what was decoded.
func (l *Loan) Back(out *kinesis.GetRecordsOutput) func() {
	if l.of != out || len(l.blocks) == 0 && l.table == nil {
		return nil
	}
	d, blocks, table := l.d, l.blocks, l.table
	*l = Loan{}
	return func() {
		if table != nil {
			clear(table.recs)
			clear(table.strings[:cap(table.strings)]) // they keep text alive
			d.shelf.put(spare{table: table})
		}
		for _, b := range blocks {
			if d.Spoil != nil {
				d.Spoil(b)
			}
			d.shelf.put(spare{block: b})
		}
		blocks, table = nil, nil
	}
}
