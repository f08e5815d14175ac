package idx

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Tokens are what a sign-in yields. Printing or logging them shows no token; encoding them as JSON, to keep them in a
// session, does.
type Tokens struct {
	AccessToken  string
	RefreshToken string
	IDToken      string
	Type         string // Bearer or DPoP
	Scope        string
	Subject      string // of the verified ID token
	Expiry       time.Time
	Claims       json.RawMessage // of the verified ID token
}

// UserInfo is the profile of the person signed in. Claims holds everything the engine said.
type UserInfo struct {
	Subject string
	Name    string
	Email   string
	Phone   string
	Claims  json.RawMessage
}

// metadata is what we need of the discovery document (OpenID Connect Discovery 3).
type metadata struct {
	Issuer     string `json:"issuer"`
	Token      string `json:"token_endpoint"`
	UserInfo   string `json:"userinfo_endpoint"`
	Keys       string `json:"jwks_uri"`
	Revocation string `json:"revocation_endpoint"`
	EndSession string `json:"end_session_endpoint"`
}

func (c *Client) discover(ctx context.Context) (*metadata, error) {
	return c.core.metadata.get(ctx, func(*metadata) bool { return true }, func() (*metadata, error) {
		at, err := url.Parse(c.core.issuer + "/.well-known/openid-configuration")
		if err != nil {
			return nil, err
		}
		r := request{op: "discovery", method: http.MethodGet, url: at, read: true, header: http.Header{"Accept": {"application/json"}}}
		a, err := c.send(ctx, r)
		if err != nil {
			return nil, err
		}
		m := &metadata{}
		if a.status != http.StatusOK || json.Unmarshal(a.body, m) != nil {
			return nil, c.failure(r, a)
		}
		if m.Issuer != c.core.issuer { // OpenID Connect Discovery 4.3
			return nil, &ServerError{Op: "discovery", Code: "issuer_mismatch", Status: a.status,
				Summary: fmt.Sprintf("the document is of %q", clip(m.Issuer))}
		}
		return m, nil
	})
}

// oauthRequest is a POST by which the client also says who it is.
func (c *Client) oauthRequest(op, endpoint string, form url.Values) (request, error) {
	to, err := c.core.trusts(endpoint)
	if err != nil {
		return request{}, fmt.Errorf("idx: %s: %w", op, err)
	}
	r := request{op: op, method: http.MethodPost, url: to, header: http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}}
	form.Set("client_id", c.core.clientID)
	if c.core.auth != nil {
		if err := c.core.auth.clientAuth(form, r.header, c.core.oauth+"/v1/token", c.core.now()); err != nil {
			return request{}, fmt.Errorf("idx: %s: the client cannot prove itself: %w", op, err)
		}
	}
	r.body = []byte(form.Encode())
	for _, name := range []string{"client_secret", "client_assertion", "code_verifier", "interaction_code", "refresh_token", "token",
		"activation_token", "recovery_token"} {
		if v := form.Get(name); v != "" {
			r.secrets = append(r.secrets, v)
		}
	}
	return r, nil
}

// Exchange spends the interaction code of a successful transaction. The ID token is verified before anything is returned.
func (c *Client) Exchange(ctx context.Context, tx *Transaction) (*Tokens, error) {
	if _, err := c.open(ctx, tx); err != nil {
		return nil, err
	}
	if tx.Status() == StatusSuccess && (tx.doc.code == "" || tx.doc.adopted) {
		return nil, &InputError{Transaction: tx, Step: "token", Reason: "the sign-in was begun by somebody else, who gets its code"}
	}
	if tx.Status() != StatusSuccess {
		return nil, &InputError{Transaction: tx, Step: "token", Reason: "there is no interaction code: the transaction is " + string(tx.Status())}
	}
	return c.redeem(ctx, url.Values{
		"grant_type":       {"interaction_code"},
		"interaction_code": {tx.doc.code},
		"code_verifier":    {tx.doc.verifier},
		"redirect_uri":     {c.core.redirectURI},
	}, expectation{nonce: tx.doc.nonce, maxAge: tx.doc.maxAge, required: openID(c.core.scope)})
}

func openID(scope string) bool { return strings.Contains(" "+scope+" ", " openid ") }

// Refresh trades a refresh token for new tokens, of the scopes it was granted with: naming none asks for those (RFC 6749
// 6), and Config.Scopes may have grown since. If the engine gave no new refresh token, the old one stays good and
// is in the result. An ID token, where one comes along, is verified like the first; compare its Subject with the one you know.
func (c *Client) Refresh(ctx context.Context, refreshToken string) (*Tokens, error) {
	if refreshToken == "" {
		return nil, &InputError{Step: "token", Path: "refresh_token", Reason: "it is empty"}
	}
	t, err := c.redeem(ctx, url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {refreshToken},
	}, expectation{})
	if err == nil && t.RefreshToken == "" {
		t.RefreshToken = refreshToken
	}
	return t, err
}

func (c *Client) redeem(ctx context.Context, form url.Values, want expectation) (*Tokens, error) {
	m, err := c.discover(ctx)
	if err != nil {
		return nil, err
	}
	if openID(c.core.scope) { // before anything is spent: without the keys the answer would be of no use
		if _, err := c.issuerKeys(ctx); err != nil {
			return nil, err
		}
	}
	r, a, err := c.sendProof(ctx, func() (request, error) { return c.oauthRequest("token", m.Token, form) }, "")
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, c.failure(r, a)
	}
	t, err := c.redeemed(ctx, r, a, want)
	return t, afterSteps(err) // whatever it is, the code or token is spent
}

