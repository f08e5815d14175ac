package idx_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"latchkey.dev/idx"
)

// A stage plays answers one after the other, in process: what the engine would never say, or not on command.
type stage struct {
	mu    sync.Mutex
	lines []line
	sent  []sent // without interact
	all   []sent
}

type line struct {
	status int
	header http.Header
	body   string
	err    error
	do     func(*http.Request) (*http.Response, error)
}

type sent struct {
	method, url, body string
	header            http.Header
}

const (
	stageOrigin = "https://id.example"
	stageIssuer = stageOrigin + "/oauth2/default"
)

// play answers interact by itself; the lines are for everything after it. The last line repeats.
func play(lines ...line) *stage { return &stage{lines: lines} }

func say(status int, body string) line { return line{status: status, body: body} }

func (s *stage) RoundTrip(r *http.Request) (*http.Response, error) {
	body := ""
	if r.Body != nil {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		body = string(b)
	}
	s.mu.Lock()
	what := sent{r.Method, r.URL.String(), body, r.Header.Clone()}
	s.all = append(s.all, what)
	if strings.HasSuffix(r.URL.Path, "/v1/interact") {
		s.mu.Unlock()
		return answerTo(r, say(200, `{"interaction_handle":"ih-secret-handle"}`)), nil
	}
	s.sent = append(s.sent, what)
	l := s.lines[min(len(s.sent), len(s.lines))-1]
	s.mu.Unlock()
	switch {
	case l.do != nil:
		return l.do(r)
	case l.err != nil:
		return nil, l.err
	}
	return answerTo(r, l), nil
}

func answerTo(r *http.Request, l line) *http.Response {
	h := l.header.Clone()
	if h == nil {
		h = http.Header{}
	}
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	return &http.Response{StatusCode: l.status, Status: http.StatusText(l.status), Header: h, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(strings.NewReader(l.body)), ContentLength: int64(len(l.body)), Request: r}
}

func (s *stage) requests() []sent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]sent(nil), s.sent...)
}

func (s *stage) config() idx.Config {
	return idx.Config{Issuer: stageIssuer, ClientID: clientID, RedirectURI: redirectURI}
}

func (s *stage) client(t testing.TB, opts ...idx.ClientOption) *idx.Client {
	t.Helper()
	c, err := idx.New(s.config(), append([]idx.ClientOption{idx.WithHTTPClient(&http.Client{Transport: s}), idx.WithRetry(1, 0)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *stage) start(t testing.TB, opts ...idx.ClientOption) (*idx.Client, *idx.Transaction) {
	t.Helper()
	c := s.client(t, opts...)
	tx, err := c.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c, tx
}

// doc is an IDX document with these forms and members.
func doc(forms []string, members ...string) string {
	parts := append([]string{`"version":"1.0.0"`, `"stateHandle":"02-secret-state-handle"`}, members...)
	if len(forms) > 0 {
		parts = append(parts, `"remediation":{"type":"array","value":[`+strings.Join(forms, ",")+`]}`)
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// formOf is a form that posts to the issuer's own host.
func formOf(name, path string, fields ...string) string {
	return formAt(name, stageOrigin+"/idp/idx/"+path, fields...)
}

func formAt(name, href string, fields ...string) string {
	fields = append(fields, `{"name":"stateHandle","required":true,"value":"02-secret-state-handle","visible":false,"mutable":false}`)
	return fmt.Sprintf(`{"rel":["create-form"],"name":%q,"href":%q,"method":"POST","accepts":"application/json; okta-version=1.0.0","value":[%s]}`,
		name, href, strings.Join(fields, ","))
}

// with adds members to a form.
func with(form string, members ...string) string {
	return strings.TrimSuffix(form, "}") + "," + strings.Join(members, ",") + "}"
}

const (
	identifierField = `{"name":"identifier","label":"Username","required":true}`
	passcodeField   = `{"name":"credentials","type":"object","required":true,"form":{"value":[{"name":"passcode","label":"Enter code"}]}}`
	successMember   = `"successWithInteractionCode":{"rel":["create-form"],"name":"issue","href":"https://id.example/oauth2/default/v1/token","method":"POST","value":[{"name":"interaction_code","value":"ic-secret-code"}]}`
)

func errorMessages(key string) string {
	return `"messages":{"type":"array","value":[{"message":"No.","class":"ERROR","i18n":{"key":"` + key + `"}}]}`
}

func tree(t testing.TB, text string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%q is no JSON object: %v", text, err)
	}
	return v
}
