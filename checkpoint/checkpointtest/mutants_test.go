package checkpointtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
)

type (
	entry = checkpoint.Entry
	store = checkpoint.Store
)

func number(n int) string { return strconv.Itoa(n) }

// A mutant is a store that breaks a rule. The suite must say so by that rule, if by none other.
type mutant struct {
	name, rule string
	make       func(m store) altered // of a sound store
}

// force writes whatever the revision is.
func force(m store, e entry) (entry, error) {
	for {
		row, _ := m.Get(context.Background(), e.Key)
		next := entry{Key: e.Key, Value: e.Value, Revision: row.Revision}
		if got, err := m.Swap(context.Background(), next); err == nil {
			return got, nil
		}
	}
}

func listing(m store, f func(prefix string, e *entry) bool) altered {
	return altered{Store: m, list: func(ctx context.Context, prefix string) (found []entry, err error) {
		all, err := m.List(ctx, "")
		for _, e := range all {
			if f(prefix, &e) {
				found = append(found, e)
			}
		}
		return found, err
	}}
}

func encoding(m store, f func([]byte) []byte) altered {
	return altered{Store: m, swap: func(ctx context.Context, e entry) (entry, error) {
		value := e.Value
		e.Value = f(bytes.Clone(value))
		e, err := m.Swap(ctx, e)
		e.Value = value
		return e, err
	}}
}

func counting(next func(*table, entry) string) func(store) altered {
	return func(store) altered { return altered{Store: &table{next: next}} }
}

func folding(fold func(string) string) func(store) altered {
	return func(store) altered { return altered{Store: &table{fold: fold}} }
}

