package lease

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
)

const stream = "123456789012:orders:1700000000"

// bubble runs a test of several workers over one store.
func bubble(t *testing.T, test func(*testing.T, *checkpoint.Memory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.AfterFunc(3*time.Hour, func() { panic(t.Name() + " does not end") }) // else heartbeats go on for ever
		test(t, &checkpoint.Memory{})
	})
}

func is(t *testing.T, what string, got, want any) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// told fails unless a change was told of.
func told(t *testing.T, changes <-chan struct{}) {
	t.Helper()
	synctest.Wait()
	select {
	case <-changes:
	default:
		t.Error("nobody was told of a change")
	}
}

func TestJoinAndBeat(t *testing.T) {
	bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
		a := start(t, rows, "a")
		defer a.stop()
		if a.Tenure() != nil || a.View().Self != "" {
			t.Error("a tenure before the join was acknowledged")
		}
		changes := a.Changes()
		pass(time.Second)
		told(t, changes)
		tenure := a.Tenure()
		is(t, "row", says(t, rows, "a/a1"), "ALIVE")
		is(t, "view", a.View().ids(), "a/a1")
		is(t, "settled", a.View().Settled, false)
		ctx, ok := tenure.Enter(nil)
		changes = a.Changes()
		pass(2 * Beat)
		told(t, changes)
		is(t, "settled", a.View().Settled, true)
		pass(time.Minute - 2*Beat)
		is(t, "valid all the time", ok && ctx.Err() == nil && a.Tenure() == tenure && tenure.Valid(), true)
		if w, l := a.wire.count("swap member"), a.wire.count("list member"); w != 25 || l < 24 || l > 26 || len(a.wire.calls) != 2 {
			t.Errorf("in a minute and a second: %v", a.wire.calls)
		}
		is(t, "told", a.hears(), "")
		again := tenure.Table(stream)
		is(t, "one table for each stream", again == tenure.Table(stream) && again != tenure.Table("other"), true)
	})
}

// The death of a worker is seen, written and made use of.
func TestFence(t *testing.T) {
	bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
		a, b := start(t, rows, "a"), start(t, rows, "b")
		defer b.stop()
		pass(time.Minute)
		is(t, "view", b.View().ids(), "a/a1 b/b1")
		want(t, a.Tenure().Table(stream).Create(t.Context(), shard, Row{Ck: checkpoint.TrimHorizon}), nil)
		l, err := a.Tenure().Table(stream).Claim(t.Context(), shard)
		want(t, err, nil)
		want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(5)}), nil)
		a.stop()
		killed := time.Now()
		changes := b.Changes()
		for {
			_, err = b.Tenure().Table(stream).Claim(t.Context(), shard)
			if !errors.Is(err, ErrHeld) {
				break
			}
			is(t, "valid while its row counts as alive", time.Since(killed) > Term || says(t, rows, "a/a1") == "ALIVE", true)
			time.Sleep(100 * time.Millisecond)
		}
		want(t, err, nil)
		if d := time.Since(killed); d < Term-Beat || d > 13*time.Second {
			t.Errorf("taken over %v after the kill", d)
		}
		told(t, changes)
		is(t, "told", b.hears(), "fenced a/a1")
		is(t, "view", b.View().ids(), "b/b1")
		is(t, "valid", a.Tenure().Valid(), false)
		_, err = a.Tenure().Table(stream).Claim(t.Context(), shard)
		want(t, err, ErrLapsed)
		want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(6)}), ErrLost)
	})
}

// A member row that a hand deleted is no permission. Its owner begins anew, and its leases are free when the time of the
// row that is put for it has passed.
func TestBury(t *testing.T) {
	bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
		a, b := start(t, rows, "a"), start(t, rows, "b")
		defer b.stop()
		pass(time.Second)
		old := a.Tenure()
		want(t, old.Table(stream).Create(t.Context(), shard, Row{Ck: checkpoint.TrimHorizon}), nil)
		_, err := old.Table(stream).Claim(t.Context(), shard)
		want(t, err, nil)
		a.stop()
		put(t, rows, memberKey("group", "a/a1"), "")
		at := time.Now()
		_, err = b.Tenure().Table(stream).Claim(t.Context(), shard)
		want(t, err, ErrHeld)
		is(t, "row", says(t, rows, "a/a1"), "LOST")
		_, err = b.Tenure().Table(stream).Claim(t.Context(), shard)
		want(t, err, ErrHeld)
		pass(2 * Beat)
		is(t, "view", b.View().ids(), "b/b1")
		is(t, "gone", b.View().Gone("a/a1") || b.View().Gone("b/b1") || !b.View().Gone("x/x1") || !b.View().Gone(""), false)
		pass(Term - 2*Beat)
		is(t, "row", says(t, rows, "a/a1"), "LOST")
		pass(13*time.Second - time.Since(at))
		is(t, "row", says(t, rows, "a/a1"), "DEAD")
		is(t, "gone", b.View().Gone("a/a1"), true)
		l, err := b.Tenure().Table(stream).Claim(t.Context(), shard)
		want(t, err, nil)
		is(t, "took", l.Took(), "a/a1")
	})
}

