package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/store"
)

func aGroup(t testing.TB, db store.DB, id ident.GroupID, name string) ident.Group {
	t.Helper()
	g := ident.Group{ID: id, Name: name, Created: now}
	write(t, db, func(tx store.Tx) error { return tx.AddGroup(ctx, g) })
	return g
}

// logins asks for users page by page until none are left.
func logins(t testing.TB, db store.DB, q store.UserQuery) (all []string) {
	t.Helper()
	for {
		var page []ident.User
		read(t, db, func(tx store.Tx) (err error) { page, err = tx.Users(ctx, q); return err })
		if len(page) > q.N {
			t.Fatalf("%d users on a page of %d", len(page), q.N)
		}
		for _, u := range page {
			all = append(all, u.Login)
			q.After, _ = ident.FoldLogin(u.Login)
		}
		if len(page) == 0 {
			return all
		}
	}
}

func groupsOf(t testing.TB, db store.DB, u ident.UserID) (all []ident.Group) {
	t.Helper()
	read(t, db, func(tx store.Tx) (err error) { all, err = tx.GroupsOf(ctx, u); return err })
	return all
}

var groups = map[string]func(*testing.T, store.DB){
	"groups/every field comes back, by name": func(t *testing.T, db store.DB) {
		full, other := filled[ident.Group](), aGroup(t, db, "00g1", "alpha")
		write(t, db, func(tx store.Tx) error { return tx.AddGroup(ctx, full) })
		folded, _ := ident.FoldGroup(full.Name)
		read(t, db, func(tx store.Tx) error {
			got, err := tx.GroupByName(ctx, folded)
			same(t, got, full)
			if err != nil {
				return err
			}
			all, err := tx.Groups(ctx)
			same(t, all, []ident.Group{other, full})
			return err
		})
		missing(t, db, func(tx store.Tx) error { _, err := tx.GroupByName(ctx, "beta"); return err })
	},
	"groups/names are given once": func(t *testing.T, db store.DB) {
		g := aGroup(t, db, "00g1", "Night Crew")
		aGroup(t, db, "00g2", "other")
		refused(t, db, store.ErrExists, func(tx store.Tx) error { return tx.AddGroup(ctx, ident.Group{ID: "00g3", Name: "night  CREW "}) })
		refused(t, db, store.ErrExists, func(tx store.Tx) error { return tx.PutGroup(ctx, ident.Group{ID: "00g2", Name: "NIGHT crew"}) })
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { return tx.PutGroup(ctx, ident.Group{ID: "00g3", Name: "x"}) })
		g.Name, g.Description = "Day crew", "by day"
		write(t, db, func(tx store.Tx) error { return tx.PutGroup(ctx, g) })
		read(t, db, func(tx store.Tx) error { got, err := tx.GroupByName(ctx, "day crew"); same(t, got, g); return err })
		missing(t, db, func(tx store.Tx) error { _, err := tx.GroupByName(ctx, "night crew"); return err })
	},
	"groups/members come and go": func(t *testing.T, db store.DB) {
		ada, bob := aUser(t, db, "00u1", "ada"), aUser(t, db, "00u2", "bob")
		z, a := aGroup(t, db, "00g1", "zeta"), aGroup(t, db, "00g2", "alpha")
		for _, g := range []ident.GroupID{z.ID, a.ID} {
			write(t, db, func(tx store.Tx) error { return tx.AddMember(ctx, g, ada.ID) })
		}
		write(t, db, func(tx store.Tx) error { return tx.AddMember(ctx, z.ID, bob.ID) })
		same(t, groupsOf(t, db, ada.ID), []ident.Group{a, z})
		same(t, logins(t, db, store.UserQuery{Group: z.ID, N: 1}), []string{"ada", "bob"})
		read(t, db, func(tx store.Tx) error { n, err := tx.CountMembers(ctx, z.ID); same(t, n, 2); return err })
		refused(t, db, store.ErrExists, func(tx store.Tx) error { return tx.AddMember(ctx, z.ID, ada.ID) })
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { return tx.AddMember(ctx, z.ID, "00u3") })
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { return tx.AddMember(ctx, "00g3", ada.ID) })
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { return tx.DropMember(ctx, a.ID, bob.ID) })
		write(t, db, func(tx store.Tx) error { return tx.DropMember(ctx, z.ID, ada.ID) })
		same(t, groupsOf(t, db, ada.ID), []ident.Group{a})
		write(t, db, func(tx store.Tx) error { return tx.DropGroup(ctx, a.ID) })
		same(t, groupsOf(t, db, ada.ID), []ident.Group(nil))
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { return tx.DropGroup(ctx, a.ID) })
		write(t, db, func(tx store.Tx) error { return tx.DropUser(ctx, bob.ID) })
		read(t, db, func(tx store.Tx) error { n, err := tx.CountMembers(ctx, z.ID); same(t, n, 0); return err })
	},
	"people/a page at a time": func(t *testing.T, db store.DB) {
		for i, login := range []string{"eve", "Bob", "ada", "dan", "carol"} {
			aUser(t, db, ident.UserID(fmt.Sprint("00u", i)), login)
		}
		carol := ident.User{ID: "00u4", Login: "carol", Status: ident.Suspended}
		write(t, db, func(tx store.Tx) error { return tx.PutUser(ctx, carol) })
		for n := 1; n <= 6; n++ {
			same(t, logins(t, db, store.UserQuery{N: n}), []string{"ada", "Bob", "carol", "dan", "eve"})
		}
		same(t, logins(t, db, store.UserQuery{N: 2, Status: ident.Active}), []string{"ada", "Bob", "dan", "eve"})
		same(t, logins(t, db, store.UserQuery{N: 2, After: "bz"}), []string{"carol", "dan", "eve"})
		same(t, logins(t, db, store.UserQuery{N: 2, Group: "00g1"}), []string(nil))
		same(t, logins(t, db, store.UserQuery{N: 2, After: "\x00"}), []string(nil))
		read(t, db, func(tx store.Tx) error { n, err := tx.CountUsers(ctx); same(t, n, 5); return err })
	},
	"people/dropped with all that is theirs": func(t *testing.T, db store.DB) {
		u := aUser(t, db, "00u1", "ada")
		write(t, db, func(tx store.Tx) error { return tx.AddEnrollment(ctx, anEnrollment(u.ID, "1", "phone")) })
		write(t, db, func(tx store.Tx) error { return tx.DropUser(ctx, u.ID) })
		missing(t, db, func(tx store.Tx) error { _, err := tx.User(ctx, u.ID); return err })
		same(t, enrollmentsOf(t, db, u.ID), []ident.Enrollment(nil))
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { return tx.DropUser(ctx, u.ID) })
		aUser(t, db, "00u2", "ada") // the login is free again
	},
	"people/many at once, those in the way left out": func(t *testing.T, db store.DB) {
		aUser(t, db, "00u0", "taken")
		g := aGroup(t, db, "00g1", "staff")
		person := func(id ident.UserID, login string) store.Person {
			return store.Person{User: ident.User{ID: id, Login: login, Status: ident.Active, Created: now, Updated: now}}
		}
		var all []store.Person
		for i := range 1000 {
			p := person(ident.UserID(fmt.Sprintf("00u%04d", i)), fmt.Sprintf("user%04d", i))
			p.Enrollments = []ident.Enrollment{
				anEnrollment(p.User.ID, ident.EnrollmentID(fmt.Sprint("lae", i)), "password"),
				anEnrollment(p.User.ID, ident.EnrollmentID(fmt.Sprint("sms", i)), "phone"),
			}
			p.Groups = []ident.GroupID{g.ID}
			all = append(all, p)
		}
		all[17].User.Login = "TAKEN"
		all[400].User.Login = "user0399" // of one in the same statement
		all[601].User.Login = "user0003" // of one in an earlier one
		all[999].User.ID = "00u0998"
		var taken []int
		write(t, db, func(tx store.Tx) (err error) { taken, err = tx.AddPeople(ctx, all); return err })
		same(t, taken, []int{17, 400, 601, 999})
		same(t, len(logins(t, db, store.UserQuery{N: 100})), 997)
		for i, p := range all {
			if i%100 == 1 || slices.Contains(taken, i) && i != 999 {
				found, memberships, want := enrollmentsOf(t, db, p.User.ID), groupsOf(t, db, p.User.ID), 1
				if slices.Contains(taken, i) {
					want, p.Enrollments = 0, nil
				}
				same(t, found, p.Enrollments)
				same(t, len(memberships), want)
			}
		}
		write(t, db, func(tx store.Tx) (err error) { taken, err = tx.AddPeople(ctx, nil); return err })
		same(t, taken, []int(nil))
		lost := person("00u9", "lost")
		lost.Groups = []ident.GroupID{"00g9"}
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { _, err := tx.AddPeople(ctx, []store.Person{lost}); return err })
		missing(t, db, func(tx store.Tx) error { _, err := tx.User(ctx, "00u9"); return err })
	},
	"organisation/what is dropped is gone": func(t *testing.T, db store.DB) {
		write(t, db, func(tx store.Tx) error {
			return errors.Join(tx.PutClient(ctx, oauth.Client{ID: "0oa1"}), tx.PutServer(ctx, oauth.Server{ID: "srv"}),
				tx.PutAuthenticator(ctx, ident.Authenticator{ID: "aut1"}), tx.PutSetting(ctx, "name", "value"))
		})
		for _, drop := range []func(store.Tx) error{
			func(tx store.Tx) error { return tx.DropClient(ctx, "0oa1") },
			func(tx store.Tx) error { return tx.DropServer(ctx, "srv") },
			func(tx store.Tx) error { return tx.DropAuthenticator(ctx, "aut1") },
			func(tx store.Tx) error { return tx.DropSetting(ctx, "name") },
		} {
			write(t, db, drop)
			refused(t, db, store.ErrNotFound, drop)
		}
		read(t, db, func(tx store.Tx) error {
			clients, _ := tx.Clients(ctx)
			servers, _ := tx.Servers(ctx)
			authenticators, err := tx.Authenticators(ctx)
			same(t, []int{len(clients), len(servers), len(authenticators)}, []int{0, 0, 0})
			return err
		})
	},
	"grants/S-79 all of a user or a client end at once": func(t *testing.T, db store.DB) {
		for _, id := range []ident.UserID{"00u1", "00u2"} {
			aUser(t, db, id, string(id))
		}
		grant := func(id oauth.GrantID, u ident.UserID, c oauth.ClientID) oauth.Grant {
			g := aGrant(id)
			g.User, g.Client = u, c
			return g
		}
		for _, g := range []oauth.Grant{grant("oar1", "00u1", "0oa1"), grant("oar2", "00u1", "0oa2"), grant("oar3", "00u2", "0oa1"), grant("oar4", "00u2", "0oa2")} {
			write(t, db, func(tx store.Tx) error { return tx.AddGrant(ctx, g) })
		}
		for i, u := range []ident.UserID{"00u1", "00u2"} {
			code := store.Code{Digest: digest("code of " + string(u)), Expires: now, Grant: grant(oauth.GrantID(fmt.Sprint("oar", 5+i)), u, "0oa1")}
			write(t, db, func(tx store.Tx) error { return tx.AddCode(ctx, code) })
		}
		lives := func(want map[oauth.GrantID]bool) {
			t.Helper()
			for id, u := range map[oauth.GrantID]ident.UserID{"oar1": "00u1", "oar2": "00u1", "oar3": "00u2", "oar4": "00u2"} {
				err := db.View(ctx, func(tx store.Tx) error { _, err := tx.TokenHolder(ctx, u, id, "jti"); return err })
				if (err == nil) != want[id] || err != nil && !errors.Is(err, store.ErrSpent) {
					t.Errorf("grant %s: %v", id, err)
				}
			}
		}
		count := func(u ident.UserID, c oauth.ClientID, want int) {
			t.Helper()
			write(t, db, func(tx store.Tx) error { n, err := tx.RevokeGrantsOf(ctx, u, c); same(t, n, want); return err })
		}
		lives(map[oauth.GrantID]bool{"oar1": true, "oar2": true, "oar3": true, "oar4": true})
		count("00u1", "", 2)
		lives(map[oauth.GrantID]bool{"oar3": true, "oar4": true})
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { _, err := tx.SpendCode(ctx, digest("code of 00u1"), now); return err })
		count("00u1", "", 0)
		count("", "0oa1", 1)
		lives(map[oauth.GrantID]bool{"oar4": true})
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { _, err := tx.SpendCode(ctx, digest("code of 00u2"), now); return err })
		if err := db.Update(ctx, func(tx store.Tx) error { _, err := tx.RevokeGrantsOf(ctx, "", ""); return err }); err == nil {
			t.Error("the grants of nobody were revoked")
		}
	},
}
