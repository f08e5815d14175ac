package server

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"latchkey.dev/internal/oauth"
)

// How long the clients' origins are believed: S-79 allows 30 seconds.
const (
	believed = 20 * time.Second
	again    = time.Second // when reading failed
)

// What browsers may send and read (idx.md 3.4). An application adds headers of its own, so a trusted
// origin is allowed whatever it asks for; this list is for a preflight that names none.
const (
	methods = "GET, POST, DELETE, OPTIONS"
	headers = "accept, accept-language, authorization, content-type, dpop, x-device-fingerprint, x-device-token, x-okta-user-agent-extended"
	exposed = "dpop-nonce, www-authenticate, x-okta-request-id, x-rate-limit-limit, x-rate-limit-remaining, x-rate-limit-reset, retry-after"
)

var (
	varyOrigin    = []string{"Origin"}
	varyPreflight = []string{"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}
)

// allow sets the CORS headers that a request's origin is due and reports whether it was a preflight, which
// needs no more answer. A request of a foreign origin is not refused: some clients that are no browsers
// send one, and a browser keeps the answer from the page by itself (idx.md 3.3).
func (s *Server) allow(ctx context.Context, h http.Header, r *http.Request) (preflight bool) {
	h["Vary"] = varyOrigin
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	preflight = r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
	switch {
	case forPeople(r.URL.Path):
		return preflight
	case s.origins.trusts(ctx, origin):
		h["Access-Control-Allow-Origin"] = []string{origin}
		h["Access-Control-Allow-Credentials"] = []string{"true"}
	case public(r.URL.Path):
		h["Access-Control-Allow-Origin"] = []string{"*"}
	default:
		return preflight
	}
	if !preflight {
		h["Access-Control-Expose-Headers"] = []string{exposed}
		return false
	}
	h["Vary"] = varyPreflight
	wanted := r.Header.Get("Access-Control-Request-Headers")
	if wanted == "" || len(wanted) > 1024 {
		wanted = headers
	}
	h["Access-Control-Allow-Methods"] = []string{methods}
	h["Access-Control-Allow-Headers"] = []string{wanted}
	h["Access-Control-Max-Age"] = []string{"600"}
	return true
}

// public reports whether a path holds what everybody may read: discovery and keys.
func public(path string) bool {
	return strings.Contains(path, "/.well-known/") || strings.HasSuffix(path, "/v1/keys")
}

// forPeople reports whether a browser itself comes to a path, with a person in front of it. What it is answered is
// nothing for a script: the code in a form of authorize is for the application that asked for it, and a page of another
// application is a trusted origin too.
func forPeople(path string) bool {
	return strings.HasPrefix(path, "/login/") || strings.HasSuffix(path, "/v1/authorize") || strings.HasSuffix(path, "/v1/logout")
}

// origins knows which origins' pages may call us: those of any client, for an IDX request does not say
// on behalf of which one it comes before it is parsed.
type origins struct {
	read func(context.Context) ([]oauth.Client, error)
	log  *slog.Logger

	mu       sync.Mutex
	until    time.Time
	exact    map[string]bool
	loopback []oauth.Client // those that take any origin of this machine
}

func (o *origins) trusts(ctx context.Context, origin string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := time.Now(); now.After(o.until) {
		o.refresh(ctx, now)
	}
	if o.exact[origin] {
		return true
	}
	for _, c := range o.loopback {
		if c.AllowsOrigin(origin) {
			return true
		}
	}
	return false
}

func (o *origins) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.until = time.Time{}
}

// refresh reads the clients. When that fails the old list holds a little longer: the request itself will
// meet the same database and say so.
func (o *origins) refresh(ctx context.Context, now time.Time) {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second) // for all who wait, not for this request alone
	defer done()
	clients, err := o.read(ctx)
	if err != nil {
		o.log.WarnContext(ctx, "reading trusted origins", "error", err)
		o.until = now.Add(again)
		return
	}
	o.exact, o.loopback, o.until = map[string]bool{}, nil, now.Add(believed)
	for _, c := range clients {
		if c.Disabled {
			continue
		}
		for _, origin := range c.Origins {
			if c.AllowsOrigin(origin) {
				o.exact[origin] = true
			}
		}
		if c.AnyLoopback {
			o.loopback = append(o.loopback, c)
		}
	}
}
