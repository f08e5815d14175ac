package signin_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"latchkey.dev/signin"
)

// hostedSite is the pages as the engine's own: the engine is called without a socket, and begins sign-ins at /authorize for
// an application that is somewhere else.
type hostedSite struct {
	*site
	app     *httptest.Server
	handoff signin.Handoff // but for the handle
	failed  error          // of the last Begin
}

func newHosted(t testing.TB, e *fake, change ...func(*signin.Config)) *hostedSite {
	h := &hostedSite{site: &site{engine: e}}
	h.app = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "<h1>welcome</h1>") }))
	t.Cleanup(h.app.Close)
	mux := http.NewServeMux()
	h.Server = httptest.NewServer(mux)
	t.Cleanup(h.Server.Close)
	e.hosted = h.URL
	h.handoff = signin.Handoff{AppName: "Seed App", Target: h.app.URL}
	cfg := signin.Config{Hosted: true, Engine: direct{http.HandlerFunc(e.serve)}, URL: h.URL + "/signin", AppName: "Acme", Keys: [][32]byte{{1}}}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	if h.pages, err = signin.New(cfg); err != nil {
		t.Fatal(err)
	}
	mux.Handle("/signin", h.pages)
	mux.Handle("/signin/", h.pages)
	mux.Handle("/account", h.pages)
	mux.Handle("/account/", h.pages)
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		to := h.handoff
		if to.InteractionHandle == "" {
			to.InteractionHandle = e.begin()
		}
		if h.failed = h.pages.Begin(w, r, to); h.failed != nil {
			http.Error(w, "begin", http.StatusTeapot)
		}
	})
	mux.HandleFunc("GET /login/token/redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, h.app.URL+"/callback?code="+r.URL.Query().Get("stateToken"), http.StatusFound)
	})
	return h
}

// direct is a way to a handler that needs no network.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result(), nil
}

// begin starts a flow as the engine's authorization endpoint does.
func (e *fake) begin() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	f := &fakeFlow{handle: random(), state: "02" + random(), step: "identify"}
	e.flows[f.handle], e.flows[f.state] = f, f
	return f.handle
}

func (p *person) arrived(app *httptest.Server) *person {
	p.t.Helper()
	if !strings.HasPrefix(p.at.String(), app.URL+"/callback?code=02") {
		p.t.Fatalf("the browser is at %s (%d), not at the application:\n%s", p.at, p.status, p.text())
	}
	return p
}

func TestHostedSignIn(t *testing.T) {
	h := newHosted(t, newFake(t))
	h.handoff.Username, h.handoff.Back = "mary@example.com", "/given-up"
	p := h.person(t).open("/authorize")
	p.sees("Sign in", "to continue to Seed App", "Back to Seed App")
	if p.value("identifier") != "mary@example.com" {
		t.Error("login_hint is not typed")
	}
	p.press("Sign in", mary()).sees("Add a way to verify it’s you").press("Phone", nil)
	p.press("Send code", map[string]string{"authenticator.phoneNumber": "+15551234567"})
	p.press("Verify", typed(code)).arrived(h.app)
	for _, path := range []string{"/v1/interact", "/v1/token", "/v1/userinfo", "/.well-known/openid-configuration"} {
		if h.engine.count(path) != 0 {
			t.Errorf("hosted pages asked %s", path)
		}
	}
	for _, c := range p.http.Jar.Cookies(mustParse(h.URL)) {
		if strings.Contains(c.Name, "-at-") || strings.HasSuffix(c.Name, "-session") {
			t.Errorf("%s is left in the browser", c.Name)
		}
	}
	// Two at once in two tabs do not mix.
	a, b := p.open("/authorize"), p.tab().open("/authorize")
	if a.at.Path == b.at.Path {
		t.Fatal("both tabs are at the same sign-in")
	}
	b.press("Sign in", bob()).press("Send code", nil)
	a.press("Sign in", mary()).press("Send code", nil).press("Verify", typed(code)).arrived(h.app)
	b.press("Verify", typed(code)).arrived(h.app)
}

func mustParse(address string) *url.URL {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	return u
}

func TestHostedPagesSpeakWhatTheApplicationAsksFor(t *testing.T) {
	h := newHosted(t, newFake(t))
	h.handoff.Language = "ja pt-BR de-AT en"
	p := h.person(t)
	p.lang = "fr"
	p.open("/authorize").sees("Anmelden")
	wrong := mary()
	wrong["credentials.passcode"] = "nope"
	p.press("Anmelden", wrong).sees("passen nicht zusammen")
	for _, agent := range h.engine.agents {
		if got := agent.Get("Accept-Language"); got != "de, fr" {
			t.Errorf("the engine is asked to speak %q", got)
		}
	}
	p.open("/signin").sees("Anmelden") // found again
	p.press("Anmelden", mary()).press("Nicht Sie?", nil).sees("Anmelden")
	h.handoff.Language = "ja"
	p.open("/authorize").sees("Se connecter")
}

