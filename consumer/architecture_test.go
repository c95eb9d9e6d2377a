package consumer_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/shardlane/shardlane"

// A tree is a package with everything below it and what it may import: "std" is the standard library, "./x" the tree x
// of this module, anything else a tree of another module. A package belongs to the longest tree that it is in.
type tree struct {
	name    string
	imports []string
	tests   []string // what its tests may import as well
}

// picture says who may import whom. A package that is in none of its trees has no place in the library.
func picture() []tree {
	const (
		aws     = "github.com/aws/aws-sdk-go-v2/aws"
		service = "github.com/aws/aws-sdk-go-v2/service/"
		kinesis = service + "kinesis"
		smithy  = "github.com/aws/smithy-go"
		lambda  = "github.com/aws/aws-lambda-go"
		event   = lambda + "/events"
		context = lambda + "/lambdacontext"
		backoff = "github.com/cenkalti/backoff/v4"
		sync    = "golang.org/x/sync"
		wire    = "google.golang.org/protobuf/encoding/protowire"
		base64  = "github.com/segmentio/asm/base64"
	)
	leaves := []string{"./batch", "./partition", "./checkpoint", "./metrics"}
	engine := slices.Concat([]string{"std", "./consumer", aws, kinesis, smithy, event, context, backoff, sync}, leaves)
	return []tree{
		{".", []string{"std"}, nil}, // doc.go
		{"./batch", []string{"std", "./batch/internal/jsontext", event, context}, []string{"./batch"}},
		{"./batch/internal/jsontext", []string{"std"}, nil},
		{"./batch/kpl", []string{"std", "./batch", event, wire}, []string{"./batch/kpl"}},
		{"./batch/kpl/difftest", []string{"std"}, []string{"./batch/kpl", aws, kinesis, event, wire, "github.com/awslabs/kinesis-aggregation/go/v2", "github.com/golang/protobuf/proto"}},
		{"./batch/filter", []string{"std", "./batch", event}, []string{"./batch/filter"}},
		{"./batch/adapt", []string{"std", "./batch", lambda}, []string{"./batch/adapt"}},
		{"./batch/destination", []string{"std", "./batch", aws, service + "s3", service + "sns", service + "sqs", smithy}, []string{"./batch/destination", "github.com/johannesboyne/gofakes3"}},
		{"./partition", []string{"std", "./partition"}, nil},
		{"./checkpoint", []string{"std", "./checkpoint"}, nil},
		{"./checkpoint/dynamostore", []string{"std", "./checkpoint", aws, service + "dynamodb", smithy}, nil},
		{"./checkpoint/redisstore", []string{"std", "./checkpoint", "github.com/redis/go-redis/v9"}, nil},
		{"./checkpoint/sqlstore", []string{"std", "./checkpoint"}, []string{"./checkpoint/sqlstore"}},
		{"./checkpoint/sqlstore/livetest", []string{"std"}, []string{"./checkpoint", "github.com/jackc/pgx/v5/stdlib", "github.com/go-sql-driver/mysql", "modernc.org/sqlite"}},
		{"./metrics", []string{"std", "./metrics"}, nil},
		{"./consumer", engine, nil},
		{"./consumer/internal/bound", []string{"std"}, []string{"./consumer/internal/bound"}},
		{"./consumer/internal/clock", []string{"std"}, nil},
		{"./consumer/internal/lane", []string{"std", "./batch", "./partition", "./consumer/internal/ledger", "./consumer/internal/page"}, []string{"./consumer/internal/lane", "./checkpoint", aws, kinesis}},
		{"./consumer/internal/ledger", []string{"std", "./partition", "./checkpoint", "./consumer/internal/page"}, []string{"./consumer/internal/ledger", "./batch", aws, kinesis}},
		{"./consumer/internal/page", []string{"std", "./batch", "./checkpoint", aws, kinesis, event}, []string{"./consumer/internal/page"}},
		{"./consumer/internal/reader", []string{"std", "./checkpoint", "./metrics", "./consumer/internal/page", "./consumer/internal/shardmap", "./consumer/internal/tell", "./consumer/internal/wire", aws, kinesis, smithy, backoff}, []string{"./consumer/internal/reader"}},
		{"./consumer/internal/shardmap", []string{"std"}, nil},
		{"./consumer/internal/tell", []string{"std", "./metrics"}, []string{"./consumer/internal/tell"}},
		{"./consumer/internal/wire", []string{"std", aws, kinesis, smithy, base64}, []string{"./consumer/internal/wire", "./consumer/kinesistest"}},
		{"./consumer/internal/mapping", []string{"std"}, nil},
		{"./consumer/internal/lease", []string{"std", "./checkpoint"}, nil},
		{"./consumer/kinesistest", []string{"std", aws, kinesis, smithy, event}, engine},
		{"./examples", slices.Concat(engine, []string{"./examples", lambda}), nil},
	}
}

