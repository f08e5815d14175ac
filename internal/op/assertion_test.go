package op_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
)

const (
	signerID = "0oa1signer"
	asJWT    = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

// clientKey is what the client of these tests signs with, and otherKey what somebody else does.
var (
	clientKey = sync.OnceValue(newECKey)
	otherKey  = sync.OnceValue(newECKey)
)

func newECKey() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
}

// withSigner adds a client that proves itself by a key.
func (o *org) withSigner() *org {
	o.t.Helper()
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &clientKey().PublicKey, KeyID: "one", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		o.t.Fatal(err)
	}
	o.client(signerID, func(c *oauth.Client) {
		c.Keys, c.AuthenticatesAtInteract = string(set), true
		c.Grants = append(c.Grants, oauth.DeviceCode)
	})
	return o
}

type claims map[string]any

// sign makes a JWS of claims.
func sign(t testing.TB, key *ecdsa.PrivateKey, o *jose.SignerOptions, c claims) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, o)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// assertion is a good one, with what is different.
func (o *org) assertion(different claims) string {
	o.t.Helper()
	c := claims{"iss": signerID, "sub": signerID, "aud": issuer + "/v1/token", "exp": o.now().Add(time.Minute).Unix(), "iat": o.now().Unix(), "jti": ident.NewID("")}
	maps.Copy(c, different)
	for name, value := range different {
		if value == nil {
			delete(c, name)
		}
	}
	return sign(o.t, clientKey(), nil, c)
}

// asserting tries an assertion at an endpoint where nothing else can be wrong.
func (o *org) asserting(assertion string, more ...string) answer {
	return o.form(base+"v1/introspect", nil, append([]string{"token", "x", "client_assertion_type", asJWT, "client_assertion", assertion}, more...)...)
}

func TestS58_PrivateKeyJWT(t *testing.T) {
	o := newOrg(t).withSigner()
	at := func(d time.Duration) int64 { return o.now().Add(d).Unix() }
	for name, test := range map[string]struct {
		assertion string
		ok        bool
	}{
		"for the token endpoint":         {o.assertion(nil), true},
		"for the issuer":                 {o.assertion(claims{"aud": issuer}), true},
		"for the endpoint it is sent to": {o.assertion(claims{"aud": issuer + "/v1/introspect"}), true},
		"for both, as a list":            {o.assertion(claims{"aud": []string{issuer, issuer + "/v1/token"}}), true},
		"for another endpoint":           {o.assertion(claims{"aud": issuer + "/v1/revoke"}), false},
		"for another server":             {o.assertion(claims{"aud": origin + "/oauth2/other"}), false},
		"for us and somebody else":       {o.assertion(claims{"aud": []string{issuer, "https://evil.example"}}), false},
		"for nobody":                     {o.assertion(claims{"aud": nil}), false},
		"for an empty list":              {o.assertion(claims{"aud": []string{}}), false},
		"over":                           {o.assertion(claims{"exp": at(-60 * time.Second)}), false},
		"over by less than the skew":     {o.assertion(claims{"exp": at(-59 * time.Second)}), true},
		"good for six minutes":           {o.assertion(claims{"exp": at(6 * time.Minute)}), true},
		"good for longer":                {o.assertion(claims{"exp": at(6*time.Minute + time.Second)}), false},
		"good for ever":                  {o.assertion(claims{"exp": nil}), false},
		"good for 1e300":                 {o.assertion(claims{"exp": 1e300}), false},
		"exp as a text":                  {o.assertion(claims{"exp": "tomorrow"}), false},
		"not good yet":                   {o.assertion(claims{"nbf": at(61 * time.Second)}), false},
		"made in the future":             {o.assertion(claims{"iat": at(61 * time.Second)}), false},
		"without iat":                    {o.assertion(claims{"iat": nil}), true},
		"without an id":                  {o.assertion(claims{"jti": nil}), false},
		"of another issuer":              {o.assertion(claims{"iss": webID}), false},
		"about another client":           {o.assertion(claims{"sub": webID}), false},
		"by another key":                 {sign(t, otherKey(), nil, claims{"iss": signerID, "sub": signerID, "aud": issuer, "exp": at(time.Minute), "jti": "x"}), false},
		"by a key in it": {sign(t, otherKey(), &jose.SignerOptions{EmbedJWK: true},
			claims{"iss": signerID, "sub": signerID, "aud": issuer, "exp": at(time.Minute), "jti": "y"}), false},
		"of no client":        {o.assertion(claims{"sub": "0oa1nobody", "iss": "0oa1nobody"}), false},
		"of a public client":  {o.assertion(claims{"sub": appID, "iss": appID}), false},
		"of one with secrets": {o.assertion(claims{"sub": webID, "iss": webID}), false},
		"no JWT":              {"x", false},
		"nonsense":            {"a.b.c", false},
	} {
		t.Run(name, func(t *testing.T) {
			if a := o.asserting(test.assertion); test.ok {
				a.ok()
			} else {
				a.refused(401, oauth.InvalidClient, "Client authentication failed.")
			}
		})
	}
	t.Run("beside something else", func(t *testing.T) {
		o.asserting(o.assertion(nil), "client_id", signerID).ok()
		o.asserting(o.assertion(nil), "client_id", webID).refused(401, oauth.InvalidClient, "")
		o.asserting(o.assertion(nil), "client_secret", webSecret).refused(400, oauth.InvalidRequest, "")
		o.form(base+"v1/introspect", basic(webID+":"+webSecret), "token", "x", "client_assertion_type", asJWT, "client_assertion", o.assertion(nil)).
			refused(400, oauth.InvalidRequest, "")
		o.form(base+"v1/introspect", nil, "token", "x", "client_assertion", o.assertion(nil)).refused(401, oauth.InvalidClient, "")
		o.form(base+"v1/introspect", nil, "token", "x", "client_assertion_type", asJWT).refused(400, oauth.InvalidRequest, "")
		o.form(base+"v1/introspect", nil, "token", "x", "client_id", signerID).refused(401, oauth.InvalidClient, "")
		o.form(base+"v1/introspect", basic(signerID+":"+webSecret), "token", "x").refused(401, oauth.InvalidClient, "")
	})
}

