package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/store"
)

func count(t *testing.T, db store.DB, q store.SendQuery) (n int) {
	t.Helper()
	read(t, db, func(tx store.Tx) (err error) {
		n, err = tx.CountSends(ctx, q)
		return err
	})
	return n
}

// capped adds a send unless there are max already, as a caller does that keeps a limit.
func capped(db store.DB, s store.Send, q store.SendQuery, max int) error {
	return db.Update(ctx, func(tx store.Tx) error {
		if err := tx.HoldSends(ctx, s); err != nil {
			return err
		}
		n, err := tx.CountSends(ctx, q)
		if err != nil {
			return err
		}
		if n >= max {
			return errCapped
		}
		return tx.AddSend(ctx, s)
	})
}

var errCapped = errors.New("the cap is reached")

var sends = map[string]func(*testing.T, store.DB){
	"sends/S-14 the last one to a number": func(t *testing.T, db store.DB) {
		last := func(name string) (at time.Time) {
			read(t, db, func(tx store.Tx) error {
				s, err := tx.LastSend(ctx, digest(name))
				at = s.At
				return err
			})
			return at
		}
		same(t, last("a"), time.Time{})
		for i, at := range []time.Time{now, now.Add(time.Minute), now.Add(time.Second)} {
			write(t, db, func(tx store.Tx) error {
				return tx.AddSend(ctx, store.Send{ID: fmt.Sprint(i), Number: digest("a"), User: ident.UserID(fmt.Sprint(i)), At: at})
			})
		}
		same(t, last("a"), now.Add(time.Minute))
		same(t, last("b"), time.Time{})
	},
	"sends/S-32 a window ends where it ends": func(t *testing.T, db store.DB) {
		s := store.Send{ID: "1", Number: digest("a"), User: "00u1", At: now}
		write(t, db, func(tx store.Tx) error { return tx.AddSend(ctx, s) })
		for since, want := range map[time.Duration]int{-time.Microsecond: 1, 0: 0, time.Microsecond: 0} {
			same(t, count(t, db, store.SendQuery{Number: s.Number, Since: now.Add(since)}), want)
			same(t, count(t, db, store.SendQuery{User: s.User, Since: now.Add(since)}), want)
		}
	},
	"sends/S-32 S-33 each limit counts its own": func(t *testing.T, db store.DB) {
		for i, s := range []store.Send{
			{Number: digest("a"), User: "00u1"},
			{Number: digest("a"), User: "00u1"},
			{Number: digest("b"), User: "00u1"},
			{Number: digest("b"), User: "00u1", Proved: true},
			{Number: digest("c"), User: "00u1", Proved: true},
			{Number: digest("a"), User: "00u2"},
		} {
			s.ID, s.At = fmt.Sprint(i), now
			write(t, db, func(tx store.Tx) error { return tx.AddSend(ctx, s) })
		}
		since := now.Add(-time.Minute)
		for name, c := range map[string]struct {
			q    store.SendQuery
			want int
		}{
			"a number":                        {store.SendQuery{Number: digest("a")}, 3},
			"a number's open ones":            {store.SendQuery{Number: digest("b"), Open: true}, 2},
			"a user":                          {store.SendQuery{User: "00u1"}, 5},
			"a user's unproved":               {store.SendQuery{User: "00u1", Unproved: true}, 3},
			"a user's numbers":                {store.SendQuery{User: "00u1", Numbers: true}, 3},
			"a user's unproved numbers":       {store.SendQuery{User: "00u1", Unproved: true, Numbers: true}, 2},
			"nobody's":                        {store.SendQuery{User: "00u3"}, 0},
			"what nobody ever sent to":        {store.SendQuery{Number: digest("d")}, 0},
			"who is neither number nor user":  {store.SendQuery{}, 0},
			"a user's numbers and open, both": {store.SendQuery{User: "00u1", Open: true, Numbers: true}, 3},
		} {
			c.q.Since = since
			if got := count(t, db, c.q); got != c.want {
				t.Errorf("%s: got %d, want %d", name, got, c.want)
			}
		}
	},
	"sends/S-32 a success opens the number again, not the count in all": func(t *testing.T, db store.DB) {
		q := store.SendQuery{Number: digest("a"), Since: now.Add(-time.Minute)}
		open := q
		open.Open = true
		add := func(id string, number string) {
			write(t, db, func(tx store.Tx) error { return tx.AddSend(ctx, store.Send{ID: id, Number: digest(number), At: now}) })
		}
		add("1", "a")
		add("2", "b")
		write(t, db, func(tx store.Tx) error { return tx.ClearSends(ctx, digest("a")) })
		add("3", "a")
		same(t, []int{count(t, db, q), count(t, db, open)}, []int{2, 1})
		same(t, count(t, db, store.SendQuery{Number: digest("b"), Since: q.Since, Open: true}), 1)
	},
	"sends/S-36 a refused message gives its allowance back": func(t *testing.T, db store.DB) {
		s := store.Send{ID: "1", Number: digest("a"), User: "00u1", At: now}
		write(t, db, func(tx store.Tx) error { return tx.AddSend(ctx, s) })
		refused(t, db, store.ErrExists, func(tx store.Tx) error { return tx.AddSend(ctx, s) })
		write(t, db, func(tx store.Tx) error { return tx.DropSend(ctx, "1") })
		same(t, count(t, db, store.SendQuery{Number: s.Number, Since: now.Add(-time.Hour)}), 0)
		write(t, db, func(tx store.Tx) error { return tx.DropSend(ctx, "1") }) // a crash may have it dropped twice
	},
	"sends/S-32 50 at once to one number": func(t *testing.T, db store.DB) {
		errs := atOnce(50, func(i int) error {
			s := store.Send{ID: fmt.Sprint(i), Number: digest("a"), User: ident.UserID(fmt.Sprint("00u", i)), At: now}
			return capped(db, s, store.SendQuery{Number: s.Number, Since: now.Add(-time.Minute), Open: true}, 5)
		})
		if won, _ := tally(t, errs, errCapped); won != 5 {
			t.Errorf("%d of 5 were sent", won)
		}
	},
	"sends/S-33 50 at once by one user": func(t *testing.T, db store.DB) {
		errs := atOnce(50, func(i int) error {
			s := store.Send{ID: fmt.Sprint(i), Number: digest(fmt.Sprint(i)), User: "00u1", At: now}
			return capped(db, s, store.SendQuery{User: s.User, Since: now.Add(-time.Minute), Numbers: true}, 3)
		})
		if won, _ := tally(t, errs, errCapped); won != 3 {
			t.Errorf("%d of 3 were sent", won)
		}
	},
	"sends/many numbers and users at once hold each other up without end": func(t *testing.T, db store.DB) {
		errs := atOnce(60, func(i int) error {
			s := store.Send{ID: fmt.Sprint(i), Number: digest(fmt.Sprint(i % 3)), User: ident.UserID(fmt.Sprint("00u", i%4)), At: now}
			return capped(db, s, store.SendQuery{Number: s.Number, Since: now.Add(-time.Minute)}, 60)
		})
		if won, _ := tally(t, errs, errCapped); won != 60 {
			t.Errorf("%d of 60 were sent", won)
		}
	},
}

