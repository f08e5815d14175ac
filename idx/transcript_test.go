package idx_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"latchkey.dev/idx"
	"latchkey.dev/idx/idxtest"
	"latchkey.dev/latchkeytest"
)

var update = flag.Bool("update", false, "record transcripts and golden files again; read the diff")

// A scenario is one way through a sign-in. It tells where each call led, and that is compared too.
type scenario struct {
	app      latchkeytest.Client
	enrolled bool   // Mary has her phone already
	stage    []line // instead of the engine, for what it does not do yet
	walk     func(ctx context.Context, c *idx.Client, tell func(*idx.Transaction, error) *idx.Transaction)
}

var (
	mary = idx.Answers{Username: "mary@example.com", Password: goodPassword}
	acme = idx.Answers{Username: "mary.acme@example.com", Password: goodPassword} // the seed of the real engine has a Mary of its own
)

var scenarios = map[string]scenario{
	"enroll-phone": {walk: func(ctx context.Context, c *idx.Client, tell func(*idx.Transaction, error) *idx.Transaction) {
		tx := tell(c.Authenticate(ctx, acme))
		tx = tell(c.Continue(ctx, tx, idx.Answers{Authenticator: "phone"}))
		tx = tell(c.Continue(ctx, tx, idx.Answers{Method: "sms", PhoneNumber: "+15551234567"}))
		tx = tell(c.Continue(ctx, tx, idx.Answers{VerificationCode: goodCode}))
		finish(ctx, c, tx, tell)
	}},
	"verify-phone": {
		enrolled: true,
		walk: func(ctx context.Context, c *idx.Client, tell func(*idx.Transaction, error) *idx.Transaction) {
			a := acme
			a.Authenticator = "phone"
			tx := tell(c.Authenticate(ctx, a))
			tx = tell(c.Resend(ctx, tx))
			tx = tell(c.Continue(ctx, tx, idx.Answers{VerificationCode: goodCode}))
			finish(ctx, c, tx, tell)
		},
	},
	"identifier-first": {
		app: latchkeytest.Client{IdentifierFirst: true},
		walk: func(ctx context.Context, c *idx.Client, tell func(*idx.Transaction, error) *idx.Transaction) {
			tx := tell(c.Authenticate(ctx, idx.Answers{Username: "mary.acme@example.com"}))
			tx = tell(c.Continue(ctx, tx, idx.Answers{Password: "wrong-horse"}))
			tx = tell(c.Continue(ctx, tx, idx.Answers{Password: goodPassword}))
			tell(c.Cancel(ctx, tx))
		},
	},
	"optional-phone": {
		app: latchkeytest.Client{Policy: latchkeytest.PasswordAndOptionalPhone},
		walk: func(ctx context.Context, c *idx.Client, tell func(*idx.Transaction, error) *idx.Transaction) {
			tx := tell(c.Authenticate(ctx, acme))
			finish(ctx, c, tell(c.Skip(ctx, tx)), tell)
		},
	},
	"refusals": {walk: func(ctx context.Context, c *idx.Client, tell func(*idx.Transaction, error) *idx.Transaction) {
		tell(c.Authenticate(ctx, idx.Answers{Username: "nobody@example.com", Password: goodPassword}))
		tx := tell(c.Authenticate(ctx, idx.Answers{Username: "mary.acme@example.com", Password: "wrong-horse"}))
		tx = tell(c.Continue(ctx, tx, acme))
		tx = tell(c.Continue(ctx, tx, idx.Answers{Method: "sms", PhoneNumber: "555-CALL"}))
		tx = tell(c.Continue(ctx, tx, idx.Answers{Method: "sms", PhoneNumber: "+15551234567"}))
		for range 6 { // the sixth is one too many
			tx = tell(c.Continue(ctx, tx, idx.Answers{VerificationCode: "000000"}))
		}
		gone := tell(c.Cancel(ctx, tx))
		tell(c.Cancel(ctx, gone))
		tell(c.Resume(ctx, tx))
	}},
	"callback": {walk: func(ctx context.Context, c *idx.Client, tell func(*idx.Transaction, error) *idx.Transaction) {
		tx := tell(c.Start(ctx))
		tell(c.Callback(ctx, tx, url.Values{"state": {tx.State()}, "error": {"interaction_required"}}))
	}},
}

