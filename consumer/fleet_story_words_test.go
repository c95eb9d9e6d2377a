package consumer_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/shardlane/shardlane/metrics"
)

// A sentence is what a line of a story may say, with blanks in angle brackets. It acts, or it is true or not: ok returns what is
// so instead, empty if it is true.
type sentence struct {
	form   string
	act    func(s *stage, w []string) error
	ok     func(s *stage, w []string) string
	starts bool // a worker that is not known yet

	pattern *regexp.Regexp
	blanks  []blank
}

// A blank is what kind of word stands for it.
type blank string

// check holds a word to its blank.
func (b blank) check(word string, known map[string]bool, starts bool) error {
	switch b {
	case "worker":
		if known[word] == starts {
			return fmt.Errorf("worker %s has been started: %t", word, known[word])
		}
		known[word] = true
	case "event":
		if metrics.Event(word) == nil {
			return fmt.Errorf("there is no event %s", word)
		}
	}
	return nil
}

var blanks = map[blank]string{
	"worker": `([a-z]+)`, "name": `([a-z]+)`, "n": `(\d+)`, "time": `(\d+s)`,
	"state": `(ALIVE|LEAVING|LOST|DEAD)`, "event": `([A-Z]\w+)`,
}

// sentences is all that a story can say. Of two that fit the first counts: nobody is no worker.
var sentences = []*sentence{
	{form: "<worker> starts", starts: true, act: func(s *stage, w []string) error { s.start(w[0], w[0]); return nil }},
	{form: "<worker> starts as <name>", starts: true, act: func(s *stage, w []string) error { s.start(w[0], w[1]); return nil }},
	{form: "<worker> stops", act: func(s *stage, w []string) error { s.actors[w[0]].leaves(); return nil }},
	{form: "<worker> is killed", act: func(s *stage, w []string) error { s.actors[w[0]].dies(); return nil }},
	{form: "<worker> freezes in the middle of a batch", act: func(s *stage, w []string) error { return s.actors[w[0]].freeze() }},
	{form: "<worker> thaws", act: func(s *stage, w []string) error { return s.actors[w[0]].thaw() }},
	{form: "<worker> loses the store", act: func(s *stage, w []string) error { s.actors[w[0]].link.cut.Store(true); return nil }},
	{form: "<worker> has the store again", act: func(s *stage, w []string) error { s.actors[w[0]].link.cut.Store(false); return nil }},
	{form: "the store goes down", act: func(s *stage, _ []string) error { s.cut(true); return nil }},
	{form: "the store comes back", act: func(s *stage, _ []string) error { s.cut(false); return nil }},
	{form: "the next release of <worker> is held up", act: func(s *stage, w []string) error { s.actors[w[0]].hold.Store(true); return nil }},
	{form: "the release that was held up arrives", act: func(s *stage, _ []string) error { return s.deliver() }},
	{form: "somebody deletes the row of worker <worker>", act: func(s *stage, w []string) error { return s.f.remove("g/member/" + s.actors[w[0]].name + "/") }},
	{form: "somebody deletes the row of shard <n>", act: func(s *stage, w []string) error { return s.f.remove(s.row(w[0]).key) }},
	{form: "shard <n> is split", act: func(s *stage, w []string) error { s.f.srv.Split("orders", shardID(number(w[0]))); return nil }},
	{form: "shards <n> and <n> are merged", act: func(s *stage, w []string) error {
		s.f.srv.Merge("orders", shardID(number(w[0])), shardID(number(w[1])))
		return nil
	}},

	{form: "nobody was told <event>", ok: func(s *stage, w []string) string {
		for name, a := range s.actors {
			if a.told.count(w[0]) > 0 {
				return name + " was"
			}
		}
		return ""
	}},
	{form: "shard <n> belongs to nobody", ok: func(s *stage, w []string) string { return differs(s.row(w[0]).Owner, "") }},
	{form: "<worker> has <n> shards?", ok: func(s *stage, w []string) string {
		return differs(fmt.Sprint(s.actors[w[0]].owned()), w[1])
	}},
	{form: "<worker> is well", ok: func(s *stage, w []string) string {
		if err := s.actors[w[0]].c.Status().Err(); err != nil {
			return err.Error()
		}
		return ""
	}},
	{form: "shard <n> is in epoch <n>", ok: func(s *stage, w []string) string { return differs(fmt.Sprint(s.row(w[0]).Epoch), w[1]) }},
	{form: "shard <n> belongs to <worker>", ok: func(s *stage, w []string) string {
		owner, _, _ := strings.Cut(s.row(w[0]).Owner, "/")
		return differs(owner, s.actors[w[1]].name)
	}},
	{form: "shard <n> has ended", ok: func(s *stage, w []string) string { return differs(s.row(w[0]).Ck, endMark) }},
	{form: "nothing has changed hands since <time>", ok: func(s *stage, w []string) string {
		from, _ := time.ParseDuration(w[0])
		if was, ok := s.owners[from]; ok {
			return differs(owners(s.f.t, s.f.store), was)
		}
		return "nothing is told of that time"
	}},
	{form: "the row of <worker> says <state>", ok: func(s *stage, w []string) string {
		if states := s.states(w[0]); !slices.Contains(states, w[1]) {
			return fmt.Sprint(states)
		}
		return ""
	}},
	{form: "<worker> has no row", ok: func(s *stage, w []string) string { return differs(fmt.Sprint(s.states(w[0])), "[]") }},
	{form: "nobody handles anything", ok: func(s *stage, _ []string) string { return s.handled("") }},
	{form: "nobody handles shard <n>", ok: func(s *stage, w []string) string { return s.handled(shardID(number(w[0]))) }},
	{form: "<worker> was told <event>", ok: func(s *stage, w []string) string {
		if s.actors[w[0]].told.count(w[1]) == 0 {
			return fmt.Sprint(s.actors[w[0]].told.names)
		}
		return ""
	}},
	{form: "<worker> was told <event> <n> times", ok: func(s *stage, w []string) string {
		return differs(fmt.Sprint(s.actors[w[0]].told.count(w[1])), w[2])
	}},
	{form: "at most <n> records were handled twice", ok: func(s *stage, w []string) string {
		if n := s.f.twice(); n > number(w[0]) {
			return fmt.Sprint(n, " were")
		}
		return ""
	}},
	{form: "nothing was handled twice", ok: func(s *stage, _ []string) string { return differs(fmt.Sprint(s.f.twice()), "0") }},
	{form: "nothing stood still for a second while it changed hands", ok: func(s *stage, _ []string) string {
		for _, gap := range s.f.handOvers() {
			if gap > time.Second {
				return gap.String()
			}
		}
		return ""
	}},
	{form: "the sink has refused a batch of <worker>", ok: func(s *stage, w []string) string {
		if s.actors[w[0]].refused.Load() == 0 {
			return "it has refused none"
		}
		return ""
	}},
}

func init() {
	find := regexp.MustCompile(`<(\w+)>`)
	for _, s := range sentences {
		for _, m := range find.FindAllStringSubmatch(s.form, -1) {
			s.blanks = append(s.blanks, blank(m[1]))
		}
		s.pattern = regexp.MustCompile("^" + find.ReplaceAllStringFunc(s.form, func(b string) string { return blanks[blank(b[1:len(b)-1])] }) + "$")
	}
}

// sentenceOf returns the sentence that a text is, and its words; nil if it is none.
func sentenceOf(text string) (*sentence, []string) {
	for _, s := range sentences {
		if m := s.pattern.FindStringSubmatch(text); m != nil {
			return s, m[1:]
		}
	}
	return nil, nil
}

func number(word string) (n int) {
	_, _ = fmt.Sscan(word, &n)
	return n
}

func differs(is, want string) string {
	if is == want {
		return ""
	}
	return fmt.Sprintf("it is %q", is)
}
