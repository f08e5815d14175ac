package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Problem is one thing that is wrong, and where.
type Problem struct {
	File  string // empty when there is no file
	Line  int    // 0: it is not in the file
	Path  string // codes.tries
	Words string
}

func (p Problem) Error() string {
	var at string
	switch {
	case p.File != "" && p.Line > 0:
		at = fmt.Sprintf("%s:%d: ", p.File, p.Line)
	case p.File != "":
		at = p.File + ": "
	}
	if p.Path != "" {
		at += p.Path + ": "
	}
	return at + p.Words
}

// problems collects what is wrong, so that all of it is said at once.
type problems struct {
	file  string
	lines map[string]int // of every key of the file, by path
	all   []Problem
}

func (p *problems) at(path, format string, args ...any) {
	p.all = append(p.all, Problem{File: p.file, Line: p.line(path), Path: path, Words: fmt.Sprintf(format, args...)})
}

// line is where a key stands, or else the nearest one around it that is there.
func (p *problems) line(path string) int {
	for path != "" {
		if line, ok := p.lines[path]; ok {
			return line
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return 0
}

// err is all of them in the order of the file, those that are not in it first.
func (p *problems) err() error {
	if p.file != "" {
		slices.SortStableFunc(p.all, func(a, b Problem) int { return a.Line - b.Line })
	}
	var all []error
	for _, one := range p.all {
		all = append(all, one)
	}
	return errors.Join(all...)
}