// stagedScenarios are those that the engine does not do yet.
func stagedScenarios() map[string]scenario {
	scenarios := map[string]scenario{}
	identify := formOf("identify", "identify", identifierField, passcodeField)
	challenge := with(formOf("challenge-authenticator", "challenge/answer", passcodeField), `"relatesTo":["$.currentAuthenticatorEnrollment"]`)
	reset := with(formOf("reset-authenticator", "challenge/answer", newPasswordField), `"relatesTo":["$.currentAuthenticator"]`)
	say := func(body string) line { return say(200, body) }
	scenarios["recover-password"] = scenario{
		stage: []line{say(doc([]string{identify}, recoverDoor("currentAuthenticator"))), say(doc([]string{formOf("identify-recovery", "identify", identifierField)})),
			say(doc([]string{challenge}, emailChallenge)), say(doc([]string{reset}, passwordReset)), say(doc(nil, successMember))},
		walk: func(ctx context.Context, c *idx.Client, tell func(*idx.Transaction, error) *idx.Transaction) {
			tx := tell(c.RecoverPassword(ctx, idx.Answers{Username: "mary.acme@example.com"}))
			tx = tell(c.Continue(ctx, tx, idx.Answers{VerificationCode: goodCode}))
			tell(c.Continue(ctx, tx, idx.Answers{NewPassword: goodPassword}))
		},
	}
	profile := formOf("enroll-profile", "enroll/new", `{"name":"userProfile","form":{"value":[{"name":"firstName","label":"First name","required":true},{"name":"email","label":"Email","required":true}]}}`, newPasswordField)
	scenarios["register"] = scenario{
		stage: []line{say(doc([]string{identify, formOf("select-enroll-profile", "enroll")})), say(doc([]string{profile})), say(doc(nil, successMember))},
		walk: func(ctx context.Context, c *idx.Client, tell func(*idx.Transaction, error) *idx.Transaction) {
			tell(c.Register(ctx, idx.Answers{NewPassword: goodPassword, Profile: idx.Values{"firstName": "Mary", "email": "mary.acme@example.com"}}))
		},
	}
	list := formOf("select-authenticator-unlock-account", "challenge", identifierField, `{"name":"authenticator","type":"object","options":[
		{"label":"Email","relatesTo":"$.authenticatorEnrollments.value[0]","value":{"form":{"value":[{"name":"id","required":true,"value":"aut1email","mutable":false}]}}}]}`)
	scenarios["unlock-account"] = scenario{
		stage: []line{say(doc([]string{identify, formOf("unlock-account", "unlock-account")})),
			say(doc([]string{list}, `"authenticatorEnrollments":{"type":"array","value":[{"type":"email","key":"okta_email","id":"eae1"}]}`)),
			say(doc([]string{challenge}, emailChallenge)),
			say(doc(nil, `"messages":{"type":"array","value":[{"message":"You can log in using your existing username and password","class":"INFO","i18n":{"key":"oie.selfservice.unlock_user.success.message"}}]}`))},
		walk: func(ctx context.Context, c *idx.Client, tell func(*idx.Transaction, error) *idx.Transaction) {
			tx := tell(c.UnlockAccount(ctx, idx.Answers{Username: "mary.acme@example.com", Authenticator: "email"}))
			tell(c.Continue(ctx, tx, idx.Answers{VerificationCode: goodCode}))
		},
	}
	number := `"currentAuthenticator":{"type":"object","value":{"type":"app","key":"okta_verify","id":"aut1app","contextualData":{"correctAnswer":"77"}}}`
	scenarios["push"] = scenario{
		stage: []line{say(doc([]string{identify})), say(pollDoc(1000)), say(pollDoc(1000)), say(pollDoc(1000, number)), say(doc(nil, successMember))},
		walk: func(ctx context.Context, c *idx.Client, tell func(*idx.Transaction, error) *idx.Transaction) {
			tx := tell(c.Authenticate(ctx, acme))
			tx = tell(c.Poll(ctx, tx))
			tx = tell(c.Wait(ctx, tx))
			tell(c.Wait(ctx, tx))
		},
	}
	return scenarios
}

