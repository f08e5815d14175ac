// Package oauth owns the words and rules of OAuth 2 and OpenID Connect that need no I/O.
//
// Clients and what they may do, redirect and origin matching, PKCE, scopes, what a grant remembers and
// which claims a token carries. Endpoints are in op, signing in keys, state in store.
package oauth

import (
	"slices"
	"time"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/policy"
	"latchkey.dev/internal/secret"
)

// ClientID names a client: 0oa….
type ClientID string

// A GrantType is a way to obtain tokens.
type GrantType string

// The grants there are.
const (
	InteractionCode   GrantType = "interaction_code"
	AuthorizationCode GrantType = "authorization_code"
	RefreshToken      GrantType = "refresh_token"
	ClientCredentials GrantType = "client_credentials"
	DeviceCode        GrantType = "urn:ietf:params:oauth:grant-type:device_code"    // RFC 8628
	TokenExchange     GrantType = "urn:ietf:params:oauth:grant-type:token-exchange" // RFC 8693
)

// A Client is a relying party.
type Client struct {
	ID            ClientID
	Label         string
	SecretDigests []secret.Digest // none: a public client. Several during a rotation.
	Redirects     []string        // exact; 127.0.0.1 and [::1] match any port (RFC 8252 7.3)
	PostLogout    []string
	Origins       []string // trusted origins for CORS
	AnyLoopback   bool     // dev's seeded client: any loopback redirect and origin
	Grants        []GrantType
	Scopes        []string
	Policy        policy.Policy
	// AuthenticatesAtInteract: a confidential client proves itself there too. Off for clients that cannot (okta-idx-golang).
	AuthenticatesAtInteract bool
	Keys                    string        // a JWK set of public keys: the client proves itself by private_key_jwt
	RequiresPAR             bool          // authorization requests of this client are pushed (RFC 9126)
	BindsTokens             bool          // and its tokens are bound to a key (RFC 9449)
	FrontChannelLogout      string        // where the browser tells it that a session ended, or empty
	BackChannelLogout       string        // where we do, or empty
	Registration            secret.Digest // of the token with which it changes what is registered of it; zero: an operator added it
	Disabled                bool
	Created                 time.Time
}

// Confidential reports whether the client has something to prove itself by: a secret, or a key.
func (c Client) Confidential() bool { return len(c.SecretDigests) > 0 || c.Keys != "" }

// TwoFactors reports that nobody gets into any of the clients with a password alone. One that people do not sign in to
// lets nobody in.
func TwoFactors(clients []Client) bool {
	return !slices.ContainsFunc(clients, func(c Client) bool {
		people := c.May(InteractionCode) || c.May(AuthorizationCode) || c.May(DeviceCode)
		return people && !c.Disabled && !c.Policy.TwoFactors()
	})
}

// A Server is one authorization server of the organisation: {origin}/oauth2/{id}, or the origin itself ([OrgServer]).
type Server struct {
	ID       string // default
	Audience string // of its access tokens
	Access   time.Duration
	IDToken  time.Duration
	Refresh  time.Duration // idle
	Absolute time.Duration // of a refresh token's family
	Grace    time.Duration // in which a used refresh token gets the same successor again (S-60)
	Scopes   []string
	Claims   []Claim // beside those that all servers have
	Rules    []Rule  // who may use it, and for what; none: every application, for everything that it may
}

// DefaultServer is the authorization server that applications are meant to use.
func DefaultServer() Server {
	return Server{
		ID: "default", Audience: "api://default",
		Access: 15 * time.Minute, IDToken: time.Hour, Refresh: 7 * 24 * time.Hour, Absolute: 90 * 24 * time.Hour,
		Scopes: []string{"openid", "profile", "email", "phone", "groups", "offline_access"},
	}
}

// MaxGrace is the longest grace period of a used refresh token (S-60).
const MaxGrace = time.Minute

// Forgives reports whether a refresh token that was used may be shown once more: an answer that was lost on its
// way, two windows that refreshed at once.
func (s Server) Forgives(used, now time.Time) bool {
	grace := min(s.Grace, MaxGrace)
	return grace > 0 && !used.IsZero() && now.Before(used.Add(grace))
}

// GrantID names a grant and the family of tokens issued from it: oar….
type GrantID string

// A Grant is what a person allowed a client, once: all tokens of one code and of its refreshes. A grant without a
// user is what a client has by itself (RFC 6749 4.4).
type Grant struct {
	ID       GrantID
	Server   string
	Client   ClientID
	User     ident.UserID
	Scopes   []string
	Nonce    string
	AuthTime time.Time
	AMR      []string
	ACR      string
	Session  string // the browser session it was given in: sid of the ID tokens; empty if there was none
	Key      string // the thumbprint of the key that its code or refresh tokens are bound to (RFC 9449), or empty
	Created  time.Time
	Expires  time.Time // no token of the family outlives it
	Revoked  bool
}

// Knows reports whether s is one of the client's secrets. Digests of random values are compared, in
// constant time each.
func (c Client) Knows(s secret.Text) bool {
	d := secret.DigestOf(secret.ClientSecret, s.Reveal())
	known := false
	for _, own := range c.SecretDigests {
		known = own.Equal(d) || known
	}
	return known
}
