package conformance_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"latchkey.dev/latchkeytest"
)

// The application's addresses. Nobody listens there: the browser tells what it brings.
const (
	callback  = "http://localhost:9/callback"
	signedOut = "http://localhost:9/signed-out"
)

// An rp is a relying party with somebody who signs in to it.
type rp struct {
	*testing.T
	mode string // response_mode of every request; empty: the default

	srv      *latchkeytest.Server
	issuer   string
	meta     map[string]any
	client   latchkeytest.Client
	second   latchkeytest.Client
	person   latchkeytest.User
	browser  *browser
	verifier string
	state    string
	nonce    string
	post     bool // client_secret_post
}

// start starts a server with everybody in it.
func (r *rp) start(t *testing.T) {
	r.T = t
	r.srv = latchkeytest.Start(t)
	r.issuer = r.srv.Env["ISSUER"]
	r.client = r.srv.AddClient(r.application())
	r.second = r.srv.AddClient(r.application())
	r.person = r.srv.AddUser(latchkeytest.User{GivenName: "Grace", FamilyName: "Mills", Phone: "+12025550199"})
	r.browser = r.fresh()
	status := r.json(r.get(r.issuer+"/.well-known/openid-configuration", nil), &r.meta)
	if status != http.StatusOK {
		t.Fatalf("discovery: %d", status)
	}
}

func (r *rp) application() latchkeytest.Client {
	return latchkeytest.Client{
		Confidential: true, Policy: latchkeytest.PasswordOnly, Redirects: []string{callback}, PostLogout: []string{signedOut},
		Scopes: []string{"openid", "profile", "email", "phone", "offline_access"},
	}
}

// fresh is a browser that nobody used yet.
func (r *rp) fresh() *browser { return newBrowser(r.T, callback, signedOut) }

func (r *rp) endpoint(name string) string {
	r.Helper()
	s, _ := r.meta[name].(string)
	if s == "" {
		r.Fatalf("discovery names no %s", name)
	}
	return s
}

func (r *rp) list(name string) []string {
	var all []string
	values, _ := r.meta[name].([]any)
	for _, v := range values {
		s, _ := v.(string)
		all = append(all, s)
	}
	return all
}

func random() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// request is an authorization request. pairs change it; an empty value takes a parameter away.
func (r *rp) request(pairs ...string) url.Values {
	r.verifier, r.state, r.nonce = random(), random(), random()
	sum := sha256.Sum256([]byte(r.verifier))
	v := url.Values{
		"client_id": {r.client.ID}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid"}, "state": {r.state}, "nonce": {r.nonce},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	if r.mode != "" {
		v.Set("response_mode", r.mode)
	}
	for i := 0; i < len(pairs); i += 2 {
		if v.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			v.Del(pairs[i])
		}
	}
	return v
}

// visit brings a request to the authorization endpoint.
func (r *rp) visit(request url.Values) *arrival {
	r.Helper()
	return r.browser.open(r.endpoint("authorization_endpoint") + "?" + request.Encode())
}

// authorize visits, signs in if it is asked to, and returns what came back.
func (r *rp) authorize(pairs ...string) *arrival {
	r.Helper()
	back := r.visit(r.request(pairs...))
	if back == nil {
		back = r.browser.signIn(r.person.Login, r.person.Password)
	}
	return r.checked(back)
}

// checked checks what every response of the authorization endpoint has: its way, state, iss (RFC 9207).
func (r *rp) checked(back *arrival) *arrival {
	r.Helper()
	method := http.MethodGet
	if r.mode == "form_post" {
		method = http.MethodPost
	}
	if back.at != callback || back.method != method {
		r.Fatalf("back by %s at %s, want %s at %s", back.method, back.at, method, callback)
	}
	if back.Get("state") != r.state {
		r.Fatalf("state %q, want %q", back.Get("state"), r.state)
	}
	if back.Get("iss") != r.issuer {
		r.Fatalf("iss %q, want %q", back.Get("iss"), r.issuer)
	}
	return back
}

// code is an authorization code.
func (r *rp) code(pairs ...string) string {
	r.Helper()
	back := r.authorize(pairs...)
	if back.Get("code") == "" || back.Get("error") != "" {
		r.Fatalf("no code: %v", back.Values)
	}
	return back.Get("code")
}

// refusedWith wants an error to have come back, one of those.
func (r *rp) refusedWith(back *arrival, codes ...string) {
	r.Helper()
	if back == nil {
		r.Fatalf("no error came back; the browser shows %s", r.browser)
	}
	r.checked(back)
	if !slices.Contains(codes, back.Get("error")) || back.Get("code") != "" {
		r.Fatalf("%v came back, want error %v", back.Values, codes)
	}
}

// Tokens are what the token endpoint answers.
type tokens struct {
	Access      string `json:"access_token"`
	Type        string `json:"token_type"`
	Expires     int    `json:"expires_in"`
	Scope       string `json:"scope"`
	Refresh     string `json:"refresh_token"`
	ID          string `json:"id_token"`
	Error       string `json:"error"`
	Description string `json:"error_description"`
	status      int
}

