package op

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/org"
	"latchkey.dev/internal/secret"
)

// registration is where applications register themselves (RFC 7591); below it, each one finds what is registered of it
// (RFC 7592). It belongs to the organisation, so that there is one for all authorization servers.
const registration = "/oauth2/v1/clients"

// A metadata is what an application says of itself. What is not here is ignored (RFC 7591 2), except for what is in
// beyond.
type metadata struct {
	Redirects  []string          `json:"redirect_uris,omitempty"`
	PostLogout []string          `json:"post_logout_redirect_uris,omitempty"`
	Auth       string            `json:"token_endpoint_auth_method,omitempty"`
	Grants     []oauth.GrantType `json:"grant_types,omitempty"`
	Responses  []string          `json:"response_types,omitempty"`
	Name       string            `json:"client_name,omitempty"`
	Scope      string            `json:"scope,omitempty"`
	Keys       json.RawMessage   `json:"jwks,omitempty"`
	Binds      *bool             `json:"dpop_bound_access_tokens,omitempty"`              // RFC 9449 5.2
	Pushes     *bool             `json:"require_pushed_authorization_requests,omitempty"` // RFC 9126 6
	Page       string            `json:"frontchannel_logout_uri,omitempty"`               // Front-Channel Logout 1.0, 2
}

// beyond is what we do not do, and what an application that asks for it must not believe that we do. Addresses in it are
// never looked at: a server that fetches what strangers name can be sent anywhere inside its own network.
var beyond = []string{
	"jwks_uri", "sector_identifier_uri", "request_uris", "request_object_signing_alg", "request_object_encryption_alg",
	"request_object_encryption_enc", "backchannel_logout_uri", "id_token_encrypted_response_alg", "userinfo_signed_response_alg",
	"userinfo_encrypted_response_alg", "introspection_signed_response_alg", "authorization_signed_response_alg", "tls_client_certificate_bound_access_tokens",
}

func badMetadata(said string) error {
	return &oauth.Error{Code: oauth.InvalidClientMetadata, Description: said}
}

// readMetadata reads the body of a registration. The algorithms are those that our tokens are signed by.
func readMetadata(r *http.Request, algorithms []string) (m metadata, err error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return m, badMetadata("The body must be of type application/json.")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return m, badMetadata("The body could not be read.")
	}
	if len(body) > maxBody {
		return m, &refusal{said: &oauth.Error{Code: oauth.InvalidClientMetadata, Description: "The body is longer than 64 KiB."}, status: http.StatusRequestEntityTooLarge}
	}
	var all map[string]json.RawMessage
	if !utf8.Valid(body) || json.Unmarshal(body, &all) != nil || all == nil || len(all) > maxParams {
		return m, badMetadata("The body must be one JSON object.")
	}
	for name, value := range all {
		if string(value) == "null" {
			delete(all, name)
		}
	}
	for _, name := range beyond {
		if _, ok := all[name]; ok {
			return m, badMetadata("'" + name + "' is not supported by this server.")
		}
	}
	if _, ok := all["software_statement"]; ok {
		return m, &oauth.Error{Code: "invalid_software_statement", Description: "This server trusts nobody's software statements."}
	}
	for name, only := range map[string][]string{"subject_type": {"public"}, "id_token_signed_response_alg": algorithms} {
		var value string
		if text, ok := all[name]; ok && (json.Unmarshal(text, &value) != nil || !slices.Contains(only, value)) {
			return m, badMetadata("The only '" + name + "' is " + strings.Join(only, " or ") + ".")
		}
	}
	for name, into := range map[string]any{
		"redirect_uris": &m.Redirects, "post_logout_redirect_uris": &m.PostLogout, "token_endpoint_auth_method": &m.Auth,
		"grant_types": &m.Grants, "response_types": &m.Responses, "client_name": &m.Name, "scope": &m.Scope, "jwks": &m.Keys,
		"dpop_bound_access_tokens": &m.Binds, "require_pushed_authorization_requests": &m.Pushes, "frontchannel_logout_uri": &m.Page,
	} {
		if value, ok := all[name]; ok && json.Unmarshal(value, into) != nil {
			return m, badMetadata("'" + name + "' is of the wrong type.")
		}
	}
	return m, nil
}

