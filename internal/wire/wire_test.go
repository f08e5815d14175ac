package wire

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey.dev/internal/authn/password"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlite"
)

var now = time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)

// A swept database says how often it was swept, and until when.
type swept struct {
	store.DB
	mu     sync.Mutex
	sweeps []time.Time
	more   int // how many times there is more
	failed error
}

func (s *swept) Sweep(_ context.Context, before time.Time, n int) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweeps = append(s.sweeps, before)
	s.more--
	return s.more >= 0, s.failed
}

func build(t *testing.T, log *bytes.Buffer) (*House, *swept) {
	t.Helper()
	keys, err := secret.NewKeys([secret.KeySize]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(t.Context(), t.TempDir(), keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s := &swept{DB: db}
	h, err := Build(t.Context(), Parts{
		Store: s, Keys: keys, Now: func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(log, nil)),
		Origin: "https://id.example", Flow: limit.DefaultFlow(), Codes: limit.DefaultCodes(), Sends: limit.DefaultSends(),
		Passwords: password.Params{Memory: 64, Time: 1, Threads: 1},
		Pages: func(house http.Handler) (http.Handler, error) {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				inner := r.Clone(r.Context())
				inner.URL.Path = "/healthz"
				house.ServeHTTP(w, inner)
			}), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h, s
}

func TestS86_SweepingGoesOnWhileThereIsMore(t *testing.T) {
	h, s := build(t, &bytes.Buffer{})
	s.more = 3
	if err := h.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(s.sweeps) != 4 || !s.sweeps[0].Equal(now.Add(-time.Hour)) {
		t.Errorf("swept %v", s.sweeps)
	}
}

func TestRunSweepsAtOnceSaysWhatFailedAndEnds(t *testing.T) {
	log := &bytes.Buffer{}
	h, s := build(t, log)
	s.failed = errors.New("disk full")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { h.Run(ctx); close(ended) }()
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(time.Millisecond) {
		s.mu.Lock()
		n := len(s.sweeps)
		s.mu.Unlock()
		if n > 0 {
			break
		}
	}
	stop()
	<-ended
	if len(s.sweeps) != 1 || !strings.Contains(log.String(), "disk full") {
		t.Errorf("swept %d times, and says %s", len(s.sweeps), log)
	}
}

func TestEveryFaceAnswersAndPagesMayCallTheHouse(t *testing.T) {
	h, s := build(t, &bytes.Buffer{})
	err := s.Update(t.Context(), func(tx store.Tx) error { return tx.PutServer(t.Context(), oauth.DefaultServer()) })
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		"/idp/idx/introspect": http.StatusMethodNotAllowed, "/oauth2/default/v1/keys": http.StatusOK,
		"/oauth2/default/.well-known/openid-configuration": http.StatusOK, "/.well-known/oauth-authorization-server/oauth2/default": http.StatusOK,
		"/healthz": http.StatusOK, "/anything": http.StatusOK, "/dev/outbox/": http.StatusOK,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "https://id.example"+path, nil))
		if w.Code != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestForgetReadsEverythingAnew(t *testing.T) {
	h, s := build(t, &bytes.Buffer{})
	cors := func() string {
		r := httptest.NewRequest(http.MethodPost, "https://id.example/idp/idx/introspect", nil)
		r.Header.Set("Origin", "https://app.example")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Header().Get("Access-Control-Allow-Origin")
	}
	if got := cors(); got != "" {
		t.Fatalf("allows %s before anybody asked for it", got)
	}
	err := s.Update(t.Context(), func(tx store.Tx) error {
		return tx.PutClient(t.Context(), oauth.Client{ID: "0oa1", Origins: []string{"https://app.example"}, Created: now})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := cors(); got != "https://app.example" {
		t.Errorf("allows %q", got)
	}
}
