package latchkeytest_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"latchkey.dev/latchkeytest"
)

// names are the lines of the env file: a contract with tools and tests.
var names = strings.Fields(`LATCHKEY_URL ISSUER CLIENT_ID WEB_CLIENT_ID WEB_CLIENT_SECRET REDIRECT_URI USERNAME PASSWORD
	USERNAME_ENROLLED PASSWORD_ENROLLED PHONE_ENROLLED CLIENT_ID_1FA USERNAME_1FA PASSWORD_1FA OUTBOX_URL SIGNIN_URL
	CLIENT_ID_OPTIONAL CLIENT_ID_IDFIRST CONTROL_URL`)

func TestEnvHoldsWhatTheEnvFileHolds(t *testing.T) {
	srv := latchkeytest.Start(t)
	for _, name := range names {
		if srv.Env[name] == "" {
			t.Errorf("%s is missing", name)
		}
	}
	if len(srv.Env) != len(names) {
		t.Errorf("%d values, want %d", len(srv.Env), len(names))
	}
	if srv.Env["LATCHKEY_URL"] != srv.URL || srv.Env["ISSUER"] != srv.URL+"/oauth2/default" {
		t.Errorf("server at %s says it is at %s with the issuer %s", srv.URL, srv.Env["LATCHKEY_URL"], srv.Env["ISSUER"])
	}
}

// both runs a test on SQLite and on PostgreSQL.
func both(t *testing.T, test func(t *testing.T, with ...latchkeytest.Option)) {
	t.Run("SQLite", func(t *testing.T) { test(t) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, latchkeytest.Postgres(t, "")) })
}

func TestTheJourney(t *testing.T) {
	both(t, func(t *testing.T, with ...latchkeytest.Option) {
		srv := latchkeytest.Start(t, with...)
		const number = "+12025550178"

		first := begin(t, srv, srv.Env["CLIENT_ID"])
		first.at(first.password(srv.Env["USERNAME"], srv.Env["PASSWORD"]), "select-authenticator-enroll")
		first.at(first.text(number), "enroll-authenticator")
		done := first.answer(srv.Code(t, number))
		if claims := first.profile(done.code()); claims["email"] != srv.Env["USERNAME"] || claims["phone_number"] != number {
			t.Errorf("profile is %v", claims)
		}

		second := begin(t, srv, srv.Env["CLIENT_ID"])
		second.at(second.password(srv.Env["USERNAME"], srv.Env["PASSWORD"]), "authenticator-verification-data")
		srv.ClearMessages()
		second.at(second.text(""), "challenge-authenticator")
		if claims := second.profile(second.answer(srv.Code(t, number)).code()); claims["email"] != srv.Env["USERNAME"] {
			t.Errorf("second time, profile is %v", claims)
		}
	})
}

func TestOnePasswordIsEnoughWhereThePolicySaysSo(t *testing.T) {
	srv := latchkeytest.Start(t)
	w := begin(t, srv, srv.Env["CLIENT_ID_1FA"])
	if d := w.password(srv.Env["USERNAME_1FA"], srv.Env["PASSWORD_1FA"]); d.code() == "" {
		t.Errorf("%d %q %s, want a code", d.Status, d.key(), d.steps())
	}
}

func TestPeopleAndApplicationsOfOnesOwn(t *testing.T) {
	srv := latchkeytest.Start(t)
	ada := srv.AddUser(latchkeytest.User{Login: "ada@example.com", Phone: "+12025550111", GivenName: "Ada", FamilyName: "Lovelace"})
	app := srv.AddClient(latchkeytest.Client{Label: "Mine"})
	w := begin(t, srv, app.ID)
	w.at(w.password(ada.Login, ada.Password), "authenticator-verification-data")
	w.text("")
	claims := w.profile(w.answer(srv.Code(t, ada.Phone)).code())
	if claims["sub"] != ada.ID || claims["name"] != "Ada Lovelace" {
		t.Errorf("profile is %v", claims)
	}
	if body := srv.Messages(ada.Phone)[0].Body; !strings.Contains(body, "Mine") {
		t.Errorf("S-15: the text does not name the application: %q", body)
	}
}

