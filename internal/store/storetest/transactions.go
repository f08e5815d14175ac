package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/store"
)

func setting(t testing.TB, db store.DB, name string) (value string) {
	t.Helper()
	err := db.View(ctx, func(tx store.Tx) (err error) {
		value, err = tx.Setting(ctx, name)
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return value
}

func put(db store.DB, name, value string) error {
	return db.Update(ctx, func(tx store.Tx) error { return tx.PutSetting(ctx, name, value) })
}

var errNo = errors.New("no")

// within runs f in a goroutine of its own, as a request is, and waits for it whatever becomes of it.
func within(f func()) {
	var done sync.WaitGroup
	done.Add(1)
	go func() {
		defer done.Done()
		defer func() { _ = recover() }()
		f()
	}()
	done.Wait()
}

var transactions = map[string]func(*testing.T, Home){
	"transactions/an error undoes all of it": func(t *testing.T, h Home) {
		db := open(t, h)
		refused(t, db, errNo, func(tx store.Tx) error {
			if err := tx.PutSetting(ctx, "a", "1"); err != nil {
				return err
			}
			if err := tx.AddUser(ctx, ident.User{ID: "00u1", Login: "ada"}); err != nil {
				return err
			}
			return errNo
		})
		same(t, setting(t, db, "a"), "")
		missing(t, db, func(tx store.Tx) error { _, err := tx.User(ctx, "00u1"); return err })
	},
	"transactions/a transaction reads what it wrote": func(t *testing.T, h Home) {
		write(t, open(t, h), func(tx store.Tx) error {
			if err := tx.PutSetting(ctx, "a", "1"); err != nil {
				return err
			}
			got, err := tx.Setting(ctx, "a")
			same(t, got, "1")
			return err
		})
	},
	"transactions/a view must not write": func(t *testing.T, h Home) {
		db := open(t, h)
		if err := db.View(ctx, func(tx store.Tx) error { return tx.PutSetting(ctx, "a", "1") }); err == nil {
			t.Error("it was allowed to")
		}
		same(t, setting(t, db, "a"), "")
		if err := put(db, "a", "1"); err != nil {
			t.Error(err)
		}
	},
	"transactions/a view is one snapshot": func(t *testing.T, h Home) {
		db := open(t, h)
		if err := put(db, "a", "1"); err != nil {
			t.Fatal(err)
		}
		read(t, db, func(tx store.Tx) error {
			before, err := tx.Setting(ctx, "a")
			if err != nil {
				return err
			}
			within(func() { // somebody else
				if err := errors.Join(put(db, "a", "2"), put(db, "b", "2")); err != nil {
					t.Error(err)
				}
			})
			after, err := tx.Setting(ctx, "a")
			same(t, []string{before, after}, []string{"1", "1"})
			if err != nil {
				return err
			}
			if _, err := tx.Setting(ctx, "b"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("it sees what came later: error %v", err)
			}
			return nil
		})
		same(t, setting(t, db, "a"), "2")
	},
	"transactions/what was acknowledged is seen by who comes next": func(t *testing.T, h Home) {
		db := open(t, h)
		for i := range 200 {
			value := fmt.Sprint(i)
			if err := put(db, "a", value); err != nil {
				t.Fatal(err)
			}
			if got := setting(t, db, "a"); got != value {
				t.Fatalf("after %s got %s", value, got)
			}
		}
	},
	"transactions/one that fails does not harm those beside it": func(t *testing.T, h Home) {
		db := open(t, h)
		aUser(t, db, "00u0", "taken")
		errs := make([]error, 120)
		atOnce(len(errs), func(i int) error {
			errs[i] = errNo // stays for those who never come back
			within(func() {
				errs[i] = db.Update(ctx, func(tx store.Tx) error {
					if err := tx.PutSetting(ctx, fmt.Sprint(i), "1"); err != nil {
						return err
					}
					switch i % 6 {
					case 1:
						return errNo
					case 2:
						panic("somebody made a mistake")
					case 3:
						runtime.Goexit() // what FailNow does
					case 4:
						return tx.AddUser(ctx, ident.User{ID: "00u9", Login: "taken"})
					case 5:
						return tx.PutUser(ctx, ident.User{ID: "00u0", Login: "taken", GivenName: fmt.Sprint(i)})
					}
					return nil
				})
			})
			return nil
		})
		for i, err := range errs {
			want := "1"
			if i%6 >= 1 && i%6 <= 4 {
				want = ""
			}
			if got := setting(t, db, fmt.Sprint(i)); got != want || (err == nil) != (want == "1") {
				t.Errorf("update %d: got error %v, wrote %q", i, err, got)
			}
		}
	},
	"transactions/after a failure nothing more happens": func(t *testing.T, h Home) {
		db := open(t, h)
		aUser(t, db, "00u1", "ada")
		bob := aUser(t, db, "00u2", "bob")
		bob.Login = "ada"
		err := db.Update(ctx, func(tx store.Tx) error {
			if err := tx.PutSetting(ctx, "before", "1"); err != nil {
				return err
			}
			if err := tx.PutUser(ctx, bob); !errors.Is(err, store.ErrExists) {
				t.Errorf("got error %v", err)
			}
			if err := tx.PutSetting(ctx, "after", "1"); err == nil {
				t.Error("the transaction went on")
			}
			return nil // it forgets the error, against the contract
		})
		if !errors.Is(err, store.ErrExists) {
			t.Errorf("got error %v", err)
		}
		same(t, setting(t, db, "before")+setting(t, db, "after"), "")
	},
	"transactions/not found and lost races do not end it": func(t *testing.T, h Home) {
		db := open(t, h)
		aUser(t, db, "00u1", "ada")
		write(t, db, func(tx store.Tx) error {
			if _, err := tx.User(ctx, "00u2"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("got error %v", err)
			}
			if err := tx.AddUser(ctx, ident.User{ID: "00u2", Login: "ada"}); !errors.Is(err, store.ErrExists) {
				t.Errorf("got error %v", err)
			}
			if err := tx.PutFlow(ctx, flow.State{}, now); !errors.Is(err, store.ErrStale) {
				t.Errorf("got error %v", err)
			}
			return tx.PutSetting(ctx, "a", "1")
		})
		same(t, setting(t, db, "a"), "1")
	},
	"transactions/over is over": func(t *testing.T, h Home) {
		db := open(t, h)
		var kept store.Tx
		write(t, db, func(tx store.Tx) error { kept = tx; return nil })
		if err := kept.PutSetting(ctx, "a", "1"); err == nil {
			t.Error("a transaction was used after its end")
		}
		same(t, setting(t, db, "a"), "")
	},
	"transactions/one read has no second": func(t *testing.T, h Home) {
		db := open(t, h)
		write(t, db, func(tx store.Tx) error { return tx.PutSetting(ctx, "a", "1") })
		var got string
		if err := db.ViewOnce(ctx, func(tx store.Tx) (err error) { got, err = tx.Setting(ctx, "a"); return err }); err != nil || got != "1" {
			t.Errorf("got %q and error %v", got, err)
		}
		if err := db.ViewOnce(ctx, func(tx store.Tx) error {
			return errors.Join(second(tx.Setting(ctx, "a")), second(tx.Setting(ctx, "a")))
		}); err == nil {
			t.Error("two reads were taken for one")
		}
		if err := db.ViewOnce(ctx, func(tx store.Tx) error { return tx.PutSetting(ctx, "a", "2") }); err == nil {
			t.Error("a write was taken for a read")
		}
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if err := db.ViewOnce(gone, func(tx store.Tx) error { return second(tx.Setting(gone, "a")) }); !errors.Is(err, context.Canceled) {
			t.Errorf("got error %v", err)
		}
		// What failed has spoilt nothing.
		if err := db.ViewOnce(ctx, func(tx store.Tx) error { return second(tx.Setting(ctx, "nothing")) }); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("got error %v", err)
		}
		same(t, setting(t, db, "a"), "1")
	},
	"transactions/who gave up waiting wrote nothing": func(t *testing.T, h Home) {
		db := open(t, h)
		gone, cancel := context.WithCancel(ctx)
		cancel()
		for name, run := range map[string]func(context.Context, func(store.Tx) error) error{"update": db.Update, "view": db.View} {
			if err := run(gone, func(tx store.Tx) error { return tx.PutSetting(gone, "a", "1") }); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: got error %v", name, err)
			}
		}
		midway, cancel := context.WithCancel(ctx)
		err := db.Update(midway, func(tx store.Tx) error {
			if err := tx.PutSetting(midway, "a", "1"); err != nil {
				return err
			}
			cancel()
			return tx.PutSetting(midway, "b", "1")
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got error %v", err)
		}
		same(t, setting(t, db, "a"), "")
	},
	"transactions/a queue is left when the caller gives up": func(t *testing.T, h Home) {
		db := open(t, h)
		inside, leave := make(chan struct{}), make(chan struct{})
		var first sync.WaitGroup
		first.Go(func() {
			if err := db.Update(ctx, func(tx store.Tx) error {
				close(inside)
				<-leave
				return tx.PutSetting(ctx, "shared", "first")
			}); err != nil {
				t.Error(err)
			}
		})
		<-inside
		brief, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		// Where writers take turns this one waits for its own; elsewhere it does not wait at all.
		err := db.Update(brief, func(tx store.Tx) error { return tx.PutSetting(brief, "other", "second") })
		close(leave)
		first.Wait()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got error %v", err)
		}
		if wrote := setting(t, db, "other") != ""; wrote != (err == nil) {
			t.Errorf("wrote: %t, and the caller was told %v", wrote, err)
		}
		same(t, setting(t, db, "shared"), "first")
	},
	"transactions/S-75 one answer, all of it or nothing": func(t *testing.T, h Home) {
		db := open(t, h)
		atOnce(20, func(i int) error {
			for n := range 5 {
				err := db.Update(ctx, func(tx store.Tx) error {
					return errors.Join(tx.PutSetting(ctx, fmt.Sprint("a", i), fmt.Sprint(n)), tx.PutSetting(ctx, fmt.Sprint("b", i), fmt.Sprint(n)))
				})
				if err != nil {
					t.Error(err)
				}
				read(t, db, func(tx store.Tx) error {
					a, _ := tx.Setting(ctx, fmt.Sprint("a", i))
					b, err := tx.Setting(ctx, fmt.Sprint("b", i))
					if a != b || a != fmt.Sprint(n) {
						t.Errorf("after %d got %s and %s", n, a, b)
					}
					return err
				})
			}
			return nil
		})
	},
	"transactions/S-77 a closed database is unavailable": func(t *testing.T, h Home) {
		db, err := h.Open(Key(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := put(db, "a", "1"); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("update: got error %v", err)
		}
		if err := db.View(ctx, func(tx store.Tx) error { return nil }); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("view: got error %v", err)
		}
	},
	"transactions/S-82 the database has a clock": func(t *testing.T, h Home) {
		got, err := open(t, h).Now(ctx)
		if err != nil || time.Since(got).Abs() > time.Minute || got.Location() != time.UTC {
			t.Errorf("got %s, error %v", got, err)
		}
	},
}

