package oauth

import (
	"net/url"
	"strings"
	"testing"
)

func TestS54_Redirects(t *testing.T) {
	web := Client{Redirects: []string{
		"https://app.example/cb", "https://app.example/cb?tenant=1", "http://127.0.0.1/cb", "http://[::1]:9000/cb", "http://localhost:8080/cb", "com.example.app:/cb",
	}}
	for name, test := range map[string]struct {
		uri  string
		want bool
	}{
		"the very string":                        {"https://app.example/cb", true},
		"with its query":                         {"https://app.example/cb?tenant=1", true},
		"a native app's own scheme":              {"com.example.app:/cb", true},
		"IPv4 loopback, another port":            {"http://127.0.0.1:51004/cb", true},
		"IPv4 loopback, no port":                 {"http://127.0.0.1/cb", true},
		"IPv6 loopback, another port":            {"http://[::1]:51004/cb", true},
		"IPv6 loopback, no port":                 {"http://[::1]/cb", true},
		"localhost, its port":                    {"http://localhost:8080/cb", true},
		"localhost, another port":                {"http://localhost:8081/cb", false},
		"loopback, another path":                 {"http://127.0.0.1:51004/other", false},
		"loopback, a query more":                 {"http://127.0.0.1:51004/cb?x=1", false},
		"loopback over https":                    {"https://127.0.0.1:51004/cb", false},
		"another loopback address":               {"http://127.0.0.2/cb", false},
		"port that is none":                      {"http://127.0.0.1:/cb", false},
		"port of six digits":                     {"http://127.0.0.1:123456/cb", false},
		"loopback as a user's password":          {"http://127.0.0.1:80@evil.example/cb", false},
		"loopback as a label":                    {"http://127.0.0.1.evil.example/cb", false},
		"backslash for a slash":                  {`http://127.0.0.1:80\@evil.example/cb`, false},
		"a slash more":                           {"https://app.example/cb/", false},
		"a path below":                           {"https://app.example/cb/../evil", false},
		"another case":                           {"https://APP.example/cb", false},
		"another scheme":                         {"http://app.example/cb", false},
		"a port that is the default":             {"https://app.example:443/cb", false},
		"a query more":                           {"https://app.example/cb?x=1", false},
		"a fragment":                             {"https://app.example/cb#x", false},
		"an empty fragment":                      {"https://app.example/cb#", false},
		"user information":                       {"https://app.example@evil.example/cb", false},
		"a subdomain":                            {"https://app.example.evil.example/cb", false},
		"encoded otherwise":                      {"https://app.example/%63b", false},
		"a space in front":                       {" https://app.example/cb", false},
		"a line end":                             {"https://app.example/cb\n", false},
		"nothing":                                {"", false},
		"javascript":                             {"javascript:alert(1)", false},
		"longer than 2048 bytes":                 {"https://app.example/cb?" + strings.Repeat("x", 2048), false},
		"loopback is not the prefix it looks":    {"http://127.0.0.1", false},
		"localhost is not an IP loopback":        {"http://localhost/cb", false},
		"an IPv6 loopback written out otherwise": {"http://[0:0:0:0:0:0:0:1]/cb", false},
	} {
		if got := web.AllowsRedirect(test.uri); got != test.want {
			t.Errorf("%s: AllowsRedirect(%q) = %v", name, test.uri, got)
		}
	}
}

func TestAnyLoopback(t *testing.T) {
	dev := Client{AnyLoopback: true}
	for uri, want := range map[string]bool{
		"http://localhost:8080/login/callback": true,
		"http://127.0.0.1:1/":                  true,
		"https://[::1]:8443/cb?x=1":            true,
		"https://LOCALHOST/cb":                 true,
		"http://127.9.9.9/cb":                  true,
		"http://localhost.evil.example/cb":     false,
		"http://localhost@evil.example/cb":     false,
		`http://localhost\.evil.example/cb`:    false,
		"http://evil.example/localhost":        false,
		"http://localhost:8080/cb#fragment":    false,
		"http://0.0.0.0/cb":                    false,
		"ftp://localhost/cb":                   false,
		"http:localhost/cb":                    false,
		"http:///localhost/cb":                 false,
		"http://%6cocalhost/cb":                false,
		"http://192.168.0.1/cb":                false,
	} {
		if got := dev.AllowsRedirect(uri); got != want {
			t.Errorf("AllowsRedirect(%q) = %v", uri, got)
		}
		if got := dev.AllowsPostLogout(uri); got != want {
			t.Errorf("AllowsPostLogout(%q) = %v", uri, got)
		}
	}
}

