package oauth

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/secret"
)

func TestS55_Challenge(t *testing.T) {
	good := "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" // RFC 7636 appendix B
	for name, test := range map[string]struct {
		challenge, method string
		ok                bool
	}{
		"the standard's own":   {good, "S256", true},
		"missing":              {"", "S256", false},
		"no method":            {good, "", false},
		"plain":                {good, "plain", false},
		"method in lower case": {good, "s256", false},
		"42 characters":        {good[:42], "S256", false},
		"44 characters":        {good + "a", "S256", false},
		"padded":               {good[:42] + "=", "S256", false},
		"standard base64":      {good[:42] + "+", "S256", false},
		"not ASCII":            {good[:41] + "é", "S256", false},
	} {
		err := CheckChallenge(test.challenge, test.method)
		var e *Error
		if test.ok != (err == nil) || err != nil && (!errors.As(err, &e) || e.Code != InvalidRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestS55_Verifier(t *testing.T) {
	const verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	longest := strings.Repeat("a~._-", 26)[:128]
	for name, test := range map[string]struct {
		verifier, challenge string
		want                bool
	}{
		"the standard's own":  {verifier, challenge, true},
		"128 characters":      {longest, challengeOf(longest), true},
		"missing":             {"", challenge, false},
		"wrong":               {verifier[:42] + "l", challenge, false},
		"42 characters":       {verifier[:42], challengeOf(verifier[:42]), false},
		"129 characters":      {longest + "a", challengeOf(longest + "a"), false},
		"letters it has not":  {verifier[:42] + "+", challengeOf(verifier[:42] + "+"), false},
		"the challenge again": {challenge, challenge, false},
		"no challenge":        {verifier, "", false},
	} {
		if got := Proves(test.verifier, test.challenge); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestS57_Scopes(t *testing.T) {
	server := DefaultServer()
	client := Client{Scopes: server.Scopes[:4], Grants: []GrantType{InteractionCode}}
	with := func(c Client, scopes []string, grants ...GrantType) Client {
		c.Scopes, c.Grants = scopes, grants
		return c
	}
	for name, test := range map[string]struct {
		client Client
		asked  string
		want   []string
	}{
		"in the order asked":        {client, "openid profile email", []string{"openid", "profile", "email"}},
		"once each, spaces aside":   {client, "  openid   openid email ", []string{"openid", "email"}},
		"unknown":                   {client, "openid pets", nil},
		"not the client's":          {with(client, []string{"openid"}), "openid email", nil},
		"a client that may nothing": {with(client, nil), "openid", nil},
		"missing":                   {client, "", nil},
		"spaces alone":              {client, "   ", nil},
		"in another case":           {client, "OpenID", nil},
		"with a tab":                {client, "openid\temail", nil},
		"with a quote":              {client, `openid "`, nil},
		"too long":                  {client, strings.Repeat("openid ", 200), nil},
		"offline without the grant": {with(client, server.Scopes, InteractionCode), "openid offline_access", nil},
		"offline with the grant":    {with(client, server.Scopes, InteractionCode, RefreshToken), "openid offline_access", []string{"openid", "offline_access"}},
	} {
		got, err := server.Grantable(test.client, InteractionCode, test.asked)
		var e *Error
		if !slices.Equal(got, test.want) || (err == nil) != (test.want != nil) || err != nil && (!errors.As(err, &e) || e.Code != InvalidScope) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestNarrow(t *testing.T) {
	g := Grant{Scopes: []string{"openid", "email", "offline_access"}}
	s, c := DefaultServer(), Client{Scopes: DefaultServer().Scopes, Grants: []GrantType{RefreshToken}}
	for asked, want := range map[string][]string{
		"":               g.Scopes,
		"openid":         {"openid"},
		"email openid":   {"email", "openid"},
		"openid profile": nil,
	} {
		got, err := s.Narrow(g, c, asked)
		if !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("Narrow(%q) = %v, %v", asked, got, err)
		}
	}
}

// TestS57_WhatIsLeftOfAGrant, after the client or the server has lost a scope.
func TestS57_WhatIsLeftOfAGrant(t *testing.T) {
	g := Grant{Scopes: []string{"openid", "email", "offline_access"}}
	lacking := func(name string) []string {
		return slices.DeleteFunc(DefaultServer().Scopes, func(s string) bool { return s == name })
	}
	whole, c := DefaultServer(), Client{Scopes: DefaultServer().Scopes, Grants: []GrantType{RefreshToken}}
	poorer := func(name string) (Server, Client) {
		s, c := whole, c
		s.Scopes, c.Scopes = lacking(name), lacking(name)
		return s, c
	}
	lesser, less := poorer("email")
	for name, by := range map[string]struct {
		Server
		Client
	}{"the server": {lesser, c}, "the client": {whole, less}} {
		if got, err := by.Narrow(g, by.Client, ""); err != nil || !slices.Equal(got, []string{"openid", "offline_access"}) {
			t.Errorf("%s, nothing asked: %v, %v", name, got, err)
		}
		if got, err := by.Narrow(g, by.Client, "openid email offline_access"); err != nil || !slices.Equal(got, []string{"openid", "offline_access"}) {
			t.Errorf("%s, asked for all of before: %v, %v", name, got, err)
		}
		var e *Error
		for _, asked := range []string{"email", "openid phone"} {
			if got, err := by.Narrow(g, by.Client, asked); !errors.As(err, &e) || e.Code != InvalidScope {
				t.Errorf("%s, asked for %s: %v, %v", name, asked, got, err)
			}
		}
		if got, err := by.Left(Grant{Scopes: []string{"email"}}, by.Client); !errors.As(err, &e) || e.Code != InvalidScope {
			t.Errorf("%s, all of it: %v, %v", name, got, err)
		}
	}
	lesser, less = poorer("offline_access")
	alone := c
	alone.Grants = nil
	for name, by := range map[string]struct {
		Server
		Client
	}{"the server": {lesser, c}, "the client": {whole, less}, "the grant type": {whole, alone}} {
		if got, err := by.Narrow(g, by.Client, "openid"); err != ErrRefresh {
			t.Errorf("%s, nothing to refresh with: %v, %v", name, got, err)
		}
		if got, err := by.Left(g, by.Client); err != nil || !slices.Equal(got, []string{"openid", "email"}) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestSecrets(t *testing.T) {
	c := Client{SecretDigests: []secret.Digest{secret.DigestOf(secret.ClientSecret, "old"), secret.DigestOf(secret.ClientSecret, "new")}}
	for s, want := range map[secret.Text]bool{"old": true, "new": true, "other": false, "": false} {
		if c.Knows(s) != want {
			t.Errorf("Knows(%q) = %v", s.Reveal(), !want)
		}
	}
	if (Client{}).Knows("") || (Client{}).Confidential() {
		t.Error("a public client knows no secret")
	}
	if (Client{SecretDigests: []secret.Digest{secret.DigestOf(secret.RefreshToken, "old")}}).Knows("old") {
		t.Error("S-16: a secret of one purpose was taken for one of another")
	}
}

func issue() Issue {
	at := time.Date(2026, 11, 22, 20, 22, 8, 0, time.UTC)
	return Issue{
		Server: DefaultServer(), Issuer: "https://id.example/oauth2/default", Org: "00o1org",
		Grant: Grant{
			ID: NewGrantID("X"), Server: "default", Client: "0oa1seed", User: "00u1mary", Scopes: []string{"openid", "profile", "email"},
			Nonce: "n", AuthTime: at.Add(-time.Minute), AMR: []string{"pwd", "sms", "mca", "mfa"}, Expires: at.Add(time.Hour),
		},
		Scopes: []string{"openid", "profile", "email"},
		User: ident.User{
			ID: "00u1mary", Login: "mary@example.com", GivenName: "Mary", FamilyName: "Acme", Email: "mary@example.com", EmailVerified: true,
			Locale: "en_US", Zone: "America/Los_Angeles", Updated: time.Unix(1619624928, 0),
		},
		Unique: "Y", Now: at, First: true,
	}
}

// TestClaims holds the table of the protocol reference, 8.5: which claim is where, and of which type.
func TestClaims(t *testing.T) {
	i := issue()
	wantJSON(t, i.AccessToken(), `{"ver":1,"jti":"AT.X","iss":"https://id.example/oauth2/default","aud":"api://default",
		"iat":1795378928,"exp":1795379828,"cid":"0oa1seed","uid":"00u1mary","scp":["openid","profile","email"],
		"auth_time":1795378868,"sub":"mary@example.com"}`)
	wantJSON(t, i.IDToken("token"), `{"sub":"00u1mary","ver":1,"iss":"https://id.example/oauth2/default","aud":"0oa1seed",
		"iat":1795378928,"exp":1795382528,"jti":"ID.X","amr":["pwd","sms","mca","mfa"],"idp":"00o1org","nonce":"n",
		"auth_time":1795378868,"at_hash":"PEaenWxYddN6Q_NT1PiOYQ","name":"Mary Acme","preferred_username":"mary@example.com",
		"email":"mary@example.com","email_verified":true}`)
}

func TestNonceAndACROnlyIfAskedFor(t *testing.T) {
	i := issue()
	i.Grant.ACR = "urn:okta:loa:2fa:any"
	if id := i.IDToken(""); id.Nonce != "n" || id.ACR != i.Grant.ACR || i.AccessToken().ACR != i.Grant.ACR {
		t.Errorf("asked for and missing: %+v", id)
	}
	i.First = false
	if id := i.IDToken(""); id.Nonce != "" {
		t.Error("an ID token from a refresh carries a nonce (OpenID Connect Core 12.2)")
	}
	i.Grant.Nonce, i.Grant.ACR, i.First = "", "", true
	raw, _ := json.Marshal(i.IDToken(""))
	if strings.Contains(string(raw), "nonce") || strings.Contains(string(raw), "acr") {
		t.Errorf("not asked for and there: %s", raw)
	}
}

func TestUserInfoPerScope(t *testing.T) {
	u := issue().User
	for scopes, want := range map[string]string{
		"openid":         `{"sub":"00u1mary"}`,
		"openid email":   `{"sub":"00u1mary","email":"mary@example.com","email_verified":true}`,
		"openid phone":   `{"sub":"00u1mary","phone_number":"+15551234567","phone_number_verified":true}`,
		"openid profile": `{"sub":"00u1mary","name":"Mary Acme","locale":"en_US","preferred_username":"mary@example.com","given_name":"Mary","family_name":"Acme","zoneinfo":"America/Los_Angeles","updated_at":1619624928}`,
	} {
		wantJSON(t, NewUserInfo(u, "+15551234567", strings.Fields(scopes)), want)
	}
	wantJSON(t, NewUserInfo(u, "", []string{"openid", "phone"}), `{"sub":"00u1mary"}`)
	u.EmailVerified = false
	wantJSON(t, NewUserInfo(u, "", []string{"email"}), `{"sub":"00u1mary","email":"mary@example.com","email_verified":false}`)
}

func TestGrantFromTokenID(t *testing.T) {
	i := issue()
	for _, offline := range []bool{false, true} {
		if offline {
			i.Grant.Scopes = append(i.Grant.Scopes, ScopeOffline)
		}
		if g, ok := i.AccessToken().Grant(); !ok || g != i.Grant.ID {
			t.Errorf("access token %s: grant %q", i.AccessToken().ID, g)
		}
		if g, ok := i.IDToken("").Grant(); !ok || g != i.Grant.ID {
			t.Errorf("ID token %s: grant %q", i.IDToken("").ID, g)
		}
	}
	if id := i.AccessToken().ID; id != "AT.Y.oarX" {
		t.Errorf("with a refresh token: %s", id)
	}
	for _, jti := range []string{"", "AT.", "ID.X", "X", "AT.Y.X", "AT.Y.oarX.oarZ"} {
		if g, ok := (AccessToken{ID: jti}).Grant(); ok {
			t.Errorf("%q gave the grant %q", jti, g)
		}
	}
}

func TestS61_Good(t *testing.T) {
	i := issue()
	for name, test := range map[string]struct {
		change func(*AccessToken)
		at     time.Duration
		want   bool
	}{
		"as issued":       {func(*AccessToken) {}, 0, true},
		"last moment":     {func(*AccessToken) {}, i.Server.Access - time.Nanosecond, true},
		"over":            {func(*AccessToken) {}, i.Server.Access, false},
		"another server":  {func(a *AccessToken) { a.Issuer += "2" }, 0, false},
		"another purpose": {func(a *AccessToken) { a.Audience = "api://other" }, 0, false},
		"an ID token":     {func(a *AccessToken) { a.ID = "ID.X" }, 0, false},
	} {
		token := i.AccessToken()
		test.change(&token)
		if got := token.Good(i.Issuer, i.Server.Audience, i.Now.Add(test.at)); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestS59_NoTokenOutlivesItsGrant(t *testing.T) {
	i := issue()
	i.Server.Access, i.Server.IDToken = 24*time.Hour, 24*time.Hour
	i.Grant.Expires = i.Now.Add(48 * time.Hour)
	if got := i.AccessToken(); got.Expires-got.Issued != int64(MaxAge/time.Second) {
		t.Errorf("an access token of %d s", got.Expires-got.Issued)
	}
	i.Grant.Expires = i.Now.Add(time.Minute)
	if got := i.IDToken(""); got.Expires != i.Grant.Expires.Unix() {
		t.Error("an ID token outlives its grant")
	}
}

// challengeOf is RFC 7636 4.2, so that a verifier is refused for its length or letters and nothing else.
func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func wantJSON(t *testing.T, v any, want string) {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var got, expected map[string]any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &expected); err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(expected)
	if string(a) != string(b) {
		t.Errorf("got  %s\nwant %s", a, b)
	}
}
