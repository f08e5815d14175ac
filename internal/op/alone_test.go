package op_test

import (
	"strings"
	"testing"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

const machineID = "0oa1machine"

// withMachine adds a client that asks for itself, and scopes to ask for.
func (o *org) withMachine() *org {
	o.t.Helper()
	s := oauth.DefaultServer()
	s.Scopes = append(s.Scopes, "stock:read", "stock:write", "salaries")
	o.write(func(tx store.Tx) error { return tx.PutServer(ctx, s) })
	o.client(machineID, func(c *oauth.Client) {
		c.SecretDigests = []secret.Digest{secret.DigestOf(secret.ClientSecret, webSecret)}
		c.Grants = []oauth.GrantType{oauth.ClientCredentials, oauth.RefreshToken}
		c.Scopes = append(c.Scopes, "stock:read", "stock:write")
	})
	o.api.Forget()
	return o
}

func (o *org) alone(scope string, more ...string) answer {
	return o.form(base+"v1/token", basic(machineID+":"+webSecret), append([]string{"grant_type", "client_credentials", "scope", scope}, more...)...)
}

func TestClientCredentials(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org) {
		o.withMachine()
		a := o.alone("stock:read stock:write").ok()
		got := decode[tokens](a)
		if got.Type != "Bearer" || got.Scope != "stock:read stock:write" || got.Expires != 900 || got.Refresh != "" || got.ID != "" {
			t.Errorf("RFC 6749 4.4.3: %s", a.Body)
		}
		claims := part(t, got.Access, 1)
		if claims["sub"] != machineID || claims["cid"] != machineID || claims["aud"] != "api://default" {
			t.Errorf("claims %v", claims)
		}
		for _, name := range []string{"uid", "auth_time"} {
			if claims[name] != nil {
				t.Errorf("nobody signed in, and there is %s %v", name, claims[name])
			}
		}
		mine := basic(machineID + ":" + webSecret)
		told := decode[map[string]any](o.introspect(mine, got.Access).ok())
		if told["active"] != true || told["sub"] != machineID || told["client_id"] != machineID || told["scope"] != "stock:read stock:write" || told["uid"] != nil || told["username"] != nil {
			t.Errorf("introspection %v", told)
		}
		o.userinfo(got.Access).refused(403, oauth.InsufficientScope, "")
		another := decode[tokens](o.alone("stock:read").ok()).Access
		o.revoke(mine, "token", got.Access).done()
		if a := o.introspect(mine, got.Access).ok().Body.String(); a != `{"active":false}` {
			t.Errorf("revoked: %s", a)
		}
		if told := decode[map[string]any](o.introspect(mine, another).ok()); told["active"] != true {
			t.Errorf("another token went with it: %v", told)
		}
		if n := len(o.events(audit.TokensIssued)); n != 2 {
			t.Errorf("S-71: %d issues recorded", n)
		}
	})
}

func TestS57_ClientCredentials(t *testing.T) {
	o := newOrg(t).withMachine()
	o.client("0oa1public", func(c *oauth.Client) {
		c.Grants = []oauth.GrantType{oauth.ClientCredentials}
		c.Scopes = []string{"stock:read"}
	})
	for _, scope := range []string{"", "openid", "offline_access", "stock:read openid", "profile", "groups", "salaries", "nothing"} {
		o.alone(scope).refused(400, oauth.InvalidScope, "")
	}
	o.form(base+"v1/token", nil, "grant_type", "client_credentials", "scope", "stock:read", "client_id", "0oa1public").refused(400, oauth.UnauthorizedClient, "")
	o.form(base+"v1/token", nil, "grant_type", "client_credentials", "scope", "stock:read", "client_id", machineID).refused(401, oauth.InvalidClient, "")
	o.form(base+"v1/token", basic(webID+":"+webSecret), "grant_type", "client_credentials", "scope", "openid").refused(400, oauth.UnauthorizedClient, "")
	if n := len(o.events(audit.TokensIssued)); n != 0 {
		t.Errorf("%d issues", n)
	}
}

// TestS61_UserInfoTellsOfPeople, even if somebody registers openid for a token that has nobody.
func TestS61_UserInfoTellsOfPeople(t *testing.T) {
	o := newOrg(t).withMachine()
	signer, err := o.ring.Signer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	claims := part(t, decode[tokens](o.alone("stock:read").ok()).Access, 1)
	claims["scp"] = []string{"openid"}
	token, err := signer.Sign(claims)
	if err != nil || strings.Count(token, ".") != 2 {
		t.Fatal(err)
	}
	o.userinfo(token).refused(401, oauth.InvalidToken, "")
}
