package oauth

import (
	"encoding/json"
	"slices"
	"strings"

	"latchkey.dev/internal/ident"
)

// OrgServer is the id of the organisation's own authorization server. It has no id on the wire: its issuer is the
// origin, and so is the audience of its access tokens.
const OrgServer = "org"

// FoundingServers are the authorization servers that exist from the start.
func FoundingServers() []Server {
	own := DefaultServer()
	own.ID, own.Audience = OrgServer, ""
	return []Server{DefaultServer(), own}
}

// Issuer is what an authorization server calls itself below an origin.
func Issuer(origin, server string) string {
	if server == OrgServer {
		return origin
	}
	return origin + "/oauth2/" + server
}

// Base is what the endpoints of an authorization server are below: {base}/v1/token.
func Base(origin, server string) string {
	if server == OrgServer {
		return origin + "/oauth2"
	}
	return Issuer(origin, server)
}

// A Rule opens an authorization server to some applications, for some grant types and scopes. An empty list means
// all of them.
type Rule struct {
	Apps       []ClientID
	GrantTypes []GrantType
	Scopes     []string
}

// errRules does not say which rule was missing: that is for the log of whoever made them.
var errRules = &Error{AccessDenied, "The access policy of this authorization server does not allow this client to do that."}

// Permits judges what a client is about to do by the server's rules. One rule must allow all of it, for rules are
// written as sentences: this application, by that grant, these scopes. A server without rules is open to every
// application of the organisation. No scopes are those that
// are not known yet; the grant type always is, or what one rule says of grants could be joined to what another says of
// scopes.
func (s Server) Permits(c ClientID, g GrantType, scopes []string) error {
	allows := func(r Rule) bool {
		return (len(r.Apps) == 0 || slices.Contains(r.Apps, c)) &&
			(len(r.GrantTypes) == 0 || slices.Contains(r.GrantTypes, g)) &&
			(len(r.Scopes) == 0 || !slices.ContainsFunc(scopes, func(name string) bool { return !slices.Contains(r.Scopes, name) }))
	}
	if len(s.Rules) == 0 || slices.ContainsFunc(s.Rules, allows) {
		return nil
	}
	return errRules
}

// A TokenKind is a kind of token that claims can be added to.
type TokenKind string

// The kinds there are.
const (
	InAccess TokenKind = "access"
	InID     TokenKind = "id"
)

// An Attribute is something that is known of a user and may be said in a token. The list is closed: an expression
// language would be a way to say things by mistake.
type Attribute string

// The attributes there are. Groups is a list, all others are texts.
const (
	UserLogin      Attribute = "login"
	UserEmail      Attribute = "email"
	UserGivenName  Attribute = "given_name"
	UserFamilyName Attribute = "family_name"
	UserLocale     Attribute = "locale"
	UserZone       Attribute = "zone"
	UserGroups     Attribute = "groups"
)

// Attributes lists them.
func Attributes() []Attribute {
	return []Attribute{UserLogin, UserEmail, UserGivenName, UserFamilyName, UserLocale, UserZone, UserGroups}
}

// A Claim is one that an authorization server adds to its tokens.
type Claim struct {
	Name  string
	In    []TokenKind
	Scope string    // that must have been granted; empty: always
	User  Attribute // what it says of the user; or empty
	Text  string    // what it says of everybody
}

// always are the claims that no other may take the place of: those that say what a token is, to us and to others.
var always = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "ver", "auth_time", "acr", "amr", "nonce", "azp", "sid", "idp", "at_hash", "c_hash", "s_hash",
	"cid", "uid", "scp", "scope", "client_id", "act", "may_act", "cnf", "events", "typ",
}

// Reserved reports whether a claim's name has a meaning of its own in a kind of token, in whatever case: encoding/json,
// with which we and others read tokens, takes "UID" for uid, and the last one wins.
func Reserved(k TokenKind, name string) bool {
	same := func(ours string) bool { return strings.EqualFold(ours, name) }
	return slices.ContainsFunc(always, same) || k == InID && slices.ContainsFunc(ClaimsSupported(), same)
}

// custom are the claims that the server adds to a token of this kind. What is not known of the user is left out.
func (i Issue) custom(k TokenKind) map[string]any {
	var all map[string]any
	for _, c := range i.Server.Claims {
		if !slices.Contains(c.In, k) || c.Scope != "" && !slices.Contains(i.Scopes, c.Scope) || Reserved(k, c.Name) {
			continue
		}
		if value := c.value(i.User, i.Groups); value != nil {
			if all == nil {
				all = map[string]any{}
			}
			all[c.Name] = value
		}
	}
	return all
}

func (c Claim) value(u ident.User, groups []string) any {
	if c.User == UserGroups {
		if groups == nil {
			return []string{}
		}
		return groups
	}
	text := map[Attribute]string{
		"": c.Text, UserLogin: u.Login, UserEmail: u.Email, UserGivenName: u.GivenName, UserFamilyName: u.FamilyName,
		UserLocale: u.Locale, UserZone: u.Zone,
	}[c.User]
	if text == "" {
		return nil
	}
	return text
}

// SaysGroups reports whether tokens with these scopes hold the user's groups, by their scope or by a claim.
func (s Server) SaysGroups(scopes []string) bool {
	return slices.Contains(scopes, ScopeGroups) || slices.ContainsFunc(s.Claims, func(c Claim) bool {
		return c.User == UserGroups && (c.Scope == "" || slices.Contains(scopes, c.Scope))
	})
}

// ClaimsSupported names every claim that an ID token or userinfo of this server may hold, for discovery.
func (s Server) ClaimsSupported() []string {
	all := ClaimsSupported()
	for _, c := range s.Claims {
		if slices.Contains(c.In, InID) {
			all = append(all, c.Name)
		}
	}
	return all
}

// MarshalJSON writes the claims of the server behind ours.
func (t AccessToken) MarshalJSON() ([]byte, error) {
	type plain AccessToken
	return withClaims(plain(t), t.Custom)
}

// MarshalJSON writes the claims of the server behind ours.
func (t IDToken) MarshalJSON() ([]byte, error) {
	type plain IDToken
	return withClaims(plain(t), t.Custom)
}

// withClaims joins two objects that have no name in common (see [Reserved]).
func withClaims(ours any, custom map[string]any) ([]byte, error) {
	body, err := json.Marshal(ours)
	if err != nil || len(custom) == 0 {
		return body, err
	}
	more, err := json.Marshal(custom)
	if err != nil {
		return nil, err
	}
	return append(append(body[:len(body)-1], ','), more[1:]...), nil
}
