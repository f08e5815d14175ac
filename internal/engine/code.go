package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/authn"
	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/notice"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// A sending is a code about to leave: the challenge it belongs to, new or resent, and who gets it.
type sending struct {
	challenge store.Challenge
	hint      string // the number as it may be shown
	isNew     bool
	proved    bool // the number is an enrolled one
}

// challenge makes a new challenge. Nothing is stored or sent yet.
func (e *Engine) challenge(sc scene, k ident.Kind, m ident.Method, out authn.Out) sending {
	return sending{isNew: true, proved: out.Proved, hint: out.Hint, challenge: store.Challenge{
		ID: flow.ChallengeID(ident.NewID("chl")), Flow: sc.state.Handle, User: sc.user.ID, Kind: k, Method: m,
		Number: out.Secret, Nonce: [16]byte(secret.Bytes(16)), Created: sc.now, Expires: sc.now.Add(e.Codes.Lifetime),
	}}
}

// bound is the challenge as its plug-in sees it. The binding names everything that a code must match (S-12).
func bound(c store.Challenge) authn.Challenge {
	return authn.Challenge{
		Number:  c.Number,
		Binding: fmt.Sprintf("%s %x %s %s %s %s", c.ID, c.Flow[:], c.User, c.Kind, c.Method, c.Number.Reveal()),
		Nonce:   c.Nonce, Expires: c.Expires,
	}
}

// sendFor commits an event together with the code it sends, then hands the message over. When the
// gateways will not carry it the flow goes back to the step before by the second event, so that the
// person can choose again, and nothing is charged to them.
func (e *Engine) sendFor(ctx context.Context, sc scene, ev flow.Event, s sending, back flow.Event) (*Page, error) {
	coder, ok := e.plugins[s.challenge.Kind].(authn.Coder)
	if !ok {
		return nil, fmt.Errorf("engine: %s sends codes but cannot make one", s.challenge.Kind)
	}
	message := e.message(ctx, sc, s, coder.Code(bound(s.challenge)))
	after, err := e.commit(ctx, sc, ev, func(tx store.Tx) error { return e.admit(ctx, tx, sc, s, message) })
	switch f := fault.As(err); {
	case err == nil:
	case errors.Is(err, store.ErrStale):
		return nil, err
	case f.Kind == fault.Throttled:
		c := s.challenge
		if err := e.noteNotSent(ctx, sc, flow.Current{Kind: c.Kind, Number: c.Number, Hint: s.hint}, f.Error()); err != nil {
			return nil, err
		}
		return e.pageUnless(sc, f)
	default:
		return e.pageUnless(sc, ill(err))
	}
	switch e.Sender.Deliver(ctx, message) {
	case store.Refused:
		return e.goBack(ctx, after, back, fault.New(fault.Invalid, msg.InvalidPhone, "the gateway refused the number"))
	case store.Failed:
		return e.goBack(ctx, after, back, fault.New(fault.Unavailable, msg.SMSUnavailable, "no gateway took the message").After(time.Minute))
	}
	return e.page(after), nil
}

// noteNotSent records a message that was refused, by what it was about.
func (e *Engine) noteNotSent(ctx context.Context, sc scene, about flow.Current, reason string) error {
	sc.state.Current = about
	return e.note(ctx, sc, audit.CodeNotSent, reason)
}

// goBack returns to the step before a message that did not leave. A flow that moved on meanwhile is left alone.
func (e *Engine) goBack(ctx context.Context, sc scene, back flow.Event, why error) (*Page, error) {
	after, err := e.commit(ctx, sc, back)
	switch {
	case errors.Is(err, store.ErrStale):
		return nil, fault.New(fault.Unavailable, msg.SMSUnavailable, "no gateway took the message; the flow moved on").Alone()
	case err != nil:
		return nil, ill(err)
	}
	return e.page(after), why
}

// message is the outbox row, in this worker's hands from the start.
func (e *Engine) message(ctx context.Context, sc scene, s sending, code secret.Text) store.Message {
	text := notice.Code{App: sc.client.Label, Code: code, Lifetime: s.challenge.Expires.Sub(sc.now).Round(time.Minute), Host: e.host, Lang: msg.Match(obs.SourceOf(ctx).Language)}
	if text.Lifetime < time.Minute {
		text.Lifetime = time.Minute
	}
	return store.Message{
		ID: ident.NewID("msg"), Channel: string(s.challenge.Method), To: s.challenge.Number, Body: text.Text(), Send: ident.NewID("snd"),
		Created: sc.now, NotAfter: s.challenge.Expires, Status: store.Waiting, Due: sc.now.Add(e.Sender.Lease()), Lease: e.Sender.Name(),
	}
}

