package oauth

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"latchkey.dev/internal/ident"
)

// The beginnings of identifiers. Tokens have no typ header, because okta-jwt-verifier-golang refuses one,
// so the beginning of jti is what tells an access token from an ID token (S-61).
const (
	grantPrefix  = "oar"
	accessPrefix = "AT."
	idPrefix     = "ID."
)

// MaxAge is the longest life that an access or ID token can have; a signing key is kept that long after its last use (S-69).
const MaxAge = time.Hour

// NewGrantID makes a grant's id out of a unique part, which holds no dot.
func NewGrantID(unique string) GrantID { return GrantID(grantPrefix + unique) }

// tokenID makes a jti from which the grant can be told: AT.X for the only access token of the grant
// oarX, and AT.Y.oarX for one of several, when there is a refresh token to get more.
func (g Grant) tokenID(prefix, unique string) string {
	if g.Refreshable() {
		return prefix + unique + "." + string(g.ID)
	}
	return prefix + strings.TrimPrefix(string(g.ID), grantPrefix)
}

// grantOf reverses tokenID.
func grantOf(prefix, jti string) (GrantID, bool) {
	rest, ok := strings.CutPrefix(jti, prefix)
	if !ok || rest == "" {
		return "", false
	}
	if _, grant, several := strings.Cut(rest, "."); several {
		return GrantID(grant), strings.HasPrefix(grant, grantPrefix) && !strings.Contains(grant, ".")
	}
	return NewGrantID(rest), true
}

// An AccessToken is the claims of an access token. Its subject is the login, as clients of a custom
// authorization server expect; the user's id is in uid.
type AccessToken struct {
	Version  int          `json:"ver"`
	ID       string       `json:"jti"`
	Issuer   string       `json:"iss"`
	Audience string       `json:"aud"`
	Issued   int64        `json:"iat"`
	Expires  int64        `json:"exp"`
	Client   ClientID     `json:"cid"`
	User     ident.UserID `json:"uid,omitempty"` // nobody: the client has it by itself
	Scopes   []string     `json:"scp"`
	AuthTime int64        `json:"auth_time,omitempty"`
	ACR      string       `json:"acr,omitempty"`
	Subject  string       `json:"sub"`
	Bound    *Bound       `json:"cnf,omitempty"` // nothing: whoever has the token may use it

	Actor  *Actor         `json:"act,omitempty"` // who holds it on behalf of the user, after an exchange
	Custom map[string]any `json:"-"`             // what the server adds
}

// Bound says by which key a token has to be accompanied (RFC 9449 6.1).
type Bound struct {
	Key string `json:"jkt"`
}

// BoundTo is nothing for no key.
func BoundTo(key string) *Bound {
	if key == "" {
		return nil
	}
	return &Bound{key}
}

// Key is the thumbprint of the key that the token is bound to, or empty.
func (t AccessToken) Key() string {
	if t.Bound == nil {
		return ""
	}
	return t.Bound.Key
}

// An IDToken is the claims of an ID token. Its subject is the user's id, which never changes hands.
type IDToken struct {
	Subject    ident.UserID `json:"sub"`
	Version    int          `json:"ver"`
	Issuer     string       `json:"iss"`
	Audience   ClientID     `json:"aud"`
	Issued     int64        `json:"iat"`
	Expires    int64        `json:"exp"`
	ID         string       `json:"jti"`
	AMR        []string     `json:"amr,omitempty"`
	IDP        string       `json:"idp,omitempty"`
	Nonce      string       `json:"nonce,omitempty"` // only if asked for: okta-jwt-verifier-golang refuses one it did not expect
	AuthTime   int64        `json:"auth_time,omitempty"`
	ACR        string       `json:"acr,omitempty"` // only if asked for
	AccessHash string       `json:"at_hash,omitempty"`
	Session    string       `json:"sid,omitempty"` // OpenID Connect Front-Channel Logout 3

	// What an application shows before it has asked userinfo.
	Name              string `json:"name,omitempty"`
	PreferredUsername string `json:"preferred_username,omitempty"`
	Email             string `json:"email,omitempty"`
	EmailVerified     *bool  `json:"email_verified,omitempty"`

	Groups []string `json:"groups,omitempty"`

	Custom map[string]any `json:"-"` // what the server adds
}

// UserInfo is what userinfo tells. Its subject is that of the ID token: okta-auth-js compares them.
type UserInfo struct {
	Subject           ident.UserID `json:"sub"`
	Name              string       `json:"name,omitempty"`
	Locale            string       `json:"locale,omitempty"`
	Email             string       `json:"email,omitempty"`
	PreferredUsername string       `json:"preferred_username,omitempty"`
	GivenName         string       `json:"given_name,omitempty"`
	FamilyName        string       `json:"family_name,omitempty"`
	Zone              string       `json:"zoneinfo,omitempty"`
	Updated           int64        `json:"updated_at,omitempty"`
	EmailVerified     *bool        `json:"email_verified,omitempty"`
	Phone             string       `json:"phone_number,omitempty"`
	PhoneVerified     *bool        `json:"phone_number_verified,omitempty"`
	Groups            []string     `json:"groups,omitempty"`
}

