package examples_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A snippet is one fenced block of the README. Source is what the comment on the line before it says, as
// "examples/lambda/main.go main": a file, and the declarations it shows; the whole file if none is named.
type snippet struct{ source, language, text string }

func snippets(readme string) (found []snippet) {
	fence := regexp.MustCompile("(?m)(?:^<!-- (.+) -->\n)?^```(\\w*)\n((?s:.*?))^```$")
	for _, m := range fence.FindAllStringSubmatch(readme, -1) {
		found = append(found, snippet{m[1], m[2], m[3]})
	}
	return found
}

// excerpt is the text of declarations of a Go file, with their comments and a blank line between them. Of a group of
// imports, variables or types it knows none.
func excerpt(name string, source []byte, declarations []string) (string, error) {
	if len(declarations) == 0 {
		return string(source), nil
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, source, parser.ParseComments)
	if err != nil {
		return "", err
	}
	var parts []string
	for _, want := range declarations {
		i := slices.IndexFunc(file.Decls, func(d ast.Decl) bool {
			f, ok := d.(*ast.FuncDecl)
			return ok && f.Recv == nil && f.Name.Name == want
		})
		if i < 0 {
			return "", fmt.Errorf("%s has no function %s", name, want)
		}
		start := file.Decls[i].Pos()
		if doc := file.Decls[i].(*ast.FuncDecl).Doc; doc != nil {
			start = doc.Pos()
		}
		parts = append(parts, string(source[fset.Position(start).Offset:fset.Position(file.Decls[i].End()).Offset])+"\n")
	}
	return strings.Join(parts, "\n"), nil
}

// compiled reports whether the go command builds the file, as part of a package or of its tests.
func compiled(path string) bool {
	cmd := exec.Command("go", "list", "-f", "{{.GoFiles}} {{.TestGoFiles}} {{.XTestGoFiles}}", ".")
	cmd.Dir = filepath.Join("..", filepath.Dir(path)) // it may be of a nested module
	out, err := cmd.Output()
	return err == nil && slices.Contains(strings.FieldsFunc(string(out), func(r rune) bool { return strings.ContainsRune("[] \n", r) }), filepath.Base(path))
}

// stale says what is wrong with a snippet, or nothing.
func stale(s snippet, read func(path string) ([]byte, error)) string {
	switch s.language {
	case "go":
		fields := strings.Fields(s.source)
		if len(fields) == 0 {
			return "no comment says which file this is from:\n" + s.text
		}
		source, err := read(fields[0])
		if err != nil {
			return err.Error()
		}
		want, err := excerpt(fields[0], source, fields[1:])
		if err != nil {
			return err.Error()
		}
		if s.text != want {
			return fmt.Sprintf("%s (-README +file):\n%s", s.source, cmp.Diff(s.text, want))
		}
	case "sh":
		for line := range strings.Lines(s.text) {
			if !known(strings.TrimSpace(line)) {
				return "nothing runs this command: " + line
			}
		}
	case "", "text":
	default:
		return "unknown language " + s.language
	}
	return ""
}

// known is true for the commands that .ci/run takes from the README, for those that it is called by, and for the recipe
// that TestREADMERecipe follows.
func known(command string) bool {
	if strings.HasPrefix(command, "go mod ") {
		return true
	}
	program, isRun := strings.CutPrefix(command, "go run ./")
	if isRun {
		_, err := os.Stat(filepath.Join("..", program, "main.go"))
		return err == nil
	}
	return slices.Contains([]string{
		"go get github.com/shardlane/shardlane",
		"go test ./...",
		".ci/run",
		".ci/servers go test ./consumer/...",
	}, command)
}

func TestREADME(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	languages := map[string]int{}
	for _, s := range snippets(string(readme)) {
		languages[s.language]++
		complaint := stale(s, func(path string) ([]byte, error) {
			if !compiled(path) {
				return nil, fmt.Errorf("%s is not compiled", path)
			}
			return os.ReadFile(filepath.Join("..", path))
		})
		if complaint != "" {
			t.Error(complaint)
		}
	}
	if languages["go"] < 3 || languages["sh"] < 1 {
		t.Errorf("saw %v snippets", languages)
	}
	if all := bytes.Count(readme, []byte("\n```")); all != 2*len(snippets(string(readme))) {
		t.Errorf("%d fences, %d snippets", all, len(snippets(string(readme))))
	}
}

