package idx_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey.dev/idx"
)

// An issuer answers interact, introspect with success, keys and token: enough for an exchange, with any ID token.
type issuer struct {
	keys    func() any
	idToken func(nonce string) any // string or nil
	access  string
	nonce   string
	fetched map[string]int
	more    map[string]any // of the token answer
}

func (i *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	var form url.Values
	if r.Body != nil {
		b, _ := io.ReadAll(r.Body)
		form, _ = url.ParseQuery(string(b))
	}
	if i.fetched == nil {
		i.fetched = map[string]int{}
	}
	i.fetched[r.URL.Path]++
	give := func(v any) (*http.Response, error) {
		b, _ := json.Marshal(v)
		return answerTo(r, say(200, string(b))), nil
	}
	switch path := r.URL.Path; {
	case strings.HasSuffix(path, "openid-configuration"):
		return give(map[string]any{"issuer": stageIssuer, "token_endpoint": stageIssuer + "/v1/token", "jwks_uri": stageIssuer + "/v1/keys",
			"userinfo_endpoint": stageIssuer + "/v1/userinfo", "end_session_endpoint": stageIssuer + "/v1/logout?x=1"})
	case strings.HasSuffix(path, "/interact"):
		i.nonce = form.Get("nonce")
		return give(map[string]any{"interaction_handle": "ih"})
	case strings.HasSuffix(path, "/introspect"):
		return answerTo(r, say(200, doc(nil, successMember))), nil
	case strings.HasSuffix(path, "/keys"):
		return give(i.keys())
	case strings.HasSuffix(path, "/token"):
		out := map[string]any{"token_type": "Bearer", "access_token": i.access, "expires_in": 900}
		if t := i.idToken(i.nonce); t != nil {
			out["id_token"] = t
		}
		maps.Copy(out, i.more)
		return give(out)
	}
	return answerTo(r, say(404, "{}")), nil
}

func (i *issuer) exchange(t testing.TB, opts ...any) (*idx.Tokens, error) {
	t.Helper()
	var options []idx.ClientOption
	var params []idx.StartParam
	for _, o := range opts {
		switch o := o.(type) {
		case idx.ClientOption:
			options = append(options, o)
		case idx.StartParam:
			params = append(params, o)
		}
	}
	c, err := idx.New(idx.Config{Issuer: stageIssuer, ClientID: clientID, RedirectURI: redirectURI}, append(options, idx.WithHTTPClient(&http.Client{Transport: i}))...)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := c.Start(t.Context(), params...)
	if err != nil {
		t.Fatal(err)
	}
	return c.Exchange(t.Context(), tx)
}

func half(access string) string {
	sum := sha256.Sum256([]byte(access))
	return b64.EncodeToString(sum[:16])
}

