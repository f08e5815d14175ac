package conformance_test

import (
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

func basic() []module {
	return []module{
		{name: "oidcc-server", run: func(r *rp) { r.signIn() }},
		{name: "oidcc-response-type-missing", run: responseTypeMissing},
		{name: "oidcc-idtoken-signature", run: signature},
		{name: "oidcc-idtoken-unsigned", na: "no ID token is ever unsigned (S-62); the suite skips it where `none` is not announced"},
		{name: "oidcc-userinfo-get", run: func(r *rp) { t, c := r.signIn(); r.userinfo(t, c.Subject) }},
		{name: "oidcc-userinfo-post-header", run: userinfoPostHeader},
		{name: "oidcc-userinfo-post-body", run: userinfoPostBody},
		{name: "oidcc-ensure-request-without-nonce-succeeds-for-code-flow", run: withoutNonce},
		{name: "oidcc-scope-profile", run: scope("profile", "name", "given_name", "family_name", "preferred_username", "updated_at", "locale", "zoneinfo"),
			warns: "`userinfo` has the claims that Latchkey keeps, the rest of the scope's are missing: `middle_name`, `nickname`, `profile`, `picture`, `website`, `gender`, `birthdate`"},
		{name: "oidcc-scope-email", run: scope("email", "email", "email_verified")},
		{name: "oidcc-scope-address", na: "no addresses are kept, and `scopes_supported` has none; the suite skips it"},
		{name: "oidcc-scope-phone", run: scope("phone", "phone_number", "phone_number_verified")},
		{name: "oidcc-scope-all", na: "it wants `address` among the scopes; the suite skips it"},
		{name: "oidcc-alternate-happy-flow", run: alternate, note: "scopes and parameters in another order"},
		{name: "oidcc-display-page", run: func(r *rp) { r.signIn("display", "page") }},
		{name: "oidcc-display-popup", run: func(r *rp) { r.signIn("display", "popup") }},
		{name: "oidcc-prompt-login", run: promptLogin},
		{name: "oidcc-prompt-none-not-logged-in", run: promptNone},
		{name: "oidcc-prompt-none-logged-in", run: promptNoneLoggedIn},
		{name: "oidcc-max-age-1", run: maxAge1},
		{name: "oidcc-max-age-10000", run: maxAge10000},
		{name: "oidcc-ensure-request-with-unknown-parameter-succeeds", run: func(r *rp) { r.signIn("extra", "foobar") }},
		{name: "oidcc-id-token-hint", run: idTokenHint},
		{name: "oidcc-login-hint", run: func(r *rp) { r.signIn("login_hint", "buffy@example.com") }},
		{name: "oidcc-ui-locales", run: func(r *rp) { r.signIn("ui_locales", "se") }},
		{name: "oidcc-claims-locales", run: func(r *rp) { r.signIn("claims_locales", "se") }},
		{name: "oidcc-ensure-request-with-acr-values-succeeds", run: acrValues,
			note: "with values of `acr_values_supported`, as the suite sends them. A list without any that can be met is refused ([departures](departures.md))"},
		{name: "oidcc-codereuse", run: codeReuse(0)},
		{name: "oidcc-codereuse-30seconds", run: codeReuse(30 * time.Second)},
		{name: "oidcc-ensure-registered-redirect-uri", run: registeredRedirect},
		{name: "oidcc-ensure-post-request-succeeds", run: postRequest},
		{name: "oidcc-server-client-secret-post", run: func(r *rp) { r.post = true; r.signIn() }},
		{name: "oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported", run: requestURI, note: "rejected"},
		{name: "oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported", run: requestObject, note: "rejected"},
		{name: "oidcc-claims-essential", run: claimsEssential,
			warns: "the request succeeds and the `claims` parameter is passed over, as `claims_parameter_supported` says, so the claim is missing"},
		{name: "oidcc-ensure-request-object-with-redirect-uri", run: requestObjectRedirect, note: "rejected"},
		{name: "oidcc-refresh-token", run: refreshToken},
		{name: "oidcc-ensure-request-with-valid-pkce-succeeds", run: func(r *rp) { r.signIn() }},
	}
}

// discovery: OpenID Connect Discovery 3, and what the suite looks for in the key set.
func discovery(r *rp) {
	if r.meta["issuer"] != r.issuer {
		r.Errorf("issuer %v, want %s", r.meta["issuer"], r.issuer)
	}
	for name, value := range r.meta {
		if strings.HasSuffix(name, "_endpoint") || name == "jwks_uri" {
			if u, err := url.Parse(value.(string)); err != nil || !strings.HasPrefix(u.String(), r.srv.URL+"/") || u.Fragment != "" {
				r.Errorf("%s is %v", name, value)
			}
		}
	}
	for name, want := range map[string]string{
		"response_types_supported": "code", "subject_types_supported": "public", "id_token_signing_alg_values_supported": "RS256",
		"scopes_supported": "openid", "claims_supported": "sub", "grant_types_supported": "refresh_token",
		"token_endpoint_auth_methods_supported": "client_secret_basic", "code_challenge_methods_supported": "S256",
	} {
		if !slices.Contains(r.list(name), want) {
			r.Errorf("%s is %v, without %s", name, r.meta[name], want)
		}
	}
	for name, want := range map[string]bool{"claims_parameter_supported": false, "request_parameter_supported": false, "request_uri_parameter_supported": false} {
		if r.meta[name] != want { // the default of the last is true: it has to be said
			r.Errorf("%s is %v", name, r.meta[name])
		}
	}
	var set struct{ Keys []map[string]any }
	if status := r.json(r.get(r.endpoint("jwks_uri"), nil), &set); status != http.StatusOK || len(set.Keys) == 0 {
		r.Fatalf("keys: %d, %d of them", status, len(set.Keys))
	}
	seen := map[any]bool{}
	for _, k := range set.Keys {
		if k["kty"] == nil || k["kid"] == nil || k["use"] != "sig" || k["alg"] == nil || seen[k["kid"]] {
			r.Errorf("key %v", k)
		}
		seen[k["kid"]] = true
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k"} {
			if k[private] != nil {
				r.Errorf("the key set shows %q of a private key", private)
			}
		}
	}
}

