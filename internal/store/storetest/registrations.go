package storetest

import (
	"testing"
	"time"

	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

func spendRegistration(db store.DB, d secret.Digest, at time.Time) error {
	return db.Update(ctx, func(tx store.Tx) error { return tx.SpendRegistration(ctx, d, at) })
}

var registrations = map[string]func(*testing.T, store.DB){
	"registrations/as often as it says, by how many at once": func(t *testing.T, db store.DB) {
		r := store.Registration{Digest: digest("a"), Created: now, Expires: now.Add(time.Hour), Uses: 3}
		write(t, db, func(tx store.Tx) error { return tx.AddRegistration(ctx, r) })
		refused(t, db, store.ErrExists, func(tx store.Tx) error { return tx.AddRegistration(ctx, r) })
		errs := atOnce(20, func(int) error { return spendRegistration(db, r.Digest, now) })
		if won, lost := tally(t, errs, store.ErrNotFound); won != 3 || lost != 17 {
			t.Errorf("used %d times, refused %d times", won, lost)
		}
	},
	"registrations/not after its end, and swept": func(t *testing.T, db store.DB) {
		r := store.Registration{Digest: digest("a"), Created: now, Expires: now.Add(time.Hour), Uses: 3}
		write(t, db, func(tx store.Tx) error { return tx.AddRegistration(ctx, r) })
		tally(t, []error{spendRegistration(db, r.Digest, r.Expires), spendRegistration(db, digest("b"), now)}, store.ErrNotFound)
		if err := spendRegistration(db, r.Digest, r.Expires.Add(-time.Microsecond)); err != nil {
			t.Error(err)
		}
		if _, err := db.(store.Sweeper).Sweep(ctx, now.Add(2*time.Hour), 10); err != nil {
			t.Fatal(err)
		}
		tally(t, []error{spendRegistration(db, r.Digest, now)}, store.ErrNotFound)
	},
}
