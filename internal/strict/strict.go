// Package strict reads YAML that people write, and says everything that is wrong with it.
//
// [Read] puts a document into a struct by its yaml tags. It is strict where the library is lenient: a key that
// is not there or is there twice, a number for a text, a second document are each a [Problem], and [Problems] are
// all of them, each with its line. They remember where every key stands, so that what makes no sense later is
// complained about at its line, too ([Problems.At]). What the values mean is their owners' business.
package strict

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A Problem is one thing that is wrong.
type Problem struct {
	Line int    `json:"line,omitempty"` // 0: nowhere in particular
	Path string `json:"path,omitempty"` // apps[0].redirect_uris[1]
	Said string `json:"said"`
}

// Problems are all that is wrong with a file, or with what came from none.
type Problems struct {
	File  string    `json:"file"` // empty when there is none
	All   []Problem `json:"problems"`
	Lines Lines     `json:"-"`
}

// Lines are where the keys of a file stand, by their paths.
type Lines map[string]int

// Of is where a path stands, or else the nearest one around it; 0 if the file has nothing of it.
func (l Lines) Of(path string) int {
	for path != "" {
		if line, ok := l[path]; ok {
			return line
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return 0
}

// At adds what is wrong with a path.
func (p *Problems) At(path, format string, args ...any) {
	p.add(p.Lines.Of(path), path, format, args...)
}

func (p *Problems) add(line int, path, format string, args ...any) {
	p.All = append(p.All, Problem{line, path, fmt.Sprintf(format, args...)})
}

// Err is p in the order of the file, what is not in it first; nil if nothing is wrong.
func (p *Problems) Err() error {
	if len(p.All) == 0 {
		return nil
	}
	if p.File != "" {
		slices.SortStableFunc(p.All, func(a, b Problem) int { return a.Line - b.Line })
	}
	return p
}

// Error has a line for each.
func (p *Problems) Error() string {
	var all []string
	for _, one := range p.All {
		var at string
		switch {
		case p.File != "" && one.Line > 0:
			at = fmt.Sprintf("%s:%d: ", p.File, one.Line)
		case p.File != "":
			at = p.File + ": "
		}
		if one.Path != "" {
			at += one.Path + ": "
		}
		all = append(all, at+one.Said)
	}
	return strings.Join(all, "\n")
}

// Read reads text over what is in a struct, and notes in p what cannot be read and where everything stands. The error is
// of a text that is no YAML; of a text that holds nothing but comments nothing is read.
func Read(text []byte, into any, p *Problems) error {
	root, err := document(text)
	if err != nil {
		if p.File == "" {
			return err
		}
		return fmt.Errorf("%s: %w", p.File, err)
	}
	p.Lines = Lines{}
	if root != nil {
		decoder{p}.value(root, reflect.ValueOf(into).Elem(), "", 0)
	}
	return nil
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

type decoder struct{ *Problems }

// deepest ends a document that contains itself.
const deepest = 16

func (d decoder) value(n *yaml.Node, v reflect.Value, path string, depth int) {
	line := n.Line
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	d.Lines[path] = line // where it is used, and not where it was given a name
	if depth > deepest {
		d.add(line, path, "is nested too deeply")
		return
	}
	if n.Tag == "!!null" {
		return // a key without a value is left out
	}
	switch {
	case v.Kind() == reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, v.Elem(), path, depth)
		d.Lines[path] = line
	case n.Kind == yaml.MappingNode && reflect.PointerTo(v.Type()).Implements(wholly):
		d.whole(n, v, path, line)
	case Scalar(v.Type()):
		d.scalar(n, v, path, line)
	case v.Kind() == reflect.Struct:
		d.object(n, v, path, line, depth)
	case v.Kind() == reflect.Slice:
		d.list(n, v, path, line, depth)
	case v.Kind() == reflect.Map:
		d.table(n, v, path, line, depth)
	default:
		panic("strict: a field of a kind that no file can hold: " + path) // found by any test
	}
}

func (d decoder) whole(n *yaml.Node, v reflect.Value, path string, line int) {
	var section map[string]any
	err := n.Decode(&section)
	text, wrong := json.Marshal(section)
	if err != nil || wrong != nil {
		d.add(line, path, "holds something that JSON has no word for")
		return
	}
	v.Addr().Interface().(Whole).TakeWhole(text)
}

func (d decoder) scalar(n *yaml.Node, v reflect.Value, path string, line int) {
	if n.Kind != yaml.ScalarNode {
		d.add(line, path, "is %s, not a list or a section", kindOf(v.Type()))
		return
	}
	plain := !reflect.PointerTo(v.Type()).Implements(textual)
	switch {
	case plain && v.Kind() == reflect.String && n.Tag != "!!str":
		// Numbers and truths are not text: an unquoted 0123 or yes would change its meaning on the way.
		d.add(line, path, "write %q in quotes: it is %s", n.Value, kindOf(v.Type()))
		return
	case plain && v.Kind() == reflect.Bool && n.Tag != "!!bool": // the library takes on and off
		d.add(line, path, "%q is not %s", n.Value, kindOf(v.Type()))
		return
	}
	if err := n.Decode(v.Addr().Interface()); err != nil {
		d.add(line, path, "%q is not %s", n.Value, kindOf(v.Type()))
	}
}

func (d decoder) object(n *yaml.Node, v reflect.Value, path string, line, depth int) {
	if n.Kind != yaml.MappingNode {
		d.add(line, path, "has keys of its own: %s", strings.Join(Keys(v.Type()), ", "))
		return
	}
	fields := Fields(v.Type())
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := Join(path, key.Value)
		f, known := fields[key.Value]
		switch {
		case !known || key.Kind != yaml.ScalarNode:
			d.add(key.Line, at, "there is no such key%s", meant(key.Value, v.Type()))
			continue
		case seen[key.Value]:
			d.add(key.Line, at, "is there twice")
			continue
		}
		seen[key.Value] = true
		d.value(value, v.FieldByIndex(f.Index), at, depth+1)
		d.Lines[at] = key.Line
	}
}

func (d decoder) list(n *yaml.Node, v reflect.Value, path string, line, depth int) {
	if n.Kind != yaml.SequenceNode {
		d.add(line, path, "is a list")
		return
	}
	all := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		d.value(item, all.Index(i), fmt.Sprintf("%s[%d]", path, i), depth+1)
	}
	v.Set(all)
}

