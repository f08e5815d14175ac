package op_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/authn/password"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/keys"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/op"
	organisation "latchkey.dev/internal/org"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// registrar is an organisation in which applications may register themselves, and the operator's token for it.
func registrar(o *org) (*organisation.Org, func(uses int) string) {
	o.write(func(tx store.Tx) error {
		for _, a := range []ident.Authenticator{{ID: "aut1", Kind: ident.Password, Key: "okta_password"}, {ID: "aut2", Kind: ident.Phone, Key: "phone_number"}} {
			if err := tx.PutAuthenticator(ctx, a); err != nil {
				return err
			}
		}
		return nil
	})
	apps := organisation.New(organisation.Config{Store: o.db, Passwords: password.DefaultParams(), Now: o.now, Actor: "registration"})
	c := o.api.Config
	c.Apps = apps
	o.api = op.New(c)
	return apps, func(uses int) string {
		o.t.Helper()
		value, _, err := apps.NewRegistrationToken(ctx, time.Hour, uses)
		if err != nil {
			o.t.Fatal(err)
		}
		return value.Reveal()
	}
}

func (o *org) clients(method, path, token, body string) answer {
	r := httptest.NewRequest(method, "/oauth2/v1/clients"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return o.send(r, nil)
}

type registered struct {
	ID      string   `json:"client_id"`
	Issued  int64    `json:"client_id_issued_at"`
	Secret  string   `json:"client_secret"`
	Ends    *int64   `json:"client_secret_expires_at"`
	URI     string   `json:"registration_client_uri"`
	Access  string   `json:"registration_access_token"`
	Auth    string   `json:"token_endpoint_auth_method"`
	Grants  []string `json:"grant_types"`
	Scope   string   `json:"scope"`
	Name    string   `json:"client_name"`
	Another string   `json:"logo_uri"`
}

const aWebApp = `{"client_name":"Shop","redirect_uris":["` + callback + `"],"grant_types":["interaction_code","refresh_token"],"scope":"openid email offline_access",
	"logo_uri":"https://shop.example/logo","response_types":["code"]}`

func (a answer) created() registered {
	a.t.Helper()
	if a.Code != http.StatusCreated || a.Header().Get("Cache-Control") != "no-store" {
		a.t.Fatalf("status %d: %s", a.Code, a.Body)
	}
	return decode[registered](a)
}

func TestRegistration(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org) {
		_, token := registrar(o)
		initial := token(1)
		got := o.clients("POST", "", initial, aWebApp).created()
		if !strings.HasPrefix(got.ID, "0oa") || len(got.Secret) != 43 || got.Ends == nil || *got.Ends != 0 || len(got.Access) != 43 || got.Issued != o.now().Unix() ||
			got.URI != origin+"/oauth2/v1/clients/"+got.ID || got.Auth != "client_secret_basic" || got.Scope != "openid email offline_access" || got.Another != "" {
			t.Errorf("%+v", got)
		}
		var c oauth.Client
		o.write(func(tx store.Tx) (err error) { c, err = tx.Client(ctx, oauth.ClientID(got.ID)); return err })
		if !c.Confidential() || !c.AuthenticatesAtInteract || len(c.Policy.Require) != 2 || c.Label != "Shop" || len(c.Redirects) != 1 {
			t.Errorf("%+v", c)
		}
		// It works as any other does.
		o.form(base+"v1/token", nil, "grant_type", "interaction_code", "interaction_code", o.code(c.ID, "openid"), "client_id", got.ID,
			"client_secret", got.Secret, "code_verifier", verifier).ok()
		// The token is used up, and was never good for anything else.
		o.clients("POST", "", initial, strings.Replace(aWebApp, "Shop", "Shop 2", 1)).refused(401, oauth.InvalidToken, "")
		o.clients("POST", "", got.Access, strings.Replace(aWebApp, "Shop", "Shop 2", 1)).refused(401, oauth.InvalidToken, "")

		read := decode[registered](o.clients("GET", "/"+got.ID, got.Access, "").ok())
		if read.ID != got.ID || read.Secret != "" || read.Access != got.Access {
			t.Errorf("%+v", read)
		}
		for name, bad := range map[string]string{"the first token": initial, "of chance": strings.Repeat("x", 43), "the secret": got.Secret, "none": ""} {
			for _, method := range []string{"GET", "PUT", "DELETE"} {
				if a := o.clients(method, "/"+got.ID, bad, aWebApp); a.Code != 401 {
					t.Errorf("%s with %s: %d", method, name, a.Code)
				}
			}
		}
		changed := decode[registered](o.clients("PUT", "/"+got.ID, got.Access,
			`{"client_name":"Shop","redirect_uris":["https://shop.example/cb"],"grant_types":["interaction_code"],"scope":"openid"}`).ok())
		if changed.Scope != "openid" || len(changed.Grants) != 1 {
			t.Errorf("%+v", changed)
		}
		o.clients("PUT", "/"+got.ID, got.Access, aWebApp).refused(400, oauth.InvalidClientMetadata, "") // what was given up does not come back
		if a := o.clients("DELETE", "/"+got.ID, got.Access, ""); a.Code != http.StatusNoContent || a.Body.Len() != 0 {
			t.Errorf("DELETE: %d", a.Code)
		}
		o.clients("GET", "/"+got.ID, got.Access, "").refused(401, oauth.InvalidToken, "")
		for want, n := range map[audit.Type]int{audit.RegistrationOpened: 1, audit.AppCreated: 1, audit.AppChanged: 1, audit.AppDeleted: 1} {
			if got := o.events(want); len(got) != n || got[0].Actor != "registration" {
				t.Errorf("S-71: %d of %s, %+v", len(got), want, got)
			}
		}
	})
}

