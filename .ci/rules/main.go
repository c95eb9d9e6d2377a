// Rules reads the output of go test -json and prints, for every rule of batch/SEMANTICS.md, the tests that prove it: those
// that named it by t.Attr("rule", id), ran, and passed. It fails when a rule has no test, when a test names a rule that
// does not exist, and when a test failed, whose output it shows.
//
//	go test -json ./... | go run .ci/rules/main.go batch/SEMANTICS.md
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

type event struct {
	Action, Package, Test, Key, Value, Output string
	Elapsed                                   float64
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	var rules []string
	for _, m := range regexp.MustCompile(`(?m)^\| <a id="[a-z0-9]+"></a>([LCBP][0-9]+) \|`).FindAllStringSubmatch(string(text), -1) {
		rules = append(rules, m[1])
	}
	slices.SortFunc(rules, func(a, b string) int {
		number := func(s string) int { n, _ := strconv.Atoi(s[1:]); return n }
		order := func(s string) int { return strings.Index("LCBP", s[:1]) }
		return cmp.Or(order(a)-order(b), number(a)-number(b))
	})

	named, passed, failed := map[[2]string][]string{}, map[[2]string]bool{}, 0
	output := map[[2]string]*strings.Builder{}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	for in.Scan() {
		var e event
		if json.Unmarshal(in.Bytes(), &e) != nil {
			fmt.Fprintln(os.Stderr, in.Text()) // what a build prints
			continue
		}
		test := [2]string{e.Package, e.Test}
		switch e.Action {
		case "output":
			if output[test] == nil {
				output[test] = new(strings.Builder)
			}
			output[test].WriteString(e.Output)
		case "build-output":
			fmt.Fprint(os.Stderr, e.Output)
		case "attr":
			if e.Key == "rule" {
				named[test] = append(named[test], e.Value)
			}
		case "pass":
			passed[test] = true
			delete(output, test)
			if e.Test == "" {
				fmt.Fprintf(os.Stderr, "ok %s %.1f s\n", e.Package, e.Elapsed)
			}
		case "skip":
			delete(output, test)
		case "fail":
			failed++
			for other, said := range output { // of a package that ends at once, what its tests have not ended
				if other == test || e.Test == "" && other[0] == e.Package {
					fmt.Fprint(os.Stderr, said)
					delete(output, other)
				}
			}
			fmt.Fprintln(os.Stderr, "failed:", e.Package, e.Test)
		}
	}
	proofs := map[string][]string{}
	for test, ids := range named {
		top, _, _ := strings.Cut(test[1], "/")
		if !passed[test] || !passed[[2]string{test[0], top}] {
			continue
		}
		name := strings.TrimPrefix(strings.TrimPrefix(test[0], "github.com/shardlane/shardlane"), "/") + "." + top
		for _, id := range ids {
			if !slices.Contains(rules, id) {
				failed++
				fmt.Fprintf(os.Stderr, "%s names %s, which is no rule\n", name, id)
			} else if !slices.Contains(proofs[id], name) {
				proofs[id] = append(proofs[id], name)
			}
		}
	}
	fmt.Print("# Which tests prove which rule\n\nMade by `.ci/run race` from the tests that ran and passed; the rules are those of [SEMANTICS.md](SEMANTICS.md).\n\n| rule | tests |\n|---|---|\n")
	for _, id := range rules {
		slices.Sort(proofs[id])
		fmt.Printf("| %s | %s |\n", id, strings.Join(proofs[id], ", "))
		if len(proofs[id]) == 0 {
			failed++
			fmt.Fprintln(os.Stderr, "no test proves", id)
		}
	}
	if failed > 0 {
		os.Exit(1)
	}
}
