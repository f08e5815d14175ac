// Package oidc_test signs in by redirect with coreos/go-oidc and golang.org/x/oauth2, in a browser, against the built
// binary. Nobody here wrote either. It is a module of its own, so that none of it is a dependency of ours. Neither library
// knows pushed requests or DPoP: what an application adds to have them is in dpop_test.go.
package oidc_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

var env = map[string]string{}

func TestMain(m *testing.M) {
	stop, err := start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	stop()
	os.Exit(code)
}

// start runs the built binary as latchkey dev and reads its env file.
func start() (stop func(), err error) {
	binary := os.Getenv("LATCHKEY_BIN")
	if binary == "" {
		binary = "../../bin/latchkey"
	}
	dir, err := os.MkdirTemp("", "latchkey-oidc-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "env")
	cmd := exec.Command(binary, "dev", "--addr", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--env-file", file)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w: run make build first", err)
	}
	if !bufio.NewScanner(stdout).Scan() { // it speaks once it is ready
		return nil, errors.New("latchkey dev ended before it was ready")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			env[name] = value
		}
	}
	return func() {
		cmd.Process.Kill()
		cmd.Wait()
		os.RemoveAll(dir)
	}, nil
}

// A rig is an application and a person at a browser.
type rig struct {
	*testing.T
	provider *oidc.Provider
	app      oauth2.Config
	browser  context.Context
	back     chan url.Values // what the browser brings to the callback
	home     string
	verifier string
	nonce    string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t, back: make(chan url.Values, 1)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.home = "http://" + listener.Addr().String()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<!doctype html><title>back</title><link rel="icon" href="data:,"><p id="back">back`)
		if q.URL.Path == "/callback" || q.URL.Path == "/signed-out" {
			r.back <- q.URL.Query()
		}
	})}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })

	if r.provider, err = oidc.NewProvider(t.Context(), env["ISSUER"]); err != nil {
		t.Fatal(err)
	}
	r.app = oauth2.Config{
		ClientID: env["CLIENT_ID_1FA"], RedirectURL: r.home + "/callback", Endpoint: r.provider.Endpoint(),
		Scopes: []string{oidc.ScopeOpenID, "profile", "email", oidc.ScopeOfflineAccess},
	}
	r.app.Endpoint.AuthStyle = oauth2.AuthStyleInParams // a public client has no secret to put into a header
	r.browser = browser(t)
	return r
}

// browser is one of its own, for this test.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := os.Getenv("CHROMIUM")
	if path == "" {
		path = "/usr/bin/chromium"
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("lang", "en-US"), chromedp.Env("LANGUAGE=en"))
	limit, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	t.Cleanup(cancel)
	allocator, cancel := chromedp.NewExecAllocator(limit, options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	return ctx
}

func (r *rig) run(actions ...chromedp.Action) {
	r.Helper()
	if err := chromedp.Run(r.browser, actions...); err != nil {
		var shown string
		chromedp.Run(r.browser, chromedp.Text("body", &shown, chromedp.AtLeast(0)))
		r.Fatalf("%v; the browser shows %q", err, shown)
	}
}

const (
	username = `input[autocomplete^="username"]:not([hidden])`
	password = `input[type="password"]`
)

func typeIn() chromedp.Tasks {
	return chromedp.Tasks{
		chromedp.WaitVisible(username), chromedp.SendKeys(username, env["USERNAME_1FA"]),
		chromedp.SendKeys(password, env["PASSWORD_1FA"]), chromedp.Submit(password),
	}
}

// authorize sends the browser to the provider, and returns what it brings back.
func (r *rig) authorize(signingIn bool, more ...oauth2.AuthCodeOption) url.Values {
	r.Helper()
	r.verifier, r.nonce = oauth2.GenerateVerifier(), rand.Text()
	state := rand.Text()
	return r.arrive(signingIn, state, r.app.AuthCodeURL(state, append(more, oidc.Nonce(r.nonce), oauth2.S256ChallengeOption(r.verifier))...))
}

// arrive sends the browser somewhere, and returns what it brings back.
func (r *rig) arrive(signingIn bool, state, to string) url.Values {
	r.Helper()
	r.run(chromedp.Navigate(to))
	if signingIn {
		r.run(typeIn())
	}
	got := r.arrival()
	if got.Get("state") != state || got.Get("iss") != env["ISSUER"] {
		r.Fatalf("%v came back; state was %s", got, state)
	}
	return got
}

func (r *rig) arrival() url.Values {
	r.Helper()
	select {
	case got := <-r.back:
		return got
	case <-time.After(30 * time.Second):
		var shown string
		chromedp.Run(r.browser, chromedp.Text("body", &shown))
		r.Fatalf("the browser does not come back; it shows %q", shown)
		return nil
	}
}

// signIn is the code flow with PKCE.
func (r *rig) signIn(asked bool, more ...oauth2.AuthCodeOption) (*oauth2.Token, *oidc.IDToken) {
	r.Helper()
	token, err := r.app.Exchange(r.Context(), r.authorize(asked, more...).Get("code"), oauth2.VerifierOption(r.verifier))
	if err != nil {
		r.Fatal(err)
	}
	return token, r.verified(token)
}

func (r *rig) verified(token *oauth2.Token) *oidc.IDToken {
	r.Helper()
	raw, _ := token.Extra("id_token").(string)
	id, err := r.provider.Verifier(&oidc.Config{ClientID: r.app.ClientID}).Verify(r.Context(), raw)
	if err != nil {
		r.Fatal(err)
	}
	if err := id.VerifyAccessToken(token.AccessToken); err != nil {
		r.Fatal(err)
	}
	return id
}

// post posts a form as the application and decodes the answer.
func (r *rig) post(endpoint string, form url.Values) (answer map[string]any) {
	r.Helper()
	var metadata map[string]any
	if err := r.provider.Claims(&metadata); err != nil {
		r.Fatal(err)
	}
	address, _ := metadata[endpoint].(string)
	form.Set("client_id", r.app.ClientID)
	response, err := http.PostForm(address, form)
	if err != nil {
		r.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		r.Fatalf("%s: %s", endpoint, response.Status)
	}
	json.NewDecoder(response.Body).Decode(&answer) // revocation answers nothing
	return answer
}

func TestCodeFlow(t *testing.T) {
	r := newRig(t)
	token, id := r.signIn(true)
	if id.Nonce != r.nonce || token.TokenType != "Bearer" {
		t.Errorf("nonce %q, type %q", id.Nonce, token.TokenType)
	}
	who, err := r.provider.UserInfo(t.Context(), oauth2.StaticTokenSource(token))
	if err != nil {
		t.Fatal(err)
	}
	if who.Subject != id.Subject || who.Email != env["USERNAME_1FA"] || !who.EmailVerified {
		t.Errorf("%+v", who)
	}
	_, again := r.signIn(false, oauth2.SetAuthURLParam("prompt", "none"))
	if again.Subject != id.Subject {
		t.Errorf("%s is signed in, after %s", again.Subject, id.Subject)
	}
}

func TestNobodyIsSignedIn(t *testing.T) {
	r := newRig(t)
	if got := r.authorize(false, oauth2.SetAuthURLParam("prompt", "none")); got.Get("error") != "login_required" {
		t.Errorf("%v", got)
	}
}

func TestRefresh(t *testing.T) {
	r := newRig(t)
	token, id := r.signIn(true)
	token.Expiry = time.Now().Add(-time.Minute)
	next, err := r.app.TokenSource(t.Context(), token).Token()
	if err != nil {
		t.Fatal(err)
	}
	if next.AccessToken == token.AccessToken || next.RefreshToken == "" || r.verified(next).Subject != id.Subject {
		t.Errorf("%+v", next)
	}
}

func TestIntrospectionAndRevocation(t *testing.T) {
	r := newRig(t)
	token, _ := r.signIn(true)
	if answer := r.post("introspection_endpoint", url.Values{"token": {token.AccessToken}}); answer["active"] != true || answer["client_id"] != r.app.ClientID {
		t.Errorf("%v", answer)
	}
	r.post("revocation_endpoint", url.Values{"token": {token.RefreshToken}})
	if answer := r.post("introspection_endpoint", url.Values{"token": {token.AccessToken}}); answer["active"] != false {
		t.Errorf("%v", answer)
	}
	if _, err := r.provider.UserInfo(t.Context(), oauth2.StaticTokenSource(token)); err == nil {
		t.Error("userinfo takes a revoked token")
	}
}

func TestLogout(t *testing.T) {
	r := newRig(t)
	token, _ := r.signIn(true)
	var metadata struct {
		EndSession string `json:"end_session_endpoint"`
	}
	if err := r.provider.Claims(&metadata); err != nil {
		t.Fatal(err)
	}
	raw, _ := token.Extra("id_token").(string)
	r.run(chromedp.Navigate(metadata.EndSession + "?" + url.Values{
		"id_token_hint": {raw}, "post_logout_redirect_uri": {r.home + "/signed-out"}, "state": {"over"},
	}.Encode()))
	if got := r.arrival(); got.Get("state") != "over" {
		t.Errorf("%v", got)
	}
	if got := r.authorize(false, oauth2.SetAuthURLParam("prompt", "none")); got.Get("error") != "login_required" {
		t.Errorf("%v", got)
	}
}

// TestTheApplicationOfTheDocs runs what docs/integrating.md shows.
func TestTheApplicationOfTheDocs(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "app")
	if out, err := exec.Command("go", "build", "-o", binary, "./app").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	app := exec.Command(binary)
	app.Env = append(os.Environ(), "ISSUER="+env["ISSUER"], "CLIENT_ID="+env["CLIENT_ID_1FA"], "APP_URL=http://"+address, "LISTEN="+address)
	app.Stderr = os.Stderr
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { app.Process.Kill(); app.Wait() })
	for range 200 {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			break
		}
		time.Sleep(25 * time.Millisecond)
	}
	r := &rig{T: t, browser: browser(t)}
	r.run(chromedp.Navigate("http://"+address+"/"), typeIn())
	var shown string
	for range 200 { // while the browser goes from page to page there is not always one to look at
		err := chromedp.Run(r.browser, chromedp.Text("body", &shown))
		if shown = strings.TrimSpace(shown); err == nil && shown == "Hello, Olivia Ortega." {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Errorf("the application shows %q", shown)
}
