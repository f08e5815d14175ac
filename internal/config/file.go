package config

import (
	"encoding"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Read reads latchkey.yaml over the defaults. The error says everything that is wrong, line by line: keys that
// do not exist, values of the wrong kind, settings that make no sense, secrets that cannot be read.
func Read(name string) (Config, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return Config{}, err
	}
	return parse(name, text)
}

func parse(name string, text []byte) (Config, error) {
	p := &problems{file: name, lines: map[string]int{}}
	c := Default()
	root, err := document(text)
	if err != nil {
		return c, fmt.Errorf("%s: %w", name, err)
	}
	d := decoder{p}
	if root != nil {
		d.value(root, reflect.ValueOf(&c).Elem(), "")
	}
	if len(p.all) == 0 {
		d.secrets(reflect.ValueOf(&c).Elem(), "")
		c.check(p) // on what could not be decoded it would only repeat itself
	}
	return c, p.err()
}

// document returns the one document of a file; nil if it holds nothing but comments.
func document(text []byte) (*yaml.Node, error) {
	var doc, more yaml.Node
	dec := yaml.NewDecoder(strings.NewReader(string(text)))
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is a second document in it")
	}
	return doc.Content[0], nil
}

// A decoder puts a document into a Config. It is strict where the library is lenient, and knows the path of
// everything that it complains about.
type decoder struct{ *problems }

var (
	textual  = reflect.TypeFor[encoding.TextUnmarshaler]()
	duration = reflect.TypeFor[time.Duration]()
)

func (d decoder) value(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	d.lines[path] = n.Line
	if n.Tag == "!!null" {
		return // a key without a value is its default
	}
	switch {
	case v.Kind() == reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, v.Elem(), path)
	case scalar(v.Type()):
		d.scalar(n, v, path)
	case v.Kind() == reflect.Struct:
		d.section(n, v, path)
	case v.Kind() == reflect.Slice:
		d.list(n, v, path)
	case v.Kind() == reflect.Map:
		d.table(n, v, path)
	default:
		panic("config: a field of a kind that no file can hold: " + path)
	}
}

// scalar reports whether a type is one value in the file.
func scalar(t reflect.Type) bool {
	if reflect.PointerTo(t).Implements(textual) {
		return true
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Float64:
		return true
	}
	return false
}

func (d decoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		d.at(path, "is %s, not a list or a section", kindOf(v.Type()))
		return
	}
	// Numbers and truths are not text: an unquoted 0123 or yes would change its meaning on the way.
	if v.Kind() == reflect.String && !reflect.PointerTo(v.Type()).Implements(textual) && n.Tag != "!!str" {
		d.at(path, "write %q in quotes: it is %s", n.Value, kindOf(v.Type()))
		return
	}
	if err := n.Decode(v.Addr().Interface()); err != nil {
		d.at(path, "%q is not %s", n.Value, kindOf(v.Type()))
	}
}

func (d decoder) section(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.at(path, "is a section with keys of its own")
		return
	}
	fields := fieldsOf(v.Type())
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := join(path, key.Value)
		f, known := fields[key.Value]
		d.lines[at] = key.Line
		switch {
		case !known:
			d.at(at, "there is no such setting%s", d.meant(key.Value, fields))
			continue
		case seen[key.Value]:
			d.at(at, "is there twice")
			continue
		}
		seen[key.Value] = true
		d.value(value, v.FieldByIndex(f.Index), at)
		d.lines[at] = key.Line
	}
}

func (d decoder) list(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.at(path, "is a list")
		return
	}
	all := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		d.value(item, all.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
	v.Set(all)
}

func (d decoder) table(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.at(path, "is a table of keys and values")
		return
	}
	all := reflect.MakeMap(v.Type())
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		at := join(path, n.Content[i].Value)
		if err := n.Content[i].Decode(key.Addr().Interface()); err != nil {
			d.at(path, "%q is not %s", n.Content[i].Value, kindOf(key.Type()))
			continue
		}
		if all.MapIndex(key).IsValid() {
			d.at(at, "is there twice")
		}
		d.value(n.Content[i+1], value, at)
		all.SetMapIndex(key, value)
	}
	v.Set(all)
}

// meant guesses which key was meant.
func (d decoder) meant(key string, fields map[string]reflect.StructField) string {
	best, least := "", 3 // more mistakes than two is another word
	for name := range fields {
		if n := distance(key, name); n < least || n == least && name < best {
			best, least = name, n
		}
	}
	if best == "" {
		return ""
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

// secrets reads every secret that the file names.
func (d decoder) secrets(v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			d.secrets(v.Elem(), path)
		}
	case reflect.Struct:
		if s, ok := v.Addr().Interface().(*Secret); ok {
			if err := s.read(); err != nil {
				d.at(path, "%v", err)
			}
			return
		}
		for name, f := range fieldsOf(v.Type()) {
			d.secrets(v.FieldByIndex(f.Index), join(path, name))
		}
	case reflect.Slice:
		for i := range v.Len() {
			d.secrets(v.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			value := reflect.New(v.Type().Elem()).Elem() // what is in a map cannot be changed in place
			value.Set(v.MapIndex(key))
			d.secrets(value, join(path, fmt.Sprint(key)))
			v.SetMapIndex(key, value)
		}
	}
}

// fieldsOf are the settings of a section by their names.
func fieldsOf(t reflect.Type) map[string]reflect.StructField {
	fields := map[string]reflect.StructField{}
	for _, f := range reflect.VisibleFields(t) {
		if name := nameOf(f); name != "" {
			fields[name] = f
		}
	}
	return fields
}

// nameOf is what a field is called in the file; empty if it is not in it.
func nameOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	switch {
	case !f.IsExported() || name == "-":
		return ""
	case name == "":
		return strings.ToLower(f.Name)
	}
	return name
}

// kindOf says what belongs in a field.
func kindOf(t reflect.Type) string {
	switch {
	case t == duration:
		return "a time like 90s or 24h"
	case t.PkgPath() == "net/netip" && t.Name() == "Prefix":
		return "a network like 10.0.0.0/8"
	case t == reflect.TypeFor[Country]():
		return "a calling code like 49 or a region like JM"
	case t == reflect.TypeFor[Money]():
		return "an amount like 0.075"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	}
	return "text"
}

func join(path, key string) string {
	return strings.Join(slices.DeleteFunc([]string{path, key}, func(s string) bool { return s == "" }), ".")
}
