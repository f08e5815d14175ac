package op_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
)

const (
	tokenURL    = issuer + "/v1/token"
	userinfoURL = issuer + "/v1/userinfo"
)

func jkt(t testing.TB, key *ecdsa.PrivateKey) string {
	t.Helper()
	k := jose.JSONWebKey{Key: &key.PublicKey}
	sum, err := k.Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

func athOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// proof is a good one for an address, with what is different; nil leaves a claim out.
func (o *org) proof(key *ecdsa.PrivateKey, method, address string, different claims) string {
	o.t.Helper()
	c := claims{"htm": method, "htu": address, "iat": o.now().Unix(), "jti": ident.NewID("")}
	maps.Copy(c, different)
	for name, value := range different {
		if value == nil {
			delete(c, name)
		}
	}
	return sign(o.t, key, (&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"), c)
}

func (o *org) atToken(key *ecdsa.PrivateKey) header {
	return header{"DPoP": o.proof(key, "POST", tokenURL, nil)}
}

// bound signs in at the public client with a proof.
func (o *org) bound(key *ecdsa.PrivateKey, scope string) tokens {
	o.t.Helper()
	return decode[tokens](o.form(base+"v1/token", o.atToken(key), "grant_type", "interaction_code", "interaction_code", o.code(appID, scope),
		"client_id", appID, "code_verifier", verifier).ok())
}

func (o *org) refreshBy(h header, token string) answer {
	return o.form(base+"v1/token", h, "grant_type", "refresh_token", "refresh_token", token, "client_id", appID)
}

func (o *org) show(token, proof string) answer {
	h := header{"Authorization": "DPoP " + token}
	if proof != "" {
		h["DPoP"] = proof
	}
	return o.get(base+"v1/userinfo", h)
}

func TestS66_BoundTokens(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org) {
		got := o.bound(clientKey(), "openid offline_access")
		cnf, _ := part(t, got.Access, 1)["cnf"].(map[string]any)
		if got.Type != "DPoP" || cnf["jkt"] != jkt(t, clientKey()) {
			t.Errorf("type %s, cnf %v", got.Type, cnf)
		}
		if part(t, got.ID, 1)["cnf"] != nil {
			t.Error("an ID token is no access token")
		}
		told := decode[map[string]any](o.introspect(basic(appID), got.Access).ok())
		if cnf, _ := told["cnf"].(map[string]any); told["token_type"] != "DPoP" || cnf["jkt"] != jkt(t, clientKey()) {
			t.Errorf("RFC 9449 6.2: introspection %v", told)
		}
		good := o.proof(clientKey(), "GET", userinfoURL, claims{"ath": athOf(got.Access)})
		o.show(got.Access, good).ok()
		again := o.show(got.Access, good)
		again.refused(401, oauth.InvalidDPoPProof, "The DPoP proof was used before.")
		if h := again.Header().Get("WWW-Authenticate"); !strings.HasPrefix(h, `DPoP error="invalid_dpop_proof", error_description="`) || !strings.HasSuffix(h, `, algs="ES256 RS256"`) {
			t.Errorf("RFC 9449 7.1: %s", h)
		}
		// The refresh token of a public client belongs to the key, and an attempt without it costs nothing.
		const key = "The refresh token is bound to a key, and there is no DPoP proof by it."
		o.refreshBy(nil, got.Refresh).refused(400, oauth.InvalidGrant, key)
		o.refreshBy(o.atToken(otherKey()), got.Refresh).refused(400, oauth.InvalidGrant, key)
		next := decode[tokens](o.refreshBy(o.atToken(clientKey()), got.Refresh).ok())
		if next.Type != "DPoP" {
			t.Errorf("%+v", next)
		}
		o.refreshBy(nil, got.Refresh).refused(400, oauth.InvalidGrant, noRefresh) // S-60: it was used
		o.show(next.Access, o.proof(clientKey(), "GET", userinfoURL, claims{"ath": athOf(next.Access)})).refused(401, oauth.InvalidToken, "")
	})
}

// TestS66_ProofsAreVerifiedInFull holds every line of RFC 9449 4.3.
func TestS66_ProofsAreVerifiedInFull(t *testing.T) {
	o := newOrg(t)
	at := func(d time.Duration) int64 { return o.now().Add(d).Unix() }
	plain := func(typ string, embed bool) string {
		return sign(t, clientKey(), (&jose.SignerOptions{EmbedJWK: embed}).WithType(jose.ContentType(typ)),
			claims{"htm": "POST", "htu": tokenURL, "iat": at(0), "jti": ident.NewID("")})
	}
	with := func(different claims) string { return o.proof(clientKey(), "POST", tokenURL, different) }
	for name, test := range map[string]struct {
		proof string
		ok    bool
	}{
		"good":                       {with(nil), true},
		"with a query and fragment":  {with(claims{"htu": tokenURL + "?a=b#c"}), true},
		"in capitals, with the port": {with(claims{"htu": "HTTPS://ID.example:443/oauth2/default/v1/token"}), true},
		"another port":               {with(claims{"htu": "https://id.example:444/oauth2/default/v1/token"}), false},
		"without TLS":                {with(claims{"htu": "http://id.example/oauth2/default/v1/token"}), false},
		"another host":               {with(claims{"htu": "https://id.example.evil.example/oauth2/default/v1/token"}), false},
		"a host as somebody's name":  {with(claims{"htu": "https://id.example@evil.example/oauth2/default/v1/token"}), false},
		"somebody's name before it":  {with(claims{"htu": "https://evil@id.example/oauth2/default/v1/token"}), false},
		"another endpoint":           {with(claims{"htu": userinfoURL}), false},
		"another server":             {with(claims{"htu": origin + "/oauth2/other/v1/token"}), false},
		"a slash more":               {with(claims{"htu": tokenURL + "/"}), false},
		"the path alone":             {with(claims{"htu": "/oauth2/default/v1/token"}), false},
		"no address":                 {with(claims{"htu": nil}), false},
		"another method":             {with(claims{"htm": "GET"}), false},
		"the method in small":        {with(claims{"htm": "post"}), false},
		"no method":                  {with(claims{"htm": nil}), false},
		"no id":                      {with(claims{"jti": nil}), false},
		"no time":                    {with(claims{"iat": nil}), false},
		"a time that is text":        {with(claims{"iat": "now"}), false},
		"almost five minutes old":    {with(claims{"iat": at(-5*time.Minute + time.Second)}), true},
		"five minutes old":           {with(claims{"iat": at(-5 * time.Minute)}), false},
		"a minute ahead":             {with(claims{"iat": at(time.Minute)}), true},
		"more than that":             {with(claims{"iat": at(61 * time.Second)}), false},
		"ages ahead":                 {with(claims{"iat": 1e300}), false},
		"another type":               {plain("jwt", true), false},
		"no key":                     {plain("dpop+jwt", false), false},
		"nonsense":                   {"a.b.c", false},
		"two, as one":                {with(nil) + ", " + with(nil), false},
	} {
		t.Run(name, func(t *testing.T) {
			code := o.code(appID, "openid")
			a := o.form(base+"v1/token", header{"DPoP": test.proof}, "grant_type", "interaction_code", "interaction_code", code, "client_id", appID, "code_verifier", verifier)
			if test.ok {
				if got := decode[tokens](a.ok()); got.Type != "DPoP" {
					t.Errorf("%+v", got)
				}
				return
			}
			a.refused(400, oauth.InvalidDPoPProof, "")
			o.redeem(code).ok() // nothing was spent
		})
	}
	t.Run("two proofs", func(t *testing.T) {
		r := httptest.NewRequest(http.MethodPost, base+"v1/token", strings.NewReader(encode("grant_type", "interaction_code", "interaction_code", o.code(appID, "openid"),
			"client_id", appID, "code_verifier", verifier)))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header["Dpop"] = []string{with(nil), with(nil)}
		o.send(r, nil).refused(400, oauth.InvalidDPoPProof, "The DPoP proof is there more than once.")
	})
	t.Run("an empty one is one", func(t *testing.T) {
		o.form(base+"v1/token", header{"DPoP": ""}, "grant_type", "interaction_code", "interaction_code", o.code(appID, "openid"), "client_id", appID, "code_verifier", verifier).
			refused(400, oauth.InvalidDPoPProof, "")
	})
}

func TestS66_AProofIsGoodOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org) {
		h := o.atToken(clientKey())
		won := race(30, func() int {
			return o.form(base+"v1/token", h, "grant_type", "interaction_code", "interaction_code", o.code(appID, "openid"), "client_id", appID, "code_verifier", verifier).Code
		})
		if won != 1 {
			t.Errorf("%d of 30 proofs were taken", won)
		}
	})
}

