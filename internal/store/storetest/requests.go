package storetest

import (
	"sync/atomic"
	"testing"
	"time"

	"latchkey.dev/internal/store"
)

var requests = map[string]func(*testing.T, store.DB){
	"requests/S-52 as many as there are left": func(t *testing.T, db store.DB) {
		r := store.Requests{What: digest("a"), Window: 7, Length: time.Minute, Max: 10, Ends: now.Add(time.Minute)}
		take := func(want, given int) {
			t.Helper()
			r.Want = want
			write(t, db, func(tx store.Tx) error {
				got, err := tx.TakeRequests(ctx, r)
				same(t, got, given)
				return err
			})
		}
		take(4, 4)
		take(4, 4)
		take(4, 2)
		take(4, 0)
		r.Window = 8
		take(40, 10)
		take(1, 0)
		r.Length = time.Second
		take(1, 1)
		r.What = digest("b")
		take(1, 1)
	},
	"requests/S-52 100 nodes at once": func(t *testing.T, db store.DB) {
		var given atomic.Int64
		errs := atOnce(100, func(int) error {
			n := 0
			err := db.Update(ctx, func(tx store.Tx) (err error) {
				n, err = tx.TakeRequests(ctx, store.Requests{What: digest("a"), Want: 7, Max: 60, Ends: now})
				return err
			})
			given.Add(int64(n))
			return err
		})
		tally(t, errs, nil)
		same(t, given.Load(), int64(60))
	},
	"requests/S-86 what has ended is forgotten": func(t *testing.T, db store.DB) {
		r := store.Requests{What: digest("a"), Want: 10, Max: 10, Ends: now}
		write(t, db, func(tx store.Tx) error { _, err := tx.TakeRequests(ctx, r); return err })
		if _, err := db.(store.Sweeper).Sweep(ctx, now.Add(time.Second), 10); err != nil {
			t.Fatal(err)
		}
		write(t, db, func(tx store.Tx) error {
			given, err := tx.TakeRequests(ctx, r)
			same(t, given, 10)
			return err
		})
	},
}
