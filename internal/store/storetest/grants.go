package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

func aGrant(id oauth.GrantID) oauth.Grant {
	return oauth.Grant{ID: id, Server: "default", Client: "0oa1", User: "00u1", Created: now, Expires: now.Add(time.Hour)}
}

var codes = map[string]func(*testing.T, store.DB){
	"codes/every field comes back": func(t *testing.T, db store.DB) {
		c := filled[store.Code]()
		c.Used = time.Time{}
		write(t, db, func(tx store.Tx) error { return tx.AddCode(ctx, c) })
		refused(t, db, store.ErrExists, func(tx store.Tx) error { return tx.AddCode(ctx, c) })
		c.Used = now
		write(t, db, func(tx store.Tx) error {
			got, err := tx.SpendCode(ctx, c.Digest, now)
			same(t, got, c)
			return err
		})
	},
	"codes/S-56 the second redemption learns whose it was": func(t *testing.T, db store.DB) {
		c := store.Code{Digest: digest("c"), Expires: now, Grant: aGrant("oar1")}
		write(t, db, func(tx store.Tx) error { return tx.AddCode(ctx, c) })
		write(t, db, func(tx store.Tx) error { _, err := tx.SpendCode(ctx, c.Digest, now); return err })
		c.Used = now
		refused(t, db, store.ErrSpent, func(tx store.Tx) error {
			got, err := tx.SpendCode(ctx, c.Digest, now.Add(time.Hour))
			same(t, got, c)
			return err
		})
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { _, err := tx.SpendCode(ctx, digest("d"), now); return err })
	},
	"codes/S-56 50 redemptions at once": func(t *testing.T, db store.DB) {
		write(t, db, func(tx store.Tx) error {
			return tx.AddCode(ctx, store.Code{Digest: digest("c"), Expires: now, Grant: aGrant("oar1")})
		})
		errs := atOnce(50, func(int) error {
			return db.Update(ctx, func(tx store.Tx) error {
				c, err := tx.SpendCode(ctx, digest("c"), now)
				if err != nil {
					return err
				}
				return tx.AddGrant(ctx, c.Grant)
			})
		})
		if won, lost := tally(t, errs, store.ErrSpent); won != 1 || lost != 49 {
			t.Errorf("%d redeemed the code, %d were refused", won, lost)
		}
		read(t, db, func(tx store.Tx) error { _, err := tx.Grant(ctx, "oar1"); return err })
	},
	"codes/S-56 a redemption that fails does not use the code": func(t *testing.T, db store.DB) {
		write(t, db, func(tx store.Tx) error { return tx.AddCode(ctx, store.Code{Digest: digest("c"), Expires: now}) })
		failed := errors.New("no")
		refused(t, db, failed, func(tx store.Tx) error {
			if _, err := tx.SpendCode(ctx, digest("c"), now); err != nil {
				return err
			}
			return failed
		})
		write(t, db, func(tx store.Tx) error { _, err := tx.SpendCode(ctx, digest("c"), now); return err })
	},
}

func holder(db store.DB, u ident.UserID, g oauth.GrantID, jti string) error {
	return db.View(ctx, func(tx store.Tx) error { _, err := tx.TokenHolder(ctx, u, g, jti); return err })
}

