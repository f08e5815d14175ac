package op

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/obs"
)

// authorize is where a browser would begin to sign in. There are no hosted pages yet, so that a good
// request is told to come in by interact; a bad one is told what is wrong with it. Errors travel only to a
// redirect URI that was found to be the client's, with state and iss (S-64, RFC 9207); before that is
// known the person is told on a page, and goes nowhere.
func (a *API) authorize(c *call) (reply, error) {
	client, err := a.find(c, claim{id: oauth.ClientID(c.params["client_id"])})
	if e := (*oauth.Error)(nil); errors.As(err, &e) {
		return errorPage(http.StatusBadRequest, "The application that sent you here is not known to this server."), nil
	}
	if err != nil {
		return reply{}, err
	}
	if err := a.within(c, client); err != nil {
		return reply{}, err
	}
	back := c.params["redirect_uri"]
	if !client.AllowsRedirect(back) {
		return errorPage(http.StatusBadRequest, "The application asked to take you back to an address that is not registered for it."), nil
	}
	e := understand(c.Context(), a.begin(c, client))
	if e.cause != nil {
		a.report(c.Request, &refusal{said: e.said, status: status(e.said.Code), cause: e.cause})
	}
	return redirect(c, back, url.Values{
		"error": {string(e.said.Code)}, "error_description": {e.said.Description},
		"state": {c.params["state"]}, "iss": {c.realm.issuer},
	}), nil
}

// within counts the request for its client and source (S-52). A client that nobody knows was sent away before.
func (a *API) within(c *call, client oauth.Client) error {
	source := limit.Source(obs.SourceOf(c.Context()).Address)
	if a.Count == nil || source == "" {
		return nil
	}
	reading, err := a.Count(c.Context(), string(client.ID)+" "+source)
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

// begin says why the sign-in does not begin.
func (a *API) begin(c *call, client oauth.Client) error {
	p := c.params
	switch {
	case p["request"] != "":
		return &oauth.Error{Code: oauth.RequestNotSupported, Description: "Request objects are not supported."}
	case p["request_uri"] != "":
		return &oauth.Error{Code: oauth.RequestURINotSupported, Description: "Request objects are not supported."}
	case p["response_type"] == "":
		return invalidRequest("The parameter 'response_type' is missing.")
	case p["response_type"] != "code":
		return &oauth.Error{Code: oauth.UnsupportedResponseType, Description: "The only response type is 'code'."}
	case p["response_mode"] != "" && p["response_mode"] != "query":
		return invalidRequest("The only response mode is 'query'.")
	}
	if _, err := a.requested(c, client); err != nil {
		return err
	}
	if p["prompt"] == "none" {
		return &oauth.Error{Code: oauth.LoginRequired, Description: "The person is not signed in."}
	}
	return &oauth.Error{
		Code:        oauth.InteractionRequired,
		Description: "This server has no hosted sign-in page. Begin at the interact endpoint and use the grant type 'interaction_code'.",
	}
}