func mutants(stop <-chan struct{}) []mutant {
	background := context.Background()
	return []mutant{
		{"Get of an absent row fails", "absent row", func(m store) altered {
			return altered{Store: m, get: func(ctx context.Context, key string) (entry, error) {
				e, err := m.Get(ctx, key)
				if e.Revision == "" && err == nil {
					err = errors.New("not found")
				}
				return e, err
			}}
		}},
		{"last write wins", "stale revision", func(m store) altered {
			return altered{Store: m, swap: func(_ context.Context, e entry) (entry, error) { return force(m, e) }}
		}},
		{"put overwrites", "put if absent", func(m store) altered {
			return altered{Store: m, swap: func(ctx context.Context, e entry) (entry, error) {
				if e.Revision == "" {
					return force(m, e)
				}
				return m.Swap(ctx, e)
			}}
		}},
		{"conflict is applied", "stale revision", func(m store) altered {
			return altered{Store: m, swap: func(ctx context.Context, e entry) (entry, error) {
				got, err := m.Swap(ctx, e)
				if errors.Is(err, checkpoint.ErrConflict) {
					force(m, e)
				}
				return got, err
			}}
		}},
		{"conflict is not called one", "stale revision", func(m store) altered {
			return altered{Store: m, swap: func(ctx context.Context, e entry) (entry, error) {
				e, err := m.Swap(ctx, e)
				if err != nil {
					err = errors.New("condition failed")
				}
				return e, err
			}}
		}},
		{"Swap brings back a deleted row", "delete and put again", func(m store) altered {
			return altered{Store: m, swap: func(ctx context.Context, e entry) (entry, error) {
				if row, _ := m.Get(background, e.Key); row.Revision == "" {
					e.Revision = ""
				}
				return m.Swap(ctx, e)
			}}
		}},
		{"acknowledged and not written", "revisions", func(m store) altered {
			return altered{Store: m, swap: func(_ context.Context, e entry) (entry, error) {
				e.Revision += "1"
				return e, nil
			}}
		}},
		{"Swap returns the old revision", "revisions", func(m store) altered {
			return altered{Store: m, swap: func(ctx context.Context, e entry) (entry, error) {
				_, err := m.Swap(ctx, e)
				return e, err
			}}
		}},
		{"revision is a hash of the value", "revisions", counting(func(_ *table, e entry) string {
			return fmt.Sprintf("%x", crc32.ChecksumIEEE(e.Value))
		})},
		{"revision counts from 1 after Delete", "delete and put again", counting(func(_ *table, e entry) string {
			n, _ := strconv.Atoi(e.Revision)
			return number(n + 1)
		})},
		{"revision of a clock too coarse", "revisions", counting(func(t *table, _ entry) string { return number(t.count / 2) })},
		{"foreign revision is a parse error", "foreign revision", func(store) altered {
			t := new(table)
			return altered{Store: t, swap: func(ctx context.Context, e entry) (entry, error) {
				if _, err := strconv.Atoi(e.Revision); err != nil && e.Revision != "" {
					return e, err
				}
				return t.Swap(ctx, e)
			}}
		}},
		{"revision 0 is no row", "foreign revision", func(m store) altered {
			return altered{Store: m, swap: func(ctx context.Context, e entry) (entry, error) {
				if e.Revision == "0" {
					e.Revision = ""
				}
				return m.Swap(ctx, e)
			}}
		}},
		{"Delete of anything", "stale revision", func(m store) altered {
			return altered{Store: m, delete: func(ctx context.Context, e entry) error {
				row, err := m.Get(ctx, e.Key)
				if err == nil {
					err = m.Delete(ctx, row)
				}
				return err
			}}
		}},
		{"Delete of nothing", "delete and put again", func(m store) altered {
			return altered{Store: m, delete: func(context.Context, entry) error { return nil }}
		}},
		{"deleted rows are listed", "delete and put again", func(m store) altered {
			var deleted sync.Map
			return altered{Store: m, delete: func(ctx context.Context, e entry) error {
				deleted.Store(e.Key, true)
				return m.Delete(ctx, e)
			}, list: func(ctx context.Context, prefix string) ([]entry, error) {
				found, err := m.List(ctx, prefix)
				deleted.Range(func(key, _ any) bool {
					if strings.HasPrefix(key.(string), prefix) {
						found = append(found, entry{Key: key.(string)})
					}
					return true
				})
				return found, err
			}}
		}},
		{"check, then write", "race", func(m store) altered {
			return altered{Store: m, swap: func(ctx context.Context, e entry) (entry, error) {
				row, err := m.Get(ctx, e.Key)
				if err == nil && row.Revision != e.Revision {
					err = checkpoint.ErrConflict
				}
				if err != nil {
					return e, err
				}
				runtime.Gosched()
				return force(m, e)
			}}
		}},
		{"nobody wins a race", "race", func(m store) altered {
			var busy atomic.Int32
			var met atomic.Bool
			return altered{Store: m, swap: func(ctx context.Context, e entry) (entry, error) {
				met.Store(busy.Add(1) > 1)
				defer busy.Add(-1)
				runtime.Gosched()
				if met.Load() {
					return e, checkpoint.ErrConflict
				}
				return m.Swap(ctx, e)
			}}
		}},
		{"value as text", "values", func(m store) altered {
			return encoding(m, func(v []byte) []byte { return bytes.ToValidUTF8(v, []byte("?")) })
		}},
		{"value cut at 65,535", "values", func(m store) altered {
			return encoding(m, func(v []byte) []byte { return v[:min(len(v), 65535)] })
		}},
		{"value trimmed", "values", func(m store) altered { return encoding(m, bytes.TrimSpace) }},
		{"value ends at a zero", "values", func(m store) altered {
			return encoding(m, func(v []byte) []byte { v, _, _ = bytes.Cut(v, []byte{0}); return v })
		}},
		{"Swap keeps the caller's slice", "copies", func(m store) altered {
			var slices sync.Map
			return altered{Store: m, swap: func(ctx context.Context, e entry) (entry, error) {
				slices.Store(e.Key, e.Value)
				return m.Swap(ctx, e)
			}, get: func(ctx context.Context, key string) (entry, error) {
				e, err := m.Get(ctx, key)
				if v, ok := slices.Load(key); ok && e.Revision != "" {
					e.Value = bytes.Clone(v.([]byte))
				}
				return e, err
			}}
		}},
		{"Get gives its own slice away", "copies", func(m store) altered {
			var slices sync.Map
			return altered{Store: m, get: func(ctx context.Context, key string) (entry, error) {
				e, err := m.Get(ctx, key)
				v, _ := slices.LoadOrStore(e.Revision, e.Value)
				e.Value = v.([]byte)
				return e, err
			}}
		}},
		{"keys without case", "keys", folding(strings.ToLower)},
		{"keys without the space at their end", "keys", folding(func(key string) string { return strings.TrimRight(key, " ") })},
		{"keys cut at 255", "keys", folding(func(key string) string { return key[:min(len(key), 255)] })},
		{"prefix is a LIKE pattern", "prefixes", func(m store) altered {
			return listing(m, func(prefix string, e *entry) bool {
				if len(e.Key) < len(prefix) {
					return false
				}
				for i := range len(prefix) {
					if prefix[i] != '_' && prefix[i] != e.Key[i] {
						return false
					}
				}
				return true
			})
		}},
		{"prefix without case", "prefixes", func(m store) altered {
			return listing(m, func(prefix string, e *entry) bool {
				return strings.HasPrefix(strings.ToLower(e.Key), strings.ToLower(prefix))
			})
		}},
		{"prefix is a folder", "prefixes", func(m store) altered {
			return listing(m, func(prefix string, e *entry) bool {
				return strings.HasPrefix(e.Key, strings.TrimSuffix(prefix, "/")+"/")
			})
		}},
		{"prefix anywhere", "prefixes", func(m store) altered {
			return listing(m, func(prefix string, e *entry) bool {
				return strings.Contains(e.Key, prefix[strings.LastIndex(prefix[:len(prefix)-1], "/")+1:])
			})
		}},
		{"List without values", "5,000 rows", func(m store) altered {
			return listing(m, func(prefix string, e *entry) bool { e.Value = nil; return strings.HasPrefix(e.Key, prefix) })
		}},
		{"List of one page", "5,000 rows", func(m store) altered {
			return altered{Store: m, list: func(ctx context.Context, prefix string) ([]entry, error) {
				found, err := m.List(ctx, prefix)
				return found[:min(len(found), 1000)], err
			}}
		}},
		{"List of pages that overlap", "5,000 rows", func(m store) altered {
			return altered{Store: m, list: func(ctx context.Context, prefix string) ([]entry, error) {
				found, err := m.List(ctx, prefix)
				if len(found) > 1000 {
					found = slices.Insert(found, 1000, found[999])
				}
				return found, err
			}}
		}},
		{"ctx ignored", "ended ctx", func(m store) altered {
			return altered{Store: m, swap: func(_ context.Context, e entry) (entry, error) { return m.Swap(background, e) }}
		}},
		{"ended ctx is a conflict", "ended ctx", func(m store) altered {
			return altered{Store: m, delete: func(ctx context.Context, e entry) error {
				if ctx.Err() != nil {
					return checkpoint.ErrConflict
				}
				return m.Delete(ctx, e)
			}}
		}},
		{"ended ctx hangs", "ended ctx", func(m store) altered {
			return altered{Store: m, get: func(ctx context.Context, key string) (entry, error) {
				if ctx.Err() != nil {
					<-stop
				}
				return m.Get(ctx, key)
			}}
		}},
		{"hidden second attempt", "lost reply", func(m store) altered {
			return altered{Store: m, swap: func(ctx context.Context, e entry) (entry, error) {
				got, err := m.Swap(ctx, e)
				if err == nil && ctx.Err() != nil { // the reply is lost
					return m.Swap(background, e)
				}
				return got, err
			}}
		}},
		{"applied and said not to be", "lost reply", func(m store) altered {
			return altered{Store: m, swap: func(ctx context.Context, e entry) (entry, error) {
				got, err := m.Swap(ctx, e)
				if err == nil && ctx.Err() != nil {
					err = fmt.Errorf("%w: %w", checkpoint.ErrNotApplied, ctx.Err())
				}
				return got, err
			}}
		}},
		{"deleted by a Swap that fails", "lost reply", func(m store) altered {
			return altered{Store: m, swap: func(ctx context.Context, e entry) (entry, error) {
				got, err := m.Swap(ctx, e)
				if err == nil && ctx.Err() != nil {
					return e, errors.Join(ctx.Err(), m.Delete(background, got))
				}
				return got, err
			}}
		}},
		{"reads lag while others write", "linearizable", func(m store) altered {
			var busy atomic.Int32
			var past sync.Map
			return altered{Store: m, swap: func(ctx context.Context, e entry) (entry, error) {
				defer busy.Add(-1)
				busy.Add(1)
				row, _ := m.Get(background, e.Key)
				got, err := m.Swap(ctx, e)
				if err == nil {
					past.Store(e.Key, row)
				}
				runtime.Gosched()
				return got, err
			}, get: func(ctx context.Context, key string) (entry, error) {
				if row, ok := past.Load(key); ok && busy.Load() > 0 {
					return row.(entry), ctx.Err()
				}
				return m.Get(ctx, key)
			}}
		}},
	}
}

func TestMutants(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	unproven := make(map[string]bool)
	check := make(map[string]func(context.Context, *suite) error)
	for _, r := range rules() {
		unproven[r.name], check[r.name] = true, r.check
	}
	for _, m := range append(mutants(stop), mutant{name: "other handle reads a replica", rule: "other handle"}) {
		t.Run(m.name, func(t *testing.T) {
			a := store(new(checkpoint.Memory))
			b := replica(a)
			if m.make != nil {
				a = m.make(a)
				b = a
			}
			s := newSuite(a, b)
			s.patience, s.prompt = 0, 50*time.Millisecond
			err := check[m.rule](t.Context(), s)
			if err == nil {
				t.Errorf("rule %q does not see it", m.rule)
			}
			t.Log(err)
			delete(unproven, m.rule)
		})
	}
	for name := range unproven {
		t.Errorf("rule %q has no mutant", name)
	}
}

// replica reads one write late.
func replica(m store) store {
	seen := make(map[string]entry)
	return altered{Store: m, get: func(ctx context.Context, key string) (entry, error) {
		e, err := m.Get(ctx, key)
		last := seen[key]
		seen[key] = e
		last.Key = key
		return last, err
	}}
}
