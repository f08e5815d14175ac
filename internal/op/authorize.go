package op

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"latchkey.dev/internal/engine"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/secret"
)

// authorize is where a browser begins to sign in (OpenID Connect Core 3.1.2). Who is signed in already goes straight
// back with a code, if what they showed is enough for this application; everybody else goes to the sign-in page.
// Errors travel only to a redirect URI that was found to be the client's, with state and iss (S-64, RFC 9207);
// before that is known the person is told on a page, and goes nowhere.
func (a *API) authorize(c *call) (reply, error) {
	client, err := a.find(c, claim{id: oauth.ClientID(c.params["client_id"])})
	if e := (*oauth.Error)(nil); errors.As(err, &e) {
		return deadEnd(c.speaks(), http.StatusBadRequest, msg.PageUnknownApp), nil
	}
	if err != nil {
		return reply{}, err
	}
	if err := a.within(c, client); err != nil {
		return reply{}, err
	}
	again := reply{status: http.StatusSeeOther, to: c.realm.base + "/v1/authorize?" + c.params.encode()}
	if c.Method == http.MethodPost && c.params["request_uri"] != "" {
		return again, nil // before it is spent
	}
	whole, wrong := a.pushed(c, client)
	if wrong == nil {
		c.params = whole
	}
	back := c.params["redirect_uri"]
	if e := understand(c.Context(), wrong); wrong != nil && back == "" {
		return errorPage(c.speaks(), status(e.said.Code), e.said), nil
	}
	if !client.AllowsRedirect(back) {
		return deadEnd(c.speaks(), http.StatusBadRequest, msg.PageUnknownAddress), nil
	}
	if c.Method == http.MethodPost {
		// A form of another site comes without our cookies. Coming again by itself, the browser brings them.
		return again, nil
	}
	answer, err := reply{}, wrong
	if wrong == nil {
		answer, err = a.enter(c, client)
	}
	if err == nil {
		return answer, nil
	}
	e := understand(c.Context(), err)
	if e.cause != nil {
		a.report(c.Request, &refusal{said: e.said, status: status(e.said.Code), cause: e.cause})
	}
	return respond(c, c.realm.issuer, ending{back, c.params["response_mode"], c.params["state"]}, url.Values{
		"error": {string(e.said.Code)}, "error_description": {e.said.Description},
	}), nil
}

// within counts the request for its client and source (S-52); one without a client is for a page of ours. A client that
// nobody knows was sent away before.
func (a *API) within(c *call, client oauth.Client) error {
	return a.counted(c, client, obs.SourceOf(c.Context()).Address)
}

// counted counts a request that comes from an address, or on behalf of it; without one it counts nothing.
func (a *API) counted(c *call, client oauth.Client, address string) error {
	source := limit.Source(address)
	if a.Count == nil || source == "" {
		return nil
	}
	reading, err := a.Count(c.Context(), cmp.Or(string(client.ID), "here")+" "+source)
	switch {
	case err != nil:
		return fmt.Errorf("counting authorization requests: %w", err)
	case !reading.OK:
		return &refusal{
			said:   &oauth.Error{Code: oauth.TemporarilyUnavailable, Description: msg.Text(msg.English, msg.TooManyRequests)},
			status: http.StatusTooManyRequests, retry: max(reading.Reset, time.Second), limit: reading.Limit,
		}
	}
	return nil
}

// An admission is an authorization request that was found good.
type admission struct {
	flow.Request
	prompt oauth.Prompt
	hint   *oauth.IDToken
}

// admit judges a request whose redirect URI was found to be the client's, wherever it came from: a browser, or the
// client itself ahead of the browser.
func (a *API) admit(c *call, client oauth.Client) (in admission, err error) {
	p := c.params
	switch {
	case p["request"] != "":
		return in, &oauth.Error{Code: oauth.RequestNotSupported, Description: "Request objects are not supported."}
	case p["request_uri"] != "":
		return in, &oauth.Error{Code: oauth.RequestURINotSupported, Description: "Request objects are not supported."}
	case p["registration"] != "":
		return in, &oauth.Error{Code: oauth.RegistrationNotSupported, Description: "Clients are not registered on the way."}
	case p["response_type"] == "":
		return in, invalidRequest("The parameter 'response_type' is missing.")
	case p["response_type"] != "code":
		return in, &oauth.Error{Code: oauth.UnsupportedResponseType, Description: "The only response type is 'code'."}
	case !slices.Contains(oauth.ResponseModes, p["response_mode"]) && p["response_mode"] != "":
		return in, invalidRequest("The response modes are 'query' and 'form_post'.")
	case !client.May(oauth.AuthorizationCode):
		return in, &oauth.Error{Code: oauth.UnauthorizedClient, Description: "The client may not use the grant type 'authorization_code'."}
	}
	if in.prompt, err = oauth.ParsePrompt(p["prompt"]); err != nil {
		return in, err
	}
	if in.Request, err = a.requested(c, client, oauth.AuthorizationCode); err != nil {
		return in, err
	}
	in.hint, err = a.hinted(c)
	switch {
	case err != nil:
		return in, err
	case in.hint == nil && p["id_token_hint"] != "":
		return in, invalidRequest("The 'id_token_hint' is no ID token of this server.")
	case in.hint != nil:
		in.Subject = in.hint.Subject
	}
	in.Mode = p["response_mode"]
	return in, nil
}

