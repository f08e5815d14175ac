package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
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
	country   string // region of the number
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
	s.country = coder.Country(s.challenge.Number)
	message := e.message(ctx, sc, s, coder.Code(bound(s.challenge)))
	send := e.sendOf(ctx, sc, s, message.Send)
	var seen []audit.Event
	after, err := e.commit(ctx, sc, ev, func(tx store.Tx) (err error) {
		seen, err = e.admit(ctx, tx, sc, s, send, &message)
		return err
	})
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
	for _, ev := range seen {
		e.Log.WarnContext(ctx, "text messages", "event", string(ev.Type), "country", ev.Target, "reason", ev.Reason)
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
		ID: ident.NewID("msg"), Channel: string(s.challenge.Method), To: s.challenge.Number, Body: text.Text(),
		Country: s.country, Proved: s.proved, Send: ident.NewID("snd"),
		Created: sc.now, NotAfter: s.challenge.Expires, Status: store.Waiting, Due: sc.now.Add(e.Sender.Lease()), Lease: e.Sender.Name(),
	}
}

// sendOf is the message as the limits see it.
func (e *Engine) sendOf(ctx context.Context, sc scene, s sending, id string) store.Send {
	number := s.challenge.Number.Reveal()
	send := store.Send{
		ID: id, Number: e.Keys.MAC(secret.MACPhone, number), Block: e.Keys.MAC(secret.MACPhone, "block", number[:max(0, len(number)-4)]),
		User: sc.user.ID, Country: s.country, At: sc.now, Proved: s.proved,
	}
	if network := networkOf(sourceOf(ctx, sc)); network != "" {
		send.Address = e.Keys.MAC(secret.MACPhone, "address", network)
	}
	if e.Price != nil {
		send.Cost = e.Price(s.country)
	}
	return send
}

// networkOf is what one client cannot help having in common with itself: its address, and of IPv6 the half
// that it cannot choose.
func networkOf(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	if a = a.Unmap(); a.Is6() {
		a = netip.PrefixFrom(a, 64).Masked().Addr()
	}
	return a.String()
}

// admit counts a message against every limit and writes it, in the transaction of its step: what was not
// counted is not sent, and what is refused was not counted (S-36). What an operator should know of comes back.
func (e *Engine) admit(ctx context.Context, tx store.Tx, sc scene, s sending, send store.Send, m *store.Message) ([]audit.Event, error) {
	if err := tx.HoldSends(ctx, send); err != nil {
		return nil, err
	}
	until, err := tx.Suspended(ctx, sc.user.ID, s.challenge.Kind)
	if err != nil {
		return nil, err
	}
	if sc.now.Before(until) {
		return nil, suspended(until.Sub(sc.now))
	}
	last, err := tx.LastSend(ctx, send.Number)
	if err != nil {
		return nil, err
	}
	if wait := e.Codes.Resend - sc.now.Sub(last.At); wait > 0 && !last.At.IsZero() {
		return nil, fault.New(fault.Throttled, msg.TooManyRequests, "last message to the number was %s ago", sc.now.Sub(last.At)).After(wait)
	}
	if err := e.withinLimits(ctx, tx, send); err != nil {
		return nil, err
	}
	if err := tx.AddSend(ctx, send); err != nil {
		return nil, err
	}
	if s.isNew {
		if err := tx.AddChallenge(ctx, s.challenge); err != nil {
			return nil, err
		}
	}
	m.Avoid = ""
	if sc.now.Sub(last.At) < e.Codes.Lifetime+e.Flow.Absolute {
		m.Avoid = last.Gateway // it went that way, and nobody answered
	}
	if err := tx.AddMessage(ctx, *m); err != nil {
		return nil, err
	}
	return e.guard(ctx, tx, send)
}

func suspended(wait time.Duration) error {
	return fault.New(fault.Throttled, msg.FactorSuspended, "factor is suspended for %s", wait).Alone().After(wait)
}

// withinLimits compares what was sent with S-32 to S-34. Callers learn neither which limit it was nor
// whether the number exists elsewhere.
func (e *Engine) withinLimits(ctx context.Context, tx store.Tx, send store.Send) error {
	type rule struct {
		name    string
		windows []limit.Window
		query   store.SendQuery
	}
	rules := []rule{
		{"number, unproved", e.Sends.PerNumber, store.SendQuery{Number: send.Number, Open: true}},
		{"number", e.Sends.PerNumberInAll, store.SendQuery{Number: send.Number}},
		{"account", e.Sends.PerAccountInAll, store.SendQuery{User: send.User}},
	}
	if !send.Address.IsZero() {
		rules = append(rules, rule{"address", e.Sends.PerAddress, store.SendQuery{Address: send.Address}})
	}
	if !send.Proved {
		rules = append(rules,
			rule{"account, unproved", e.Sends.PerAccountUnproved, store.SendQuery{User: send.User, Unproved: true, Open: true}},
			rule{"block of numbers, unproved", e.Sends.PerBlock, store.SendQuery{Block: send.Block, Unproved: true, Open: true}})
	}
	for _, r := range rules {
		for _, w := range r.windows {
			r.query.Since = send.At.Add(-w.Per)
			n, err := tx.CountSends(ctx, r.query)
			if err != nil {
				return err
			}
			if n >= w.Max {
				return overLimit(r.name, w)
			}
		}
	}
	if send.Proved {
		return nil
	}
	if w := e.Sends.PerAccountNewNumber; w.Max > 0 {
		since := send.At.Add(-w.Per)
		all, err := tx.CountSends(ctx, store.SendQuery{User: send.User, Since: since, Unproved: true, Open: true, Numbers: true})
		if err != nil {
			return err
		}
		same, err := tx.CountSends(ctx, store.SendQuery{Number: send.Number, User: send.User, Since: since, Unproved: true, Open: true})
		if err != nil {
			return err
		}
		if same == 0 && all >= w.Max {
			return overLimit("account, different numbers", w)
		}
	}
	return e.paused(ctx, tx, send)
}