// ClaimsSupported names every claim that an ID token or userinfo may hold, for discovery.
func ClaimsSupported() []string {
	return []string{
		"iss", "ver", "sub", "aud", "iat", "exp", "jti", "auth_time", "amr", "idp", "nonce", "acr", "at_hash", "sid",
		"name", "preferred_username", "given_name", "family_name", "locale", "zoneinfo", "updated_at",
		"email", "email_verified", "phone_number", "phone_number_verified", "groups",
	}
}

// An Issue is one handing out of tokens: everything their claims are made of.
type Issue struct {
	Server Server
	Issuer string // what Issuer returns
	Org    string // 00o…
	Grant  Grant
	Scopes []string // of these tokens: the grant's, or fewer after a refresh
	User   ident.User
	Groups []string // the names of those that the user is in
	Unique string   // part of the tokens' ids, random, without dots
	Now    time.Time
	Key    string // that the access token is bound to, or empty
	First  bool   // at the code, not at a refresh: then the nonce belongs in (OpenID Connect Core 12.2)
}

// subject is the login; for a client by itself there is nobody but the client.
func (i Issue) subject() string {
	if i.Grant.User == "" {
		return string(i.Grant.Client)
	}
	return i.User.Login
}

// AccessToken returns the claims of the access token.
func (i Issue) AccessToken() AccessToken {
	return AccessToken{
		Version: 1, ID: i.Grant.tokenID(accessPrefix, i.Unique), Issuer: i.Issuer, Audience: i.Server.Audience,
		Issued: i.Now.Unix(), Expires: i.ends(i.Server.Access).Unix(),
		Client: i.Grant.Client, User: i.Grant.User, Scopes: i.Scopes,
		AuthTime: unix(i.Grant.AuthTime), ACR: i.Grant.ACR, Subject: i.subject(), Bound: BoundTo(i.Key),
		Custom: i.custom(InAccess),
	}
}

// IDToken returns the claims of the ID token beside a signed access token.
func (i Issue) IDToken(access string) IDToken {
	t := IDToken{
		Subject: i.Grant.User, Version: 1, Issuer: i.Issuer, Audience: i.Grant.Client,
		Issued: i.Now.Unix(), Expires: i.ends(i.Server.IDToken).Unix(),
		ID: i.Grant.tokenID(idPrefix, i.Unique), AMR: i.Grant.AMR, IDP: i.Org,
		AuthTime: unix(i.Grant.AuthTime), ACR: i.Grant.ACR, AccessHash: accessHash(access), Session: i.Grant.Session,
		Custom: i.custom(InID),
	}
	if i.First {
		t.Nonce = i.Grant.Nonce
	}
	if slices.Contains(i.Scopes, ScopeProfile) {
		t.Name, t.PreferredUsername = i.User.Name(), i.User.Login
	}
	if slices.Contains(i.Scopes, ScopeEmail) && i.User.Email != "" {
		t.Email, t.EmailVerified = i.User.Email, &i.User.EmailVerified
	}
	if slices.Contains(i.Scopes, ScopeGroups) {
		t.Groups = i.Groups
	}
	return t
}

// ends is when a token of this life ends: no token outlives its grant.
func (i Issue) ends(life time.Duration) time.Time {
	end := i.Now.Add(min(life, MaxAge))
	if !i.Grant.Expires.IsZero() && i.Grant.Expires.Before(end) {
		return i.Grant.Expires
	}
	return end
}

// NewUserInfo tells about a user what the scopes allow. The phone is the number the person proved to hold, if any.
func NewUserInfo(u ident.User, phone string, scopes []string) UserInfo {
	info := UserInfo{Subject: u.ID}
	if slices.Contains(scopes, ScopeProfile) {
		info.Name, info.GivenName, info.FamilyName = u.Name(), u.GivenName, u.FamilyName
		info.PreferredUsername, info.Locale, info.Zone, info.Updated = u.Login, u.Locale, u.Zone, unix(u.Updated)
	}
	if slices.Contains(scopes, ScopeEmail) && u.Email != "" {
		info.Email, info.EmailVerified = u.Email, &u.EmailVerified
	}
	if slices.Contains(scopes, ScopePhone) && phone != "" {
		verified := true
		info.Phone, info.PhoneVerified = phone, &verified
	}
	return info
}

// Grant returns the grant that an access token was issued from; false for what is no access token's id.
func (t AccessToken) Grant() (GrantID, bool) { return grantOf(accessPrefix, t.ID) }

// Grant returns the grant that an ID token was issued from; false for what is no ID token's id.
func (t IDToken) Grant() (GrantID, bool) { return grantOf(idPrefix, t.ID) }

// Good judges an access token whose signature was found right: ours, of this server, and not over (S-61).
func (t AccessToken) Good(issuer, audience string, now time.Time) bool {
	_, access := t.Grant()
	return access && t.Issuer == issuer && t.Audience == audience && now.Before(time.Unix(t.Expires, 0))
}

// Good judges an ID token whose signature was found right, over or not.
func (t IDToken) Good(issuer string) bool {
	_, id := t.Grant()
	return id && t.Issuer == issuer && t.Audience != ""
}

// accessHash is the left half of the access token's SHA-256 (OpenID Connect Core 3.1.3.6).
func accessHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

// unix is seconds, and nothing for a time that is not known.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// Has reports whether a scope was granted with the token.
func (t AccessToken) Has(scope string) bool { return slices.Contains(t.Scopes, scope) }
