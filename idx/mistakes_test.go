package idx_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey.dev/idx"
)

// The mistakes of other clients, one test each, so that none of them is made here.

// A package-global client sends one organisation's handle to another.
func TestMistake01_GlobalClient(t *testing.T) {
	var madeByA []string
	a := newEngine(t, func(e *engine) { e.hideSecret = func(s string) { madeByA = append(madeByA, s) } })
	b := newEngine(t)
	ca := a.client(t)
	cb := b.client(t) // made later: a global would now point here
	ctx := ctxOf(t)
	tx, err := ca.Authenticate(ctx, mary)
	tx = must(t, tx, err, idx.StatusPending, "select-authenticator-enroll")
	if _, err := cb.Authenticate(ctx, mary); err != nil {
		t.Fatal(err)
	}
	tx, err = ca.Continue(ctx, tx, idx.Answers{Authenticator: "phone"})
	must(t, tx, err, idx.StatusPending, "authenticator-enrollment-data")
	for _, body := range b.bodies {
		for _, s := range madeByA {
			if strings.Contains(body, s) {
				t.Fatal("B was sent a handle of A")
			}
		}
	}
	// And a transaction cannot be taken to the other client by accident.
	if _, err := cb.Continue(ctx, tx, idx.Answers{Authenticator: "phone"}); !errors.Is(err, idx.ErrNoTransaction) {
		t.Errorf("a foreign transaction gives %v", err)
	}
	for name, v := range map[string]any{"Resume": cb.Resume, "Poll": cb.Poll, "Cancel": cb.Cancel, "Skip": cb.Skip, "Resend": cb.Resend} {
		call := v.(func(context.Context, *idx.Transaction) (*idx.Transaction, error))
		if _, err := call(ctx, tx); !errors.Is(err, idx.ErrNoTransaction) {
			t.Errorf("%s with a foreign transaction gives %v", name, err)
		}
	}
}

// A headline call that reads none of its arguments.
func TestMistake02_HeadlineCallDoesNothing(t *testing.T) {
	e := newEngine(t)
	c := e.client(t)
	tx, err := c.Authenticate(ctxOf(t), mary)
	must(t, tx, err, idx.StatusPending, "select-authenticator-enroll")
	sent := tree(t, e.bodies[len(e.bodies)-1])
	if sent["identifier"] != "mary@example.com" || sent["credentials"].(map[string]any)["passcode"] != goodPassword {
		t.Errorf("identify was sent %v", sent)
	}
	tx, err = c.Authenticate(ctxOf(t), idx.Answers{}) // nothing to say is no crime
	must(t, tx, err, idx.StatusPending, "identify")
}

