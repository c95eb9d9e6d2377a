package shardmap

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shards returns shards from strings "ID PARENT PARENT"; the hash range is that of a letter: a to d are quarters, an ID
// covers the quarters it names.
func shards(specs ...[]string) (all []Shard) {
	starts := map[byte]string{'a': "0", 'b': quarter(1).String(), 'c': quarter(2).String(), 'd': quarter(3).String()}
	ends := map[byte]string{'a': quarter(1).dec().String(), 'b': quarter(2).dec().String(), 'c': quarter(3).dec().String(), 'd': maxHashKey().String()}
	for _, s := range specs {
		id := s[0]
		all = append(all, Shard{ID: id, Parents: s[1:], HashStart: starts[id[1]], HashEnd: ends[id[len(id)-1]]})
	}
	return all
}

func quarter(n uint64) hashKey { return hashKey{hi: n << 62} }

// history is the stream of the tables: the number is the generation, the letters are the quarters of the hash space.
//
//	1ad ─┬─ 2ab ─┬─ 3a ──┐
//	     │       └─ 3b ─┐│
//	     └─ 2cd ─┬─ 3c ─┴┼─ 4bc
//	             └─ 3d   └─ (3a stays open)
func history() []Shard {
	return shards([]string{"1ad"}, []string{"2ab", "1ad"}, []string{"2cd", "1ad"}, []string{"3a", "2ab"}, []string{"3b", "2ab"},
		[]string{"3c", "2cd"}, []string{"3d", "2cd"}, []string{"4bc", "3b", "3c"})
}

func without(all []Shard, ids ...string) []Shard {
	return slices.DeleteFunc(slices.Clone(all), func(s Shard) bool { return slices.Contains(ids, s.ID) })
}

func only(all []Shard, ids ...string) []Shard {
	return slices.DeleteFunc(slices.Clone(all), func(s Shard) bool { return !slices.Contains(ids, s.ID) })
}

// known returns rows from ID to what is set: r root, s started, e ended, u unreadable, nothing for a row that waits.
func known(set map[string]string) map[string]State {
	rows := make(map[string]State)
	for id, flags := range set {
		st := State{Shard: only(history(), id)[0]}
		for _, f := range flags {
			switch f {
			case 'r':
				st.Root = true
			case 's':
				st.Started = true
			case 'e':
				st.Ended = true
			case 'u':
				st = Unreadable(st.Shard)
			}
		}
		rows[id] = st
	}
	return rows
}

// brief writes rows as IDs, a root with a star.
func brief(rows []Root) (ids []string) {
	for _, r := range rows {
		id := r.ID
		if r.Root {
			id += "*"
		}
		ids = append(ids, id)
	}
	return ids
}

