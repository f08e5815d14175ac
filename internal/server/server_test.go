package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/obs"
)

const home = "https://id.example"

// A rig is a house with faces that say what they saw.
type rig struct {
	*Server
	log    *bytes.Buffer
	mu     sync.Mutex // a connection that broke and the next one are served side by side
	seen   audit.Source
	body   string
	faces  map[string]http.HandlerFunc // by path, instead of the one that says 200
	reads  int                         // of the clients
	failed error                       // what reading them says
}

func newRig(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	r := &rig{log: &bytes.Buffer{}, faces: map[string]http.HandlerFunc{}}
	face := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.seen = obs.SourceOf(req.Context())
		r.mu.Unlock()
		if f := r.faces[req.URL.Path]; f != nil {
			f(w, req)
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Errorf("the face cannot read: %v", err)
		}
		r.body = string(body)
		w.Header().Set("Content-Type", "application/ion+json; okta-version=1.0.0")
		io.WriteString(w, `{"version":"1.0.0"}`)
	})
	c := Config{
		Origin: home, IDX: face, OAuth: face, Pages: face,
		Clients: func(context.Context) ([]oauth.Client, error) {
			r.reads++
			return []oauth.Client{
				{ID: "0oa1", Origins: []string{"https://app.example", "https://app.example:8443", "null"}},
				{ID: "0oa2", Origins: []string{"https://off.example"}, Disabled: true},
			}, r.failed
		},
		Log: slog.New(slog.NewTextHandler(r.log, nil)),
	}
	for _, f := range change {
		f(&c)
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	r.Server = s
	return r
}

func request(method, path string, header ...string) *http.Request {
	req := httptest.NewRequest(method, home+path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	return req
}

func (r *rig) do(req *http.Request) *http.Response {
	out := httptest.NewRecorder()
	r.ServeHTTP(out, req)
	return out.Result()
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// wantRefusal wants an error in the dialect of the path.
func wantRefusal(t *testing.T, got *http.Response, status int, path, key string) {
	t.Helper()
	body := text(t, got)
	if got.StatusCode != status {
		t.Fatalf("%d %s, want %d", got.StatusCode, body, status)
	}
	if kind := got.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") || !strings.Contains(kind, "charset=utf-8") {
		t.Errorf("S-44: the type is %q", kind)
	}
	if got.Header.Get("X-Okta-Request-Id") == "" || got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("S-44: headers are %v", got.Header)
	}
	var d map[string]any
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	if strings.HasPrefix(path, "/idp/idx/") {
		if d["version"] != "1.0.0" || !strings.Contains(body, `"i18n":{"key":"`+key+`"}`) || !strings.Contains(body, `"class":"ERROR"`) {
			t.Errorf("no IDX error with key %s: %s", key, body)
		}
		return
	}
	if d["error"] == nil || d["error_description"] == nil {
		t.Errorf("no OAuth error: %s", body)
	}
}

