package op

import (
	"net/http"
	"strings"

	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// The cookies of a browser that signs in on our own pages: who is signed in in it, and which browser it is. Over
// loopback http, which only dev speaks, no browser takes the prefix (S-39).
func (a *API) cookieName(name string) string {
	if a.secure() {
		return "__Host-latchkey_" + name
	}
	return "latchkey_" + name
}

func (a *API) secure() bool { return strings.HasPrefix(a.Origin, "https:") }

const (
	sessionCookie = "session"
	browserCookie = "browser"
)

// cookie makes one; age 0 lasts as long as the browser runs, and one below ends it.
func (a *API) cookie(name string, value secret.Text, age int) *http.Cookie {
	return &http.Cookie{
		Name: a.cookieName(name), Value: value.Reveal(), Path: "/", MaxAge: age, HttpOnly: true, Secure: a.secure(), SameSite: http.SameSiteLaxMode,
	}
}

// cookieIn returns a cookie's value. One that came twice was not set by us alone, and is none.
func (a *API) cookieIn(c *call, name string) secret.Text {
	all := c.CookiesNamed(a.cookieName(name))
	if len(all) != 1 {
		return ""
	}
	return secret.Text(all[0].Value)
}

// session is who is signed in in the browser; the zero one if nobody is.
func (a *API) session(c *call) (store.Session, error) {
	if a.Sessions == nil {
		return store.Session{}, nil
	}
	return a.Sessions.Find(c.Context(), a.cookieIn(c, sessionCookie))
}

// browser names the browser, and brings the cookie if it has none of ours yet.
func (a *API) browser(c *call) (name secret.Text, set []*http.Cookie) {
	name, known := a.Engine.Browser(a.cookieIn(c, browserCookie))
	if !known {
		set = append(set, a.cookie(browserCookie, name, int(limit.DeviceMemory.Seconds())))
	}
	return name, set
}
