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
	var counted flow.ChallengeID
	return again(func() (*Page, error) {
		sc, err := e.byState(ctx, handle)
		if err != nil {
			return nil, err
		}
		if sc.state.Stage == flow.Done {
			return e.answeredTwice(ctx, sc, answer)
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
		return e.answerCode(ctx, sc, answer, &counted)
	})
}

func (e *Engine) answerPassword(ctx context.Context, sc scene, answer secret.Text, who *claim) (*Page, error) {
	if !who.judged {
		who.user, who.enrollments = sc.user, sc.enrollments
		enrolled, _ := ident.Find(sc.enrollments, ident.Password)
		verdict, err := e.verifyPassword(ctx, authn.In{Now: sc.now, User: sc.user, Enrollment: enrolled, Answer: answer})
		if err != nil {
			return e.pageUnless(sc, err)
		}
		who.verdict, who.judged = verdict, true
	}
	if who.user.ID != sc.user.ID {
		return nil, expired("of another user by now") // identify won the race: what was judged is not theirs
	}
	after, err := e.commit(ctx, sc, flow.Answered{OK: who.verdict.OK}, e.rehash(ctx, *who))
	switch {
	case err != nil:
		return nil, ill(err)
	case !who.verdict.OK:
		return e.page(after), fault.New(fault.Denied, msg.AuthenticationFailed, "password is wrong")
	}
	return e.page(after), nil
}

// answerCode counts, then judges, then commits. The count is durable before the comparison: guesses sent
// at the same instant gain nothing (S-11). It is counted once even if the step is overtaken afterwards.
func (e *Engine) answerCode(ctx context.Context, sc scene, answer secret.Text, counted *flow.ChallengeID) (*Page, error) {
	if !phone.WellFormed(answer.Reveal()) {
		return e.page(sc), fault.New(fault.Invalid, msg.Malformed, "no code has this form")
	}
	id := sc.state.Current.Challenge
	if *counted == id {
		return e.overtaken(ctx, sc)
	}
	*counted = id
	c, err := e.count(ctx, sc)
	switch {
	case errors.Is(err, store.ErrSpent):
		return e.spent(ctx, sc)
	case err != nil:
		return e.pageUnless(sc, ill(err))
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
		case failures == 0 && sc.now.Before(until):
			return suspended(until.Sub(sc.now))
		case sc.now.Before(until):
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
	err = e.Store.Update(ctx, func(tx store.Tx) error {
		return tx.Record(ctx, e.event(ctx, before, flow.Record{Type: audit.CodeExhausted, Kind: before.state.Current.Kind}))
	})
	if err != nil {
		return nil, ill(err)
	}
	return nil, tooMany(before)
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

// answeredTwice answers the very same last answer again for a moment (S-23): a double click, a client that
// sent twice, a connection that broke before the answer was read.
func (e *Engine) answeredTwice(ctx context.Context, sc scene, answer secret.Text) (*Page, error) {
	end := sc.state.Outcome
	if !sc.now.Before(end.At.Add(e.Flow.Repeat)) || end.Repeats >= repeats || end.Answer.IsZero() {
		return nil, expired("finished")
	}
	sc.state.Outcome.Repeats++ // counted before it is compared, like every guess
	err := e.Store.Update(ctx, func(tx store.Tx) error { return tx.PutFlow(ctx, sc.state, sc.state.Expires(e.Flow)) })
	if err != nil {
		return nil, ill(err)
	}
	if !end.Answer.Equal(e.answerDigest(sc, answer)) {
		return nil, expired("finished")
	}
	return e.page(sc), nil
}

func (e *Engine) answerDigest(sc scene, answer secret.Text) secret.Digest {
	return e.Keys.MAC(secret.MACAnswer, sc.handle.Reveal(), answer.Reveal())
}
