package ops

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/secret"
)

const token = "0123456789abcdef0123456789abcdef"

// open makes a door to a server that was never looked at.
func open(t *testing.T) http.Handler {
	t.Helper()
	d, err := New(Config{
		Token:   token,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "latchkey_secrets 1\n") }),
		Health:  NewHealth(nil, time.Now),
		Level:   new(slog.LevelVar),
		Log:     slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func ask(d http.Handler, method, path, authorization string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}

// TestS74_TheTokenOpensEveryPath, those too that are not there: who has none learns nothing.
func TestS74_TheTokenOpensEveryPath(t *testing.T) {
	d := open(t)
	paths := []string{"/", "/metrics", "/healthz", "/readyz", "/log/level", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/nothing"}
	for _, path := range paths {
		for name, authorization := range map[string]string{
			"none": "", "no token": "Bearer ", "another": "Bearer " + strings.Repeat("x", len(token)), "part": "Bearer " + token[:31],
			"more": "Bearer " + token + "0", "another scheme": "Basic " + token, "bare": token,
		} {
			w := ask(d, http.MethodGet, path, authorization)
			if w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") != "Bearer" || strings.Contains(w.Body.String(), "latchkey_secrets") {
				t.Errorf("%s with %s: %d %s", path, name, w.Code, w.Body)
			}
		}
	}
	if w := ask(d, http.MethodGet, "/metrics?token="+token, ""); w.Code != http.StatusUnauthorized {
		t.Errorf("a token in the address opened it: %d", w.Code)
	}
	if w := ask(d, http.MethodGet, "/metrics", "Bearer "+token); w.Code != http.StatusOK || w.Body.String() != "latchkey_secrets 1\n" {
		t.Errorf("the token does not open it: %d %s", w.Code, w.Body)
	}
	if w := ask(d, http.MethodGet, "/debug/pprof/cmdline", "Bearer "+token); w.Code != http.StatusNotFound {
		t.Errorf("it shows the command line, and what is on it: %d", w.Code)
	}
}

func TestS74_NoDoorWithoutAToken(t *testing.T) {
	if _, err := New(Config{Token: secret.Text("")}); err == nil {
		t.Error("it opens for everybody")
	}
}

// TestS74_ReasonsAreToldInside: a process that never looked at its database is up, and not ready, and says why.
func TestS74_ReasonsAreToldInside(t *testing.T) {
	d := open(t)
	if w := ask(d, http.MethodGet, "/healthz", "Bearer "+token); w.Code != http.StatusOK {
		t.Errorf("not up: %d", w.Code)
	}
	w := ask(d, http.MethodGet, "/readyz", "Bearer "+token)
	var said struct{ Reasons []string }
	if err := json.Unmarshal(w.Body.Bytes(), &said); w.Code != http.StatusServiceUnavailable || err != nil || len(said.Reasons) == 0 {
		t.Errorf("%d %s, %v", w.Code, w.Body, err)
	}
}
