package demo_test

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"latchkey.dev/demo"
	"latchkey.dev/latchkeytest"
)

// open starts the application over a real engine, and a browser at its home page.
func open(t *testing.T, srv *latchkeytest.Server) *browser {
	site := httptest.NewServer(nil)
	t.Cleanup(site.Close)
	app, err := demo.New(demo.Config{URL: site.URL + "/app", Issuer: srv.Env["ISSUER"], ClientID: srv.Env["CLIENT_ID"], Now: srv.Now,
		Hints: []demo.Hint{{Text: "Try <this>", Link: "Outbox", URL: srv.Env["OUTBOX_URL"]}}})
	if err != nil {
		t.Fatal(err)
	}
	site.Config.Handler = app
	jar, _ := cookiejar.New(nil)
	b := &browser{t: t, site: site.URL, http: &http.Client{Jar: jar}}
	return b.get("/app/")
}

func TestHome(t *testing.T) {
	srv := latchkeytest.Start(t)
	b := open(t, srv).says("leaves identity to an engine", "Sign in", "Try &lt;this&gt;", "Outbox")
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"} {
		if got := b.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	b.get("/app/signin").says("Username", "Password")
	b.post("identifier", srv.Env["USERNAME_ENROLLED"], "credentials.passcode", srv.Env["PASSWORD_ENROLLED"]).says("Verify it’s you")
	b.post().says("Enter your code")
	b.post("credentials.passcode", srv.Code(t, srv.Env["PHONE_ENROLLED"])).says("Hello, Paul.", "paul@example.com", "•••• 0143", "15 min left", "openid profile email phone", "pwd, sms")
	if b.path != "/app/" || strings.Contains(b.body, srv.Env["PHONE_ENROLLED"][1:]) {
		t.Errorf("at %s, the number is shown whole", b.path)
	}
	b.get("/app/callback").says("You’re signed in") // nobody comes back from anywhere: it is a way in like the other
	b.get("/app/").post().says("You’re signed out")
	b.get("/app/").says("leaves identity to an engine")
}

func TestOnlyBelowItsPath(t *testing.T) {
	b := open(t, latchkeytest.Start(t))
	for path, status := range map[string]int{"/": 404, "/other": 404, "/app/other": 404, "/app/style.css": 200, "/app/signin/assets/logo": 200, "/app/signinx": 404} {
		if b.get(path); b.status != status {
			t.Errorf("%s: %d, want %d", path, b.status, status)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, cfg := range []demo.Config{{}, {URL: "http://app.example/app", Issuer: "https://id.example/oauth2/default", ClientID: "c"}, {URL: "https://app.example", Issuer: "not an issuer", ClientID: "c"}, {URL: ":", ClientID: "c"}} {
		if _, err := demo.New(cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

// A browser without scripts.
type browser struct {
	t      *testing.T
	site   string
	http   *http.Client
	path   string
	status int
	header http.Header
	body   string
}

func (b *browser) get(path string) *browser {
	b.t.Helper()
	r, _ := http.NewRequest("GET", b.site+path, nil)
	return b.do(r)
}

var (
	mainForm = regexp.MustCompile(`(?s)<form (?:class="main" )?method="post" action="(/app/signin/(?:[a-z2-7]{12}|sign-out))"[^>]*>(.*?)</form>`)
	hidden   = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
)

// post fills the page's form and sends it.
func (b *browser) post(fields ...string) *browser {
	b.t.Helper()
	m := mainForm.FindStringSubmatch(b.body)
	if m == nil {
		b.t.Fatalf("there is no form on %s:\n%s", b.path, b.body)
	}
	values := url.Values{}
	for _, in := range hidden.FindAllStringSubmatch(m[2], -1) {
		values.Set(in[1], html.UnescapeString(in[2]))
	}
	for i := 0; i < len(fields); i += 2 {
		values.Set("v."+fields[i], fields[i+1])
	}
	r, _ := http.NewRequest("POST", b.site+m[1], strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(r)
}

func (b *browser) do(r *http.Request) *browser {
	b.t.Helper()
	res, err := b.http.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	b.path, b.status, b.header, b.body = res.Request.URL.Path, res.StatusCode, res.Header, string(body)
	return b
}

func (b *browser) says(all ...string) *browser {
	b.t.Helper()
	for _, want := range all {
		if !strings.Contains(b.body, want) {
			b.t.Fatalf("the page at %s (%d) does not say %q:\n%s", b.path, b.status, want, b.body)
		}
	}
	return b
}
