package engine

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/authn"
	"latchkey.dev/internal/authn/password"
	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// countedAs is the form in which a login is counted: the one in which it is looked up (S-28). A name that nobody can
// have is counted as it was typed, so that it meets what every name meets.
func countedAs(login string) string {
	if folded, ok := ident.FoldLogin(login); ok {
		return folded
	}
	return "?" + strings.ToValidUTF8(strings.ReplaceAll(login, "\x00", ""), "")
}

// judge decides about a password, once: it is counted, hashed and compared (S-26, S-11). A guess that must not
// be judged costs the same hash and answers like a wrong one, the right password included. The claim that it
// fills holds its turn until release.
func (e *Engine) judge(ctx context.Context, sc scene, found claim, login string, answer secret.Text, who *claim) error {
	if len(answer) > password.MaxBytes {
		return fault.New(fault.Invalid, msg.Malformed, "password of %d bytes", len(answer))
	}
	who.release() // of a turn from before it was overtaken
	*who = claim{}
	sc.state.Login, sc.state.User, sc.now = login, found.user.ID, e.Now() // what events tell
	g, err := e.guess(ctx, sc)
	if err != nil {
		return err
	}
	leave, err := e.turns.enter(ctx, "password "+g.Login+" "+g.Source+" "+g.Device)
	if err != nil {
		return err
	}
	who.leave = leave // until the success is committed, or the guess is known to be wrong
	enrolled, _ := ident.Find(found.enrollments, ident.Password)
	verdict, err := e.countAndHash(ctx, sc, &g, authn.In{Now: sc.now, User: found.user, Enrollment: enrolled, Answer: answer})
	if err != nil {
		return err
	}
	found.leave, found.judged, found.verdict, found.guess = leave, true, verdict, g
	*who = found
	return nil
}

// release gives the turn back.
func (c *claim) release() {
	if c.leave != nil {
		c.leave()
	}
}

// countAndHash counts while it hashes: both take their time, and neither needs the other. What the hash says is
// looked at only when the count is durable. It begins with a place to hash in, so that nobody is charged for
// a guess that was sent away from the queue.
func (e *Engine) countAndHash(ctx context.Context, sc scene, g *store.Guess, in authn.In) (authn.Verdict, error) {
	leave, err := e.hashes.enter(ctx)
	if err != nil {
		return authn.Verdict{}, err
	}
	defer leave()
	type outcome struct {
		counted bool
		err     error
	}
	counting := make(chan outcome, 1)
	go func() {
		o := outcome{err: errors.New("engine: counting a password broke off")}
		defer func() {
			if p := recover(); p != nil {
				o.err = fmt.Errorf("engine: counting a password: %T", p) // ends this request, and not the process (S-51)
			}
			counting <- o
		}()
		o.counted, o.err = e.countGuess(ctx, sc, g)
	}()
	verdict, err := e.plugins[ident.Password].Verify(in)
	o := <-counting
	switch {
	case o.err != nil:
		return authn.Verdict{}, o.err
	case err != nil:
		return authn.Verdict{}, err
	case !o.counted:
		return authn.Verdict{}, nil
	}
	return verdict, nil
}

// guess is the password about to be judged, as the limits see it. A source that has nothing left is refused
// here already, before it costs a hash: it is the same for all accounts and tells nothing about any.
func (e *Engine) guess(ctx context.Context, sc scene) (store.Guess, error) {
	g := store.Guess{Login: countedAs(sc.state.Login), Source: limit.Source(sourceOf(ctx, sc)), At: sc.now}
	g.Device = e.knownIn(sc.device.Cookie, sc.state.Login, sc.now)
	token := e.tokenOf(sc)
	spent := false
	err := e.Store.View(ctx, func(tx store.Tx) (err error) {
		if g.Device == "" && !token.IsZero() {
			known, err := tx.KnowsDevice(ctx, g.Login, token)
			if err != nil {
				return err
			}
			if known {
				g.Device = hex.EncodeToString(token[:16])
			}
		}
		spent, err = tx.SourceSpent(ctx, g, e.Passwords)
		return err
	})
	switch {
	case err != nil:
		return g, ill(err)
	case spent && g.Device == "":
		return g, e.sourceSpent(ctx, sc)
	}
	return g, nil
}