var grants = map[string]func(*testing.T, store.DB){
	"grants/every field comes back": func(t *testing.T, db store.DB) {
		g := filled[oauth.Grant]()
		write(t, db, func(tx store.Tx) error { return tx.AddGrant(ctx, g) })
		refused(t, db, store.ErrExists, func(tx store.Tx) error { return tx.AddGrant(ctx, g) })
		read(t, db, func(tx store.Tx) error {
			got, err := tx.Grant(ctx, g.ID)
			same(t, got, g)
			return err
		})
		missing(t, db, func(tx store.Tx) error { _, err := tx.Grant(ctx, "oarX"); return err })
	},
	"grants/revoked, and twice": func(t *testing.T, db store.DB) {
		g := aGrant("oar1")
		write(t, db, func(tx store.Tx) error { return tx.AddGrant(ctx, g) })
		for range 2 {
			write(t, db, func(tx store.Tx) error { return tx.RevokeGrant(ctx, g.ID) })
		}
		g.Revoked = true
		read(t, db, func(tx store.Tx) error {
			got, err := tx.Grant(ctx, g.ID)
			same(t, got, g)
			return err
		})
	},
	"grants/S-56 revoked before it is there, revoked from its beginning": func(t *testing.T, db store.DB) {
		write(t, db, func(tx store.Tx) error { return tx.RevokeGrant(ctx, "oar1") })
		missing(t, db, func(tx store.Tx) error { _, err := tx.Grant(ctx, "oar1"); return err })
		g := aGrant("oar1")
		write(t, db, func(tx store.Tx) error { return tx.AddGrant(ctx, g) })
		g.Revoked = true
		read(t, db, func(tx store.Tx) error {
			got, err := tx.Grant(ctx, g.ID)
			same(t, got, g)
			return err
		})
	},
	"grants/every field of a refresh token comes back": func(t *testing.T, db store.DB) {
		r := filled[store.Refresh]()
		write(t, db, func(tx store.Tx) error { return tx.AddRefresh(ctx, r) })
		refused(t, db, store.ErrExists, func(tx store.Tx) error { return tx.AddRefresh(ctx, r) })
		read(t, db, func(tx store.Tx) error {
			got, err := tx.Refresh(ctx, r.Digest)
			same(t, got, r)
			return err
		})
		missing(t, db, func(tx store.Tx) error { _, err := tx.Refresh(ctx, digest("x")); return err })
	},
	"grants/S-60 the second use learns whose it was": func(t *testing.T, db store.DB) {
		r := store.Refresh{Digest: digest("r"), Grant: "oar1", Created: now, Expires: now.Add(time.Hour)}
		write(t, db, func(tx store.Tx) error { return tx.AddRefresh(ctx, r) })
		r.Used = now
		write(t, db, func(tx store.Tx) error {
			got, err := tx.SpendRefresh(ctx, r.Digest, now)
			same(t, got, r)
			return err
		})
		refused(t, db, store.ErrSpent, func(tx store.Tx) error {
			got, err := tx.SpendRefresh(ctx, r.Digest, now.Add(-time.Hour))
			same(t, got, r)
			return err
		})
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { _, err := tx.SpendRefresh(ctx, digest("s"), now); return err })
	},
	"grants/S-60 50 uses at once": func(t *testing.T, db store.DB) {
		write(t, db, func(tx store.Tx) error { return tx.AddRefresh(ctx, store.Refresh{Digest: digest("r"), Grant: "oar1"}) })
		errs := atOnce(50, func(i int) error {
			return db.Update(ctx, func(tx store.Tx) error {
				r, err := tx.SpendRefresh(ctx, digest("r"), now)
				if err != nil {
					return err
				}
				return tx.AddRefresh(ctx, store.Refresh{Digest: digest(fmt.Sprint("next", i)), Grant: r.Grant})
			})
		})
		if won, _ := tally(t, errs, store.ErrSpent); won != 1 {
			t.Errorf("%d used the token", won)
		}
	},
	"grants/S-60 100 uses at once leave one successor, whose value they all know": func(t *testing.T, db store.DB) {
		next := store.Refresh{Digest: digest("next"), Grant: "oar1", Created: now, Expires: now.Add(time.Hour)}
		write(t, db, func(tx store.Tx) error { return tx.AddRefresh(ctx, store.Refresh{Digest: digest("r"), Grant: "oar1"}) })
		errs := atOnce(100, func(int) error {
			return db.Update(ctx, func(tx store.Tx) error {
				r, err := tx.SpendRefresh(ctx, digest("r"), now)
				if errors.Is(err, store.ErrSpent) { // the transaction goes on, and sees what the one that won has left
					got, err := tx.Refresh(ctx, next.Digest)
					if err == nil && (got != next || r.Used != now) {
						return fmt.Errorf("got %+v after %+v", got, r)
					}
					return err
				}
				if err != nil {
					return err
				}
				return tx.AddRefresh(ctx, next)
			})
		})
		if won, _ := tally(t, errs, nil); won != 100 {
			t.Errorf("%d of 100 found the successor", won)
		}
	},
	"grants/S-61 who holds a token": func(t *testing.T, db store.DB) {
		u := aUser(t, db, "00u1", "ada")
		write(t, db, func(tx store.Tx) error { return tx.AddGrant(ctx, aGrant("oar1")) })
		write(t, db, func(tx store.Tx) error { return tx.AddGrant(ctx, aGrant("oar2")) })
		read(t, db, func(tx store.Tx) error {
			got, err := tx.TokenHolder(ctx, u.ID, "oar1", "jti1")
			same(t, got, u)
			if err != nil {
				return err
			}
			got, number, err := tx.TokenHolderAndPhone(ctx, u.ID, "oar1", "jti1")
			same(t, got, u)
			same(t, number, secret.Text(""))
			return err
		})
		write(t, db, func(tx store.Tx) error {
			return errors.Join(
				tx.AddEnrollment(ctx, ident.Enrollment{ID: "lae1", User: u.ID, Kind: ident.Password, Secret: "hash", Created: now}),
				tx.AddEnrollment(ctx, ident.Enrollment{ID: "sms1", User: u.ID, Kind: ident.Phone, Secret: "+15550100", Created: now}))
		})
		read(t, db, func(tx store.Tx) error {
			got, number, err := tx.TokenHolderAndPhone(ctx, u.ID, "oar1", "jti1")
			same(t, got, u)
			same(t, number, secret.Text("+15550100"))
			return err
		})
		for range 2 {
			write(t, db, func(tx store.Tx) error { return tx.RevokeToken(ctx, "jti1", now.Add(time.Hour)) })
		}
		write(t, db, func(tx store.Tx) error { return tx.RevokeGrant(ctx, "oar2") })
		aUser(t, db, "00u2", "bob")
		for id, revoked := range map[oauth.GrantID]bool{"oar4": false, "oar5": true} {
			own := aGrant(id)
			own.User = ""
			write(t, db, func(tx store.Tx) error { return tx.AddGrant(ctx, own) })
			if revoked {
				write(t, db, func(tx store.Tx) error { return tx.RevokeGrant(ctx, id) })
			}
		}
		for name, c := range map[string]struct {
			u    ident.UserID
			g    oauth.GrantID
			jti  string
			want error
		}{
			"another token of the same grant": {"00u1", "oar1", "jti2", nil},
			"a revoked token":                 {"00u1", "oar1", "jti1", store.ErrSpent},
			"a token of a revoked grant":      {"00u1", "oar2", "jti3", store.ErrSpent},
			"a token of a grant that is gone": {"00u1", "oar3", "jti3", store.ErrSpent},
			"a token of a user who is gone":   {"00u9", "oar1", "jti2", store.ErrNotFound},
			"a token of another's grant":      {"00u2", "oar1", "jti2", store.ErrSpent},
			"a user's, of a client's grant":   {"00u1", "oar4", "jti2", store.ErrSpent},
			"a client's own":                  {"", "oar4", "jti2", nil},
			"a client's own, revoked":         {"", "oar4", "jti1", store.ErrSpent},
			"a client's own, the grant too":   {"", "oar5", "jti2", store.ErrSpent},
			"nobody's, of a user's grant":     {"", "oar1", "jti2", store.ErrSpent},
			"a client's own, the grant gone":  {"", "oar3", "jti2", store.ErrSpent},
		} {
			if err := holder(db, c.u, c.g, c.jti); !errors.Is(err, c.want) {
				t.Errorf("%s: got error %v, want %v", name, err, c.want)
			}
		}
	},
	"grants/S-60 revoking the family ends its access tokens": func(t *testing.T, db store.DB) {
		aUser(t, db, "00u1", "ada")
		write(t, db, func(tx store.Tx) error { return tx.AddGrant(ctx, aGrant("oar1")) })
		if err := holder(db, "00u1", "oar1", "jti1"); err != nil {
			t.Fatal(err)
		}
		write(t, db, func(tx store.Tx) error { return tx.RevokeGrant(ctx, "oar1") })
		if err := holder(db, "00u1", "oar1", "jti1"); !errors.Is(err, store.ErrSpent) {
			t.Errorf("got error %v", err)
		}
	},
}

