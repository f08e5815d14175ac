package signin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey.dev/idx"
	"latchkey.dev/signin"
)

func TestS43_Headers(t *testing.T) {
	s := newSite(t, newFake(t), func(c *signin.Config) { c.FormTargets = []string{"https://app.example/callback?x=1"} })
	p := s.person(t)
	for path, status := range map[string]int{"/app/signin": 200, "/app/signin/": 200, "/app/signin/signed-out": 200, "/app/signin/nothing": 404, "/app/signin/aaaaaaaaaaaa": 200, "/app/signin/a/b": 404} {
		if p.open(path); p.status != status {
			t.Errorf("%s: status %d, want %d", path, p.status, status)
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; form-action 'self' https://app.example; " +
				"frame-ancestors 'none'; base-uri 'none'; object-src 'none'",
			"X-Content-Type-Options":     "nosniff",
			"Referrer-Policy":            "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin",
			"Cache-Control":              "no-store",
			"Content-Language":           "en",
			"Strict-Transport-Security":  "",
		} {
			if got := p.header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		for _, bad := range []string{"<script>", "style=", "onclick", "onsubmit", "javascript:", "<style"} {
			if strings.Contains(p.body, bad) {
				t.Errorf("%s has something inline: %s", path, bad)
			}
		}
	}
}

// https is the pages as they are in production: behind https, called without a socket.
func https(t testing.TB, e *fake) http.Handler {
	client, err := idx.New(idx.Config{Issuer: e.URL + "/oauth2/default", ClientID: "0oa1seed", RedirectURI: "https://app.example/callback"})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := signin.New(signin.Config{Client: client, URL: "https://app.example/signin"})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

func TestS39_Cookies(t *testing.T) {
	h := https(t, newFake(t))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "https://app.example/signin", nil))
	cookies := w.Result().Cookies()
	if len(cookies) != 2 {
		t.Fatalf("%d cookies, want the browser's and the sign-in's", len(cookies))
	}
	for _, c := range cookies {
		if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || len(c.String()) > 4000 {
			t.Errorf("cookie is %s", c)
		}
	}
	if w.Header().Get("Strict-Transport-Security") == "" {
		t.Error("no HSTS on https")
	}

	// A value from elsewhere is replaced, not adopted.
	r := httptest.NewRequest("GET", "https://app.example/signin", nil)
	r.AddCookie(&http.Cookie{Name: cookies[0].Name, Value: strings.Repeat("A", 48)})
	w = httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if got := w.Result().Cookies()[0]; got.Name != cookies[0].Name || strings.HasPrefix(got.Value, "AAAA") {
		t.Errorf("a planted cookie was adopted: %s", got)
	}

	s := newSite(t, newFake(t))
	p := s.person(t).open("/app/signin")
	for _, c := range p.http.Jar.Cookies(p.at) {
		if strings.HasPrefix(c.Name, "__") {
			t.Errorf("on http the browser would refuse %s", c.Name)
		}
	}
	r, _ = http.NewRequest("GET", s.URL+"/app/signin", nil)
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for _, c := range res.Cookies() {
		if c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode {
			t.Errorf("cookie is %s", c)
		}
	}
}

