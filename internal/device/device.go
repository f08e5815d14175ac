// Package device owns the devices that have no browser and wait to be let in (RFC 8628).
//
// A device gets a code for itself and a short one for its screen ([Desk.Open]). A person who is signed in somewhere
// else types the short one, sees what waits behind it ([Desk.Look]), and decides ([Desk.Decide]). That the device then
// fetches its tokens is the token endpoint's business, and who is signed in is a session's.
package device

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/policy"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// Lifetime is how long a device waits, and Interval how long between two questions whether it may come in. Whoever
// asks too soon waits Interval longer from then on (RFC 8628 3.5).
const (
	Lifetime = 10 * time.Minute
	Interval = 5 * time.Second
)

// What a person is refused for.
var (
	// ErrUnknown does not say whether a code was never given out, is over, or was decided about: whoever guesses learns nothing.
	ErrUnknown = errors.New("device: nothing waits behind this code")
	// ErrWeak: the person proved less than this application asks for.
	ErrWeak = errors.New("device: the application asks for more proof than there is")
)

// letters make words of no language, and none of them looks like another (RFC 8628 6.1). Eight of twenty are 34.5
// bits. A code guessed right is no way in: it lets the guesser's own account into somebody else's device, and that
// for ten minutes, and op counts guesses by who makes them and whence. There is nothing to count by code: a wrong one
// is nobody's, and if it counted against all that wait, a stranger could keep everybody out.
const (
	letters = "BCDFGHJKLMNPQRSTVWXZ"
	length  = 8
)

// NewUserCode makes eight letters, folded.
func NewUserCode() secret.Text {
	code := make([]byte, length)
	for i := range code {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
		if err != nil {
			panic("device: " + err.Error()) // the system's source does not fail
		}
		code[i] = letters[n.Int64()]
	}
	return secret.Text(code)
}

// Fold reads a code as people type it: in any case, with or without the dash. ok is false for what can be none.
func Fold(typed string) (code secret.Text, ok bool) {
	folded := strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToUpper(typed))
	return secret.Text(folded), len(folded) == length && strings.Trim(folded, letters) == ""
}

// Show writes a folded code as it is shown: WDJB-MJHT.
func Show(code secret.Text) string { return code.Reveal()[:length/2] + "-" + code.Reveal()[length/2:] }

// Config is what a desk is made of.
type Config struct {
	Store store.DB
	Now   func() time.Time
}

// A Desk is where devices wait.
type Desk struct{ Config }

// New makes a desk.
func New(c Config) *Desk { return &Desk{c} }

// Asked is what a device asks for, after its client and its scopes were judged.
type Asked struct {
	Server string
	Client oauth.ClientID
	Scopes []string
}

// Codes are what a device gets.
type Codes struct{ Device, User secret.Text }

// Open lets a device wait.
func (d *Desk) Open(ctx context.Context, a Asked) (Codes, error) {
	now := d.Now().UTC()
	for range 3 { // that a short code is taken is rare, and three times in a row is a mistake
		c := Codes{secret.Random(), NewUserCode()}
		err := d.Store.Update(ctx, func(tx store.Tx) error {
			return tx.AddDevice(ctx, store.Device{
				Digest: secret.DigestOf(secret.DeviceCode, c.Device.Reveal()), UserCode: c.User,
				Server: a.Server, Client: a.Client, Scopes: a.Scopes, Created: now, Expires: now.Add(Lifetime), Wait: Interval,
			})
		})
		if !errors.Is(err, store.ErrExists) {
			return c, err
		}
	}
	return Codes{}, errors.New("device: no code is free")
}

// A Person is somebody who is signed in, as their session says.
type Person struct {
	User     ident.UserID
	AuthTime time.Time
	AMR      []string
	ACR      string
	Session  string        // sid
	Value    secret.Digest // of its cookie, when they were judged
}

// PersonOf is who is signed in in a session, by what they showed there.
func PersonOf(s store.Session) Person {
	shown := flow.State{Proofs: s.Proofs}
	return Person{User: s.User, AuthTime: shown.AuthTime(), AMR: policy.AMR(shown.Methods()), Session: s.ID, Value: s.Value}
}

