package storetest

import (
	"errors"
	"testing"
	"time"

	"latchkey.dev/internal/store"
)

var proofs = map[string]func(*testing.T, store.DB){
	"proofs/S-58 100 uses of one proof at once": func(t *testing.T, db store.DB) {
		errs := atOnce(100, func(int) error {
			return db.Update(ctx, func(tx store.Tx) error { return tx.SpendProof(ctx, digest("a"), now, now) })
		})
		if won, lost := tally(t, errs, store.ErrSpent); won != 1 || lost != 99 {
			t.Errorf("%d took the proof, %d were refused", won, lost)
		}
		write(t, db, func(tx store.Tx) error { return tx.SpendProof(ctx, digest("b"), now, now) })
		refused(t, db, store.ErrSpent, func(tx store.Tx) error { return tx.SpendProof(ctx, digest("b"), now, now.Add(time.Hour)) })
	},
	"proofs/every field of a pushed request comes back, once": func(t *testing.T, db store.DB) {
		p := store.Pushed{Digest: digest("p"), Server: "default", Client: "0oa1", Params: map[string]string{"scope": "openid", "state": "é\""}, Expires: now}
		write(t, db, func(tx store.Tx) error { return tx.AddPushed(ctx, p) })
		refused(t, db, store.ErrExists, func(tx store.Tx) error { return tx.AddPushed(ctx, p) })
		write(t, db, func(tx store.Tx) error {
			got, err := tx.SpendPushed(ctx, p.Digest, p.Server, p.Client)
			same(t, got, p)
			return err
		})
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { _, err := tx.SpendPushed(ctx, p.Digest, p.Server, p.Client); return err })
	},
	"proofs/S-59 a pushed request is its client's, and nobody else spends it": func(t *testing.T, db store.DB) {
		p := store.Pushed{Digest: digest("p"), Server: "default", Client: "0oa1", Expires: now}
		write(t, db, func(tx store.Tx) error { return tx.AddPushed(ctx, p) })
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { _, err := tx.SpendPushed(ctx, p.Digest, "default", "0oa2"); return err })
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { _, err := tx.SpendPushed(ctx, p.Digest, "other", "0oa1"); return err })
		write(t, db, func(tx store.Tx) error { _, err := tx.SpendPushed(ctx, p.Digest, "default", "0oa1"); return err })
	},
	"proofs/S-59 50 browsers at once with one pushed request": func(t *testing.T, db store.DB) {
		p := store.Pushed{Digest: digest("p"), Server: "default", Client: "0oa1", Expires: now}
		write(t, db, func(tx store.Tx) error { return tx.AddPushed(ctx, p) })
		errs := atOnce(50, func(int) error {
			return db.Update(ctx, func(tx store.Tx) error { _, err := tx.SpendPushed(ctx, p.Digest, "default", "0oa1"); return err })
		})
		if won, lost := tally(t, errs, store.ErrNotFound); won != 1 || lost != 49 {
			t.Errorf("%d took the request, %d were refused", won, lost)
		}
	},
	"proofs/S-86 what has ended is forgotten": func(t *testing.T, db store.DB) {
		write(t, db, func(tx store.Tx) error {
			return errors.Join(
				tx.SpendProof(ctx, digest("old"), now, now), tx.SpendProof(ctx, digest("new"), now, now.Add(time.Hour)),
				tx.AddPushed(ctx, store.Pushed{Digest: digest("old"), Client: "0oa1", Expires: now}),
				tx.AddPushed(ctx, store.Pushed{Digest: digest("new"), Client: "0oa1", Expires: now.Add(time.Hour)}))
		})
		if _, err := db.(store.Sweeper).Sweep(ctx, now.Add(time.Second), 10); err != nil {
			t.Fatal(err)
		}
		write(t, db, func(tx store.Tx) error { return tx.SpendProof(ctx, digest("old"), now, now) })
		refused(t, db, store.ErrSpent, func(tx store.Tx) error { return tx.SpendProof(ctx, digest("new"), now, now) })
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { _, err := tx.SpendPushed(ctx, digest("old"), "", "0oa1"); return err })
		write(t, db, func(tx store.Tx) error { _, err := tx.SpendPushed(ctx, digest("new"), "", "0oa1"); return err })
	},
}