// mark is recorded to see how far the log can be read.
const mark audit.Type = "storetest.mark"

// Events returns every event that was recorded before it was called. A database may keep an event back while
// a transaction that began before it goes on, whoever's it is: so a mark is recorded and waited for.
func Events(t testing.TB, db store.DB) []audit.Event {
	t.Helper()
	all, _ := tail(t, db, 0)
	return all
}

// tail reads the log from a position to its end, once all that was recorded so far can be read.
func tail(t testing.TB, db store.DB, after int64) (all []audit.Event, next int64) {
	t.Helper()
	this := audit.Event{Type: mark, At: now, Reason: ident.NewID("")}
	write(t, db, func(tx store.Tx) error { return tx.Record(ctx, this) })
	for until := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if all, next = follow(t, db, after); slices.ContainsFunc(all, func(e audit.Event) bool { return e.Reason == this.Reason }) {
			return slices.DeleteFunc(all, func(e audit.Event) bool { return e.Type == mark }), next
		}
		if time.Now().After(until) {
			t.Fatal("what was recorded a minute ago cannot be read")
		}
	}
}

// follow reads the log from a position to where it can be read, a few at a time.
func follow(t testing.TB, db store.DB, after int64) (all []audit.Event, next int64) {
	t.Helper()
	for next = after; ; {
		var got []audit.Event
		var to int64
		read(t, db, func(tx store.Tx) (err error) {
			got, to, err = tx.Events(ctx, next, 3)
			return err
		})
		if len(got) > 3 || len(got) > 0 && to <= next || len(got) == 0 && to != next {
			t.Fatalf("%d events after %d, then %d", len(got), next, to)
		}
		if len(got) == 0 {
			return all, next
		}
		all, next = append(all, got...), to
	}
}

