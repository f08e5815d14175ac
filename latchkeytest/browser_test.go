package latchkeytest_test

import (
	"bytes"
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

	"latchkey.dev/latchkeytest"
)

// A walker signs in by hand, call by call, as a client without an SDK would.
type walker struct {
	t           testing.TB
	srv         *latchkeytest.Server
	client      string
	verifier    string
	interaction string
	state       string
	last        document
}

// A document is as much of an IDX answer as walkers look at.
type document struct {
	Status      int
	StateHandle string
	Remediation struct {
		Value []struct{ Name string }
	}
	Authenticators struct {
		Value []struct{ ID, Key string }
	}
	Messages struct {
		Value []struct{ I18n struct{ Key string } }
	}
	SuccessWithInteractionCode struct {
		Value []struct {
			Name  string
			Value any
		}
	}
	raw []byte
}

func (d document) steps() []string {
	var names []string
	for _, r := range d.Remediation.Value {
		names = append(names, r.Name)
	}
	return names
}

func (d document) key() string {
	for _, m := range d.Messages.Value {
		return m.I18n.Key
	}
	return ""
}

func (d document) code() string {
	for _, f := range d.SuccessWithInteractionCode.Value {
		if f.Name == "interaction_code" {
			code, _ := f.Value.(string)
			return code
		}
	}
	return ""
}

// begin calls interact and introspect.
func begin(t testing.TB, srv *latchkeytest.Server, client string) *walker {
	t.Helper()
	random := make([]byte, 32)
	rand.Read(random)
	w := &walker{t: t, srv: srv, client: client, verifier: base64.RawURLEncoding.EncodeToString(random)}
	challenge := sha256.Sum256([]byte(w.verifier))
	var began struct {
		Handle string `json:"interaction_handle"`
	}
	status := w.form("/v1/interact", url.Values{
		"client_id": {client}, "scope": {"openid profile email phone offline_access"}, "redirect_uri": {srv.Env["REDIRECT_URI"]},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"}, "state": {"s"},
	}, &began)
	if status != http.StatusOK {
		t.Fatalf("interact: %d", status)
	}
	w.interaction = began.Handle
	w.post("introspect", map[string]any{"interactionHandle": began.Handle})
	return w
}

// form posts to an OAuth endpoint.
func (w *walker) form(path string, form url.Values, into any) int {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodPost, w.srv.Env["ISSUER"]+path, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return w.do(r, into)
}

// post posts one IDX step; the state handle goes along.
func (w *walker) post(step string, body map[string]any) document {
	w.t.Helper()
	if w.state != "" {
		body["stateHandle"] = w.state
	}
	data, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodPost, w.srv.URL+"/idp/idx/"+step, bytes.NewReader(data))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	var d document
	d.Status = w.do(r, &d)
	if d.StateHandle != "" {
		w.state = d.StateHandle
	}
	w.last = d
	return d
}

func (w *walker) do(r *http.Request, into any) int {
	w.t.Helper()
	response, err := w.srv.Client().Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if into == nil {
		return response.StatusCode
	}
	if err := json.Unmarshal(body, into); err != nil {
		w.t.Fatalf("%s: %d with %q: %v", r.URL.Path, response.StatusCode, body, err)
	}
	return response.StatusCode
}

func (w *walker) password(username, password string) document {
	w.t.Helper()
	return w.post("identify", map[string]any{"identifier": username, "credentials": map[string]any{"passcode": password}})
}

// text chooses the phone: with a number to set it up, without one to verify the one there is.
func (w *walker) text(number string) document {
	w.t.Helper()
	phone := map[string]any{"methodType": "sms"}
	for _, a := range w.last.Authenticators.Value {
		if a.Key == "phone_number" {
			phone["id"] = a.ID
		}
	}
	if number == "" {
		return w.post("challenge", map[string]any{"authenticator": phone})
	}
	phone["phoneNumber"] = number
	return w.post("credential/enroll", map[string]any{"authenticator": phone})
}

func (w *walker) answer(code string) document {
	w.t.Helper()
	return w.post("challenge/answer", map[string]any{"credentials": map[string]any{"passcode": code}})
}

// profile redeems the code and reads userinfo.
func (w *walker) profile(code string) map[string]any {
	w.t.Helper()
	var tokens struct {
		Access string `json:"access_token"`
	}
	status := w.form("/v1/token", url.Values{
		"grant_type": {"interaction_code"}, "client_id": {w.client}, "interaction_code": {code},
		"code_verifier": {w.verifier}, "redirect_uri": {w.srv.Env["REDIRECT_URI"]},
	}, &tokens)
	if status != http.StatusOK {
		w.t.Fatalf("token: %d", status)
	}
	r, err := http.NewRequest(http.MethodGet, w.srv.Env["ISSUER"]+"/v1/userinfo", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+tokens.Access)
	var claims map[string]any
	if status := w.do(r, &claims); status != http.StatusOK {
		w.t.Fatalf("userinfo: %d", status)
	}
	return claims
}

// at wants the answer to be a step forward to the given step.
func (w *walker) at(d document, step string) {
	w.t.Helper()
	if d.Status != http.StatusOK || !slices.Contains(d.steps(), step) {
		w.t.Fatalf("%d %q %s, want 200 %s", d.Status, d.key(), d.steps(), step)
	}
}
