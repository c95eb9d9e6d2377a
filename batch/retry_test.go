package batch_test

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shardlane/shardlane/batch"
	"pgregory.net/rapid"
)

// TestLane compares a Lane with the machine of L27, for outcomes of whole batches: one loop that gathers, attempts and
// sleeps, and writes down what it does.
func TestLane(t *testing.T) {
	t.Attr("rule", "L22")
	t.Attr("rule", "L23")
	t.Attr("rule", "L27")
	t.Attr("rule", "L33")
	t.Attr("rule", "C13")
	rapid.Check(t, func(t *rapid.T) {
		outcomes := rapid.SliceOfN(rapid.SampledFrom([]batch.Outcome{
			batch.Succeeded, batch.Failed, batch.Failed, batch.Throttled, batch.Interrupted, batch.Aborted, 0,
		}), 0, 40).Draw(t, "outcomes")
		sizes := rapid.SliceOfN(rapid.IntRange(0, 3), 0, 6).Draw(t, "batch sizes")
		early := rapid.IntRange(1, 6).Draw(t, "pushed at once")

		var batches [][]int
		for i, n := range sizes {
			batches = append(batches, slices.Repeat([]int{i}, n))
		}
		var want []string
		id, left := 0, outcomes
	gather:
		for _, records := range batches {
			if len(records) == 0 {
				continue
			}
			id++
			attempts, waits := 0, 0
		invoke:
			if len(left) == 0 {
				break gather
			}
			outcome := left[0]
			left = left[1:]
			want = append(want, fmt.Sprintf("id%d %v attempts %d waits %d", id, records, attempts, waits))
			switch outcome {
			case batch.Throttled:
				waits++
				want = append(want, fmt.Sprintf("sleep %d", waits))
				goto invoke
			case batch.Succeeded:
				want = append(want, fmt.Sprintf("resolve %v", records))
			case batch.Interrupted:
				waits = 0
				goto invoke
			case batch.Aborted:
				want = append(want, "stop")
				break gather
			default:
				waits = 0
				attempts++
				want = append(want, fmt.Sprintf("sleep %d", attempts))
				goto invoke
			}
		}

		ids := 0
		lane := batch.Lane[int]{NewID: func() string { ids++; return fmt.Sprintf("id%d", ids) }}
		var got []string
		left = outcomes
		for len(batches) > 0 || lane.Len() > 0 {
			for n := 0; n < early && lane.Len() < early && len(batches) > 0; n++ {
				lane.Push(batches[0])
				batches = batches[1:]
			}
			s, ok := lane.Current()
			if !ok {
				continue
			}
			if len(left) == 0 {
				break
			}
			got = append(got, fmt.Sprintf("%s %v attempts %d waits %d", s.RequestID, s.Records, s.Attempts, s.Waits))
			step := lane.Settle(batch.Result{Outcome: left[0], Err: fmt.Errorf("%d", len(left))})
			if wantErr := left[0] == batch.Failed || left[0] == batch.Throttled; wantErr && s.Err.Error() != fmt.Sprint(len(left)) {
				t.Fatalf("the slice has the error %v", s.Err)
			}
			left = left[1:]
			switch {
			case len(step.Resolved) > 0:
				got = append(got, fmt.Sprintf("resolve %v", step.Resolved))
			case step.Stop:
				got = append(got, "stop")
				batches = nil
			case step.Backoff > 0:
				got = append(got, fmt.Sprintf("sleep %d", step.Backoff))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func TestLaneStopped(t *testing.T) {
	t.Attr("rule", "C15")
	var lane batch.Lane[int]
	lane.Push([]int{1})
	lane.Push([]int{2})
	s, _ := lane.Current()
	if uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`); !uuid.MatchString(s.RequestID) {
		t.Errorf("request id %q", s.RequestID)
	}
	lane.Settle(batch.Result{Outcome: batch.Aborted, Err: errors.New("stop")})
	lane.Push([]int{3})
	if s, ok := lane.Current(); ok || lane.Len() != 0 {
		t.Errorf("%v after the lane stopped", s)
	}
	if panicOf(func() { lane.Settle(batch.Result{Outcome: batch.Succeeded}) }) == nil {
		t.Error("a result without an attempt is accepted")
	}
}

func TestBackoff(t *testing.T) {
	t.Attr("rule", "L34")
	for n, want := range map[int]time.Duration{
		-1: 0, 0: 0, 1: 200 * time.Millisecond, 2: 400 * time.Millisecond, 9: 51200 * time.Millisecond,
		10: time.Minute, 64: time.Minute, math.MaxInt: time.Minute,
	} {
		if got := batch.Backoff(n); got != want {
			t.Errorf("before retry %d: %v, want %v", n, got, want)
		}
	}
}
