package op_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

const gateID = "0oa1gate"

// newGate is an organisation with a service that may exchange tokens, and a server behind it.
func newGate(o *org) *org {
	o.client(gateID, func(c *oauth.Client) {
		c.SecretDigests = []secret.Digest{secret.DigestOf(secret.ClientSecret, webSecret)}
		c.Grants, c.Scopes = []oauth.GrantType{oauth.TokenExchange}, []string{"openid", "profile", "email", "offline_access"}
	})
	o.server("stock", func(s *oauth.Server) {
		s.Scopes = []string{"openid", "email", "offline_access"}
		s.Claims = []oauth.Claim{{Name: "mail", In: []oauth.TokenKind{oauth.InAccess}, User: oauth.UserEmail}}
		s.Rules = []oauth.Rule{{Apps: []oauth.ClientID{gateID}, GrantTypes: []oauth.GrantType{oauth.TokenExchange}}}
	})
	return o
}

func (o *org) exchangeToken(token string, more ...string) answer {
	return o.form(base+"v1/token", nil, append([]string{"grant_type", string(oauth.TokenExchange), "subject_token", token,
		"subject_token_type", oauth.AccessTokenType, "client_id", gateID, "client_secret", webSecret}, more...)...)
}

func TestTokenExchange(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org) {
		newGate(o)
		subject := o.signIn("openid profile email phone offline_access")
		o.wait(10 * time.Minute) // five are left to it
		a := o.exchangeToken(subject.Access, "audience", "api://stock", "requested_token_type", oauth.AccessTokenType).ok()
		got := decode[map[string]any](a)
		access := part(t, got["access_token"].(string), 1)
		act, _ := access["act"].(map[string]any)
		if got["issued_token_type"] != oauth.AccessTokenType || got["token_type"] != "Bearer" || got["expires_in"] != 300.0 || got["refresh_token"] != nil ||
			got["id_token"] != nil || got["scope"] != "openid email" {
			t.Errorf("%v", got)
		}
		if access["iss"] != origin+"/oauth2/stock" || access["aud"] != "api://stock" || access["cid"] != gateID || access["uid"] != "00u1mary" ||
			access["sub"] != "mary@example.com" || act["sub"] != gateID || access["mail"] != "mary@example.com" || access["auth_time"] == nil {
			t.Errorf("%v", access)
		}
		if n := len(o.events(audit.TokensExchanged)); n != 1 {
			t.Errorf("S-71: %d recorded", n)
		}
		narrow := decode[tokens](o.exchangeToken(subject.Access, "scope", "openid").ok())
		o.userinfo(narrow.Access).ok()
		o.userinfo(got["access_token"].(string)).refused(401, oauth.InvalidToken, "")
		there := func() answer {
			return o.get("/oauth2/stock/v1/userinfo", header{"Authorization": "Bearer " + got["access_token"].(string)})
		}
		there().ok()

		// It can be exchanged again, by those who may: the row of actors is in it.
		again := part(t, decode[tokens](o.exchangeToken(narrow.Access).ok()).Access, 1)["act"].(map[string]any)
		if inner, _ := again["act"].(map[string]any); again["sub"] != gateID || inner["sub"] != gateID {
			t.Errorf("actors %v", again)
		}
		// The family ends as one.
		o.form(base+"v1/revoke", nil, "client_id", appID, "token", subject.Refresh).ok()
		there().refused(401, oauth.InvalidToken, "")
		o.userinfo(narrow.Access).refused(401, oauth.InvalidToken, "")
		o.exchangeToken(subject.Access).refused(400, oauth.InvalidRequest, "")
	})
}

