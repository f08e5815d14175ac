package org

import (
	"encoding/hex"
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/keys"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/strict"
)

// A flaw is what is wrong with one field of an object.
type flaw struct{ path, said string }

type flaws []flaw

func (f *flaws) at(path, format string, args ...any) {
	*f = append(*f, flaw{path, fmt.Sprintf(format, args...)})
}

// err is all of them in one sentence, for a prompt.
func (f flaws) err() error {
	if len(f) == 0 {
		return nil
	}
	var all []string
	for _, one := range f {
		all = append(all, one.path+": "+one.said)
	}
	return refuse("%s", strings.Join(all, "; "))
}

// check finds what is wrong with a file, whatever organisation it is for.
func (f File) check(p *strict.Problems) {
	note := func(path string, found flaws) {
		for _, one := range found {
			at := path
			if one.path != "" {
				at += "." + one.path
			}
			p.At(at, "%s", one.said)
		}
	}
	servers, kinds, groups, names, ids := once{}, once{}, once{}, once{}, once{}
	for i, s := range f.Servers {
		path := fmt.Sprintf("servers[%d]", i)
		note(path, append(s.check(), servers.twice("id", s.ID)...))
	}
	for i, a := range f.Authenticators {
		path := fmt.Sprintf("authenticators[%d]", i)
		note(path, append(a.check(), kinds.twice("kind", string(a.Kind))...))
	}
	for i, g := range f.Groups {
		path := fmt.Sprintf("groups[%d]", i)
		folded, _ := ident.FoldGroup(g.Name)
		note(path, append(g.check(), groups.twice("name", folded)...))
	}
	for i, a := range f.Apps {
		path := fmt.Sprintf("apps[%d]", i)
		found := append(a.check(), names.twice("name", foldName(a.Name))...)
		note(path, append(found, ids.twice("id", a.ID)...))
	}
}

// once finds what is said of two objects and can be true of one.
type once map[string]bool

func (o once) twice(path, value string) flaws {
	if value == "" || !o[value] {
		o[value] = true
		return nil
	}
	return flaws{{path, "another one in this file has it already"}}
}

// foldName is how the names of applications are compared.
func foldName(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

var (
	serverID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)
	clientID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{3,99}$`)
	zoneName = regexp.MustCompile(`^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}$`)
	localeIs = regexp.MustCompile(`^[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8}){0,3}$`)
	scopeIs  = regexp.MustCompile(`^[!#-\[\]-~]{1,128}$`) // RFC 6749 3.3
)

func (s Server) check() (found flaws) {
	if !serverID.MatchString(s.ID) {
		found.at("id", "%q is no id: letters, digits, - and _, at most 64", s.ID)
	}
	if s.ID == oauth.OrgServer && s.Audience != "" {
		found.at("audience", "the organisation's own server issues tokens for itself: leave it out")
	}
	if len(s.Audience) > 254 || strings.ContainsFunc(s.Audience, unprintable) {
		found.at("audience", "is longer than 254 characters or cannot be printed")
	}
	for _, life := range []struct {
		path string
		is   Span
		most time.Duration
	}{
		{"access_token", s.AccessToken, oauth.MaxAge}, // S-59
		{"id_token", s.IDToken, oauth.MaxAge},
		{"refresh_token.idle", s.RefreshToken.Idle, time.Duration(s.RefreshToken.Absolute)},
		{"refresh_token.absolute", s.RefreshToken.Absolute, 366 * 24 * time.Hour},
	} {
		if life.is < Span(time.Second) || time.Duration(life.is) > life.most {
			found.at(life.path, "%s is not between 1s and %s", life.is, Span(life.most))
		}
	}
	if grace := s.RefreshToken.Grace; grace < 0 || time.Duration(grace) > oauth.MaxGrace { // S-60
		found.at("refresh_token.grace", "%s is not between 0s and %s", grace, Span(oauth.MaxGrace))
	}
	if !slices.Contains(s.Scopes, oauth.ScopeOpenID) {
		found.at("scopes", "there is no openid among them")
	}
	found = append(found, distinct("scopes", s.Scopes, func(scope string) string {
		if !scopeIs.MatchString(scope) {
			return "is no scope (RFC 6749 3.3)"
		}
		return ""
	})...)
	return append(append(found, s.checkClaims()...), s.checkRules()...)
}

