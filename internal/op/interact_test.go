package op_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/testkit"
)

// asked is a good request of the public client, with pairs in place of what it says.
func asked(pairs ...string) string {
	names := []string{"client_id", "scope", "redirect_uri", "code_challenge", "code_challenge_method", "state", "nonce"}
	values := map[string]string{
		"client_id": appID, "scope": "openid profile email", "redirect_uri": callback, "code_challenge": challenge(),
		"code_challenge_method": "S256", "state": "xyz", "nonce": nonce,
	}
	for i := 0; i < len(pairs); i += 2 {
		if _, known := values[pairs[i]]; !known {
			names = append(names, pairs[i])
		}
		values[pairs[i]] = pairs[i+1]
	}
	var all []string
	for _, name := range names {
		all = append(all, name, values[name])
	}
	return encode(all...)
}

func (o *org) interact(pairs ...string) answer {
	return o.post(base+"v1/interact", asked(pairs...), nil)
}

func TestInteract(t *testing.T) {
	o := newOrg(t)
	a := o.interact("max_age", "600", "acr_values", "urn:okta:loa:2fa:any", "login_hint", "mary@example.com", "response_type", "code").ok()
	testkit.Golden(t, "testdata/interact.json", append(a.Body.Bytes(), '\n'))
	got := o.engine.began[0]
	if got.Server != "default" || got.Client != appID || got.Redirect != callback || strings.Join(got.Scopes, " ") != "openid profile email" ||
		got.State != "xyz" || got.Nonce != nonce || got.Challenge != challenge() || got.ACR != "urn:okta:loa:2fa:any" || got.MaxAge != 10*time.Minute {
		t.Errorf("S-17: begun with %+v", got)
	}
}

func TestInteractRefuses(t *testing.T) {
	o := newOrg(t)
	o.client("0oa1limited", func(c *oauth.Client) {
		c.Grants, c.Scopes = []oauth.GrantType{oauth.RefreshToken}, []string{"openid"}
	})
	o.client("0oa1narrow", func(c *oauth.Client) {
		c.Grants, c.Scopes = []oauth.GrantType{oauth.InteractionCode}, []string{"openid", "offline_access"}
	})
	for name, test := range map[string]struct {
		pairs  []string
		status int
		code   oauth.Code
		text   string
	}{
		"S-54 a redirect URI of nobody":    {[]string{"redirect_uri", "https://evil.example/"}, 400, oauth.InvalidRequest, ""},
		"S-54 a slash more":                {[]string{"redirect_uri", callback + "/"}, 400, oauth.InvalidRequest, ""},
		"S-54 none":                        {[]string{"redirect_uri", ""}, 400, oauth.InvalidRequest, ""},
		"S-47 a redirect URI too long":     {[]string{"redirect_uri", callback + strings.Repeat("x", 2048)}, 400, oauth.InvalidRequest, ""},
		"S-55 no challenge":                {[]string{"code_challenge", ""}, 400, oauth.InvalidRequest, ""},
		"S-55 no method":                   {[]string{"code_challenge_method", ""}, 400, oauth.InvalidRequest, ""},
		"S-55 plain":                       {[]string{"code_challenge_method", "plain"}, 400, oauth.InvalidRequest, ""},
		"S-55 42 characters":               {[]string{"code_challenge", challenge()[:42]}, 400, oauth.InvalidRequest, ""},
		"S-57 an unknown scope":            {[]string{"scope", "openid pets"}, 400, oauth.InvalidScope, ""},
		"S-57 no scope":                    {[]string{"scope", ""}, 400, oauth.InvalidScope, ""},
		"S-57 not the client's scope":      {[]string{"client_id", "0oa1narrow", "scope", "openid email"}, 400, oauth.InvalidScope, ""},
		"S-57 offline without the grant":   {[]string{"client_id", "0oa1narrow", "scope", "openid offline_access"}, 400, oauth.InvalidScope, ""},
		"S-57 not the client's grant":      {[]string{"client_id", "0oa1limited", "scope", "openid"}, 400, oauth.UnauthorizedClient, ""},
		"no state":                         {[]string{"state", ""}, 400, oauth.InvalidRequest, ""},
		"S-47 a state too long":            {[]string{"state", strings.Repeat("x", 1025)}, 400, oauth.InvalidRequest, ""},
		"S-47 a nonce too long":            {[]string{"nonce", strings.Repeat("x", 1025)}, 400, oauth.InvalidRequest, ""},
		"S-47 a scope too long":            {[]string{"scope", strings.Repeat("openid ", 150)}, 400, oauth.InvalidRequest, ""},
		"no client":                        {[]string{"client_id", ""}, 401, oauth.InvalidClient, ""},
		"an unknown client":                {[]string{"client_id", "0oa1nobody"}, 401, oauth.InvalidClient, ""},
		"max_age that is no number":        {[]string{"max_age", "-1"}, 400, oauth.InvalidRequest, ""},
		"a class we cannot satisfy":        {[]string{"acr_values", "phr"}, 400, oauth.InvalidRequest, ""},
		"an activation token":              {[]string{"activation_token", "x"}, 400, oauth.InvalidRequest, "The activation token is invalid"},
		"a recovery token":                 {[]string{"recovery_token", "x"}, 400, oauth.InvalidRequest, "The recovery token is invalid"},
		"S-58 a confidential client alone": {[]string{"client_id", webID}, 401, oauth.InvalidClient, ""},
		"S-58 its wrong secret":            {[]string{"client_id", webID, "client_secret", "x"}, 401, oauth.InvalidClient, ""},
	} {
		t.Run(name, func(t *testing.T) { o.interact(test.pairs...).refused(test.status, test.code, test.text) })
	}
	if len(o.engine.began) != 0 {
		t.Errorf("%d sign-ins began all the same", len(o.engine.began))
	}
	o.post(base+"v1/interact", asked()+"&state=abc", nil).refused(400, oauth.InvalidRequest, "")
	o.post(base+"v1/interact?"+asked(), "", nil).refused(400, oauth.InvalidRequest, "")
}

