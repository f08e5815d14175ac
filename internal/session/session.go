// Package session owns browser sessions once they are there: which one a cookie is, how long it lives, how it
// ends, and that the applications in it are told.
//
// Sessions begin in engine, in the commit of the sign-in that gives them. Cookies are the faces' business, and what
// a session is good for is judged by flow. [Sessions.Find] is asked at every visit; [Sessions.Tell] runs beside the
// requests and makes back-channel calls (OpenID Connect Back-Channel Logout 1.0).
package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// Config is what sessions need.
type Config struct {
	Store  store.DB
	Keys   *secret.Keys
	Now    func() time.Time
	Limits limit.Session // zero is production's
	Log    *slog.Logger

	Issuer func(server string) string                            // of logout tokens
	Sign   func(ctx context.Context, claims any) (string, error) // likewise
	Post   func(ctx context.Context, to, logoutToken string) error
}

// Sessions are all there are.
type Sessions struct{ Config }

// New makes them.
func New(c Config) *Sessions {
	if c.Limits == (limit.Session{}) {
		c.Limits = limit.DefaultSession()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Sessions{c}
}

// Find returns the session that a cookie's value stands for, and keeps it alive. A value that is none, or that of a
// session that is over, is nobody's: the zero Session.
func (s *Sessions) Find(ctx context.Context, value secret.Text) (found store.Session, err error) {
	if value == "" {
		return found, nil
	}
	now := s.Now()
	err = s.Store.ViewOnce(ctx, func(tx store.Tx) error {
		found, err = tx.Session(ctx, secret.DigestOf(secret.SessionValue, value.Reveal()))
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && !now.Before(found.Expires):
		return store.Session{}, nil
	case err != nil:
		return store.Session{}, fmt.Errorf("session: %w", err)
	}
	if now.Sub(found.Seen) <= s.Limits.Idle/60 { // a commit at every visit would say nothing more
		return found, nil
	}
	found.Seen, found.Expires = now, s.Limits.Expires(found.Created, now)
	err = s.Store.Update(ctx, func(tx store.Tx) error { return tx.SeeSession(ctx, found.ID, found.Seen, found.Expires) })
	if errors.Is(err, store.ErrNotFound) { // ended meanwhile
		return store.Session{}, nil
	}
	return found, err
}

// ByID returns a living session by its id; the zero one if there is none.
func (s *Sessions) ByID(ctx context.Context, id string) (found store.Session, err error) {
	err = s.Store.ViewOnce(ctx, func(tx store.Tx) error {
		found, err = tx.SessionByID(ctx, id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && !s.Now().Before(found.Expires) {
		return store.Session{}, nil
	}
	return found, err
}

// BySID returns the living session that applications know by a sid, which is its id or that of one that went up in it; the
// zero one if there is none.
func (s *Sessions) BySID(ctx context.Context, sid string) (found store.Session, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		if found, err = tx.SessionByID(ctx, sid); errors.Is(err, store.ErrNotFound) {
			found, _, err = tx.Heir(ctx, sid)
		}
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && !s.Now().Before(found.Expires) {
		return store.Session{}, nil
	}
	return found, err
}

// Entered returns the applications that were entered in a session.
func (s *Sessions) Entered(ctx context.Context, id string) (all []store.Membership, err error) {
	err = s.Store.ViewOnce(ctx, func(tx store.Tx) error {
		all, err = tx.Memberships(ctx, id)
		return err
	})
	return all, err
}

// Of returns the living sessions of somebody, the last seen first.
func (s *Sessions) Of(ctx context.Context, u ident.UserID) (alive []store.Session, err error) {
	now := s.Now()
	err = s.Store.ViewOnce(ctx, func(tx store.Tx) error {
		all, err := tx.SessionsOf(ctx, u)
		alive = nil
		for _, one := range all {
			if now.Before(one.Expires) {
				alive = append(alive, one)
			}
		}
		return err
	})
	return alive, err
}

// End ends a session, which may have ended by itself meanwhile. If it went up in another one since it was read, that ends:
// the person is told that they are signed out.
func (s *Sessions) End(ctx context.Context, one store.Session, why string) error {
	now := s.Now().UTC()
	return s.Store.Update(ctx, func(tx store.Tx) error {
		id := one.ID
		err := tx.EndSession(ctx, id, now)
		if errors.Is(err, store.ErrNotFound) {
			var heir store.Session
			if heir, _, err = tx.Heir(ctx, id); err == nil {
				id = heir.ID
				err = tx.EndSession(ctx, id, now)
			}
		}
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return tx.Record(ctx, audit.Event{
			Type: audit.SessionEnded, At: now, OK: true, User: string(one.User), Target: id, Reason: why, Source: obs.SourceOf(ctx),
		})
	})
}

// Succeed puts a session in the place of the one that a browser had. Of the same person it takes over what was entered:
// two sign-ins were begun before either was done, and signing out has to reach the applications of both. What was begun in
// it in a third tab goes on. Of somebody else it ends.
func (s *Sessions) Succeed(ctx context.Context, was, next store.Session) error {
	switch {
	case was.ID == "" || was.ID == next.ID:
		return nil
	case was.User != next.User:
		return s.End(ctx, was, "somebody else signed in")
	}
	err := s.Store.Update(ctx, func(tx store.Tx) error {
		if err := tx.InheritSession(ctx, was.ID, next.ID, true); err != nil {
			return err
		}
		return tx.Record(ctx, audit.Event{
			Type: audit.SessionEnded, At: s.Now().UTC(), OK: true, User: string(was.User), Target: was.ID, Reason: "went up in " + next.ID, Source: obs.SourceOf(ctx),
		})
	})
	if errors.Is(err, store.ErrStale) { // one of them has ended meanwhile: there is nothing to join
		return nil
	}
	return err
}

// EndAll signs somebody out everywhere, except perhaps in one session: browsers, and by their refresh tokens all
// applications. It returns how many sessions ended.
func (s *Sessions) EndAll(ctx context.Context, u ident.UserID, except, why string) (n int, err error) {
	now := s.Now().UTC()
	err = s.Store.Update(ctx, func(tx store.Tx) error {
		if n, err = tx.EndSessionsOf(ctx, u, except, now); err != nil {
			return err
		}
		if _, err := tx.RevokeGrantsOf(ctx, u, ""); err != nil {
			return err
		}
		return tx.Record(ctx, audit.Event{
			Type: audit.SessionEnded, At: now, OK: true, User: string(u), Reason: why, Source: obs.SourceOf(ctx),
		})
	})
	return n, err
}

// Ticket is what a form carries that acts in a session, so that only our own pages can have sent it (S-41).
func (s *Sessions) Ticket(one store.Session) secret.Text {
	return s.Keys.Token(secret.MACSession, "ticket", one.ID)
}

// Tells reports whether what a form carried is the session's ticket.
func (s *Sessions) Tells(one store.Session, ticket secret.Text) bool {
	want := secret.DigestOf(secret.SessionValue, s.Ticket(one).Reveal())
	return one.ID != "" && want.Equal(secret.DigestOf(secret.SessionValue, ticket.Reveal()))
}
