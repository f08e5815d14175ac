// Package signin is ready-made sign-in pages for a Go web application, over package idx.
//
// [New] makes a handler that walks a person through a sign-in, whatever the engine asks on the way, and then keeps a
// session that the application reads with [Pages.Session]. The pages are plain HTML forms that work without scripts;
// with them they are a little nicer. They hold no rules of their own: which step comes next, and whether an answer is
// good, is the engine's business. Steps that the pages have no layout for are drawn from what the engine says about them.
//
// A half-done sign-in rides in a sealed cookie of its own, one per sign-in, and its page carries the cookie's name in
// its address. So two tabs do not mix, a restart of the application or another machine behind the same name loses nothing,
// and an address that somebody else opens shows nothing. The price is one more read of the engine per page ([idx.Sealer]).
//
// Start with [Config]; then answer.go follows one submitted form from the browser to the engine and back.
package signin

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"latchkey.dev/idx"
)

// Config says what the pages are for. URL is required, and either Client or Hosted.
type Config struct {
	Client *idx.Client // the relying party that people sign in to
	URL    string      // where the browser finds these pages, such as https://app.example/signin

	// Hosted makes these the engine's own pages, on its own origin: see [Pages.Begin]. Engine then reaches it, and may be its
	// handler without a socket; nil goes over the network.
	Hosted bool
	Engine http.RoundTripper

	// Account, if set, adds pages on which people look after their account, at /account and below; only hosted ones have them. Visitor tells the
	// session of the browser that sent r; Renew gives the browser another value for it, in an answer that is not written yet. SignIn has somebody sign in and come back to a path: because nobody is signed in,
	// or, if fresh, because that was too long ago for what they want to do; then nothing that was shown before may count.
	Account Account
	Visitor func(r *http.Request) (session string, ok bool)
	Renew   func(w http.ResponseWriter, value string)
	SignIn  func(w http.ResponseWriter, r *http.Request, back string, fresh bool)
	// ChangePhone is where somebody who has just signed in sets up another phone, and comes back to /account/phone.
	ChangePhone string

	// Keys seal the cookies: the first seals, all open. Give the same keys to every process that serves the pages and
	// keep them over restarts. None means a fresh key, and then a restart forgets half-done sign-ins.
	Keys [][32]byte

	AppName string // "to continue to ..."
	Logo    []byte // SVG, PNG, JPEG or WebP; nil is Latchkey's mark
	Accent  string // #rrggbb; text on it and near it is made readable whatever it is

	// RememberDevice shows "Remember this device" where the engine's form has it. Latchkey takes the answer and does
	// nothing with it so far; other engines may.
	RememberDevice bool

	// AfterSignIn and AfterSignOut are where the browser goes then. Empty is a page of ours. Nothing that a request says
	// changes them, so they cannot be turned into an open redirect.
	AfterSignIn, AfterSignOut string

	// OnSignIn, if set, keeps the tokens in place of a session of ours, and answers the browser, usually with a redirect.
	OnSignIn func(w http.ResponseWriter, r *http.Request, t *idx.Tokens, u *idx.UserInfo)
	// FormTargets are the origins that OnSignIn redirects to, if not our own: Content-Security-Policy must allow them.
	FormTargets []string

	Sessions    SessionStore // nil keeps them in memory
	SessionIdle time.Duration
	SessionMax  time.Duration

	// TrustedProxies may say on whose behalf they ask (X-Forwarded-For). Nobody else may.
	TrustedProxies []netip.Prefix
	// ResendAfter is how long the pages count down before they offer another code. Zero is half a minute; negative
	// offers it at once. The engine has its own mind about it.
	ResendAfter time.Duration

	Logger *slog.Logger
	Now    func() time.Time
}

// Pages are the sign-in pages. They serve every path from the path of Config.URL down.
type Pages struct {
	cfg    Config
	client *idx.Client
	sealer *idx.Sealer
	aeads  []cipher.AEAD
	macs   [][32]byte

	origin, base string // of Config.URL
	secure       bool
	cookies      string // what the names of our cookies begin with
	csp          string
	assets       map[string]asset
	assetURLs    map[string]string

	log     *slog.Logger
	now     func() time.Time
	flights flights
	mux     *http.ServeMux
}

