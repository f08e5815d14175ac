package signin_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"latchkey.dev/idx"
	"latchkey.dev/latchkeytest"
	"latchkey.dev/signin"
)

// realSite is the pages over the real engine, for one of its applications.
func realSite(t *testing.T, srv *latchkeytest.Server, client string) *site {
	s := &site{}
	s.Server = httptest.NewServer(nil)
	t.Cleanup(s.Close)
	c, err := idx.New(idx.Config{Issuer: srv.Env["ISSUER"], ClientID: srv.Env[client], RedirectURI: s.URL + "/callback", Scopes: []string{"openid", "profile", "phone"}}, idx.WithClock(srv.Now))
	if err != nil {
		t.Fatal(err)
	}
	s.pages, err = signin.New(signin.Config{Client: c, URL: s.URL, Now: srv.Now})
	if err != nil {
		t.Fatal(err)
	}
	s.Config.Handler = s.pages
	return s
}

// What the real engine does with each of the policies that the journey knows.
func TestRealEngine(t *testing.T) {
	srv := latchkeytest.Start(t)
	mary := map[string]string{"identifier": srv.Env["USERNAME"], "credentials.passcode": srv.Env["PASSWORD"]}
	paul := map[string]string{"identifier": srv.Env["USERNAME_ENROLLED"], "credentials.passcode": srv.Env["PASSWORD_ENROLLED"]}
	number := srv.Env["PHONE_ENROLLED"]

	t.Run("password and phone", func(t *testing.T) {
		srv.Reset()
		p := realSite(t, srv, "CLIENT_ID").person(t)
		p.open("/").press("Sign in", mary).press("Phone", nil)
		p.press("Send code", map[string]string{"authenticator.phoneNumber": "+1 555 123 4567"}).sees("+1 ••• ••• 4567")
		p.press("Verify", typed(srv.Code(t, "+15551234567"))).sentTo("/profile").sees("You’re signed in", "+1 ••• ••• 4567")
		p.press("Sign out", nil).sees("You’re signed out")
	})
	t.Run("the phone is known", func(t *testing.T) {
		srv.Reset()
		p := realSite(t, srv, "CLIENT_ID").person(t)
		p.open("/").press("Sign in", paul).sees("••• ••• " + number[len(number)-4:])
		p.press("Send code", nil).press("Verify", typed(srv.Code(t, number))).sees("You’re signed in")
	})
	t.Run("password alone", func(t *testing.T) {
		srv.Reset()
		p := realSite(t, srv, "CLIENT_ID_1FA").person(t)
		p.open("/").press("Sign in", paul).sees("You’re signed in")
	})
	t.Run("a phone for those who like", func(t *testing.T) {
		srv.Reset()
		p := realSite(t, srv, "CLIENT_ID_OPTIONAL").person(t)
		p.open("/").press("Sign in", mary).sees("Add a way to verify it’s you", "Skip for now")
		q := p.tab().open(p.at.Path)
		p.press("Skip for now", nil).sees("You’re signed in")
		q.press("Phone", nil).sees("You signed in from another tab.")
	})
	t.Run("the name on a page of its own", func(t *testing.T) {
		srv.Reset()
		p := realSite(t, srv, "CLIENT_ID_IDFIRST").person(t)
		p.open("/")
		if strings.Contains(p.body, `type="password"`) {
			t.Fatal("the first page asks for the password")
		}
		p.press("Next", map[string]string{"identifier": paul["identifier"]}).sees("Enter your password")
		p.press("Continue", typed("nope")).sees("don’t match")
		p.press("Continue", typed(paul["credentials.passcode"])).sees("Verify it’s you")
		p.press("Send code", nil).press("Verify", typed(srv.Code(t, number))).sees("You’re signed in")
	})
	t.Run("the engine is killed and comes back", func(t *testing.T) {
		srv.Reset()
		p := realSite(t, srv, "CLIENT_ID").person(t)
		p.open("/").press("Sign in", paul)
		srv.Restart()
		p.press("Send code", nil)
		srv.Restart()
		p.press("Verify", typed(srv.Code(t, number))).sees("You’re signed in")
	})
	t.Run("the phone is suspended", func(t *testing.T) {
		srv.Reset()
		p := realSite(t, srv, "CLIENT_ID").person(t)
		p.open("/").press("Sign in", paul).press("Send code", nil)
		for range 2 {
			srv.ClearMessages()
			srv.Advance(31 * time.Second)
			p.press("Send a new code", nil)
			right := srv.Code(t, number)
			for i := range 5 {
				p.press("Verify", typed(other(right, i)))
			}
		}
		srv.Advance(31 * time.Second)
		p.press("Send a new code", nil).sees("your phone is paused for a while")
	})
	t.Run("a session ends with an hour of silence", func(t *testing.T) {
		srv.Reset()
		s := realSite(t, srv, "CLIENT_ID_1FA")
		p := s.person(t)
		p.open("/").press("Sign in", paul).sees("You’re signed in")
		srv.Advance(61 * time.Minute)
		p.open("/").sees("Sign in", "Username")
	})
}

