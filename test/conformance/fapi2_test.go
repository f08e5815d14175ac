package conformance_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey.dev/latchkeytest"
)

func fapi2() []module {
	const p = "fapi2-security-profile-final-"
	return []module{
		{name: p + "discovery-end-point-verification", run: fapi(func(f *fapiRP) {
			f.endpoint("pushed_authorization_request_endpoint")
			for name, want := range map[string]string{
				"dpop_signing_alg_values_supported": "ES256", "token_endpoint_auth_methods_supported": "private_key_jwt", "code_challenge_methods_supported": "S256",
				"token_endpoint_auth_signing_alg_values_supported": "ES256",
			} {
				if !slices.Contains(f.list(name), want) {
					f.Errorf("%s is %v, without %s", name, f.meta[name], want)
				}
			}
			if f.meta["authorization_response_iss_parameter_supported"] != true {
				f.Error("RFC 9207 is not announced")
			}
		})},
		{name: p + "happy-flow", run: fapi(func(f *fapiRP) { f.flow() }),
			note: "but for the ID token, which is signed with RS256 until `latchkey key rotate --alg ES256`; the profile wants ES256, PS256 or EdDSA"},
		{name: p + "user-rejects-authentication", run: fapi(givesUp), note: "by the link below the form"},
		{name: p + "ensure-authorization-request-without-state-success", run: fapi(func(f *fapiRP) { f.flow("state", "") })},
		{name: p + "ensure-authorization-request-without-nonce-success", run: fapi(withNonce(""))},
		{name: p + "ensure-authorization-request-with-64-char-nonce-success", run: fapi(withNonce(strings.Repeat("n", 64)))},
		{name: p + "ensure-authorization-request-with-long-nonce", run: fapi(withNonce(strings.Repeat("n", 384))), note: "taken, not refused"},
		{name: p + "ensure-authorization-request-with-long-state", note: "taken, not refused", run: fapi(func(f *fapiRP) {
			f.flow("state", strings.Repeat("s", 384))
			f.flow("state", strings.Repeat("s", 1000))
		})},
		{name: p + "ensure-other-scope-order-succeeds", run: fapi(func(f *fapiRP) {
			for _, scope := range []string{"openid profile email", "email profile openid"} {
				t := f.flow("scope", scope)
				if who := f.who(t); who["email"] == nil || who["name"] == nil {
					f.Errorf("%s: %v", scope, who)
				}
			}
		})},
		{name: p + "test-claims-parameter-identity-claims", na: "`claims_parameter_supported` is false; the suite skips it"},
		{name: p + "access-token-type-header-case-sensitivity", run: fapi(func(f *fapiRP) {
			t := f.flow()
			for _, scheme := range []string{"DPoP", "dpop", "DPOP"} {
				if status, _ := f.resource(scheme, t.Access, f.proof(http.MethodGet, f.endpoint("userinfo_endpoint"), t.Access)); status != http.StatusOK {
					f.Errorf("%s: %d", scheme, status)
				}
			}
		})},
		{name: p + "check-dpop-proof-nbf-exp", run: fapi(func(f *fapiRP) {
			f.twist = func(c, _ map[string]any) {
				c["nbf"], c["exp"] = f.srv.Now().Add(-10*time.Second).Unix(), f.srv.Now().Add(time.Minute).Unix()
			}
			f.flow()
		})},
		{name: p + "ensure-dpopproof-with-iat-10seconds-before-succeeds", run: fapi(iat(-10 * time.Second))},
		{name: p + "ensure-dpopproof-with-iat-10seconds-after-succeeds", run: fapi(iat(10 * time.Second))},
		{name: p + "ensure-mismatched-dpop-jkt-fails", run: fapi(func(f *fapiRP) {
			f.refusedAtPush(f.push(f.request("dpop_jkt", thumbprint(newKey(f.rp))), true), "invalid_request", "invalid_dpop_proof")
		})},
		{name: p + "ensure-token-endpoint-fails-with-mismatched-dpop-proof-jkt", run: fapi(func(f *fapiRP) {
			code := f.codeOf(f.push(f.request(), true))
			f.key = newKey(f.rp)
			f.refusedAtToken(f.exchange(code), "invalid_grant", "invalid_dpop_proof")
		})},
		{name: p + "ensure-token-endpoint-fails-with-mismatched-dpop-jkt", run: fapi(func(f *fapiRP) {
			code := f.codeOf(f.push(f.request("dpop_jkt", thumbprint(f.key)), false))
			f.key = newKey(f.rp)
			f.refusedAtToken(f.exchange(code), "invalid_grant", "invalid_dpop_proof")
		})},
		{name: p + "ensure-dpopproof-at-par-endpoint-binding-success", run: fapi(func(f *fapiRP) {
			f.good(f.exchange(f.codeOf(f.push(f.request(), true))))
		})},
		{name: p + "ensure-dpop-auth-code-binding-success", run: fapi(func(f *fapiRP) {
			f.good(f.exchange(f.codeOf(f.push(f.request("dpop_jkt", thumbprint(f.key)), false))))
		})},
		{name: p + "dpop-negative-tests", run: fapi(badProofs)},
		{name: p + "ensure-holder-of-key-required", run: fapi(func(f *fapiRP) {
			code := f.codeOf(f.push(f.request(), false))
			f.bare = true
			f.refusedAtToken(f.exchange(code), "invalid_request", "invalid_dpop_proof", "invalid_grant")
		})},
		{name: p + "refresh-token", run: fapi(func(f *fapiRP) {
			first := f.flow("scope", "openid offline_access")
			second := f.token("grant_type", "refresh_token", "refresh_token", first.Refresh)
			f.good(second)
			f.bare = true
			f.refusedAtToken(f.token("grant_type", "refresh_token", "refresh_token", second.Refresh), "invalid_request", "invalid_dpop_proof", "invalid_grant")
		})},
		{name: p + "ensure-different-nonce-inside-and-outside-request-object", run: fapi(beside("nonce")), note: "what stands beside a pushed request does not count"},
		{name: p + "ensure-different-state-inside-and-outside-request-object", run: fapi(beside("state")), note: "what stands beside a pushed request does not count"},
		{name: p + "state-only-outside-request-object-not-used", run: fapi(stateOutside), note: "what stands beside a pushed request does not count"},
		{name: p + "ensure-request-object-without-redirect-uri-fails", run: fapi(func(f *fapiRP) {
			f.refusedAtPush(f.push(f.request("redirect_uri", ""), false), "invalid_request", "invalid_request_object")
		})},
		{name: p + "plain-fapi-tolerate-unregistered-redirect-uri", note: "refused when it is pushed, as it may be", run: fapi(func(f *fapiRP) {
			for _, to := range []string{callback + "/other", "https://attacker.example/callback"} {
				f.refusedAtPush(f.push(f.request("redirect_uri", to), false), "invalid_request", "invalid_request_object")
			}
		})},
		{name: p + "ensure-unsigned-authorization-request-without-using-par-fails", run: fapi(func(f *fapiRP) {
			back := f.visit(f.request())
			if back == nil && !f.browser.refuses() {
				f.Fatalf("%d %s", f.browser.status, f.browser)
			}
			if back != nil {
				f.refusedWith(back, "invalid_request", "invalid_request_object", "request_not_supported")
			}
		})},
		{name: p + "ensure-redirect-uri-in-authorization-request", run: fapi(func(f *fapiRP) {
			f.refusedAtPush(f.push(f.request("redirect_uri", ""), false), "invalid_request")
		})},
		{name: p + "ensure-response-type-code-idtoken-fails", run: fapi(func(f *fapiRP) {
			f.refusedAtPush(f.push(f.request("response_type", "code id_token"), false), "unsupported_response_type", "invalid_request", "unauthorized_client")
		})},
		{name: p + "ensure-response-type-token-fails", run: fapi(func(f *fapiRP) {
			f.refusedAtPush(f.push(f.request("response_type", "token"), false), "unsupported_response_type", "invalid_request", "unauthorized_client")
		})},
		{name: p + "ensure-client-id-in-token-endpoint", run: fapi(func(f *fapiRP) { // the second client's id, the first one's key
			code := f.codeOf(f.push(f.request(), false))
			f.client = f.other
			f.refusedAtToken(f.exchange(code), "invalid_client")
		})},
		{name: p + "ensure-authorization-code-is-bound-to-client", run: fapi(func(f *fapiRP) {
			code := f.codeOf(f.push(f.request(), false))
			f.client, f.signer = f.other, f.otherSigner
			f.refusedAtToken(f.exchange(code), "invalid_grant")
		})},
		{name: p + "attempt-reuse-authorization-code-after-one-second", run: fapi(func(f *fapiRP) {
			code := f.codeOf(f.push(f.request(), false))
			f.good(f.exchange(code))
			f.srv.Advance(time.Second)
			f.refusedAtToken(f.exchange(code), "invalid_grant")
		})},
		{name: p + "ensure-token-endpoint-fails-with-expired-auth-code", run: fapi(func(f *fapiRP) {
			code := f.codeOf(f.push(f.request(), false))
			f.srv.Advance(61 * time.Second)
			f.refusedAtToken(f.exchange(code), "invalid_grant")
		})},
		{name: p + "par-ensure-reused-request-uri-prior-to-auth-completion-succeeds", run: fapi(func(f *fapiRP) {
			pushed := f.push(f.request(), false)
			if back := f.come(pushed.URI); back != nil || !f.browser.asksToSignIn() {
				f.Fatal("no page the first time")
			}
			shown := f.browser.at.String()
			f.nothing(f.come(pushed.URI))
			if back := f.browser.open(shown); back != nil || !f.browser.asksToSignIn() {
				f.Errorf("the page cannot be reloaded: %v; %s", back, f.browser)
			}
		}), warns: "a request URI is used up by the first visit, before anybody has signed in; the profile recommends that a second visit works. The page of the first visit can be reloaded"},
		{name: p + "par-attempt-reuse-request_uri", run: fapi(func(f *fapiRP) {
			pushed := f.push(f.request(), false)
			f.codeOf(pushed)
			f.nothing(f.come(pushed.URI))
		})},
		{name: p + "par-attempt-to-use-expired-request_uri", run: fapi(func(f *fapiRP) {
			pushed := f.push(f.request(), false)
			f.srv.Advance(time.Duration(pushed.Expires+1) * time.Second)
			f.nothing(f.come(pushed.URI))
		})},
		{name: p + "par-attempt-to-use-request_uri-for-different-client", run: fapi(func(f *fapiRP) {
			pushed := f.push(f.request(), false)
			f.client = f.other
			f.nothing(f.come(pushed.URI))
		})},
		{name: p + "par-authorization-request-containing-request_uri-form-param", run: fapi(func(f *fapiRP) {
			pushed := f.push(f.request(), false)
			f.refusedAtPush(f.push(f.request("request_uri", pushed.URI), false), "invalid_request")
		})},
		{name: p + "par-attempt-invalid-http-method", run: fapi(func(f *fapiRP) {
			for _, method := range []string{http.MethodGet, http.MethodPut} {
				q, _ := http.NewRequest(method, f.endpoint("pushed_authorization_request_endpoint")+"?"+f.request().Encode(), nil)
				response := f.do(q)
				response.Body.Close()
				if response.StatusCode/100 != 4 {
					f.Errorf("%s: %s", method, response.Status)
				}
			}
		})},
		{name: p + "par-ensure-pkce-required", run: fapi(func(f *fapiRP) {
			f.refusedAtPush(f.push(f.request("code_challenge", "", "code_challenge_method", ""), false), "invalid_request")
		})},
		{name: p + "ensure-pkce-code-verifier-required", run: fapi(func(f *fapiRP) {
			code := f.codeOf(f.push(f.request(), false))
			f.refusedAtToken(f.token("grant_type", "authorization_code", "code", code, "redirect_uri", callback), "invalid_grant", "invalid_request")
		})},
		{name: p + "incorrect-pkce-code-verifier-rejected", run: fapi(func(f *fapiRP) {
			code := f.codeOf(f.push(f.request(), false))
			f.verifier = random()
			f.refusedAtToken(f.exchange(code), "invalid_grant")
		})},
		{name: p + "par-plain-pkce-rejected", run: fapi(func(f *fapiRP) {
			request := f.request()
			request.Set("code_challenge", f.verifier)
			request.Set("code_challenge_method", "plain")
			f.refusedAtPush(f.push(request, false), "invalid_request")
		})},
		{name: p + "par-without-duplicate-parameters", run: fapi(func(f *fapiRP) { f.good(f.exchange(f.codeOf(f.push(f.request(), false)))) })},
	}
}

