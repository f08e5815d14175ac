package signin_test

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"testing"

	"latchkey.dev/signin"
)

// atCode walks to the code page of a first sign-in.
func atCode(t testing.TB, s *site) *person {
	t.Helper()
	p := s.person(t)
	p.open("/app/signin").press("Sign in", mary()).press("Phone", nil)
	return p.press("Send code", map[string]string{"authenticator.phoneNumber": "+15551234567"}).sees("Enter your code")
}

func typed(passcode string) map[string]string {
	return map[string]string{"credentials.passcode": passcode}
}

func TestWrongPassword(t *testing.T) {
	s := newSite(t, newFake(t))
	p := s.person(t)
	wrong := mary()
	wrong["credentials.passcode"] = "nope"
	p.open("/app/signin").press("Sign in", wrong).sees("That username and password don’t match")
	if got := p.value("identifier"); got != "mary@example.com" {
		t.Errorf("the username is gone: %q", got)
	}
	if strings.Contains(p.body, "nope") {
		t.Error("the password is on the page")
	}
	if !strings.Contains(p.body, `<title>Error: Sign in · Acme</title>`) || !strings.Contains(p.body, `role="alert"`) {
		t.Error("a screen reader is not told")
	}
	before := s.engine.count("/idp/idx/identify")
	p.reload().sees("That username and password don’t match")
	if s.engine.count("/idp/idx/identify") != before {
		t.Error("a reload tried the password again")
	}
	p.press("Sign in", mary()).sees("Add a way to verify")
	if strings.Contains(p.text(), "don’t match") {
		t.Error("the message outlived its reason")
	}
}

func TestNothingTyped(t *testing.T) {
	s := newSite(t, newFake(t))
	p := s.person(t)
	p.open("/app/signin").press("Sign in", nil).sees("Type your username.", "Type your password.")
	if s.engine.count("/idp/idx/identify") != 0 {
		t.Error("the engine was asked about nothing")
	}
}

func TestUnknownUser(t *testing.T) {
	e := newFake(t)
	e.reveal = true
	p := newSite(t, e).person(t)
	p.open("/app/signin").press("Sign in", map[string]string{"identifier": "nobody@example.com", "credentials.passcode": "x"}).sees("We don’t know that username")
	if p.value("identifier") != "nobody@example.com" {
		t.Error("the username is gone")
	}
	p.press("Sign in", mary()).sees("Add a way to verify")
}

func TestNameFirst(t *testing.T) {
	e := newFake(t)
	e.identifierFirst = true
	s := newSite(t, e)
	p := s.person(t)
	p.open("/app/signin")
	if strings.Contains(p.body, `type="password"`) {
		t.Fatal("the first page asks for the password")
	}
	p.press("Next", map[string]string{"identifier": "mary@example.com"}).sees("Enter your password", "mary@example.com")
	if !strings.Contains(p.body, `autocomplete="username" value="mary@example.com"`) {
		t.Error("the password manager is not told whose password it is")
	}
	p.press("Continue", typed("nope")).sees("don’t match")
	p.press("Continue", typed("Correct-Horse-1")).sees("Add a way to verify")
}

func TestPhoneNumberIsRefused(t *testing.T) {
	s := newSite(t, newFake(t))
	p := s.person(t)
	p.open("/app/signin").press("Sign in", mary()).press("Phone", nil)
	before := s.engine.count("/idp/idx/credential/enroll")
	for number, want := range map[string]string{
		"":                    "Type your phone number.",
		"555-CALL":            "A phone number has only a + and digits.",
		"5551234567":          "Start with + and the country code",
		"+1555":               "too short or too long",
		"+155512345678901234": "too short or too long",
	} {
		p.press("Send code", map[string]string{"authenticator.phoneNumber": number}).sees(want)
		if got := p.value("authenticator.phoneNumber"); got != number {
			t.Errorf("%q became %q", number, got)
		}
	}
	if s.engine.count("/idp/idx/credential/enroll") != before {
		t.Error("the engine was asked about numbers that cannot be")
	}
	p.press("Send code", map[string]string{"authenticator.phoneNumber": "+882 1234 5678"}).sees("We can’t send a code to that number")
	if p.value("authenticator.phoneNumber") != "+882 1234 5678" || !strings.Contains(p.body, `aria-invalid="true"`) {
		t.Error("the number that was refused is not there to mend")
	}
	p.press("Send code", map[string]string{"authenticator.phoneNumber": "+15551234567"}).sees("Enter your code")
}