// The pages of the real engine itself: somebody looks after their account.
func TestRealAccount(t *testing.T) {
	srv := latchkeytest.Start(t)
	s := &site{Server: &httptest.Server{URL: srv.Env["LATCHKEY_URL"]}}
	paul := map[string]string{"identifier": srv.Env["USERNAME_ENROLLED"], "credentials.passcode": srv.Env["PASSWORD_ENROLLED"]}
	number := srv.Env["PHONE_ENROLLED"]
	signIn := func(p *person) *person {
		t.Helper()
		srv.ClearMessages()
		srv.Advance(31 * time.Second)
		p.sees("Sign in").press("Sign in", paul)
		return p.press("Send code", nil).press("Verify", typed(srv.Code(t, number)))
	}
	p := s.person(t)
	signIn(p.open("/account")).sentTo("/account").sees("Your account", paul["identifier"], "••• "+number[len(number)-4:])
	q := s.person(t)
	signIn(q.open("/account")).sentTo("/account")
	p.follow("Where you’re signed in").sees("This device", "last used")
	p.open("/account").follow("Recent sign-ins").sees("127.0.0.1")
	p.open("/account/password").press("Change password", password("nope", "seven purple lanterns")).sees("That isn’t your current password")
	p.press("Change password", password(paul["credentials.passcode"], "password-password1")).sees("lists of common passwords")

	srv.Advance(6 * time.Minute) // too long ago: all of it is asked again, and then the page is there
	signIn(p.open("/account/password")).sentTo("/account/password")
	// Somebody guesses from the same address until it rests. The browser that the owner has signed in in does not rest with it (S-27).
	guesser := s.person(t)
	for range 10 {
		guesser.open("/account").press("Sign in", map[string]string{"identifier": paul["identifier"], "credentials.passcode": "nope"})
	}
	guesser.open("/account").press("Sign in", paul).sees("don’t match")
	thief := s.person(t)
	thief.http.Jar.SetCookies(mustParse(s.URL), p.http.Jar.Cookies(mustParse(s.URL)))
	thief.open("/account").sees("Your account")
	p.press("Change password", password(paul["credentials.passcode"], "seven purple lanterns")).sentTo("/account").sees("Your password is changed")
	thief.open("/account").sees("Sign in", "Username").lacks("Your account")
	q.open("/account").sees("Sign in", "Username")
	q.press("Sign in", paul).sees("don’t match")
	paul["credentials.passcode"] = "seven purple lanterns"
	signIn(q).sentTo("/account")
	q.open("/account/sessions").press("Sign out everywhere", nil).sees("You’re signed out")
	p.open("/account").sees("Sign in", "Username")
}

// Somebody without a phone sets one up, puts another in its place, and takes that off, on the pages of the real engine.
func TestRealPhone(t *testing.T) {
	srv := latchkeytest.Start(t)
	s := &site{Server: &httptest.Server{URL: srv.Env["LATCHKEY_URL"]}}
	const one, other = "+15551234567", "+12025550143"
	mary := map[string]string{"identifier": srv.Env["USERNAME"], "credentials.passcode": srv.Env["PASSWORD"]}
	p := s.person(t)
	setUp := func(link, number string) {
		t.Helper()
		srv.ClearMessages()
		srv.Advance(31 * time.Second)
		p.open("/account/phone").follow(link).sees("Add a way to verify it’s you").press("Phone", nil)
		p.press("Send code", map[string]string{"authenticator.phoneNumber": number})
		p.press("Verify", typed(srv.Code(t, number))).sentTo("/account/phone").sees("••• " + number[len(number)-4:])
	}
	session := func() string {
		for _, c := range p.http.Jar.Cookies(mustParse(s.URL)) {
			if strings.HasSuffix(c.Name, "latchkey_session") {
				return c.Value
			}
		}
		return ""
	}
	p.open("/account").press("Sign in", mary).sees("Add a way to verify it’s you").press("Skip for now", nil).sentTo("/account")
	p.open("/account/phone").sees("no phone on your account")
	setUp("Set up a phone", one)

	elsewhere := s.person(t)
	elsewhere.open("/account").press("Sign in", mary)
	srv.ClearMessages()
	srv.Advance(31 * time.Second)
	elsewhere.press("Send code", nil).press("Verify", typed(srv.Code(t, one))).sentTo("/account")
	before := session()
	setUp("Use another phone", other)
	if session() == before {
		t.Error("S-40: with another phone the session has the same value")
	}
	elsewhere.open("/account").sees("Sign in", "Username").lacks("Your account") // S-38: others have to show the new one

	before = session()
	p.open("/account/phone").press("Remove", nil).sentTo("/account").sees("Your phone is removed")
	if session() == before {
		t.Error("S-40: without the phone the session has the same value")
	}
	p.open("/account/phone").sees("no phone on your account")
	srv.Advance(6 * time.Minute) // too long ago: but there is nothing left to show but the password
	p.open("/account/password").sees("Sign in").press("Sign in", mary).sees("Add a way to verify it’s you").press("Skip for now", nil).sentTo("/account/password")
}

// other is a code that is not that one.
func other(code string, n int) string {
	b := []byte(code)
	b[n%6] = '0' + (b[n%6]-'0'+1+byte(n/6))%10
	return string(b)
}
