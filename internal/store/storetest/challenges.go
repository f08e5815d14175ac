package storetest

import (
	"errors"
	"testing"
	"time"

	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/store"
)

func aChallenge(t *testing.T, db store.DB) store.Challenge {
	t.Helper()
	c := store.Challenge{ID: "chl1", Flow: digest("flow"), User: "00u1", Kind: ident.Phone, Method: ident.MethodSMS,
		Number: "+15550100", Nonce: [16]byte{1}, Created: now, Expires: now.Add(5 * time.Minute)}
	write(t, db, func(tx store.Tx) error { return tx.AddChallenge(ctx, c) })
	return c
}

func readChallenge(t *testing.T, db store.DB, c store.Challenge) store.Challenge {
	t.Helper()
	read(t, db, func(tx store.Tx) (err error) {
		c, err = tx.Challenge(ctx, c.ID)
		return err
	})
	return c
}

var challenges = map[string]func(*testing.T, store.DB){
	"challenges/every field comes back": func(t *testing.T, db store.DB) {
		c := filled[store.Challenge]()
		write(t, db, func(tx store.Tx) error { return tx.AddChallenge(ctx, c) })
		same(t, readChallenge(t, db, c), c)
		refused(t, db, store.ErrExists, func(tx store.Tx) error { return tx.AddChallenge(ctx, c) })
	},
	"challenges/nobody's is not found": func(t *testing.T, db store.DB) {
		aChallenge(t, db)
		for _, id := range []flow.ChallengeID{"", "chl2", "chl1\x00", "chl1\xff"} {
			missing(t, db, func(tx store.Tx) error { _, err := tx.Challenge(ctx, id); return err })
			refused(t, db, store.ErrNotFound, func(tx store.Tx) error { _, err := tx.CountTry(ctx, id, 5); return err })
		}
	},
	"challenges/S-11 a try is counted before it is judged, five and no more": func(t *testing.T, db store.DB) {
		c := aChallenge(t, db)
		for want := 1; want <= 5; want++ {
			write(t, db, func(tx store.Tx) error {
				got, err := tx.CountTry(ctx, c.ID, 5)
				c.Tries = want
				same(t, got, c)
				return err
			})
		}
		refused(t, db, store.ErrSpent, func(tx store.Tx) error {
			got, err := tx.CountTry(ctx, c.ID, 5)
			same(t, got, c)
			return err
		})
		same(t, readChallenge(t, db, c).Tries, 5)
	},
	"challenges/S-11 200 guesses at once": func(t *testing.T, db store.DB) {
		c := aChallenge(t, db)
		errs := atOnce(200, func(int) error {
			return db.Update(ctx, func(tx store.Tx) error { _, err := tx.CountTry(ctx, c.ID, 5); return err })
		})
		if won, lost := tally(t, errs, store.ErrSpent); won != 5 || lost != 195 {
			t.Errorf("%d tries were counted and %d refused", won, lost)
		}
		same(t, readChallenge(t, db, c).Tries, 5)
	},
	"challenges/S-13 a used code has no tries left": func(t *testing.T, db store.DB) {
		c := aChallenge(t, db)
		write(t, db, func(tx store.Tx) error { return tx.SpendChallenge(ctx, c.ID, now) })
		refused(t, db, store.ErrSpent, func(tx store.Tx) error { _, err := tx.CountTry(ctx, c.ID, 5); return err })
		refused(t, db, store.ErrSpent, func(tx store.Tx) error { return tx.SpendChallenge(ctx, c.ID, now) })
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { return tx.SpendChallenge(ctx, "chl2", now) })
		c.Used = now
		same(t, readChallenge(t, db, c), c)
	},
	"challenges/S-13 50 right answers at once": func(t *testing.T, db store.DB) {
		c := aChallenge(t, db)
		errs := atOnce(50, func(int) error {
			return db.Update(ctx, func(tx store.Tx) error { return tx.SpendChallenge(ctx, c.ID, now) })
		})
		if won, _ := tally(t, errs, store.ErrSpent); won != 1 {
			t.Errorf("%d used the code", won)
		}
	},
	"challenges/S-82 used stays used, whatever the clock": func(t *testing.T, db store.DB) {
		c := aChallenge(t, db)
		write(t, db, func(tx store.Tx) error { return tx.SpendChallenge(ctx, c.ID, time.Time{}) })
		refused(t, db, store.ErrSpent, func(tx store.Tx) error { return tx.SpendChallenge(ctx, c.ID, now.Add(-time.Hour)) })
	},
}