func TestREADMECheckSees(t *testing.T) {
	file := []byte("package main\n\n// handle does.\nfunc handle() {}\n\nfunc main() { handle() }\n")
	read := func(path string) ([]byte, error) {
		if path != "a.go" {
			return nil, fmt.Errorf("%s is not compiled", path)
		}
		return file, nil
	}
	fenced := func(comment, language, text string) string {
		return "Text.\n\n" + comment + "\n```" + language + "\n" + text + "```\n\nMore.\n"
	}
	for _, c := range []struct{ readme, want string }{
		{fenced("<!-- a.go -->", "go", string(file)), ""},
		{fenced("<!-- a.go main -->", "go", "func main() { handle() }\n"), ""},
		{fenced("<!-- a.go handle main -->", "go", "// handle does.\nfunc handle() {}\n\nfunc main() { handle() }\n"), ""},
		{fenced("<!-- a.go handle -->", "go", "func handle() {}\n"), "-README +file"},
		{fenced("<!-- a.go -->", "go", "package main\n"), "-README +file"},
		{fenced("<!-- a.go gone -->", "go", "func gone() {}\n"), "has no function gone"},
		{fenced("<!-- b.go -->", "go", "package main\n"), "not compiled"},
		{fenced("", "go", string(file)), "no comment"},
		{fenced("", "sh", "go test ./...\n"), ""},
		{fenced("", "sh", "go run ./examples/quickstart\n"), ""},
		{fenced("", "sh", "go run ./examples/gone\n"), "nothing runs this command"},
		{fenced("", "sh", "go test ./...\nmake\n"), "nothing runs this command"},
		{fenced("", "text", "alice: 1 espresso\n"), ""},
		{fenced("", "golang", "package main\n"), "unknown language"},
	} {
		got := snippets(c.readme)
		if len(got) != 1 {
			t.Fatalf("%d snippets in %q", len(got), c.readme)
		}
		if complaint := stale(got[0], read); complaint == "" != (c.want == "") || !strings.Contains(complaint, c.want) {
			t.Errorf("%q\ngot  %q\nwant %q", c.readme, complaint, c.want)
		}
	}
}

// unproven says what is wrong with the comments that name the tests of what the README claims: tests that do not exist,
// and lists that do not have one for each row of the table, or item of the list, above.
func unproven(readme string, exists func(test string) bool) (complaints []string, claims int) {
	comment := regexp.MustCompile(`<!-- tests of (the rows above|the items above|this section):((?:\s+Test\w+)+) -->`)
	row, item := regexp.MustCompile(`(?m)^\| `), regexp.MustCompile(`(?m)^\d+\. `)
	for _, at := range comment.FindAllStringSubmatchIndex(readme, -1) {
		above, kind, tests := readme[:at[0]], readme[at[2]:at[3]], strings.Fields(readme[at[4]:at[5]])
		above = above[strings.LastIndex(above, "\n## ")+1:]
		claims += len(tests)
		for _, test := range tests {
			if !exists(test) {
				complaints = append(complaints, "there is no "+test)
			}
		}
		want := len(tests)
		switch kind {
		case "the rows above":
			want = len(row.FindAllString(above, -1)) - 1 // the head
		case "the items above":
			want = len(item.FindAllString(above, -1))
		}
		if len(tests) != want {
			complaints = append(complaints, fmt.Sprintf("%d tests for %d of %s", len(tests), want, kind))
		}
	}
	return complaints, claims
}

func TestREADMEClaimsHaveTests(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	for _, dir := range []string{"consumer", "checkpoint", "examples/orders", "examples/service"} {
		files, err := filepath.Glob("../" + dir + "/*_test.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("%d files: %v", len(files), err)
		}
		for _, path := range files {
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				if d, ok := d.(*ast.FuncDecl); ok && d.Recv == nil {
					tests[d.Name.Name] = true
				}
			}
		}
	}
	complaints, claims := unproven(string(readme), func(test string) bool { return tests[test] })
	for _, complaint := range complaints {
		t.Error(complaint)
	}
	if claims < 30 {
		t.Errorf("saw %d tests of claims", claims)
	}
	exists := func(test string) bool { return test != "TestGone" }
	for text, want := range map[string]string{
		"## A\n\n| a |\n|---|\n| b |\n\n<!-- tests of the rows above: TestB -->\n":           "",
		"## A\n\n| a |\n|---|\n| b |\n\n<!-- tests of the rows above: TestB\nTestC -->\n":    "2 tests for 1 of the rows above",
		"## A\n\n1. b\n2. c\n\n<!-- tests of the items above: TestB -->\n":                   "1 tests for 2 of the items above",
		"## A\n\n1. b\n\n<!-- tests of this section: TestB TestGone -->\n":                   "there is no TestGone",
		"## Z\n\n| z |\n\n## A\n\n| a |\n|---|\n\n<!-- tests of the rows above: TestB -->\n": "1 tests for 0 of the rows above",
	} {
		if got, _ := unproven(text, exists); strings.Join(got, "; ") != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// A module of a user's own follows the README's recipe for a clone, imports the library and a nested module, and is built.
func TestREADMERecipe(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	clone, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	found := snippets(string(readme))
	i := slices.IndexFunc(found, func(s snippet) bool { return strings.HasPrefix(s.text, "go mod ") })
	if i < 0 {
		t.Fatal("the README has no recipe")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.com/billing\n\ngo 1.25.0\n",
		"main.go": `package main

import (
	_ "github.com/shardlane/shardlane/batch/destination/sqsdest"
	_ "github.com/shardlane/shardlane/consumer"
)

func main() {}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(found[i].text + "go vet .\n") {
		args := strings.Fields(strings.ReplaceAll(line, "$CLONE", clone))
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s%v\n%s", line, err, out)
		}
	}
}
