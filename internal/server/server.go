// Package server is the house around the faces: what every request meets before it reaches one, and
// every answer on its way out.
//
// [New] makes the handler: request id, true client address, host, sizes, deadline, CORS, headers, one log
// line, and an answer of the right dialect whatever goes wrong. [Serve] runs it on a listener until it is
// asked to stop. What a request means is the faces' business; nothing here knows a sign-in.
package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/secret"
)

// The numbers of S-47 and S-50.
const (
	maxHeader = 64 << 10
	maxBody   = 64 << 10
	deadline  = 15 * time.Second
)

// Config is what the house is made of.
type Config struct {
	Origin   string         // https://id.example: the one address that everything is built from (S-46)
	Loopback bool           // dev: answers to every name of this machine, on any port
	Proxies  []netip.Prefix // whose X-Forwarded-For is believed
	// Clients are those whose pages may call us (S-42). What it returns is used for up to 30 seconds.
	Clients func(context.Context) ([]oauth.Client, error)
	Count   func(ctx context.Context, source string) (limit.Reading, error) // counts a request on IDX (S-52); nil counts none
	Busy    func() bool                                                     // more passwords come than can be hashed (S-85); nil is never
	Admit   func() bool                                                     // one more sign-in may begin (S-85), asked once for each; nil is always
	IDX     http.Handler                                                    // /idp/idx/
	OAuth   http.Handler                                                    // /oauth2/, /.well-known/ and /activate
	Reports http.Handler                                                    // /messages/: what carriers say of messages; nil is nothing
	Pages   http.Handler                                                    // everything else; nil is nothing
	Log     *slog.Logger
	Watch   obs.Watcher  // nil tells nobody
	Tracer  trace.Tracer // nil traces nothing
	Ready   func() bool  // what /readyz says until we stop (S-80, S-82); nil is always

	Requests    int // served at once; zero is 256 for each core
	Connections int // held at once; zero is 10,000
	Neighbours  int // of those, from one source; zero is 200 (S-50)
}

// A Server is the house as a handler.
type Server struct {
	Config
	origin  string // scheme and host of Origin, as browsers spell it
	hosts   []string
	origins *origins
	load    *load
	life    context.Context // ends when we are asked to stop
	stop    context.CancelFunc
}

// New makes the house.
func New(c Config) (*Server, error) {
	u, err := url.Parse(c.Origin)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("server: the origin is a URL like https://id.example")
	}
	if c.Pages == nil {
		c.Pages = http.NotFoundHandler()
	}
	s := &Server{Config: c, origin: u.Scheme + "://" + u.Host, origins: &origins{read: c.Clients, log: c.Log}, load: newLoad(c.Requests, c.Busy, c.Admit)}
	s.life, s.stop = context.WithCancel(context.Background())
	s.hosts = []string{u.Host}
	if standard := map[string]string{"http": "80", "https": "443"}[u.Scheme]; u.Port() == "" {
		s.hosts = append(s.hosts, u.Host+":"+standard)
	} else if u.Port() == standard {
		s.hosts = append(s.hosts, strings.TrimSuffix(u.Host, ":"+standard))
	}
	return s, nil
}

// ForgetOrigins makes the next request read the clients' trusted origins anew.
func (s *Server) ForgetOrigins() { s.origins.forget() }

// Stopping is closed when the server was asked to stop: who makes somebody wait for something that may never
// come lets them go then.
func (s *Server) Stopping() <-chan struct{} { return s.life.Done() }

// faceOf says who answers a path, and in which dialect what goes wrong is told.
func (s *Server) faceOf(path string) (http.Handler, dialect) {
	switch {
	case strings.HasPrefix(path, "/idp/idx/"):
		return s.IDX, idx
	case strings.HasPrefix(path, "/oauth2/"), strings.HasPrefix(path, "/.well-known/"), strings.HasPrefix(path, "/login/"):
		return s.OAuth, oauth2
	case path == "/activate":
		return s.OAuth, page
	case strings.HasPrefix(path, "/messages/") && s.Reports != nil:
		return s.Reports, api
	case path == healthz:
		return http.HandlerFunc(s.health), api
	case path == readyz:
		return http.HandlerFunc(s.readiness), api
	}
	return s.Pages, page
}

