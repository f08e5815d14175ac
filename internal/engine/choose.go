package engine

import (
	"context"

	"latchkey.dev/internal/authn"
	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/secret"
)

// A Choice is an authenticator as a client names it. Everything but Authenticator may be missing: clients
// send what they know, in one post or in several (idx 5.6).
type Choice struct {
	Authenticator ident.AuthenticatorID
	Enrollment    ident.EnrollmentID
	Method        ident.Method
	Number        secret.Text // as typed
}

// ChooseToVerify selects an enrolled authenticator; with a method that it has, the challenge begins at once.
func (e *Engine) ChooseToVerify(ctx context.Context, handle secret.Text, c Choice) (*Page, error) {
	return again(func() (*Page, error) {
		sc, err := e.live(ctx, handle)
		if err != nil {
			return nil, err
		}
		a, ok := e.authenticator(sc, c.Authenticator)
		if !ok {
			return e.page(sc), e.unknownChoice(c)
		}
		enrolled, ok := ident.Find(sc.enrollments, a.Kind)
		if a.Kind == ident.Password {
			return e.chosePassword(ctx, sc)
		}
		if !ok || c.Enrollment != "" && c.Enrollment != enrolled.ID {
			return e.page(sc), e.unknownChoice(c) // an enrollment of somebody else (S-22)
		}
		if !has(a, c.Method) {
			return e.moved(ctx, sc, flow.ToVerify{Kind: a.Kind, Enrollment: enrolled.ID})
		}
		ev := flow.ToVerify{Kind: a.Kind, Enrollment: enrolled.ID, Method: c.Method}
		if _, _, err := flow.Next(sc.state, sc.facts(), ev); err != nil {
			return e.page(sc), e.notOffered(err)
		}
		out, err := e.plugins[a.Kind].Challenge(authn.In{Now: sc.now, User: sc.user, Enrollment: enrolled, Method: c.Method})
		if err != nil {
			return e.pageUnless(sc, err)
		}
		send := e.challenge(sc, a.Kind, c.Method, out)
		ev.Challenge = send.challenge.ID
		return e.sendFor(ctx, sc, ev, send, flow.ToVerify{Kind: a.Kind, Enrollment: enrolled.ID})
	})
}

// chosePassword answers the password page to who is on it already: a client that names it as its choice
// changes nothing.
func (e *Engine) chosePassword(ctx context.Context, sc scene) (*Page, error) {
	if sc.state.Stage == flow.Verify && sc.state.Current.Kind == ident.Password {
		return e.page(sc), nil
	}
	return e.page(sc), e.unknownChoice(Choice{Authenticator: "password"})
}

// ChooseToEnroll selects an authenticator to set up; with its data, the code goes out at once.
func (e *Engine) ChooseToEnroll(ctx context.Context, handle secret.Text, c Choice) (*Page, error) {
	return again(func() (*Page, error) {
		sc, err := e.live(ctx, handle)
		if err != nil {
			return nil, err
		}
		a, ok := e.authenticator(sc, c.Authenticator)
		if !ok || a.Kind == ident.Password {
			return e.page(sc), e.unknownChoice(c)
		}
		bare := flow.ToEnroll{Kind: a.Kind}
		if c.Number == "" {
			return e.moved(ctx, sc, bare)
		}
		// Judge the step before the number: where enrolling is not offered, nothing is said about numbers.
		dataStep, _, err := flow.Next(sc.state, sc.facts(), bare)
		if err != nil {
			return e.page(sc), e.notOffered(err)
		}
		if !has(a, c.Method) {
			c.Method = a.Methods[0] // one method, or a label sent in its place (idx 5.6)
		}
		out, err := e.plugins[a.Kind].Enroll(authn.In{Now: sc.now, User: sc.user, Method: c.Method, Data: c.Number})
		if err != nil {
			if err := e.noteNotSent(ctx, sc, flow.Current{Kind: a.Kind}, "nothing that can be texted"); err != nil {
				return nil, err
			}
			// The page of a refused number is the one that asks for it, also when it came with the choice (seed walk 4.4).
			sc.state = dataStep
			return e.pageUnless(sc, err)
		}
		send := e.challenge(sc, a.Kind, c.Method, out)
		ev := flow.ToEnroll{Kind: a.Kind, Method: c.Method, Challenge: send.challenge.ID, Number: out.Secret, Hint: out.Hint}
		return e.sendFor(ctx, sc, ev, send, bare)
	})
}

// Skip declines what is on offer.
func (e *Engine) Skip(ctx context.Context, handle secret.Text) (*Page, error) {
	return again(func() (*Page, error) {
		sc, err := e.live(ctx, handle)
		if err != nil {
			return nil, err
		}
		return e.moved(ctx, sc, flow.Skipped{})
	})
}

// moved commits an event that needs nothing beside it.
func (e *Engine) moved(ctx context.Context, sc scene, ev flow.Event) (*Page, error) {
	after, err := e.commit(ctx, sc, ev)
	if f := fault.As(err); err != nil && f.Key == msg.NotOffered {
		return e.page(sc), err
	}
	if err != nil {
		return nil, ill(err)
	}
	return e.page(after), nil
}

func (e *Engine) authenticator(sc scene, id ident.AuthenticatorID) (ident.Authenticator, bool) {
	for _, a := range sc.authenticators {
		if a.ID == id && e.plugins[a.Kind] != nil {
			return a, true
		}
	}
	return ident.Authenticator{}, false
}

func (e *Engine) unknownChoice(c Choice) error {
	return fault.New(fault.Invalid, msg.NotOffered, "authenticator %q, enrollment %q is not on offer", c.Authenticator, c.Enrollment)
}

func has(a ident.Authenticator, m ident.Method) bool {
	for _, one := range a.Methods {
		if one == m {
			return true
		}
	}
	return false
}
