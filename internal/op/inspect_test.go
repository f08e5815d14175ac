package op_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/storetest"
	"latchkey.dev/internal/testkit"
)

func secretOf(s string) []secret.Digest {
	return []secret.Digest{secret.DigestOf(secret.ClientSecret, s)}
}

func TestUserInfo(t *testing.T) {
	o := newOrg(t)
	token := o.signIn("openid profile email phone").Access
	a := o.userinfo(token).ok()
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, a.Body.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	testkit.Golden(t, "testdata/userinfo.json", append(pretty.Bytes(), '\n'))
	if again := o.form(base+"v1/userinfo", nil, "access_token", token).ok(); again.Body.String() != a.Body.String() {
		t.Errorf("by POST: %s", again.Body)
	}
	r := header{"Authorization": "bearer " + token}
	o.post(base+"v1/userinfo", "", r).ok() // RFC 9110 11.1: schemes have no case
}

// okta-auth-js rejects a profile whose subject is not the ID token's.
func TestClientNeeds_UserInfoSubjectIsTheIDTokens(t *testing.T) {
	o := newOrg(t)
	got := o.signIn("openid")
	if info := decode[map[string]any](o.userinfo(got.Access).ok()); len(info) != 1 || info["sub"] != part(t, got.ID, 1)["sub"] {
		t.Errorf("userinfo %v", info)
	}
}

func TestS61_UserInfo(t *testing.T) {
	o := newOrg(t)
	got := o.signIn("openid offline_access")
	o.userinfo(got.Access).ok()
	for name, token := range map[string]string{
		"an ID token":     got.ID,
		"a refresh token": got.Refresh,
		"nonsense":        "abc",
		"a changed token": got.Access[:len(got.Access)-2] + "AA",
	} {
		t.Run(name, func(t *testing.T) {
			a := o.userinfo(token)
			a.refused(401, oauth.InvalidToken, "")
			if h := a.Header().Get("WWW-Authenticate"); !strings.HasPrefix(h, `Bearer error="invalid_token", error_description="`) {
				t.Errorf("WWW-Authenticate %s", h)
			}
		})
	}
	t.Run("without openid", func(t *testing.T) {
		a := o.userinfo(o.signIn("email").Access)
		a.refused(403, oauth.InsufficientScope, "")
		if h := a.Header().Get("WWW-Authenticate"); !strings.HasPrefix(h, `Bearer error="insufficient_scope", error_description="`) {
			t.Errorf("WWW-Authenticate %s", h)
		}
	})
	t.Run("without a token", func(t *testing.T) {
		a := o.get(base+"v1/userinfo", nil)
		a.refused(401, oauth.InvalidToken, "")
		if h := a.Header().Get("WWW-Authenticate"); h != "Bearer" {
			t.Errorf("RFC 6750 3.1: WWW-Authenticate %s", h)
		}
	})
	t.Run("in the URL", func(t *testing.T) {
		o.get(base+"v1/userinfo?access_token="+got.Access, nil).refused(400, oauth.InvalidRequest, "")
		o.post(base+"v1/userinfo?access_token="+got.Access, "", nil).refused(400, oauth.InvalidRequest, "")
	})
	t.Run("in two places", func(t *testing.T) {
		o.form(base+"v1/userinfo", header{"Authorization": "Bearer " + got.Access}, "access_token", got.Access).refused(400, oauth.InvalidRequest, "")
	})
	t.Run("as a DPoP token", func(t *testing.T) {
		o.get(base+"v1/userinfo", header{"Authorization": "DPoP " + got.Access}).refused(401, oauth.InvalidToken, "")
	})
	t.Run("at another server", func(t *testing.T) {
		o.get("/oauth2/other/v1/userinfo", header{"Authorization": "Bearer " + got.Access}).refused(401, oauth.InvalidToken, "")
	})
	t.Run("of a client that was disabled", func(t *testing.T) {
		o.client("0oa1soon", nil)
		code := o.code("0oa1soon", "openid")
		token := decode[tokens](o.form(base+"v1/token", nil, "grant_type", "interaction_code", "interaction_code", code, "client_id", "0oa1soon", "code_verifier", verifier).ok()).Access
		o.userinfo(token).ok()
		o.client("0oa1soon", func(c *oauth.Client) { c.Disabled = true })
		o.api.Forget() // or 10 s
		o.userinfo(token).refused(401, oauth.InvalidToken, "")
	})
	t.Run("when its time is over", func(t *testing.T) {
		o.wait(15*time.Minute - time.Second)
		o.userinfo(got.Access).ok()
		o.wait(time.Second)
		o.userinfo(got.Access).refused(401, oauth.InvalidToken, "")
	})
	t.Run("of a user who was suspended", func(t *testing.T) {
		token := o.signIn("openid").Access
		o.suspend()
		o.userinfo(token).refused(401, oauth.InvalidToken, "")
	})
}

