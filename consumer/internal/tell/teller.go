package tell

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shardlane/shardlane/metrics"
)

// A Teller speaks for a stream or for one shard of it: it tells of events, and keeps the troubles that are there now. It is
// safe for concurrent use and calls observers without holding a lock.
type Teller struct {
	o     *Outlet
	shard string
	*troubles
}

// Teller returns a Teller of a shard, or of the stream if shard is empty, without any trouble.
func (o *Outlet) Teller(shard string) *Teller {
	return &Teller{o, shard, &troubles{by: map[string]*trouble{}}}
}

// For returns a Teller that names a shard and keeps its troubles among those of t.
func (t *Teller) For(shard string) *Teller { return &Teller{t.o, shard, t.troubles} }

// Event tells of an event: at its own level, and at least as a warning if there is an err.
func (t *Teller) Event(m *metrics.Metric, err error, detail string) {
	t.o.event(levelOf(m, err), m, t.shard, err, detail)
}

// Remind tells of an event that would come with every record, at most once a minute and consumer.
func (t *Teller) Remind(m *metrics.Metric, detail string) {
	if t.o.due(m, time.Now()) {
		t.Event(m, nil, detail)
	}
}

// Record records a value.
func (t *Teller) Record(m *metrics.Metric, v float64) { t.o.record(t.shard, Value{m, v}) }

// Records records several values at once.
func (t *Teller) Records(values ...Value) { t.o.record(t.shard, values...) }

// Fail tells of a step that failed and will be tried again, and keeps it as a trouble until Mend. It is a warning the first
// time, and once a minute while it lasts; in between the log has it at debug level. Fail returns the error it has made.
func (t *Teller) Fail(m *metrics.Metric, f Failure) error {
	err := t.o.Wrap(t.shard, f)
	now := time.Now()
	lasted, attempts, due := t.fail(f.Op, err, now)
	level, more := slog.LevelDebug, []slog.Attr(nil)
	if due {
		if silent, ok := t.o.aloud(m, now); ok {
			level = levelOf(m, err)
			t.loud(f.Op)
			if silent > 0 {
				more = append(more, slog.Int("unlogged", silent))
			}
		}
	}
	if attempts > 1 {
		more = append(more, slog.Int("attempts", attempts), slog.Duration("since", lasted))
	}
	t.o.event(level, m, t.shard, err, f.Detail, more...)
	return err
}

// Error makes the error of a step that failed. It tells of nothing.
func (t *Teller) Error(f Failure) error { return t.o.Wrap(t.shard, f) }

// Hold keeps a trouble until Mend without telling of it: an event has done so. Its end is told.
func (t *Teller) Hold(f Failure) error {
	err := t.o.Wrap(t.shard, f)
	t.fail(f.Op, err, time.Now())
	t.loud(f.Op)
	return err
}

// Mend notes that steps work again. The end of a trouble that has lasted is told once.
func (t *Teller) Mend(ops ...string) {
	if t.n.Load() == 0 {
		return
	}
	for _, op := range ops {
		x, ok := t.mend(op)
		if lasted := time.Since(x.since); ok && x.loud && lasted >= Lasting {
			detail := fmt.Sprintf("%s recovered after %v", op, lasted.Round(time.Second))
			if x.attempts > 1 {
				detail += fmt.Sprintf(", %d attempts", x.attempts)
			}
			t.Event(metrics.Recovered, nil, detail)
		}
	}
}

// Lasting is how long something must keep failing before it is held against a consumer's health: a throttle is no reason to
// restart a task.
const Lasting = 10 * time.Second

// Lasting joins the troubles that have lasted, and those that waiting does not mend.
func (t *Teller) Lasting(now time.Time) error {
	var errs []error
	t.mu.Lock()
	for _, op := range t.ops() {
		if x := t.by[op]; now.Sub(x.since) >= Lasting || t.o.Final(x.err) {
			errs = append(errs, x.err)
		}
	}
	t.mu.Unlock()
	return errors.Join(errs...)
}

// troubles are what fails at the moment, by step.
type troubles struct {
	n  atomic.Int32
	mu sync.Mutex
	by map[string]*trouble
}

type trouble struct {
	err      error
	since    time.Time
	attempts int
	due      time.Time // it is told again then
	loud     bool      // it has been told
}

// again is how long after it was told a trouble that lasts is told again.
const again = time.Minute

// fail adds a try, and reports since when the step fails, how often it has, and whether it is time to say so.
func (t *troubles) fail(op string, err error, now time.Time) (lasted time.Duration, attempts int, due bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.by[op]
	if x == nil {
		x = &trouble{since: now, due: now}
		t.by[op] = x
		t.n.Add(1)
	}
	x.err = err
	x.attempts++
	if due = !now.Before(x.due); due {
		x.due = now.Add(again)
	}
	return now.Sub(x.since), x.attempts, due
}

func (t *troubles) loud(op string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if x := t.by[op]; x != nil {
		x.loud = true
	}
}

func (t *troubles) mend(op string) (x trouble, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.by[op]
	if old == nil {
		return trouble{}, false
	}
	delete(t.by, op)
	t.n.Add(-1)
	return *old, true
}

// Troubled tells whether anything fails at the moment.
func (t *troubles) Troubled() bool { return t.n.Load() > 0 }

// Failing tells whether one of the steps fails at the moment.
func (t *troubles) Failing(ops ...string) bool {
	if t.n.Load() == 0 {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, op := range ops {
		if t.by[op] != nil {
			return true
		}
	}
	return false
}

// Lasted is for how long the oldest trouble has been there whose step begins with op, 0 if there is none.
func (t *troubles) Lasted(now time.Time, op string) (d time.Duration) {
	if t.n.Load() == 0 {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for of, x := range t.by {
		if strings.HasPrefix(of, op) {
			d = max(d, now.Sub(x.since))
		}
	}
	return d
}

// Latest is the trouble that began last, nil if there is none.
func (t *troubles) Latest() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var last *trouble
	for _, op := range t.ops() {
		if x := t.by[op]; last == nil || x.since.After(last.since) {
			last = x
		}
	}
	if last == nil {
		return nil
	}
	return last.err
}

// ops lists the steps, sorted. The caller holds mu.
func (t *troubles) ops() []string {
	ops := make([]string, 0, len(t.by))
	for op := range t.by {
		ops = append(ops, op)
	}
	slices.Sort(ops)
	return ops
}
