package sqlstore_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlite"
	"latchkey.dev/internal/store/sqlstore"
	"latchkey.dev/internal/store/storetest"
)

var (
	ctx = context.Background()
	now = time.Date(2031, time.May, 6, 12, 0, 0, 123000, time.UTC)
)

// begun returns a database with one flow in it.
func begun(t *testing.T) (store.DB, flow.State) {
	t.Helper()
	db, err := sqlite.Open(ctx, t.TempDir(), storetest.Key(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s := flow.Begin(secret.DigestOf("test", "handle"), secret.DigestOf("test", "interaction"),
		flow.Request{Client: "0oa1", Scopes: []string{"openid"}}, now)
	update(t, db, func(tx store.Tx) error { return tx.AddFlow(ctx, s, now) })
	return db, s
}

func update(t *testing.T, db store.DB, f func(store.Tx) error) {
	t.Helper()
	if err := db.Update(ctx, f); err != nil {
		t.Fatal(err)
	}
}

// asNewer rewrites the flow's state as a later binary would write it.
func asNewer(t *testing.T, db store.DB, s flow.State, format int, change func(map[string]any)) {
	t.Helper()
	update(t, db, func(tx store.Tx) error {
		plain, err := sqlstore.RawState(ctx, tx, s.Handle)
		if err != nil {
			return err
		}
		state := tree(t, plain)
		state["format"] = format
		change(state)
		plain, err = json.Marshal(state)
		if err != nil {
			return err
		}
		return sqlstore.PutRawState(ctx, tx, s.Handle, format, plain)
	})
}

func tree(t *testing.T, plain []byte) (m map[string]any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(plain)))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestS84_AnOlderBinaryGoesOnWithWhatANewerOneBegan(t *testing.T) {
	db, s := begun(t)
	asNewer(t, db, s, sqlstore.StateFormat+1, func(state map[string]any) {
		state["device"] = map[string]any{"id": "dev1", "seen": json.Number("1935921600000123")}
		state["request"].(map[string]any)["prompt"] = "login"
	})
	for range 2 { // twice, since what was merged is merged into again
		update(t, db, func(tx store.Tx) error {
			s, err := tx.Flow(ctx, s.Handle)
			if err != nil {
				return err
			}
			s.Stage, s.Login = flow.Verify, "ada"
			s.Proofs = []flow.Proof{{Kind: "password", At: now}}
			return tx.PutFlow(ctx, s, now)
		})
	}
	update(t, db, func(tx store.Tx) error {
		plain, err := sqlstore.RawState(ctx, tx, s.Handle)
		if err != nil {
			return err
		}
		got := tree(t, plain)
		for name, want := range map[string]any{
			"stage": "challenge-authenticator", "login": "ada", "format": json.Number("5"), "needs": json.Number("1"),
			"device": map[string]any{"id": "dev1", "seen": json.Number("1935921600000123")},
		} {
			if !reflect.DeepEqual(got[name], want) {
				t.Errorf("%s is %v, want %v", name, got[name], want)
			}
		}
		if prompt := got["request"].(map[string]any)["prompt"]; prompt != "login" {
			t.Errorf("request.prompt is %v", prompt)
		}
		read, err := tx.Flow(ctx, s.Handle)
		if read.Login != "ada" || !read.Created.Equal(now) || len(read.Proofs) != 1 || read.Version != 2 {
			t.Errorf("got %+v", read)
		}
		return err
	})
}

func TestS84_ANewerStateIsSavedOnceAtATimeToo(t *testing.T) {
	db, s := begun(t)
	asNewer(t, db, s, sqlstore.StateFormat+1, func(map[string]any) {})
	update(t, db, func(tx store.Tx) error { return tx.PutFlow(ctx, s, now) })
	if err := db.Update(ctx, func(tx store.Tx) error { return tx.PutFlow(ctx, s, now) }); !errors.Is(err, store.ErrStale) {
		t.Errorf("got error %v", err)
	}
}

func TestS84_AStateThatNeedsANewerBinaryIsNotGuessedAt(t *testing.T) {
	db, s := begun(t)
	asNewer(t, db, s, sqlstore.StateFormat+1, func(state map[string]any) { state["needs"] = sqlstore.StateFormat + 1 })
	err := db.View(ctx, func(tx store.Tx) error { _, err := tx.Flow(ctx, s.Handle); return err })
	if err == nil || errors.Is(err, store.ErrNotFound) {
		t.Errorf("got error %v", err)
	}
}

// A binary from before there were hosted pages would end such a sign-in with a code for the wrong grant.
func TestS84_ARedirectEndingIsNotCarriedOnByAnOlderBinary(t *testing.T) {
	s := flow.Begin(flow.Handle{}, secret.Digest{}, flow.Request{Ending: flow.Redirect, Mode: "form_post", Key: "k", Subject: "00u1"}, now)
	state := tree(t, sqlstore.EncodeState(s))
	if got := state["needs"]; got != json.Number("3") {
		t.Errorf("needs %v", got)
	}
	for name, want := range map[string]any{"ending": "redirect", "mode": "form_post", "key": "k", "subject": "00u1"} {
		if got := state["request"].(map[string]any)[name]; got != want {
			t.Errorf("request.%s is %v, want %v", name, got, want)
		}
	}
}

// A field of the state that is renamed or dropped is one that other versions no longer find.
func TestTheStateIsWrittenAsItAlwaysWas(t *testing.T) {
	s := flow.Begin(flow.Handle{}, secret.Digest{}, flow.Request{Server: "default", Client: "0oa1", Redirect: "r", Scopes: []string{"openid"},
		State: "s", Nonce: "n", Challenge: "c", ACR: "a", MaxAge: 90 * time.Second, Source: "192.0.2.1", Device: secret.Digest{2}}, now)
	s.Login, s.User, s.Skipped = "ada", "00u1", []ident.Kind{"phone"}
	s.Proofs = []flow.Proof{{Kind: "password", Method: "password", At: now}}
	s.Current = flow.Current{Kind: "phone", Method: "sms", Enrollment: "sms1", Challenge: "chl1", Number: "+15550100", Hint: "h"}
	s.Outcome = flow.Outcome{At: now, Answer: secret.Digest{1}, Repeats: 2}
	const want = `{"format":4,"needs":1,"stage":"identify","request":{"server":"default","client":"0oa1","redirect":"r","scopes":["openid"],` +
		`"state":"s","nonce":"n","challenge":"c","acr":"a","max_age":"1m30s",` +
		`"source":"192.0.2.1","device":"0200000000000000000000000000000000000000000000000000000000000000"},"created":NOW,"seen":NOW,"login":"ada","user":"00u1",` +
		`"proofs":[{"kind":"password","method":"password","at":NOW}],"skipped":["phone"],"current":{"kind":"phone","method":"sms",` +
		`"enrollment":"sms1","challenge":"chl1","number":"+15550100","hint":"h"},"outcome":{"at":NOW,` +
		`"answer":"0100000000000000000000000000000000000000000000000000000000000000","repeats":2},"borrowed":false}`
	micros, err := json.Marshal(now.UnixMicro())
	if err != nil {
		t.Fatal(err)
	}
	if got := string(sqlstore.EncodeState(s)); got != strings.ReplaceAll(want, "NOW", string(micros)) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestS84_ASchemaThatMovedOn(t *testing.T) {
	dir := t.TempDir()
	reopen := func() error {
		db, err := sqlite.Open(ctx, dir, storetest.Key(t, 1))
		if err == nil {
			db.Close()
		}
		return err
	}
	if err := reopen(); err != nil {
		t.Fatal(err)
	}
	alter := func(query string) {
		t.Helper()
		raw, err := sql.Open("sqlite", filepath.Join(dir, sqlite.File))
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		if _, err := raw.ExecContext(ctx, query); err != nil {
			t.Fatal(err)
		}
	}
	alter(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)`)
	if err := reopen(); err != nil {
		t.Errorf("one that still has all we need was refused: %v", err)
	}
	alter(`UPDATE settings SET value = '99' WHERE name = 'schema.needs'`)
	if err := reopen(); !errors.Is(err, sqlstore.ErrNewerSchema) {
		t.Errorf("got error %v", err)
	}
}