// claimName is what a claim may be called; URIs are for those who share their tokens with others (RFC 7519 4.2).
var claimName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.:/#-]{0,127}$`)

// mostClaims bounds what a token can grow to: it travels in a header.
const mostClaims = 32

func (s Server) checkClaims() (found flaws) {
	if len(s.Claims) > mostClaims {
		found.at("claims", "there are %d: at most %d", len(s.Claims), mostClaims)
	}
	names := once{} // without case, as half of those who read tokens compare them
	for i, c := range s.Claims {
		at := fmt.Sprintf("claims[%d]", i)
		if !claimName.MatchString(c.Name) {
			found.at(at+".name", "%q is no name for a claim: a letter, then letters, digits and _.:/#-, at most 128", c.Name)
		}
		found = append(found, names.twice(at+".name", strings.ToLower(c.Name))...)
		if len(c.In) == 0 {
			found.at(at+".in", "say in which tokens: [access], [id], or both")
		}
		found = append(found, distinct(at+".in", c.In, func(k oauth.TokenKind) string {
			switch {
			case k != oauth.InAccess && k != oauth.InID:
				return "is none of access, id"
			case oauth.Reserved(k, c.Name):
				return "tokens have a claim " + c.Name + " already, which means something else"
			}
			return ""
		})...)
		if c.Scope != "" && !slices.Contains(s.Scopes, c.Scope) {
			found.at(at+".scope", "the server has no scope %q", c.Scope)
		}
		if c.User != "" && !slices.Contains(oauth.Attributes(), c.User) {
			found.at(at+".user", "%q is none of %v", c.User, oauth.Attributes())
		}
		if (c.User == "") == (c.Text == "") {
			found.at(at, "say what it holds: user, something of the user, or text, the same for everybody")
		}
		if utf8.RuneCountInString(c.Text) > 1024 || strings.ContainsFunc(c.Text, unprintable) {
			found.at(at+".text", "is longer than 1024 characters or cannot be printed")
		}
	}
	return found
}

func (s Server) checkRules() (found flaws) {
	for i, r := range s.Rules {
		at := fmt.Sprintf("rules[%d]", i)
		if len(r.Apps)+len(r.GrantTypes)+len(r.Scopes) == 0 {
			found.at(at, "says nothing: name apps, grant_types or scopes")
		}
		found = append(found, distinct(at+".apps", r.Apps, func(id oauth.ClientID) string {
			if !clientID.MatchString(string(id)) {
				return "is no client id; an application is named by its id here, which a stranger cannot choose"
			}
			return ""
		})...)
		found = append(found, distinct(at+".grant_types", r.GrantTypes, grantFlaw)...)
		found = append(found, distinct(at+".scopes", r.Scopes, func(scope string) string {
			if !slices.Contains(s.Scopes, scope) {
				return "is no scope of the server"
			}
			return ""
		})...)
	}
	return found
}

func grantFlaw(g oauth.GrantType) string {
	if slices.Contains(grantTypes, g) {
		return ""
	}
	var all []string
	for _, known := range grantTypes {
		all = append(all, string(known))
	}
	return "is none of " + strings.Join(all, ", ")
}

func (a Authenticator) check() (found flaws) {
	i := slices.IndexFunc(proofs, func(p Authenticator) bool { return p.Kind == a.Kind })
	if i < 0 {
		found.at("kind", "%q is none of %s", a.Kind, kindsThereAre())
		return found
	}
	if a.Key != proofs[i].Key {
		found.at("key", "clients know a %s authenticator as %s, and as nothing else", a.Kind, proofs[i].Key)
	}
	return append(found, distinct("methods", a.Methods, func(m ident.Method) string {
		if !slices.Contains(proofs[i].Methods, m) {
			return fmt.Sprintf("is none of %v", proofs[i].Methods)
		}
		return ""
	})...)
}

func kindsThereAre() string {
	var kinds []string
	for _, p := range proofs {
		kinds = append(kinds, string(p.Kind))
	}
	return strings.Join(kinds, ", ")
}

