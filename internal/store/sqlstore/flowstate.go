package sqlstore

import (
	"encoding/json"
	"fmt"
	"time"

	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
)

// stateFormat is the version of stateRow that this binary writes. Raise it with every new field: an
// older binary then keeps what it does not know (decision 13). A change that an older binary must not
// carry on with also raises Needs.
const stateFormat = 4

// stateRow is a sign-in as it is stored, beside the columns that find it. Fields are added, never renamed
// and never given another meaning.
type stateRow struct {
	Format  int          `json:"format"`
	Needs   int          `json:"needs"` // the oldest format whose binary may go on with it
	Stage   flow.Stage   `json:"stage"`
	Request requestRow   `json:"request"`
	Created instant      `json:"created"`
	Seen    instant      `json:"seen"`
	Login   string       `json:"login"`
	User    ident.UserID `json:"user"`
	Proofs  []proofRow   `json:"proofs"`
	Skipped []ident.Kind `json:"skipped"`
	Current currentRow   `json:"current"`
	Outcome outcomeRow   `json:"outcome"`

	Borrowed bool `json:"borrowed"` // from format 4 on
}

type requestRow struct {
	Server    string         `json:"server"`
	Client    oauth.ClientID `json:"client"`
	Redirect  string         `json:"redirect"`
	Scopes    []string       `json:"scopes"`
	State     string         `json:"state"`
	Nonce     string         `json:"nonce"`
	Challenge string         `json:"challenge"`
	ACR       string         `json:"acr"`
	MaxAge    span           `json:"max_age"`
	Source    string         `json:"source"` // from format 2 on, like device
	Device    digest         `json:"device"`
	Ending    flow.Ending    `json:"ending,omitempty"` // from format 3 on, like what follows
	Mode      string         `json:"mode,omitempty"`
	Key       string         `json:"key,omitempty"`
	Subject   ident.UserID   `json:"subject,omitempty"`
	Session   string         `json:"session,omitempty"`
	Replace   ident.Kind     `json:"replace,omitempty"`
}

type proofRow struct {
	Kind   ident.Kind   `json:"kind"`
	Method ident.Method `json:"method"`
	At     instant      `json:"at"`
}

type currentRow struct {
	Kind       ident.Kind         `json:"kind"`
	Method     ident.Method       `json:"method"`
	Enrollment ident.EnrollmentID `json:"enrollment"`
	Challenge  flow.ChallengeID   `json:"challenge"`
	Number     string             `json:"number"`
	Hint       string             `json:"hint"`
}

type outcomeRow struct {
	At      instant `json:"at"`
	Answer  digest  `json:"answer"`
	Repeats int     `json:"repeats"`
}

func encodeState(s flow.State) []byte {
	row := stateRow{
		Format: stateFormat, Needs: 1,
		Stage: s.Stage, Created: instant(s.Created), Seen: instant(s.Seen), Login: s.Login, User: s.User, Skipped: s.Skipped,
		Request: requestRow{s.Request.Server, s.Request.Client, s.Request.Redirect, s.Request.Scopes, s.Request.State,
			s.Request.Nonce, s.Request.Challenge, s.Request.ACR, span(s.Request.MaxAge), s.Request.Source, digest(s.Request.Device),
			s.Request.Ending, s.Request.Mode, s.Request.Key, s.Request.Subject, s.Request.Session, s.Request.Replace},
		Current: currentRow{s.Current.Kind, s.Current.Method, s.Current.Enrollment, s.Current.Challenge,
			s.Current.Number.Reveal(), s.Current.Hint},
		Outcome: outcomeRow{instant(s.Outcome.At), digest(s.Outcome.Answer), s.Outcome.Repeats}, Borrowed: s.Borrowed,
	}
	if s.Request.Ending != flow.Interaction {
		row.Needs = 3 // a binary that knows no other ending would give a code of the wrong kind
	}
	row.Proofs = proofRowsOf(s.Proofs)
	return []byte(doc(row))
}

// decodeState fills s with what is in plain.
func decodeState(plain []byte, s *flow.State) error {
	var row stateRow
	if err := json.Unmarshal(plain, &row); err != nil {
		return err
	}
	if row.Needs > stateFormat {
		return fmt.Errorf("state format %d can be read from format %d on, this binary knows %d", row.Format, row.Needs, stateFormat)
	}
	r, c, o := row.Request, row.Current, row.Outcome
	s.Stage, s.Created, s.Seen = row.Stage, time.Time(row.Created), time.Time(row.Seen)
	s.Login, s.User, s.Skipped, s.Borrowed = row.Login, row.User, row.Skipped, row.Borrowed
	s.Request = flow.Request{Server: r.Server, Client: r.Client, Redirect: r.Redirect, Scopes: r.Scopes, State: r.State,
		Nonce: r.Nonce, Challenge: r.Challenge, ACR: r.ACR, MaxAge: time.Duration(r.MaxAge),
		Source: r.Source, Device: secret.Digest(r.Device), Ending: r.Ending, Mode: r.Mode, Key: r.Key, Subject: r.Subject, Session: r.Session, Replace: r.Replace}
	s.Current = flow.Current{Kind: c.Kind, Method: c.Method, Enrollment: c.Enrollment, Challenge: c.Challenge,
		Number: secret.Text(c.Number), Hint: c.Hint}
	s.Outcome = flow.Outcome{At: time.Time(o.At), Answer: secret.Digest(o.Answer), Repeats: o.Repeats}
	s.Proofs = proofsOf(row.Proofs)
	return nil
}

// mergeState lays our state over one that a newer binary wrote: what we know is ours, what we do not
// know stays as it was, and so does what the newer binary asks of its readers.
func mergeState(newer, ours []byte) ([]byte, error) {
	var under, over map[string]any
	if err := unmarshalExact(newer, &under); err != nil {
		return nil, err
	}
	if err := unmarshalExact(ours, &over); err != nil {
		return nil, err
	}
	delete(over, "format")
	delete(over, "needs")
	merge(under, over)
	return json.Marshal(under)
}

func merge(under, over map[string]any) {
	for name, v := range over {
		inner, ok := v.(map[string]any)
		if lower, both := under[name].(map[string]any); ok && both {
			merge(lower, inner)
			continue
		}
		under[name] = v
	}
}
