package signin_test

import (
	"cmp"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// fake is an engine that speaks just enough IDX for the pages: what it sends has the shape of protocol/seed-walk.md. It
// can be told to misbehave, which the real one is too good for.
type fake struct {
	*httptest.Server
	mu    sync.Mutex
	flows map[string]*fakeFlow // by interaction handle, state handle or code
	users map[string]*fakeUser

	identifierFirst, optional, passwordOnly, reveal, voice bool
	hosted                                                 string // origin of its own pages, where sign-ins end by a redirect

	before func(path string, f *fakeFlow) *reply // answers instead, if it returns something
	calls  map[string]int
	last   obj           // body of the last IDX request
	agents []http.Header // of every IDX request
	texts  []string      // numbers that a code was sent to
}

type fakeUser struct{ password, phone string }

type fakeFlow struct {
	handle, state, nonce, oauth, code string
	step, login, phone                string // identify, password, choose, number, method, enroll, verify, done
	tries                             int
	resent                            time.Time
	dead                              bool
	spent                             bool
}

type reply struct {
	status int
	body   any
}

type obj = map[string]any

// raw is a body as it was recorded.
type raw string

const code = "424242"

var signingKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func newFake(t testing.TB) *fake {
	e := &fake{flows: map[string]*fakeFlow{}, calls: map[string]int{}, users: map[string]*fakeUser{
		"mary@example.com": {password: "Correct-Horse-1"},
		"bob@example.com":  {password: "Battery-Staple-2", phone: "+15557654321"},
	}}
	e.Server = httptest.NewServer(http.HandlerFunc(e.serve))
	t.Cleanup(e.Close)
	return e
}

func (e *fake) count(path string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.calls[path]
}

// expire makes the engine forget every sign-in.
func (e *fake) expire() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range e.flows {
		f.dead = true
	}
}

// misbehave sets the hook; nil makes the engine good again.
func (e *fake) misbehave(f func(path string, f *fakeFlow) *reply) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.before = f
}

