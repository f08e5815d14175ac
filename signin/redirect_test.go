package signin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// No parameter leads off the application: where somebody goes is configured, and nothing they were sent with changes it.
func TestS45_NoParameterLeadsAway(t *testing.T) {
	s := newSite(t, newFake(t))
	p := s.person(t)
	p.http.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Host != strings.TrimPrefix(s.URL, "http://") {
			t.Errorf("sent to %s", r.URL)
			return http.ErrUseLastResponse
		}
		return nil
	}
	away := url.Values{}
	for _, name := range []string{"fromURI", "next", "redirect", "redirect_uri", "return_to", "post_logout_redirect_uri", "url", "to"} {
		away.Set(name, "https://evil.example/")
	}
	press := func(button string, typed map[string]string) {
		t.Helper()
		action, values := p.form(button, typed)
		for name := range away {
			values.Set(name, "https://evil.example/")
		}
		p.post(action+"?"+away.Encode(), values)
		if strings.Contains(p.body, "evil.example") {
			t.Errorf("%s shows where it was to lead", p.at.Path)
		}
	}
	p.open("/app/signin?" + away.Encode())
	press("Sign in", bob())
	press("Send", nil)
	press("Verify", map[string]string{"credentials.passcode": "424242"})
	p.sentTo("/app/")
	p.open("/app/signin?" + away.Encode())
	press("Sign out", nil)
	p.sentTo("/app/signin/signed-out")
	for _, path := range []string{"/app/signin//evil.example", "/app/signin/%2f%2fevil.example", `/app/signin/\evil.example`, "/app/signin/https:%2f%2fevil.example"} {
		if p.open(path); strings.Contains(p.header.Get("Location"), "evil") || p.status < 400 {
			t.Errorf("%s: %d to %q", path, p.status, p.header.Get("Location"))
		}
	}
}
