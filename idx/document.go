package idx

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A document is one IDX answer, read with patience: recordings disagree about many members, so what is missing or of
// an unexpected type is left out, and only what is no object at all is refused.
type document struct {
	raw         json.RawMessage
	root        map[string]any
	stateHandle string
	expiresAt   time.Time
	forms       []*form // remediations in the engine's order
	actions     []*form // forms below other members, by name
	messages    []Message
	code        string // interaction code
	leave       string // where the browser goes with its success, in place of a code
}

// A form is one thing that can be posted, or a place to send the browser.
type form struct {
	name          string
	href          string
	method        string
	accepts       string
	action        bool
	redirect      bool
	refresh       time.Duration
	member        string // top-level member that relatesTo leads to
	authenticator *Authenticator
	provider      *IdentityProvider
	fields        []*field
	raw           json.RawMessage
}

type field struct {
	name, label, kind, hint  string
	required, secret, hidden bool
	fixed                    bool // mutable:false with a value: it goes back as it came
	minLength, maxLength     int
	value                    any // nil if there is none
	fields                   []*field
	options                  []*option
	messages                 []Message
}

type option struct {
	label         string
	value         any
	fields        []*field
	authenticator *Authenticator
}

// successRedirect is the end of a sign-in on the engine's own pages.
const successRedirect = "success-redirect"

const maxDepth = 16 // of nested forms; the deepest on record is 4

var errNoDocument = errors.New("idx: no IDX document")

// parse reads an IDX document, or says that body is none.
func parse(body []byte) (*document, error) {
	var parts map[string]json.RawMessage
	if json.Unmarshal(body, &parts) != nil || parts == nil {
		return nil, errNoDocument
	}
	root, ok := decode(body).(map[string]any)
	if !ok {
		return nil, errNoDocument
	}
	if !(has(root, "version", "stateHandle") || has(root, "remediation", "messages", "successWithInteractionCode")) {
		return nil, errNoDocument
	}
	d := &document{raw: bytes.Clone(body), root: root, stateHandle: str(root["stateHandle"])}
	d.expiresAt, _ = time.Parse(time.RFC3339, str(root["expiresAt"]))
	for _, raw := range rawForms(parts["remediation"]) {
		if f := d.form(decode(raw), raw); f != nil {
			d.forms = append(d.forms, f)
		}
	}
	for _, end := range []string{"success", "failure"} {
		if f := d.form(root[end], parts[end]); f != nil {
			d.forms = append(d.forms, f)
		}
	}
	for _, f := range d.forms {
		if f.name == successRedirect && f.redirect {
			d.leave = f.href
		}
	}
	d.actions = d.findActions()
	for _, m := range list(root["messages"]) {
		d.messages = append(d.messages, message(m, ""))
	}
	for _, m := range list(obj(root["successWithInteractionCode"])["value"]) {
		if o := obj(m); str(o["name"]) == "interaction_code" {
			d.code = str(o["value"])
		}
	}
	return d, nil
}

func has(o map[string]any, names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { _, ok := o[n]; return ok })
}

// rawForms splits the collection without touching the forms themselves: NextStep.Raw is what the engine sent.
func rawForms(remediation json.RawMessage) []json.RawMessage {
	var c struct{ Value []json.RawMessage }
	if json.Unmarshal(remediation, &c) == nil {
		return c.Value
	}
	var bare []json.RawMessage
	_ = json.Unmarshal(remediation, &bare)
	return bare
}

// findActions looks where the protocol keeps forms besides the remediations: at the top level, and below an object.
func (d *document) findActions() []*form {
	var found []*form
	add := func(name string, v any) {
		if o := obj(v); str(o["href"]) == "" || o["rel"] == nil {
			return
		}
		raw, _ := json.Marshal(v)
		if f := d.form(v, raw); f != nil {
			f.name, f.action = name, true
			found = append(found, f)
		}
	}
	for _, member := range slices.Sorted(maps.Keys(d.root)) {
		v := obj(d.root[member])
		switch {
		case member == "successWithInteractionCode" || member == "context" || member == "success" || member == "failure":
		case v["href"] != nil:
			add(str(v["name"]), v)
		default:
			inner := obj(v["value"])
			for _, key := range slices.Sorted(maps.Keys(inner)) {
				add(member+"-"+key, inner[key])
			}
		}
	}
	return found
}