func (a *API) readMetadata(c *call) (metadata, error) {
	algorithms, err := a.Keys.Algorithms(c.Context())
	if err != nil {
		return metadata{}, err
	}
	return readMetadata(c.Request, algorithms)
}

// The methods of client authentication, and what registers without saying one (RFC 7591 2).
const (
	authBasic = "client_secret_basic"
	authPost  = "client_secret_post"
	authKeys  = "private_key_jwt"
	authNone  = "none"
)

// app says in the organisation's words what an application says of itself.
func (m *metadata) app() (a org.App, err error) {
	if m.Auth == "" {
		m.Auth = authBasic
	}
	if len(m.Grants) == 0 {
		m.Grants = []oauth.GrantType{oauth.AuthorizationCode}
	}
	if len(m.Responses) == 0 && (slices.Contains(m.Grants, oauth.AuthorizationCode) || slices.Contains(m.Grants, oauth.InteractionCode)) {
		m.Responses = []string{"code"}
	}
	a = org.App{
		Name: m.Name, Type: org.Confidential, GrantTypes: m.Grants, RedirectURIs: m.Redirects, PostLogoutURIs: m.PostLogout,
		BindTokens: m.Binds != nil && *m.Binds, RequirePushed: m.Pushes != nil && *m.Pushes, FrontChannelLogout: m.Page,
	}
	switch m.Auth {
	case authBasic, authPost:
	case authKeys:
		if len(m.Keys) == 0 {
			return a, badMetadata("'private_key_jwt' needs 'jwks'.")
		}
	case authNone:
		if a.Type = org.Public; len(m.Keys) > 0 {
			return a, badMetadata("A client with 'jwks' has something to prove itself by: 'token_endpoint_auth_method' must not be none.")
		}
	default:
		return a, badMetadata("The only methods of client authentication are client_secret_basic, client_secret_post, private_key_jwt and none.")
	}
	if slices.ContainsFunc(m.Responses, func(r string) bool { return r != "code" }) {
		return a, badMetadata("The only response type is 'code'.")
	}
	if m.Scope != "" {
		if a.Scopes, err = oauth.ParseScope(m.Scope); err != nil {
			return a, badMetadata("The 'scope' is not well-formed.")
		}
	}
	a.Keys = org.KeySet(m.Keys)
	return a, nil
}

// register adds the application that asks.
func (a *API) register(c *call) (reply, error) {
	if a.Apps == nil {
		return reply{}, errNotFound
	}
	if err := a.registering(c.Context()); err != nil {
		return reply{}, err
	}
	token, err := registrationToken(c.Request)
	if err != nil {
		return reply{}, err
	}
	m, err := a.readMetadata(c)
	if err != nil {
		return reply{}, err
	}
	app, err := m.app()
	if err != nil {
		return reply{}, refusedMetadata(err)
	}
	if app.Name == "" {
		app.Name = "App " + secret.Random().Reveal()[:8] // names are one application's each
	}
	done, err := a.Apps.Register(c.Context(), token, app, m.Auth == authKeys)
	if err != nil {
		return reply{}, refusedMetadata(err)
	}
	answer := a.registered(done.Client, m.Auth)
	answer.Access = done.Access.Reveal()
	if done.Secret != "" {
		never := int64(0)
		answer.Secret, answer.SecretEnds = done.Secret.Reveal(), &never
	}
	created := jsonReply(answer)
	created.status = http.StatusCreated
	return created, nil
}