func responseTypeMissing(r *rp) {
	back := r.visit(r.request("response_type", ""))
	if back == nil { // a page is as good
		if !r.browser.refuses() {
			r.Fatalf("%d: %s", r.browser.status, r.browser)
		}
		return
	}
	r.refusedWith(back, "invalid_request", "unsupported_response_type")
}

func signature(r *rp) {
	t, _ := r.signIn()
	header, err := base64.RawURLEncoding.DecodeString(strings.Split(t.ID, ".")[0])
	if err != nil || !strings.Contains(string(header), `"alg":"RS256"`) || !strings.Contains(string(header), `"kid":`) {
		r.Errorf("header %s", header)
	}
	parts := strings.Split(t.ID, ".")
	for _, other := range []string{parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])), parts[0] + "." + parts[1] + "."} {
		if back := r.visit(r.request("prompt", "none", "id_token_hint", other)); back == nil || back.Get("error") == "" {
			r.Errorf("a hint that nobody signed was believed: %v", back)
		}
	}
}

func userinfoPostHeader(r *rp) {
	t, c := r.signIn()
	q, _ := http.NewRequest(http.MethodPost, r.endpoint("userinfo_endpoint"), nil)
	q.Header.Set("Authorization", "Bearer "+t.Access)
	r.same(q, c.Subject)
}

func userinfoPostBody(r *rp) {
	t, c := r.signIn()
	q, _ := http.NewRequest(http.MethodPost, r.endpoint("userinfo_endpoint"), strings.NewReader(url.Values{"access_token": {t.Access}}.Encode()))
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.same(q, c.Subject)
}

