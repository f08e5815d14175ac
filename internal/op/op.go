// Package op is the OpenID provider's face: the OAuth and OpenID endpoints of every authorization server.
//
// Every endpoint is a line of [API.routes]. Its handler gets a [call], decoded and checked, and returns a
// reply or an error; [API.serve] is the only code that sees the ResponseWriter. What is allowed and what
// tokens say is judged by oauth, signatures are made by keys, a sign-in is begun by the engine.
package op

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey.dev/internal/device"
	"latchkey.dev/internal/engine"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/keys"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/org"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// Config is what the face is made of.
type Config struct {
	Store    store.DB
	Keys     *keys.Ring
	Engine   Engine
	Sessions Sessions
	// SignIn hands a browser over to the pages where people sign in; nil: there are none, and sign-ins begin at interact.
	SignIn func(w http.ResponseWriter, r *http.Request, h Handoff) error
	Origin string // https://id.example, without a slash at the end
	Now    func() time.Time
	Log    *slog.Logger
	// Secrets derives what is not stored: the successor of a refresh token.
	Secrets *secret.Keys
	// Count counts an authorization request by its client and source (S-52); nil counts none.
	Count func(ctx context.Context, what string) (limit.Reading, error)

	// Devices is where devices wait; without it, or without pages to sign in at, there is no device grant. CountCode counts
	// codes that were typed by who did it; nil counts none.
	Devices   *device.Desk
	CountCode func(ctx context.Context, what string) (limit.Reading, error)

	Apps *org.Org // where applications register themselves; nil: they do not
}

// Engine runs sign-ins for requests that were checked.
type Engine interface {
	// Begin begins one that the application walks through, and returns its interaction handle.
	Begin(ctx context.Context, r flow.Request) (secret.Text, error)
	// Open begins one that a browser walks through, and Arrive ends it there, unless the person gives it up.
	Open(ctx context.Context, o engine.Opening) (engine.Opened, error)
	Arrive(ctx context.Context, handle, browser secret.Text) (engine.Arrival, error)
	GivenUp(ctx context.Context, name string, browser secret.Text) (flow.Request, error)
	// Browser names the browser that the cookie is of.
	Browser(cookie secret.Text) (name secret.Text, known bool)
	// Device is that browser as guesses are counted by it.
	Device(cookie secret.Text) engine.Device
}

// Sessions are the browsers in which somebody is signed in.
type Sessions interface {
	Find(ctx context.Context, value secret.Text) (store.Session, error)
	BySID(ctx context.Context, sid string) (store.Session, error)
	Entered(ctx context.Context, id string) ([]store.Membership, error)
	End(ctx context.Context, s store.Session, why string) error
	Succeed(ctx context.Context, was, next store.Session) error
	Ticket(s store.Session) secret.Text
	Tells(s store.Session, ticket secret.Text) bool
}

// A Handoff is what the pages have to know of a sign-in that begins.
type Handoff struct {
	Interaction secret.Text // with which it goes on
	AppName     string
	Username    string // login_hint
	Target      string // scheme, or scheme and host, of where the browser goes in the end
	Languages   string // ui_locales
	Back        string // a path of ours, for who gives up; empty where there is nothing to go back to
}

// An API is the face. It is an [http.Handler] for everything below /oauth2/, and for the places below
// /.well-known/ where discovery looks.
type API struct {
	Config
	mux    *http.ServeMux
	realms realms
}

// New makes the face.
func New(c Config) *API {
	a := &API{Config: c, mux: http.NewServeMux()}
	a.realms.api = a
	if a.Log == nil {
		a.Log = slog.New(slog.DiscardHandler)
	}
	for endpoint, route := range a.routes() {
		a.mux.HandleFunc("/oauth2/{server}/"+endpoint, a.serve(route))
		if strings.HasPrefix(endpoint, "v1/") { // the organisation's own server, which has no id on the wire
			a.mux.HandleFunc("/oauth2/"+endpoint, a.serve(route))
		}
	}
	for _, name := range []string{"openid-configuration", "oauth-authorization-server"} {
		a.mux.HandleFunc("/.well-known/"+name, a.serve(route{methods: get, do: a.metadata}))
	}
	a.mux.HandleFunc("/.well-known/oauth-authorization-server/oauth2/{server}", a.serve(route{methods: get, do: a.metadata}))
	a.mux.HandleFunc("/login/token/redirect", a.serve(route{methods: get, do: a.arrive, reader: person, bare: true}))
	a.mux.HandleFunc(cancelAddress, a.serve(route{methods: get, do: a.cancel, reader: person, bare: true}))
	a.mux.HandleFunc(hereAddress, a.serve(route{methods: get, do: a.here, reader: person, bare: true}))
	a.mux.HandleFunc(registration, a.serve(route{methods: post, do: a.register, bare: true, json: true}))
	a.mux.HandleFunc(registration+"/{id}", a.serve(route{methods: []string{http.MethodGet, http.MethodPut, http.MethodDelete}, do: a.registrations, bare: true, json: true}))
	a.mux.HandleFunc(activation, a.serve(route{methods: both, do: a.activate, reader: person, bare: true}))
	a.mux.HandleFunc("/", a.serve(route{}))
	return a
}

// A route is what an endpoint takes and does.
type route struct {
	methods []string
	do      func(*call) (reply, error)
	reader  reader // of its errors
	json    bool   // its body is JSON, which it reads itself
	bare    bool   // it is no server's: whose request it is, is found out later
}

// A reader is who is told what went wrong.
type reader int

