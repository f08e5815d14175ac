package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"latchkey.dev/internal/strict"
)

// PrintDefault is a latchkey.yaml with every setting there is, what it means, and its default. What has none
// is there as a comment, so that the file can be taken as it is and filled in.
func PrintDefault() []byte {
	w := &writer{}
	w.line(0, "# latchkey.yaml: how this process runs. Every setting, with its default; what has none is a comment.")
	w.line(0, "# Secrets are never in here: each is named, as {file: PATH} or {env: NAME}.")
	w.section(reflect.ValueOf(Default()), 0, false)
	return w.Bytes()
}

type writer struct{ bytes.Buffer }

func (w *writer) line(depth int, text string) {
	fmt.Fprintf(w, "%s%s\n", strings.Repeat("  ", depth), text)
}

// section writes the settings of a struct; off as comments.
func (w *writer) section(v reflect.Value, depth int, off bool) {
	for _, f := range reflect.VisibleFields(v.Type()) {
		name := strict.Name(f)
		if name == "" {
			continue
		}
		if depth == 0 {
			w.WriteByte('\n')
		}
		for _, words := range wrap(f.Tag.Get("doc"), 110-2*depth) {
			w.line(depth, "# "+words)
		}
		w.setting(name, v.FieldByIndex(f.Index), depth, off)
	}
}

func (w *writer) setting(name string, v reflect.Value, depth int, off bool) {
	hash := map[bool]string{true: "#"}
	t := v.Type()
	switch {
	case strict.Scalar(t):
		off = off || v.IsZero() && v.Kind() == reflect.String
		w.line(depth, hash[off]+name+": "+text(v))
	case t.Kind() == reflect.Struct:
		off = off || absent(v)
		w.line(depth, hash[off]+name+":")
		w.section(v, depth+1, off)
	case t.Kind() == reflect.Pointer:
		w.line(depth, hash[v.IsNil() || off]+name+":"+map[bool]string{true: " {}"}[t.Elem().NumField() == 0])
		inner := reflect.New(t.Elem()).Elem()
		if !v.IsNil() {
			inner = v.Elem()
		}
		w.section(inner, depth+1, off || v.IsNil())
	case t.Kind() == reflect.Slice && strict.Scalar(t.Elem()):
		var all []string
		for i := range v.Len() {
			all = append(all, text(v.Index(i)))
		}
		w.line(depth, hash[off || v.Len() == 0]+name+": ["+strings.Join(all, ", ")+"]")
	case t.Kind() == reflect.Slice:
		w.list(name, v, depth, off)
	case t.Kind() == reflect.Map && v.Len() > 0:
		out, err := yaml.Marshal(map[string]any{name: v.Interface()})
		if err != nil {
			panic(err) // a default that cannot be written
		}
		for line := range strings.Lines(string(out)) {
			w.line(depth, hash[off]+strings.TrimRight(line, "\n"))
		}
	default:
		w.line(depth, "#"+name+": {}")
	}
}

func (w *writer) list(name string, v reflect.Value, depth int, off bool) {
	off = off || v.Len() == 0
	hash := map[bool]string{true: "#"}[off]
	w.line(depth, hash+name+":")
	items := []reflect.Value{reflect.New(v.Type().Elem()).Elem()}
	for i := range v.Len() {
		items = append(items[:i], v.Index(i))
	}
	for _, item := range items {
		inner := &writer{}
		inner.section(item, 0, off)
		for i, line := range strings.Split(strings.Trim(strings.ReplaceAll(inner.String(), "\n\n", "\n"), "\n"), "\n") {
			w.line(depth+1, map[bool]string{true: "- ", false: "  "}[i == 0 && !off]+line)
		}
	}
}

// absent reports whether nothing of a section is set: it is there as an example.
func absent(v reflect.Value) bool { return v.IsZero() }

func text(v reflect.Value) string {
	if d, ok := v.Interface().(time.Duration); ok {
		return brief(d)
	}
	out, err := yaml.Marshal(v.Interface())
	if err != nil {
		panic(err) // a default that cannot be written
	}
	return strings.TrimSpace(string(out))
}

// brief is a duration without the zeros at its end.
func brief(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func wrap(words string, width int) []string {
	var lines []string
	var line string
	for _, word := range strings.Fields(words) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// Schema is the JSON Schema (2020-12) of latchkey.yaml, for editors.
func Schema() []byte {
	top := schemaOf(reflect.TypeFor[Config](), reflect.ValueOf(Default()))
	top["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	top["title"] = "latchkey.yaml"
	out, err := json.MarshalIndent(top, "", "  ")
	if err != nil {
		panic(err) // maps of strings and numbers
	}
	return append(out, '\n')
}

func schemaOf(t reflect.Type, v reflect.Value) map[string]any {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return map[string]any{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$`}
	case t == reflect.TypeFor[netip.Prefix]():
		return map[string]any{"type": "string", "pattern": `^[0-9a-fA-F:.]+/[0-9]+$`}
	case t == reflect.TypeFor[Country]():
		return map[string]any{"type": []any{"integer", "string"}, "pattern": `^([0-9]{1,3}|[A-Z]{2})$`}
	case t == reflect.TypeFor[Money]():
		return map[string]any{"type": []any{"number", "string"}}
	case t == reflect.TypeFor[UnknownUsers]():
		return map[string]any{"enum": []UnknownUsers{Hide, Reveal}}
	}
	switch t.Kind() {
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Pointer:
		return nullable(schemaOf(t.Elem(), reflect.New(t.Elem()).Elem()))
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem(), reflect.New(t.Elem()).Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem(), reflect.New(t.Elem()).Elem())}
	case reflect.Struct:
		if strict.Scalar(t) {
			return map[string]any{"type": "string"}
		}
		properties := map[string]any{}
		for _, f := range reflect.VisibleFields(t) {
			name := strict.Name(f)
			if name == "" {
				continue
			}
			value := v.FieldByIndex(f.Index)
			one := schemaOf(f.Type, value)
			if doc := f.Tag.Get("doc"); doc != "" {
				one["description"] = doc
			}
			if strict.Scalar(f.Type) && !value.IsZero() {
				one["default"] = plain(value)
			}
			properties[name] = one
		}
		return map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	}
	return map[string]any{"type": "string"}
}

// nullable allows a key without a value, as in "sqlite:".
func nullable(s map[string]any) map[string]any {
	s["type"] = []any{s["type"], "null"}
	return s
}

func plain(v reflect.Value) any {
	if d, ok := v.Interface().(time.Duration); ok {
		return brief(d)
	}
	return v.Interface()
}
