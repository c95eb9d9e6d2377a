package consumer_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The stories of the protocol: what is told in testdata/stories happens, line by line. DESIGN.md says how they are written.
func TestFleetStories(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/stories/*.txt")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d stories, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s, err := parseStory(string(text))
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			inFleet(t, s.shards, func(f *fleet) {
				if err := s.play(f); err != nil {
					t.Errorf("%s: %v", file, err)
				}
			})
		})
	}
}

// A story that does not come true fails at the line that does not.
func TestFleetStoryFails(t *testing.T) {
	t.Parallel()
	for line, script := range map[string]string{
		`line 5: "5s one has 3 shards"`:                     "0s one starts\n5s one has 3 shards",
		`line 6: "by 9s one has 1 shard"`:                   "0s one starts\n5s one has 2 shards\nby 9s one has 1 shard",
		`line 6: "until 9s nobody handles anything"`:        "0s one starts\n5s one has 2 shards\nuntil 9s nobody handles anything",
		`line 5: "at the end one was told LeaseTakenOver"`:  "0s one starts\nat the end one was told LeaseTakenOver",
		`line 5: "5s one thaws"`:                            "0s one starts\n5s one thaws",
		`line 6: "5s nothing has changed hands since 4s"`:   "0s one starts\n5s one has 2 shards\n5s nothing has changed hands since 4s",
		`line 5: "at the end shard 1 is in epoch 3"`:        "0s one starts\nat the end shard 1 is in epoch 3",
		`line 5: "5s the row of one says DEAD"`:             "0s one starts\n5s the row of one says DEAD",
		`line 5: "5s the release that was held up arrives"`: "0s one starts\n5s the release that was held up arrives",
	} {
		t.Run(script, func(t *testing.T) {
			s, err := parseStory("Why (coordination §1).\n---\nstream of 2 shards\n" + script)
			if err != nil {
				t.Fatal(err)
			}
			inFleet(t, s.shards, func(f *fleet) {
				if err := s.play(f); err == nil || !strings.HasPrefix(err.Error(), line) {
					t.Errorf("it ends with %v, want %s", err, line)
				}
			})
		})
	}
}

// What the parser does not know, it refuses.
func TestFleetStoryRefused(t *testing.T) {
	t.Parallel()
	const why = "Why (coordination §1).\n---\n"
	for text, want := range map[string]string{
		"":                                     "no line ---",
		"---\nstream of 2 shards\n":            "no words",
		"Why.\n---\nstream of 2 shards\n":      "no section of the protocol",
		why:                                    "line 3",
		why + "stream of many shards":          "line 3",
		why + "stream of 2 shards\n":           "nothing happens",
		why + "stream of 2 shards\none dies":   "line 4",
		why + "stream of 2 shards\n5s one":     "line 4",
		why + "stream of 2 shards\n0s it ends": "line 4",
		why + "stream of 2 shards\n9s one starts\n5s one stops":                         "line 5",
		why + "stream of 2 shards\nby 9s one starts":                                    "line 4",
		why + "stream of 2 shards\n0s one starts\nat the end one stops":                 "line 5",
		why + "stream of 2 shards\n0s one starts\n1s two stops":                         "line 5",
		why + "stream of 2 shards\n0s one starts\n1s one starts":                        "line 5",
		why + "stream of 2 shards\n0s one starts\nat the end one is well\n9s one stops": "line 6",
		why + "stream of 2 shards\n0s one starts\n1s one was told Nothing":              "line 5",
	} {
		if _, err := parseStory(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is refused with %v, want %s", text, err, want)
		}
	}
}

// A story is a script: what happens and what is expected, in the order of its lines.
type story struct {
	shards int
	lines  []storyLine
}

// A storyLine is one of them. What is expected has to be so at the time from; where there is a later time to, at some time until
// then, or, for throughout, at each; at the end, when all workers have stopped.
type storyLine struct {
	n          int
	text       string
	from, to   time.Duration
	throughout bool
	end        bool
	words      []string // that its sentence has for blanks
	*sentence
}

var (
	storyShards = regexp.MustCompile(`^stream of (\d+) shards?$`)
	storyWhen   = regexp.MustCompile(`^(?:(\d+s)|by (\d+s)|until (\d+s)|(at the end)) +(.+)$`)
)

// parseStory reads a story: words that tell it, a line ---, and the script.
func parseStory(text string) (*story, error) {
	words, script, ok := strings.Cut(text, "---\n")
	switch {
	case !ok:
		return nil, fmt.Errorf("no line --- between words and script")
	case strings.TrimSpace(words) == "":
		return nil, fmt.Errorf("no words before the script")
	case !strings.Contains(words, "coordination §"):
		return nil, fmt.Errorf("no section of the protocol is named")
	}
	s, n, last, ended := &story{}, strings.Count(words, "\n")+1, time.Duration(0), false
	known := map[string]bool{}
	for line := range strings.Lines(script) {
		n++
		line = strings.Join(strings.Fields(line), " ")
		if line == "" {
			continue
		}
		if s.shards == 0 {
			m := storyShards.FindStringSubmatch(line)
			if m == nil {
				return nil, fmt.Errorf("line %d: %q does not say how many shards the stream has", n, line)
			}
			s.shards, _ = strconv.Atoi(m[1])
			continue
		}
		m := storyWhen.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("line %d: %q does not begin with a time", n, line)
		}
		l := storyLine{n: n, text: line, from: last, throughout: m[3] != "", end: m[4] != ""}
		l.sentence, l.words = sentenceOf(m[5])
		if at := m[1] + m[2] + m[3]; at != "" {
			l.to, _ = time.ParseDuration(at)
			if m[1] != "" {
				l.from = l.to
			}
		}
		switch {
		case l.sentence == nil:
			return nil, fmt.Errorf("line %d: %q is no sentence of a story", n, m[5])
		case !l.end && l.to < last, !l.end && ended:
			return nil, fmt.Errorf("line %d: %q lies before the line above", n, line)
		case l.act != nil && m[1] == "":
			return nil, fmt.Errorf("line %d: %q happens at no time", n, line)
		}
		for i, kind := range l.blanks {
			if err := kind.check(l.words[i], known, l.starts); err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
		}
		last, ended = max(last, l.to), l.end
		s.lines = append(s.lines, l)
	}
	switch {
	case s.shards == 0:
		return nil, fmt.Errorf("line %d: the script does not say how many shards the stream has", n+1)
	case len(s.lines) == 0:
		return nil, fmt.Errorf("nothing happens")
	}
	return s, nil
}