func finish(ctx context.Context, c *idx.Client, tx *idx.Transaction, tell func(*idx.Transaction, error) *idx.Transaction) {
	tokens, err := c.Exchange(ctx, tx)
	if err != nil {
		tell(nil, err)
		return
	}
	if _, err = c.UserInfo(ctx, tokens); err != nil {
		tell(nil, err)
	}
	if _, err = c.Refresh(ctx, tokens.RefreshToken); err != nil {
		tell(nil, err)
	}
	if err := c.Revoke(ctx, tokens.AccessToken); err != nil {
		tell(nil, err)
	}
}

// diary writes down where each call led.
func diary(out *[]string) func(*idx.Transaction, error) *idx.Transaction {
	return func(tx *idx.Transaction, err error) *idx.Transaction {
		word := ""
		var no *idx.RejectedError
		switch {
		case errors.As(err, &no):
			word, tx = err.Error()+": ", no.Transaction
		case err != nil:
			*out = append(*out, err.Error())
			return nil
		}
		if s := tx.NextStep(); s != nil {
			*out = append(*out, fmt.Sprintf("%s%s %s", word, tx.Status(), s.Name))
		} else {
			*out = append(*out, fmt.Sprintf("%s%s", word, tx.Status()))
		}
		return tx
	}
}

func TestTranscripts(t *testing.T) {
	all := stagedScenarios()
	maps.Copy(all, scenarios)
	for name, s := range all {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", "transcripts", name+".jsonl")
			var want, got []string
			if *update {
				want = record(t, s, file)
			}
			p := idxtest.Replay(t, file)
			c, err := p.Client()
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) { s.walk(ctxOf(t), c, diary(&got)) })
			golden(t, strings.TrimSuffix(file, ".jsonl")+".steps", strings.Join(got, "\n")+"\n")
			if *update && strings.Join(want, "\n") != strings.Join(got, "\n") {
				t.Errorf("replay leads to\n%s\nthe engine led to\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// record runs the scenario against the real engine once more.
func record(t *testing.T, s scenario, file string) (steps []string) {
	r := &idxtest.Recorder{Secrets: []string{goodPassword, "wrong-horse"}}
	through := idx.WithHTTPClient(&http.Client{Transport: r})
	if s.stage != nil {
		st := play(s.stage...)
		r.Next = st
		s.walk(ctxOf(t), st.client(t, through), diary(&steps))
	} else {
		srv := latchkeytest.Start(t)
		srv.PinCode("+1555*", goodCode)
		u := latchkeytest.User{Login: acme.Username, Password: goodPassword, GivenName: "Mary", FamilyName: "Acme"}
		if s.enrolled {
			u.Phone = number
		}
		u = srv.AddUser(u)
		app := s.app
		app.ID, app.Label, app.Redirects = clientID, "Seed App", []string{redirectURI}
		srv.AddClient(app)
		r.Rename = map[string]string{srv.URL: "https://id.example", u.ID: "00u1mary"}
		c, err := idx.New(idx.Config{Issuer: srv.Env["ISSUER"], ClientID: clientID, RedirectURI: redirectURI, Scopes: []string{"openid", "profile", "email", "offline_access"}}, through)
		if err != nil {
			t.Fatal(err)
		}
		s.walk(ctxOf(t), c, diary(&steps))
	}
	var b strings.Builder
	if _, err := r.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return steps
}

// golden compares with a file, and writes it with -update.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s has changed; -update writes it again\ngot:\n%s", file, got)
	}
}
