package idx_test

import (
	"bytes"
	"fmt"
	"go/ast"
	godoc "go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestStandardLibraryOnly reads the imports: the SDK brings nothing with it, and idxtest nothing but the SDK.
func TestStandardLibraryOnly(t *testing.T) {
	for dir, allowed := range map[string][]string{".": nil, "idxtest": {"latchkey.dev/idx"}} {
		files, _ := filepath.Glob(filepath.Join(dir, "*.go"))
		if len(files) == 0 {
			t.Fatalf("no files in %s", dir)
		}
		for _, file := range files {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			ok := allowed
			if strings.HasSuffix(file, "_test.go") {
				ok = []string{"latchkey.dev/idx", "latchkey.dev/idx/idxtest", "latchkey.dev/latchkeytest"}
			}
			for _, imp := range f.Imports {
				path, _ := strconv.Unquote(imp.Path.Value)
				if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") && !slices.Contains(ok, path) {
					t.Errorf("%s imports %s", file, path)
				}
			}
		}
	}
}

// TestNoPackageState: variables at package level are tables, errors and functions made once; none is assigned to.
func TestNoPackageState(t *testing.T) {
	fset := token.NewFileSet()
	global := map[string]bool{}
	var files []*ast.File
	for _, f := range sources(t, fset, ".") {
		files = append(files, f)
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
				for _, s := range g.Specs {
					for _, n := range s.(*ast.ValueSpec).Names {
						global[n.Name] = true
					}
				}
			}
		}
	}
	if !global["ErrExpired"] {
		t.Fatal("the test sees no variables")
	}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if a, ok := n.(*ast.AssignStmt); ok && a.Tok == token.ASSIGN {
				for _, l := range a.Lhs {
					if id, ok := l.(*ast.Ident); ok && global[id.Name] && id.Obj == nil {
						t.Errorf("%s: %s is assigned to", fset.Position(id.Pos()), id.Name)
					}
				}
			}
			return true
		})
	}
}

// TestExportedAPI holds the exported surface in a file, so that a change to it is seen in review.
func TestExportedAPI(t *testing.T) {
	for dir, name := range map[string]string{".": "idx", "idxtest": "idxtest"} {
		golden(t, filepath.Join("testdata", "api", name+".txt"), surface(t, dir, name))
	}
}

func sources(t *testing.T, fset *token.FileSet, dir string) []*ast.File {
	t.Helper()
	names, _ := filepath.Glob(filepath.Join(dir, "*.go"))
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

func surface(t *testing.T, dir, name string) string {
	t.Helper()
	fset := token.NewFileSet()
	p, err := godoc.NewFromFiles(fset, sources(t, fset, dir), "latchkey.dev/"+name)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	show := func(n ast.Node) {
		var b bytes.Buffer
		if err := printer.Fprint(&b, fset, n); err != nil {
			t.Fatal(err)
		}
		out = append(out, strings.Join(strings.Fields(b.String()), " "))
	}
	funcs := func(fs []*godoc.Func) {
		for _, f := range fs {
			f.Decl.Doc, f.Decl.Body = nil, nil
			show(f.Decl)
			if f.Doc == "" {
				t.Errorf("%s has no comment", f.Name)
			}
		}
	}
	values := func(vs []*godoc.Value) {
		for _, v := range vs {
			for _, n := range v.Names {
				if ast.IsExported(n) {
					out = append(out, fmt.Sprintf("%s %s", v.Decl.Tok, n))
				}
			}
		}
	}
	values(p.Consts)
	values(p.Vars)
	funcs(p.Funcs)
	for _, typ := range p.Types {
		values(typ.Consts)
		values(typ.Vars)
		for _, s := range typ.Decl.Specs {
			s := s.(*ast.TypeSpec)
			s.Doc, s.Comment = nil, nil
			if st, ok := s.Type.(*ast.StructType); ok {
				exportedFields(st)
			}
			show(&ast.GenDecl{Tok: token.TYPE, Specs: []ast.Spec{s}})
		}
		if typ.Doc == "" {
			t.Errorf("%s has no comment", typ.Name)
		}
		funcs(typ.Funcs)
		for _, m := range typ.Methods {
			m.Decl.Doc, m.Decl.Body = nil, nil
			show(m.Decl)
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n") + "\n"
}

func exportedFields(st *ast.StructType) {
	var keep []*ast.Field
	for _, f := range st.Fields.List {
		f.Doc, f.Comment = nil, nil
		f.Names = slices.DeleteFunc(f.Names, func(n *ast.Ident) bool { return !n.IsExported() })
		if len(f.Names) > 0 {
			keep = append(keep, f)
		}
	}
	st.Fields.List = keep
}

// TestExampleForEveryVerb: what can be done with a Client is shown, and run.
func TestExampleForEveryVerb(t *testing.T) {
	text, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	for _, f := range sources(t, fset, ".") {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv == nil || !fn.Name.IsExported() || fn.Name.Name == "Format" {
				continue
			}
			star, ok := fn.Recv.List[0].Type.(*ast.StarExpr)
			if ok && star.X.(*ast.Ident).Name == "Client" && !bytes.Contains(text, []byte("func ExampleClient_"+fn.Name.Name+"(")) {
				t.Errorf("Client.%s has no example", fn.Name.Name)
			}
		}
	}
}