// An incarnation whose row is gone, dead or lost is over: another one joins, and none of its leases is taken for the
// new one's.
func TestOver(t *testing.T) {
	for name, row := range map[string]string{
		"deleted": "", "dead": `{"v":1,"by":"b.1","st":"DEAD","cap":1}`, "lost": `{"v":1,"by":"b.1","st":"LOST","cap":1}`,
		"replaced": `{"v":1,"by":"b.1","st":"ALIVE","cap":1}`, "garbage": "?",
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
				a := start(t, rows, "a")
				defer a.stop()
				pass(time.Second)
				old := a.Tenure()
				want(t, old.Table(stream).Create(t.Context(), shard, Row{Ck: checkpoint.TrimHorizon}), nil)
				_, err := old.Table(stream).Claim(t.Context(), shard)
				want(t, err, nil)
				ctx, _ := old.Enter(nil)
				put(t, rows, memberKey("group", "a/a1"), row)
				at, changes := time.Now(), a.Changes()
				<-old.Over()
				if d := time.Since(at); d > Beat+50*time.Millisecond {
					t.Errorf("known after %v", d)
				}
				told(t, changes)
				<-ctx.Done()
				want(t, context.Cause(ctx), ErrFenced)
				_, ok := old.Enter(nil)
				is(t, "entered", ok || old.Valid(), false)
				_, err = old.Table(stream).Claim(t.Context(), shard)
				want(t, err, ErrFenced)
				pass(time.Second)
				is(t, "told", a.hears(), "over a/a1")
				is(t, "owner", a.Tenure().Owner(), "a/a2")
				is(t, "row", says(t, rows, "a/a2"), "ALIVE")
				_, err = a.Tenure().Table(stream).Claim(t.Context(), shard)
				if name == "dead" {
					want(t, err, nil)
				} else {
					want(t, err, ErrHeld)
				}
				pass(13 * time.Second)
				_, err = a.Tenure().Table(stream).Claim(t.Context(), shard)
				want(t, err, nil)
			})
		})
	}
}

func TestLeave(t *testing.T) {
	for f := range faults {
		bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
			a, b := start(t, rows, "a"), start(t, rows, "b")
			defer b.stop()
			pass(time.Second)
			a.Retire()
			pass(50 * time.Millisecond)
			is(t, "row", says(t, rows, "a/a1"), "LEAVING")
			pass(Beat)
			is(t, "view", b.View().ids(), "a/a1- b/b1")
			is(t, "own view", a.View().ids(), "a/a1- b/b1")
			a.stop()
			n := 0
			a.wire.set(func(op, key string) fault {
				if n++; n == 1 {
					return f
				}
				return fine
			})
			want(t, a.Leave(t.Context()), nil)
			is(t, "row", says(t, rows, "a/a1"), "none")
			is(t, "tenure", a.Tenure(), (*Tenure)(nil))
			want(t, a.Leave(t.Context()), nil) // again
			pass(Beat)
			is(t, "view", b.View().ids(), "b/b1")
			pass(time.Minute)
			is(t, "told", b.hears(), "")
		})
	}
}

// A stop that cuts a heartbeat off does not keep the row from being deleted.
func TestLeaveAfterUnknownHeartbeat(t *testing.T) {
	for _, f := range []fault{before, after, late, hang} {
		bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
			a := start(t, rows, "a")
			pass(time.Second)
			a.wire.set(func(op, key string) fault { return f })
			pass(Beat - 900*time.Millisecond)
			a.stop()
			a.wire.set(nil)
			want(t, a.Leave(t.Context()), nil)
			is(t, "row", says(t, rows, "a/a1"), "none")
			for _, e := range a.wire.arrives {
				if e.Value == nil {
					continue
				}
				_, err := rows.Swap(t.Context(), e)
				want(t, err, checkpoint.ErrConflict)
			}
		})
	}
	bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
		a := start(t, rows, "a")
		pass(time.Second)
		a.stop()
		a.wire.set(down)
		want(t, a.Leave(t.Context()), errReset)
		is(t, "row", says(t, rows, "a/a1"), "ALIVE")
	})
}