func TestS39_PlainHTTPOnThisMachineOnly(t *testing.T) {
	e := newFake(t)
	client, _ := idx.New(idx.Config{Issuer: e.URL + "/oauth2/default", ClientID: "c", RedirectURI: "https://app.example/callback"})
	good := signin.Config{Client: client, URL: "https://app.example/signin"}
	for name, change := range map[string]func(*signin.Config){
		"no client":           func(c *signin.Config) { c.Client = nil },
		"no address":          func(c *signin.Config) { c.URL = "" },
		"a path alone":        func(c *signin.Config) { c.URL = "/signin" },
		"http from afar":      func(c *signin.Config) { c.URL = "http://app.example/signin" },
		"http in disguise":    func(c *signin.Config) { c.URL = "http://localhost.example/signin" },
		"another scheme":      func(c *signin.Config) { c.URL = "ftp://app.example/signin" },
		"a query":             func(c *signin.Config) { c.URL += "?a=b" },
		"a colour that isn't": func(c *signin.Config) { c.Accent = "teal" },
		"a logo that isn't":   func(c *signin.Config) { c.Logo = []byte("hello") },
		"a key of zeros":      func(c *signin.Config) { c.Keys = make([][32]byte, 1) },
		"//elsewhere":         func(c *signin.Config) { c.AfterSignIn = "//evil.example" },
		"relative":            func(c *signin.Config) { c.AfterSignOut = "home" },
		"header injection":    func(c *signin.Config) { c.FormTargets = []string{"https://a.example; script-src *"} },
	} {
		cfg := good
		change(&cfg)
		if _, err := signin.New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, address := range []string{"http://localhost:1/a", "http://127.0.0.1:1", "http://[::1]:1/x/", "http://app.localhost/"} {
		cfg := good
		cfg.URL = address
		if _, err := signin.New(cfg); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestS41_ForgedForms(t *testing.T) {
	s := newSite(t, newFake(t))
	p := atCode(t, s)
	action, values := p.form("Verify", typed(code))
	mallory := s.person(t).open("/app/signin")
	_, hers := mallory.form("Sign in", nil)
	for name, bend := range map[string]func(*http.Request, url.Values){
		"from another site":    func(r *http.Request, _ url.Values) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"from a sibling":       func(r *http.Request, _ url.Values) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"from another origin":  func(r *http.Request, _ url.Values) { r.Header.Set("Origin", "https://evil.example") },
		"from another port":    func(r *http.Request, _ url.Values) { r.Header.Set("Origin", "http://127.0.0.1:1") },
		"without the token":    func(_ *http.Request, v url.Values) { v.Del("csrf") },
		"with a wrong token":   func(_ *http.Request, v url.Values) { v.Set("csrf", strings.Repeat("A", 24)) },
		"with another's token": func(_ *http.Request, v url.Values) { v.Set("csrf", hers.Get("csrf")) },
		"as JSON":              func(r *http.Request, _ url.Values) { r.Header.Set("Content-Type", "application/json") },
		"as plain text":        func(r *http.Request, _ url.Values) { r.Header.Set("Content-Type", "text/plain") },
		"S-17 without cookies": func(r *http.Request, _ url.Values) { r.Header.Del("Cookie") },
	} {
		t.Run(name, func(t *testing.T) {
			sent := url.Values{}
			for k, v := range values {
				sent[k] = v
			}
			r, _ := http.NewRequest("POST", s.URL+action, nil)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			for _, c := range p.http.Jar.Cookies(p.at) {
				r.AddCookie(c)
			}
			bend(r, sent)
			r.Body = io.NopCloser(strings.NewReader(sent.Encode()))
			res, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			b, _ := io.ReadAll(res.Body)
			if res.StatusCode != http.StatusForbidden || !strings.Contains(string(b), "We couldn’t accept that") || len(res.Cookies()) > 0 {
				t.Errorf("status %d, cookies %v", res.StatusCode, res.Cookies())
			}
		})
	}
	if s.engine.count("/idp/idx/challenge/answer") != 0 {
		t.Fatal("a forged form reached the engine")
	}
	p.post(action, values).sentTo("/app/") // and the real one still does
}

func TestS41_OriginWithoutFetchMetadata(t *testing.T) {
	s := newSite(t, newFake(t))
	for _, origin := range []string{"", "null", s.URL} {
		p := s.person(t).open("/app/signin")
		action, values := p.form("Sign in", mary())
		r, _ := http.NewRequest("POST", s.URL+action, strings.NewReader(values.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", origin)
		p.do(r).sees("Add a way to verify")
	}
}

func TestS41_GetChangesNothing(t *testing.T) {
	s := newSite(t, newFake(t))
	p := atCode(t, s)
	action, values := p.form("Verify", typed(code))
	interacts := s.engine.count("/v1/interact")
	for _, path := range []string{action, action + "?" + values.Encode(), action + "?view=choose", action + "?view=number", action + "?view=nothing", "/app/signin", "/app/signin/new", "/app/signin/sign-out", "/app/signin/profile"} {
		p.open(path)
	}
	for _, path := range []string{"/idp/idx/challenge/answer", "/idp/idx/challenge/resend", "/idp/idx/cancel"} {
		if n := s.engine.count(path); n != 0 {
			t.Errorf("a GET led to %d posts to %s", n, path)
		}
	}
	if n := s.engine.count("/v1/interact") - interacts; n != 0 {
		t.Errorf("a GET began %d sign-ins beside the one under way", n)
	}
	p.open(action).sees("Enter your code").press("Verify", typed(code)).sentTo("/app/")
	p.open("/app/signin/sign-out").sees("You’re signed in")
}

func TestS47_LargeForm(t *testing.T) {
	s := newSite(t, newFake(t))
	p := s.person(t).open("/app/signin")
	action, values := p.form("Sign in", mary())
	values.Set("v.identifier", strings.Repeat("a", 70_000))
	if p.post(action, values).sees("That was too much"); p.status != http.StatusRequestEntityTooLarge || s.engine.count("/idp/idx/identify") != 0 {
		t.Errorf("status %d", p.status)
	}
	p.open("/app/signin")
	action, values = p.form("Sign in", map[string]string{"identifier": strings.Repeat("ä", 5_000), "credentials.passcode": "x"})
	p.post(action, values).sees("Sign in")
}

func TestS49_Methods(t *testing.T) {
	s := newSite(t, newFake(t))
	for _, method := range []string{"PUT", "DELETE", "PATCH", "TRACE"} {
		r, _ := http.NewRequest(method, s.URL+"/app/signin", nil)
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") == "" {
			t.Errorf("%s: %d", method, res.StatusCode)
		}
	}
}

// S-17: a half-done sign-in is worth nothing in another browser, or in another place of the same.
func TestS17_StolenCookie(t *testing.T) {
	s := newSite(t, newFake(t))
	p := atCode(t, s)
	thief := s.person(t).open("/app/signin")
	var stolen []*http.Cookie
	for _, c := range p.http.Jar.Cookies(p.at) {
		if strings.Contains(c.Name, "-at-") {
			stolen = append(stolen, c)
		}
	}
	if len(stolen) != 1 {
		t.Fatalf("%d half-done sign-ins", len(stolen))
	}
	thief.http.Jar.SetCookies(thief.at, stolen)
	if thief.open(p.at.Path); strings.Contains(thief.text(), "mary") {
		t.Fatal("the sign-in goes on in another browser")
	}
	thief.sees("Your sign-in took too long")

	moved := *stolen[0]
	moved.Name = moved.Name[:len(moved.Name)-12] + "aaaaaaaaaaaa"
	p.http.Jar.SetCookies(p.at, []*http.Cookie{&moved})
	p.open("/app/signin/aaaaaaaaaaaa").sees("Your sign-in took too long")
	for _, v := range []string{"", ".", "a.b", moved.Value[1:], moved.Value + "A", strings.ToUpper(moved.Value)} {
		moved.Value = v
		p.http.Jar.SetCookies(p.at, []*http.Cookie{&moved})
		p.open("/app/signin/aaaaaaaaaaaa").sees("Your sign-in took too long")
	}
}

func TestS40_Sessions(t *testing.T) {
	var mu sync.Mutex
	now := time.Now()
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	wait := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
	store := &spy{Memory: signin.NewMemory(), keys: map[string]bool{}, held: map[string]bool{}}
	e := newFake(t)
	e.passwordOnly = true
	s := newSite(t, e, func(c *signin.Config) { c.Now, c.Sessions = clock, store })
	p := s.person(t)
	signIn := func() string {
		p.open("/app/signin")
		if strings.Contains(p.text(), "You’re signed in") {
			p.press("Use another account", nil)
		}
		p.press("Sign in", mary()).sentTo("/app/")
		for _, c := range p.http.Jar.Cookies(p.at) {
			if strings.HasSuffix(c.Name, "-session") {
				return c.Value
			}
		}
		t.Fatal("no session")
		return ""
	}
	signedIn := func() bool { _, ok := s.pages.Session(p.request()); return ok }

	first := signIn()
	old := p.request()
	if second := signIn(); second == first {
		t.Fatal("a new sign-in kept the value")
	}
	if _, ok := s.pages.Session(old); ok {
		t.Error("the session before goes on")
	}
	if store.keys[first] {
		t.Error("S-68: the store holds the cookie's value")
	}
	for range 23 {
		wait(59 * time.Minute)
		if !signedIn() {
			t.Fatal("a session in use ended")
		}
	}
	wait(58 * time.Minute)
	signedIn()
	wait(58 * time.Minute)
	if signedIn() {
		t.Error("the session is older than a day")
	}
	signIn()
	wait(61 * time.Minute)
	if signedIn() {
		t.Error("the session outlived an hour of silence")
	}
	if p.open("/app/signin/profile").sees("Sign in"); len(store.held) != 0 {
		t.Error("what ended is still in the store")
	}

	signIn()
	kept := p.request()
	p.open("/app/signin").press("Sign out", nil).sees("You’re signed out")
	if _, ok := s.pages.Session(kept); ok {
		t.Error("the session ended in the browser only")
	}
	if e.count("/v1/revoke") != 1 {
		t.Error("the token lives on")
	}
}

// Somebody signs out while another request of theirs is being answered: that does not bring the session back.
func TestS40_WhoSignsOutStaysOut(t *testing.T) {
	var mu sync.Mutex
	now := time.Now()
	store := &slow{Memory: signin.NewMemory()}
	e := newFake(t)
	e.passwordOnly = true
	s := newSite(t, e, func(c *signin.Config) {
		c.Now, c.Sessions = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }, store
	})
	p := s.person(t)
	p.open("/app/signin").press("Sign in", mary()).sentTo("/app/")
	mu.Lock()
	now = now.Add(30 * time.Minute)
	mu.Unlock()
	r := p.request()
	store.meanwhile = func() { s.pages.SignOut(httptest.NewRecorder(), r) }
	if _, ok := s.pages.Session(r); ok {
		t.Error("who has signed out is signed in")
	}
	if _, ok := s.pages.Session(r); ok {
		t.Error("the session is back")
	}
}

// A slow store lets something happen after it has looked.
type slow struct {
	*signin.Memory
	meanwhile func()
}

func (s *slow) Load(ctx context.Context, key string) (signin.Session, error) {
	held, err := s.Memory.Load(ctx, key)
	if do := s.meanwhile; do != nil {
		s.meanwhile = nil
		do()
	}
	return held, err
}

// A spy sees what a store is given.
type spy struct {
	*signin.Memory
	keys map[string]bool
	held map[string]bool
}

func (s *spy) Save(ctx context.Context, key string, held signin.Session) error {
	s.keys[key], s.held[key] = true, true
	return s.Memory.Save(ctx, key, held)
}

func (s *spy) Delete(ctx context.Context, key string) error {
	delete(s.held, key)
	return s.Memory.Delete(ctx, key)
}

func TestSessionsSurviveJSON(t *testing.T) {
	s := newSite(t, newFake(t))
	p := atCode(t, s)
	p.press("Verify", typed(code))
	held, _ := s.pages.Session(p.request())
	b, err := json.Marshal(held)
	if err != nil {
		t.Fatal(err)
	}
	var again signin.Session
	if err := json.Unmarshal(b, &again); err != nil || again.Tokens.AccessToken != held.Tokens.AccessToken || again.User.Name != held.User.Name {
		t.Errorf("a store that writes JSON loses the session: %v %s", err, b)
	}
}

func TestOnSignIn(t *testing.T) {
	s := newSite(t, newFake(t), func(c *signin.Config) {
		c.OnSignIn = func(w http.ResponseWriter, r *http.Request, tokens *idx.Tokens, u *idx.UserInfo) {
			http.SetCookie(w, &http.Cookie{Name: "mine", Value: "yes", Path: "/"})
			http.Redirect(w, r, "/app/welcome?name="+url.QueryEscape(u.Name), http.StatusSeeOther)
		}
	})
	p := atCode(t, s)
	p.press("Verify", typed(code)).sentTo("/app/welcome")
	if p.at.Query().Get("name") != "Mary Acme" || !strings.Contains(p.request().Header.Get("Cookie"), "mine=yes") {
		t.Errorf("the hook was not heard: %s", p.at)
	}
	if _, ok := s.pages.Session(p.request()); ok {
		t.Error("there is a session beside the application's own")
	}
}

func TestEngineSeesThePerson(t *testing.T) {
	s := newSite(t, newFake(t), func(c *signin.Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	jar, _ := cookiejar.New(nil)
	p := &person{t: t, site: s, http: &http.Client{Jar: jar}, lang: "de"}
	for range 2 {
		r, _ := http.NewRequest("GET", s.URL+"/app/signin", nil)
		r.Header.Set("X-Forwarded-For", "203.0.113.9")
		r.Header.Set("User-Agent", "Browser/1")
		p.do(r)
	}
	all := s.engine.agents
	for _, h := range all {
		if h.Get("X-Forwarded-For") != "203.0.113.9" || h.Get("User-Agent") == "" || h.Get("X-Device-Token") == "" || h.Get("X-Device-Token") != all[0].Get("X-Device-Token") {
			t.Errorf("the engine sees %v", h)
		}
	}
}

func TestLanguages(t *testing.T) {
	s := newSite(t, newFake(t))
	for lang, words := range map[string][]string{
		"de-AT": {"Anmelden", "passen nicht zusammen", "Telefon"},
		"fr":    {"Se connecter", "ne correspondent pas", "Téléphone"},
		"es":    {"Iniciar sesión", "no coinciden", "Teléfono"},
	} {
		p := s.person(t)
		p.lang = lang
		p.open("/app/signin").sees(words[0])
		if !strings.Contains(p.body, `<html lang="`+lang[:2]+`">`) || p.header.Get("Content-Language") != lang[:2] || !strings.Contains(strings.Join(p.header.Values("Vary"), ","), "Accept-Language") {
			t.Errorf("%s: the page does not say which language it is in", lang)
		}
		wrong := mary()
		wrong["credentials.passcode"] = "nope"
		p.press(words[0], wrong).sees(words[1])
		p.press(words[0], mary()).sees(words[2])
	}
}

func TestAccessibility(t *testing.T) {
	s := newSite(t, newFake(t))
	p := s.person(t).open("/app/signin")
	has := func(want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(p.body, w) {
				t.Errorf("%s lacks %s", p.at.Path, w)
			}
		}
	}
	has(`<main>`, `<html lang="en">`, `<title>Sign in · Acme</title>`, `autocomplete="username"`, `autocomplete="current-password"`, `<label for="f-identifier">`, `for="f-credentials-passcode"`)
	p.press("Sign in", mary()).press("Phone", nil)
	has(`type="tel"`, `autocomplete="tel"`, `inputmode="tel"`, `aria-describedby="f-authenticator-phoneNumber-hint"`)
	p.press("Send code", map[string]string{"authenticator.phoneNumber": "+1"})
	has(`aria-invalid="true"`, `aria-describedby="f-authenticator-phoneNumber-wrong f-authenticator-phoneNumber-hint"`, `id="f-authenticator-phoneNumber-wrong"`, `<title>Error: `)
	p.press("Send code", map[string]string{"authenticator.phoneNumber": "+15551234567"})
	has(`autocomplete="one-time-code"`, `inputmode="numeric"`, ` autofocus`)
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(p.body, -1) {
		if ids[m[1]] {
			t.Errorf("the id %s is there twice", m[1])
		}
		ids[m[1]] = true
	}
}

func TestAssets(t *testing.T) {
	s := newSite(t, newFake(t), func(c *signin.Config) { c.Accent = "#c2410c" })
	p := s.person(t).open("/app/signin")
	files := regexp.MustCompile(`(?:href|src)="(/app/signin/assets/[^"]*)"`).FindAllStringSubmatch(p.body, -1)
	if len(files) != 5 {
		t.Fatalf("the page names %d files", len(files))
	}
	kinds := map[string]string{"signin.css": "text/css", "theme.css": "text/css", "signin.js": "text/javascript", "logo": "image/svg+xml"}
	for _, f := range files {
		q := s.person(t).open(f[1])
		u, _ := url.Parse(f[1])
		if kind := kinds[u.Path[len("/app/signin/assets/"):]]; q.status != 200 || !strings.HasPrefix(q.header.Get("Content-Type"), kind) || !strings.Contains(q.header.Get("Cache-Control"), "immutable") || q.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", f[1], q.status, q.header)
		}
		if q.open(u.Path); q.header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s may be kept for ever under a name that does not change", u.Path)
		}
	}
	if q := s.person(t).open("/app/signin/assets/theme.css"); !strings.Contains(q.body, "--accent:#c2410c") {
		t.Errorf("the theme is not there: %s", q.body)
	}
	if q := s.person(t).open("/app/signin/assets/passwd"); q.status != 404 {
		t.Errorf("status %d", q.status)
	}
}

// S-72: nothing that a person typed, and nothing that opens anything, is logged.
func TestS72_Log(t *testing.T) {
	var log bytes.Buffer
	var mu sync.Mutex
	e := newFake(t)
	s := newSite(t, e, func(c *signin.Config) {
		c.Logger = slog.New(slog.NewTextHandler(locked{&mu, &log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	p := atCode(t, s)
	e.misbehave(func(path string, f *fakeFlow) *reply {
		switch path {
		case "/v1/userinfo", "/v1/revoke":
			return &reply{500, "no"}
		}
		return nil
	})
	p.press("Verify", typed(code)).sentTo("/app/")
	p.open("/app/signin").press("Sign out", nil)
	e.misbehave(func(string, *fakeFlow) *reply { return &reply{500, "no"} })
	p.open("/app/signin")
	mu.Lock()
	defer mu.Unlock()
	if log.Len() == 0 {
		t.Fatal("nothing was logged")
	}
	secrets := []string{"Correct-Horse-1", code, "5551234567", "at-mary", "mary@example.com"}
	for handle := range e.flows {
		secrets = append(secrets, handle)
	}
	for _, secret := range secrets {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log holds %q:\n%s", secret, log.String())
		}
	}
}

type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l locked) Write(b []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.w.Write(b) }

// FuzzForms sends what no page of ours would. Whatever it is, the answer is a page or a redirect to one, never a fault.
func FuzzForms(f *testing.F) {
	f.Add("step=identify&v.identifier=mary%40example.com&v.credentials.passcode=Correct-Horse-1", "")
	f.Add("step=identify&do=resend", "x")
	f.Add("step=select-authenticator-enroll&pick=0&v.phoneNumber=%2B15551234567", "view=choose")
	f.Add("step=cancel&do=door&ref=aaaaaaaaaaaa", "")
	f.Add("step=%00&v.identifier=%ff&v.=1&v=2", "view=number")
	s := newSite(f, newFake(f))
	at := atCode(f, s)
	begun := s.person(f).open("/app/signin")
	type door struct {
		http         *http.Client
		action, csrf string
	}
	var doors []door
	for _, from := range []*person{at, begun} {
		action, own := from.form(map[*person]string{at: "Verify", begun: "Sign in"}[from], nil)
		doors = append(doors, door{from.http, action, own.Get("csrf")})
	}
	f.Fuzz(func(t *testing.T, body, query string) {
		for _, d := range doors {
			p := &person{t: t, site: s, http: d.http, lang: "en"}
			values, _ := url.ParseQuery(body)
			values.Set("csrf", d.csrf)
			p.post(d.action+"?"+url.QueryEscape(query), values)
			if p.status >= 500 || !strings.Contains(p.body, "</html>") && p.at.Path != "/app/" {
				t.Errorf("%q is answered by %d at %s:\n%s", body, p.status, p.at, p.text())
			}
		}
	})
}