func TestWrongCodes(t *testing.T) {
	s := newSite(t, newFake(t))
	p := atCode(t, s)
	p.press("Verify", typed("12345")).sees("The code has six digits.")
	p.press("Verify", typed("")).sees("Type the code we sent you.")
	if n := s.engine.count("/idp/idx/challenge/answer"); n != 0 {
		t.Fatalf("%d tries were spent on what is no code", n)
	}
	for i := range 5 {
		p.press("Verify", typed(fmt.Sprintf("00000%d", i))).sees("That code isn’t right or no longer works")
		if strings.Contains(p.body, fmt.Sprintf("00000%d", i)) {
			t.Error("the code is on the page")
		}
	}
	p.press("Verify", typed(code)).sees("one wrong code too many", "Send a new one")
	p.press("Verify", typed("000009")).sees("one wrong code too many")
	p.press("Send a new code", nil).sees("We sent a new code to +1 ••• ••• 4567", "Enter your code")
	p.press("Verify", typed(code)).sentTo("/app/")
}

func TestResendTooEarly(t *testing.T) {
	s := newSite(t, newFake(t), func(c *signin.Config) { c.ResendAfter = 30e9 })
	p := atCode(t, s)
	if !strings.Contains(p.body, `data-wait="30"`) && !strings.Contains(p.body, `data-wait="29"`) {
		t.Error("the page does not say when another code can be had")
	}
	p.press("Send a new code", nil).sees("We sent a new code")
	p.press("Send a new code", nil).sees("A code is already on its way")
	p.press("Verify", typed(code)).sentTo("/app/")
}

func TestAnotherNumber(t *testing.T) {
	s := newSite(t, newFake(t))
	p := atCode(t, s)
	p.follow("Use another number").sees("Add your phone", "Back")
	if p.value("phoneNumber") != "+15551234567" {
		t.Error("the number is not there to mend")
	}
	p.follow("Back").sees("Enter your code") // nothing was lost by looking
	p.follow("Use another number").press("Send code", map[string]string{"phoneNumber": "nonsense"}).sees("Add your phone", "only a + and digits")
	if p.value("phoneNumber") != "nonsense" {
		t.Error("what is to be mended is not there")
	}
	p.follow("Back").sees("Enter your code")
	if strings.Contains(p.text(), "only a + and digits") {
		t.Error("the code page complains about a number")
	}
	p.follow("Use another number").press("Send code", map[string]string{"phoneNumber": "+1 555 999 8888"}).sees("We sent a code to +1 ••• ••• 8888")
	p.press("Verify", typed(code)).sentTo("/app/")
	if got := s.engine.users["mary@example.com"].phone; got != "+15559998888" {
		t.Errorf("enrolled %s", got)
	}
}

func TestExpiry(t *testing.T) {
	s := newSite(t, newFake(t))
	p := atCode(t, s)
	s.engine.expire()
	p.press("Verify", typed(code)).sees("Your sign-in took too long")
	p.follow("Start again").sees("Sign in", "Username")
	p.press("Sign in", mary()).sees("Add a way to verify")
	s.engine.expire()
	p.reload().sees("Your sign-in took too long")
	p.open("/app/signin").sees("Sign in") // who comes back after a night is not scolded

	s.engine.expire()
	p.press("Sign in", mary()).sees("Add a way to verify") // a name and a password speak for themselves
}

func TestComeBack(t *testing.T) {
	s := newSite(t, newFake(t))
	p := atCode(t, s)
	q := p.tab().open("/app/signin").sees("Enter your code", "mary@example.com")
	q.press("Verify", typed(code)).sentTo("/app/")
}

