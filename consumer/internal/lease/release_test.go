package lease

import (
	"strings"
	"testing"

	"github.com/shardlane/shardlane/checkpoint"
)

// A release whose reply was lost is a release, if the heir has claimed the shard before it was looked at. Where the release was
// not applied, and the worker was taken for dead or the row shows less than was released, the shard is lost.
func TestReleaseAndClaim(t *testing.T) {
	for name, c := range map[string]struct {
		released fault
		fenced   bool
		row      string // of the heir; "": it claims
		err      error
	}{
		"applied":                   {released: after},
		"applied, and worked since": {released: after, row: `{"v":1,"by":"b1.7","owner":"b/b1","epoch":5,"ck":"9/END"}`},
		"fenced":                    {released: before, fenced: true, row: `{"v":1,"by":"c1.7","owner":"c/c1","epoch":3,"ck":"` + string(pos(9)) + `"}`, err: ErrLost},
		"taken over once":           {released: before, row: `{"v":1,"by":"b1.7","owner":"b/b1","epoch":2,"ck":"` + string(pos(9)) + `"}`, err: ErrLost},
		"less than was released":    {released: before, row: `{"v":1,"by":"c1.7","owner":"c/c1","epoch":3,"ck":"` + string(pos(1)) + `"}`, err: ErrLost},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
				a, b := start(t, rows, "a"), start(t, rows, "b")
				defer a.stop()
				defer b.stop()
				pass(Beat)
				tb := a.Tenure().Table(stream)
				want(t, tb.Create(t.Context(), shard, Row{Ck: checkpoint.TrimHorizon}), nil)
				l, err := tb.Claim(t.Context(), shard)
				want(t, err, nil)
				a.wire.set(func(op, key string) fault {
					if op == "swap" && strings.Contains(key, "/lease/") {
						return c.released
					}
					return fine
				})
				want(t, l.Release(t.Context(), Progress{Pos: pos(2)}, "b/b1"), errReset)
				a.wire.set(nil)
				if c.fenced {
					a.Tenure().end()
				}
				if c.row != "" {
					put(t, rows, tb.Key(shard), c.row)
				} else {
					_, err := b.Tenure().Table(stream).Claim(t.Context(), shard)
					want(t, err, nil)
				}
				want(t, l.Release(t.Context(), Progress{Pos: pos(2)}, "b/b1"), c.err)
				want(t, l.Release(t.Context(), Progress{Pos: pos(2)}, "b/b1"), c.err)
				if c.err == nil {
					is(t, "own row", l.Row().Owner, "")
					is(t, "checkpoint", l.Row().Ck, pos(2))
					is(t, "what it says now", l.Its().Owner, "b/b1")
					want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(3)}), ErrReleased)
				}
			})
		})
	}
}
