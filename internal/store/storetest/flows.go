package storetest

import (
	"fmt"
	"testing"
	"time"

	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

func aFlow(name string) flow.State {
	return flow.Begin(digest("handle "+name), digest("interaction "+name), flow.Request{Client: "0oa1"}, now)
}

func readFlow(t *testing.T, db store.DB, h flow.Handle) flow.State {
	t.Helper()
	var s flow.State
	read(t, db, func(tx store.Tx) (err error) {
		s, err = tx.Flow(ctx, h)
		return err
	})
	return s
}

var flows = map[string]func(*testing.T, store.DB){
	"flows/every field comes back": func(t *testing.T, db store.DB) {
		s := filled[flow.State]()
		s.Version = 0
		write(t, db, func(tx store.Tx) error { return tx.AddFlow(ctx, s, now) })
		same(t, readFlow(t, db, s.Handle), s)
		s.Current, s.Proofs, s.Outcome = flow.Current{}, nil, flow.Outcome{}
		write(t, db, func(tx store.Tx) error { return tx.PutFlow(ctx, s, now) })
		s.Version++
		same(t, readFlow(t, db, s.Handle), s)
	},
	"flows/found by the interaction handle": func(t *testing.T, db store.DB) {
		a, b := aFlow("a"), aFlow("b")
		write(t, db, func(tx store.Tx) error {
			if err := tx.AddFlow(ctx, a, now); err != nil {
				return err
			}
			return tx.AddFlow(ctx, b, now)
		})
		read(t, db, func(tx store.Tx) error {
			got, err := tx.FlowByInteraction(ctx, b.Interaction)
			same(t, got, b)
			return err
		})
	},
	"flows/several without an interaction handle": func(t *testing.T, db store.DB) {
		for _, name := range []string{"a", "b"} {
			s := aFlow(name)
			s.Interaction = secret.Digest{}
			write(t, db, func(tx store.Tx) error { return tx.AddFlow(ctx, s, now) })
			same(t, readFlow(t, db, s.Handle), s)
		}
		missing(t, db, func(tx store.Tx) error { _, err := tx.FlowByInteraction(ctx, secret.Digest{}); return err })
	},
	"flows/nobody's handle is not found": func(t *testing.T, db store.DB) {
		s := aFlow("a")
		write(t, db, func(tx store.Tx) error { return tx.AddFlow(ctx, s, now) })
		missing(t, db, func(tx store.Tx) error { _, err := tx.Flow(ctx, s.Interaction); return err }) // the other kind of handle
		missing(t, db, func(tx store.Tx) error { _, err := tx.FlowByInteraction(ctx, s.Handle); return err })
		missing(t, db, func(tx store.Tx) error { _, err := tx.Flow(ctx, flow.Handle{}); return err })
	},
	"flows/a handle is added once": func(t *testing.T, db store.DB) {
		s := aFlow("a")
		write(t, db, func(tx store.Tx) error { return tx.AddFlow(ctx, s, now) })
		refused(t, db, store.ErrExists, func(tx store.Tx) error { return tx.AddFlow(ctx, s, now) })
	},
	"flows/second save is stale": func(t *testing.T, db store.DB) {
		s := aFlow("a")
		write(t, db, func(tx store.Tx) error { return tx.AddFlow(ctx, s, now) })
		first, second := s, s
		first.Stage, second.Stage = flow.Verify, flow.EnrollSelect
		write(t, db, func(tx store.Tx) error { return tx.PutFlow(ctx, first, now) })
		refused(t, db, store.ErrStale, func(tx store.Tx) error { return tx.PutFlow(ctx, second, now) })
		if got := readFlow(t, db, s.Handle); got.Stage != flow.Verify || got.Version != 1 {
			t.Errorf("got stage %s, version %d", got.Stage, got.Version)
		}
	},
	"flows/a flow that is gone is stale": func(t *testing.T, db store.DB) {
		refused(t, db, store.ErrStale, func(tx store.Tx) error { return tx.PutFlow(ctx, aFlow("a"), now) })
	},
	"flows/expired ones are found until they are swept (S-18)": func(t *testing.T, db store.DB) {
		s := aFlow("a")
		write(t, db, func(tx store.Tx) error { return tx.AddFlow(ctx, s, now.Add(-time.Hour)) })
		same(t, readFlow(t, db, s.Handle), s)
	},
	"flows/S-23 of saves at once one wins": func(t *testing.T, db store.DB) {
		s := aFlow("a")
		write(t, db, func(tx store.Tx) error { return tx.AddFlow(ctx, s, now) })
		errs := atOnce(50, func(i int) error {
			return db.Update(ctx, func(tx store.Tx) error {
				s, err := tx.Flow(ctx, s.Handle)
				if err != nil {
					return err
				}
				if s.Version != 0 {
					return store.ErrStale
				}
				s.Login = fmt.Sprint(i)
				if err := tx.PutFlow(ctx, s, now); err != nil {
					return err
				}
				return tx.AddCode(ctx, store.Code{Digest: digest(fmt.Sprint("code", i)), Expires: now})
			})
		})
		if won, _ := tally(t, errs, store.ErrStale); won != 1 {
			t.Errorf("%d saves of one version won", won)
		}
		if got := readFlow(t, db, s.Handle); errs[atoi(t, got.Login)] != nil || got.Version != 1 {
			t.Errorf("saved is %q, version %d, which was refused", got.Login, got.Version)
		}
	},
}

func atoi(t *testing.T, s string) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatal(err)
	}
	return n
}