// admit counts a message against every limit and writes it, in the transaction of its step: what was not
// counted is not sent, and what is refused was not counted (S-36).
func (e *Engine) admit(ctx context.Context, tx store.Tx, sc scene, s sending, m store.Message) error {
	number := e.Keys.MAC(secret.MACPhone, s.challenge.Number.Reveal())
	if err := tx.HoldSends(ctx, number, sc.user.ID); err != nil {
		return err
	}
	until, err := tx.Suspended(ctx, sc.user.ID, s.challenge.Kind)
	if err != nil {
		return err
	}
	if sc.now.Before(until) {
		return suspended(until.Sub(sc.now))
	}
	last, err := tx.LastSend(ctx, number)
	if err != nil {
		return err
	}
	if wait := e.Codes.Resend - sc.now.Sub(last); wait > 0 && !last.IsZero() {
		return fault.New(fault.Throttled, msg.TooManyRequests, "last message to the number was %s ago", sc.now.Sub(last)).After(wait)
	}
	if err := e.withinLimits(ctx, tx, sc, number, s.proved); err != nil {
		return err
	}
	if err := tx.AddSend(ctx, store.Send{ID: m.Send, Number: number, User: sc.user.ID, At: sc.now, Proved: s.proved}); err != nil {
		return err
	}
	if s.isNew {
		if err := tx.AddChallenge(ctx, s.challenge); err != nil {
			return err
		}
	}
	return tx.AddMessage(ctx, m)
}

func suspended(wait time.Duration) error {
	return fault.New(fault.Throttled, msg.FactorSuspended, "factor is suspended for %s", wait).Alone().After(wait)
}

// withinLimits compares what was sent with S-32 and S-33. Callers learn neither which limit it was nor
// whether the number exists elsewhere.
func (e *Engine) withinLimits(ctx context.Context, tx store.Tx, sc scene, number secret.Digest, proved bool) error {
	type rule struct {
		name    string
		windows []limit.Window
		query   store.SendQuery
	}
	rules := []rule{
		{"number, unproved", e.Sends.PerNumber, store.SendQuery{Number: number, Open: true}},
		{"number", e.Sends.PerNumberInAll, store.SendQuery{Number: number}},
		{"account", e.Sends.PerAccountInAll, store.SendQuery{User: sc.user.ID}},
	}
	if !proved {
		rules = append(rules, rule{"account, unproved", e.Sends.PerAccountUnproved, store.SendQuery{User: sc.user.ID, Unproved: true, Open: true}})
	}
	for _, r := range rules {
		for _, w := range r.windows {
			r.query.Since = sc.now.Add(-w.Per)
			n, err := tx.CountSends(ctx, r.query)
			if err != nil {
				return err
			}
			if n >= w.Max {
				return overLimit(r.name, w)
			}
		}
	}
	if w := e.Sends.PerAccountNewNumber; !proved && w.Max > 0 {
		since := sc.now.Add(-w.Per)
		all, err := tx.CountSends(ctx, store.SendQuery{User: sc.user.ID, Since: since, Unproved: true, Open: true, Numbers: true})
		if err != nil {
			return err
		}
		same, err := tx.CountSends(ctx, store.SendQuery{User: sc.user.ID, Number: number, Since: since, Unproved: true, Open: true})
		if err != nil {
			return err
		}
		if same == 0 && all >= w.Max {
			return overLimit("account, different numbers", w)
		}
	}
	return nil
}

func overLimit(which string, w limit.Window) error {
	return fault.New(fault.Throttled, msg.SMSLimit, "%d in %s by %s", w.Max, w.Per, which).After(w.Per)
}

// Resend sends the code again. Within its lifetime it is the same code, with the same expiry and the same
// tries used; with little of it left, or after it died, a new one (S-14).
func (e *Engine) Resend(ctx context.Context, handle secret.Text) (*Page, error) {
	return again(func() (*Page, error) {
		sc, err := e.live(ctx, handle)
		if err != nil {
			return nil, err
		}
		if !flow.Offers(sc.state, sc.facts()).Resend {
			return e.page(sc), fault.New(fault.Invalid, msg.NotOffered, "nothing to send again at %s", sc.state.Stage)
		}
		s, err := e.resending(ctx, sc)
		if err != nil {
			return nil, ill(err)
		}
		return e.sendFor(ctx, sc, flow.Resent{Challenge: s.challenge.ID}, s, e.back(sc))
	})
}

func (e *Engine) resending(ctx context.Context, sc scene) (sending, error) {
	var old store.Challenge
	err := e.Store.View(ctx, func(tx store.Tx) (err error) {
		old, err = tx.Challenge(ctx, sc.state.Current.Challenge)
		return err
	})
	proved := sc.state.Stage == flow.Verify
	switch {
	case err == nil && old.Used.IsZero() && old.Tries < e.Codes.Tries && !old.Expires.Before(sc.now.Add(e.Codes.Renew)):
		return sending{challenge: old, hint: e.hint(sc), proved: proved}, nil
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return sending{}, err
	}
	c := sc.state.Current
	return e.challenge(sc, c.Kind, c.Method, authn.Out{Secret: e.number(sc), Hint: e.hint(sc), Proved: proved}), nil
}

// back is the event that returns to the step before the current code.
func (e *Engine) back(sc scene) flow.Event {
	c := sc.state.Current
	if sc.state.Stage == flow.Enroll {
		return flow.ToEnroll{Kind: c.Kind}
	}
	return flow.ToVerify{Kind: c.Kind, Enrollment: c.Enrollment}
}
