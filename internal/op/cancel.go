package op

import (
	"net/http"
	"net/url"

	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/oauth"
)

// cancelAddress is where somebody goes who gives up a sign-in for an application.
const cancelAddress = "/login/cancel"

// wayBack leads there, in the language of the sign-in.
func (c *call) wayBack(name string) string {
	q := url.Values{"flow": {name}}
	if c.params["ui_locales"] != "" {
		q.Set("ui_locales", c.speaks().Lang())
	}
	return cancelAddress + "?" + q.Encode()
}

// cancel sends somebody who gives up back to the application, which is told so (RFC 6749 4.1.2.1). Where that
// is was found to be the client's when the sign-in began, and is kept with it (S-45, S-64). Following a link changes
// nothing (S-41), and a link of another site knows no sign-in.
func (a *API) cancel(c *call) (reply, error) {
	name, err := c.params.need("flow")
	if err != nil {
		return reply{}, err
	}
	r, err := a.Engine.GivenUp(c.Context(), name, a.cookieIn(c, browserCookie))
	if err != nil {
		return c.over(err)
	}
	realm, err := a.realms.find(c.Context(), r.Server)
	if err != nil {
		return reply{}, err
	}
	return respond(c, realm.issuer, ending{r.Redirect, r.Mode, r.State}, url.Values{
		"error": {string(oauth.AccessDenied)}, "error_description": {"The person gave up the sign-in."},
	}), nil
}

// over is the page for a sign-in that is not there any more, or not for this browser.
func (c *call) over(err error) (reply, error) {
	if e := understand(c.Context(), err); e.said.Code != oauth.AccessDenied {
		return reply{}, err
	}
	return deadEnd(c.speaks(), http.StatusForbidden, msg.PageOver), nil
}