func (d *document) form(v any, raw json.RawMessage) *form {
	o := obj(v)
	f := &form{
		name:    str(o["name"]),
		href:    str(o["href"]),
		method:  strings.ToUpper(str(o["method"])),
		accepts: str(o["accepts"]),
		raw:     raw,
		fields:  d.fields(o["value"], 0),
	}
	if f.name == "" || f.href == "" {
		return nil
	}
	f.redirect = (o["rel"] == nil || f.name == successRedirect) && (f.method == "GET" || f.method == "")
	if ms := number(o["refresh"]); ms > 0 {
		f.refresh = time.Duration(min(ms, 3600_000)) * time.Millisecond
	}
	if idp := obj(o["idp"]); idp != nil {
		f.provider = &IdentityProvider{ID: str(idp["id"]), Name: str(idp["name"]), Type: str(o["type"])}
	}
	path := str(o["relatesTo"])
	if l, ok := o["relatesTo"].([]any); ok && len(l) > 0 {
		path = str(l[0])
	}
	if node := d.resolve(path); node != nil {
		f.member = words(path)[0]
		f.authenticator = authenticator(node)
		f.identify(d)
	}
	return f
}

// identify tells authenticator and enrollment apart: the id of an enrollment object is the enrollment's, and only the
// form, or the list of authenticators, knows the id of the authenticator behind it.
func (f *form) identify(d *document) {
	a := f.authenticator
	if f.member != "currentAuthenticatorEnrollment" && f.member != "authenticatorEnrollments" {
		return
	}
	a.EnrollmentID, a.ID = a.ID, ""
	if group := find(f.fields, "authenticator"); group != nil {
		a.ID, _ = fixedValue(group.fields, "id").(string)
		if id, ok := fixedValue(group.fields, "enrollmentId").(string); ok {
			a.EnrollmentID = id
		}
	}
	if a.ID == "" {
		a.ID = d.authenticatorID(a.Key)
	}
}

// authenticatorID is the id of the only authenticator with that key; with two of them it cannot be told.
func (d *document) authenticatorID(key string) string {
	id := ""
	for _, v := range list(d.root["authenticators"]) {
		if o := obj(v); key != "" && str(o["key"]) == key {
			if id != "" {
				return ""
			}
			id = str(o["id"])
		}
	}
	return id
}

func (d *document) fields(v any, depth int) []*field {
	if depth > maxDepth {
		return nil
	}
	var fields []*field
	for _, v := range list(v) {
		o := obj(v)
		if str(o["name"]) == "" {
			continue
		}
		f := d.field(o, depth)
		// profile-update lists one group of the same name per attribute; there is one member for all of them.
		if same := find(fields, f.name); same != nil && same.fields != nil && f.fields != nil {
			same.fields, same.required = append(same.fields, f.fields...), same.required || f.required
			continue
		}
		fields = append(fields, f)
	}
	return fields
}

func (d *document) field(o map[string]any, depth int) *field {
	f := &field{
		name:      str(o["name"]),
		label:     str(o["label"]),
		kind:      str(o["type"]),
		hint:      str(o["hint"]),
		required:  truth(o["required"]),
		secret:    truth(o["secret"]),
		minLength: number(o["minLength"]),
		maxLength: number(o["maxLength"]),
		value:     o["value"],
		fields:    d.fields(obj(o["form"])["value"], depth+1),
	}
	if nested := obj(obj(o["value"])["form"]); nested != nil { // select-enrollment-channel keeps its form here
		f.value, f.fields = nil, d.fields(nested["value"], depth+1)
	}
	for _, v := range list(o["options"]) {
		if opt := d.option(obj(v), depth); opt != nil {
			f.options = append(f.options, opt)
		}
	}
	for _, m := range list(o["messages"]) {
		f.messages = append(f.messages, message(m, ""))
	}
	mutable, said := o["mutable"].(bool)
	f.fixed = f.value != nil && (said && !mutable || f.name == "stateHandle")
	visible, said := o["visible"].(bool)
	// A fixed id without a label is nothing to show, even where the recording forgot to hide it.
	f.hidden = said && !visible || f.fixed && f.label == ""
	if f.kind == "" {
		f.kind = "string"
		if f.fields != nil || len(f.options) > 0 && f.options[0].fields != nil {
			f.kind = "object"
		}
	}
	return f
}

