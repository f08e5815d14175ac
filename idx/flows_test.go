package idx_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey.dev/idx"
)

func recoverDoor(member string) string {
	return fmt.Sprintf(`%q:{"type":"object","value":{"type":"password","key":"okta_password","id":"aut1password","recover":%s}}`, member, formOf("recover", "recover"))
}

const (
	newPasswordField = `{"name":"credentials","type":"object","required":true,"form":{"value":[{"name":"passcode","label":"New password","secret":true}]}}`
	emailChallenge   = `"currentAuthenticatorEnrollment":{"type":"object","value":{"type":"email","key":"okta_email","id":"eae1"}}`
	passwordReset    = `"currentAuthenticator":{"type":"object","value":{"type":"password","key":"okta_password","id":"aut1password"}}`
)

func TestRecoverPassword(t *testing.T) {
	identify := formOf("identify", "identify", identifierField, passcodeField)
	challenge := with(formOf("challenge-authenticator", "challenge/answer", passcodeField), `"relatesTo":["$.currentAuthenticatorEnrollment"]`)
	reset := with(formOf("reset-authenticator", "challenge/answer", newPasswordField), `"relatesTo":["$.currentAuthenticator"]`)
	a := idx.Answers{Username: "mary", Password: "old", NewPassword: "brand-new"}

	t.Run("from the first page", func(t *testing.T) {
		s := play(say(200, doc([]string{identify}, recoverDoor("currentAuthenticator"))), say(200, doc([]string{formOf("identify-recovery", "identify", identifierField)})),
			say(200, doc([]string{challenge}, emailChallenge)), say(200, doc([]string{reset}, passwordReset)), say(200, doc(nil, successMember)))
		c := s.client(t)
		tx, err := c.RecoverPassword(t.Context(), a)
		tx = must(t, tx, err, idx.StatusPending, "challenge-authenticator")
		if u := tx.Unused(); !reflect.DeepEqual(u, []string{"NewPassword"}) {
			t.Errorf("unused: %v", u)
		}
		tx, err = c.Continue(t.Context(), tx, idx.Answers{VerificationCode: "123456", NewPassword: "brand-new"})
		must(t, tx, err, idx.StatusSuccess, "")
		for _, r := range s.requests() {
			if strings.Contains(r.body, `"old"`) {
				t.Error("the old password was sent")
			}
		}
		if got := s.requests()[4].body; !strings.Contains(got, "brand-new") {
			t.Errorf("sent %s", got)
		}
	})
	t.Run("identifier first", func(t *testing.T) {
		s := play(say(200, doc([]string{formOf("identify", "identify", identifierField)})), say(200, doc([]string{challenge}, recoverDoor("currentAuthenticatorEnrollment"))),
			say(200, doc([]string{challenge}, emailChallenge)))
		tx, err := s.client(t).RecoverPassword(t.Context(), a)
		must(t, tx, err, idx.StatusPending, "challenge-authenticator")
		if r := s.requests(); len(r) != 3 || !strings.HasSuffix(r[2].url, "/recover") {
			t.Errorf("%v", r)
		}
	})
	t.Run("with a token", func(t *testing.T) {
		s := play(say(200, doc([]string{reset}, passwordReset, `"intent":"CREDENTIAL_RECOVERY"`)), say(200, doc(nil, successMember)))
		tx, err := s.client(t).RecoverPassword(t.Context(), idx.Answers{NewPassword: "brand-new"}, idx.StartParam{Name: "recovery_token", Value: "tok"})
		must(t, tx, err, idx.StatusSuccess, "")
		if !strings.Contains(s.all[0].body, "recovery_token=tok") {
			t.Error(s.all[0].body)
		}
	})
	t.Run("not on offer", func(t *testing.T) {
		for _, first := range []string{doc([]string{identify}), doc([]string{formOf("identify", "identify", identifierField)})} {
			s := play(say(200, first), say(200, doc([]string{challenge}, emailChallenge)))
			if _, err := s.client(t).RecoverPassword(t.Context(), a); !errors.Is(err, idx.ErrNotOffered) {
				t.Errorf("%v", err)
			}
			for _, r := range s.requests() {
				if strings.Contains(r.body, "old") || strings.Contains(r.body, "brand-new") {
					t.Errorf("it became a sign-in: %s", r.body)
				}
			}
		}
	})
}