// Shared by all answers, which saves an allocation each; nobody may write into them.
var (
	nosniff    = []string{"nosniff"}
	noStore    = []string{"no-store"}
	noReferrer = []string{"no-referrer"}
	strict     = []string{"max-age=31536000"}
)

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	face, d := s.faceOf(r.URL.Path)
	source := s.sourceOf(r)
	a := &answer{ResponseWriter: w, dialect: d, source: source, loopback: s.Loopback}
	h := w.Header()
	h["X-Okta-Request-Id"] = []string{source.RequestID}
	h["X-Content-Type-Options"] = nosniff
	h["Referrer-Policy"] = noReferrer
	if d != page {
		h["Cache-Control"] = noStore // discovery and keys say otherwise themselves
	}
	if strings.HasPrefix(s.origin, "https:") && !s.Loopback {
		h["Strict-Transport-Security"] = strict
	}
	ctx := obs.WithSource(r.Context(), source)
	if d != page { // pages call us in turn, and some wait on purpose
		limited := withDeadline(ctx, deadline)
		defer limited.end()
		ctx = limited
	}
	ctx, a.span = s.span(ctx, r)
	defer s.watched(a, r, began) // after finish, which has the last word
	defer s.finish(ctx, a, r, began)

	if !s.answersTo(r.Host) {
		a.refuse(http.StatusMisdirectedRequest) // S-46
		return
	}
	if (d == idx || d == oauth2) && s.allow(ctx, h, r) {
		a.WriteHeader(http.StatusNoContent)
		return
	}
	if status := s.judge(a, r); status != 0 {
		a.refuse(status)
		return
	}
	r = r.WithContext(ctx)
	if d == idx && !s.within(a, r) {
		return
	}
	if d == idx || d == oauth2 {
		if !s.load.enter(begins(r.URL.Path)) {
			h.Set("Retry-After", "2")
			a.refuse(http.StatusServiceUnavailable)
			return
		}
		defer s.load.leave()
	}
	a.request = r
	face.ServeHTTP(a, r)
	if a.status == 0 {
		a.WriteHeader(http.StatusOK) // nothing was written, which is an answer too
	}
}

// judge returns the status of what is refused before any face sees it, or zero.
func (s *Server) judge(a *answer, r *http.Request) int {
	switch {
	case sizeOf(r.Header) > maxHeader:
		return http.StatusRequestHeaderFieldsTooLarge // S-47
	case r.Method == http.MethodTrace || r.Method == http.MethodConnect:
		a.Header().Set("Allow", "GET, HEAD, POST")
		return http.StatusMethodNotAllowed // S-49
	case !clean(r.URL.Path):
		return http.StatusNotFound // S-49
	case compressed(r.Header):
		return http.StatusUnsupportedMediaType // S-47
	case r.ContentLength > maxBody:
		return http.StatusRequestEntityTooLarge // S-47
	case r.ContentLength < 0 && r.Body != nil:
		if r.ProtoMajor == 1 {
			// A Content-Length beside the chunks is dropped before we see it. Somebody in front of us may have
			// gone by it, so nothing behind this request is believed to be one (S-50, RFC 9112 6.1).
			a.Header().Set("Connection", "close")
		}
		return gather(r)
	}
	return 0
}

// clean reports whether a path has no parts to be left out. A mux would answer others with a redirect, which
// no client of ours follows and which repeats what was sent.
func clean(p string) bool {
	return p == path.Clean(p) || strings.HasSuffix(p, "/") && strings.TrimSuffix(p, "/") == path.Clean(p)
}

// gather reads a body of unknown length, so that no face has to know what too long is.
func gather(r *http.Request) int {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case len(body) > maxBody:
		return http.StatusRequestEntityTooLarge
	case err != nil:
		return http.StatusBadRequest // broken off, or not chunked as it claims
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return 0
}