// Validity counts from when a heartbeat was sent, and ends on time whatever the store does.
func TestValidity(t *testing.T) {
	for _, f := range []fault{before, hang, late} {
		bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
			a := start(t, rows, "a")
			defer a.stop()
			a.wire.mu.Lock()
			a.wire.delay = time.Second
			a.wire.mu.Unlock()
			began := time.Now()
			pass(1100 * time.Millisecond)
			a.wire.set(func(string, string) fault { return f })
			tenure := a.Tenure()
			ctx, ok := tenure.Enter(nil)
			is(t, "entered", ok, true)
			<-ctx.Done()
			is(t, "the end of validity", time.Since(began), valid)
			want(t, context.Cause(ctx), ErrLapsed)
			is(t, "valid", tenure.Valid(), false)
			_, err := tenure.Table(stream).Claim(t.Context(), shard)
			want(t, err, ErrLapsed)

			stop := make(chan struct{})
			time.AfterFunc(time.Second, func() { close(stop) })
			_, ok = tenure.Enter(stop)
			is(t, "entered in a lapse", ok, false)
			time.AfterFunc(time.Second, func() { a.wire.set(nil) })
			again, ok := tenure.Enter(nil) // under the same epochs
			is(t, "entered after it", ok && again != ctx && again.Err() == nil && a.Tenure() == tenure, true)
			if d := time.Since(began); d > valid+6*time.Second {
				t.Errorf("resumed after %v", d)
			}
			if heard := a.hears(); strings.Count(heard, "heartbeat fails") != 1 || strings.Count(heard, "heartbeat works") != 1 {
				t.Errorf("told %s", heard)
			}
		})
	}
}

// In a lapse a row that is gone is not put back: another worker may have had the shard since, and its epoch would come again.
func TestRowGoneInALapse(t *testing.T) {
	bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
		a := start(t, rows, "a")
		defer a.stop()
		pass(time.Second)
		table := a.Tenure().Table(stream)
		put(t, rows, table.Key(shard), `{"v":1,"by":"z.1","epoch":3,"ck":"0/trim"}`)
		l, err := table.Claim(t.Context(), shard)
		want(t, err, nil)
		a.wire.set(func(_, key string) fault {
			if strings.Contains(key, "/member/") {
				return before
			}
			return fine
		})
		pass(valid + Beat)
		e, _ := rows.Get(t.Context(), table.Key(shard))
		want(t, rows.Delete(t.Context(), e), nil)
		want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(1)}), ErrLapsed)
		e, _ = rows.Get(t.Context(), table.Key(shard))
		is(t, "the row", string(e.Value), "")
		a.wire.set(nil)
		pass(2 * Beat)
		want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(1)}), nil)
		is(t, "epoch", l.Epoch(), int64(5))
	})
}

// A process that was frozen over the end of its validity does not go on in the old period, whatever comes first then.
func TestPeriods(t *testing.T) {
	bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
		tenure := newTenure(rows, "group", "a/a1", &marks{}, false)
		_, ok := tenure.Enter(closed())
		is(t, "entered before the join", ok, false)
		tenure.renew(time.Now())
		ctx, ok := tenure.Enter(nil)
		is(t, "entered", ok, true)
		tenure.expiry.Stop() // nothing runs
		pass(valid)
		tenure.renew(time.Now().Add(-valid)) // news of an old heartbeat are no news
		tenure.renew(time.Now())
		want(t, context.Cause(ctx), ErrLapsed)
		again, ok := tenure.Enter(nil)
		is(t, "entered anew", ok && again.Err() == nil, true)
		pass(valid - Beat)
		tenure.renew(time.Now().Add(-Beat))
		pass(valid - Beat - time.Millisecond)
		is(t, "one period goes on", again.Err(), nil)
		pass(Beat)
		want(t, context.Cause(again), ErrLapsed)
		tenure.renew(time.Now().Add(-valid))
		is(t, "valid", tenure.Valid(), false)
		tenure.end()
		tenure.renew(time.Now())
		is(t, "valid when it is over", tenure.Valid(), false)
	})
}

func closed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// A heartbeat whose reply was lost counts from when it was sent, however late that is found out.
func TestLostAck(t *testing.T) {
	bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
		a := start(t, rows, "a")
		defer a.stop()
		pass(time.Second)
		tenure := a.Tenure()
		sent := make(chan time.Time, 1)
		a.wire.set(func(op, key string) fault {
			switch {
			case op == "list":
				return fine
			case op == "swap" && len(sent) == 0:
				sent <- time.Now()
				return after
			}
			return before
		})
		pass(4 * time.Second)
		n := 0
		a.wire.set(func(op, key string) fault { // it can be read, and no more
			if op == "swap" {
				n++
				return before
			}
			return fine
		})
		ctx, _ := tenure.Enter(nil)
		<-ctx.Done()
		is(t, "the end of validity", time.Since(<-sent), valid)
		a.wire.set(nil)
		pass(Beat)
		is(t, "valid", tenure.Valid() && a.Tenure() == tenure, true)
	})
	// The join's reply, too.
	bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
		w := &wire{rows: rows}
		g := NewGroup(w, w, "group", "a", func() string { return "a1" })
		w.set(func(op, key string) fault {
			if op == "swap" && w.calls["swap member"] == 0 {
				return after
			}
			return fine
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		g.Run(ctx)
		is(t, "swaps", w.calls["swap member"], 1)
		is(t, "joined", g.Tenure() != nil, true)
	})
}

