package op_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/testkit"
)

func TestDiscovery(t *testing.T) {
	o := newOrg(t)
	a := o.get(base+".well-known/openid-configuration", header{"Content-Type": "application/json"}).ok() // okta-auth-js sends that on a GET
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, a.Body.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	testkit.Golden(t, "testdata/discovery.json", append(pretty.Bytes(), '\n'))
	for _, path := range []string{base + ".well-known/oauth-authorization-server", "/.well-known/oauth-authorization-server/oauth2/default"} {
		if same := o.get(path, nil).ok(); same.Body.String() != a.Body.String() {
			t.Errorf("%s differs", path)
		}
	}
	if h := a.Header(); h.Get("Content-Type") != "application/json; charset=utf-8" || h.Get("Cache-Control") != "public, max-age=3600" || h.Get("ETag") == "" {
		t.Errorf("headers %v", h)
	}
	if again := o.get(base+".well-known/openid-configuration", header{"If-None-Match": a.Header().Get("ETag")}); again.Code != http.StatusNotModified || again.Body.Len() != 0 {
		t.Errorf("unchanged: %d", again.Code)
	}
}

// okta-auth-js stops before its first call without it.
func TestClientNeeds_DiscoveryListsS256(t *testing.T) {
	a := newOrg(t).get(base+".well-known/openid-configuration", nil).ok()
	if got := decode[map[string]any](a)["code_challenge_methods_supported"].([]any); len(got) != 1 || got[0] != "S256" {
		t.Errorf("%v", got)
	}
}

// TestS66_EveryEndpointThatDiscoveryNamesIsThere, and issuer is one string in discovery, tokens and answers.
func TestS66_EveryEndpointThatDiscoveryNamesIsThere(t *testing.T) {
	o := newOrg(t)
	doc := decode[map[string]any](o.get(base+".well-known/openid-configuration", nil).ok())
	if doc["issuer"] != issuer {
		t.Errorf("issuer %v", doc["issuer"])
	}
	endpoints := 0
	for name, value := range doc {
		if !strings.HasSuffix(name, "_endpoint") && name != "jwks_uri" {
			continue
		}
		endpoints++
		path, ours := strings.CutPrefix(value.(string), origin)
		if a := o.get(path, nil); !ours || a.Code == http.StatusNotFound {
			t.Errorf("%s: %v answers %d", name, value, a.Code)
		}
	}
	if endpoints != 8 {
		t.Errorf("%d endpoints", endpoints)
	}
	got := o.signIn("openid")
	if part(t, got.ID, 1)["iss"] != issuer || part(t, got.Access, 1)["iss"] != issuer {
		t.Error("the issuer of tokens is another")
	}
	claims := doc["claims_supported"].([]any)
	for name := range part(t, o.signIn("openid profile email phone").ID, 1) {
		found := false
		for _, c := range claims {
			found = found || c == name
		}
		if !found {
			t.Errorf("the ID token's %s is not in claims_supported", name)
		}
	}
	// A Host that calls us something else changes nothing (S-46).
	r, _ := http.NewRequest(http.MethodGet, base+".well-known/openid-configuration", nil)
	r.Host = "evil.example"
	if a := o.send(r, header{"X-Forwarded-Host": "evil.example"}); strings.Contains(a.Body.String(), "evil") {
		t.Error("a Host header came into discovery")
	}
}

func TestKeys(t *testing.T) {
	o := newOrg(t)
	a := o.get(base+"v1/keys", nil).ok()
	set := decode[struct {
		Keys []map[string]string `json:"keys"`
	}](a)
	if len(set.Keys) != 1 || set.Keys[0]["kid"] != part(t, o.signIn("openid").ID, 0)["kid"] {
		t.Errorf("%s", a.Body)
	}
	for _, k := range set.Keys {
		k["kid"], k["n"] = "KID", "MODULUS"
	}
	shape, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	testkit.Golden(t, "testdata/keys.json", append(shape, '\n'))
	if h := a.Header(); h.Get("Cache-Control") != "public, max-age=60" {
		t.Errorf("S-69: Cache-Control %s", h.Get("Cache-Control"))
	}
	r, _ := http.NewRequest(http.MethodHead, base+"v1/keys", nil)
	o.send(r, nil).ok()
}

const bye = "http://localhost:8080/bye"

func (o *org) logout(pairs ...string) answer { return o.get(base+"v1/logout?"+encode(pairs...), nil) }

func (a answer) goesTo(status int, want string) {
	a.t.Helper()
	if a.Code != status || a.Header().Get("Location") != want {
		a.t.Errorf("status %d to %q, want %d to %q", a.Code, a.Header().Get("Location"), status, want)
	}
}

// stays fails the test if the answer leads anywhere, and unless it is a page with the headers of S-43.
func (a answer) stays(status int, text string) {
	a.t.Helper()
	h := a.Header()
	if a.Code != status || h.Get("Location") != "" || !strings.Contains(a.Body.String(), text) {
		a.t.Errorf("status %d to %q, want %d and a page with %q:\n%s", a.Code, h.Get("Location"), status, text, a.Body)
	}
	if h.Get("Content-Type") != "text/html; charset=utf-8" || h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") != "no-referrer" ||
		h.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'; ") {
		a.t.Errorf("S-43: headers %v", h)
	}
}