func overLimit(which string, w limit.Window) error {
	return fault.New(fault.Throttled, msg.SMSLimit, "%d in %s by %s", w.Max, w.Per, which).After(w.Per)
}

// scope is a place that can be paused (S-34).
type scope struct {
	name  string
	told  string // as people may read it
	query store.ConversionQuery
}

func scopesOf(send store.Send) []scope {
	all := []scope{{fmt.Sprintf("block %x", send.Block[:]), "some numbers of " + send.Country, store.ConversionQuery{Block: send.Block}}}
	if send.Country != "" {
		all = append(all, scope{"country " + send.Country, send.Country, store.ConversionQuery{Country: send.Country}})
	}
	return all
}

// paused refuses numbers not yet verified of a place where codes do not come back. Who has verified their
// number can sign in there all the same: a pause must not be a way to lock a country out.
func (e *Engine) paused(ctx context.Context, tx store.Tx, send store.Send) error {
	if e.Sends.Conversion.Last == 0 {
		return nil
	}
	for _, sc := range scopesOf(send) {
		until, err := tx.Paused(ctx, sc.name)
		if err != nil {
			return err
		}
		if wait := until.Sub(send.At); wait > 0 {
			return fault.New(fault.Throttled, msg.SMSLimit, "%s is paused", sc.told).After(wait)
		}
	}
	return nil
}

// guard takes the message from the budgets (S-35) and looks whether the last ones were worth sending (S-34).
// Budgets come last: everybody's messages meet there, so that the time until the commit should be short.
func (e *Engine) guard(ctx context.Context, tx store.Tx, send store.Send) ([]audit.Event, error) {
	var seen []audit.Event
	tell := func(t audit.Type, where, format string, args ...any) {
		seen = append(seen, audit.Event{Type: t, At: send.At, Target: where, Reason: fmt.Sprintf(format, args...), Source: obs.SourceOf(ctx)})
	}
	if c := e.Sends.Conversion; c.Last > 0 && !send.Proved {
		for _, sc := range scopesOf(send) {
			last, err := tx.Paused(ctx, sc.name)
			if err != nil {
				return nil, err
			}
			sc.query.Since, sc.query.Settled, sc.query.Last = last, send.At.Add(-e.Codes.Lifetime), c.Last
			sent, verified, err := tx.Conversion(ctx, sc.query)
			if err != nil {
				return nil, err
			}
			if !c.Poor(sent, verified) {
				continue
			}
			begun, err := tx.Pause(ctx, sc.name, send.At, send.At.Add(c.Pause))
			if err != nil {
				return nil, err
			}
			if begun {
				tell(audit.MessagesPaused, sc.told, "%d of the last %d codes were verified: no new numbers for %s", verified, sent, c.Pause)
			}
		}
	}
	for _, b := range []struct {
		scope  string
		budget limit.Budget
	}{{send.Country, e.Sends.Budgets.Of(send.Country)}, {"", e.Sends.Budgets.Total}} {
		if b.scope == "" && send.Country == "" && b.budget != e.Sends.Budgets.Total {
			continue // a number of no country counts in total
		}
		for _, c := range b.budget.Caps() {
			take := store.Take{Scope: b.scope, Cap: c, At: send.At, Cost: send.Cost}
			low, err := tx.TakeBudget(ctx, take)
			if errors.Is(err, store.ErrSpent) {
				return nil, fault.New(fault.Throttled, msg.SMSLimit, "the budget of %s for %q is used", c.Per, b.scope).After(take.Ends().Sub(send.At))
			}
			if err != nil {
				return nil, err
			}
			if low {
				tell(audit.BudgetNear, cmp.Or(b.scope, "all countries"), "%d %% of the budget of %s from %s are used", limit.Low, c.Per, take.Starts().Format(time.RFC3339))
			}
		}
	}
	return seen, tx.Record(ctx, seen...)
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
	err := e.Store.ViewOnce(ctx, func(tx store.Tx) (err error) {
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