func TestS79_IntrospectionRemembersClientsForAMoment(t *testing.T) {
	o := newOrg(t)
	ask := func(secret string) answer {
		return o.form(base+"v1/introspect", basic(webID+":"+secret), "token", "any")
	}
	const next = "another-secret-another-secret-another-secret"
	ask(webSecret).ok()
	ask(next).refused(401, oauth.InvalidClient, "")
	o.client(webID, func(c *oauth.Client) {
		c.SecretDigests = []secret.Digest{secret.DigestOf(secret.ClientSecret, next)}
	})
	ask(webSecret).ok() // for a moment
	ask(next).ok()      // at once
	ask(webSecret).refused(401, oauth.InvalidClient, "")
	o.client(webID, func(c *oauth.Client) { c.Disabled = true })
	ask(next).ok()
	o.api.Forget() // or 10 s
	ask(next).refused(401, oauth.InvalidClient, "")
	o.form(base+"v1/introspect", nil, "token", "any", "client_id", appID).ok()
	o.form(base+"v1/introspect", nil, "token", "any", "client_id", appID, "client_secret", "x").refused(401, oauth.InvalidClient, "")
}

func (o *org) revoke(h header, pairs ...string) answer { return o.form(base+"v1/revoke", h, pairs...) }

// done fails the test unless the answer is the empty 200 of revocation.
func (a answer) done() {
	a.t.Helper()
	a.ok()
	if a.Body.Len() != 0 || a.Header().Get("Content-Type") != "" {
		a.t.Errorf("okta-auth-js parses an empty body of a JSON type: %v %q", a.Header(), a.Body)
	}
}

func TestClientNeeds_RevokeBasicWithoutColon(t *testing.T) {
	o := newOrg(t)
	got := o.signIn("openid offline_access")
	o.revoke(basic(appID), "token", got.Access, "token_type_hint", "access_token").done()
	o.userinfo(got.Access).refused(401, oauth.InvalidToken, "")
	o.refresh(got.Refresh).ok() // the other token is not touched
}

func TestClientNeeds_RevokeWithoutClientAuthentication(t *testing.T) {
	o := newOrg(t)
	public := o.signIn("openid").Access
	o.revoke(nil, "token", public).done()
	o.userinfo(public).refused(401, oauth.InvalidToken, "")

	confidential := o.webSignIn()
	o.revoke(nil, "token", confidential.Access).done()
	o.revoke(nil, "token", confidential.Refresh).done()
	o.userinfo(confidential.Access).ok()
}

// webSignIn signs in at the confidential client.
func (o *org) webSignIn() tokens {
	o.t.Helper()
	return decode[tokens](o.form(base+"v1/token", basic(webID+":"+webSecret), "grant_type", "interaction_code",
		"interaction_code", o.code(webID, "openid email offline_access"), "code_verifier", verifier).ok())
}

