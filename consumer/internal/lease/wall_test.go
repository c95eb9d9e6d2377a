package lease

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// No host's clock takes part in who owns what (coordination §1.2), so that hosts may be hours apart: times are compared with
// times of the same process, which have a monotonic reading, and none is written into a row or read from one.
func TestNoWallClock(t *testing.T) {
	wall := []string{
		"Unix", "UnixMilli", "UnixMicro", "UnixNano", "Date", "Clock", "Format", "AppendFormat", "Parse", "ParseInLocation",
		"Round", "Truncate", "UTC", "Local", "In", "MarshalJSON", "MarshalText", "MarshalBinary",
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	looked := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		looked++
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if slices.Contains(wall, n.Sel.Name) {
					t.Errorf("%s uses %s", name, n.Sel.Name)
				}
			case *ast.Field:
				if sel, ok := n.Type.(*ast.SelectorExpr); ok && n.Tag != nil && sel.Sel.Name == "Time" {
					t.Errorf("%s: %v is stored", name, n.Names)
				}
			}
			return true
		})
	}
	if looked < 8 {
		t.Errorf("looked at %d files only", looked)
	}
}
