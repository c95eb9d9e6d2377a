package consumer_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// floors are the files of package consumer from the ground up. A file uses what is declared on its own floor or below.
func floors() []string {
	return []string{
		"backoff client contain errors fanout_options hint left mapping marshal options pool position seat signature status store",
		"facts",
		"caller discard",
		"ahead figures gate progress shard sharder sink turn",
		"audit begun claim fanout listing placement report rows settings share stream",
		"worker",
		"consumer",
	}
}

// unresolved is an importer without packages: what is of other packages is of no interest here.
type unresolved struct{}

func (unresolved) Import(string) (*types.Package, error) { return nil, errors.New("not looked at") }

// rising lists the uses of identifiers that are declared on a higher floor, and the files that have none, one line each.
func rising(files map[string]*ast.File, fset *token.FileSet, floors []string) (found []string) {
	floor := map[string]int{}
	for i, names := range floors {
		for name := range strings.FieldsSeq(names) {
			floor[name+".go"] = i
		}
	}
	var all []*ast.File
	for name, f := range files {
		if _, ok := floor[name]; !ok {
			found = append(found, name+" has no floor")
		}
		all = append(all, f)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: unresolved{}, Error: func(error) {}}
	pkg, _ := conf.Check("consumer", fset, all, info)
	file := func(p token.Pos) string { return filepath.Base(fset.Position(p).Filename) }
	for id, o := range info.Uses {
		if o.Pkg() != pkg || !o.Pos().IsValid() {
			continue
		}
		if from, to := file(id.Pos()), file(o.Pos()); floor[to] > floor[from] {
			found = append(found, fmt.Sprintf("%s uses %s of %s", from, o.Name(), to))
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// TestArchitectureFloors holds that no arrow between the files of package consumer runs back up.
func TestArchitectureFloors(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	fset, files := token.NewFileSet(), map[string]*ast.File{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if files[name], err = parser.ParseFile(fset, name, text, parser.SkipObjectResolution); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range rising(files, fset, floors()) {
		t.Error(line)
	}
}

// TestArchitectureFloorsSees plants arrows and expects to be told of those that rise.
func TestArchitectureFloorsSees(t *testing.T) {
	fset, files := token.NewFileSet(), map[string]*ast.File{}
	for name, text := range map[string]string{
		"low.go":  "package consumer; type low struct{ n int }; func (l low) look(h *high) int { return h.up + l.n }",
		"high.go": "package consumer; type high struct{ low; up int }; func (h *high) all() int { return h.n + h.look(h) }",
		"new.go":  "package consumer",
	} {
		f, err := parser.ParseFile(fset, name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = f
	}
	want := []string{"low.go uses high of high.go", "low.go uses up of high.go", "new.go has no floor"}
	if got := rising(files, fset, []string{"low", "high"}); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