func (d *document) option(o map[string]any, depth int) *option {
	if o == nil {
		return nil
	}
	opt := &option{label: str(o["label"]), value: o["value"]}
	nested := obj(obj(o["value"])["form"])
	if nested == nil {
		nested = obj(o["form"]) // some recordings leave the value out
	}
	if nested != nil {
		opt.value, opt.fields = nil, d.fields(nested["value"], depth+1)
	} else if _, odd := o["value"].(map[string]any); odd || o["value"] == nil {
		return nil
	}
	id, _ := fixedValue(opt.fields, "id").(string)
	enrollment, _ := fixedValue(opt.fields, "enrollmentId").(string)
	path := str(o["relatesTo"])
	if node := d.resolve(path); node != nil {
		opt.authenticator = authenticator(node)
		if words(path)[0] == "authenticatorEnrollments" && enrollment == "" {
			enrollment = opt.authenticator.ID
		}
	} else if id != "" {
		opt.authenticator = &Authenticator{Name: opt.label}
	}
	if a := opt.authenticator; a != nil {
		if id != "" {
			a.ID = id
		}
		a.EnrollmentID = enrollment
	}
	return opt
}

func find(fields []*field, name string) *field {
	for _, f := range fields {
		if f.name == name {
			return f
		}
	}
	return nil
}

func fixedValue(fields []*field, name string) any {
	if f := find(fields, name); f != nil && f.fixed {
		return f.value
	}
	return nil
}

// resolve follows a relatesTo path such as $.authenticators.value[1]; nil if it leads nowhere. What it finds is
// unwrapped: {"type":"object","value":{...}} gives the inner object.
func (d *document) resolve(path string) map[string]any {
	steps := words(path)
	if len(steps) == 0 || len(steps) > maxDepth {
		return nil
	}
	var v any = d.root
	for _, step := range steps {
		switch at := v.(type) {
		case map[string]any:
			v = at[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(at) {
				return nil
			}
			v = at[i]
		default:
			return nil
		}
	}
	o := obj(v)
	if inner := obj(o["value"]); inner != nil {
		return inner
	}
	return o
}

// words splits $.a.value[1] into a, value, 1.
func words(path string) []string {
	path = strings.TrimPrefix(strings.TrimPrefix(path, "$"), ".")
	return strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
}

func authenticator(o map[string]any) *Authenticator {
	a := &Authenticator{
		ID:   str(o["id"]),
		Key:  str(o["key"]),
		Type: str(o["type"]),
		Name: str(o["displayName"]),
		Hint: hint(obj(o["profile"])),
	}
	for _, m := range list(o["methods"]) {
		if t := str(obj(m)["type"]); t != "" {
			a.Methods = append(a.Methods, t)
		}
	}
	if c := o["contextualData"]; c != nil {
		a.Challenge, _ = json.Marshal(c)
	}
	if s := o["settings"]; s != nil {
		a.Settings, _ = json.Marshal(s)
	}
	return a
}

func hint(profile map[string]any) string {
	for _, known := range []string{"phoneNumber", "email"} {
		if s := str(profile[known]); s != "" {
			return s
		}
	}
	for _, name := range slices.Sorted(maps.Keys(profile)) {
		if s := str(profile[name]); s != "" {
			return s
		}
	}
	return ""
}

func message(v any, path string) Message {
	o := obj(v)
	i18n := obj(o["i18n"])
	m := Message{Text: str(o["message"]), Key: str(i18n["key"]), Class: strings.ToUpper(str(o["class"])), Field: path}
	if params, ok := i18n["params"].([]any); ok && len(params) > 0 {
		m.Params = params
	}
	for _, l := range list(o["links"]) {
		if u := str(obj(l)["url"]); u != "" {
			m.Links = append(m.Links, Link{URL: u, Label: str(obj(l)["label"])})
		}
	}
	return m
}

// refusal tells whether a message means no. A wrong name is one in the mode that reveals it, whatever class it is sent
// with (INFO, with status 200): taken for progress, it would look like a sign-in under way.
func refusal(m Message) bool { return m.Class == "ERROR" || m.Key == "idx.unknown.user" }

// decode keeps numbers as they are written.
func decode(raw []byte) any {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return nil
	}
	return v
}

func obj(v any) map[string]any { o, _ := v.(map[string]any); return o }
func str(v any) string         { s, _ := v.(string); return s }
func truth(v any) bool         { b, _ := v.(bool); return b }

// list takes a collection, wrapped as {"type":"array","value":[...]} or bare.
func list(v any) []any {
	if o := obj(v); o != nil {
		v = o["value"]
	}
	l, _ := v.([]any)
	return l
}

func number(v any) int {
	n, _ := v.(json.Number)
	i, err := n.Int64()
	if err != nil || i < 0 || i > 1<<30 {
		return 0
	}
	return int(i)
}
