package storetest

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

func aDevice(name string) store.Device {
	return store.Device{Digest: digest(name), UserCode: secret.Text(name), Server: "default", Client: "0oa1", Scopes: []string{"openid"},
		Created: now, Expires: now.Add(time.Hour), Wait: 5 * time.Second}
}

func addDevice(t *testing.T, db store.DB, d store.Device) {
	t.Helper()
	write(t, db, func(tx store.Tx) error { return tx.AddDevice(ctx, d) })
}

func spendDevice(db store.DB, d secret.Digest) error {
	return db.Update(ctx, func(tx store.Tx) error { _, err := tx.SpendDevice(ctx, d, now); return err })
}

var devices = map[string]func(*testing.T, store.DB){
	"devices/every field comes back but the user code": func(t *testing.T, db store.DB) {
		d := filled[store.Device]()
		d.Wait = d.Wait.Truncate(time.Microsecond)
		addDevice(t, db, d)
		code := d.UserCode
		d.UserCode = ""
		read(t, db, func(tx store.Tx) error {
			got, err := tx.DeviceByUserCode(ctx, code)
			same(t, got, d)
			return err
		})
		missing(t, db, func(tx store.Tx) error { _, err := tx.DeviceByUserCode(ctx, "X"); return err })
	},
	"devices/neither code is given to two": func(t *testing.T, db store.DB) {
		addDevice(t, db, aDevice("a"))
		again, other := aDevice("a"), aDevice("b")
		again.UserCode, other.UserCode = "b", "a"
		refused(t, db, store.ErrExists, func(tx store.Tx) error { return tx.AddDevice(ctx, again) })
		refused(t, db, store.ErrExists, func(tx store.Tx) error { return tx.AddDevice(ctx, other) })
	},
	"devices/a poll before its time makes the next one wait longer": func(t *testing.T, db store.DB) {
		d := aDevice("a")
		addDevice(t, db, d)
		for _, poll := range []struct {
			after int
			hasty bool
			wait  int
		}{{0, false, 5}, {4, true, 10}, {13, true, 15}, {28, false, 15}, {43, false, 15}, {57, true, 20}} {
			write(t, db, func(tx store.Tx) error {
				got, err := tx.PollDevice(ctx, d.Digest, now.Add(time.Duration(poll.after)*time.Second), 5*time.Second)
				if got.Hasty != poll.hasty || got.Wait != time.Duration(poll.wait)*time.Second {
					t.Errorf("after %d s: hasty %v, to wait %s", poll.after, got.Hasty, got.Wait)
				}
				return err
			})
		}
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { _, err := tx.PollDevice(ctx, digest("X"), now, 0); return err })
	},
	"devices/one decision stands": func(t *testing.T, db store.DB) {
		d := aDevice("a")
		addDevice(t, db, d)
		errs := atOnce(20, func(i int) error {
			g := aGrant(oauth.NewGrantID(string(rune('a' + i))))
			if i%2 == 0 {
				g = oauth.Grant{}
			}
			return db.Update(ctx, func(tx store.Tx) error { return tx.DecideDevice(ctx, "a", g, now) })
		})
		if won, lost := tally(t, errs, store.ErrSpent); won != 1 || lost != 19 {
			t.Errorf("%d decided, %d came late", won, lost)
		}
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { return tx.DecideDevice(ctx, "X", aGrant("oar1"), now) })
		late := aDevice("b")
		late.Expires = now
		addDevice(t, db, late)
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error { return tx.DecideDevice(ctx, "b", aGrant("oar1"), now) })
	},
	"devices/S-56 redeemed once, and not before somebody allowed it": func(t *testing.T, db store.DB) {
		for name, g := range map[string]oauth.Grant{"allowed": aGrant("oar1"), "denied": {}, "waiting": {}} {
			d := aDevice(name)
			addDevice(t, db, d)
			if name != "waiting" {
				write(t, db, func(tx store.Tx) error { return tx.DecideDevice(ctx, d.UserCode, g, now) })
			}
			errs := atOnce(20, func(int) error { return spendDevice(db, d.Digest) })
			if name != "allowed" {
				tally(t, errs, store.ErrNotFound)
				continue
			}
			if won, lost := tally(t, errs, store.ErrSpent); won != 1 || lost != 19 {
				t.Errorf("%d redeemed it, %d were refused", won, lost)
			}
			refused(t, db, store.ErrSpent, func(tx store.Tx) error {
				got, err := tx.SpendDevice(ctx, d.Digest, now)
				same(t, got.Grant, g)
				return err
			})
		}
	},
	"devices/S-79 what was allowed and not fetched ends with the user or the client": func(t *testing.T, db store.DB) {
		for name, end := range map[string]func(store.Tx) error{
			"user":   func(tx store.Tx) error { _, err := tx.RevokeGrantsOf(ctx, "00u1", ""); return err },
			"client": func(tx store.Tx) error { _, err := tx.RevokeGrantsOf(ctx, "", "0oa1"); return err },
		} {
			d := aDevice(name)
			addDevice(t, db, d)
			write(t, db, func(tx store.Tx) error { return tx.DecideDevice(ctx, d.UserCode, aGrant("oar1"), now) })
			write(t, db, end)
			refused(t, db, store.ErrNotFound, func(tx store.Tx) error { _, err := tx.SpendDevice(ctx, d.Digest, now); return err })
		}
	},
	"devices/S-86 swept": func(t *testing.T, db store.DB) {
		addDevice(t, db, aDevice("a"))
		for _, at := range []time.Time{now, now.Add(2 * time.Hour)} {
			if _, err := db.(store.Sweeper).Sweep(ctx, at, 10); err != nil {
				t.Fatal(err)
			}
			err := db.View(ctx, func(tx store.Tx) error { _, err := tx.DeviceByUserCode(ctx, "a"); return err })
			if gone := errors.Is(err, store.ErrNotFound); gone != at.After(now) {
				t.Errorf("at %s: %v", at, err)
			}
		}
	},
}

// A stolen database does not hold the eight letters (S-68), nor a plain digest of them.
var devicesAtRest = map[string]func(*testing.T, Home){
	"devices/S-68 no user code at rest": func(t *testing.T, h Home) {
		db := open(t, h)
		d := aDevice("a")
		d.UserCode = "WDJBMJHT"
		addDevice(t, db, d)
		plain := secret.DigestOf(secret.DeviceCode, "WDJBMJHT")
		if dump := h.Dump(t); bytes.Contains(dump, []byte("WDJBMJHT")) || bytes.Contains(dump, plain[:]) {
			t.Error("the user code can be read")
		}
	},
}
