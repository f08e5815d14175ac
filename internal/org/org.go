// Package org owns what an organisation is, and how it is changed.
//
// An organisation is its applications, its authorization servers, its authenticators, its groups and its
// people. A [File] says what the first four are to be, [Org.Apply] makes it so; people are changed one at a
// time ([Org.AddUser]) or by the million ([Org.Import]). Every change is one transaction together with its
// audit events, and what ends somebody's right to be here ends their tokens in the same commit (S-79).
//
// Nothing is built in: an empty database has nobody and lets nobody in (S-06).
package org

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/authn/password"
	"latchkey.dev/internal/authn/phone"
	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// Config is everything that changing an organisation needs.
type Config struct {
	Store     store.DB
	Passwords password.Params
	Now       func() time.Time
	Actor     string // who does it, for the audit log
	Mail      bool   // people are told by e-mail what was done to their account
	Host      string // where they sign in, as those e-mails say
}

// An Org changes an organisation.
type Org struct {
	Config
	passwords *password.Password
	phones    *phone.Phone // judges numbers, sends nothing
}

// New makes an Org.
func New(c Config) *Org {
	return &Org{Config: c, passwords: password.New(c.Passwords), phones: phone.New(phone.Config{})}
}

// A Refusal says in one sentence why something was not done.
type Refusal struct {
	Said  string
	cause error
}

func (r *Refusal) Error() string { return r.Said }
func (r *Refusal) Unwrap() error { return r.cause }

func refuse(format string, args ...any) error { return &Refusal{Said: fmt.Sprintf(format, args...)} }

// because makes a refusal of one of the store's three errors; any other error stays what it is.
func because(err, known error, format string, args ...any) error {
	if !errors.Is(err, known) {
		return err
	}
	return &Refusal{Said: fmt.Sprintf(format, args...), cause: err}
}

// words are what a fault says to a person at a prompt: its reason, which the pages keep for the log.
func words(err error) error {
	if f := (*fault.Fault)(nil); errors.As(err, &f) {
		return &Refusal{Said: f.Error(), cause: err}
	}
	return err
}

// event describes what the operator did.
func (o *Org) event(ctx context.Context, t audit.Type, e audit.Event) audit.Event {
	e.Type, e.OK, e.At, e.Actor, e.Source = t, true, o.Now().UTC(), o.Actor, obs.SourceOf(ctx)
	return e
}

// update runs f and records what it returns, in one commit.
func (o *Org) update(ctx context.Context, f func(store.Tx) ([]audit.Event, error)) error {
	return o.Store.Update(ctx, func(tx store.Tx) error {
		events, err := f(tx)
		if err != nil {
			return err
		}
		return tx.Record(ctx, events...)
	})
}

// turnName is a setting that everybody writes first who changes what is no person's: so they take turns, and
// the second sees what the first has done. Its value says when that was.
const turnName = "org.changed"

func (o *Org) turn(ctx context.Context, tx store.Tx) error {
	return tx.PutSetting(ctx, turnName, o.Now().UTC().Format(time.RFC3339))
}

// need returns an authenticator that people are about to be enrolled in. An organisation that was never told
// which there are begins with those of [Founding].
func need(ctx context.Context, tx store.Tx, k ident.Kind) (ident.Authenticator, error) {
	all, err := tx.Authenticators(ctx)
	if err != nil {
		return ident.Authenticator{}, err
	}
	if len(all) == 0 {
		for _, a := range Founding().Authenticators {
			put := a.authenticator(ident.AuthenticatorID(ident.NewID("aut")))
			if err := tx.PutAuthenticator(ctx, put); err != nil {
				return ident.Authenticator{}, err
			}
			all = append(all, put)
		}
	}
	i := slices.IndexFunc(all, func(a ident.Authenticator) bool { return a.Kind == k })
	if i < 0 {
		return ident.Authenticator{}, refuse("the organisation has no %s authenticator", k)
	}
	return all[i], nil
}

// enrollment binds an authenticator to a user.
func (o *Org) enrollment(a ident.Authenticator, u ident.UserID, m ident.Method, kept secret.Text, hint string) ident.Enrollment {
	prefix := "lae"
	if a.Kind == ident.Phone {
		prefix = "sms"
	}
	return ident.Enrollment{
		ID: ident.EnrollmentID(ident.NewID(prefix)), User: u, Authenticator: a.ID, Kind: a.Kind, Method: m,
		Secret: kept, Hint: hint, Created: o.Now().UTC(),
	}
}