// withNonce signs in with a nonce, and wants the ID token to have it and no other.
func withNonce(nonce string) func(*fapiRP) {
	return func(f *fapiRP) {
		if c := f.verifiedWithout(f.flow("nonce", nonce)); c.Nonce != nonce {
			f.Errorf("nonce %q, want %q", c.Nonce, nonce)
		}
	}
}

// givesUp follows the link back to the application, of each of two clients, in place of signing in.
func givesUp(f *fapiRP) {
	f.other.Redirects = []string{callback + "?dummy=lorem"}
	f.srv.AddClient(f.other)
	for _, c := range []struct {
		client latchkeytest.Client
		signer *ecdsa.PrivateKey
	}{{f.client, f.signer}, {f.other, f.otherSigner}} {
		f.client, f.signer, f.browser = c.client, c.signer, f.fresh()
		to := c.client.Redirects[0]
		state := strings.Repeat("s", 128)
		pushed := f.push(f.request("state", state, "redirect_uri", to), false)
		f.state = state
		if back := f.come(pushed.URI); back != nil || !f.browser.asksToSignIn() {
			f.Fatalf("%v; %s", back, f.browser)
		}
		ways := f.browser.links("Back to ")
		if len(ways) != 1 {
			f.Fatalf("%d ways back: %s", len(ways), f.browser)
		}
		back := f.browser.open(ways[0].String())
		f.refusedWith(back, "access_denied")
		if _, query, _ := strings.Cut(to, "?"); query != "" && back.Get("dummy") != "lorem" {
			f.Errorf("of %s came back %v", to, back.Values)
		}
	}
}

