package metrics

// A Recorder receives every value.
//
// Record is called from many goroutines at once, on the paths that move
// records: it must return at once, do no I/O and wait for nobody. A Recorder
// that sends values elsewhere collects them here and sends them from a
// goroutine of its own. It may keep m and compare its address; it must not
// change it. v is in m's unit: the amount to add for a Counter, the new level
// for a Gauge, one observation for a Histogram.
type Recorder interface {
	Record(m *Metric, l Labels, v float64)
}

// Discard is a Recorder that drops every value.
type Discard struct{}

var (
	_ Recorder = Discard{}
	_ Recorder = (*Snapshot)(nil)
	_ Recorder = tee(nil)
)

// Record does nothing.
func (Discard) Record(*Metric, Labels, float64) {}

// tee is what Tee returns for more than one recorder.
type tee []Recorder

func (t tee) Record(m *Metric, l Labels, v float64) {
	for _, r := range t {
		r.Record(m, l, v)
	}
}

// Tee returns a Recorder that passes every value to each of rs, in order. A nil
// recorder is left out; with none left, Tee returns [Discard]. A panic of one
// is not recovered: those after it then miss that value.
func Tee(rs ...Recorder) Recorder {
	var t tee
	for _, r := range rs {
		if r != nil {
			t = append(t, r)
		}
	}
	switch len(t) {
	case 0:
		return Discard{}
	case 1:
		return t[0]
	}
	return t
}
