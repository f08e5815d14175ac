package idx

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"
)

// A Transaction is one snapshot of one sign-in. It never changes: each call on a [Client] returns the next one.
type Transaction struct{ doc *snapshot }

// A snapshot is everything a sign-in needs to go on.
type snapshot struct {
	client   string // fingerprint of issuer and client id
	handle   string // interaction handle
	again    string // state handle, once a Restart has ended what the interaction handle led to
	state    string
	nonce    string
	verifier string // PKCE
	adopted  bool   // somebody else began it, and has the verifier
	maxAge   *int64 // as asked for at the start

	doc      *document // nil while parked
	code     string    // interaction code, also when it came with a callback
	expires  time.Time
	canceled bool
	carried  []Message // of steps that a Continue passed on its way
	unused   []string
}

// Status says how a transaction stands.
type Status string

const (
	StatusPending  Status = "PENDING"  // something is asked: see NextStep
	StatusSuccess  Status = "SUCCESS"  // there is an interaction code to exchange, or a RedirectURL to go to
	StatusTerminal Status = "TERMINAL" // nothing more can be done here; Messages say why
	StatusCanceled Status = "CANCELED"
	StatusParked   Status = "PARKED" // opened by a Sealer; the next call reads it first
)

func (t *Transaction) valid() bool { return t != nil && t.doc != nil }

// Status says how the transaction stands.
func (t *Transaction) Status() Status {
	switch {
	case !t.valid():
		return StatusTerminal
	case t.doc.canceled:
		return StatusCanceled
	case t.doc.code != "":
		return StatusSuccess
	case t.doc.doc == nil:
		return StatusParked
	case t.RedirectURL() != nil:
		return StatusSuccess
	case len(t.doc.doc.forms) == 0:
		return StatusTerminal
	}
	return StatusPending
}

// document is what steps are read from; nil if there is none or it counts no more.
func (t *Transaction) document() *document {
	if !t.valid() || t.doc.canceled || t.doc.code != "" {
		return nil
	}
	return t.doc.doc
}

// NextStep is the step that the engine lists first; nil if there is none.
func (t *Transaction) NextStep() *NextStep {
	if d := t.document(); d != nil && len(d.forms) > 0 {
		return d.view(d.forms[0])
	}
	return nil
}

// Steps are all steps on offer: first the forms in the engine's order, then the actions beside them, by name.
func (t *Transaction) Steps() []*NextStep {
	d := t.document()
	if d == nil {
		return nil
	}
	var steps []*NextStep
	for _, f := range slices.Concat(d.forms, d.actions) {
		steps = append(steps, d.view(f))
	}
	return steps
}

// Step finds a step by its wire name.
func (t *Transaction) Step(name string) (*NextStep, bool) {
	if d := t.document(); d != nil {
		if f := d.find(name); f != nil {
			return d.view(f), true
		}
	}
	return nil, false
}

// Messages are all messages of the document, those of single fields included.
func (t *Transaction) Messages() []Message {
	if !t.valid() {
		return nil
	}
	all := slices.Clone(t.doc.carried)
	if t.doc.doc != nil {
		all = append(all, t.doc.doc.allMessages()...)
	}
	return distinct(all)
}

// allMessages are the document's own and those of its fields, with their paths.
func (d *document) allMessages() []Message {
	all := slices.Clone(d.messages)
	for _, f := range d.forms {
		all = append(all, fieldMessages(f.fields, "")...)
	}
	return distinct(all)
}

func fieldMessages(fields []*field, path string) []Message {
	var all []Message
	for _, f := range fields {
		p := join(path, f.name)
		for _, m := range f.messages {
			m.Field = p
			all = append(all, m)
		}
		all = append(all, fieldMessages(f.fields, p)...)
		for _, o := range f.options {
			all = append(all, fieldMessages(o.fields, p)...)
		}
	}
	return all
}

// distinct says each thing once, at a field if it was said there.
func distinct(messages []Message) []Message {
	var out []Message
	for _, m := range messages {
		i := slices.IndexFunc(out, func(n Message) bool { return n.Key == m.Key && n.Text == m.Text })
		switch {
		case i < 0:
			out = append(out, m)
		case out[i].Field == "":
			out[i] = m
		}
	}
	return out
}

// Unused names the answers that the last Continue found no use for.
func (t *Transaction) Unused() []string {
	if !t.valid() {
		return nil
	}
	return slices.Clone(t.doc.unused)
}

// State tells the sign-ins of one browser apart: put it in the cookie's name or the session's key.
func (t *Transaction) State() string {
	if !t.valid() {
		return ""
	}
	return t.doc.state
}

// ExpiresAt is when the engine forgets the transaction, as far as it has said.
func (t *Transaction) ExpiresAt() time.Time {
	if !t.valid() {
		return time.Time{}
	}
	return t.doc.expires
}

// Intent is what the engine takes the person to be doing: LOGIN, ENROLL_NEW_USER, CREDENTIAL_RECOVERY and so on.
func (t *Transaction) Intent() string { return str(t.at("intent")) }

// Identifier is the name the person signs in with, once the engine shows it.
func (t *Transaction) Identifier() string { return str(t.at("user", "value", "identifier")) }