func TestEveryRefusalSpeaksTheDialectOfItsPath(t *testing.T) {
	huge := strings.Repeat("x", maxBody+1)
	chunked := func(body string, more io.Reader) func(string) *http.Request {
		return func(path string) *http.Request {
			req := request(http.MethodPost, path)
			req.Body, req.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader(body), more)), -1
			return req
		}
	}
	tests := map[string]struct {
		request func(path string) *http.Request
		face    http.HandlerFunc
		status  int
		key     string
	}{
		"S-46 foreign host": {
			request: func(path string) *http.Request {
				req := request(http.MethodPost, path)
				req.Host = "evil.example"
				return req
			}, status: http.StatusMisdirectedRequest, key: "errors.E0000007",
		},
		"S-47 large headers": {
			request: func(path string) *http.Request { return request(http.MethodPost, path, "X-Large", huge) },
			status:  http.StatusRequestHeaderFieldsTooLarge, key: "errors.E0000003",
		},
		"S-47 large body, announced": {
			request: func(path string) *http.Request {
				return httptest.NewRequest(http.MethodPost, home+path, strings.NewReader(huge))
			},
			status: http.StatusRequestEntityTooLarge, key: "errors.E0000003",
		},
		"S-47 large body, in chunks": {request: chunked(huge, strings.NewReader("")), status: http.StatusRequestEntityTooLarge, key: "errors.E0000003"},
		"a body that breaks off": {
			request: chunked("{", brokenReader{}), status: http.StatusBadRequest, key: "errors.E0000003",
		},
		"S-47 compressed": {
			request: func(path string) *http.Request { return request(http.MethodPost, path, "Content-Encoding", "gzip") },
			status:  http.StatusUnsupportedMediaType, key: "errors.E0000021",
		},
		"S-49 TRACE": {
			request: func(path string) *http.Request { return request(http.MethodTrace, path) },
			status:  http.StatusMethodNotAllowed, key: "errors.E0000022",
		},
		"S-49 a mux that knows no such path": {face: http.NotFound, status: http.StatusNotFound, key: "errors.E0000007"},
		"S-49 a mux that knows no such method": {
			face: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Allow", "POST")
				http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
			}, status: http.StatusMethodNotAllowed, key: "errors.E0000022",
		},
		"S-51 panic": {face: func(http.ResponseWriter, *http.Request) { panic("oh") }, status: http.StatusInternalServerError, key: "errors.E0000009"},
		"S-51 plain 500": {
			face: func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, "pq: connection refused", http.StatusInternalServerError)
			},
			status: http.StatusInternalServerError, key: "errors.E0000009",
		},
		"plain 503": {
			face:   func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "busy", http.StatusServiceUnavailable) },
			status: http.StatusServiceUnavailable, key: "errors.E0000010",
		},
	}
	for name, test := range tests {
		for _, path := range []string{"/idp/idx/identify", "/oauth2/default/v1/token"} {
			t.Run(name+path, func(t *testing.T) {
				r := newRig(t)
				r.faces[path] = test.face
				if test.request == nil {
					test.request = func(path string) *http.Request { return request(http.MethodPost, path) }
				}
				got := r.do(test.request(path))
				wantRefusal(t, got, test.status, path, test.key)
				if test.status == http.StatusMethodNotAllowed && got.Header.Get("Allow") == "" {
					t.Error("S-49: no Allow")
				}
			})
		}
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// A person at the authorization or the logout endpoint is told on a page; a program is never sent one by accident.
func TestAFaceThatTellsAPersonIsNotTranslated(t *testing.T) {
	r := newRig(t)
	r.faces["/oauth2/default/v1/logout"] = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, "<h1>You stay here</h1>")
	}
	got := r.do(request(http.MethodGet, "/oauth2/default/v1/logout"))
	if body := text(t, got); got.StatusCode != http.StatusBadRequest || body != "<h1>You stay here</h1>" {
		t.Errorf("%d %s", got.StatusCode, body)
	}
}

func TestS51_ServerErrorsSayTheirKeyAndTheRequestAndNothingElse(t *testing.T) {
	for _, path := range []string{"/idp/idx/identify", "/oauth2/default/v1/token"} {
		r := newRig(t)
		r.faces[path] = func(http.ResponseWriter, *http.Request) { panic(errors.New("marker-secret-in-a-panic")) }
		got := r.do(request(http.MethodPost, path))
		id := got.Header.Get("X-Okta-Request-Id")
		if body := text(t, got); !strings.Contains(body, id) || strings.Contains(body, "marker") {
			t.Errorf("%s: %s", path, body)
		}
		if log := r.log.String(); !strings.Contains(log, "panic") || !strings.Contains(log, id) || strings.Contains(log, "marker-secret") {
			t.Errorf("S-72: the log says %s", log)
		}
	}
}

func TestS51_APanicAfterTheFirstByteBreaksTheAnswerOff(t *testing.T) {
	r := newRig(t)
	r.faces["/idp/idx/identify"] = func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "{")
		panic("half way")
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		req.Host = "id.example"
		r.ServeHTTP(w, req)
	}))
	defer server.Close()
	response, err := http.Post(server.URL+"/idp/idx/identify", "application/json", nil)
	if err == nil {
		_, err = io.ReadAll(response.Body)
		response.Body.Close()
	}
	if err == nil {
		t.Error("half an answer passed for a whole one")
	}
	if response, err = http.Post(server.URL+"/idp/idx/skip", "application/json", nil); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("S-51: a panic ended more than its request: %v", err)
	}
}

func TestBodiesArriveWhole(t *testing.T) {
	body := strings.Repeat("x", maxBody)
	for name, length := range map[string]int64{"announced": maxBody, "chunked": -1} {
		r := newRig(t)
		req := request(http.MethodPost, "/idp/idx/identify")
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), length
		if got := r.do(req); got.StatusCode != http.StatusOK || r.body != body {
			t.Errorf("%s: %d, %d bytes arrived", name, got.StatusCode, len(r.body))
		}
	}
}

