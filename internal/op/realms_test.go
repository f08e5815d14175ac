package op

import (
	"context"
	"errors"
	"testing"
	"time"

	"latchkey.dev/internal/keys"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlite"
)

// TestRealmsAreReadAgain: a server that is changed or added is noticed soon, and asking for one that
// does not exist is no way to keep the database busy.
func TestRealmsAreReadAgain(t *testing.T) {
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
	put := func(id, audience string) {
		t.Helper()
		s := oauth.DefaultServer()
		s.ID, s.Audience = id, audience
		if err := db.Update(ctx, func(tx store.Tx) error { return tx.PutServer(ctx, s) }); err != nil {
			t.Fatal(err)
		}
	}
	ring, err := keys.Open(ctx, db, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	a := New(Config{Store: db, Keys: ring, Now: time.Now, Origin: "https://id.example"})
	age := func(d time.Duration) {
		held := *a.realms.held.Load()
		held.at = held.at.Add(-d)
		a.realms.held.Store(&held)
	}
	want := func(id, audience string) {
		t.Helper()
		r, err := a.realms.find(ctx, id)
		switch {
		case audience == "" && !errors.Is(err, errNotFound):
			t.Errorf("%s: %v, want nothing there", id, err)
		case audience != "" && (err != nil || r.Audience != audience):
			t.Errorf("%s: %+v, %v, want %s", id, r, err, audience)
		}
	}
	put("default", "api://one")
	want("default", "api://one")

	put("default", "api://two")
	want("default", "api://one")
	age(realmsFresh)
	want("default", "api://two")

	want("more", "")
	put("more", "api://more")
	want("more", "") // asked a moment ago
	age(realmsMiss)
	want("more", "api://more")

	put("default", "api://three")
	a.Forget()
	want("default", "api://three")
}
