package consumer_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// No text that a user may see names a rule: the documents that say what L33 is are for those who look at the code.
func TestTextsNameNoRules(t *testing.T) {
	rule := regexp.MustCompile(`.\b[BCLP][0-9]{1,2}\b|§[0-9]`) // behind something: alone it is data
	files := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != ".." && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		files++
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, _ := strconv.Unquote(lit.Value); rule.MatchString(text) {
					t.Errorf("%s: %q", set.Position(lit.Pos()), text)
				}
			}
			return true
		})
		return nil
	})
	if err != nil || files < 50 {
		t.Errorf("%d files were read: %v", files, err)
	}
}

// Nor does the documentation that go doc shows of this package.
func TestDocsNameNoRules(t *testing.T) {
	rule := regexp.MustCompile(`\b[BCLP][0-9]{1,2}\b|§[0-9]`)
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.FileExports(f) // leaves what users see
		docs := []*ast.CommentGroup{f.Doc}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil || ast.IsExported(strings.TrimPrefix(types.ExprString(n.Recv.List[0].Type), "*")) {
					docs = append(docs, n.Doc)
				}
			case *ast.GenDecl:
				docs = append(docs, n.Doc)
			case *ast.TypeSpec:
				docs = append(docs, n.Doc, n.Comment)
			case *ast.ValueSpec:
				docs = append(docs, n.Doc, n.Comment)
			case *ast.Field:
				docs = append(docs, n.Doc, n.Comment)
			}
			return true
		})
		for _, doc := range docs {
			if said := rule.FindString(doc.Text()); said != "" {
				t.Errorf("%s: the documentation names %s: %q", path, said, doc.Text())
			}
		}
	}
}
