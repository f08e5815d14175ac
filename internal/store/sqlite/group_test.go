package sqlite_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlite"
)

// Turns of one group see each other's writes before they are durable. Who is refused because of one must
// not hear of it before everybody can see it.
func TestARefusalIsNotToldBeforeWhatItRestsOnIsDurable(t *testing.T) {
	keys, err := secret.NewKeys([secret.KeySize]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	db, err := sqlite.Open(ctx, t.TempDir(), keys)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	refused := 0
	for round := range 100 {
		login := fmt.Sprintf("user%d", round)
		var all sync.WaitGroup
		var mu sync.Mutex
		for racer := range 8 {
			all.Go(func() {
				err := db.Update(ctx, func(tx store.Tx) error {
					return tx.AddUser(ctx, ident.User{ID: ident.UserID(fmt.Sprintf("00u%d-%d", round, racer)), Login: login, Status: ident.Active})
				})
				if err == nil {
					return
				}
				seen := db.View(ctx, func(tx store.Tx) error { _, err := tx.UserByLogin(ctx, login); return err })
				if !errors.Is(err, store.ErrExists) || seen != nil {
					t.Errorf("told %v while a reader sees %v", err, seen)
				}
				mu.Lock()
				defer mu.Unlock()
				refused++
			})
		}
		all.Wait()
	}
	if refused != 700 {
		t.Errorf("%d refusals, want 700", refused)
	}
}
