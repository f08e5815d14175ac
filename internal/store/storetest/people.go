package storetest

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

func aUser(t testing.TB, db store.DB, id ident.UserID, login string) ident.User {
	t.Helper()
	u := ident.User{ID: id, Login: login, Status: ident.Active, Created: now, Updated: now}
	write(t, db, func(tx store.Tx) error { return tx.AddUser(ctx, u) })
	return u
}

func anEnrollment(u ident.UserID, id ident.EnrollmentID, k ident.Kind) ident.Enrollment {
	return ident.Enrollment{ID: id, User: u, Authenticator: "aut1", Kind: k, Secret: "+15550100", Created: now}
}

func enrollmentsOf(t *testing.T, db store.DB, u ident.UserID) (all []ident.Enrollment) {
	t.Helper()
	read(t, db, func(tx store.Tx) (err error) {
		all, err = tx.Enrollments(ctx, u)
		return err
	})
	return all
}

var people = map[string]func(*testing.T, store.DB){
	"people/S-79 who is held stays as they are": func(t *testing.T, db store.DB) {
		write(t, db, func(tx store.Tx) error {
			return errors.Join(
				tx.AddUser(ctx, ident.User{ID: "00u1", Login: "ada", Status: ident.Active, Created: now}),
				tx.AddEnrollment(ctx, ident.Enrollment{ID: "lae1", User: "00u1", Kind: ident.Password, Method: ident.MethodPassword, Secret: "x", Created: now}))
		})
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { _, _, err := tx.HoldPerson(ctx, "00u2"); return err })
		var user ident.User
		var all []ident.Enrollment
		hold := func(tx store.Tx) (err error) { user, all, err = tx.HoldPerson(ctx, "00u1"); return err }
		suspend := func(tx store.Tx) error {
			u, err := tx.User(ctx, "00u1")
			u.Status = ident.Suspended
			return errors.Join(err, tx.PutUser(ctx, u))
		}
		drop := func(tx store.Tx) error { return tx.DropEnrollment(ctx, "lae1") }
		if one, two, overtaken := overlap(t, db, hold, suspend); one != nil || two != nil || overtaken || user.Status != ident.Active || len(all) != 1 || all[0].Secret != "x" {
			t.Errorf("suspended while held: %v, %v, overtaken: %v, got %s, %+v", one, two, overtaken, user.Status, all)
		}
		write(t, db, func(tx store.Tx) error {
			u, err := tx.User(ctx, "00u1")
			u.Status = ident.Active
			return errors.Join(err, tx.PutUser(ctx, u))
		})
		if one, two, _ := overlap(t, db, suspend, hold); one != nil || two != nil || user.Status != ident.Suspended {
			t.Errorf("held while suspended: %v, %v, got %s", one, two, user.Status)
		}
		if one, two, overtaken := overlap(t, db, hold, drop); one != nil || two != nil || overtaken || len(all) != 1 {
			t.Errorf("an enrollment is removed while held: %v, %v, overtaken: %v, got %+v", one, two, overtaken, all)
		}
		write(t, db, func(tx store.Tx) error {
			return tx.AddEnrollment(ctx, ident.Enrollment{ID: "lae1", User: "00u1", Kind: ident.Password, Method: ident.MethodPassword, Secret: "x", Created: now})
		})
		if one, two, _ := overlap(t, db, drop, hold); one != nil || two != nil || len(all) != 0 {
			t.Errorf("held while an enrollment is removed: %v, %v, got %+v", one, two, all)
		}
	},
	"people/S-79 who is held is removed after what is counted for them": func(t *testing.T, db store.DB) {
		count := func(tx store.Tx) error {
			_, _, err := tx.CountFailure(ctx, "00u1", ident.Phone, now, limit.DefaultCodes())
			return err
		}
		aUser(t, db, "00u1", "ada")
		write(t, db, count)
		var runs, removals atomic.Int32
		removed := make(chan error, 1)
		write(t, db, func(tx store.Tx) error {
			if _, _, err := tx.HoldPerson(ctx, "00u1"); err != nil {
				return err
			}
			if runs.Add(1) == 1 {
				go func() {
					removed <- db.Update(ctx, func(tx store.Tx) error { removals.Add(1); return tx.DropUser(ctx, "00u1") })
				}()
				time.Sleep(200 * time.Millisecond)
			}
			return count(tx)
		})
		// Whoever waits in a circle is sent back to the start.
		if err := <-removed; err != nil || runs.Load() != 1 || removals.Load() != 1 {
			t.Errorf("%v; one began %d times, the other %d", err, runs.Load(), removals.Load())
		}
		write(t, db, func(tx store.Tx) error {
			n, _, err := tx.CountFailure(ctx, "00u1", ident.Phone, now, limit.DefaultCodes())
			same(t, n, 1) // nothing is left of them
			return err
		})
	},
	"people/every field comes back": func(t *testing.T, db store.DB) {
		u, e := filled[ident.User](), filled[ident.Enrollment]()
		e.User = u.ID
		write(t, db, func(tx store.Tx) error {
			if err := tx.AddUser(ctx, u); err != nil {
				return err
			}
			return tx.AddEnrollment(ctx, e)
		})
		read(t, db, func(tx store.Tx) error {
			got, err := tx.User(ctx, u.ID)
			same(t, got, u)
			return err
		})
		same(t, enrollmentsOf(t, db, u.ID), []ident.Enrollment{e})
	},
	"people/S-28 found by the folded login, stored as typed": func(t *testing.T, db store.DB) {
		u := aUser(t, db, "00u1", " Ädä@Example.test ")
		folded, _ := ident.FoldLogin(u.Login)
		read(t, db, func(tx store.Tx) error {
			got, err := tx.UserByLogin(ctx, folded)
			same(t, got, u)
			return err
		})
		missing(t, db, func(tx store.Tx) error { _, err := tx.UserByLogin(ctx, u.Login); return err })
		refused(t, db, store.ErrExists, func(tx store.Tx) error { return tx.AddUser(ctx, ident.User{ID: "00u2", Login: "ÄDÄ@example.TEST"}) })
	},
	"people/S-28 a login that cannot be folded is nobody's": func(t *testing.T, db store.DB) {
		if err := db.Update(ctx, func(tx store.Tx) error { return tx.AddUser(ctx, ident.User{ID: "00u1", Login: "ada\u202e"}) }); err == nil {
			t.Error("it was given to somebody")
		}
	},
	"people/ids and logins are given once": func(t *testing.T, db store.DB) {
		aUser(t, db, "00u1", "ada")
		refused(t, db, store.ErrExists, func(tx store.Tx) error { return tx.AddUser(ctx, ident.User{ID: "00u1", Login: "bob"}) })
		missing(t, db, func(tx store.Tx) error { _, err := tx.UserByLogin(ctx, "bob"); return err })
		errs := atOnce(20, func(i int) error {
			return db.Update(ctx, func(tx store.Tx) error {
				return tx.AddUser(ctx, ident.User{ID: ident.UserID(ident.NewID("00u")), Login: "carol"})
			})
		})
		if won, _ := tally(t, errs, store.ErrExists); won != 1 {
			t.Errorf("%d got the login", won)
		}
	},
	"people/names that are no text are nobody's": func(t *testing.T, db store.DB) {
		aUser(t, db, "00u1", "ada")
		for _, name := range []string{"ada\x00", "ada\xff", "\x00", ""} {
			missing(t, db, func(tx store.Tx) error { _, err := tx.UserByLogin(ctx, name); return err })
			missing(t, db, func(tx store.Tx) error { _, err := tx.User(ctx, ident.UserID("00u1"+name+"x")); return err })
			missing(t, db, func(tx store.Tx) error { _, err := tx.Client(ctx, oauth.ClientID(name)); return err })
		}
		read(t, db, func(tx store.Tx) error {
			for _, name := range []string{"ada\x00", "ada"} { // a search in vain does not end the transaction
				tx.UserByLogin(ctx, name)
			}
			_, err := tx.User(ctx, "00u1")
			return err
		})
	},
	"people/changed": func(t *testing.T, db store.DB) {
		u, other := aUser(t, db, "00u1", "ada"), aUser(t, db, "00u2", "bob")
		u.Login, u.Status, u.GivenName, u.Updated = "Lovelace", ident.Suspended, "Ada", now.Add(time.Hour)
		write(t, db, func(tx store.Tx) error { return tx.PutUser(ctx, u) })
		read(t, db, func(tx store.Tx) error {
			got, err := tx.UserByLogin(ctx, "lovelace")
			same(t, got, u)
			return err
		})
		missing(t, db, func(tx store.Tx) error { _, err := tx.UserByLogin(ctx, "ada"); return err })
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { return tx.PutUser(ctx, ident.User{ID: "00u3", Login: "eve"}) })
		other.Login = "LOVELACE"
		refused(t, db, store.ErrExists, func(tx store.Tx) error { return tx.PutUser(ctx, other) })
	},
	"people/enrollments come oldest first": func(t *testing.T, db store.DB) {
		u := aUser(t, db, "00u1", "ada")
		aUser(t, db, "00u2", "bob")
		want := []ident.Enrollment{anEnrollment(u.ID, "z", "password"), anEnrollment(u.ID, "a", "phone"), anEnrollment(u.ID, "m", "email")}
		want[0].Created = now.Add(-time.Hour)
		for _, i := range []int{1, 0, 2} {
			write(t, db, func(tx store.Tx) error { return tx.AddEnrollment(ctx, want[i]) })
		}
		same(t, enrollmentsOf(t, db, u.ID), want)
		same(t, enrollmentsOf(t, db, "00u2"), []ident.Enrollment(nil))
	},
	"people/one enrollment of a kind": func(t *testing.T, db store.DB) {
		u := aUser(t, db, "00u1", "ada")
		aUser(t, db, "00u2", "bob")
		write(t, db, func(tx store.Tx) error { return tx.AddEnrollment(ctx, anEnrollment(u.ID, "1", "phone")) })
		refused(t, db, store.ErrExists, func(tx store.Tx) error { return tx.AddEnrollment(ctx, anEnrollment(u.ID, "2", "phone")) })
		refused(t, db, store.ErrExists, func(tx store.Tx) error { return tx.AddEnrollment(ctx, anEnrollment(u.ID, "1", "email")) })
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { return tx.AddEnrollment(ctx, anEnrollment("00u3", "3", "phone")) })
		write(t, db, func(tx store.Tx) error { return tx.AddEnrollment(ctx, anEnrollment("00u2", "3", "phone")) })
		same(t, len(enrollmentsOf(t, db, u.ID)), 1)
	},
	"people/S-22 of phones proved at once one is enrolled": func(t *testing.T, db store.DB) {
		u := aUser(t, db, "00u1", "ada")
		errs := atOnce(20, func(int) error {
			return db.Update(ctx, func(tx store.Tx) error {
				return tx.AddEnrollment(ctx, anEnrollment(u.ID, ident.EnrollmentID(ident.NewID("sms")), "phone"))
			})
		})
		if won, _ := tally(t, errs, store.ErrExists); won != 1 {
			t.Errorf("%d were enrolled", won)
		}
	},
	"people/an enrollment's secret is replaced, and nothing else": func(t *testing.T, db store.DB) {
		u := aUser(t, db, "00u1", "ada")
		e := anEnrollment(u.ID, "1", "password")
		write(t, db, func(tx store.Tx) error { return tx.AddEnrollment(ctx, e) })
		e.Secret = "another hash"
		put := e
		put.Hint, put.Kind = "no", "no"
		write(t, db, func(tx store.Tx) error { return tx.PutEnrollment(ctx, put) })
		same(t, enrollmentsOf(t, db, u.ID), []ident.Enrollment{e})
		write(t, db, func(tx store.Tx) error { return tx.DropEnrollment(ctx, "1") })
		same(t, enrollmentsOf(t, db, u.ID), []ident.Enrollment(nil))
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { return tx.PutEnrollment(ctx, e) })
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { return tx.DropEnrollment(ctx, "1") })
	},
}

