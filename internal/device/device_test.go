package device_test

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/device"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/policy"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/postgres"
	"latchkey.dev/internal/store/sqlite"
	"latchkey.dev/internal/store/storetest"
)

var began = time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC)

// A hall is a desk over a real database, with a television that asks for two factors and Mary, who has both.
type hall struct {
	*device.Desk
	t   *testing.T
	db  store.DB
	ctx context.Context
	now time.Time
}

// mary as she came with the cookie of a session in which she has shown both.
var mary = func() device.Person {
	p := device.PersonOf(aSession("ses1", "00u1mary", ident.Password, ident.Phone))
	p.ACR = "urn:two"
	return p
}()

var methods = map[ident.Kind]ident.Method{ident.Password: ident.MethodPassword, ident.Phone: ident.MethodSMS}

// aSession is one in which somebody showed something a minute ago.
func aSession(id string, u ident.UserID, shown ...ident.Kind) store.Session {
	s := store.Session{ID: id, Value: secret.DigestOf(secret.SessionValue, id), User: u, Created: began, Seen: began, Expires: began.Add(time.Hour)}
	for _, k := range shown {
		s.Proofs = append(s.Proofs, flow.Proof{Kind: k, Method: methods[k], At: began.Add(-time.Minute)})
	}
	return s
}

