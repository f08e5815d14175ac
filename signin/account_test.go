package signin_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey.dev/idx"
	"latchkey.dev/signin"
)

func clientOf(t testing.TB) *idx.Client {
	c, err := idx.New(idx.Config{Issuer: "https://id.example/oauth2/default", ClientID: "c", RedirectURI: "https://app.example/cb"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fakeAccount is mary's, in the session sesA.
type fakeAccount struct {
	mu      sync.Mutex
	err     error // what everything but reading answers
	gone    bool  // what everything answers
	stale   bool
	noPhone bool
	calls   []string
	ended   map[string]bool
	value   rune // of the session's cookie
}

var longAgo = time.Date(2026, 3, 4, 22, 6, 7, 0, time.UTC)

func (a *fakeAccount) note(call ...string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, strings.Join(call, " "))
	return a.err
}

func (a *fakeAccount) Profile(_ context.Context, session string) (signin.Profile, error) {
	if session != "sesA" || a.gone {
		return signin.Profile{}, signin.ErrSignedOut
	}
	if a.noPhone {
		return signin.Profile{Username: "mary@example.com", PasswordMin: 15, Fresh: true}, nil
	}
	return signin.Profile{Name: "Mary <b>Acme</b>", Username: "mary@example.com", Email: "mary@example.com", Phone: "+1 XXX-XXX-4567", Zone: "Europe/Berlin", PasswordMin: 15, Fresh: !a.stale}, nil
}

func (a *fakeAccount) ChangePassword(_ context.Context, session, current, next string) (string, error) {
	return a.renewed(a.note("change", session, current, next))
}

// renewed is the session's value from now on: a, b, c and so on.
func (a *fakeAccount) renewed(err error) (string, error) {
	if err != nil {
		return "", err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.value++
	return string(a.value), nil
}

func (a *fakeAccount) Sessions(context.Context, string) ([]signin.SessionInfo, error) {
	if a.gone {
		return nil, signin.ErrSignedOut
	}
	all := []signin.SessionInfo{
		{ID: "sesA", Current: true, Agent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", Address: "192.0.2.1", Began: longAgo, Seen: longAgo},
		{ID: "sesB", Agent: "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1", Address: "2001:db8::1", Began: longAgo, Seen: longAgo},
	}
	if a.ended["sesB"] {
		all = all[:1]
	}
	return all, nil
}

func (a *fakeAccount) RemovePhone(_ context.Context, session string) (string, error) {
	return a.renewed(a.note("remove phone", session))
}

func (a *fakeAccount) EndSession(_ context.Context, session, id string) error {
	if err := a.note("end", session, id); err != nil {
		return err
	}
	a.ended = map[string]bool{id: true}
	return nil
}

func (a *fakeAccount) EndSessions(_ context.Context, session string) error {
	return a.note("end all", session)
}

func (a *fakeAccount) SignIns(context.Context, string) ([]signin.SignIn, error) {
	return []signin.SignIn{{At: longAgo, App: "Seed App", Agent: "curl/8.0", Address: "192.0.2.1"}}, nil
}

// withAccount is hosted pages with an account; mallory's browser is one in which nobody is signed in.
func withAccount(t testing.TB) (*hostedSite, *fakeAccount, *person) {
	a := &fakeAccount{value: 'a'}
	h := newHosted(t, newFake(t), func(c *signin.Config) {
		c.Account, c.ChangePhone = a, "/change-the-phone"
		c.Visitor = func(r *http.Request) (string, bool) {
			c, err := r.Cookie("sid")
			if err == nil && c.Value == "another" {
				return "sesZ", true
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			return "sesA", err == nil && c.Value == string(a.value)
		}
		c.Renew = func(w http.ResponseWriter, value string) {
			http.SetCookie(w, &http.Cookie{Name: "sid", Value: value, Path: "/"})
		}
		c.SignIn = func(w http.ResponseWriter, r *http.Request, back string, fresh bool) {
			w.Header().Set("X-Back", back)
			if fresh {
				w.Header().Set("X-Fresh", "yes")
			}
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	p := h.person(t)
	p.http.Jar.SetCookies(mustParse(h.URL), []*http.Cookie{{Name: "sid", Value: "a", Path: "/"}})
	return h, a, p
}

func TestAccountPages(t *testing.T) {
	_, a, p := withAccount(t)
	p.open("/account").sees("Your account", "Mary <b>Acme</b>", "mary@example.com", "+1 •••", "4567", "Change your password", "Where you’re signed in", "Recent sign-ins")
	p.follow("Recent sign-ins").sees("Seed App", "2026-03-04 23:06 CET · Unknown device · 192.0.2.1").follow("Back to your account").sentTo("/account")
	p.follow("Where you’re signed in").sees("Firefox on Linux", "This device · 192.0.2.1", "Safari on iPhone", "last used 2026-03-04 23:06 CET")
	p.press("2001:db8::1", nil).sentTo("/account/sessions").sees("That device is signed out.").lacks("iPhone")
	p.press("Firefox", nil).sentTo("/signin/signed-out").sees("You’re signed out")
	p.open("/account/sessions").press("Sign out everywhere", nil).sentTo("/signin/signed-out")
	if got := strings.Join(a.calls, ", "); got != "end sesA sesB, end sesA sesA, end all sesA" {
		t.Errorf("asked for %s", got)
	}
	if p.open("/signin").sees("nothing to sign in to").follow("Your account"); p.at.Path != "/account" {
		t.Error(p.at)
	}
	for lang, words := range map[string]string{"de": "Ihr Konto", "fr": "Votre compte", "es": "Su cuenta"} {
		p.lang = lang
		p.open("/account").sees(words)
	}
}

func TestPhonePage(t *testing.T) {
	_, a, p := withAccount(t)
	p.open("/account").follow("Your phone").sees("+1 •••", "gets a code by text message", "Use another phone")
	if !strings.Contains(p.body, `href="/change-the-phone"`) {
		t.Error("no way to another phone")
	}
	p.press("Remove", nil).sentTo("/account").sees("Your phone is removed")
	if got := strings.Join(a.calls, ", "); got != "remove phone sesA" {
		t.Errorf("asked for %s", got)
	}
	a.err = signin.ErrNoPhone
	p.open("/account/phone").press("Remove", nil).sees("removed already")
	a.err = nil
	a.noPhone = true
	p.open("/account/phone").sees("no phone on your account", "Set up a phone").lacks("Remove")
}

func password(current, next string) map[string]string {
	return map[string]string{"current": current, "next": next}
}

func TestChangePassword(t *testing.T) {
	_, a, p := withAccount(t)
	p.open("/account").follow("Change your password")
	for _, want := range []string{`autocomplete="current-password"`, `autocomplete="new-password"`, `autocomplete="username" value="mary@example.com"`} {
		if !strings.Contains(p.body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	p.press("Change password", nil).sees("Type your current password.")
	p.press("Change password", password("old one", "")).sees("Choose a new password.")
	if len(a.calls) != 0 {
		t.Error("the account was asked for nothing")
	}
	for err, want := range map[error]string{
		signin.ErrWrongPassword:                             "That isn’t your current password",
		signin.ErrTooMany:                                   "Too many tries",
		&signin.WeakPasswordError{Why: signin.WeakLength}:   "at least 15 characters, and at most 256",
		&signin.WeakPasswordError{Why: signin.WeakCommon}:   "lists of common passwords",
		&signin.WeakPasswordError{Why: signin.WeakPersonal}: "your name or your username",
		&signin.WeakPasswordError{Why: signin.WeakSame}:     "the password you have",
	} {
		a.err = err
		p.press("Change password", password("old one", "new one")).sentTo("/account/password").sees(want)
		if strings.Contains(p.body, "old one") || strings.Contains(p.body, "new one") {
			t.Error("a password is on the page")
		}
		if !strings.Contains(p.body, `<title>Error: `) || !strings.Contains(p.body, ` autofocus`) {
			t.Errorf("%v: a screen reader is not told", err)
		}
	}
	before := len(a.calls)
	p.reload()
	if len(a.calls) != before {
		t.Error("a reload tried again")
	}
	a.err = signin.ErrStepUp
	if p.press("Change password", password("old one", "new one")); p.header.Get("X-Back") != "/account/password" || p.header.Get("X-Fresh") != "yes" {
		t.Errorf("who has to show anew who they are is sent to %q, fresh %q", p.header.Get("X-Back"), p.header.Get("X-Fresh"))
	}
	a.stale = true
	if p.open("/account/password"); p.header.Get("X-Back") != "/account/password" || p.header.Get("X-Fresh") != "yes" {
		t.Errorf("the form is shown to be filled in for nothing: %d", p.status)
	}
	a.stale = false
	a.err = errors.New("boom")
	if p.open("/account/password").press("Change password", password("old one", "new one")).sees("It’s very busy"); p.status != http.StatusServiceUnavailable {
		t.Errorf("status %d", p.status)
	}
	a.err = nil
	p.open("/account/password").press("Change password", password("old one", "new one")).sentTo("/account").sees("Your password is changed")
	if got := a.calls[len(a.calls)-1]; got != "change sesA old one new one" {
		t.Errorf("asked for %q", got)
	}
}

// A change gives the session another value, and an impatient finger sends the form again with the one from before: it is one
// change, and the browser has the new value, whichever of the two answers it reads.
func TestS40_AChangeSentTwiceIsOneAndRenewsTheCookie(t *testing.T) {
	h, a, p := withAccount(t)
	cookie := func(value string) {
		p.http.Jar.SetCookies(mustParse(h.URL), []*http.Cookie{{Name: "sid", Value: value, Path: "/"}})
	}
	for i, c := range []struct{ page, button, says string }{
		{"/account/password", "Change password", "Your password is changed"}, {"/account/phone", "Remove", "Your phone is removed"},
	} {
		before := string(a.value)
		action, values := p.open(c.page).form(c.button, nil)
		values.Set("v.current", "old one")
		values.Set("v.next", "new one")
		for range 2 {
			cookie(before)
			p.post(action, values).sentTo("/account").sees(c.says)
		}
		if len(a.calls) != i+1 || !slices.ContainsFunc(p.http.Jar.Cookies(mustParse(h.URL)), func(c *http.Cookie) bool { return c.Name == "sid" && c.Value == string(a.value) }) {
			t.Errorf("%s: asked for %q, the cookies are %v", c.page, a.calls, p.http.Jar.Cookies(mustParse(h.URL)))
		}
		// Only the very page that was answered: another one from the same browser is judged by the cookie that it comes with.
		action, values = p.open(c.page).form(c.button, nil)
		values.Set("v.current", "old one")
		values.Set("v.next", "new one")
		cookie(before)
		if p.post(action, values); p.status != http.StatusUnauthorized || len(a.calls) != i+1 {
			t.Errorf("%s: %d for the value from before", c.page, p.status)
		}
		cookie(string(a.value))
	}
	a.err = signin.ErrWrongPassword
	before := string(a.value)
	if p.open("/account/password").press("Change password", password("nope", "new one")); !slices.ContainsFunc(p.http.Jar.Cookies(mustParse(h.URL)), func(c *http.Cookie) bool { return c.Value == before }) {
		t.Error("what did not happen took the cookie")
	}
}

func TestS41_AccountForms(t *testing.T) {
	h, a, p := withAccount(t)
	for page, button := range map[string]string{"/account/password": "Change password", "/account/sessions": "Sign out everywhere"} {
		action, values := p.open(page).form(button, nil)
		values.Set("v.current", "a")
		values.Set("v.next", "b")
		for name, send := range map[string]func() *person{
			"cross-site": func() *person {
				r, _ := http.NewRequest("POST", h.URL+action, strings.NewReader(values.Encode()))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("Sec-Fetch-Site", "cross-site")
				return p.do(r)
			},
			"without the token": func() *person {
				bare := map[string][]string{"v.current": {"a"}, "v.next": {"b"}}
				return p.post(action, bare)
			},
			"from another browser": func() *person {
				q := h.person(t)
				q.http.Jar.SetCookies(mustParse(h.URL), []*http.Cookie{{Name: "sid", Value: "a", Path: "/"}})
				return q.open(page).post(action, values)
			},
		} {
			if q := send(); q.status != http.StatusForbidden {
				t.Errorf("%s, %s: %d", page, name, q.status)
			}
		}
	}
	for _, path := range []string{"/account/sessions/end", "/account/sessions/end-all", "/account/password?v.current=a&v.next=b"} {
		p.open(path)
	}
	if len(a.calls) != 0 {
		t.Errorf("the account was asked for %q", a.calls)
	}
	// A page that was left open acts for nobody who signed in after it was drawn.
	for page, button := range map[string]string{"/account/password": "Change password", "/account/sessions": "Sign out everywhere"} {
		p.http.Jar.SetCookies(mustParse(h.URL), []*http.Cookie{{Name: "sid", Value: "a", Path: "/"}})
		action, values := p.open(page).form(button, nil)
		values.Set("v.current", "a")
		values.Set("v.next", "b")
		p.http.Jar.SetCookies(mustParse(h.URL), []*http.Cookie{{Name: "sid", Value: "another", Path: "/"}})
		p.post(action, values)
	}
	if len(a.calls) != 0 {
		t.Errorf("the account was asked for %q", a.calls)
	}
	p.http.Jar.SetCookies(mustParse(h.URL), []*http.Cookie{{Name: "sid", Value: "a", Path: "/"}})
	// No link from elsewhere puts words into the page's mouth.
	p.open("/account?said=account.password.changed&by=AAAA").lacks("Your password is changed")
	p.open("/account/password").press("Change password", password("old one", "new one")).sees("Your password is changed")
	said := p.at.RawQuery
	p.open("/account/password?" + said).lacks("Your password is changed")
	q := h.person(t)
	q.http.Jar.SetCookies(mustParse(h.URL), []*http.Cookie{{Name: "sid", Value: "a", Path: "/"}})
	q.open("/account?" + said).lacks("Your password is changed")
}

func TestAccountPagesAreForWhoIsSignedIn(t *testing.T) {
	h, a, p := withAccount(t)
	for _, path := range []string{"/account", "/account/password", "/account/sessions", "/account/sign-ins"} {
		stranger := h.person(t).open(path)
		if stranger.status != http.StatusUnauthorized || stranger.header.Get("X-Back") != path || stranger.header.Get("X-Fresh") != "" || strings.Contains(stranger.body, "mary") {
			t.Errorf("%s: %d, back to %q", path, stranger.status, stranger.header.Get("X-Back"))
		}
		p.open(path)
		if p.status != 200 || p.header.Get("Cache-Control") != "no-store" || !strings.Contains(p.header.Get("Content-Security-Policy"), "form-action 'self'; frame-ancestors 'none'") {
			t.Errorf("%s: %d %v", path, p.status, p.header)
		}
		for _, bad := range []string{"<script>", "style=", "onclick", "<b>"} {
			if strings.Contains(p.body, bad) {
				t.Errorf("%s has %s", path, bad)
			}
		}
		a.gone = true // ended from elsewhere since the cookie was looked at
		if p.open(path); p.header.Get("X-Back") != path {
			t.Errorf("%s: %d for a session that has ended", path, p.status)
		}
		a.gone = false
	}
}
