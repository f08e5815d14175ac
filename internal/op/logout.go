package op

import (
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/keys"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// logout ends the browser's session and sends the browser back to the application (OpenID Connect RP-Initiated
// Logout 1.0). Applications that were entered in the session are told: by the browser, which loads a page of each of
// those that want that (Front-Channel Logout 1.0), and by ourselves (Back-Channel Logout 1.0, see package session).
//
// Only an ID token of the very person who is signed in speaks for itself; without one the person is asked, for any
// page of any site can send a browser here. An application with its own sign-in pages has no session here; it is sent
// back all the same. The way back is open only to a client that is known by its ID token or its id, and only to an
// address that it registered; all others stay on a plain page (S-65).
func (a *API) logout(c *call) (reply, error) {
	hint, err := a.hinted(c)
	if err != nil {
		return reply{}, err
	}
	session, err := a.leavingSession(c, hint)
	if err != nil {
		return reply{}, err
	}
	own := session.ID != "" && a.Sessions.Tells(session, secret.Text(c.params["ticket"]))
	if session.ID != "" && !own && (hint == nil || hint.Subject != session.User) {
		return a.ask(c, session), nil
	}
	var frames []string
	if session.ID != "" {
		if frames, err = a.frames(c, session); err != nil {
			return reply{}, err
		}
		if err := a.Sessions.End(c.Context(), session, "signed out"); err != nil {
			return reply{}, err
		}
	}
	if hint != nil {
		if err := a.loggedOut(c, hint); err != nil {
			return reply{}, err
		}
	}
	answer, err := a.goodbye(c, hint, frames)
	if session.ID != "" {
		answer.set = append(answer.set, a.cookie(sessionCookie, "", -1))
	}
	return answer, err
}

// leavingSession is the session to end: the browser's, or where no cookie comes along the one that the ID token is of, or
// that this went up in: the application cannot know.
func (a *API) leavingSession(c *call, hint *oauth.IDToken) (store.Session, error) {
	session, err := a.session(c)
	if err != nil || session.ID != "" || hint == nil || hint.Session == "" || a.Sessions == nil {
		return session, err
	}
	if session, err = a.Sessions.BySID(c.Context(), hint.Session); session.User != hint.Subject {
		return store.Session{}, err
	}
	return session, err
}

// ask lets the person say that they want to sign out.
func (a *API) ask(c *call, s store.Session) reply {
	values := map[string]string{"ticket": a.Sessions.Ticket(s).Reveal()}
	for _, name := range []string{"id_token_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales"} {
		if c.params[name] != "" {
			values[name] = c.params[name]
		}
	}
	t := c.speaks()
	p := drawn(t, http.StatusOK, askTemplate, struct {
		tongue
		Title, Action string
		Values        map[string]string
	}{t, t.T(msg.PageLeave), c.URL.Path, values})
	form := "'self'"
	if back := target(c.params["post_logout_redirect_uri"]); oauth.CheckRedirect(c.params["post_logout_redirect_uri"]) == nil {
		form += " " + back // where the answer may send the browser
	}
	p.policy = "default-src 'none'; style-src " + hashOf(pageStyle) + "; frame-ancestors 'none'; base-uri 'none'; form-action " + form
	return p
}

var askTemplate = sheet("ask", pageStyle, "", `<p>{{.T "`+string(msg.PageLeaveText)+`"}}</p>
<form method="post" action="{{.Action}}">
{{range $name, $value := .Values}}<input type="hidden" name="{{$name}}" value="{{$value}}">
{{end}}<p><button>{{.T "`+string(msg.PageSignOut)+`"}}</button></p>
</form>
</main>
`)

// frames are the pages of applications that the browser loads so that they end their own sessions.
func (a *API) frames(c *call, s store.Session) (frames []string, err error) {
	entered, err := a.Sessions.Entered(c.Context(), s.ID)
	if err != nil {
		return nil, err
	}
	for _, m := range entered {
		client, err := a.find(c, claim{id: m.Client})
		if err := ours(err); err != nil {
			return nil, err
		}
		if client.FrontChannelLogout == "" {
			continue
		}
		realm, err := a.realms.find(c.Context(), m.Server)
		if err != nil {
			continue // a server that is gone has nobody to speak for it
		}
		frames = append(frames, joined(client.FrontChannelLogout, url.Values{"iss": {realm.issuer}, "sid": {m.SID}}))
	}
	return frames, nil
}

// goodbye sends the browser back if it may go there.
func (a *API) goodbye(c *call, hint *oauth.IDToken, frames []string) (reply, error) {
	back := c.params["post_logout_redirect_uri"]
	if back == "" {
		return farewell(c.speaks(), http.StatusOK, msg.PageClose, "", frames), nil
	}
	client, err := a.leaving(c, hint)
	if err != nil {
		return reply{}, err
	}
	if !client.AllowsPostLogout(back) {
		return farewell(c.speaks(), http.StatusBadRequest, msg.PageStay, "", frames), nil
	}
	state := url.Values{}
	if c.params["state"] != "" {
		state.Set("state", c.params["state"])
	}
	if len(frames) == 0 {
		return redirect(c, back, state), nil
	}
	return farewell(c.speaks(), http.StatusOK, msg.PageReturning, registered(joined(back, state)), frames), nil
}

// farewell is the page after a logout. It loads the applications' pages, and then goes on if there is a way.
func farewell(t tongue, status int, text msg.Key, next template.URL, frames []string) reply {
	p := drawn(t, status, farewellTemplate, struct {
		tongue
		Title, Text string
		Next        template.URL
		Frames      []string
	}{t, t.T(msg.PageLeft), t.T(text), next, frames})
	if len(frames) > 0 {
		var from []string
		for _, f := range frames {
			if origin := target(f); !slices.Contains(from, origin) {
				from = append(from, origin)
			}
		}
		p.policy = pagePolicy + "; frame-src " + strings.Join(from, " ")
	}
	return p
}

var farewellTemplate = sheet("farewell", pageStyle, `{{with .Next}}<meta http-equiv="refresh" content="2;url={{.}}">
{{end}}`, `<p>{{.Text}}</p>
{{with .Next}}<p><a href="{{.}}">{{$.T "`+string(msg.PageGoOn)+`"}}</a></p>
{{end}}{{range .Frames}}<iframe src="{{.}}" hidden title=""></iframe>
{{end}}</main>
`)

// hinted reads the ID token that says who is there. It may be over, but must be ours; any other is as none.
func (a *API) hinted(c *call) (*oauth.IDToken, error) {
	value := c.params["id_token_hint"]
	if value == "" {
		return nil, nil
	}
	token, err := keys.Verify[oauth.IDToken](c.Context(), a.Keys, value)
	if errors.Is(err, keys.ErrInvalid) || err == nil && !token.Good(c.realm.issuer) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &token, nil
}

// leaving returns the client that sent the browser here; nobody, if it is not known or names itself in two ways.
func (a *API) leaving(c *call, hint *oauth.IDToken) (oauth.Client, error) {
	id := oauth.ClientID(c.params["client_id"])
	switch {
	case hint == nil && (id == "" || c.params["id_token_hint"] != ""):
		return oauth.Client{}, nil
	case hint != nil && id != "" && id != hint.Audience:
		return oauth.Client{}, nil
	case hint != nil:
		id = hint.Audience
	}
	client, err := a.find(c, claim{id: id})
	return client, ours(err)
}

func (a *API) loggedOut(c *call, hint *oauth.IDToken) error {
	return a.Store.Update(c.Context(), func(tx store.Tx) error {
		return tx.Record(c.Context(), a.event(c, audit.LoggedOut, true, audit.Event{User: string(hint.Subject), Client: string(hint.Audience)}))
	})
}

// redirect sends a browser to a registered address with parameters added.
func redirect(c *call, to string, add url.Values) reply {
	status := http.StatusFound
	if c.Method == http.MethodPost {
		status = http.StatusSeeOther
	}
	return reply{status: status, to: joined(to, add)}
}

// joined adds parameters to an address; empty ones are left out.
func joined(to string, add url.Values) string {
	for name, values := range add {
		if values[0] == "" {
			add.Del(name)
		}
	}
	if len(add) == 0 {
		return to
	}
	separator := "?"
	if strings.Contains(to, "?") {
		separator = "&"
	}
	return to + separator + add.Encode()
}