func TestS42_Origins(t *testing.T) {
	web := Client{Origins: []string{"https://app.example", "http://localhost:8080"}}
	dev := Client{AnyLoopback: true}
	for origin, want := range map[string][2]bool{
		"https://app.example":       {true, false},
		"http://localhost:8080":     {true, true},
		"http://localhost:8081":     {false, true},
		"http://127.0.0.1:3000":     {false, true},
		"https://[::1]":             {false, true},
		"https://app.example/":      {false, false},
		"https://app.example:443":   {false, false},
		"http://localhost:8080/":    {false, false},
		"http://localhost:8080?x":   {false, false},
		"https://evil.example":      {false, false},
		"http://localhost.evil.org": {false, false},
		"null":                      {false, false},
		"":                          {false, false},
	} {
		if got := [2]bool{web.AllowsOrigin(origin), dev.AllowsOrigin(origin)}; got != want {
			t.Errorf("AllowsOrigin(%q) = %v, want %v", origin, got, want)
		}
	}
	if (Client{Origins: []string{"null", ""}}).AllowsOrigin("null") {
		t.Error("the origin null is nobody's, listed or not")
	}
}

func TestCheckRedirect(t *testing.T) {
	for uri, good := range map[string]bool{
		"https://app.example/cb":         true,
		"com.example.app:/cb":            true,
		"com.example.app://auth":         true,
		"https://*.app.example/cb":       false,
		"https://app.example/cb#x":       false,
		"https://user@app.example/cb":    false,
		"https:///cb":                    false,
		"/cb":                            false,
		"data:text/html,x":               false,
		"https://app.exämple/cb":         false,
		"https://app.example/\x00":       false,
		"https://app.example/a b":        false,
		"https://app.example:port/":      false,
		"myapp://cb":                     false,
		"javascript:alert(document.URL)": false,
	} {
		if err := CheckRedirect(uri); (err == nil) != good {
			t.Errorf("CheckRedirect(%q) = %v", uri, err)
		}
	}
}

// FuzzAllowsRedirect: what is let through leads, by the reading of a URL parser that had no say in it, to
// the host of something registered.
func FuzzAllowsRedirect(f *testing.F) {
	for _, seed := range []string{
		"https://app.example/cb", "http://127.0.0.1:1/cb", "http://[::1]:1/cb", "http://127.0.0.1:80@evil.example/cb",
		`http://127.0.0.1\@evil.example/cb`, "http://localhost:1/x?y#z", "http://LOCALHOST", "//evil.example", "com.example.app:/cb",
	} {
		f.Add(seed)
	}
	web := Client{Redirects: []string{"https://app.example/cb", "http://127.0.0.1/cb", "http://[::1]/cb", "com.example.app:/cb"}}
	dev := Client{AnyLoopback: true}
	f.Fuzz(func(t *testing.T, uri string) {
		if !web.AllowsRedirect(uri) && !dev.AllowsRedirect(uri) {
			return
		}
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatalf("%q was let through and is no URI: %v", uri, err)
		}
		if u.User != nil || u.Fragment != "" || strings.ContainsAny(uri, "#\\ \t\r\n*") {
			t.Fatalf("%q was let through", uri)
		}
		host := strings.ToLower(u.Hostname())
		loopback := host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.") || strings.HasPrefix(host, "::ffff:127.") || strings.HasPrefix(host, "::ffff:7f") || strings.Trim(host, "0:") == "1"
		if web.AllowsRedirect(uri) && host != "app.example" && host != "127.0.0.1" && host != "::1" && uri != "com.example.app:/cb" {
			t.Fatalf("%q leads to %q", uri, host)
		}
		if !web.AllowsRedirect(uri) && !loopback {
			t.Fatalf("%q leads to %q", uri, host)
		}
	})
}
