package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/policy"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// rereads bounds how often a step starts over because another request moved the flow. Each time somebody
// else made progress, so more than a few mean an attack or a loop.
const rereads = 8

// again runs a step until it is not overtaken.
func again[T any](step func() (T, error)) (T, error) {
	for range rereads {
		came, err := step()
		if !errors.Is(err, store.ErrStale) {
			return came, err
		}
	}
	var nothing T
	return nothing, fault.New(fault.Throttled, msg.TooManyRequests, "overtaken %d times", rereads).Alone().After(time.Second)
}

// commit applies an event and everything that must land with it, then returns the scene after it. The
// scene it was given is not changed: after an error it is still what the database holds.
func (e *Engine) commit(ctx context.Context, sc scene, ev flow.Event, with ...func(store.Tx) error) (scene, error) {
	next, effects, err := flow.Next(sc.state, sc.facts(), ev)
	if err != nil {
		return sc, e.notOffered(err)
	}
	err = e.Store.Update(ctx, func(tx store.Tx) error {
		if err := e.carryOut(ctx, tx, sc, next, effects); err != nil {
			return err
		}
		for _, f := range with {
			if err := f(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return sc, err
	}
	for _, effect := range effects {
		if save, ok := effect.(flow.Save); ok {
			sc.enrollments = append(append([]ident.Enrollment(nil), sc.enrollments...), save.Enrollment)
		}
	}
	sc.state = next
	sc.state.Version++
	return sc, nil
}

// carryOut writes the state and its effects. The flow comes first: whoever is overtaken finds out before
// anything else, and everybody takes locks in one order (flow, person, session, code, counters), so that nobody waits in a circle.
func (e *Engine) carryOut(ctx context.Context, tx store.Tx, sc scene, next flow.State, effects []flow.Effect) error {
	if err := tx.PutFlow(ctx, next, next.Expires(e.Flow)); err != nil {
		return err
	}
	if err := unchanged(ctx, tx, sc, next); err != nil {
		return err
	}
	var events []audit.Event
	sc.state = next
	for _, effect := range effects {
		var err error
		switch ef := effect.(type) {
		case flow.Record:
			events = append(events, e.event(ctx, sc, ef))
		case flow.Spend:
			err = tx.SpendChallenge(ctx, ef.Challenge, sc.now)
		case flow.Save:
			err = e.save(ctx, tx, sc, ef.Enrollment)
		case flow.Issue:
			var session string
			if session, err = e.keepSession(ctx, tx, sc); err != nil {
				break
			}
			if sc.state.Request.Mode != flow.Here {
				err = tx.AddCode(ctx, e.code(sc, session))
			}
			if err == nil {
				err = e.rememberDevice(ctx, tx, sc)
			}
		default:
			err = fmt.Errorf("engine: no way to carry out %T", effect)
		}
		if err != nil {
			return err
		}
	}
	return tx.Record(ctx, events...)
}

// unchanged holds the person where a step shows something more or ends the sign-in, and asks that they are still what was
// judged: active, with the very enrollments behind the proofs. Judging takes a while, and whoever changes a password or
// removes a phone in it must not be overtaken by who knew the old one (S-04, S-79). They in turn take an enrollment away
// before they end what was begun with it, so that what is committed here is there for them to end.
func unchanged(ctx context.Context, tx store.Tx, sc scene, next flow.State) error {
	if len(next.Proofs) == 0 || next.Stage != flow.Done && slices.Equal(next.Proofs, sc.state.Proofs) {
		return nil
	}
	user, have, err := tx.HoldPerson(ctx, next.User)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && user.Status != ident.Active:
		return store.ErrStale
	case err != nil:
		return err
	}
	for _, p := range next.Proofs {
		judged, ok := ident.Find(sc.enrollments, p.Kind)
		now, _ := ident.Find(have, p.Kind)
		if ok && (now.ID != judged.ID || p.At.Equal(sc.now) && now.Secret != judged.Secret) {
			return store.ErrStale
		}
	}
	return nil
}

// code is the row of the code, with the grant that redeeming it gives. A code for one grant type is none for the other.
func (e *Engine) code(sc scene, session string) store.Code {
	r, kind := sc.state.Request, secret.InteractionCode
	if r.Ending == flow.Redirect {
		kind = secret.AuthorizationCode
	}
	return store.Code{
		Digest:   secret.DigestOf(kind, e.successCode(sc).Reveal()),
		Redirect: r.Redirect, PKCE: r.Challenge, Expires: sc.now.Add(e.Flow.Code),
		Grant: oauth.Grant{
			ID: oauth.GrantID(ident.NewID("oar")), Server: r.Server, Client: r.Client, User: sc.state.User, Scopes: r.Scopes,
			Nonce: r.Nonce, AuthTime: sc.state.AuthTime(), AMR: policy.AMR(sc.state.Methods()), ACR: r.ACR, Created: sc.now, Session: session, Key: r.Key,
		},
	}
}

// event describes what happened, without anything that S-72 forbids.
func (e *Engine) event(ctx context.Context, sc scene, r flow.Record) audit.Event {
	ev := audit.Event{
		Type: r.Type, At: sc.now, OK: r.OK, User: string(sc.state.User), Client: string(sc.state.Request.Client),
		Flow: sc.state.Handle.String(), Target: string(r.Kind), Source: obs.SourceOf(ctx),
	}
	if ev.User == "" && sc.state.Login != "" {
		ev.Login = e.loginPseudonym(sc.state.Login)
	}
	if r.Kind == ident.Phone {
		if n := e.number(sc); n != "" {
			d := e.Keys.MAC(secret.MACPhone, n.Reveal())
			ev.Finger = fmt.Sprintf("%x", d[:8])
			ev.Target = e.hint(sc)
		}
	}
	return ev
}

func (e *Engine) loginPseudonym(login string) string {
	folded, _ := ident.FoldLogin(login)
	d := e.Keys.MAC(secret.MACLogin, "audit", folded)
	return fmt.Sprintf("%x", d[:8])
}

// number is where codes of the authenticator in work go.
func (e *Engine) number(sc scene) secret.Text {
	if sc.state.Current.Number != "" {
		return sc.state.Current.Number
	}
	for _, en := range sc.enrollments {
		if en.ID == sc.state.Current.Enrollment && en.Kind != ident.Password {
			return en.Secret
		}
	}
	return ""
}

func (e *Engine) hint(sc scene) string {
	if sc.state.Current.Hint != "" {
		return sc.state.Current.Hint
	}
	for _, en := range sc.enrollments {
		if en.ID == sc.state.Current.Enrollment {
			return en.Hint
		}
	}
	return ""
}
