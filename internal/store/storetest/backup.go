package storetest

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/store"
)

// backUp returns a backup of the database.
func backUp(t *testing.T, db store.DB) ([]byte, store.BackupInfo) {
	t.Helper()
	var file bytes.Buffer
	info, err := db.(store.Backup).Backup(ctx, &file, now)
	if err != nil {
		t.Fatal(err)
	}
	return file.Bytes(), info
}

// A world is one of everything that a backup has to bring back, or must not.
type world struct {
	org     string
	client  oauth.Client
	refresh store.Refresh
}

func makeWorld(t *testing.T, db store.DB) (w world) {
	t.Helper()
	SealSome(t, db, "1")
	SealSome(t, db, "2")
	w.client = filled[oauth.Client]()
	w.refresh = store.Refresh{Digest: digest("refresh"), Grant: "oar1", Created: now, Expires: now.AddDate(0, 1, 0)}
	write(t, db, func(tx store.Tx) (err error) {
		if w.org, err = tx.OrgID(ctx); err != nil {
			return err
		}
		return errors.Join(tx.PutClient(ctx, w.client), tx.PutServer(ctx, oauth.DefaultServer()), tx.AddGrant(ctx, aGrant("oar1")),
			tx.AddRefresh(ctx, w.refresh), tx.AddCode(ctx, store.Code{Digest: digest("code"), Expires: now.AddDate(0, 1, 0)}),
			tx.PutSetting(ctx, "of ours", "kept"), tx.AddSend(ctx, store.Send{ID: "s1", Number: digest("n"), User: "00u1", At: now}),
			tx.Record(ctx, audit.Event{Type: "before", At: now, User: "00u1"}))
	})
	return w
}

// wantWorld looks at a restored database: what has to be there, and what is void.
func (w world) want(t *testing.T, db store.DB, tokens bool) {
	t.Helper()
	read(t, db, func(tx store.Tx) error {
		org, err := tx.OrgID(ctx)
		if err != nil {
			return err
		}
		client, err := tx.Client(ctx, w.client.ID)
		if err != nil {
			return err
		}
		setting, err := tx.Setting(ctx, "of ours")
		if err != nil {
			return err
		}
		_, err = tx.Server(ctx, "default")
		same(t, []any{org, client, setting}, []any{w.org, w.client, "kept"})
		return err
	})
	for _, id := range []ident.UserID{"00u1", "00u2"} {
		if all := enrollmentsOf(t, db, id); len(all) != 2 || all[0].Secret != theHash || all[1].Secret != "+15550100" {
			t.Errorf("%s has %d enrollments", id, len(all))
		}
	}
	if all := keysIn(t, db); len(all) != 2 || string(all[0].Private) != theKey {
		t.Errorf("%d signing keys", len(all))
	}
	same(t, count(t, db, store.SendQuery{Number: digest("n")}), 1) // what was sent counts on

	missing(t, db, func(tx store.Tx) error { _, err := tx.Flow(ctx, aFlow("1").Handle); return err })
	missing(t, db, func(tx store.Tx) error { _, err := tx.Challenge(ctx, "c1"); return err })
	refused(t, db, store.ErrNotFound, func(tx store.Tx) error { _, err := tx.SpendCode(ctx, digest("code"), now); return err })
	same(t, len(lease(t, db, "w", now.AddDate(50, 0, 0), now.AddDate(51, 0, 0), 99)), 0)
	err := db.Update(ctx, func(tx store.Tx) error { _, err := tx.SpendRefresh(ctx, w.refresh.Digest, now); return err })
	if tokens != (err == nil) {
		t.Errorf("the refresh token from before: %v", err)
	}
	if err := holder(db, "00u1", "oar1", "jti"); tokens != (err == nil) {
		t.Errorf("the access token from before: %v", err)
	}

	all, _ := tail(t, db, 0)
	var restored []audit.Event
	before := 0
	for _, e := range all {
		switch e.Type {
		case "before":
			before++
		case audit.BackupRestored:
			restored = append(restored, e)
		}
	}
	if before != 1 || len(restored) != 1 || restored[0].Actor != "operator" || all[len(all)-1].Type != audit.BackupRestored {
		t.Errorf("S-71: the log is %+v", all)
	}
}