// Waiting is what a person is asked about.
type Waiting struct {
	Client oauth.Client
	Scopes []string
}

// Look tells a person what waits behind a folded code. With ErrWeak comes what it is, so that they can sign in again.
func (d *Desk) Look(ctx context.Context, code secret.Text, p Person) (w Waiting, err error) {
	err = d.Store.View(ctx, func(tx store.Tx) (err error) {
		_, w, err = d.look(ctx, tx, code, p)
		return err
	})
	return w, err
}

func (d *Desk) look(ctx context.Context, tx store.Tx, code secret.Text, p Person) (dev store.Device, w Waiting, err error) {
	if dev, err = tx.DeviceByUserCode(ctx, code); err != nil {
		return dev, w, unknown(err)
	}
	if !dev.Decided.IsZero() || !d.Now().Before(dev.Expires) {
		return dev, w, ErrUnknown
	}
	client, err := tx.Client(ctx, dev.Client)
	if err != nil {
		return dev, w, unknown(err)
	}
	if client.Disabled || !client.May(oauth.DeviceCode) {
		return dev, w, ErrUnknown
	}
	user, err := tx.User(ctx, p.User)
	if err != nil {
		return dev, w, unknown(err)
	}
	if user.Status != ident.Active {
		return dev, w, ErrUnknown
	}
	enrolled, err := tx.Enrollments(ctx, p.User)
	if err != nil {
		return dev, w, err
	}
	w = Waiting{client, dev.Scopes}
	if !p.satisfies(client.Policy, enrolled) {
		return dev, w, ErrWeak
	}
	return dev, w, nil
}

func unknown(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return ErrUnknown
	}
	return err
}

// satisfies judges a sign-in that was made for one application by the policy of another. What that one offers may be
// skipped, and here it is; what is enrolled it asks for.
func (p Person) satisfies(asks policy.Policy, enrolled []ident.Enrollment) bool {
	h := policy.Have{Skipped: asks.Offer}
	for _, e := range enrolled {
		h.Enrolled = append(h.Enrolled, e.Kind)
		if said := policy.AMR([]ident.Method{e.Method}); slices.Contains(p.AMR, said[0]) {
			h.Proved = append(h.Proved, e.Kind)
		}
	}
	return asks.Need(h).Met()
}

// Decide lets the device in, or not. The first decision stands. The session that decides is held until that is
// committed: whoever ends it, and with it everything that it gave, is either before or finds what there is to take away.
// What it shows by then is what counts, and only for who came with the cookie that it has by then (S-40).
func (d *Desk) Decide(ctx context.Context, code secret.Text, p Person, allow bool) error {
	now := d.Now().UTC()
	return d.Store.Update(ctx, func(tx store.Tx) error {
		s, err := tx.HoldSession(ctx, p.Session)
		if err != nil {
			return unknown(err)
		}
		held := PersonOf(s)
		held.ACR = p.ACR
		if held.User != p.User || held.Value != p.Value || !now.Before(s.Expires) {
			return ErrUnknown
		}
		dev, w, err := d.look(ctx, tx, code, held)
		if err != nil && (allow || !errors.Is(err, ErrWeak)) { // to say no, nobody has to prove more
			return err
		}
		e := audit.Event{Type: audit.DeviceDenied, At: now, User: string(held.User), Client: string(w.Client.ID), Source: obs.SourceOf(ctx)}
		var g oauth.Grant
		if allow {
			g = oauth.Grant{
				ID: oauth.GrantID(ident.NewID("oar")), Server: dev.Server, Client: dev.Client, User: held.User, Scopes: dev.Scopes,
				AuthTime: held.AuthTime, AMR: held.AMR, ACR: held.ACR, Session: held.Session, Created: now,
			}
			e.Type, e.OK, e.GrantID = audit.DeviceAllowed, true, string(g.ID)
		}
		err = tx.DecideDevice(ctx, code, g, now)
		if errors.Is(err, store.ErrSpent) || errors.Is(err, store.ErrNotFound) {
			return ErrUnknown // somebody was faster
		}
		if err != nil {
			return fmt.Errorf("device: deciding: %w", err)
		}
		return tx.Record(ctx, e)
	})
}