// A heartbeat of unknown result may arrive after the row was read back, and before the next one: it is still one's own.
func TestLateHeartbeat(t *testing.T) {
	bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
		a := start(t, rows, "a")
		defer a.stop()
		pass(time.Second)
		tenure, beats, arrived := a.Tenure(), 0, false
		a.wire.mu.Lock()
		a.wire.fault = func(op, key string) fault {
			if op == "swap" {
				beats++
			}
			if op == "swap" && beats == 1 {
				return late
			}
			return fine
		}
		a.wire.upon = func(op string, e checkpoint.Entry) {
			if op == "swap" && beats == 2 {
				_, err := rows.Swap(t.Context(), a.wire.arrives[0])
				arrived = err == nil
			}
		}
		a.wire.mu.Unlock()
		pass(3 * Beat)
		is(t, "arrived between", arrived, true)
		is(t, "valid", tenure.Valid() && a.Tenure() == tenure, true)
		is(t, "told", a.hears(), "heartbeat fails, heartbeat works")
	})
}

// After an outage of the store nobody is dead, and all go on.
func TestOutage(t *testing.T) {
	bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
		var mates []*mate
		var tenures []*Tenure
		for _, name := range []string{"a", "b", "c"} {
			m := start(t, rows, name)
			defer m.stop()
			mates = append(mates, m)
			pass(300 * time.Millisecond)
			tenures = append(tenures, m.Tenure())
		}
		pass(10 * time.Second)
		for _, m := range mates { // all have seen the last heartbeats of all
			m.wire.set(func(op, key string) fault {
				if op == "swap" {
					return before
				}
				return fine
			})
		}
		pass(2 * Beat)
		for _, m := range mates {
			m.wire.set(down)
		}
		pass(time.Minute)
		for i, m := range mates {
			is(t, "valid in the outage", tenures[i].Valid(), false)
			is(t, "view", m.View().ids(), "a/a1 b/b1 c/c1")
		}
		for _, m := range mates { // who is first finds rows that are a minute old
			pass(2 * time.Second)
			m.wire.set(nil)
		}
		pass(time.Minute)
		for i, m := range mates {
			is(t, "valid", tenures[i].Valid() && m.Tenure() == tenures[i], true)
			is(t, "view", m.View().ids(), "a/a1 b/b1 c/c1")
			heard := m.hears()
			if strings.Contains(heard, "fence") || strings.Contains(heard, "over") || strings.Count(heard, "works") != 2 {
				t.Errorf("told %s", heard)
			}
		}
	})
}

// A worker that others can hear but that hears nobody, or that is not heard itself, declares nobody dead.
func TestWhoJudges(t *testing.T) {
	for name, cut := range map[string]func(op, key string) fault{
		"reads nothing": func(op, key string) fault {
			if op == "list" || op == "get" {
				return before
			}
			return fine
		},
		"is not heard": func(op, key string) fault {
			if op == "swap" && strings.HasSuffix(key, "/b1") {
				return before
			}
			return fine
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
				a, b := start(t, rows, "a"), start(t, rows, "b")
				defer b.stop()
				pass(5 * time.Second)
				a.stop()
				b.wire.set(cut)
				pass(time.Minute)
				is(t, "row", says(t, rows, "a/a1"), "ALIVE")
				b.wire.set(nil)
				pass(Term + 3*time.Second)
				is(t, "row", says(t, rows, "a/a1"), "DEAD")
			})
		})
	}
}

// A heartbeat that arrives between the look and the fence wins.
func TestHeartbeatRacesFence(t *testing.T) {
	bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
		a, b := start(t, rows, "a"), start(t, rows, "b")
		defer a.stop()
		defer b.stop()
		pass(5 * time.Second)
		tenure := a.Tenure()
		held := make(chan struct{})
		a.wire.set(func(op, key string) fault { return hang })
		fences := 0
		b.wire.mu.Lock()
		b.wire.upon = func(op string, e checkpoint.Entry) {
			if op == "swap" && strings.HasSuffix(e.Key, "/a1") {
				if fences++; fences == 1 {
					a.wire.set(nil)
					close(held)
					time.Sleep(2 * request) // time for a to find out and to beat
				}
			}
		}
		b.wire.mu.Unlock()
		<-held
		pass(Beat)
		is(t, "row", says(t, rows, "a/a1"), "ALIVE")
		is(t, "valid", tenure.Valid() && a.Tenure() == tenure, true)
		pass(time.Minute)
		is(t, "fences", fences, 1)
		is(t, "view", b.View().ids(), "a/a1 b/b1")
	})
}

// A join whose result is unknown is found out, and is one.
func TestJoinFaults(t *testing.T) {
	for f := range faults {
		for g := range faults {
			bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
				n := 0
				w := &wire{rows: rows, fault: func(op, key string) fault {
					if op == "swap" {
						if n++; n < 3 {
							return []fault{f, g}[n-1]
						}
					}
					return fine
				}}
				a := NewGroup(w, w, "group", "a", func() string { return "a1" })
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				time.AfterFunc(5*time.Second, func() {
					for _, e := range w.arrives {
						_, _ = rows.Swap(t.Context(), e)
					}
				})
				a.Run(ctx)
				is(t, fmt.Sprint("row after ", f, g), says(t, rows, "a/a1"), "ALIVE")
				is(t, "valid", a.Tenure().Valid(), true)
			})
		}
	}
}

