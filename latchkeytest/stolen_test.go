package latchkeytest_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"latchkey.dev/internal/store/storetest"
	"latchkey.dev/latchkeytest"
)

// Somebody has the whole database and not the master key. Nothing in it is a secret that we gave out, and
// nothing in it, in whatever spelling, is taken for one.
func TestS68_AStolenDatabaseSignsNobodyIn(t *testing.T) {
	srv := latchkeytest.Start(t, latchkeytest.Keys(storetest.Key(t, 1)), latchkeytest.LogTo(&bytes.Buffer{}))
	const number = "+12025550132"
	secrets := map[string]string{"password": srv.Env["PASSWORD"], "client secret": srv.Env["WEB_CLIENT_SECRET"]}

	signedIn := begin(t, srv, srv.Env["CLIENT_ID"])
	signedIn.password(srv.Env["USERNAME_ENROLLED"], srv.Env["PASSWORD_ENROLLED"])
	signedIn.text("")
	secrets["code"] = srv.Code(t, srv.Env["PHONE_ENROLLED"])
	done := signedIn.answer(secrets["code"])
	maps.Copy(secrets, signedIn.tokens(url.Values{"grant_type": {"interaction_code"}, "interaction_code": {done.code()}, "code_verifier": {signedIn.verifier}}))
	for _, name := range []string{"token_type", "scope"} {
		delete(secrets, name)
	}
	unused := begin(t, srv, srv.Env["CLIENT_ID_1FA"])
	secrets["interaction code"] = unused.password(srv.Env["USERNAME_1FA"], srv.Env["PASSWORD_1FA"]).code()
	waiting := begin(t, srv, srv.Env["CLIENT_ID"])
	waiting.password(srv.Env["USERNAME"], srv.Env["PASSWORD"])
	waiting.at(waiting.text(number), "enroll-authenticator")
	secrets["code on its way"], secrets["number"] = srv.Code(t, number), number
	secrets["state handle"], secrets["interaction handle"] = waiting.state, waiting.interaction

	values := srv.Stolen()
	whole := strings.Join(values, "\n")
	if !strings.Contains(whole, srv.Env["USERNAME"]) || len(values) < 100 {
		t.Fatalf("%d values are not the database", len(values))
	}
	for name, secret := range secrets {
		if secret == "" {
			t.Errorf("there is no %s to look for", name)
		}
		for _, spelling := range []string{secret, hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret))} {
			if found := slices.IndexFunc(values, func(v string) bool { return v == spelling || len(spelling) > 6 && strings.Contains(v, spelling) }); found >= 0 {
				t.Errorf("the %s is in the database", name)
			}
		}
	}

	tried := 0
	for _, v := range values {
		for _, spelling := range spellings(v) {
			tried++
			for door, opens := range map[string]bool{
				"state handle":       srv.Takes("/idp/idx/introspect", map[string]string{"stateHandle": spelling}),
				"state handle, 02":   srv.Takes("/idp/idx/introspect", map[string]string{"stateHandle": "02" + spelling}),
				"interaction handle": srv.Takes("/idp/idx/introspect", map[string]string{"interactionHandle": spelling}),
				"access token":       userinfo(t, srv, spelling) == http.StatusOK,
				"refresh token":      signedIn.tokens(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {spelling}})["access_token"] != "",
				"interaction code": unused.tokens(url.Values{"grant_type": {"interaction_code"}, "interaction_code": {spelling},
					"code_verifier": {unused.verifier}})["access_token"] != "",
				"client secret": unused.tokens(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}, "client_id": {srv.Env["WEB_CLIENT_ID"]},
					"client_secret": {spelling}})["error"] != "invalid_client",
			} {
				if opens {
					t.Errorf("%q from the database is taken for a %s", spelling, door)
				}
			}
		}
	}
	if tried < 200 {
		t.Errorf("tried %d spellings only", tried)
	}
	// The doors do open, for who has the key.
	if !srv.Takes("/idp/idx/introspect", map[string]string{"stateHandle": waiting.state}) || userinfo(t, srv, secrets["access_token"]) != http.StatusOK {
		t.Error("what was handed out is not taken either")
	}
	// Nor does a server of the thief's own, with a master key of his own, begin on it.
	srv.Refuses(storetest.Key(t, 2))
}

// spellings are the ways in which a value could be sent.
func spellings(v string) []string {
	all := []string{v}
	if raw, err := base64.StdEncoding.DecodeString(v); err == nil && len(raw) >= 16 {
		all = append(all, hex.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw))
	}
	if raw, err := hex.DecodeString(v); err == nil && len(raw) >= 16 {
		all = append(all, base64.RawURLEncoding.EncodeToString(raw))
	}
	return slices.DeleteFunc(all, func(s string) bool { return len(s) < 16 || len(s) > 2000 || strings.ContainsAny(s, " {") })
}

func userinfo(t *testing.T, srv *latchkeytest.Server, token string) int {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, srv.Env["ISSUER"]+"/v1/userinfo", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}
