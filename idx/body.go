package idx

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// A formError is an InputError that does not know its step yet.
type formError struct {
	path, reason string
	cause        error
}

func badInput(path, reason string, cause error) *formError { return &formError{path, reason, cause} }

// body is the JSON that f is posted with: what the engine fixed, as it came; what the caller gave; and the engine's
// defaults for the rest. A name that the form lacks is refused, for the engine would drop it in silence.
func (f *form) body(v Values) ([]byte, *formError) {
	values, bad := build(f.fields, v, "")
	if bad != nil {
		return nil, bad
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(values); err != nil {
		return nil, badInput("", "a value has no JSON form", nil)
	}
	return bytes.TrimRight(buf.Bytes(), "\n"), nil
}

func build(fields []*field, given map[string]any, path string) (map[string]any, *formError) {
	assigned, bad := assign(fields, given, path)
	if bad != nil {
		return nil, bad
	}
	out := map[string]any{}
	for _, f := range fields {
		v, bad := f.build(assigned[f], join(path, f.name))
		if bad != nil {
			return nil, bad
		}
		if v != nil {
			out[f.name] = v
		}
	}
	return out, nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// assign gives each value to its field. A dotted name is a path, but a field may have dots in its own name (scopes
// do), so the form decides: the whole name first, then the longest field that the name begins with.
func assign(fields []*field, given map[string]any, path string) (map[*field]any, *formError) {
	out := map[*field]any{}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		v := given[name]
		if v == nil {
			continue
		}
		f, rest := locate(fields, name)
		if f == nil {
			return nil, badInput(join(path, name), "the form has no such input", nil)
		}
		if rest != "" {
			v = map[string]any{rest: v}
		}
		old, twice := out[f]
		if twice {
			a, b := nested(old), nested(v)
			if a == nil || b == nil {
				return nil, badInput(join(path, f.name), "it is given twice", nil)
			}
			merged := maps.Clone(a)
			for k, x := range b {
				if _, clash := merged[k]; clash {
					return nil, badInput(join(join(path, f.name), k), "it is given twice", nil)
				}
				merged[k] = x
			}
			v = merged
		}
		out[f] = v
	}
	return out, nil
}

func locate(fields []*field, name string) (f *field, rest string) {
	if f := find(fields, name); f != nil {
		return f, ""
	}
	for _, c := range fields {
		if tail, ok := strings.CutPrefix(name, c.name+"."); ok && tail != "" && (f == nil || len(c.name) > len(f.name)) {
			f, rest = c, tail
		}
	}
	return f, rest
}

// nested takes any map with string keys that a caller may reasonably use.
func nested(v any) map[string]any {
	switch m := v.(type) {
	case Values:
		return m
	case map[string]any:
		return m
	case map[string]string:
		out := make(map[string]any, len(m))
		for k, s := range m {
			out[k] = s
		}
		return out
	}
	return nil
}

// build returns nil for what is to be left out.
func (f *field) build(given any, path string) (any, *formError) {
	switch {
	case f.fixed:
		if given != nil && !same(given, f.value) {
			return nil, badInput(path, "it is fixed by the engine", nil)
		}
		return f.value, nil
	case f.choosesForm():
		return f.choose(given, path)
	case f.fields != nil:
		if given != nil && nested(given) == nil {
			return nil, badInput(path, "it is a group of inputs, not one value", nil)
		}
		group, bad := build(f.fields, nested(given), path)
		if bad != nil || len(group) == 0 {
			return nil, bad
		}
		return group, nil
	case given == nil:
		return f.value, nil
	case len(f.options) > 0:
		for _, o := range f.options {
			if same(given, o.value) {
				return o.value, nil
			}
		}
		return nil, badInput(path, "the value is not among the options", ErrNotOffered)
	}
	return f.scalar(given, path)
}

func (f *field) choosesForm() bool {
	return slices.ContainsFunc(f.options, func(o *option) bool { return o.fields != nil })
}

// choose finds the one option that agrees with everything given.
func (f *field) choose(given any, path string) (any, *formError) {
	if given == nil {
		return nil, nil
	}
	m := nested(given)
	if m == nil {
		return nil, badInput(path, "it is a choice: give what the option fixes, as Option.Choose does", nil)
	}
	var fit []map[string]any
	why := badInput(path, "none of the options has these values", ErrNotOffered)
	for _, o := range f.options {
		group, bad := build(o.fields, m, path)
		if bad != nil {
			if len(f.options) == 1 {
				why = badInput(bad.path, bad.reason, ErrNotOffered)
			}
			continue
		}
		fit = append(fit, group)
	}
	switch len(fit) {
	case 0:
		return nil, why
	case 1:
		return fit[0], nil
	}
	return nil, badInput(path, "more than one option has these values", ErrAmbiguous)
}

func (f *field) scalar(given any, path string) (any, *formError) {
	if s, ok := given.(string); ok {
		switch {
		case !utf8.ValidString(s):
			// JSON would carry something else than what was typed.
			return nil, badInput(path, "it is not valid UTF-8", nil)
		case f.kind != "boolean":
			return s, nil
		case s == "true":
			return true, nil
		case s == "false":
			return false, nil
		}
	}
	if _, ok := given.(bool); f.kind == "boolean" && !ok {
		return nil, badInput(path, "it is true or false", nil)
	}
	if f.kind == "string" && nested(given) != nil {
		return nil, badInput(path, "it is one value, not a group of inputs", nil)
	}
	return plain(given), nil
}

// plain turns Values, which encode as their names, into what they hold.
func plain(v any) any {
	if list, ok := v.([]any); ok {
		out := make([]any, len(list))
		for i, e := range list {
			out[i] = plain(e)
		}
		return out
	}
	m := nested(v)
	if m == nil {
		return v
	}
	out := make(map[string]any, len(m))
	for k, e := range m {
		out[k] = plain(e)
	}
	return out
}

// same compares by how values are written, so that "true" from a web form picks the option true.
func same(a, b any) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// leafStrings are all strings within v: what may be secret in a request.
func leafStrings(v any) []string {
	switch x := v.(type) {
	case string:
		return []string{x}
	case []any:
		var out []string
		for _, e := range x {
			out = append(out, leafStrings(e)...)
		}
		return out
	}
	var out []string
	for _, e := range nested(v) {
		out = append(out, leafStrings(e)...)
	}
	return out
}
