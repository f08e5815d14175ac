package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/store"
)

func take(db store.DB, t store.Take) (low bool, err error) {
	err = db.Update(ctx, func(tx store.Tx) (err error) {
		low, err = tx.TakeBudget(ctx, t)
		return err
	})
	return low, err
}

func aTake(max int) store.Take {
	return store.Take{Scope: "DE", Cap: limit.Cap{Per: time.Hour, Max: max}, At: now, Cost: 75_000}
}

func aCharge(message, gateway string, sure bool) store.Charge {
	return store.Charge{Message: message, Gateway: gateway, Country: "DE", At: now, Sure: sure, Price: 75_000, Currency: "EUR", Send: "snd-" + message}
}

func putCharge(t *testing.T, db store.DB, charges ...store.Charge) {
	t.Helper()
	for _, c := range charges {
		write(t, db, func(tx store.Tx) error { return tx.PutCharge(ctx, c) })
	}
}

func spent(t *testing.T, db store.DB) (all []store.Spent) {
	t.Helper()
	read(t, db, func(tx store.Tx) (err error) {
		all, err = tx.Spent(ctx, now.Add(-48*time.Hour), now.Add(48*time.Hour))
		return err
	})
	return all
}

func deliver(db store.DB, message, gateway string, d store.Delivery) (c store.Charge, err error) {
	err = db.Update(ctx, func(tx store.Tx) (err error) {
		c, err = tx.Deliver(ctx, message, gateway, d, now)
		return err
	})
	return c, err
}

