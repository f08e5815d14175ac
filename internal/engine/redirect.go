package engine

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"net/url"
	"slices"
	"strings"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/policy"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// A sign-in that a browser walks through on our own pages ends by a redirect. It differs from one that an application
// walks through in three things: it may begin with what the browser's session shows, it leaves a session behind, and
// its code is given to the browser alone that it began in.

// An Opening is how such a sign-in begins.
type Opening struct {
	Request flow.Request
	Session store.Session // of the browser, alive; zero if nobody is signed in there
	Browser secret.Text   // as [Engine.Browser] said
	Anew    bool          // nothing that was shown before counts (prompt=login)
	Silent  bool          // nothing may be asked (prompt=none)
}

// An Opened is what came of it: a way on, an end, or neither if something would have to be asked in silence.
type Opened struct {
	Interaction secret.Text // the sign-in goes on with this
	Name        string      // names it in an address, and opens nothing: see GivenUp
	Code        secret.Text // nothing had to be asked
}

// Open begins a sign-in that ends by a redirect. If the session shows all that is asked for it is over at once, by
// the same rules and in one commit. If the session or the person changed meanwhile it judges by what is there now.
func (e *Engine) Open(ctx context.Context, o Opening) (Opened, error) {
	return again(func() (Opened, error) { return e.open(ctx, o) })
}

func (e *Engine) open(ctx context.Context, o Opening) (Opened, error) {
	o.Request.Ending = flow.Redirect
	o.Request.Session = o.Session.ID
	if o.Request.Replace != "" {
		o.Request.Subject = o.Session.User
	}
	o.Request.Device = e.deviceDigest(browserToken(o.Browser))
	interaction := secret.Random()
	handle := e.stateHandle(interaction.Reveal())
	sc := scene{handle: handle, state: e.fresh(handle, interaction, o.Request), now: e.Now()}
	sc.state.Created, sc.state.Seen = sc.now, sc.now
	begun := sc.state

	next, effects, err := e.resume(ctx, &sc, o)
	if err == nil && o.Request.Replace != "" && effects == nil {
		err = ErrTooOld // nobody was resumed, so there is nobody whose phone it could be
	}
	if errors.Is(err, ErrTooOld) {
		return Opened{}, err
	}
	if err != nil {
		return Opened{}, ill(err)
	}
	over := next.Stage == flow.Done
	if o.Silent && !over {
		return Opened{}, nil
	}
	err = e.Store.Update(ctx, func(tx store.Tx) error {
		if err := tx.AddFlow(ctx, begun, begun.Expires(e.Flow)); err != nil {
			return err
		}
		sc := sc
		sc.state = begun
		if err := tx.Record(ctx, e.event(ctx, sc, flow.Record{Type: audit.FlowBegun, OK: true})); err != nil || effects == nil {
			return err
		}
		return e.carryOut(ctx, tx, sc, next, effects)
	})
	switch {
	case err != nil:
		return Opened{}, ill(err)
	case over:
		sc.state = next
		return Opened{Code: e.successCode(sc)}, nil
	}
	return Opened{Interaction: interaction, Name: base64.RawURLEncoding.EncodeToString(begun.Interaction[:])}, nil
}

// resume reads who is signed in and asks flow what that is good for. Whatever speaks against it, the sign-in begins
// with the first page: a session is a help and no condition.
func (e *Engine) resume(ctx context.Context, sc *scene, o Opening) (flow.State, []flow.Effect, error) {
	proofs := flow.Fresh(o.Session.Proofs, o.Request.MaxAge, sc.now)
	err := e.Store.View(ctx, func(tx store.Tx) (err error) {
		if sc.client, err = clientOf(ctx, tx, o.Request); err != nil || o.Session.ID == "" {
			return err
		}
		// Read again, with the person: either may have changed since the caller looked.
		s, err := tx.SessionByID(ctx, o.Session.ID)
		if err == nil && s.Value == o.Session.Value && sc.now.Before(s.Expires) {
			sc.session = s
			if sc.user, err = tx.User(ctx, s.User); err == nil {
				sc.enrollments, err = tx.Enrollments(ctx, s.User)
			}
		}
		if errors.Is(err, store.ErrNotFound) {
			sc.user, err = ident.User{}, nil
		}
		return err
	})
	if err != nil {
		return sc.state, nil, err
	}
	sc.policy, _ = sc.client.Policy.Raise(o.Request.ACR)
	if o.Anew || sc.user.Status != ident.Active || o.Request.Subject != "" && o.Request.Subject != sc.user.ID {
		sc.user, sc.enrollments = ident.User{}, nil
		return sc.state, nil, nil
	}
	if k := o.Request.Replace; k != "" {
		if proofs, err = mayReplace(o.Session, sc.enrollments, k, sc.now); err != nil {
			return sc.state, nil, err
		}
		sc.replacing(k)
	}
	resumed := *sc
	resumed.state.Proofs = proofs
	if superseded(resumed) {
		sc.user, sc.enrollments = ident.User{}, nil
		return sc.state, nil, nil
	}
	// Whoever is signed in is not invited to what they can do without: they have skipped it, or came by an application that
	// does not offer it, and asked in silence they could not even decline (OpenID Connect Core 3.1.2.1). A device is let in alike.
	next, effects, err := flow.Next(sc.state, sc.facts(), flow.Resumed{Login: sc.user.Login, User: sc.user.ID, Proofs: proofs, Skipped: sc.policy.Offer})
	if err != nil { // nothing that counts was shown
		sc.user, sc.enrollments = ident.User{}, nil
		return sc.state, nil, nil
	}
	return next, effects, nil
}