var restoring = store.Restore{By: audit.Event{Type: audit.BackupRestored, At: now.Add(time.Hour), OK: true, Actor: "operator"}}

// Move restores what one kind of database backed up into another: how one machine becomes several.
func Move(t *testing.T, from, to Home) {
	a, _ := opened(t, from, Key(t, 1))
	w := makeWorld(t, a)
	file, info := backUp(t, a)
	if _, err := to.Restore(Key(t, 1), bytes.NewReader(file), restoring); err != nil {
		t.Fatal(err)
	}
	b, closeB := opened(t, to, Key(t, 1))
	w.want(t, b, false)
	// And on: what was restored can be backed up again, and holds the same but what is void, and the event.
	_, again := backUp(t, b)
	for table, n := range info.Rows {
		if got := again.Rows[table]; got != n && got != 0 && table != "settings" && table != "audit_events" {
			t.Errorf("%s had %d rows, and has %d", table, n, got)
		}
	}
	SealSome(t, b, "3")
	closeB()
	_, _ = opened(t, to, Key(t, 1))
}

var backups = map[string]func(*testing.T, Home, Home){
	"backup/S-83 what is restored, and what is void": func(t *testing.T, h, empty Home) { Move(t, h, empty) },
	"backup/S-83 tokens stay if the operator says so": func(t *testing.T, h, empty Home) {
		a, _ := opened(t, h, Key(t, 1))
		w := makeWorld(t, a)
		file, _ := backUp(t, a)
		o := restoring
		o.KeepTokens = true
		if _, err := empty.Restore(Key(t, 1), bytes.NewReader(file), o); err != nil {
			t.Fatal(err)
		}
		b, _ := opened(t, empty, Key(t, 1))
		w.want(t, b, true)
	},
	"backup/S-83 a proof from before is not good once more": func(t *testing.T, h, empty Home) {
		a, _ := opened(t, h, Key(t, 1))
		makeWorld(t, a)
		file, _ := backUp(t, a)
		at := restoring.By.At
		spend := func(id string, issued time.Time) func(store.Tx) error {
			return func(tx store.Tx) error { return tx.SpendProof(ctx, digest(id), issued, at.Add(time.Hour)) }
		}
		write(t, a, spend("since", at.Add(-time.Second)))
		o := restoring
		o.Replace = true
		for _, after := range []string{"after", "after that"} { // another restore is of another moment
			if _, err := empty.Restore(Key(t, 1), bytes.NewReader(file), o); err != nil {
				t.Fatal(err)
			}
			b, done := opened(t, empty, Key(t, 1))
			refused(t, b, store.ErrSpent, spend("since", at.Add(-time.Second)))
			refused(t, b, store.ErrSpent, spend("then", at))
			write(t, b, spend(after, at.Add(time.Microsecond)))
			refused(t, b, store.ErrSpent, spend(after, at.Add(time.Microsecond)))
			file, _ = backUp(t, b)
			at = at.Add(time.Hour)
			o.By.At = at
			done()
		}
	},
	"backup/S-83 each restore begins an epoch": func(t *testing.T, h, empty Home) {
		a, _ := opened(t, h, Key(t, 1))
		makeWorld(t, a)
		file, _ := backUp(t, a)
		epochs := map[string]bool{}
		o := restoring
		o.Replace = true
		for range 2 {
			if _, err := empty.Restore(Key(t, 1), bytes.NewReader(file), o); err != nil {
				t.Fatal(err)
			}
			b, done := opened(t, empty, Key(t, 1))
			read(t, b, func(tx store.Tx) error {
				epoch, err := tx.Setting(ctx, "epoch")
				epochs[epoch] = true
				return err
			})
			done()
		}
		same(t, len(epochs), 2)
	},
	"backup/S-83 a database that is not empty is not replaced by accident": func(t *testing.T, h, other Home) {
		a, _ := opened(t, h, Key(t, 1))
		w := makeWorld(t, a)
		file, _ := backUp(t, a)
		b, done := opened(t, other, Key(t, 1))
		aUser(t, b, "00u9", "somebody")
		if _, err := other.Restore(Key(t, 1), bytes.NewReader(file), restoring); err == nil || !contains(err, "not empty") {
			t.Errorf("got %v", err)
		}
		read(t, b, func(tx store.Tx) error { _, err := tx.User(ctx, "00u9"); return err })
		// Nor while somebody works on it.
		o := restoring
		o.Replace = true
		if err := b.(store.MasterKeys).Follow(ctx, "node 7"); err != nil {
			t.Fatal(err)
		}
		if _, err := other.Restore(Key(t, 1), bytes.NewReader(file), o); err == nil || !contains(err, "node 7") {
			t.Errorf("under a server that runs: %v", err)
		}
		if err := b.(store.MasterKeys).Leave(ctx, "node 7"); err != nil {
			t.Fatal(err)
		}
		done()
		if _, err := other.Restore(Key(t, 1), bytes.NewReader(file), o); err != nil {
			t.Fatal(err)
		}
		b, _ = opened(t, other, Key(t, 1))
		missing(t, b, func(tx store.Tx) error { _, err := tx.User(ctx, "00u9"); return err })
		w.want(t, b, false)
	},
	"backup/S-83 a backup is verified before anything is touched": func(t *testing.T, h, empty Home) {
		a, _ := opened(t, h, Key(t, 1))
		makeWorld(t, a)
		file, info := backUp(t, a)
		plain := unpack(t, file)
		for name, bad := range map[string][]byte{
			"nothing":             nil,
			"no backup":           []byte("users,passwords\n"),
			"cut off":             file[:len(file)-7],
			"cut in the middle":   file[:len(file)/2],
			"a bit flipped":       flipped(file),
			"a row less":          pack(t, without(t, plain, `["00u2"`)),
			"a row twice":         pack(t, twice(t, plain, `["00u2"`)),
			"a row changed":       pack(t, bytes.Replace(plain, []byte(`"ada1"`), []byte(`"eve1"`), 1)),
			"with more behind it": pack(t, append(bytes.Clone(plain), "[]\n"...)),
			"of a later format":   pack(t, bytes.Replace(plain, []byte(`"format":1`), []byte(`"format":9`), 1)),
			"of a later schema":   pack(t, bytes.Replace(plain, []byte(fmt.Sprint(`"schema":`, info.Schema)), []byte(`"schema":999`), 1)),
		} {
			if _, err := empty.Restore(Key(t, 1), bytes.NewReader(bad), restoring); err == nil {
				t.Errorf("%s: it was restored", name)
			}
		}
		// Who can compute a SHA-256 but has no master key.
		forged := resum(t, bytes.Replace(plain, []byte(`"ada1"`), []byte(`"eve1"`), 1))
		if _, err := empty.Restore(Key(t, 1), bytes.NewReader(pack(t, forged)), restoring); err == nil || !contains(err, "without the master key") {
			t.Errorf("forged with its checksum put right: %v", err)
		}
		if _, err := empty.Restore(Key(t, 2), bytes.NewReader(file), restoring); err == nil || !contains(err, idOf(1).String()) {
			t.Errorf("S-70: with another master key: %v", err)
		}
		b, _ := opened(t, empty, Key(t, 3)) // after all of that it is still nobody's
		missing(t, b, func(tx store.Tx) error { _, err := tx.User(ctx, "00u1"); return err })
	},
	"backup/S-68 nothing secret in the clear": func(t *testing.T, h, _ Home) {
		a, _ := opened(t, h, Key(t, 1))
		makeWorld(t, a)
		file, info := backUp(t, a)
		plain := unpack(t, file)
		if !bytes.Contains(plain, []byte("ada1")) || info.Rows["users"] != 2 {
			t.Fatalf("it does not hold the data: %v", info.Rows)
		}
		for _, marker := range []string{thePhone, theHash, theKey, "your code"} {
			if bytes.Contains(plain, []byte(marker)) {
				t.Errorf("%q is in the clear", marker)
			}
		}
	},
	"backup/S-83 one moment, while others write": func(t *testing.T, h, empty Home) {
		a, _ := opened(t, h, Key(t, 1))
		// Two rows that change together: a backup that has one without the other is of no moment.
		set := func(n int) {
			if err := a.Update(ctx, func(tx store.Tx) error {
				return errors.Join(tx.PutSetting(ctx, "left", fmt.Sprint(n)), tx.PutServer(ctx, oauth.Server{ID: "right", Audience: fmt.Sprint(n)}))
			}); err != nil {
				t.Error(err)
			}
		}
		set(0)
		stop := make(chan struct{})
		var writing sync.WaitGroup
		writing.Go(func() {
			for n := 1; ; n++ {
				select {
				case <-stop:
					return
				default:
					set(n)
				}
			}
		})
		files := make([][]byte, 3)
		for i := range files {
			files[i], _ = backUp(t, a)
		}
		close(stop)
		writing.Wait()
		o := restoring
		o.Replace = true
		for _, file := range files {
			if _, err := empty.Restore(Key(t, 1), bytes.NewReader(file), o); err != nil {
				t.Fatal(err)
			}
			b, done := opened(t, empty, Key(t, 1))
			read(t, b, func(tx store.Tx) error {
				left, err := tx.Setting(ctx, "left")
				if err != nil {
					return err
				}
				right, err := tx.Server(ctx, "right")
				same(t, left, right.Audience)
				return err
			})
			done()
		}
	},
	"backup/S-67 one from before the master key changed needs the old key": func(t *testing.T, h, empty Home) {
		a, _ := opened(t, h, Ring(t, 2, 1))
		m := a.(store.MasterKeys)
		if err := m.SealWith(ctx, idOf(1)); err != nil {
			t.Fatal(err)
		}
		SealSome(t, a, "1")
		before, info := backUp(t, a)
		same(t, len(info.Keys), 2)
		if err := m.SealWith(ctx, idOf(2)); err != nil {
			t.Fatal(err)
		}
		reseal(t, a, 100)
		if _, err := m.DropMasterKeys(ctx); err != nil {
			t.Fatal(err)
		}
		after, _ := backUp(t, a)
		if _, err := empty.Restore(Key(t, 2), bytes.NewReader(before), restoring); err == nil {
			t.Error("the old backup opens with the new key alone")
		}
		if _, err := empty.Restore(Key(t, 2), bytes.NewReader(after), restoring); err != nil {
			t.Errorf("the new backup needs the old key: %v", err)
		}
	},
}

