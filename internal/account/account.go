// Package account owns what people do about their own account: they change their password, see where they are signed
// in and end that, and read when the account was used.
//
// Everything is asked in a browser session, by its id, and judged by what was shown in that (S-04). How a password is
// judged is engine's business, how a session ends session's; the pages that ask are elsewhere.
package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/authn/password"
	"latchkey.dev/internal/engine"
	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/notice"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/session"
	"latchkey.dev/internal/store"
)

// Fresh is how old what was shown may be for a change that matters (S-04, S-38).
const Fresh = limit.Recent

// What is answered to somebody who cannot have what they ask for. All else is a fault of ours.
var (
	ErrSignedOut     = errors.New("account: nobody is signed in in that session")
	ErrStepUp        = errors.New("account: what was shown in the session is too old")
	ErrWrongPassword = errors.New("account: the password is wrong")
	ErrTooMany       = errors.New("account: too many tries")
	ErrNoPhone       = errors.New("account: the person has no phone")
	ErrNoSuchSession = errors.New("account: the person has no such session")
)

// A WeakError is a new password that will not do.
type WeakError struct{ Why Weakness }

func (e *WeakError) Error() string { return "account: the password will not do: " + string(e.Why) }

// A Weakness is why.
type Weakness string

// The weaknesses.
const (
	Length   Weakness = "length"
	Personal Weakness = "personal" // made of what is known of the person
	Common   Weakness = "common"
	Same     Weakness = "same" // as the one that it is to replace
)

// Config is what accounts need.
type Config struct {
	Store    store.DB
	Engine   *engine.Engine
	Browsers *session.Sessions
	Now      func() time.Time
}

// Accounts are those of all people.
type Accounts struct{ Config }

// New makes them.
func New(c Config) *Accounts { return &Accounts{c} }

// A visitor is who asks.
type visitor struct {
	session     store.Session
	user        ident.User
	enrollments []ident.Enrollment
}

