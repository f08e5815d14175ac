package latchkeytest

import (
	"log/slog"
	"strings"
	"testing"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/keyring"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store/storetest"
)

// Events returns the whole audit log.
func (s *Server) Events(t testing.TB) []audit.Event {
	t.Helper()
	return storetest.Events(t, s.current().Store())
}

// Keys makes the server begin with these master keys.
func Keys(keys *secret.Keys) Option { return func(o *options) { o.keys = keys } }

// RestartWith stops the server as an operator would, and starts it with other master keys.
func (s *Server) RestartWith(keys *secret.Keys) {
	s.t.Helper()
	s.close()
	s.keys = keys
	if err := s.start(strings.TrimPrefix(s.URL, "http://")); err != nil {
		s.t.Fatal(err)
	}
}

// Rekey does what latchkey key rekey does, with a connection of its own, while the server runs.
func (s *Server) Rekey(keys *secret.Keys) keyring.Result {
	s.t.Helper()
	db, err := s.options.open(s.t.Context(), keys, slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	r, err := keyring.Rekey(s.t.Context(), db.(keyring.DB), keys, audit.Event{At: s.Now(), Actor: "operator"}, func(int, int) {})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// Refuses wants the database not to open with these keys, and says why it did not.
func (s *Server) Refuses(keys *secret.Keys) string {
	s.t.Helper()
	db, err := s.options.open(s.t.Context(), keys, slog.New(slog.DiscardHandler))
	if err == nil {
		db.Close()
		s.t.Fatal("S-70: the database opens")
	}
	return err.Error()
}