// New checks cfg, all of it, and makes the pages. It does no I/O.
func New(cfg Config) (*Pages, error) {
	s := &Pages{cfg: cfg, client: cfg.Client, log: cfg.Logger, now: cfg.Now}
	if cfg.Client == nil && !cfg.Hosted {
		return nil, errors.New("signin: Config.Client is missing")
	}
	if cfg.Client != nil && cfg.Hosted {
		return nil, errors.New("signin: hosted pages have no client of their own: Config.Client")
	}
	if cfg.Account != nil && (!cfg.Hosted || cfg.Visitor == nil || cfg.Renew == nil || cfg.SignIn == nil) {
		return nil, errors.New("signin: Config.Account is for hosted pages, and needs Config.Visitor, Config.Renew and Config.SignIn")
	}
	if err := s.place(cfg.URL); err != nil {
		return nil, err
	}
	if s.cfg.Accent == "" {
		s.cfg.Accent = defaultAccent
	}
	accent, err := parseColour(s.cfg.Accent)
	if err != nil {
		return nil, fmt.Errorf("signin: Config.Accent: %w", err)
	}
	if s.assets, err = newAssets(accent, cfg.Logo); err != nil {
		return nil, err
	}
	s.assetURLs = map[string]string{}
	for name, a := range s.assets {
		s.assetURLs[name] = s.base + "/assets/" + name + "?v=" + a.version
	}
	if err := s.keys(cfg.Keys); err != nil {
		return nil, err
	}
	if s.csp, err = s.policy(); err != nil {
		return nil, err
	}
	if s.cfg.AppName == "" {
		s.cfg.AppName = "Latchkey"
	}
	if s.cfg.Sessions == nil {
		s.cfg.Sessions = NewMemory()
	}
	if s.cfg.SessionIdle == 0 {
		s.cfg.SessionIdle = time.Hour
	}
	if s.cfg.SessionMax == 0 {
		s.cfg.SessionMax = 24 * time.Hour
	}
	if s.cfg.ResendAfter == 0 {
		s.cfg.ResendAfter = 30 * time.Second
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if cfg.Hosted {
		if s.client, err = s.hostedClient(); err != nil {
			return nil, err
		}
	}
	s.routes()
	return s, nil
}

// place takes the address of the pages apart. Plain http is for this machine only: cookies would travel in the clear.
func (s *Pages) place(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("signin: Config.URL %q is not of the form https://host/path", address)
	}
	s.secure = u.Scheme == "https"
	if !s.secure && !loopback(u.Hostname()) {
		return fmt.Errorf("signin: Config.URL %q is http and not on this machine; use https", address)
	}
	s.origin = u.Scheme + "://" + u.Host
	s.base = strings.TrimRight(u.EscapedPath(), "/")
	// Two sets of pages on one host must not open each other's cookies: __Host- wants Path=/, so the name tells them apart.
	sum := sha256.Sum256([]byte(s.base))
	s.cookies = "latchkey-" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:5])) + "-"
	if s.secure {
		s.cookies = "__Host-" + s.cookies
	}
	return nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && ip.IsLoopback()
}

// keys derives one key per purpose, so that what one seals means nothing to another.
func (s *Pages) keys(keys [][32]byte) error {
	if len(keys) == 0 {
		var fresh [32]byte
		_, _ = rand.Read(fresh[:])
		keys = [][32]byte{fresh}
	}
	var forIDX [][32]byte
	for _, key := range keys {
		if key == [32]byte{} {
			return errors.New("signin: Config.Keys holds a key of zeros")
		}
		forIDX = append(forIDX, derive(key, "transaction"))
		note := derive(key, "note")
		block, err := aes.NewCipher(note[:])
		if err != nil {
			return err
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return err
		}
		s.aeads = append(s.aeads, aead)
		s.macs = append(s.macs, derive(key, "browser"))
	}
	var err error
	s.sealer, err = idx.NewSealer(forIDX...)
	return err
}