func TestAnswersOfFacesPassThrough(t *testing.T) {
	tests := map[string]struct {
		face   http.HandlerFunc
		status int
		body   string
		kind   string
	}{
		"an error in JSON": {
			face: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json; okta-version=1.0.0")
				w.WriteHeader(http.StatusUnauthorized)
				io.WriteString(w, `{"a":1}`)
			}, status: 401, body: `{"a":1}`, kind: "application/json; okta-version=1.0.0",
		},
		"an empty 200 has no type": {face: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }, status: 200},
		"a redirect": {
			face: func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Location"] = []string{"/x"}
				w.WriteHeader(http.StatusFound)
			},
			status: 302,
		},
	}
	for name, test := range tests {
		r := newRig(t)
		r.faces["/oauth2/default/v1/x"] = test.face
		got := r.do(request(http.MethodGet, "/oauth2/default/v1/x"))
		if body := text(t, got); got.StatusCode != test.status || body != test.body || got.Header.Get("Content-Type") != test.kind {
			t.Errorf("%s: %d %q %q", name, got.StatusCode, body, got.Header.Get("Content-Type"))
		}
	}
}

func TestS44_Headers(t *testing.T) {
	r := newRig(t)
	got := r.do(request(http.MethodPost, "/idp/idx/identify"))
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		"Strict-Transport-Security": "max-age=31536000", "Server": "", "X-Powered-By": "",
	} {
		if got.Header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.Header.Get(name), want)
		}
	}
	first, second := got.Header.Get("X-Okta-Request-Id"), r.do(request(http.MethodPost, "/idp/idx/identify", "X-Okta-Request-Id", "chosen")).Header.Get("X-Okta-Request-Id")
	if len(first) < 20 || first == second || second == "chosen" {
		t.Errorf("request ids are %q and %q", first, second)
	}
	r.faces["/oauth2/default/v1/keys"] = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
	}
	if got := r.do(request(http.MethodGet, "/oauth2/default/v1/keys")).Header.Get("Cache-Control"); got != "max-age=3600" {
		t.Errorf("keys are cached by %q, but the face said otherwise", got)
	}
	local := newRig(t, func(c *Config) { c.Loopback = true })
	local.faces["/app/"] = func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Strict-Transport-Security", "max-age=1") }
	for _, path := range []string{"/idp/idx/identify", "/app/"} {
		if got := local.do(request(http.MethodPost, path)).Header.Get("Strict-Transport-Security"); got != "" {
			t.Errorf("on loopback %s locks developers out of their other servers: %q", path, got)
		}
	}
	plain := newRig(t, func(c *Config) { c.Origin = "http://127.0.0.1:4480" })
	req := request(http.MethodPost, "/idp/idx/identify")
	req.Host = "127.0.0.1:4480"
	if got := plain.do(req).Header.Get("Strict-Transport-Security"); got != "" {
		t.Errorf("http promises https: %q", got)
	}
}

