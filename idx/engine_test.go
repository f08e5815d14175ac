package idx_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey.dev/idx"
)

// engine is the seed's engine, small enough to read: password, then phone, on one page or identifier first. It is no
// substitute for the real one, but it can be told to misbehave, and it counts.
type engine struct {
	*httptest.Server
	key *rsa.PrivateKey

	identifierFirst bool
	optionalPhone   bool
	hideSecret      func(string) // sees every secret the engine makes
	now             func() time.Time
	idClaims        func(map[string]any) // may bend the ID token

	mu      sync.Mutex
	flows   map[string]*flow // by either handle
	phones  map[string]string
	counts  map[string]int
	seen    []*http.Request
	bodies  []string
	serial  int
	refresh map[string]string
}

type flow struct {
	handle, state, nonce, challenge, login, phone, code string
	step                                                string
	sh                                                  string
	spent                                               bool
}

const (
	goodPassword = "Correct-Horse-1"
	goodCode     = "424242"
	clientID     = "0oa1seed"
	redirectURI  = "http://localhost:8080/login/callback"
)

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func newEngine(t testing.TB, change ...func(*engine)) *engine {
	e := startEngine(change...)
	t.Cleanup(e.Close)
	return e
}

func startEngine(change ...func(*engine)) *engine {
	e := &engine{key: testKey(), flows: map[string]*flow{}, phones: map[string]string{}, counts: map[string]int{},
		refresh: map[string]string{}, now: time.Now}
	for _, c := range change {
		c(e)
	}
	e.Server = httptest.NewServer(e.handler())
	return e
}

func (e *engine) issuer() string { return e.URL + "/oauth2/default" }

func (e *engine) config() idx.Config {
	return idx.Config{Issuer: e.issuer(), ClientID: clientID, RedirectURI: redirectURI, Scopes: []string{"openid", "profile", "offline_access"}}
}

func (e *engine) client(t testing.TB, opts ...idx.ClientOption) *idx.Client {
	t.Helper()
	c, err := idx.New(e.config(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (e *engine) count(path string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.counts[path]
}

func (e *engine) requests() []*http.Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]*http.Request(nil), e.seen...)
}

func (e *engine) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /oauth2/default/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		b := e.issuer()
		reply(w, 200, map[string]any{"issuer": b, "token_endpoint": b + "/v1/token", "userinfo_endpoint": b + "/v1/userinfo",
			"jwks_uri": b + "/v1/keys", "revocation_endpoint": b + "/v1/revoke", "end_session_endpoint": b + "/v1/logout"})
	})
	mux.HandleFunc("GET /oauth2/default/v1/keys", func(w http.ResponseWriter, r *http.Request) { reply(w, 200, jwks(&e.key.PublicKey)) })
	mux.HandleFunc("POST /oauth2/default/v1/interact", e.interact)
	mux.HandleFunc("POST /oauth2/default/v1/token", e.token)
	mux.HandleFunc("POST /oauth2/default/v1/revoke", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("client_id") != clientID {
			reply(w, 401, map[string]any{"error": "invalid_client", "error_description": "who?"})
		}
	})
	mux.HandleFunc("GET /oauth2/default/v1/userinfo", func(w http.ResponseWriter, r *http.Request) {
		login, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer at-")
		if !ok {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token", error_description="The access token is invalid."`)
			reply(w, 401, map[string]any{})
			return
		}
		reply(w, 200, map[string]any{"sub": "00u" + login, "name": "Mary Acme", "email": login})
	})
	mux.HandleFunc("POST /idp/idx/", e.idx)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		e.mu.Lock()
		e.counts[r.URL.Path]++
		e.seen = append(e.seen, r)
		e.bodies = append(e.bodies, string(body))
		e.mu.Unlock()
		w.Header().Set("X-Okta-Request-Id", "req-1")
		mux.ServeHTTP(w, r)
	})
}

func (e *engine) secret(prefix string) string {
	e.serial++
	s := fmt.Sprintf("%s%d-%s", prefix, e.serial, rand.Text())
	if e.hideSecret != nil {
		e.hideSecret(s)
	}
	return s
}

