package idxtest_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"latchkey.dev/idx"
	"latchkey.dev/idx/idxtest"
)

type server func(*http.Request) string

func (s server) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
		Body: io.NopCloser(strings.NewReader(s(r)))}, nil
}

func post(t *testing.T, rt http.RoundTripper, address, kind, body string) (string, error) {
	t.Helper()
	r, err := http.NewRequest("POST", address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	resp, err := (&http.Client{Transport: rt}).Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

const (
	jsonType = "application/json"
	formType = "application/x-www-form-urlencoded"
)

func TestRecorderRedacts(t *testing.T) {
	token := "h." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"x","iat":1700000000,"nonce":"nonce-of-the-sign-in","at_hash":"hash-of-a-token"}`)) + ".signature-of-it"
	r := &idxtest.Recorder{
		Secrets: []string{"Correct-Horse-1", "424242", "handle-0123456789", "access-token-value", "signature-of-it", "nonce-of-the-sign-in", "client-secret-value", "device-value", "hash-of-a-token"},
		Rename:  map[string]string{"https://real.example": "https://id.example", "mary@real.example": "mary@example.com"},
		Next: server(func(r *http.Request) string {
			return `{"stateHandle":"handle-0123456789","list":[{"name":"stateHandle","value":"handle-0123456789"}],"href":"https://real.example/x?t=handle-0123456789",
				"access_token":"access-token-value","id_token":"` + token + `"}`
		}),
	}
	if _, err := post(t, r, "https://real.example/identify", jsonType, `{"identifier":"mary@real.example","credentials":{"passcode":"Correct-Horse-1"}}`); err != nil {
		t.Fatal(err)
	}
	form := url.Values{"client_secret": {"client-secret-value"}, "nonce": {"nonce-of-the-sign-in"}, "client_id": {"app"}}
	if _, err := post(t, r, "https://real.example/token", formType, form.Encode()); err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequest("GET", "https://real.example/userinfo", nil)
	req.Header.Set("Authorization", "Bearer access-token-value")
	req.Header.Set("Cookie", "DT=device-value")
	if _, err := r.RoundTrip(req); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if _, err := r.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"passcode":"«passcode-1»"`, `"identifier":"mary@example.com"`, `https://id.example/x?t=«stateHandle-1»`, `"value":"«stateHandle-1»"`,
		`"client_secret":"«client_secret-1»"`, `"claims":{"iat":1700000000,"iss":"x","nonce":"«nonce-1»"}`, `"Authorization":"Bearer «authorization-0»"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the transcript lacks %s:\n%s", want, out.String())
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 3 {
		t.Errorf("%d lines", n)
	}
}

// What is known to be secret and turns up where nobody looked for it: nothing is written, whatever its spelling.
func TestRecorderRefuses(t *testing.T) {
	const secret = `pä"ss w/rd+1`
	quoted, _ := json.Marshal(secret)
	for name, body := range map[string]string{
		"as JSON":      `{"comment":` + string(quoted) + `}`,
		"in a query":   `{"href":"https://x/?p=` + url.QueryEscape(secret) + `"}`,
		"in base64":    `{"blob":"` + base64.StdEncoding.EncodeToString([]byte(secret)) + `"}`,
		"as base64url": `{"blob":"` + base64.RawURLEncoding.EncodeToString([]byte(secret)) + `"}`,
	} {
		r := &idxtest.Recorder{Secrets: []string{secret}, Next: server(func(*http.Request) string { return body })}
		if _, err := post(t, r, "https://id.example/x", jsonType, "{}"); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		_, err := r.WriteTo(&out)
		if !errors.Is(err, idxtest.ErrSecretSurvived) || out.Len() != 0 {
			t.Errorf("%s: %v, and %d bytes were written", name, err, out.Len())
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Error("the refusal tells the secret")
		}
	}
}

const transcript = `{"request":{"method":"POST","url":"https://id.example/idp/idx/introspect","header":{"Content-Type":"application/json"},"body":{"interactionHandle":"«interactionHandle-1»"}},"response":{"status":200,"header":{"Content-Type":"application/json"},"body":{"stateHandle":"«stateHandle-1»","echo":"«interactionHandle-1»"}}}
{"request":{"method":"POST","url":"https://id.example/idp/idx/identify","header":{"Content-Type":"application/json"},"body":{"identifier":"mary","n":1,"list":["a"],"credentials":{"passcode":"«passcode-1»"},"stateHandle":"«stateHandle-1»"}},"response":{"status":200,"header":{},"body":{"ok":true}}}
`

func open(t *testing.T) *idxtest.Player {
	t.Helper()
	file := filepath.Join(t.TempDir(), "x.jsonl")
	if err := os.WriteFile(file, []byte(transcript), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := idxtest.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestReplayCompares(t *testing.T) {
	const good = `{"credentials":{"passcode":"anything"},"identifier":"mary","list":["a"],"n":1,"stateHandle":"«stateHandle-1»"}`
	for name, c := range map[string]struct {
		address, kind, body string
		ok                  bool
	}{
		"as recorded":          {"https://id.example/idp/idx/identify", jsonType, good, true},
		"other spelling":       {"https://id.example/idp/idx/identify", jsonType, strings.ReplaceAll(good, ",", ", "), true},
		"other path":           {"https://id.example/idp/idx/challenge", jsonType, good, false},
		"other host":           {"https://evil.example/idp/idx/identify", jsonType, good, false},
		"other header":         {"https://id.example/idp/idx/identify", "text/json", good, false},
		"other value":          {"https://id.example/idp/idx/identify", jsonType, strings.Replace(good, "mary", "bob", 1), false},
		"other number":         {"https://id.example/idp/idx/identify", jsonType, strings.Replace(good, `"n":1`, `"n":2`, 1), false},
		"other handle":         {"https://id.example/idp/idx/identify", jsonType, strings.Replace(good, "«stateHandle-1»", "02other", 1), false},
		"no passcode":          {"https://id.example/idp/idx/identify", jsonType, strings.Replace(good, `"anything"`, `""`, 1), false},
		"something missing":    {"https://id.example/idp/idx/identify", jsonType, strings.Replace(good, `"identifier":"mary",`, "", 1), false},
		"something more":       {"https://id.example/idp/idx/identify", jsonType, strings.Replace(good, `{"cred`, `{"admin":true,"cred`, 1), false},
		"a longer list":        {"https://id.example/idp/idx/identify", jsonType, strings.Replace(good, `["a"]`, `["a","b"]`, 1), false},
		"a group for a string": {"https://id.example/idp/idx/identify", jsonType, strings.Replace(good, `"mary"`, `{}`, 1), false},
		"no JSON":              {"https://id.example/idp/idx/identify", jsonType, "identifier=mary", false},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			got, err := post(t, p, "https://id.example/idp/idx/introspect", jsonType, `{"interactionHandle":"ih-of-this-run"}`)
			if err != nil || !strings.Contains(got, `"echo":"ih-of-this-run"`) {
				t.Fatalf("%s, %v", got, err)
			}
			_, err = post(t, p, c.address, c.kind, c.body)
			if (err == nil) != c.ok || (p.Close() == nil) != c.ok {
				t.Errorf("%v; %v", err, p.Close())
			}
			if err != nil && strings.Contains(err.Error(), "anything") {
				t.Error("the report shows what the transcript hides")
			}
		})
	}
}

func TestReplayEnds(t *testing.T) {
	p := open(t)
	if err := p.Close(); err == nil || !strings.Contains(err.Error(), "0 of 2") {
		t.Errorf("nothing was played: %v", err)
	}
	p = open(t)
	if _, err := post(t, p, "https://id.example/idp/idx/introspect", jsonType, `{"interactionHandle":"x"}`); err != nil {
		t.Fatal(err)
	}
	if _, err := post(t, p, "https://id.example/idp/idx/identify", jsonType, `{"credentials":{"passcode":"p"},"identifier":"mary","list":["a"],"n":1,"stateHandle":"«stateHandle-1»"}`); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if _, err := post(t, p, "https://id.example/more", jsonType, `{}`); err == nil || p.Close() == nil {
		t.Error("there is more than was recorded")
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"empty": "", "no JSON": "x", "unknown member": `{"request":{},"answer":{}}`} {
		file := filepath.Join(dir, "x.jsonl")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := idxtest.Open(file); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	if _, err := idxtest.Open(filepath.Join(dir, "none")); err == nil {
		t.Error("a file that is not there: opened")
	}
	if cfg := open(t).Config(); cfg.Issuer != "" {
		t.Errorf("no interact was recorded, and yet %+v", cfg)
	}
}

// A client over a transcript of the package itself.
func TestClientOverTranscript(t *testing.T) {
	p := idxtest.Replay(t, "../testdata/transcripts/callback.jsonl")
	c, err := p.Client()
	if err != nil {
		t.Fatal(err)
	}
	tx, err := c.Start(t.Context())
	if err != nil || tx.Status() != idx.StatusPending {
		t.Fatal(tx, err)
	}
	if _, err := c.Callback(t.Context(), tx, url.Values{"state": {tx.State()}, "error": {"interaction_required"}}); err != nil {
		t.Fatal(err)
	}
}