var events = map[string]func(*testing.T, store.DB){
	"audit/S-71 every field comes back": func(t *testing.T, db store.DB) {
		e := filled[audit.Event]()
		write(t, db, func(tx store.Tx) error { return tx.Record(ctx, e) })
		e.Source.Language = "" // for texts, not for the record
		all, _ := tail(t, db, 0)
		same(t, all, []audit.Event{e})
	},
	"audit/events come in order, from a position on": func(t *testing.T, db store.DB) {
		var want []audit.Event
		for i := range 10 {
			e := audit.Event{Type: audit.Type(fmt.Sprint(i)), At: now}
			f := audit.Event{Type: audit.Type(fmt.Sprint(i, "b")), At: now.Add(-time.Hour)}
			want = append(want, e, f)
			write(t, db, func(tx store.Tx) error { return tx.Record(ctx, e, f) })
		}
		all, next := tail(t, db, 0)
		same(t, all, want)
		same(t, func() int { all, _ := tail(t, db, next); return len(all) }(), 0)
		write(t, db, func(tx store.Tx) error {
			if err := tx.Record(ctx, want[0]); err != nil {
				return err
			}
			return tx.Record(ctx, want[1])
		})
		all, _ = tail(t, db, next)
		same(t, all, want[:2])
	},
	"audit/S-71 not without the thing it describes": func(t *testing.T, db store.DB) {
		failed := errors.New("no")
		refused(t, db, failed, func(tx store.Tx) error {
			if err := tx.Record(ctx, audit.Event{Type: "x", At: now}); err != nil {
				return err
			}
			return failed
		})
		if all, _ := tail(t, db, 0); len(all) != 0 {
			t.Errorf("got %+v", all)
		}
	},
	"audit/whatever a user agent calls itself": func(t *testing.T, db store.DB) {
		write(t, db, func(tx store.Tx) error {
			return tx.Record(ctx, audit.Event{Type: "x", At: now, Source: audit.Source{Agent: "a\x00b\xffc\nd"}})
		})
		all, _ := tail(t, db, 0)
		same(t, all[0].Source.Agent, "a\x00b\ufffdc\nd")
	},
	"audit/S-71 a reader at the end of the log misses nothing": func(t *testing.T, db store.DB) {
		const writers, each = 8, 25
		var seen []audit.Event
		stop := make(chan struct{})
		var reader sync.WaitGroup
		reader.Go(func() {
			var got []audit.Event
			for at, last := int64(0), false; ; {
				select {
				case <-stop:
					last = true
				default:
				}
				got, at = follow(t, db, at)
				seen = append(seen, got...)
				if last {
					return
				}
			}
		})
		errs := atOnce(writers, func(w int) error {
			for i := range each {
				if err := db.Update(ctx, func(tx store.Tx) error {
					if err := tx.Record(ctx, audit.Event{Type: audit.Type(fmt.Sprint(w)), At: now.Add(time.Duration(i))}); err != nil {
						return err
					}
					if i%3 == 0 { // some transactions are slow, so that later ones pass them
						time.Sleep(time.Millisecond)
					}
					return tx.PutSetting(ctx, fmt.Sprint("w", w), fmt.Sprint(i))
				}); err != nil {
					return err
				}
			}
			return nil
		})
		close(stop)
		reader.Wait()
		tally(t, errs, nil)
		per := map[audit.Type]int{}
		for _, e := range seen {
			per[e.Type]++
		}
		for w := range writers {
			if n := per[audit.Type(fmt.Sprint(w))]; n != each {
				t.Errorf("of writer %d's %d events %d were seen", w, each, n)
			}
		}
	},
}
