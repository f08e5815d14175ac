package engine

import (
	"context"
	"errors"

	"latchkey.dev/internal/authn"
	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// A Claimant is who somebody says they are.
type Claimant struct {
	Login    string
	Password secret.Text
	Typed    bool // a password was sent, be it empty
}

// claim is a claimant looked up and judged, once: hashing is too dear to repeat when a step is overtaken.
type claim struct {
	user        ident.User
	enrollments []ident.Enrollment
	held        bool // somebody holds the name, active or not
	judged      bool
	verdict     authn.Verdict
	guess       store.Guess // as it was counted
	leave       func()      // gives its turn back
}

// of reports that the claim was judged by what the person has now. What a right password of before is worth nobody knows.
func (c claim) of(now claim) bool {
	was, _ := ident.Find(c.enrollments, ident.Password)
	is, _ := ident.Find(now.enrollments, ident.Password)
	return !c.verdict.OK || c.user.ID == now.user.ID && was.ID == is.ID && was.Secret == is.Secret
}

// Identify takes a name, and the password where the page asks for both.
func (e *Engine) Identify(ctx context.Context, handle secret.Text, c Claimant) (*Page, error) {
	var who claim
	defer func() { who.release() }()
	return again(func() (*Page, error) {
		sc, err := e.byState(ctx, handle)
		if err != nil {
			return nil, err
		}
		if sc.state.Stage == flow.Done && c.Typed && !sc.policy.IdentifierFirst {
			return e.identifiedTwice(ctx, sc, c, &who)
		}
		if !sc.state.Live(e.Flow, sc.now) {
			return nil, expired(string(sc.state.Stage) + " or out of time")
		}
		if _, _, err := flow.Next(sc.state, sc.facts(), flow.Refused{}); err != nil {
			return e.page(sc), e.notOffered(err) // before a password is judged that leads nowhere
		}
		switch {
		case c.Login == "":
			return e.page(sc), missing("identifier")
		case sc.policy.IdentifierFirst:
			return e.named(ctx, sc, c)
		case !c.Typed:
			return e.page(sc), missing("passcode")
		}
		if err := e.judgeClaimed(ctx, sc, c, &who); err != nil {
			return e.pageUnless(sc, err)
		}
		return e.signIn(ctx, sc, c, who)
	})
}

func missing(field string) error {
	return fault.New(fault.Invalid, msg.FieldRequired, "no %s", field).With(field).At(field)
}

// named goes on to the password whoever it is, in hide mode; reveal mode says that nobody holds the name.
func (e *Engine) named(ctx context.Context, sc scene, c Claimant) (*Page, error) {
	who, err := e.find(ctx, c.Login)
	if err != nil {
		return nil, err
	}
	if !who.held && e.RevealUnknown {
		return e.unknown(ctx, sc, c)
	}
	after := sc
	after.user, after.enrollments = who.user, who.enrollments
	after, err = e.commit(ctx, after, flow.Named{Login: c.Login, User: who.user.ID})
	if err != nil {
		return nil, ill(err)
	}
	return e.page(after), nil
}

// signIn moves the flow by a judged name and password.
func (e *Engine) signIn(ctx context.Context, sc scene, c Claimant, who claim) (*Page, error) {
	if !who.held && e.RevealUnknown {
		return e.unknown(ctx, sc, c)
	}
	if !who.verdict.OK {
		return e.refuse(ctx, sc, c)
	}
	after := sc
	after.user, after.enrollments = who.user, who.enrollments
	after, err := e.commit(ctx, after, flow.SignedIn{Login: c.Login, User: who.user.ID}, e.rightPassword(ctx, who))
	if err != nil {
		return nil, ill(err)
	}
	return e.page(after), nil
}

func (e *Engine) refuse(ctx context.Context, sc scene, c Claimant) (*Page, error) {
	sc.user, sc.enrollments = ident.User{}, nil
	after, err := e.commit(ctx, sc, flow.Refused{Login: c.Login})
	if err != nil {
		return nil, ill(err)
	}
	return e.page(after), fault.New(fault.Denied, msg.AuthenticationFailed, "name or password is wrong")
}

func (e *Engine) unknown(ctx context.Context, sc scene, c Claimant) (*Page, error) {
	p, err := e.refuse(ctx, sc, c)
	if f := (*fault.Fault)(nil); errors.As(err, &f) && f.Key == msg.AuthenticationFailed {
		err = fault.New(fault.Notice, msg.UnknownUser, "nobody holds that name").With(c.Login)
	}
	return p, err
}

// identifiedTwice answers the very same password again for a moment after it ended the flow (S-23).
func (e *Engine) identifiedTwice(ctx context.Context, sc scene, c Claimant, who *claim) (*Page, error) {
	if len(sc.state.Proofs) != 1 {
		return nil, expired("finished")
	}
	if err := e.repeating(ctx, sc); err != nil {
		return nil, err
	}
	if err := e.judgeClaimed(ctx, sc, c, who); err != nil {
		return nil, err
	}
	return e.repeated(ctx, sc, who)
}

// find looks a name up. A name that PRECIS refuses is a name that nobody holds.
func (e *Engine) find(ctx context.Context, login string) (claim, error) {
	var who claim
	folded, ok := ident.FoldLogin(login)
	if !ok {
		return who, nil
	}
	err := e.Store.View(ctx, func(tx store.Tx) error {
		user, unknown := tx.UserByLogin(ctx, folded)
		if unknown != nil && !errors.Is(unknown, store.ErrNotFound) {
			return unknown
		}
		// Nobody's enrollments are asked for, too: the time must not tell (S-25).
		all, err := tx.Enrollments(ctx, user.ID)
		if err != nil {
			return err
		}
		who.user, who.enrollments = user, all
		return unknown
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return claim{}, nil
	case err != nil:
		return claim{}, ill(err)
	case who.user.Status != ident.Active:
		return claim{held: true}, nil // answers like a wrong password, in the same time (S-24)
	}
	who.held = true
	return who, nil
}

// judgeClaimed looks the claimant up and judges the password, if that was not done yet. A step that was overtaken looks
// again, for it may have been overtaken by who changed the password.
func (e *Engine) judgeClaimed(ctx context.Context, sc scene, c Claimant, who *claim) error {
	found, err := e.find(ctx, c.Login)
	if err != nil {
		return err
	}
	if who.judged && who.of(found) {
		who.user, who.enrollments = found.user, found.enrollments
		return nil
	}
	return e.judge(ctx, sc, found, c.Login, c.Password, who)
}

// rehash keeps the password under today's parameters, in the commit of the sign-in that showed it (S-01).
func (e *Engine) rehash(ctx context.Context, tx store.Tx, who claim) error {
	if who.verdict.Replace == "" {
		return nil
	}
	enrolled, _ := ident.Find(who.enrollments, ident.Password)
	enrolled.Secret = who.verdict.Replace
	err := tx.PutEnrollment(ctx, enrolled)
	if errors.Is(err, store.ErrNotFound) {
		return store.ErrStale // the password is another one by now
	}
	return err
}

// pageUnless shows the page beside a refusal, unless the refusal is to stand alone.
func (e *Engine) pageUnless(sc scene, err error) (*Page, error) {
	if f := (*fault.Fault)(nil); errors.As(err, &f) && !f.Bare {
		return e.page(sc), err
	}
	return nil, err
}