// guess counts one failure of user 00u1's phone and says whether it may be judged.
func guess(db store.DB, at time.Time) (failures int, until time.Time, err error) {
	err = db.Update(ctx, func(tx store.Tx) (err error) {
		failures, until, err = tx.CountFailure(ctx, "00u1", ident.Phone, at, limit.DefaultCodes())
		return err
	})
	return failures, until, err
}

func suspended(t *testing.T, db store.DB, u ident.UserID, k ident.Kind) (until time.Time) {
	t.Helper()
	read(t, db, func(tx store.Tx) (err error) {
		until, err = tx.Suspended(ctx, u, k)
		return err
	})
	return until
}

var failures = map[string]func(*testing.T, store.DB){
	"failures/S-10 the tenth suspends, longer each time, in the end for good": func(t *testing.T, db store.DB) {
		l, at := limit.DefaultCodes(), now
		for n := 1; n <= l.HardStop; n++ {
			got, until, err := guess(db, at)
			if err != nil || got != n || !until.IsZero() {
				t.Fatalf("failure %d: got %d, suspended until %s, error %v", n, got, until, err)
			}
			var want time.Time
			if rest := l.Suspension(n); rest > 0 {
				want = at.Add(rest)
			}
			if n%10 == 0 {
				same(t, suspended(t, db, "00u1", ident.Phone), want)
				// Refused to the last moment, and not counted: the clock alone lifts it.
				for _, early := range []time.Time{at, want.Add(-time.Microsecond)} {
					if got, until, err := guess(db, early); err != nil || got != n || !until.Equal(want) {
						t.Fatalf("after %d: got %d, suspended until %s, error %v", n, got, until, err)
					}
				}
				at = want
			}
		}
		if until := suspended(t, db, "00u1", ident.Phone); until.Before(now.Add(50 * 365 * 24 * time.Hour)) {
			t.Errorf("after the hard stop suspended until %s", until)
		}
	},
	"failures/S-10 50 guesses at once": func(t *testing.T, db store.DB) {
		errRefused := errors.New("suspended")
		errs := atOnce(50, func(int) error {
			_, until, err := guess(db, now)
			if err == nil && !until.IsZero() {
				err = errRefused
			}
			return err
		})
		if won, lost := tally(t, errs, errRefused); won != 10 || lost != 40 {
			t.Errorf("%d were counted and %d refused", won, lost)
		}
		if n, _, err := guess(db, now); err != nil || n != 10 {
			t.Errorf("%d are counted, error %v", n, err)
		}
	},
	"failures/S-10 a success clears, for that user and kind": func(t *testing.T, db store.DB) {
		count := func(u ident.UserID, k ident.Kind) (n int) {
			write(t, db, func(tx store.Tx) (err error) {
				n, _, err = tx.CountFailure(ctx, u, k, now, limit.DefaultCodes())
				return err
			})
			return n
		}
		for want := 1; want <= 3; want++ {
			same(t, []int{count("00u1", ident.Phone), count("00u1", "email"), count("00u2", ident.Phone)}, []int{want, want, want})
		}
		write(t, db, func(tx store.Tx) error { return tx.ClearFailures(ctx, "00u1", ident.Phone) })
		same(t, []int{count("00u1", ident.Phone), count("00u1", "email"), count("00u2", ident.Phone)}, []int{1, 4, 4})
	},
	"failures/a success lifts a suspension": func(t *testing.T, db store.DB) {
		for range 10 {
			if _, _, err := guess(db, now); err != nil {
				t.Fatal(err)
			}
		}
		same(t, suspended(t, db, "00u1", ident.Phone), now.Add(15*time.Minute))
		write(t, db, func(tx store.Tx) error { return tx.ClearFailures(ctx, "00u1", ident.Phone) })
		same(t, suspended(t, db, "00u1", ident.Phone), time.Time{})
		same(t, suspended(t, db, "00u2", ident.Phone), time.Time{})
	},
	"failures/S-82 a clock set back lifts nothing": func(t *testing.T, db store.DB) {
		for range 10 {
			if _, _, err := guess(db, now); err != nil {
				t.Fatal(err)
			}
		}
		if n, until, err := guess(db, now.Add(-time.Hour)); err != nil || n != 10 || until.IsZero() {
			t.Errorf("got %d, %s, %v", n, until, err)
		}
	},
}