// okta-idx-java sends client and secret in the body.
func TestClientNeeds_RevokeWithSecretInTheBody(t *testing.T) {
	o := newOrg(t)
	got := o.webSignIn()
	o.revoke(nil, "token", got.Refresh, "token_type_hint", "refresh_token", "client_id", webID, "client_secret", webSecret).done()
	o.userinfo(got.Access).refused(401, oauth.InvalidToken, "") // a refresh token takes its access tokens along
	if n := len(o.events(audit.TokenRevoked)); n != 1 {
		t.Errorf("S-71: %d revocations recorded", n)
	}
}

func TestS63_Revocation(t *testing.T) {
	o := newOrg(t)
	got := o.signIn("openid offline_access")
	web := o.webSignIn()
	for name, test := range map[string]struct {
		header header
		pairs  []string
	}{
		"nonsense":                  {basic(appID), []string{"token", "nonsense"}},
		"nonsense with dots":        {basic(appID), []string{"token", "a.b.c"}},
		"an ID token":               {basic(appID), []string{"token", got.ID}},
		"another client's":          {basic(webID + ":" + webSecret), []string{"token", got.Access}},
		"another client's, refresh": {basic(webID + ":" + webSecret), []string{"token", got.Refresh}},
		"a confidential client's":   {basic(appID), []string{"token", web.Access}},
		"nonsense, by nobody":       {nil, []string{"token", "nonsense"}},
		"a wrong hint":              {basic(appID), []string{"token", "nonsense", "token_type_hint", "pets"}},
	} {
		t.Run(name, func(t *testing.T) { o.revoke(test.header, test.pairs...).done() })
	}
	if n := len(o.events(audit.TokenRevoked)); n != 0 {
		t.Errorf("%d revocations", n)
	}
	o.userinfo(got.Access).ok()
	o.userinfo(web.Access).ok()
	o.refresh(got.Refresh).ok()

	o.revoke(basic(webID), "token", web.Access).refused(401, oauth.InvalidClient, "")
	o.revoke(basic(webID+":wrong"), "token", web.Access).refused(401, oauth.InvalidClient, "")
	o.revoke(basic(appID)).refused(400, oauth.InvalidRequest, "")
	// A hint that is wrong does not save the token.
	o.revoke(basic(webID+":"+webSecret), "token", web.Access, "token_type_hint", "refresh_token").done()
	o.userinfo(web.Access).refused(401, oauth.InvalidToken, "")
}

func (o *org) introspect(h header, token string) answer {
	return o.form(base+"v1/introspect", h, "token", token)
}

func TestS63_Introspection(t *testing.T) {
	o := newOrg(t)
	got, web := o.signIn("openid email offline_access"), o.webSignIn()
	const dead = `{"active":false}`
	inactive := func(name string, a answer) {
		t.Helper()
		if got := a.ok().Body.String(); got != dead {
			t.Errorf("%s: %s", name, got)
		}
	}
	mine := decode[map[string]any](o.introspect(basic(appID), got.Access).ok())
	for name, want := range map[string]any{
		"active": true, "scope": "openid email offline_access", "client_id": appID, "username": "mary@example.com", "token_type": "Bearer",
		"sub": "mary@example.com", "aud": "api://default", "iss": issuer, "uid": "00u1mary", "exp": float64(o.at.Add(15 * time.Minute).Unix()), "iat": float64(o.at.Unix()),
	} {
		if mine[name] != want {
			t.Errorf("%s is %v, want %v", name, mine[name], want)
		}
	}
	for _, token := range []string{got.Refresh, got.ID} {
		if a := decode[map[string]any](o.introspect(basic(appID), token).ok()); a["active"] != true || a["client_id"] != appID || a["token_type"] != nil {
			t.Errorf("%v", a)
		}
	}
	if a := decode[map[string]any](o.introspect(basic(webID+":"+webSecret), web.Access).ok()); a["active"] != true {
		t.Errorf("%v", a)
	}
	inactive("another client's", o.introspect(basic(webID+":"+webSecret), got.Access))
	inactive("a public client about another's", o.introspect(basic(appID), web.Access))
	inactive("nonsense", o.introspect(basic(appID), "nonsense"))
	inactive("nonsense with dots", o.introspect(basic(appID), "a.b.c"))
	inactive("at another server", o.form("/oauth2/other/v1/introspect", basic(appID), "token", got.Access))
	inactive("a refresh token at another server", o.form("/oauth2/other/v1/introspect", basic(appID), "token", got.Refresh))

	o.form(base+"v1/introspect", nil, "token", got.Access).refused(401, oauth.InvalidClient, "")
	o.introspect(basic(webID), web.Access).refused(401, oauth.InvalidClient, "")
	o.form(base+"v1/introspect", basic(appID)).refused(400, oauth.InvalidRequest, "")

	next := decode[tokens](o.refresh(got.Refresh).ok())
	inactive("a used refresh token", o.introspect(basic(appID), got.Refresh))
	o.revoke(basic(appID), "token", next.Access).done()
	inactive("a revoked token", o.introspect(basic(appID), next.Access))
	o.suspend()
	inactive("of a suspended user, at once", o.introspect(basic(appID), got.Access))
	o.wait(time.Hour)
	inactive("an expired token", o.introspect(basic(appID), got.Access))
	inactive("an expired ID token", o.introspect(basic(appID), got.ID))
}