// A browser with no session here is sent back all the same.
func TestClientNeeds_LogoutWithoutSession(t *testing.T) {
	o := newOrg(t)
	hint := o.signIn("openid").ID
	o.logout("id_token_hint", hint, "post_logout_redirect_uri", bye).goesTo(302, bye)
	o.logout("id_token_hint", hint, "post_logout_redirect_uri", bye, "state", "a b").goesTo(302, bye+"?state=a+b")
	o.logout("client_id", appID, "post_logout_redirect_uri", bye).goesTo(302, bye)
	o.form(base+"v1/logout", nil, "id_token_hint", hint, "post_logout_redirect_uri", bye).goesTo(303, bye)
	o.wait(24 * time.Hour)
	o.logout("id_token_hint", hint, "post_logout_redirect_uri", bye).goesTo(302, bye) // expired is fine
	if n := len(o.events(audit.LoggedOut)); n != 4 {
		t.Errorf("S-71: %d logouts recorded", n)
	}
}

func TestS65_LogoutGoesOnlyWhereAClientSaid(t *testing.T) {
	o := newOrg(t)
	got := o.signIn("openid")
	o.logout().stays(200, "You are signed out")
	o.logout("id_token_hint", got.ID).stays(200, "You are signed out")
	for name, pairs := range map[string][]string{
		"not registered":              {"id_token_hint", got.ID, "post_logout_redirect_uri", "https://evil.example/"},
		"registered for signing in":   {"id_token_hint", got.ID, "post_logout_redirect_uri", callback},
		"a slash more":                {"id_token_hint", got.ID, "post_logout_redirect_uri", bye + "/"},
		"nobody asks":                 {"post_logout_redirect_uri", bye},
		"a hint that is none":         {"id_token_hint", "a.b.c", "post_logout_redirect_uri", bye},
		"a hint that is none, and id": {"id_token_hint", "a.b.c", "client_id", appID, "post_logout_redirect_uri", bye},
		"an access token as hint":     {"id_token_hint", got.Access, "post_logout_redirect_uri", bye},
		"two clients":                 {"id_token_hint", got.ID, "client_id", webID, "post_logout_redirect_uri", bye},
		"an unknown client":           {"client_id", "0oa1nobody", "post_logout_redirect_uri", bye},
	} {
		t.Run(name, func(t *testing.T) { o.logout(pairs...).stays(400, "You are signed out") })
	}
	o.get("/oauth2/other/v1/logout?"+encode("id_token_hint", got.ID, "post_logout_redirect_uri", bye), nil).stays(400, "You are signed out")
	o.logout("client_id", appID, "client_id", appID).stays(400, "does not work")
	if body := o.logout("state", "<script>").Body.String(); strings.Contains(body, "<script") {
		t.Error("the page echoes")
	}
}

func (o *org) authorize(pairs ...string) answer {
	return o.get(base+"v1/authorize?"+asked(append([]string{"response_type", "code"}, pairs...)...), nil)
}

func TestS64_Authorize(t *testing.T) {
	o := newOrg(t)
	for name, test := range map[string]struct {
		pairs []string
		code  oauth.Code
	}{
		"a good request":           {nil, oauth.InteractionRequired},
		"prompt=none":              {[]string{"prompt", "none"}, oauth.LoginRequired},
		"no response type":         {[]string{"response_type", ""}, oauth.InvalidRequest},
		"implicit":                 {[]string{"response_type", "token"}, oauth.UnsupportedResponseType},
		"implicit, both":           {[]string{"response_type", "id_token token"}, oauth.UnsupportedResponseType},
		"in the fragment":          {[]string{"response_mode", "fragment"}, oauth.InvalidRequest},
		"S-55 no challenge":        {[]string{"code_challenge", ""}, oauth.InvalidRequest},
		"S-55 plain":               {[]string{"code_challenge_method", "plain"}, oauth.InvalidRequest},
		"S-57 an unknown scope":    {[]string{"scope", "pets"}, oauth.InvalidScope},
		"a request object":         {[]string{"request", "eyJ"}, oauth.RequestNotSupported},
		"a request object by URI":  {[]string{"request_uri", "https://evil.example/"}, oauth.RequestURINotSupported},
		"a class we cannot manage": {[]string{"acr_values", "phr"}, oauth.InvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			a := o.authorize(test.pairs...)
			to, err := url.Parse(a.Header().Get("Location"))
			if err != nil {
				t.Fatal(err)
			}
			q := to.Query()
			if a.Code != 302 || !strings.HasPrefix(to.String(), callback+"?") || q.Get("error") != string(test.code) || q.Get("error_description") == "" ||
				q.Get("state") != "xyz" || q.Get("iss") != issuer || q.Has("code") {
				t.Errorf("%d to %s", a.Code, to)
			}
		})
	}
	r := o.post(base+"v1/authorize", asked("response_type", "code"), nil)
	if r.Code != 303 {
		t.Errorf("by POST: %d", r.Code)
	}
	if to := o.authorize("state", "").Header().Get("Location"); strings.Contains(to, "state=") {
		t.Errorf("a state that nobody sent: %s", to)
	}
}

func TestS54_AuthorizeNeverRedirectsToStrangers(t *testing.T) {
	o := newOrg(t)
	for name, pairs := range map[string][]string{
		"not registered":    {"redirect_uri", "https://evil.example/"},
		"none":              {"redirect_uri", ""},
		"an unknown client": {"client_id", "0oa1nobody"},
		"no client":         {"client_id", ""},
		"too long":          {"redirect_uri", callback + strings.Repeat("x", 2048)},
	} {
		t.Run(name, func(t *testing.T) { o.authorize(pairs...).stays(400, "This link does not work") })
	}
	o.get(base+"v1/authorize?"+asked("response_type", "code")+"&state=2", nil).stays(400, "A parameter was sent twice.")
}