var ledger = map[string]func(*testing.T, store.DB){
	"ledger/S-35 a budget is used up, and low is told once": func(t *testing.T, db store.DB) {
		for i := range 12 {
			low, err := take(db, aTake(10))
			if wantErr := i >= 10; errors.Is(err, store.ErrSpent) != wantErr || low != (i == 7) {
				t.Errorf("message %d: low %t, %v", i+1, low, err)
			}
		}
		next := aTake(10)
		next.At = now.Add(time.Hour)
		if _, err := take(db, next); err != nil {
			t.Errorf("the next window is used up, too: %v", err)
		}
		other := aTake(10)
		other.Scope = "AT"
		if _, err := take(db, other); err != nil {
			t.Errorf("so is another country: %v", err)
		}
	},
	"ledger/S-35 so much money and no more": func(t *testing.T, db store.DB) {
		dear := aTake(0)
		dear.Cap.Cost = 200_000
		for i := range 4 {
			low, err := take(db, dear)
			if errors.Is(err, store.ErrSpent) != (i >= 2) || low {
				t.Errorf("message %d: low %t, %v", i+1, low, err)
			}
		}
		dear.Scope, dear.Cost = "AT", 200_001
		if _, err := take(db, dear); !errors.Is(err, store.ErrSpent) {
			t.Errorf("one message alone costs more than there is: %v", err)
		}
	},
	"ledger/S-35 50 at once get what there is": func(t *testing.T, db store.DB) {
		errs := atOnce(50, func(int) error {
			_, err := take(db, aTake(7))
			return err
		})
		if won, _ := tally(t, errs, store.ErrSpent); won != 7 {
			t.Errorf("%d of 7 were sent", won)
		}
	},
	"ledger/S-36 a message that did not leave gives its part back": func(t *testing.T, db store.DB) {
		s := store.Send{ID: "1", Number: digest("a"), User: "00u1", Country: "DE", At: now, Cost: 75_000}
		caps := []store.Take{aTake(1), {Scope: "", Cap: limit.Cap{Per: 24 * time.Hour, Max: 1}, At: now, Cost: 75_000}}
		send := func() error {
			return db.Update(ctx, func(tx store.Tx) error {
				for _, c := range caps {
					if _, err := tx.TakeBudget(ctx, c); err != nil {
						return err
					}
				}
				return tx.AddSend(ctx, s)
			})
		}
		for range 2 {
			if err := send(); err != nil {
				t.Fatal(err)
			}
			if _, err := take(db, aTake(1)); !errors.Is(err, store.ErrSpent) {
				t.Fatalf("there was more than one: %v", err)
			}
			for range 2 { // a crash may have it dropped twice
				write(t, db, func(tx store.Tx) error { return tx.DropSend(ctx, "1") })
			}
		}
	},
	"ledger/S-35 nobody is charged twice": func(t *testing.T, db store.DB) {
		putCharge(t, db, aCharge("1", "a", false), aCharge("1", "b", true), aCharge("1", "b", true), aCharge("1", "b", false), aCharge("2", "a", true))
		later := aCharge("3", "a", true)
		later.At = now.Add(24 * time.Hour)
		putCharge(t, db, later)
		today, tomorrow := now.Truncate(24*time.Hour), now.Truncate(24*time.Hour).Add(24*time.Hour)
		same(t, spent(t, db), []store.Spent{
			{Day: today, Country: "DE", Gateway: "a", Currency: "EUR", Messages: 1, Price: 75_000, Unsure: 1, UnsurePrice: 75_000},
			{Day: today, Country: "DE", Gateway: "b", Currency: "EUR", Messages: 1, Price: 75_000},
			{Day: tomorrow, Country: "DE", Gateway: "a", Currency: "EUR", Messages: 1, Price: 75_000},
		})
		putCharge(t, db, aCharge("1", "a", true)) // it had taken it after all
		if got := spent(t, db)[0]; got.Messages != 2 || got.Unsure != 0 {
			t.Errorf("got %+v", got)
		}
	},
	"ledger/20 at once charge once": func(t *testing.T, db store.DB) {
		for _, err := range atOnce(20, func(i int) error {
			return db.Update(ctx, func(tx store.Tx) error { return tx.PutCharge(ctx, aCharge("1", "a", i%2 == 0)) })
		}) {
			if err != nil {
				t.Error(err)
			}
		}
		if got := spent(t, db); len(got) != 1 || got[0].Messages != 1 || got[0].Unsure != 0 {
			t.Errorf("got %+v", got)
		}
	},
	"ledger/what became of a message": func(t *testing.T, db store.DB) {
		write(t, db, func(tx store.Tx) error {
			return tx.AddSend(ctx, store.Send{ID: "snd-1", Number: digest("a"), Country: "DE", At: now})
		})
		putCharge(t, db, aCharge("1", "a", false))
		want := aCharge("1", "a", true)
		for _, step := range []struct {
			d   store.Delivery
			err error
		}{{store.Undelivered, nil}, {store.Undelivered, store.ErrStale}, {store.Delivered, nil}, {store.Undelivered, store.ErrStale}, {store.Delivered, store.ErrStale}} {
			c, err := deliver(db, "1", "a", step.d)
			if !errors.Is(err, step.err) {
				t.Errorf("%s: %v, want %v", step.d, err, step.err)
			}
			if want.Delivery = step.d; err == nil {
				same(t, c, want)
			}
		}
		if _, err := deliver(db, "1", "b", store.Delivered); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("of another gateway: %v", err)
		}
		if got := spent(t, db)[0]; got.Delivered != 1 || got.Undelivered != 0 || got.Messages != 1 {
			t.Errorf("got %+v", got)
		}
	},
	"sends/S-34 how many of the last were verified": func(t *testing.T, db store.DB) {
		add := func(i int, country string, age time.Duration, proved bool) {
			s := store.Send{ID: fmt.Sprint(country, i), Number: digest(fmt.Sprint(country, i)), Block: digest("block" + country), Country: country, At: now.Add(-age), Proved: proved}
			write(t, db, func(tx store.Tx) error { return tx.AddSend(ctx, s) })
		}
		for i := range 12 {
			add(i, "DE", time.Duration(60-i)*time.Minute, false)
		}
		add(12, "DE", time.Minute, false)   // may still be verified
		add(13, "DE", 30*time.Minute, true) // to a phone that is known
		add(14, "DE", 30*time.Minute, false)
		add(1, "AT", 30*time.Minute, false)
		clear := func(name string) { write(t, db, func(tx store.Tx) error { return tx.ClearSends(ctx, digest(name)) }) }
		clear("DE0")
		clear("DE11")
		putCharge(t, db, store.Charge{Message: "1", Gateway: "a", Send: "DE14"})
		if _, err := deliver(db, "1", "a", store.Undelivered); err != nil { // nobody could answer it
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			q    store.ConversionQuery
			want [2]int
		}{
			"a country":              {store.ConversionQuery{Country: "DE", Last: 50}, [2]int{12, 2}},
			"its last ten":           {store.ConversionQuery{Country: "DE", Last: 10}, [2]int{10, 1}},
			"since a pause":          {store.ConversionQuery{Country: "DE", Last: 50, Since: now.Add(-55 * time.Minute)}, [2]int{6, 1}},
			"a block":                {store.ConversionQuery{Block: digest("blockAT"), Last: 50}, [2]int{1, 0}},
			"where nothing was sent": {store.ConversionQuery{Country: "FR", Last: 50}, [2]int{}},
		} {
			c.q.Settled = now.Add(-5 * time.Minute)
			read(t, db, func(tx store.Tx) error {
				sent, verified, err := tx.Conversion(ctx, c.q)
				if got := [2]int{sent, verified}; got != c.want {
					t.Errorf("%s: %v, want %v", name, got, c.want)
				}
				return err
			})
		}
		clear("DE12")
		read(t, db, func(tx store.Tx) error {
			sent, verified, err := tx.Conversion(ctx, store.ConversionQuery{Country: "DE", Last: 50, Settled: now.Add(-5 * time.Minute)})
			same(t, []int{sent, verified}, []int{13, 3})
			return err
		})
	},
	"sends/S-34 a pause begins once": func(t *testing.T, db store.DB) {
		begun := 0
		for i, err := range atOnce(20, func(i int) error {
			return db.Update(ctx, func(tx store.Tx) error {
				ok, err := tx.Pause(ctx, "country DE", now, now.Add(time.Hour))
				if err == nil && !ok {
					return errCapped
				}
				return err
			})
		}) {
			if err == nil {
				begun++
			} else if !errors.Is(err, errCapped) {
				t.Errorf("%d: %v", i, err)
			}
		}
		same(t, begun, 1)
		until := func(scope string) (at time.Time) {
			read(t, db, func(tx store.Tx) (err error) {
				at, err = tx.Paused(ctx, scope)
				return err
			})
			return at
		}
		same(t, until("country DE"), now.Add(time.Hour))
		same(t, until("country AT"), time.Time{})
		write(t, db, func(tx store.Tx) error {
			ok, err := tx.Pause(ctx, "country DE", now.Add(time.Hour), now.Add(2*time.Hour))
			same(t, ok, true)
			return err
		})
		same(t, until("country DE"), now.Add(2*time.Hour))
	},
	"sends/S-34 counted by block and by address": func(t *testing.T, db store.DB) {
		for i, s := range []store.Send{
			{Number: digest("a"), Block: digest("b1"), Address: digest("x")},
			{Number: digest("b"), Block: digest("b1"), Address: digest("y"), Proved: true},
			{Number: digest("c"), Block: digest("b2"), Address: digest("x")},
			{Number: digest("d"), Block: digest("b2")},
		} {
			s.ID, s.At = fmt.Sprint(i), now
			write(t, db, func(tx store.Tx) error { return tx.AddSend(ctx, s) })
		}
		since := now.Add(-time.Minute)
		same(t, count(t, db, store.SendQuery{Block: digest("b1"), Since: since}), 2)
		same(t, count(t, db, store.SendQuery{Block: digest("b1"), Since: since, Unproved: true}), 1)
		same(t, count(t, db, store.SendQuery{Address: digest("x"), Since: since}), 2)
		same(t, count(t, db, store.SendQuery{Address: digest("z"), Since: since}), 0)
	},
	"sends/S-34 50 at once from one address": func(t *testing.T, db store.DB) {
		errs := atOnce(50, func(i int) error {
			s := store.Send{ID: fmt.Sprint(i), Number: digest(fmt.Sprint(i)), Address: digest("x"), At: now}
			return capped(db, s, store.SendQuery{Address: s.Address, Since: now.Add(-time.Minute)}, 5)
		})
		if won, _ := tally(t, errs, errCapped); won != 5 {
			t.Errorf("%d of 5 were sent", won)
		}
	},
	"sends/the gateway of the last one, until it was answered": func(t *testing.T, db store.DB) {
		write(t, db, func(tx store.Tx) error {
			if err := tx.AddSend(ctx, store.Send{ID: "1", Number: digest("a"), At: now}); err != nil {
				return err
			}
			return tx.SentBy(ctx, "1", "big")
		})
		by := func() (name string) {
			read(t, db, func(tx store.Tx) error {
				s, err := tx.LastSend(ctx, digest("a"))
				name = s.Gateway
				return err
			})
			return name
		}
		same(t, by(), "big")
		write(t, db, func(tx store.Tx) error { return tx.ClearSends(ctx, digest("a")) })
		same(t, by(), "")
	},
	"messages/one can be looked at, without what is in it": func(t *testing.T, db store.DB) {
		m := filled[store.Message]()
		write(t, db, func(tx store.Tx) error { return tx.AddMessage(ctx, m) })
		m.To, m.Body = "", ""
		read(t, db, func(tx store.Tx) error {
			got, err := tx.Message(ctx, m.ID)
			same(t, got, m)
			return err
		})
		missing(t, db, func(tx store.Tx) error { _, err := tx.Message(ctx, "another"); return err })
	},
}
