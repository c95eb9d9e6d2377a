package wire

import (
	"reflect"
	"strings"
	"testing"
)

// TestUsual holds which records are read in one go, and that they are what record reads otherwise. FuzzReply holds that to
// all that there may be.
func TestUsual(t *testing.T) {
	const all = `{"ApproximateArrivalTimestamp":1.728123456789E9,"Data":"QUJD","EncryptionType":"KMS","PartitionKey":"customer-1","SequenceNumber":"4965"}`
	for _, tt := range []struct {
		record string
		usual  bool
	}{
		{all, true},
		{`{"SequenceNumber":"1","PartitionKey":"","ApproximateArrivalTimestamp":1728123456.5,"Data":""}`, true},
		{`{"Data":"QUJD"}`, true},
		{`{"ApproximateArrivalTimestamp":1728123456}`, true},
		{`{}`, false},
		{strings.ReplaceAll(all, ":", ": "), false},
		{strings.Replace(all, "-", `\n`, 1), false},
		{strings.Replace(all, "-", "é", 1), false},
		{strings.Replace(all, "E9", "E+9", 1), false},
		{strings.Replace(all, "KMS", "NONE", 1), false},
		{strings.Replace(all, "Data", "data", 1), false},
		{strings.Replace(all, `"Data"`, `"Else":1,"Data"`, 1), false},
	} {
		read := func(f func(*scratch) bool) (record, string) {
			s := new(shelf).take(0)
			s.begin(strings.NewReader(""), 0)
			s.body = append(s.body, tt.record...)
			if !f(s) || s.i != len(s.body) {
				return record{}, ""
			}
			return s.recs[0], string(s.text)
		}
		got, text := read(func(s *scratch) bool {
			s.recs = append(s.recs, record{})
			return s.usual(&s.recs[0])
		})
		want, wantText := read(func(s *scratch) bool {
			s.body = append([]byte(" "), s.body...)
			if !s.record() {
				return false
			}
			s.recs[0].text.from, s.recs[0].text.to = s.recs[0].text.from-1, s.recs[0].text.to-1 // a space is in front
			return true
		})
		if want.text.to <= 0 {
			want.text = span{}
		}
		switch usual := !reflect.DeepEqual(got, record{}); {
		case usual != tt.usual:
			t.Errorf("%s is usual: %t", tt.record, usual)
		case usual && (!reflect.DeepEqual(got, want) || text != wantText):
			t.Errorf("%s is\n%+v %q, want\n%+v %q", tt.record, got, text, want, wantText)
		}
	}
}