// beside sends another value beside a pushed request than was pushed, and wants what was pushed.
func beside(name string) func(*fapiRP) {
	return func(f *fapiRP) {
		pushed := f.push(f.request(), false)
		t := f.exchange(f.codeAt(f.visit(url.Values{"client_id": {f.client.ID}, "request_uri": {pushed.URI}, name: {"another"}})))
		f.verified(t) // and codeAt has looked at the state
		f.good(t)
	}
}

// stateOutside sends a state beside a pushed request that has none, and wants none back.
func stateOutside(f *fapiRP) {
	pushed := f.push(f.request("state", ""), false)
	f.state = ""
	f.good(f.exchange(f.codeAt(f.visit(url.Values{"client_id": {f.client.ID}, "request_uri": {pushed.URI}, "state": {"outside"}}))))
}

// A fapiRP proves itself by private_key_jwt, pushes its requests, and has its tokens bound to a key.
type fapiRP struct {
	*rp
	signer, otherSigner *ecdsa.PrivateKey // of client assertions
	other               latchkeytest.Client
	key                 *ecdsa.PrivateKey // of proofs
	nonce               string            // of the server, for proofs
	twist               func(claims, header map[string]any)
	bare                bool // sends no proofs
}

func fapi(do func(*fapiRP)) func(*rp) {
	return func(r *rp) {
		f := &fapiRP{rp: r, signer: newKey(r), otherSigner: newKey(r), key: newKey(r)}
		add := func(key *ecdsa.PrivateKey) latchkeytest.Client {
			set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "one", Algorithm: "ES256", Use: "sig"}}})
			if err != nil {
				r.Fatal(err)
			}
			c := r.application()
			c.Confidential, c.Keys, c.RequiresPAR, c.BindsTokens = false, string(set), true, true
			return r.srv.AddClient(c)
		}
		f.client, f.other = add(f.signer), add(f.otherSigner)
		do(f)
	}
}