func (e *fake) serve(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/oauth2/default")
	e.calls[path]++
	var body struct {
		StateHandle, InteractionHandle, Identifier string
		Credentials                                struct{ Passcode string }
		Authenticator                              struct{ ID, MethodType, PhoneNumber, EnrollmentID string }
		RememberMe                                 *bool
	}
	if strings.HasPrefix(path, "/idp/idx/") {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			panic(err)
		}
		if err := json.Unmarshal(raw, &body); err != nil {
			panic(err)
		}
		e.last = nil
		_ = json.Unmarshal(raw, &e.last)
		e.agents = append(e.agents, r.Header.Clone())
	}
	f := e.flows[body.StateHandle+body.InteractionHandle]
	if e.before != nil {
		if hook := e.before(path, f); hook != nil {
			send(w, hook.status, hook.body)
			return
		}
	}
	switch path {
	case "/.well-known/openid-configuration":
		iss := e.URL + "/oauth2/default"
		send(w, 200, obj{"issuer": iss, "token_endpoint": iss + "/v1/token", "userinfo_endpoint": iss + "/v1/userinfo", "jwks_uri": iss + "/v1/keys",
			"authorization_endpoint": iss + "/v1/authorize", "revocation_endpoint": iss + "/v1/revoke", "end_session_endpoint": iss + "/v1/logout",
			"code_challenge_methods_supported": []string{"S256"}, "id_token_signing_alg_values_supported": []string{"RS256"}})
		return
	case "/v1/interact":
		_ = r.ParseForm()
		f := &fakeFlow{handle: random(), state: "02" + random(), nonce: r.PostForm.Get("nonce"), oauth: r.PostForm.Get("state"), step: "identify"}
		e.flows[f.handle], e.flows[f.state] = f, f
		send(w, 200, obj{"interaction_handle": f.handle})
		return
	case "/v1/token":
		e.token(w, r)
		return
	case "/v1/keys":
		pub := signingKey().PublicKey
		send(w, 200, obj{"keys": []obj{{"kty": "RSA", "kid": "k1", "use": "sig", "alg": "RS256", "n": b64(pub.N.Bytes()), "e": b64(big.NewInt(int64(pub.E)).Bytes())}}})
		return
	case "/v1/userinfo":
		login := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer at-")
		send(w, 200, obj{"sub": "00u" + login, "name": "Mary Acme", "preferred_username": login, "email": login, "phone_number": "+15551234567"})
		return
	case "/v1/revoke":
		w.WriteHeader(200)
		return
	}
	if f == nil || f.dead || f.step == "done" && path != "/idp/idx/challenge/answer" {
		send(w, 401, obj{"version": "1.0.0", "messages": messages("ERROR", "idx.session.expired", "You have been logged out due to inactivity.")})
		return
	}
	switch path {
	case "/idp/idx/introspect":
		send(w, 200, e.document(f))
	case "/idp/idx/identify":
		u := e.users[body.Identifier]
		if u == nil && e.reveal {
			send(w, 200, with(e.document(f), messages("INFO", "idx.unknown.user", "There is no account with the Username "+body.Identifier+".")))
			return
		}
		f.login = body.Identifier
		if e.identifierFirst {
			f.step = "password"
			send(w, 200, e.document(f))
			return
		}
		e.password(w, f, body.Credentials.Passcode)
	case "/idp/idx/credential/enroll":
		switch number := body.Authenticator.PhoneNumber; {
		case number == "":
			f.step = "number"
		case !regexp.MustCompile(`^\+1555\d{7}$`).MatchString(number):
			f.step = "number"
			send(w, 400, with(e.document(f), messages("ERROR", "api.factors.error.sms.invalid_phone", "Invalid Phone Number.")))
			return
		default:
			f.phone, f.step, f.tries = number, "enroll", 0
			e.texts = append(e.texts, number)
		}
		send(w, 200, e.document(f))
	case "/idp/idx/challenge":
		if body.Authenticator.MethodType == "" {
			f.step = "method"
		} else {
			f.step, f.tries = "verify", 0
			e.texts = append(e.texts, e.users[f.login].phone)
		}
		send(w, 200, e.document(f))
	case "/idp/idx/challenge/resend":
		if time.Since(f.resent) < time.Minute {
			send(w, 429, with(e.document(f), messages("ERROR", "tooManyRequests", "Too many requests")))
			return
		}
		f.resent, f.tries = time.Now(), 0
		e.texts = append(e.texts, f.phone)
		send(w, 200, e.document(f))
	case "/idp/idx/skip":
		f.step = "done"
		send(w, 200, e.document(f))
	case "/idp/idx/cancel":
		f.dead = true
		g := &fakeFlow{handle: f.handle, state: "02" + random(), step: "identify"}
		e.flows[g.state] = g
		send(w, 200, e.document(g))
	case "/idp/idx/challenge/answer":
		e.answer(w, f, body.Credentials.Passcode)
	default:
		send(w, 404, obj{"version": "1.0.0", "messages": messages("ERROR", "errors.E0000022", "no")})
	}
}

func (e *fake) password(w http.ResponseWriter, f *fakeFlow, password string) {
	u := e.users[f.login]
	if u == nil || u.password != password {
		send(w, 401, with(e.document(f), messages("ERROR", "errors.E0000004", "Authentication failed")))
		return
	}
	switch {
	case e.passwordOnly:
		f.step = "done"
	case u.phone != "":
		f.step = "method"
	default:
		f.step = "choose"
	}
	send(w, 200, e.document(f))
}

func (e *fake) answer(w http.ResponseWriter, f *fakeFlow, passcode string) {
	if f.step == "password" {
		e.password(w, f, passcode)
		return
	}
	if f.step != "done" {
		if f.tries++; f.tries > 5 {
			send(w, 429, obj{"version": "1.0.0", "stateHandle": f.state, "expiresAt": expiry(), "intent": "LOGIN", "messages": messages("ERROR", "tooManyRequests", "Too many requests")})
			return
		}
		if passcode != code {
			doc := e.document(f)
			field := doc["remediation"].(obj)["value"].([]obj)[0]["value"].([]obj)[0]["form"].(obj)["value"].([]obj)[0]
			field["messages"] = messages("ERROR", "api.authn.error.PASSCODE_INVALID", "Invalid code. Try again.")
			send(w, 401, doc)
			return
		}
		if f.step == "enroll" {
			e.users[f.login].phone = f.phone
		}
		f.step = "done"
	}
	send(w, 200, e.document(f))
}

