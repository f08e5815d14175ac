package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A Module is somebody's code in our binary.
type Module struct {
	Path, Version, Sum string
	Dirs               []string // where the source of what we use of it lies, its root first
}

// modules are those that latchkey is made of on any of the platforms, by path. The first is the standard library.
func modules(source string, platforms []Platform) ([]Module, error) {
	root, err := command(source, nil, "go", "env", "GOROOT", "GOVERSION")
	if err != nil {
		return nil, err
	}
	goroot, version, _ := strings.Cut(strings.TrimSpace(root), "\n")
	found := map[string]*Module{}
	for _, p := range platforms {
		out, err := command(source, p.env(), "go", "list", "-deps", "-json=Dir,Module", "./cmd/latchkey")
		if err != nil {
			return nil, err
		}
		for d := json.NewDecoder(strings.NewReader(out)); d.More(); {
			var pkg struct {
				Dir    string
				Module *struct {
					Path, Version, Sum, Dir string
					Main                    bool
					Replace                 *struct{ Path string }
				}
			}
			if err := d.Decode(&pkg); err != nil {
				return nil, err
			}
			m := pkg.Module
			switch {
			case m == nil || m.Main: // the standard library, and ourselves
				continue
			case m.Replace != nil:
				return nil, fmt.Errorf("%s is replaced by %s: a release is made of what others can have", m.Path, m.Replace.Path)
			case found[m.Path] == nil:
				found[m.Path] = &Module{m.Path, m.Version, m.Sum, []string{m.Dir}}
			}
			// Copied code lies in folders of its own, with terms of its own.
			for dir := pkg.Dir; len(dir) > len(m.Dir); dir = filepath.Dir(dir) {
				found[m.Path].Dirs = append(found[m.Path].Dirs, dir)
			}
		}
	}
	all := []Module{{Path: "std", Version: version, Dirs: []string{goroot}}}
	for _, path := range slices.Sorted(maps.Keys(found)) {
		m := found[path]
		slices.Sort(m.Dirs)
		m.Dirs = slices.Compact(m.Dirs)
		all = append(all, *m)
	}
	return all, nil
}

// A License is a file with terms in it.
type License struct {
	File string   // relative to its module
	SPDX []string // identifiers; none for a notice
	Text string
}

var termsFile = regexp.MustCompile(`(?i)^(licen[sc]e|copying|notice|unlicense)`)

// licenses reads the terms that lie beside the source of a module.
func (m Module) licenses() ([]License, error) {
	var all []License
	for _, dir := range m.Dirs {
		files, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if f.IsDir() || !termsFile.MatchString(f.Name()) || strings.HasSuffix(f.Name(), ".go") {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err != nil {
				return nil, err
			}
			name, err := filepath.Rel(m.Dirs[0], filepath.Join(dir, f.Name()))
			if err != nil {
				return nil, err
			}
			all = append(all, License{filepath.ToSlash(name), spdx(string(text)), string(text)})
		}
	}
	if len(identifiers(all)) == 0 {
		return nil, fmt.Errorf("%s has no licence that we know: read it, and teach tools/release", m.Path)
	}
	return all, nil
}

// identifiers are the SPDX identifiers of all, each once.
func identifiers(all []License) []string {
	var ids []string
	for _, l := range all {
		ids = append(ids, l.SPDX...)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// sentences are what tells the licences of our dependencies from each other.
var sentences = []struct {
	spdx string
	has  []string
	not  string
}{
	{"Apache-2.0", []string{"apache license", "version 2.0"}, ""},
	{"MPL-2.0", []string{"mozilla public license", "2.0"}, ""},
	{"MIT", []string{"permission is hereby granted, free of charge", "the above copyright notice and this permission notice"}, ""},
	{"BSD-3-Clause", []string{"redistribution and use in source and binary forms", "neither the name"}, ""},
	{"BSD-2-Clause", []string{"redistribution and use in source and binary forms"}, "neither the name"},
	{"ISC", []string{"permission to use, copy, modify, and", "distribute this software for any purpose"}, ""},
}

var space = regexp.MustCompile(`\s+`)

func spdx(text string) (ids []string) {
	text = strings.ToLower(space.ReplaceAllString(text, " "))
	for _, s := range sentences {
		missing := func(words string) bool { return !strings.Contains(text, words) }
		if !slices.ContainsFunc(s.has, missing) && (s.not == "" || missing(s.not)) {
			ids = append(ids, s.spdx)
		}
	}
	return ids
}
