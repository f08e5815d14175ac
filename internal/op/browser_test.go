package op_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey.dev/internal/account"
	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/authn"
	"latchkey.dev/internal/authn/password"
	"latchkey.dev/internal/authn/phone"
	signin "latchkey.dev/internal/engine"
	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/op"
	"latchkey.dev/internal/policy"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/session"
	"latchkey.dev/internal/store"
)

// A hosted is an org whose sign-ins are real, with pages that only remember who was handed over to them.
type hosted struct {
	*org
	engine   *signin.Engine
	sessions *session.Sessions
	handed   []op.Handoff
	lang     string // Accept-Language of every browser

	mu   sync.Mutex
	told []string // logout tokens, by address
	deaf bool     // applications do not answer
}

const (
	marys  = "correct horse battery staple"
	number = "+15551234567"
	pinned = "424242"
)

// nobody carries texts: codes are known beforehand.
type nobody struct{}

func (nobody) Name() string         { return "nobody" }
func (nobody) Lease() time.Duration { return time.Minute }
func (nobody) Deliver(context.Context, store.Message) store.MessageStatus {
	return store.Sent
}

func newHosted(t *testing.T, db store.DB) *hosted {
	t.Helper()
	h := &hosted{org: orgOn(t, db)}
	params := password.Params{Memory: 8, Time: 1, Threads: 1}
	engine, err := signin.New(signin.Config{
		Store: db, Keys: master(t), Sender: nobody{}, Now: h.now, Flow: limit.DefaultFlow(), Codes: limit.DefaultCodes(), Sends: limit.DefaultSends(),
		Plugins: []authn.Authenticator{password.New(params), phone.New(phone.Config{Keys: master(t), Countries: []int{1}, Pin: func(string) (string, bool) { return pinned, true }})},
		Origin:  origin, Mail: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.engine = engine
	h.write(func(tx store.Tx) error {
		return errors.Join(
			tx.PutAuthenticator(ctx, ident.Authenticator{ID: "aut1pwd", Kind: ident.Password, Key: "okta_password", Methods: []ident.Method{ident.MethodPassword}}),
			tx.PutAuthenticator(ctx, ident.Authenticator{ID: "aut1phone", Kind: ident.Phone, Key: "phone_number", Methods: []ident.Method{ident.MethodSMS}}),
			tx.AddUser(ctx, ident.User{ID: "00u1paul", Login: "paul@example.com", Status: ident.Active, Created: h.at}),
			tx.AddEnrollment(ctx, ident.Enrollment{ID: "lae1mary", User: "00u1mary", Authenticator: "aut1pwd", Kind: ident.Password, Method: ident.MethodPassword, Secret: password.New(params).Hash(marys), Created: h.at}),
			tx.AddEnrollment(ctx, ident.Enrollment{ID: "lae1paul", User: "00u1paul", Authenticator: "aut1pwd", Kind: ident.Password, Method: ident.MethodPassword, Secret: password.New(params).Hash(marys), Created: h.at}))
	})
	h.client("0oa1second", nil)
	h.client("0oa1onefa", func(c *oauth.Client) { c.Policy = policy.PasswordOnly })
	h.sessions = session.New(session.Config{
		Store: db, Keys: master(t), Now: h.now, Issuer: func(s string) string { return oauth.Issuer(origin, s) },
		Sign: func(ctx context.Context, claims any) (string, error) {
			signer, err := h.ring.Signer(ctx)
			if err != nil {
				return "", err
			}
			return signer.Sign(claims)
		},
		Post: func(_ context.Context, to, token string) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			if h.deaf {
				return errors.New("no answer")
			}
			h.told = append(h.told, to+" "+token)
			return nil
		},
	})
	h.api = op.New(op.Config{
		Store: db, Keys: h.ring, Secrets: master(t), Engine: engine, Sessions: h.sessions, Origin: origin, Now: h.now,
		SignIn: func(w http.ResponseWriter, r *http.Request, handoff op.Handoff) error {
			h.handed = append(h.handed, handoff)
			http.Redirect(w, r, "/signin/somewhere", http.StatusSeeOther)
			return nil
		},
	})
	return h
}

// hostedOnBoth runs a test on both databases, because TestMain runs everything twice.
func hostedOnBoth(t *testing.T, f func(*testing.T, *hosted)) {
	t.Helper()
	f(t, newHosted(t, open(t)))
}

// A tab is a browser with its cookies.
type tab struct {
	*hosted
	cookies map[string]string
}

func (h *hosted) tab() *tab { return &tab{h, map[string]string{}} }

func (b *tab) visit(method, address string, form url.Values) *httptest.ResponseRecorder {
	b.t.Helper()
	var r *http.Request
	if method == http.MethodPost {
		r = httptest.NewRequest(method, address, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else {
		r = httptest.NewRequest(method, address, nil)
	}
	r.Header.Set("Accept-Language", b.lang)
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	b.api.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode || !strings.HasPrefix(c.Name, "__Host-") {
			b.t.Errorf("S-39: cookie %+v", c)
		}
		if b.cookies[c.Name] = c.Value; c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
	return w
}

func (b *tab) authorize(client string, more ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	q := url.Values{"client_id": {client}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid profile offline_access"},
		"state": {"xyz"}, "nonce": {nonce}, "code_challenge": {challenge()}, "code_challenge_method": {"S256"}}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return b.visit(http.MethodGet, base+"v1/authorize?"+q.Encode(), nil)
}

// back reads what the browser brings to the application.
func back(t testing.TB, w *httptest.ResponseRecorder) url.Values {
	t.Helper()
	u, err := url.Parse(w.Header().Get("Location"))
	if err != nil || w.Code != http.StatusFound || !strings.HasPrefix(u.String(), callback+"?") {
		t.Fatalf("status %d to %q: %s", w.Code, w.Header().Get("Location"), w.Body)
	}
	q := u.Query()
	if q.Get("iss") != issuer || q.Get("state") != "xyz" {
		t.Errorf("S-64: %v", q)
	}
	return q
}

// asked is the sign-in page that the browser was sent to.
func (b *tab) asked(w *httptest.ResponseRecorder) *signin.Page {
	b.t.Helper()
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/signin/somewhere" {
		b.t.Fatalf("status %d to %q: %s", w.Code, w.Header().Get("Location"), w.Body)
	}
	p, err := b.engine.Introspect(ctx, b.handed[len(b.handed)-1].Interaction, "")
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

func must(t testing.TB, p *signin.Page, err error) *signin.Page {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (b *tab) password(p *signin.Page, login string) *signin.Page {
	b.t.Helper()
	p, err := b.engine.Identify(ctx, p.Handle, signin.Claimant{Login: login, Password: marys, Typed: true})
	return must(b.t, p, err)
}

func (b *tab) code(p *signin.Page) *signin.Page {
	b.t.Helper()
	b.wait(31 * time.Second) // S-14
	choice := signin.Choice{Authenticator: "aut1phone", Method: ident.MethodSMS}
	p, err := b.engine.ChooseToVerify(ctx, p.Handle, choice)
	p, err = b.engine.Answer(ctx, must(b.t, p, err).Handle, pinned)
	return must(b.t, p, err)
}

func (b *tab) arrive(p *signin.Page) *httptest.ResponseRecorder {
	b.t.Helper()
	if p.Redirect == "" {
		b.t.Fatalf("no end at %s", p.Offer.Stage)
	}
	return b.visit(http.MethodGet, strings.TrimPrefix(p.Redirect, origin), nil)
}

// enter signs Mary in with password and phone.
func (b *tab) enter(client string) tokens {
	b.t.Helper()
	p := b.code(b.password(b.asked(b.authorize(client)), "mary@example.com"))
	return b.redeem(client, back(b.t, b.arrive(p)).Get("code"))
}

func (b *tab) redeem(client, code string) tokens {
	b.t.Helper()
	return decode[tokens](b.form(base+"v1/token", nil, "grant_type", "authorization_code", "code", code, "client_id", client,
		"redirect_uri", callback, "code_verifier", verifier).ok())
}

func (b *tab) value() string { return b.cookies["__Host-latchkey_session"] }

func sid(t *testing.T, got tokens) string {
	t.Helper()
	s, _ := part(t, got.ID, 1)["sid"].(string)
	if !strings.HasPrefix(s, "ses") {
		t.Fatalf("sid is %q", s)
	}
	return s
}

func TestS40_OneSignInServesAllApplications(t *testing.T) {
	hostedOnBoth(t, func(t *testing.T, h *hosted) {
		b := h.tab()
		first := b.enter(appID)
		value := b.value()
		h.wait(time.Minute)
		second := b.redeem("0oa1second", back(t, b.authorize("0oa1second")).Get("code"))
		if sid(t, first) != sid(t, second) || b.value() != value {
			t.Error("another session, without anything more having been shown")
		}
		was, now := part(t, first.ID, 1), part(t, second.ID, 1)
		if was["auth_time"] != now["auth_time"] || fmt.Sprint(was["amr"]) != fmt.Sprint(now["amr"]) {
			t.Errorf("the second says %v %v, the first %v %v", now["auth_time"], now["amr"], was["auth_time"], was["amr"])
		}
		if len(h.handed) != 1 {
			t.Errorf("asked %d times", len(h.handed))
		}
		if n := len(h.events(audit.SessionBegun)); n != 1 {
			t.Errorf("S-71: %d sessions recorded", n)
		}
	})
}

func TestS40_MoreAssuranceIsAnotherValue(t *testing.T) {
	hostedOnBoth(t, func(t *testing.T, h *hosted) {
		b := h.tab()
		p := b.password(b.asked(b.authorize("0oa1onefa")), "mary@example.com")
		weak := b.redeem("0oa1onefa", back(t, b.arrive(p)).Get("code"))
		value := b.value()
		// The password counts, the phone is asked for.
		p = b.asked(b.authorize(appID))
		if p.Offer.Stage != flow.VerifyData || p.User.ID != "00u1mary" {
			t.Fatalf("at %s, user %q", p.Offer.Stage, p.User.ID)
		}
		strong := b.redeem(appID, back(t, b.arrive(b.code(p))).Get("code"))
		if sid(t, weak) != sid(t, strong) {
			t.Error("the session is another one")
		}
		if b.value() == value {
			t.Error("S-40: the value is the same")
		}
		b.cookies["__Host-latchkey_session"] = value
		if got := back(t, b.authorize(appID, "prompt", "none")).Get("error"); got != "login_required" {
			t.Errorf("the value from before still opens: %q", got)
		}
	})
}

func TestS40_SessionsEndIdleAndInAnyCase(t *testing.T) {
	h := newHosted(t, open(t))
	b := h.tab()
	b.enter(appID)
	for range 25 { // seen every 59 minutes it lives on, but not beyond a day
		h.wait(59 * time.Minute)
		w := b.authorize(appID, "prompt", "none")
		if h.now().Sub(time.Date(2026, 11, 22, 20, 22, 8, 0, time.UTC)) < 24*time.Hour {
			if back(t, w).Get("code") == "" {
				t.Fatalf("over after %s", h.now())
			}
		} else if back(t, w).Get("error") != "login_required" {
			t.Fatal("alive after a day")
		}
	}
	b = h.tab()
	b.enter(appID)
	h.wait(time.Hour)
	if got := back(t, b.authorize(appID, "prompt", "none")).Get("error"); got != "login_required" {
		t.Errorf("alive after an idle hour: %q", got)
	}
}

func TestS64_WhatIsAskedInSilence(t *testing.T) {
	h := newHosted(t, open(t))
	b := h.tab()
	if got := back(t, b.authorize(appID, "prompt", "none")).Get("error"); got != "login_required" {
		t.Errorf("nobody is signed in: %q", got)
	}
	p := b.password(b.asked(b.authorize("0oa1onefa")), "mary@example.com")
	b.arrive(p)
	if got := back(t, b.authorize(appID, "prompt", "none")).Get("error"); got != "interaction_required" {
		t.Errorf("the phone is missing: %q", got)
	}
	if back(t, b.authorize("0oa1onefa", "prompt", "none")).Get("code") == "" {
		t.Error("all is shown, and no code")
	}
	if got := back(t, b.authorize(appID, "prompt", "none login")).Get("error"); got != "invalid_request" {
		t.Errorf("none and login: %q", got)
	}
	if n := len(h.handed); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestAskedAnew(t *testing.T) {
	h := newHosted(t, open(t))
	b := h.tab()
	first := b.enter(appID)
	for name, more := range map[string][]string{"prompt=login": {"prompt", "login"}, "max_age=0": {"max_age", "0"}, "too old": {"max_age", "60"}} {
		t.Run(name, func(t *testing.T) {
			h.wait(2 * time.Minute)
			p := b.asked(b.authorize(appID, more...))
			if p.Offer.Stage != flow.Identify {
				t.Fatalf("at %s", p.Offer.Stage)
			}
			again := b.redeem(appID, back(t, b.arrive(b.code(b.password(p, "mary@example.com")))).Get("code"))
			was, now := part(t, first.ID, 1)["auth_time"].(float64), part(t, again.ID, 1)["auth_time"].(float64)
			if now <= was || sid(t, again) != sid(t, first) {
				t.Errorf("auth_time %v after %v, session %s after %s", now, was, sid(t, again), sid(t, first))
			}
		})
	}
	if back(t, b.authorize(appID, "max_age", "3600")).Get("code") == "" {
		t.Error("young enough, and asked")
	}
}

func TestS17_ASignInEndsInTheBrowserThatItBeganIn(t *testing.T) {
	h := newHosted(t, open(t))
	mary, thief := h.tab(), h.tab()
	thief.authorize(appID) // has a browser cookie of its own
	p := mary.code(mary.password(mary.asked(mary.authorize(appID)), "mary@example.com"))
	for name, other := range map[string]*tab{"another browser": thief, "no cookie": h.tab(),
		"a made up cookie": {h, map[string]string{"__Host-latchkey_browser": "x." + strings.Repeat("y", 43)}}} {
		if w := other.arrive(p); w.Code != http.StatusForbidden || other.value() != "" || w.Header().Get("Location") != "" {
			t.Errorf("%s: status %d", name, w.Code)
		}
	}
	first, second := back(t, mary.arrive(p)), back(t, mary.arrive(p))
	if first.Get("code") == "" || first.Get("code") != second.Get("code") {
		t.Error("S-23: arriving twice is two codes")
	}
	h.wait(time.Minute)
	if w := mary.arrive(p); w.Code != http.StatusForbidden {
		t.Errorf("S-18: arriving a minute later: %d", w.Code)
	}
}

func TestS39_ACookieThatWeDidNotSetIsReplaced(t *testing.T) {
	h := newHosted(t, open(t))
	b := h.tab()
	b.cookies["__Host-latchkey_browser"] = strings.Repeat("a", 43) + "." + strings.Repeat("b", 43)
	b.cookies["__Host-latchkey_session"] = strings.Repeat("c", 43)
	planted := b.cookies["__Host-latchkey_browser"]
	b.enter(appID)
	if b.cookies["__Host-latchkey_browser"] == planted || b.value() == strings.Repeat("c", 43) {
		t.Errorf("adopted: %v", b.cookies)
	}
}

func TestSomebodyElse(t *testing.T) {
	hostedOnBoth(t, func(t *testing.T, h *hosted) {
		b := h.tab()
		mary := b.enter(appID)
		p := b.password(b.asked(b.authorize("0oa1onefa", "prompt", "login")), "paul@example.com")
		paul := b.redeem("0oa1onefa", back(t, b.arrive(p)).Get("code"))
		if sid(t, mary) == sid(t, paul) {
			t.Error("Paul is in Mary's session")
		}
		if all, err := h.sessions.Of(ctx, "00u1mary"); err != nil || len(all) != 0 {
			t.Errorf("Mary's session lives on in Paul's browser: %v %v", all, err)
		}
		// An application that asks for Mary is not given Paul.
		if got := back(t, b.authorize("0oa1onefa", "prompt", "none", "id_token_hint", mary.ID)).Get("error"); got != "login_required" {
			t.Errorf("in silence: %q", got)
		}
		p = b.password(b.asked(b.authorize("0oa1onefa", "id_token_hint", mary.ID)), "paul@example.com")
		if q := back(t, b.arrive(p)); q.Get("error") != "login_required" || q.Get("code") != "" {
			t.Errorf("aloud: %v", q)
		}
		if got := back(t, b.authorize("0oa1onefa", "id_token_hint", "a.b.c")).Get("error"); got != "invalid_request" {
			t.Errorf("a hint that is none: %q", got)
		}
	})
}

func TestS40_WhatEndsASession(t *testing.T) {
	for name, end := range map[string]func(*hosted) error{
		"the person is suspended": func(h *hosted) error {
			return h.db.Update(ctx, func(tx store.Tx) error {
				u, err := tx.User(ctx, "00u1mary")
				u.Status = ident.Suspended
				return errors.Join(err, tx.PutUser(ctx, u))
			})
		},
		"the password is another": func(h *hosted) error {
			return h.db.Update(ctx, func(tx store.Tx) error { return anotherPassword(tx, h.now()) })
		},
		"signed out everywhere": func(h *hosted) error { _, err := h.sessions.EndAll(ctx, "00u1mary", "", "test"); return err },
	} {
		t.Run(name, func(t *testing.T) {
			hostedOnBoth(t, func(t *testing.T, h *hosted) {
				b := h.tab()
				b.enter(appID)
				h.wait(time.Minute)
				if err := end(h); err != nil {
					t.Fatal(err)
				}
				if q := back(t, b.authorize(appID, "prompt", "none")); q.Get("code") != "" {
					t.Error("it still opens")
				}
			})
		})
	}
}

// A meddler is a database in which something happens before the next commit: between what was
// read and what is written.
type meddler struct {
	store.DB
	before func()
}

func (m *meddler) Update(ctx context.Context, f func(store.Tx) error) error {
	if before := m.before; before != nil {
		m.before = nil
		before()
	}
	return m.DB.Update(ctx, f)
}

// meddledOnBoth is hostedOnBoth with something that happens in between.
func meddledOnBoth(t *testing.T, f func(*testing.T, *hosted, *meddler)) {
	for name, open := range map[string]func(testing.TB) store.DB{"sqlite": onSQLite, "postgres": onPostgres} {
		t.Run(name, func(t *testing.T) {
			m := &meddler{DB: open(t)}
			f(t, newHosted(t, m), m)
		})
	}
}

// signOutEverywhere is what somebody does who fears that others are in.
func (h *hosted) signOutEverywhere(u ident.UserID) {
	h.t.Helper()
	if _, err := h.sessions.EndAll(ctx, u, "", "test"); err != nil {
		h.t.Fatal(err)
	}
}

// nothingIsLeft fails the test if somebody is signed in anywhere.
func (h *hosted) nothingIsLeft(u ident.UserID) {
	h.t.Helper()
	if all, err := h.sessions.Of(ctx, u); err != nil || len(all) != 0 {
		h.t.Errorf("%d sessions are left, %v", len(all), err)
	}
}

func TestS04_WhatAnEndedSessionLentIsGone(t *testing.T) {
	enroll := signin.Choice{Authenticator: "aut1phone", Method: ident.MethodSMS, Number: other}
	for name, c := range map[string]struct {
		user  ident.UserID
		begin func(b *tab) *signin.Page
		step  func(h *hosted, p *signin.Page) error
	}{
		"another phone": {"00u1mary", func(b *tab) *signin.Page {
			b.enter(appID)
			return b.asked(b.visit(http.MethodGet, anew, nil))
		}, func(h *hosted, p *signin.Page) error {
			_, err := h.engine.ChooseToEnroll(ctx, p.Handle, enroll)
			return err
		}},
		"the code of another phone": {"00u1mary", func(b *tab) *signin.Page {
			b.enter(appID)
			p := b.asked(b.visit(http.MethodGet, anew, nil))
			b.wait(31 * time.Second)
			p, err := b.engine.ChooseToEnroll(ctx, p.Handle, enroll)
			return must(b.t, p, err)
		}, func(h *hosted, p *signin.Page) error {
			_, err := h.engine.Answer(ctx, p.Handle, pinned)
			return err
		}},
		"a phone on top": {"00u1mary", func(b *tab) *signin.Page {
			b.arrive(b.password(b.asked(b.authorize("0oa1onefa")), "mary@example.com"))
			p := b.asked(b.authorize(appID))
			p, err := b.engine.ChooseToVerify(ctx, p.Handle, signin.Choice{Authenticator: "aut1phone", Method: ident.MethodSMS})
			return must(b.t, p, err)
		}, func(h *hosted, p *signin.Page) error {
			_, err := h.engine.Answer(ctx, p.Handle, pinned)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for moment, end := range map[string]func(*hosted, *meddler){
				"before the step":     func(h *hosted, _ *meddler) { h.signOutEverywhere(c.user) },
				"while it is judged":  func(h *hosted, m *meddler) { m.before = func() { h.signOutEverywhere(c.user) } },
				"the session expires": func(h *hosted, _ *meddler) { h.write(func(tx store.Tx) error { return expire(tx, c.user, h.now()) }) },
			} {
				t.Run(moment, func(t *testing.T) {
					meddledOnBoth(t, func(t *testing.T, h *hosted, m *meddler) {
						p := c.begin(h.tab())
						was := h.phoneOf(c.user)
						end(h, m)
						err := c.step(h, p)
						if moment == "while it is judged" { // a code that leaves is no end; what follows is
							if err == nil {
								_, err = h.engine.Answer(ctx, p.Handle, pinned)
							}
						}
						if fault.As(err).Kind != fault.Expired {
							t.Errorf("it goes on: %v", err)
						}
						if h.phoneOf(c.user) != was {
							t.Error("the phone is another one")
						}
						h.nothingIsLeft(c.user)
					})
				})
			}
		})
	}
}

// Whoever has a copy of the cookie may have begun something by it. When the owner changes what they sign in with, that is
// over, too: else it would end with the thief's phone, in a session that is the thief's.
func TestS40_WhatWasBegunBeforeAChangeIsGone(t *testing.T) {
	const chosen = "seven purple lanterns"
	enroll := func(b *tab, handle, n secret.Text) (*signin.Page, error) {
		return b.engine.ChooseToEnroll(ctx, handle, signin.Choice{Authenticator: "aut1phone", Method: ident.MethodSMS, Number: n})
	}
	for name, c := range map[string]struct {
		change func(b *tab, accounts *account.Accounts, session string) (secret.Text, error)
		phone  secret.Text // afterwards
	}{
		"the phone is removed": {func(_ *tab, a *account.Accounts, id string) (secret.Text, error) { return a.RemovePhone(ctx, id) }, ""},
		"the password is another": {func(_ *tab, a *account.Accounts, id string) (secret.Text, error) {
			return a.ChangePassword(ctx, id, marys, chosen)
		}, number},
		"the phone is another": {func(b *tab, _ *account.Accounts, _ string) (secret.Text, error) {
			p := b.asked(b.visit(http.MethodGet, anew, nil))
			p, err := enroll(b, p.Handle, other)
			p, err = b.engine.Answer(ctx, must(b.t, p, err).Handle, pinned)
			b.arrive(must(b.t, p, err))
			return secret.Text(b.value()), nil
		}, other},
	} {
		t.Run(name, func(t *testing.T) {
			for _, moment := range []string{"before a number", "before its code", "while the code is judged"} {
				t.Run(moment, func(t *testing.T) {
					meddledOnBoth(t, func(t *testing.T, h *hosted, m *meddler) {
						b := h.tab()
						b.enter(appID)
						thief := h.tab()
						thief.cookies = maps.Clone(b.cookies)
						p := thief.asked(thief.visit(http.MethodGet, anew, nil))
						h.wait(31 * time.Second)
						if moment != "before a number" {
							went, err := enroll(thief, p.Handle, another)
							p = must(t, went, err)
							h.wait(31 * time.Second)
						}
						accounts := account.New(account.Config{Store: h.db, Engine: h.engine, Browsers: h.sessions, Now: h.now})
						own, err := h.sessions.Find(ctx, secret.Text(b.value()))
						if err != nil || own.ID == "" {
							t.Fatal(err)
						}
						change := func() {
							value, err := c.change(b, accounts, own.ID)
							if err != nil {
								t.Fatal(err)
							}
							b.cookies["__Host-latchkey_session"] = value.Reveal()
						}
						if moment == "while the code is judged" {
							m.before = change
						} else {
							change()
						}
						if moment == "before a number" {
							_, err = enroll(thief, p.Handle, another)
						} else {
							_, err = h.engine.Answer(ctx, p.Handle, pinned)
						}
						if fault.As(err).Kind != fault.Expired {
							t.Errorf("it goes on: %v", err)
						}
						if now := h.phoneOf("00u1mary").Secret; now != c.phone {
							t.Errorf("the phone is %q", now.Reveal())
						}
						if q := back(t, thief.authorize("0oa1onefa", "prompt", "none")); q.Get("code") != "" {
							t.Error("the copy of the cookie opens")
						}
						if q := back(t, b.authorize("0oa1onefa", "prompt", "none")); q.Get("code") == "" {
							t.Errorf("the owner is signed out: %v", q)
						}
						if all, err := h.sessions.Of(ctx, "00u1mary"); err != nil || len(all) != 1 || all[0].ID == own.ID {
							t.Errorf("%d sessions, %v", len(all), err)
						}
					})
				})
			}
		})
	}
}

// Of two sign-ins that were begun in one browser one goes up in the other, and with it what was begun in it in a third tab.
func TestS04_WhatAThirdTabBeganGoesOn(t *testing.T) {
	for name, c := range map[string]struct {
		begin func(b *tab) *signin.Page
		end   func(b *tab, p *signin.Page) *signin.Page
		phone secret.Text
	}{
		"a phone on top": {func(b *tab) *signin.Page { return b.asked(b.authorize(appID)) }, (*tab).code, number},
		"another phone": {func(b *tab) *signin.Page { return b.asked(b.visit(http.MethodGet, anew, nil)) }, func(b *tab, p *signin.Page) *signin.Page {
			b.wait(31 * time.Second)
			p, err := b.engine.ChooseToEnroll(ctx, p.Handle, signin.Choice{Authenticator: "aut1phone", Method: ident.MethodSMS, Number: other})
			p, err = b.engine.Answer(ctx, must(b.t, p, err).Handle, pinned)
			return must(b.t, p, err)
		}, other},
	} {
		t.Run(name, func(t *testing.T) {
			for _, moment := range []string{"before the step", "while it is judged"} {
				t.Run(moment, func(t *testing.T) {
					meddledOnBoth(t, func(t *testing.T, h *hosted, m *meddler) {
						first, second := "0oa1onefa", "0oa1onefa"
						if name == "another phone" {
							first = appID
						}
						b := h.tab()
						one, two := b.asked(b.authorize(first)), b.asked(b.authorize(second)) // before anybody is signed in
						if one = b.password(one, "mary@example.com"); first == appID {
							one = b.code(one)
						}
						b.arrive(one)
						third := c.begin(b)
						two = b.password(two, "mary@example.com")
						if moment == "while it is judged" {
							m.before = func() { b.arrive(two) }
						} else {
							b.arrive(two)
						}
						third = c.end(b, third)
						if w := b.arrive(third); w.Header().Get("Location") == "" {
							t.Errorf("status %d: %s", w.Code, w.Body)
						}
						if q := back(t, b.authorize(appID, "prompt", "none")); q.Get("code") == "" {
							t.Errorf("signed out: %v", q)
						}
						if now := h.phoneOf("00u1mary").Secret; now != c.phone {
							t.Errorf("the phone is %q", now.Reveal())
						}
						if all, err := h.sessions.Of(ctx, "00u1mary"); err != nil || len(all) != 1 {
							t.Errorf("%d sessions, %v", len(all), err)
						}
					})
				})
			}
		})
	}
}

// expire lets all of somebody's sessions be over.
func expire(tx store.Tx, u ident.UserID, now time.Time) error {
	all, err := tx.SessionsOf(ctx, u)
	for _, s := range all {
		err = errors.Join(err, tx.SeeSession(ctx, s.ID, s.Seen, now))
	}
	return err
}

func TestS04_NobodyIsLetInInSilenceAfterSigningOut(t *testing.T) {
	meddledOnBoth(t, func(t *testing.T, h *hosted, m *meddler) {
		b := h.tab()
		b.enter(appID)
		m.before = func() { h.signOutEverywhere("00u1mary") }
		if q := back(t, b.authorize(appID, "prompt", "none")); q.Get("code") != "" || q.Get("error") == "" {
			t.Errorf("let in: %v", q)
		}
		h.nothingIsLeft("00u1mary")
	})
}

// anotherPassword takes the place of the one that opened Mary's sessions, which live on.
func anotherPassword(tx store.Tx, now time.Time) error {
	return errors.Join(tx.DropEnrollment(ctx, "lae1mary"), tx.AddEnrollment(ctx, ident.Enrollment{ID: "lae2mary", User: "00u1mary",
		Authenticator: "aut1pwd", Kind: ident.Password, Method: ident.MethodPassword, Secret: "x", Created: now}))
}

func TestS04_WhoIsOvertakenAtTheDoorBeginsAnew(t *testing.T) {
	meddledOnBoth(t, func(t *testing.T, h *hosted, m *meddler) {
		b := h.tab()
		b.arrive(b.password(b.asked(b.authorize("0oa1onefa")), "mary@example.com"))
		h.wait(time.Second)
		m.before = func() { h.write(func(tx store.Tx) error { return anotherPassword(tx, h.now()) }) }
		if p := b.asked(b.authorize(appID)); p.Offer.Stage != flow.Identify || p.User.ID != "" {
			t.Errorf("at %s as %q", p.Offer.Stage, p.User.ID)
		}
	})
}

func TestMaxAgeIsAskedUntilTheEnd(t *testing.T) {
	hostedOnBoth(t, func(t *testing.T, h *hosted) {
		b := h.tab()
		b.arrive(b.password(b.asked(b.authorize("0oa1onefa")), "mary@example.com"))
		h.wait(time.Minute)
		p := b.asked(b.authorize(appID, "max_age", "120"))
		if p.Offer.Stage != flow.VerifyData {
			t.Fatalf("at %s", p.Offer.Stage)
		}
		h.wait(time.Minute)
		p, err := h.engine.ChooseToVerify(ctx, p.Handle, signin.Choice{Authenticator: "aut1phone", Method: ident.MethodSMS})
		must(t, p, err)
		h.wait(time.Second)
		p, err = h.engine.Answer(ctx, p.Handle, pinned)
		if fault.As(err).Key != msg.NotOffered || p.Offer.Stage != flow.Identify || p.User.ID != "" || p.Redirect != "" {
			t.Fatalf("at %s, %v: the password is older than was asked for", p.Offer.Stage, err)
		}
		p = b.password(p, "mary@example.com")
		h.wait(10 * time.Minute) // what was shown in this sign-in is as young as it can be
		got := part(t, b.redeem(appID, back(t, b.arrive(b.code(p))).Get("code")).ID, 1)
		if at := time.Unix(int64(got["auth_time"].(float64)), 0); h.now().Sub(at) > 2*time.Minute {
			t.Errorf("auth_time %s, now %s", at, h.now())
		}
		// Of a change to an account nothing is left, for it was to be done in time.
		b = h.tab()
		b.enter(appID)
		p = b.asked(b.visit(http.MethodGet, anew+"&max_age=120", nil))
		h.wait(2 * time.Minute)
		if _, err := h.engine.ChooseToEnroll(ctx, p.Handle, signin.Choice{Authenticator: "aut1phone", Method: ident.MethodSMS, Number: other}); fault.As(err).Kind != fault.Expired {
			t.Errorf("it goes on: %v", err)
		}
	})
}

func TestWhoIsSignedInIsNotInvitedAgain(t *testing.T) {
	hostedOnBoth(t, func(t *testing.T, h *hosted) {
		h.client("0oa1optional", func(c *oauth.Client) { c.Policy = policy.PasswordAndOptionalPhone })
		b := h.tab()
		p := b.password(b.asked(b.authorize("0oa1optional")), "paul@example.com")
		if p.Offer.Stage != flow.EnrollSelect || !p.Offer.Skip {
			t.Fatalf("at %s", p.Offer.Stage)
		}
		p, err := h.engine.Skip(ctx, p.Handle)
		b.arrive(must(t, p, err))
		h.wait(time.Second)
		for _, more := range [][]string{{"prompt", "none"}, nil, {"prompt", "none", "acr_values", policy.ACRTwoFactorsIfAny}} {
			for _, client := range []string{"0oa1optional", "0oa1onefa"} {
				if q := back(t, b.authorize(client, more...)); q.Get("code") == "" {
					t.Errorf("%s %v: %v", client, more, q)
				}
			}
		}
		// What is required cannot be skipped, and who has a phone is asked for it.
		if got := back(t, b.authorize(appID, "prompt", "none")).Get("error"); got != "interaction_required" {
			t.Errorf("a phone is required: %q", got)
		}
		h.write(func(tx store.Tx) error {
			return tx.AddEnrollment(ctx, ident.Enrollment{ID: "sms1paul", User: "00u1paul", Authenticator: "aut1phone", Kind: ident.Phone,
				Method: ident.MethodSMS, Secret: another, Created: h.now()})
		})
		if got := back(t, b.authorize("0oa1optional", "prompt", "none")).Get("error"); got != "interaction_required" {
			t.Errorf("a phone is enrolled: %q", got)
		}
	})
}

func TestFormPost(t *testing.T) {
	h := newHosted(t, open(t))
	b := h.tab()
	b.enter(appID)
	w := b.authorize(appID, "response_mode", "form_post", "state", `"><script>`)
	body, policy := w.Body.String(), w.Header().Get("Content-Security-Policy")
	if w.Code != http.StatusOK || !strings.Contains(body, `action="`+callback+`"`) || strings.Contains(body, `"><script>`) {
		t.Errorf("status %d: %s", w.Code, body)
	}
	for _, name := range []string{"code", "state", "iss"} {
		if !regexp.MustCompile(`<input type="hidden" name="` + name + `" value="[^"]+">`).MatchString(body) {
			t.Errorf("no %s in %s", name, body)
		}
	}
	if !strings.Contains(policy, "form-action http://localhost:8080") || !strings.Contains(policy, "script-src 'sha256-") || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("S-43: %s", policy)
	}
	if w = b.authorize(appID, "response_mode", "form_post", "scope", "openid nonsense"); !strings.Contains(w.Body.String(), `value="invalid_scope"`) {
		t.Errorf("an error is not posted: %s", w.Body)
	}
	if got := back(t, b.authorize(appID, "response_mode", "fragment")).Get("error"); got != "invalid_request" {
		t.Errorf("S-64: fragment: %q", got)
	}
}

// givesUp follows the link of the last sign-in page.
func (b *tab) givesUp() *httptest.ResponseRecorder {
	b.t.Helper()
	link := b.handed[len(b.handed)-1].Back
	if !strings.HasPrefix(link, "/login/cancel?flow=") {
		b.t.Fatalf("the link is %q", link)
	}
	return b.visit(http.MethodGet, link, nil)
}

func TestS64_WhoGivesUpIsBackAtTheApplication(t *testing.T) {
	hostedOnBoth(t, func(t *testing.T, h *hosted) {
		b := h.tab()
		p := b.asked(b.authorize(appID))
		for range 2 { // a link can be followed twice
			if q := back(t, b.givesUp()); q.Get("error") != "access_denied" || q.Get("error_description") == "" || q.Has("code") {
				t.Errorf("the application is told %v", q)
			}
		}
		// Nothing has changed: whoever goes back a page goes on.
		if back(t, b.arrive(b.code(b.password(p, "mary@example.com")))).Get("code") == "" {
			t.Error("S-41: the link ended the sign-in")
		}
	})
}

func TestS64_GivingUpIsToldAsTheApplicationAsked(t *testing.T) {
	hostedOnBoth(t, func(t *testing.T, h *hosted) {
		b := h.tab()
		b.asked(b.authorize(appID, "response_mode", "form_post", "state", `"><script>`, "ui_locales", "ja de"))
		w := b.givesUp()
		speaks(t, w, "de", `action="`+callback+`"`, `name="error" value="access_denied"`, `name="state" value="&#34;&gt;&lt;script&gt;"`, `name="iss" value="`+issuer+`"`)
		if !strings.Contains(w.Header().Get("Content-Security-Policy"), "form-action http://localhost:8080") {
			t.Error(w.Header())
		}
		// Who turned out to be somebody else, and began anew, may give that up.
		p := b.password(b.asked(b.authorize(appID)), "mary@example.com")
		p, err := h.engine.Cancel(ctx, p.Handle)
		must(t, p, err)
		if back(t, b.givesUp()).Get("error") != "access_denied" {
			t.Error("no way back from the second try")
		}
	})
}

// What the sign-in stands on may be gone: it cannot go on, and all the more there has to be a way back.
func TestS64_WhoCannotGoOnGivesUp(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(h *hosted)
		over bool
	}{
		"the session has ended": {func(h *hosted) { h.signOutEverywhere("00u1mary") }, false},
		"the password is another": {func(h *hosted) {
			h.write(func(tx store.Tx) error { return anotherPassword(tx, h.now()) })
		}, false},
		"the person is suspended": {func(h *hosted) {
			h.write(func(tx store.Tx) error {
				u, err := tx.User(ctx, "00u1mary")
				u.Status = ident.Suspended
				return errors.Join(err, tx.PutUser(ctx, u))
			})
		}, false},
		"the application is off": {func(h *hosted) { h.client(appID, func(c *oauth.Client) { c.Disabled = true }) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			hostedOnBoth(t, func(t *testing.T, h *hosted) {
				b := h.tab()
				b.arrive(b.password(b.asked(b.authorize("0oa1onefa")), "mary@example.com"))
				b.asked(b.authorize(appID))
				h.wait(time.Minute)
				c.end(h)
				w := b.givesUp()
				if c.over {
					if w.Code != http.StatusForbidden || w.Header().Get("Location") != "" {
						t.Errorf("status %d to %q", w.Code, w.Header().Get("Location"))
					}
				} else if q := back(t, w); q.Get("error") != "access_denied" {
					t.Errorf("the application is told %v", q)
				}
			})
		})
	}
}

func TestS17_S45_NobodyGivesUpForOthers(t *testing.T) {
	hostedOnBoth(t, func(t *testing.T, h *hosted) {
		b, other := h.tab(), h.tab()
		p := b.asked(b.authorize(appID))
		link, interaction := h.handed[0].Back, h.handed[0].Interaction.Reveal()
		name := strings.TrimPrefix(link, "/login/cancel?flow=")
		other.asked(other.authorize(appID)) // has a browser cookie of its own
		application, err := h.engine.Begin(ctx, flow.Request{Client: appID, Redirect: callback, Server: "default"})
		if err != nil {
			t.Fatal(err)
		}
		named := func(handle string) string {
			d := secret.DigestOf(secret.InteractionHandle, handle)
			return "/login/cancel?flow=" + base64.RawURLEncoding.EncodeToString(d[:])
		}
		b.asked(b.visit(http.MethodGet, "/login/begin?back=/account", nil))
		if last := h.handed[len(h.handed)-1]; last.Back != "" {
			t.Errorf("from a page of ours there is nothing to go back to, but %q", last.Back)
		} else if w := b.visit(http.MethodGet, named(last.Interaction.Reveal()), nil); w.Code != http.StatusForbidden || w.Header().Get("Location") != "" {
			t.Errorf("a sign-in for a page of ours: %d to %q", w.Code, w.Header().Get("Location"))
		}
		for name, w := range map[string]*httptest.ResponseRecorder{
			"another browser":            other.visit(http.MethodGet, link, nil),
			"no cookie":                  h.tab().visit(http.MethodGet, link, nil),
			"a handle for a name":        b.visit(http.MethodGet, "/login/cancel?flow="+interaction, nil),
			"an invented name":           b.visit(http.MethodGet, "/login/cancel?flow="+strings.Repeat("x", 43), nil),
			"half a name":                b.visit(http.MethodGet, link[:40], nil),
			"an application's own pages": b.visit(http.MethodGet, named(application.Reveal()), nil),
		} {
			if w.Code != http.StatusForbidden || w.Header().Get("Location") != "" || !strings.Contains(w.Body.String(), "This sign-in is over") {
				t.Errorf("%s: %d to %q", name, w.Code, w.Header().Get("Location"))
			}
		}
		if w := b.visit(http.MethodGet, "/login/cancel", nil); w.Code != http.StatusBadRequest {
			t.Errorf("no name: %d", w.Code)
		}
		if w := b.visit(http.MethodPost, "/login/cancel", url.Values{"flow": {name}}); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("a form: %d", w.Code)
		}
		// Nothing that is asked for leads elsewhere.
		w := b.visit(http.MethodGet, link+"&redirect_uri=https://evil.example/&state=evil&response_mode=form_post", nil)
		if q := back(t, w); strings.Contains(w.Header().Get("Location"), "evil") || q.Get("error") != "access_denied" {
			t.Errorf("to %q", w.Header().Get("Location"))
		}
		// The name opens nothing.
		if _, err := h.engine.Introspect(ctx, secret.Text(name), ""); err == nil {
			t.Error("S-16: the name is an interaction handle")
		}
		if _, err := h.engine.Introspect(ctx, "", secret.Text(name)); err == nil {
			t.Error("S-16: the name is a state handle")
		}
		// Who has arrived did not give up.
		back(t, b.arrive(b.code(b.password(p, "mary@example.com"))))
		if w := b.visit(http.MethodGet, link, nil); w.Code != http.StatusForbidden {
			t.Errorf("after the end: %d to %q", w.Code, w.Header().Get("Location"))
		}
	})
}

const native = "com.example.app:/cb?from=here"

func TestFormsAndLinksLeadToNativeApps(t *testing.T) {
	hostedOnBoth(t, func(t *testing.T, h *hosted) {
		h.client(appID, func(c *oauth.Client) {
			c.Redirects = append(c.Redirects, native)
			c.PostLogout = append(c.PostLogout, native)
		})
		h.client("0oa1second", func(c *oauth.Client) { c.FrontChannelLogout = "https://second.example/front" })
		b := h.tab()
		got := b.enter(appID)
		b.authorize("0oa1second")
		w := b.authorize(appID, "response_mode", "form_post", "redirect_uri", native)
		if policy := w.Header().Get("Content-Security-Policy"); !strings.Contains(w.Body.String(), `action="`+native+`"`) || !strings.HasSuffix(policy, "form-action com.example.app:") {
			t.Errorf("%s: %s", policy, w.Body)
		}
		w = b.logout("id_token_hint", got.ID, "post_logout_redirect_uri", native, "state", `"'>;x`)
		for _, want := range []string{`href="` + native + `&amp;state=%22%27%3E%3Bx"`, `content="2;url=` + native + `&amp;state=%22%27%3E%3Bx"`} {
			if !strings.Contains(w.Body.String(), want) {
				t.Errorf("no %s in %s", want, w.Body)
			}
		}
	})
}

// What runs something in the page is no way back, not even if it got among the registered addresses.
func TestS54_S45_NoFormOrLinkRunsSomething(t *testing.T) {
	hostedOnBoth(t, func(t *testing.T, h *hosted) {
		h.client("0oa1second", func(c *oauth.Client) { c.FrontChannelLogout = "https://second.example/front" })
		for _, runs := range []string{"javascript:alert(1)", "JavaScript:alert(1)//a.b", "data:text/html,x", "vbscript:x", "blob:https://evil.example/x", "mailto:a@b.example", "\tjavascript:alert(1)"} {
			h.client(appID, func(c *oauth.Client) {
				c.Redirects = append(c.Redirects, runs)
				c.PostLogout = append(c.PostLogout, runs)
			})
			b := h.tab()
			got := b.enter(appID)
			b.authorize("0oa1second")
			for name, w := range map[string]*httptest.ResponseRecorder{
				"authorize": b.authorize(appID, "response_mode", "form_post", "redirect_uri", runs),
				"logout":    b.logout("id_token_hint", got.ID, "post_logout_redirect_uri", runs),
			} {
				if w.Code != http.StatusBadRequest || w.Header().Get("Location") != "" || strings.Contains(w.Body.String(), "alert") || strings.Contains(w.Body.String(), "<form") || strings.Contains(w.Body.String(), "<a ") {
					t.Errorf("%s of %q: status %d to %q: %s", name, runs, w.Code, w.Header().Get("Location"), w.Body)
				}
			}
		}
	})
}

func TestAPostedRequestComesAgainByItself(t *testing.T) {
	h := newHosted(t, open(t))
	w := h.tab().visit(http.MethodPost, base+"v1/authorize", url.Values{"client_id": {appID}, "redirect_uri": {callback}, "state": {"a b&c"}})
	if want := issuer + "/v1/authorize?client_id=" + appID + "&redirect_uri=" + url.QueryEscape(callback) + "&state=a+b%26c"; w.Code != http.StatusSeeOther || w.Header().Get("Location") != want {
		t.Errorf("status %d to %q", w.Code, w.Header().Get("Location"))
	}
}

func (b *tab) logout(pairs ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	return b.visit(http.MethodGet, base+"v1/logout?"+encode(pairs...), nil)
}

func TestS65_LogoutEndsTheSession(t *testing.T) {
	hostedOnBoth(t, func(t *testing.T, h *hosted) {
		h.client("0oa1second", func(c *oauth.Client) {
			c.FrontChannelLogout, c.BackChannelLogout = "https://second.example/front?x=1", "https://second.example/back"
		})
		b := h.tab()
		first := b.enter(appID)
		b.authorize("0oa1second")
		w := b.logout("id_token_hint", first.ID, "post_logout_redirect_uri", bye, "state", "s")
		frame := "https://second.example/front?x=1&amp;iss=" + url.QueryEscape(issuer) + "&amp;sid=" + sid(t, first)
		if body := w.Body.String(); w.Code != http.StatusOK || !strings.Contains(body, frame) || !strings.Contains(body, bye+"?state=s") ||
			!strings.Contains(w.Header().Get("Content-Security-Policy"), "frame-src https://second.example") {
			t.Errorf("status %d, %s: %s", w.Code, w.Header().Get("Content-Security-Policy"), body)
		}
		if b.value() != "" {
			t.Error("the cookie stays")
		}
		if got := back(t, b.authorize(appID, "prompt", "none")).Get("error"); got != "login_required" {
			t.Errorf("still signed in: %q", got)
		}
		h.deaf = true
		if err := h.sessions.Tell(ctx); err != nil || len(h.told) != 0 {
			t.Fatal(err, h.told)
		}
		h.deaf = false
		for range 2 {
			h.wait(3 * time.Second)
			if err := h.sessions.Tell(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if len(h.told) != 1 {
			t.Fatalf("told %d times: %v", len(h.told), h.told)
		}
		to, token, _ := strings.Cut(h.told[0], " ")
		claims := part(t, token, 1)
		if to != "https://second.example/back" || claims["iss"] != issuer || claims["aud"] != "0oa1second" || claims["sub"] != "00u1mary" || claims["sid"] != sid(t, first) ||
			claims["nonce"] != nil || claims["jti"] == "" || claims["events"].(map[string]any)["http://schemas.openid.net/event/backchannel-logout"] == nil {
			t.Errorf("%s was told %v", to, claims)
		}
		if h.userinfo(token).Code != http.StatusUnauthorized {
			t.Error("S-61: a logout token opens userinfo")
		}
		if w := b.logout("id_token_hint", token); strings.Contains(w.Body.String(), "sign out?") {
			t.Error("a logout token is taken for an ID token")
		}
		for typ, n := range map[audit.Type]int{audit.SessionEnded: 1, audit.LogoutTold: 1, audit.LogoutNotTold: 0} {
			if got := len(h.events(typ)); got != n {
				t.Errorf("S-71: %d events of %s", got, typ)
			}
		}
	})
}

func TestS65_LogoutReachesWhatTwoTabsBegan(t *testing.T) {
	hostedOnBoth(t, func(t *testing.T, h *hosted) {
		for _, id := range []string{"0oa1second", "0oa1third"} {
			h.client(oauth.ClientID(id), func(c *oauth.Client) {
				c.FrontChannelLogout, c.BackChannelLogout = "https://"+id+".example/front", "https://"+id+".example/back"
			})
		}
		b := h.tab()
		one, two := b.asked(b.authorize("0oa1second")), b.asked(b.authorize("0oa1third")) // before anybody is signed in
		one = b.code(b.password(one, "mary@example.com"))
		first := b.redeem("0oa1second", back(t, b.arrive(one)).Get("code"))
		two = b.code(b.password(two, "mary@example.com"))
		second := b.redeem("0oa1third", back(t, b.arrive(two)).Get("code"))
		if q := back(t, b.arrive(two)); q.Get("code") == "" {
			t.Errorf("S-23: arriving again: %v", q)
		}
		if all, err := h.sessions.Of(ctx, "00u1mary"); err != nil || len(all) != 1 || all[0].ID != sid(t, second) {
			t.Fatalf("%d sessions in one browser, %v", len(all), err)
		}
		body := b.logout("id_token_hint", second.ID).Body.String()
		if err := h.sessions.Tell(ctx); err != nil || len(h.told) != 2 {
			t.Fatal(err, h.told)
		}
		told := map[string]any{}
		for _, one := range h.told {
			to, token, _ := strings.Cut(one, " ")
			told[to] = part(t, token, 1)["sid"]
		}
		for id, got := range map[string]tokens{"0oa1second": first, "0oa1third": second} {
			if told["https://"+id+".example/back"] != sid(t, got) || !strings.Contains(body, "https://"+id+".example/front?iss="+url.QueryEscape(issuer)+"&amp;sid="+sid(t, got)) {
				t.Errorf("%s does not know which session ended: %v, %s", id, told, body)
			}
		}
	})
}

// An application that entered in a session which went up in another one knows it by the id from before.
func TestS65_ASessionEndsByWhatItWentUpIn(t *testing.T) {
	hostedOnBoth(t, func(t *testing.T, h *hosted) {
		b := h.tab()
		one, two := b.asked(b.authorize(appID)), b.asked(b.authorize("0oa1second")) // before anybody is signed in
		one = b.code(b.password(one, "mary@example.com"))
		first := b.redeem(appID, back(t, b.arrive(one)).Get("code"))
		b.arrive(b.code(b.password(two, "mary@example.com")))
		w := h.tab().visit(http.MethodPost, base+"v1/logout", url.Values{"id_token_hint": {first.ID}})
		if w.Code != http.StatusOK {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
		h.nothingIsLeft("00u1mary")
		if got := back(t, b.authorize(appID, "prompt", "none")).Get("error"); got != "login_required" {
			t.Errorf("still signed in: %q", got)
		}
	})
}

func TestSomebodyElseInTheOtherTab(t *testing.T) {
	hostedOnBoth(t, func(t *testing.T, h *hosted) {
		b := h.tab()
		one, two := b.asked(b.authorize("0oa1onefa")), b.asked(b.authorize("0oa1onefa"))
		b.arrive(b.password(one, "mary@example.com"))
		b.arrive(b.password(two, "paul@example.com"))
		maries, err := h.sessions.Of(ctx, "00u1mary")
		pauls, e := h.sessions.Of(ctx, "00u1paul")
		if err != nil || e != nil || len(maries) != 0 || len(pauls) != 1 {
			t.Errorf("%d sessions of Mary, %d of Paul, %v %v", len(maries), len(pauls), err, e)
		}
	})
}

func TestALogoutThatNobodyTakesIsGivenUp(t *testing.T) {
	h := newHosted(t, open(t))
	h.client(appID, func(c *oauth.Client) { c.BackChannelLogout = "https://first.example/back" })
	b := h.tab()
	got := b.enter(appID)
	b.logout("id_token_hint", got.ID)
	h.deaf = true
	for range 100 {
		if err := h.sessions.Tell(ctx); err != nil {
			t.Fatal(err)
		}
		h.wait(time.Minute)
	}
	if n := len(h.events(audit.LogoutNotTold)); n != 1 {
		t.Errorf("%d events", n)
	}
	h.deaf = false
	if err := h.sessions.Tell(ctx); err != nil || len(h.told) != 0 {
		t.Errorf("told after all: %v %v", err, h.told)
	}
}

func TestS65_S41_NobodySignsOthersOut(t *testing.T) {
	h := newHosted(t, open(t))
	b, other := h.tab(), h.tab()
	mine := b.enter(appID)
	p := other.password(other.asked(other.authorize("0oa1onefa")), "paul@example.com")
	pauls := other.redeem("0oa1onefa", back(t, other.arrive(p)).Get("code"))
	for name, pairs := range map[string][]string{
		"no hint":            {},
		"a client alone":     {"client_id", appID, "post_logout_redirect_uri", bye},
		"somebody else's":    {"id_token_hint", pauls.ID},
		"no token":           {"id_token_hint", "a.b.c"},
		"an invented ticket": {"ticket", strings.Repeat("x", 43)},
	} {
		t.Run(name, func(t *testing.T) {
			w := b.logout(pairs...)
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "Do you want to sign out?") || b.value() == "" {
				t.Errorf("status %d: %s", w.Code, w.Body)
			}
			if back(t, b.authorize(appID, "prompt", "none")).Get("code") == "" {
				t.Fatal("signed out")
			}
		})
	}
	// Who says so on our page is signed out.
	w := b.logout("client_id", appID, "post_logout_redirect_uri", bye)
	ticket := regexp.MustCompile(`name="ticket" value="([^"]+)"`).FindStringSubmatch(w.Body.String())
	w = b.visit(http.MethodPost, base+"v1/logout", url.Values{"ticket": {ticket[1]}, "client_id": {appID}, "post_logout_redirect_uri": {bye}})
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != bye || b.value() != "" {
		t.Errorf("status %d to %q", w.Code, w.Header().Get("Location"))
	}
	// An application that knows the session by its ID token ends it without a cookie.
	b = h.tab()
	mine = b.enter(appID)
	h.tab().logout("id_token_hint", mine.ID)
	if got := back(t, b.authorize(appID, "prompt", "none")).Get("error"); got != "login_required" {
		t.Errorf("still signed in: %q", got)
	}
}

func TestS16_CodesOfOneEndingAreNoneOfTheOther(t *testing.T) {
	h := newHosted(t, open(t))
	b := h.tab()
	p := b.code(b.password(b.asked(b.authorize(appID)), "mary@example.com"))
	code := back(t, b.arrive(p)).Get("code")
	h.form(base+"v1/token", nil, "grant_type", "interaction_code", "interaction_code", code, "client_id", appID, "code_verifier", verifier).
		refused(400, oauth.InvalidGrant, "")
	if secret.DigestOf(secret.AuthorizationCode, code) == secret.DigestOf(secret.InteractionCode, code) {
		t.Error("one digest for both")
	}
	b.redeem(appID, code)
}

func TestS79_TwoTabsRaiseASessionAtOnce(t *testing.T) {
	hostedOnBoth(t, func(t *testing.T, h *hosted) {
		b := h.tab()
		p := b.password(b.asked(b.authorize("0oa1onefa")), "mary@example.com")
		b.arrive(p)
		one, two := b.asked(b.authorize(appID)), b.asked(b.authorize("0oa1second"))
		one, two = b.code(one), b.code(two)
		for _, p := range []*signin.Page{one, two} {
			if back(t, b.arrive(p)).Get("code") == "" {
				t.Error("no code")
			}
		}
		if all, err := h.sessions.Of(ctx, "00u1mary"); err != nil || len(all) != 1 {
			t.Errorf("%d sessions, %v", len(all), err)
		}
		if back(t, b.authorize(appID, "prompt", "none")).Get("code") == "" {
			t.Error("signed out by it")
		}
	})
}

func (h *hosted) phoneOf(u ident.UserID) (e ident.Enrollment) {
	h.t.Helper()
	err := h.db.View(ctx, func(tx store.Tx) error {
		all, err := tx.Enrollments(ctx, u)
		e, _ = ident.Find(all, ident.Phone)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return e
}

const (
	anew    = "/login/begin?back=/account/phone&replace=phone"
	other   = "+12025550144"
	another = "+12025550145"
)

func TestS38_AnotherPhoneTakesItsPlace(t *testing.T) {
	hostedOnBoth(t, func(t *testing.T, h *hosted) {
		b, elsewhere := h.tab(), h.tab()
		away := elsewhere.enter(appID)
		got := b.enter(appID)
		value, was := b.value(), h.phoneOf("00u1mary")

		p := b.asked(b.visit(http.MethodGet, anew, nil))
		if p.Offer.Stage != flow.EnrollSelect {
			t.Fatalf("at %s", p.Offer.Stage)
		}
		h.wait(31 * time.Second)
		p, err := h.engine.ChooseToEnroll(ctx, p.Handle, signin.Choice{Authenticator: "aut1phone", Method: ident.MethodSMS, Number: other})
		p = must(t, p, err)
		if h.phoneOf("00u1mary").ID != was.ID {
			t.Fatal("the new number counts before its code")
		}
		if _, err := h.engine.Answer(ctx, p.Handle, "000000"); err == nil || h.phoneOf("00u1mary").ID != was.ID {
			t.Fatalf("a wrong code: %v", err)
		}
		p, err = h.engine.Answer(ctx, p.Handle, pinned)
		w := b.arrive(must(t, p, err))
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != origin+"/account/phone" {
			t.Errorf("status %d to %q", w.Code, w.Header().Get("Location"))
		}
		now := h.phoneOf("00u1mary")
		if now.ID == was.ID || now.Secret != other {
			t.Errorf("the phone is %s, %s", now.ID, now.Hint)
		}
		if b.value() == value {
			t.Error("S-40: the session has the same value")
		}
		if q := back(t, b.authorize(appID, "prompt", "none")); q.Get("code") == "" {
			t.Errorf("who changed it is signed out: %v", q)
		}
		if q := back(t, elsewhere.authorize(appID, "prompt", "none")); q.Get("error") != "login_required" {
			t.Errorf("S-38: other sessions live on: %v", q)
		}
		for _, held := range []tokens{away, got} {
			h.refresh(held.Refresh).refused(400, oauth.InvalidGrant, "")
		}
		told := h.outbox()
		for _, want := range []string{"email: The phone of your account was removed", "email: A phone was set up", "sms " + number + ": This phone no longer signs you in"} {
			if !strings.Contains(told, want) {
				t.Errorf("nobody is told %q:\n%s", want, told)
			}
		}
		if n := len(h.events(audit.FactorRemoved)); n != 1 {
			t.Errorf("S-71: %d events", n)
		}
	})
}

func TestS38_WhoMaySetUpAnotherPhone(t *testing.T) {
	hostedOnBoth(t, func(t *testing.T, h *hosted) {
		b := h.tab()
		stepUp := func(name string) {
			t.Helper()
			w := b.visit(http.MethodGet, anew, nil)
			if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || to != "/login/begin?back=%2Faccount%2Fphone&max_age=300" {
				t.Errorf("%s: status %d to %q", name, w.Code, to)
			}
		}
		stepUp("nobody is signed in")
		b.arrive(b.password(b.asked(b.authorize("0oa1onefa")), "mary@example.com"))
		stepUp("the phone was not shown")
		b.enter(appID)
		h.wait(5*time.Minute + time.Second)
		stepUp("too long ago")
		// Signing in again is all it takes.
		p := b.asked(b.visit(http.MethodGet, "/login/begin?back=%2Faccount%2Fphone&max_age=300", nil))
		b.arrive(b.code(b.password(p, "mary@example.com")))
		p = b.asked(b.visit(http.MethodGet, anew, nil))
		h.wait(limit.Changing)
		if _, err := h.engine.ChooseToEnroll(ctx, p.Handle, signin.Choice{Authenticator: "aut1phone", Method: ident.MethodSMS, Number: other}); err == nil {
			t.Error("a change that was begun long ago goes on")
		}
		if w := b.visit(http.MethodGet, "/login/begin?back=/account/phone&replace=password", nil); w.Code != http.StatusBadRequest {
			t.Errorf("anything else: %d", w.Code)
		}
		if h.phoneOf("00u1mary").Secret != number {
			t.Error("the phone is another one")
		}
	})
}

// pair gives Paul a phone, and returns a browser in which Mary may set up another one, on the page that asks for it.
func (h *hosted) pair() (*tab, *signin.Page) {
	h.t.Helper()
	h.write(func(tx store.Tx) error {
		return tx.AddEnrollment(ctx, ident.Enrollment{ID: "sms1paul", User: "00u1paul", Authenticator: "aut1phone", Kind: ident.Phone,
			Method: ident.MethodSMS, Secret: another, Hint: "+1 XXX-XXX-0145", Created: h.now()})
	})
	b := h.tab()
	b.enter(appID)
	p := b.asked(b.visit(http.MethodGet, anew, nil))
	if p.Offer.Stage != flow.EnrollSelect {
		h.t.Fatalf("at %s", p.Offer.Stage)
	}
	return b, p
}

func TestS38_NotYouLeavesTheReplacementBehind(t *testing.T) {
	for login, user := range map[string]ident.UserID{"paul@example.com": "00u1paul", "mary@example.com": "00u1mary"} {
		t.Run(login, func(t *testing.T) {
			hostedOnBoth(t, func(t *testing.T, h *hosted) {
				b, p := h.pair()
				was := h.phoneOf(user)
				p, err := h.engine.Cancel(ctx, p.Handle)
				if must(t, p, err).Offer.Stage != flow.Identify {
					t.Fatalf("at %s", p.Offer.Stage)
				}
				p = b.password(p, login)
				if p.Offer.Stage != flow.VerifyData || len(p.Enrollments) != 2 {
					t.Fatalf("a password alone leads to %s, with %d enrollments", p.Offer.Stage, len(p.Enrollments))
				}
				if _, err := h.engine.ChooseToEnroll(ctx, p.Handle, signin.Choice{Authenticator: "aut1phone", Method: ident.MethodSMS, Number: other}); fault.As(err).Key != msg.NotOffered {
					t.Errorf("another phone: %v", err)
				}
				if w := b.arrive(b.code(p)); w.Header().Get("Location") != origin+"/account/phone" {
					t.Errorf("to %q", w.Header().Get("Location"))
				}
				if got := h.phoneOf(user); got != was {
					t.Errorf("the phone is %s, was %s", got.ID, was.ID)
				}
				if n := len(h.events(audit.FactorRemoved)); n != 0 {
					t.Errorf("S-71: %d events", n)
				}
				h.write(func(tx store.Tx) error { // who is signed in there is who was shown, and nobody else
					maries, err := tx.SessionsOf(ctx, "00u1mary")
					pauls, e := tx.SessionsOf(ctx, "00u1paul")
					if len(maries)+len(pauls) != 1 {
						t.Errorf("%d sessions of Mary, %d of Paul", len(maries), len(pauls))
					}
					return errors.Join(err, e)
				})
			})
		})
	}
}

func TestS38_AReplacementIsNobodyElses(t *testing.T) {
	hostedOnBoth(t, func(t *testing.T, h *hosted) {
		_, p := h.pair()
		was := h.phoneOf("00u1paul")
		for _, login := range []string{"paul@example.com", "mary@example.com", "nobody@example.com"} {
			for _, pass := range []secret.Text{marys, "wrong"} {
				got, err := h.engine.Identify(ctx, p.Handle, signin.Claimant{Login: login, Password: pass, Typed: true})
				if fault.As(err).Key != msg.NotOffered || got.User.ID != "00u1mary" || got.Offer.Stage != flow.EnrollSelect {
					t.Errorf("%s with %q: %v", login, pass.Reveal(), err)
				}
			}
		}
		// One that was stored for somebody else does not go on either.
		h.write(func(tx store.Tx) error {
			s, err := tx.Flow(ctx, secret.DigestOf(secret.StateHandle, p.Handle.Reveal()))
			if err != nil {
				return err
			}
			s.User, s.Login = "00u1paul", "paul@example.com"
			return tx.PutFlow(ctx, s, h.now().Add(time.Hour))
		})
		if _, err := h.engine.ChooseToEnroll(ctx, p.Handle, signin.Choice{Authenticator: "aut1phone", Method: ident.MethodSMS, Number: other}); fault.As(err).Kind != fault.Expired {
			t.Errorf("it goes on: %v", err)
		}
		if got := h.phoneOf("00u1paul"); got != was {
			t.Errorf("the phone is %s, was %s", got.ID, was.ID)
		}
	})
}

// Who came in with a password alone, which was enough for an application, is asked for the rest on our own pages, and for
// that alone; then they are there.
func TestS40_OurOwnPagesAskForTheRest(t *testing.T) {
	hostedOnBoth(t, func(t *testing.T, h *hosted) {
		b := h.tab()
		b.arrive(b.password(b.asked(b.authorize("0oa1onefa")), "mary@example.com"))
		weak := b.value()
		p := b.asked(b.visit(http.MethodGet, "/login/begin?back=/account", nil))
		if p.Offer.Stage != flow.VerifyData || p.User.ID != "00u1mary" {
			t.Fatalf("at %s, user %q", p.Offer.Stage, p.User.ID)
		}
		if w := b.arrive(b.code(p)); w.Header().Get("Location") != origin+"/account" || b.value() == weak {
			t.Errorf("to %q, the value is another one: %v", w.Header().Get("Location"), b.value() != weak)
		}
		if w := b.visit(http.MethodGet, "/login/begin?back=/account", nil); w.Header().Get("Location") != origin+"/account" {
			t.Errorf("once more to %q", w.Header().Get("Location"))
		}
		// No application's rules stand in for ours there.
		for _, back := range []string{"/account", "/account/phone", "/activate/account"} {
			if w := h.tab().visit(http.MethodGet, "/login/begin?client_id=0oa1onefa&back="+back, nil); w.Code != http.StatusBadRequest {
				t.Errorf("%s by the rules of an application: status %d to %q", back, w.Code, w.Header().Get("Location"))
			}
		}
		if p := b.asked(h.tab().visit(http.MethodGet, "/login/begin?client_id=0oa1onefa&back="+url.QueryEscape("/activate?user_code=WDJB-MJHT"), nil)); p.Offer.Stage != flow.Identify {
			t.Errorf("a device's page: at %s", p.Offer.Stage)
		}
	})
}

// Whoever opens the page begins a sign-in, so it counts like one.
func TestS52_OurOwnPagesAreCounted(t *testing.T) {
	h := newHosted(t, open(t))
	var counted []string
	ok := true
	h.api.Count = func(_ context.Context, what string) (limit.Reading, error) {
		counted = append(counted, what)
		return limit.Reading{OK: ok, Limit: 60, Reset: 7 * time.Second}, nil
	}
	open := func(address string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, address, nil)
		w := httptest.NewRecorder()
		h.api.ServeHTTP(w, r.WithContext(obs.WithSource(r.Context(), audit.Source{Address: "192.0.2.1"})))
		return w
	}
	open("/login/begin?back=/account")
	open("/login/begin?back=/activate&client_id=0oa1onefa")
	if len(counted) != 2 || counted[0] != "here 192.0.2.1" || counted[1] != "0oa1onefa 192.0.2.1" {
		t.Errorf("counted %q", counted)
	}
	ok = false
	begun := len(h.events(audit.FlowBegun))
	if w := open("/login/begin?back=/account"); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "7" || len(h.events(audit.FlowBegun)) != begun || begun != 2 {
		t.Errorf("one too many: %d %v, %d sign-ins", w.Code, w.Header(), len(h.events(audit.FlowBegun)))
	}
}

// The browser in which somebody signed in on our pages is known when it comes to the account pages (S-27).
func TestS27_TheBrowserIsADevice(t *testing.T) {
	h := newHosted(t, open(t))
	b := h.tab()
	b.enter(appID)
	device := func(cookie string) signin.Device {
		r := httptest.NewRequest(http.MethodPost, "/account/password", nil)
		r.AddCookie(&http.Cookie{Name: "__Host-latchkey_browser", Value: cookie})
		return signin.DeviceOf(h.api.OnDevice(r).Context())
	}
	name := b.cookies["__Host-latchkey_browser"]
	if token, _, _ := strings.Cut(name, "."); token == "" || device(name).Token.Reveal() != token {
		t.Errorf("the browser %q is the device %q", name, device(name).Token.Reveal())
	}
	for _, bad := range []string{"", name + "x", "x" + name, strings.Replace(name, ".", "", 1)} {
		if got := device(bad); got != (signin.Device{}) {
			t.Errorf("%q is the device %q", bad, got.Token.Reveal())
		}
	}
}

// Nobody can tell whether both are the owner's: the first is, as far as we know, and ends what was begun beside it.
func TestS40_OfTwoChangesAtOnceTheFirstStands(t *testing.T) {
	hostedOnBoth(t, func(t *testing.T, h *hosted) {
		b := h.tab()
		b.enter(appID)
		one, two := b.asked(b.visit(http.MethodGet, anew, nil)), b.asked(b.visit(http.MethodGet, anew, nil))
		for page, n := range map[*signin.Page]secret.Text{one: other, two: another} {
			h.wait(31 * time.Second)
			p, err := h.engine.ChooseToEnroll(ctx, page.Handle, signin.Choice{Authenticator: "aut1phone", Method: ident.MethodSMS, Number: n})
			page.Handle = must(t, p, err).Handle
		}
		p, err := h.engine.Answer(ctx, one.Handle, pinned)
		must(t, p, err)
		if _, err := h.engine.Answer(ctx, two.Handle, pinned); fault.As(err).Kind != fault.Expired || h.phoneOf("00u1mary").Secret != other {
			t.Errorf("the phone is %s, %v", h.phoneOf("00u1mary").Hint, err)
		}
		b.arrive(p)
		if back(t, b.authorize(appID, "prompt", "none")).Get("code") == "" {
			t.Error("the first is signed out")
		}
	})
}

// The pages let their forms lead to the application. What a policy cannot name is allowed by its scheme, and is no reason to
// let nobody in.
func TestS43_WhereASignInLeads(t *testing.T) {
	h := newHosted(t, open(t))
	for redirect, want := range map[string]string{
		"https://app.example:8443/cb": "https://app.example:8443", "http://my_app:3000/cb": "http:", "http://[::1]:3000/cb": "http:", "https://app.example:/cb": "https:",
		"https://a;script-src/cb": "https:", "com.example.app:/cb": "com.example.app:",
	} {
		h.client("0oa1led", func(c *oauth.Client) { c.Redirects = []string{redirect} })
		h.tab().authorize("0oa1led", "redirect_uri", redirect)
		if n := len(h.handed); n == 0 || h.handed[n-1].Target != want {
			t.Errorf("%s leads to %+v, want %s", redirect, h.handed, want)
		}
		h.handed = nil
	}
}

func TestS45_NothingLeadsOffOurOwnPages(t *testing.T) {
	h := newHosted(t, open(t))
	b := h.tab()
	for _, to := range []string{"https://evil.example/", "//evil.example/account", "/account/../signin", "/elsewhere", "/accounts", `/account\@evil.example`, "/account#x", "", "account"} {
		if w := b.visit(http.MethodGet, "/login/begin?back="+url.QueryEscape(to), nil); w.Code != http.StatusBadRequest || w.Header().Get("Location") != "" {
			t.Errorf("%q: status %d to %q", to, w.Code, w.Header().Get("Location"))
		}
	}
	p := b.asked(b.visit(http.MethodGet, "/login/begin?back="+url.QueryEscape("/activate?user_code=WDJB-MJHT"), nil))
	w := b.arrive(b.code(b.password(p, "mary@example.com")))
	if w.Header().Get("Location") != origin+"/activate?user_code=WDJB-MJHT" || b.value() == "" {
		t.Errorf("to %q", w.Header().Get("Location"))
	}
}

// outbox is what is waiting to be told to people: a line each, of mails the subject. A text in hand is a code.
func (h *hosted) outbox() string {
	h.t.Helper()
	var lines []string
	h.write(func(tx store.Tx) error {
		all, err := tx.LeaseMessages(ctx, "test", h.now(), h.now().Add(time.Second), 100)
		lines = nil
		for _, m := range all {
			first, _, _ := strings.Cut(m.Body.Reveal(), "\n")
			if m.Channel == "email" {
				lines = append(lines, "email: "+first)
			} else {
				lines = append(lines, m.Channel+" "+m.To.Reveal()+": "+first)
			}
		}
		return err
	})
	return strings.Join(lines, "\n")
}

// TestS42_AScriptReadsNothingOfAPersons: a page of a trusted origin, of the same site as we are, asks for a code of another
// application in the browser of somebody who is signed in.
func TestS42_AScriptReadsNothingOfAPersons(t *testing.T) {
	hostedOnBoth(t, func(t *testing.T, h *hosted) {
		b := h.tab()
		b.enter(appID)
		ask := func(path string, head header) answer {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			for name, value := range b.cookies {
				r.AddCookie(&http.Cookie{Name: name, Value: value})
			}
			return h.send(r, head)
		}
		silently := base + "v1/authorize?" + asked("client_id", "0oa1second", "response_type", "code", "scope", "openid", "response_mode", "form_post", "prompt", "none")
		script := header{"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-site", "Sec-Fetch-Dest": "empty", "Origin": "https://app.example"}
		for _, path := range []string{silently, base + "v1/logout", "/login/token/redirect?stateToken=x", "/activate"} {
			a := ask(path, script)
			if a.Code != http.StatusForbidden || strings.Contains(a.Body.String(), "<form") || !strings.Contains(a.Body.String(), "a script cannot read it") {
				t.Errorf("%s: %d %s", path, a.Code, a.Body)
			}
		}
		for name, head := range map[string]header{
			"a navigation":           {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"},
			"a frame":                {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-site", "Sec-Fetch-Dest": "iframe"},
			"an older browser":       nil,
			"a program with a fetch": {"Sec-Fetch-Mode": "cors"},
		} {
			if a := ask(silently, head); a.Code != http.StatusOK || !strings.Contains(a.Body.String(), `name="code"`) {
				t.Errorf("%s: %d %s", name, a.Code, a.Body)
			}
		}
	})
}

// TestACRValuesAskForMore: who is signed in with a password alone, in an application that asks for no more, is asked for the
// phone if the request says so, and the token says that it was shown.
func TestACRValuesAskForMore(t *testing.T) {
	hostedOnBoth(t, func(t *testing.T, h *hosted) {
		const two = "urn:okta:loa:2fa:any"
		b := h.tab()
		weak := b.redeem("0oa1onefa", back(t, b.arrive(b.password(b.asked(b.authorize("0oa1onefa")), "mary@example.com"))).Get("code"))
		if id := part(t, weak.ID, 1); fmt.Sprint(id["amr"]) != "[pwd]" || id["acr"] != nil {
			t.Fatalf("a password: %v", id)
		}
		if got := back(t, b.authorize("0oa1onefa", "prompt", "none", "acr_values", two)).Get("error"); got != "interaction_required" {
			t.Errorf("in silence: %q", got)
		}
		one := b.redeem("0oa1onefa", back(t, b.authorize("0oa1onefa", "prompt", "none", "acr_values", "urn:okta:loa:1fa:any")).Get("code"))
		if id := part(t, one.ID, 1); id["acr"] != "urn:okta:loa:1fa:any" || fmt.Sprint(id["amr"]) != "[pwd]" {
			t.Errorf("one factor was asked for, and shown before: %v", id)
		}

		p := b.asked(b.authorize("0oa1onefa", "acr_values", "phr "+two))
		if p.Redirect != "" || p.Offer.Stage == flow.Identify {
			t.Fatalf("at %s, to %q: the password was shown, the phone was not", p.Offer.Stage, p.Redirect)
		}
		strong := b.redeem("0oa1onefa", back(t, b.arrive(b.code(p))).Get("code"))
		id := part(t, strong.ID, 1)
		if id["acr"] != two || fmt.Sprint(id["amr"]) != "[pwd sms mca mfa]" || part(t, strong.Access, 1)["acr"] != two || id["sub"] != "00u1mary" {
			t.Errorf("both: %v", id)
		}
		// Having shown it once in this session is enough.
		again := b.redeem("0oa1onefa", back(t, b.authorize("0oa1onefa", "prompt", "none", "acr_values", two)).Get("code"))
		if id := part(t, again.ID, 1); id["acr"] != two || sid(t, again) != sid(t, strong) {
			t.Errorf("again: %v", id)
		}
	})
}