func TestRegister(t *testing.T) {
	identify := formOf("identify", "identify", identifierField, passcodeField)
	profile := formOf("enroll-profile", "enroll/new", `{"name":"userProfile","form":{"value":[{"name":"firstName","label":"First name","required":true},{"name":"email","label":"Email","required":true}]}}`, newPasswordField)
	s := play(say(200, doc([]string{identify, formOf("select-enroll-profile", "enroll")})), say(200, doc([]string{profile})), say(200, doc(nil, successMember)))
	a := idx.Answers{Password: "brand-new", Profile: idx.Values{"firstName": "Mary", "email": "m@example.com", "shoeSize": 38}}
	tx, err := s.client(t).Register(t.Context(), a)
	tx = must(t, tx, err, idx.StatusSuccess, "")
	if u := tx.Unused(); !reflect.DeepEqual(u, []string{"Profile.shoeSize"}) {
		t.Errorf("unused: %v", u)
	}
	got := tree(t, s.requests()[2].body)
	if !reflect.DeepEqual(got["userProfile"], map[string]any{"firstName": "Mary", "email": "m@example.com"}) || got["credentials"].(map[string]any)["passcode"] != "brand-new" {
		t.Errorf("sent %v", got)
	}
	// Entered, but not filled in: the person sees the form.
	s = play(say(200, doc([]string{identify, formOf("select-enroll-profile", "enroll")})), say(200, doc([]string{profile})))
	tx, err = s.client(t).Register(t.Context(), idx.Answers{Profile: idx.Values{"firstName": "Mary"}})
	must(t, tx, err, idx.StatusPending, "enroll-profile")
	s = play(say(200, doc([]string{identify})))
	if _, err := s.client(t).Register(t.Context(), a); !errors.Is(err, idx.ErrNotOffered) {
		t.Errorf("%v", err)
	}
}

func TestUnlockAccount(t *testing.T) {
	list := formOf("select-authenticator-unlock-account", "challenge", identifierField, `{"name":"authenticator","type":"object","options":[
		{"label":"Email","relatesTo":"$.authenticatorEnrollments.value[0]","value":{"form":{"value":[{"name":"id","required":true,"value":"aut1email","mutable":false},{"name":"methodType","required":false,"value":"email","mutable":false}]}}}]}`)
	s := play(say(200, doc([]string{formOf("identify", "identify", identifierField), formOf("unlock-account", "unlock-account")})),
		say(200, doc([]string{list}, `"authenticatorEnrollments":{"type":"array","value":[{"type":"email","key":"okta_email","id":"eae1"}]}`)),
		say(200, doc([]string{with(formOf("challenge-authenticator", "challenge/answer", passcodeField), `"relatesTo":["$.currentAuthenticatorEnrollment"]`)}, emailChallenge)),
		say(200, doc(nil, `"messages":{"type":"array","value":[{"message":"Unlocked.","class":"INFO","i18n":{"key":"oie.selfservice.unlock_user.success.message"}}]}`)))
	c := s.client(t)
	tx, err := c.UnlockAccount(t.Context(), idx.Answers{Username: "mary", Authenticator: "okta_email"})
	tx = must(t, tx, err, idx.StatusPending, "challenge-authenticator")
	tx, err = c.Continue(t.Context(), tx, idx.Answers{VerificationCode: "123456"})
	tx = must(t, tx, err, idx.StatusTerminal, "")
	if m := tx.Messages(); len(m) != 1 || m[0].Key != "oie.selfservice.unlock_user.success.message" {
		t.Errorf("%v", m)
	}
}

// A password expired in the middle must not be sent as the new one.
func TestExpiredPassword(t *testing.T) {
	identify := formOf("identify", "identify", identifierField, passcodeField)
	expired := with(formOf("reenroll-authenticator", "challenge/answer", newPasswordField), `"relatesTo":["$.currentAuthenticator"]`)
	s := play(say(200, doc([]string{identify})), say(200, doc([]string{expired}, passwordReset)), say(200, doc(nil, successMember)))
	c := s.client(t)
	tx, err := c.Authenticate(t.Context(), mary)
	tx = must(t, tx, err, idx.StatusPending, "reenroll-authenticator")
	var in *idx.InputError
	if _, err := c.Continue(t.Context(), tx, idx.Answers{Password: "again"}); !errors.As(err, &in) {
		t.Errorf("%v", err)
	}
	tx, err = c.Continue(t.Context(), tx, idx.Answers{NewPassword: "brand-new"})
	must(t, tx, err, idx.StatusSuccess, "")
}