// ask asks the token endpoint.
func (r *rp) ask(c latchkeytest.Client, pairs ...string) (t tokens) {
	r.Helper()
	response := r.backchannel(r.endpoint("token_endpoint"), c, pairs...)
	if cache := response.Header.Get("Cache-Control"); !strings.Contains(cache, "no-store") {
		r.Errorf("RFC 6749 5.1: Cache-Control is %q", cache)
	}
	t.status = r.json(response, &t)
	return t
}

// backchannel posts a form as a client.
func (r *rp) backchannel(address string, c latchkeytest.Client, pairs ...string) *http.Response {
	r.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	if r.post {
		form.Set("client_id", c.ID)
		form.Set("client_secret", c.Secret)
	}
	q, err := http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		r.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if !r.post {
		q.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret))
	}
	return r.do(q)
}

// redeem changes a code into tokens.
func (r *rp) redeem(code string) tokens {
	r.Helper()
	t := r.ask(r.client, "grant_type", "authorization_code", "code", code, "redirect_uri", callback, "code_verifier", r.verifier)
	if t.status != http.StatusOK || !strings.EqualFold(t.Type, "Bearer") || t.Access == "" || t.ID == "" {
		r.Fatalf("token endpoint: %d %s: %s", t.status, t.Error, t.Description)
	}
	return t
}

// claims are those of an ID token, as modules look at them.
type claims struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Nonce    string   `json:"nonce"`
	AuthTime int64    `json:"auth_time"`
	ACR      string   `json:"acr"`
	AMR      []string `json:"amr"`
	Session  string   `json:"sid"`
	Hash     string   `json:"at_hash"`
}

// verified verifies an ID token as OpenID Connect Core 3.1.3.7 asks, with a library that nobody here wrote.
func (r *rp) verified(t tokens) (c claims) {
	r.Helper()
	c = r.verifiedWithout(t)
	if c.Nonce != r.nonce {
		r.Fatalf("nonce %q, want %q", c.Nonce, r.nonce)
	}
	return c
}

// verifiedWithout is verified where no nonce was sent.
func (r *rp) verifiedWithout(t tokens) (c claims) {
	r.Helper()
	provider, err := oidc.NewProvider(r.Context(), r.issuer)
	if err != nil {
		r.Fatal(err)
	}
	token, err := provider.VerifierContext(context.WithoutCancel(r.Context()), &oidc.Config{ClientID: r.client.ID, Now: r.srv.Now}).Verify(r.Context(), t.ID)
	if err != nil {
		r.Fatal(err)
	}
	if err := token.Claims(&c); err != nil {
		r.Fatal(err)
	}
	if err := token.VerifyAccessToken(t.Access); err != nil {
		r.Fatal(err)
	}
	if age := r.srv.Now().Sub(token.IssuedAt); age < -time.Second || age > time.Minute || !token.Expiry.After(token.IssuedAt) || c.Subject == "" || len(c.Subject) > 255 {
		r.Fatalf("iat %s, exp %s, sub %q", token.IssuedAt, token.Expiry, c.Subject)
	}
	return c
}

// signIn is a whole sign-in.
func (r *rp) signIn(pairs ...string) (tokens, claims) {
	r.Helper()
	t := r.redeem(r.code(pairs...))
	return t, r.verified(t)
}

// userinfo asks userinfo with a bearer token in the header, and wants the subject to be the ID token's.
func (r *rp) userinfo(t tokens, sub string) map[string]any {
	r.Helper()
	var who map[string]any
	status := r.json(r.get(r.endpoint("userinfo_endpoint"), http.Header{"Authorization": {"Bearer " + t.Access}}), &who)
	if status != http.StatusOK || who["sub"] != sub {
		r.Fatalf("userinfo: %d %v, want sub %q", status, who, sub)
	}
	return who
}

func (r *rp) get(address string, header http.Header) *http.Response {
	r.Helper()
	q, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		r.Fatal(err)
	}
	for name, values := range header {
		q.Header[name] = values
	}
	return r.do(q)
}

func (r *rp) do(q *http.Request) *http.Response {
	r.Helper()
	response, err := r.srv.Client().Do(q)
	if err != nil {
		r.Fatal(err)
	}
	return response
}

// json reads an answer and returns its status.
func (r *rp) json(response *http.Response, into any) int {
	r.Helper()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.Fatal(err)
	}
	kind := response.Header.Get("Content-Type")
	if len(body) > 0 && !strings.HasPrefix(kind, "application/json") {
		r.Fatalf("%s: %d with the type %q", response.Request.URL.Path, response.StatusCode, kind)
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, into); err != nil {
			r.Fatalf("%s: %q: %v", response.Request.URL.Path, body, err)
		}
	}
	return response.StatusCode
}
