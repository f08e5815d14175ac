package org

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/keys"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/policy"
	"latchkey.dev/internal/strict"
)

// A File is org.yaml: what the organisation is to be, except for people. Each object is said in full, so a key
// that is left out has its default.
type File struct {
	Servers        []Server        `yaml:"servers,omitempty" json:"servers,omitempty"`
	Authenticators []Authenticator `yaml:"authenticators,omitempty" json:"authenticators,omitempty"`
	Groups         []Group         `yaml:"groups,omitempty" json:"groups,omitempty"`
	Apps           []App           `yaml:"apps,omitempty" json:"apps,omitempty"`

	name  string       // of the file
	lines strict.Lines // of every key in it
}

// A Server is an authorization server: {origin}/oauth2/{id}; the one with the id org is the origin itself.
type Server struct {
	ID           string   `yaml:"id" json:"id"`
	Audience     string   `yaml:"audience,omitempty" json:"audience,omitempty"` // that of org is its issuer
	AccessToken  Span     `yaml:"access_token" json:"access_token"`
	IDToken      Span     `yaml:"id_token" json:"id_token"`
	RefreshToken Refresh  `yaml:"refresh_token" json:"refresh_token"`
	Scopes       []string `yaml:"scopes,flow" json:"scopes"`
	Claims       []Claim  `yaml:"claims,omitempty" json:"claims,omitempty"`
	Rules        []Rule   `yaml:"rules,omitempty" json:"rules,omitempty"` // none: every application may use it
}

// A Claim is one that an authorization server adds to its tokens: something of the user, or a text.
type Claim struct {
	Name  string            `yaml:"name" json:"name"`
	In    []oauth.TokenKind `yaml:"in,flow" json:"in"`
	Scope string            `yaml:"scope,omitempty" json:"scope,omitempty"`
	User  oauth.Attribute   `yaml:"user,omitempty" json:"user,omitempty"`
	Text  string            `yaml:"text,omitempty" json:"text,omitempty"`
}

func (c Claim) String() string {
	said := fmt.Sprintf("%s in %v", c.Name, c.In)
	if c.Scope != "" {
		said += " with " + c.Scope
	}
	if c.User != "" {
		return said + " = user " + string(c.User)
	}
	return fmt.Sprintf("%s = %q", said, c.Text)
}

// A Rule opens an authorization server to some applications, by some grants, for some scopes.
type Rule struct {
	Apps       []oauth.ClientID  `yaml:"apps,omitempty" json:"apps,omitempty"`
	GrantTypes []oauth.GrantType `yaml:"grant_types,omitempty,flow" json:"grant_types,omitempty"`
	Scopes     []string          `yaml:"scopes,omitempty,flow" json:"scopes,omitempty"`
}

func (r Rule) String() string {
	return fmt.Sprintf("apps %v by %v for %v", r.Apps, r.GrantTypes, r.Scopes)
}

// Refresh is how long refreshing can go on.
type Refresh struct {
	Idle     Span `yaml:"idle" json:"idle"`
	Absolute Span `yaml:"absolute" json:"absolute"`
	Grace    Span `yaml:"grace,omitempty" json:"grace,omitempty"` // in which a used one gets the same successor again
}

// A Span is a duration as people write it: 15m, 168h.
type Span time.Duration

func (s Span) String() string {
	text := time.Duration(s).String()
	if cut, ok := strings.CutSuffix(text, "m0s"); ok {
		text = cut + "m"
	}
	if cut, ok := strings.CutSuffix(text, "h0m"); ok {
		text = cut + "h"
	}
	return text
}

// Kind is what one looks like.
func (Span) Kind() string { return "a time like 15m or 168h" }

// UnmarshalText takes what people write.
func (s *Span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	*s = Span(d)
	return err
}

// MarshalText writes a Span in files and answers.
func (s Span) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// An Authenticator is a kind of proof that people can be asked for.
type Authenticator struct {
	Kind    ident.Kind     `yaml:"kind" json:"kind"`
	Key     string         `yaml:"key,omitempty" json:"key,omitempty"` // what clients dispatch on
	Methods []ident.Method `yaml:"methods,omitempty,flow" json:"methods,omitempty"`
}

// A Group is a set of users that has a name.
type Group struct {
	Name        string    `yaml:"name" json:"name"`
	Description string    `yaml:"description,omitempty" json:"description,omitempty"`
	Members     *[]string `yaml:"members,omitempty" json:"members,omitempty"` // logins, all of them; not there: as they are
}

// Type says whether an application can keep a secret.
type Type string

// The types of RFC 6749 2.1.
const (
	Public       Type = "public"
	Confidential Type = "confidential"
)