func onBoth(t *testing.T, f func(*testing.T, *hall)) {
	keys, err := secret.NewKeys([secret.KeySize]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("sqlite", func(t *testing.T) {
		db, err := sqlite.Open(t.Context(), t.TempDir(), keys)
		if err != nil {
			t.Fatal(err)
		}
		f(t, build(t, db))
	})
	t.Run("postgres", func(t *testing.T) {
		db, err := postgres.Open(t.Context(), storetest.Schema(t), keys, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		f(t, build(t, db))
	})
}

func build(t *testing.T, db store.DB) *hall {
	t.Cleanup(func() { db.Close() })
	h := &hall{t: t, db: db, now: began, ctx: obs.WithSource(t.Context(), audit.Source{Address: "192.0.2.1"})}
	h.Desk = device.New(device.Config{Store: db, Now: func() time.Time { return h.now }})
	h.client(nil)
	h.write(func(tx store.Tx) error {
		return errors.Join(
			tx.AddUser(h.ctx, ident.User{ID: "00u1mary", Login: "mary@example.com", Status: ident.Active, Created: began, Updated: began}),
			tx.AddEnrollment(h.ctx, ident.Enrollment{ID: "lae1mary", User: "00u1mary", Kind: ident.Password, Method: ident.MethodPassword, Secret: "x", Created: began}),
			tx.AddEnrollment(h.ctx, ident.Enrollment{ID: "sms1mary", User: "00u1mary", Kind: ident.Phone, Method: ident.MethodSMS, Secret: "+15551234567", Created: began}),
			tx.AddSession(h.ctx, aSession("ses1", "00u1mary", ident.Password, ident.Phone)))
	})
	return h
}

func (h *hall) write(f func(store.Tx) error) {
	h.t.Helper()
	if err := h.db.Update(h.ctx, f); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hall) client(change func(*oauth.Client)) {
	h.t.Helper()
	c := oauth.Client{ID: "0oa1tv", Label: "TV", Grants: []oauth.GrantType{oauth.DeviceCode}, Policy: policy.PasswordAndPhone, Created: began}
	if change != nil {
		change(&c)
	}
	h.write(func(tx store.Tx) error { return tx.PutClient(h.ctx, c) })
}

func (h *hall) waits() device.Codes {
	h.t.Helper()
	c, err := h.Open(h.ctx, device.Asked{Server: "default", Client: "0oa1tv", Scopes: []string{"openid", "email"}})
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// found is the device as it is kept.
func (h *hall) found(c device.Codes) (d store.Device) {
	h.t.Helper()
	h.write(func(tx store.Tx) (err error) {
		d, err = tx.DeviceByUserCode(h.ctx, c.User)
		return err
	})
	return d
}

func (h *hall) events(want audit.Type) (n int) {
	h.t.Helper()
	for _, e := range storetest.Events(h.t, h.db) {
		if e.Type == want {
			n++
		}
	}
	return n
}

func TestADeviceIsLetIn(t *testing.T) {
	onBoth(t, func(t *testing.T, h *hall) {
		c := h.waits()
		if d := h.found(c); d.Server != "default" || d.Client != "0oa1tv" || !d.Expires.Equal(began.Add(device.Lifetime)) || d.Wait != device.Interval || !d.Decided.IsZero() {
			t.Errorf("waiting: %+v", d)
		}
		w, err := h.Look(h.ctx, c.User, mary)
		if err != nil || w.Client.Label != "TV" || strings.Join(w.Scopes, " ") != "openid email" {
			t.Fatalf("what waits is %+v, %v", w, err)
		}
		if !h.found(c).Decided.IsZero() {
			t.Error("S-41: looking is deciding")
		}
		h.now = began.Add(time.Minute)
		if err := h.Decide(h.ctx, c.User, mary, true); err != nil {
			t.Fatal(err)
		}
		g := h.found(c).Grant
		if g.User != mary.User || g.Client != "0oa1tv" || g.Server != "default" || strings.Join(g.Scopes, " ") != "openid email" || !g.AuthTime.Equal(mary.AuthTime) ||
			strings.Join(g.AMR, " ") != "pwd sms mca mfa" || g.ACR != mary.ACR || g.Session != mary.Session || !g.Created.Equal(h.now) {
			t.Errorf("the grant is %+v", g)
		}
		if h.events(audit.DeviceAllowed) != 1 || h.events(audit.DeviceDenied) != 0 {
			t.Error("S-71: not recorded as it was")
		}
	})
}

func TestTheFirstDecisionStands(t *testing.T) {
	onBoth(t, func(t *testing.T, h *hall) {
		for _, first := range []bool{true, false} {
			c := h.waits()
			if err := h.Decide(h.ctx, c.User, mary, first); err != nil {
				t.Fatal(err)
			}
			decided := h.found(c)
			if allowed := decided.Grant.ID != ""; allowed != first {
				t.Errorf("decided %v, a grant %v", first, allowed)
			}
			for _, second := range []bool{true, false} {
				if err := h.Decide(h.ctx, c.User, mary, second); !errors.Is(err, device.ErrUnknown) {
					t.Errorf("%v after %v: %v", second, first, err)
				}
			}
			if _, err := h.Look(h.ctx, c.User, mary); !errors.Is(err, device.ErrUnknown) {
				t.Errorf("still shown after %v: %v", first, err)
			}
			if now := h.found(c); now.Grant.ID != decided.Grant.ID || !now.Decided.Equal(decided.Decided) {
				t.Error("the second decision counts")
			}
		}
		if h.events(audit.DeviceAllowed) != 1 || h.events(audit.DeviceDenied) != 1 {
			t.Error("S-71: a decision too many is recorded")
		}
	})
}

func TestS56_OfDecisionsAtOnceOneCounts(t *testing.T) {
	onBoth(t, func(t *testing.T, h *hall) {
		c := h.waits()
		var all sync.WaitGroup
		errs := make([]error, 12)
		for i := range errs {
			all.Go(func() { errs[i] = h.Decide(h.ctx, c.User, mary, i%2 == 0) })
		}
		all.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else if !errors.Is(err, device.ErrUnknown) {
				t.Error(err)
			}
		}
		if won != 1 || h.events(audit.DeviceAllowed)+h.events(audit.DeviceDenied) != 1 {
			t.Errorf("%d won, %d and %d recorded", won, h.events(audit.DeviceAllowed), h.events(audit.DeviceDenied))
		}
	})
}

// Whoever guesses learns nothing: all that cannot be let in is answered alike.
func TestNothingWaits(t *testing.T) {
	onBoth(t, func(t *testing.T, h *hall) {
		c := h.waits()
		nobody := func(name string, code secret.Text, p device.Person) {
			t.Helper()
			if w, err := h.Look(h.ctx, code, p); !errors.Is(err, device.ErrUnknown) || w.Client.ID != "" {
				t.Errorf("%s: looking shows %+v, %v", name, w, err)
			}
			for _, allow := range []bool{true, false} {
				if err := h.Decide(h.ctx, code, p, allow); !errors.Is(err, device.ErrUnknown) {
					t.Errorf("%s: deciding %v: %v", name, allow, err)
				}
			}
		}
		nobody("a code of chance", "BBBBBBBB", mary)
		nobody("the device's own code", c.Device, mary)
		stranger := aSession("ses2", "00u1nobody", ident.Password, ident.Phone)
		h.write(func(tx store.Tx) error { return tx.AddSession(h.ctx, stranger) })
		nobody("a person who is not there", c.User, device.PersonOf(stranger))
		h.client(func(c *oauth.Client) { c.Disabled = true })
		nobody("an application that is off", c.User, mary)
		h.client(func(c *oauth.Client) { c.Grants = []oauth.GrantType{oauth.AuthorizationCode} })
		nobody("an application without the grant", c.User, mary)
		h.client(nil)
		status := func(s ident.Status) {
			h.write(func(tx store.Tx) error {
				u, err := tx.User(h.ctx, "00u1mary")
				if err != nil {
					return err
				}
				u.Status = s
				return tx.PutUser(h.ctx, u)
			})
		}
		status(ident.Suspended)
		nobody("a person who is suspended", c.User, mary)
		status(ident.Active)
		h.now = began.Add(device.Lifetime)
		nobody("a code that is over", c.User, mary)
		h.now = began.Add(device.Lifetime - time.Second)
		if err := h.Decide(h.ctx, c.User, mary, true); err != nil {
			t.Errorf("the last second does not count: %v", err)
		}
	})
}

// What a person may see they may decide about only as long as they are signed in.
func TestS04_NobodyDecidesInASessionThatIsOver(t *testing.T) {
	for name, over := range map[string]func(*hall, store.Tx) error{
		"ended":   func(h *hall, tx store.Tx) error { return tx.EndSession(h.ctx, "ses1", h.now) },
		"expired": func(h *hall, tx store.Tx) error { return tx.SeeSession(h.ctx, "ses1", h.now, h.now) },
		"S-40 another one by its cookie": func(h *hall, tx store.Tx) error {
			next := aSession("ses1", "00u1mary", ident.Password, ident.Phone)
			next.Value = secret.DigestOf(secret.SessionValue, "next")
			return tx.RaiseSession(h.ctx, secret.DigestOf(secret.SessionValue, "ses1"), next)
		},
		"somebody else's": func(h *hall, tx store.Tx) error {
			return errors.Join(tx.EndSession(h.ctx, "ses1", h.now), tx.AddSession(h.ctx, aSession("ses1", "00u1paul", ident.Password, ident.Phone)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, h *hall) {
				c := h.waits()
				h.write(func(tx store.Tx) error { return over(h, tx) })
				for _, allow := range []bool{true, false} {
					if err := h.Decide(h.ctx, c.User, mary, allow); !errors.Is(err, device.ErrUnknown) {
						t.Errorf("deciding %v: %v", allow, err)
					}
				}
				if !h.found(c).Decided.IsZero() {
					t.Error("it is decided")
				}
			})
		})
	}
}

// Between looking and deciding the session may have come to show less than it did.
func TestS04_WhatTheSessionShowsByThenCounts(t *testing.T) {
	onBoth(t, func(t *testing.T, h *hall) {
		c := h.waits()
		if _, err := h.Look(h.ctx, c.User, mary); err != nil {
			t.Fatal(err)
		}
		h.write(func(tx store.Tx) error {
			return tx.RaiseSession(h.ctx, mary.Value, aSession("ses1", mary.User, ident.Password))
		})
		if err := h.Decide(h.ctx, c.User, mary, true); !errors.Is(err, device.ErrWeak) || !h.found(c).Decided.IsZero() {
			t.Errorf("let in by what is not shown any more: %v", err)
		}
	})
}

func TestADeviceAsksForWhatItsApplicationAsks(t *testing.T) {
	onBoth(t, func(t *testing.T, h *hall) {
		less, none := aSession("ses2", "00u1mary", ident.Password), aSession("ses3", "00u1mary")
		h.write(func(tx store.Tx) error { return errors.Join(tx.AddSession(h.ctx, less), tx.AddSession(h.ctx, none)) })
		weak := device.PersonOf(less)
		for name, test := range map[string]struct {
			policy policy.Policy
			person device.Person
			err    error
		}{
			"two of two":                         {policy.PasswordAndPhone, mary, nil},
			"one of two":                         {policy.PasswordAndPhone, weak, device.ErrWeak},
			"one of one":                         {policy.PasswordOnly, weak, nil},
			"what is enrolled is asked for":      {policy.PasswordAndOptionalPhone, weak, device.ErrWeak},
			"and both are enough":                {policy.PasswordAndOptionalPhone, mary, nil},
			"a session that says nothing proved": {policy.PasswordOnly, device.PersonOf(none), device.ErrWeak},
		} {
			t.Run(name, func(t *testing.T) {
				h.client(func(c *oauth.Client) { c.Policy = test.policy })
				c := h.waits()
				w, err := h.Look(h.ctx, c.User, test.person)
				if !errors.Is(err, test.err) || w.Client.ID != "0oa1tv" { // who has to sign in again must know for what
					t.Errorf("looking: %+v, %v", w, err)
				}
				if err := h.Decide(h.ctx, c.User, test.person, true); !errors.Is(err, test.err) {
					t.Errorf("allowing: %v", err)
				}
				if test.err != nil {
					if !h.found(c).Decided.IsZero() {
						t.Error("refused, and decided")
					}
					if err := h.Decide(h.ctx, c.User, test.person, false); err != nil {
						t.Errorf("saying no: %v", err)
					}
				}
			})
		}
	})
}

func TestUserCodes(t *testing.T) {
	shape := regexp.MustCompile(`^[B-DF-HJ-NP-TV-XZ]{8}$`)
	seen := map[secret.Text]bool{}
	for range 1000 {
		code := device.NewUserCode()
		if !shape.MatchString(code.Reveal()) || seen[code] {
			t.Fatalf("the code is %s, seen %v", code.Reveal(), seen[code])
		}
		seen[code] = true
		shown := device.Show(code)
		for _, typed := range []string{shown, strings.ToLower(shown), " " + strings.ReplaceAll(shown, "-", " "), code.Reveal()} {
			if folded, ok := device.Fold(typed); !ok || folded != code {
				t.Fatalf("%q is read as %s, %v", typed, folded.Reveal(), ok)
			}
		}
	}
	for _, typed := range []string{"", "BBBB", "BBBB-BBBBB", "AAAA-AAAA", "WDJB-MJH1", "ＷＤＪＢＭＪＨＴ", "WDJB_MJHT", "-------- "} {
		if code, ok := device.Fold(typed); ok {
			t.Errorf("%q is read as %s", typed, code.Reveal())
		}
	}
}
