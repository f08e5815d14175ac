// Package engine runs a sign-in: it reads, judges, and commits.
//
// Each step is one method. It reads what it must in one View, lets a plug-in judge a proof with nothing
// locked, asks flow what comes next, and commits the new state with all that belongs to it in one
// Update. If the flow moved meanwhile it reads again. The rules are not here: what follows what is in
// flow, what is asked for in policy, what a proof is in authn.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"runtime"
	"time"

	"latchkey.dev/internal/authn"
	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/policy"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// A Sender carries messages that were just committed with its lease.
type Sender interface {
	Name() string
	Lease() time.Duration
	// Deliver hands the message over and waits a moment for the verdict; Waiting if it is not known yet.
	Deliver(ctx context.Context, m store.Message) store.MessageStatus
}

// Config is everything the engine needs.
type Config struct {
	Store         store.DB
	Keys          *secret.Keys
	Plugins       []authn.Authenticator
	Sender        Sender
	Now           func() time.Time
	Flow          limit.Flow
	Session       limit.Session // zero is production's
	Codes         limit.Codes
	Sends         limit.Sends
	Passwords     limit.Passwords            // zero is production's: passwords that may be guessed for ever are nobody's wish
	Mail          bool                       // there is a way to send e-mail
	Price         func(country string) int64 // what a message may cost at most, in millionths; nil is nothing
	RevealUnknown bool                       // S-24: tell that a name is unknown
	Origin        string                     // https://id.example; its host ends a text message
	Hashes        int                        // password hashes at once; zero is one for each core that we may use
	Log           *slog.Logger
}

// Engine runs sign-ins.
type Engine struct {
	Config
	plugins map[ident.Kind]authn.Authenticator
	host    string
	hashes  *hashes
	turns   *turns
}

// New checks the parts and makes an engine.
func New(c Config) (*Engine, error) {
	e := &Engine{Config: c, plugins: map[ident.Kind]authn.Authenticator{}, turns: newTurns()}
	if c.Passwords == (limit.Passwords{}) {
		e.Passwords = limit.DefaultPasswords()
	}
	if c.Session == (limit.Session{}) {
		e.Session = limit.DefaultSession()
	}
	for _, p := range c.Plugins {
		e.plugins[p.Kind()] = p
	}
	if e.plugins[ident.Password] == nil {
		return nil, errors.New("engine: no password plug-in: every sign-in begins with one")
	}
	origin, err := url.Parse(c.Origin)
	if err != nil || origin.Host == "" {
		return nil, fmt.Errorf("engine: origin %q is no URL with a host", c.Origin)
	}
	e.host = origin.Hostname()
	if c.Hashes <= 0 {
		c.Hashes = runtime.GOMAXPROCS(0) // what a container may use, which may be less than there is
	}
	e.hashes = newHashes(c.Hashes)
	if e.Log == nil {
		e.Log = slog.New(slog.DiscardHandler)
	}
	return e, nil
}

// A Page is where a person stands: what the faces draw.
type Page struct {
	Handle         secret.Text
	Expires        time.Time
	Offer          flow.Offer
	Client         oauth.Client
	Server         string // of the token endpoint that redeems the code
	Login          string // as typed
	User           ident.User
	Enrollments    []ident.Enrollment // the person's, or what stands for them (S-24)
	Authenticators []ident.Authenticator
	Code           secret.Text // on success
	Redirect       string      // on success, if that ends by a redirect: where the browser goes
	Device         secret.Text // on success: the cookie by which the browser is known from now on (S-26)
}

// scene is everything that one step looks at.
type scene struct {
	handle         secret.Text
	state          flow.State
	client         oauth.Client
	policy         policy.Policy
	user           ident.User
	enrollments    []ident.Enrollment
	authenticators []ident.Authenticator
	session        store.Session // that lends what was shown in it; zero if it has ended, or nothing was borrowed
	device         Device
	now            time.Time
}

func (sc scene) facts() flow.Facts {
	return flow.Facts{Now: sc.now, Policy: sc.policy, Enrollments: sc.enrollments}
}

// expired is the answer to a handle that is unknown, expired, cancelled or finished (S-18): one answer
// for all, so that nothing is learned from it.
func expired(why string) error {
	return fault.New(fault.Expired, msg.SessionExpired, "handle is %s", why).Alone()
}