// sizeOf measures a header as it came over the wire.
func sizeOf(h http.Header) int {
	n := 0
	for name, values := range h {
		for _, v := range values {
			n += len(name) + len(v) + len(": \r\n")
		}
	}
	return n
}

func compressed(h http.Header) bool {
	coding := h.Get("Content-Encoding")
	return coding != "" && !strings.EqualFold(coding, "identity")
}

// answersTo reports whether host is a name of ours. A page that points a name of its own at our address
// (DNS rebinding) gets nothing.
func (s *Server) answersTo(host string) bool {
	for _, ours := range s.hosts {
		if strings.EqualFold(host, ours) {
			return true
		}
	}
	return s.Loopback && onLoopback(host)
}

// onLoopback reports whether host, with or without a port, is a name of this machine.
func onLoopback(host string) bool {
	name := (&url.URL{Host: host}).Hostname()
	if strings.EqualFold(name, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.IsLoopback()
}

// finish ends a request: it turns a panic into an answer (S-51) and writes the line in the log.
func (s *Server) finish(ctx context.Context, a *answer, r *http.Request, began time.Time) {
	if p := recover(); p != nil {
		if p == http.ErrAbortHandler {
			panic(p)
		}
		// What a panic says may hold what somebody typed; the runtime's own words and the stack do not (S-72).
		s.Log.ErrorContext(ctx, "panic", "what", saying(p), "stack", string(debug.Stack()), obs.Attrs(ctx))
		if a.status != 0 {
			panic(http.ErrAbortHandler) // half an answer is out: break it off visibly
		}
		a.refuse(http.StatusInternalServerError)
	}
	level := slog.LevelInfo
	if r.URL.Path == healthz || r.URL.Path == readyz {
		level = slog.LevelDebug // somebody asks every second
	}
	if !s.Log.Enabled(ctx, level) {
		return
	}
	s.Log.LogAttrs(ctx, level, "request",
		slog.String("method", cut(r.Method, 16)), slog.String("path", cut(r.URL.Path, 128)),
		slog.Int("status", a.status), slog.Int64("bytes", a.bytes),
		slog.Duration("took", time.Since(began)), obs.Attrs(ctx))
}

// sourceOf says where a request came from.
func (s *Server) sourceOf(r *http.Request) audit.Source {
	source := audit.Source{
		Address:   s.addressOf(r),
		Agent:     cut(agentOf(r), 200),
		RequestID: secret.Random().Reveal()[:22], // 132 bits name one request
		Language:  r.Header.Get("Accept-Language"),
	}
	if r.RemoteAddr == "" { // from inside this process: it came on behalf of somebody
		outer := obs.SourceOf(r.Context())
		source.Address, source.Agent = outer.Address, outer.Agent
	}
	return source
}

// agentOf prefers what clients say of themselves where the browser speaks for itself.
func agentOf(r *http.Request) string {
	if extended := r.Header.Get("X-Okta-User-Agent-Extended"); extended != "" {
		return extended + " " + r.UserAgent()
	}
	return r.UserAgent()
}

// addressOf is the client's address: the peer's, or behind our own proxies the last one that none of
// them vouches for as its own (S-46).
func (s *Server) addressOf(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	addr := peer.Addr().Unmap().WithZone("")
	if !s.proxy(addr) {
		return addr.String()
	}
	for _, hop := range slices.Backward(obs.Hops(r.Header.Values("X-Forwarded-For"))) {
		if !hop.IsValid() || !s.proxy(addr) {
			break
		}
		addr = hop
	}
	return addr.String()
}

func (s *Server) proxy(addr netip.Addr) bool {
	for _, p := range s.Proxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// cut shortens what a client says of itself, and makes it text that every database takes.
func cut(said string, n int) string {
	said = said[:min(n, len(said))]
	for i := range len(said) {
		if said[i] < ' ' || said[i] > '~' {
			return strings.Map(func(r rune) rune {
				if r < ' ' || r == 0x7f {
					return -1
				}
				return r
			}, strings.ToValidUTF8(said, ""))
		}
	}
	return said
}
