package strict

import (
	"encoding"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Whole is of types that take a section as it stands, as JSON: a document of somebody else's making, such as a key.
type Whole interface{ TakeWhole(json []byte) }

// Kind is of types that are one value in a file, and say in a few words what it looks like: an amount like 0.075.
type Kind interface{ Kind() string }

var (
	textual  = reflect.TypeFor[encoding.TextUnmarshaler]()
	kind     = reflect.TypeFor[Kind]()
	wholly   = reflect.TypeFor[Whole]()
	duration = reflect.TypeFor[time.Duration]()
)

// Scalar reports whether a type is one value in the file.
func Scalar(t reflect.Type) bool {
	if reflect.PointerTo(t).Implements(textual) {
		return true
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Float64:
		return true
	}
	return false
}

// kindOf says what belongs in a field.
func kindOf(t reflect.Type) string {
	switch {
	case t.Implements(kind):
		return reflect.Zero(t).Interface().(Kind).Kind()
	case t == duration:
		return "a time like 90s or 24h"
	case t.PkgPath() == "net/netip" && t.Name() == "Prefix":
		return "a network like 10.0.0.0/8"
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

// Fields are the fields of a struct by their keys.
func Fields(t reflect.Type) map[string]reflect.StructField {
	fields := map[string]reflect.StructField{}
	for _, f := range reflect.VisibleFields(t) {
		if name := Name(f); name != "" {
			fields[name] = f
		}
	}
	return fields
}

// Keys are the keys of a struct in the order of its fields.
func Keys(t reflect.Type) (keys []string) {
	for _, f := range reflect.VisibleFields(t) {
		if name := Name(f); name != "" {
			keys = append(keys, name)
		}
	}
	return keys
}

// Name is what a field is called in the file; empty if it is not in it.
func Name(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	switch {
	case !f.IsExported() || name == "-":
		return ""
	case name == "":
		return strings.ToLower(f.Name)
	}
	return name
}

// Join is the path of a key below another.
func Join(path, key string) string {
	return strings.Join(slices.DeleteFunc([]string{path, key}, func(s string) bool { return s == "" }), ".")
}
