package sqlstore_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlite"
	"latchkey.dev/internal/store/sqlstore"
	"latchkey.dev/internal/store/storetest"
)

// Whoever adds a table says what becomes of it when the database is restored.
func TestS83_EveryTableIsVoidOrLasts(t *testing.T) {
	tables, err := sqlstore.Tables()
	if err != nil || len(tables) < 25 {
		t.Fatal(tables, err)
	}
	for _, name := range tables {
		if in := sqlstore.AfterRestore(name); len(in) != 1 {
			t.Errorf("%s is %v after a restore: put it into one of voided, granted, lasting and transient in restore.go", name, in)
		}
	}
}

// A backup of an older version is loaded into the schema of its time, which then moves forward.
func TestS84_ABackupOfAnOlderVersionIsRestored(t *testing.T) {
	keys := storetest.Key(t, 1)
	db, err := sqlite.Open(ctx, t.TempDir(), keys)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	storetest.SealSome(t, db, "1")
	var file bytes.Buffer
	if _, err := db.Backup(ctx, &file, now); err != nil {
		t.Fatal(err)
	}
	older := asOfSchema5(t, keys, file.Bytes())

	restore := store.Restore{By: audit.Event{Type: audit.BackupRestored, At: now, OK: true}}
	for name, prepare := range map[string]func(dir string) error{
		"into nothing": func(string) error { return nil },
		"into an empty database of today": func(dir string) error {
			_, err := sqlite.Migrate(ctx, dir, sqlstore.Upgrade)
			return err
		},
	} {
		dir := t.TempDir()
		if err := prepare(dir); err != nil {
			t.Fatal(err)
		}
		info, err := sqlite.Restore(ctx, dir, storetest.Key(t, 1), bytes.NewReader(older), restore)
		if err != nil || info.Schema != 5 {
			t.Errorf("%s: %+v, %v", name, info, err)
			continue
		}
		restored, err := sqlite.Open(ctx, dir, storetest.Key(t, 1), sqlstore.LeaveSchema)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := restored.View(ctx, func(tx store.Tx) error {
			_, err := tx.UserByLogin(ctx, "ada1")
			return err
		}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if events := storetest.Events(t, restored); len(events) != 1 || events[0].Type != audit.BackupRestored {
			t.Errorf("%s: the log is %v", name, events)
		}
		restored.Close()
	}
}

// asOfSchema5 makes of a backup what the version of schema 5 would have written: without what came later.
func asOfSchema5(t *testing.T, keys *secret.Keys, file []byte) []byte {
	t.Helper()
	packed, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(packed)
	if err != nil {
		t.Fatal(err)
	}
	var kept bytes.Buffer
	var end struct {
		End struct {
			Rows   map[string]int `json:"rows"`
			SHA256 string         `json:"sha256"`
			Keyed  string         `json:"keyed"`
		} `json:"end"`
	}
	later := false
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.HasPrefix(line, `{"latchkey"`):
			before, _, _ := strings.Cut(line, `"schema":`)
			line = before + "\"schema\":5}\n"
		case strings.HasPrefix(line, `{"table"`):
			var table struct {
				Table   string `json:"table"`
				Columns []any  `json:"columns"`
			}
			if err := json.Unmarshal([]byte(line), &table); err != nil {
				t.Fatal(err)
			}
			later = table.Table == "audit_seals" || table.Table == "certificates"
			if table.Table == "audit_events" {
				table.Columns = table.Columns[:3]
			}
			cut, err := json.Marshal(table)
			if err != nil {
				t.Fatal(err)
			}
			line = string(cut) + "\n"
		case strings.HasPrefix(line, `{"end"`):
			if err := json.Unmarshal([]byte(line), &end); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if !later {
			kept.WriteString(line)
		}
	}
	delete(end.End.Rows, "audit_seals")
	delete(end.End.Rows, "certificates")
	sum := sha256.Sum256(kept.Bytes())
	end.End.SHA256 = hex.EncodeToString(sum[:])
	end.End.Keyed = fmt.Sprintf("%x", keyed(keys, end.End.SHA256))
	last, err := json.Marshal(end)
	if err != nil {
		t.Fatal(err)
	}
	kept.Write(append(last, '\n'))
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(kept.Bytes()); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func keyed(keys *secret.Keys, sum string) []byte {
	d := keys.MAC(secret.MACBackup, sum)
	return slices.Clone(d[:])
}
