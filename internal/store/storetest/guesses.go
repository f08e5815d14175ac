package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/store"
)

var passwords = limit.DefaultPasswords()

func guessOf(login, source string) store.Guess {
	return store.Guess{Login: login, Source: source, At: now}
}

// tryPassword counts one, as a caller does that keeps the limit.
func tryPassword(db store.DB, g store.Guess) (r store.Ruling, err error) {
	err = db.Update(ctx, func(tx store.Tx) (err error) {
		r, err = tx.CountGuess(ctx, g, passwords)
		return err
	})
	return r, err
}

// wantGuess counts one and says whether it must be judged.
func wantGuess(t *testing.T, db store.DB, g store.Guess, judged bool, want store.Ruling) {
	t.Helper()
	r, err := tryPassword(db, g)
	if err != nil && !errors.Is(err, store.ErrSpent) {
		t.Fatal(err)
	}
	if (err == nil) != judged || r != want {
		t.Fatalf("%+v: judged %t, %+v; want %t, %+v", g, err == nil, r, judged, want)
	}
}

var guesses = map[string]func(*testing.T, store.DB){
	"guesses/S-26 the tenth in a row makes the source rest, twice as long each time": func(t *testing.T, db store.DB) {
		g := guessOf("mary", "192.0.2.1")
		for range 9 {
			wantGuess(t, db, g, true, store.Ruling{})
		}
		for _, rest := range []time.Duration{1, 2, 4, 8, 15, 15} {
			wantGuess(t, db, g, true, store.Ruling{Paused: true})
			g.At = g.At.Add(rest*time.Minute - time.Microsecond)
			wantGuess(t, db, g, false, store.Ruling{})
			wantGuess(t, db, guessOf("paul", "192.0.2.1"), true, store.Ruling{}) // another account
			wantGuess(t, db, guessOf("mary", "192.0.2.2"), true, store.Ruling{}) // another source
			write(t, db, func(tx store.Tx) error { return tx.ClearGuess(ctx, guessOf("mary", "192.0.2.2"), passwords) })
			write(t, db, func(tx store.Tx) error { return tx.ClearGuess(ctx, guessOf("paul", "192.0.2.1"), passwords) })
			g.At = g.At.Add(time.Microsecond)
		}
	},
	"guesses/S-26 a right password ends the row": func(t *testing.T, db store.DB) {
		g := guessOf("mary", "192.0.2.1")
		for range 3 {
			for range 8 {
				wantGuess(t, db, g, true, store.Ruling{})
			}
			write(t, db, func(tx store.Tx) error { return tx.ClearGuess(ctx, g, passwords) })
		}
	},
	"guesses/S-11 S-26 200 guesses at once": func(t *testing.T, db store.DB) {
		errs := atOnce(200, func(int) error { _, err := tryPassword(db, guessOf("mary", "192.0.2.1")); return err })
		if won, lost := tally(t, errs, store.ErrSpent); won != 10 || lost != 190 {
			t.Errorf("%d guesses were counted and %d refused", won, lost)
		}
	},
	"guesses/S-11 S-26 200 guesses at once from as many sources": func(t *testing.T, db store.DB) {
		errs := atOnce(200, func(i int) error { _, err := tryPassword(db, guessOf("mary", fmt.Sprint("192.0.2.", i))); return err })
		if won, lost := tally(t, errs, store.ErrSpent); won != 100 || lost != 100 {
			t.Errorf("%d guesses were counted and %d refused", won, lost)
		}
	},
	"guesses/S-11 S-26 200 guesses at once about as many accounts": func(t *testing.T, db store.DB) {
		var source atomic.Int64
		errs := atOnce(200, func(i int) error {
			r, err := tryPassword(db, guessOf(fmt.Sprint("user", i), "192.0.2.1"))
			if r.Source {
				source.Add(1)
			}
			return err
		})
		if won, lost := tally(t, errs, store.ErrSpent); won != 100 || lost != 100 || source.Load() != 100 {
			t.Errorf("%d guesses were counted and %d refused, %d because of the source", won, lost, source.Load())
		}
	},
	"guesses/S-26 a hundred in a row stop the account, until it is forgotten": func(t *testing.T, db store.DB) {
		stop(t, db, "mary")
		wantGuess(t, db, guessOf("mary", "198.51.100.1"), false, store.Ruling{})
		later := guessOf("mary", "198.51.100.1")
		later.At = now.Add(29 * 24 * time.Hour)
		wantGuess(t, db, later, false, store.Ruling{})
		wantGuess(t, db, guessOf("paul", "198.51.100.1"), true, store.Ruling{})
		write(t, db, func(tx store.Tx) error { return tx.ForgetGuesses(ctx, "mary") })
		wantGuess(t, db, guessOf("mary", "198.51.100.1"), true, store.Ruling{})
		wantGuess(t, db, guessOf("mary", "203.0.113.0"), true, store.Ruling{})
	},
	"guesses/S-26 the hundred are in a row": func(t *testing.T, db store.DB) {
		for i := range 99 {
			wantGuess(t, db, guessOf("mary", fmt.Sprint("203.0.113.", i)), true, store.Ruling{})
		}
		write(t, db, func(tx store.Tx) error { return tx.ClearGuess(ctx, guessOf("mary", "203.0.113.98"), passwords) })
		for i := range 99 {
			wantGuess(t, db, guessOf("mary", fmt.Sprint("198.51.100.", i)), true, store.Ruling{})
		}
	},
	"guesses/S-27 others cannot keep out a device that is known, which has a budget of ten": func(t *testing.T, db store.DB) {
		stop(t, db, "mary")
		for i := range 110 { // her own source can try nothing more, about nobody
			if _, err := tryPassword(db, guessOf(fmt.Sprint("user", i), "192.0.2.1")); err != nil && !errors.Is(err, store.ErrSpent) {
				t.Fatal(err)
			}
		}
		g := guessOf("mary", "192.0.2.1")
		wantGuess(t, db, g, false, store.Ruling{Source: true})
		g.Device = "hers"
		for range 10 {
			wantGuess(t, db, g, true, store.Ruling{Device: true})
		}
		wantGuess(t, db, g, false, store.Ruling{Source: true}) // like anybody now
		other := g
		other.Device, other.Source = "her other one", "198.51.100.7"
		wantGuess(t, db, other, true, store.Ruling{Device: true})
		write(t, db, func(tx store.Tx) error { return tx.ClearGuess(ctx, other, passwords) })
		wantGuess(t, db, guessOf("mary", "198.51.100.9"), true, store.Ruling{}) // a success there ended it for all
	},
	"guesses/S-11 S-27 200 guesses at once on a known device": func(t *testing.T, db store.DB) {
		stop(t, db, "mary")
		errs := atOnce(200, func(i int) error {
			g := guessOf("mary", fmt.Sprint("192.0.2.", i))
			g.Device = "hers"
			_, err := tryPassword(db, g)
			return err
		})
		if won, lost := tally(t, errs, store.ErrSpent); won != 10 || lost != 190 {
			t.Errorf("%d guesses were counted and %d refused", won, lost)
		}
	},
	"guesses/S-26 the window of a source slides": func(t *testing.T, db store.DB) {
		at := func(d time.Duration, i int) store.Guess {
			g := guessOf(fmt.Sprint("user", i, d), "192.0.2.1")
			g.At = now.Add(d)
			return g
		}
		for i := range 100 {
			wantGuess(t, db, at(0, i), true, store.Ruling{})
		}
		wantGuess(t, db, at(10*time.Minute-time.Microsecond, 0), false, store.Ruling{Source: true})
		wantGuess(t, db, at(10*time.Minute, 1), true, store.Ruling{})
		wantGuess(t, db, at(10*time.Minute, 2), false, store.Ruling{Source: true}) // not a hundred more in an instant
		for i := range 50 {
			wantGuess(t, db, at(15*time.Minute, i), true, store.Ruling{})
		}
		wantGuess(t, db, at(15*time.Minute, 50), false, store.Ruling{Source: true})
		for i := range 100 {
			wantGuess(t, db, at(time.Hour, i), true, store.Ruling{})
		}
		wantGuess(t, db, at(time.Hour, 100), false, store.Ruling{Source: true})
	},
	"guesses/S-26 what was right is taken back from the source, refusals count": func(t *testing.T, db store.DB) {
		for i := range 300 {
			g := guessOf(fmt.Sprint("user", i), "192.0.2.1")
			wantGuess(t, db, g, true, store.Ruling{})
			write(t, db, func(tx store.Tx) error { return tx.ClearGuess(ctx, g, passwords) })
		}
		g := guessOf("mary", "192.0.2.1")
		for range 100 {
			write(t, db, func(tx store.Tx) error { return tx.CountRefusal(ctx, g, passwords) })
		}
		refused(t, db, store.ErrSpent, func(tx store.Tx) error { return tx.CountRefusal(ctx, g, passwords) })
		wantGuess(t, db, g, false, store.Ruling{Source: true})
	},
	"guesses/S-27 a device is known for the login that it signed in": func(t *testing.T, db store.DB) {
		knows := func(login, device string) (known bool) {
			read(t, db, func(tx store.Tx) (err error) {
				known, err = tx.KnowsDevice(ctx, login, digest(device))
				return err
			})
			return known
		}
		same(t, knows("mary", "a"), false)
		for range 2 {
			write(t, db, func(tx store.Tx) error { return tx.RememberDevice(ctx, "mary", digest("a"), now) })
		}
		same(t, knows("mary", "a"), true)
		same(t, knows("mary", "b"), false)
		same(t, knows("paul", "a"), false)
	},
	"guesses/S-86 what has ended is forgotten": func(t *testing.T, db store.DB) {
		wantGuess(t, db, guessOf("mary", "192.0.2.1"), true, store.Ruling{})
		write(t, db, func(tx store.Tx) error { return tx.RememberDevice(ctx, "mary", digest("a"), now) })
		if _, err := db.(store.Sweeper).Sweep(ctx, now.Add(limit.DeviceMemory+time.Second), 100); err != nil {
			t.Fatal(err)
		}
		read(t, db, func(tx store.Tx) error {
			known, err := tx.KnowsDevice(ctx, "mary", digest("a"))
			same(t, known, false)
			return err
		})
	},
}

// stop uses up all that the account has, from a hundred sources that have tried nothing else.
func stop(t *testing.T, db store.DB, login string) {
	t.Helper()
	for i := range 100 {
		wantGuess(t, db, guessOf(login, fmt.Sprint("203.0.113.", i)), true, store.Ruling{Stopped: i == 99})
	}
}