func TestS42_CORS(t *testing.T) {
	const app = "https://app.example"
	loopback := func(c *Config) {
		c.Clients = func(context.Context) ([]oauth.Client, error) {
			return []oauth.Client{{ID: "0oa1", AnyLoopback: true}}, nil
		}
	}
	tests := map[string]struct {
		change      func(*Config)
		method      string
		path        string
		origin      string
		allowed     string
		credentials bool
	}{
		"trusted":                         {path: "/idp/idx/identify", origin: app, allowed: app, credentials: true},
		"trusted, another port":           {path: "/idp/idx/identify", origin: app + ":8443", allowed: app + ":8443", credentials: true},
		"trusted, on OAuth":               {path: "/oauth2/default/v1/interact", origin: app, allowed: app, credentials: true},
		"foreign":                         {path: "/idp/idx/identify", origin: "https://evil.example"},
		"another scheme":                  {path: "/idp/idx/identify", origin: "http://app.example"},
		"a port that is not listed":       {path: "/idp/idx/identify", origin: app + ":1234"},
		"a name that ends alike":          {path: "/idp/idx/identify", origin: "https://evilapp.example"},
		"null, though somebody listed it": {path: "/idp/idx/identify", origin: "null"},
		"of a disabled client":            {path: "/idp/idx/identify", origin: "https://off.example"},
		"none":                            {path: "/idp/idx/identify"},
		"loopback, where not asked for":   {path: "/idp/idx/identify", origin: "http://localhost:3000"},
		"keys are for everybody":          {path: "/oauth2/default/v1/keys", origin: "https://evil.example", allowed: "*"},
		"discovery is for everybody":      {path: "/oauth2/default/.well-known/openid-configuration", origin: "https://evil.example", allowed: "*"},
		"metadata is for everybody":       {path: "/.well-known/oauth-authorization-server/oauth2/default", origin: "https://evil.example", allowed: "*"},
		"keys for a trusted origin":       {path: "/oauth2/default/v1/keys", origin: app, allowed: app, credentials: true},
		"tokens are not for everybody":    {path: "/oauth2/default/v1/token", origin: "https://evil.example"},
		"dev, localhost":                  {change: loopback, path: "/idp/idx/identify", origin: "http://localhost:3000", allowed: "http://localhost:3000", credentials: true},
		"dev, 127.0.0.1":                  {change: loopback, path: "/idp/idx/identify", origin: "http://127.0.0.1:5173", allowed: "http://127.0.0.1:5173", credentials: true},
		"dev, IPv6":                       {change: loopback, path: "/idp/idx/identify", origin: "http://[::1]:5173", allowed: "http://[::1]:5173", credentials: true},
		"dev, a name that begins alike":   {change: loopback, path: "/idp/idx/identify", origin: "http://localhost.evil.example"},
		"dev, the network":                {change: loopback, path: "/idp/idx/identify", origin: "http://192.168.1.2:3000"},
		"dev, null":                       {change: loopback, path: "/idp/idx/identify", origin: "null"},
		"pages share nothing":             {path: "/app/", origin: app},
		"authorize is for people":         {path: "/oauth2/default/v1/authorize", origin: app},
		"and the organisation's":          {path: "/oauth2/v1/authorize", origin: app},
		"logout is for people":            {path: "/oauth2/default/v1/logout", origin: app},
		"the way back is for people":      {path: "/login/token/redirect", origin: app},
		"a device is none":                {path: "/oauth2/default/v1/device/authorize", origin: app, allowed: app, credentials: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var changes []func(*Config)
			if test.change != nil {
				changes = append(changes, test.change)
			}
			r := newRig(t, changes...)
			headers := []string{}
			if test.origin != "" {
				headers = []string{"Origin", test.origin}
			}
			check := func(got *http.Response) {
				t.Helper()
				if o := got.Header.Get("Access-Control-Allow-Origin"); o != test.allowed {
					t.Errorf("allowed is %q, want %q", o, test.allowed)
				}
				if c := got.Header.Get("Access-Control-Allow-Credentials") == "true"; c != test.credentials {
					t.Errorf("credentials are allowed: %t", c)
				}
				if !strings.HasPrefix(test.path, "/app/") && !strings.Contains(got.Header.Get("Vary"), "Origin") {
					t.Errorf("Vary is %q", got.Header.Get("Vary"))
				}
			}
			got := r.do(request(http.MethodPost, test.path, headers...))
			check(got)
			if got.StatusCode != http.StatusOK {
				t.Errorf("idx.md 3.3: refused with %d: a browser withholds the answer by itself", got.StatusCode)
			}
			if exposed := got.Header.Get("Access-Control-Expose-Headers"); (test.allowed != "") != strings.Contains(exposed, "x-okta-request-id") ||
				(test.allowed != "") != strings.Contains(exposed, "www-authenticate") {
				t.Errorf("exposed are %q", exposed)
			}

			r.faces[test.path] = func(http.ResponseWriter, *http.Request) { panic("any error") }
			check(r.do(request(http.MethodPost, test.path, headers...)))

			if strings.HasPrefix(test.path, "/app/") || test.origin == "" {
				return
			}
			got = r.do(request(http.MethodOptions, test.path, append(headers, "Access-Control-Request-Method", "POST",
				"Access-Control-Request-Headers", "content-type, x-okta-user-agent-extended, x-mine")...))
			check(got)
			if got.StatusCode != http.StatusNoContent {
				t.Errorf("preflight is answered %d", got.StatusCode)
			}
			if h := got.Header.Get("Access-Control-Allow-Headers"); (test.allowed != "") != (h == "content-type, x-okta-user-agent-extended, x-mine") {
				t.Errorf("allowed headers are %q", h)
			}
			got = r.do(request(http.MethodOptions, test.path, append(headers, "Access-Control-Request-Method", "POST")...))
			if h := got.Header.Get("Access-Control-Allow-Headers"); (test.allowed != "") != strings.Contains(h, "dpop") {
				t.Errorf("RFC 9449: allowed headers are %q", h)
			}
			if m := got.Header.Get("Access-Control-Allow-Methods"); test.allowed != "" && m != "GET, POST, DELETE, OPTIONS" {
				t.Errorf("allowed methods are %q", m)
			}
		})
	}
}

func TestS42_AnOrdinaryOptionsIsNoPreflight(t *testing.T) {
	r := newRig(t)
	r.faces["/idp/idx/identify"] = func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", http.StatusMethodNotAllowed) }
	if got := r.do(request(http.MethodOptions, "/idp/idx/identify", "Origin", "https://app.example")); got.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("S-49: answered %d", got.StatusCode)
	}
}

