// Package walk_test signs in with okta-idx-golang, the Go client that Okta retired, and verifies the tokens with
// okta-jwt-verifier-golang. Nobody here wrote either. It is a module of its own, so that neither is a dependency of ours.
package walk_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	idx "github.com/okta/okta-idx-golang"
	verifier "github.com/okta/okta-jwt-verifier-golang"
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
	dir, err := os.MkdirTemp("", "latchkey-go-")
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
		return nil, fmt.Errorf("latchkey dev ended before it was ready")
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

func client(t *testing.T) *idx.Client {
	t.Helper()
	c, err := idx.NewClientWithSettings(
		idx.WithClientID(env["CLIENT_ID"]),
		idx.WithClientSecret("a public client has none, and this one does not start without"),
		idx.WithIssuer(env["ISSUER"]),
		idx.WithScopes([]string{"openid", "profile", "email"}),
		idx.WithRedirectURI(env["REDIRECT_URI"]),
	)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// begin gets as far as the name and the password.
func begin(t *testing.T, username, password string) (*idx.LoginResponse, error) {
	t.Helper()
	login, err := client(t).InitLogin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return login.Identify(context.Background(), &idx.IdentifyRequest{Identifier: username, Credentials: idx.Credentials{Password: password}})
}

// code waits for the next text message to the number.
func code(t *testing.T, number string) string {
	t.Helper()
	answer, err := http.Get(env["OUTBOX_URL"] + "?wait=5s&to=" + url.QueryEscape(number))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var texts []struct{ Body string }
	if err := json.NewDecoder(answer.Body).Decode(&texts); err != nil || len(texts) == 0 {
		t.Fatalf("%d texts to %s, %v", len(texts), number, err)
	}
	return regexp.MustCompile(`\b\d{6}\b`).FindString(texts[len(texts)-1].Body)
}

func clear(t *testing.T) {
	t.Helper()
	r, err := http.NewRequest(http.MethodDelete, env["OUTBOX_URL"], nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
}

func wrong(code string) string {
	if code == "000000" {
		return "000001"
	}
	return "000000"
}

func TestFirstAndSecondSignIn(t *testing.T) {
	ctx := context.Background()
	const number = "+15551234567"
	login, err := begin(t, env["USERNAME"], env["PASSWORD"])
	if err != nil {
		t.Fatal(err)
	}
	if !login.HasStep(idx.LoginStepPhoneInitialVerification) {
		t.Fatalf("steps %v", login.AvailableSteps())
	}
	if _, err := login.VerifyPhoneInitial(ctx, idx.PhoneMethodSMS, "555-CALL"); err == nil || !strings.Contains(err.Error(), "Invalid Phone Number.") {
		t.Fatalf("a malformed number gets %v", err)
	}
	clear(t)
	if login, err = login.VerifyPhoneInitial(ctx, idx.PhoneMethodSMS, number); err != nil {
		t.Fatal(err)
	}
	texted := code(t, number)
	if _, err := login.ConfirmPhone(ctx, wrong(texted)); err == nil || !strings.Contains(err.Error(), "Invalid code. Try again.") {
		t.Fatalf("a wrong code gets %v", err)
	}
	if login, err = login.ConfirmPhone(ctx, texted); err != nil {
		t.Fatal(err)
	}
	verify(t, login)

	clear(t)
	if login, err = begin(t, env["USERNAME"], env["PASSWORD"]); err != nil {
		t.Fatal(err)
	}
	if !login.HasStep(idx.LoginStepPhoneVerification) {
		t.Fatalf("steps %v", login.AvailableSteps())
	}
	if login, err = login.VerifyPhone(ctx, idx.PhoneMethodSMS); err != nil {
		t.Fatal(err)
	}
	if login, err = login.ConfirmPhone(ctx, code(t, number)); err != nil {
		t.Fatal(err)
	}
	verify(t, login)
}

// verify reads the tokens as an application and as a resource server do.
func verify(t *testing.T, login *idx.LoginResponse) {
	t.Helper()
	if !login.IsAuthenticated() {
		t.Fatalf("not signed in; steps %v", login.AvailableSteps())
	}
	token := login.Token()
	id := verifier.JwtVerifier{Issuer: env["ISSUER"], ClaimsToValidate: map[string]string{"aud": env["CLIENT_ID"]}}
	claims, err := id.New().VerifyIdToken(token.IDToken)
	if err != nil {
		t.Fatalf("ID token: %v", err)
	}
	if claims.Claims["email"] != env["USERNAME"] {
		t.Errorf("claims are %v", claims.Claims)
	}
	access := verifier.JwtVerifier{Issuer: env["ISSUER"], ClaimsToValidate: map[string]string{"aud": "api://default", "cid": env["CLIENT_ID"]}}
	if _, err := access.New().VerifyAccessToken(token.AccessToken); err != nil {
		t.Fatalf("access token: %v", err)
	}
	if err := client(t).RevokeToken(context.Background(), token.AccessToken); err != nil {
		t.Errorf("revoke: %v", err)
	}
}

func TestWrongPasswordAndUnknownUser(t *testing.T) {
	for name, c := range map[string]struct{ username, password, text string }{
		"wrong password": {env["USERNAME"], "nope", "Authentication failed"},
		"unknown user":   {"Mory", "nope", "There is no account with the Username Mory."},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := begin(t, c.username, c.password); err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %q", err, c.text)
			}
		})
	}
}

func TestCancelGivesAForm(t *testing.T) {
	login, err := begin(t, env["USERNAME_ENROLLED"], env["PASSWORD_ENROLLED"])
	if err != nil {
		t.Fatal(err)
	}
	if login, err = login.Cancel(context.Background()); err != nil || len(login.AvailableSteps()) == 0 {
		t.Fatalf("%v, %v", login, err)
	}
}

func TestTooManyWrongCodes(t *testing.T) {
	ctx := context.Background()
	login, err := begin(t, env["USERNAME_ENROLLED"], env["PASSWORD_ENROLLED"])
	if err != nil {
		t.Fatal(err)
	}
	clear(t)
	if login, err = login.VerifyPhone(ctx, idx.PhoneMethodSMS); err != nil {
		t.Fatal(err)
	}
	guess := wrong(code(t, env["PHONE_ENROLLED"]))
	for range 5 {
		if _, err := login.ConfirmPhone(ctx, guess); err == nil || !strings.Contains(err.Error(), "Invalid code. Try again.") {
			t.Fatalf("got %v", err)
		}
	}
	if _, err := login.ConfirmPhone(ctx, guess); err == nil || !strings.Contains(err.Error(), "Too many requests") {
		t.Fatalf("the sixth answer gets %v", err)
	}
}
