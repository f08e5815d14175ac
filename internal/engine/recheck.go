package engine

import (
	"context"
	"errors"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/authn"
	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/notice"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// A Recheck is the password of somebody who is signed in already, given once more for something that matters.
type Recheck struct {
	User   ident.UserID
	Answer secret.Text
	// Then is called if the password is right, with nothing locked, and says what to commit. It gets the enrollment that was judged: whoever replaces it has to find it unchanged.
	Then func(u ident.User, judged ident.Enrollment) (func(store.Tx) error, error)
}

// Recheck judges a password by the rules of a sign-in: the same counters, the same places to hash in, the same answers
// (S-29, S-26). A wrong one is denied, and who has none left is throttled or told that it is wrong.
func (e *Engine) Recheck(ctx context.Context, r Recheck) error {
	sc := scene{device: DeviceOf(ctx), now: e.Now()}
	err := e.Store.View(ctx, func(tx store.Tx) (err error) {
		if sc.user, err = tx.User(ctx, r.User); err != nil {
			return err
		}
		sc.enrollments, err = tx.Enrollments(ctx, r.User)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && sc.user.Status != ident.Active:
		return expired("of a user who is not active")
	case err != nil:
		return ill(err)
	}
	sc.state.Login, sc.state.User = sc.user.Login, sc.user.ID
	var who claim
	defer func() { who.release() }()
	if err := e.judge(ctx, sc, claim{user: sc.user, enrollments: sc.enrollments, held: true}, sc.user.Login, r.Answer, &who); err != nil {
		return err
	}
	if !who.verdict.OK {
		ev := e.event(ctx, sc, flow.Record{Type: audit.PasswordWrong, Kind: ident.Password})
		if err := e.Store.Update(ctx, func(tx store.Tx) error { return tx.Record(ctx, ev) }); err != nil {
			return ill(err)
		}
		return fault.New(fault.Denied, msg.AuthenticationFailed, "password is wrong").At("passcode")
	}
	// Cleared at once, for the guess was right whatever comes of the rest; and so that the rest holds no counter while it
	// waits for a sign-in, which takes the counters last.
	if err := e.Store.Update(ctx, func(tx store.Tx) error { return tx.ClearGuess(ctx, who.guess, e.Passwords) }); err != nil {
		return ill(err)
	}
	judged, _ := ident.Find(sc.enrollments, ident.Password)
	commit, err := r.Then(sc.user, judged)
	if err != nil {
		return err
	}
	return ill(e.Store.Update(ctx, commit))
}

// NewPassword judges a password that somebody chose (S-02, S-03), and returns what is kept of it. It waits for its turn to
// hash like a sign-in.
func (e *Engine) NewPassword(ctx context.Context, u ident.User, chosen secret.Text) (secret.Text, error) {
	leave, err := e.hashes.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	out, err := e.plugins[ident.Password].Enroll(authn.In{Now: e.Now(), User: u, Data: chosen})
	return out.Secret, err
}

// Tell writes somebody an e-mail about a change to their account, in the transaction of the change.
func (e *Engine) Tell(ctx context.Context, tx store.Tx, u ident.User, c notice.Change, hint string) error {
	return e.tell(ctx, tx, scene{user: u, now: e.Now()}, c, hint)
}
