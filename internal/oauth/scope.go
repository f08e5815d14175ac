package oauth

import (
	"slices"
	"strings"
)

// The scopes that mean something to us (OpenID Connect Core 5.4, 11).
const (
	ScopeOpenID  = "openid"
	ScopeProfile = "profile"
	ScopeEmail   = "email"
	ScopePhone   = "phone"
	ScopeGroups  = "groups" // not of a standard; everybody calls it so
	ScopeOffline = "offline_access"
)

// MaxScope is the longest scope parameter that is looked at (S-47).
const MaxScope = 1024

// ParseScope reads a scope parameter: names separated by spaces, each counted once, in the order given.
func ParseScope(s string) ([]string, error) {
	if len(s) > MaxScope {
		return nil, &Error{InvalidScope, "The 'scope' is longer than 1024 bytes."}
	}
	var scopes []string
	for _, name := range strings.Split(s, " ") {
		if strings.ContainsFunc(name, notScope) {
			return nil, &Error{InvalidScope, "The 'scope' holds characters that no scope has."}
		}
		if name != "" && !slices.Contains(scopes, name) {
			scopes = append(scopes, name)
		}
	}
	if len(scopes) == 0 {
		return nil, &Error{InvalidScope, "The 'scope' is missing."}
	}
	return scopes, nil
}

// notScope is everything but the letters of RFC 6749 3.3.
func notScope(r rune) bool { return r < '!' || r > '~' || r == '"' || r == '\\' }

// Grantable judges what a client asks of a server, and by which grant type it is going to get it: one rule has to
// allow both together. Refused as a whole: a client that got less than it asked for without a word would find out at
// the wrong moment (S-57).
func (s Server) Grantable(c Client, by GrantType, asked string) ([]string, error) {
	scopes, err := ParseScope(asked)
	if err != nil {
		return nil, err
	}
	for _, name := range scopes {
		if err := s.grantable(c, name); err != nil {
			return nil, err
		}
	}
	return scopes, s.Permits(c.ID, by, scopes)
}

// grantable judges one scope.
func (s Server) grantable(c Client, name string) error {
	switch {
	case !slices.Contains(s.Scopes, name):
		return &Error{InvalidScope, "One or more scopes are not configured for the authorization server."}
	case !slices.Contains(c.Scopes, name):
		return &Error{InvalidScope, "One or more scopes are not allowed for this client."}
	case name == ScopeOffline && !c.May(RefreshToken):
		return &Error{InvalidScope, "The scope 'offline_access' needs the grant type 'refresh_token', which this client may not use."}
	}
	return nil
}

// ofPeople are the scopes that are about a person, and so nothing for a client that asks for itself.
var ofPeople = []string{ScopeOpenID, ScopeProfile, ScopeEmail, ScopePhone, ScopeGroups, ScopeOffline}

// GrantableAlone judges what a client asks of a server for itself, with nobody signed in (RFC 6749 4.4). There
// are no default scopes: it says what it wants.
func (s Server) GrantableAlone(c Client, asked string) ([]string, error) {
	scopes, err := s.Grantable(c, ClientCredentials, asked)
	if err != nil {
		return nil, err
	}
	for _, name := range scopes {
		if slices.Contains(ofPeople, name) {
			return nil, &Error{InvalidScope, "The scope '" + name + "' is about a person, and with 'client_credentials' there is none."}
		}
	}
	return scopes, nil
}

// May reports whether the client is registered for a grant type.
func (c Client) May(g GrantType) bool { return slices.Contains(c.Grants, g) }

// Left are the scopes of a grant that the client may still have: somebody may have taken one away from it, or from the
// server, since they were granted. What is gone is left out, and the answer says what is left (RFC 6749 5.1).
func (s Server) Left(g Grant, c Client) ([]string, error) {
	left := slices.DeleteFunc(slices.Clone(g.Scopes), func(name string) bool { return s.grantable(c, name) != nil })
	if len(left) == 0 {
		return nil, &Error{InvalidScope, "Nothing is left of what was granted."}
	}
	return left, nil
}

// Narrow judges the scope of a refresh request: nothing means all that is left of the grant, and something means that
// much and no more (RFC 6749 6). What was granted and is gone may be asked for: okta-auth-js asks for all that it got with
// its refresh token, and would be signed out for a scope that somebody took away. It is left out, and the answer says so.
// Without offline_access there is nothing to refresh with.
func (s Server) Narrow(g Grant, c Client, asked string) ([]string, error) {
	left, err := s.Left(g, c)
	if err != nil || !slices.Contains(left, ScopeOffline) {
		return nil, ErrRefresh
	}
	if asked == "" {
		return left, nil
	}
	scopes, err := ParseScope(asked)
	if err != nil {
		return nil, err
	}
	for _, name := range scopes {
		if !slices.Contains(g.Scopes, name) {
			return nil, &Error{InvalidScope, "The requested scope goes beyond what was granted."}
		}
	}
	scopes = slices.DeleteFunc(scopes, func(name string) bool { return !slices.Contains(left, name) })
	if len(scopes) == 0 {
		return nil, &Error{InvalidScope, "Nothing is left of what was asked for."}
	}
	return scopes, nil
}

// Refreshable reports whether refresh tokens belong to the grant.
func (g Grant) Refreshable() bool { return slices.Contains(g.Scopes, ScopeOffline) }