func newKey(r *rp) *ecdsa.PrivateKey {
	r.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		r.Fatal(err)
	}
	return key
}

func thumbprint(key *ecdsa.PrivateKey) string {
	sum, err := (&jose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		panic(err) // a key of our own
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// sign writes a JWT with ES256.
func (f *fapiRP) sign(key *ecdsa.PrivateKey, header, claims map[string]any) string {
	f.Helper()
	options := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{}}
	for name, value := range header {
		options.ExtraHeaders[jose.HeaderKey(name)] = value
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, options)
	if err != nil {
		f.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		f.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		f.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		f.Fatal(err)
	}
	return token
}

// proof is a DPoP proof (RFC 9449 4.2), for a token if there is one.
func (f *fapiRP) proof(method, address, token string) string {
	f.Helper()
	claims := map[string]any{"jti": random(), "htm": method, "htu": address, "iat": f.srv.Now().Unix()}
	if f.nonce != "" {
		claims["nonce"] = f.nonce
	}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		claims["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	header := map[string]any{"typ": "dpop+jwt", "jwk": jose.JSONWebKey{Key: f.key.Public()}}
	if f.twist != nil {
		f.twist(claims, header)
	}
	return f.sign(f.key, header, claims)
}

// postAs posts a form with an assertion, and with a proof if wanted; a nonce that is asked for is given.
func (f *fapiRP) postAs(endpoint string, form url.Values, proving bool) *http.Response {
	f.Helper()
	address := f.endpoint(endpoint)
	for {
		now := f.srv.Now()
		form.Set("client_id", f.client.ID)
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", f.sign(f.signer, map[string]any{"kid": "one"}, map[string]any{
			"iss": f.client.ID, "sub": f.client.ID, "aud": f.issuer, "jti": random(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		}))
		q, err := http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
		if err != nil {
			f.Fatal(err)
		}
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if proving {
			q.Header.Set("DPoP", f.proof(http.MethodPost, address, ""))
		}
		response := f.do(q)
		nonce := response.Header.Get("DPoP-Nonce")
		if !proving || nonce == "" || nonce == f.nonce || response.StatusCode != http.StatusBadRequest {
			return response
		}
		f.nonce = nonce
		response.Body.Close()
	}
}