func aMessage(id string) store.Message {
	return store.Message{ID: id, Channel: "sms", To: "+15550100", Body: "your code", Send: "snd1", Created: now,
		NotAfter: now.Add(5 * time.Minute), Status: store.Waiting, Due: now}
}

func lease(t *testing.T, db store.DB, worker string, at, until time.Time, n int) (got []store.Message) {
	t.Helper()
	write(t, db, func(tx store.Tx) (err error) {
		got, err = tx.LeaseMessages(ctx, worker, at, until, n)
		return err
	})
	return got
}

func ids(all []store.Message) (ids []string) {
	for _, m := range all {
		ids = append(ids, m.ID)
	}
	return ids
}

var messages = map[string]func(*testing.T, store.DB){
	"messages/every field comes back, leased": func(t *testing.T, db store.DB) {
		m := filled[store.Message]()
		m.Status, m.Due = store.Waiting, now
		write(t, db, func(tx store.Tx) error { return tx.AddMessage(ctx, m) })
		refused(t, db, store.ErrExists, func(tx store.Tx) error { return tx.AddMessage(ctx, m) })
		m.Lease, m.Due = "w", now.Add(time.Minute)
		same(t, lease(t, db, "w", now, m.Due, 10), []store.Message{m})
	},
	"messages/oldest first, so many and no more": func(t *testing.T, db store.DB) {
		for i, id := range []string{"c", "a", "b"} {
			m := aMessage(id)
			m.Created = now.Add(time.Duration(i) * time.Second)
			m.Due = m.Created
			write(t, db, func(tx store.Tx) error { return tx.AddMessage(ctx, m) })
		}
		later := now.Add(time.Hour)
		same(t, ids(lease(t, db, "w", now.Add(time.Minute), later, 2)), []string{"c", "a"})
		same(t, ids(lease(t, db, "w", now.Add(time.Minute), later, 2)), []string{"b"})
		same(t, ids(lease(t, db, "w", now.Add(time.Minute), later, 2)), []string(nil))
	},
	"messages/not before they are due": func(t *testing.T, db store.DB) {
		write(t, db, func(tx store.Tx) error { return tx.AddMessage(ctx, aMessage("a")) })
		same(t, ids(lease(t, db, "w", now.Add(-time.Microsecond), now, 9)), []string(nil))
		same(t, ids(lease(t, db, "w", now, now.Add(time.Minute), 9)), []string{"a"})
	},
	"messages/S-81 another node takes over when a lease ends": func(t *testing.T, db store.DB) {
		m := aMessage("a")
		m.Lease, m.Due = "first", now.Add(10*time.Second)
		write(t, db, func(tx store.Tx) error { return tx.AddMessage(ctx, m) })
		same(t, ids(lease(t, db, "second", now, now.Add(time.Minute), 9)), []string(nil))
		same(t, ids(lease(t, db, "second", m.Due, now.Add(time.Minute), 9)), []string{"a"})
		refused(t, db, store.ErrStale, func(tx store.Tx) error { return tx.Settle(ctx, "a", "first", store.Sent, now) })
		refused(t, db, store.ErrStale, func(tx store.Tx) error { return tx.Postpone(ctx, "a", "first", now, "") })
		write(t, db, func(tx store.Tx) error { return tx.Settle(ctx, "a", "second", store.Sent, now) })
	},
	"messages/S-81 who is late may settle if nobody took over": func(t *testing.T, db store.DB) {
		m := aMessage("a")
		m.Lease, m.Due = "first", now.Add(-time.Hour)
		write(t, db, func(tx store.Tx) error { return tx.AddMessage(ctx, m) })
		write(t, db, func(tx store.Tx) error { return tx.Settle(ctx, "a", "first", store.Sent, now) })
	},
	"messages/settled for good": func(t *testing.T, db store.DB) {
		write(t, db, func(tx store.Tx) error { return tx.AddMessage(ctx, aMessage("a")) })
		write(t, db, func(tx store.Tx) error { return tx.Settle(ctx, "a", "w", store.Refused, now) })
		refused(t, db, store.ErrStale, func(tx store.Tx) error { return tx.Settle(ctx, "a", "w", store.Sent, now) })
		refused(t, db, store.ErrStale, func(tx store.Tx) error { return tx.Postpone(ctx, "a", "w", now, "") })
		same(t, ids(lease(t, db, "w", now.Add(time.Hour), now.Add(2*time.Hour), 9)), []string(nil))
	},
	"messages/postponed: later, one attempt more, in nobody's hands": func(t *testing.T, db store.DB) {
		write(t, db, func(tx store.Tx) error { return tx.AddMessage(ctx, aMessage("a")) })
		lease(t, db, "first", now, now.Add(time.Hour), 9)
		write(t, db, func(tx store.Tx) error { return tx.Postpone(ctx, "a", "first", now.Add(time.Second), "a=1") })
		same(t, ids(lease(t, db, "second", now, now.Add(time.Hour), 9)), []string(nil))
		got := lease(t, db, "second", now.Add(time.Second), now.Add(time.Hour), 9)
		if len(got) != 1 || got[0].Attempts != 1 || got[0].Tried != "a=1" || got[0].Lease != "second" {
			t.Errorf("got %+v", got)
		}
	},
	"messages/dead ones are leased too, to be settled": func(t *testing.T, db store.DB) {
		write(t, db, func(tx store.Tx) error { return tx.AddMessage(ctx, aMessage("a")) })
		same(t, ids(lease(t, db, "w", now.Add(24*time.Hour), now.Add(25*time.Hour), 9)), []string{"a"})
	},
	"messages/S-81 workers at once share them out": func(t *testing.T, db store.DB) {
		for i := range 40 {
			write(t, db, func(tx store.Tx) error { return tx.AddMessage(ctx, aMessage(fmt.Sprint(i))) })
		}
		taken := make([][]store.Message, 8)
		for _, err := range atOnce(8, func(i int) error {
			for range 20 {
				var got []store.Message
				if err := db.Update(ctx, func(tx store.Tx) (err error) {
					got, err = tx.LeaseMessages(ctx, fmt.Sprint("w", i), now, now.Add(time.Hour), 3)
					return err
				}); err != nil {
					return err
				}
				taken[i] = append(taken[i], got...)
			}
			return nil
		}) {
			if err != nil {
				t.Error(err)
			}
		}
		times := map[string]int{}
		for _, all := range taken {
			for _, m := range all {
				times[m.ID]++
			}
		}
		for i := range 40 {
			if n := times[fmt.Sprint(i)]; n != 1 {
				t.Errorf("message %d was taken %d times", i, n)
			}
		}
	},
}