func (g Group) check() (found flaws) {
	if _, ok := ident.FoldGroup(g.Name); !ok {
		found.at("name", "%q is no name for a group: 1 to %d characters that can be seen", g.Name, ident.MaxName)
	}
	if utf8.RuneCountInString(g.Description) > 1024 || strings.ContainsFunc(g.Description, unprintable) {
		found.at("description", "is longer than 1024 characters or cannot be printed")
	}
	if g.Members == nil {
		return found
	}
	seen := once{}
	for i, login := range *g.Members {
		path := fmt.Sprintf("members[%d]", i)
		folded, ok := ident.FoldLogin(login)
		if !ok {
			found.at(path, "%q is nobody's login", login)
		}
		found = append(found, seen.twice(path, folded)...)
	}
	return found
}

func (a App) check() (found flaws) {
	if a.ID != "" && !clientID.MatchString(a.ID) {
		found.at("id", "%q is no client id: 4 to 100 letters, digits, dots, - and _", a.ID)
	}
	if n := utf8.RuneCountInString(a.Name); n == 0 || n > 100 || strings.TrimSpace(a.Name) != a.Name || strings.ContainsFunc(a.Name, unprintable) {
		found.at("name", "%q is no name: 1 to 100 characters, no spaces around them", a.Name)
	}
	if a.Type != Public && a.Type != Confidential {
		found.at("type", "say public, or confidential for an application that can keep a secret")
	}
	found = append(found, distinct("grant_types", a.GrantTypes, grantFlaw)...)
	if a.Type != Confidential && slices.Contains(a.GrantTypes, oauth.ClientCredentials) {
		found.at("grant_types", "client_credentials is for a confidential application: a public one cannot prove who it is")
	}
	if slices.Contains(a.GrantTypes, oauth.TokenExchange) && a.Type == Public {
		found.at("grant_types", "a public application cannot exchange tokens: it proves nothing")
	}
	if a.signsIn() && len(a.RedirectURIs) == 0 {
		found.at("redirect_uris", "there is none: where shall people go after signing in?")
	}
	found = append(found, distinct("redirect_uris", a.RedirectURIs, redirectFlaw)...)
	found = append(found, distinct("post_logout_redirect_uris", a.PostLogoutURIs, redirectFlaw)...)
	for key, uri := range map[string]string{"frontchannel_logout_uri": a.FrontChannelLogout, "backchannel_logout_uri": a.BackChannelLogout} {
		if flaw := logoutFlaw(uri); uri != "" && flaw != "" {
			found.at(key, "%q %s", uri, flaw)
		}
	}
	found = append(found, distinct("origins", a.Origins, originFlaw)...)
	found = append(found, distinct("scopes", a.Scopes, func(scope string) string {
		switch {
		case !scopeIs.MatchString(scope):
			return "is no scope (RFC 6749 3.3)"
		case scope == oauth.ScopeOffline && !slices.Contains(a.GrantTypes, oauth.RefreshToken):
			return "needs the grant type refresh_token"
		}
		return ""
	})...)
	if !a.service() || len(a.Policy.Require)+len(a.Policy.Offer) > 0 {
		found = append(found, a.Policy.check()...)
	}
	return append(found, a.checkSecrets()...)
}

// grantTypes are those that an application can be registered for.
var grantTypes = []oauth.GrantType{
	oauth.InteractionCode,
	oauth.AuthorizationCode,
	oauth.RefreshToken,
	oauth.ClientCredentials,
	oauth.DeviceCode,
	oauth.TokenExchange,
}

// signsIn reports whether people come back to the application with a code.
func (a App) signsIn() bool {
	return slices.Contains(a.GrantTypes, oauth.InteractionCode) || slices.Contains(a.GrantTypes, oauth.AuthorizationCode)
}

// service reports whether nobody ever signs in to the application.
func (a App) service() bool {
	return slices.Equal(a.GrantTypes, []oauth.GrantType{oauth.ClientCredentials})
}

func (a App) checkSecrets() (found flaws) {
	if a.Type != Confidential && a.AuthenticateAtInteract != nil {
		found.at("authenticate_at_interact", "a public application has nothing to prove itself by")
	}
	if a.Type != Confidential && len(a.SecretDigests) > 0 {
		found.at("secret_digests", "a public application has no secret")
	}
	if a.Keys != "" {
		if _, err := keys.ParseTheirs(string(a.Keys)); err != nil {
			found.at("keys", "%s", err)
		}
		if a.Type != Confidential {
			found.at("keys", "a public application has nothing to prove itself by")
		}
	}
	if len(a.SecretDigests) > 2 {
		found.at("secret_digests", "there are %d: one, or two during a rotation", len(a.SecretDigests))
	}
	for i, d := range a.SecretDigests { // what stands there may be the secret: it is not repeated
		if _, err := digestOf(d); err != nil {
			found.at(fmt.Sprintf("secret_digests[%d]", i), "is no digest of 64 hexadecimal digits; a secret itself does not belong into the file")
		} else if slices.Contains(a.SecretDigests[:i], d) {
			found.at(fmt.Sprintf("secret_digests[%d]", i), "is there twice")
		}
	}
	return found
}