type pushed struct {
	URI         string `json:"request_uri"`
	Expires     int    `json:"expires_in"`
	Error       string `json:"error"`
	Description string `json:"error_description"`
	status      int
}

// push pushes a request, with a proof or without.
func (f *fapiRP) push(request url.Values, proving bool) (p pushed) {
	f.Helper()
	response := f.postAs("pushed_authorization_request_endpoint", maps.Clone(request), proving)
	p.status = f.json(response, &p)
	return p
}

func (f *fapiRP) refusedAtPush(p pushed, codes ...string) {
	f.Helper()
	if p.status != http.StatusBadRequest || !slices.Contains(codes, p.Error) {
		f.Errorf("pushing: %d %q: %s, want %v", p.status, p.Error, p.Description, codes)
	}
}

// come brings a request URI to the authorization endpoint.
func (f *fapiRP) come(uri string) *arrival {
	f.Helper()
	return f.visit(url.Values{"client_id": {f.client.ID}, "request_uri": {uri}})
}

// nothing wants neither a code nor a page to sign in on.
func (f *fapiRP) nothing(back *arrival) {
	f.Helper()
	if back != nil && (back.Get("code") != "" || back.Get("error") == "") || back == nil && !f.browser.refuses() {
		f.Errorf("%v; %d %s", back, f.browser.status, f.browser)
	}
}

// codeOf brings a pushed request to the authorization endpoint and signs in.
func (f *fapiRP) codeOf(p pushed) string {
	f.Helper()
	if p.status != http.StatusCreated || !strings.HasPrefix(p.URI, "urn:ietf:params:oauth:request_uri:") || p.Expires < 5 || p.Expires > 600 {
		f.Fatalf("pushing: %+v", p)
	}
	return f.codeAt(f.come(p.URI))
}

// codeAt is the code that the browser brings, once somebody has signed in if they are asked to.
func (f *fapiRP) codeAt(back *arrival) string {
	f.Helper()
	if back == nil {
		back = f.browser.signIn(f.person.Login, f.person.Password)
	}
	code := f.checked(back).Get("code")
	if code == "" {
		f.Fatalf("no code: %v", back.Values)
	}
	return code
}

func (f *fapiRP) token(pairs ...string) (t tokens) {
	f.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	t.status = f.json(f.postAs("token_endpoint", form, !f.bare), &t)
	return t
}

func (f *fapiRP) exchange(code string) tokens {
	f.Helper()
	return f.token("grant_type", "authorization_code", "code", code, "redirect_uri", callback, "code_verifier", f.verifier)
}

func (f *fapiRP) refusedAtToken(t tokens, codes ...string) {
	f.Helper()
	if t.status/100 != 4 || !slices.Contains(codes, t.Error) || t.Access != "" {
		f.Errorf("token endpoint: %d %q: %s, want %v", t.status, t.Error, t.Description, codes)
	}
}

// good wants tokens that open userinfo with a proof, and not without.
func (f *fapiRP) good(t tokens) {
	f.Helper()
	if t.status != http.StatusOK || t.Type != "DPoP" {
		f.Fatalf("token endpoint: %d %s %q: %s", t.status, t.Type, t.Error, t.Description)
	}
	if who := f.who(t); who["sub"] == nil {
		f.Errorf("userinfo: %v", who)
	}
	for _, scheme := range []string{"DPoP", "Bearer"} {
		if status, _ := f.resource(scheme, t.Access, ""); status != http.StatusUnauthorized {
			f.Errorf("userinfo without a proof, as %s: %d", scheme, status)
		}
	}
}