// sourceOf is the address that a guess came from. An application that signs people in on its own server and
// proved itself at interact has told whose address it speaks for.
func sourceOf(ctx context.Context, sc scene) string {
	if told := sc.state.Request.Source; told != "" {
		return told
	}
	return obs.SourceOf(ctx).Address
}

// tokenOf is the digest of the token of the device: what the application bound to the sign-in, or what came with
// the request.
func (e *Engine) tokenOf(sc scene) secret.Digest {
	if bound := sc.state.Request.Device; !bound.IsZero() {
		return bound
	}
	return e.deviceDigest(sc.device.Token)
}

// countGuess counts, and reports whether the guess may be judged.
func (e *Engine) countGuess(ctx context.Context, sc scene, g *store.Guess) (bool, error) {
	var ruling store.Ruling
	err := e.Store.Update(ctx, func(tx store.Tx) (err error) {
		if ruling, err = tx.CountGuess(ctx, *g, e.Passwords); err != nil {
			return err
		}
		var events []audit.Event
		if ruling.Paused {
			events = append(events, e.limited(ctx, sc, audit.SourceRefused, "wrong passwords in a row from this source"))
		}
		if ruling.Stopped {
			events = append(events, e.limited(ctx, sc, audit.AccountLocked, "wrong passwords in a row, wherever from"))
		}
		return tx.Record(ctx, events...)
	})
	switch {
	case err == nil:
		if !ruling.Device {
			g.Device = ""
		}
		return true, nil
	case !errors.Is(err, store.ErrSpent):
		return false, ill(err)
	case ruling.Source:
		return false, e.sourceSpent(ctx, sc)
	}
	err = e.Store.Update(ctx, func(tx store.Tx) error {
		if err := tx.CountRefusal(ctx, *g, e.Passwords); err != nil && !errors.Is(err, store.ErrSpent) {
			return err
		}
		return tx.Record(ctx, e.limited(ctx, sc, audit.LimitHit, "not judged: too many wrong ones in a row"))
	})
	return false, ill(err)
}

// sourceSpent is the answer to a source that has failed too often, whoever it was about.
func (e *Engine) sourceSpent(ctx context.Context, sc scene) error {
	ev := e.limited(ctx, sc, audit.LimitHit, "not judged: too many wrong ones from this source")
	if err := ill(e.Store.Update(ctx, func(tx store.Tx) error { return tx.Record(ctx, ev) })); err != nil {
		return err
	}
	return fault.New(fault.Throttled, msg.TooManyRequests, "%d wrong passwords from the source", e.Passwords.Source.Max).After(time.Minute)
}

// limited is an event of a limit, with the rule that it was.
func (e *Engine) limited(ctx context.Context, sc scene, t audit.Type, rule string) audit.Event {
	ev := e.event(ctx, sc, flow.Record{Type: t, Kind: ident.Password})
	ev.Reason = rule
	return ev
}

// rightPassword is what a right password adds to its commit: the rows of failures end.
func (e *Engine) rightPassword(ctx context.Context, who claim) func(store.Tx) error {
	return func(tx store.Tx) error {
		if !who.verdict.OK {
			return nil
		}
		if err := tx.ClearGuess(ctx, who.guess, e.Passwords); err != nil {
			return err
		}
		return e.rehash(ctx, tx, who)
	}
}

// rememberDevice is what a completed sign-in adds to its commit, where the device has a name that is not our cookie.
func (e *Engine) rememberDevice(ctx context.Context, tx store.Tx, sc scene) error {
	token := e.tokenOf(sc)
	if token.IsZero() {
		return nil
	}
	return tx.RememberDevice(ctx, countedAs(sc.state.Login), token, sc.now)
}
