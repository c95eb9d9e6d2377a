package examples_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// fieldTests are the tests called TestField_Fnn, as "./consumer TestField_F01".
func fieldTests(t *testing.T) (found []string) {
	t.Helper()
	files, err := filepath.Glob("../consumer/field_*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, path := range files {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if d, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(d.Name.Name, "TestField_F") {
				found = append(found, "./consumer "+d.Name.Name)
			}
		}
	}
	return found
}

// untrue says what is wrong with the table of bugs: rows that are missing, commands that run no test, tests that no row runs.
func untrue(page string, bugs int, tests []string) (complaints []string) {
	row := regexp.MustCompile(`(?m)^\| F(\d+) \|.*\| (.+) \|$`)
	command := regexp.MustCompile("^`go test -run '(TestField_F\\d+)\\$' (\\./\\S+)`$")
	shown := map[string]bool{}
	rows := row.FindAllStringSubmatch(page, -1)
	for i, m := range rows {
		if want := fmt.Sprint(i + 1); m[1] != want {
			return append(complaints, "F"+m[1]+" stands where F"+want+" should")
		}
		own := fmt.Sprintf("./consumer TestField_F%02d", i+1)
		switch c := command.FindStringSubmatch(m[2]); {
		case c == nil && m[2] != "fan-out" && m[2] != "no test yet":
			complaints = append(complaints, "F"+m[1]+": no command: "+m[2])
		case c == nil && slices.Contains(tests, own):
			complaints = append(complaints, "F"+m[1]+" has a test, and the page says: "+m[2])
		case c != nil && !slices.Contains(tests, c[2]+" "+c[1]):
			complaints = append(complaints, "F"+m[1]+": there is no "+c[1]+" in "+c[2])
		case c != nil && slices.Contains(tests, own) && c[2]+" "+c[1] != own:
			complaints = append(complaints, "F"+m[1]+" has a test, and the page runs "+c[1])
		case c != nil:
			shown[c[2]+" "+c[1]] = true
		}
	}
	if len(rows) != bugs {
		complaints = append(complaints, fmt.Sprintf("%d rows for %d bugs", len(rows), bugs))
	}
	for _, test := range tests {
		if !shown[test] {
			complaints = append(complaints, "no row runs "+test)
		}
	}
	return complaints
}

func TestFieldBugsPage(t *testing.T) {
	page, err := os.ReadFile("../.github/FIELD-BUGS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, complaint := range untrue(string(page), 72, fieldTests(t)) {
		t.Error(complaint)
	}
}

func TestFieldBugsCheckSees(t *testing.T) {
	row := func(n int, last string) string { return fmt.Sprintf("| F%d | who | what | %s |\n", n, last) }
	run := func(n int) string { return fmt.Sprintf("`go test -run 'TestField_F%02d$' ./consumer`", n) }
	tests := []string{"./consumer TestField_F01"}
	for _, c := range []struct{ page, want string }{
		{row(1, run(1)) + row(2, "fan-out"), ""},
		{row(1, run(1)) + row(2, run(1)), ""}, // one test for two bugs
		{row(1, run(1)) + row(2, run(2)), "there is no TestField_F02"},
		{row(1, run(1)), "1 rows for 2 bugs"},
		{row(1, run(1)) + row(3, "fan-out"), "F3 stands where F2 should"},
		{row(1, "fan-out") + row(2, run(1)), "F1 has a test, and the page says: fan-out"},
		{row(1, run(1)) + row(2, "soon"), "F2: no command: soon"},
		{row(2, "fan-out"), "F2 stands where F1 should"},
	} {
		got := strings.Join(untrue(c.page, 2, tests), "; ")
		if got == "" != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%q\ngot  %q\nwant %q", c.page, got, c.want)
		}
	}
}