const (
	doubles  = "./consumer/kinesistest ./checkpoint/checkpointtest" // imported from tests and examples only
	allTests = "pgregory.net/rapid github.com/google/go-cmp"        // what every test may import
	starters = "./consumer/pool.go ./consumer/worker.go ./consumer/internal/reader/ ./consumer/internal/lease/heartbeat.go ./partition/lanes.go"
)

// A source is one Go file: its path in the repository, in the form "./partition/lanes.go".
type source struct {
	path string
	ast  *ast.File
}

func (s source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

// within reports whether a path is in one of the trees.
func within(path string, trees ...string) bool {
	for _, t := range trees {
		switch {
		case path == t:
			return true
		case t == "std":
			if first, _, _ := strings.Cut(path, "/"); !strings.Contains(first, ".") {
				return true
			}
		case t != "." && strings.HasPrefix(path, strings.TrimSuffix(t, "/")+"/"):
			return true
		}
	}
	return false
}

// violations lists, one line each, where the sources leave the picture.
func violations(sources []source) (found []string) {
	for _, s := range sources {
		dir := "./" + path.Dir(strings.TrimPrefix(s.path, "./"))
		if dir == "./." {
			dir = "."
		}
		found = append(found, strayImports(s, dir)...)
		if !s.test() && !within(dir, "./examples") {
			found = append(found, strayState(s)...)
			found = append(found, strayGoroutines(s, dir)...)
		}
	}
	return found
}

func strayImports(s source, dir string) (found []string) {
	var home tree
	for _, t := range picture() {
		if within(dir, t.name) && len(t.name) > len(home.name) {
			home = t
		}
	}
	if home.name == "" {
		return []string{s.path + ": the design has no such package"}
	}
	allowed := home.imports
	if s.test() {
		allowed = slices.Concat(allowed, home.tests, strings.Fields(allTests))
	}
	for _, spec := range s.ast.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		if imported == module || strings.HasPrefix(imported, module+"/") {
			imported = "." + strings.TrimPrefix(imported, module)
		}
		double := slices.IndexFunc(strings.Fields(doubles), func(d string) bool { return within(imported, d) && !within(dir, d) })
		switch {
		case !within(imported, allowed...):
			found = append(found, fmt.Sprintf("%s: %s does not import %s", s.path, home.name, imported))
		case double >= 0 && !s.test() && !within(dir, "./examples"):
			found = append(found, fmt.Sprintf("%s: only tests and examples import %s", s.path, imported))
		}
	}
	return found
}

// strayState lists init functions and package variables other than errors, the metric catalogue, embedded files and
// "var _ I = x".
func strayState(s source) (found []string) {
	for _, decl := range s.ast.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.Name == "init" && d.Recv == nil {
				found = append(found, s.path+": init function")
			}
		case *ast.GenDecl:
			if d.Tok != token.VAR || s.path == "./metrics/catalogue.go" {
				continue
			}
			for _, spec := range d.Specs {
				v, ok := spec.(*ast.ValueSpec)
				for i := 0; ok && !embeds(v) && i < len(v.Names); i++ {
					if name := v.Names[i].Name; name != "_" && !(i < len(v.Values) && makesError(v.Values[i])) {
						found = append(found, s.path+": package variable "+name)
					}
				}
			}
		}
	}
	return found
}