func TestIDToken(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := testKey()
	now := time.Now().Unix()
	const nonceOfSignIn = "\x00"
	good := func(change map[string]any) map[string]any {
		c := map[string]any{"iss": stageIssuer, "aud": clientID, "sub": "00u1", "iat": now, "exp": now + 3600, "nonce": nonceOfSignIn, "at_hash": half("at")}
		for k, v := range change {
			if v == nil {
				delete(c, k)
			} else {
				c[k] = v
			}
		}
		return c
	}
	type change = map[string]any
	rs := change{"alg": "RS256", "kid": "latchkey-1"}
	hmacHead := change{"alg": "HS256", "kid": "latchkey-1"}
	for name, c := range map[string]struct {
		claims change
		head   change
		sign   func(h, c any) string
		ok     bool
		params []any
	}{
		"good":                      {ok: true},
		"ES256":                     {ok: true, head: change{"alg": "ES256", "kid": "latchkey-ec"}, sign: func(h, c any) string { return signES256(ec, h, c) }},
		"no key id":                 {ok: true, head: change{"alg": "RS256"}},
		"several audiences and azp": {ok: true, claims: change{"aud": []string{"other", clientID}, "azp": clientID}},
		"no at_hash":                {ok: true, claims: change{"at_hash": nil}},
		"clock a minute behind":     {ok: true, claims: change{"iat": now + 60}},
		"clock a minute ahead":      {ok: true, claims: change{"exp": now - 60}},
		"recent enough":             {ok: true, claims: change{"auth_time": now - 50}, params: []any{idx.StartParam{Name: "max_age", Value: "60"}}},
		"own nonce":                 {ok: true, claims: change{"nonce": "n-0123456789abcdef"}, params: []any{idx.StartParam{Name: "nonce", Value: "n-0123456789abcdef"}}},

		"another issuer":            {claims: change{"iss": "https://evil.example"}},
		"issuer with a slash":       {claims: change{"iss": stageIssuer + "/"}},
		"another audience":          {claims: change{"aud": "other"}},
		"no audience":               {claims: change{"aud": nil}},
		"several audiences, no azp": {claims: change{"aud": []string{clientID, "other"}}},
		"another party":             {claims: change{"azp": "other"}},
		"no subject":                {claims: change{"sub": nil}},
		"expired":                   {claims: change{"exp": now - 600}},
		"no expiry":                 {claims: change{"exp": nil}},
		"no issue time":             {claims: change{"iat": nil}},
		"from the future":           {claims: change{"iat": now + 600}},
		"not yet":                   {claims: change{"nbf": now + 600}},
		"absurd expiry":             {claims: change{"exp": 1e300}},
		"negative expiry":           {claims: change{"exp": -1}},
		"another nonce":             {claims: change{"nonce": "other"}},
		"no nonce":                  {claims: change{"nonce": nil}},
		"another access token":      {claims: change{"at_hash": half("another")}},
		"signed in too long ago":    {claims: change{"auth_time": now - 6000}, params: []any{idx.StartParam{Name: "max_age", Value: "60"}}},
		"does not say when":         {params: []any{idx.StartParam{Name: "max_age", Value: "60"}}},
		"unsigned":                  {head: change{"alg": "none"}, sign: func(h, c any) string { return signingInput(h, c) + "." }},
		"HMAC with the public key":  {head: hmacHead},
		"critical header":           {head: change{"alg": "RS256", "kid": "latchkey-1", "crit": []string{"b64"}, "b64": false}},
		"unknown key":               {head: change{"alg": "RS256", "kid": "who"}},
		"RS256 head, EC key":        {head: change{"alg": "RS256", "kid": "latchkey-ec"}, sign: func(h, c any) string { return signES256(ec, h, c) }},
		"ES256 signature of zeros":  {head: change{"alg": "ES256", "kid": "latchkey-ec"}, sign: func(h, c any) string { return signingInput(h, c) + "." + b64.EncodeToString(make([]byte, 64)) }},
		"claims changed afterwards": {sign: func(h, c any) string {
			s := signRS256(key, h, c)
			p := strings.Split(s, ".")
			return p[0] + "." + b64.EncodeToString([]byte(`{"iss":"x"}`)) + "." + p[2]
		}},
		"padding added":     {sign: func(h, c any) string { return signRS256(key, h, c) + "=" }},
		"two parts":         {sign: func(h, c any) string { return "a.b" }},
		"not a token":       {sign: func(h, c any) string { return "..." }},
		"claims are a list": {sign: func(h, c any) string { return signRS256(key, h, []int{1}) }},
	} {
		t.Run(name, func(t *testing.T) {
			head, sign := c.head, c.sign
			if head == nil {
				head = rs
			}
			if sign == nil {
				sign = func(h, c any) string { return signRS256(key, h, c) }
			}
			i := &issuer{access: "at", keys: func() any { return jwks(&key.PublicKey, &ec.PublicKey) }, idToken: func(nonce string) any {
				claims := good(c.claims)
				if claims["nonce"] == nonceOfSignIn {
					claims["nonce"] = nonce
				}
				return sign(head, claims)
			}}
			tokens, err := i.exchange(t, c.params...)
			switch {
			case c.ok && (err != nil || tokens.Subject != "00u1" || !strings.Contains(string(tokens.Claims), "00u1")):
				t.Errorf("%v, %v", tokens, err)
			case !c.ok && (!errors.Is(err, idx.ErrIDToken) || tokens != nil):
				t.Errorf("it was taken: %v, %v", tokens, err)
			}
		})
	}
	t.Run("none at all", func(t *testing.T) {
		i := &issuer{access: "at", keys: func() any { return jwks(&key.PublicKey) }, idToken: func(string) any { return nil }}
		if _, err := i.exchange(t); !errors.Is(err, idx.ErrIDToken) {
			t.Errorf("%v", err)
		}
	})
}

