package op_test

import (
	"net/http"
	"strings"
	"testing"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// server puts an authorization server, changed by f.
func (o *org) server(id string, f func(*oauth.Server)) {
	o.t.Helper()
	s := oauth.DefaultServer()
	s.ID, s.Audience = id, "api://"+id
	if id == oauth.OrgServer {
		s.Audience = ""
	}
	if f != nil {
		f(&s)
	}
	o.write(func(tx store.Tx) error { return tx.PutServer(ctx, s) })
	o.api.Forget()
}

const orgBase = "/oauth2/"

// at redeems a code at another server than the default one.
func (o *org) redeemAt(base, code string) answer {
	return o.form(base+"v1/token", nil, "grant_type", "interaction_code", "interaction_code", code, "client_id", appID, "code_verifier", verifier)
}

func of(server string) func(*store.Code) { return func(c *store.Code) { c.Grant.Server = server } }

func TestS66_TheOrgServersIssuerIsTheOrigin(t *testing.T) {
	o := newOrg(t)
	o.get("/.well-known/openid-configuration", nil).refused(404, oauth.InvalidRequest, "") // an organisation from before
	o.server(oauth.OrgServer, nil)
	a := o.get("/.well-known/openid-configuration", nil).ok()
	if same := o.get("/.well-known/oauth-authorization-server", nil).ok(); same.Body.String() != a.Body.String() {
		t.Error("RFC 8414's document is another")
	}
	doc := decode[map[string]any](a)
	if doc["issuer"] != origin || doc["token_endpoint"] != origin+"/oauth2/v1/token" {
		t.Errorf("%v, %v", doc["issuer"], doc["token_endpoint"])
	}
	for name, value := range doc {
		if !strings.HasSuffix(name, "_endpoint") && name != "jwks_uri" {
			continue
		}
		path, ours := strings.CutPrefix(value.(string), origin)
		if got := o.get(path, nil); !ours || got.Code == http.StatusNotFound || !strings.HasPrefix(path, "/oauth2/v1/") && path != "/activate" {
			t.Errorf("%s: %v answers %d", name, value, got.Code)
		}
	}
	got := decode[tokens](o.redeemAt(orgBase, o.code(appID, "openid offline_access", of(oauth.OrgServer))).ok())
	id, access := part(t, got.ID, 1), part(t, got.Access, 1)
	if id["iss"] != origin || access["iss"] != origin || access["aud"] != origin {
		t.Errorf("claims\n%v\n%v", id, access)
	}
	o.get(orgBase+"v1/userinfo", header{"Authorization": "Bearer " + got.Access}).ok()
	o.form(orgBase+"v1/token", nil, "grant_type", "refresh_token", "refresh_token", got.Refresh, "client_id", appID).ok()
	// It has one address and no other.
	for _, path := range []string{"/oauth2/org/v1/keys", "/oauth2/org/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/oauth2/org", "/oauth2/.well-known/openid-configuration"} {
		o.get(path, nil).refused(404, oauth.InvalidRequest, "")
	}
	o.form(orgBase+"v1/interact", nil, "client_id", appID, "scope", "openid", "redirect_uri", callback, "state", "x",
		"code_challenge", challenge(), "code_challenge_method", "S256").ok()
	if began := o.engine.began; began[len(began)-1].Server != oauth.OrgServer {
		t.Errorf("begun at %q", began[len(began)-1].Server)
	}
}

func TestS61_TokensOfOneServerAreRefusedAtAnother(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org) {
		o.server(oauth.OrgServer, nil)
		servers := map[string]string{"default": base, "other": "/oauth2/other/", oauth.OrgServer: orgBase}
		for from, at := range servers {
			got := decode[tokens](o.redeemAt(at, o.code(appID, "openid offline_access", of(from))).ok())
			o.get(at+"v1/userinfo", header{"Authorization": "Bearer " + got.Access}).ok()
			for to, there := range servers {
				if to == from {
					continue
				}
				o.get(there+"v1/userinfo", header{"Authorization": "Bearer " + got.Access}).refused(401, oauth.InvalidToken, "")
				for _, token := range []string{got.Access, got.Refresh, got.ID} {
					a := o.form(there+"v1/introspect", nil, "client_id", appID, "token", token).ok()
					if strings.TrimSpace(a.Body.String()) != `{"active":false}` {
						t.Errorf("a token of %s at %s: %s", from, to, a.Body)
					}
					o.form(there+"v1/revoke", nil, "client_id", appID, "token", token).ok()
				}
				o.form(there+"v1/token", nil, "grant_type", "refresh_token", "refresh_token", got.Refresh, "client_id", appID).
					refused(400, oauth.InvalidGrant, "")
				o.redeemAt(there, o.code(appID, "openid", of(from))).refused(400, oauth.InvalidGrant, "")
			}
			o.get(at+"v1/userinfo", header{"Authorization": "Bearer " + got.Access}).ok() // nobody else could end it
		}
	})
}

