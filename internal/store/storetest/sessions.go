package storetest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

func aSession(id string, u ident.UserID) store.Session {
	return store.Session{
		ID: id, Value: valueOf(id), User: u, Created: now, Seen: now, Expires: now.Add(time.Hour),
		Proofs: []flow.Proof{{Kind: ident.Password, Method: ident.MethodPassword, At: now}},
	}
}

func valueOf(s string) secret.Digest { return secret.DigestOf(secret.SessionValue, s) }

var sessions = map[string]func(*testing.T, store.DB){
	"sessions/every field comes back": func(t *testing.T, db store.DB) {
		s := filled[store.Session]()
		write(t, db, func(tx store.Tx) error { return tx.AddSession(ctx, s) })
		refused(t, db, store.ErrExists, func(tx store.Tx) error { return tx.AddSession(ctx, s) })
		read(t, db, func(tx store.Tx) error {
			byValue, err := tx.Session(ctx, s.Value)
			same(t, byValue, s)
			if err != nil {
				return err
			}
			byID, err := tx.SessionByID(ctx, s.ID)
			same(t, byID, s)
			if err != nil {
				return err
			}
			all, err := tx.SessionsOf(ctx, s.User)
			same(t, all, []store.Session{s})
			return err
		})
	},
	"sessions/what nobody began": func(t *testing.T, db store.DB) {
		for _, find := range []func(store.Tx) error{
			func(tx store.Tx) error { _, err := tx.Session(ctx, valueOf("none")); return err },
			func(tx store.Tx) error { _, err := tx.SessionByID(ctx, "none"); return err },
			func(tx store.Tx) error { _, err := tx.HoldSession(ctx, "none"); return err },
			func(tx store.Tx) error { return tx.SeeSession(ctx, "none", now, now) },
			func(tx store.Tx) error { return tx.EndSession(ctx, "none", now) },
			func(tx store.Tx) error { return tx.PostponeLogout(ctx, "none", now) },
			func(tx store.Tx) error { return tx.DropLogout(ctx, "none") },
		} {
			refused(t, db, store.ErrNotFound, find)
		}
		refused(t, db, store.ErrStale, func(tx store.Tx) error { return tx.RaiseSession(ctx, valueOf("a"), aSession("none", "00u1")) })
		write(t, db, func(tx store.Tx) error {
			n, err := tx.EndSessionsOf(ctx, "00u1", "", now)
			same(t, n, 0)
			return err
		})
		refused(t, db, store.ErrStale, func(tx store.Tx) error {
			return tx.JoinSession(ctx, "none", store.Membership{Client: "0oa1", Server: "default", Joined: now})
		})
	},
	"sessions/a session is seen, the last one first": func(t *testing.T, db store.DB) {
		a, b := aSession("sesA", "00u1"), aSession("sesB", "00u1")
		write(t, db, func(tx store.Tx) error { return errors.Join(tx.AddSession(ctx, a), tx.AddSession(ctx, b)) })
		b.Seen, b.Expires = now.Add(time.Minute), now.Add(time.Hour+time.Minute)
		write(t, db, func(tx store.Tx) error { return tx.SeeSession(ctx, b.ID, b.Seen, b.Expires) })
		read(t, db, func(tx store.Tx) error {
			all, err := tx.SessionsOf(ctx, "00u1")
			same(t, all, []store.Session{b, a})
			return err
		})
	},
	"sessions/S-40 raised, it has another value, once": func(t *testing.T, db store.DB) {
		s := aSession("sesA", "00u1")
		write(t, db, func(tx store.Tx) error { return tx.AddSession(ctx, s) })
		raised := s
		raised.Value, raised.Seen, raised.Expires = valueOf("next"), now.Add(time.Minute), now.Add(2*time.Hour)
		raised.Proofs = append(raised.Proofs, flow.Proof{Kind: ident.Phone, Method: ident.MethodSMS, At: raised.Seen})
		var mu sync.Mutex
		won := 0
		for _, err := range atOnce(20, func(int) error {
			err := db.Update(ctx, func(tx store.Tx) error { return tx.RaiseSession(ctx, s.Value, raised) })
			if err == nil {
				mu.Lock()
				won++
				mu.Unlock()
			}
			return err
		}) {
			if err != nil && !errors.Is(err, store.ErrStale) {
				t.Error(err)
			}
		}
		same(t, won, 1)
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { _, err := tx.Session(ctx, s.Value); return err })
		read(t, db, func(tx store.Tx) error {
			got, err := tx.Session(ctx, raised.Value)
			same(t, got, raised)
			return err
		})
	},
	"sessions/who was entered is told of the end, once each": func(t *testing.T, db store.DB) {
		s := aSession("sesA", "00u1")
		one := store.Membership{Client: "0oa1", Server: "default", Joined: now}
		two := store.Membership{Client: "0oa2", Server: "other", Joined: now.Add(time.Second)}
		write(t, db, func(tx store.Tx) error {
			return errors.Join(tx.AddSession(ctx, s), tx.JoinSession(ctx, s.ID, two), tx.JoinSession(ctx, s.ID, one),
				tx.JoinSession(ctx, s.ID, store.Membership{Client: "0oa1", Server: "default", Joined: now.Add(time.Hour)}))
		})
		read(t, db, func(tx store.Tx) error {
			one, two := one, two
			one.SID, two.SID = s.ID, s.ID
			all, err := tx.Memberships(ctx, s.ID)
			same(t, all, []store.Membership{one, two})
			return err
		})
		end := now.Add(time.Minute)
		write(t, db, func(tx store.Tx) error { return tx.EndSession(ctx, s.ID, end) })
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { return tx.EndSession(ctx, s.ID, end) })
		due := func(at time.Time) (yes bool) {
			read(t, db, func(tx store.Tx) error {
				ids, err := tx.LogoutsDue(ctx, at, 10)
				yes = len(ids) > 0
				return err
			})
			return yes
		}
		same(t, []bool{due(now), due(end)}, []bool{false, true})
		lease := func(at time.Time) (all []store.Logout) {
			write(t, db, func(tx store.Tx) (err error) {
				all, err = leaseLogouts(tx, at, 10)
				return err
			})
			return all
		}
		got := lease(end)
		if len(got) != 2 {
			t.Fatalf("%d logouts are due: %+v", len(got), got)
		}
		for i, c := range []oauth.ClientID{"0oa1", "0oa2"} {
			l := got[i]
			if l.Client != c || l.Session != s.ID || l.User != s.User || l.Attempts != 0 || !l.Ends.Equal(end.Add(store.LogoutLife)) {
				t.Errorf("got %+v", l)
			}
		}
		same(t, len(lease(end.Add(time.Second))), 0) // somebody has them in hand
		write(t, db, func(tx store.Tx) error {
			return errors.Join(tx.DropLogout(ctx, got[0].ID), tx.PostponeLogout(ctx, got[1].ID, end.Add(time.Minute)))
		})
		again := lease(end.Add(time.Minute))
		if len(again) != 1 || again[0].Client != "0oa2" || again[0].Attempts != 1 {
			t.Errorf("due again: %+v", again)
		}
	},
	"sessions/S-65 one goes up in another, and its applications know it by its own id": func(t *testing.T, db store.DB) {
		entered := func(c oauth.ClientID, id string) store.Membership {
			return store.Membership{Client: c, Server: "default", Joined: now, SID: id}
		}
		write(t, db, func(tx store.Tx) error {
			var err error
			for _, id := range []string{"sesA", "sesB", "sesC"} {
				err = errors.Join(err, tx.AddSession(ctx, aSession(id, "00u1")), tx.JoinSession(ctx, id, entered("0oa1", "")))
			}
			return errors.Join(err, tx.JoinSession(ctx, "sesA", entered("0oa2", "")))
		})
		write(t, db, func(tx store.Tx) error { return tx.InheritSession(ctx, "sesA", "sesB", true) })
		write(t, db, func(tx store.Tx) error { return tx.InheritSession(ctx, "sesB", "sesC", true) })
		write(t, db, func(tx store.Tx) error { return tx.InheritSession(ctx, "sesC", "sesC", true) })
		for _, pair := range [][2]string{{"sesA", "sesC"}, {"sesC", "sesA"}} {
			refused(t, db, store.ErrStale, func(tx store.Tx) error { return tx.InheritSession(ctx, pair[0], pair[1], true) })
		}
		want := []store.Membership{entered("0oa1", "sesA"), entered("0oa1", "sesB"), entered("0oa1", "sesC"), entered("0oa2", "sesA")}
		read(t, db, func(tx store.Tx) error {
			all, err := tx.Memberships(ctx, "sesC")
			same(t, all, want)
			due, e := tx.LogoutsDue(ctx, now.Add(time.Hour), 10)
			same(t, len(due), 0) // nobody was signed out
			return errors.Join(err, e)
		})
		write(t, db, func(tx store.Tx) error { return tx.EndSession(ctx, "sesC", now) })
		write(t, db, func(tx store.Tx) error {
			all, err := leaseLogouts(tx, now, 10)
			var told []store.Membership
			for _, l := range all {
				told = append(told, entered(l.Client, l.Session))
			}
			same(t, told, []store.Membership{want[0], want[3], want[1], want[2]}) // by their ids
			return err
		})
	},
	"sessions/S-40 what it went up in is found, and whether that lends": func(t *testing.T, db store.DB) {
		none := func(sid string) {
			t.Helper()
			refused(t, db, store.ErrNotFound, func(tx store.Tx) error { _, _, err := tx.Heir(ctx, sid); return err })
		}
		heir := func(want string, lends map[string]bool) {
			t.Helper()
			read(t, db, func(tx store.Tx) error {
				for sid, lent := range lends {
					s, lends, err := tx.Heir(ctx, sid)
					if err != nil {
						return err
					}
					same(t, s, aSession(want, "00u1"))
					same(t, lends, lent)
				}
				return nil
			})
		}
		write(t, db, func(tx store.Tx) error {
			var err error
			for _, id := range []string{"sesA", "sesB", "sesC", "sesD"} {
				err = errors.Join(err, tx.AddSession(ctx, aSession(id, "00u1")))
			}
			return err
		})
		none("sesA") // it is there itself
		write(t, db, func(tx store.Tx) error { return tx.InheritSession(ctx, "sesA", "sesB", true) })
		heir("sesB", map[string]bool{"sesA": true})
		write(t, db, func(tx store.Tx) error { return tx.InheritSession(ctx, "sesB", "sesC", false) })
		heir("sesC", map[string]bool{"sesA": false, "sesB": false})
		write(t, db, func(tx store.Tx) error { return tx.InheritSession(ctx, "sesC", "sesD", true) })
		heir("sesD", map[string]bool{"sesA": false, "sesB": false, "sesC": true})
		write(t, db, func(tx store.Tx) error { return tx.EndSession(ctx, "sesD", now) })
		for _, sid := range []string{"sesA", "sesB", "sesC", "sesD"} {
			none(sid)
		}
	},
	"sessions/S-04 all of a user's end but one": func(t *testing.T, db store.DB) {
		write(t, db, func(tx store.Tx) error {
			for _, s := range []store.Session{aSession("sesA", "00u1"), aSession("sesB", "00u1"), aSession("sesC", "00u2")} {
				if err := errors.Join(tx.AddSession(ctx, s), tx.JoinSession(ctx, s.ID, store.Membership{Client: "0oa1", Server: "default", Joined: now})); err != nil {
					return err
				}
			}
			return nil
		})
		write(t, db, func(tx store.Tx) error {
			n, err := tx.EndSessionsOf(ctx, "00u1", "sesB", now)
			same(t, n, 1)
			return err
		})
		read(t, db, func(tx store.Tx) error {
			for id, want := range map[string]error{"sesA": store.ErrNotFound, "sesB": nil, "sesC": nil} {
				if _, err := tx.SessionByID(ctx, id); !errors.Is(err, want) {
					t.Errorf("%s: %v", id, err)
				}
			}
			return nil
		})
	},
	"sessions/S-65 who enters while it ends is told, or does not enter": func(t *testing.T, db store.DB) {
		join := func(tx store.Tx) error {
			return tx.JoinSession(ctx, "sesA", store.Membership{Client: "0oa1", Server: "default", Joined: now})
		}
		for name, end := range map[string]func(store.Tx) error{
			"this one":  func(tx store.Tx) error { return tx.EndSession(ctx, "sesA", now) },
			"all there": func(tx store.Tx) error { _, err := tx.EndSessionsOf(ctx, "00u1", "", now); return err },
		} {
			write(t, db, func(tx store.Tx) error { return tx.AddSession(ctx, aSession("sesA", "00u1")) })
			if one, two, overtaken := overlap(t, db, join, end); one != nil || two != nil || overtaken {
				t.Errorf("%s ends while an application enters: %v, %v, overtaken: %v", name, one, two, overtaken)
			}
			write(t, db, func(tx store.Tx) error {
				told, err := leaseLogouts(tx, now, 10)
				if len(told) != 1 {
					t.Errorf("%s ended: %d are told", name, len(told))
				}
				for _, l := range told {
					err = errors.Join(err, tx.DropLogout(ctx, l.ID))
				}
				return err
			})
			write(t, db, func(tx store.Tx) error { return tx.AddSession(ctx, aSession("sesA", "00u1")) })
			if one, two, _ := overlap(t, db, end, join); one != nil || !errors.Is(two, store.ErrStale) {
				t.Errorf("an application enters while %s ends: %v, %v", name, one, two)
			}
		}
	},
	"sessions/S-65 one that is held does not end": func(t *testing.T, db store.DB) {
		s := aSession("sesA", "00u1")
		for name, end := range map[string]func(store.Tx) error{
			"this one":   func(tx store.Tx) error { return tx.EndSession(ctx, "sesA", now) },
			"all there":  func(tx store.Tx) error { _, err := tx.EndSessionsOf(ctx, "00u1", "", now); return err },
			"raised":     func(tx store.Tx) error { return tx.RaiseSession(ctx, s.Value, s) },
			"the others": func(tx store.Tx) error { _, err := tx.EndSessionsOf(ctx, "00u1", "sesA", now); return err },
		} {
			write(t, db, func(tx store.Tx) error { return tx.AddSession(ctx, s) })
			one, two, overtaken := overlap(t, db, func(tx store.Tx) error {
				got, err := tx.HoldSession(ctx, "sesA")
				same(t, got, s)
				return err
			}, end)
			if one != nil || two != nil || overtaken {
				t.Errorf("%s: %v, %v, overtaken: %v", name, one, two, overtaken)
			}
			if name != "raised" && name != "the others" {
				continue
			}
			write(t, db, func(tx store.Tx) error { return tx.EndSession(ctx, "sesA", now) })
		}
	},
	"sessions/logouts are leased by one of many": func(t *testing.T, db store.DB) {
		write(t, db, func(tx store.Tx) error {
			s := aSession("sesA", "00u1")
			return errors.Join(tx.AddSession(ctx, s), tx.JoinSession(ctx, s.ID, store.Membership{Client: "0oa1", Server: "default", Joined: now}),
				tx.EndSession(ctx, s.ID, now))
		})
		var mu sync.Mutex
		got := 0
		for _, err := range atOnce(20, func(int) error {
			n := 0
			err := db.Update(ctx, func(tx store.Tx) error {
				all, err := leaseLogouts(tx, now, 10)
				n = len(all)
				return err
			})
			mu.Lock()
			got += n
			mu.Unlock()
			return err
		}) {
			if err != nil {
				t.Error(err)
			}
		}
		same(t, got, 1)
	},
	"sessions/S-65 logouts are told in turn, given back and held": func(t *testing.T, db store.DB) {
		write(t, db, func(tx store.Tx) (err error) {
			for _, m := range []struct {
				session string
				client  oauth.ClientID
				at      time.Time
			}{{"sesA", "0oa1", now}, {"sesB", "0oa1", now}, {"sesC", "0oa1", now.Add(time.Second)}, {"sesD", "0oa2", now.Add(2 * time.Second)}} {
				err = errors.Join(err, tx.AddSession(ctx, aSession(m.session, "00u1")), tx.JoinSession(ctx, m.session, store.Membership{Client: m.client, Server: "default", Joined: now}),
					tx.EndSession(ctx, m.session, m.at))
			}
			return err
		})
		at := now.Add(time.Minute)
		due := func(at time.Time, n int) (sessions string) {
			read(t, db, func(tx store.Tx) error {
				ids, err := tx.LogoutsDue(ctx, at, n)
				for _, id := range ids {
					sessions += id[3:4]
				}
				return err
			})
			return sessions
		}
		same(t, []string{due(at, 10), due(at, 2)}, []string{"ADBC", "AD"})

		var leased []store.Logout
		write(t, db, func(tx store.Tx) (err error) {
			leased, err = leaseLogouts(tx, at, 3)
			return err
		})
		same(t, len(leased), 3) // A, B and D, by their ids
		same(t, due(at, 10), "C")
		write(t, db, func(tx store.Tx) error {
			over := leased[1]
			over.Due = over.Due.Add(-time.Minute) // its lease ended, and another one began
			return errors.Join(tx.ReturnLogout(ctx, leased[0], at), tx.ReturnLogout(ctx, over, at), tx.ReturnLogout(ctx, store.Logout{ID: "none"}, at))
		})
		same(t, due(at, 10), "CA")
		write(t, db, func(tx store.Tx) error {
			again, err := leaseLogouts(tx, at, 10)
			if len(again) != 2 || again[0].ID != leased[0].ID || again[0].Attempts != 0 {
				t.Errorf("given back: %+v", again)
			}
			for _, l := range again {
				err = errors.Join(err, tx.ReturnLogout(ctx, l, at))
			}
			return errors.Join(err, tx.HoldLogouts(ctx, "0oa2", at, at.Add(2*time.Minute)), tx.HoldLogouts(ctx, "0oa1", at, at.Add(2*time.Minute)))
		})
		// What somebody has in hand is not held.
		same(t, []string{due(at, 10), due(at.Add(time.Minute), 10), due(at.Add(2*time.Minute), 10)}, []string{"", "BD", "BDAC"})
	},
	"sessions/S-86 what has expired is swept": func(t *testing.T, db store.DB) {
		write(t, db, func(tx store.Tx) error { return tx.AddSession(ctx, aSession("sesA", "00u1")) })
		if _, err := db.(store.Sweeper).Sweep(ctx, now.Add(2*time.Hour), 10); err != nil {
			t.Fatal(err)
		}
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { _, err := tx.SessionByID(ctx, "sesA"); return err })
	},
}

// leaseLogouts takes up to n that are due for a minute.
func leaseLogouts(tx store.Tx, at time.Time, n int) ([]store.Logout, error) {
	ids, err := tx.LogoutsDue(ctx, at, n)
	if err != nil {
		return nil, err
	}
	return tx.LeaseLogouts(ctx, ids, at, at.Add(time.Minute))
}