// A name that somebody has already is not joined under.
func TestJoinRefused(t *testing.T) {
	bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
		for i, row := range []string{`{"v":1,"by":"b.1","st":"LOST","cap":1}`, `{"v":1,"by":"b.1","st":"ALIVE","cap":1}`, `{"v":2}`} {
			put(t, rows, memberKey("group", fmt.Sprint("a/a", i+1)), row)
		}
		a := start(t, rows, "a")
		defer a.stop()
		pass(time.Second)
		is(t, "owner", a.Tenure().Owner(), "a/a4")
		heard := a.hears()
		is(t, "told", strings.Contains(heard, "heartbeat fails") && strings.HasSuffix(heard, "heartbeat works"), true)
		is(t, "row", says(t, rows, "a/a1"), "LOST")
	})
}

// Lost replies to a fence: whoever wrote it tells of it, once.
func TestFenceFaults(t *testing.T) {
	for f := range faults {
		t.Run(f.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
				a, b := start(t, rows, "a"), start(t, rows, "b")
				defer b.stop()
				pass(5 * time.Second)
				a.stop()
				n := 0
				b.wire.set(func(op, key string) fault {
					if op == "swap" && strings.HasSuffix(key, "/a1") {
						if n++; n == 1 {
							return f
						}
					}
					return fine
				})
				pass(15 * time.Second)
				is(t, "row", says(t, rows, "a/a1"), "DEAD")
				heard := b.hears()
				switch f {
				case before, after, late, throttled:
					is(t, "told", heard, "fence a/a1 fails, fence a/a1 works, fenced a/a1")
				case fine:
					is(t, "told", heard, "fenced a/a1")
				}
				is(t, "view", b.View().ids(), "b/b1")
			})
		})
	}
}

func TestTwins(t *testing.T) {
	bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
		a := startAs(t, rows, "host", "a")
		pass(time.Second)
		a.stop() // and started again under its name: no twin
		b := startAs(t, rows, "host", "b")
		defer b.stop()
		pass(time.Minute)
		is(t, "told", b.hears(), "fenced host/a1")
		c := startAs(t, rows, "host", "c")
		defer c.stop()
		pass(time.Minute)
		is(t, "told", b.hears(), "twin host/c1")
		is(t, "told", c.hears(), "twin host/b1")
		is(t, "view", b.View().ids(), "host/b1 host/c1")
		is(t, "both valid", b.Tenure().Valid() && c.Tenure().Valid(), true)
	})
}

type exclusive struct{ checkpoint.Store }

func (exclusive) Exclusive() bool { return true }

func TestExclusive(t *testing.T) {
	bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
		w := &wire{rows: rows}
		g := NewGroup(exclusive{w}, w, "group", "host", func() string { return "i" })
		is(t, "exclusive", g.Exclusive(), true)
		g.Serve(stream, "")
		tb := g.Tenure().Table(stream)
		put(t, rows, tb.Key(shard), `{"v":1,"by":"z.1","owner":"host/z","epoch":3,"ck":"0/trim"}`)
		l, err := tb.Claim(t.Context(), shard)
		want(t, err, nil)
		is(t, "took", l.Took(), "host/z")
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Hour, cancel)
		g.Run(ctx)
		v := g.View()
		is(t, "view", v.ids()+" "+v.Self, "host/i host/i")
		is(t, "served", v.Settled && len(v.Serving(stream)) == 1, true)
		period, ok := g.Tenure().Enter(nil)
		is(t, "valid", ok && period.Err() == nil && g.Tenure().Valid(), true)
		want(t, g.Leave(t.Context()), nil)
		is(t, "calls", fmt.Sprint(w.calls), "map[get lease:1 swap lease:1]")
	})
}