// ourselves is what stands in an application's place where people come to pages of our own: a password, and the
// phone if they have one.
var ourselves = oauth.Client{Label: "your account", Policy: policy.PasswordAndOptionalPhone}

func clientOf(ctx context.Context, tx store.Tx, r flow.Request) (oauth.Client, error) {
	if r.Client == "" && r.Mode == flow.Here {
		return ourselves, nil
	}
	return tx.Client(ctx, r.Client)
}

// keepSession leaves a session behind a sign-in that ends by a redirect, and returns its id. Somebody who was signed in
// in the browser stays in the same session, under another value if they showed something more, or in one in its place if
// they changed what they sign in with (S-40); somebody else's session ends.
func (e *Engine) keepSession(ctx context.Context, tx store.Tx, sc scene) (string, error) {
	r := sc.state.Request
	if r.Ending != flow.Redirect {
		return "", nil
	}
	was, err := tx.HoldSession(ctx, cmp.Or(sc.session.ID, r.Session))
	found := err == nil
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	if sc.state.Borrowed && !lends(was, sc.state, sc.now) {
		return "", store.ErrStale // ended since we looked: what it lent is gone
	}
	join := func(id string) error {
		if r.Mode == flow.Here {
			return nil // our own pages keep nothing that could be told of its end
		}
		return tx.JoinSession(ctx, id, store.Membership{Client: r.Client, Server: r.Server, Joined: sc.now})
	}
	if lends(was, sc.state, sc.now) {
		id, err := e.raise(ctx, tx, sc, was)
		if err != nil {
			return "", err
		}
		return id, join(id)
	}
	if found {
		if err := tx.EndSession(ctx, was.ID, sc.now); err != nil {
			return "", err
		}
	}
	ev := e.event(ctx, sc, flow.Record{Type: audit.SessionBegun, OK: true})
	s := store.Session{
		ID: e.sessionID(sc), Value: e.sessionDigest(sc), User: sc.state.User, Proofs: flow.Merge(sc.state.Proofs),
		Source: ev.Source.Address, Agent: ev.Source.Agent, Created: sc.now, Seen: sc.now, Expires: e.Session.Expires(sc.now, sc.now),
	}
	if err := tx.AddSession(ctx, s); err != nil {
		return "", err
	}
	if err := join(s.ID); err != nil {
		return "", err
	}
	return s.ID, tx.Record(ctx, ev)
}

// raise adds what was shown in a sign-in to a session, and returns the id under which that goes on.
func (e *Engine) raise(ctx context.Context, tx store.Tx, sc scene, was store.Session) (string, error) {
	next := was
	if next.Proofs = flow.Merge(was.Proofs, sc.state.Proofs); slices.Equal(next.Proofs, was.Proofs) {
		return was.ID, nil
	}
	next.Value, next.Seen, next.Expires = e.sessionDigest(sc), sc.now, e.Session.Expires(was.Created, sc.now)
	var err error
	if sc.state.Request.Replace == "" {
		err = tx.RaiseSession(ctx, was.Value, next)
	} else {
		next.ID = e.sessionID(sc)
		err = e.Renew(ctx, tx, was, next)
	}
	if err != nil {
		return "", err
	}
	return next.ID, tx.Record(ctx, e.event(ctx, sc, flow.Record{Type: audit.SessionRaised, OK: true}))
}

// Renew puts a session in the place of one in which somebody changed what they sign in with. It has another id as well as
// another value, so that whoever has a copy of the cookie is out with all that they began by it (S-40).
func (e *Engine) Renew(ctx context.Context, tx store.Tx, was, next store.Session) error {
	if err := tx.AddSession(ctx, next); err != nil {
		return err
	}
	if err := tx.InheritSession(ctx, was.ID, next.ID, false); err != nil {
		return err
	}
	return tx.Record(ctx, audit.Event{
		Type: audit.SessionEnded, At: e.Now().UTC(), OK: true, User: string(was.User), Target: was.ID, Reason: "went up in " + next.ID, Source: obs.SourceOf(ctx),
	})
}

// sessionID is that of the session which a sign-in leaves behind, if it is not one that was there.
func (e *Engine) sessionID(sc scene) string {
	look := e.Keys.MAC(secret.MACSession, "id", sc.handle.Reveal())
	return ident.IDFrom("ses", look[:])
}

// sessionValue is the cookie that a sign-in gives its browser. It is derived, so that arriving changes nothing and
// can be done again.
func (e *Engine) sessionValue(sc scene) secret.Text {
	return e.Keys.Token(secret.MACSession, "value", sc.handle.Reveal())
}