// JSON put together from strings: a quote in a password ends it, and a crafted one rewrites the request.
func TestMistake03_JSONByConcatenation(t *testing.T) {
	for _, pw := range []string{
		`quo"te`, ` spaces at both ends `, "tab\tnewline\n", `back\slash`, `","stateHandle":"forged`, "ünïcødé 🗝", `<script>&amp;`, " ", "\u0000nul",
	} {
		s := play(say(200, doc([]string{formOf("identify", "identify", identifierField, passcodeField)})), say(200, doc(nil, successMember)))
		c := s.client(t)
		if _, err := c.Authenticate(ctxOf(t), idx.Answers{Username: `m"ary`, Password: pw}); err != nil {
			t.Fatalf("%q: %v", pw, err)
		}
		body := tree(t, s.requests()[1].body)
		got := body["credentials"].(map[string]any)["passcode"]
		if got != pw || body["identifier"] != `m"ary` || body["stateHandle"] != "02-secret-state-handle" {
			t.Errorf("password %q arrived as %q in %v", pw, got, body)
		}
	}
	// What cannot be carried exactly is refused, not bent.
	s := play(say(200, doc([]string{formOf("identify", "identify", identifierField, passcodeField)})))
	c := s.client(t)
	var in *idx.InputError
	if _, err := c.Authenticate(ctxOf(t), idx.Answers{Username: "mary", Password: "\xff\xfe12"}); !errors.As(err, &in) || in.Path != "credentials.passcode" {
		t.Errorf("a password that is not UTF-8 gives %v", err)
	}
	if n := len(s.requests()); n != 1 {
		t.Errorf("%d requests, want only introspect", n)
	}
	// The same for web forms: values are encoded, whatever is in them.
	cfg := s.config()
	cfg.RedirectURI, cfg.Auth = "https://app.example/cb?a=b&c=d", idx.SecretPost("p&q=r +%")
	c2, err := idx.New(cfg, idx.WithHTTPClient(&http.Client{Transport: s}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c2.Start(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	form, err := url.ParseQuery(s.all[len(s.all)-2].body)
	if err != nil || form.Get("redirect_uri") != cfg.RedirectURI || form.Get("client_secret") != "p&q=r +%" {
		t.Errorf("interact was sent %v, %v", form, err)
	}
}

// Panics on answers that are ordinary.
func TestMistake04_Panics(t *testing.T) {
	bodies := []string{
		`{"version":"1.0.0","stateHandle":"02x"}`, `{"version":"1.0.0"}`, ``, `null`, `[]`, `"text"`, `{}`, `<html>`,
		`{"version":"1.0.0","remediation":null,"messages":null}`,
		`{"version":"1.0.0","remediation":{"type":"array","value":[null,1,"x",[],{}]},"messages":{"value":[null,{}]}}`,
		`{"version":"1.0.0","remediation":{"value":[{"name":"x","href":"https://id.example/","rel":[],"value":[null,{"name":"a","form":null,"options":[null,{"value":null}]}],"relatesTo":[]}]}}`,
		`{"version":"1.0.0","remediation":{"value":[{"name":"x","href":"https://id.example/","rel":["create-form"],"relatesTo":["$.nowhere.value[7]"],"value":[]}]}}`,
		`{"version":"1.0.0","currentAuthenticator":{"type":"object","value":null},"successWithInteractionCode":{"value":null}}`,
		`{"error":{"code":1}}`, `{"version":2}`,
	}
	for _, body := range bodies {
		for _, status := range []int{200, 400, 401, 403, 429, 500} {
			s := play(say(status, body))
			c := s.client(t)
			tx, err := c.Authenticate(ctxOf(t), mary)
			var no *idx.RejectedError
			if errors.As(err, &no) {
				tx = no.Transaction
			}
			exercise(c, tx)
		}
	}
	// A transaction that is none, in every verb.
	c := play(say(200, doc(nil))).client(t)
	for _, tx := range []*idx.Transaction{nil, {}} {
		exercise(c, tx)
		if _, err := c.Continue(ctxOf(t), tx, mary); !errors.Is(err, idx.ErrNoTransaction) {
			t.Errorf("Continue gives %v", err)
		}
	}
	var step *idx.NextStep
	for range step.Fields() {
		t.Error("no step has no fields")
	}
}

// exercise calls everything there is to call; the only thing that matters is that it comes back.
func exercise(c *idx.Client, tx *idx.Transaction) {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, _, _, _, _ = tx.Status(), tx.NextStep(), tx.Steps(), tx.Messages(), tx.Unused()
	_, _, _, _ = tx.State(), tx.ExpiresAt(), tx.InteractionCode(), tx.Raw()
	_, _, _ = tx.Intent(), tx.Identifier(), tx.App()
	_, _ = tx.Step("identify")
	_, _ = tx.Snapshot()
	_ = fmt.Sprintf("%v %+v %#v %s %d", tx, tx, tx, tx, tx)
	for _, s := range tx.Steps() {
		for range s.Fields() {
		}
		_, _ = c.Proceed(ctx, tx, s.Name, nil)
	}
	_, _ = c.Continue(ctx, tx, mary)
	_, _ = c.Skip(ctx, tx)
	_, _ = c.Resend(ctx, tx)
	_, _ = c.Resume(ctx, tx)
	_, _ = c.Poll(ctx, tx)
	_, _ = c.Wait(ctx, tx)
	for range c.Watch(ctx, tx) {
		break
	}
	_, _ = c.Callback(ctx, tx, url.Values{"state": {"x"}, "otp": {"1"}})
	_, _ = c.Callback(ctx, tx, nil)
	_, _ = c.Exchange(ctx, tx)
	_, _ = c.UserInfo(ctx, nil)
	_, _ = c.Cancel(ctx, tx)
}

// English labels as identifiers: a renamed or translated authenticator vanishes.
func TestMistake05_EnglishAsIdentifier(t *testing.T) {
	phone := `"authenticators":{"type":"array","value":[{"type":"phone","key":"phone_number","id":"aut1","displayName":"電話"}]}`
	list := formOf("select-authenticator-enroll", "credential/enroll", `{"name":"authenticator","type":"object","options":[
		{"label":"電話","relatesTo":"$.authenticators.value[0]","value":{"form":{"value":[
			{"name":"phoneNumber","label":"番号","required":false},
			{"name":"methodType","required":false,"type":"string","options":[{"label":"短信","value":"sms"}]},
			{"name":"id","required":true,"value":"aut1","mutable":false}]}}}]}`)
	for _, name := range []string{"phone", "phone_number", "aut1"} {
		s := play(say(200, doc([]string{list}, phone)), say(200, doc(nil, successMember)))
		c, tx := s.start(t)
		if _, err := c.Continue(ctxOf(t), tx, idx.Answers{Authenticator: name, Method: "sms", PhoneNumber: "+1"}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := map[string]any{"id": "aut1", "methodType": "sms", "phoneNumber": "+1"}
		if got := tree(t, s.requests()[1].body)["authenticator"]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: sent %v", name, got)
		}
	}
	// Errors are told by key as well, whatever their words.
	s := play(say(401, `{"version":"1.0.0","messages":{"type":"array","value":[{"message":"期限切れ","class":"ERROR","i18n":{"key":"idx.session.expired"}}]}}`))
	if _, err := s.client(t).Start(ctxOf(t)); !errors.Is(err, idx.ErrExpired) {
		t.Errorf("an expired session is %v", err)
	}
}

// State that cannot leave memory: here each step is done by another client, in another process as it were.
func TestMistake06_StateInMemoryOnly(t *testing.T) {
	seal, err := idx.NewSealer([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	ways := map[string]func(*idx.Transaction) *idx.Transaction{
		"snapshot": func(tx *idx.Transaction) *idx.Transaction {
			text, err := tx.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			back, err := idx.Restore(text)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(back.NextStep(), tx.NextStep()) || back.Status() != tx.Status() || back.State() != tx.State() {
				t.Error("the restored transaction is another one")
			}
			return back
		},
		"cookie": func(tx *idx.Transaction) *idx.Transaction {
			sealed, err := seal.Seal(tx)
			if err != nil {
				t.Fatal(err)
			}
			if len(sealed) >= 1024 {
				t.Errorf("the cookie has %d bytes", len(sealed))
			}
			back, err := seal.Open(sealed)
			if err != nil {
				t.Fatal(err)
			}
			return back
		},
	}
	for name, carry := range ways {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t)
			ctx := ctxOf(t)
			tx, err := e.client(t).Authenticate(ctx, mary)
			tx = must(t, tx, err, idx.StatusPending, "select-authenticator-enroll")
			tx, err = e.client(t).Continue(ctx, carry(tx), idx.Answers{Authenticator: "phone"})
			tx = must(t, tx, err, idx.StatusPending, "authenticator-enrollment-data")
			tx, err = e.client(t).Continue(ctx, carry(tx), idx.Answers{Method: "sms", PhoneNumber: "+15551234567"})
			tx = must(t, tx, err, idx.StatusPending, "enroll-authenticator")
			tx, err = e.client(t).Continue(ctx, carry(tx), idx.Answers{VerificationCode: goodCode})
			tx = must(t, tx, err, idx.StatusSuccess, "")
			if _, err := e.client(t).Exchange(ctx, carry(tx)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A closed list of steps: the next one the server invents breaks the client.
func TestMistake07_ClosedListOfSteps(t *testing.T) {
	odd := with(formOf("prove-you-are-awake", "awake", `{"name":"alertness","form":{"value":[{"name":"cups","label":"Cups","required":true},{"name":"kind","value":"espresso","mutable":false,"visible":false}]}}`),
		`"relatesTo":["$.currentAuthenticator"]`, `"somethingNew":{"a":1}`)
	member := `"currentAuthenticator":{"type":"object","value":{"type":"beverage","key":"coffee_machine","id":"aut9","displayName":"Coffee","contextualData":{"beans":"dark"}}}`
	s := play(say(200, doc([]string{odd}, member)), say(200, doc(nil, successMember)))
	c, tx := s.start(t)
	step := tx.NextStep()
	if tx.Status() != idx.StatusPending || step.Name != "prove-you-are-awake" || step.Authenticator.Key != "coffee_machine" ||
		!strings.Contains(string(step.Raw), "somethingNew") || !strings.Contains(string(step.Authenticator.Challenge), "dark") {
		t.Fatalf("%+v, %+v", step, step.Authenticator)
	}
	var fields []string
	for path := range step.Fields() {
		fields = append(fields, path)
	}
	if !reflect.DeepEqual(fields, []string{"alertness.cups"}) {
		t.Errorf("fields are %v", fields)
	}
	tx, err := c.Proceed(ctxOf(t), tx, "prove-you-are-awake", idx.Values{"alertness.cups": 3})
	must(t, tx, err, idx.StatusSuccess, "")
	want := map[string]any{"cups": 3.0, "kind": "espresso"}
	if got := tree(t, s.requests()[1].body)["alertness"]; !reflect.DeepEqual(got, want) {
		t.Errorf("sent %v", got)
	}
	// The easy path can say it too, by its wire name.
	s = play(say(200, doc([]string{odd}, member)), say(200, doc(nil, successMember)))
	c, tx = s.start(t)
	tx, err = c.Continue(ctxOf(t), tx, idx.Answers{Extra: idx.Values{"alertness": idx.Values{"cups": "2"}}})
	must(t, tx, err, idx.StatusSuccess, "")
}

const twoPhones = `"authenticatorEnrollments":{"type":"array","value":[
	{"type":"phone","key":"phone_number","id":"sms1","profile":{"phoneNumber":"+1 XXX-XXX-1111"}},
	{"type":"phone","key":"phone_number","id":"sms2","profile":{"phoneNumber":"+1 XXX-XXX-2222"}}]}`

func phoneOption(n int, methods string) string {
	return fmt.Sprintf(`{"label":"Phone","relatesTo":"$.authenticatorEnrollments.value[%d]","value":{"form":{"value":[
		{"name":"id","required":true,"value":"aut1phone","mutable":false},
		{"name":"methodType","type":"string","required":true,"options":[%s]},
		{"name":"enrollmentId","required":true,"value":"sms%d","mutable":false}]}}}`, n, methods, n+1)
}

const (
	smsOnly  = `{"label":"SMS","value":"sms"}`
	smsVoice = smsOnly + `,{"label":"Voice","value":"voice"}`
)

// Guessing: two phones collapse into one, a method is chosen unasked, requests run away.
func TestMistake08_Guessing(t *testing.T) {
	list := func(methods string) string {
		return formOf("select-authenticator-authenticate", "challenge", `{"name":"authenticator","type":"object","options":[`+phoneOption(0, methods)+`,`+phoneOption(1, methods)+`]}`)
	}
	for _, name := range []string{"phone", "phone_number", "aut1phone"} {
		s := play(say(200, doc([]string{list(smsOnly)}, twoPhones)))
		c, tx := s.start(t)
		_, err := c.Continue(ctxOf(t), tx, idx.Answers{Authenticator: name})
		var in *idx.InputError
		if !errors.Is(err, idx.ErrAmbiguous) || !errors.As(err, &in) || in.Transaction != tx {
			t.Errorf("%s gives %v", name, err)
		}
		if n := len(s.requests()); n != 1 {
			t.Errorf("%s: %d requests, want only introspect", name, n)
		}
	}
	s := play(say(200, doc([]string{list(smsOnly)}, twoPhones)), say(200, doc([]string{formOf("challenge-authenticator", "challenge/answer", passcodeField)})))
	c, tx := s.start(t)
	tx, err := c.Continue(ctxOf(t), tx, idx.Answers{Authenticator: "sms2"})
	must(t, tx, err, idx.StatusPending, "challenge-authenticator")
	want := map[string]any{"id": "aut1phone", "enrollmentId": "sms2", "methodType": "sms"}
	if got := tree(t, s.requests()[1].body)["authenticator"]; !reflect.DeepEqual(got, want) {
		t.Errorf("sent %v", got)
	}
	// The exact path will not guess either.
	s = play(say(200, doc([]string{list(smsOnly)}, twoPhones)))
	c, tx = s.start(t)
	if _, err := c.Proceed(ctxOf(t), tx, "select-authenticator-authenticate", idx.Values{"authenticator.id": "aut1phone"}); !errors.Is(err, idx.ErrAmbiguous) {
		t.Errorf("Proceed gives %v", err)
	}
	// Two methods: which one is not ours to say.
	s = play(say(200, doc([]string{list(smsVoice)}, twoPhones)))
	c, tx = s.start(t)
	var in *idx.InputError
	if _, err := c.Continue(ctxOf(t), tx, idx.Answers{Authenticator: "sms1"}); !errors.As(err, &in) || in.Path != "authenticator.methodType" {
		t.Errorf("two methods give %v", err)
	}
	if _, err := c.Continue(ctxOf(t), tx, idx.Answers{Authenticator: "sms1", Method: "carrier-pigeon"}); !errors.Is(err, idx.ErrNotOffered) {
		t.Errorf("an unknown method gives %v", err)
	}
	if _, err := c.Continue(ctxOf(t), tx, idx.Answers{Authenticator: "email"}); !errors.Is(err, idx.ErrNotOffered) {
		t.Errorf("an unknown authenticator gives %v", err)
	}
	if n := len(s.requests()); n != 1 {
		t.Errorf("%d requests, want only introspect", n)
	}
	// A server that offers the same form for ever is asked once per answer.
	s = play(say(200, doc([]string{formOf("identify", "identify", identifierField, passcodeField)})))
	c = s.client(t)
	tx, err = c.Authenticate(ctxOf(t), mary)
	must(t, tx, err, idx.StatusPending, "identify")
	if n := len(s.requests()); n != 2 {
		t.Errorf("%d requests, want introspect and identify", n)
	}
}

// Errors as strings: "null:null", with the cause hidden and the code lost.
func TestMistake09_ErrorsAsStrings(t *testing.T) {
	h := http.Header{"X-Okta-Request-Id": {"req-77"}, "Retry-After": {"7"}}
	for name, c := range map[string]struct {
		line line
		want idx.ServerError
	}{
		"OAuth":       {line{status: 400, header: h, body: `{"error":"invalid_request","error_description":"no"}`}, idx.ServerError{Code: "invalid_request", Summary: "no", Status: 400}},
		"API":         {line{status: 429, header: h, body: `{"errorCode":"E0000047","errorSummary":"slow down","errorId":"x"}`}, idx.ServerError{Code: "E0000047", Summary: "slow down", Status: 429}},
		"proxy":       {line{status: 502, header: h, body: `<html>bad gateway</html>`}, idx.ServerError{Summary: "the answer is no document of this protocol", Status: 502}},
		"network":     {line{status: 403, header: h, body: `{"error":"Forbidden","message":"Access denied by network policy"}`}, idx.ServerError{Code: "Forbidden", Summary: "Access denied by network policy", Status: 403}},
		"empty":       {line{status: 200, header: h}, idx.ServerError{Summary: "the answer is no document of this protocol", Status: 200}},
		"fault":       {line{status: 500, header: h, body: `{"version":"1.0.0",` + errorMessages("errors.E0000009") + `}`}, idx.ServerError{Code: "errors.E0000009", Summary: "No.", Status: 500}},
		"new version": {line{status: 200, header: h, body: `{"version":"2.0.0"}`}, idx.ServerError{Code: "unsupported_version", Summary: "the document has another version than 1.0.0", Status: 200}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := play(c.line).client(t).Start(ctxOf(t))
			var got *idx.ServerError
			if !errors.As(err, &got) {
				t.Fatalf("%v is no ServerError", err)
			}
			if got.Code != c.want.Code || got.Summary != c.want.Summary || got.Status != c.want.Status || got.RequestID != "req-77" ||
				got.Op != "introspect" || name != "new version" && got.RetryAfter != 7*time.Second {
				t.Errorf("%#v", got)
			}
			if errors.Is(err, idx.ErrRateLimited) != (got.Status == 429) || idx.Retryable(err) != (got.Status == 429) {
				t.Errorf("rate limit: %v", err)
			}
		})
	}
	// The cause stays reachable.
	cause := errors.New("the wire was cut")
	if _, err := play(line{err: cause}).client(t).Start(ctxOf(t)); !errors.Is(err, cause) {
		t.Errorf("%v hides its cause", err)
	}
	ctx, cancel := context.WithCancel(ctxOf(t))
	cancel()
	if _, err := play(say(200, doc(nil))).client(t).Start(ctx); !errors.Is(err, context.Canceled) || !idx.Retryable(err) {
		t.Errorf("%v", err)
	}
}

// Tokens as a side effect of a step, and taken unseen.
func TestMistake10_TokensAsSideEffect(t *testing.T) {
	e := newEngine(t, func(e *engine) { e.optionalPhone = true })
	c, ctx := e.client(t), ctxOf(t)
	success := func() *idx.Transaction {
		tx, err := c.Authenticate(ctx, mary)
		must(t, tx, err, idx.StatusPending, "select-authenticator-enroll")
		tx, err = c.Skip(ctx, tx)
		return must(t, tx, err, idx.StatusSuccess, "")
	}
	tx := success()
	if tx.InteractionCode() == "" || e.count("/oauth2/default/v1/token") != 0 {
		t.Fatal("success must hold the code, and nobody may have spent it")
	}
	if _, err := c.Exchange(ctx, tx); err != nil {
		t.Fatal(err)
	}
	e.idClaims = func(c map[string]any) { c["nonce"] = "of another sign-in" }
	if tokens, err := c.Exchange(ctx, success()); !errors.Is(err, idx.ErrIDToken) || tokens != nil {
		t.Errorf("an ID token with a wrong nonce gives %v, %v", tokens, err)
	}
	if _, err := c.Exchange(ctx, must(t, first(c.Authenticate(ctx, mary)), nil, idx.StatusPending, "select-authenticator-enroll")); err == nil {
		t.Error("an unfinished sign-in was exchanged")
	}
}

func first(tx *idx.Transaction, _ error) *idx.Transaction { return tx }

// User context sent once: every request must say for whom it is made, and none for somebody else.
func TestMistake11_UserContextOnce(t *testing.T) {
	e := newEngine(t, func(e *engine) { e.optionalPhone = true })
	u := idx.EndUser{IP: netip.MustParseAddr("203.0.113.7"), UserAgent: "Browser/1", Language: "de-CH", DeviceToken: "device-7"}
	c, ctx := e.client(t).For(u), ctxOf(t)
	tx, err := c.Authenticate(ctx, mary)
	must(t, tx, err, idx.StatusPending, "select-authenticator-enroll")
	tx, err = c.Skip(ctx, tx)
	must(t, tx, err, idx.StatusSuccess, "")
	tokens, err := c.Exchange(ctx, tx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.UserInfo(ctx, tokens); err != nil {
		t.Fatal(err)
	}
	if err := c.Revoke(ctx, tokens.AccessToken); err != nil {
		t.Fatal(err)
	}
	paths := map[string]bool{}
	for _, r := range e.requests() {
		paths[r.URL.Path] = true
		dt, _ := r.Cookie("DT")
		if r.Header.Get("X-Forwarded-For") != "203.0.113.7" || r.Header.Get("User-Agent") != "Browser/1" || r.Header.Get("Accept-Language") != "de-CH" ||
			r.Header.Get("X-Device-Token") != "device-7" || dt == nil || dt.Value != "device-7" {
			t.Errorf("%s says %v", r.URL.Path, r.Header)
		}
	}
	if len(paths) != 9 {
		t.Errorf("only %v were asked", paths)
	}
	// A value that no header can hold is left out, and does not become another header.
	e2 := newEngine(t)
	evil := idx.EndUser{UserAgent: "a\r\nX-Forwarded-For: 1.2.3.4", Language: "\x00", DeviceToken: "x; Path=/"}
	if _, err := e2.client(t).For(evil).Start(ctx); err != nil {
		t.Fatal(err)
	}
	for _, r := range e2.requests() {
		if r.Header.Get("X-Forwarded-For") != "" || len(r.Cookies()) != 0 || r.Header.Get("X-Device-Token") != "" || strings.Contains(r.UserAgent(), "1.2.3.4") {
			t.Errorf("%v", r.Header)
		}
	}
	// The opposite trap: a jar that carries one person's cookies into the next one's sign-in.
	jar, _ := cookiejar.New(nil)
	if _, err := idx.New(e.config(), idx.WithHTTPClient(&http.Client{Jar: jar})); err == nil {
		t.Error("a cookie jar was accepted")
	}
}

func pollDoc(refresh int, members ...string) string {
	return doc([]string{with(formOf("challenge-poll", "challenge/poll"), fmt.Sprintf(`"refresh":%d`, refresh))}, members...)
}

// Polling without manners: a fixed tick, going on after a 401, not hearing a 429.
func TestMistake12_Polling(t *testing.T) {
	for name, c := range map[string]struct {
		lines []line
		took  time.Duration
		err   error
		step  string
	}{
		"server's interval":   {[]line{say(200, pollDoc(4000)), say(200, pollDoc(4000)), say(200, pollDoc(2000)), say(200, doc(nil, successMember))}, 10 * time.Second, nil, ""},
		"never under a floor": {[]line{say(200, pollDoc(1)), say(200, pollDoc(1)), say(200, doc(nil, successMember))}, 2 * time.Second, nil, ""},
		"401 ends it":         {[]line{say(200, pollDoc(3000)), say(401, doc(nil, errorMessages("idx.session.expired")))}, 3 * time.Second, idx.ErrExpired, ""},
		"429 makes it slower": {[]line{say(200, pollDoc(3000)), {status: 429, header: http.Header{"Retry-After": {"20"}}, body: doc(nil, errorMessages("tooManyRequests"))},
			say(200, doc(nil, successMember))}, 23 * time.Second, nil, ""},
		"429 without a time": {[]line{say(200, pollDoc(3000)), say(429, `{"errorCode":"E0000047"}`), say(200, doc(nil, successMember))}, 9 * time.Second, nil, ""},
		"expiry ends it": {[]line{{do: func(r *http.Request) (*http.Response, error) {
			return answerTo(r, say(200, pollDoc(4000, `"expiresAt":"`+time.Now().Add(10*time.Second).UTC().Format(time.RFC3339Nano)+`"`))), nil
		}}, say(200, pollDoc(4000))}, 10 * time.Second, idx.ErrExpired, ""},
		"a push refused": {[]line{say(200, pollDoc(2000)), say(200, pollDoc(2000, errorMessages("api.authn.poll.error.push_rejected")))}, 2 * time.Second, &idx.RejectedError{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := play(c.lines...)
				client, tx := s.start(t)
				began := time.Now()
				next, err := client.Wait(ctxOf(t), tx)
				if took := time.Since(began); took != c.took {
					t.Errorf("it took %s, want %s", took, c.took)
				}
				var no *idx.RejectedError
				switch {
				case c.err == nil && (err != nil || next.Status() != idx.StatusSuccess):
					t.Errorf("%v, %v", next, err)
				case errors.As(c.err, &no) && !errors.As(err, &no), c.err != nil && !errors.As(c.err, &no) && !errors.Is(err, c.err):
					t.Errorf("error is %v, want %v", err, c.err)
				}
			})
		})
	}
}

// One bucket for everybody, spent twice: a step must not cost an introspection as well.
func TestMistake13_IntrospectBeforeEveryStep(t *testing.T) {
	e := newEngine(t)
	c, ctx := e.client(t), ctxOf(t)
	tx, err := c.Authenticate(ctx, mary)
	must(t, tx, err, idx.StatusPending, "select-authenticator-enroll")
	tx, err = c.Continue(ctx, tx, idx.Answers{Authenticator: "phone", Method: "sms", PhoneNumber: "+15551234567"})
	must(t, tx, err, idx.StatusPending, "enroll-authenticator")
	snap, err := tx.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if tx, err = idx.Restore(snap); err != nil {
		t.Fatal(err)
	}
	tx, err = c.Continue(ctx, tx, idx.Answers{VerificationCode: "000000"})
	_ = tx
	rejected(t, err, "api.authn.error.PASSCODE_INVALID", "enroll-authenticator")
	if n := e.count("/idp/idx/introspect"); n != 1 {
		t.Errorf("%d introspections, want the one at the start", n)
	}
	// The sealed cookie is the documented exception, and costs exactly one.
	seal, _ := idx.NewSealer([32]byte{1})
	sealed, _ := seal.Seal(rejected(t, err, "api.authn.error.PASSCODE_INVALID", "enroll-authenticator"))
	parked, err := seal.Open(sealed)
	if err != nil || parked.Status() != idx.StatusParked {
		t.Fatal(parked, err)
	}
	tx, err = c.Continue(ctx, parked, idx.Answers{VerificationCode: goodCode})
	must(t, tx, err, idx.StatusSuccess, "")
	if n := e.count("/idp/idx/introspect"); n != 2 {
		t.Errorf("%d introspections, want one more", n)
	}
}

// Leaks: what is secret goes in everywhere and must come out nowhere.
func TestMistake14_Leaks(t *testing.T) {
	var mu sync.Mutex
	secrets := []string{goodPassword, goodCode, "marker-client-secret", "marker-device", "wrong-marker-password"}
	e := newEngine(t, func(e *engine) {
		e.hideSecret = func(s string) { mu.Lock(); secrets = append(secrets, s); mu.Unlock() }
	})
	var log bytes.Buffer
	var out strings.Builder
	show := func(vs ...any) {
		for _, v := range vs {
			fmt.Fprintf(&out, "%v|%+v|%#v|%s|%q|%d|%x\n", v, v, v, v, v, v, v)
			switch v.(type) {
			case *idx.Tokens, idx.Tokens: // to be stored, and says so
			default:
				j, _ := json.Marshal(v)
				out.Write(j)
			}
			slog.New(slog.NewJSONHandler(&out, nil)).Info("seen", "v", v)
			slog.New(slog.NewTextHandler(&out, nil)).Info("seen", "v", v)
		}
	}
	cfg := e.config()
	cfg.Auth = idx.SecretPost("marker-client-secret")
	c, err := idx.New(cfg, idx.WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	if err != nil {
		t.Fatal(err)
	}
	c = c.For(idx.EndUser{DeviceToken: "marker-device"})
	ctx := ctxOf(t)
	show(cfg, c, idx.EndUser{DeviceToken: "marker-device"}, idx.SecretBasic("marker-client-secret"))
	a := idx.Answers{Username: "mary@example.com", Password: "wrong-marker-password"}
	show(a, &a, idx.Values{"credentials.passcode": goodPassword}, []idx.Answers{a}, map[string]any{"a": a})
	_, err = c.Authenticate(ctx, a)
	show(err)
	tx, err := c.Authenticate(ctx, mary)
	must(t, tx, err, idx.StatusPending, "select-authenticator-enroll")
	show(tx, tx.NextStep(), *tx.NextStep(), tx.Steps(), []*idx.Transaction{tx}, struct{ T *idx.Transaction }{tx})
	tx, err = c.Continue(ctx, tx, idx.Answers{Authenticator: "phone", Method: "sms", PhoneNumber: "+15551234567"})
	must(t, tx, err, idx.StatusPending, "enroll-authenticator")
	_, err = c.Proceed(ctx, tx, "enroll-authenticator", idx.Values{"credentials.passcode": goodPassword, "nonsense": goodCode})
	show(err)
	_, err = c.Proceed(ctx, tx, "enroll-authenticator", idx.Values{"stateHandle": goodPassword})
	show(err)
	tx, err = c.Continue(ctx, tx, idx.Answers{VerificationCode: goodCode})
	must(t, tx, err, idx.StatusSuccess, "")
	show(tx)
	tokens, err := c.Exchange(ctx, tx)
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	secrets = append(secrets, tokens.AccessToken, tokens.IDToken, tokens.RefreshToken)
	mu.Unlock()
	show(tokens, *tokens)
	_, err = c.Exchange(ctx, tx)
	show(err)
	_, err = c.Refresh(ctx, "marker-refresh-token")
	show(err)

	// Answers of a server that repeats what it was told, and a transport that does.
	echo := func(status int, kind string) line {
		return line{do: func(r *http.Request) (*http.Response, error) {
			b := `{"error":"echo","error_description":"you sent wrong-marker-password to 02-secret-state-handle"}`
			switch kind {
			case "api":
				b = `{"errorCode":"E1","errorSummary":"wrong-marker-password ih-secret-handle"}`
			case "idx":
				b = doc(nil, `"messages":{"type":"array","value":[{"message":"wrong-marker-password is wrong","class":"ERROR"}]}`)
			case "cut":
				return nil, errors.New("while sending wrong-marker-password")
			case "html":
				b = "<p>wrong-marker-password</p>"
			}
			return answerTo(r, say(status, b)), nil
		}}
	}
	secrets = append(secrets, "02-secret-state-handle", "ih-secret-handle", "marker-refresh-token")
	for _, kind := range []string{"oauth", "api", "idx", "cut", "html"} {
		for _, status := range []int{400, 500} {
			s := play(say(200, doc([]string{formOf("identify", "identify", identifierField, passcodeField)})), echo(status, kind))
			sc, stx := s.start(t, idx.WithLogger(slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
			_, err := sc.Continue(ctx, stx, a)
			if err == nil {
				t.Fatal("the echo was taken for an answer")
			}
			fmt.Fprintf(&out, "%v|%+v|%s\n", err, err, err)
		}
	}
	for _, s := range secrets {
		for where, text := range map[string]string{"the log": log.String(), "what was printed": out.String()} {
			hex := fmt.Sprintf("%x", s)
			if i := strings.Index(text, s); i >= 0 {
				t.Errorf("%q is in %s: …%s", s, where, text[max(0, i-80):min(len(text), i+80)])
			} else if strings.Contains(text, hex) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(s))) {
				t.Errorf("%q is in %s, encoded", s, where)
			}
		}
	}
	if !strings.Contains(log.String(), "op=identify") {
		t.Error("the log says nothing at all")
	}
}

// Trusting every href: a document that points elsewhere gets no password.
func TestMistake15_TrustingEveryHref(t *testing.T) {
	for _, href := range []string{
		"https://evil.example/idp/idx/identify", "http://id.example/idp/idx/identify", "https://id.example:8443/idp/idx/identify",
		"https://id.example@evil.example/", "https://user@id.example/idp/idx/identify", "//evil.example/x", "https://id.example.evil.example/",
		"javascript:alert(1)", "file:///etc/passwd", "https:///idp/idx/identify", "https://id.example\t.evil.example/", "%zz",
	} {
		s := play(say(200, doc([]string{formAt("identify", href, identifierField, passcodeField)})))
		c, tx := s.start(t)
		if _, err := c.Continue(ctxOf(t), tx, mary); !errors.Is(err, idx.ErrUntrustedURL) {
			t.Errorf("%s gives %v", href, err)
		}
		if n := len(s.requests()); n != 1 {
			t.Errorf("%s: %d requests, want only introspect", href, n)
		}
	}
	for _, href := range []string{"https://id.example/x", "https://ID.example:443/x", "/idp/idx/identify", "https://login.example/x"} {
		s := play(say(200, doc([]string{formAt("identify", href, identifierField, passcodeField)})), say(200, doc(nil, successMember)))
		c, tx := s.start(t, idx.WithTrustedOrigins("https://login.example"))
		if _, err := c.Continue(ctxOf(t), tx, mary); err != nil {
			t.Errorf("%s gives %v", href, err)
		}
	}
	// A redirect is somewhere else too.
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := play(say(200, doc([]string{formOf("identify", "identify", identifierField, passcodeField)})),
			line{status: status, header: http.Header{"Location": {"https://evil.example/"}}, body: doc(nil, successMember)})
		c, tx := s.start(t)
		var se *idx.ServerError
		if _, err := c.Continue(ctxOf(t), tx, mary); !errors.As(err, &se) || se.Status != status || len(s.requests()) != 2 {
			t.Errorf("%d gives %v after %d requests", status, err, len(s.requests()))
		}
	}
}

type closing struct {
	io.Reader
	closed *int
}

func (c closing) Close() error { *c.closed++; return nil }

// Small print.
func TestMistake16_SmallPrint(t *testing.T) {
	t.Run("Accept is spelled Accept", func(t *testing.T) {
		s := play(say(200, doc([]string{formOf("identify", "identify", identifierField, passcodeField)})), say(200, doc(nil, successMember)))
		c := s.client(t)
		if _, err := c.Authenticate(ctxOf(t), mary); err != nil {
			t.Fatal(err)
		}
		for _, r := range s.all {
			if r.header.Get("Accept") == "" || r.header.Get("Accepts") != "" || r.header.Get("Content-Type") == "" {
				t.Errorf("%s: %v", r.url, r.header)
			}
		}
	})
	t.Run("a host called oauth2", func(t *testing.T) {
		for issuer, want := range map[string]string{
			"https://oauth2.example":             "https://oauth2.example/oauth2/v1/interact",
			"https://id.example/oauth2/default":  "https://id.example/oauth2/default/v1/interact",
			"https://id.example/oauth2/default/": "https://id.example/oauth2/default/v1/interact",
			"https://id.example":                 "https://id.example/oauth2/v1/interact",
			"https://id.example/oauth2x":         "https://id.example/oauth2x/oauth2/v1/interact",
		} {
			s := play(say(200, doc(nil)))
			cfg := s.config()
			cfg.Issuer = issuer
			c, err := idx.New(cfg, idx.WithHTTPClient(&http.Client{Transport: s}))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Start(ctxOf(t)); err != nil {
				t.Fatal(err)
			}
			if s.all[0].url != want || !strings.HasSuffix(s.all[1].url, ".example/idp/idx/introspect") {
				t.Errorf("%s: asked %s, then %s", issuer, s.all[0].url, s.all[1].url)
			}
		}
	})
	t.Run("revoke says who asks, and bodies are closed", func(t *testing.T) {
		for name, auth := range map[string]idx.ClientAuth{"public": nil, "basic": idx.SecretBasic("s:3 cret"), "post": idx.SecretPost("s3cret")} {
			closed := 0
			var form url.Values
			var user, pass string
			transport := tripper(func(r *http.Request) (*http.Response, error) {
				l := say(200, "")
				if r.Method == "GET" {
					l = say(200, `{"issuer":"`+stageIssuer+`","revocation_endpoint":"`+stageIssuer+`/v1/revoke"}`)
				} else {
					b, _ := io.ReadAll(r.Body)
					form, _ = url.ParseQuery(string(b))
					user, pass, _ = r.BasicAuth()
				}
				resp := answerTo(r, l)
				resp.Body = closing{resp.Body, &closed}
				return resp, nil
			})
			c, err := idx.New(idx.Config{Issuer: stageIssuer, ClientID: clientID, RedirectURI: redirectURI, Auth: auth}, idx.WithHTTPClient(&http.Client{Transport: transport}))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Revoke(ctxOf(t), "tok"); err != nil {
				t.Fatal(err)
			}
			basic := user + ":" + pass
			if form.Get("token") != "tok" || form.Get("client_id") != clientID || (name == "basic") != (basic == clientID+":s%3A3+cret") ||
				(name == "post") != (form.Get("client_secret") == "s3cret") {
				t.Errorf("%s: %v, %s", name, form, basic)
			}
			if closed != 2 {
				t.Errorf("%s: %d of 2 bodies closed", name, closed)
			}
		}
	})
	t.Run("nothing from the working directory", func(t *testing.T) {
		dir := t.TempDir()
		t.Chdir(dir)
		for _, f := range []string{"okta.yaml", ".env", "latchkey.yaml"} {
			if err := os.WriteFile(f, []byte("issuer: https://evil.example"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		t.Setenv("OKTA_IDX_ISSUER", "https://evil.example")
		if _, err := idx.New(idx.Config{}); err == nil {
			t.Error("an empty configuration was accepted")
		}
	})
	t.Run("a callback is read strictly", func(t *testing.T) {
		s := play(say(200, doc([]string{formOf("identify", "identify", identifierField)})))
		c, tx := s.start(t)
		for name, c2 := range map[string]struct {
			q    url.Values
			want error
		}{
			"no state":        {url.Values{"interaction_code": {"x"}}, idx.ErrStateMismatch},
			"other state":     {url.Values{"interaction_code": {"x"}, "state": {"other"}}, idx.ErrStateMismatch},
			"two states":      {url.Values{"interaction_code": {"x"}, "state": {tx.State(), "other"}}, idx.ErrStateMismatch},
			"two codes":       {url.Values{"interaction_code": {"x", "y"}, "state": {tx.State()}}, idx.ErrStateMismatch},
			"other issuer":    {url.Values{"interaction_code": {"x"}, "state": {tx.State()}, "iss": {"https://evil.example"}}, idx.ErrStateMismatch},
			"other browser":   {url.Values{"otp": {"123456"}, "state": {"other"}}, idx.ErrOtherBrowser},
			"denied":          {url.Values{"error": {"access_denied"}, "state": {tx.State()}}, idx.ErrDenied},
			"looks like otp=": {url.Values{"x": {"otp=1"}, "state": {tx.State()}}, nil},
		} {
			_, err := c.Callback(ctxOf(t), tx, c2.q)
			var in *idx.InputError
			if c2.want != nil && !errors.Is(err, c2.want) || c2.want == nil && !errors.As(err, &in) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := c.Callback(ctxOf(t), nil, url.Values{"otp": {"1"}}); !errors.Is(err, idx.ErrOtherBrowser) {
			t.Errorf("a magic link in a browser without a sign-in gives %v", err)
		}
	})
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