const (
	program reader = iota
	person
)

var (
	get  = []string{http.MethodGet, http.MethodHead}
	post = []string{http.MethodPost}
	both = []string{http.MethodGet, http.MethodHead, http.MethodPost}
)

func (a *API) routes() map[string]route {
	return map[string]route{
		".well-known/openid-configuration":       {methods: get, do: a.metadata},
		".well-known/oauth-authorization-server": {methods: get, do: a.metadata},
		"v1/keys":                                {methods: get, do: a.keys},
		"v1/interact":                            {methods: post, do: a.interact},
		"v1/authorize":                           {methods: both, do: a.authorize, reader: person},
		"v1/par":                                 {methods: post, do: a.par},
		"v1/token":                               {methods: post, do: a.token},
		"v1/userinfo":                            {methods: both, do: a.userinfo},
		"v1/introspect":                          {methods: post, do: a.introspect},
		"v1/revoke":                              {methods: post, do: a.revoke},
		"v1/logout":                              {methods: both, do: a.logout, reader: person},
		"v1/device/authorize":                    {methods: post, do: a.deviceAuthorize},
	}
}

// ServeHTTP implements [http.Handler]. A path with detours is nothing of ours: the mux would straighten it
// and send the caller on, with a page that repeats what was asked for (S-49).
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if path.Clean(r.URL.Path) != r.URL.Path {
		a.serve(route{})(w, r)
		return
	}
	a.mux.ServeHTTP(w, r)
}

// Forget drops what is kept in memory of the authorization servers. It is for whoever has just changed them.
func (a *API) Forget() { a.realms.forget() }

// A call is a request as handlers see it.
type call struct {
	*http.Request
	realm  *realm
	params params
	key    string // thumbprint of the key that the caller has proved to have (RFC 9449), or empty
}

// A reply is an answer to be written.
type reply struct {
	status int      // zero is 200
	kind   []string // Content-Type; none for an empty body
	body   []byte
	cache  []string // Cache-Control; none is no-store
	etag   string
	to     string // Location
	page   bool   // for people: with the headers that pages have
	lang   string // of a page
	policy string // Content-Security-Policy of a page that may do more than others
	set    []*http.Cookie
	then   func(http.ResponseWriter, *http.Request) error // writes the answer in our stead
}

// serve wraps a handler: everything that no endpoint may forget.
func (a *API) serve(rt route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, err := a.call(r, rt)
		if err != nil {
			answer = a.refuse(w, r, err, rt.reader)
		}
		if answer.then != nil {
			answer.cookies(w)
			if err = answer.then(w, r); err == nil {
				return
			}
			answer = a.refuse(w, r, err, rt.reader)
		}
		answer.write(w, r)
	}
}

// call decodes a request and hands it to its handler.
func (a *API) call(r *http.Request, rt route) (reply, error) {
	if rt.do == nil {
		return reply{}, errNotFound
	}
	if !slices.Contains(rt.methods, r.Method) {
		return reply{}, notAllowed(rt.methods)
	}
	if rt.reader == person && scripted(r) {
		return reply{}, errScript
	}
	var realm *realm
	if !rt.bare {
		server := r.PathValue("server")
		if server == oauth.OrgServer {
			return reply{}, errNotFound // one server, one issuer
		}
		var err error
		if realm, err = a.realms.find(r.Context(), cmp.Or(server, oauth.OrgServer)); err != nil {
			return reply{}, err
		}
	}
	if rt.json {
		return rt.do(&call{Request: r, realm: realm})
	}
	params, err := read(r)
	if err != nil {
		return reply{}, err
	}
	return rt.do(&call{Request: r, realm: realm, params: params})
}

// scripted reports whether a page of another origin reads this address, or tries to, where a browser should go to it.
// Cookies travel with that as long as the page is of the same site, so that any application could ask for a code of
// another one. Only browsers say both: programs that walk a sign-in like a browser send no more than a mode.
func scripted(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Mode") == "cors" && (r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "")
}

var errScript = &refusal{said: &oauth.Error{Code: oauth.InvalidRequest, Description: "A browser goes to this address; a script cannot read it."}, status: http.StatusForbidden}

// Shared by all answers; nobody may write into them.
var (
	nosniff = []string{"nosniff"}
	noStore = []string{"no-store"}
)

// write is where every answer leaves. Names are spelled as net/http keeps them, which spares it finding out.
func (p reply) write(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h["X-Content-Type-Options"], h["Cache-Control"] = nosniff, noStore
	p.cookies(w)
	if p.cache != nil {
		h["Cache-Control"] = p.cache
	}
	if p.etag != "" {
		h["Etag"] = []string{p.etag}
		if strings.Contains(r.Header.Get("If-None-Match"), p.etag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	if p.kind != nil {
		h["Content-Type"] = p.kind
	}
	if p.to != "" {
		h["Location"] = []string{p.to}
	}
	if p.page {
		h.Set("Content-Security-Policy", cmp.Or(p.policy, pagePolicy))
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Content-Language", p.lang)
		h.Add("Vary", "Accept-Language")
	}
	h["Content-Length"] = []string{strconv.Itoa(len(p.body))} // or net/http cuts anything over 2 KiB into chunks
	w.WriteHeader(cmp.Or(p.status, http.StatusOK))
	if len(p.body) > 0 { // writing nothing would be given a type
		w.Write(p.body) // to a client that has gone there is nobody to tell
	}
}

func (p reply) cookies(w http.ResponseWriter) {
	for _, c := range p.set {
		http.SetCookie(w, c)
	}
}