func TestS61_BoundTokensAtUserInfo(t *testing.T) {
	o := newOrg(t)
	got, free := o.bound(clientKey(), "openid"), o.signIn("openid")
	by := func(key *ecdsa.PrivateKey, different claims) string {
		c := claims{"ath": athOf(got.Access)}
		maps.Copy(c, different)
		return o.proof(key, "GET", userinfoURL, c)
	}
	for name, test := range map[string]struct {
		a    answer
		code oauth.Code
	}{
		"as a bearer token":                {o.userinfo(got.Access), oauth.InvalidToken},
		"as a bearer token, with a proof":  {o.get(base+"v1/userinfo", header{"Authorization": "Bearer " + got.Access, "DPoP": by(clientKey(), nil)}), oauth.InvalidToken},
		"in the body":                      {o.form(base+"v1/userinfo", nil, "access_token", got.Access), oauth.InvalidToken},
		"without a proof":                  {o.show(got.Access, ""), oauth.InvalidDPoPProof},
		"by another key":                   {o.show(got.Access, by(otherKey(), nil)), oauth.InvalidToken},
		"with a proof for another token":   {o.show(got.Access, by(clientKey(), claims{"ath": athOf(free.Access)})), oauth.InvalidDPoPProof},
		"with a proof for no token":        {o.show(got.Access, by(clientKey(), claims{"ath": nil})), oauth.InvalidDPoPProof},
		"with a proof for another address": {o.show(got.Access, by(clientKey(), claims{"htu": tokenURL})), oauth.InvalidDPoPProof},
		"with a proof for another method":  {o.show(got.Access, by(clientKey(), claims{"htm": "POST"})), oauth.InvalidDPoPProof},
		"a token that is not bound":        {o.show(free.Access, o.proof(clientKey(), "GET", userinfoURL, claims{"ath": athOf(free.Access)})), oauth.InvalidToken},
		"nonsense":                         {o.show("a.b.c", by(clientKey(), nil)), oauth.InvalidToken},
	} {
		t.Run(name, func(t *testing.T) {
			test.a.refused(401, test.code, "")
			if h := test.a.Header().Get("WWW-Authenticate"); !strings.HasPrefix(h, `DPoP error="`+string(test.code)+`", `) {
				t.Errorf("WWW-Authenticate %s", h)
			}
		})
	}
	o.form(base+"v1/userinfo", header{"Authorization": "DPoP " + got.Access}, "access_token", got.Access).refused(400, oauth.InvalidRequest, "")
	o.show(got.Access, by(clientKey(), nil)).ok()
	o.userinfo(free.Access).ok()
	o.get(base+"v1/userinfo", header{"Authorization": "Bearer " + free.Access, "DPoP": "a.b.c"}).refused(401, oauth.InvalidDPoPProof, "")
	h := header{"Authorization": "dpop " + got.Access, "DPoP": o.proof(clientKey(), "POST", userinfoURL, claims{"ath": athOf(got.Access)})}
	o.post(base+"v1/userinfo", "", h).ok() // RFC 9110 11.1: schemes have no case
	narrow := o.bound(clientKey(), "email")
	a := o.show(narrow.Access, o.proof(clientKey(), "GET", userinfoURL, claims{"ath": athOf(narrow.Access)}))
	a.refused(403, oauth.InsufficientScope, "")
}