// who is what userinfo says.
func (f *fapiRP) who(t tokens) map[string]any {
	f.Helper()
	status, who := f.resource("DPoP", t.Access, f.proof(http.MethodGet, f.endpoint("userinfo_endpoint"), t.Access))
	if status != http.StatusOK {
		f.Errorf("userinfo: %d %v", status, who)
	}
	return who
}

// resource asks userinfo.
func (f *fapiRP) resource(scheme, token, proof string) (int, map[string]any) {
	f.Helper()
	header := http.Header{"Authorization": {scheme + " " + token}}
	if proof != "" {
		header["Dpop"] = []string{proof}
	}
	var who map[string]any
	return f.json(f.get(f.endpoint("userinfo_endpoint"), header), &who), who
}

// flow is the whole of it: pushed, signed in, exchanged, used.
func (f *fapiRP) flow(pairs ...string) tokens {
	f.Helper()
	request := f.request(pairs...)
	f.state = request.Get("state")
	t := f.exchange(f.codeOf(f.push(request, false)))
	f.good(t)
	return t
}

func iat(off time.Duration) func(*fapiRP) {
	return func(f *fapiRP) {
		f.twist = func(c, _ map[string]any) { c["iat"] = f.srv.Now().Add(off).Unix() }
		f.flow()
	}
}

// badProofs are proofs that must open nothing, each wrong in one way.
func badProofs(f *fapiRP) {
	t := f.flow()
	at := f.endpoint("userinfo_endpoint")
	for name, twist := range map[string]func(c, h map[string]any){
		"another method":         func(c, _ map[string]any) { c["htm"] = "POST" },
		"no method":              func(c, _ map[string]any) { delete(c, "htm") },
		"another address":        func(c, _ map[string]any) { c["htu"] = f.endpoint("token_endpoint") },
		"no address":             func(c, _ map[string]any) { delete(c, "htu") },
		"no jti":                 func(c, _ map[string]any) { delete(c, "jti") },
		"no iat":                 func(c, _ map[string]any) { delete(c, "iat") },
		"made an hour ago":       func(c, _ map[string]any) { c["iat"] = f.srv.Now().Add(-time.Hour).Unix() },
		"made in an hour":        func(c, _ map[string]any) { c["iat"] = f.srv.Now().Add(time.Hour).Unix() },
		"no token hash":          func(c, _ map[string]any) { delete(c, "ath") },
		"another token's hash":   func(c, _ map[string]any) { c["ath"] = random() },
		"another type":           func(_, h map[string]any) { h["typ"] = "JWT" },
		"no type":                func(_, h map[string]any) { delete(h, "typ") },
		"no key":                 func(_, h map[string]any) { delete(h, "jwk") },
		"another key in it":      func(_, h map[string]any) { h["jwk"] = jose.JSONWebKey{Key: newKey(f.rp).Public()} },
		"the private key in it":  func(_, h map[string]any) { h["jwk"] = jose.JSONWebKey{Key: f.key} },
		"an expiry that is over": func(c, _ map[string]any) { c["exp"] = f.srv.Now().Add(-time.Hour).Unix() },
		"good in an hour":        func(c, _ map[string]any) { c["nbf"] = f.srv.Now().Add(time.Hour).Unix() },
	} {
		f.twist = twist
		if status, _ := f.resource("DPoP", t.Access, f.proof(http.MethodGet, at, t.Access)); status != http.StatusUnauthorized && status != http.StatusBadRequest {
			f.Errorf("%s: %d", name, status)
		}
	}
	f.twist = nil
	whole := f.proof(http.MethodGet, at, t.Access)
	parts := strings.Split(whole, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"dpop+jwt","alg":"none"}`))
	mine := f.key
	f.key = newKey(f.rp)
	for name, proof := range map[string]string{
		"unsigned":          none + "." + parts[1] + ".",
		"a broken signing":  parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])),
		"of another key":    f.proof(http.MethodGet, at, t.Access),
		"nothing":           "x",
		"two in one header": whole + "," + whole,
	} {
		if status, _ := f.resource("DPoP", t.Access, proof); status != http.StatusUnauthorized && status != http.StatusBadRequest {
			f.Errorf("%s: %d", name, status)
		}
	}
	f.key = mine
	once := f.proof(http.MethodGet, at, t.Access)
	if status, _ := f.resource("DPoP", t.Access, once); status != http.StatusOK {
		f.Fatalf("a good proof: %d", status)
	}
	if status, _ := f.resource("DPoP", t.Access, once); status != http.StatusUnauthorized && status != http.StatusBadRequest {
		f.Errorf("a proof is good twice: %d", status)
	}
}