func (e *fake) document(f *fakeFlow) obj {
	doc := obj{"version": "1.0.0", "stateHandle": f.state, "expiresAt": expiry(), "intent": "LOGIN",
		"app": obj{"type": "object", "value": obj{"name": "oidc_client", "label": "Seed App", "id": "0oa1seed"}}, "cancel": e.form(f, "cancel", "cancel")}
	if f.step != "identify" {
		doc["user"] = obj{"type": "object", "value": obj{"identifier": f.login}}
	}
	methods := obj{"name": "methodType", "type": "string", "required": true, "options": []obj{{"label": "SMS", "value": "sms"}}}
	if e.voice {
		methods["options"] = []obj{{"label": "SMS", "value": "sms"}, {"label": "Voice call", "value": "voice"}}
	}
	optional := obj{}
	for k, v := range methods {
		optional[k] = v
	}
	optional["required"] = false
	id := obj{"name": "id", "required": true, "value": "aut1phone", "mutable": false}
	enrollment := obj{"name": "enrollmentId", "required": true, "value": "sms1" + f.login, "mutable": false}
	phone := obj{"type": "phone", "key": "phone_number", "id": "aut1phone", "displayName": "Phone", "methods": []obj{{"type": "sms"}}}
	hers := obj{"type": "phone", "key": "phone_number", "id": "sms1" + f.login, "displayName": "Phone", "methods": []obj{{"type": "sms"}}}
	if u := e.users[f.login]; u != nil && u.phone != "" {
		hers["profile"] = obj{"phoneNumber": "+1 XXX-XXX-" + u.phone[8:]}
	}
	resend := e.form(f, "resend", "challenge/resend")
	chooseEnroll := e.form(f, "select-authenticator-enroll", "credential/enroll", obj{"name": "authenticator", "type": "object", "options": []obj{{"label": "Phone", "relatesTo": "$.authenticators.value[0]",
		"value": obj{"form": obj{"value": []obj{id, optional, {"name": "phoneNumber", "label": "Phone number", "required": false}}}}}}})
	chooseVerify := e.form(f, "select-authenticator-authenticate", "challenge", obj{"name": "authenticator", "type": "object", "options": []obj{{"label": "Phone", "relatesTo": "$.authenticatorEnrollments.value[0]",
		"value": obj{"form": obj{"value": []obj{id, optional, enrollment}}}}}})
	passcode := func(label string, secret bool) obj {
		return obj{"name": "credentials", "type": "object", "required": true, "form": obj{"value": []obj{{"name": "passcode", "label": label, "secret": secret}}}}
	}
	var forms []obj
	switch f.step {
	case "identify":
		fields := []obj{{"name": "identifier", "label": "Username", "required": true}}
		if !e.identifierFirst {
			fields = append(fields, passcode("Password", true))
		}
		forms = []obj{e.form(f, "identify", "identify", append(fields, obj{"name": "rememberMe", "type": "boolean", "label": "Remember this device"})...)}
	case "password":
		forms = []obj{related(e.form(f, "challenge-authenticator", "challenge/answer", passcode("Password", true)), "$.currentAuthenticatorEnrollment")}
		doc["currentAuthenticatorEnrollment"] = obj{"type": "object", "value": obj{"type": "password", "key": "okta_password", "id": "lae1pw", "displayName": "Password", "methods": []obj{{"type": "password"}}}}
	case "choose":
		forms = []obj{chooseEnroll}
	case "number":
		forms = []obj{related(e.form(f, "authenticator-enrollment-data", "credential/enroll", obj{"name": "authenticator", "label": "Phone",
			"form": obj{"value": []obj{id, methods, {"name": "phoneNumber", "label": "Phone number", "required": true}}}}), "$.currentAuthenticator"), chooseEnroll}
		doc["currentAuthenticator"] = obj{"type": "object", "value": phone}
	case "enroll":
		forms = []obj{related(e.form(f, "enroll-authenticator", "challenge/answer", passcode("Enter code", false)), "$.currentAuthenticator"), chooseEnroll}
		current := obj{"resend": resend}
		for k, v := range phone {
			current[k] = v
		}
		doc["currentAuthenticator"] = obj{"type": "object", "value": current}
	case "method":
		forms = []obj{related(e.form(f, "authenticator-verification-data", "challenge", obj{"name": "authenticator", "label": "Phone", "form": obj{"value": []obj{id, methods, enrollment}}}), "$.currentAuthenticatorEnrollment"), chooseVerify}
		doc["currentAuthenticatorEnrollment"] = obj{"type": "object", "value": hers}
	case "verify":
		forms = []obj{related(e.form(f, "challenge-authenticator", "challenge/answer", passcode("Enter code", false)), "$.currentAuthenticatorEnrollment"), chooseVerify}
		current := obj{"resend": resend}
		for k, v := range hers {
			current[k] = v
		}
		doc["currentAuthenticatorEnrollment"] = obj{"type": "object", "value": current}
	case "done":
		if e.hosted != "" {
			doc["success"] = obj{"name": "success-redirect", "href": e.hosted + "/login/token/redirect?stateToken=" + f.state}
			return doc
		}
		if f.code == "" {
			f.code = random()
			e.flows[f.code] = f
		}
		doc["successWithInteractionCode"] = obj{"rel": []string{"create-form"}, "name": "issue", "href": e.URL + "/oauth2/default/v1/token", "method": "POST", "accepts": "application/x-www-form-urlencoded",
			"value": []obj{{"name": "grant_type", "required": true, "value": "interaction_code"}, {"name": "interaction_code", "required": true, "value": f.code}, {"name": "client_id", "required": true, "value": "0oa1seed"}, {"name": "code_verifier", "required": true}}}
		return doc
	}
	if e.optional && (f.step == "choose" || f.step == "number" || f.step == "enroll") {
		forms = append(forms, e.form(f, "skip", "skip"))
	}
	doc["remediation"] = obj{"type": "array", "value": forms}
	doc["authenticators"] = obj{"type": "array", "value": []obj{phone}}
	doc["authenticatorEnrollments"] = obj{"type": "array", "value": []obj{hers}}
	return doc
}

