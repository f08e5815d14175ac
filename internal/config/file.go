package config

import (
	"fmt"
	"os"
	"reflect"

	"latchkey.dev/internal/strict"
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
	p := &strict.Problems{File: name}
	c := Default()
	if err := strict.Read(text, &c, p); err != nil {
		return c, err
	}
	if len(p.All) == 0 {
		secrets(p, reflect.ValueOf(&c).Elem(), "")
		c.check(p) // on what could not be decoded it would only repeat itself
	}
	return c, p.Err()
}

// secrets reads every secret that the file names.
func secrets(p *strict.Problems, v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			secrets(p, v.Elem(), path)
		}
	case reflect.Struct:
		if s, ok := v.Addr().Interface().(*Secret); ok {
			if err := s.read(); err != nil {
				p.At(path, "%v", err)
			}
			return
		}
		for name, f := range strict.Fields(v.Type()) {
			secrets(p, v.FieldByIndex(f.Index), strict.Join(path, name))
		}
	case reflect.Slice:
		for i := range v.Len() {
			secrets(p, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			value := reflect.New(v.Type().Elem()).Elem() // what is in a map cannot be changed in place
			value.Set(v.MapIndex(key))
			secrets(p, value, strict.Join(path, fmt.Sprint(key)))
			v.SetMapIndex(key, value)
		}
	}
}