func TestS79_OriginsAreReadAtMostEvery30Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ask := func() bool {
			got := r.do(request(http.MethodPost, "/idp/idx/identify", "Origin", "https://app.example"))
			return got.Header.Get("Access-Control-Allow-Origin") != ""
		}
		for range 100 {
			if !ask() {
				t.Fatal("a trusted origin is refused")
			}
		}
		if r.reads != 1 {
			t.Errorf("read %d times within a second", r.reads)
		}
		time.Sleep(30 * time.Second)
		if ask(); r.reads != 2 {
			t.Errorf("read %d times in 30 seconds", r.reads)
		}
		r.ForgetOrigins()
		if ask(); r.reads != 3 {
			t.Error("what was forgotten is believed")
		}
		r.failed = errors.New("database away")
		time.Sleep(30 * time.Second)
		if !ask() {
			t.Error("with the database away the old list must hold")
		}
	})
}

func TestS46_Hosts(t *testing.T) {
	tests := []struct {
		origin   string
		loopback bool
		host     string
		taken    bool
	}{
		{"https://id.example", false, "id.example", true},
		{"https://id.example", false, "ID.example", true},
		{"https://id.example", false, "id.example:443", true},
		{"https://id.example", false, "id.example:8443", false},
		{"https://id.example", false, "evil.example", false},
		{"https://id.example", false, "id.example.evil.example", false},
		{"https://id.example", false, "", false},
		{"https://id.example", false, "127.0.0.1", false},
		{"https://id.example:443", false, "id.example", true},
		{"https://id.example:8443", false, "id.example:8443", true},
		{"https://id.example:8443", false, "id.example", false},
		{"http://127.0.0.1:4480", true, "127.0.0.1:4480", true},
		{"http://127.0.0.1:4480", true, "localhost:4480", true},
		{"http://127.0.0.1:4480", true, "[::1]:4480", true},
		{"http://127.0.0.1:4480", true, "rebound.evil.example:4480", false},
		{"http://127.0.0.1:4480", true, "localhost.evil.example:4480", false},
		{"http://127.0.0.1:4480", true, "10.0.0.1:4480", false},
	}
	for _, test := range tests {
		r := newRig(t, func(c *Config) { c.Origin, c.Loopback = test.origin, test.loopback })
		for _, path := range []string{"/idp/idx/introspect", "/", "/dev/outbox"} {
			req := request(http.MethodGet, path, "X-Forwarded-Host", "id.example", "Forwarded", "host=id.example")
			req.Host = test.host
			if got := r.do(req).StatusCode; (got == http.StatusOK) != test.taken || !test.taken && got != http.StatusMisdirectedRequest {
				t.Errorf("%s asked as %q for %s: %d", test.origin, test.host, path, got)
			}
		}
	}
}

func TestS46_Addresses(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	tests := map[string]struct {
		proxies   []netip.Prefix
		peer      string
		forwarded []string
		want      string
	}{
		"nobody vouches":                         {peer: "192.0.2.7:1234", want: "192.0.2.7"},
		"nobody is believed":                     {peer: "192.0.2.7:1234", forwarded: []string{"198.51.100.1"}, want: "192.0.2.7"},
		"a stranger is not believed":             {proxies: proxies, peer: "192.0.2.7:1", forwarded: []string{"198.51.100.1"}, want: "192.0.2.7"},
		"our proxy is":                           {proxies: proxies, peer: "10.1.1.1:1", forwarded: []string{"198.51.100.1"}, want: "198.51.100.1"},
		"what the client made up is not":         {proxies: proxies, peer: "10.1.1.1:1", forwarded: []string{"1.2.3.4, 198.51.100.1"}, want: "198.51.100.1"},
		"two of our proxies":                     {proxies: proxies, peer: "10.1.1.1:1", forwarded: []string{"1.2.3.4, 198.51.100.1, 10.2.2.2"}, want: "198.51.100.1"},
		"two headers":                            {proxies: proxies, peer: "10.1.1.1:1", forwarded: []string{"1.2.3.4", "198.51.100.1"}, want: "198.51.100.1"},
		"nonsense ends it":                       {proxies: proxies, peer: "10.1.1.1:1", forwarded: []string{"198.51.100.1, unknown"}, want: "10.1.1.1"},
		"proxies that say ports":                 {proxies: proxies, peer: "10.1.1.1:1", forwarded: []string{"1.2.3.4, 198.51.100.1:4711, 10.2.2.2:80"}, want: "198.51.100.1"},
		"and IPv6":                               {proxies: proxies, peer: "10.1.1.1:1", forwarded: []string{"1.2.3.4, [2001:db8::7]:4711, [fd00::2]"}, want: "2001:db8::7"},
		"our proxy says nothing":                 {proxies: proxies, peer: "10.1.1.1:1", want: "10.1.1.1"},
		"IPv6":                                   {proxies: proxies, peer: "[fd00::1]:1", forwarded: []string{"2001:db8::7"}, want: "2001:db8::7"},
		"IPv4 in IPv6 clothing":                  {proxies: proxies, peer: "[::ffff:10.1.1.1]:1", forwarded: []string{"::ffff:198.51.100.1"}, want: "198.51.100.1"},
		"everybody is a proxy: the first of all": {proxies: proxies, peer: "10.1.1.1:1", forwarded: []string{"10.3.3.3, 10.2.2.2"}, want: "10.3.3.3"},
	}
	for name, test := range tests {
		r := newRig(t, func(c *Config) { c.Proxies = test.proxies })
		req := request(http.MethodPost, "/idp/idx/identify")
		req.RemoteAddr = test.peer
		for _, v := range test.forwarded {
			req.Header.Add("X-Forwarded-For", v)
		}
		if r.do(req); r.seen.Address != test.want {
			t.Errorf("%s: %q, want %q", name, r.seen.Address, test.want)
		}
	}
}