func (e *Engine) sessionDigest(sc scene) secret.Digest {
	return secret.DigestOf(secret.SessionValue, e.sessionValue(sc).Reveal())
}

const arrivalPath = "/login/token/redirect"

func (e *Engine) arrival(handle secret.Text) string {
	return e.Origin + arrivalPath + "?stateToken=" + url.QueryEscape(handle.Reveal())
}

// An Arrival is the end of a sign-in in the browser.
type Arrival struct {
	Request flow.Request
	Code    secret.Text
	Session secret.Text   // the cookie from now on; empty if it stays what it is
	Began   store.Session // the session that the cookie is of
	Other   bool          // it is somebody else than the application asked for
}

// Arrive returns what a finished sign-in gives its browser. A handle that another browser shows is worth nothing:
// else somebody could make others sign in to an account of their own (S-17).
func (e *Engine) Arrive(ctx context.Context, handle, browser secret.Text) (Arrival, error) {
	sc, err := e.byState(ctx, handle)
	if err != nil {
		return Arrival{}, err
	}
	r := sc.state.Request
	switch {
	case sc.state.Stage != flow.Done || r.Ending != flow.Redirect:
		return Arrival{}, expired("not at its end")
	case !sc.now.Before(sc.state.Outcome.At.Add(e.Flow.Code)):
		return Arrival{}, expired("finished too long ago")
	case !e.begunIn(browser, r):
		return Arrival{}, expired("of another browser")
	}
	a := Arrival{Request: r, Code: e.successCode(sc), Other: r.Subject != "" && r.Subject != sc.state.User}
	err = e.Store.ViewOnce(ctx, func(tx store.Tx) (err error) {
		a.Began, err = tx.Session(ctx, e.sessionDigest(sc))
		return err
	})
	switch {
	case err == nil:
		a.Session = e.sessionValue(sc)
	case !errors.Is(err, store.ErrNotFound):
		return Arrival{}, ill(err)
	}
	return a, nil
}

// GivenUp returns what a sign-in was begun for, to the browser that it was begun in, so that the application can be told
// that nothing will come of it. It changes nothing: who thinks better of it goes back a page, and goes on. For the same
// reason it does not matter whether the sign-in could: it may have run out of time, or stand on a session that has ended;
// but who has arrived did not give up.
func (e *Engine) GivenUp(ctx context.Context, name string, browser secret.Text) (flow.Request, error) {
	raw, err := base64.RawURLEncoding.DecodeString(name)
	if err != nil || len(raw) != len(secret.Digest{}) {
		return flow.Request{}, expired("no name of a sign-in")
	}
	var state flow.State
	var client oauth.Client
	err = e.Store.View(ctx, func(tx store.Tx) (err error) {
		if state, err = tx.FlowByInteraction(ctx, secret.Digest(raw)); err != nil {
			return err
		}
		client, err = clientOf(ctx, tx, state.Request)
		return err
	})
	r := state.Request
	switch {
	case errors.Is(err, store.ErrNotFound):
		return flow.Request{}, expired("unknown")
	case err != nil:
		return flow.Request{}, ill(err)
	case client.Disabled:
		return flow.Request{}, expired("of a disabled client")
	case r.Ending != flow.Redirect || r.Mode == flow.Here:
		return flow.Request{}, expired("not begun for an application by its browser")
	case state.Stage == flow.Done:
		return flow.Request{}, expired("at its end")
	case !e.begunIn(browser, r):
		return flow.Request{}, expired("of another browser")
	}
	return r, nil
}

// begunIn reports whether a browser is the one that a sign-in was begun in.
func (e *Engine) begunIn(browser secret.Text, r flow.Request) bool {
	if !e.knows(browser) {
		return false
	}
	own := e.deviceDigest(browserToken(browser))
	return !own.IsZero() && own.Equal(r.Device)
}

// Browser returns the name by which a browser is known: the one in its cookie if we made it, else a new one (S-39).
func (e *Engine) Browser(cookie secret.Text) (name secret.Text, known bool) {
	if e.knows(cookie) {
		return cookie, true
	}
	token := secret.Random()
	return token + "." + e.Keys.Token(secret.MACBrowser, token.Reveal()), false
}

// Device is a browser with that cookie as a device: a sign-in on our own pages is remembered by it. One that we did not
// make is none.
func (e *Engine) Device(cookie secret.Text) Device {
	if !e.knows(cookie) {
		return Device{}
	}
	return Device{Token: browserToken(cookie)}
}

func (e *Engine) knows(cookie secret.Text) bool {
	token, mac, _ := strings.Cut(cookie.Reveal(), ".")
	if token == "" || mac == "" {
		return false
	}
	want := secret.DigestOf(secret.SessionValue, e.Keys.Token(secret.MACBrowser, token).Reveal())
	return want.Equal(secret.DigestOf(secret.SessionValue, mac))
}

// browserToken is the part of the name that is random.
func browserToken(name secret.Text) secret.Text {
	token, _, _ := strings.Cut(name.Reveal(), ".")
	return secret.Text(token)
}