func (e *fake) form(f *fakeFlow, name, path string, fields ...obj) obj {
	return obj{"rel": []string{"create-form"}, "name": name, "href": cmp.Or(e.hosted, e.URL) + "/idp/idx/" + path, "method": "POST", "accepts": "application/json; okta-version=1.0.0",
		"produces": "application/ion+json; okta-version=1.0.0", "value": append(fields, obj{"name": "stateHandle", "required": true, "value": f.state, "visible": false, "mutable": false})}
}

func related(form obj, path string) obj { form["relatesTo"] = []string{path}; return form }

func with(doc obj, m obj) obj { doc["messages"] = m; return doc }

func messages(class, key, text string) obj {
	m := obj{"message": text, "class": class}
	if key != "" {
		m["i18n"] = obj{"key": key}
	}
	return obj{"type": "array", "value": []obj{m}}
}

func (e *fake) token(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	f := e.flows[r.PostForm.Get("interaction_code")]
	if f == nil || f.spent {
		send(w, 400, obj{"error": "invalid_grant", "error_description": "The interaction code is invalid or has expired."})
		return
	}
	f.spent = true
	access := "at-" + f.login
	sum := sha256.Sum256([]byte(access))
	now := time.Now().Unix()
	payload, _ := json.Marshal(obj{"iss": e.URL + "/oauth2/default", "aud": "0oa1seed", "sub": "00u" + f.login, "iat": now, "exp": now + 3600, "nonce": f.nonce, "at_hash": b64(sum[:16]), "preferred_username": f.login})
	unsigned := b64([]byte(`{"kid":"k1","alg":"RS256"}`)) + "." + b64(payload)
	digest := sha256.Sum256([]byte(unsigned))
	sig, err := rsa.SignPKCS1v15(rand.Reader, signingKey(), crypto.SHA256, digest[:])
	if err != nil {
		panic(err)
	}
	send(w, 200, obj{"token_type": "Bearer", "expires_in": 900, "scope": "openid profile", "access_token": access, "id_token": unsigned + "." + b64(sig)})
}

func send(w http.ResponseWriter, status int, body any) {
	if text, ok := body.(string); ok {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, text)
		return
	}
	w.Header().Set("Content-Type", "application/json; okta-version=1.0.0")
	w.WriteHeader(status)
	if text, ok := body.(raw); ok {
		_, _ = io.WriteString(w, string(text))
		return
	}
	_ = json.NewEncoder(w).Encode(body)
}

func expiry() string { return time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000Z") }

func random() string {
	raw := make([]byte, 24)
	_, _ = rand.Read(raw)
	return b64(raw)
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