func digestOf(s string) (d secret.Digest, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(d) {
		return d, fmt.Errorf("org: no digest")
	}
	return secret.Digest(b), nil
}

func (p Policy) check() (found flaws) {
	if len(p.Require) == 0 || p.Require[0] != ident.Password {
		found.at("policy.require", "a sign-in begins with the password: say [password], or [password, phone]")
	}
	known := func(k ident.Kind) string {
		if !slices.ContainsFunc(proofs, func(p Authenticator) bool { return p.Kind == k }) {
			return "is none of " + kindsThereAre()
		}
		return ""
	}
	found = append(found, distinct("policy.require", p.Require, known)...)
	return append(found, distinct("policy.offer", p.Offer, func(k ident.Kind) string {
		if slices.Contains(p.Require, k) {
			return "is required already"
		}
		return known(k)
	})...)
}

// distinct judges the items of a list one by one, and finds those that are there twice.
func distinct[T ~string](path string, list []T, judge func(T) string) (found flaws) {
	for i, item := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		if said := judge(item); said != "" {
			found.at(at, "%q %s", string(item), said)
		} else if slices.Contains(list[:i], item) {
			found.at(at, "%q is there twice", string(item))
		}
	}
	return found
}

// redirectFlaw: codes do not travel in the clear, except within one machine (RFC 9700 2.6).
func redirectFlaw(uri string) string {
	if err := oauth.CheckRedirect(uri); err != nil {
		return "cannot be registered: " + err.Error()
	}
	if u, err := url.Parse(uri); err == nil && u.Scheme == "http" && !loopback(u.Hostname()) {
		return "goes over the network without TLS: https, or http to this machine alone"
	}
	return ""
}

// logoutFlaw: a page that a browser loads, or an address that we call.
func logoutFlaw(uri string) string {
	if flaw := redirectFlaw(uri); flaw != "" {
		return flaw
	}
	if u, err := url.Parse(uri); err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return "is no address on the web"
	}
	return ""
}

func originFlaw(origin string) string {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || origin != u.Scheme+"://"+u.Host || origin != strings.ToLower(origin) {
		return "is no origin: https://app.example, without a path, in lower case"
	}
	return ""
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// checkUser judges what is said of a person.
func checkUser(u ident.User) (found flaws) {
	if _, ok := ident.FoldLogin(u.Login); !ok {
		found.at("login", "%q cannot be anybody's: 1 to %d characters without spaces, of one script, none of them invisible", u.Login, ident.MaxName)
	}
	for _, name := range []struct{ path, is string }{{"given_name", u.GivenName}, {"family_name", u.FamilyName}} {
		if utf8.RuneCountInString(name.is) > 100 || strings.ContainsFunc(name.is, unprintable) || !utf8.ValidString(name.is) {
			found.at(name.path, "is longer than 100 characters or cannot be printed")
		}
	}
	if u.Email != "" {
		if a, err := mail.ParseAddress(u.Email); err != nil || a.Address != u.Email || len(u.Email) > 254 || a.Name != "" {
			found.at("email", "%q is no address", u.Email)
		}
	} else if u.EmailVerified {
		found.at("email_verified", "there is no address to be verified")
	}
	if u.Locale != "" && !localeIs.MatchString(u.Locale) {
		found.at("locale", "%q is not like en_US", u.Locale)
	}
	if u.Zone != "" && !zoneName.MatchString(u.Zone) {
		found.at("zoneinfo", "%q is not like Europe/Berlin", u.Zone)
	}
	if !slices.Contains([]ident.Status{ident.Staged, ident.Active, ident.Suspended, ident.Locked}, u.Status) {
		found.at("status", "%q is none of staged, active, suspended, locked", u.Status)
	}
	return found
}