// The issuer changes keys: an unknown key id is worth one more look, and no more. The keys known may be those of before the
// token was made, even if they were fetched in the same call.
func TestKeyRotation(t *testing.T) {
	key := testKey()
	set, kid, frozen := jwks(), "latchkey-1", time.Now()
	i := &issuer{access: "at", keys: func() any {
		defer func() { set = jwks(&key.PublicKey) }() // the first look comes before the change
		return set
	}, idToken: func(nonce string) any {
		now := time.Now().Unix()
		return signRS256(key, map[string]any{"alg": "RS256", "kid": kid},
			map[string]any{"iss": stageIssuer, "aud": clientID, "sub": "00u1", "iat": now, "exp": now + 3600, "nonce": nonce})
	}}
	c, err := idx.New(idx.Config{Issuer: stageIssuer, ClientID: clientID, RedirectURI: redirectURI}, idx.WithHTTPClient(&http.Client{Transport: i}),
		idx.WithClock(func() time.Time { return frozen })) // the number of looks must not depend on a clock that moves
	if err != nil {
		t.Fatal(err)
	}
	exchange := func() error {
		tx, err := c.Start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Exchange(t.Context(), tx)
		return err
	}
	for range 2 {
		if err := exchange(); err != nil {
			t.Errorf("after the change: %v", err)
		}
	}
	if n := i.fetched["/oauth2/default/v1/keys"]; n != 2 {
		t.Errorf("keys were fetched %d times, want 2", n)
	}
	kid = "nobody's"
	for range 3 {
		if err := exchange(); !errors.Is(err, idx.ErrIDToken) {
			t.Errorf("%v", err)
		}
	}
	if n := i.fetched["/oauth2/default/v1/keys"]; n != 5 {
		t.Errorf("keys were fetched %d times, want once more per token", n)
	}
	if n := i.fetched["/oauth2/default/.well-known/openid-configuration"]; n != 1 {
		t.Errorf("discovery ran %d times", n)
	}
}

// A token without a key id may be of a key that is not known yet.
func TestKeyRotationWithoutKeyID(t *testing.T) {
	old, key := testKey(), otherKey(t)
	set := jwks(&old.PublicKey)
	i := &issuer{access: "at", keys: func() any {
		defer func() { set = jwks(&key.PublicKey) }()
		return set
	}, idToken: idTokens(map[string]any{"alg": "RS256"}, key)}
	if _, err := i.exchange(t); err != nil {
		t.Errorf("after the change: %v", err)
	}
	i.idToken = idTokens(map[string]any{"alg": "RS256"}, old)
	if _, err := i.exchange(t); !errors.Is(err, idx.ErrIDToken) {
		t.Errorf("a key that is gone was believed: %v", err)
	}
}