// What a worker says of itself reaches the others: news at once, but not one by one.
func TestNews(t *testing.T) {
	bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
		a, b := start(t, rows, "a"), start(t, rows, "b")
		defer a.stop()
		defer b.stop()
		pass(9 * time.Second)
		swaps, changes := a.wire.count("swap member"), b.Changes()
		a.Serve(stream, "")
		pass(time.Millisecond)
		for range 50 {
			a.Touch()
		}
		pass(300 * time.Millisecond)
		is(t, "writes for news that come together", a.wire.count("swap member")-swaps, 1)
		pass(Beat)
		told(t, changes)
		swaps = a.wire.count("swap member")
		a.Post(stream, 3, []Offer{{"shardId-2", "b/b1"}, {"shardId-1", "b/b1"}})
		a.Post("unknown", 9, []Offer{{"shardId-2", "b/b1"}})
		pass(20 * time.Millisecond)
		is(t, "writes", a.wire.count("swap member")-swaps, 1)
		e, _ := rows.Get(t.Context(), memberKey("group", "a/a1"))
		m, err := decodeMember(e.Value)
		if err != nil || m.held != 3 || m.chg != 50 {
			t.Errorf("the row says %s", e.Value)
		}
		pass(Beat)
		p := b.View().Serving(stream)
		if len(p) != 1 || p[0].ID != "a/a1" || p[0].Chg != 50 || p[0].Cap != 1 || !slices.Equal(p[0].Offers, []Offer{
			{stream + "/shardId-1", "b/b1"}, {stream + "/shardId-2", "b/b1"},
		}) {
			t.Errorf("seen: %+v", p)
		}
		if own := a.View().Serving(stream); len(own) != 1 || !own[0].same(p[0]) {
			t.Errorf("the worker itself sees %+v", own)
		}
		a.Quit(stream)
		a.Post(stream, 3, nil)
		pass(Beat)
		is(t, "served", len(b.View().Serving(stream)), 0)
		is(t, "told", a.hears()+b.hears(), "")
	})
}

// Many offers fit in a row.
func TestManyOffers(t *testing.T) {
	g := NewGroup(&checkpoint.Memory{}, nil, "group", "a", func() string { return "i" })
	g.Serve(stream, "")
	var offers []Offer
	for i := range 5000 {
		offers = append(offers, Offer{fmt.Sprintf("shardId-%012d", 9999-i), strings.Repeat("w", 60) + "/0123456789abcdef0123456789abcdef"})
	}
	g.Post(stream, 5000, offers)
	value, err := g.row().encode()
	if err != nil || len(value) > checkpoint.MaxValue/4*3 {
		t.Errorf("%d bytes, %v", len(value), err)
	}
}

// Above a hundred members their list, which is long, is read half as often.
func TestManyMembers(t *testing.T) {
	for n, lists := range map[int]int{98: 24, 101: 12} {
		bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
			for i := range n {
				put(t, rows, memberKey("group", fmt.Sprintf("w%d/x", i)), `{"v":2}`) // left alone
			}
			a := start(t, rows, "a")
			defer a.stop()
			pass(2 * Beat)
			before, swaps := a.wire.count("list member"), a.wire.count("swap member")
			pass(time.Minute)
			is(t, "lists", a.wire.count("list member")-before, lists)
			is(t, "heartbeats", a.wire.count("swap member")-swaps, 24)
			is(t, "calls of other kinds", len(a.wire.calls), 2)
		})
	}
}

// Lists that are stale, and rows that are missing in them, decide nothing.
func TestStaleLists(t *testing.T) {
	bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
		a, b := start(t, rows, "a"), start(t, rows, "b")
		defer a.stop()
		defer b.stop()
		pass(5 * time.Second)
		old, _ := rows.List(t.Context(), "group/member/")
		n := 0
		b.wire.mu.Lock()
		b.wire.list = func(now []checkpoint.Entry) []checkpoint.Entry {
			if n++; n < 20 && n%3 == 1 {
				return now[1:]
			}
			return old
		}
		b.wire.mu.Unlock()
		fences := 0
		b.wire.mu.Lock()
		b.wire.upon = func(op string, e checkpoint.Entry) {
			if op == "swap" && strings.HasSuffix(e.Key, "/a1") {
				fences++
			}
		}
		b.wire.mu.Unlock()
		pass(2 * time.Minute)
		is(t, "fences that a look would have spared", fences, 0)
		is(t, "view", b.View().ids(), "a/a1 b/b1")
		is(t, "settled", b.View().Settled, true)
		is(t, "told", a.hears()+b.hears(), "")
		is(t, "both valid", a.Tenure().Valid() && b.Tenure().Valid(), true)
		a.stop()
		pass(Term + 2*Beat)
		is(t, "row", says(t, rows, "a/a1"), "DEAD")
		pass(time.Minute)
		is(t, "view", b.View().ids(), "b/b1") // though the list shows it alive
		is(t, "told", b.hears(), "fenced a/a1")
	})
}

// A dead member's row is deleted by hand and buried by another worker. A look at it that fails is made again: else nobody would
// declare it dead, and its shards would be held.
func TestBuriedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
		a, b := start(t, rows, "a"), start(t, rows, "b")
		defer b.stop()
		pass(time.Second)
		key := memberKey("group", "a/a1")
		last, err := rows.Get(t.Context(), key)
		want(t, err, nil)
		a.stop()
		put(t, rows, key, string(last.Value)) // as if it had been killed
		pass(Term + 2*Beat)
		is(t, "row", says(t, rows, "a/a1"), "DEAD")
		failed := 0
		b.wire.set(func(op, of string) fault {
			if op == "get" && of == key && failed == 0 {
				failed++
				return before
			}
			return fine
		})
		put(t, rows, key, "")
		value, err := member{v: Version, by: "c1.1", st: lost, weight: 1}.encode()
		want(t, err, nil)
		put(t, rows, key, string(value))
		pass(Term + 3*Beat)
		is(t, "looks that failed", failed, 1)
		is(t, "row", says(t, rows, "a/a1"), "DEAD")
	})
}