func TestHostedPagesWithoutASignIn(t *testing.T) {
	h := newHosted(t, newFake(t))
	for lang, words := range map[string]string{"en": "There is nothing to sign in to here", "de": "Hier gibt es nichts anzumelden", "fr": "Il n’y a rien", "es": "Aquí no hay nada"} {
		p := h.person(t)
		p.lang = lang
		p.open("/signin").sees(words)
	}
	p := h.person(t).open("/authorize")
	h.engine.expire()
	p.press("Sign in", mary()).sees("This sign-in is over").lacks("Start again")
	p.open("/signin").sees("There is nothing to sign in to here")
	if n := h.engine.count("/v1/interact"); n != 0 {
		t.Errorf("%d sign-ins were begun", n)
	}
	for _, path := range []string{"/signin/profile", "/signin/account", "/account", "/account/password"} { // the one is an application's, the other was not asked for
		if p.open(path); p.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, p.status)
		}
	}
}

func TestNotYouBeginsTheSameSignInAgain(t *testing.T) {
	h := newHosted(t, newFake(t))
	p := h.person(t).open("/authorize")
	page := p.at.Path
	p.press("Sign in", mary()).press("Not you?", nil).sentTo(page).sees("Sign in", "Seed App").lacks("mary@example.com")
	if p.value("identifier") != "" {
		t.Error("the name is still there")
	}
	p.press("Sign in", bob()).press("Send code", nil).press("Verify", typed(code)).arrived(h.app)
	// What another tab has moved on is not taken for what it was.
	p.open("/authorize")
	action, values := p.form("Sign in", bob())
	p.tab().open(p.at.Path).press("Sign in", mary())
	p.post(action, values).sees("already moved on", "mary@example.com")
	p.open("/authorize")
	action, values = p.form("Sign in", bob())
	h.engine.expire()
	p.post(action, values).sees("This sign-in is over")
}

func TestS17_HostedSignInsAreBoundToTheBrowser(t *testing.T) {
	h := newHosted(t, newFake(t))
	p := h.person(t).open("/authorize")
	action, values := p.form("Sign in", mary())
	h.person(t).open(p.at.Path).sees("This sign-in is over")
	other := h.person(t).open("/authorize")
	_, hers := other.form("Sign in", mary())
	for name, send := range map[string]func() *person{
		"no cookies":        func() *person { return h.person(t).post(action, values) },
		"another's cookies": func() *person { return other.post(action, values) },
	} {
		if q := send().sees("We couldn’t accept that"); q.status != http.StatusForbidden {
			t.Errorf("%s: %d", name, q.status)
		}
	}
	other.post(action, hers).sees("This sign-in is over") // her form, somebody else's sign-in
	if n := h.engine.count("/idp/idx/identify"); n != 0 {
		t.Fatalf("%d forms reached the engine", n)
	}
	p.post(action, values).sees("Add a way to verify")
}