func TestS73_WhatClientsSayOfThemselvesIsCutAndCleaned(t *testing.T) {
	r := newRig(t)
	r.do(request(http.MethodPost, "/idp/idx/identify", "User-Agent", "evil\xff\x00agent\x7f"+strings.Repeat("é", 300), "Accept-Language", "de"))
	if a := r.seen.Agent; len(a) > 200 || !strings.HasPrefix(a, "evilagent") || !utf8.ValidString(a) || strings.ContainsAny(a, "\x00\x7f") {
		t.Errorf("agent is %q", a)
	}
	if r.seen.Language != "de" || r.seen.RequestID == "" {
		t.Errorf("source is %+v", r.seen)
	}
	r.do(request(http.MethodPost, "/idp/idx/identify", "X-Okta-User-Agent-Extended", "okta-auth-js/8.1.0", "User-Agent", "node"))
	if r.seen.Agent != "okta-auth-js/8.1.0 node" {
		t.Errorf("agent is %q", r.seen.Agent)
	}
}

func TestS72_TheAccessLogHoldsNoQueryNoBodyNoHeader(t *testing.T) {
	r := newRig(t)
	req := httptest.NewRequest(http.MethodPost, home+"/oauth2/default/v1/token?client_secret=marker1&code_verifier=marker2", strings.NewReader("code=marker3"))
	req.Header.Set("Authorization", "Bearer marker4")
	req.Header.Set("Cookie", "sid=marker5")
	r.do(req)
	log := r.log.String()
	if strings.Contains(log, "marker") {
		t.Errorf("the log says %s", log)
	}
	for _, want := range []string{"path=/oauth2/default/v1/token", "status=200", "method=POST", "request.id=", "request.address=192.0.2.1"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s: %s", want, log)
		}
	}
}

func TestS73_NobodyWritesLinesIntoTheLog(t *testing.T) {
	r := newRig(t)
	req := request(http.MethodGet, "/x")
	req.URL.Path = "/x\nlevel=ERROR msg=\"all is lost\""
	r.do(req)
	if lines := strings.Count(r.log.String(), "\n"); lines != 1 {
		t.Errorf("%d lines: %s", lines, r.log)
	}
}

func TestRequestsHaveADeadline(t *testing.T) {
	r := newRig(t)
	var left time.Duration
	r.faces["/idp/idx/identify"] = func(_ http.ResponseWriter, req *http.Request) {
		until, _ := req.Context().Deadline()
		left = time.Until(until)
	}
	if r.do(request(http.MethodPost, "/idp/idx/identify")); left <= 0 || left > deadline {
		t.Errorf("S-50: %s are left", left)
	}
}

