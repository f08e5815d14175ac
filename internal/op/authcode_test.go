package op_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/keys"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/store"
)

const noAuthCode = "The authorization code is invalid or has expired."

func TestAuthorizationCode(t *testing.T) {
	o := newOrg(t)
	got := decode[tokens](o.exchange(o.hosted(appID, "openid offline_access"), "redirect_uri", callback).ok())
	if got.Access == "" || got.ID == "" || got.Refresh == "" || part(t, got.ID, 1)["nonce"] != nonce {
		t.Errorf("%+v", got)
	}
	o.userinfo(got.Access).ok()
	o.refresh(got.Refresh).ok()
}

// RFC 6749 4.1.3: the address that the browser went to is sent again, and is the same.
func TestS56_AuthorizationCodes(t *testing.T) {
	o := newOrg(t)
	o.client("0oa1other", nil)
	o.client("0oa1idx", func(c *oauth.Client) { c.Grants = []oauth.GrantType{oauth.InteractionCode} })
	const elsewhere = "The 'redirect_uri' is not the one that the sign-in began with."
	for name, test := range map[string]struct {
		change func(*store.Code)
		pairs  []string
		wait   time.Duration
		code   oauth.Code
		text   string
	}{
		"without the redirect URI":  {code: oauth.InvalidRequest, text: "The parameter 'redirect_uri' is missing."},
		"with another redirect URI": {pairs: []string{"redirect_uri", "http://127.0.0.1/cb"}, code: oauth.InvalidGrant, text: elsewhere},
		"with a slash more":         {pairs: []string{"redirect_uri", callback + "/"}, code: oauth.InvalidGrant, text: elsewhere},
		"expired":                   {pairs: []string{"redirect_uri", callback}, wait: time.Minute, code: oauth.InvalidGrant, text: noAuthCode},
		"another server's": {func(c *store.Code) { c.Grant.Server = "other" }, []string{"redirect_uri", callback}, 0,
			oauth.InvalidGrant, noAuthCode},
		"another client's": {func(c *store.Code) { c.Grant.Client = "0oa1other" }, []string{"redirect_uri", callback}, 0,
			oauth.InvalidGrant, noAuthCode},
		"of another challenge": {func(c *store.Code) { c.PKCE = strings.Repeat("x", 43) }, []string{"redirect_uri", callback}, 0,
			oauth.InvalidGrant, "PKCE verification failed."},
	} {
		t.Run(name, func(t *testing.T) {
			var change []func(*store.Code)
			if test.change != nil {
				change = append(change, test.change)
			}
			code := o.hosted(appID, "openid", change...)
			o.wait(test.wait)
			o.exchange(code, test.pairs...).refused(400, test.code, test.text)
			o.exchange(code, "redirect_uri", callback).refused(400, oauth.InvalidGrant, noAuthCode) // it is burnt
		})
	}
	o.exchange("no such code", "redirect_uri", callback).refused(400, oauth.InvalidGrant, noAuthCode)
	o.form(base+"v1/token", nil, "grant_type", "authorization_code", "code", "x", "client_id", "0oa1idx").refused(400, oauth.UnauthorizedClient, "")
}

// TestS16_KindsOfCodes: neither kind of code is taken for the other, and asking the wrong way spends nothing.
func TestS16_KindsOfCodes(t *testing.T) {
	o := newOrg(t)
	hosted, embedded := o.hosted(appID, "openid"), o.code(appID, "openid")
	o.redeem(hosted).refused(400, oauth.InvalidGrant, "The interaction code is invalid or has expired.")
	o.exchange(embedded, "redirect_uri", callback).refused(400, oauth.InvalidGrant, noAuthCode)
	o.redeem(embedded).ok()
	o.exchange(hosted, "redirect_uri", callback).ok()
}

func TestS55_AuthorizationCodesNeedTheirVerifier(t *testing.T) {
	o := newOrg(t)
	for _, wrong := range []string{"", strings.Repeat("x", 43), challenge()} {
		code := o.hosted(appID, "openid")
		o.form(base+"v1/token", nil, "grant_type", "authorization_code", "code", code, "client_id", appID, "redirect_uri", callback, "code_verifier", wrong).
			refused(400, oauth.InvalidGrant, "PKCE verification failed.")
		o.exchange(code, "redirect_uri", callback).refused(400, oauth.InvalidGrant, noAuthCode)
	}
}

func TestS56_AReplayedAuthorizationCodeRevokes(t *testing.T) {
	o := newOrg(t)
	code := o.hosted(appID, "openid offline_access")
	got := decode[tokens](o.exchange(code, "redirect_uri", callback).ok())
	o.userinfo(got.Access).ok()
	o.exchange(code, "redirect_uri", callback).refused(400, oauth.InvalidGrant, noAuthCode)
	o.userinfo(got.Access).refused(401, oauth.InvalidToken, "")
	o.refresh(got.Refresh).refused(400, oauth.InvalidGrant, "")
	if len(o.events(audit.CodeReplayed)) != 1 {
		t.Error("S-71: the replay was not recorded")
	}
}

func TestS56_ParallelExchanges(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org) {
		code := o.hosted(appID, "openid")
		var winner atomic.Value
		won := race(50, func() int {
			a := o.exchange(code, "redirect_uri", callback)
			if a.Code == http.StatusOK {
				winner.Store(decode[tokens](a).Access)
			}
			return a.Code
		})
		if won != 1 {
			t.Fatalf("%d of 50 won", won)
		}
		o.userinfo(winner.Load().(string)).refused(401, oauth.InvalidToken, "")
	})
}

// TestS62_ES256 changes the algorithm while tokens are out: both kinds are good, discovery and key set say so, and
// another relying party takes them.
func TestS62_ES256(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org) {
		old := o.signIn("openid offline_access")
		if err := o.ring.RotateTo(ctx, keys.ES256, audit.Event{}); err != nil {
			t.Fatal(err)
		}
		o.wait(keys.Ahead)
		o.api.Forget()
		got := o.signIn("openid")
		for _, token := range []string{got.Access, got.ID} {
			if h := part(t, token, 0); len(h) != 2 || h["alg"] != "ES256" || h["kid"] == part(t, old.ID, 0)["kid"] {
				t.Errorf("header %v", h)
			}
		}
		o.userinfo(got.Access).ok()
		if next := decode[tokens](o.refresh(old.Refresh).ok()); part(t, next.ID, 0)["alg"] != "ES256" {
			t.Error("a refresh signs with the key from before")
		}
		doc := decode[map[string]any](o.get(base+".well-known/openid-configuration", nil).ok())
		if algs := fmt.Sprint(doc["id_token_signing_alg_values_supported"]); algs != "[ES256 RS256]" {
			t.Errorf("S-66: %s", algs)
		}
		server := httptest.NewServer(o.api)
		defer server.Close()
		octx := oidc.ClientContext(ctx, &http.Client{Transport: there(server.URL)})
		provider, err := oidc.NewProvider(octx, issuer)
		if err != nil {
			t.Fatal(err)
		}
		token, err := provider.Verifier(&oidc.Config{ClientID: appID, Now: o.now}).Verify(octx, got.ID)
		if err != nil {
			t.Fatal(err)
		}
		if err := token.VerifyAccessToken(got.Access); err != nil {
			t.Errorf("at_hash: %v", err)
		}
	})
}
