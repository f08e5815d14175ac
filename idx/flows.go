package idx

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// Authenticate starts a sign-in and goes as far as the answers reach; without any it shows the first step.
func (c *Client) Authenticate(ctx context.Context, a Answers, p ...StartParam) (*Transaction, error) {
	tx, err := c.Start(ctx, p...)
	if err != nil {
		return nil, err
	}
	return c.answer(ctx, tx, a, false)
}

// Register starts a registration and goes as far as the answers reach. It is [ErrNotOffered] where the policy has no
// registration.
func (c *Client) Register(ctx context.Context, a Answers, p ...StartParam) (*Transaction, error) {
	return c.enter(ctx, a, p, door{
		step:   "select-enroll-profile",
		inside: []string{"enroll-profile"},
		intent: "ENROLL_NEW_USER",
		token:  "activation_token",
	})
}

// RecoverPassword starts a password recovery and goes as far as the answers reach. It is [ErrNotOffered] where
// recovery is not on offer, and never turns into a sign-in instead: a Password among the answers is not used.
func (c *Client) RecoverPassword(ctx context.Context, a Answers, p ...StartParam) (*Transaction, error) {
	a.Password = ""
	return c.enter(ctx, a, p, door{
		step:   "-recover",
		inside: []string{"identify-recovery", "reset-authenticator"},
		intent: "CREDENTIAL_RECOVERY",
		token:  "recovery_token",
		after:  username,
	})
}

// UnlockAccount starts the unlocking of an account and goes as far as the answers reach. It ends [StatusTerminal],
// with a message that says how it went. It is [ErrNotOffered] where unlocking is not on offer.
func (c *Client) UnlockAccount(ctx context.Context, a Answers, p ...StartParam) (*Transaction, error) {
	return c.enter(ctx, a, p, door{
		step:   "unlock-account",
		inside: []string{"select-authenticator-unlock-account"},
		intent: "UNLOCK_ACCOUNT",
	})
}

// A door leads from the first page of a sign-in into another flow.
type door struct {
	step   string     // wire name of the step, or what it ends with
	inside []string   // steps that only exist inside
	intent string     // what the engine calls the flow
	token  string     // start parameter that opens the door by itself
	after  answerName // answer that may have to be given before the door shows (identifier-first)
}

func (c *Client) enter(ctx context.Context, a Answers, p []StartParam, way door) (*Transaction, error) {
	tx, err := c.Start(ctx, p...)
	if err != nil {
		return nil, err
	}
	opened := slices.ContainsFunc(p, func(sp StartParam) bool { return way.token != "" && sp.Name == way.token })
	if opened || way.within(tx) {
		return c.answer(ctx, tx, a, opened)
	}
	f := way.find(tx.document())
	if name, ok := a.flat()[way.after]; f == nil && ok {
		if tx, err = c.apply(ctx, tx, map[answerName]any{way.after: name}); err != nil {
			return nil, unoffered(err, way)
		}
		a.Username = ""
		f = way.find(tx.document())
	}
	if f == nil {
		return nil, notOffered(tx, strings.TrimPrefix(way.step, "-"))
	}
	var v Values
	if name, ok := a.flat()[username]; ok && find(f.fields, "identifier") != nil { // older unlock-account forms
		v = Values{"identifier": name}
	}
	if tx, err = c.post(ctx, tx, f, v, false); err != nil {
		return nil, err
	}
	return c.answer(ctx, tx, a, true)
}

func (w door) within(tx *Transaction) bool {
	if strings.EqualFold(tx.Intent(), w.intent) {
		return true
	}
	return slices.ContainsFunc(w.inside, func(name string) bool { _, ok := tx.Step(name); return ok })
}

// find looks for the way in. Recovery stands below the authenticator at hand, so its name varies in front.
func (w door) find(d *document) *form {
	if d == nil {
		return nil
	}
	for _, f := range slices.Concat(d.forms, d.actions) {
		if f.name == w.step || strings.HasPrefix(w.step, "-") && f.action && strings.HasSuffix(f.name, w.step) {
			return f
		}
	}
	return nil
}

// unoffered: the first page wants more than the name, so the door does not show even then.
func unoffered(err error, w door) error {
	var in *InputError
	if errors.As(err, &in) {
		return notOffered(in.Transaction, strings.TrimPrefix(w.step, "-"))
	}
	return err
}

// answer applies what there is. moved says that the call has changed something at the engine already.
func (c *Client) answer(ctx context.Context, tx *Transaction, a Answers, moved bool) (*Transaction, error) {
	answers := a.flat()
	if len(answers) == 0 || tx.Status() != StatusPending {
		left := names(answers)
		return tx.with(func(s *snapshot) { s.unused = left }), nil
	}
	before := tx
	tx, err := c.apply(ctx, tx, answers)
	var in *InputError
	if err == nil || !moved {
		return tx, err
	}
	if errors.As(err, &in) {
		// The flow was entered, which is progress enough: the person sees the form that the answers do not fill.
		left := names(answers)
		return before.with(func(s *snapshot) { s.unused = left }), nil
	}
	return nil, afterSteps(err)
}