// TestS58_AnAssertionIsGoodOnce: however many come at once, and wherever it was shown first.
func TestS58_AnAssertionIsGoodOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org) {
		o.withSigner()
		once := o.assertion(claims{"aud": issuer})
		won := race(30, func() int {
			if status := o.asserting(once).Code; status != 401 {
				return status
			}
			return 400
		})
		if won != 1 {
			t.Errorf("%d of 30 were taken", won)
		}
		o.form(base+"v1/revoke", nil, "token", "x", "client_assertion_type", asJWT, "client_assertion", once).refused(401, oauth.InvalidClient, "")
		o.wait(2*time.Minute - time.Second)
		o.asserting(once).refused(401, oauth.InvalidClient, "")
	})
}

// TestS58_WhereClientsProveThemselves: at every endpoint that takes a secret.
func TestS58_WhereClientsProveThemselves(t *testing.T) {
	o := newOrg(t).withSigner()
	proof := func() []string { return []string{"client_assertion_type", asJWT, "client_assertion", o.assertion(nil)} }
	got := decode[tokens](o.form(base+"v1/token", nil, append(proof(), "grant_type", "interaction_code", "interaction_code", o.code(signerID, "openid offline_access"),
		"code_verifier", verifier)...).ok())
	next := decode[tokens](o.form(base+"v1/token", nil, append(proof(), "grant_type", "refresh_token", "refresh_token", got.Refresh)...).ok())
	o.form(base+"v1/introspect", nil, append(proof(), "token", next.Access)...).ok()
	o.form(base+"v1/revoke", nil, append(proof(), "token", next.Access)...).done()
	o.userinfo(next.Access).refused(401, oauth.InvalidToken, "")
	o.post(base+"v1/interact", asked("client_id", signerID)+"&"+encode(proof()...), nil).ok()
	o.post(base+"v1/interact", asked("client_id", signerID), nil).refused(401, oauth.InvalidClient, "")
	o.post(base+"v1/interact", asked("client_id", signerID)+"&"+encode("client_assertion_type", asJWT, "client_assertion", "a.b.c"), nil).refused(401, oauth.InvalidClient, "")
	o.post(base+"v1/par", asked("client_id", signerID, "response_type", "code")+"&"+encode(proof()...), nil).pushed()
	s := newSofa(t) // where the endpoint is a step deeper than the others
	s.withSigner()
	s.server(oauth.OrgServer, nil)
	for at, aud := range map[string][]string{
		base:    {issuer, issuer + "/v1/token", issuer + "/v1/device/authorize"},
		orgBase: {origin, origin + "/oauth2/v1/token", origin + "/oauth2/v1/device/authorize"},
	} {
		for _, name := range aud {
			s.form(at+"v1/device/authorize", nil, "client_assertion_type", asJWT, "client_assertion", s.assertion(claims{"aud": name}), "scope", "openid").ok()
		}
		s.form(at+"v1/device/authorize", nil, "client_assertion_type", asJWT, "client_assertion", s.assertion(claims{"aud": origin + at + "v1/device/token"}), "scope", "openid").
			refused(401, oauth.InvalidClient, "")
	}
	doc := o.get(base+".well-known/openid-configuration", nil).ok().Body.String()
	if !strings.Contains(doc, `"token_endpoint_auth_signing_alg_values_supported":["ES256","PS256","RS256"]`) || !strings.Contains(doc, "private_key_jwt") {
		t.Errorf("S-66: %s", doc)
	}
}
