package postgres

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlstore"
	"latchkey.dev/internal/store/storetest"
)

// opened is a database whose connections a test can spoil.
func opened(t *testing.T, dsn string) (store.DB, *sql.DB) {
	t.Helper()
	pool, err := connect(dsn)
	if err != nil {
		t.Fatal(err)
	}
	db, err := open(ctx, pool, storetest.Key(t, 1), quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db, pool
}

// onAll runs a statement on so many connections of a pool, which are then idle in it.
func onAll(t *testing.T, pool *sql.DB, n int, statement string) {
	t.Helper()
	var conns []*sql.Conn
	for range n {
		c, err := pool.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	for _, c := range conns {
		if _, err := c.ExecContext(ctx, statement); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
}

// A primary that an operator has made read only, to move to another, keeps its connections. What it says from
// then on is of yesterday: a flow that it does not know is perhaps a minute old.
func TestS80_AServerThatLeadsNoMoreIsNotAsked(t *testing.T) {
	db, pool := opened(t, schema(t))
	const n = 8
	for name, run := range map[string]func(context.Context, func(store.Tx) error) error{"update": db.Update, "view": db.View} {
		onAll(t, pool, n, `SET default_transaction_read_only = on`)
		for range n {
			// On a connection that was left in the pool, writing would fail and reading would not.
			if err := run(ctx, func(tx store.Tx) error { _, err := tx.OrgID(ctx); return err }); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if left := readOnly(t, pool, n); left != 0 {
			t.Errorf("%s: %d connections to it are left", name, left)
		}
	}
}

// readOnly counts the connections of a pool whose server takes no writes.
func readOnly(t *testing.T, pool *sql.DB, n int) (count int) {
	t.Helper()
	for range n {
		c, err := pool.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var value string
		if err := c.QueryRowContext(ctx, `SHOW default_transaction_read_only`).Scan(&value); err != nil {
			t.Fatal(err)
		}
		if value == "on" {
			count++
		}
	}
	return count
}

func TestS80_OnlyAPrimaryIsConnectedTo(t *testing.T) {
	dsn := schema(t)
	opened(t, dsn)
	_, err := Open(ctx, with(t, dsn, "default_transaction_read_only", "on"), storetest.Key(t, 1), quiet)
	if err == nil || fault(err) != sqlstore.Unavailable {
		t.Errorf("a server that takes no writes: error %v", err)
	}
	// Given the choice, the one that takes writes: here the second of two, the first of which is not there.
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = "127.0.0.1:1," + u.Host
	opened(t, u.String())
}

func TestS80_SpoiltConnectionsAreThrownAway(t *testing.T) {
	dsn := schema(t)
	db, pool := opened(t, dsn)
	killer, err := connect(dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer killer.Close()
	const n = 16
	onAll(t, pool, n, `SELECT 1`)
	if _, err := killer.ExecContext(ctx, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE pid <> pg_backend_pid() AND application_name = current_setting('application_name')`); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if err := db.View(ctx, func(tx store.Tx) error { _, err := tx.OrgID(ctx); return err }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// A wire is a way to a server that a test can cut.
type wire struct {
	net.Listener
	to   string
	dead atomic.Bool // nothing comes through any more, and nobody is told
	cut  func(fromClient []byte) bool
}

// through is a dsn that leads over a wire.
func through(t *testing.T, dsn string, w *wire) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	w.to = u.Host
	if w.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	go w.serve()
	u.Host = w.Addr().String()
	return u.String()
}

func (w *wire) serve() {
	for {
		near, err := w.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", w.to)
		if err != nil {
			near.Close()
			return
		}
		var lost atomic.Bool // the answer
		go w.carry(far, near, func(b []byte) {
			if w.cut != nil && w.cut(b) {
				lost.Store(true)
			}
		}, func() bool { return false })
		go w.carry(near, far, func([]byte) {}, lost.Load)
	}
}

func (w *wire) carry(to, from net.Conn, look func([]byte), lost func() bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if w.dead.Load() {
			_, _ = io.Copy(io.Discard, from)
			return
		}
		look(buf[:n])
		if err != nil || lost() {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func TestS80_ACommitWhoseAnswerIsLostIsNotRunTwice(t *testing.T) {
	dsn := schema(t)
	var armed atomic.Bool
	w := &wire{cut: func(b []byte) bool { return armed.Load() && bytes.Contains(b, []byte("commit\x00")) }}
	db, _ := opened(t, through(t, dsn, w))
	direct, _ := opened(t, dsn)
	armed.Store(true)
	runs := 0
	add := func(tx store.Tx) error {
		runs++
		return tx.AddUser(ctx, ident.User{ID: "00u1", Login: "ada@example.com"})
	}
	if err := db.Update(ctx, add); !errors.Is(err, store.ErrUnavailable) || runs != 1 {
		t.Errorf("ran %d times, error %v", runs, err)
	}
	armed.Store(false)
	if err := direct.View(ctx, func(tx store.Tx) error { _, err := tx.User(ctx, "00u1"); return err }); err != nil {
		t.Fatal("the commit did not happen, so that nothing was tested:", err)
	}
	// Whoever tries the same again is told by the key.
	if err := db.Update(ctx, add); !errors.Is(err, store.ErrExists) {
		t.Errorf("the second time: %v", err)
	}
}

func TestS80_AServerThatSaysNothingIsAway(t *testing.T) {
	t.Parallel()
	w := &wire{}
	db, pool := opened(t, through(t, schema(t), w))
	onAll(t, pool, 1, `SELECT 1`)
	w.dead.Store(true)
	time.Sleep(1100 * time.Millisecond) // a connection that was used a moment ago is believed to be good
	whole, done := context.WithTimeout(ctx, time.Minute)
	defer done()
	err := db.View(whole, func(tx store.Tx) error { _, err := tx.OrgID(ctx); return err })
	if !errors.Is(err, store.ErrUnavailable) || whole.Err() != nil {
		t.Errorf("got error %v, and then %v", err, whole.Err())
	}
}