// same wants userinfo to be about somebody.
func (r *rp) same(q *http.Request, sub string) {
	r.Helper()
	var who map[string]any
	if status := r.json(r.do(q), &who); status != http.StatusOK || who["sub"] != sub {
		r.Errorf("%d %v, want sub %q", status, who, sub)
	}
}

func withoutNonce(r *rp) {
	t := r.redeem(r.code("nonce", ""))
	if c := r.verifiedWithout(t); c.Nonce != "" {
		r.Errorf("a nonce that nobody sent: %q", c.Nonce)
	}
}

// scope wants userinfo to hold the claims of a scope, and not to hold them without it.
func scope(name string, names ...string) func(*rp) {
	return func(r *rp) {
		t, c := r.signIn("scope", "openid "+name)
		with := r.userinfo(t, c.Subject)
		t, c = r.signIn("scope", "openid")
		without := r.userinfo(t, c.Subject)
		for _, claim := range names {
			if with[claim] == nil {
				r.Errorf("no %s with the scope %s: %v", claim, name, with)
			}
			if without[claim] != nil {
				r.Errorf("%s without the scope %s", claim, name)
			}
		}
		for claim := range with {
			if without[claim] == nil && !slices.Contains(names, claim) {
				r.Errorf("the scope %s gives %s, which is not among those known here", name, claim)
			}
		}
	}
}

func alternate(r *rp) {
	request := r.request("scope", "email openid")
	names := slices.Sorted(maps.Keys(request))
	slices.Reverse(names)
	var reversed []string
	for _, name := range names {
		reversed = append(reversed, name+"="+url.QueryEscape(request.Get(name)))
	}
	back := r.browser.open(r.endpoint("authorization_endpoint") + "?" + strings.Join(reversed, "&"))
	if back == nil {
		back = r.browser.signIn(r.person.Login, r.person.Password)
	}
	t := r.redeem(r.checked(back).Get("code"))
	if who := r.userinfo(t, r.verified(t).Subject); who["email"] == nil {
		r.Errorf("no email: %v", who)
	}
}

// again is a second sign-in in the same browser, and whether it asked for the password.
func (r *rp) again(pairs ...string) (c claims, asked bool) {
	r.Helper()
	before := r.browser.logins
	_, c = r.signIn(pairs...)
	return c, r.browser.logins > before
}

func promptLogin(r *rp) {
	_, first := r.signIn()
	r.srv.Advance(2 * time.Second)
	second, asked := r.again("prompt", "login")
	if !asked || second.Subject != first.Subject || second.AuthTime <= first.AuthTime {
		r.Errorf("asked %t; %+v after %+v", asked, second, first)
	}
}

func promptNone(r *rp) {
	r.refusedWith(r.visit(r.request("prompt", "none")), "login_required", "interaction_required")
}

func promptNoneLoggedIn(r *rp) {
	_, first := r.signIn()
	r.srv.Advance(2 * time.Second)
	second, asked := r.again("prompt", "none")
	if asked || second.Subject != first.Subject || second.AuthTime != first.AuthTime {
		r.Errorf("asked %t; %+v after %+v", asked, second, first)
	}
}

func maxAge1(r *rp) {
	_, first := r.signIn()
	r.srv.Advance(2 * time.Second)
	second, asked := r.again("max_age", "1")
	if !asked || second.Subject != first.Subject || second.AuthTime <= first.AuthTime {
		r.Errorf("asked %t; %+v after %+v", asked, second, first)
	}
}

func maxAge10000(r *rp) {
	_, first := r.signIn()
	r.srv.Advance(2 * time.Second)
	second, asked := r.again("max_age", "10000")
	if asked || second.Subject != first.Subject || second.AuthTime == 0 || second.AuthTime != first.AuthTime {
		r.Errorf("asked %t; %+v after %+v", asked, second, first)
	}
}

func idTokenHint(r *rp) {
	t, first := r.signIn()
	second, asked := r.again("prompt", "none", "id_token_hint", t.ID)
	if asked || second.Subject != first.Subject {
		r.Errorf("asked %t; %+v after %+v", asked, second, first)
	}
}

