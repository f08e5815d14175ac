package engine

import (
	"context"
	"errors"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/authn"
	"latchkey.dev/internal/authn/phone"
	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// Answer takes a proof: a password where the name came first, a code, for something enrolled or being set up.
func (e *Engine) Answer(ctx context.Context, handle, answer secret.Text) (*Page, error) {
	var who claim // a password is hashed once, however often the step is overtaken
	var turn turn
	defer func() { who.release(); turn.end() }()
	return again(func() (*Page, error) {
		sc, err := e.byState(ctx, handle)
		if err != nil {
			return nil, err
		}
		if sc.state.Stage == flow.Done {
			return e.answeredTwice(ctx, sc, answer, &who)
		}
		if !sc.state.Live(e.Flow, sc.now) {
			return nil, expired(string(sc.state.Stage) + " or out of time")
		}
		switch {
		case sc.state.Stage != flow.Verify && sc.state.Stage != flow.Enroll:
			return e.page(sc), fault.New(fault.Invalid, msg.NotOffered, "no answer is awaited at %s", sc.state.Stage)
		case sc.state.Current.Kind == ident.Password:
			return e.answerPassword(ctx, sc, answer, &who)
		}
		return e.answerCode(ctx, sc, answer, &turn)
	})
}

func (e *Engine) answerPassword(ctx context.Context, sc scene, answer secret.Text, who *claim) (*Page, error) {
	if err := e.judgeNamed(ctx, sc, answer, who); err != nil {
		return e.pageUnless(sc, err)
	}
	if who.user.ID != sc.user.ID {
		return nil, expired("of another user by now") // identify won the race: what was judged is not theirs
	}
	after, err := e.commit(ctx, sc, flow.Answered{OK: who.verdict.OK}, e.rightPassword(ctx, *who))
	switch {
	case err != nil:
		return nil, ill(err)
	case !who.verdict.OK:
		return e.page(after), fault.New(fault.Denied, msg.AuthenticationFailed, "password is wrong")
	}
	return e.page(after), nil
}

// judgeNamed verifies the password of who was named before, if that was not done yet.
func (e *Engine) judgeNamed(ctx context.Context, sc scene, answer secret.Text, who *claim) error {
	named := claim{user: sc.user, enrollments: sc.enrollments}
	if who.judged && (who.user.ID != named.user.ID || who.of(named)) {
		return nil
	}
	return e.judge(ctx, sc, named, sc.state.Login, answer, who)
}

// A turn is that of one answer among those of the same person, and what was counted in it.
type turn struct {
	counted flow.ChallengeID
	leave   func()
}

func (t *turn) end() {
	if t.leave != nil {
		t.leave()
	}
}

// answerCode counts, then judges, then commits. The count is durable before the comparison: guesses sent
// at the same instant gain nothing (S-11). It is counted once even if the step is overtaken afterwards.
func (e *Engine) answerCode(ctx context.Context, sc scene, answer secret.Text, turn *turn) (*Page, error) {
	if !phone.WellFormed(answer.Reveal()) {
		return e.page(sc), fault.New(fault.Invalid, msg.Malformed, "no code has this form")
	}
	id := sc.state.Current.Challenge
	if turn.counted == id {
		return e.overtaken(ctx, sc)
	}
	if turn.leave == nil {
		leave, err := e.turns.enter(ctx, string(sc.state.Current.Kind)+" "+string(sc.user.ID))
		if err != nil {
			return e.pageUnless(sc, err)
		}
		turn.leave = leave
		return nil, store.ErrStale // who had the turn before may have moved this very flow
	}
	turn.counted = id
	c, err := e.count(ctx, sc)
	switch {
	case errors.Is(err, store.ErrSpent):
		return e.spent(ctx, sc)
	case fault.As(err).Key == msg.FactorSuspended:
		if err := e.note(ctx, sc, audit.CodeExhausted, "the factor is suspended"); err != nil {
			return nil, err
		}
		return nil, err
	case err != nil:
		return nil, ill(err)
	}
	verdict, err := e.plugins[c.Kind].Verify(authn.In{Now: sc.now, User: sc.user, Challenge: bound(c), Answer: answer})
	if err != nil {
		return e.pageUnless(sc, err)
	}
	if !verdict.OK {
		return e.wrong(ctx, sc)
	}
	after, err := e.commit(ctx, sc, e.right(sc, answer), e.cleared(ctx, sc))
	switch {
	case errors.Is(err, store.ErrSpent):
		return e.overtaken(ctx, sc)
	case err != nil:
		return nil, ill(err)
	}
	return e.page(after), nil
}

// count takes one try from the code and one from the account, or says that there is none left.
func (e *Engine) count(ctx context.Context, sc scene) (c store.Challenge, err error) {
	err = e.Store.Update(ctx, func(tx store.Tx) (err error) {
		if c, err = tx.CountTry(ctx, sc.state.Current.Challenge, e.Codes.Tries); err != nil {
			return err
		}
		failures, until, err := tx.CountFailure(ctx, sc.user.ID, c.Kind, sc.now, e.Codes)
		switch {
		case err != nil:
			return err
		case !until.IsZero():
			return suspended(until.Sub(sc.now)) // and the try is not counted either
		case e.Codes.Suspension(failures) > 0: // from the next guess on
			return tx.Record(ctx, e.event(ctx, sc, flow.Record{Type: audit.FactorSuspended, Kind: c.Kind}))
		}
		return nil
	})
	return c, err
}

// right is the event of a right answer, with the enrollment that it creates if there is none yet.
func (e *Engine) right(sc scene, answer secret.Text) flow.Answered {
	ev := flow.Answered{OK: true, Answer: e.answerDigest(sc, answer)}
	if sc.state.Stage == flow.Enroll {
		c := sc.state.Current
		ev.New = ident.Enrollment{
			ID: ident.EnrollmentID(ident.NewID("sms")), User: sc.user.ID, Kind: c.Kind, Method: c.Method,
			Secret: c.Number, Hint: c.Hint, Created: sc.now,
		}
		for _, a := range sc.authenticators {
			if a.Kind == c.Kind {
				ev.New.Authenticator = a.ID
			}
		}
	}
	return ev
}

// cleared is what a success does to the counters.
func (e *Engine) cleared(ctx context.Context, sc scene) func(store.Tx) error {
	number := e.Keys.MAC(secret.MACPhone, e.number(sc).Reveal())
	return func(tx store.Tx) error {
		if err := tx.ClearFailures(ctx, sc.user.ID, sc.state.Current.Kind); err != nil {
			return err
		}
		return tx.ClearSends(ctx, number)
	}
}

// wrong records a wrong code. The flow stays where it is, so only the event is written: the try itself
// was counted before.
func (e *Engine) wrong(ctx context.Context, sc scene) (*Page, error) {
	_, effects, err := flow.Next(sc.state, sc.facts(), flow.Answered{})
	if err != nil {
		return e.page(sc), e.notOffered(err)
	}
	err = e.Store.Update(ctx, func(tx store.Tx) error {
		for _, effect := range effects {
			if r, ok := effect.(flow.Record); ok {
				if err := tx.Record(ctx, e.event(ctx, sc, r)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, ill(err)
	}
	return e.page(sc), fault.New(fault.Denied, msg.InvalidCode, "code is wrong or expired").At("passcode")
}

// spent answers for a code that has no use left. If it was used up by success a moment ago, the same
// answer gets the same page; else the code is dead for good, the step stays, and only a new code helps (S-09).
func (e *Engine) spent(ctx context.Context, before scene) (*Page, error) {
	now, err := e.byState(ctx, before.handle)
	if err != nil {
		return nil, err
	}
	if now.state.Version != before.state.Version {
		return nil, store.ErrStale
	}
	if err := e.note(ctx, before, audit.CodeExhausted, "all tries of the code are used"); err != nil {
		return nil, err
	}
	return nil, tooMany(before)
}

// note records a refusal about the authenticator in work. What was refused left no transaction to join.
func (e *Engine) note(ctx context.Context, sc scene, t audit.Type, reason string) error {
	ev := e.event(ctx, sc, flow.Record{Type: t, Kind: sc.state.Current.Kind})
	ev.Reason = reason
	return ill(e.Store.Update(ctx, func(tx store.Tx) error { return tx.Record(ctx, ev) }))
}

func tooMany(sc scene) error {
	return fault.New(fault.Throttled, msg.TooManyRequests, "all tries of %s are used", sc.state.Current.Challenge).Alone().After(30 * time.Second)
}

// overtaken answers a code whose try was counted while another request moved the flow: what the flow has
// become is shown, nothing is counted again.
func (e *Engine) overtaken(ctx context.Context, before scene) (*Page, error) {
	now, err := e.byState(ctx, before.handle)
	if err != nil {
		return nil, err
	}
	if now.state.Stage == flow.Done {
		return nil, store.ErrStale // the step starts over and meets answeredTwice
	}
	return e.page(now), fault.New(fault.Invalid, msg.NotOffered, "the flow moved while the code was judged")
}

// repeats bounds how often a finished flow answers again: what it compares must not become an oracle.
const repeats = 3

// repeating lets a finished flow be answered again for a moment (S-23): a double click, a client that sent
// twice, a connection that broke before the answer was read. It counts before anything is compared.
func (e *Engine) repeating(ctx context.Context, sc scene) error {
	end := sc.state.Outcome
	if !sc.now.Before(end.At.Add(e.Flow.Repeat)) || end.Repeats >= repeats {
		return expired("finished")
	}
	sc.state.Outcome.Repeats++
	return ill(e.Store.Update(ctx, func(tx store.Tx) error { return tx.PutFlow(ctx, sc.state, sc.state.Expires(e.Flow)) }))
}

// answeredTwice answers the very same last answer again: a code is compared with what is remembered of the
// right one, a password is verified anew.
func (e *Engine) answeredTwice(ctx context.Context, sc scene, answer secret.Text, who *claim) (*Page, error) {
	byPassword := sc.policy.IdentifierFirst && len(sc.state.Proofs) == 1
	if !byPassword && sc.state.Outcome.Answer.IsZero() {
		return nil, expired("finished")
	}
	if err := e.repeating(ctx, sc); err != nil {
		return nil, err
	}
	same := sc.state.Outcome.Answer.Equal(e.answerDigest(sc, answer))
	if byPassword {
		if err := e.judgeNamed(ctx, sc, answer, who); err != nil {
			return nil, err
		}
		return e.repeated(ctx, sc, who)
	}
	if !same {
		return nil, expired("finished")
	}
	return e.page(sc), nil
}

// repeated is the last page again, for a password that was judged anew.
func (e *Engine) repeated(ctx context.Context, sc scene, who *claim) (*Page, error) {
	if err := ill(e.Store.Update(ctx, e.rightPassword(ctx, *who))); err != nil {
		return nil, err
	}
	if !who.verdict.OK || who.user.ID != sc.state.User {
		return nil, expired("finished")
	}
	return e.page(sc), nil
}

func (e *Engine) answerDigest(sc scene, answer secret.Text) secret.Digest {
	return e.Keys.MAC(secret.MACAnswer, sc.handle.Reveal(), answer.Reveal())
}
