package sqlstore_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlite"
	"latchkey.dev/internal/store/storetest"
)

// A database from before roots derived everything from its first master key, and goes on doing so when that
// key has long been taken off.
func TestS69_ADatabaseWithoutARootKeepsWhatItDerives(t *testing.T) {
	dir := t.TempDir()
	db, err := sqlite.Open(ctx, dir, storetest.Key(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	storetest.SealSome(t, db, "1")
	db.Close()
	asBefore(t, filepath.Join(dir, sqlite.File), storetest.Key(t, 1))

	if db, err := sqlite.Open(ctx, dir, storetest.Key(t, 2)); err == nil {
		db.Close()
		t.Fatal("S-70: another key is let in over old data")
	}
	before := storetest.Key(t, 1).MAC(secret.MACCode, "x")
	ring := storetest.Ring(t, 2, 1)
	if db, err = sqlite.Open(ctx, dir, ring); err != nil {
		t.Fatal(err)
	}
	if ring.MAC(secret.MACCode, "x") != before {
		t.Error("the first start with a root changed what is derived")
	}
	for _, step := range []error{db.SealWith(ctx, ring.IDs()[0]), reseal(db), dropped(db), db.Close()} {
		if step != nil {
			t.Fatal(step)
		}
	}
	alone := storetest.Key(t, 2)
	if db, err = sqlite.Open(ctx, dir, alone); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if alone.MAC(secret.MACCode, "x") != before {
		t.Error("taking off the old master key changed what is derived")
	}
}

func reseal(db store.MasterKeys) error {
	r, err := db.Reseal(ctx, store.Resealing{}, 100)
	for err == nil && !r.Over {
		r, err = db.Reseal(ctx, r, 100)
	}
	return err
}

func dropped(db store.MasterKeys) error {
	_, err := db.DropMasterKeys(ctx)
	return err
}

// asBefore takes away what a binary without roots would not have written.
func asBefore(t *testing.T, file string, keys *secret.Keys) {
	t.Helper()
	raw, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	for _, query := range []string{
		`DELETE FROM settings WHERE name IN ('key.root', 'key.seals')`, `DELETE FROM master_keys`,
		`UPDATE settings SET value = '` + keys.Token(secret.MACCheck, "latchkey").Reveal() + `' WHERE name = 'key.check'`,
	} {
		if _, err := raw.ExecContext(ctx, query); err != nil {
			t.Fatal(err)
		}
	}
}