var organisation = map[string]func(*testing.T, store.DB){
	"organisation/it has an id from the start": func(t *testing.T, db store.DB) {
		var first, second string
		read(t, db, func(tx store.Tx) (err error) { first, err = tx.OrgID(ctx); return err })
		read(t, db, func(tx store.Tx) (err error) { second, err = tx.OrgID(ctx); return err })
		if first != second || len(first) != 20 || first[:3] != "00o" {
			t.Errorf("got %q, then %q", first, second)
		}
	},
	"organisation/authenticators keep the order they were first put in": func(t *testing.T, db store.DB) {
		all := []ident.Authenticator{filled[ident.Authenticator](), {ID: "autB", Kind: "x", Key: "b"}, {ID: "autA", Kind: "y", Key: "a"}}
		all[1].Methods = []ident.Method{"sms"}
		for _, a := range all {
			write(t, db, func(tx store.Tx) error { return tx.PutAuthenticator(ctx, a) })
		}
		all[0].Methods, all[0].Key = nil, "changed"
		write(t, db, func(tx store.Tx) error { return tx.PutAuthenticator(ctx, all[0]) })
		read(t, db, func(tx store.Tx) error {
			got, err := tx.Authenticators(ctx)
			same(t, got, all)
			return err
		})
	},
	"organisation/every field of a client comes back": func(t *testing.T, db store.DB) {
		full := filled[oauth.Client]()
		bare := oauth.Client{ID: "0oa0", Created: now.Add(-time.Hour)}
		for _, c := range []oauth.Client{{ID: full.ID}, full, bare} {
			write(t, db, func(tx store.Tx) error { return tx.PutClient(ctx, c) })
		}
		read(t, db, func(tx store.Tx) error {
			got, err := tx.Client(ctx, full.ID)
			same(t, got, full)
			if err != nil {
				return err
			}
			all, err := tx.Clients(ctx)
			same(t, all, []oauth.Client{bare, full})
			return err
		})
		missing(t, db, func(tx store.Tx) error { _, err := tx.Client(ctx, "0oaX"); return err })
	},
	"organisation/a client that is gone is not altered back into being": func(t *testing.T, db store.DB) {
		full := filled[oauth.Client]()
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { return tx.AlterClient(ctx, full) })
		write(t, db, func(tx store.Tx) error {
			return errors.Join(tx.PutClient(ctx, oauth.Client{ID: full.ID}), tx.AlterClient(ctx, full))
		})
		read(t, db, func(tx store.Tx) error {
			got, err := tx.Clients(ctx)
			same(t, got, []oauth.Client{full})
			return err
		})
		write(t, db, func(tx store.Tx) error { return tx.DropClient(ctx, full.ID) })
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { return tx.AlterClient(ctx, full) })
	},
	"organisation/every field of a server comes back": func(t *testing.T, db store.DB) {
		full, other := filled[oauth.Server](), oauth.DefaultServer()
		for _, s := range []oauth.Server{{ID: full.ID}, other, full} {
			write(t, db, func(tx store.Tx) error { return tx.PutServer(ctx, s) })
		}
		read(t, db, func(tx store.Tx) error {
			got, err := tx.Server(ctx, full.ID)
			same(t, got, full)
			if err != nil {
				return err
			}
			all, err := tx.Servers(ctx)
			same(t, all, []oauth.Server{other, full})
			return err
		})
		missing(t, db, func(tx store.Tx) error { _, err := tx.Server(ctx, "X"); return err })
	},
	"organisation/settings": func(t *testing.T, db store.DB) {
		missing(t, db, func(tx store.Tx) error { _, err := tx.Setting(ctx, "epoch"); return err })
		for _, value := range []string{"1", "2"} {
			write(t, db, func(tx store.Tx) error { return tx.PutSetting(ctx, "epoch", value) })
			read(t, db, func(tx store.Tx) error {
				got, err := tx.Setting(ctx, "epoch")
				same(t, got, value)
				return err
			})
		}
	},
}