func (e *engine) interact(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.FormValue("client_id") != clientID || r.FormValue("code_challenge_method") != "S256" || len(r.FormValue("code_challenge")) != 43 {
		reply(w, 400, map[string]any{"error": "invalid_request", "error_description": "PKCE is required"})
		return
	}
	if r.FormValue("recovery_token") == "dead" {
		reply(w, 400, map[string]any{"error": "invalid_request", "error_description": "The recovery token is invalid"})
		return
	}
	f := &flow{handle: e.secret("ih"), sh: e.secret("02"), state: r.FormValue("state"), nonce: r.FormValue("nonce"),
		challenge: r.FormValue("code_challenge"), step: "identify"}
	e.flows[f.handle], e.flows[f.sh] = f, f
	reply(w, 200, map[string]any{"interaction_handle": f.handle})
}

func (e *engine) idx(w http.ResponseWriter, r *http.Request) {
	var b struct {
		InteractionHandle, StateHandle, Identifier string
		Credentials                                *struct{ Passcode string }
		Authenticator                              *struct{ ID, MethodType, PhoneNumber, EnrollmentID string }
	}
	if json.NewDecoder(r.Body).Decode(&b) != nil {
		e.say(w, 400, nil, "errors.E0000003", "The request body was not well-formed.")
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	f := e.flows[b.StateHandle+b.InteractionHandle]
	if f == nil || f.spent {
		e.say(w, 401, nil, "idx.session.expired", "You have been logged out due to inactivity.")
		return
	}
	no := func(status int, key, text string) { e.say(w, status, f, key, text) }
	switch op := strings.TrimPrefix(r.URL.Path, "/idp/idx/"); {
	case op == "introspect":
	case op == "cancel":
		f.spent = true
		next := &flow{sh: e.secret("02"), step: "identify"}
		e.flows[next.sh], f = next, next
	case op == "identify" && f.step == "identify":
		f.login = b.Identifier
		switch {
		case b.Identifier == "nobody@example.com":
			e.document(w, 200, f, message("INFO", "idx.unknown.user", "There is no account with the Username nobody@example.com."))
			return
		case e.identifierFirst:
			f.step = "password"
		case b.Credentials == nil || b.Credentials.Passcode != goodPassword:
			no(401, "errors.E0000004", "Authentication failed")
			return
		default:
			e.proved(f)
		}
	case op == "challenge" && f.step == "password":
	case op == "challenge/answer" && f.step == "password":
		if b.Credentials == nil || b.Credentials.Passcode != goodPassword {
			no(401, "errors.E0000004", "Authentication failed")
			return
		}
		e.proved(f)
	case op == "credential/enroll" && b.Authenticator != nil:
		a := b.Authenticator
		f.step = "number"
		if a.PhoneNumber != "" {
			if !strings.HasPrefix(a.PhoneNumber, "+") {
				no(400, "api.factors.error.sms.invalid_phone", "Invalid Phone Number.")
				return
			}
			f.phone, f.step = a.PhoneNumber, "enroll"
		}
	case op == "challenge" && b.Authenticator != nil:
		f.step = "method"
		if b.Authenticator.MethodType == "sms" {
			f.step = "challenge"
		}
	case op == "challenge/resend" && (f.step == "enroll" || f.step == "challenge"):
	case op == "skip" && e.optionalPhone:
		f.step = "done"
	case op == "challenge/answer" && (f.step == "enroll" || f.step == "challenge"):
		if b.Credentials == nil || b.Credentials.Passcode != goodCode {
			if b.Credentials != nil && b.Credentials.Passcode == "999999" {
				reply(w, 429, map[string]any{"version": "1.0.0", "stateHandle": f.sh, "messages": collection(message("ERROR", "tooManyRequests", "Too many requests"))})
				return
			}
			e.wrongCode(w, f)
			return
		}
		if f.step == "enroll" {
			e.phones[f.login] = f.phone
		}
		f.step = "done"
	default:
		no(400, "errors.E0000020", "Bad request.")
		return
	}
	e.document(w, 200, f)
}

func (e *engine) proved(f *flow) {
	if f.step = "choose"; e.phones[f.login] != "" {
		f.step = "method"
	}
}

func (e *engine) say(w http.ResponseWriter, status int, f *flow, key, text string) {
	if f == nil {
		reply(w, status, map[string]any{"version": "1.0.0", "messages": collection(message("ERROR", key, text))})
		return
	}
	e.document(w, status, f, message("ERROR", key, text))
}

func (e *engine) wrongCode(w http.ResponseWriter, f *flow) {
	d := e.view(f)
	form := d["remediation"].(map[string]any)["value"].([]any)[0].(map[string]any)
	passcode := form["value"].([]any)[0].(map[string]any)["form"].(map[string]any)["value"].([]any)[0].(map[string]any)
	passcode["messages"] = collection(message("ERROR", "api.authn.error.PASSCODE_INVALID", "Invalid code. Try again."))
	reply(w, 401, d)
}

func (e *engine) document(w http.ResponseWriter, status int, f *flow, messages ...any) {
	d := e.view(f)
	if len(messages) > 0 {
		d["messages"] = collection(messages...)
	}
	reply(w, status, d)
}

type js = map[string]any

func (e *engine) view(f *flow) js {
	sh := js{"name": "stateHandle", "required": true, "value": f.sh, "visible": false, "mutable": false}
	form := func(name, path string, fields ...any) js {
		return js{"rel": []any{"create-form"}, "name": name, "href": e.URL + "/idp/idx/" + path, "method": "POST",
			"produces": "application/ion+json; okta-version=1.0.0", "accepts": "application/json; okta-version=1.0.0",
			"value": append(fields, sh)}
	}
	to := func(path string, f js) js { f["relatesTo"] = []any{path}; return f }
	group := func(name string, fields ...any) js {
		return js{"name": name, "type": "object", "required": true, "form": js{"value": fields}}
	}
	passcode := group("credentials", js{"name": "passcode", "label": "Enter code"})
	secret := group("credentials", js{"name": "passcode", "label": "Password", "secret": true})
	id := js{"name": "id", "required": true, "value": "aut1phone", "mutable": false}
	enrollment := js{"name": "enrollmentId", "required": true, "value": "sms1", "mutable": false}
	methodType := func(required bool) js {
		return js{"name": "methodType", "type": "string", "required": required, "options": []any{js{"label": "SMS", "value": "sms"}}}
	}
	number := func(required bool) js {
		return js{"name": "phoneNumber", "label": "Phone number", "required": required}
	}
	phone := js{"type": "phone", "key": "phone_number", "id": "aut1phone", "displayName": "Phone", "methods": []any{js{"type": "sms"}}}
	hers := js{"type": "phone", "key": "phone_number", "id": "sms1", "displayName": "Phone", "methods": []any{js{"type": "sms"}},
		"profile": js{"phoneNumber": "+1 XXX-XXX-4567"}}
	resend := form("resend", "challenge/resend")
	with := func(o js, k string, v any) js {
		c := js{k: v}
		for a, b := range o {
			c[a] = b
		}
		return c
	}
	list := func(name, path, target string, fields ...any) js {
		return form(name, path, js{"name": "authenticator", "type": "object", "options": []any{
			js{"label": "Phone", "value": js{"form": js{"value": fields}}, "relatesTo": target}}})
	}
	choose := list("select-authenticator-enroll", "credential/enroll", "$.authenticators.value[0]", id, methodType(false), number(false))
	verify := list("select-authenticator-authenticate", "challenge", "$.authenticatorEnrollments.value[0]", id, methodType(false), enrollment)
	d := js{"version": "1.0.0", "stateHandle": f.sh, "expiresAt": e.now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000Z"), "intent": "LOGIN",
		"cancel": form("cancel", "cancel"), "app": object(js{"name": "oidc_client", "label": "Seed App", "id": clientID})}
	if f.login != "" && f.step != "identify" {
		d["user"] = object(js{"identifier": f.login})
	}
	forms := func(fs ...any) {
		if e.optionalPhone && f.step != "identify" && f.step != "password" {
			fs = append(fs, form("skip", "skip"))
		}
		d["remediation"] = collection(fs...)
	}
	enrolling := func() {
		d["authenticators"] = collection(phone)
		d["currentAuthenticator"] = object(phone)
	}
	verifying := func() {
		d["authenticators"], d["authenticatorEnrollments"] = collection(phone), collection(hers)
		d["currentAuthenticatorEnrollment"] = object(hers)
	}
	switch f.step {
	case "identify":
		fields := []any{js{"name": "identifier", "label": "Username", "required": true}}
		if !e.identifierFirst {
			fields = append(fields, secret)
		}
		forms(form("identify", "identify", append(fields, js{"name": "rememberMe", "type": "boolean", "label": "Remember this device"})...))
	case "password":
		pw := js{"type": "password", "key": "okta_password", "id": "lae1pw", "displayName": "Password", "methods": []any{js{"type": "password"}}}
		d["currentAuthenticatorEnrollment"] = object(pw)
		d["authenticatorEnrollments"] = collection(pw)
		sel := form("select-authenticator-authenticate", "challenge", js{"name": "authenticator", "type": "object", "options": []any{
			js{"label": "Password", "relatesTo": "$.authenticatorEnrollments.value[0]", "value": js{"form": js{"value": []any{
				js{"name": "id", "required": true, "value": "aut1password", "mutable": false},
				js{"name": "methodType", "required": false, "value": "password", "mutable": false}}}}}}})
		forms(to("$.currentAuthenticatorEnrollment", form("challenge-authenticator", "challenge/answer", secret)), sel)
	case "choose":
		enrolling()
		delete(d, "currentAuthenticator")
		forms(choose)
	case "number":
		enrolling()
		forms(to("$.currentAuthenticator", form("authenticator-enrollment-data", "credential/enroll",
			js{"name": "authenticator", "label": "Phone", "form": js{"value": []any{id, methodType(true), number(true)}}})), choose)
	case "enroll":
		enrolling()
		d["currentAuthenticator"] = object(with(phone, "resend", resend))
		forms(to("$.currentAuthenticator", form("enroll-authenticator", "challenge/answer", passcode)), choose)
	case "method":
		verifying()
		forms(to("$.currentAuthenticatorEnrollment", form("authenticator-verification-data", "challenge",
			js{"name": "authenticator", "label": "Phone", "form": js{"value": []any{id, methodType(true), enrollment}}})), verify)
	case "challenge":
		verifying()
		d["currentAuthenticatorEnrollment"] = object(with(hers, "resend", resend))
		forms(to("$.currentAuthenticatorEnrollment", form("challenge-authenticator", "challenge/answer", passcode)), verify)
	case "done":
		if f.code == "" {
			f.code = e.secret("ic")
			e.flows[f.code] = f
		}
		d["successWithInteractionCode"] = js{"rel": []any{"create-form"}, "name": "issue", "href": e.issuer() + "/v1/token", "method": "POST",
			"accepts": "application/x-www-form-urlencoded", "value": []any{js{"name": "grant_type", "required": true, "value": "interaction_code"},
				js{"name": "interaction_code", "required": true, "value": f.code}, js{"name": "client_id", "required": true, "value": clientID},
				js{"name": "code_verifier", "required": true}}}
	}
	return d
}

func (e *engine) token(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	login := e.refresh[r.FormValue("refresh_token")]
	claims := js{"iss": e.issuer(), "aud": clientID, "iat": e.now().Unix(), "exp": e.now().Add(time.Hour).Unix(), "auth_time": e.now().Unix()}
	if r.FormValue("grant_type") == "interaction_code" {
		f := e.flows[r.FormValue("interaction_code")]
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if f == nil || f.spent || base64.RawURLEncoding.EncodeToString(sum[:]) != f.challenge {
			reply(w, 400, js{"error": "invalid_grant", "error_description": "The interaction code is invalid or has expired."})
			return
		}
		f.spent, login = true, f.login
		claims["nonce"] = f.nonce
	}
	if login == "" {
		reply(w, 400, js{"error": "invalid_grant", "error_description": "The refresh token is invalid or expired."})
		return
	}
	access, refresh := "at-"+login, e.secret("rt")
	e.refresh[refresh] = login
	half := sha256.Sum256([]byte(access))
	claims["sub"], claims["at_hash"] = "00u"+login, base64.RawURLEncoding.EncodeToString(half[:16])
	if e.idClaims != nil {
		e.idClaims(claims)
	}
	reply(w, 200, js{"token_type": "Bearer", "expires_in": 900, "scope": "openid profile", "access_token": access, "refresh_token": refresh,
		"id_token": signRS256(e.key, js{"alg": "RS256", "kid": "latchkey-1"}, claims)})
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; okta-version=1.0.0")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func object(v any) js        { return js{"type": "object", "value": v} }
func collection(v ...any) js { return js{"type": "array", "value": v} }
func message(class, key, text string) js {
	return js{"message": text, "class": class, "i18n": js{"key": key}}
}