func TestS78_Stopping(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Origin, c.Loopback = "http://127.0.0.1", true })
	entered, leave := make(chan struct{}), make(chan struct{})
	r.faces["/idp/idx/identify"] = func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		io.WriteString(w, `{"done":true}`)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- r.Serve(ctx, listener, nil, time.Second) }()
	url := "http://" + listener.Addr().String()

	if got := status(t, url+"/healthz"); got != http.StatusOK {
		t.Fatalf("healthy, and says %d", got)
	}
	running := make(chan string, 1)
	go func() {
		response, err := http.Post(url+"/idp/idx/identify", "application/json", nil)
		if err != nil {
			running <- err.Error()
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		running <- string(body)
	}()
	<-entered
	stop()
	<-r.Stopping()
	if got := status(t, url+"/healthz"); got != http.StatusServiceUnavailable {
		t.Errorf("stopping, and says %d: not ready at once", got)
	}
	if got := status(t, url+"/idp/idx/skip"); got != http.StatusOK {
		t.Errorf("lingering, a new request is answered %d", got)
	}
	time.AfterFunc(1500*time.Millisecond, func() { close(leave) })
	if body := <-running; body != `{"done":true}` {
		t.Errorf("the running request got %q", body)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve returned %v", err)
	}
	if _, err := net.Dial("tcp", listener.Addr().String()); err == nil {
		t.Error("stopped, and still takes connections")
	}
}

func status(t *testing.T, url string) int {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

func TestS50_OneAddressHasSoManyConnections(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	l := Crowd(inner, func(netip.Addr) bool { return false }, neighbours, guests)
	accepted := make(chan net.Conn, 2*neighbours)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	var guests []net.Conn
	for range neighbours {
		dial()
		guests = append(guests, <-accepted)
	}
	late := dial()
	late.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := late.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("one too many was not sent away: %v", err)
	}
	guests[0].Close()
	guests[0].Close() // net/http closes more than once
	dial()
	select {
	case <-accepted:
	case <-time.After(5 * time.Second):
		t.Error("a place that became free was not given away")
	}
	if late = dial(); true {
		late.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := late.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("closing twice made two places: %v", err)
		}
	}
}

func TestS50_OurProxiesMayBringACrowd(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	l := Crowd(inner, func(netip.Addr) bool { return true }, neighbours, guests)
	for range neighbours + 1 {
		out, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		if _, err := l.Accept(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestS50_BrokenHTTP(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Origin, c.Loopback = "http://127.0.0.1", true })
	server := httptest.NewUnstartedServer(r)
	server.Config = r.HTTP()
	server.Start()
	defer server.Close()
	tests := map[string]struct {
		send string
		want string
	}{
		"two lengths":          {"POST /idp/idx/identify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "400"},
		"length and chunks":    {"POST /idp/idx/identify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked, x\r\n\r\n{}", "501"},
		"S-47 headers, a lot":  {"POST /idp/idx/identify HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + strings.Repeat("x", 3*maxHeader) + "\r\n\r\n", "431"},
		"S-47 headers, enough": {"POST /idp/idx/identify HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + strings.Repeat("x", maxHeader+1) + "\r\n\r\n", "431"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(5 * time.Second))
			io.WriteString(c, test.send)
			line, err := bufio.NewReader(c).ReadString('\n')
			if err != nil || !strings.Contains(line, test.want) {
				t.Errorf("answered %q, %v", line, err)
			}
		})
	}
}

// Of a length and chunks the chunks count, and what somebody else may take for a second request is not read.
func TestS50_NothingIsReadBehindChunks(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Origin, c.Loopback = "http://127.0.0.1", true })
	server := httptest.NewUnstartedServer(r)
	server.Config = r.HTTP()
	server.Start()
	defer server.Close()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(c, "POST /idp/idx/identify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"+
		"2\r\n{}\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
	all, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("the connection stays open: %v", err)
	}
	if n := strings.Count(string(all), "HTTP/1.1 "); n != 1 {
		t.Errorf("%d answers:\n%s", n, all)
	}
}

func TestS49_UncleanPathsLeadNowhere(t *testing.T) {
	r := newRig(t)
	for path, status := range map[string]int{
		"/idp/idx/identify": 200, "/app/": 200, "/": 200, "/oauth2/default/v1/token": 200,
		"/idp/idx//identify": 404, "/idp/idx/./identify": 404, "/idp/idx/a/../identify": 404, "//evil.example/x": 404,
		"/oauth2/default//v1/token": 404, "/oauth2/../idp/idx/identify": 404, "/app//": 404, "/app/..": 404, "/idp/idx/%2e%2e/identify": 404,
	} {
		got := r.do(request(http.MethodPost, path))
		if got.StatusCode != status || got.Header.Get("Location") != "" {
			t.Errorf("%s: %d to %q, want %d", path, got.StatusCode, got.Header.Get("Location"), status)
		}
	}
}