func TestRegistrationIsRefused(t *testing.T) {
	o := newOrg(t)
	apps, token := registrar(o)
	initial := token(1)
	const keys = `"jwks":{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"`
	with := func(more string) string { return strings.Replace(aWebApp, `{`, `{`+more+`,`, 1) }
	for name, test := range map[string]struct {
		body string
		code oauth.Code
	}{
		"S-54 no redirect URI":               {strings.Replace(aWebApp, `"`+callback+`"`, ``, 1), oauth.InvalidRedirectURI},
		"S-54 http over the network":         {strings.Replace(aWebApp, callback, "http://shop.example/cb", 1), oauth.InvalidRedirectURI},
		"S-54 javascript":                    {strings.Replace(aWebApp, callback, "javascript:alert(1)", 1), oauth.InvalidRedirectURI},
		"a scope that nobody knows":          {strings.Replace(aWebApp, "openid email", "openid pets", 1), oauth.InvalidClientMetadata},
		"a scope that is none":               {strings.Replace(aWebApp, "openid email", `openid \"`, 1), oauth.InvalidClientMetadata},
		"a grant without a person":           {strings.Replace(aWebApp, `"refresh_token"`, `"client_credentials"`, 1), oauth.InvalidClientMetadata},
		"a grant that acts for others":       {strings.Replace(aWebApp, `"refresh_token"`, `"urn:ietf:params:oauth:grant-type:token-exchange"`, 1), oauth.InvalidClientMetadata},
		"implicit":                           {strings.Replace(aWebApp, `"code"`, `"token"`, 1), oauth.InvalidClientMetadata},
		"a name that somebody has":           {strings.Replace(aWebApp, "Shop", appID, 1), oauth.InvalidClientMetadata},
		"SSRF: jwks_uri":                     {with(`"jwks_uri":"http://169.254.169.254/"`), oauth.InvalidClientMetadata},
		"SSRF: sector_identifier_uri":        {with(`"sector_identifier_uri":"https://evil.example/"`), oauth.InvalidClientMetadata},
		"SSRF: request_uris":                 {with(`"request_uris":["https://evil.example/"]`), oauth.InvalidClientMetadata},
		"SSRF: backchannel_logout_uri":       {with(`"backchannel_logout_uri":"http://10.0.0.1/"`), oauth.InvalidClientMetadata},
		"request objects":                    {with(`"request_object_signing_alg":"none"`), oauth.InvalidClientMetadata},
		"S-62 unsigned":                      {with(`"id_token_signed_response_alg":"none"`), oauth.InvalidClientMetadata},
		"pairwise":                           {with(`"subject_type":"pairwise"`), oauth.InvalidClientMetadata},
		"a software statement":               {with(`"software_statement":"eyJ"`), "invalid_software_statement"},
		"another way to authenticate":        {with(`"token_endpoint_auth_method":"tls_client_auth"`), oauth.InvalidClientMetadata},
		"keys that are promised":             {with(`"token_endpoint_auth_method":"private_key_jwt"`), oauth.InvalidClientMetadata},
		"keys of a public client":            {with(`"token_endpoint_auth_method":"none",` + keys + `}]}`), oauth.InvalidClientMetadata},
		"a private key":                      {with(keys + `,"d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}]}`), oauth.InvalidClientMetadata},
		"a shared key":                       {with(`"jwks":{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`), oauth.InvalidClientMetadata},
		"S-48 a number for a text":           {with(`"client_uri":1`) + `x`, oauth.InvalidClientMetadata},
		"S-48 a text for a list":             {strings.Replace(aWebApp, `["`+callback+`"]`, `"`+callback+`"`, 1), oauth.InvalidClientMetadata},
		"S-48 a list":                        {`[` + aWebApp + `]`, oauth.InvalidClientMetadata},
		"S-48 nothing":                       {``, oauth.InvalidClientMetadata},
		"S-48 null":                          {`null`, oauth.InvalidClientMetadata},
		"S-48 what is no UTF-8":              {with("\"x\":\"\xff\""), oauth.InvalidClientMetadata},
		"S-57 the password grant, by a name": {strings.Replace(aWebApp, `"refresh_token"`, `"password"`, 1), oauth.InvalidClientMetadata},
	} {
		t.Run(name, func(t *testing.T) { o.clients("POST", "", initial, test.body).refused(400, test.code, "") })
	}
	o.clients("POST", "", initial, with(`"x":"`+strings.Repeat("x", 64<<10)+`"`)).refused(413, oauth.InvalidClientMetadata, "")
	form := o.form("/oauth2/v1/clients", header{"Authorization": "Bearer " + initial}, "client_name", "x")
	form.refused(400, oauth.InvalidClientMetadata, "")
	a := o.clients("POST", "", "", aWebApp)
	a.refused(401, oauth.InvalidToken, "")
	if a.Header().Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("challenge %q", a.Header().Get("WWW-Authenticate"))
	}
	o.clients("POST", "", strings.Repeat("x", 43), aWebApp).refused(401, oauth.InvalidToken, "")
	o.clients("GET", "", initial, "").refused(405, oauth.InvalidRequest, "")

	// Nothing of that used the token up.
	public := o.clients("POST", "", initial, with(`"token_endpoint_auth_method":"none"`)).created()
	if public.Secret != "" || public.Ends != nil || public.Auth != "none" {
		t.Errorf("a public client: %+v", public)
	}
	signs := o.clients("POST", "", token(1), strings.Replace(with(`"token_endpoint_auth_method":"private_key_jwt",`+keys+`}]}`), "Shop", "Signer", 1)).created()
	if signs.Secret != "" || signs.Auth != "private_key_jwt" {
		t.Errorf("a client with keys: %+v", signs)
	}
	// One that an operator switched off is out, also here; and one that an operator added has no token to show.
	if _, err := apps.SetApp(ctx, public.ID, func(a *organisation.App) { a.Disabled = true }); err != nil {
		t.Fatal(err)
	}
	o.clients("GET", "/"+public.ID, public.Access, "").refused(401, oauth.InvalidToken, "")
	o.clients("GET", "/"+appID, strings.Repeat("x", 43), "").refused(401, oauth.InvalidToken, "")
	late := token(1)
	o.wait(time.Hour)
	o.clients("POST", "", late, strings.Replace(aWebApp, "Shop", "Late", 1)).refused(401, oauth.InvalidToken, "")
	for _, bad := range []struct {
		life time.Duration
		uses int
	}{{0, 1}, {time.Second, 1}, {organisation.MaxRegistrationLife + 1, 1}, {time.Hour, 0}, {time.Hour, 1001}} {
		if _, _, err := apps.NewRegistrationToken(ctx, bad.life, bad.uses); err == nil {
			t.Errorf("a token for %s and %d uses", bad.life, bad.uses)
		}
	}
}

func TestRegistrationsAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org) {
		_, token := registrar(o)
		initial := token(3)
		body := strings.Replace(aWebApp, `"client_name":"Shop",`, "", 1)
		answers := make(chan int, 20)
		for range 20 {
			go func() { answers <- o.clients("POST", "", initial, body).Code }()
		}
		count := map[int]int{}
		for range 20 {
			count[<-answers]++
		}
		if count[201] != 3 || count[401] != 17 {
			t.Errorf("%v", count)
		}
	})
}

func TestS66_RegistrationIsAnnouncedWhereItIs(t *testing.T) {
	o := newOrg(t)
	const path = base + ".well-known/openid-configuration"
	if doc := o.get(path, nil).ok().Body.String(); strings.Contains(doc, "registration_endpoint") {
		t.Errorf("%s", doc)
	}
	o.clients("POST", "", secret.Random().Reveal(), aWebApp).refused(404, oauth.InvalidRequest, "")
	registrar(o)
	if doc := decode[map[string]any](o.get(path, nil).ok()); doc["registration_endpoint"] != origin+"/oauth2/v1/clients" {
		t.Errorf("%v", doc["registration_endpoint"])
	}
}

// TestRegistrationIsWhatItSays: an application that asked for something, and was told 201, has it.
func TestRegistrationIsWhatItSays(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org) {
		apps, token := registrar(o)
		type told struct {
			registered
			Binds  *bool  `json:"dpop_bound_access_tokens"`
			Pushes *bool  `json:"require_pushed_authorization_requests"`
			Page   string `json:"frontchannel_logout_uri"`
		}
		const all = `"dpop_bound_access_tokens":true,"require_pushed_authorization_requests":true,"frontchannel_logout_uri":"http://localhost:8080/out?a=b"`
		with := func(more string) string {
			return strings.Replace(strings.Replace(aWebApp, `{`, `{`+more+`,`, 1), "interaction_code", "authorization_code", 1)
		}
		has := func(a answer, id string, want bool, page string) {
			t.Helper()
			got := decode[told](a)
			if got.Binds == nil || *got.Binds != want || got.Pushes == nil || *got.Pushes != want || got.Page != page {
				t.Errorf("told %d %s", a.Code, a.Body)
			}
			var c oauth.Client
			o.write(func(tx store.Tx) (err error) { c, err = tx.Client(ctx, oauth.ClientID(id)); return err })
			if c.BindsTokens != want || c.RequiresPAR != want || c.FrontChannelLogout != page {
				t.Errorf("kept %+v", c)
			}
		}
		first := o.clients("POST", "", token(1), with(all))
		got := first.created()
		has(first, got.ID, true, "http://localhost:8080/out?a=b")
		o.form(base+"v1/token", nil, "grant_type", "authorization_code", "code", o.hosted(oauth.ClientID(got.ID), "openid"), "client_id", got.ID,
			"client_secret", got.Secret, "code_verifier", verifier, "redirect_uri", callback).refused(400, oauth.InvalidDPoPProof, "")
		at := "/" + got.ID
		has(o.clients("GET", at, got.Access, "").ok(), got.ID, true, "http://localhost:8080/out?a=b")
		has(o.clients("PUT", at, got.Access, with(`"client_uri":"x"`)).ok(), got.ID, true, "")
		o.clients("PUT", at, got.Access, with(`"dpop_bound_access_tokens":false`)).refused(400, oauth.InvalidClientMetadata, "")
		o.clients("PUT", at, got.Access, with(`"require_pushed_authorization_requests":false`)).refused(400, oauth.InvalidClientMetadata, "")

		second := o.clients("POST", "", token(1), strings.Replace(with(`"dpop_bound_access_tokens":false`), "Shop", "Second", 1))
		got = second.created()
		at = "/" + got.ID
		has(second, got.ID, false, "")
		for _, bad := range []string{`"dpop_bound_access_tokens":"yes"`, `"frontchannel_logout_uri":"https://evil.example/out"`, `"frontchannel_logout_uri":["x"]`} {
			o.clients("POST", "", token(1), strings.Replace(with(bad), "Shop", "Third", 1)).refused(400, oauth.InvalidClientMetadata, "")
			o.clients("PUT", at, got.Access, with(bad)).refused(400, oauth.InvalidClientMetadata, "")
		}
		has(o.clients("PUT", at, got.Access, strings.Replace(with(all), "Shop", "Second", 1)).ok(), got.ID, true, "http://localhost:8080/out?a=b")
		// Nor does the page stay behind when the application moves to another origin.
		moved := strings.Replace(with(all), "Shop", "Second", 1)
		moved = strings.Replace(moved, `"redirect_uris":["http://localhost:8080`, `"redirect_uris":["http://localhost:8081`, 1)
		o.clients("PUT", at, got.Access, moved).refused(400, oauth.InvalidClientMetadata, "frontchannel_logout_uri: is of another origin than all redirect_uris")

		// What an operator asked for is not given up in passing by who does not know of it.
		third := o.clients("POST", "", token(1), strings.Replace(aWebApp, "Shop", "Third", 1)).created()
		if _, err := apps.SetApp(ctx, third.ID, func(a *organisation.App) { a.BindTokens, a.RequirePushed = true, true }); err != nil {
			t.Fatal(err)
		}
		has(o.clients("PUT", "/"+third.ID, third.Access, strings.Replace(aWebApp, "Shop", "Third", 1)).ok(), third.ID, true, "")
	})
}

