// Package demo is a small web application whose sign-in is Latchkey's: what your own would look like.
//
// It uses packages idx and signin and nothing else of ours. The whole of it is in this file: [New] makes a client of the
// engine and the sign-in pages, and home asks the pages who is signed in.
package demo

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"latchkey.dev/idx"
	"latchkey.dev/signin"
)

// Config says where the application is and which engine it signs people in with.
type Config struct {
	URL      string // the application as the browser sees it: http://127.0.0.1:4480/app
	Issuer   string // http://127.0.0.1:4480/oauth2/default
	ClientID string // of a public client

	Keys       [][32]byte       // seal cookies; none means fresh ones, and that a restart forgets half-done sign-ins
	HTTPClient *http.Client     // how to reach the engine; nil is over the network
	Now        func() time.Time // nil is the real time
	Logger     *slog.Logger
	Hints      []Hint // where to find what one needs to try it out
}

// A Hint is a line on the home page.
type Hint struct{ Text, Link, URL string }

//go:embed assets
var files embed.FS

var homePage = template.Must(template.ParseFS(files, "assets/home.html"))

type app struct {
	base  string // path of Config.URL
	hints []Hint
	now   func() time.Time
	log   *slog.Logger
	pages *signin.Pages
}

// New makes the application. It serves everything from the path of Config.URL down.
func New(cfg Config) (http.Handler, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	a := &app{base: strings.TrimRight(u.Path, "/"), hints: cfg.Hints, now: cfg.Now, log: cfg.Logger}
	if a.now == nil {
		a.now = time.Now
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}

	root := strings.TrimRight(cfg.URL, "/")
	options := []idx.ClientOption{idx.WithClock(a.now), idx.WithLogger(a.log)}
	if cfg.HTTPClient != nil {
		options = append(options, idx.WithHTTPClient(cfg.HTTPClient))
	}
	client, err := idx.New(idx.Config{
		Issuer:      cfg.Issuer,
		ClientID:    cfg.ClientID,
		RedirectURI: root + "/callback",
		Scopes:      []string{"openid", "profile", "email", "phone"},
	}, options...)
	if err != nil {
		return nil, err
	}
	a.pages, err = signin.New(signin.Config{
		Client:      client,
		URL:         root + "/signin",
		AppName:     "Latchkey sample",
		AfterSignIn: a.base + "/",
		Keys:        cfg.Keys,
		Now:         a.now,
		Logger:      a.log,
	})
	if err != nil {
		return nil, err
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET "+a.base+"/{$}", a.home)
	mux.HandleFunc("GET "+a.base+"/style.css", a.style)
	mux.HandleFunc("GET "+a.base+"/callback", a.pages.Callback)
	mux.Handle(a.base+"/signin", a.pages)
	mux.Handle(a.base+"/signin/", a.pages)
	return mux, nil
}

// A line is one fact about who is signed in.
type line struct{ What, Is string }

// home shows who is signed in, or how to become that.
func (a *app) home(w http.ResponseWriter, r *http.Request) {
	data := struct {
		Base     string
		SignedIn bool
		Name     string
		Profile  []line
		Tokens   []line
		SignOut  signin.SignOutForm
		Hints    []Hint
	}{Base: a.base, SignOut: a.pages.SignOutForm(r), Hints: a.hints}
	if session, ok := a.pages.Session(r); ok {
		data.SignedIn = true
		data.Name, data.Profile = profile(session.User)
		data.Tokens = a.tokens(session.Tokens)
	}
	var b bytes.Buffer
	if err := homePage.Execute(&b, data); err != nil {
		a.log.Error("demo: home not drawn", "error", err)
		http.Error(w, "500 Internal Server Error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store") // it says who somebody is
	_, _ = w.Write(b.Bytes())
}

// profile is what userinfo said when the person signed in (OpenID Connect Core 5.1).
func profile(u *idx.UserInfo) (name string, lines []line) {
	var c struct {
		Name              string `json:"name"`
		GivenName         string `json:"given_name"`
		PreferredUsername string `json:"preferred_username"`
		Email             string `json:"email"`
		PhoneNumber       string `json:"phone_number"`
		Locale            string `json:"locale"`
		Zoneinfo          string `json:"zoneinfo"`
	}
	_ = json.Unmarshal(u.Claims, &c) // what is not there is not shown
	for _, l := range []line{{"Name", c.Name}, {"Username", c.PreferredUsername}, {"E-mail", c.Email}, {"Phone", lastDigits(c.PhoneNumber)},
		{"Language", c.Locale}, {"Time zone", c.Zoneinfo}, {"Subject", u.Subject}} {
		if l.Is != "" {
			lines = append(lines, l)
		}
	}
	for _, name := range []string{c.GivenName, c.Name, c.PreferredUsername} {
		if name != "" {
			return name, lines
		}
	}
	return u.Subject, lines
}

// lastDigits shows no more of a phone number than its owner needs to know it by.
func lastDigits(number string) string {
	if len(number) < 8 {
		return ""
	}
	return "•••• " + number[len(number)-4:]
}

// tokens says what the sign-in yielded, without showing any of it.
func (a *app) tokens(t *idx.Tokens) []line {
	var c struct {
		AMR      []string `json:"amr"`
		AuthTime int64    `json:"auth_time"`
	}
	_ = json.Unmarshal(t.Claims, &c)
	left := t.Expiry.Sub(a.now()).Round(time.Minute)
	access := "expired"
	if left > 0 {
		access = fmt.Sprintf("%d min left", int(left.Minutes()))
	}
	lines := []line{{"Access token", access}, {"Scopes", t.Scope}, {"Proved with", strings.Join(c.AMR, ", ")}}
	if c.AuthTime > 0 {
		lines = append(lines, line{"Signed in at", time.Unix(c.AuthTime, 0).UTC().Format("15:04:05 UTC")})
	}
	return lines
}

func (a *app) style(w http.ResponseWriter, r *http.Request) {
	css, err := files.ReadFile("assets/style.css")
	if err != nil {
		panic(err) // it is embedded
	}
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(css)
}