// visitor reads who is signed in in a session. An application may be content with less than our own pages: who has shown only
// a part of what the person has is nobody here, and is asked for the rest when they sign in for the page.
func (a *Accounts) visitor(ctx context.Context, id string) (v visitor, err error) {
	if v.session, err = a.Browsers.ByID(ctx, id); err != nil {
		return v, err
	}
	err = a.Store.View(ctx, func(tx store.Tx) (err error) {
		if v.user, err = tx.User(ctx, v.session.User); err != nil {
			return err
		}
		v.enrollments, err = tx.Enrollments(ctx, v.session.User)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && v.user.Status != ident.Active:
		return v, ErrSignedOut
	case err != nil:
		return v, fmt.Errorf("account: %w", err)
	}
	for _, p := range v.session.Proofs {
		if e, ok := ident.Find(v.enrollments, p.Kind); ok && e.Created.After(p.At) {
			return v, ErrSignedOut // something that was shown is not what it was: the session outlived it by a race
		}
	}
	if !flow.Complete(v.session.Proofs, v.enrollments, 0, a.Now()) {
		return v, ErrSignedOut
	}
	return v, nil
}

// fresh reports that everything the person has was shown lately: a password alone does not do for who has a phone as well.
func (v visitor) fresh(now time.Time) bool {
	return flow.Complete(v.session.Proofs, v.enrollments, Fresh, now)
}

// A Profile is who somebody is, as they may see it.
type Profile struct {
	Name, Login, Email string
	Phone              string // masked (S-37)
	Zone               string
	Least              int  // how long a new password has to be
	Fresh              bool // what was shown is not too old for a change that matters
}

// Profile returns it.
func (a *Accounts) Profile(ctx context.Context, id string) (Profile, error) {
	v, err := a.visitor(ctx, id)
	if err != nil {
		return Profile{}, err
	}
	least, err := a.least(ctx)
	phone, _ := ident.Find(v.enrollments, ident.Phone)
	return Profile{
		Name: v.user.Name(), Login: v.user.Login, Email: v.user.Email, Phone: phone.Hint, Zone: v.user.Zone, Least: least, Fresh: v.fresh(a.Now()),
	}, err
}

// ChangePassword sets another password. It needs the one that it replaces and a complete sign-in that is not old, ends
// all other sessions and everything that applications hold, and tells the person (S-04). What it does is one commit. The
// visit goes on in a session in this one's place, under the value that it returns.
func (a *Accounts) ChangePassword(ctx context.Context, id string, current, next secret.Text) (secret.Text, error) {
	v, err := a.visitor(ctx, id)
	switch {
	case err != nil:
		return "", err
	case !v.fresh(a.Now()):
		return "", ErrStepUp
	case norm.NFC.String(current.Reveal()) == norm.NFC.String(next.Reveal()):
		return "", &WeakError{Same}
	}
	least, err := a.least(ctx)
	if err != nil {
		return "", err
	}
	if err := weak(next, least, v.user); err != nil { // before a try is counted, and before anything is hashed
		return "", err
	}
	value := secret.Random()
	err = a.Engine.Recheck(ctx, engine.Recheck{User: v.user.ID, Answer: current, Then: func(u ident.User, judged ident.Enrollment) (func(store.Tx) error, error) {
		hash, err := a.Engine.NewPassword(ctx, u, next)
		if err != nil {
			return nil, err
		}
		return func(tx store.Tx) error { return a.replace(ctx, tx, v.session, value, u, judged, hash) }, nil
	}})
	switch f := fault.As(err); {
	case err == nil:
		return value, nil
	case errors.Is(err, store.ErrStale), f.Kind == fault.Expired:
		return "", ErrSignedOut
	case f.Key == msg.AuthenticationFailed:
		return "", ErrWrongPassword
	case f.Kind == fault.Invalid: // what no password can be, the old one included
		return "", ErrWrongPassword
	case f.Kind == fault.Throttled:
		return "", ErrTooMany
	}
	return "", fmt.Errorf("account: %w", err)
}

// RemovePhone takes the phone off. It needs a complete sign-in that is not old, with the phone itself among what was
// shown; ends all other sessions and everything that applications hold, and tells the person (S-38). How another one
// is set up in its place is engine's business. The visit goes on as after [Accounts.ChangePassword].
func (a *Accounts) RemovePhone(ctx context.Context, id string) (secret.Text, error) {
	v, err := a.visitor(ctx, id)
	switch {
	case err != nil:
		return "", err
	case !v.fresh(a.Now()):
		return "", ErrStepUp
	}
	now, value := a.Now().UTC(), secret.Random()
	err = a.Store.Update(ctx, func(tx store.Tx) error {
		if err := a.Engine.DropFactor(ctx, tx, v.user, ident.Phone, v.session.ID, now); err != nil {
			return err
		}
		// What is gone proves nothing any more, in this session either.
		return a.renew(ctx, tx, v.session, value, func(shown []flow.Proof) []flow.Proof {
			return slices.DeleteFunc(slices.Clone(shown), func(p flow.Proof) bool { return p.Kind == ident.Phone })
		})
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return "", ErrNoPhone
	case errors.Is(err, store.ErrStale):
		return "", ErrSignedOut
	case err != nil:
		return "", fmt.Errorf("account: %w", err)
	}
	return value, nil
}

// renew puts another session in the place of one, with what is shown in it from now on (S-40): whoever has a copy of the
// cookie from before the change is out, and so is what they began by it. The session has to have the value that it was
// judged under. If it was raised or changed meanwhile in another tab, what was judged is not what is there, and two answers
// at once would not agree on the cookie.
func (a *Accounts) renew(ctx context.Context, tx store.Tx, judged store.Session, value secret.Text, shown func([]flow.Proof) []flow.Proof) error {
	s, err := tx.HoldSession(ctx, judged.ID)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && s.Value != judged.Value:
		return store.ErrStale
	case err != nil:
		return err
	}
	next := s
	next.ID, next.Value, next.Proofs = ident.NewID("ses"), secret.DigestOf(secret.SessionValue, value.Reveal()), shown(s.Proofs)
	return a.Engine.Renew(ctx, tx, s, next)
}

// replace puts the new password in the place of the one that was judged, if that is still there, and ends what was begun
// with it. The enrollment is a new one: a sign-in that is half done with the old password does not go on.
func (a *Accounts) replace(ctx context.Context, tx store.Tx, s store.Session, value secret.Text, u ident.User, judged ident.Enrollment, hash secret.Text) error {
	all, err := tx.Enrollments(ctx, u.ID)
	if err != nil {
		return err
	}
	if now, ok := ident.Find(all, ident.Password); !ok || now.ID != judged.ID || now.Secret != judged.Secret {
		return store.ErrStale
	}
	err = tx.DropEnrollment(ctx, judged.ID)
	if errors.Is(err, store.ErrNotFound) {
		return store.ErrStale // somebody else was replacing it
	}
	if err != nil {
		return err
	}
	now := a.Now().UTC()
	fresh := judged
	fresh.ID, fresh.Secret, fresh.Created = ident.EnrollmentID(ident.NewID("lae")), hash, now
	if err := tx.AddEnrollment(ctx, fresh); err != nil {
		return err
	}
	if _, err := tx.EndSessionsOf(ctx, u.ID, s.ID, now); err != nil {
		return err
	}
	// Who changed it has just shown it: this session goes on, and no other.
	if err := a.renew(ctx, tx, s, value, func(shown []flow.Proof) []flow.Proof {
		return flow.Merge(shown, []flow.Proof{{Kind: ident.Password, Method: ident.MethodPassword, At: now}})
	}); err != nil {
		return err
	}
	if _, err := tx.RevokeGrantsOf(ctx, u.ID, ""); err != nil {
		return err
	}
	if err := a.Engine.Tell(ctx, tx, u, notice.PasswordChanged, ""); err != nil {
		return err
	}
	return tx.Record(ctx, audit.Event{
		Type: audit.PasswordChanged, At: now, OK: true, User: string(u.ID), Target: string(ident.Password), Source: obs.SourceOf(ctx),
	})
}

// least is how long a new password has to be.
func (a *Accounts) least(ctx context.Context) (int, error) {
	var clients []oauth.Client
	err := a.Store.View(ctx, func(tx store.Tx) (err error) { clients, err = tx.Clients(ctx); return err })
	if err != nil {
		return 0, fmt.Errorf("account: %w", err)
	}
	return password.Least(oauth.TwoFactors(clients)), nil
}

// weak judges a new password, and says why it will not do.
func weak(next secret.Text, least int, u ident.User) error {
	err := password.Check(next, least, u.Login, u.GivenName, u.FamilyName)
	if err == nil {
		return nil
	}
	n := utf8.RuneCountInString(norm.NFC.String(next.Reveal()))
	switch f := fault.As(err); {
	case f.Key == msg.PasswordCommon:
		return &WeakError{Common}
	case f.Key == msg.Malformed, n < least, n > password.MaxLength:
		return &WeakError{Length}
	}
	return &WeakError{Personal}
}

// Sessions returns where the person is signed in, the last seen first.
func (a *Accounts) Sessions(ctx context.Context, id string) ([]store.Session, error) {
	v, err := a.visitor(ctx, id)
	if err != nil {
		return nil, err
	}
	return a.Browsers.Of(ctx, v.user.ID)
}

// EndSession ends one of the person's sessions, perhaps this one. The applications in it are told.
func (a *Accounts) EndSession(ctx context.Context, id, which string) error {
	v, err := a.visitor(ctx, id)
	if err != nil {
		return err
	}
	one, err := a.Browsers.ByID(ctx, which)
	switch {
	case err != nil:
		return err
	case one.ID == "" || one.User != v.user.ID: // one answer, so that nobody learns whose ids there are
		return ErrNoSuchSession
	}
	return a.Browsers.End(ctx, one, "by its owner")
}

// EndSessions signs the person out everywhere, here too, and takes from applications what they hold.
func (a *Accounts) EndSessions(ctx context.Context, id string) error {
	v, err := a.visitor(ctx, id)
	if err != nil {
		return err
	}
	_, err = a.Browsers.EndAll(ctx, v.user.ID, "", "all, by their owner")
	return err
}

// A SignIn is one that was completed.
type SignIn struct {
	At     time.Time
	App    string // what the application is called; empty for our own pages
	Source audit.Source
}

// recent is how many sign-ins are shown.
const recent = 20

// SignIns returns the last ones, newest first, as far back as the audit log goes.
func (a *Accounts) SignIns(ctx context.Context, id string) (all []SignIn, err error) {
	v, err := a.visitor(ctx, id)
	if err != nil {
		return nil, err
	}
	err = a.Store.View(ctx, func(tx store.Tx) error {
		found, err := tx.Search(ctx, store.AuditQuery{User: string(v.user.ID), Type: audit.SignedIn, Last: true}, recent)
		if err != nil {
			return err
		}
		clients, err := tx.Clients(ctx)
		if err != nil {
			return err
		}
		all = nil
		for _, e := range slices.Backward(found) {
			one := SignIn{At: e.At, App: e.Client, Source: e.Source}
			for _, c := range clients {
				if string(c.ID) == e.Client {
					one.App = c.Label
				}
			}
			all = append(all, one)
		}
		return nil
	})
	return all, err
}
