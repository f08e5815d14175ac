package idx_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"latchkey.dev/idx"
)

// The addresses in a discovery document are believed no more than those in a form: a code, a verifier or a token goes to the
// issuer or nowhere.
func TestDiscoveryLeadsAstray(t *testing.T) {
	for name, c := range map[string]struct {
		discovery string
		want      error
	}{
		"another issuer":     {`{"issuer":"https://evil.example"}`, nil},
		"no document":        {`<html>`, nil},
		"keys elsewhere":     {`{"issuer":"` + stageIssuer + `","token_endpoint":"` + stageIssuer + `/v1/token","jwks_uri":"https://evil.example/k"}`, nil},
		"endpoint elsewhere": {`{"issuer":"` + stageIssuer + `","jwks_uri":"` + stageIssuer + `/v1/keys","token_endpoint":"https://evil.example/t","userinfo_endpoint":"https://evil.example/u","revocation_endpoint":"https://evil.example/r","end_session_endpoint":"https://evil.example/l"}`, idx.ErrUntrustedURL},
		"no endpoint":        {`{"issuer":"` + stageIssuer + `"}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []string
			transport := tripper(func(r *http.Request) (*http.Response, error) {
				asked = append(asked, r.URL.Host)
				switch {
				case strings.HasSuffix(r.URL.Path, "openid-configuration"):
					return answerTo(r, say(200, c.discovery)), nil
				case strings.HasSuffix(r.URL.Path, "/interact"):
					return answerTo(r, say(200, `{"interaction_handle":"ih"}`)), nil
				case strings.HasSuffix(r.URL.Path, "/introspect"):
					return answerTo(r, say(200, doc(nil, successMember))), nil
				case strings.HasSuffix(r.URL.Path, "/v1/keys"):
					return answerTo(r, say(200, `{"keys":[]}`)), nil
				}
				return answerTo(r, say(404, "{}")), nil
			})
			client, err := idx.New(idx.Config{Issuer: stageIssuer, ClientID: clientID, RedirectURI: redirectURI}, idx.WithHTTPClient(&http.Client{Transport: transport}))
			if err != nil {
				t.Fatal(err)
			}
			tx, err := client.Start(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_, e1 := client.Exchange(t.Context(), tx)
			_, e2 := client.UserInfo(t.Context(), &idx.Tokens{AccessToken: "at"})
			e3 := client.Revoke(t.Context(), "at")
			_, e4 := client.LogoutURL(t.Context(), "id", "", "")
			for i, err := range []error{e1, e2, e3, e4} {
				if (err == nil && i < 3) || c.want != nil && !errors.Is(err, c.want) {
					t.Errorf("call %d: %v", i, err)
				}
			}
			for _, host := range asked {
				if host != "id.example" {
					t.Errorf("%s was asked", host)
				}
			}
		})
	}
}

// A failed discovery is tried again the next time, and one person's impatience does not spoil it for the others.
func TestDiscoveryRecovers(t *testing.T) {
	down := true
	inner := &issuer{access: "at", keys: func() any { return jwks(&testKey().PublicKey) }, idToken: func(string) any { return nil }}
	transport := tripper(func(r *http.Request) (*http.Response, error) {
		if down && strings.HasSuffix(r.URL.Path, "openid-configuration") {
			return answerTo(r, say(404, "")), nil
		}
		return inner.RoundTrip(r)
	})
	c, err := idx.New(idx.Config{Issuer: stageIssuer, ClientID: clientID, RedirectURI: redirectURI}, idx.WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		t.Fatal(err)
	}
	var se *idx.ServerError
	if _, err := c.LogoutURL(t.Context(), "", "", ""); !errors.As(err, &se) || se.Op != "discovery" {
		t.Errorf("%v", err)
	}
	down = false
	for range 3 {
		if _, err := c.LogoutURL(t.Context(), "", "", ""); err != nil {
			t.Error(err)
		}
	}
	if n := inner.fetched["/oauth2/default/.well-known/openid-configuration"]; n != 1 {
		t.Errorf("it ran %d times", n)
	}
}

func TestEmptyTokens(t *testing.T) {
	c := play(say(200, "{}")).client(t)
	var in *idx.InputError
	if _, err := c.Refresh(t.Context(), ""); !errors.As(err, &in) {
		t.Error(err)
	}
	if err := c.Revoke(t.Context(), ""); !errors.As(err, &in) {
		t.Error(err)
	}
	if _, err := c.UserInfo(t.Context(), &idx.Tokens{}); !errors.As(err, &in) {
		t.Error(err)
	}
}

// A security question: two forms to choose from, told apart by what is given.
func TestSecurityQuestion(t *testing.T) {
	form := formOf("enroll-authenticator", "answer", `{"name":"credentials","type":"object","required":true,"options":[
		{"label":"Choose a security question","value":{"form":{"value":[{"name":"questionKey","type":"string","required":true,"options":[{"label":"Food?","value":"disliked_food"},{"label":"Toy?","value":"first_toy"}]},{"name":"answer","label":"Answer","required":true,"secret":true}]}}},
		{"label":"Create my own security question","value":{"form":{"value":[{"name":"questionKey","value":"custom","required":true,"mutable":false},{"name":"question","label":"Question","required":true},{"name":"answer","label":"Answer","required":true,"secret":true}]}}}]}`)
	for name, c := range map[string]struct {
		extra idx.Values
		want  map[string]any
		err   error
	}{
		"from the list": {idx.Values{"credentials.questionKey": "first_toy", "credentials.answer": "bear"}, map[string]any{"questionKey": "first_toy", "answer": "bear"}, nil},
		"one's own":     {idx.Values{"credentials": map[string]string{"questionKey": "custom", "question": "Who?", "answer": "me"}}, map[string]any{"questionKey": "custom", "question": "Who?", "answer": "me"}, nil},
		"own, unsaid":   {idx.Values{"credentials.question": "Who?", "credentials.answer": "me"}, map[string]any{"questionKey": "custom", "question": "Who?", "answer": "me"}, nil},
		"either":        {idx.Values{"credentials.answer": "me"}, nil, idx.ErrAmbiguous},
		"neither":       {idx.Values{"credentials.questionKey": "no-such", "credentials.answer": "me"}, nil, idx.ErrNotOffered},
	} {
		t.Run(name, func(t *testing.T) {
			s := play(say(200, doc([]string{form})), say(200, doc(nil, successMember)))
			cl, tx := s.start(t)
			_, err := cl.Continue(t.Context(), tx, idx.Answers{Extra: c.extra})
			if c.err != nil {
				if !errors.Is(err, c.err) || len(s.requests()) != 1 {
					t.Errorf("%v after %d requests", err, len(s.requests()))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := tree(t, s.requests()[1].body)["credentials"]; !reflect.DeepEqual(got, c.want) {
				t.Errorf("sent %v", got)
			}
		})
	}
}

// A method that one authenticator alone offers says which one is meant; one that two offer does not.
func TestMethodAlone(t *testing.T) {
	both := `"authenticatorEnrollments":{"type":"array","value":[{"type":"phone","key":"phone_number","id":"sms1"},{"type":"email","key":"okta_email","id":"eae1"}]}`
	email := `{"label":"Email","relatesTo":"$.authenticatorEnrollments.value[1]","value":{"form":{"value":[{"name":"id","required":true,"value":"aut2","mutable":false},{"name":"methodType","required":false,"value":"email","mutable":false}]}}}`
	list := formOf("select-authenticator-authenticate", "challenge", `{"name":"authenticator","type":"object","options":[`+phoneOption(0, smsVoice)+`,`+email+`]}`)
	for answer, want := range map[string]string{"voice": "aut1phone", "email": "aut2"} {
		s := play(say(200, doc([]string{list}, both)), say(200, doc(nil, successMember)))
		c, tx := s.start(t)
		if _, err := c.Continue(t.Context(), tx, idx.Answers{Method: answer}); err != nil {
			t.Fatal(err)
		}
		got := tree(t, s.requests()[1].body)["authenticator"].(map[string]any)
		if got["id"] != want || got["methodType"] != answer {
			t.Errorf("%s: sent %v", answer, got)
		}
	}
	twice := formOf("select-authenticator-authenticate", "challenge", `{"name":"authenticator","type":"object","options":[`+phoneOption(0, smsOnly)+`,`+phoneOption(1, smsOnly)+`]}`)
	s := play(say(200, doc([]string{twice}, twoPhones)))
	c, tx := s.start(t)
	if _, err := c.Continue(t.Context(), tx, idx.Answers{Method: "sms"}); err == nil || len(s.requests()) != 1 {
		t.Errorf("%v after %d requests", err, len(s.requests()))
	}
}

// Fields can be left in the middle, and a step is a copy.
func TestStepsAreCopies(t *testing.T) {
	form := with(formOf("x", "x", identifierField, passcodeField), `"relatesTo":["$.currentAuthenticator"]`)
	_, tx := play(say(200, doc([]string{form}, passwordReset))).start(t)
	step := tx.NextStep()
	for range step.Fields() {
		break
	}
	step.Name, step.Inputs[0].Name, step.Authenticator.Key, step.Raw[0] = "forged", "forged", "forged", 'x'
	tx.Raw()[0] = 'x'
	if again := tx.NextStep(); again.Name != "x" || again.Inputs[0].Name != "identifier" || again.Authenticator.Key != "okta_password" || again.Raw[0] != '{' || tx.Raw()[0] != '{' {
		t.Error("a transaction was changed from outside")
	}
}

// Meanings by message key, whatever the status and the words.
func TestMeanings(t *testing.T) {
	for key, want := range map[string]error{
		"idx.session.expired": idx.ErrExpired, "tooManyRequests": idx.ErrRateLimited, "E0000047": idx.ErrRateLimited, "errors.E0000150": idx.ErrRateLimited,
		"security.access_denied": idx.ErrDenied, "idx.error.code.access_denied.device_assurance.remediation.title": idx.ErrDenied, "oie.assurance.unsatisfiable": idx.ErrDenied,
	} {
		_, err := play(say(403, doc(nil, errorMessages(key)))).client(t).Start(t.Context())
		for _, is := range []error{idx.ErrExpired, idx.ErrRateLimited, idx.ErrDenied} {
			if errors.Is(err, is) != (is == want) {
				t.Errorf("%s: errors.Is(%v) is %t", key, is, errors.Is(err, is))
			}
		}
	}
	// Without a key and without a class, a refusal is still one, and says what it can.
	_, err := play(say(400, doc(nil, `"messages":{"type":"array","value":[{"message":"User is not assigned.\n"}]}`))).client(t).Start(t.Context())
	if got := fmt.Sprint(err); got != `idx: introspect: the engine said no: "User is not assigned. "` {
		t.Error(got)
	}
	// The 401 that asks for a device proof carries no error: it is a step like any other.
	tx, err := play(say(401, doc([]string{formOf("device-challenge-poll", "poll")}))).client(t).Start(t.Context())
	must(t, tx, err, idx.StatusPending, "device-challenge-poll")
}

// A magic link's code goes where a typed one would.
func TestCallbackWithCode(t *testing.T) {
	challenge := with(formOf("challenge-authenticator", "challenge/answer", passcodeField), `"relatesTo":["$.currentAuthenticatorEnrollment"]`)
	s := play(say(200, doc([]string{challenge}, emailChallenge)), say(200, doc(nil, successMember)))
	c, tx := s.start(t)
	tx, err := c.Callback(t.Context(), tx, url.Values{"state": {tx.State()}, "otp": {"123456"}})
	must(t, tx, err, idx.StatusSuccess, "")
	if !strings.Contains(s.requests()[1].body, `"passcode":"123456"`) {
		t.Error(s.requests()[1].body)
	}
	tx, err = c.Callback(t.Context(), first(c.Start(t.Context(), idx.StartParam{Name: "state", Value: "0123456789abcdef"})), url.Values{"state": {"0123456789abcdef"}, "interaction_code": {"ic"}, "iss": {stageIssuer}})
	if err != nil || tx.InteractionCode() != "ic" || tx.Status() != idx.StatusSuccess {
		t.Errorf("%v, %v", tx, err)
	}
}

// A client may ask for more scopes than it did when an older refresh token was granted, which is not good for those (RFC 6749 6).
func TestRefreshNamesNoScope(t *testing.T) {
	s := play(say(200, `{"issuer":"`+stageIssuer+`","token_endpoint":"`+stageIssuer+`/v1/token"}`),
		say(200, `{"token_type":"Bearer","access_token":"at","scope":"profile"}`))
	cfg := s.config()
	cfg.Scopes = []string{"profile", "email"}
	c, err := idx.New(cfg, idx.WithHTTPClient(&http.Client{Transport: s}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Refresh(t.Context(), "rt"); err != nil {
		t.Fatal(err)
	}
	form, err := url.ParseQuery(s.requests()[1].body)
	if err != nil || form.Get("grant_type") != "refresh_token" || form.Has("scope") {
		t.Errorf("%v, %v", form, err)
	}
}
