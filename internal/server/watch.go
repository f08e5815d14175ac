package server

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// span begins the span of a request, if somebody traces: below the page that calls us from inside, below what one
// of our own proxies has begun, or by itself. A traceparent of anybody else's is not looked at: strangers would
// choose what is traced, and under which name.
func (s *Server) span(ctx context.Context, r *http.Request) (context.Context, trace.Span) {
	if s.Tracer == nil {
		return ctx, nil
	}
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil && s.proxy(peer.Addr().Unmap().WithZone("")) {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
	}
	return s.Tracer.Start(ctx, "request", trace.WithSpanKind(trace.SpanKindServer))
}

// watched tells whoever watches how a request went.
func (s *Server) watched(a *answer, r *http.Request, began time.Time) {
	if s.Watch == nil && a.span == nil {
		return
	}
	route, method := routeOf(a, r), methodOf(r)
	if s.Watch != nil {
		s.Watch.Request(route, method, a.status, time.Since(began))
	}
	if a.span != nil {
		a.span.SetName(method + " " + route)
		a.span.SetAttributes(attribute.String("http.request.method", method), attribute.String("http.route", route),
			attribute.Int("http.response.status_code", a.status), attribute.String("latchkey.request", a.source.RequestID))
		if a.status >= 500 {
			a.span.SetStatus(codes.Error, "")
		}
		a.span.End()
	}
}

// The routes that are none.
const (
	turnedAway = "(refused)" // before anybody asked what it was: too large, too many, another host
	unmatched  = "(none)"
)

// routeOf is the pattern that a request matched. A path never takes its place: there would be no end of them.
func routeOf(a *answer, r *http.Request) string {
	switch {
	case a.request == nil:
		return turnedAway
	case r.URL.Path == healthz || r.URL.Path == readyz:
		return r.URL.Path
	case a.request.Pattern != "":
		return a.request.Pattern
	}
	return unmatched
}

func methodOf(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions, http.MethodPut, http.MethodDelete, http.MethodPatch:
		return r.Method
	}
	return "other"
}

// Where load balancers and whoever restarts us look. What is wrong is nobody's business out here (S-74): the admin
// listener says it.
const (
	healthz = "/healthz"
	readyz  = "/readyz"
)

// health says up, or not: we are stopping (S-78).
func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	s.state(w, r, s.life.Err() == nil, "up", "stopping")
}

// readiness says whether requests may be sent here.
func (s *Server) readiness(w http.ResponseWriter, r *http.Request) {
	s.state(w, r, s.life.Err() == nil && (s.Ready == nil || s.Ready()), "ready", "not ready")
}

func (s *Server) state(w http.ResponseWriter, r *http.Request, good bool, yes, no string) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "", http.StatusMethodNotAllowed)
		return
	}
	word := yes
	if !good {
		word = no
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	io.WriteString(w, `{"status":"`+word+`"}`+"\n")
}
