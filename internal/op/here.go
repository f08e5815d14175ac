package op

import (
	"errors"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"latchkey.dev/internal/device"
	"latchkey.dev/internal/engine"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
)

// Pages of ours that are somebody's own, such as the one that lets a device in, need to know who is there without
// any application having asked. A sign-in for them ends at the page and gives no code.

// hereAddress is where one begins.
const hereAddress = "/login/begin"

// own are the pages that may be come back to.
var own = []string{activation, "/account"}

// signInHere is where a browser goes to sign in and come back to a page of ours, by the rules of a client if it names one.
func signInHere(back string, client oauth.ClientID) string {
	q := url.Values{"back": {back}}
	if client != "" {
		q.Set("client_id", string(client))
	}
	return hereAddress + "?" + q.Encode()
}

// here begins a sign-in for a page of ours. Nothing leads off it: the page is one of few (S-45).
func (a *API) here(c *call) (reply, error) {
	if a.SignIn == nil || a.Sessions == nil {
		return reply{}, errNotFound
	}
	back, ok := ownPage(c.params["back"])
	if !ok {
		return deadEnd(c.speaks(), http.StatusBadRequest, msg.PageNowhere), nil
	}
	client := oauth.Client{}
	if id := oauth.ClientID(c.params["client_id"]); id != "" {
		if !letsIn(back) { // an application may be content with less than a page that is somebody's own
			return reply{}, invalidRequest("No application has rules for that page.")
		}
		var err error
		if client, err = a.find(c, claim{id: id}); err != nil {
			return reply{}, err
		}
	}
	if err := a.within(c, client); err != nil {
		return reply{}, err
	}
	age, err := maxAge(c.params["max_age"])
	if err != nil {
		return reply{}, err
	}
	session, err := a.session(c)
	if err != nil {
		return reply{}, err
	}
	replace := ident.Kind(c.params["replace"])
	if replace != "" && replace != ident.Phone {
		return reply{}, invalidRequest("Nothing but a phone can be set up anew here.")
	}
	browser, set := a.browser(c)
	opened, err := a.Engine.Open(c.Context(), engine.Opening{
		Request: flow.Request{Client: client.ID, Redirect: a.Origin + back, Mode: flow.Here, MaxAge: age, Replace: replace}, Session: session, Browser: browser,
	})
	if errors.Is(err, engine.ErrTooOld) { // sign in, come back to the page that sent us here, and begin again
		return reply{status: http.StatusSeeOther, to: AccountSignIn(back, limit.Recent), set: set}, nil
	}
	if err != nil {
		return reply{}, err
	}
	if opened.Interaction == "" {
		return reply{status: http.StatusSeeOther, to: a.Origin + back, set: set}, nil
	}
	handoff := Handoff{Interaction: opened.Interaction, AppName: client.Label, Languages: c.params["ui_locales"]}
	return reply{set: set, then: func(w http.ResponseWriter, r *http.Request) error { return a.SignIn(w, r, handoff) }}, nil
}

// ownPage reads a path with its query as one of ours, or says that it is none.
func ownPage(back string) (string, bool) {
	u, err := url.Parse(back)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || u.Fragment != "" || strings.ContainsAny(back, "\\") || path.Clean(u.Path) != u.Path {
		return "", false
	}
	for _, page := range own {
		if u.Path == page || strings.HasPrefix(u.Path, page+"/") {
			return u.RequestURI(), true
		}
	}
	return "", false
}

// letsIn reports whether one of our own pages is that on which somebody lets a device into an application.
func letsIn(page string) bool {
	address, _, _ := strings.Cut(page, "?")
	return address == activation
}

// who is the person in the browser that sent a request, as the desk for devices wants to know them.
func (a *API) who(c *call) (device.Person, bool, error) {
	s, err := a.session(c)
	if err != nil || s.ID == "" {
		return device.Person{}, false, err
	}
	return device.PersonOf(s), true, nil
}

// Visitor is the session of the browser that sent a request to the account pages. While it cannot be read there is none:
// whoever signs in anew is told what is the matter.
func (a *API) Visitor(r *http.Request) (session string, ok bool) {
	s, err := a.session(&call{Request: r})
	return s.ID, err == nil && s.ID != ""
}

// OnDevice is a request as it comes from the browser that it says it is (S-27): who has signed in on our pages in it is
// known there, on the account pages too.
func (a *API) OnDevice(r *http.Request) *http.Request {
	return r.WithContext(engine.WithDevice(r.Context(), a.Engine.Device(a.cookieIn(&call{Request: r}, browserCookie))))
}

// Renew gives the browser the value that its session has from now on.
func (a *API) Renew(w http.ResponseWriter, value secret.Text) {
	http.SetCookie(w, a.cookie(sessionCookie, value, 0))
}

// AccountPhone is where somebody sets up another phone, and then comes back to a page.
func AccountPhone(back string) string {
	return signInHere(back, "") + "&replace=" + string(ident.Phone)
}

// AccountSignIn is where the account pages send a browser whose session is not there, or too old for what it wants to do.
func AccountSignIn(back string, age time.Duration) string {
	to := signInHere(back, "")
	if age > 0 {
		to += "&max_age=" + strconv.Itoa(int(age.Seconds()))
	}
	return to
}