// A stale list shows a row that nobody had seen when it was young. What a look says is younger, though it was seen before.
func TestOldRowSeenLate(t *testing.T) {
	bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
		a, b := start(t, rows, "a"), start(t, rows, "b")
		defer b.stop()
		var stale []checkpoint.Entry // nil: lists show what is there
		show := func(list []checkpoint.Entry) {
			b.wire.mu.Lock()
			defer b.wire.mu.Unlock()
			stale = list
		}
		b.wire.mu.Lock()
		b.wire.list = func(now []checkpoint.Entry) []checkpoint.Entry {
			if stale != nil {
				return stale
			}
			return now
		}
		b.wire.mu.Unlock()
		read := func() []checkpoint.Entry {
			list, err := rows.List(t.Context(), "group/member/")
			if err != nil {
				t.Fatal(err)
			}
			return list
		}
		pass(5 * time.Second)
		show(read())
		pass(Beat)
		unseen := read()
		pass(Beat)
		show(nil)
		pass(2 * Beat)
		a.stop()
		pass(Beat)
		show(unseen)
		pass(Beat + time.Second)
		show(nil)
		pass(2*Term + 2*Beat)
		is(t, "row", says(t, rows, "a/a1"), "DEAD")
		is(t, "told", b.hears(), "fenced a/a1")
	})
}

// A list that hangs holds no heartbeat up.
func TestHangingList(t *testing.T) {
	bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
		a, b := start(t, rows, "a"), start(t, rows, "b")
		defer a.stop()
		defer b.stop()
		pass(time.Second)
		ctx, _ := a.Tenure().Enter(nil)
		a.wire.set(func(op, key string) fault {
			if op == "list" {
				return hang
			}
			return fine
		})
		swaps := a.wire.count("swap member")
		pass(time.Minute)
		is(t, "valid all the time", ctx.Err(), nil)
		is(t, "heartbeats", a.wire.count("swap member")-swaps, 24)
		is(t, "told", a.hears(), "members fails")
	})
}

// A store that refuses most calls costs nobody its membership.
func TestThrottledStore(t *testing.T) {
	bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
		a, b := start(t, rows, "a"), start(t, rows, "b")
		defer a.stop()
		defer b.stop()
		pass(time.Second)
		for i, m := range []*mate{a, b} {
			n := i
			m.wire.set(func(op, key string) fault {
				if n++; n%5 != 0 {
					return throttled
				}
				return fine
			})
		}
		tenures := [2]*Tenure{a.Tenure(), b.Tenure()}
		pass(5 * time.Minute)
		is(t, "tenures", [2]*Tenure{a.Tenure(), b.Tenure()}, tenures)
		is(t, "valid", tenures[0].Valid() && tenures[1].Valid(), true)
	})
}

// Rows of the dead are deleted when no lease names them.
func TestCollect(t *testing.T) {
	bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
		a, b, c, d := start(t, rows, "a"), start(t, rows, "b"), start(t, rows, "c"), start(t, rows, "d")
		defer c.stop()
		defer d.stop()
		pass(time.Second)
		tb := a.Tenure().Table(stream)
		want(t, tb.Create(t.Context(), shard, Row{Ck: checkpoint.TrimHorizon}), nil)
		_, err := tb.Claim(t.Context(), shard)
		want(t, err, nil)
		a.stop()
		b.stop()
		pass(9 * time.Minute)
		is(t, "named", says(t, rows, "a/a1"), "DEAD")
		is(t, "not named", says(t, rows, "b/b1"), "DEAD")
		young := start(t, rows, "young")
		pass(35 * time.Second)
		young.stop()
		pass(85 * time.Second)
		is(t, "named", says(t, rows, "a/a1"), "DEAD")
		is(t, "not named, and dead for some seconds when that was looked at", says(t, rows, "young/young1"), "DEAD")
		is(t, "not named", says(t, rows, "b/b1"), "none")
		is(t, "lists of leases", c.wire.count("list lease")+d.wire.count("list lease"), 1)
		for _, op := range []string{"list", "delete"} { // its failures are told of, and it is tried again in its time
			for _, m := range []*mate{c, d} {
				m.wire.set(func(o, key string) fault {
					if o == op && (o == "delete" || strings.HasSuffix(key, "/lease/")) {
						return before
					}
					return fine
				})
			}
			e := start(t, rows, "e")
			pass(time.Second)
			e.stop()
			pass(10*time.Minute - time.Second)
			is(t, "told", strings.Count(c.hears()+d.hears(), "collect fails"), 1)
			is(t, "not named", says(t, rows, "e/e1"), "DEAD")
			for _, m := range []*mate{c, d} {
				m.wire.set(nil)
			}
			pass(10 * time.Minute)
			is(t, "not named", says(t, rows, "e/e1"), "none")
			is(t, "told", strings.Count(c.hears()+d.hears(), "collect works"), 1)
		}
		_, err = c.Tenure().Table(stream).Claim(t.Context(), shard)
		want(t, err, nil)
		pass(10 * time.Minute)
		is(t, "named no more", says(t, rows, "a/a1"), "none")
		// A late join of the dead one is no life.
		put(t, rows, memberKey("group", "b/b1"), `{"v":1,"by":"b1.1","st":"ALIVE","cap":1}`)
		pass(30 * time.Second)
		is(t, "row", says(t, rows, "b/b1"), "DEAD")
	})
}