func TestRoots(t *testing.T) {
	t.Attr("rule", "C11")
	for name, c := range map[string]struct {
		asOf  []Shard
		known map[string]string
		want  []string
	}{
		"tip":                     {asOf: only(history(), "3a", "3d", "4bc"), want: []string{"3a*", "3d*", "4bc*"}},
		"tip, half put":           {only(history(), "3a", "3d", "4bc"), map[string]string{"3a": "r"}, []string{"3d*", "4bc*"}},
		"oldest":                  {asOf: only(history(), "1ad"), want: []string{"1ad*"}},
		"a server without filter": {asOf: history(), want: []string{"1ad*", "2ab", "2cd", "3a", "3b", "3c", "3d", "4bc"}},
		"listed backwards, twice": {asOf: append(shards([]string{"1a", "2ad"}, []string{"1b", "2ad"}), shards([]string{"2ad"}, []string{"2ad"})...), want: []string{"2ad*", "1a", "1b"}},
		"one parent of two":       {asOf: only(history(), "3b", "4bc"), want: []string{"3b*", "4bc"}},
		"parent known":            {only(history(), "3b", "3a"), map[string]string{"2ab": "r"}, []string{"3a", "3b"}},
		"all known":               {only(history(), "1ad"), map[string]string{"1ad": "e"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, brief(Roots(c.asOf, known(c.known)))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMissing(t *testing.T) {
	t.Attr("rule", "C11")
	for name, c := range map[string]struct {
		listed []Shard
		known  map[string]string
		want   []string
	}{
		"nothing":                     {history(), map[string]string{"3a": "r", "3d": "r", "4bc": "r"}, nil},
		"descendants (F1, F26)":       {history(), map[string]string{"1ad": "rs"}, []string{"2ab", "2cd", "3a", "3b", "3c", "3d", "4bc"}},
		"not the ancestors":           {history(), map[string]string{"2ab": "r", "2cd": "r"}, []string{"3a", "3b", "3c", "3d", "4bc"}},
		"other parent (F15)":          {history(), map[string]string{"2ab": "r", "3a": "", "3b": "", "3d": "r", "4bc": ""}, []string{"3c*"}},
		"other parent of a new one":   {history(), map[string]string{"3a": "r", "3b": "r", "3d": "r"}, []string{"3c*", "4bc"}},
		"parent deleted (F49)":        {history(), map[string]string{"2cd": "r", "3a": "", "3b": "", "3c": "", "3d": "", "4bc": ""}, []string{"2ab*"}},
		"finished and deleted":        {history(), map[string]string{"2cd": "r", "3a": "s", "3b": "", "3c": "", "3d": "", "4bc": ""}, nil},
		"finished, all but the last":  {history(), map[string]string{"4bc": "s", "3a": "s", "3d": "s"}, nil},
		"a hole":                      {history(), map[string]string{"3a": "rs", "4bc": "rs"}, []string{"3d*"}},
		"a hole, its shard split":     {history(), map[string]string{"2ab": "r", "3a": "", "3b": ""}, []string{"2cd*", "3c", "3d", "4bc"}},
		"ended does not cover":        {without(history(), "1ad", "2ab", "2cd"), map[string]string{"1ad": "e"}, []string{"3a*", "3b*", "3c*", "3d*", "4bc"}},
		"expired, its parent goes on": {only(history(), "3a", "3b", "3c", "3d", "4bc"), map[string]string{"1ad": "rs", "4bc": ""}, []string{"3b", "3c"}},
		"expired":                     {only(history(), "3a", "3d", "4bc"), map[string]string{"3b": "s", "3a": "rs", "3d": "rs"}, []string{"4bc"}},
		"no rows":                     {only(history(), "3a", "3d", "4bc"), nil, []string{"3a*", "3d*", "4bc*"}},
		"nothing listed":              {nil, map[string]string{"1ad": "r"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, brief(Missing(c.listed, known(c.known)))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStartable(t *testing.T) {
	t.Attr("rule", "L25")
	for name, c := range map[string]struct {
		listed []Shard
		known  map[string]string
		want   []string
	}{
		"roots":                        {history(), map[string]string{"3a": "r", "4bc": "r"}, []string{"3a", "4bc"}},
		"parents first (F22)":          {history(), map[string]string{"1ad": "rs", "2ab": "", "2cd": "", "3a": ""}, []string{"1ad"}},
		"siblings at once":             {history(), map[string]string{"1ad": "re", "2ab": "", "2cd": "", "3a": ""}, []string{"2ab", "2cd"}},
		"closed ones go on (F26)":      {history(), map[string]string{"1ad": "re", "2ab": "s", "3a": ""}, []string{"2ab"}},
		"one parent of two (F15)":      {history(), map[string]string{"3b": "e", "3c": "s", "4bc": ""}, []string{"3c"}},
		"the other parent (F15)":       {history(), map[string]string{"3b": "s", "3c": "e", "4bc": ""}, []string{"3b"}},
		"both parents":                 {history(), map[string]string{"3b": "e", "3c": "e", "4bc": ""}, []string{"4bc"}},
		"parent without a row (F49)":   {history(), map[string]string{"3b": "e", "4bc": ""}, nil},
		"parent expired":               {without(history(), "3c"), map[string]string{"3b": "e", "4bc": ""}, []string{"4bc"}},
		"one expired, the other not":   {without(history(), "3c"), map[string]string{"3b": "s", "4bc": ""}, []string{"3b"}},
		"a row, but not listed":        {without(history(), "3c"), map[string]string{"3b": "e", "3c": "r", "4bc": ""}, []string{"3c"}},
		"an empty list proves nothing": {nil, map[string]string{"4bc": "", "3a": "r"}, []string{"3a"}},
		"older than a root":            {history(), map[string]string{"3b": "r", "3a": ""}, []string{"3a", "3b"}},
		"finished and deleted":         {history(), map[string]string{"4bc": "s", "3d": ""}, []string{"3d", "4bc"}},
		"expired, its parent goes on":  {only(history(), "3a", "3c", "3d", "4bc"), map[string]string{"2ab": "rs", "3c": "e", "4bc": ""}, []string{"2ab"}},
		"expired, its parent waits":    {only(history(), "3a", "3c", "3d", "4bc"), map[string]string{"1ad": "r", "2ab": "", "3c": "e", "4bc": ""}, []string{"1ad"}},
		"expired, its parent ended":    {only(history(), "3a", "3c", "3d", "4bc"), map[string]string{"2ab": "e", "3c": "e", "4bc": ""}, []string{"4bc"}},
		"expired, others go on":        {only(history(), "3a", "3c", "3d", "4bc"), map[string]string{"3a": "s", "3c": "e", "3d": "s", "4bc": ""}, []string{"3a", "3d", "4bc"}},
		"settled, its parent goes on":  {only(history(), "3a", "3b"), map[string]string{"1ad": "r", "3a": "s", "3b": ""}, []string{"1ad", "3a"}},
		"own progress":                 {history(), map[string]string{"3b": "s", "4bc": "s"}, []string{"3b", "4bc"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Startable(c.listed, known(c.known))); diff != "" {
				t.Error(diff)
			}
		})
	}
}
