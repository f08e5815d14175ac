package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/notice"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/policy"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// Setting up another phone is a sign-in like any other, by somebody who has just shown all that they have and who is
// treated as if they had no phone: so the same forms ask for the number, the same limits count, and the new number
// counts only after its code. What differs is the end: the new one takes the old one's place (S-38).

// ErrTooOld means that what was shown in the session is not all of it, or too old, for such a change.
var ErrTooOld = errors.New("engine: the sign-in is too old or too weak for this change")

// replacing makes the scene one in which the person has nothing of a kind and needs it.
func (sc *scene) replacing(k ident.Kind) {
	sc.policy = policy.Policy{Require: []ident.Kind{ident.Password, k}}
	sc.enrollments = slices.DeleteFunc(slices.Clone(sc.enrollments), func(e ident.Enrollment) bool { return e.Kind == k })
}

// mayReplace judges a session, and returns what of it counts for the change.
func mayReplace(s store.Session, have []ident.Enrollment, k ident.Kind, now time.Time) ([]flow.Proof, error) {
	if !flow.Complete(s.Proofs, have, limit.Recent, now) {
		return nil, ErrTooOld
	}
	return slices.DeleteFunc(slices.Clone(s.Proofs), func(p flow.Proof) bool { return p.Kind == k }), nil
}

// save stores what was set up: beside all else, or in the place of what there was of its kind.
func (e *Engine) save(ctx context.Context, tx store.Tx, sc scene, fresh ident.Enrollment) error {
	if sc.state.Request.Replace == fresh.Kind {
		if fresh.User == "" || fresh.User != sc.state.Request.Subject {
			return expired("of a change to somebody else's account")
		}
		if err := e.DropFactor(ctx, tx, sc.user, fresh.Kind, sc.session.ID, sc.now); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	err := tx.AddEnrollment(ctx, fresh)
	if errors.Is(err, store.ErrExists) {
		return store.ErrStale // enrolled in another tab since we looked: look again (S-22)
	}
	if err == nil && fresh.Kind == ident.Phone {
		err = e.tell(ctx, tx, sc, notice.PhoneAdded, fresh.Hint)
	}
	return err
}

// DropFactor removes what somebody has of a kind: nothing that was shown with it opens anything any more, but for the
// session in which that is done, and its owner is told in every way there is. ErrNotFound if there is nothing. Sessions
// are held before grants and counters are, like everywhere.
func (e *Engine) DropFactor(ctx context.Context, tx store.Tx, u ident.User, k ident.Kind, except string, now time.Time) error {
	all, err := tx.Enrollments(ctx, u.ID)
	if err != nil {
		return err
	}
	old, ok := ident.Find(all, k)
	if !ok {
		return store.ErrNotFound
	}
	if err := tx.DropEnrollment(ctx, old.ID); err != nil {
		return err
	}
	if _, err := tx.EndSessionsOf(ctx, u.ID, except, now); err != nil {
		return err
	}
	if _, err := tx.RevokeGrantsOf(ctx, u.ID, ""); err != nil {
		return err
	}
	if err := tx.ClearFailures(ctx, u.ID, k); err != nil {
		return err
	}
	if k == ident.Phone {
		if err := e.tell(ctx, tx, scene{user: u, now: now}, notice.PhoneRemoved, old.Hint); err != nil {
			return err
		}
		if err := e.tellNumber(ctx, tx, u, old, now); err != nil {
			return err
		}
	}
	d := e.Keys.MAC(secret.MACPhone, old.Secret.Reveal())
	return tx.Record(ctx, audit.Event{
		Type: audit.FactorRemoved, At: now, OK: true, User: string(u.ID), Target: old.Hint, Finger: fmt.Sprintf("%x", d[:8]), Source: obs.SourceOf(ctx),
	})
}

// goneKeeps is how long a text to a number that was taken off is worth sending.
const goneKeeps = time.Hour

// tellNumber texts the number that was taken off. It is not counted as a code: a thief who has come this far cannot
// make many of them, since each needs a complete sign-in and another number with its own code.
func (e *Engine) tellNumber(ctx context.Context, tx store.Tx, u ident.User, old ident.Enrollment, now time.Time) error {
	coder, ok := e.plugins[old.Kind].(interface{ Country(secret.Text) string })
	if !ok || old.Secret == "" {
		return nil
	}
	return tx.AddMessage(ctx, store.Message{
		ID: ident.NewID("msg"), Channel: string(old.Method), To: old.Secret, Body: secret.Text(msg.Text(msg.Match(localeTag(u.Locale)), msg.PhoneGoneText, e.host)),
		Country: coder.Country(old.Secret), Proved: true, Created: now, NotAfter: now.Add(goneKeeps), Status: store.Waiting, Due: now,
	})
}