// An App is an application: a client of OAuth, and what its sign-ins ask for.
type App struct {
	ID                     string            `yaml:"id,omitempty" json:"id,omitempty"` // not there: found by its name
	Name                   string            `yaml:"name" json:"name"`
	Type                   Type              `yaml:"type" json:"type"`
	Disabled               bool              `yaml:"disabled,omitempty" json:"disabled,omitempty"`
	GrantTypes             []oauth.GrantType `yaml:"grant_types,omitempty,flow" json:"grant_types"`
	RedirectURIs           []string          `yaml:"redirect_uris,omitempty" json:"redirect_uris"`
	PostLogoutURIs         []string          `yaml:"post_logout_redirect_uris,omitempty" json:"post_logout_redirect_uris,omitempty"`
	Origins                []string          `yaml:"origins,omitempty" json:"origins,omitempty"`
	Scopes                 []string          `yaml:"scopes,omitempty,flow" json:"scopes"`
	Policy                 Policy            `yaml:"policy" json:"policy"`
	AuthenticateAtInteract *bool             `yaml:"authenticate_at_interact,omitempty" json:"authenticate_at_interact,omitempty"`
	SecretDigests          []string          `yaml:"secret_digests,omitempty" json:"secret_digests,omitempty"` // not there: as they are
	Keys                   KeySet            `yaml:"keys,omitempty" json:"keys,omitempty"`                     // what it signs with, in place of a secret
	BindTokens             bool              `yaml:"dpop_bound_access_tokens,omitempty" json:"dpop_bound_access_tokens,omitempty"`
	FrontChannelLogout     string            `yaml:"frontchannel_logout_uri,omitempty" json:"frontchannel_logout_uri,omitempty"`
	BackChannelLogout      string            `yaml:"backchannel_logout_uri,omitempty" json:"backchannel_logout_uri,omitempty"`
	RequirePushed          bool              `yaml:"require_pushed_authorization_requests,omitempty" json:"require_pushed_authorization_requests,omitempty"`
}

// A KeySet is a JWK set of public keys, as JSON. In a file it may also stand as YAML, of which JSON is a part.
type KeySet string

// TakeWhole implements [strict.Whole].
func (k *KeySet) TakeWhole(json []byte) { *k = KeySet(json) }

// Policy is what an application's sign-ins ask for.
type Policy struct {
	Require         []ident.Kind `yaml:"require,flow" json:"require"`
	Offer           []ident.Kind `yaml:"offer,omitempty,flow" json:"offer,omitempty"`
	IdentifierFirst bool         `yaml:"identifier_first,omitempty" json:"identifier_first,omitempty"`
}

// Founding is what an organisation has that was never told otherwise: two authorization servers (default, and the organisation's own),
// passwords and phones. That is nobody's name and nobody's secret (S-06).
func Founding() File {
	return File{
		Servers: each(oauth.FoundingServers(), serverOf),
		Authenticators: []Authenticator{
			Authenticator{Kind: ident.Password}.whole(),
			Authenticator{Kind: ident.Phone}.whole(),
		},
	}
}

// Read reads org.yaml. The error is [strict.Problems]: all that can be wrong with a file by itself.
func Read(name string, text []byte) (File, error) {
	f := File{name: name}
	p := &strict.Problems{File: name}
	if err := strict.Read(text, &f, p); err != nil {
		return f, err
	}
	f.lines = p.Lines
	if len(p.All) == 0 {
		f.defaults()
		f.check(p)
	}
	return f, p.Err()
}

// Marshal writes the file.
func (f File) Marshal() ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(f); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}

// defaults fills in what objects leave out.
func (f *File) defaults() {
	for i := range f.Servers {
		f.Servers[i] = f.Servers[i].whole()
	}
	for i := range f.Authenticators {
		f.Authenticators[i] = f.Authenticators[i].whole()
	}
	for i := range f.Apps {
		f.Apps[i] = f.Apps[i].whole()
	}
}

func (s Server) whole() Server {
	d := oauth.DefaultServer()
	if s.Audience == "" && s.ID != oauth.OrgServer {
		s.Audience = "api://" + s.ID
	}
	for _, span := range []struct {
		is *Span
		of time.Duration
	}{{&s.AccessToken, d.Access}, {&s.IDToken, d.IDToken}, {&s.RefreshToken.Idle, d.Refresh}, {&s.RefreshToken.Absolute, d.Absolute}} {
		if *span.is == 0 {
			*span.is = Span(span.of)
		}
	}
	if len(s.Scopes) == 0 {
		s.Scopes = d.Scopes
	}
	return s
}

