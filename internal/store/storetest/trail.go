package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/store"
)

// place is where the last event of the log stands, once all that was recorded can be read.
func place(t testing.TB, db store.DB) int64 {
	t.Helper()
	_, seq := tail(t, db, 0)
	return seq
}

func search(t testing.TB, db store.DB, q store.AuditQuery, n int) (found []audit.Entry) {
	t.Helper()
	read(t, db, func(tx store.Tx) (err error) {
		found, err = tx.Search(ctx, q, n)
		return err
	})
	return slices.DeleteFunc(found, func(e audit.Entry) bool { return e.Type == mark })
}

func reasons(all []audit.Entry) (names []string) {
	for _, e := range all {
		names = append(names, e.Reason)
	}
	return names
}

var trail = map[string]func(*testing.T, store.DB){
	"audit/S-73 found by whom, what, where from and when": func(t *testing.T, db store.DB) {
		from := func(a string) audit.Source { return audit.Source{Address: a} }
		for _, e := range []audit.Event{
			{Type: "signin.password.ok", Reason: "a", User: "00u1", Client: "0oa1", At: now, Source: from("192.0.2.1")},
			{Type: "signin.password.wrong", Reason: "b", User: "00u2", Client: "0oa1", At: now.Add(time.Minute), Source: from("192.0.2.2")},
			{Type: "signing", Reason: "c", User: "00u1", Client: "0oa2", At: now.Add(2 * time.Minute), Source: from("2001:db8::1")},
			{Type: "token.issued", Reason: "d", User: "00u1", Client: "0oa2", At: now.Add(3 * time.Minute)},
		} {
			write(t, db, func(tx store.Tx) error { return tx.Record(ctx, e) })
		}
		place(t, db)
		tests := map[string]struct {
			q    store.AuditQuery
			n    int
			want []string
		}{
			"all":                   {store.AuditQuery{Until: now.Add(time.Hour)}, 9, []string{"a", "b", "c", "d"}},
			"a user":                {store.AuditQuery{User: "00u1"}, 9, []string{"a", "c", "d"}},
			"a user's first":        {store.AuditQuery{User: "00u1"}, 2, []string{"a", "c"}},
			"a user's last":         {store.AuditQuery{User: "00u1", Last: true}, 2, []string{"c", "d"}},
			"a client":              {store.AuditQuery{Client: "0oa1"}, 9, []string{"a", "b"}},
			"a type":                {store.AuditQuery{Type: "signin.password.wrong"}, 9, []string{"b"}},
			"a family of types":     {store.AuditQuery{Type: "signin."}, 9, []string{"a", "b"}},
			"a source":              {store.AuditQuery{Source: "2001:db8::1"}, 9, []string{"c"}},
			"since":                 {store.AuditQuery{Since: now.Add(2 * time.Minute), Type: "signing"}, 9, []string{"c"}},
			"since, too late":       {store.AuditQuery{Since: now.Add(2*time.Minute + 1000), Type: "signing"}, 9, nil},
			"until":                 {store.AuditQuery{Until: now.Add(time.Minute)}, 9, []string{"a"}},
			"everything at once":    {store.AuditQuery{User: "00u1", Client: "0oa2", Type: "token.", Since: now, Until: now.Add(time.Hour)}, 9, []string{"d"}},
			"nobody":                {store.AuditQuery{User: "00u"}, 9, nil},
			"a name that cannot be": {store.AuditQuery{User: "00u\x00"}, 9, nil},
			"no pattern":            {store.AuditQuery{Type: "signin.%"}, 9, nil},
		}
		for name, test := range tests {
			if got := reasons(search(t, db, test.q, test.n)); fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("%s: got %v, want %v", name, got, test.want)
			}
		}
		first := search(t, db, store.AuditQuery{User: "00u1"}, 1)[0]
		same(t, reasons(search(t, db, store.AuditQuery{After: first.Seq, User: "00u1"}, 9)), []string{"c", "d"})
	},
	"audit/S-73 a seal in front hides nothing of what was asked for": func(t *testing.T, db store.DB) {
		for i := range 3 {
			at := now.Add(time.Duration(i) * time.Hour)
			write(t, db, func(tx store.Tx) error {
				return tx.Record(ctx, audit.Event{Type: "x", Reason: fmt.Sprint(i), At: at, User: "00u1"})
			})
			seq := place(t, db)
			write(t, db, func(tx store.Tx) error {
				return tx.AddSeal(ctx, audit.Seal{Link: audit.Link{Seq: seq, Events: int64(i + 1)}, At: at})
			})
		}
		for i, want := range []string{"[0 1 2]", "[1 2]", "[2]"} {
			got := search(t, db, store.AuditQuery{User: "00u1", Since: now.Add(time.Duration(i) * time.Hour)}, 9)
			same(t, fmt.Sprint(reasons(got)), want)
		}
	},
	"audit/S-73 seals are kept as they were made": func(t *testing.T, db store.DB) {
		one := filled[audit.Seal]()
		one.Seq, one.At = 10, now
		two := one
		two.Seq, two.At, two.Hash[0] = 20, now.Add(time.Hour), 9
		write(t, db, func(tx store.Tx) error { return tx.AddSeal(ctx, one) })
		write(t, db, func(tx store.Tx) error { return tx.AddSeal(ctx, two) })
		other := one
		other.Events++
		write(t, db, func(tx store.Tx) error { return tx.AddSeal(ctx, other) })
		for seq, want := range map[int64]audit.Seal{9: {}, 10: one, 19: one, 20: two, 99: two} {
			read(t, db, func(tx store.Tx) error {
				got, err := tx.Seal(ctx, seq)
				same(t, got, want)
				return err
			})
		}
		for at, want := range map[time.Duration]audit.Seal{0: {}, time.Second: one, time.Hour: one, 2 * time.Hour: two} {
			read(t, db, func(tx store.Tx) error {
				got, err := tx.SealBefore(ctx, now.Add(at))
				same(t, got, want)
				return err
			})
		}
	},
	"audit/S-73 what is trimmed is the oldest, a few at a time": func(t *testing.T, db store.DB) {
		for i := range 5 {
			write(t, db, func(tx store.Tx) error {
				return tx.Record(ctx, audit.Event{Type: "x", Reason: fmt.Sprint(i), At: now.Add(time.Duration(-i) * time.Hour), User: "00u1"})
			})
		}
		place(t, db)
		cut := search(t, db, store.AuditQuery{User: "00u1"}, 9)[2].Seq
		trimmed := func(want int64) {
			t.Helper()
			read(t, db, func(tx store.Tx) error {
				seal, err := tx.Trimmed(ctx)
				same(t, seal.Seq, want)
				return err
			})
		}
		refused(t, db, store.ErrNotFound, func(tx store.Tx) error {
			_, err := tx.TrimAudit(ctx, cut, 2)
			return err
		})
		write(t, db, func(tx store.Tx) error { return tx.AddSeal(ctx, audit.Seal{Link: audit.Link{Seq: cut}, At: now}) })
		trimmed(0)
		trim := func(want int, left string) {
			t.Helper()
			write(t, db, func(tx store.Tx) error {
				n, err := tx.TrimAudit(ctx, cut, 2)
				same(t, n, want)
				return err
			})
			same(t, fmt.Sprint(reasons(search(t, db, store.AuditQuery{User: "00u1"}, 9))), left)
		}
		trim(2, "[2 3 4]")
		trim(1, "[3 4]")
		trim(0, "[3 4]")
		trimmed(cut)
	},
	"watching/backlogs": func(t *testing.T, db store.DB) {
		want := store.Backlogs{}
		check := func() {
			t.Helper()
			read(t, db, func(tx store.Tx) error {
				got, err := tx.Backlogs(ctx)
				same(t, got, want)
				return err
			})
		}
		check()
		for i := range 2 {
			m := aMessage(fmt.Sprint("msg", i))
			m.Created, m.Status, m.Lease = now.Add(time.Duration(-i)*time.Minute), store.Waiting, ""
			write(t, db, func(tx store.Tx) error { return tx.AddMessage(ctx, m) })
		}
		want.Messages, want.Oldest = 2, now.Add(-time.Minute)
		check()
		write(t, db, func(tx store.Tx) error { return tx.Settle(ctx, "msg1", "", store.Sent, now) })
		want.Messages, want.Oldest = 1, now
		check()
		write(t, db, func(tx store.Tx) error { return tx.Record(ctx, audit.Event{Type: "x", At: now}) })
		want.Unsealed = 1
		check()
		seq := place(t, db)
		write(t, db, func(tx store.Tx) error { return tx.AddSeal(ctx, audit.Seal{Link: audit.Link{Seq: seq}, At: now}) })
		want.Unsealed = 0
		check()
	},
}
