package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/obs"
)

// A heard watcher remembers requests.
type heard struct{ requests []string }

func (h *heard) Request(route, method string, status int, _ time.Duration) {
	h.requests = append(h.requests, fmt.Sprint(method, " ", route, " ", status))
}
func (*heard) Transaction(bool, time.Duration, int, error) {}
func (*heard) Recorded(audit.Type, bool)                   {}
func (*heard) Sent(string, string, time.Duration)          {}

func TestRoutesArePatternsWhateverIsAskedFor(t *testing.T) {
	h := &heard{}
	pages := http.NewServeMux()
	pages.HandleFunc("GET /user/{id}", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	r := newRig(t, func(c *Config) { c.Watch, c.Pages = h, pages })
	foreign := request("GET", "/user/2")
	foreign.Host = "evil.example"
	for _, req := range []*http.Request{
		request("GET", "/user/1"), request("GET", "/nobody/knows"), foreign, request("GET", "/../x"), request("QUERY", "/user/1"), request("GET", "/readyz"),
	} {
		r.do(req)
	}
	want := []string{
		"GET GET /user/{id} 200", "GET (none) 404", "GET (refused) 421", "GET (refused) 404", "other (none) 405", "GET /readyz 200",
	}
	if !slices.Equal(h.requests, want) {
		t.Errorf("got\n%q want\n%q", h.requests, want)
	}
}

func TestReadyzSaysYesOrNoAndNothingElse(t *testing.T) {
	ready := true
	r := newRig(t, func(c *Config) { c.Ready = func() bool { return ready } })
	for _, want := range []string{`200 {"status":"ready"}`, `503 {"status":"not ready"}`} {
		response := r.do(request("GET", "/readyz"))
		body, _ := io.ReadAll(response.Body)
		if got := fmt.Sprint(response.StatusCode, " ", strings.TrimSpace(string(body))); got != want {
			t.Errorf("S-74: got %s, want %s", got, want)
		}
		ready = false
	}
	if response := r.do(request("GET", "/healthz")); response.StatusCode != http.StatusOK {
		t.Errorf("without its database the process is still up, and %d says otherwise: it would be restarted", response.StatusCode)
	}
}

func TestTraceparentIsTakenFromOurProxiesAlone(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(spans))
	r := newRig(t, func(c *Config) {
		c.Proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		c.Tracer = provider.Tracer(obs.Scope)
	})
	r.faces["/idp/idx/identify"] = func(w http.ResponseWriter, req *http.Request) {
		_, span := obs.Begin(req.Context(), "engine.identify")
		span.End(nil)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, "{}")
	}
	const theirs = "0af7651916cd43dd8448eb211c80319c"
	for address, trusted := range map[string]bool{"10.1.2.3:1": true, "192.0.2.1:1": false} {
		req := httptest.NewRequest("POST", home+"/idp/idx/identify?secret=hunter2", strings.NewReader(`{"credentials":{"passcode":"hunter2"}}`))
		req.Header.Set("Traceparent", "00-"+theirs+"-b7ad6b7169203331-01")
		req.Header.Set("Cookie", "sid=hunter2")
		req.RemoteAddr = address
		r.do(req)
		ended := spans.Ended()
		inner, outer := ended[len(ended)-2], ended[len(ended)-1]
		if got := outer.SpanContext().TraceID().String() == theirs; got != trusted {
			t.Errorf("from %s: the trace is theirs: %v", address, got)
		}
		if inner.Parent().SpanID() != outer.SpanContext().SpanID() || inner.Name() != "engine.identify" {
			t.Errorf("from %s: %s is not below %s", address, inner.Name(), outer.Name())
		}
	}
	for _, s := range spans.Ended() {
		if said := fmt.Sprint(s.Name(), s.Attributes(), s.Status(), s.Events()); strings.Contains(said, "hunter2") || strings.Contains(said, "192.0.2.1") {
			t.Errorf("S-72: a span says %s", said)
		}
	}
	if _, span := obs.Begin(context.Background(), "x"); span != (obs.Span{}) {
		t.Error("where nothing is traced there is a span")
	}
}