func serverOf(s oauth.Server) Server {
	return Server{ID: s.ID, Audience: s.Audience, AccessToken: Span(s.Access), IDToken: Span(s.IDToken),
		RefreshToken: Refresh{Span(s.Refresh), Span(s.Absolute), Span(s.Grace)}, Scopes: s.Scopes,
		Claims: each(s.Claims, func(c oauth.Claim) Claim { return Claim(c) }), Rules: each(s.Rules, func(r oauth.Rule) Rule { return Rule(r) })}
}

// each turns a list of one type into a list of another; none stays none.
func each[A, B any](all []A, into func(A) B) (done []B) {
	for _, a := range all {
		done = append(done, into(a))
	}
	return done
}

func (s Server) server() oauth.Server {
	return oauth.Server{ID: s.ID, Audience: s.Audience, Access: time.Duration(s.AccessToken), IDToken: time.Duration(s.IDToken),
		Refresh: time.Duration(s.RefreshToken.Idle), Absolute: time.Duration(s.RefreshToken.Absolute), Grace: time.Duration(s.RefreshToken.Grace), Scopes: s.Scopes,
		Claims: each(s.Claims, func(c Claim) oauth.Claim { return oauth.Claim(c) }), Rules: each(s.Rules, func(r Rule) oauth.Rule { return oauth.Rule(r) })}
}

// proofs are the kinds of proof there are, with the key that clients know each by and how it is used.
var proofs = []Authenticator{
	{ident.Password, "okta_password", []ident.Method{ident.MethodPassword}},
	{ident.Phone, "phone_number", []ident.Method{ident.MethodSMS}},
}

func (a Authenticator) whole() Authenticator {
	for _, p := range proofs {
		if p.Kind != a.Kind {
			continue
		}
		if a.Key == "" {
			a.Key = p.Key
		}
		if len(a.Methods) == 0 {
			a.Methods = slices.Clone(p.Methods)
		}
	}
	return a
}

func authenticatorOf(a ident.Authenticator) Authenticator {
	return Authenticator{Kind: a.Kind, Key: a.Key, Methods: a.Methods}
}

func (a Authenticator) authenticator(id ident.AuthenticatorID) ident.Authenticator {
	return ident.Authenticator{ID: id, Kind: a.Kind, Key: a.Key, Methods: a.Methods}
}

func (a App) whole() App {
	if len(a.GrantTypes) == 0 {
		a.GrantTypes = []oauth.GrantType{oauth.InteractionCode, oauth.RefreshToken}
	}
	if len(a.Scopes) == 0 && !a.service() {
		a.Scopes = []string{oauth.ScopeOpenID, oauth.ScopeProfile, oauth.ScopeEmail}
	}
	if a.AuthenticateAtInteract == nil && a.Type == Confidential {
		yes := true
		a.AuthenticateAtInteract = &yes
	}
	if theirs, err := keys.ParseTheirs(string(a.Keys)); err == nil {
		a.Keys = KeySet(theirs.String()) // one spelling, so that applying it again changes nothing
	}
	for i, d := range a.SecretDigests {
		a.SecretDigests[i] = strings.ToLower(d)
	}
	return a
}

// AppOf says of a client what a file would, its digests included.
func AppOf(c oauth.Client) App {
	a := App{
		ID: string(c.ID), Name: c.Label, Type: Public, Disabled: c.Disabled, GrantTypes: c.Grants, RedirectURIs: c.Redirects,
		PostLogoutURIs: c.PostLogout, Origins: c.Origins, Scopes: c.Scopes, Policy: Policy(c.Policy),
		Keys: KeySet(c.Keys), RequirePushed: c.RequiresPAR, BindTokens: c.BindsTokens,
		FrontChannelLogout: c.FrontChannelLogout, BackChannelLogout: c.BackChannelLogout,
	}
	if c.Confidential() {
		at := c.AuthenticatesAtInteract
		a.Type, a.AuthenticateAtInteract = Confidential, &at
	}
	for _, d := range c.SecretDigests {
		a.SecretDigests = append(a.SecretDigests, fmt.Sprintf("%x", d[:]))
	}
	return a
}

// onto changes a client into what the file says. Secrets are another matter.
func (a App) onto(c oauth.Client) oauth.Client {
	c.Label, c.Disabled, c.Grants, c.Redirects = a.Name, a.Disabled, a.GrantTypes, a.RedirectURIs
	c.PostLogout, c.Origins, c.Scopes, c.Policy = a.PostLogoutURIs, a.Origins, a.Scopes, policy.Policy(a.Policy)
	c.Keys, c.RequiresPAR, c.BindsTokens = string(a.Keys), a.RequirePushed, a.BindTokens
	c.FrontChannelLogout, c.BackChannelLogout = a.FrontChannelLogout, a.BackChannelLogout
	c.AuthenticatesAtInteract = a.AuthenticateAtInteract != nil && *a.AuthenticateAtInteract
	return c
}
