package oauth

import (
	"slices"
)

// AccessTokenType is the one type of token that is exchanged, and exchanged for (RFC 8693 3).
const AccessTokenType = "urn:ietf:params:oauth:token-type:access_token"

// An Actor is who acts with a token on behalf of its subject, and on whose behalf they act in turn (RFC 8693 4.1).
type Actor struct {
	Subject ClientID `json:"sub"`
	Actor   *Actor   `json:"act,omitempty"`
}

// MaxActors is how many may act one behind the other: a token travels in a header.
const MaxActors = 5

// depth counts them.
func (a *Actor) depth() (n int) {
	for ; a != nil; a = a.Actor {
		n++
	}
	return n
}

// Narrower judges what a client asks for in exchange for a token: no more than the token has, than the client may, and
// than the server that issues the new one knows. Nothing asked for means as much as that leaves. Refresh tokens are
// not among it, for they would outlive the token.
func (s Server) Narrower(t AccessToken, c Client, asked string) ([]string, error) {
	may := func(name string) bool {
		return t.Has(name) && slices.Contains(c.Scopes, name) && slices.Contains(s.Scopes, name) && name != ScopeOffline
	}
	if asked == "" {
		left := slices.DeleteFunc(slices.Clone(t.Scopes), func(name string) bool { return !may(name) })
		if len(left) == 0 {
			return nil, &Error{InvalidScope, "Nothing that the token was issued for is allowed for this client there."}
		}
		return left, nil
	}
	scopes, err := ParseScope(asked)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(scopes, func(name string) bool { return !may(name) }) {
		return nil, &Error{InvalidScope, "The requested scope goes beyond that of the token, of this client or of the server."}
	}
	return scopes, nil
}

// Exchanged returns the claims of an access token that is issued for another one: of the same grant, so that it ends with
// it; never longer; and with the client that acts in it.
func (i Issue) Exchanged(t AccessToken, by ClientID) (AccessToken, error) {
	if t.Actor.depth() >= MaxActors {
		return AccessToken{}, &Error{InvalidRequest, "The 'subject_token' has passed through too many hands."}
	}
	n := i.AccessToken()
	n.ID = accessPrefix + i.Unique + "." + string(i.Grant.ID)
	n.Client, n.Actor = by, &Actor{by, t.Actor}
	n.AuthTime, n.ACR = t.AuthTime, t.ACR
	n.Expires = min(n.Expires, t.Expires)
	return n, nil
}
