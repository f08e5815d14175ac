package sqlstore_test

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"

	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlite"
	"latchkey.dev/internal/store/sqlstore"
	"latchkey.dev/internal/store/storetest"
)

// What a migration after the first may not do without saying so: whatever a binary of before it still uses has
// to stay as it is, so that both work on one database (expand), until a release later nobody uses it any
// more (contract).
var takesAway = regexp.MustCompile(`(?i)\b(DROP\s+(TABLE|COLUMN|CONSTRAINT|DEFAULT)|RENAME|ALTER\s+COLUMN|TRUNCATE|SET\s+NOT\s+NULL|ADD\s+CONSTRAINT|CREATE\s+UNIQUE)\b`)

// A column that the binary of before does not fill.
var unfilled = regexp.MustCompile(`(?i)\bADD\s+COLUMN\s+\w+\s+\w+\s+NOT\s+NULL(?:\s+DEFAULT\s+\S+)?`)

// A migration that takes something away raises the oldest schema whose binary may go on.
var raises = regexp.MustCompile(`UPDATE settings SET value = '\d+' WHERE name = 'schema.needs'`)

func TestS84_MigrationsExpandBeforeTheyContract(t *testing.T) {
	files, err := fs.Glob(sqlstore.Migrations, "migrations/*.sql")
	if err != nil || len(files) < 6 {
		t.Fatal("migrations", files, err)
	}
	for _, name := range files[1:] {
		text, err := fs.ReadFile(sqlstore.Migrations, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, complaint := range expands(string(text)) {
			t.Errorf("%s: %s", name, complaint)
		}
	}
	for migration, bad := range map[string]int{
		"-- +goose Up\nCREATE TABLE a (b TEXT NOT NULL);":                                                                                0,
		"-- +goose Up\nALTER TABLE a ADD COLUMN b TEXT;":                                                                                 0,
		"-- +goose Up\nALTER TABLE a ADD COLUMN b TEXT NOT NULL DEFAULT '';":                                                             0,
		"-- +goose Up\nALTER TABLE a ADD COLUMN b TEXT NOT NULL;":                                                                        1,
		"-- +goose Up\nALTER TABLE a DROP COLUMN b;":                                                                                     1,
		"-- +goose Up\nALTER TABLE a RENAME TO b;\nDROP TABLE c;":                                                                        2,
		"-- +goose Up\nALTER TABLE a ALTER COLUMN b SET NOT NULL;":                                                                       1,
		"-- +goose Up\nDROP TABLE a; -- nobody has used it since schema 7\nUPDATE settings SET value = '7' WHERE name = 'schema.needs';": 0,
		"-- +goose Up\nCREATE TABLE a (b TEXT);\n-- +goose Down\nDROP TABLE a;":                                                          1,
	} {
		if got := expands(migration); len(got) != bad {
			t.Errorf("%q: %v", migration, got)
		}
	}
}

// expands returns what a migration does to a binary of before it.
func expands(migration string) (complaints []string) {
	if strings.Contains(migration, "+goose Down") {
		complaints = append(complaints, "schemas move forward only")
		migration, _, _ = strings.Cut(migration, "-- +goose Down")
	}
	all := sqlstore.Statements(migration)
	if slices.ContainsFunc(all, raises.MatchString) {
		return complaints
	}
	for _, s := range all {
		switch added := unfilled.FindString(s); {
		case takesAway.MatchString(s):
			complaints = append(complaints, "takes something away from a binary of before: "+s)
		case added != "" && !strings.Contains(strings.ToUpper(added), "DEFAULT"):
			complaints = append(complaints, "a binary of before does not fill this: "+s)
		}
	}
	return complaints
}

// Sweeping looks once a minute for what has ended, among everything that has not.
func TestS86_WhatHasEndedIsFoundByAnIndex(t *testing.T) {
	db, _ := begun(t)
	for _, table := range []string{"sessions", "logouts", "grants", "refreshes"} {
		err := db.View(ctx, func(tx store.Tx) error {
			plan, err := sqlstore.PlanOf(ctx, tx, table)
			if !strings.Contains(plan, "USING") || !strings.Contains(plan, "INDEX "+table+"_by_end") {
				t.Errorf("%s: %s", table, plan)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestS84_MigrationsAreShownTriedAndResumed(t *testing.T) {
	dir := t.TempDir()
	pending := func(run sqlstore.Migration) []string {
		t.Helper()
		names, err := sqlite.Migrate(ctx, dir, run)
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	all := pending(sqlstore.Pending)
	if len(all) < 6 || all[0] != "00001_begin.sql" {
		t.Fatalf("an empty database waits for %v", all)
	}
	if tried := pending(sqlstore.Rehearse); !slices.Equal(tried, all) {
		t.Errorf("tried %v", tried)
	}
	if again := pending(sqlstore.Pending); !slices.Equal(again, all) {
		t.Errorf("trying them changed the database: %v are left", again)
	}
	// One that was broken off after the third goes on with the fourth.
	done, err := sqlite.Migrate(ctx, dir, sqlstore.UpTo(3))
	if err != nil || len(done) != 3 {
		t.Fatal(done, err)
	}
	if db, err := sqlite.Open(ctx, dir, storetest.Key(t, 1), sqlstore.LeaveSchema); err == nil || !strings.Contains(err.Error(), "latchkey migrate") {
		if db != nil {
			db.Close()
		}
		t.Errorf("an older schema, and nobody said to migrate: %v", err)
	}
	if rest := pending(sqlstore.Rehearse); !slices.Equal(rest, all[3:]) {
		t.Errorf("tried %v, want %v", rest, all[3:])
	}
	if rest := pending(sqlstore.Upgrade); !slices.Equal(rest, all[3:]) {
		t.Errorf("did %v, want %v", rest, all[3:])
	}
	if left := pending(sqlstore.Pending); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
	db, err := sqlite.Open(ctx, dir, storetest.Key(t, 1), sqlstore.LeaveSchema)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	// An empty database gets its schema whoever opens it.
	if db, err = sqlite.Open(ctx, t.TempDir(), storetest.Key(t, 1), sqlstore.LeaveSchema); err != nil {
		t.Fatal(err)
	}
	db.Close()
}
