package signin_test

import (
	"strings"
	"testing"

	"latchkey.dev/signin"
)

func TestFirstSignIn(t *testing.T) {
	s := newSite(t, newFake(t))
	p := s.person(t)
	p.open("/app/signin").sees("Sign in", "to continue to Seed App", "Username", "Password").lacks("Remember this device")
	p.press("Sign in", mary()).sees("Add a way to verify it’s you", "Phone", "A code by text message", "mary@example.com", "Not you?")
	if strings.Contains(p.text(), "Use another method") {
		t.Error("the list offers the list")
	}
	p.press("Phone", nil).sees("Add your phone", "We’ll text a six-digit code", "Phone number")
	p.press("Send code", map[string]string{"authenticator.phoneNumber": "+1 (555) 123-4567"}).sees("Enter your code", "We sent a code to +1 ••• ••• 4567", "Send a new code", "Use another number")
	if got := s.engine.texts; len(got) != 1 || got[0] != "+15551234567" {
		t.Fatalf("texts went to %q", got)
	}
	p.press("Verify", map[string]string{"credentials.passcode": "424 242"}).sentTo("/app/").sees("home")
	held, ok := s.pages.Session(p.request())
	if !ok || held.User.Name != "Mary Acme" || held.Tokens.AccessToken != "at-mary@example.com" {
		t.Fatalf("session: %v %+v", ok, held)
	}
	p.open("/app/signin").sees("You’re signed in", "Welcome, Mary Acme.", "+1 ••• ••• 4567")
	p.press("Sign out", nil).sentTo("/app/signin/signed-out").sees("You’re signed out")
	if _, ok := s.pages.Session(p.request()); ok {
		t.Fatal("the session outlived its end")
	}
}

func TestSecondSignIn(t *testing.T) {
	s := newSite(t, newFake(t))
	p := s.person(t)
	p.open("/app/signin").press("Sign in", bob()).sees("Verify it’s you", "We’ll text a six-digit code to +1 ••• ••• 4321")
	p.press("Send code", nil).sees("Enter your code", "We sent a code to +1 ••• ••• 4321")
	p.press("Verify", map[string]string{"credentials.passcode": code}).sentTo("/app/")
}

func TestRememberDeviceIsShownWhereItMeansSomething(t *testing.T) {
	s := newSite(t, newFake(t), func(c *signin.Config) { c.RememberDevice = true })
	p := s.person(t)
	p.open("/app/signin").sees("Remember this device")
	p.press("Sign in", map[string]string{"identifier": mary()["identifier"], "credentials.passcode": "nope", "rememberMe": "true"}).sees("Remember this device")
	if !strings.Contains(p.body, `name="v.rememberMe" value="true" checked`) {
		t.Error("what was ticked is not kept after a refusal")
	}
}
