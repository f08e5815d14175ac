package sqlstore_test

import (
	"errors"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"

	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlite"
	"latchkey.dev/internal/store/sqlstore"
	"latchkey.dev/internal/store/storetest"
)

// What the schema calls sealed is what is sealed anew when the master key changes.
func TestS67_EverySealedColumnIsKnown(t *testing.T) {
	var said []string
	table := regexp.MustCompile(`^(?:CREATE TABLE|ALTER TABLE) (\w+)`)
	column := regexp.MustCompile(`^(?:\s*|.*ADD COLUMN )(\w+) +BYTEA.*-- sealed`)
	files, err := fs.Glob(sqlstore.Migrations, "migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal("no migrations", err)
	}
	for _, name := range files {
		text, err := fs.ReadFile(sqlstore.Migrations, name)
		if err != nil {
			t.Fatal(err)
		}
		in := ""
		for line := range strings.Lines(string(text)) {
			if m := table.FindStringSubmatch(line); m != nil {
				in = m[1]
			}
			if m := column.FindStringSubmatch(line); m != nil {
				said = append(said, in+"."+m[1])
			}
		}
	}
	known := sqlstore.SealedColumns()
	slices.Sort(said)
	slices.Sort(known)
	if !slices.Equal(said, known) || len(known) < 6 {
		t.Errorf("the schema calls sealed\n%v\nand the store knows\n%v", said, known)
	}
}

// A thief who can write moves a ciphertext to a row of his own and lets us open it for him.
func TestS67_ASealedValueOpensInItsOwnRowAndColumnAlone(t *testing.T) {
	keys := storetest.Key(t, 1)
	db, err := sqlite.Open(ctx, t.TempDir(), keys)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	storetest.SealSome(t, db, "1")
	storetest.SealSome(t, db, "2")
	all := sealedIn(t, db)
	for _, c := range sqlstore.SealedColumns() {
		if n := len(slices.DeleteFunc(slices.Clone(all), func(v sqlstore.SealedValue) bool { return v.Column != c })); n < 2 {
			t.Errorf("%s has %d values to try: let storetest.SealSome write one", c, n)
		}
	}
	for _, from := range all {
		for _, to := range all {
			_, err := keys.Open(to.Place, from.Value)
			if here := from.Place == to.Place; (err == nil) != here {
				t.Errorf("what was sealed for %s opens in %s: %v", from.Place, to.Place, err)
			}
		}
	}
	// The same through the front door, with every value where its neighbour's was.
	update(t, db, func(tx store.Tx) error {
		for _, v := range all {
			other := slices.IndexFunc(all, func(o sqlstore.SealedValue) bool { return o.Column == v.Column && o.Row != v.Row })
			v.Value = all[other].Value
			if err := sqlstore.PutSealedValue(ctx, tx, v); err != nil {
				return err
			}
		}
		return nil
	})
	for name, read := range map[string]func(store.Tx) error{
		"flow":        func(tx store.Tx) error { _, err := tx.Flow(ctx, handleOf(t, all)); return err },
		"challenge":   func(tx store.Tx) error { _, err := tx.Challenge(ctx, "c1"); return err },
		"enrollments": func(tx store.Tx) error { _, err := tx.Enrollments(ctx, "00u1"); return err },
		"certificate": func(tx store.Tx) error { _, err := tx.Certificate(ctx, "cert1"); return err },
		"keys":        func(tx store.Tx) error { _, err := tx.SigningKeys(ctx); return err },
		"messages": func(tx store.Tx) error {
			_, err := tx.LeaseMessages(ctx, "w", now.AddDate(50, 0, 0), now.AddDate(51, 0, 0), 9)
			return err
		},
	} {
		if err := db.Update(ctx, read); !errors.Is(err, secret.ErrUnsealed) {
			t.Errorf("%s: a moved value is read with %v", name, err)
		}
	}
}

func sealedIn(t *testing.T, db store.DB) (all []sqlstore.SealedValue) {
	t.Helper()
	err := db.View(ctx, func(tx store.Tx) (err error) {
		all, err = sqlstore.SealedValues(ctx, tx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// handleOf is the handle of one of the flows.
func handleOf(t *testing.T, all []sqlstore.SealedValue) (h flow.Handle) {
	t.Helper()
	for _, v := range all {
		if v.Column == "flows.state" {
			d, err := sqlstore.ParseRow(v.Row)
			if err != nil {
				t.Fatal(err)
			}
			return flow.Handle(d)
		}
	}
	t.Fatal("no flow")
	return h
}