func (d decoder) table(n *yaml.Node, v reflect.Value, path string, line, depth int) {
	if n.Kind != yaml.MappingNode {
		d.add(line, path, "is a table of keys and values")
		return
	}
	all := reflect.MakeMap(v.Type())
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		at := Join(path, n.Content[i].Value)
		if err := n.Content[i].Decode(key.Addr().Interface()); err != nil {
			d.add(n.Content[i].Line, path, "%q is not %s", n.Content[i].Value, kindOf(key.Type()))
			continue
		}
		if all.MapIndex(key).IsValid() {
			d.add(n.Content[i].Line, at, "is there twice")
			continue
		}
		d.value(n.Content[i+1], value, at, depth+1)
		d.Lines[at] = n.Content[i].Line
		all.SetMapIndex(key, value)
	}
	v.Set(all)
}

// meant guesses which key was meant, or says which there are.
func meant(key string, t reflect.Type) string {
	best, least := "", 3 // more mistakes than two is another word
	for _, name := range slices.Sorted(maps.Keys(Fields(t))) {
		if n := distance(key, name); n < least {
			best, least = name, n
		}
	}
	if best == "" {
		return "; there are " + strings.Join(Keys(t), ", ")
	}
	return fmt.Sprintf("; is it %q?", best)
}

// distance is how many letters two words differ in (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := last
			if a[i] != b[j] {
				change++
			}
			last = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