func TestTokenExchangeIsRefused(t *testing.T) {
	o := newGate(newOrg(t))
	o.client("0oa1open", func(c *oauth.Client) { c.Grants = []oauth.GrantType{oauth.TokenExchange} })
	good := o.signIn("openid email phone offline_access")
	twin := func(s *oauth.Server) { s.Audience = "api://twins" }
	o.server("twin1", twin)
	o.server("twin2", twin)
	o.server("closed", func(s *oauth.Server) { s.Rules = []oauth.Rule{{Apps: []oauth.ClientID{appID}}} })
	elsewhere := decode[tokens](o.redeemAt("/oauth2/other/", o.code(appID, "openid", of("other"))).ok())
	bound := o.bound(newECKey(), "openid")
	revoked := o.signIn("openid")
	o.form(base+"v1/revoke", nil, "client_id", appID, "token", revoked.Access).ok()
	for name, test := range map[string]struct {
		token string
		more  []string
		code  oauth.Code
	}{
		"a scope that the token has not":   {good.Access, []string{"scope", "openid profile"}, oauth.InvalidScope},
		"a scope that the client has not":  {good.Access, []string{"scope", "phone"}, oauth.InvalidScope},
		"a scope that the server has not":  {good.Access, []string{"audience", "api://stock", "scope", "phone"}, oauth.InvalidScope},
		"a refresh token in the end":       {good.Access, []string{"scope", "offline_access"}, oauth.InvalidScope},
		"an audience of nobody":            {good.Access, []string{"audience", "https://elsewhere.example"}, oauth.InvalidTarget},
		"an audience of two":               {good.Access, []string{"audience", "api://twins"}, oauth.InvalidTarget},
		"a server that it may not use":     {good.Access, []string{"audience", "api://closed"}, oauth.InvalidTarget},
		"a resource":                       {good.Access, []string{"resource", "https://stock.example"}, oauth.InvalidTarget},
		"two audiences":                    {good.Access, []string{"audience", "api://stock", "audience", "api://other"}, oauth.InvalidRequest},
		"an actor":                         {good.Access, []string{"actor_token", good.Access, "actor_token_type", oauth.AccessTokenType}, oauth.InvalidRequest},
		"for an ID token":                  {good.Access, []string{"requested_token_type", "urn:ietf:params:oauth:token-type:id_token"}, oauth.InvalidRequest},
		"S-61 an ID token":                 {good.ID, nil, oauth.InvalidRequest},
		"S-61 a refresh token":             {good.Refresh, nil, oauth.InvalidRequest},
		"S-61 a token of another server":   {elsewhere.Access, nil, oauth.InvalidRequest},
		"a revoked token":                  {revoked.Access, nil, oauth.InvalidRequest},
		"a token that is bound to a key":   {bound.Access, nil, oauth.InvalidRequest},
		"a token that was tampered with":   {good.Access[:len(good.Access)-5] + "AAAAA", nil, oauth.InvalidRequest},
		"no token":                         {"", nil, oauth.InvalidRequest},
		"S-58 a public client":             {good.Access, []string{"public"}, oauth.UnauthorizedClient},
		"a client without the grant":       {good.Access, []string{"web"}, oauth.UnauthorizedClient},
		"S-58 a client that proves itself": {good.Access, []string{"unproved"}, oauth.InvalidClient},
	} {
		t.Run(name, func(t *testing.T) {
			pairs := []string{"grant_type", string(oauth.TokenExchange), "subject_token", test.token, "subject_token_type", oauth.AccessTokenType}
			status := 400
			switch {
			case slices.Equal(test.more, []string{"public"}):
				pairs = append(pairs, "client_id", "0oa1open")
			case slices.Equal(test.more, []string{"web"}):
				pairs = append(pairs, "client_id", webID, "client_secret", webSecret)
			case slices.Equal(test.more, []string{"unproved"}):
				pairs, status = append(pairs, "client_id", gateID, "client_secret", strings.Repeat("x", 43)), 401
			default:
				pairs = append(append(pairs, "client_id", gateID, "client_secret", webSecret), test.more...)
			}
			o.form(base+"v1/token", nil, pairs...).refused(status, test.code, "")
		})
	}
	o.form(base+"v1/token", nil, "grant_type", string(oauth.TokenExchange), "subject_token", good.Access, "client_id", gateID, "client_secret", webSecret).
		refused(400, oauth.InvalidRequest, "The parameter 'subject_token_type' is missing.")
	for range oauth.MaxActors {
		good = decode[tokens](o.exchangeToken(good.Access).ok())
	}
	o.exchangeToken(good.Access).refused(400, oauth.InvalidRequest, "")
	last := o.signIn("openid")
	o.write(func(tx store.Tx) error {
		u, err := tx.User(ctx, "00u1mary")
		u.Status = ident.Suspended
		if err != nil {
			return err
		}
		return tx.PutUser(ctx, u)
	})
	o.exchangeToken(last.Access).refused(400, oauth.InvalidRequest, "")
	o.wait(time.Hour)
	o.exchangeToken(last.Access).refused(400, oauth.InvalidRequest, "")
}