func TestS49_MethodsAndPaths(t *testing.T) {
	o := newOrg(t)
	for path, allow := range map[string]string{
		"v1/token": "POST", "v1/interact": "POST", "v1/revoke": "POST", "v1/introspect": "POST", "v1/par": "POST",
		"v1/keys": "GET, HEAD", ".well-known/openid-configuration": "GET, HEAD",
		"v1/userinfo": "GET, HEAD, POST", "v1/authorize": "GET, HEAD, POST", "v1/logout": "GET, HEAD, POST",
	} {
		for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions} {
			r, _ := http.NewRequest(method, base+path, nil)
			a := o.send(r, nil)
			if a.Code != http.StatusMethodNotAllowed || a.Header().Get("Allow") != allow {
				t.Errorf("%s %s: %d, Allow %q", method, path, a.Code, a.Header().Get("Allow"))
			}
		}
	}
	o.get(base+"v1/token", nil).refused(405, oauth.InvalidRequest, "")
	for _, path := range []string{"/oauth2/n0body/v1/keys", base + "v1/device", base + "%3Cscript%3E", "/oauth2/", "/", "/oauth2//default/v1/keys", base + "../default/v1/keys", base + "v1/keys/", "/oauth2/de%2Ffault/v1/keys"} {
		a := o.get(path, nil)
		a.refused(404, oauth.InvalidRequest, "")
		if strings.Contains(a.Body.String(), "<script") || strings.Contains(a.Body.String(), "n0body") {
			t.Errorf("%s echoes: %s", path, a.Body)
		}
	}
}

// TestS72_NothingSecretIsLogged runs through all that takes secrets, the wrong way and the right way, and
// reads what was written down.
func TestS72_NothingSecretIsLogged(t *testing.T) {
	o := newOrg(t)
	code := o.code(webID, "openid profile email phone offline_access")
	good := decode[tokens](o.form(base+"v1/token", basic(webID+":"+webSecret), "grant_type", "interaction_code", "interaction_code", code, "code_verifier", verifier).ok())
	markers := []string{code, verifier, webSecret, good.Access, good.ID, good.Refresh, "+15551234567", "5551234567", nonce, "wrong-secret"}
	o.form(base+"v1/token", basic(webID+":wrong-secret"), "grant_type", "interaction_code", "interaction_code", code, "code_verifier", verifier)
	o.form(base+"v1/token", basic(webID+":"+webSecret), "grant_type", "interaction_code", "interaction_code", code, "code_verifier", verifier)
	o.get(base+"v1/userinfo?access_token="+good.Access, nil)
	o.userinfo(good.Access)
	o.refresh(good.Refresh)
	o.revoke(basic(webID+":"+webSecret), "token", good.Refresh)
	o.introspect(basic(webID+":wrong-secret"), good.Refresh)
	o.get(base+"v1/logout?id_token_hint="+good.ID+"&post_logout_redirect_uri=https://evil.example/", nil)
	events := storetest.Events(t, o.db)
	if len(events) == 0 || o.log.Len() == 0 {
		t.Fatal("nothing was written down at all")
	}
	written, err := json.Marshal(events)
	if err != nil {
		t.Fatal(err)
	}
	for _, marker := range markers {
		if strings.Contains(o.log.String(), marker) {
			t.Errorf("the log holds %q", marker)
		}
		if strings.Contains(string(written), marker) {
			t.Errorf("the audit log holds %q", marker)
		}
	}
}

