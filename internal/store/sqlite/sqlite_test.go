package sqlite

import (
	"context"
	"testing"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

func TestSmoke(t *testing.T) {
	ctx := context.Background()
	keys, _ := secret.NewKeys([32]byte{1})
	dir := t.TempDir()
	t0 := time.Now()
	db, err := Open(ctx, dir, keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(time.Since(t0))
	h := secret.DigestOf(secret.StateHandle, "x")
	err = db.Update(ctx, func(tx store.Tx) error {
		if err := tx.AddUser(ctx, ident.User{ID: "00u1", Login: "Ada"}); err != nil {
			return err
		}
		if err := tx.AddEnrollment(ctx, ident.Enrollment{ID: "lae1", User: "00u1", Kind: "password", Secret: "hash"}); err != nil {
			return err
		}
		if err := tx.Record(ctx, audit.Event{Type: "a"}, audit.Event{Type: "b"}); err != nil {
			return err
		}
		if err := tx.AddChallenge(ctx, store.Challenge{ID: "chl1", Flow: h}); err != nil {
			return err
		}
		return tx.AddFlow(ctx, flow.State{Handle: h, Stage: flow.Identify}, time.Now())
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(ctx, func(tx store.Tx) error {
		c, err := tx.CountTry(ctx, "chl1", 5)
		t.Log(c, err)
		t.Log(tx.CountFailure(ctx, "00u1", "phone", time.Now(), limit.DefaultCodes()))
		ev, n, err := tx.Events(ctx, 0, 10)
		t.Log(len(ev), n, err)
		s, err := tx.Flow(ctx, h)
		if err != nil {
			return err
		}
		return tx.PutFlow(ctx, s, time.Now())
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	t0 = time.Now()
	if db, err = Open(ctx, dir, keys); err != nil {
		t.Fatal(err)
	}
	t.Log(time.Since(t0))
	t.Log(db.Sweep(ctx, time.Now().Add(time.Hour), 10))
	t.Log(db.Reset(ctx))
	db.Close()
	other, _ := secret.NewKeys([32]byte{2})
	if db, err = Open(ctx, dir, other); err == nil {
		t.Fatal("no")
	}
	t.Log(err)
}
