package postgres

import (
	"bytes"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlstore"
	"latchkey.dev/internal/store/storetest"
)

var quiet = slog.New(slog.DiscardHandler)

func begin(t *testing.T) (*engine, store.DB) {
	t.Helper()
	dsn := schema(t)
	db, err := Open(ctx, dsn, storetest.Key(t, 1), quiet)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := connect(dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close(); pool.Close() })
	return &engine{pool: pool}, db
}

func TestS80_ADeadlockIsTriedAgain(t *testing.T) {
	_, db := begin(t)
	var both sync.WaitGroup // until each holds what the other wants
	both.Add(2)
	var all sync.WaitGroup
	for _, order := range [][]string{{"a", "b"}, {"b", "a"}} {
		all.Go(func() {
			first := true
			if err := db.Update(ctx, func(tx store.Tx) error {
				if err := tx.PutSetting(ctx, order[0], "1"); err != nil {
					return err
				}
				if first {
					first = false
					both.Done()
					both.Wait()
				}
				return tx.PutSetting(ctx, order[1], "1")
			}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestS80_ConflictsAreTriedFiveTimesMore(t *testing.T) {
	e, _ := begin(t)
	runs := 0
	err := e.Update(ctx, func(q sqlstore.Querier) error {
		runs++
		_, err := q.Exec(ctx, `DO $$ BEGIN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END $$`)
		if err == nil {
			t.Error("nothing was raised")
		}
		return errors.New("what f makes of it does not matter")
	})
	if err == nil || runs != 6 {
		t.Errorf("ran %d times, error %v", runs, err)
	}
	runs = 0
	err = e.Update(ctx, func(q sqlstore.Querier) error { runs++; return errors.New("no") })
	if err == nil || runs != 1 {
		t.Errorf("another error ran %d times, error %v", runs, err)
	}
}

func TestS80_ALostConnectionIsUnavailableAndComesBack(t *testing.T) {
	dsn := schema(t)
	pool, err := connect(dsn)
	if err != nil {
		t.Fatal(err)
	}
	db, err := open(ctx, pool, storetest.Key(t, 1), quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	killer, err := connect(dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer killer.Close()
	// All connections of this schema's clients but the killer's own, as a failover ends them.
	kill := func() {
		t.Helper()
		if _, err := killer.ExecContext(ctx, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE pid <> pg_backend_pid() AND application_name = current_setting('application_name')`); err != nil {
			t.Fatal(err)
		}
	}
	for name, run := range map[string]func(func(store.Tx) error) error{
		"update": func(f func(store.Tx) error) error { return db.Update(ctx, f) },
		"view":   func(f func(store.Tx) error) error { return db.View(ctx, f) },
	} {
		runs := 0
		err := run(func(tx store.Tx) error {
			runs++
			if _, err := tx.OrgID(ctx); err != nil {
				return err
			}
			kill()
			_, err := tx.OrgID(ctx)
			return err
		})
		if !errors.Is(err, store.ErrUnavailable) || runs != 1 {
			t.Errorf("%s: ran %d times, error %v", name, runs, err)
		}
		kill()
		if err := run(func(tx store.Tx) error { _, err := tx.OrgID(ctx); return err }); err != nil {
			t.Errorf("%s does not come back: %v", name, err)
		}
	}
}

func TestS80_NobodyThere(t *testing.T) {
	schema(t) // skips without a server, so that this test is of the same mind as the others
	_, err := Open(ctx, "postgres://somebody:hunter2@127.0.0.1:1/nothing?sslmode=disable&connect_timeout=2", storetest.Key(t, 1), quiet)
	if err == nil || fault(err) != sqlstore.Unavailable {
		t.Errorf("got error %v", err)
	}
	if err != nil && strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the password is in %q", err)
	}
}

func with(t testing.TB, dsn, name, value string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}

func TestS75_WarnsOfWhatMayBeLost(t *testing.T) {
	dsn := schema(t)
	for value, warns := range map[string]bool{"off": true, "local": true, "on": false} {
		var log bytes.Buffer
		db, err := Open(ctx, with(t, dsn, "synchronous_commit", value), storetest.Key(t, 1), slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		db.Close()
		if got := strings.Contains(log.String(), "setting=synchronous_commit"); got != warns {
			t.Errorf("with %s it said %q", value, log.String())
		}
	}
}

func TestS79_AVanishedNodeHoldsNothingForLong(t *testing.T) {
	dsn := schema(t)
	for name, want := range map[string]string{"idle_in_transaction_session_timeout": "10s", "lock_timeout": "5s"} {
		for dsn, want := range map[string]string{dsn: want, with(t, dsn, name, "3000"): "3s"} {
			pool, err := connect(dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			var got string
			if err := pool.QueryRowContext(ctx, `SELECT current_setting($1)`, name).Scan(&got); err != nil || got != want {
				t.Errorf("%s is %s, want %s; error %v", name, got, want, err)
			}
		}
	}
}

func TestS71_ADatabaseLoadedElsewhereKeepsTheOrderOfItsLog(t *testing.T) {
	dsn := schema(t)
	record := func(what audit.Type) {
		t.Helper()
		db, err := Open(ctx, dsn, storetest.Key(t, 1), quiet)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := db.Update(ctx, func(tx store.Tx) error { return tx.Record(ctx, audit.Event{Type: what, At: time.Now()}) }); err != nil {
			t.Fatal(err)
		}
	}
	record("old")
	pool, err := connect(dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	// As if it came from a server that had counted a million million transactions more.
	if _, err := pool.ExecContext(ctx, `UPDATE audit_events SET seq = seq + (1000000000000 << 16)`); err != nil {
		t.Fatal(err)
	}
	record("new")
	record("newer")
	db, err := Open(ctx, dsn, storetest.Key(t, 1), quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var order []audit.Type
	for _, e := range storetest.Events(t, db) {
		order = append(order, e.Type)
	}
	if len(order) != 3 || order[0] != "old" || order[1] != "new" || order[2] != "newer" {
		t.Errorf("got %v", order)
	}
}
