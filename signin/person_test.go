package signin_test

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

	"latchkey.dev/idx"
	"latchkey.dev/signin"
)

// site is the pages mounted below a prefix of an application, over the fake engine.
type site struct {
	*httptest.Server
	engine *fake
	pages  *signin.Pages
}

func newSite(t testing.TB, e *fake, change ...func(*signin.Config)) *site {
	s := &site{engine: e}
	var h http.Handler
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) }))
	t.Cleanup(s.Close)
	client, err := idx.New(idx.Config{Issuer: e.URL + "/oauth2/default", ClientID: "0oa1seed", RedirectURI: s.URL + "/app/callback"}, idx.WithRetry(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	cfg := signin.Config{Client: client, URL: s.URL + "/app/signin", AppName: "Acme", Keys: [][32]byte{{1}}, AfterSignIn: "/app/"}
	for _, c := range change {
		c(&cfg)
	}
	if s.pages, err = signin.New(cfg); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/app/signin", s.pages)
	mux.Handle("/app/signin/", s.pages)
	mux.HandleFunc("GET /app/callback", s.pages.Callback)
	mux.HandleFunc("/app/", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "<h1>home</h1>") })
	h = mux
	return s
}

// person is somebody with a browser that has cookies and no scripts.
type person struct {
	t    testing.TB
	site *site
	http *http.Client
	lang string

	at     *url.URL
	status int
	header http.Header
	body   string
}

func (s *site) person(t testing.TB) *person {
	jar, _ := cookiejar.New(nil)
	return &person{t: t, site: s, http: &http.Client{Jar: jar}, lang: "en"}
}

// tab is another tab of the same browser.
func (p *person) tab() *person {
	return &person{t: p.t, site: p.site, http: p.http, lang: p.lang}
}

func (p *person) do(r *http.Request) *person {
	p.t.Helper()
	r.Header.Set("Accept-Language", p.lang)
	res, err := p.http.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	p.at, p.status, p.header, p.body = res.Request.URL, res.StatusCode, res.Header, string(b)
	return p
}

func (p *person) open(path string) *person {
	p.t.Helper()
	r, _ := http.NewRequest("GET", p.site.URL+path, nil)
	return p.do(r)
}

func (p *person) reload() *person { p.t.Helper(); return p.open(p.at.RequestURI()) }

var (
	forms  = regexp.MustCompile(`(?s)<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>`)
	inputs = regexp.MustCompile(`<input[^>]*>`)
	attr   = regexp.MustCompile(`\s([a-z-]+)(?:="([^"]*)")?`)
	button = regexp.MustCompile(`(?s)<button([^>]*)>(.*?)</button>`)
	links  = regexp.MustCompile(`(?s)<a class="[^"]*" href="([^"]*)">(.*?)</a>`)
	tags   = regexp.MustCompile(`<[^>]*>`)
)

func attrs(tag string) map[string]string {
	all := map[string]string{}
	for _, m := range attr.FindAllStringSubmatch(tag, -1) {
		all[m[1]] = html.UnescapeString(m[2])
	}
	return all
}

// form is the filled-in form that has a button of that name.
func (p *person) form(name string, typed map[string]string) (action string, values url.Values) {
	p.t.Helper()
	for _, m := range forms.FindAllStringSubmatch(p.body, -1) {
		for _, b := range button.FindAllStringSubmatch(m[2], -1) {
			if !strings.Contains(html.UnescapeString(tags.ReplaceAllString(b[2], " ")), name) {
				continue
			}
			values := url.Values{}
			for _, tag := range inputs.FindAllString(m[2], -1) {
				a := attrs(tag)
				_, checked := a["checked"]
				if a["name"] != "" && (a["type"] != "checkbox" && a["type"] != "radio" || checked) {
					values.Set(a["name"], a["value"])
				}
			}
			if a := attrs(b[1]); a["name"] != "" {
				values.Set(a["name"], a["value"])
			}
			for k, v := range typed {
				field := "v." + k
				if !strings.Contains(m[2], `name="`+field+`"`) {
					p.t.Fatalf("there is no field %q on the page:\n%s", field, p.text())
				}
				values.Set(field, v)
			}
			return m[1], values
		}
	}
	p.t.Fatalf("there is no button %q on the page at %s:\n%s", name, p.at, p.text())
	return "", nil
}

func (p *person) post(action string, values url.Values) *person {
	p.t.Helper()
	r, _ := http.NewRequest("POST", p.site.URL+html.UnescapeString(action), strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return p.do(r)
}

// press fills the form and presses the button.
func (p *person) press(name string, typed map[string]string) *person {
	p.t.Helper()
	return p.post(p.form(name, typed))
}

// follow follows the link of that name.
func (p *person) follow(name string) *person {
	p.t.Helper()
	for _, m := range links.FindAllStringSubmatch(p.body, -1) {
		if strings.Contains(html.UnescapeString(m[2]), name) {
			u, err := p.at.Parse(html.UnescapeString(m[1]))
			if err != nil {
				p.t.Fatal(err)
			}
			return p.open(u.RequestURI())
		}
	}
	p.t.Fatalf("there is no link %q on the page:\n%s", name, p.text())
	return nil
}

// text is what is to be read on the page.
func (p *person) text() string {
	body := regexp.MustCompile(`(?s)<head>.*?</head>`).ReplaceAllString(p.body, "")
	return strings.Join(strings.Fields(html.UnescapeString(tags.ReplaceAllString(body, " "))), " ")
}

func (p *person) sees(all ...string) *person {
	p.t.Helper()
	for _, want := range all {
		if !strings.Contains(p.text(), want) {
			p.t.Fatalf("the page at %s (%d) does not say %q:\n%s", p.at, p.status, want, p.text())
		}
	}
	return p
}

func (p *person) lacks(what string) *person {
	p.t.Helper()
	if strings.Contains(p.text(), what) {
		p.t.Fatalf("%s shows %q:\n%s", p.at, what, p.text())
	}
	return p
}

func (p *person) sentTo(path string) *person {
	p.t.Helper()
	if p.at.Path != path {
		p.t.Fatalf("the browser is at %s (%d), not %s:\n%s", p.at.Path, p.status, path, p.text())
	}
	return p
}

func (p *person) value(name string) string {
	p.t.Helper()
	for _, tag := range inputs.FindAllString(p.body, -1) {
		if a := attrs(tag); a["name"] == "v."+name {
			return a["value"]
		}
	}
	p.t.Fatalf("there is no field %q on the page:\n%s", name, p.text())
	return ""
}

// credentials of the two people the fake engine knows.
func mary() map[string]string {
	return map[string]string{"identifier": "mary@example.com", "credentials.passcode": "Correct-Horse-1"}
}

func bob() map[string]string {
	return map[string]string{"identifier": "bob@example.com", "credentials.passcode": "Battery-Staple-2"}
}

// request is one to the application, with the browser's cookies.
func (p *person) request() *http.Request {
	r, _ := http.NewRequest("GET", p.site.URL+"/app/", nil)
	for _, c := range p.http.Jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	return r
}
