package idxapi_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"latchkey.dev/internal/engine"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/store"
)

// A ledger stands in front of a database and writes down what is asked of it.
type ledger struct {
	store.DB
	asked []string
}

func (l *ledger) View(ctx context.Context, f func(store.Tx) error) error {
	return l.DB.View(ctx, func(tx store.Tx) error { return f(ledgerTx{tx, l}) })
}

func (l *ledger) Update(ctx context.Context, f func(store.Tx) error) error {
	return l.DB.Update(ctx, func(tx store.Tx) error { return f(ledgerTx{tx, l}) })
}

type ledgerTx struct {
	store.Tx
	l *ledger
}

func (t ledgerTx) note(what string) { t.l.asked = append(t.l.asked, what) }

func (t ledgerTx) Flow(ctx context.Context, h flow.Handle) (flow.State, error) {
	t.note("flow")
	return t.Tx.Flow(ctx, h)
}

func (t ledgerTx) User(ctx context.Context, id ident.UserID) (ident.User, error) {
	t.note("user")
	return t.Tx.User(ctx, id)
}

func (t ledgerTx) UserByLogin(ctx context.Context, folded string) (ident.User, error) {
	t.note("login")
	return t.Tx.UserByLogin(ctx, folded)
}

func (t ledgerTx) Enrollments(ctx context.Context, id ident.UserID) ([]ident.Enrollment, error) {
	t.note("enrollments")
	return t.Tx.Enrollments(ctx, id)
}

// Where no password is hashed a query is what takes time: before the password, each step asks the database
// the same about every name.
func TestS25_EveryNameCostsTheSameQueries(t *testing.T) {
	l := &ledger{}
	h := build(t, func(c *engine.Config) { l.DB, c.Store = c.Store, l })
	h.status(t, "00u1paul", ident.Suspended)
	costs := map[string]string{}
	for name, login := range map[string]string{"known": mary, "unknown": "nobody@example.com", "suspended": "paul@example.com"} {
		v, _ := h.begin("0oa1name")
		var cost []string
		for _, step := range []func() answer{
			func() answer { return v.post("identify", map[string]any{"identifier": login}) },
			v.introspect,
			func() answer {
				return v.post("challenge", map[string]any{"authenticator": map[string]any{"id": "aut1password"}})
			},
			func() answer { return v.challenge() },
			func() answer { return v.code("nope") },
			func() answer { return v.post("identify", map[string]any{"identifier": login}) },
		} {
			l.asked = nil
			if a := step(); a.status >= http.StatusInternalServerError {
				t.Fatalf("%s: %s", name, a.raw)
			}
			cost = append(cost, strings.Join(l.asked, ","))
		}
		costs[name] = fmt.Sprint(cost)
	}
	if costs["known"] != costs["unknown"] || costs["known"] != costs["suspended"] {
		t.Errorf("known\n%s\nunknown\n%s\nsuspended\n%s", costs["known"], costs["unknown"], costs["suspended"])
	}
}