// look reads the scene of a live or just finished flow.
func (e *Engine) look(ctx context.Context, handle secret.Text, find func(store.Tx) (flow.State, error)) (scene, error) {
	sc := scene{handle: handle, device: DeviceOf(ctx), now: e.Now()}
	err := e.Store.View(ctx, func(tx store.Tx) error {
		var err error
		if sc.state, err = find(tx); err != nil {
			return err
		}
		if sc.client, err = clientOf(ctx, tx, sc.state.Request); err != nil {
			return err
		}
		if sc.authenticators, err = tx.Authenticators(ctx); err != nil {
			return err
		}
		if sc.state.Login == "" {
			return nil
		}
		// A name that nobody holds is asked for like any other: the time must not tell (S-25).
		sc.user, err = tx.User(ctx, sc.state.User)
		if err != nil && !(sc.state.User == "" && errors.Is(err, store.ErrNotFound)) {
			return err
		}
		if sc.enrollments, err = tx.Enrollments(ctx, sc.state.User); err != nil || !sc.state.Borrowed {
			return err
		}
		sc.session, err = e.lender(ctx, tx, sc)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return sc, expired("unknown")
	case err != nil:
		return sc, ill(err)
	case sc.client.Disabled:
		return sc, expired("of a disabled client")
	case sc.state.User != "" && sc.user.Status != ident.Active:
		return sc, expired("of a user who is not active")
	case sc.state.Stage != flow.Cancelled && sc.state.Borrowed && !lends(sc.session, sc.state, sc.now):
		return sc, expired("of a session that has ended")
	case superseded(sc):
		return sc, expired("of a proof that was replaced since")
	}
	raised, ok := sc.client.Policy.Raise(sc.state.Request.ACR)
	if !ok {
		return sc, expired("of a class that is no longer served")
	}
	sc.policy = raised
	if k := sc.state.Request.Replace; k != "" && sc.state.Stage != flow.Done {
		if sc.state.User == "" || sc.state.User != sc.state.Request.Subject {
			return sc, expired("of a change to somebody else's account")
		}
		if !sc.now.Before(sc.state.Created.Add(limit.Changing)) {
			return sc, expired("of a change that took too long")
		}
		sc.replacing(k)
	}
	if sc.state = sc.state.Aligned(sc.facts()); sc.state.Login == "" { // what was shown is too old by now
		if sc.state.Request.Replace != "" {
			return sc, expired("of a change that took too long")
		}
		sc.user, sc.enrollments = ident.User{}, nil
	}
	return sc, nil
}

// lender reads the session that a sign-in stands on: the one that it was begun in, or one that this went up in with all that
// was begun there. It is nobody's if that has ended, or was left behind with its cookie when somebody changed what they sign
// in with (S-40).
func (e *Engine) lender(ctx context.Context, tx store.Tx, sc scene) (store.Session, error) {
	id, lends := sc.state.Request.Session, true
	if sc.state.Stage == flow.Done && sc.state.Request.Replace != "" {
		id = e.sessionID(sc) // this very sign-in was the change
	}
	s, err := tx.SessionByID(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		s, lends, err = tx.Heir(ctx, id)
	}
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && !lends:
		return store.Session{}, nil
	}
	return s, err
}

// lends reports that a session is alive and its person's own flow may stand on it. What was shown in a session that was
// ended, perhaps because somebody else had got hold of it, is worth nothing any more (S-04, S-38).
func lends(s store.Session, f flow.State, now time.Time) bool {
	return s.ID != "" && s.User == f.User && now.Before(s.Expires)
}

// superseded reports that something was proved which is no longer what it was: an operator gave the person
// another password meanwhile, or began their phone anew. Whoever knew the old one does not go on with it.
func superseded(sc scene) bool {
	for _, p := range sc.state.Proofs {
		if e, ok := ident.Find(sc.enrollments, p.Kind); ok && e.Created.After(p.At) {
			return true
		}
	}
	return false
}

// live reads the scene of a flow on which steps can be taken.
func (e *Engine) live(ctx context.Context, handle secret.Text) (scene, error) {
	sc, err := e.byState(ctx, handle)
	if err == nil && !sc.state.Live(e.Flow, sc.now) {
		return sc, expired(string(sc.state.Stage) + " or out of time")
	}
	return sc, err
}

func (e *Engine) byState(ctx context.Context, handle secret.Text) (scene, error) {
	digest := secret.DigestOf(secret.StateHandle, handle.Reveal())
	return e.look(ctx, handle, func(tx store.Tx) (flow.State, error) { return tx.Flow(ctx, digest) })
}

// page draws the scene.
func (e *Engine) page(sc scene) *Page {
	p := &Page{
		Handle: sc.handle, Expires: sc.state.Expires(e.Flow), Offer: flow.Offers(sc.state, sc.facts()),
		Client: sc.client, Server: sc.state.Request.Server, Login: sc.state.Login, User: sc.user,
		Enrollments: sc.enrollments, Authenticators: sc.authenticators,
	}
	if sc.state.Stage == flow.Verify && sc.state.Current.Kind == ident.Password {
		p.Enrollments = []ident.Enrollment{e.passwordOf(sc)}
	}
	if sc.state.Stage == flow.Done {
		if p.Code = e.successCode(sc); sc.state.Request.Ending == flow.Redirect {
			p.Redirect = e.arrival(sc.handle)
		}
		p.Device = e.met(sc.device.Cookie, sc.state.Login, sc.now)
	}
	return p
}

// passwordOf returns the password enrollment to show. A name that nobody holds, or that has none, shows
// one that looks like the others and stays the same for that name (seed walk 4.2).
func (e *Engine) passwordOf(sc scene) ident.Enrollment {
	if real, ok := ident.Find(sc.enrollments, ident.Password); ok {
		return real
	}
	folded, _ := ident.FoldLogin(sc.state.Login)
	look := e.Keys.MAC(secret.MACLogin, "enrollment", folded)
	return ident.Enrollment{ID: ident.EnrollmentID(ident.IDFrom("lae", look[:])), Kind: ident.Password, Method: ident.MethodPassword}
}

// stateHandle derives the state handle that belongs to an interaction handle, so that introspecting gives
// the same one each time though only digests are stored. The prefix keeps clients from taking it for a
// token of the classic engine (idx 4.2).
func (e *Engine) stateHandle(parts ...string) secret.Text {
	return "02" + e.Keys.Token(secret.MACStateHandle, parts...)
}

// successCode derives the one interaction code of a flow: an answer repeated gets the same one (S-23).
func (e *Engine) successCode(sc scene) secret.Text {
	return e.Keys.Token(secret.MACSuccess, sc.handle.Reveal())
}

// ill turns a database's error into a fault: what may pass by itself is 503, all else is ours. A deadline that
// is over and a client that has gone break a transaction off, too, and are nobody's fault.
func ill(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return fault.New(fault.Unavailable, msg.Unavailable, "%w", err).Alone().After(2 * time.Second)
	}
	var f *fault.Fault
	if errors.As(err, &f) {
		return err
	}
	return fmt.Errorf("engine: %w", err)
}