// policy is the Content-Security-Policy of the pages. form-action also covers where a form's answer redirects to.
func (s *Pages) policy() (string, error) {
	targets := []string{"'self'"}
	for _, address := range append([]string{s.cfg.AfterSignIn, s.cfg.AfterSignOut}, s.cfg.FormTargets...) {
		u, err := url.Parse(address)
		if err != nil || strings.ContainsAny(address, " ;,'\\") || strings.HasPrefix(address, "//") {
			return "", fmt.Errorf("signin: %q is not an address", address)
		}
		if u.Host == "" {
			if address != "" && !strings.HasPrefix(address, "/") {
				return "", fmt.Errorf("signin: %q is neither a path nor an address", address)
			}
			continue
		}
		if origin := u.Scheme + "://" + u.Host; origin != s.origin && !slices.Contains(targets, origin) {
			targets = append(targets, origin)
		}
	}
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; form-action " + strings.Join(targets, " ") +
		"; frame-ancestors 'none'; base-uri 'none'; object-src 'none'", nil
}

// routes is every address of the pages. A page of a sign-in is named by a reference that no fixed word can collide with.
func (s *Pages) routes() {
	s.mux = http.NewServeMux()
	all := map[string]http.HandlerFunc{
		"GET /{$}":           s.entry,
		"GET /{ref}":         s.show,
		"POST /{ref}":        s.guarded(s.answer),
		"POST /new":          s.guarded(s.anew),
		"GET /signed-out":    s.signedOut,
		"GET /assets/{file}": s.asset,
		"GET /{rest...}":     s.missing,
		"GET /new":           s.toEntry, // somebody reloads what was a form's address
	}
	switch {
	case !s.cfg.Hosted:
		maps.Copy(all, map[string]http.HandlerFunc{
			"GET /profile":   s.profile,
			"POST /sign-out": s.guarded(s.signOut),
			"GET /sign-out":  s.toEntry,
		})
	case s.cfg.Account != nil:
		maps.Copy(all, s.accountRoutes())
	}
	for pattern, h := range all {
		s.mux.HandleFunc(pattern, h)
	}
}

// ServeHTTP serves the pages at the path of Config.URL; a request for anything else is 404. Mount it there and below:
//
//	mux.Handle("/signin", pages)
//	mux.Handle("/signin/", pages)
func (s *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.headers(w.Header())
	rest, ours := strings.CutPrefix(r.URL.Path, s.base)
	switch {
	case s.forAccount(r.URL.Path):
		rest, ours = r.URL.Path, true
	case s.forAccount(rest):
		ours = false // they have one address
	}
	if !ours || rest != "" && rest[0] != '/' {
		http.NotFound(w, r)
		return
	}
	if rest == "" {
		rest = "/"
	}
	if rest != "/" && path.Clean(rest) != rest { // or the mux would redirect to a path that is not below ours
		s.missing(w, r)
		return
	}
	inner := *r.URL
	inner.Path, inner.RawPath = rest, ""
	r2 := *s.inItsTongue(r, rest[1:])
	r2.URL = &inner
	s.mux.ServeHTTP(w, &r2)
}

// toEntry sends the browser to where a sign-in begins.
func (s *Pages) toEntry(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, s.entryPath(), http.StatusSeeOther)
}

// entryPath is the path of the first page.
func (s *Pages) entryPath() string {
	if s.base == "" {
		return "/"
	}
	return s.base
}

// speaker is the client speaking for the person behind r, as they are seen from here.
func (s *Pages) speaker(r *http.Request, b browser) *idx.Client {
	u := idx.EndUserFrom(r, s.cfg.TrustedProxies...)
	u.DeviceToken = b.device()
	return s.client.For(u)
}

// patience bounds what a page does with the engine. It does not end with the request: a browser that is told "submit" twice
// drops the first answer, and what the engine did meanwhile must not be lost.
const patience = 25 * time.Second

func patient(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), patience)
}