// registrations is what an application does with what is registered of it: GET reads, PUT replaces, DELETE ends.
func (a *API) registrations(c *call) (reply, error) {
	if a.Apps == nil {
		return reply{}, errNotFound
	}
	ctx, id := c.Context(), oauth.ClientID(c.PathValue("id"))
	if err := a.registering(ctx); err != nil {
		return reply{}, err
	}
	token, err := registrationToken(c.Request)
	if err != nil {
		return reply{}, err
	}
	client, err := a.Apps.Registration(ctx, id, token)
	if err != nil {
		return reply{}, refusedMetadata(err)
	}
	auth := method(client)
	switch c.Method {
	case http.MethodDelete:
		if err := a.Apps.EndRegistration(ctx, id, token); err != nil {
			return reply{}, refusedMetadata(err)
		}
		return reply{status: http.StatusNoContent}, nil
	case http.MethodPut:
		m, err := a.readMetadata(c)
		if err != nil {
			return reply{}, err
		}
		app, err := m.app()
		if err != nil {
			return reply{}, refusedMetadata(err)
		}
		if app.Name == "" {
			app.Name = client.Label
		}
		app.BindTokens = app.BindTokens || m.Binds == nil && client.BindsTokens
		app.RequirePushed = app.RequirePushed || m.Pushes == nil && client.RequiresPAR
		if client, err = a.Apps.ChangeRegistration(ctx, id, token, app); err != nil {
			return reply{}, refusedMetadata(err)
		}
		auth = m.Auth
	}
	answer := a.registered(client, auth)
	answer.Access = token.Reveal() // RFC 7592 3: it comes with every answer
	return jsonReply(answer), nil
}

// An information is what is registered of an application (RFC 7591 3.2.1).
type information struct {
	ID         oauth.ClientID `json:"client_id"`
	Issued     int64          `json:"client_id_issued_at"`
	Secret     string         `json:"client_secret,omitempty"`
	SecretEnds *int64         `json:"client_secret_expires_at,omitempty"`
	URI        string         `json:"registration_client_uri"`
	Access     string         `json:"registration_access_token"`
	metadata
}

func (a *API) registered(c oauth.Client, auth string) information {
	i := information{ID: c.ID, Issued: c.Created.Unix(), URI: a.Origin + registration + "/" + string(c.ID), metadata: metadata{
		Redirects: c.Redirects, PostLogout: c.PostLogout, Auth: auth, Grants: c.Grants, Name: c.Label, Scope: strings.Join(c.Scopes, " "),
		Binds: &c.BindsTokens, Pushes: &c.RequiresPAR, Page: c.FrontChannelLogout,
	}}
	if c.Keys != "" {
		i.Keys = json.RawMessage(c.Keys)
	}
	if c.May(oauth.AuthorizationCode) || c.May(oauth.InteractionCode) {
		i.Responses = []string{"code"}
	}
	return i
}

// method is how a client authenticates, as far as it can be told: a secret is taken in the header and in the body.
func method(c oauth.Client) string {
	switch {
	case len(c.SecretDigests) > 0:
		return authBasic
	case c.Keys != "":
		return authKeys
	}
	return authNone
}

// registrationToken takes the token from the header.
func registrationToken(r *http.Request) (secret.Text, error) {
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || value == "" {
		return "", &refusal{said: &oauth.Error{Code: oauth.InvalidToken, Description: "Registering needs a token from an operator."}, challenge: "Bearer"}
	}
	return secret.Text(strings.TrimSpace(value)), nil
}

// refusedMetadata says in RFC 7591's words (3.2.2) what the organisation refused.
func refusedMetadata(err error) error {
	var no *org.Refusal
	switch {
	case errors.Is(err, org.ErrRegistrationToken):
		return challenged(&oauth.Error{Code: oauth.InvalidToken, Description: "The registration token is invalid, has expired or was used up."})
	case !errors.As(err, &no):
		return err
	}
	said := strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r < ' ' || r > '~' || r == '\\': // RFC 6749 5.2
			return '?'
		}
		return r
	}, no.Said)
	code := oauth.InvalidClientMetadata
	if strings.HasPrefix(said, "redirect_uris") {
		code = oauth.InvalidRedirectURI
	}
	return &oauth.Error{Code: code, Description: said}
}

// registering counts a request by its source.
func (a *API) registering(ctx context.Context) error {
	source := limit.Source(obs.SourceOf(ctx).Address)
	if a.Count == nil || source == "" {
		return nil
	}
	reading, err := a.Count(ctx, "registration "+source)
	if err != nil {
		return err
	}
	if !reading.OK {
		return &refusal{said: &oauth.Error{Code: oauth.TemporarilyUnavailable, Description: "Too many requests."},
			status: http.StatusTooManyRequests, retry: max(reading.Reset, time.Second), limit: reading.Limit}
	}
	return nil
}
