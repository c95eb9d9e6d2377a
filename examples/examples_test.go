package examples_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// Each package that users import shows two examples, at least, that are run with the tests: those with an output. An
// example of checkpointtest needs a testing.T, so its own tests are what runs; livetest has nothing to import.
func TestPackagesHaveExamples(t *testing.T) {
	exempt := map[string]bool{"checkpoint/checkpointtest": true, "checkpoint/sqlstore/livetest": true}
	shown := map[string]int{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && (name == "internal" || name == "testdata" || name == "examples" || name == "difftest" || strings.HasPrefix(name, ".") && name != "..") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || filepath.Dir(path) == ".." {
			return nil
		}
		dir, _ := filepath.Rel("..", filepath.Dir(path))
		dir = filepath.ToSlash(dir)
		shown[dir] += 0
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		for _, e := range doc.Examples([]*ast.File{f}...) {
			if e.Output != "" {
				shown[dir]++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(shown) < 12 {
		t.Errorf("saw the packages %v", shown)
	}
	for dir, n := range shown {
		if n < 2 && !exempt[dir] {
			t.Errorf("%s shows %d examples with an output", dir, n)
		}
	}
}