func TestS41_HostedForms(t *testing.T) {
	h := newHosted(t, newFake(t))
	p := h.person(t).open("/authorize")
	action, values := p.form("Sign in", mary())
	for name, bend := range map[string]func(*http.Request){
		"cross-site": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"the application's origin": func(r *http.Request) {
			r.Header.Set("Origin", strings.Replace(h.app.URL, "127.0.0.1", "app.example", 1))
		},
		"json": func(r *http.Request) { r.Header.Set("Content-Type", "application/json") },
	} {
		r, _ := http.NewRequest("POST", h.URL+action, strings.NewReader(values.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		bend(r)
		if p.do(r); p.status != http.StatusForbidden {
			t.Errorf("%s: %d", name, p.status)
		}
	}
	if n := h.engine.count("/idp/idx/identify"); n != 0 {
		t.Errorf("%d forged forms reached the engine", n)
	}
	// A sign-in is begun by a link from the application, which is another site: that is how it is meant.
	r, _ := http.NewRequest("GET", h.URL+"/authorize", nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	p.do(r).sees("Sign in")
}

func TestS43_HostedFormsMayLeadToTheApplication(t *testing.T) {
	h := newHosted(t, newFake(t))
	for target, want := range map[string]string{
		"":                           "form-action 'self';",
		"https://app.example":        "form-action 'self' https://app.example;",
		"https://APP.example:8443":   "form-action 'self' https://app.example:8443;",
		"com.example.app:":           "form-action 'self' com.example.app:;",
		"http://[::1]:3000":          "form-action 'self' http:;",
		"http://my_app:3000":         "form-action 'self' http:;",
		"http://127.0.0.1:3000":      "form-action 'self' http://127.0.0.1:3000;",
		"https://a.example; x":       "",
		"https://a.example 'self'":   "",
		"https://app.example/a/path": "",
		"javascript:":                "",
		"*":                          "",
		"https://*.example":          "",
	} {
		h.handoff.Target = target
		p := h.person(t).open("/authorize")
		if want == "" {
			if h.failed == nil {
				t.Errorf("%q is accepted", target)
			}
			continue
		}
		if got := p.header.Get("Content-Security-Policy"); h.failed != nil || !strings.Contains(got, want) || !strings.Contains(got, "default-src 'none'; script-src 'self';") {
			t.Errorf("%q: %s, %v", target, got, h.failed)
		}
		if p.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%q: kept", target)
		}
	}
	// No page but that of the sign-in leads there.
	p := h.person(t).open("/signin")
	if got := p.header.Get("Content-Security-Policy"); !strings.Contains(got, "form-action 'self';") {
		t.Error(got)
	}
}

func TestS45_HostedSignInsEndAtTheEngine(t *testing.T) {
	h := newHosted(t, newFake(t))
	recorded, err := os.ReadFile("../../shared/fixtures/idx/success.json")
	if err != nil {
		recorded = []byte(`{"version":"1.0.0","stateHandle":"02","success":{"name":"success-redirect","href":"http://localhost:3000/app/UserHome?stateToken=02mocked"}}`)
	}
	for origin, away := range map[string]bool{
		h.URL:                                   false,
		"https://evil.example":                  true,
		"http://127.0.0.1.evil.example":         true,
		h.URL + "@evil.example":                 true,
		"http://user@" + h.URL[len("http://"):]: true,
	} {
		p := h.person(t).open("/authorize")
		p.http.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if r.URL.Path == "/app/UserHome" {
				return http.ErrUseLastResponse
			}
			return nil
		}
		body := strings.ReplaceAll(string(recorded), "http://localhost:3000", origin)
		h.engine.misbehave(func(path string, _ *fakeFlow) *reply {
			if path == "/idp/idx/identify" {
				return &reply{200, raw(body)}
			}
			return nil
		})
		p.press("Sign in", mary())
		h.engine.misbehave(nil)
		switch to := p.header.Get("Location"); {
		case away && (p.status != http.StatusBadGateway || to != ""):
			t.Errorf("%s: %d to %q", origin, p.status, to)
		case !away && (p.status != http.StatusSeeOther || !strings.HasPrefix(to, h.URL+"/app/UserHome?stateToken=")):
			t.Errorf("%s: %d to %q\n%s", origin, p.status, to, p.text())
		}
	}
	for back, shown := range map[string]bool{"/given-up?x=1": true, "https://app.example/cb": true, "javascript:alert(1)": false, "//evil.example": false, `/\evil.example`: false, "": false} {
		h.handoff.Back = back
		if p := h.person(t).open("/authorize"); strings.Contains(p.text(), "Back to Seed App") != shown {
			t.Errorf("%q: shown %v", back, !shown)
		}
	}
}

func TestBegin(t *testing.T) {
	e := newFake(t)
	h := newHosted(t, e)
	h.handoff.InteractionHandle = "nobody's"
	if p := h.person(t).open("/authorize"); h.failed == nil || p.status != http.StatusTeapot {
		t.Errorf("%v, %d", h.failed, p.status)
	}
	// Who is known already is asked nothing.
	h.handoff.InteractionHandle = ""
	e.misbehave(func(path string, f *fakeFlow) *reply {
		return &reply{200, obj{"version": "1.0.0", "stateHandle": f.state, "success": obj{"name": "success-redirect", "href": h.URL + "/login/token/redirect?stateToken=" + f.state}}}
	})
	h.person(t).open("/authorize").arrived(h.app)
	e.misbehave(nil)

	s := newSite(t, newFake(t))
	if err := s.pages.Begin(httptest.NewRecorder(), httptest.NewRequest("GET", s.URL, nil), signin.Handoff{InteractionHandle: "x"}); err == nil {
		t.Error("an application's pages take a browser over")
	}
	for name, cfg := range map[string]signin.Config{
		"with a client":              {Hosted: true, URL: h.URL, Client: clientOf(t)},
		"an account without visitor": {Hosted: true, URL: h.URL, Account: &fakeAccount{}},
		"an application's account":   {URL: h.URL, Client: clientOf(t), Account: &fakeAccount{}},
	} {
		if _, err := signin.New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