// TestS66_CodesAreBoundToo: from the request on that names the key, or that is sent with a proof (RFC 9449 10).
func TestS66_CodesAreBoundToo(t *testing.T) {
	const noKey = "The code is bound to a key, and there is no DPoP proof by it."
	mine := jkt(t, clientKey())
	t.Run("at interact", func(t *testing.T) {
		o := newOrg(t)
		address := issuer + "/v1/interact"
		o.interact("dpop_jkt", mine).ok()
		o.post(base+"v1/interact", asked(), header{"DPoP": o.proof(clientKey(), "POST", address, nil)}).ok()
		o.post(base+"v1/interact", asked("dpop_jkt", mine), header{"DPoP": o.proof(clientKey(), "POST", address, nil)}).ok()
		o.interact().ok()
		for i, want := range []string{mine, mine, mine, ""} {
			if got := o.engine.began[i].Key; got != want {
				t.Errorf("%d: bound to %q, want %q", i, got, want)
			}
		}
		o.post(base+"v1/interact", asked("dpop_jkt", mine), header{"DPoP": o.proof(otherKey(), "POST", address, nil)}).refused(400, oauth.InvalidDPoPProof, "")
		o.post(base+"v1/interact", asked(), header{"DPoP": o.proof(clientKey(), "POST", tokenURL, nil)}).refused(400, oauth.InvalidDPoPProof, "")
		for _, wrong := range []string{mine[:42], mine + "A", mine[:42] + "="} {
			o.interact("dpop_jkt", wrong).refused(400, oauth.InvalidRequest, "")
		}
		if len(o.engine.began) != 4 {
			t.Errorf("%d sign-ins began", len(o.engine.began))
		}
	})
	hostedOnBoth(t, func(t *testing.T, h *hosted) {
		b := h.tab()
		exchange := func(code string, by header) answer {
			return h.form(base+"v1/token", by, "grant_type", "authorization_code", "code", code, "client_id", appID, "redirect_uri", callback, "code_verifier", verifier)
		}
		b.enter(appID)
		for name, begin := range map[string]func() string{
			"at authorize": func() string { return back(t, b.authorize(appID, "dpop_jkt", mine)).Get("code") },
			"at par": func() string {
				return back(t, b.bring(appID, h.push(header{"DPoP": h.proof(clientKey(), "POST", issuer+"/v1/par", nil)}).pushed())).Get("code")
			},
			"at par, named": func() string { return back(t, b.bring(appID, h.push(nil, "dpop_jkt", mine).pushed())).Get("code") },
		} {
			t.Run(name, func(t *testing.T) {
				code := begin()
				exchange(code, nil).refused(400, oauth.InvalidGrant, noKey)
				exchange(code, h.atToken(clientKey())).refused(400, oauth.InvalidGrant, noAuthCode) // S-56: it is burnt
				exchange(begin(), h.atToken(otherKey())).refused(400, oauth.InvalidGrant, noKey)
				got := decode[tokens](exchange(begin(), h.atToken(clientKey())).ok())
				if got.Type != "DPoP" {
					t.Errorf("%+v", got)
				}
				h.refreshBy(nil, got.Refresh).refused(400, oauth.InvalidGrant, "")
			})
		}
		h.push(header{"DPoP": h.proof(otherKey(), "POST", issuer+"/v1/par", nil)}, "dpop_jkt", mine).refused(400, oauth.InvalidDPoPProof, "")
		if q := back(t, b.authorize(appID, "dpop_jkt", "x")); q.Get("error") != "invalid_request" {
			t.Errorf("%v", q)
		}
	})
}

