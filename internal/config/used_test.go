package config

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const here = "latchkey.dev/internal/config"

// TestEverySettingIsUsed reads the module's source for a setting that is documented, checked, and then not passed on to
// anything. A setting counts as used where its field is read outside this package, or here by what is called from there;
// that it is checked or printed does not count.
func TestEverySettingIsUsed(t *testing.T) {
	s := &source{set: token.NewFileSet(), writes: map[*ast.SelectorExpr]bool{}, info: types.Info{
		Selections: map[*ast.SelectorExpr]*types.Selection{}, Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{},
		Types: map[ast.Expr]types.TypeAndValue{}}}
	own := s.load(t, ".", here)
	used := map[types.Object]bool{}
	for dir := range s.importers(t, "../..") {
		for _, f := range s.load(t, dir, "main").files {
			s.note(f, used)
		}
	}
	own.spread(s, used)
	fields := 0
	eachSetting(own.Scope().Lookup("Config").Type(), "", map[types.Type]bool{}, func(path string, field *types.Var) {
		if fields++; !used[field] && !idle[path] {
			t.Errorf("%s is read by nobody (%s)", path, s.set.Position(field.Pos()))
		}
	})
	if fields < 80 {
		t.Errorf("only %d settings were found", fields)
	}
}

// idle are settings that say something by being there.
var idle = map[string]bool{
	".tls.acme.accept_terms": true, // that is asked for, and is all
	".database.sqlite":       true, // what there is without postgres
}

// A source is type-checked as far as it speaks of this package: all others are empty, and what is said of them is not
// judged.
type source struct {
	set    *token.FileSet
	info   types.Info // filled by load
	config *types.Package
	writes map[*ast.SelectorExpr]bool // the left sides of assignments
}

type loaded struct {
	*types.Package
	files []*ast.File
}

// Import gives this package, and of any other its name.
func (s *source) Import(path string) (*types.Package, error) {
	if path == here {
		return s.config, nil
	}
	p := types.NewPackage(path, path[strings.LastIndex(path, "/")+1:])
	p.MarkComplete()
	return p, nil
}

func (s *source) load(t *testing.T, dir, path string) loaded {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(s.set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, s.assigned)
		files = append(files, f)
	}
	checker := types.Config{Importer: s, Error: func(error) {}} // it complains about everything that is left out
	p, _ := checker.Check(path, s.set, files, &s.info)
	if path == here {
		s.config = p
	}
	return loaded{p, files}
}

// assigned notes what is written to: that is no use of it.
func (s *source) assigned(n ast.Node) bool {
	if a, ok := n.(*ast.AssignStmt); ok && a.Tok == token.ASSIGN {
		for _, left := range a.Lhs {
			if sel, ok := left.(*ast.SelectorExpr); ok {
				s.writes[sel] = true
			}
		}
	}
	return true
}

// importers are the directories whose programs read this package.
func (s *source) importers(t *testing.T, root string) map[string]bool {
	t.Helper()
	dirs := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return nil // somebody's template
		}
		if slices.ContainsFunc(f.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"`+here+`"` }) {
			dirs[filepath.Dir(path)] = true
		}
		return nil
	})
	if err != nil || len(dirs) < 3 {
		t.Fatalf("%v, %v", slices.Collect(maps.Keys(dirs)), err)
	}
	return dirs
}

// note adds the fields that a piece of source reads, and the functions that it calls or passes on.
func (s *source) note(n ast.Node, used map[types.Object]bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			sel := s.info.Selections[n]
			if sel == nil {
				return true
			}
			if !s.writes[n] {
				used[sel.Obj()] = true
			}
		case *ast.CallExpr:
			s.converted(n, used)
		case *ast.Ident:
			if f, ok := s.info.Uses[n].(*types.Func); ok {
				used[f] = true
			}
		}
		return true
	})
}

// converted adds all fields of a section that becomes a plain value of another package as a whole, like limit.Flow(c.Flow).
func (s *source) converted(n *ast.CallExpr, used map[types.Object]bool) {
	if _, ok := n.Fun.(*ast.SelectorExpr); !ok || len(n.Args) != 1 {
		return
	}
	section, ok := s.info.Types[n.Args[0]].Type.(*types.Named)
	if !ok || section.Obj().Pkg() != s.config || section.Obj().Name() == "Config" {
		return
	}
	if fields, ok := section.Underlying().(*types.Struct); ok {
		for field := range fields.Fields() {
			used[field] = true
		}
	}
}

// judging are functions that look at settings without doing anything about them.
var judging = []string{"check", "Check", "Relaxed", "relaxed"}

// spread adds what is read by the functions of this package that are used, until there is no more.
func (l loaded) spread(s *source, used map[types.Object]bool) {
	for before := -1; before != len(used); {
		before = len(used)
		for _, f := range l.files {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && used[s.info.Defs[fn.Name]] && !slices.Contains(judging, fn.Name.Name) {
					s.note(fn, used)
				}
			}
		}
	}
}

// eachSetting visits every field of the file.
func eachSetting(of types.Type, path string, seen map[types.Type]bool, visit func(string, *types.Var)) {
	switch of := types.Unalias(of).(type) {
	case *types.Pointer:
		eachSetting(of.Elem(), path, seen, visit)
	case *types.Slice:
		eachSetting(of.Elem(), path+"[]", seen, visit)
	case *types.Map:
		eachSetting(of.Elem(), path+".*", seen, visit)
	case *types.Named:
		s, ok := of.Underlying().(*types.Struct)
		if !ok || seen[of] || of.Obj().Pkg().Path() != here || of.Obj().Name() == "Secret" { // whose fields are found by reflection
			return
		}
		seen[of] = true
		for i := range s.NumFields() {
			key, _, _ := strings.Cut(reflect.StructTag(s.Tag(i)).Get("yaml"), ",")
			if key == "" || key == "-" {
				continue
			}
			visit(path+"."+key, s.Field(i))
			eachSetting(s.Field(i).Type(), path+"."+key, seen, visit)
		}
	}
}