// enter lets the browser in whose way back is known: back to the application or on to the pages.
func (a *API) enter(c *call, client oauth.Client) (reply, error) {
	p := c.params
	in, err := a.admit(c, client)
	if err != nil {
		return reply{}, err
	}
	request, prompt, hint := in.Request, in.prompt, in.hint
	session, err := a.session(c)
	if err != nil {
		return reply{}, err
	}
	browser, set := a.browser(c)
	opened, err := a.Engine.Open(c.Context(), engine.Opening{
		Request: request, Session: session, Browser: browser, Silent: prompt.None, Anew: prompt.Login || p["max_age"] != "" && request.MaxAge == 0,
	})
	switch {
	case err != nil:
		return reply{}, err
	case opened.Code != "":
		answer := respond(c, c.realm.issuer, ending{request.Redirect, request.Mode, request.State}, url.Values{"code": {opened.Code.Reveal()}})
		answer.set = set
		return answer, nil
	case opened.Interaction == "" && session.ID != "" && (hint == nil || hint.Subject == session.User):
		return reply{}, &oauth.Error{Code: oauth.InteractionRequired, Description: "The person has to show more than they did."}
	case opened.Interaction == "":
		return reply{}, &oauth.Error{Code: oauth.LoginRequired, Description: "The person is not signed in."}
	case a.SignIn == nil:
		return reply{}, &oauth.Error{
			Code:        oauth.InteractionRequired,
			Description: "This server has no hosted sign-in page. Begin at the interact endpoint and use the grant type 'interaction_code'.",
		}
	}
	handoff := Handoff{
		Interaction: opened.Interaction, AppName: client.Label, Username: p["login_hint"], Target: target(request.Redirect), Languages: p["ui_locales"],
		Back: c.wayBack(opened.Name),
	}
	return reply{set: set, then: func(w http.ResponseWriter, r *http.Request) error { return a.SignIn(w, r, handoff) }}, nil
}

// arrive is where a browser comes from the sign-in page when that is done. It changes nothing: the sign-in made the
// code and the session; here the browser gets them that it was begun in.
func (a *API) arrive(c *call) (reply, error) {
	handle, err := c.params.need("stateToken")
	if err != nil {
		return reply{}, err
	}
	arrival, err := a.Engine.Arrive(c.Context(), secret.Text(handle), a.cookieIn(c, browserCookie))
	if err != nil {
		return c.over(err)
	}
	r := arrival.Request
	if r.Mode == flow.Here {
		answer := reply{status: http.StatusSeeOther, to: r.Redirect}
		if arrival.Session != "" {
			answer.set = append(answer.set, a.cookie(sessionCookie, arrival.Session, 0))
		}
		return answer, nil
	}
	realm, err := a.realms.find(c.Context(), r.Server)
	if err != nil {
		return reply{}, err
	}
	add := url.Values{"code": {arrival.Code.Reveal()}}
	if arrival.Other {
		add = url.Values{"error": {string(oauth.LoginRequired)}, "error_description": {"Somebody else signed in than the one that was asked for."}}
	}
	answer := respond(c, realm.issuer, ending{r.Redirect, r.Mode, r.State}, add)
	if arrival.Session != "" {
		answer.set = append(answer.set, a.cookie(sessionCookie, arrival.Session, 0))
	}
	return answer, nil
}

// An ending is how the application is answered.
type ending struct{ back, mode, state string }

// respond sends the browser to the application, with state and iss (S-64).
func respond(c *call, issuer string, e ending, add url.Values) reply {
	add.Set("state", e.state)
	add.Set("iss", issuer)
	if e.mode == oauth.FormPost {
		return posted(c.speaks(), e.back, add)
	}
	return redirect(c, e.back, add)
}

// named is a host, perhaps with a port, that Content-Security-Policy has a way to name.
var named = regexp.MustCompile(`^[A-Za-z0-9.-]+(:[0-9]{1,5})?$`)

// target is where a redirect URI leads, as Content-Security-Policy names it: the origin, or the scheme of an app. It
// has no way to name an IPv6 address or a host with an underscore, so there the scheme has to do (CSP 3, 2.3.1).
func target(redirect string) string {
	u, err := url.Parse(redirect)
	switch {
	case err != nil:
		return ""
	case (u.Scheme == "http" || u.Scheme == "https") && named.MatchString(u.Host):
		return u.Scheme + "://" + u.Host
	}
	return strings.ToLower(u.Scheme) + ":"
}