// A code is for the authenticator at hand. If the answers name another one, it is not tried here.
func TestCodeForAnotherAuthenticator(t *testing.T) {
	challenge := with(formOf("challenge-authenticator", "challenge/answer", passcodeField), `"relatesTo":["$.currentAuthenticatorEnrollment"]`)
	s := play(say(200, doc([]string{challenge}, emailChallenge)))
	c, tx := s.start(t)
	if _, err := c.Continue(t.Context(), tx, idx.Answers{Authenticator: "phone", VerificationCode: "123456"}); err == nil || len(s.requests()) != 1 {
		t.Errorf("%v after %d requests", err, len(s.requests()))
	}
}

// Messages passed on the way are not lost.
func TestMessagesOnTheWay(t *testing.T) {
	warn := `"messages":{"type":"array","value":[{"message":"Soon.","class":"INFO","i18n":{"key":"idx.password.expiring.message"}}]}`
	s := play(say(200, doc([]string{formOf("identify", "identify", identifierField)})),
		say(200, doc([]string{with(formOf("challenge-authenticator", "challenge/answer", passcodeField), `"relatesTo":["$.currentAuthenticator"]`)}, passwordReset, warn)),
		say(200, doc([]string{formOf("next", "next", identifierField)})))
	tx, err := s.client(t).Authenticate(t.Context(), mary)
	tx = must(t, tx, err, idx.StatusPending, "next")
	if m := tx.Messages(); len(m) != 1 || m[0].Key != "idx.password.expiring.message" {
		t.Errorf("%v", m)
	}
	text, _ := tx.Snapshot()
	if back, err := idx.Restore(text); err != nil || len(back.Messages()) != 1 {
		t.Errorf("%v, %v", back, err)
	}
}

// TestProgressRule lets an engine offer anything at all, for ever: a Continue ends, within its bound, and every answer is
// either sent or named as unused.
func TestProgressRule(t *testing.T) {
	phone := `"authenticators":{"type":"array","value":[{"type":"phone","key":"phone_number","id":"aut1"},{"type":"password","key":"okta_password","id":"aut2"}]}`
	option := func(i int, fields string) string {
		return fmt.Sprintf(`{"label":"x","relatesTo":"$.authenticators.value[%d]","value":{"form":{"value":[{"name":"id","required":true,"value":"aut%d","mutable":false}%s]}}}`, i, i+1, fields)
	}
	forms := []string{
		formOf("identify", "identify", identifierField, passcodeField), formOf("identify", "identify", identifierField),
		formOf("challenge-authenticator", "answer", passcodeField),
		with(formOf("challenge-authenticator", "answer", passcodeField), `"relatesTo":["$.authenticators.value[1]"]`),
		with(formOf("enroll-authenticator", "answer", passcodeField), `"relatesTo":["$.authenticators.value[0]"]`),
		formOf("select-authenticator-enroll", "enroll", `{"name":"authenticator","type":"object","options":[`+option(0, `,{"name":"methodType","options":[{"label":"s","value":"sms"}]},{"name":"phoneNumber"}`)+`,`+option(1, "")+`]}`),
		formOf("select-authenticator-authenticate", "challenge", `{"name":"authenticator","type":"object","options":[`+option(1, "")+`]}`),
		formOf("skip", "skip"), formOf("keep-me-signed-in", "kmsi", `{"name":"keepMeSignedIn","type":"boolean","required":true}`),
		formOf("mystery", "mystery", `{"name":"code","required":true}`),
	}
	yes := true
	all := idx.Answers{Username: "u-unique", Password: "pw-unique", NewPassword: "np-unique", Authenticator: "phone", Method: "sms", PhoneNumber: "ph-unique",
		VerificationCode: "vc-unique", RememberMe: &yes, Extra: idx.Values{"code": "ex-unique"}}
	const answers = 9
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 400 {
		s := play(line{do: func(r *http.Request) (*http.Response, error) {
			var offered []string
			for range 1 + rng.IntN(3) {
				offered = append(offered, forms[rng.IntN(len(forms))])
			}
			return answerTo(r, say(200, doc(offered, phone))), nil
		}})
		c, tx := s.start(t)
		next, err := c.Continue(t.Context(), tx, all)
		posts := s.requests()[1:]
		if len(posts) > 2*answers {
			t.Fatalf("round %d: %d steps for %d answers", round, len(posts), answers)
		}
		var in *idx.InputError
		if err != nil && (!errors.As(err, &in) || len(posts) > 0) {
			t.Fatalf("round %d: %v after %d steps", round, err, len(posts))
		}
		if err != nil {
			continue
		}
		everything := ""
		for _, p := range posts {
			everything += p.body
		}
		for name, value := range map[string]string{"Username": "u-unique", "Password": "pw-unique", "PhoneNumber": "ph-unique", "VerificationCode": "vc-unique", "Extra.code": "ex-unique", "NewPassword": "np-unique"} {
			sent, unused := strings.Count(everything, value), slices.Contains(next.Unused(), name)
			if sent > 1 || (sent == 1) == unused {
				t.Fatalf("round %d: %s was sent %d times, unused %v", round, name, sent, unused)
			}
		}
	}
}