func acrValues(r *rp) {
	supported := r.list("acr_values_supported")
	if len(supported) == 0 {
		r.Fatal("no acr_values_supported")
	}
	_, c := r.signIn("acr_values", strings.Join(supported, " "))
	if !slices.Contains(supported, c.ACR) {
		r.Errorf("acr %q is none of %v", c.ACR, supported)
	}
}

// codeReuse redeems a code twice. The second time fails, and takes back what the first one gave (RFC 6749 4.1.2).
func codeReuse(later time.Duration) func(*rp) {
	return func(r *rp) {
		code := r.code()
		first := r.redeem(code)
		r.userinfo(first, r.verified(first).Subject)
		r.srv.Advance(later)
		second := r.ask(r.client, "grant_type", "authorization_code", "code", code, "redirect_uri", callback, "code_verifier", r.verifier)
		if second.status != http.StatusBadRequest || second.Error != "invalid_grant" {
			r.Errorf("%d %q", second.status, second.Error)
		}
		response := r.get(r.endpoint("userinfo_endpoint"), http.Header{"Authorization": {"Bearer " + first.Access}})
		response.Body.Close()
		if response.StatusCode != http.StatusUnauthorized {
			r.Errorf("the access token is still good: %d", response.StatusCode)
		}
	}
}

func registeredRedirect(r *rp) {
	for _, to := range []string{callback + "/other", "https://attacker.example/callback", callback + "?x=y"} {
		if back := r.visit(r.request("redirect_uri", to)); back != nil || !r.browser.refuses() {
			r.Errorf("%s: %v, %d %s", to, back, r.browser.status, r.browser)
		}
	}
}

func postRequest(r *rp) {
	back := r.browser.send(http.MethodPost, r.endpoint("authorization_endpoint"), r.request())
	if back == nil {
		back = r.browser.signIn(r.person.Login, r.person.Password)
	}
	r.verified(r.redeem(r.checked(back).Get("code")))
}

func requestURI(r *rp) {
	r.refusedWith(r.visit(r.request("request_uri", "https://rp.example/request.jwt")), "request_uri_not_supported", "invalid_request_uri")
}

// unsignedHeader is that of a JWT which nobody signed: {"alg":"none"}.
const unsignedHeader = "eyJhbGciOiJub25lIn0"

func unsigned(claims string) string {
	return unsignedHeader + "." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + "."
}

func requestObject(r *rp) {
	r.refusedWith(r.visit(r.request("request", unsigned(`{"nonce":"other","state":"other"}`))), "request_not_supported")
}

func requestObjectRedirect(r *rp) {
	r.refusedWith(r.visit(r.request("request", unsigned(`{"redirect_uri":"https://attacker.example/callback"}`))), "request_not_supported")
}

func claimsEssential(r *rp) {
	t, c := r.signIn("claims", `{"userinfo":{"name":{"essential":true}}}`)
	if who := r.userinfo(t, c.Subject); who["name"] != nil {
		r.Error("the claim is there after all: the page should say so")
	}
}

func refreshToken(r *rp) {
	first, c := r.signIn("scope", "openid offline_access", "prompt", "consent")
	if first.Refresh == "" {
		r.Fatal("no refresh token")
	}
	stolen := r.ask(r.second, "grant_type", "refresh_token", "refresh_token", first.Refresh)
	if stolen.status != http.StatusBadRequest || stolen.Error != "invalid_grant" {
		r.Errorf("another client: %d %q", stolen.status, stolen.Error)
	}
	r.srv.Advance(2 * time.Second)
	second := r.ask(r.client, "grant_type", "refresh_token", "refresh_token", first.Refresh)
	if second.status != http.StatusOK || second.Access == first.Access {
		r.Fatalf("%d %s", second.status, second.Error)
	}
	if again := r.verifiedWithout(second); again.Subject != c.Subject || again.AuthTime != c.AuthTime {
		r.Errorf("OpenID Connect Core 12.2: %+v after %+v", again, c)
	}
	r.userinfo(second, c.Subject)
}
