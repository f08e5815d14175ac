package idx

import (
	"encoding/json"
	"iter"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// A NextStep is one thing the engine accepts now: a form, a redirect, a poll or an action. It is a copy: changing it
// changes nothing.
type NextStep struct {
	Name             string
	Action           bool    // a door beside the forms: cancel, currentAuthenticator-resend, ...
	Inputs           []Input // all but the state handle, hidden ones included
	Authenticator    *Authenticator
	IdentityProvider *IdentityProvider // of a redirect to one
	Redirect         *url.URL          // send the browser there; such a step cannot be posted
	PollEvery        time.Duration     // the engine's interval, if the step can be polled
	CanSkip          bool
	CanResend        bool
	Raw              json.RawMessage `json:"-"` // as the engine sent it; it holds handles, do not log
}

// An Authenticator is something a person can prove themselves with, or what they enrolled of it.
type Authenticator struct {
	ID           string
	EnrollmentID string
	Key          string // okta_password, phone_number, ...: data, not a closed list
	Type         string // password, phone, email, app, security_key, ...
	Name         string // for people
	Hint         string // the masked phone number or address
	Methods      []string
	Challenge    json.RawMessage // QR code, WebAuthn options, security question, ...
	Settings     json.RawMessage // password rules and the like
}

// An IdentityProvider is where a redirect step leads.
type IdentityProvider struct{ ID, Name, Type string }

// An Input is one value a step takes, or a group of them.
type Input struct {
	Name      string
	Label     string
	Type      string // string, boolean or object
	Hint      string // what a script is to fill in: webauthn, captcha
	Required  bool
	Secret    bool
	Hidden    bool // not for people: a script or the application fills it
	ReadOnly  bool // fixed by the engine, sent back as it is
	MinLength int
	MaxLength int
	Default   any
	Inputs    []Input  // nested form
	Options   []Option // pick one
	Messages  []Message
}

// An Option is one way to fill an input. Either it has a Value, or it has Inputs of its own.
type Option struct {
	Label         string
	Value         any
	Inputs        []Input
	Authenticator *Authenticator
}

// A Message is something the engine has to say to the person.
type Message struct {
	Text   string // for people, in their language
	Key    string // the same in every language
	Class  string // ERROR, WARNING or INFO
	Field  string // dotted path of the input it belongs to; empty for the whole form
	Params []any
	Links  []Link
}

// A Link is a place where the person can read more.
type Link struct{ URL, Label string }

// Fields are the visible leaves with their dotted paths, in order. Together with Option.Inputs they are enough to draw
// any form. An input with options is one leaf: what an option asks for in addition is in the option.
func (s *NextStep) Fields() iter.Seq2[string, Input] {
	return func(yield func(string, Input) bool) {
		if s != nil {
			leaves(s.Inputs, "", yield)
		}
	}
}

func leaves(inputs []Input, prefix string, yield func(string, Input) bool) bool {
	for _, in := range inputs {
		switch {
		case in.Hidden:
		case len(in.Inputs) > 0 && len(in.Options) == 0:
			if !leaves(in.Inputs, prefix+in.Name+".", yield) {
				return false
			}
		case !yield(prefix+in.Name, in):
			return false
		}
	}
	return true
}

// Choose is the value of the input when this option is picked: what the option fixes (ids), plus what the caller adds.
// It is for options with inputs; one with a Value is picked by that value.
func (o Option) Choose(extra Values) Values {
	v := Values{}
	for _, in := range o.Inputs {
		if in.ReadOnly {
			v[in.Name] = in.Default
		}
	}
	maps.Copy(v, extra)
	return v
}

// view is the public face of f within d.
func (d *document) view(f *form) *NextStep {
	s := &NextStep{
		Name:          f.name,
		Action:        f.action,
		Inputs:        inputs(f.fields),
		Authenticator: f.authenticator.clone(),
		PollEvery:     d.pollEvery(f),
		CanSkip:       d.find("skip") != nil,
		CanResend:     d.resend() != nil,
		Raw:           slices.Clone(f.raw),
	}
	if f.provider != nil {
		p := *f.provider
		s.IdentityProvider = &p
	}
	if f.redirect {
		// Only a browser goes there, never this package, so the origin is the engine's business; a script is not.
		if u, err := url.Parse(f.href); err == nil && (u.Scheme == "https" || u.Scheme == "http") {
			s.Redirect = u
		}
	}
	return s
}

func (d *document) find(name string) *form {
	for _, fs := range [][]*form{d.forms, d.actions} {
		for _, f := range fs {
			if f.name == name {
				return f
			}
		}
	}
	return nil
}

// resend prefers the action of the authenticator at hand to a form of that name, which repeats a push.
func (d *document) resend() *form {
	for _, f := range d.actions {
		if strings.HasSuffix(f.name, "-resend") {
			return f
		}
	}
	return d.find("resend")
}

// poll is the form to ask again whether something has happened, and how often.
func (d *document) poll() *form {
	for _, fs := range [][]*form{d.forms, d.actions} {
		for _, f := range fs {
			if !f.redirect && (f.refresh > 0 || f.name == "poll" || strings.HasSuffix(f.name, "-poll")) {
				return f
			}
		}
	}
	return nil
}

const pollFloor = time.Second

// pollEvery is never under a second, and never zero for what can be polled.
func (d *document) pollEvery(f *form) time.Duration {
	if f.refresh == 0 && f.member != "" {
		if p := d.find(f.member + "-poll"); p != nil {
			f = p
		}
	}
	switch {
	case f.refresh > 0:
		return max(f.refresh, pollFloor)
	case f.name == "poll" || strings.HasSuffix(f.name, "-poll"):
		return 4 * time.Second
	}
	return 0
}

func inputs(fields []*field) []Input {
	var in []Input
	for _, f := range fields {
		if f.name != "stateHandle" {
			in = append(in, f.view())
		}
	}
	return in
}

func (f *field) view() Input {
	in := Input{
		Name: f.name, Label: f.label, Type: f.kind, Hint: f.hint,
		Required: f.required, Secret: f.secret, Hidden: f.hidden, ReadOnly: f.fixed,
		MinLength: f.minLength, MaxLength: f.maxLength,
		Default: f.value, Inputs: inputs(f.fields), Messages: slices.Clone(f.messages),
	}
	for _, o := range f.options {
		in.Options = append(in.Options, Option{Label: o.label, Value: o.value, Inputs: inputs(o.fields), Authenticator: o.authenticator.clone()})
	}
	return in
}

func (a *Authenticator) clone() *Authenticator {
	if a == nil {
		return nil
	}
	b := *a
	b.Methods, b.Challenge, b.Settings = slices.Clone(a.Methods), slices.Clone(a.Challenge), slices.Clone(a.Settings)
	return &b
}