var durability = map[string]func(*testing.T, Home){
	"durability/S-75 what was written is there when it opens again": func(t *testing.T, h Home) {
		db, err := h.Open(Key(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		u, s := aUser(t, db, "00u1", "ada"), aFlow("a")
		var org string
		write(t, db, func(tx store.Tx) (err error) {
			if err := tx.AddEnrollment(ctx, anEnrollment(u.ID, "1", "phone")); err != nil {
				return err
			}
			if err := tx.AddFlow(ctx, s, now); err != nil {
				return err
			}
			org, err = tx.OrgID(ctx)
			return err
		})
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = open(t, h)
		same(t, readFlow(t, db, s.Handle), s)
		same(t, enrollmentsOf(t, db, u.ID), []ident.Enrollment{anEnrollment(u.ID, "1", "phone")})
		read(t, db, func(tx store.Tx) error {
			got, err := tx.OrgID(ctx)
			same(t, got, org)
			return err
		})
	},
	"durability/S-79 two open at once share everything": func(t *testing.T, h Home) {
		a, b := open(t, h), open(t, h)
		c := aChallenge(t, a)
		errs := atOnce(40, func(i int) error {
			db := a
			if i%2 == 1 {
				db = b
			}
			return db.Update(ctx, func(tx store.Tx) error { _, err := tx.CountTry(ctx, c.ID, 5); return err })
		})
		if won, _ := tally(t, errs, store.ErrSpent); won != 5 {
			t.Errorf("%d tries were counted on two nodes", won)
		}
		same(t, readChallenge(t, b, c).Tries, 5)
	},
	"durability/S-84 several may begin at once": func(t *testing.T, h Home) {
		dbs := make([]store.DB, 5)
		for i, err := range atOnce(len(dbs), func(i int) (err error) {
			dbs[i], err = h.Open(Key(t, 1))
			return err
		}) {
			if err != nil {
				t.Error(err)
				continue
			}
			t.Cleanup(func() { dbs[i].Close() })
		}
	},
}

// The secrets that must not be found in what a thief gets.
const (
	thePhone    = "+15550100777"
	theHash     = "$argon2id$marker-of-a-hash"
	theBody     = "Acme: 482913 is your code"
	theKey      = "marker-of-a-private-key"
	theLogin    = "marker-of-a-typed-name"
	theRedirect = "https://marker-of-a-redirect.example"
)

var atRest = map[string]func(*testing.T, Home){
	"at rest/S-67 S-68 nothing secret in the clear": func(t *testing.T, h Home) {
		db, err := h.Open(Key(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		s := aFlow("a")
		s.Login, s.Current.Number, s.Request.Redirect = theLogin, thePhone, theRedirect
		m := aMessage("m")
		m.To, m.Body = thePhone, theBody
		aUser(t, db, "00u1", "marker-to-be-found")
		write(t, db, func(tx store.Tx) error {
			return errors.Join(
				tx.AddEnrollment(ctx, ident.Enrollment{ID: "1", User: "00u1", Kind: "password", Secret: theHash}),
				tx.AddEnrollment(ctx, ident.Enrollment{ID: "2", User: "00u1", Kind: "phone", Secret: thePhone}),
				tx.AddChallenge(ctx, store.Challenge{ID: "chl1", Number: thePhone, Expires: now}),
				tx.AddFlow(ctx, s, now), tx.AddMessage(ctx, m),
				tx.AddSigningKey(ctx, store.SigningKey{ID: "k", Private: []byte(theKey), Created: now}))
		})
		s.Version = 0
		write(t, db, func(tx store.Tx) error { return tx.PutFlow(ctx, s, now) })
		dumped := func() []byte {
			all := h.Dump(t)
			if !bytes.Contains(all, []byte("marker-to-be-found")) {
				t.Fatal("the dump does not hold the data")
			}
			return all
		}
		for range 2 { // with the log beside the file, and after a close
			all := dumped()
			for _, marker := range []string{thePhone, thePhone[1:], theHash, theBody, "482913", theKey, theLogin, theRedirect} {
				if bytes.Contains(all, []byte(marker)) {
					t.Errorf("%q is in the clear", marker)
				}
			}
			db.Close()
		}
	},
	"at rest/S-70 another master key is refused and changes nothing": func(t *testing.T, h Home) {
		db, err := h.Open(Key(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		aUser(t, db, "00u1", "ada")
		write(t, db, func(tx store.Tx) error { return tx.AddEnrollment(ctx, anEnrollment("00u1", "1", "phone")) })
		db.Close()
		if db, err := h.Open(Key(t, 2)); err == nil {
			db.Close()
			t.Fatal("it was accepted")
		}
		same(t, len(enrollmentsOf(t, open(t, h), "00u1")), 1)
	},
	"at rest/S-70 no key over old data, even with the mark gone": func(t *testing.T, h Home) {
		db, err := h.Open(Key(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		write(t, db, func(tx store.Tx) error {
			if err := tx.AddSigningKey(ctx, store.SigningKey{ID: "k", Private: []byte{1}}); err != nil {
				return err
			}
			return tx.PutSetting(ctx, "key.check", "")
		})
		db.Close()
		for _, b := range []byte{1, 2} {
			if db, err := h.Open(Key(t, b)); err == nil {
				db.Close()
				t.Errorf("key %d was accepted", b)
			}
		}
	},
	"at rest/S-70 no key over old data, even with the root gone": func(t *testing.T, h Home) {
		db, err := h.Open(Key(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		write(t, db, func(tx store.Tx) error { return tx.PutSetting(ctx, "key.root", "") })
		db.Close()
		for _, b := range []byte{1, 2} {
			if db, err := h.Open(Key(t, b)); err == nil {
				db.Close()
				t.Errorf("key %d was accepted", b)
			}
		}
	},
	"at rest/S-70 of two keys that come at once one gets the database": func(t *testing.T, h Home) {
		errs := atOnce(6, func(i int) error {
			db, err := h.Open(Key(t, byte(1+i%2)))
			if err == nil {
				err = db.Close()
			}
			return err
		})
		if won := []bool{errs[0] == nil, errs[1] == nil}; won[0] == won[1] {
			t.Fatalf("both or none: %v", errs)
		}
		for i, err := range errs {
			if (err == nil) != (errs[i%2] == nil) {
				t.Errorf("process %d: %v", i, err)
			}
		}
	},
}

var sweeps = map[string]func(*testing.T, store.DB){
	"sweep/S-86 what has ended goes, in batches": func(t *testing.T, db store.DB) {
		hour := func(n int) time.Time { return now.Add(time.Duration(n) * time.Hour) }
		for i := range 8 { // four ended before now, four have not
			end, id := hour(i-4), fmt.Sprint(i)
			write(t, db, func(tx store.Tx) error {
				return errors.Join(
					tx.AddFlow(ctx, aFlow(id), end),
					tx.AddChallenge(ctx, store.Challenge{ID: flow.ChallengeID(id), Expires: end}),
					tx.AddCode(ctx, store.Code{Digest: digest(id), Expires: end}),
					tx.AddRefresh(ctx, store.Refresh{Digest: digest(id), Expires: end}),
					tx.AddGrant(ctx, oauth.Grant{ID: oauth.GrantID(id), Expires: end}),
					tx.RevokeToken(ctx, id, end),
					tx.AddMessage(ctx, store.Message{ID: id, NotAfter: end.Add(-24 * time.Hour), Due: hour(99)}),
					tx.AddSend(ctx, store.Send{ID: id, Number: digest("n"), At: end.Add(-8 * 24 * time.Hour)}))
			})
		}
		write(t, db, func(tx store.Tx) error { return tx.RevokeGrant(ctx, "to come") })
		sweeper := db.(store.Sweeper)
		more, err := sweeper.Sweep(ctx, now, 3)
		if err != nil || !more {
			t.Fatalf("after three of four: more %t, error %v", more, err)
		}
		for n := 0; more; n++ {
			if more, err = sweeper.Sweep(ctx, now, 3); err != nil || n > 3 {
				t.Fatalf("sweep %d: error %v", n, err)
			}
		}
		for i := range 8 {
			gone := 0
			id := fmt.Sprint(i)
			for _, find := range []func(store.Tx) error{
				func(tx store.Tx) error { _, err := tx.Flow(ctx, aFlow(id).Handle); return err },
				func(tx store.Tx) error { _, err := tx.Challenge(ctx, flow.ChallengeID(id)); return err },
				func(tx store.Tx) error { _, err := tx.Refresh(ctx, digest(id)); return err },
				func(tx store.Tx) error { _, err := tx.Grant(ctx, oauth.GrantID(id)); return err },
			} {
				if err := db.View(ctx, find); errors.Is(err, store.ErrNotFound) {
					gone++
				} else if err != nil {
					t.Fatal(err)
				}
			}
			if want := map[bool]int{true: 4, false: 0}[i < 4]; gone != want {
				t.Errorf("of what ended in %d hours %d are gone, want %d", i-4, gone, want)
			}
			err := db.Update(ctx, func(tx store.Tx) error { _, err := tx.SpendCode(ctx, digest(id), now); return err })
			if errors.Is(err, store.ErrNotFound) != (i < 4) {
				t.Errorf("code %d: %v", i, err)
			}
		}
		same(t, count(t, db, store.SendQuery{Number: digest("n")}), 4)
		same(t, len(lease(t, db, "w", hour(100), hour(101), 99)), 4)
		aUser(t, db, "00u1", "ada")
		write(t, db, func(tx store.Tx) error { return tx.AddGrant(ctx, aGrant("oar1")) })
		for i := range 8 {
			if err := holder(db, "00u1", "oar1", fmt.Sprint(i)); (err == nil) != (i < 4) {
				t.Errorf("revoked token %d: %v", i, err)
			}
		}
		write(t, db, func(tx store.Tx) error { return tx.AddGrant(ctx, aGrant("to come")) })
		if err := holder(db, "00u1", "to come", "x"); !errors.Is(err, store.ErrSpent) {
			t.Errorf("a mark on a grant to come was swept: %v", err)
		}
	},
	"sweep/a settled message goes when it was settled": func(t *testing.T, db store.DB) {
		write(t, db, func(tx store.Tx) error { return tx.AddMessage(ctx, aMessage("a")) })
		write(t, db, func(tx store.Tx) error { return tx.Settle(ctx, "a", "", store.Sent, now) })
		for _, at := range []time.Time{now, now.Add(time.Microsecond)} {
			if _, err := db.(store.Sweeper).Sweep(ctx, at, 10); err != nil {
				t.Fatal(err)
			}
		}
		write(t, db, func(tx store.Tx) error { return tx.AddMessage(ctx, aMessage("a")) }) // its id is free again
	},
	"sweep/people, clients, keys and the audit log stay": func(t *testing.T, db store.DB) {
		aUser(t, db, "00u1", "ada")
		write(t, db, func(tx store.Tx) error {
			return errors.Join(tx.PutClient(ctx, oauth.Client{ID: "0oa1"}), tx.AddSigningKey(ctx, store.SigningKey{ID: "k", Retired: now}),
				tx.Record(ctx, audit.Event{Type: "x", At: now}), tx.AddEnrollment(ctx, anEnrollment("00u1", "1", "phone")))
		})
		if more, err := db.(store.Sweeper).Sweep(ctx, now.AddDate(50, 0, 0), 100); more || err != nil {
			t.Fatal(more, err)
		}
		read(t, db, func(tx store.Tx) error {
			_, err := tx.Client(ctx, "0oa1")
			if err != nil {
				return err
			}
			_, err = tx.User(ctx, "00u1")
			return err
		})
		all, _ := tail(t, db, 0)
		same(t, []int{len(all), len(keysIn(t, db)), len(enrollmentsOf(t, db, "00u1"))}, []int{1, 1, 1})
	},
	"reset/back to nothing but the schema and the key": func(t *testing.T, db store.DB) {
		aUser(t, db, "00u1", "ada")
		s := aFlow("a")
		write(t, db, func(tx store.Tx) error {
			return errors.Join(tx.AddEnrollment(ctx, anEnrollment("00u1", "1", "phone")), tx.AddFlow(ctx, s, now),
				tx.PutSetting(ctx, "epoch", "1"), tx.Record(ctx, audit.Event{Type: "x", At: now}),
				tx.AddSigningKey(ctx, store.SigningKey{ID: "k"}), tx.PutClient(ctx, oauth.Client{ID: "0oa1"}))
		})
		if err := db.(store.Resetter).Reset(ctx); err != nil {
			t.Fatal(err)
		}
		for _, find := range []func(store.Tx) error{
			func(tx store.Tx) error { _, err := tx.Flow(ctx, s.Handle); return err },
			func(tx store.Tx) error { _, err := tx.User(ctx, "00u1"); return err },
			func(tx store.Tx) error { _, err := tx.Client(ctx, "0oa1"); return err },
			func(tx store.Tx) error { _, err := tx.Setting(ctx, "epoch"); return err },
		} {
			missing(t, db, find)
		}
		all, _ := tail(t, db, 0)
		same(t, []int{len(all), len(keysIn(t, db))}, []int{0, 0})
		read(t, db, func(tx store.Tx) error { _, err := tx.OrgID(ctx); return err })
		aUser(t, db, "00u1", "ada")
	},
}

func second[T any](_ T, err error) error { return err }
