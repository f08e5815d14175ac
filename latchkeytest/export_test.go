package latchkeytest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/keyring"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
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

// Stolen returns every value of the database, as a thief finds it: bytes in base64, and what is within JSON alone as well.
func (s *Server) Stolen() (all []string) {
	s.t.Helper()
	db, ok := s.current().Store().(store.Backup)
	if !ok {
		s.t.Fatal("no backup of this database")
	}
	var file bytes.Buffer
	if _, err := db.Backup(s.t.Context(), &file, s.Now()); err != nil {
		s.t.Fatal(err)
	}
	packed, err := gzip.NewReader(&file)
	if err != nil {
		s.t.Fatal(err)
	}
	for lines := json.NewDecoder(packed); ; {
		var line any
		if err := lines.Decode(&line); err == io.EOF {
			return all
		} else if err != nil {
			s.t.Fatal(err)
		}
		if row, ok := line.([]any); ok {
			all = append(all, texts(row)...)
		}
	}
}

// texts are all texts in a value, those in JSON that is a text too.
func texts(v any) (all []string) {
	switch v := v.(type) {
	case string:
		all = append(all, v)
		var within any
		if strings.HasPrefix(v, "{") && json.Unmarshal([]byte(v), &within) == nil {
			all = append(all, texts(within)...)
		}
	case []any:
		for _, one := range v {
			all = append(all, texts(one)...)
		}
	case map[string]any:
		for _, one := range v {
			all = append(all, texts(one)...)
		}
	}
	return all
}

// Takes posts a body and reports whether the server takes it for something of its own.
func (s *Server) Takes(path string, body map[string]string) bool {
	s.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	response, err := s.Client().Post(s.URL+path, "application/json", bytes.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}