// embeds is true for a variable that holds a file.
func embeds(v *ast.ValueSpec) bool {
	return v.Doc != nil && slices.ContainsFunc(v.Doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// makesError is true for calls of errors.New and fmt.Errorf.
func makesError(x ast.Expr) bool {
	call, ok := x.(*ast.CallExpr)
	if !ok {
		return false
	}
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := f.X.(*ast.Ident)
	return ok && (pkg.Name == "errors" && f.Sel.Name == "New" || pkg.Name == "fmt" && f.Sel.Name == "Errorf")
}

// strayGoroutines lists go statements, and calls of a method Go as WaitGroup and errgroup have it, outside the files
// that own goroutines. The test doubles are not held to it.
func strayGoroutines(s source, dir string) (found []string) {
	if within(s.path, strings.Fields(starters)...) || within(dir, strings.Fields(doubles)...) {
		return nil
	}
	ast.Inspect(s.ast, func(n ast.Node) bool {
		started := false
		switch n := n.(type) {
		case *ast.GoStmt:
			started = true
		case *ast.CallExpr:
			f, ok := n.Fun.(*ast.SelectorExpr)
			started = ok && f.Sel.Name == "Go" && len(n.Args) == 1
		}
		if started {
			found = append(found, s.path+": starts a goroutine")
		}
		return true
	})
	return found
}

// A listed package is what the go command says of it.
type listed struct {
	ImportPath, Dir string
	Deps            []string

	GoFiles, CgoFiles, IgnoredGoFiles, TestGoFiles, XTestGoFiles []string
}

// list returns the packages of the module in dir. Those that it imports are looked at for the root only: for the others
// they may not be on this machine.
func list(t *testing.T, dir string) (pkgs []listed) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-find="+strconv.FormatBool(dir != ".."), "-json=ImportPath,Dir,Deps,GoFiles,CgoFiles,IgnoredGoFiles,TestGoFiles,XTestGoFiles", "./...")
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// modules returns the folders of the root module and of those below it, other than the examples.
func modules(t *testing.T) (dirs []string) {
	t.Helper()
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != ".." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || name == filepath.Join("..", "examples")):
			return fs.SkipDir
		case d.Name() == "go.mod":
			dirs = append(dirs, filepath.Dir(name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// TestArchitecture holds every file, whatever its build constraints, against the picture.
func TestArchitecture(t *testing.T) {
	var sources []source
	var pkgs []listed
	for _, dir := range modules(t) {
		pkgs = append(pkgs, list(t, dir)...)
	}
	for _, p := range pkgs {
		dir := "." + strings.TrimPrefix(p.ImportPath, module)
		for _, name := range slices.Concat(p.GoFiles, p.CgoFiles, p.IgnoredGoFiles, p.TestGoFiles, p.XTestGoFiles) {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			sources = append(sources, source{dir + "/" + name, f})
		}
		if within(dir, "./batch") { // a Lambda function that uses batch alone pays for no client
			for _, dep := range p.Deps {
				if within(dep, "github.com/aws/aws-sdk-go-v2", "github.com/aws/smithy-go") {
					t.Errorf("%s depends on %s", p.ImportPath, dep)
				}
			}
		}
	}
	for _, v := range violations(sources) {
		t.Error(v)
	}
	for _, leaf := range []string{"./batch/", "./batch/destination/", "./partition/", "./checkpoint/", "./checkpoint/dynamostore/", "./metrics/", "./consumer/"} {
		if !slices.ContainsFunc(sources, func(s source) bool { return strings.HasPrefix(s.path, leaf) }) {
			t.Errorf("no file of %s was seen", leaf)
		}
	}
}

// TestArchitectureSees plants one violation at a time and expects to be told of it, and of nothing where all is well.
func TestArchitectureSees(t *testing.T) {
	const sdk = "github.com/aws/aws-sdk-go-v2/service/kinesis"
	imports := func(paths ...string) string {
		var text strings.Builder
		text.WriteString("package p\n")
		for _, p := range paths {
			fmt.Fprintf(&text, "import %q\n", p)
		}
		return text.String()
	}
	for _, c := range []struct{ path, text, want string }{
		{"./batch/a.go", imports("context", "github.com/aws/aws-lambda-go/events"), ""},
		{"./batch/a.go", imports(module + "/batch/kpl"), "./batch does not import ./batch/kpl"},
		{"./batch/kpl/a.go", imports(module+"/batch", "google.golang.org/protobuf/encoding/protowire"), ""},
		{"./batch/filter/a.go", imports(module + "/partition"), "./batch/filter does not import ./partition"},
		{"./batch/adapt/a.go", imports("github.com/aws/aws-lambda-go/lambda", module+"/batch"), ""},
		{"./batch/a.go", imports(sdk), "./batch does not import"},
		{"./batch/a.go", imports("github.com/aws/aws-lambda-go/lambda"), "./batch does not import"},
		{"./batch/a.go", imports(module + "/partition"), "./batch does not import ./partition"},
		{"./batch/a_test.go", imports(module + "/partition"), "./batch does not import ./partition"},
		{"./batch/a_test.go", imports("pgregory.net/rapid", "github.com/google/go-cmp/cmp"), ""},
		{"./batch/a_test.go", imports("github.com/stretchr/testify/assert"), "./batch does not import"},
		{"./partition/a.go", imports("golang.org/x/sync/errgroup"), "./partition does not import"},
		{"./checkpoint/a.go", imports(module + "/consumer"), "./checkpoint does not import ./consumer"},
		{"./checkpoint/sqlstore/a.go", imports("database/sql", module+"/checkpoint"), ""},
		{"./checkpoint/sqlstore/a.go", imports("github.com/jackc/pgx/v5/stdlib"), "./checkpoint/sqlstore does not import"},
		{"./metrics/a.go", imports(module + "/batch"), "./metrics does not import ./batch"},
		{"./metrics/a.go", imports("pgregory.net/rapid"), "./metrics does not import"},
		{"./consumer/a.go", imports(module+"/batch", module+"/partition", module+"/consumer/internal/lease", sdk, sdk+"/types"), ""},
		{"./consumer/a.go", imports("github.com/aws/aws-sdk-go-v2/service/dynamodb"), "./consumer does not import"},
		{"./consumer/a.go", imports(sdk + "video"), "./consumer does not import"},
		{"./consumer/a.go", imports(module + "/consumer/kinesistest"), "only tests and examples import"},
		{"./consumer/a_test.go", imports(module + "/consumer/kinesistest"), ""},
		{"./consumer/internal/shardmap/a.go", imports(sdk), "./consumer/internal/shardmap does not import"},
		{"./consumer/internal/reader/a.go", imports(module+"/consumer/internal/page", module+"/consumer/internal/tell", sdk), ""},
		{"./consumer/internal/reader/a.go", imports(module + "/consumer"), "./consumer/internal/reader does not import ./consumer"},
		{"./consumer/internal/tell/a.go", imports(module + "/consumer"), "./consumer/internal/tell does not import ./consumer"},
		{"./consumer/internal/reader/a.go", imports(module + "/consumer/internal/wire"), ""},
		{"./consumer/internal/wire/a.go", imports(module + "/consumer/internal/reader"), "./consumer/internal/wire does not import ./consumer/internal/reader"},
		{"./consumer/internal/wire/a.go", imports(module + "/consumer/internal/page"), "./consumer/internal/wire does not import ./consumer/internal/page"},
		{"./consumer/internal/wire/a.go", "package p; func f() { go f() }", "starts a goroutine"},
		{"./consumer/internal/clock/a.go", imports(sdk), "./consumer/internal/clock does not import"},
		{"./consumer/internal/bound/a.go", imports(module + "/metrics"), "./consumer/internal/bound does not import"},
		{"./consumer/internal/mapping/a.go", imports(module + "/consumer"), "./consumer/internal/mapping does not import ./consumer"},
		{"./consumer/internal/lease/a.go", imports(module + "/metrics"), "./consumer/internal/lease does not import"},
		{"./consumer/kinesistest/a.go", imports(module + "/batch"), "./consumer/kinesistest does not import ./batch"},
		{"./consumer/kinesistest/a_test.go", imports(module+"/consumer/kinesistest", module+"/batch"), ""},
		{"./checkpoint/file.go", imports(module + "/checkpoint/checkpointtest"), "only tests and examples import"},
		{"./checkpoint/file.go", imports("github.com/aws/aws-sdk-go-v2/service/dynamodb"), "./checkpoint does not import"},
		{"./checkpoint/dynamostore/a.go", imports("github.com/aws/aws-sdk-go-v2/service/dynamodb/types", module+"/checkpoint"), ""},
		{"./checkpoint/dynamostore/a.go", imports(sdk), "./checkpoint/dynamostore does not import"},
		{"./checkpoint/dynamostore/a.go", imports(module + "/consumer"), "./checkpoint/dynamostore does not import ./consumer"},
		{"./checkpoint/dynamostore/a.go", "package p; func f() { go f() }", "starts a goroutine"},
		{"./batch/destination/s3dest/a.go", imports(module+"/batch", "github.com/aws/aws-sdk-go-v2/service/s3"), ""},
		{"./batch/destination/s3dest/a.go", imports(module + "/checkpoint"), "./batch/destination does not import ./checkpoint"},
		{"./checkpoint/checkpointtest/a.go", imports(module+"/checkpoint", "testing"), ""},
		{"./examples/orders/main.go", imports(module+"/consumer", module+"/batch", module+"/consumer/kinesistest") + "func f() { go f() }; var v int", ""},
		{"./examples/orders/main.go", imports("github.com/aws/aws-sdk-go-v2/config"), "./examples does not import"},
		{"./doc.go", imports(module + "/batch"), ". does not import ./batch"},
		{"./util/a.go", imports("fmt"), "the design has no such package"},
		{"./batcher/a.go", imports("fmt"), "the design has no such package"},

		{"./batch/a.go", "package p; import \"errors\"; var ErrA = errors.New(\"a\"); var _ error = ErrA; const c = 1", ""},
		{"./batch/a.go", "package p; var table = map[string]int{}", "package variable table"},
		{"./batch/a.go", "package p; import \"errors\"; var ErrA, b = errors.New(\"a\"), 1", "package variable b"},
		{"./consumer/a.go", "package p; var mu struct{}", "package variable mu"},
		{"./checkpoint/sqlstore/a.go", "package p\nimport _ \"embed\"\nvar (\n//go:embed a.sql\na string\n)", ""},
		{"./checkpoint/sqlstore/a.go", "package p\nvar (\n// embedded\na string\n)", "package variable a"},
		{"./metrics/catalogue.go", "package p; var IteratorAge = new(int)", ""},
		{"./metrics/snapshot.go", "package p; var seen = new(int)", "package variable seen"},
		{"./consumer/a.go", "package p; func init() {}", "init function"},
		{"./consumer/a_test.go", "package p; var flags int; func f() { go f() }", ""},

		{"./batch/a.go", "package p; func f() { go f() }", "starts a goroutine"},
		{"./partition/each.go", "package p; func f() { go f() }", "starts a goroutine"},
		{"./partition/lanes.go", "package p; func f() { go f() }", ""},
		{"./consumer/worker.go", "package p; func f() { go f() }", ""},
		{"./consumer/shard.go", "package p; func f() { func() { go f() }() }", "starts a goroutine"},
		{"./consumer/shard.go", "package p; import \"sync\"; func f() { var g sync.WaitGroup; g.Go(f) }", "starts a goroutine"},
		{"./consumer/internal/reader/polling.go", "package p; func f() { go f() }", ""},
		{"./consumer/internal/lease/lease.go", "package p; func f() { go f() }", "starts a goroutine"},
		{"./consumer/internal/lease/heartbeat.go", "package p; func f() { go f() }", ""},
		{"./consumer/kinesistest/server.go", "package p; func f() { go f() }", ""},
	} {
		f, err := parser.ParseFile(token.NewFileSet(), c.path, c.text, parser.SkipObjectResolution|parser.ParseComments)
		if err != nil {
			t.Fatalf("%s: %v", c.path, err)
		}
		got := violations([]source{{c.path, f}})
		if len(got) > 1 || len(got) == 1 != (c.want != "") || len(got) == 1 && !strings.Contains(got[0], c.want) {
			t.Errorf("%s: %s\ngot  %q\nwant %q", c.path, c.text, got, c.want)
		}
	}
}