func keysIn(t *testing.T, db store.DB) (all []store.SigningKey) {
	t.Helper()
	read(t, db, func(tx store.Tx) (err error) {
		all, err = tx.SigningKeys(ctx)
		return err
	})
	return all
}

var signingKeys = map[string]func(*testing.T, store.DB){
	"keys/every field comes back, oldest first": func(t *testing.T, db store.DB) {
		young := filled[store.SigningKey]()
		old := store.SigningKey{ID: "z", Alg: "RS256", Private: []byte{0, 1}, Created: now.Add(-time.Hour), From: now}
		for _, k := range []store.SigningKey{young, old} {
			write(t, db, func(tx store.Tx) error { return tx.AddSigningKey(ctx, k) })
		}
		same(t, keysIn(t, db), []store.SigningKey{old, young})
		old.Retired = now.Add(time.Hour)
		write(t, db, func(tx store.Tx) error { return tx.PutSigningKey(ctx, old) })
		same(t, keysIn(t, db), []store.SigningKey{old, young})
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { return tx.PutSigningKey(ctx, store.SigningKey{ID: "y"}) })
	},
	"keys/S-69 of nodes that make the first one at once one does": func(t *testing.T, db store.DB) {
		errs := atOnce(10, func(i int) error {
			return db.Update(ctx, func(tx store.Tx) error {
				return tx.AddSigningKey(ctx, store.SigningKey{ID: "first", Private: secret.Bytes(8), Created: now})
			})
		})
		if won, _ := tally(t, errs, store.ErrExists); won != 1 || len(keysIn(t, db)) != 1 {
			t.Errorf("%d made it, %d are there", won, len(keysIn(t, db)))
		}
	},
}
