package latchkeytest_test

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/store/storetest"
	"latchkey.dev/latchkeytest"
)

// A master key is replaced and thrown away while people are in the middle of what they do: nobody notices.
func TestS67_AMasterKeyIsTakenOffUnderPeoplesHands(t *testing.T) {
	both(t, func(t *testing.T, with ...latchkeytest.Option) {
		log := &bytes.Buffer{}
		srv := latchkeytest.Start(t, append(with, latchkeytest.Keys(storetest.Key(t, 1)), latchkeytest.LogTo(log))...)
		const number = "+12025550131"

		// One has signed in and holds a refresh token.
		signedIn := begin(t, srv, srv.Env["CLIENT_ID"])
		signedIn.password(srv.Env["USERNAME_ENROLLED"], srv.Env["PASSWORD_ENROLLED"])
		signedIn.at(signedIn.text(""), "challenge-authenticator")
		done := signedIn.answer(srv.Code(t, srv.Env["PHONE_ENROLLED"]))
		tokens := signedIn.tokens(url.Values{"grant_type": {"interaction_code"}, "interaction_code": {done.code()}, "code_verifier": {signedIn.verifier}})
		if tokens["refresh_token"] == "" {
			t.Fatal("no refresh token")
		}
		// One has a code on the way.
		waiting := begin(t, srv, srv.Env["CLIENT_ID"])
		waiting.password(srv.Env["USERNAME"], srv.Env["PASSWORD"])
		waiting.at(waiting.text(number), "enroll-authenticator")
		code := srv.Code(t, number)
		// One has only just come.
		early := begin(t, srv, srv.Env["CLIENT_ID"])

		srv.RestartWith(storetest.Ring(t, 2, 1)) // the new key is there
		r := srv.Rekey(storetest.Ring(t, 2, 1))  // and everything moves to it, while the server runs
		if r.Values == 0 || len(r.Dropped) != 1 {
			t.Errorf("rekeyed %+v", r)
		}
		if why := srv.Refuses(storetest.Key(t, 1)); !strings.Contains(why, r.Seals.String()) {
			t.Errorf("S-70: %s", why)
		}
		srv.RestartWith(storetest.Key(t, 2)) // the old key is gone

		if d := waiting.answer(wrongCode(code)); d.Status != http.StatusUnauthorized {
			t.Errorf("a wrong code is answered %d", d.Status)
		}
		if claims := waiting.profile(waiting.answer(code).code()); claims["phone_number"] != number {
			t.Errorf("with the code that was on its way: %v", claims)
		}
		early.password(srv.Env["USERNAME_ENROLLED"], srv.Env["PASSWORD_ENROLLED"])
		early.at(early.text(""), "challenge-authenticator")
		if claims := early.profile(early.answer(srv.Code(t, srv.Env["PHONE_ENROLLED"])).code()); claims["email"] != srv.Env["USERNAME_ENROLLED"] {
			t.Errorf("who had only just come: %v", claims)
		}
		again := signedIn.tokens(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens["refresh_token"]}})
		for name, token := range map[string]string{"from before": tokens["access_token"], "refreshed": again["access_token"]} {
			r, err := http.NewRequest(http.MethodGet, srv.Env["ISSUER"]+"/v1/userinfo", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+token)
			var claims map[string]any
			if status := signedIn.do(r, &claims); status != http.StatusOK || claims["email"] != srv.Env["USERNAME_ENROLLED"] {
				t.Errorf("userinfo with the token %s: %d %v", name, status, claims)
			}
		}
		if !slices.ContainsFunc(srv.Events(t), func(e audit.Event) bool { return e.Type == audit.MasterKeyChanged && e.Actor == "operator" }) {
			t.Error("S-71: nobody knows who changed the master key")
		}
		if strings.Contains(log.String(), "level=ERROR") {
			t.Errorf("the log says\n%s", log)
		}
	})
}