// TestGroups: groups are in the ID token and in userinfo if they were asked for, as they are at that moment.
func TestGroups(t *testing.T) {
	o := newOrg(t)
	o.write(func(tx store.Tx) error {
		for _, g := range []ident.Group{{ID: "00g1", Name: "Night Crew"}, {ID: "00g2", Name: "admins"}, {ID: "00g3", Name: "others"}} {
			if err := tx.AddGroup(t.Context(), g); err != nil {
				return err
			}
			if g.Name != "others" {
				if err := tx.AddMember(t.Context(), g.ID, "00u1mary"); err != nil {
					return err
				}
			}
		}
		return nil
	})
	got := o.signIn("openid groups offline_access")
	want := []any{"Night Crew", "admins"}
	same := func(where string, claims map[string]any, want []any) {
		t.Helper()
		if in, _ := claims["groups"].([]any); !slices.Equal(in, want) {
			t.Errorf("%s: groups %v, want %v", where, claims["groups"], want)
		}
	}
	same("ID token", part(t, got.ID, 1), want)
	same("userinfo", decode[map[string]any](o.userinfo(got.Access).ok()), want)
	o.write(func(tx store.Tx) error { return tx.DropMember(t.Context(), "00g1", "00u1mary") })
	same("after leaving one", decode[map[string]any](o.userinfo(got.Access).ok()), want[1:])
	next := decode[tokens](o.refresh(got.Refresh).ok())
	same("refreshed", part(t, next.ID, 1), want[1:])
	less := decode[tokens](o.refresh(next.Refresh, "scope", "openid").ok())
	same("refreshed for less", part(t, less.ID, 1), nil)
	same("not asked for", part(t, o.signIn("openid profile").ID, 1), nil)
}

// TestS63_RevokingAUsedRefreshToken: an application that lost the answer to its last refresh has no younger one to sign out with.
func TestS63_RevokingAUsedRefreshToken(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org) {
		o.client("0oa1other", nil)
		old := o.signIn("openid offline_access")
		next := decode[tokens](o.refresh(old.Refresh).ok())
		mine := basic(appID + ":")
		if a := o.introspect(mine, old.Refresh).ok().Body.String(); a != `{"active":false}` {
			t.Errorf("S-63: a used token is active: %s", a)
		}
		o.revoke(basic("0oa1other:"), "token", old.Refresh).done()
		if told := decode[map[string]any](o.introspect(mine, next.Refresh).ok()); told["active"] != true {
			t.Fatalf("another client ended it: %v", told)
		}
		o.wait(oauth.DefaultServer().Refresh - time.Minute)
		last := decode[tokens](o.refresh(next.Refresh).ok())
		o.wait(2 * time.Minute) // by itself the first one would be over
		o.revoke(mine, "token", old.Refresh).done()
		o.refresh(last.Refresh).refused(400, oauth.InvalidGrant, "")
		o.userinfo(last.Access).refused(401, oauth.InvalidToken, "")
		if n := len(o.events(audit.TokenRevoked)); n != 1 {
			t.Errorf("S-71: %d recorded", n)
		}
		o.revoke(mine, "token", old.Refresh).done()
		if n := len(o.events(audit.TokenRevoked)); n != 1 {
			t.Errorf("what is over was ended again: %d recorded", n)
		}
	})
}
