package idx_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"latchkey.dev/idx"
)

func ctxOf(t testing.TB) context.Context { return t.Context() }

// must stops the test at the first error and checks where the sign-in stands.
func must(t testing.TB, tx *idx.Transaction, err error, status idx.Status, step string) *idx.Transaction {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
	name := ""
	if s := tx.NextStep(); s != nil {
		name = s.Name
	}
	if tx.Status() != status || name != step {
		t.Fatalf("the sign-in is %s at %q, want %s at %q", tx.Status(), name, status, step)
	}
	return tx
}

// rejected wants a refusal by key that leaves the person at step.
func rejected(t testing.TB, err error, key, step string) *idx.Transaction {
	t.Helper()
	var no *idx.RejectedError
	if !errors.As(err, &no) {
		t.Fatalf("error is %v, want a RejectedError", err)
	}
	if !slices.ContainsFunc(no.Messages, func(m idx.Message) bool { return m.Key == key }) {
		t.Fatalf("messages are %v, want key %s", no.Messages, key)
	}
	name := ""
	if s := no.Transaction.NextStep(); s != nil {
		name = s.Name
	}
	if name != step {
		t.Fatalf("after the refusal the step is %q, want %q", name, step)
	}
	return no.Transaction
}

func TestFirstAndSecondSignIn(t *testing.T) {
	for name, first := range map[string]bool{"one page": false, "identifier first": true} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, func(e *engine) { e.identifierFirst = first })
			c, ctx := e.client(t), ctxOf(t)

			tx, err := c.Authenticate(ctx, idx.Answers{Username: "mary@example.com", Password: goodPassword})
			tx = must(t, tx, err, idx.StatusPending, "select-authenticator-enroll")
			tx, err = c.Continue(ctx, tx, idx.Answers{Authenticator: "phone"})
			tx = must(t, tx, err, idx.StatusPending, "authenticator-enrollment-data")
			tx, err = c.Continue(ctx, tx, idx.Answers{Method: "sms", PhoneNumber: "+15551234567"})
			tx = must(t, tx, err, idx.StatusPending, "enroll-authenticator")
			if !tx.NextStep().CanResend {
				t.Error("the code cannot be sent again")
			}
			tx, err = c.Continue(ctx, tx, idx.Answers{VerificationCode: goodCode})
			tx = must(t, tx, err, idx.StatusSuccess, "")
			tokens, err := c.Exchange(ctx, tx)
			if err != nil {
				t.Fatal(err)
			}
			who, err := c.UserInfo(ctx, tokens)
			if err != nil || who.Subject != "00umary@example.com" || who.Name != "Mary Acme" {
				t.Fatalf("userinfo: %+v, %v", who, err)
			}

			// The second time the phone is known, and everything can be said at once.
			tx, err = c.Authenticate(ctx, idx.Answers{Username: "mary@example.com", Password: goodPassword})
			tx = must(t, tx, err, idx.StatusPending, "authenticator-verification-data")
			if a := tx.NextStep().Authenticator; a.Hint != "+1 XXX-XXX-4567" || a.ID != "aut1phone" || a.EnrollmentID != "sms1" {
				t.Errorf("authenticator is %+v", a)
			}
			tx, err = c.Continue(ctx, tx, idx.Answers{Authenticator: "phone_number"})
			must(t, tx, err, idx.StatusPending, "challenge-authenticator")

			tx, err = c.Authenticate(ctx, idx.Answers{Username: "mary@example.com", Password: goodPassword, Authenticator: "phone", Method: "sms"})
			tx = must(t, tx, err, idx.StatusPending, "challenge-authenticator")
			if u := tx.Unused(); len(u) != 0 {
				t.Errorf("unused: %v", u)
			}
			tx, err = c.Continue(ctx, tx, idx.Answers{VerificationCode: goodCode})
			must(t, tx, err, idx.StatusSuccess, "")
		})
	}
}

func TestRefusals(t *testing.T) {
	e := newEngine(t)
	c, ctx := e.client(t), ctxOf(t)
	_, err := c.Authenticate(ctx, idx.Answers{Username: "nobody@example.com", Password: "x"})
	rejected(t, err, "idx.unknown.user", "identify")
	_, err = c.Authenticate(ctx, idx.Answers{Username: "mary@example.com", Password: "nope"})
	tx := rejected(t, err, "errors.E0000004", "identify")
	tx, err = c.Continue(ctx, tx, idx.Answers{Username: "mary@example.com", Password: goodPassword})
	tx = must(t, tx, err, idx.StatusPending, "select-authenticator-enroll")
	_, err = c.Continue(ctx, tx, idx.Answers{Method: "sms", PhoneNumber: "555-CALL"})
	tx = rejected(t, err, "api.factors.error.sms.invalid_phone", "authenticator-enrollment-data")
	tx, err = c.Continue(ctx, tx, idx.Answers{Method: "sms", PhoneNumber: "+15551234567"})
	tx = must(t, tx, err, idx.StatusPending, "enroll-authenticator")
	_, err = c.Continue(ctx, tx, idx.Answers{VerificationCode: "000000"})
	tx = rejected(t, err, "api.authn.error.PASSCODE_INVALID", "enroll-authenticator")
	if m := tx.Messages(); len(m) != 1 || m[0].Field != "credentials.passcode" {
		t.Errorf("messages are %+v", m)
	}
	// "Too often" comes without forms, and yet the person must be able to ask for another code.
	_, err = c.Continue(ctx, tx, idx.Answers{VerificationCode: "999999"})
	if !errors.Is(err, idx.ErrRateLimited) || !idx.Retryable(err) {
		t.Errorf("%v is no rate limit", err)
	}
	tx = rejected(t, err, "tooManyRequests", "enroll-authenticator")
	if m := tx.Messages(); len(m) != 1 {
		t.Errorf("messages are %+v, want the last one only", m)
	}
	tx, err = c.Resend(ctx, tx)
	tx = must(t, tx, err, idx.StatusPending, "enroll-authenticator")
	tx, err = c.Continue(ctx, tx, idx.Answers{VerificationCode: goodCode})
	tx = must(t, tx, err, idx.StatusSuccess, "")
	if _, err = c.Exchange(ctx, tx); err != nil {
		t.Fatal(err)
	}
	if _, err = c.Exchange(ctx, tx); !errors.Is(err, idx.ErrExpired) {
		t.Errorf("the second exchange gives %v", err)
	}
}
