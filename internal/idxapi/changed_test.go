package idxapi_test

import (
	"errors"
	"testing"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/authn"
	"latchkey.dev/internal/authn/password"
	"latchkey.dev/internal/engine"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// A late plug-in is one after whose verdict something happens, once, before anybody has acted on it.
type late struct {
	authn.Authenticator
	calls int
	then  func()
}

func (l *late) Verify(in authn.In) (authn.Verdict, error) {
	l.calls++
	v, err := l.Authenticator.Verify(in)
	if then := l.then; then != nil {
		l.then = nil
		then()
	}
	return v, err
}

// lateCode is one for codes.
type lateCode struct {
	authn.Coder
	*late
}

// lately puts a late plug-in before that for passwords, and perhaps one before that for codes.
func lately(pw, code *late) option {
	return func(c *engine.Config) {
		pw.Authenticator = c.Plugins[0]
		c.Plugins[0] = pw
		if code != nil {
			code.Authenticator = c.Plugins[1]
			c.Plugins[1] = lateCode{c.Plugins[1].(authn.Coder), code}
		}
	}
}

// change writes what somebody else does meanwhile.
func (h *house) change(f func(store.Tx) error) {
	h.t.Helper()
	if err := h.db.Update(h.t.Context(), f); err != nil {
		h.t.Fatal(err)
	}
}

// setPassword gives Mary or Paul another password, and ends what was begun with the one before.
func (h *house) setPassword(name, pass string) {
	h.t.Helper()
	ctx, user := h.t.Context(), ident.UserID("00u1"+name)
	h.change(func(tx store.Tx) error {
		if err := tx.DropEnrollment(ctx, ident.EnrollmentID("lae1"+name)); err != nil {
			return err
		}
		if err := tx.AddEnrollment(ctx, ident.Enrollment{ID: ident.EnrollmentID("lae2" + name), User: user, Authenticator: "aut1password",
			Kind: ident.Password, Method: ident.MethodPassword, Secret: cheapPassword.Hash(secret.Text(pass)), Created: h.clock()}); err != nil {
			return err
		}
		_, err := tx.EndSessionsOf(ctx, user, "", h.clock())
		_, e := tx.RevokeGrantsOf(ctx, user, "")
		return errors.Join(err, e)
	})
}

func (h *house) suspend(name string) {
	h.t.Helper()
	h.change(func(tx store.Tx) error {
		u, err := tx.User(h.t.Context(), ident.UserID("00u1"+name))
		u.Status = ident.Suspended
		return errors.Join(err, tx.PutUser(h.t.Context(), u))
	})
}

// outdate keeps the password of somebody under parameters that are not today's, so that it is hashed again.
func (h *house) outdate(name string) {
	h.t.Helper()
	old := password.New(password.Params{Memory: 32, Time: 1, Threads: 1})
	h.change(func(tx store.Tx) error {
		return tx.PutEnrollment(h.t.Context(), ident.Enrollment{ID: ident.EnrollmentID("lae1" + name), Secret: old.Hash(password1)})
	})
}

func TestS79_WhatWasJudgedIsStillSoWhenItIsCommitted(t *testing.T) {
	for name, meanwhile := range map[string]func(*house){
		"another password": func(h *house) { h.setPassword("mary", "seven purple lanterns") },
		"another password, and the old one was to be hashed again": func(h *house) { h.setPassword("mary", "seven purple lanterns") },
		"suspended": func(h *house) { h.suspend("mary") },
		"deleted":   func(h *house) { h.change(func(tx store.Tx) error { return tx.DropUser(h.t.Context(), "00u1mary") }) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, client := range []oauth.ClientID{"0oa1one", "0oa1seed", "0oa1nameonly", "0oa1name"} {
				t.Run(string(client), func(t *testing.T) {
					var pw late
					h := build(t, lately(&pw, nil))
					if name == "another password, and the old one was to be hashed again" {
						h.outdate("mary")
					}
					v, _ := h.begin(client)
					pw.then = func() { meanwhile(h) }
					if client == "0oa1one" || client == "0oa1seed" {
						v.identify(mary, password1).want(t, 401, "identify").message(t, "errors.E0000004", "")
					} else {
						v.post("identify", map[string]any{"identifier": mary}).want(t, 200, "challenge-authenticator", "select-authenticator-authenticate")
						if a := v.code(password1); a.status != 401 {
							t.Errorf("answered %d: %s", a.status, a.raw)
						}
					}
					if n := h.happened(t, audit.SignedIn) + h.happened(t, audit.PasswordOK); n != 0 {
						t.Errorf("%d events of a sign-in", n)
					}
				})
			}
		})
	}
}

func TestS79_TheNewPasswordOpensWhatTheOldOneDoesNot(t *testing.T) {
	var pw late
	h := build(t, lately(&pw, nil))
	v, _ := h.begin("0oa1one")
	pw.then = func() { h.setPassword("mary", "seven purple lanterns") }
	v.identify(mary, password1).want(t, 401, "identify")
	if a := v.identify(mary, "seven purple lanterns"); a.doc["successWithInteractionCode"] == nil {
		t.Errorf("answered %d: %s", a.status, a.raw)
	}
}

func TestS01_TwoSignInsHashAgainAtOnce(t *testing.T) {
	for _, client := range []oauth.ClientID{"0oa1one", "0oa1nameonly"} {
		var pw late
		h := build(t, lately(&pw, nil))
		h.outdate("mary")
		v, _ := h.begin(client)
		if client == "0oa1nameonly" {
			v.post("identify", map[string]any{"identifier": mary})
		}
		pw.then = func() { // the other one is done first
			h.change(func(tx store.Tx) error {
				return tx.PutEnrollment(h.t.Context(), ident.Enrollment{ID: "lae1mary", Secret: cheapPassword.Hash(password1)})
			})
		}
		prove := func() answer { return v.identify(mary, password1) }
		if client == "0oa1nameonly" {
			prove = func() answer { return v.code(password1) }
		}
		got := prove()
		if got.doc["successWithInteractionCode"] == nil || pw.calls != 2 {
			t.Errorf("%s: %d hashes, answered %d: %s", client, pw.calls, got.status, got.raw)
		}
	}
}

func TestS79_ACodeEndsNothingThatBeganWithAPasswordThatIsGone(t *testing.T) {
	for name, meanwhile := range map[string]func(*house){
		"another password": func(h *house) { h.setPassword("paul", "seven purple lanterns") },
		"another phone": func(h *house) {
			h.change(func(tx store.Tx) error { return tx.DropEnrollment(h.t.Context(), "sms1paul") })
		},
		"suspended": func(h *house) { h.suspend("paul") },
	} {
		t.Run(name, func(t *testing.T) {
			var pw, ph late
			h := build(t, lately(&pw, &ph))
			v := h.atCode()
			ph.then = func() { h.advance(1); meanwhile(h) }
			if a := v.code(h.pocket.code()); a.status == 200 || a.doc["successWithInteractionCode"] != nil {
				t.Errorf("answered %d: %s", a.status, a.raw)
			}
			if n := h.happened(t, audit.SignedIn); n != 0 {
				t.Errorf("%d sign-ins", n)
			}
		})
	}
}