// S-69: a key set is good for an hour, so a key that the issuer withdrew is not believed for longer.
func TestS69WithdrawnKey(t *testing.T) {
	now := time.Now()
	set := jwks(&testKey().PublicKey)
	i := &issuer{access: "at", keys: func() any { return set }, idToken: idTokens(map[string]any{"alg": "RS256", "kid": "latchkey-1"}, testKey())}
	c, err := idx.New(idx.Config{Issuer: stageIssuer, ClientID: clientID, RedirectURI: redirectURI}, idx.WithHTTPClient(&http.Client{Transport: i}),
		idx.WithClock(func() time.Time { return now }))
	if err != nil {
		t.Fatal(err)
	}
	exchange := func() error {
		tx, err := c.Start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Exchange(t.Context(), tx)
		return err
	}
	if err := exchange(); err != nil {
		t.Fatal(err)
	}
	set = jwks()
	now = now.Add(59 * time.Minute)
	if err := exchange(); err != nil {
		t.Errorf("within the hour: %v", err)
	}
	now = now.Add(time.Minute)
	i.idToken = idTokensAt(map[string]any{"alg": "RS256", "kid": "latchkey-1"}, testKey(), func() time.Time { return now })
	if err := exchange(); !errors.Is(err, idx.ErrIDToken) {
		t.Errorf("after the hour: %v", err)
	}
}

func otherKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// idTokens are good ones, signed by key.
func idTokens(head map[string]any, key *rsa.PrivateKey) func(nonce string) any {
	return idTokensAt(head, key, time.Now)
}

func idTokensAt(head map[string]any, key *rsa.PrivateKey, clock func() time.Time) func(nonce string) any {
	return func(nonce string) any {
		now := clock().Unix()
		return signRS256(key, head, map[string]any{"iss": stageIssuer, "aud": clientID, "sub": "00u1", "iat": now, "exp": now + 3600, "nonce": nonce})
	}
}

// verifyProof checks a JWS made by the client, with the key it was made with.
func verifyProof(t *testing.T, token string, key crypto.PublicKey) (head, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWS", token)
	}
	for i, into := range []*map[string]any{&head, &claims} {
		b, err := b64.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, into); err != nil {
			t.Fatal(err)
		}
	}
	sig, err := b64.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	if !verifySignature(key, parts[0]+"."+parts[1], sig) {
		t.Error("the signature does not hold")
	}
	return head, claims
}

func TestPrivateKeyJWT(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for alg, key := range map[string]crypto.Signer{"RS256": testKey(), "ES256": ec} {
		s := play(say(200, doc(nil)))
		cfg := s.config()
		cfg.Auth = idx.PrivateKeyJWT(key, "app-key")
		c, err := idx.New(cfg, idx.WithHTTPClient(&http.Client{Transport: s}))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[any]bool{}
		for range 2 {
			if _, err := c.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			form, _ := url.ParseQuery(s.all[len(s.all)-2].body)
			head, claims := verifyProof(t, form.Get("client_assertion"), key.Public())
			if head["alg"] != alg || head["kid"] != "app-key" || claims["iss"] != clientID || claims["sub"] != clientID || claims["aud"] != stageIssuer+"/v1/token" ||
				seen[claims["jti"]] || claims["exp"].(float64)-claims["iat"].(float64) > 300 {
				t.Errorf("%v %v", head, claims)
			}
			seen[claims["jti"]] = true
		}
	}
	for _, bad := range []crypto.Signer{nil, must384(t)} {
		if _, err := idx.New(idx.Config{Issuer: stageIssuer, ClientID: "a", RedirectURI: redirectURI, Auth: idx.PrivateKeyJWT(bad, "")}); err == nil {
			t.Error("a key of no use was taken")
		}
	}
}

