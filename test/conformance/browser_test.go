package conformance_test

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// A browser keeps cookies, follows redirects, and fills in forms. It does not go to the application: arriving there is
// what it was sent for.
type browser struct {
	t      testing.TB
	http   *http.Client
	homes  []string // addresses of the application
	at     *url.URL
	status int
	header http.Header
	body   string
	logins int // forms with a password that were filled in
}

// An arrival is what the browser brings to the application.
type arrival struct {
	at     string // the address, without a query
	method string
	url.Values
}

func newBrowser(t testing.TB, homes ...string) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t: t, homes: homes, http: &http.Client{
		Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// home is the arrival that an address stands for, or nil if it is none of the application's.
func (b *browser) home(to *url.URL, method string, values url.Values) *arrival {
	bare := *to
	bare.RawQuery, bare.Fragment = "", ""
	for _, home := range b.homes {
		if bare.String() == home {
			return &arrival{home, method, values}
		}
	}
	return nil
}

// open goes to an address. It returns nil where a page is shown, which is then in the browser.
func (b *browser) open(address string) *arrival {
	b.t.Helper()
	return b.send(http.MethodGet, address, nil)
}

func (b *browser) send(method, address string, form url.Values) *arrival {
	b.t.Helper()
	for range 20 {
		var body io.Reader
		if method == http.MethodPost {
			body = strings.NewReader(form.Encode())
		}
		r, err := http.NewRequest(method, address, body)
		if err != nil {
			b.t.Fatal(err)
		}
		if method == http.MethodPost {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		r.Header.Set("Accept", "text/html")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Sec-Fetch-Dest", "document")
		response, err := b.http.Do(r)
		if err != nil {
			b.t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			b.t.Fatal(err)
		}
		b.at, b.status, b.header, b.body = r.URL, response.StatusCode, response.Header, string(text)
		to := response.Header.Get("Location")
		if response.StatusCode/100 != 3 || to == "" {
			return b.posted()
		}
		next, err := r.URL.Parse(to)
		if err != nil {
			b.t.Fatal(err)
		}
		if response.StatusCode == http.StatusTemporaryRedirect || response.StatusCode == http.StatusPermanentRedirect {
			b.t.Fatalf("%d from %s: a password must not be sent on (RFC 9700 4.12)", response.StatusCode, r.URL)
		}
		if home := b.home(next, http.MethodGet, next.Query()); home != nil {
			return home
		}
		method, address, form = http.MethodGet, next.String(), nil
	}
	b.t.Fatalf("redirects without end, at %s", b.at)
	return nil
}

var (
	formTag = regexp.MustCompile(`(?s)<form([^>]*)>(.*?)</form>`)
	input   = regexp.MustCompile(`<(?:input|button)[^>]*>`)
	attr    = regexp.MustCompile(`\s([a-zA-Z-]+)(?:="([^"]*)")?`)
	link    = regexp.MustCompile(`(?s)<a\s([^>]*)>(.*?)</a>`)
	iframe  = regexp.MustCompile(`<iframe[^>]*>`)
	tag     = regexp.MustCompile(`(?s)<(head|style|script)\b.*?</(?:head|style|script)>|<[^>]*>`)
)

func attributes(tag string) map[string]string {
	all := map[string]string{}
	for _, m := range attr.FindAllStringSubmatch(tag, -1) {
		all[strings.ToLower(m[1])] = html.UnescapeString(m[2])
	}
	return all
}

// A form is one on the page, filled in as the page brings it.
type form struct {
	action, method string
	values         url.Values
	user, password string // names of those fields
	buttons        int
}

func (b *browser) forms() (all []form) {
	for _, m := range formTag.FindAllStringSubmatch(b.body, -1) {
		a := attributes(m[1])
		f := form{action: a["action"], method: strings.ToUpper(a["method"]), values: url.Values{}}
		for _, tag := range input.FindAllString(m[2], -1) {
			a := attributes(tag)
			_, readonly := a["readonly"]
			_, checked := a["checked"]
			isButton := strings.HasPrefix(tag, "<button")
			if isButton {
				f.buttons++
			}
			switch {
			case a["name"] == "" || readonly:
				continue
			case isButton && f.buttons > 1, (a["type"] == "checkbox" || a["type"] == "radio") && !checked:
				continue
			case a["type"] == "password":
				f.password = a["name"]
			case strings.HasPrefix(a["autocomplete"], "username"):
				f.user = a["name"]
			}
			f.values.Set(a["name"], a["value"])
		}
		all = append(all, f)
	}
	return all
}

// posted is the arrival by form_post: a page whose form leads to the application, and which sends itself.
func (b *browser) posted() *arrival {
	b.t.Helper()
	for _, f := range b.forms() {
		to, err := b.at.Parse(f.action)
		if err != nil {
			b.t.Fatal(err)
		}
		if f.method != http.MethodPost {
			continue
		}
		if home := b.home(to, http.MethodPost, f.values); home != nil {
			return home
		}
	}
	return nil
}

// refuses reports whether a page tells a person that they cannot go on.
func (b *browser) refuses() bool {
	return b.status/100 == 4 && strings.HasPrefix(b.header.Get("Content-Type"), "text/html") && !b.asksToSignIn()
}

// asksToSignIn reports whether the page wants a name or a password.
func (b *browser) asksToSignIn() bool {
	for _, f := range b.forms() {
		if f.user != "" || f.password != "" {
			return true
		}
	}
	return false
}

// signIn types name and password for as long as it is asked for them.
func (b *browser) signIn(login, password string) *arrival {
	b.t.Helper()
	for range 4 {
		filled := false
		for _, f := range b.forms() {
			if f.user == "" && f.password == "" {
				continue
			}
			if f.user != "" {
				f.values.Set(f.user, login)
			}
			if f.password != "" {
				f.values.Set(f.password, password)
				b.logins++
			}
			filled = true
			if home := b.submit(f); home != nil {
				return home
			}
			break
		}
		if !filled {
			break
		}
	}
	b.t.Fatalf("signed in, and not back at the application: %s", b)
	return nil
}

func (b *browser) submit(f form) *arrival {
	b.t.Helper()
	to, err := b.at.Parse(f.action)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.send(http.MethodPost, to.String(), f.values)
}

// links are the addresses of the page's links whose words begin like that.
func (b *browser) links(words string) (all []*url.URL) {
	for _, m := range link.FindAllStringSubmatch(b.body, -1) {
		if !strings.HasPrefix(strings.TrimSpace(html.UnescapeString(tag.ReplaceAllString(m[2], ""))), words) {
			continue
		}
		u, err := b.at.Parse(attributes(" " + m[1])["href"])
		if err != nil {
			b.t.Fatal(err)
		}
		all = append(all, u)
	}
	return all
}

// frames are the addresses of the page's iframes.
func (b *browser) frames() (all []*url.URL) {
	for _, tag := range iframe.FindAllString(b.body, -1) {
		u, err := b.at.Parse(attributes(tag)["src"])
		if err != nil {
			b.t.Fatal(err)
		}
		all = append(all, u)
	}
	return all
}

// String is what the browser shows.
func (b *browser) String() string {
	return b.at.Path + ": " + strings.Join(strings.Fields(html.UnescapeString(tag.ReplaceAllString(b.body, " "))), " ")
}