func TestRestart(t *testing.T) {
	s := newSite(t, newFake(t))
	p := atCode(t, s)
	again := newSite(t, s.engine, func(c *signin.Config) { c.URL = s.URL + "/app/signin" })
	s.Config.Handler = again.Config.Handler
	p.press("Verify", typed(code)).sentTo("/app/")

	s.engine.users["mary@example.com"].phone = ""
	p = atCode(t, s)
	other := newSite(t, s.engine, func(c *signin.Config) { c.URL, c.Keys = s.URL+"/app/signin", [][32]byte{{2}, {1}} })
	s.Config.Handler = other.Config.Handler
	p.reload().sees("Enter your code") // an old key still opens
}

func TestCancelAndStartAgain(t *testing.T) {
	s := newSite(t, newFake(t))
	p := atCode(t, s)
	action, values := p.form("Verify", typed(code))
	p.press("Not you?", nil).sees("Sign in", "Username")
	if s.engine.count("/idp/idx/cancel") != 1 {
		t.Error("the engine was not told")
	}
	q := p.tab().post(action, values).sees("Your sign-in took too long") // the page from before
	q.follow("Start again").press("Sign in", bob()).sees("Verify it’s you")
}

func TestTwoTabs(t *testing.T) {
	s := newSite(t, newFake(t))
	one := s.person(t).open("/app/signin")
	two := one.tab().open("/app/signin")
	one.press("Sign in", mary()).sees("mary@example.com")

	two.press("Sign in", bob()).sees("Verify it’s you", "bob@example.com")
	if strings.Contains(two.text(), "mary") || one.at.Path == two.at.Path {
		t.Fatal("two people share a sign-in")
	}
	one.reload().sees("mary@example.com", "Add a way to verify")
	one.press("Phone", nil).press("Send code", map[string]string{"authenticator.phoneNumber": "+15551234567"})
	two.press("Send code", nil).sees("+1 ••• ••• 4321")
	one.reload().sees("+1 ••• ••• 4567")
	two.press("Verify", typed(code)).sentTo("/app/")
	one.press("Verify", typed(code)).sentTo("/app/")
	if held, _ := s.pages.Session(one.request()); held.Tokens.AccessToken != "at-mary@example.com" {
		t.Error("the last to sign in is not the one who is signed in")
	}
}

func TestFinishedInAnotherTab(t *testing.T) {
	s := newSite(t, newFake(t))
	one := atCode(t, s)
	two := one.tab().open(one.at.Path).sees("Enter your code")
	two.press("Verify", typed(code)).sentTo("/app/")
	one.press("Verify", typed("000000")).sees("You signed in from another tab.", "You’re signed in", "Mary Acme")
	one.follow("Continue").sentTo("/app/")
}

func TestFormFromAnEarlierPage(t *testing.T) {
	s := newSite(t, newFake(t))
	p := s.person(t)
	p.open("/app/signin").press("Sign in", mary()).press("Phone", nil)
	action, values := p.form("Send code", map[string]string{"authenticator.phoneNumber": "+15551234567"})
	p.post(action, values).sees("Enter your code")
	values.Set("v.authenticator.phoneNumber", "+15550000000")
	p.post(action, values).sees("This sign-in had already moved on", "Enter your code", "4567")
	if len(s.engine.texts) != 1 {
		t.Error("a page from before sent a text")
	}
}