func TestS57_AServersRules(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org) {
		o.client("0oa1other", nil)
		got := o.signIn("openid email offline_access")
		o.server("default", func(s *oauth.Server) {
			s.Rules = []oauth.Rule{
				{Apps: []oauth.ClientID{appID}, Scopes: []string{"openid", "offline_access"}},
				{Apps: []oauth.ClientID{webID}, GrantTypes: []oauth.GrantType{oauth.RefreshToken}},
			}
		})
		interact := func(client, scope string, more ...string) answer {
			return o.form(base+"v1/interact", nil, append([]string{"client_id", client, "scope", scope, "redirect_uri", callback, "state", "x",
				"code_challenge", challenge(), "code_challenge_method", "S256"}, more...)...)
		}
		interact(appID, "openid").ok()
		interact(appID, "openid email").refused(400, oauth.AccessDenied, "")
		interact("0oa1other", "openid").refused(400, oauth.AccessDenied, "")
		interact(webID, "openid", "client_secret", webSecret).refused(400, oauth.AccessDenied, "") // by a grant that the rule does not name
		o.redeem(o.code(appID, "openid")).ok()
		o.form(base+"v1/token", nil, "grant_type", "interaction_code", "interaction_code", o.code("0oa1other", "openid"), "client_id", "0oa1other",
			"code_verifier", verifier).refused(400, oauth.AccessDenied, "")
		// A rule that came after the grant counts from the next refresh on, and the token is not used up by the refusal.
		o.refresh(got.Refresh).refused(400, oauth.AccessDenied, "")
		o.refresh(got.Refresh, "scope", "openid offline_access").ok()
	})
}

func TestAServersLifetimesScopesAndClaims(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org) {
		o.write(func(tx store.Tx) error {
			if err := tx.AddGroup(ctx, ident.Group{ID: "00g1", Name: "staff"}); err != nil {
				return err
			}
			return tx.AddMember(ctx, "00g1", "00u1mary")
		})
		o.client(appID, func(c *oauth.Client) { c.Scopes = append(c.Scopes, "pets:read") })
		o.server("pets", func(s *oauth.Server) {
			s.Access, s.Scopes = 60e9, []string{"openid", "pets:read"}
			s.Claims = []oauth.Claim{
				{Name: "tenant", In: []oauth.TokenKind{oauth.InAccess, oauth.InID}, Text: "acme"},
				{Name: "roles", In: []oauth.TokenKind{oauth.InAccess}, Scope: "pets:read", User: oauth.UserGroups},
			}
		})
		const pets = "/oauth2/pets/"
		got := decode[tokens](o.redeemAt(pets, o.code(appID, "openid pets:read", of("pets"))).ok())
		access, id := part(t, got.Access, 1), part(t, got.ID, 1)
		roles, _ := access["roles"].([]any)
		if got.Expires != 60 || access["aud"] != "api://pets" || access["tenant"] != "acme" || len(roles) != 1 || roles[0] != "staff" ||
			id["tenant"] != "acme" || id["roles"] != nil || id["groups"] != nil {
			t.Errorf("expires in %d\n%v\n%v", got.Expires, access, id)
		}
		o.get(pets+"v1/userinfo", header{"Authorization": "Bearer " + got.Access}).ok() // what we add does not keep us from reading it
		if plain := part(t, decode[tokens](o.redeemAt(pets, o.code(appID, "openid", of("pets"))).ok()).Access, 1); plain["roles"] != nil {
			t.Errorf("a claim without its scope: %v", plain)
		}
		doc := o.get(pets+".well-known/openid-configuration", nil).ok().Body.String()
		if !strings.Contains(doc, `"tenant"`) || strings.Contains(doc, `"roles"`) || !strings.Contains(doc, `"scopes_supported":["openid","pets:read"]`) {
			t.Errorf("%s", doc)
		}
		if doc := o.get(base+".well-known/openid-configuration", nil).ok().Body.String(); strings.Contains(doc, "tenant") || strings.Contains(doc, "pets") {
			t.Errorf("another server's: %s", doc)
		}
	})
}

