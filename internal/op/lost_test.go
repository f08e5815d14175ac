package op

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlite"
)

// TestAFailedSigningIsNotSilent stands behind the wall, because from the front door no key fails to sign:
// the grant is taken back, the client hears that it is us, and the log says what happened.
func TestAFailedSigningIsNotSilent(t *testing.T) {
	ctx := context.Background()
	master, err := secret.NewKeys([secret.KeySize]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(ctx, t.TempDir(), master)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var log strings.Builder
	a := New(Config{Store: db, Now: time.Now, Log: slog.New(slog.NewTextHandler(&log, nil))})
	grant := oauth.Grant{ID: "oar1", User: "00u1", Client: "0oa1", Expires: time.Now().Add(time.Hour)}
	err = db.Update(ctx, func(tx store.Tx) error {
		if err := tx.AddUser(ctx, ident.User{ID: "00u1", Login: "ada"}); err != nil {
			return err
		}
		return tx.AddGrant(ctx, grant)
	})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/oauth2/default/v1/token", nil)
	w := httptest.NewRecorder()
	answer := a.refuse(w, r, a.lost(&call{Request: r}, grant, errors.New("the key is broken")), program)
	if answer.status != http.StatusInternalServerError || !strings.Contains(string(answer.body), "server_error") {
		t.Errorf("answered %d %s", answer.status, answer.body)
	}
	if !strings.Contains(log.String(), "the key is broken") {
		t.Errorf("the log says %s", &log)
	}
	err = db.View(ctx, func(tx store.Tx) error {
		_, err := tx.TokenHolder(ctx, "00u1", grant.ID, "AT.1")
		return err
	})
	if !errors.Is(err, store.ErrSpent) {
		t.Errorf("the grant still stands: %v", err)
	}
}