// S-56: a code redeemed twice revokes what it yielded, so a double click must redeem it once.
func TestS56_DoubleClick(t *testing.T) {
	s := newSite(t, newFake(t))
	p := atCode(t, s)
	action, values := p.form("Verify", typed(code))
	var wg sync.WaitGroup
	sessions := make([]string, 8)
	for i := range sessions {
		wg.Go(func() {
			r, _ := http.NewRequest("POST", s.URL+action, strings.NewReader(values.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			for _, c := range p.http.Jar.Cookies(r.URL) {
				r.AddCookie(c)
			}
			res, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			for _, c := range res.Cookies() {
				if strings.HasSuffix(c.Name, "-session") {
					sessions[i] = res.Header.Get("Location") + " " + c.Value
				}
			}
		})
	}
	wg.Wait()
	for _, got := range sessions {
		if got != sessions[0] || !strings.HasPrefix(got, "/app/ ") {
			t.Fatalf("answers differ: %q", sessions)
		}
	}
	if n := s.engine.count("/v1/token"); n != 1 {
		t.Fatalf("the code was redeemed %d times", n)
	}
}

func TestEngineIsAway(t *testing.T) {
	for name, away := range map[string]reply{
		"proxy page":  {502, "<html>bad gateway</html>"},
		"engine down": {500, obj{"version": "1.0.0"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, newFake(t))
			p := s.person(t).open("/app/signin")
			s.engine.misbehave(func(string, *fakeFlow) *reply { return &away })
			p.press("Sign in", mary()).sees("We can’t reach the sign-in service", "Try again")
			if p.status != http.StatusBadGateway {
				t.Errorf("status %d", p.status)
			}
			s.engine.misbehave(nil)
			p.follow("Try again").sees("Sign in")
			p.press("Sign in", mary()).sees("Add a way to verify")

			s.engine.misbehave(func(string, *fakeFlow) *reply { return &away })
			q := s.person(t).open("/app/signin").sees("We can’t reach the sign-in service")
			s.engine.misbehave(nil)
			q.follow("Try again").sees("Sign in")
		})
	}
}

func TestTypedNameSurvivesAFault(t *testing.T) {
	s := newSite(t, newFake(t))
	p := s.person(t).open("/app/signin")
	s.engine.misbehave(func(path string, _ *fakeFlow) *reply {
		if path == "/idp/idx/identify" {
			return &reply{502, "<html>"}
		}
		return nil
	})
	p.press("Sign in", mary()).sees("We can’t reach the sign-in service")
	s.engine.misbehave(nil)
	if p.follow("Try again"); p.value("identifier") != "mary@example.com" {
		t.Error("the username is gone")
	}
}

func TestEngineIsBusy(t *testing.T) {
	s := newSite(t, newFake(t))
	s.engine.misbehave(func(string, *fakeFlow) *reply { return &reply{503, "<html>"} })
	p := s.person(t).open("/app/signin").sees("It’s very busy right now")
	if p.status != http.StatusServiceUnavailable || p.header.Get("Retry-After") == "" {
		t.Errorf("status %d, Retry-After %q", p.status, p.header.Get("Retry-After"))
	}
}

func TestTextsCannotBeSent(t *testing.T) {
	s := newSite(t, newFake(t))
	p := s.person(t)
	p.open("/app/signin").press("Sign in", mary()).press("Phone", nil)
	e := s.engine
	e.misbehave(func(path string, f *fakeFlow) *reply {
		if path == "/idp/idx/credential/enroll" {
			return &reply{503, with(e.document(f), messages("ERROR", "latchkey.sms.unavailable", "down"))}
		}
		return nil
	})
	number := map[string]string{"authenticator.phoneNumber": "+15551234567"}
	p.press("Send code", number).sees("We can’t send texts at the moment", "Add your phone")
	if p.value("authenticator.phoneNumber") != "+15551234567" {
		t.Error("the number is gone")
	}
	e.misbehave(nil)
	p.press("Send code", number).sees("Enter your code")
}

func TestExchangeFails(t *testing.T) {
	s := newSite(t, newFake(t))
	p := atCode(t, s)
	s.engine.misbehave(func(path string, _ *fakeFlow) *reply {
		if path == "/v1/token" {
			return &reply{400, obj{"error": "invalid_grant"}}
		}
		return nil
	})
	p.press("Verify", typed(code)).sees("We couldn’t finish your sign-in")
	if _, ok := s.pages.Session(p.request()); ok {
		t.Fatal("signed in without tokens")
	}
	s.engine.misbehave(nil)
	p.follow("Start again").press("Sign in", mary()).sees("Verify it’s you") // the phone was enrolled
}

func TestSkip(t *testing.T) {
	e := newFake(t)
	e.optional = true
	p := newSite(t, e).person(t)
	p.open("/app/signin").press("Sign in", mary()).sees("Skip for now")
	p.press("Skip for now", nil).sentTo("/app/")
}

func TestPasswordAlone(t *testing.T) {
	e := newFake(t)
	e.passwordOnly = true
	p := newSite(t, e).person(t)
	p.open("/app/signin").press("Sign in", mary()).sentTo("/app/")
	p.open("/app/signin").sees("You’re signed in")
	p.press("Use another account", nil).press("Sign in", bob()).sentTo("/app/")
}

func TestSeveralMethods(t *testing.T) {
	e := newFake(t)
	e.voice = true
	p := newSite(t, e).person(t)
	p.open("/app/signin").press("Sign in", mary()).press("Phone", nil).sees("How should the code reach you?", "Text message", "Phone call")
	p.press("Send code", map[string]string{"authenticator.phoneNumber": "+15551234567", "authenticator.methodType": "voice"}).sees("Enter your code")
}

func TestEngineEndsTheSignIn(t *testing.T) {
	s := newSite(t, newFake(t))
	p := s.person(t).open("/app/signin")
	s.engine.misbehave(func(path string, f *fakeFlow) *reply {
		if path == "/idp/idx/identify" {
			f.dead = true
			return &reply{200, obj{"version": "1.0.0", "messages": messages("INFO", "idx.email.verification.required", "x")}}
		}
		return nil
	})
	p.press("Sign in", mary()).sees("That’s done", "Check your e-mail to finish signing in.")
	s.engine.misbehave(func(path string, f *fakeFlow) *reply {
		if path == "/idp/idx/identify" {
			f.dead = true
			return &reply{403, obj{"version": "1.0.0", "messages": messages("ERROR", "security.access_denied", "x")}}
		}
		return nil
	})
	p.follow("Start again").press("Sign in", mary()).sees("Your sign-in ended", "You don’t have permission to do this.")
}

func TestEngineWillNotBegin(t *testing.T) {
	s := newSite(t, newFake(t))
	s.engine.misbehave(func(path string, f *fakeFlow) *reply {
		if path == "/idp/idx/introspect" {
			return &reply{403, obj{"version": "1.0.0", "messages": messages("ERROR", "idx.error.user.not.assigned.to.app", "x")}}
		}
		return nil
	})
	p := s.person(t).open("/app/signin").sees("You can’t sign in here", "may not use this application")
	if p.status != http.StatusForbidden {
		t.Errorf("status %d", p.status)
	}
}

// A step that nobody here has heard of is drawn from what the engine says about it.
func TestStepOfTomorrow(t *testing.T) {
	e := newFake(t)
	s := newSite(t, e)
	var got map[string]any
	tomorrow := func(f *fakeFlow) obj {
		doc := e.document(f)
		doc["remediation"] = obj{"type": "array", "value": []obj{e.form(f, "choose-a-colour", "tomorrow",
			obj{"name": "profile", "type": "object", "form": obj{"value": []obj{{"name": "nickname", "label": "Nickname <b>", "required": true, "maxLength": 20}, {"name": "pin", "label": "PIN", "secret": true}}}},
			obj{"name": "colour", "type": "string", "label": "Colour", "required": true, "options": []obj{{"label": "Red", "value": "r"}, {"label": "Blue", "value": "b"}}},
			obj{"name": "newsletter", "type": "boolean", "label": "Write to me"})}}
		return doc
	}
	e.misbehave(func(path string, f *fakeFlow) *reply {
		switch path {
		case "/idp/idx/identify":
			f.step, f.login = "choose", "mary@example.com"
			return &reply{200, tomorrow(f)}
		case "/idp/idx/introspect":
			if f.step == "choose" {
				return &reply{200, tomorrow(f)}
			}
		case "/idp/idx/tomorrow":
			got = e.last
			f.step = "done"
			return &reply{200, e.document(f)}
		}
		return nil
	})
	p := s.person(t)
	p.open("/app/signin").press("Sign in", mary()).sees("One more step", "Nickname <b>", "PIN", "Colour", "Red", "Blue", "Write to me")
	p.press("Continue", map[string]string{"colour": "b"}).sees("Fill in this field.")
	p.press("Continue", map[string]string{"profile.nickname": "Mo", "profile.pin": "12", "colour": "b", "newsletter": "true"}).sentTo("/app/")
	delete(got, "stateHandle")
	if want := "map[colour:b newsletter:true profile:map[nickname:Mo pin:12]]"; fmt.Sprint(got) != want {
		t.Errorf("sent %v, want %v", got, want)
	}
}

// A step that only a script or another device could answer says so, and offers what else there is.
func TestStepBeyondThePages(t *testing.T) {
	e := newFake(t)
	s := newSite(t, e)
	beyond := func(f *fakeFlow) obj {
		doc := e.document(f)
		form := e.form(f, "challenge-authenticator", "challenge/answer", obj{"name": "credentials", "type": "object", "required": true, "form": obj{"value": []obj{{"name": "clientData", "required": true, "visible": false}}}})
		doc["remediation"].(obj)["value"] = append([]obj{form}, doc["remediation"].(obj)["value"].([]obj)...)
		return doc
	}
	e.misbehave(func(path string, f *fakeFlow) *reply {
		if path == "/idp/idx/identify" || path == "/idp/idx/introspect" && f.step != "identify" {
			f.step, f.login = "choose", "mary@example.com"
			return &reply{200, beyond(f)}
		}
		return nil
	})
	p := s.person(t)
	p.open("/app/signin").press("Sign in", mary()).sees("This step needs something that these pages cannot do", "Use another method")
	p.follow("Use another method").sees("Add a way to verify it’s you", "Phone")
}

// Somebody comes back from an identity provider with the code, and with the state of one of the sign-ins they began.
func TestCallback(t *testing.T) {
	e := newFake(t)
	s := newSite(t, e)
	p := s.person(t).open("/app/signin")
	var f *fakeFlow
	for _, f = range e.flows {
	}
	f.login, f.step, f.code = "mary@example.com", "done", random()
	e.flows[f.code] = f
	back := url.Values{"interaction_code": {f.code}, "state": {f.oauth}}

	s.person(t).open("/app/callback?"+back.Encode()).sees("Sign in", "Username") // S-17: not in another browser
	forged := url.Values{"interaction_code": {f.code}, "state": {"other"}}
	q := p.tab().open("/app/callback?"+forged.Encode()).sees("Sign in", "Username")
	if _, ok := s.pages.Session(q.request()); ok || f.spent {
		t.Fatal("a code with the wrong state was taken")
	}
}

func TestCallbackSignsIn(t *testing.T) {
	e := newFake(t)
	s := newSite(t, e)
	p := s.person(t).open("/app/signin")
	var f *fakeFlow
	for _, f = range e.flows {
	}
	f.login, f.step, f.code = "mary@example.com", "done", random()
	e.flows[f.code] = f
	p.open("/app/callback?" + url.Values{"interaction_code": {f.code}, "state": {f.oauth}}.Encode()).sentTo("/app/")
	if held, ok := s.pages.Session(p.request()); !ok || held.Tokens.AccessToken != "at-mary@example.com" {
		t.Error("not signed in")
	}
}

func TestMessageWithoutTranslation(t *testing.T) {
	e := newFake(t)
	s := newSite(t, e)
	p := s.person(t).open("/app/signin")
	e.misbehave(func(path string, f *fakeFlow) *reply {
		if path == "/idp/idx/identify" {
			return &reply{400, with(e.document(f), messages("ERROR", "moon.is.full", "Not <today>."))}
		}
		return nil
	})
	p.press("Sign in", mary()).sees("Not <today>.")
	if strings.Contains(p.body, "<today>") {
		t.Error("the engine's text is not escaped")
	}
}

func TestManySignInsAtOnce(t *testing.T) {
	s := newSite(t, newFake(t))
	p := s.person(t).open("/app/signin")
	action, values := p.form("Sign in", mary())
	for i := range 9 { // a page that was left open, sent again and again
		values.Set("page", fmt.Sprint(i))
		p.tab().post(action, values).sees("Add a way")
	}
	u, _ := url.Parse(s.URL)
	parked := 0
	for _, c := range p.http.Jar.Cookies(u) {
		if strings.Contains(c.Name, "-at-") {
			parked++
		}
	}
	if parked == 0 || parked > 5 {
		t.Errorf("the browser keeps %d half-done sign-ins", parked)
	}
}

func TestNoCookies(t *testing.T) {
	s := newSite(t, newFake(t))
	p := s.person(t).open("/app/signin")
	action, values := p.form("Sign in", mary())
	p.http.Jar, _ = cookiejar.New(nil)
	p.post(action, values).sees("We couldn’t accept that", "Allow cookies")
	if p.status != http.StatusForbidden || s.engine.count("/idp/idx/identify") != 0 {
		t.Errorf("status %d", p.status)
	}
}