// An engine that answers every choice of the password with the same list is asked once.
func TestLedOnce(t *testing.T) {
	list := formOf("select-authenticator-authenticate", "challenge", `{"name":"authenticator","type":"object","options":[
		{"label":"Password","relatesTo":"$.currentAuthenticator","value":{"form":{"value":[{"name":"id","required":true,"value":"aut1password","mutable":false}]}}}]}`)
	s := play(say(200, doc([]string{list}, passwordReset)))
	c, tx := s.start(t)
	tx, err := c.Continue(t.Context(), tx, idx.Answers{Password: goodPassword})
	tx = must(t, tx, err, idx.StatusPending, "select-authenticator-authenticate")
	if n := len(s.requests()); n != 2 || !reflect.DeepEqual(tx.Unused(), []string{"Password"}) {
		t.Errorf("%d requests, unused %v", n, tx.Unused())
	}
}

func TestConfig(t *testing.T) {
	good := idx.Config{Issuer: "https://id.example/oauth2/default", ClientID: "a", RedirectURI: "https://app.example/cb"}
	for name, change := range map[string]func(*idx.Config){
		"no issuer":       func(c *idx.Config) { c.Issuer = "" },
		"relative issuer": func(c *idx.Config) { c.Issuer = "id.example/oauth2" },
		"plain http":      func(c *idx.Config) { c.Issuer = "http://id.example" },
		"another scheme":  func(c *idx.Config) { c.Issuer = "ftp://id.example" },
		"with a query":    func(c *idx.Config) { c.Issuer += "?a=b" },
		"with a password": func(c *idx.Config) { c.Issuer = "https://a:b@id.example" },
		"no client":       func(c *idx.Config) { c.ClientID = "" },
		"no redirect":     func(c *idx.Config) { c.RedirectURI = "/cb" },
		"empty scope":     func(c *idx.Config) { c.Scopes = []string{"openid", ""} },
		"two in a scope":  func(c *idx.Config) { c.Scopes = []string{"openid profile"} },
		"empty secret":    func(c *idx.Config) { c.Auth = idx.SecretBasic("") },
	} {
		cfg := good
		change(&cfg)
		if _, err := idx.New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, issuer := range []string{"http://localhost:8080", "http://127.0.0.1:1/oauth2/default", "http://[::1]:1", "http://id.localhost"} {
		cfg := good
		cfg.Issuer = issuer
		if _, err := idx.New(cfg); err != nil {
			t.Errorf("%s: %v", issuer, err)
		}
	}
	cfg := good
	cfg.Issuer = "http://latchkey:8080"
	if _, err := idx.New(cfg, idx.WithInsecureHTTP()); err != nil {
		t.Error(err)
	}
	for name, opt := range map[string]idx.ClientOption{
		"nil client": idx.WithHTTPClient(nil), "nil logger": idx.WithLogger(nil), "no attempts": idx.WithRetry(0, 0), "nil clock": idx.WithClock(nil),
		"origin with path": idx.WithTrustedOrigins("https://a.example/path"), "no origin": idx.WithTrustedOrigins("a.example"), "nil key": idx.WithDPoP(nil),
	} {
		if _, err := idx.New(good, opt); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := idx.New(idx.Config{}); err == nil || strings.Count(err.Error(), "\n") < 2 {
		t.Errorf("not every problem is told: %v", err)
	}
}

func TestStartParams(t *testing.T) {
	s := play(say(200, doc(nil)))
	c := s.client(t)
	for _, p := range []string{"client_id", "redirect_uri", "code_challenge", "code_challenge_method", "scope", "client_secret", ""} {
		var in *idx.InputError
		if _, err := c.Start(t.Context(), idx.StartParam{Name: p, Value: "x"}); !errors.As(err, &in) {
			t.Errorf("%q: %v", p, err)
		}
	}
	for _, p := range []idx.StartParam{{Name: "max_age", Value: "soon"}, {Name: "state", Value: "short"}, {Name: "nonce", Value: "short"}} {
		if _, err := c.Start(t.Context(), p); err == nil {
			t.Errorf("%v: accepted", p)
		}
	}
	if _, err := c.Start(t.Context(), idx.StartParam{Name: "acr_values", Value: "a"}, idx.StartParam{Name: "acr_values", Value: "b"}); err == nil {
		t.Error("given twice, and accepted")
	}
	if len(s.all) != 0 {
		t.Errorf("%d requests", len(s.all))
	}
	tx, err := c.Start(t.Context(), idx.StartParam{Name: "state", Value: "0123456789abcdef0"})
	if err != nil || tx.State() != "0123456789abcdef0" {
		t.Errorf("%v, %v", tx, err)
	}
}

func TestEndUserFrom(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct{ peer, forwarded, want string }{
		{"203.0.113.7:1234", "", "203.0.113.7"},
		{"203.0.113.7:1234", "1.2.3.4", "203.0.113.7"}, // a stranger may say what it likes
		{"10.0.0.1:1", "203.0.113.7", "203.0.113.7"},
		{"10.0.0.1:1", "1.2.3.4, 203.0.113.7", "203.0.113.7"}, // the first is the stranger's own word
		{"10.0.0.1:1", "1.2.3.4, 203.0.113.7, 10.0.0.2", "203.0.113.7"},
		{"10.0.0.1:1", "10.0.0.2", "10.0.0.2"},
		{"10.0.0.1:1", "garbage", "10.0.0.1"},
		{"10.0.0.1:1", "203.0.113.7:5678", "203.0.113.7"},
		{"[fd00::1]:1", "[2001:db8::7]:1", "2001:db8::7"},
		{"[::ffff:10.0.0.1]:1", "::ffff:203.0.113.7", "203.0.113.7"},
		{"@", "1.2.3.4", "invalid IP"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		r.Header.Set("Accept-Language", "de")
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if u := idx.EndUserFrom(r, proxies...); u.IP.String() != c.want || u.Language != "de" {
			t.Errorf("%s forwarding %q is %s, want %s", c.peer, c.forwarded, u.IP, c.want)
		}
	}
}

func TestLogoutURL(t *testing.T) {
	c, err := idx.New(idx.Config{Issuer: stageIssuer, ClientID: clientID, RedirectURI: redirectURI}, idx.WithHTTPClient(&http.Client{Transport: &issuer{}}))
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.LogoutURL(t.Context(), "id&token", "https://app.example/?a=b", "s")
	want := stageIssuer + "/v1/logout?client_id=" + clientID + "&id_token_hint=id%26token&post_logout_redirect_uri=https%3A%2F%2Fapp.example%2F%3Fa%3Db&state=s&x=1"
	if err != nil || got != want {
		t.Errorf("%s, %v", got, err)
	}
}

func TestDefaultsAndExpiry(t *testing.T) {
	s := play(say(200, doc([]string{formOf("identify", "identify", identifierField)}, `"expiresAt":"2031-01-02T03:04:05.678Z"`)))
	_, tx := s.start(t)
	if want := time.Date(2031, 1, 2, 3, 4, 5, 678e6, time.UTC); !tx.ExpiresAt().Equal(want) {
		t.Errorf("%s", tx.ExpiresAt())
	}
	if !strings.Contains(s.all[0].body, "scope=openid+profile") {
		t.Error(s.all[0].body)
	}
}