func TestLocalCallsTheHandlerWithoutASocket(t *testing.T) {
	r := newRig(t)
	client := &http.Client{Transport: Local{r}}
	outer := obs.WithSource(t.Context(), audit.Source{Address: "198.51.100.9", Agent: "Browser", RequestID: "outer"})
	req, err := http.NewRequestWithContext(outer, http.MethodPost, home+"/idp/idx/identify?x=1", strings.NewReader(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Forwarded-For", "1.2.3.4")
	got, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if body := text(t, got); got.StatusCode != http.StatusOK || body != `{"version":"1.0.0"}` || got.Header.Get("Content-Type") == "" {
		t.Errorf("%d %q", got.StatusCode, body)
	}
	if r.body != `{"a":1}` || r.seen.Address != "198.51.100.9" || r.seen.Agent != "Browser" || r.seen.RequestID == "outer" {
		t.Errorf("the face saw %+v and %q", r.seen, r.body)
	}
	r.faces["/idp/idx/half"] = func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{"); panic("half") }
	if _, err := client.Get(home + "/idp/idx/half"); err == nil {
		t.Error("half an answer passed for a whole one")
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	req, _ = http.NewRequestWithContext(gone, http.MethodGet, home+"/", nil)
	if _, err := client.Do(req); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits any more, and yet %v", err)
	}
}

func TestManyAtOnce(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.IDX = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, obs.SourceOf(r.Context()).RequestID) })
	})
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			got := r.do(request(http.MethodPost, "/idp/idx/identify", "Origin", "https://app.example"))
			if body, _ := io.ReadAll(got.Body); string(body) != got.Header.Get("X-Okta-Request-Id") {
				t.Error("an answer went astray")
			}
		})
	}
	all.Wait()
}

func TestNewRefusesAnOriginThatIsNone(t *testing.T) {
	for _, origin := range []string{"", "id.example", "ftp://id.example", "https://", "://"} {
		if _, err := New(Config{Origin: origin}); err == nil {
			t.Errorf("%q was taken", origin)
		}
	}
}

// nothing is an answer that costs nothing, so that what is measured is ours.
type nothing struct{ h http.Header }

func (n nothing) Header() http.Header         { return n.h }
func (n nothing) Write(b []byte) (int, error) { return len(b), nil }
func (n nothing) WriteHeader(int)             {}

func BenchmarkHouse(b *testing.B) {
	s, err := New(Config{
		Origin: home, OAuth: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(nil) }),
		Log: slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		b.Fatal(err)
	}
	req := request(http.MethodGet, "/oauth2/default/v1/keys", "User-Agent", "Go-http-client/1.1", "Accept-Encoding", "gzip")
	b.ReportAllocs()
	for b.Loop() {
		s.ServeHTTP(nothing{http.Header{}}, req)
	}
}

// People type its address: it belongs to the OAuth face, and what goes wrong there is told to them and not to a program.
func TestActivateIsAPageOfTheOAuthFace(t *testing.T) {
	named := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, name) }
	}
	var oauthFace http.HandlerFunc = named("oauth")
	r := newRig(t, func(c *Config) {
		c.OAuth = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { oauthFace(w, req) })
		c.Pages = named("pages")
	})
	for path, want := range map[string]string{"/activate": "oauth", "/activate/": "pages", "/activated": "pages", "/login/begin": "oauth", "/login/cancel": "oauth", "/account": "pages"} {
		if got := text(t, r.do(request(http.MethodGet, path))); got != want {
			t.Errorf("%s is answered by %q, want %q", path, got, want)
		}
	}
	if got := r.do(request(http.MethodGet, "/activate", "Origin", "https://app.example")); got.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("S-42: other sites may read it: %v", got.Header)
	}
	got := r.do(request(http.MethodTrace, "/activate", "Accept-Language", "de"))
	if body := text(t, got); got.StatusCode != http.StatusMethodNotAllowed || got.Header.Get("Content-Type") != "text/plain; charset=utf-8" || !strings.Contains(body, "unterstützt die HTTP-Methode nicht") {
		t.Errorf("%d %s: %s", got.StatusCode, got.Header.Get("Content-Type"), body)
	}
	oauthFace = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, "<p>That code is not right")
	}
	if got := r.do(request(http.MethodPost, "/activate")); got.StatusCode != http.StatusBadRequest || text(t, got) != "<p>That code is not right" {
		t.Errorf("what the face says does not stand: %d", got.StatusCode)
	}
	oauthFace = func(http.ResponseWriter, *http.Request) { panic("oh") }
	got = r.do(request(http.MethodGet, "/activate", "Accept-Language", "fr"))
	if body := text(t, got); got.StatusCode != http.StatusInternalServerError || !strings.Contains(body, "Erreur interne") || strings.Contains(body, "oh") {
		t.Errorf("S-51: %d %s", got.StatusCode, body)
	}
}
