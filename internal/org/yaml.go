package org

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// A Problem is one thing that is wrong with a file.
type Problem struct {
	Line int    `json:"line,omitempty"` // 0: nowhere in particular
	Path string `json:"path,omitempty"` // apps[0].redirect_uris[1]
	Said string `json:"said"`
}

// Problems are all that is wrong with a file, in the order of its lines.
type Problems struct {
	File string    `json:"file"`
	All  []Problem `json:"problems"`
}

func (p *Problems) at(line int, path, format string, args ...any) {
	p.All = append(p.All, Problem{line, path, fmt.Sprintf(format, args...)})
}

func (p *Problems) err() error {
	if len(p.All) == 0 {
		return nil
	}
	slices.SortStableFunc(p.All, func(a, b Problem) int { return a.Line - b.Line })
	return p
}

func (p *Problems) Error() string {
	var b strings.Builder
	for i, one := range p.All {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.File)
		if one.Line > 0 {
			fmt.Fprintf(&b, ":%d", one.Line)
		}
		b.WriteString(": ")
		if one.Path != "" {
			b.WriteString(one.Path + ": ")
		}
		b.WriteString(one.Said)
	}
	return b.String()
}

// document returns the one document of a file; nil if it holds nothing but comments.
func document(text []byte) (*yaml.Node, error) {
	var doc, more yaml.Node
	d := yaml.NewDecoder(strings.NewReader(string(text)))
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is a second document in it")
	}
	return doc.Content[0], nil
}

// A decoder puts a document into structs. It is strict where the library is lenient (unknown keys, keys said
// twice, a number for a text), and remembers the line of every path for the checks that come after it.
type decoder struct {
	*Problems
	lines map[string]int
}

func (d decoder) value(n *yaml.Node, into any) { d.put(n, reflect.ValueOf(into).Elem(), "", 0) }

// deepest ends a document that contains itself.
const deepest = 16

func (d decoder) put(n *yaml.Node, v reflect.Value, path string, depth int) {
	line := n.Line
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	d.lines[path] = line
	if depth > deepest {
		d.at(line, path, "is nested too deeply")
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch {
	case v.Type() == reflect.TypeFor[Span]():
		d.span(n, v, path, line)
	case v.Type() == reflect.TypeFor[KeySet]() && n.Kind == yaml.MappingNode:
		d.keySet(n, v, path, line)
	case v.Kind() == reflect.Struct:
		d.object(n, v, path, depth)
	case v.Kind() == reflect.Slice:
		d.list(n, v, path, depth)
	case v.Kind() == reflect.String:
		if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
			d.at(line, path, "wants a text; put quotes around what could be read otherwise")
			return
		}
		v.SetString(n.Value)
	case v.Kind() == reflect.Bool:
		if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
			d.at(line, path, "wants true or false")
			return
		}
		v.SetBool(n.Value == "true" || n.Value == "True" || n.Value == "TRUE")
	default:
		panic("org: no way to read " + v.Type().String()) // a programming error, found by any test
	}
}

func (d decoder) span(n *yaml.Node, v reflect.Value, path string, line int) {
	span, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		d.at(line, path, "wants a time such as 15m or 168h")
		return
	}
	v.SetInt(int64(span))
}

// keySet takes a set that stands in the file as it is, and not as a text.
func (d decoder) keySet(n *yaml.Node, v reflect.Value, path string, line int) {
	var set map[string]any
	err := n.Decode(&set)
	text, wrong := json.Marshal(set)
	if err != nil || wrong != nil {
		d.at(line, path, "is no JWK set")
		return
	}
	v.SetString(string(text))
}

func (d decoder) list(n *yaml.Node, v reflect.Value, path string, depth int) {
	if n.Kind != yaml.SequenceNode {
		d.at(n.Line, path, "wants a list")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		d.put(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i), depth+1)
	}
}

func (d decoder) object(n *yaml.Node, v reflect.Value, path string, depth int) {
	if n.Kind != yaml.MappingNode {
		d.at(n.Line, path, "wants keys and values: %s", strings.Join(keysOf(v.Type()), ", "))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, below := n.Content[i], n.Content[i].Value
		if path != "" {
			below = path + "." + below
		}
		at := slices.Index(keysOf(v.Type()), key.Value)
		switch {
		case key.Kind != yaml.ScalarNode || at < 0:
			d.at(key.Line, below, "there is no such key; there are %s", strings.Join(keysOf(v.Type()), ", "))
		case seen[key.Value]:
			d.at(key.Line, below, "is said twice")
		default:
			seen[key.Value] = true
			d.put(n.Content[i+1], v.Field(at), below, depth+1)
			d.lines[below] = key.Line
		}
	}
}

// keysOf are the keys of a struct, in the order of its fields; those that are not exported come last.
func keysOf(t reflect.Type) (keys []string) {
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() {
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			keys = append(keys, name)
		}
	}
	return keys
}

// line is where a path stands in the file, or else the nearest one around it.
func (f File) line(path string) int {
	for path != "" {
		if line, ok := f.lines[path]; ok {
			return line
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return f.lines[""]
}
