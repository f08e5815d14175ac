package latchkeytest

import (
	"testing"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/store"
)

// Events returns the whole audit log.
func (s *Server) Events(t testing.TB) []audit.Event {
	t.Helper()
	var all []audit.Event
	err := s.current().Store().View(t.Context(), func(tx store.Tx) (err error) {
		all, _, err = tx.Events(t.Context(), 0, 100_000)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