func TestS54_LoopbackPort(t *testing.T) {
	o := newOrg(t)
	o.interact("redirect_uri", "http://127.0.0.1:51004/cb").ok()
	if got := o.engine.began[0].Redirect; got != "http://127.0.0.1:51004/cb" {
		t.Errorf("bound to %s", got)
	}
}

// okta-idx-golang is a confidential client that never sends its secret here.
func TestClientNeeds_InteractWithoutSecret(t *testing.T) {
	o := newOrg(t)
	o.client("0oa1go", func(c *oauth.Client) {
		c.SecretDigests = secretOf(webSecret)
		c.AuthenticatesAtInteract = false
	})
	o.interact("client_id", "0oa1go").ok()
	o.interact("client_id", "0oa1go", "client_secret", webSecret).ok()
	o.interact("client_id", "0oa1go", "client_secret", "wrong").refused(401, oauth.InvalidClient, "")
	o.form(base+"v1/token", nil, "grant_type", "interaction_code", "interaction_code", o.code("0oa1go", "openid"), "code_verifier", verifier, "client_id", "0oa1go").
		refused(401, oauth.InvalidClient, "") // the token endpoint makes up for it
}

func TestInteractWithSecret(t *testing.T) {
	o := newOrg(t)
	o.interact("client_id", webID, "client_secret", webSecret).ok()
	o.post(base+"v1/interact", asked("client_id", webID), basic(webID+":"+webSecret)).ok()
}

// A list is in order of preference: the first class that can be satisfied is what the token will say.
func TestACRValues(t *testing.T) {
	o := newOrg(t)
	for values, want := range map[string]string{
		"":                             "",
		"urn:okta:loa:1fa:any":         "urn:okta:loa:1fa:any",
		"phr urn:okta:loa:2fa:any":     "urn:okta:loa:2fa:any",
		"urn:okta:loa:1fa:pwd unknown": "urn:okta:loa:1fa:pwd",
	} {
		o.engine.began = nil
		o.interact("acr_values", values).ok()
		if got := o.engine.began[0].ACR; got != want {
			t.Errorf("%q: %q", values, got)
		}
	}
	code := o.code(appID, "openid", func(c *store.Code) { c.Grant.ACR = "urn:okta:loa:2fa:any" })
	if got := part(t, decode[tokens](o.redeem(code).ok()).ID, 1)["acr"]; got != "urn:okta:loa:2fa:any" {
		t.Errorf("acr %v", got)
	}
}

// What the engine says is said in OAuth's words, with both members: okta-auth-js reads no other error.
func TestClientNeeds_ErrorsHaveBothMembers(t *testing.T) {
	o := newOrg(t)
	for name, test := range map[string]struct {
		err    error
		status int
		code   oauth.Code
		retry  string
	}{
		"throttled":         {fault.New(fault.Throttled, msg.RateLimited, "x").After(3 * time.Second), 429, oauth.TemporarilyUnavailable, "3"},
		"unavailable":       {fault.New(fault.Unavailable, msg.Unavailable, "x"), 503, oauth.TemporarilyUnavailable, "1"},
		"S-77 the database": {store.ErrUnavailable, 503, oauth.TemporarilyUnavailable, "1"},
		"refused":           {fault.New(fault.Forbidden, msg.NotAssigned, "x"), 400, oauth.AccessDenied, ""},
		"invalid":           {fault.New(fault.Invalid, msg.Malformed, "x"), 400, oauth.InvalidRequest, ""},
		"S-51 our failure":  {errors.New("secret detail"), 500, oauth.ServerError, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o.engine.err = test.err
			a := o.interact()
			a.refused(test.status, test.code, "")
			if got := a.Header().Get("Retry-After"); got != test.retry {
				t.Errorf("Retry-After %q", got)
			}
			if strings.Contains(a.Body.String(), "secret detail") {
				t.Errorf("S-51: the answer tells %s", a.Body)
			}
		})
	}
	if !strings.Contains(o.log.String(), "secret detail") {
		t.Error("the log does not tell what happened")
	}
}