// TestS66_ClientsWhoseTokensAreBound get none without a proof.
func TestS66_ClientsWhoseTokensAreBound(t *testing.T) {
	o := newOrg(t).withMachine()
	o.client("0oa1binding", func(c *oauth.Client) { c.BindsTokens = true })
	form := []string{"grant_type", "interaction_code", "client_id", "0oa1binding", "code_verifier", verifier, "interaction_code"}
	code := o.code("0oa1binding", "openid offline_access")
	o.form(base+"v1/token", nil, append(form, code)...).refused(400, oauth.InvalidDPoPProof, "The DPoP proof is missing: the tokens of this client are bound to a key.")
	got := decode[tokens](o.form(base+"v1/token", o.atToken(clientKey()), append(form, code)...).ok())
	if got.Type != "DPoP" {
		t.Errorf("%+v", got)
	}
	o.form(base+"v1/token", nil, "grant_type", "refresh_token", "refresh_token", got.Refresh, "client_id", "0oa1binding").refused(400, oauth.InvalidDPoPProof, "")
}

// A confidential client proves itself at each refresh, so that its refresh tokens go with any key (RFC 9449 5).
func TestConfidentialClientsChangeKeys(t *testing.T) {
	o := newOrg(t).withMachine()
	by := func(key *ecdsa.PrivateKey) header {
		h := basic(webID + ":" + webSecret)
		maps.Copy(h, o.atToken(key))
		return h
	}
	got := decode[tokens](o.form(base+"v1/token", by(clientKey()), "grant_type", "interaction_code", "interaction_code", o.code(webID, "openid offline_access"), "code_verifier", verifier).ok())
	next := decode[tokens](o.form(base+"v1/token", by(otherKey()), "grant_type", "refresh_token", "refresh_token", got.Refresh).ok())
	for token, key := range map[string]*ecdsa.PrivateKey{got.Access: clientKey(), next.Access: otherKey()} {
		o.show(token, o.proof(key, "GET", userinfoURL, claims{"ath": athOf(token)})).ok()
	}
	h := basic(machineID + ":" + webSecret)
	maps.Copy(h, o.atToken(clientKey()))
	alone := decode[tokens](o.form(base+"v1/token", h, "grant_type", "client_credentials", "scope", "stock:read").ok())
	if cnf, _ := part(t, alone.Access, 1)["cnf"].(map[string]any); alone.Type != "DPoP" || cnf["jkt"] != jkt(t, clientKey()) {
		t.Errorf("%+v", alone)
	}
}

