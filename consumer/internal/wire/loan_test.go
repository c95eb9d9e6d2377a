package wire_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/shardlane/shardlane/consumer/internal/wire"
)

// spoil overwrites memory that is given back.
func spoil(b []byte) {
	for i := range b {
		b[i] = 0xdb
	}
}

// TestLoan holds that memory is used again once it is given back, and neither before nor twice.
func TestLoan(t *testing.T) {
	d := wire.Decoder{Spoil: spoil}
	read := func(option bool) (at *byte, data func() string, back func()) {
		t.Helper()
		var l wire.Loan
		lend := d.Lend(&l)
		if option {
			lend = d.Option
		}
		out, err := get(t, text(`{"Records":[{"Data":"`+fmt.Sprintf("%01000d", 0)+`"},{"Data":"QUJD"}]}`), lend)
		if err != nil {
			t.Fatal(err)
		}
		other := *out
		if l.Back(&other) != nil {
			t.Error("memory of records that may be others' is given back")
		}
		return &out.Records[0].Data[0], func() string { return string(out.Records[1].Data) }, l.Back(out)
	}
	at, data, back := read(false)
	second, _, _ := read(false)
	if at == second {
		t.Error("two replies have the same memory")
	}
	if data() != "ABC" {
		t.Errorf("%q while it is lent", data())
	}
	back()
	if data() != "\xdb\xdb\xdb" {
		t.Errorf("%q was not spoilt", data())
	}
	back() // of no effect
	third, data, _ := read(false)
	if third != at || data() != "ABC" {
		t.Errorf("memory that was given back has %q, and is used again: %t", data(), third == at)
	}
	if fourth, _, _ := read(false); fourth == at {
		t.Error("memory was given back twice")
	}
	if _, data, back := read(true); back != nil || data() != "ABC" {
		t.Errorf("%q, and it is lent: %t", data(), back != nil)
	}
}

// TestLoanOfLeftReply holds that nothing is lent for a reply that the SDK decodes, be it in the middle of it.
func TestLoanOfLeftReply(t *testing.T) {
	d := wire.Decoder{Spoil: spoil}
	body := append(bytes.TrimSuffix(longPage(rand.New(rand.NewPCG(1, 1))), []byte(`]}`)), `,{"Unknown":1,"Unknown":"\ud800"}]}`...)
	var l wire.Loan
	out, err := get(t, text(string(body)), d.Lend(&l))
	if _, slow := d.Counts(); err != nil || slow != 1 || l.Back(out) != nil {
		t.Errorf("%v, %d left to the SDK", err, slow)
	}
}

// longPage is a page of which the Decoder has a window only.
func longPage(rnd *rand.Rand) []byte {
	w := writer{rnd: rnd}
	var records []string
	for size := 0; size < 5<<20; size += len(records[len(records)-1]) {
		records = append(records, `{"Data":"`+fmt.Sprintf("%020000d", 0)+`"}`)
	}
	return []byte(`{"Records":` + w.list(records) + `}`)
}

// TestOldLoan holds that of a call that was made again, the last reply has the loan.
func TestOldLoan(t *testing.T) {
	var d wire.Decoder
	var l wire.Loan
	page := text(`{"Records":[{"Data":"` + fmt.Sprintf("%01000d", 0) + `"}]}`)
	lend := d.Lend(&l)
	first, err := get(t, page, lend)
	if err != nil {
		t.Fatal(err)
	}
	second, err := get(t, page, lend) // the call is made once more
	if err != nil || l.Back(first) != nil || l.Back(second) == nil {
		t.Errorf("the loan is not that of the last reply: %v", err)
	}
}

// TestLoanOfRecords holds that records are empty once they are given back, and whole when their memory is used again for
// fewer, of which some have less.
func TestLoanOfRecords(t *testing.T) {
	var d wire.Decoder
	page := func(record string, n int) answer {
		return text(`{"Records":[` + strings.Repeat(record+",", n-1) + record + `]}`)
	}
	full := page(`{"Data":"QUJD","PartitionKey":"k","SequenceNumber":"1","ApproximateArrivalTimestamp":1.7E9,"EncryptionType":"KMS"}`, 100)
	part := page(`{"PartitionKey":"other"}`, 80)
	var at *types.Record
	for i, a := range []answer{full, part, full} {
		var l wire.Loan
		out, err := get(t, a, d.Lend(&l))
		want, wantErr := get(t, a)
		if err != nil || wantErr != nil || !reflect.DeepEqual(out.Records, want.Records) {
			t.Fatalf("reply %d: %v %v, %s, want %s", i, err, wantErr, dump(out), dump(want))
		}
		if i > 0 && &out.Records[0] != at {
			t.Error("the memory is not used again")
		}
		at = &out.Records[0]
		recs := out.Records
		l.Back(out)()
		if recs[0].PartitionKey != nil {
			t.Error("a record that was given back is there")
		}
	}
}
