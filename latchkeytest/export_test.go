package latchkeytest

import (
	"testing"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/store/storetest"
)

// Events returns the whole audit log.
func (s *Server) Events(t testing.TB) []audit.Event {
	t.Helper()
	return storetest.Events(t, s.current().Store())
}