// App is the display name of the application that is signed in to, if the engine gives it.
func (t *Transaction) App() string { return str(t.at("app", "value", "label")) }

func (t *Transaction) at(path ...string) any {
	if !t.valid() || t.doc.doc == nil {
		return nil
	}
	var v any = t.doc.doc.root
	for _, name := range path {
		v = obj(v)[name]
	}
	return v
}

// InteractionCode is present on success. Exchange spends it; hand it on only if something else redeems it.
func (t *Transaction) InteractionCode() string {
	if !t.valid() || t.doc.canceled {
		return ""
	}
	return t.doc.code
}

// RedirectURL is where the browser has to go with its success, if the sign-in was one on the engine's own pages (see
// [Client.Adopt]); there is no interaction code then. Its origin is the engine's choice: whoever trusts only one compares.
func (t *Transaction) RedirectURL() *url.URL {
	if !t.valid() || t.doc.canceled || t.doc.doc == nil {
		return nil
	}
	u, err := url.Parse(t.doc.doc.leave)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil
	}
	return u
}

// Raw is the engine's document. It holds handles: do not log it.
func (t *Transaction) Raw() json.RawMessage {
	if !t.valid() || t.doc.doc == nil {
		return nil
	}
	return slices.Clone(t.doc.doc.raw)
}

// next is t with another document. What the last document did not say, such as the expiry, stays.
func (t *Transaction) next(d *document) *Transaction {
	s := *t.doc
	s.doc, s.code, s.carried, s.unused, s.canceled = d, d.code, nil, nil, false
	if !d.expiresAt.IsZero() {
		s.expires = d.expiresAt
	}
	return &Transaction{&s}
}

// with is t with something changed.
func (t *Transaction) with(change func(*snapshot)) *Transaction {
	s := *t.doc
	change(&s)
	return &Transaction{&s}
}

// secrets are what must never show in an error or a log.
func (t *Transaction) secrets() []string {
	s := []string{t.doc.handle, t.doc.again, t.doc.verifier, t.doc.nonce, t.doc.code}
	if t.doc.doc != nil {
		s = append(s, t.doc.doc.stateHandle)
	}
	return s
}

// kept is the form of a snapshot outside memory. The names are short because Sealer's cookie is.
type kept struct {
	Version  int             `json:"v"`
	Client   string          `json:"k"`
	Handle   string          `json:"h"`
	Again    string          `json:"a,omitempty"`
	State    string          `json:"s"`
	Nonce    string          `json:"n"`
	Verifier string          `json:"p,omitempty"`
	Adopted  bool            `json:"o,omitempty"`
	MaxAge   *int64          `json:"m,omitempty"`
	Expires  int64           `json:"e,omitempty"` // milliseconds
	Code     string          `json:"c,omitempty"`
	Canceled bool            `json:"x,omitempty"`
	Document json.RawMessage `json:"d,omitempty"`
	Carried  []Message       `json:"g,omitempty"`
	Unused   []string        `json:"u,omitempty"`
}

const keptVersion = 1

// keep is what Sealer needs: all that the engine cannot tell us again.
func (s *snapshot) keep() kept {
	k := kept{Version: keptVersion, Client: s.client, Handle: s.handle, Again: s.again, State: s.state, Nonce: s.nonce,
		Verifier: s.verifier, Adopted: s.adopted, MaxAge: s.maxAge, Code: s.code, Canceled: s.canceled}
	if !s.expires.IsZero() {
		k.Expires = s.expires.UnixMilli()
	}
	return k
}

// Snapshot is everything, in clear, for a session kept on the server. Restore reads it back without a request.
func (t *Transaction) Snapshot() ([]byte, error) {
	if !t.valid() {
		return nil, ErrNoTransaction
	}
	k := t.doc.keep()
	k.Carried, k.Unused = t.doc.carried, t.doc.unused
	if t.doc.doc != nil {
		k.Document = t.doc.doc.raw
	}
	return json.Marshal(k)
}

// Restore reads what Snapshot wrote.
func Restore(snapshot []byte) (*Transaction, error) {
	t, err := restore(snapshot)
	if err != nil {
		return nil, fmt.Errorf("%w: the snapshot cannot be read: %w", ErrNoTransaction, err)
	}
	return t, nil
}

func restore(text []byte) (*Transaction, error) {
	var k kept
	if err := json.Unmarshal(text, &k); err != nil {
		return nil, errors.New("it is not JSON of the right shape") // the decoder's own words may quote it
	}
	if k.Version != keptVersion {
		return nil, fmt.Errorf("it has version %d", k.Version)
	}
	if k.Client == "" || k.Handle == "" || k.State == "" || k.Verifier == "" && !k.Adopted {
		return nil, errors.New("it is not complete")
	}
	s := &snapshot{client: k.Client, handle: k.Handle, again: k.Again, state: k.State, nonce: k.Nonce, verifier: k.Verifier, adopted: k.Adopted,
		maxAge: k.MaxAge, code: k.Code, canceled: k.Canceled, carried: k.Carried, unused: k.Unused}
	if k.Expires != 0 {
		s.expires = time.UnixMilli(k.Expires).UTC()
	}
	if k.Document != nil {
		d, err := parse(k.Document)
		if err != nil {
			return nil, err
		}
		s.doc = d
	}
	return &Transaction{s}, nil
}
