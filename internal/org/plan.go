package org

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/strict"
)

// Action is what is done to an object.
type Action string

// The actions, with the letters that show them.
const (
	Create Action = "create" // +
	Alter  Action = "change" // ~
	Delete Action = "delete" // -
)

// A Plan is what applying a file does.
type Plan struct {
	Changes []Change `json:"changes"`
	Applied bool     `json:"applied"`
	Secrets []Made   `json:"secrets,omitempty"` // shown once, and kept nowhere
}

// A Change is what is done to one object.
type Change struct {
	Action Action  `json:"action"`
	Kind   string  `json:"kind"` // app, server, authenticator, group
	Name   string  `json:"name"`
	ID     string  `json:"id,omitempty"`
	Fields []Field `json:"fields,omitempty"`
}

// A Field is what becomes of one field of it.
type Field struct {
	Name string   `json:"name"`
	From []string `json:"from"`
	To   []string `json:"to"`
	list bool
}

// Made is a secret that was made for an application.
type Made struct {
	App    string
	ID     string
	Secret secret.Text
}

// MarshalJSON reveals the secret: the answer to who asked for it is the one place where it is to be seen.
func (m Made) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, `{"app":%q,"client_id":%q,"client_secret":%q}`, m.App, m.ID, m.Secret.Reveal()), nil
}

// String shows the plan to people, and is empty if there is nothing to change.
func (p Plan) String() string {
	var b strings.Builder
	count := map[Action]int{}
	for _, c := range p.Changes {
		count[c.Action]++
		c.show(&b)
	}
	if len(p.Changes) == 0 {
		return ""
	}
	fmt.Fprintf(&b, "\n%d to create, %d to change, %d to delete\n", count[Create], count[Alter], count[Delete])
	return b.String()
}

func (c Change) show(b *strings.Builder) {
	fmt.Fprintf(b, "%s %s %s", map[Action]string{Create: "+", Alter: "~", Delete: "-"}[c.Action], c.Kind, c.Name)
	if c.ID != "" && c.ID != c.Name {
		fmt.Fprintf(b, "  (%s)", c.ID)
	}
	b.WriteByte('\n')
	for _, f := range c.Fields {
		f.show(b, c.Action)
	}
}

func (f Field) show(b *strings.Builder, a Action) {
	if a == Create {
		fmt.Fprintf(b, "    %s: %s\n", f.Name, strings.Join(f.To, ", "))
		return
	}
	var gone, come []string
	if f.list {
		gone, come = without(f.From, f.To), without(f.To, f.From)
	}
	if len(gone)+len(come) == 0 { // one value, or a list in another order
		fmt.Fprintf(b, "    %s: %s -> %s\n", f.Name, or(f.From), or(f.To))
		return
	}
	fmt.Fprintf(b, "    %s:\n", f.Name)
	for _, v := range gone {
		fmt.Fprintf(b, "      - %s\n", v)
	}
	for _, v := range come {
		fmt.Fprintf(b, "      + %s\n", v)
	}
}

func or(values []string) string {
	if len(values) == 0 {
		return "nothing"
	}
	return strings.Join(values, ", ")
}

func without(all, those []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(those, s) })
}

// compare says in which fields two objects of one type differ.
func compare(from, to any) (all []Field) {
	olds, news := fieldsOf(from), fieldsOf(to)
	for i := range news {
		if !slices.Equal(olds[i].To, news[i].To) {
			all = append(all, Field{news[i].Name, olds[i].To, news[i].To, news[i].list})
		}
	}
	return all
}

// said are the fields of an object that is new, those that say nothing left out.
func said(object any) []Field {
	return slices.DeleteFunc(fieldsOf(object), func(f Field) bool {
		return len(f.To) == 0 || slices.Equal(f.To, []string{"false"}) || slices.Equal(f.To, []string{"0s"})
	})
}

// fieldsOf reads an object of the file field by field, each as the text that stands for it; a field within a
// field is a.b.
func fieldsOf(object any) []Field { return fieldsIn(reflect.ValueOf(object), "") }

func fieldsIn(v reflect.Value, within string) (all []Field) {
	for i, key := range strict.Keys(v.Type()) {
		f, name := v.Field(i), within+key
		_, isText := f.Interface().(encoding.TextMarshaler)
		switch {
		case f.Kind() == reflect.Struct:
			all = append(all, fieldsIn(f, name+".")...)
		case f.Kind() == reflect.Slice || f.Kind() == reflect.Pointer && f.Type().Elem().Kind() == reflect.Slice:
			all = append(all, Field{Name: name, To: items(reflect.Indirect(f)), list: true})
		case !isText && f.Kind() != reflect.Bool && f.IsZero():
			all = append(all, Field{Name: name})
		default:
			all = append(all, Field{Name: name, To: []string{fmt.Sprint(reflect.Indirect(f).Interface())}})
		}
	}
	return all
}

func items(list reflect.Value) (all []string) {
	if !list.IsValid() {
		return nil
	}
	for i := range list.Len() {
		all = append(all, fmt.Sprint(list.Index(i).Interface()))
	}
	return all
}
