package idx

import (
	"encoding/json"
	"iter"
	"net/url"
	"time"
)

// A NextStep is one thing the engine accepts now: a form, a redirect, a poll or an action.
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
	Raw              json.RawMessage // as the engine sent it; it holds handles, do not log
}

// Fields are the visible leaves with their dotted paths, in order. Together with Option.Inputs they are enough to draw
// any form. An input with options is one leaf: what an option asks for in addition is in the option.
func (s *NextStep) Fields() iter.Seq2[string, Input] { return func(func(string, Input) bool) {} }

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

// Choose is the value of the input when this option is picked: what the option fixes (ids), plus what the caller adds.
func (o Option) Choose(extra Values) Values { return nil }

// A Message is something the engine has to say to the person.
type Message struct {
	Text   string // for people, in their language
	Key    string // the same in every language
	Class  string // ERROR, WARNING or INFO
	Field  string // dotted path of the input it belongs to; empty for the whole form
	Params []any
}