func TestProductionLimits(t *testing.T) {
	srv := latchkeytest.Start(t, latchkeytest.ProductionLimits())
	w := begin(t, srv, srv.Env["CLIENT_ID"])
	if d := w.password("nobody@example.com", "x"); d.Status != http.StatusUnauthorized || d.key() != "errors.E0000004" {
		t.Errorf("S-24: an unknown user is answered %d %s", d.Status, d.key())
	}
	w.at(w.password(srv.Env["USERNAME_ENROLLED"], srv.Env["PASSWORD_ENROLLED"]), "authenticator-verification-data")
	w.at(w.text(""), "challenge-authenticator")
	if d := w.post("challenge/resend", map[string]any{}); d.Status != http.StatusTooManyRequests {
		t.Errorf("S-14: an early resend is answered %d %s", d.Status, d.key())
	}
	srv.Advance(31 * time.Second)
	if d := w.post("challenge/resend", map[string]any{}); d.Status != http.StatusOK {
		t.Errorf("S-14: a resend after 31 s is answered %d %s", d.Status, d.key())
	}
	if all := srv.Messages(srv.Env["PHONE_ENROLLED"]); len(all) != 2 || all[0].Code() != all[1].Code() {
		t.Errorf("S-14: the texts are %+v", all)
	}
}

func TestTheClockIsTheServers(t *testing.T) {
	srv := latchkeytest.Start(t)
	w := begin(t, srv, srv.Env["CLIENT_ID"])
	w.password(srv.Env["USERNAME_ENROLLED"], srv.Env["PASSWORD_ENROLLED"])
	w.text("")
	code := srv.Code(t, srv.Env["PHONE_ENROLLED"])
	srv.Advance(5*time.Minute + time.Second)
	if d := w.answer(code); d.Status != http.StatusUnauthorized {
		t.Errorf("S-08: an expired code is answered %d %s", d.Status, d.key())
	}
	srv.Advance(2 * time.Hour)
	if d := w.answer(code); d.Status != http.StatusUnauthorized || d.key() != "idx.session.expired" {
		t.Errorf("S-18: after two hours %d %s", d.Status, d.key())
	}
	noon := time.Date(2031, 5, 6, 12, 0, 0, 0, time.UTC)
	srv.SetClock(noon)
	if late := srv.Now().Sub(noon); late < 0 || late > time.Minute {
		t.Errorf("set to %s it is %s", noon, srv.Now())
	}
}

func TestPinnedCodes(t *testing.T) {
	srv := latchkeytest.Start(t)
	srv.PinCode("+1202555*", "424242")
	w := begin(t, srv, srv.Env["CLIENT_ID"])
	w.password(srv.Env["USERNAME_ENROLLED"], srv.Env["PASSWORD_ENROLLED"])
	w.text("")
	if d := w.answer("424242"); d.code() == "" {
		t.Errorf("the pinned code is answered %d %s", d.Status, d.key())
	}
}

func TestGatewayFaults(t *testing.T) {
	tests := map[string]struct {
		fault  latchkeytest.Fault
		status int
		key    string
		within time.Duration
	}{
		"a refused number":                         {latchkeytest.Refuse, http.StatusBadRequest, "api.factors.error.sms.invalid_phone", time.Second},
		"S-81 all gateways down":                   {latchkeytest.Fail, http.StatusServiceUnavailable, "latchkey.sms.unavailable", 3 * time.Second},
		"S-81 a hanging gateway, the page goes on": {latchkeytest.Hang, http.StatusOK, "", 3 * time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := latchkeytest.Start(t, latchkeytest.LogTo(&bytes.Buffer{}))
			const number = "+12025550123"
			srv.GatewayFault(test.fault, "+1202555012*")
			w := begin(t, srv, srv.Env["CLIENT_ID"])
			w.password(srv.Env["USERNAME"], srv.Env["PASSWORD"])
			began := time.Now()
			if d := w.text(number); d.Status != test.status || d.key() != test.key {
				t.Errorf("%d %q, want %d %q: %s", d.Status, d.key(), test.status, test.key, d.raw)
			}
			if took := time.Since(began); took > test.within {
				t.Errorf("answered after %s", took)
			}
			srv.MendGateway()
			w.at(w.text(number), "enroll-authenticator")
			if d := w.answer(srv.Code(t, number)); d.code() == "" {
				t.Errorf("mended: %d %s", d.Status, d.key())
			}
		})
	}
}