func must384(t *testing.T) crypto.Signer {
	k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// DPoP (RFC 9449): a proof per request, the server's nonce on demand, the access token's hash at userinfo.
func TestDPoP(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var proofs []string
	kind := "DPoP"
	transport := tripper(func(r *http.Request) (*http.Response, error) {
		path := r.URL.Path
		if strings.HasSuffix(path, "/token") || strings.HasSuffix(path, "/userinfo") {
			proofs = append(proofs, r.Header.Get("DPoP"))
			_, claims := verifyProof(t, r.Header.Get("DPoP"), ec.Public())
			if claims["nonce"] != "server-nonce" {
				l := line{status: 400, header: http.Header{"Dpop-Nonce": {"server-nonce"}}, body: `{"error":"use_dpop_nonce","error_description":"again"}`}
				if strings.HasSuffix(path, "/userinfo") {
					l.status = 401
					l.header.Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
				}
				return answerTo(r, l), nil
			}
			if strings.HasSuffix(path, "/userinfo") {
				sum := sha256.Sum256([]byte("at"))
				if claims["ath"] != b64.EncodeToString(sum[:]) || claims["htu"] != stageIssuer+"/v1/userinfo" || r.Header.Get("Authorization") != "DPoP at" {
					t.Errorf("userinfo: %v, %s", claims, r.Header.Get("Authorization"))
				}
				return answerTo(r, say(200, `{"sub":"00u1"}`)), nil
			}
		}
		i := &issuer{access: "at", idToken: func(string) any { return nil }, more: map[string]any{"token_type": kind}}
		return i.RoundTrip(r)
	})
	c, err := idx.New(idx.Config{Issuer: stageIssuer, ClientID: clientID, RedirectURI: redirectURI, Scopes: []string{"profile"}},
		idx.WithHTTPClient(&http.Client{Transport: transport}), idx.WithDPoP(ec))
	if err != nil {
		t.Fatal(err)
	}
	tx, err := c.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := c.Exchange(t.Context(), tx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.UserInfo(t.Context(), tokens); err != nil {
		t.Fatal(err)
	}
	if len(proofs) != 4 {
		t.Fatalf("%d proofs", len(proofs))
	}
	head, claims := verifyProof(t, proofs[1], ec.Public())
	jwk, _ := head["jwk"].(map[string]any)
	if head["typ"] != "dpop+jwt" || jwk["kty"] != "EC" || jwk["d"] != nil || claims["htm"] != "POST" || claims["htu"] != stageIssuer+"/v1/token" {
		t.Errorf("%v %v", head, claims)
	}
	kind = "Bearer" // the server has not bound the token: it must not pass for one that is
	if _, err := c.Exchange(t.Context(), tx); err == nil {
		t.Error("an unbound token was taken")
	}
}

// A server that wants its nonce in the proof has read the client's assertion already, and an assertion is good once (S-58).
func TestS58AssertionOncePerNonce(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	inner := &issuer{access: "at", keys: func() any { return jwks(&testKey().PublicKey) },
		idToken: idTokens(map[string]any{"alg": "RS256", "kid": "latchkey-1"}, testKey()), more: map[string]any{"token_type": "DPoP"}}
	transport := tripper(func(r *http.Request) (*http.Response, error) {
		if !strings.HasSuffix(r.URL.Path, "/token") {
			return inner.RoundTrip(r)
		}
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		if said := form.Get("client_assertion"); said == "" || seen[said] {
			return answerTo(r, say(401, `{"error":"invalid_client"}`)), nil
		}
		seen[form.Get("client_assertion")] = true
		if len(seen) == 1 {
			return answerTo(r, line{status: 400, header: http.Header{"Dpop-Nonce": {"n"}}, body: `{"error":"use_dpop_nonce"}`}), nil
		}
		return inner.RoundTrip(r)
	})
	c, err := idx.New(idx.Config{Issuer: stageIssuer, ClientID: clientID, RedirectURI: redirectURI, Auth: idx.PrivateKeyJWT(testKey(), "")},
		idx.WithHTTPClient(&http.Client{Transport: transport}), idx.WithDPoP(ec))
	if err != nil {
		t.Fatal(err)
	}
	tx, err := c.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exchange(t.Context(), tx); err != nil || len(seen) != 2 {
		t.Errorf("%v, after %d assertions", err, len(seen))
	}
}