// TestS66_ExchangedTokensAreBound to the key of the service, if it proves to have one.
func TestS66_ExchangedTokensAreBound(t *testing.T) {
	o := newGate(newOrg(t))
	subject := o.signIn("openid offline_access").Access
	a := o.form(base+"v1/token", o.atToken(otherKey()), "grant_type", string(oauth.TokenExchange), "subject_token", subject, "subject_token_type", oauth.AccessTokenType,
		"scope", "openid", "client_id", gateID, "client_secret", webSecret).ok()
	got := decode[tokens](a)
	if cnf, _ := part(t, got.Access, 1)["cnf"].(map[string]any); got.Type != "DPoP" || cnf["jkt"] != jkt(t, otherKey()) {
		t.Errorf("%s", a.Body)
	}
	o.userinfo(got.Access).refused(401, oauth.InvalidToken, "")
	o.show(got.Access, o.proof(otherKey(), "GET", userinfoURL, claims{"ath": athOf(got.Access)})).ok()
	o.exchangeToken(got.Access).refused(400, oauth.InvalidRequest, "")
}

// TestS66_DevicesBindTheirTokens: a device is a public client, whose refresh tokens belong to its key.
func TestS66_DevicesBindTheirTokens(t *testing.T) {
	onBothSofas(t, func(t *testing.T, s *sofa) {
		w := s.wants("openid offline_access")
		s.types(w.User, "continue")
		got := decode[tokens](s.form(base+"v1/token", s.atToken(clientKey()), "grant_type", string(oauth.DeviceCode), "device_code", w.Device, "client_id", tvID).ok())
		if got.Type != "DPoP" {
			t.Errorf("%+v", got)
		}
		form := []string{"grant_type", "refresh_token", "refresh_token", got.Refresh, "client_id", tvID}
		s.form(base+"v1/token", nil, form...).refused(400, oauth.InvalidGrant, "")
		s.form(base+"v1/token", s.atToken(otherKey()), form...).refused(400, oauth.InvalidGrant, "")
		s.form(base+"v1/token", s.atToken(clientKey()), form...).ok()
	})
}