// A row of a newer version is left alone; garbage that nobody writes is as dead as anything.
func TestUnreadableMembers(t *testing.T) {
	bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
		put(t, rows, memberKey("group", "x/new"), `{"v":2,"st":"ASLEEP"}`)
		put(t, rows, memberKey("group", "y/bad"), `?`)
		a := start(t, rows, "a")
		defer a.stop()
		pass(5 * time.Second)
		is(t, "told", a.hears(), "member x/new fails, member y/bad fails")
		is(t, "view", a.View().ids(), "a/a1")
		tb := a.Tenure().Table(stream)
		for _, owner := range []string{"x/new", "y/bad"} {
			put(t, rows, tb.Key(shard), `{"v":1,"by":"z.1","owner":"`+owner+`","epoch":3,"ck":"0/trim"}`)
			_, err := tb.Claim(t.Context(), shard)
			want(t, err, ErrHeld)
		}
		pass(time.Minute)
		is(t, "told", a.hears(), "member y/bad works, fenced y/bad")
		is(t, "row", says(t, rows, "y/bad"), "DEAD")
		_, err := tb.Claim(t.Context(), shard)
		want(t, err, nil)
		e, _ := rows.Get(t.Context(), memberKey("group", "x/new"))
		is(t, "the newer row", string(e.Value), `{"v":2,"st":"ASLEEP"}`)
	})
}

// The owner of a row cannot be looked at, or be buried: the claim says so, and is repeated.
func TestClaimFaults(t *testing.T) {
	bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
		a := start(t, rows, "a")
		defer a.stop()
		pass(time.Second)
		tb := a.Tenure().Table(stream)
		put(t, rows, tb.Key(shard), `{"v":1,"by":"z.1","owner":"z/z","epoch":3,"ck":"0/trim"}`)
		for _, op := range []string{"get", "swap"} {
			a.wire.set(func(o, key string) fault {
				if o == op && strings.HasSuffix(key, "z/z") {
					return before
				}
				return fine
			})
			_, err := tb.Claim(t.Context(), shard)
			want(t, err, errReset)
		}
		a.wire.set(nil)
		_, err := tb.Claim(t.Context(), shard)
		want(t, err, ErrHeld)
		// Reading takes longer than the validity lasts.
		put(t, rows, tb.Key(shard), `{"v":1,"by":"z.1","epoch":3,"ck":"0/trim"}`)
		a.wire.set(func(o, key string) fault {
			if strings.Contains(key, "/member/") {
				return before
			}
			return fine
		})
		a.wire.mu.Lock()
		a.wire.upon = func(op string, e checkpoint.Entry) {
			if op == "get" && e.Key == tb.Key(shard) {
				time.Sleep(2 * valid)
			}
		}
		a.wire.mu.Unlock()
		_, err = tb.Claim(t.Context(), shard)
		want(t, err, ErrLapsed)
	})
}

// Nor does one that refuses most calls at random, behind an outage that has outlasted all heartbeats: whether it says that it
// refuses, or nothing.
func TestThrottledBehindAnOutage(t *testing.T) {
	for _, refused := range []fault{throttled, before} {
		lost := 0
		const seeds = 100
		for seed := range uint64(seeds) {
			bubble(t, func(t *testing.T, rows *checkpoint.Memory) {
				r := rand.New(rand.NewPCG(seed, 0))
				var mu sync.Mutex
				var mates []*mate
				for _, name := range []string{"a", "b", "c"} {
					m := start(t, rows, name)
					defer m.stop()
					mates = append(mates, m)
				}
				pass(20 * time.Second)
				for _, m := range mates {
					m.wire.set(down)
				}
				pass(time.Minute)
				for _, m := range mates {
					m.hears()
					m.wire.set(func(op, key string) fault {
						mu.Lock()
						defer mu.Unlock()
						if r.IntN(5) > 0 {
							return refused
						}
						return fine
					})
				}
				pass(time.Minute)
				for _, m := range mates {
					if strings.Contains(m.hears(), "over") {
						lost++
					}
				}
			})
		}
		if lost > 0 {
			t.Errorf("%v: in %d plays workers were taken for dead %d times", refused, seeds, lost)
		}
	}
}
