// Package arch holds the plan of the house and reads the imports to see that it was built that way.
//
// A folder is a room, a room stands on a floor, and imports point down: never up, and never to a
// neighbour on the same floor. [Floors] is the plan, [Check] the inspection; the test beside them runs
// one on the other. Test files are free to import what they like, so a room can be tested with rooms above it.
package arch

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// A Floor is a set of rooms that stand on everything below and know nothing of each other.
type Floor struct {
	Name  string
	Rooms []Room
	Never []string // imports that the whole floor does without: paths, or with a trailing /... whole trees
	Pure  bool     // values in, values out: no clock, no randomness, no waiting, no logging
}

// A Room is one folder, named from the top of the module.
type Room struct {
	Path   string   // "internal/flow"; a last element * stands for any one folder, "internal/authn/*"
	Beside []string // the neighbours it may import after all; each needs a reason next to it in the plan
	Own    bool     // imports the standard library and its own tree only, so that others can carry it away
	Tests  bool     // exists for tests, and so may import package testing
}

// impure is what a pure floor does without: everything that waits, differs from call to call, or writes.
var impure = []string{
	"bufio", "context", "crypto/rand", "database/sql/...", "io/ioutil", "log/...", "math/rand/...",
	"net", "net/http/...", "net/smtp", "os/...", "sync/...", "syscall", "time.Now", "time.Since", "time.Until",
	"time.After", "time.AfterFunc", "time.Sleep", "time.Tick", "time.NewTimer", "time.NewTicker",
}

// A plan answers what Check asks of a list of floors.
type plan struct {
	module string
	floors []Floor
}

// Check reads every package of the module at the top of tree, test files left out, and returns one
// sentence for each import that the plan does not allow and each folder that it does not know.
func Check(tree fs.FS, floors []Floor) ([]string, error) {
	module, err := modulePath(tree)
	if err != nil {
		return nil, err
	}
	p := plan{module: module, floors: floors}
	var problems []string
	err = fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return enter(tree, name)
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		source, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		found, err := p.file(name, source)
		problems = append(problems, found...)
		return err
	})
	slices.Sort(problems)
	return slices.Compact(problems), err
}

// enter says fs.SkipDir for folders that hold no rooms of this module.
func enter(tree fs.FS, dir string) error {
	if dir == "." {
		return nil
	}
	base := path.Base(dir)
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "node_modules" {
		return fs.SkipDir
	}
	if _, err := fs.Stat(tree, path.Join(dir, "go.mod")); err == nil {
		return fs.SkipDir // another module, with its own plan
	}
	return nil
}

// file inspects one source file.
func (p plan) file(name string, source []byte) ([]string, error) {
	dir := path.Dir(name)
	room, level := p.find(dir)
	if room == nil {
		return []string{dir + " is missing from the plan: give it a floor in internal/arch"}, nil
	}
	syntax, err := parser.ParseFile(token.NewFileSet(), name, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	never := p.floors[level].Never
	if p.floors[level].Pure {
		never = append(slices.Clone(never), impure...)
	}
	var problems []string
	for _, spec := range syntax.Imports {
		target, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		if why := p.judge(dir, room, level, never, target); why != "" {
			problems = append(problems, fmt.Sprintf("%s imports %s: %s", dir, strings.TrimPrefix(target, p.module+"/"), why))
		}
	}
	for _, used := range selectors(syntax) {
		if slices.Contains(never, used) {
			problems = append(problems, fmt.Sprintf("%s uses %s: the floor %q does without", dir, used, p.floors[level].Name))
		}
	}
	return problems, nil
}

// judge says what is wrong with one import, or nothing.
func (p plan) judge(dir string, room *Room, level int, never []string, target string) string {
	local, ours := strings.CutPrefix(target, p.module+"/")
	for _, pattern := range never {
		if covers(pattern, target) || ours && covers(pattern, local) {
			return fmt.Sprintf("the floor %q does without", p.floors[level].Name)
		}
	}
	if target == "testing" && !room.Tests {
		return "only rooms that exist for tests do"
	}
	if !ours {
		if room.Own && strings.Contains(strings.SplitN(target, "/", 2)[0], ".") {
			return "this room is the standard library and nothing else"
		}
		return ""
	}
	other, below := p.find(local)
	switch {
	case other == nil:
		return "it is missing from the plan"
	case below > level:
		return fmt.Sprintf("up, from %q to %q", p.floors[level].Name, p.floors[below].Name)
	case below == level && !slices.Contains(room.Beside, local):
		return fmt.Sprintf("sideways, on the floor %q", p.floors[level].Name)
	case room.Own && !other.Own:
		return "this room is the standard library and nothing else"
	}
	return ""
}

// find returns the room of a folder and the number of its floor, nil if the plan does not know it.
// A name spelled out wins over a star.
func (p plan) find(dir string) (*Room, int) {
	var star *Room
	at := 0
	for level := range p.floors {
		for i := range p.floors[level].Rooms {
			room := &p.floors[level].Rooms[i]
			if room.Path == dir {
				return room, level
			}
			if parent, ok := strings.CutSuffix(room.Path, "/*"); ok && path.Dir(dir) == parent {
				star, at = room, level
			}
		}
	}
	return star, at
}

// covers reports whether pattern names target: itself, or with a trailing /... itself and all below it.
func covers(pattern, target string) bool {
	top, tree := strings.CutSuffix(pattern, "/...")
	return target == top || tree && strings.HasPrefix(target, top+"/")
}

// selectors returns what a file takes out of the packages it imports, as "time.Now". It goes by the
// import path's last element, which is the name of every package that a plan forbids in part.
func selectors(file *ast.File) []string {
	imported := map[string]string{} // the name in this file, and the path behind it
	for _, spec := range file.Imports {
		target, _ := strconv.Unquote(spec.Path.Value)
		name := path.Base(target)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		imported[name] = target
	}
	var used []string
	ast.Inspect(file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if pkg, ok := sel.X.(*ast.Ident); ok && imported[pkg.Name] != "" {
				used = append(used, imported[pkg.Name]+"."+sel.Sel.Name)
			}
		}
		return true
	})
	return used
}

// modulePath reads the module's name.
func modulePath(tree fs.FS) (string, error) {
	data, err := fs.ReadFile(tree, "go.mod")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(line, "module "); ok {
			return strings.TrimSpace(name), nil
		}
	}
	return "", errors.New("arch: go.mod names no module")
}