// redeemed reads the answer to a code or token that is now spent.
func (c *Client) redeemed(ctx context.Context, r request, a *answer, want expectation) (*Tokens, error) {
	var got struct {
		AccessToken  string  `json:"access_token"`
		RefreshToken string  `json:"refresh_token"`
		IDToken      string  `json:"id_token"`
		Type         string  `json:"token_type"`
		Scope        string  `json:"scope"`
		ExpiresIn    float64 `json:"expires_in"`
	}
	if json.Unmarshal(a.body, &got) != nil || got.AccessToken == "" {
		return nil, c.failure(r, a)
	}
	if c.core.dpop != nil && !strings.EqualFold(got.Type, "DPoP") {
		return nil, &ServerError{Op: "token", Code: "token_not_bound", Status: a.status, Summary: "the token is not bound to the key"}
	}
	t := &Tokens{AccessToken: got.AccessToken, RefreshToken: got.RefreshToken, IDToken: got.IDToken, Type: got.Type, Scope: got.Scope}
	if n := got.ExpiresIn; n > 0 && n < 1e9 {
		t.Expiry = c.core.now().Add(time.Duration(n * float64(time.Second)))
	}
	if got.IDToken == "" {
		if want.required {
			return nil, fmt.Errorf("%w: there is none", ErrIDToken)
		}
		return t, nil
	}
	want.accessToken = got.AccessToken
	claims, err := c.verify(ctx, got.IDToken, want)
	if err != nil {
		return nil, err
	}
	t.Subject, t.Claims = claims.Subject, claims.raw
	return t, nil
}

// UserInfo reads the profile that the access token of t opens. If t.Subject is known the answer must be about that
// subject (OpenID Connect Core 5.3.2); to ask with a bare access token, pass &Tokens{AccessToken: token}.
func (c *Client) UserInfo(ctx context.Context, t *Tokens) (*UserInfo, error) {
	if t == nil || t.AccessToken == "" {
		return nil, &InputError{Step: "userinfo", Reason: "there is no access token"}
	}
	m, err := c.discover(ctx)
	if err != nil {
		return nil, err
	}
	at, err := c.core.trusts(m.UserInfo)
	if err != nil {
		return nil, fmt.Errorf("idx: userinfo: %w", err)
	}
	r := request{op: "userinfo", method: http.MethodGet, url: at, read: true, secrets: []string{t.AccessToken},
		header: http.Header{"Accept": {"application/json"}, "Authorization": {c.scheme() + " " + t.AccessToken}}}
	_, a, err := c.sendProof(ctx, func() (request, error) { return r, nil }, t.AccessToken)
	if err != nil {
		return nil, err
	}
	var got struct {
		Subject string `json:"sub"`
		Name    string `json:"name"`
		Email   string `json:"email"`
		Phone   string `json:"phone_number"`
	}
	if a.status != http.StatusOK || json.Unmarshal(a.body, &got) != nil || got.Subject == "" {
		return nil, c.bearerFailure(r, a)
	}
	if t.Subject != "" && got.Subject != t.Subject {
		return nil, fmt.Errorf("%w: the profile belongs to another subject", ErrIDToken)
	}
	return &UserInfo{Subject: got.Subject, Name: got.Name, Email: got.Email, Phone: got.Phone, Claims: a.body}, nil
}

func (c *Client) scheme() string {
	if c.core.dpop != nil {
		return "DPoP"
	}
	return "Bearer"
}

// bearerFailure also reads the error where RFC 6750 3 puts it, in the header.
func (c *Client) bearerFailure(r request, a *answer) error {
	e := c.failure(r, a)
	if said := challengeParam(a.header.Get("WWW-Authenticate"), "error"); said != "" {
		e.Code = scrub(said, r.secrets)
		e.Summary = scrub(challengeParam(a.header.Get("WWW-Authenticate"), "error_description"), r.secrets)
	}
	return e
}

// challengeParam finds name="value" in a challenge.
func challengeParam(challenge, name string) string {
	for rest := challenge; ; {
		i := strings.Index(rest, name+`="`)
		if i < 0 {
			return ""
		}
		value := rest[i+len(name)+2:]
		if i == 0 || rest[i-1] == ' ' || rest[i-1] == ',' {
			value, _, _ = strings.Cut(value, `"`)
			return value
		}
		rest = value
	}
}

// Revoke makes an access or refresh token worthless (RFC 7009).
func (c *Client) Revoke(ctx context.Context, token string) error {
	if token == "" {
		return &InputError{Step: "revoke", Path: "token", Reason: "it is empty"}
	}
	m, err := c.discover(ctx)
	if err != nil {
		return err
	}
	r, err := c.oauthRequest("revoke", m.Revocation, url.Values{"token": {token}})
	if err != nil {
		return err
	}
	a, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	if a.status != http.StatusOK {
		return c.failure(r, a)
	}
	return nil
}

// LogoutURL is where to send the browser to end the session at the authorization server (OpenID Connect RP-Initiated
// Logout 2). returnTo and state may be empty.
func (c *Client) LogoutURL(ctx context.Context, idToken, returnTo, state string) (string, error) {
	m, err := c.discover(ctx)
	if err != nil {
		return "", err
	}
	at, err := c.core.trusts(m.EndSession)
	if err != nil {
		return "", fmt.Errorf("idx: logout: %w", err)
	}
	q := at.Query()
	q.Set("client_id", c.core.clientID)
	for name, v := range map[string]string{"id_token_hint": idToken, "post_logout_redirect_uri": returnTo, "state": state} {
		if v != "" {
			q.Set(name, v)
		}
	}
	at.RawQuery = q.Encode()
	return at.String(), nil
}