func unpack(t *testing.T, file []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func pack(t *testing.T, plain []byte) []byte {
	t.Helper()
	var file bytes.Buffer
	w := gzip.NewWriter(&file)
	if _, err := w.Write(plain); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func flipped(file []byte) []byte {
	file = bytes.Clone(file)
	file[len(file)/2] ^= 4
	return file
}

// lineOf finds the line that begins with some words.
func lineOf(t *testing.T, plain []byte, begins string) (from, to int) {
	t.Helper()
	from = bytes.Index(plain, []byte("\n"+begins)) + 1
	to = from + bytes.IndexByte(plain[from:], '\n') + 1
	if from == 0 {
		t.Fatalf("no line %s", begins)
	}
	return from, to
}

func without(t *testing.T, plain []byte, begins string) []byte {
	from, to := lineOf(t, plain, begins)
	return append(bytes.Clone(plain[:from]), plain[to:]...)
}

func twice(t *testing.T, plain []byte, begins string) []byte {
	from, to := lineOf(t, plain, begins)
	return append(bytes.Clone(plain[:to]), plain[from:]...)
}

// resum puts the plain checksum right, as anybody could.
func resum(t *testing.T, plain []byte) []byte {
	t.Helper()
	from, _ := lineOf(t, plain, `{"end"`)
	i := bytes.Index(plain[from:], []byte(`"sha256":"`)) + from + len(`"sha256":"`)
	sum := fmt.Sprintf("%x", sha256.Sum256(plain[:from]))
	return append(append(bytes.Clone(plain[:i]), sum...), plain[i+len(sum):]...)
}