func TestS15_ANameIsNoLink(t *testing.T) {
	o := newOrg(t)
	_, token := registrar(o)
	initial, named := token(10), func(name string) string { return strings.Replace(aWebApp, "Shop", name, 1) }
	kept := o.clients("POST", "", initial, named("Shop 2.0, Inc.")).created()
	for _, name := range []string{"https://evil.example", "evil.example/pay", "evil.example", "Pay at evil.example now", "a/b", "1.2.3.4", "evil\u3002example", "evil\uff0eexample",
		"\u0435vil.\u0440\u0444", "pay@evil.example", `evil\\b`} {
		o.clients("POST", "", initial, named(name)).refused(400, oauth.InvalidClientMetadata, "")
		o.clients("PUT", "/"+kept.ID, kept.Access, named(name)).refused(400, oauth.InvalidClientMetadata, "")
	}
	for _, name := range []string{"Dr. Who & Sons", "B\u00fccher-Caf\u00e9", "Version 1.5"} {
		o.clients("POST", "", initial, named(name)).created()
	}
}

// TestS66_TheAlgorithmOfIDTokens is one that discovery names, whichever the keys have.
func TestS66_TheAlgorithmOfIDTokens(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org) {
		_, token := registrar(o)
		initial := token(10)
		asks := func(alg, name string) answer {
			body := strings.Replace(aWebApp, `{`, `{"id_token_signed_response_alg":"`+alg+`",`, 1)
			return o.clients("POST", "", initial, strings.Replace(body, "Shop", name, 1))
		}
		asks("RS256", "One").created()
		asks("ES256", "Two").refused(400, oauth.InvalidClientMetadata, "The only 'id_token_signed_response_alg' is RS256.")
		if err := o.ring.RotateTo(ctx, keys.ES256, audit.Event{}); err != nil {
			t.Fatal(err)
		}
		asks("ES256", "Three").created()
		asks("none", "Four").refused(400, oauth.InvalidClientMetadata, "The only 'id_token_signed_response_alg' is ES256 or RS256.")
	})
}
