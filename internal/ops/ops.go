// Package ops is the door for whoever runs the server: metrics, readiness with its reasons, profiles, the log's level.
//
// [New] makes the handler of a listener that is apart from the public one, on this machine alone or a socket in
// the file system, with a token of its own (S-74). What the public one says of all this is up, and ready, or not.
package ops

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"latchkey.dev/internal/secret"
)

// Config is what the door is made of.
type Config struct {
	Token   secret.Text
	Metrics http.Handler
	Health  *Health
	// Stopping is closed when the server was asked to stop: from then on it is not ready, whatever the health (S-78).
	Stopping <-chan struct{}
	Level    *slog.LevelVar
	Log      *slog.Logger
}

type door struct {
	Config
	token [sha256.Size]byte
	mux   *http.ServeMux
}

// New makes the handler. It refuses to be without a token.
func New(c Config) (http.Handler, error) {
	if c.Token == "" {
		return nil, errors.New("ops: no token: whoever reaches the admin listener could read everything there is (S-74)")
	}
	d := &door{Config: c, token: sha256.Sum256([]byte(c.Token.Reveal())), mux: http.NewServeMux()}
	for pattern, handle := range d.routes() {
		d.mux.HandleFunc(pattern, handle)
	}
	return d, nil
}

func (d *door) routes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"GET /metrics":             d.Metrics.ServeHTTP,
		"GET /healthz":             d.healthz,
		"GET /readyz":              d.readyz,
		"GET /log/level":           d.level,
		"PUT /log/level":           d.setLevel,
		"GET /debug/pprof/":        pprof.Index, // its pages, and each profile by name
		"GET /debug/pprof/cmdline": http.NotFound,
		"GET /debug/pprof/profile": pprof.Profile,
		"GET /debug/pprof/symbol":  pprof.Symbol,
		"GET /debug/pprof/trace":   pprof.Trace,
	}
}

// ServeHTTP asks for the token before anything else.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	given := sha256.Sum256([]byte(token))
	if !ok || subtle.ConstantTimeCompare(given[:], d.token[:]) != 1 {
		h.Set("WWW-Authenticate", "Bearer")
		http.Error(w, "this needs the token of admin.token", http.StatusUnauthorized)
		return
	}
	d.mux.ServeHTTP(w, r)
}

func (d *door) healthz(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusOK, map[string]any{"status": "up"})
}

func (d *door) readyz(w http.ResponseWriter, _ *http.Request) {
	skew := d.Health.Skew().Seconds()
	why := d.Health.Why()
	select {
	case <-d.Stopping:
		why = append([]string{"stopping"}, why...)
	default:
	}
	if len(why) > 0 {
		write(w, http.StatusServiceUnavailable, map[string]any{"status": "not ready", "reasons": why, "clock_skew_seconds": skew})
		return
	}
	write(w, http.StatusOK, map[string]any{"status": "ready", "clock_skew_seconds": skew})
}

type level struct {
	Level string `json:"level"`
}

func (d *door) level(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusOK, level{strings.ToLower(d.Level.Level().String())})
}

// setLevel changes the log's level until the next start.
func (d *door) setLevel(w http.ResponseWriter, r *http.Request) {
	var wanted level
	var to slog.Level
	err := json.NewDecoder(io.LimitReader(r.Body, 1<<10)).Decode(&wanted)
	if err == nil {
		err = to.UnmarshalText([]byte(wanted.Level))
	}
	if err != nil {
		http.Error(w, `send {"level": "debug"}, or info, warn, error`, http.StatusBadRequest)
		return
	}
	from := d.Level.Level()
	d.Level.Set(to)
	d.Log.Log(r.Context(), max(from, to, slog.LevelInfo), "the log's level was changed", "from", from.String(), "to", to.String())
	d.level(w, r)
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// HTTP is an http.Server for the handler. A profile takes as long as it is asked to.
func HTTP(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 15 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