// TestS57_RulesAreNotJoined: one rule must allow the grant and the scopes. A client that two rules name does not get the
// scopes of the one by the grant of the other, wherever it asks.
func TestS57_RulesAreNotJoined(t *testing.T) {
	onBothSofas(t, func(t *testing.T, s *sofa) {
		const shopID = "0oa1shop"
		rules := map[oauth.GrantType]string{
			oauth.AuthorizationCode: "openid write:code", oauth.InteractionCode: "openid write:idx", oauth.DeviceCode: "openid write:tv", oauth.ClientCredentials: "write:alone",
		}
		scopes := []string{"openid", "write:code", "write:idx", "write:tv", "write:alone"}
		s.client(shopID, func(c *oauth.Client) {
			c.SecretDigests = []secret.Digest{secret.DigestOf(secret.ClientSecret, webSecret)}
			c.Grants, c.Scopes = []oauth.GrantType{oauth.AuthorizationCode, oauth.InteractionCode, oauth.DeviceCode, oauth.ClientCredentials}, scopes
		})
		s.server("default", func(srv *oauth.Server) {
			srv.Scopes = scopes
			for by, scope := range rules {
				srv.Rules = append(srv.Rules, oauth.Rule{Apps: []oauth.ClientID{shopID}, GrantTypes: []oauth.GrantType{by}, Scopes: strings.Fields(scope)})
			}
		})
		begin := []string{"client_id", shopID, "client_secret", webSecret, "redirect_uri", callback, "state", "x", "response_type", "code",
			"code_challenge", challenge(), "code_challenge_method", "S256"}
		ask := map[oauth.GrantType]func(scope string) answer{
			oauth.AuthorizationCode: func(scope string) answer { return s.form(base+"v1/par", nil, append(begin, "scope", scope)...) },
			oauth.InteractionCode:   func(scope string) answer { return s.form(base+"v1/interact", nil, append(begin, "scope", scope)...) },
			oauth.DeviceCode: func(scope string) answer {
				return s.form(base+"v1/device/authorize", nil, "client_id", shopID, "client_secret", webSecret, "scope", scope)
			},
			oauth.ClientCredentials: func(scope string) answer {
				return s.form(base+"v1/token", nil, "grant_type", "client_credentials", "client_id", shopID, "client_secret", webSecret, "scope", scope)
			},
		}
		for by, do := range ask {
			if a := do(rules[by]); a.Code/100 != 2 {
				t.Errorf("%s: %d %s", by, a.Code, a.Body)
			}
			for other, scope := range rules {
				if other != by && !(by == oauth.ClientCredentials && strings.Contains(scope, "openid")) {
					do(scope).refused(400, oauth.AccessDenied, "")
				}
			}
		}
		// What is about nobody, so that the machine's own check is not what refuses it.
		for _, scope := range []string{"write:code", "write:idx", "write:tv"} {
			ask[oauth.ClientCredentials](scope).refused(400, oauth.AccessDenied, "")
		}
		w := s.get(base+"v1/authorize?"+encode("client_id", shopID, "redirect_uri", callback, "state", "x", "response_type", "code",
			"code_challenge", challenge(), "code_challenge_method", "S256", "scope", "openid write:idx"), nil)
		if !strings.Contains(w.Header().Get("Location"), "error=access_denied") {
			t.Errorf("authorize: %d to %q", w.Code, w.Header().Get("Location"))
		}
		// A code that was given before the rules: redeeming it is by a grant, too.
		redeem := func(kind, parameter, code string) answer {
			return s.form(base+"v1/token", nil, "grant_type", kind, parameter, code, "client_id", shopID, "client_secret", webSecret,
				"code_verifier", verifier, "redirect_uri", callback)
		}
		redeem("interaction_code", "interaction_code", s.code(shopID, "openid write:idx")).ok()
		redeem("interaction_code", "interaction_code", s.code(shopID, "openid write:code")).refused(400, oauth.AccessDenied, "")
		redeem("authorization_code", "code", s.hosted(shopID, "openid write:code")).ok()
		redeem("authorization_code", "code", s.hosted(shopID, "openid write:idx")).refused(400, oauth.AccessDenied, "")
	})
}