func TestResetGoesBackToTheSeed(t *testing.T) {
	both(t, func(t *testing.T, with ...latchkeytest.Option) {
		srv := latchkeytest.Start(t, with...)
		keys := get(t, srv, srv.Env["ISSUER"]+"/v1/keys")
		w := begin(t, srv, srv.Env["CLIENT_ID"])
		w.password(srv.Env["USERNAME"], srv.Env["PASSWORD"])
		w.text("+12025550155")
		w.answer(srv.Code(t, "+12025550155"))
		stranger := srv.AddUser(latchkeytest.User{})
		srv.Advance(time.Hour)
		srv.PinCode("*", "111111")
		srv.GatewayFault(latchkeytest.Refuse, "*")

		srv.Reset()

		if got := get(t, srv, srv.Env["ISSUER"]+"/v1/keys"); got != keys {
			t.Error("the signing keys changed: clients keep them for a day")
		}
		if n := len(srv.Messages("")); n != 0 {
			t.Errorf("%d texts are left", n)
		}
		if ahead := time.Until(srv.Now()); ahead > time.Minute {
			t.Errorf("the clock is %s ahead", ahead)
		}
		if d := w.post("introspect", map[string]any{"interactionHandle": w.interaction}); d.Status != http.StatusUnauthorized {
			t.Errorf("a sign-in from before is answered %d", d.Status)
		}
		w = begin(t, srv, srv.Env["CLIENT_ID"])
		if d := w.password(stranger.Login, stranger.Password); d.key() != "idx.unknown.user" {
			t.Errorf("somebody added is answered %d %s", d.Status, d.key())
		}
		w.at(w.password(srv.Env["USERNAME"], srv.Env["PASSWORD"]), "select-authenticator-enroll")
		w.at(w.text("+12025550155"), "enroll-authenticator")
		if code := srv.Code(t, "+12025550155"); code == "111111" {
			t.Error("codes are still pinned")
		} else if d := w.answer(code); d.code() == "" {
			t.Errorf("after a reset the journey ends in %d %s", d.Status, d.key())
		}
	})
}

func TestS75_TheFlowGoesOnAfterACrashBetweenAnyTwoSteps(t *testing.T) {
	both(t, func(t *testing.T, with ...latchkeytest.Option) {
		srv := latchkeytest.Start(t, append(with, latchkeytest.LogTo(&bytes.Buffer{}))...)
		const number = "+12025550166"
		w := begin(t, srv, srv.Env["CLIENT_ID"])
		srv.Restart()
		w.at(w.password(srv.Env["USERNAME"], srv.Env["PASSWORD"]), "select-authenticator-enroll")
		srv.Restart()
		w.at(w.text(number), "enroll-authenticator")
		srv.Restart()
		if d := w.answer("000000"); d.Status != http.StatusUnauthorized {
			t.Fatalf("a wrong code is answered %d", d.Status)
		}
		srv.Restart()
		done := w.answer(srv.Code(t, number))
		srv.Restart()
		if claims := w.profile(done.code()); claims["email"] != srv.Env["USERNAME"] {
			t.Errorf("profile is %v", claims)
		}
	})
}

func TestMessagesAreWaitedFor(t *testing.T) {
	srv := latchkeytest.Start(t)
	number := srv.Env["PHONE_ENROLLED"]
	w := begin(t, srv, srv.Env["CLIENT_ID"])
	w.password(srv.Env["USERNAME_ENROLLED"], srv.Env["PASSWORD_ENROLLED"])
	var first, second latchkeytest.Message
	waiting := make(chan struct{})
	go func() { first = srv.WaitMessage(t, number); close(waiting) }()
	w.text("")
	<-waiting
	w.post("challenge/resend", map[string]any{})
	second = srv.WaitMessage(t, number)
	if first.ID == second.ID || first.To != number || first.Channel != "sms" || first.Code() == "" || first.SentAt.IsZero() {
		t.Errorf("messages are %+v and %+v", first, second)
	}
}

func get(t *testing.T, srv *latchkeytest.Server, url string) string {
	t.Helper()
	response, err := srv.Client().Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	return body.String()
}

func TestS81_ATextWhoseSenderWasKilledIsSentByTheNextProcess(t *testing.T) {
	both(t, func(t *testing.T, with ...latchkeytest.Option) {
		srv := latchkeytest.Start(t, append(with, latchkeytest.LogTo(&bytes.Buffer{}))...)
		number := srv.Env["PHONE_ENROLLED"]
		w := begin(t, srv, srv.Env["CLIENT_ID"])
		w.password(srv.Env["USERNAME_ENROLLED"], srv.Env["PASSWORD_ENROLLED"])
		srv.GatewayFault(latchkeytest.Hang, number)
		w.at(w.text(""), "challenge-authenticator") // the page goes on; the text is on its way
		srv.Restart()
		srv.MendGateway()
		if n := len(srv.Messages(number)); n != 0 {
			t.Fatalf("%d texts went out", n)
		}
		srv.Advance(15 * time.Second) // the dead process's lease is over
		if d := w.answer(srv.WaitMessage(t, number).Code()); d.code() == "" {
			t.Errorf("the code is answered %d %s", d.Status, d.key())
		}
	})
}
