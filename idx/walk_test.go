package idx_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey.dev/idx"
	"latchkey.dev/latchkeytest"
)

// These tests walk the whole journey over the real engine: the seed's twelve steps, the second sign-in, and everything that
// goes wrong on the way.

const number = "+15551234567"

// walker is one application over one server.
func walker(t testing.TB, srv *latchkeytest.Server, id string, opts ...idx.ClientOption) *idx.Client {
	t.Helper()
	c, err := idx.New(idx.Config{Issuer: srv.Env["ISSUER"], ClientID: id, RedirectURI: srv.Env["REDIRECT_URI"],
		Scopes: []string{"openid", "profile", "email", "phone", "offline_access"}}, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// enrolling is a sign-in that waits for the code of a number to be enrolled.
func enrolling(t testing.TB, srv *latchkeytest.Server, c *idx.Client, u latchkeytest.User) *idx.Transaction {
	t.Helper()
	tx, err := c.Authenticate(t.Context(), idx.Answers{Username: u.Login, Password: u.Password, Authenticator: "phone", Method: "sms", PhoneNumber: number})
	return must(t, tx, err, idx.StatusPending, "enroll-authenticator")
}

func TestWalk_FirstSignIn(t *testing.T) {
	srv := latchkeytest.Start(t)
	c, ctx := walker(t, srv, srv.Env["CLIENT_ID"]), t.Context()

	tx, err := c.Authenticate(ctx, idx.Answers{Username: srv.Env["USERNAME"], Password: srv.Env["PASSWORD"]})
	tx = must(t, tx, err, idx.StatusPending, "select-authenticator-enroll")
	list := tx.NextStep().Inputs[0]
	if list.Name != "authenticator" || len(list.Options) != 1 || list.Options[0].Label != "Phone" || list.Options[0].Authenticator.Key != "phone_number" {
		t.Fatalf("the list is %+v", list)
	}
	same(t, c, tx)

	tx, err = c.Continue(ctx, tx, idx.Answers{Authenticator: "phone"})
	tx = must(t, tx, err, idx.StatusPending, "authenticator-enrollment-data")
	var fields []string
	for path := range tx.NextStep().Fields() {
		fields = append(fields, path)
	}
	if !reflect.DeepEqual(fields, []string{"authenticator.methodType", "authenticator.phoneNumber"}) || tx.NextStep().Authenticator.Type != "phone" {
		t.Errorf("fields are %v of %+v", fields, tx.NextStep().Authenticator)
	}
	same(t, c, tx)
	if n := len(srv.Messages("")); n != 0 {
		t.Fatalf("%d texts left before there was a number", n)
	}

	tx, err = c.Continue(ctx, tx, idx.Answers{Method: "sms", PhoneNumber: number})
	tx = must(t, tx, err, idx.StatusPending, "enroll-authenticator")
	if !tx.NextStep().CanResend {
		t.Error("the code cannot be sent again")
	}
	same(t, c, tx)
	if n := len(srv.Messages(number)); n != 1 {
		t.Fatalf("%d texts left", n)
	}
	if strings.Contains(string(tx.Raw()), "5551234567") || strings.Contains(string(tx.Raw()), srv.Code(t, number)) {
		t.Error("the document shows the number, or the code")
	}

	tx, err = c.Continue(ctx, tx, idx.Answers{VerificationCode: srv.Code(t, number)})
	tx = must(t, tx, err, idx.StatusSuccess, "")
	tokens, err := c.Exchange(ctx, tx)
	if err != nil {
		t.Fatal(err)
	}
	for _, claim := range []string{`"pwd"`, `"sms"`, `"mfa"`} {
		if !strings.Contains(string(tokens.Claims), claim) {
			t.Errorf("amr lacks %s: %s", claim, tokens.Claims)
		}
	}
	who, err := c.UserInfo(ctx, tokens)
	if err != nil || who.Subject != tokens.Subject || who.Email != srv.Env["USERNAME"] || who.Name == "" {
		t.Fatalf("userinfo: %+v, %v", who, err)
	}
	secondSignIn(t, srv, c)
}

// secondSignIn knows the phone.
func secondSignIn(t *testing.T, srv *latchkeytest.Server, c *idx.Client) {
	ctx := t.Context()
	a := idx.Answers{Username: srv.Env["USERNAME"], Password: srv.Env["PASSWORD"]}
	tx, err := c.Authenticate(ctx, a)
	tx = must(t, tx, err, idx.StatusPending, "authenticator-verification-data")
	phone := tx.NextStep().Authenticator
	if phone.Hint != "+1 XXX-XXX-4567" || phone.ID == "" || phone.EnrollmentID == "" || phone.ID == phone.EnrollmentID {
		t.Errorf("the phone is %+v", phone)
	}
	same(t, c, tx)
	before := len(srv.Messages(number))
	tx, err = c.Continue(ctx, tx, idx.Answers{Method: "sms"})
	tx = must(t, tx, err, idx.StatusPending, "challenge-authenticator")
	same(t, c, tx)
	if n := len(srv.Messages(number)); n != before+1 {
		t.Fatalf("%d texts left", n-before)
	}
	tx, err = c.Continue(ctx, tx, idx.Answers{VerificationCode: srv.Code(t, number)})
	must(t, tx, err, idx.StatusSuccess, "")

	// Everything that is known in advance, in one call, the phone by each of its names.
	for _, name := range []string{"phone", "phone_number", phone.ID, phone.EnrollmentID} {
		a.Authenticator = name
		tx, err := c.Authenticate(ctx, a)
		tx = must(t, tx, err, idx.StatusPending, "challenge-authenticator")
		if len(tx.Unused()) != 0 {
			t.Errorf("unused: %v", tx.Unused())
		}
	}
}

// same reads the step again: introspection changes nothing and sends nothing (seed-walk 7.3).
func same(t testing.TB, c *idx.Client, tx *idx.Transaction) {
	t.Helper()
	again, err := c.Resume(t.Context(), tx)
	if err != nil {
		t.Fatal(err)
	}
	if string(again.Raw()) != string(tx.Raw()) {
		t.Errorf("introspection shows another document:\n%s\n%s", again.Raw(), tx.Raw())
	}
}

func TestWalk_StepByStep(t *testing.T) {
	srv := latchkeytest.Start(t)
	c, ctx := walker(t, srv, srv.Env["CLIENT_ID"]), t.Context()
	tx, err := c.Start(ctx)
	tx = must(t, tx, err, idx.StatusPending, "identify")
	tx, err = c.Proceed(ctx, tx, "identify", idx.Values{"identifier": srv.Env["USERNAME"], "credentials": idx.Values{"passcode": srv.Env["PASSWORD"]}})
	tx = must(t, tx, err, idx.StatusPending, "select-authenticator-enroll")
	tx, err = c.Proceed(ctx, tx, "select-authenticator-enroll", idx.Values{"authenticator": tx.NextStep().Inputs[0].Options[0].Choose(nil)})
	tx = must(t, tx, err, idx.StatusPending, "authenticator-enrollment-data")
	tx, err = c.Proceed(ctx, tx, "authenticator-enrollment-data", idx.Values{"authenticator.methodType": "sms", "authenticator.phoneNumber": number})
	tx = must(t, tx, err, idx.StatusPending, "enroll-authenticator")
	tx, err = c.Proceed(ctx, tx, "currentAuthenticator-resend", nil)
	tx = must(t, tx, err, idx.StatusPending, "enroll-authenticator")
	tx, err = c.Proceed(ctx, tx, "enroll-authenticator", idx.Values{"credentials.passcode": srv.Code(t, number)})
	must(t, tx, err, idx.StatusSuccess, "")
}

func TestWalk_OtherPolicies(t *testing.T) {
	srv := latchkeytest.Start(t)
	ctx := t.Context()
	t.Run("password only", func(t *testing.T) {
		c := walker(t, srv, srv.Env["CLIENT_ID_1FA"])
		tx, err := c.Authenticate(ctx, idx.Answers{Username: srv.Env["USERNAME_1FA"], Password: srv.Env["PASSWORD_1FA"]})
		tx = must(t, tx, err, idx.StatusSuccess, "")
		tokens, err := c.Exchange(ctx, tx)
		if err != nil || strings.Contains(string(tokens.Claims), `"mfa"`) {
			t.Errorf("%v, %v", tokens, err)
		}
	})
	t.Run("phone may be skipped", func(t *testing.T) {
		c := walker(t, srv, srv.Env["CLIENT_ID_OPTIONAL"])
		u := srv.AddUser(latchkeytest.User{})
		tx, err := c.Authenticate(ctx, idx.Answers{Username: u.Login, Password: u.Password})
		tx = must(t, tx, err, idx.StatusPending, "select-authenticator-enroll")
		if !tx.NextStep().CanSkip {
			t.Fatal("it cannot be skipped")
		}
		tx, err = c.Skip(ctx, tx)
		must(t, tx, err, idx.StatusSuccess, "")
	})
	t.Run("identifier first", func(t *testing.T) {
		app := srv.AddClient(latchkeytest.Client{IdentifierFirst: true})
		c := walker(t, srv, app.ID)
		u := srv.AddUser(latchkeytest.User{Phone: "+15550001111"})
		tx, err := c.Authenticate(ctx, idx.Answers{Username: u.Login})
		tx = must(t, tx, err, idx.StatusPending, "challenge-authenticator")
		if a := tx.NextStep().Authenticator; a.Type != "password" {
			t.Errorf("%+v", a)
		}
		_, err = c.Continue(ctx, tx, idx.Answers{Password: "nope-nope-nope"})
		tx = rejected(t, err, "errors.E0000004", "challenge-authenticator")
		tx, err = c.Continue(ctx, tx, idx.Answers{Password: u.Password, Authenticator: "phone"})
		tx = must(t, tx, err, idx.StatusPending, "challenge-authenticator")
		tx, err = c.Continue(ctx, tx, idx.Answers{VerificationCode: srv.Code(t, u.Phone)})
		must(t, tx, err, idx.StatusSuccess, "")
		// Both at once, over two pages.
		tx, err = c.Authenticate(ctx, idx.Answers{Username: u.Login, Password: u.Password})
		must(t, tx, err, idx.StatusPending, "authenticator-verification-data")
	})
	t.Run("confidential", func(t *testing.T) {
		u := srv.AddUser(latchkeytest.User{Phone: "+15550002222"})
		for name, auth := range map[string]func(string) idx.ClientAuth{"basic": idx.SecretBasic, "post": idx.SecretPost} {
			c, err := idx.New(idx.Config{Issuer: srv.Env["ISSUER"], ClientID: srv.Env["WEB_CLIENT_ID"], RedirectURI: srv.Env["REDIRECT_URI"], Auth: auth(srv.Env["WEB_CLIENT_SECRET"])})
			if err != nil {
				t.Fatal(err)
			}
			tx, err := c.Authenticate(ctx, idx.Answers{Username: u.Login, Password: u.Password, Authenticator: "phone"})
			tx = must(t, tx, err, idx.StatusPending, "challenge-authenticator")
			tx, err = c.Continue(ctx, tx, idx.Answers{VerificationCode: srv.Code(t, u.Phone)})
			tx = must(t, tx, err, idx.StatusSuccess, "")
			tokens, err := c.Exchange(ctx, tx)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if err := c.Revoke(ctx, tokens.AccessToken); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestWalk_Tokens(t *testing.T) {
	srv := latchkeytest.Start(t)
	c, ctx := walker(t, srv, srv.Env["CLIENT_ID_1FA"]), t.Context()
	signIn := func() (*idx.Transaction, *idx.Tokens) {
		tx, err := c.Authenticate(ctx, idx.Answers{Username: srv.Env["USERNAME_1FA"], Password: srv.Env["PASSWORD_1FA"]})
		tx = must(t, tx, err, idx.StatusSuccess, "")
		tokens, err := c.Exchange(ctx, tx)
		if err != nil {
			t.Fatal(err)
		}
		return tx, tokens
	}
	_, tokens := signIn()
	fresh, err := c.Refresh(ctx, tokens.RefreshToken)
	if err != nil || fresh.Subject != tokens.Subject || fresh.AccessToken == tokens.AccessToken {
		t.Fatalf("refresh: %v, %v", fresh, err)
	}
	if err := c.Revoke(ctx, fresh.AccessToken); err != nil {
		t.Fatal(err)
	}
	var se *idx.ServerError
	if _, err := c.UserInfo(ctx, fresh); !errors.As(err, &se) || se.Code != "invalid_token" || se.Status != 401 {
		t.Errorf("a revoked token: %v", err)
	}
	if _, err := c.Refresh(ctx, "no-such-token"); !errors.Is(err, idx.ErrExpired) {
		t.Errorf("an unknown refresh token: %v", err)
	}
	to, err := c.LogoutURL(ctx, tokens.IDToken, "", "")
	if err != nil || !strings.HasPrefix(to, srv.Env["ISSUER"]+"/v1/logout?") {
		t.Errorf("%s, %v", to, err)
	}
	t.Run("a code is good once", func(t *testing.T) {
		tx, _ := signIn()
		if _, err := c.Exchange(ctx, tx); !errors.Is(err, idx.ErrExpired) {
			t.Errorf("%v", err)
		}
	})
	t.Run("and for a minute", func(t *testing.T) {
		tx, err := c.Authenticate(ctx, idx.Answers{Username: srv.Env["USERNAME_1FA"], Password: srv.Env["PASSWORD_1FA"]})
		tx = must(t, tx, err, idx.StatusSuccess, "")
		srv.Advance(61 * time.Second)
		if _, err := c.Exchange(ctx, tx); !errors.Is(err, idx.ErrExpired) {
			t.Errorf("%v", err)
		}
	})
}

// Section 4 of the seed's walk, in its order.
func TestWalk_WhatGoesWrong(t *testing.T) {
	srv := latchkeytest.Start(t)
	c, ctx := walker(t, srv, srv.Env["CLIENT_ID"]), t.Context()
	status := func(t *testing.T, err error, want int) {
		t.Helper()
		var no *idx.RejectedError
		if !errors.As(err, &no) || no.Status != want {
			t.Errorf("status of %v is not %d", err, want)
		}
	}

	t.Run("4.1 wrong password", func(t *testing.T) {
		u := srv.AddUser(latchkeytest.User{})
		_, err := c.Authenticate(ctx, idx.Answers{Username: u.Login, Password: "nope-nope-nope"})
		status(t, err, 401)
		tx := rejected(t, err, "errors.E0000004", "identify")
		tx, err = c.Continue(ctx, tx, idx.Answers{Username: u.Login, Password: u.Password})
		must(t, tx, err, idx.StatusPending, "select-authenticator-enroll")
	})
	t.Run("4.3 unknown user, revealed", func(t *testing.T) {
		_, err := c.Authenticate(ctx, idx.Answers{Username: "nobody@example.com", Password: "whatever-it-is"})
		status(t, err, 200)
		tx := rejected(t, err, "idx.unknown.user", "identify")
		if m := tx.Messages(); len(m) != 1 || m[0].Text != "There is no account with the Username nobody@example.com." || m[0].Class != "INFO" {
			t.Errorf("%+v", m)
		}
	})
	t.Run("4.3 unknown user, hidden", func(t *testing.T) {
		srv := latchkeytest.Start(t, latchkeytest.ProductionLimits())
		c := walker(t, srv, srv.Env["CLIENT_ID"])
		_, err := c.Authenticate(ctx, idx.Answers{Username: "nobody@example.com", Password: "whatever-it-is"})
		status(t, err, 401)
		rejected(t, err, "errors.E0000004", "identify")
	})
	t.Run("4.4 malformed number", func(t *testing.T) {
		u := srv.AddUser(latchkeytest.User{})
		tx, err := c.Authenticate(ctx, idx.Answers{Username: u.Login, Password: u.Password, Authenticator: "phone"})
		tx = must(t, tx, err, idx.StatusPending, "authenticator-enrollment-data")
		before := len(srv.Messages(""))
		_, err = c.Continue(ctx, tx, idx.Answers{Method: "sms", PhoneNumber: "555-CALL"})
		status(t, err, 400)
		tx = rejected(t, err, "api.factors.error.sms.invalid_phone", "authenticator-enrollment-data")
		if len(srv.Messages("")) != before {
			t.Error("a text has left")
		}
		tx, err = c.Continue(ctx, tx, idx.Answers{Method: "sms", PhoneNumber: "+1 (555) 123-4568"})
		must(t, tx, err, idx.StatusPending, "enroll-authenticator")
		srv.WaitMessage(t, "+15551234568")
	})
	t.Run("4.4 from the list, as one post", func(t *testing.T) {
		u := srv.AddUser(latchkeytest.User{})
		tx, err := c.Authenticate(ctx, idx.Answers{Username: u.Login, Password: u.Password})
		must(t, tx, err, idx.StatusPending, "select-authenticator-enroll")
		_, err = c.Continue(ctx, tx, idx.Answers{PhoneNumber: "555-CALL", Method: "sms"})
		rejected(t, err, "api.factors.error.sms.invalid_phone", "authenticator-enrollment-data")
	})
	t.Run("4.5 wrong code", func(t *testing.T) {
		u := srv.AddUser(latchkeytest.User{})
		tx := enrolling(t, srv, c, u)
		wrong := another(srv.Code(t, number))
		_, err := c.Continue(ctx, tx, idx.Answers{VerificationCode: wrong})
		status(t, err, 401)
		tx = rejected(t, err, "api.authn.error.PASSCODE_INVALID", "enroll-authenticator")
		if m := tx.Messages(); len(m) != 1 || m[0].Field != "credentials.passcode" || m[0].Text != "Invalid code. Try again." {
			t.Errorf("%+v", m)
		}
		_, err = c.Continue(ctx, tx, idx.Answers{VerificationCode: "12ab"})
		status(t, err, 400)
		tx = rejected(t, err, "errors.E0000003", "enroll-authenticator")
		tx, err = c.Continue(ctx, tx, idx.Answers{VerificationCode: srv.Code(t, number)})
		must(t, tx, err, idx.StatusSuccess, "")
	})
	t.Run("4.6 too many wrong codes", func(t *testing.T) {
		u := srv.AddUser(latchkeytest.User{})
		tx := enrolling(t, srv, c, u)
		code := srv.Code(t, number)
		for range 5 {
			_, err := c.Continue(ctx, tx, idx.Answers{VerificationCode: another(code)})
			tx = rejected(t, err, "api.authn.error.PASSCODE_INVALID", "enroll-authenticator")
		}
		for _, try := range []string{another(code), code} { // the right one comes too late as well
			_, err := c.Continue(ctx, tx, idx.Answers{VerificationCode: try})
			status(t, err, 429)
			if !errors.Is(err, idx.ErrRateLimited) {
				t.Error(err)
			}
			tx = rejected(t, err, "tooManyRequests", "enroll-authenticator") // and yet the person is not stranded
		}
		// What a cookie holds of it is read again, and is the code page too.
		seal := sealer(t, 3)
		sealed, err := seal.Seal(tx)
		if err != nil {
			t.Fatal(err)
		}
		if tx, err = seal.Open(sealed); err != nil {
			t.Fatal(err)
		}
		tx, err = c.Resend(ctx, tx)
		tx = must(t, tx, err, idx.StatusPending, "enroll-authenticator")
		fresh := srv.Code(t, number)
		if fresh == code {
			t.Fatal("the new code is the old one")
		}
		tx, err = c.Continue(ctx, tx, idx.Answers{VerificationCode: fresh})
		must(t, tx, err, idx.StatusSuccess, "")
	})
	t.Run("4.7 resend", func(t *testing.T) {
		u := srv.AddUser(latchkeytest.User{})
		tx := enrolling(t, srv, c, u)
		before := len(srv.Messages(number))
		tx, err := c.Resend(ctx, tx)
		must(t, tx, err, idx.StatusPending, "enroll-authenticator")
		if n := len(srv.Messages(number)); n != before+1 {
			t.Errorf("%d texts left", n-before)
		}
		if _, err := c.Resend(ctx, first(c.Start(ctx))); !errors.Is(err, idx.ErrNotOffered) {
			t.Errorf("before there is a code: %v", err)
		}
	})
	t.Run("4.7 resend too early", func(t *testing.T) {
		srv := latchkeytest.Start(t, latchkeytest.ProductionLimits())
		c := walker(t, srv, srv.Env["CLIENT_ID"])
		tx := enrolling(t, srv, c, srv.AddUser(latchkeytest.User{}))
		_, err := c.Resend(ctx, tx)
		status(t, err, 429)
		tx = rejected(t, err, "tooManyRequests", "enroll-authenticator")
		tx, err = c.Continue(ctx, tx, idx.Answers{VerificationCode: srv.Code(t, number)})
		must(t, tx, err, idx.StatusSuccess, "")
	})
	t.Run("4.8 expired", func(t *testing.T) {
		srv := latchkeytest.Start(t)
		c := walker(t, srv, srv.Env["CLIENT_ID"])
		tx := enrolling(t, srv, c, srv.AddUser(latchkeytest.User{}))
		srv.Advance(24 * time.Hour)
		_, err := c.Continue(ctx, tx, idx.Answers{VerificationCode: "123456"})
		status(t, err, 401)
		if !errors.Is(err, idx.ErrExpired) {
			t.Error(err)
		}
		if end := rejected(t, err, "idx.session.expired", ""); end.Status() != idx.StatusTerminal {
			t.Error(end)
		}
		if _, err := c.Resume(ctx, tx); !errors.Is(err, idx.ErrExpired) {
			t.Error(err)
		}
	})
	t.Run("4.8 finished", func(t *testing.T) {
		tx := enrolling(t, srv, c, srv.AddUser(latchkeytest.User{}))
		done, err := c.Continue(ctx, tx, idx.Answers{VerificationCode: srv.Code(t, number)})
		must(t, done, err, idx.StatusSuccess, "")
		if _, err := c.Resume(ctx, tx); !errors.Is(err, idx.ErrExpired) {
			t.Error(err)
		}
		if _, err := c.Resend(ctx, tx); !errors.Is(err, idx.ErrExpired) {
			t.Error(err)
		}
		if again, err := c.Resume(ctx, done); err != nil || again.Status() != idx.StatusSuccess {
			t.Errorf("%v, %v", again, err)
		}
	})
	t.Run("4.9 cancel", func(t *testing.T) {
		tx := enrolling(t, srv, c, srv.AddUser(latchkeytest.User{}))
		for range 2 {
			gone, err := c.Cancel(ctx, tx)
			must(t, gone, err, idx.StatusCanceled, "")
		}
		if _, err := c.Continue(ctx, tx, idx.Answers{VerificationCode: srv.Code(t, number)}); !errors.Is(err, idx.ErrExpired) {
			t.Error(err)
		}
	})
	t.Run("4.10 a step that is not offered", func(t *testing.T) {
		u := srv.AddUser(latchkeytest.User{})
		list, err := c.Authenticate(ctx, idx.Answers{Username: u.Login, Password: u.Password})
		list = must(t, list, err, idx.StatusPending, "select-authenticator-enroll")
		if _, err := c.Proceed(ctx, list, "enroll-authenticator", idx.Values{"credentials.passcode": "123456"}); !errors.Is(err, idx.ErrNotOffered) {
			t.Error(err) // the client knows, and sends nothing
		}
		// The back button: the first page once more is taken, and the code page of before is stale then.
		page, err := c.Start(ctx)
		page = must(t, page, err, idx.StatusPending, "identify")
		code, err := c.Continue(ctx, page, idx.Answers{Username: u.Login, Password: u.Password, Authenticator: "phone", Method: "sms", PhoneNumber: number})
		code = must(t, code, err, idx.StatusPending, "enroll-authenticator")
		again, err := c.Continue(ctx, page, idx.Answers{Username: u.Login, Password: u.Password})
		must(t, again, err, idx.StatusPending, "select-authenticator-enroll")
		_, err = c.Continue(ctx, code, idx.Answers{VerificationCode: srv.Code(t, number)})
		status(t, err, 400)
		tx := rejected(t, err, "errors.E0000020", "select-authenticator-enroll")
		tx, err = c.Continue(ctx, tx, idx.Answers{Authenticator: "phone"})
		must(t, tx, err, idx.StatusPending, "authenticator-enrollment-data")
	})
	t.Run("a carrier that refuses", func(t *testing.T) {
		srv.GatewayFault(latchkeytest.Refuse, "+15559990000")
		u := srv.AddUser(latchkeytest.User{})
		tx, err := c.Authenticate(ctx, idx.Answers{Username: u.Login, Password: u.Password, Authenticator: "phone"})
		must(t, tx, err, idx.StatusPending, "authenticator-enrollment-data")
		_, err = c.Continue(ctx, tx, idx.Answers{Method: "sms", PhoneNumber: "+15559990000"})
		var no *idx.RejectedError
		if !errors.As(err, &no) || no.Transaction.NextStep() == nil {
			t.Fatalf("%v", err)
		}
		tx, err = c.Continue(ctx, no.Transaction, idx.Answers{Authenticator: "phone", Method: "sms", PhoneNumber: number})
		must(t, tx, err, idx.StatusPending, "enroll-authenticator")
	})
	t.Run("two tabs", func(t *testing.T) {
		u := srv.AddUser(latchkeytest.User{Phone: "+15550003333"})
		a := idx.Answers{Username: u.Login, Password: u.Password, Authenticator: "phone"}
		one, err := c.Authenticate(ctx, a)
		one = must(t, one, err, idx.StatusPending, "challenge-authenticator")
		code := srv.WaitMessage(t, u.Phone).Code()
		two, err := c.Authenticate(ctx, a)
		two = must(t, two, err, idx.StatusPending, "challenge-authenticator")
		if one.State() == two.State() || one.State() == "" {
			t.Error("the tabs cannot be told apart")
		}
		one, err = c.Continue(ctx, one, idx.Answers{VerificationCode: code})
		must(t, one, err, idx.StatusSuccess, "")
		two, err = c.Continue(ctx, two, idx.Answers{VerificationCode: srv.WaitMessage(t, u.Phone).Code()})
		must(t, two, err, idx.StatusSuccess, "")
	})
	t.Run("killed between any two steps", func(t *testing.T) {
		srv := latchkeytest.Start(t)
		// A step on a kept connection that the kill cuts may have arrived or not, and is not repeated; that is another test.
		c := walker(t, srv, srv.Env["CLIENT_ID"], idx.WithHTTPClient(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}))
		u := srv.AddUser(latchkeytest.User{})
		tx, err := c.Start(ctx)
		for _, a := range []func() idx.Answers{
			func() idx.Answers { return idx.Answers{Username: u.Login, Password: u.Password} },
			func() idx.Answers { return idx.Answers{Authenticator: "phone"} },
			func() idx.Answers { return idx.Answers{Method: "sms", PhoneNumber: number} },
			func() idx.Answers { return idx.Answers{VerificationCode: srv.Code(t, number)} },
		} {
			if err != nil {
				t.Fatal(err)
			}
			srv.Restart()
			tx, err = c.Continue(ctx, tx, a())
		}
		tx = must(t, tx, err, idx.StatusSuccess, "")
		srv.Restart()
		if _, err := c.Exchange(ctx, tx); err != nil {
			t.Fatal(err)
		}
	})
}

// another is a code that is not this one.
func another(code string) string {
	if code == "000000" {
		return "000001"
	}
	return "000000"
}

// In process: no socket, no address to resolve. This is how the engine's own pages use the package.
func TestWalk_WithoutSockets(t *testing.T) {
	srv := latchkeytest.Start(t)
	inside := tripper(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		srv.Handler().ServeHTTP(w, r)
		resp := w.Result()
		resp.Request = r
		return resp, nil
	})
	c := walker(t, srv, srv.Env["CLIENT_ID"], idx.WithHTTPClient(&http.Client{Transport: inside}))
	if err := whole(t.Context(), t, srv, c, srv.AddUser(latchkeytest.User{}), number, nil); err != nil {
		t.Fatal(err)
	}
}

// TestWalk_ManyUsers: 64 people enrol a phone and sign in, all at once, over one client, each with a sealed cookie.
func TestWalk_ManyUsers(t *testing.T) {
	srv := latchkeytest.Start(t)
	c, seal := walker(t, srv, srv.Env["CLIENT_ID"]), sealer(t, 9)
	var people []latchkeytest.User
	for range 64 {
		people = append(people, srv.AddUser(latchkeytest.User{}))
	}
	var wg sync.WaitGroup
	for i, u := range people {
		wg.Go(func() {
			if err := whole(t.Context(), t, srv, c.For(idx.EndUser{UserAgent: u.Login}), u, fmt.Sprintf("+1555200%04d", i), seal); err != nil {
				t.Errorf("%s: %v", u.Login, err)
			}
		})
	}
	wg.Wait()
}

// whole is a sign-in from the name to the profile.
func whole(ctx context.Context, t testing.TB, srv *latchkeytest.Server, c *idx.Client, u latchkeytest.User, phone string, seal *idx.Sealer) error {
	tx, err := c.Authenticate(ctx, idx.Answers{Username: u.Login, Password: u.Password})
	for _, a := range []func() idx.Answers{
		func() idx.Answers { return idx.Answers{Authenticator: "phone"} },
		func() idx.Answers { return idx.Answers{Method: "sms", PhoneNumber: phone} },
		func() idx.Answers { return idx.Answers{VerificationCode: srv.WaitMessage(t, phone).Code()} },
	} {
		if err != nil {
			return err
		}
		if seal != nil {
			sealed, err := seal.Seal(tx)
			if err != nil {
				return err
			}
			if tx, err = seal.Open(sealed); err != nil {
				return err
			}
		}
		tx, err = c.Continue(ctx, tx, a())
	}
	if err != nil {
		return err
	}
	tokens, err := c.Exchange(ctx, tx)
	if err != nil {
		return err
	}
	who, err := c.UserInfo(ctx, tokens)
	if err != nil {
		return err
	}
	if who.Email != u.Login || who.Subject != u.ID || tokens.Subject != u.ID {
		return fmt.Errorf("was given the profile of %s (%s) and the tokens of %s", who.Email, who.Subject, tokens.Subject)
	}
	return nil
}
