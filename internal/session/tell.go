package session

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/store"
)

// How applications are told: a call may take so long, and who did not take it is called again later, each time twice as
// late. So many notices are taken in hand at once. Their applications are called side by side, and each has a turn to take
// one after the other, so that all of it is over long before the lease is, and nobody else tells the same meanwhile.
const (
	callTime  = 5 * time.Second
	turn      = 2 * callTime
	lease     = time.Minute
	atOnce    = 20
	firstWait = 2 * time.Second
)

// A logoutToken is the claims of what an application is told (OpenID Connect Back-Channel Logout 2.4).
type logoutToken struct {
	Issuer   string         `json:"iss"`
	Audience oauth.ClientID `json:"aud"`
	Issued   int64          `json:"iat"`
	Expires  int64          `json:"exp"`
	ID       string         `json:"jti"`
	Events   map[string]any `json:"events"`
	Subject  ident.UserID   `json:"sub"`
	Session  string         `json:"sid"`
}

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// Tell tells applications of sessions that ended, until nothing is due. One that does not answer, or takes its time, holds
// up nobody else: all that it is still to be told waits until the lease is over.
func (s *Sessions) Tell(ctx context.Context) error {
	aside := map[oauth.ClientID]bool{}
	for {
		due, err := s.due(ctx, s.Now().UTC())
		if err != nil || len(due) == 0 {
			return err
		}
		if err := s.tellAll(ctx, due, aside); err != nil {
			return err
		}
	}
}

// due looks before it leases: nearly always there is nothing, and looking costs nobody a commit.
func (s *Sessions) due(ctx context.Context, now time.Time) (all []store.Logout, err error) {
	waiting := false
	err = s.Store.View(ctx, func(tx store.Tx) error {
		waiting, err = tx.LogoutsDue(ctx, now)
		return err
	})
	if err != nil || !waiting {
		return nil, err
	}
	err = s.Store.Update(ctx, func(tx store.Tx) error {
		all, err = tx.LeaseLogouts(ctx, now, now.Add(lease), atOnce)
		return err
	})
	return all, err
}

// tellAll tells each application what is due to it, but for those that were set aside before, and adds to them.
func (s *Sessions) tellAll(ctx context.Context, due []store.Logout, aside map[oauth.ClientID]bool) error {
	queues := map[oauth.ClientID][]store.Logout{}
	for _, l := range due {
		if !aside[l.Client] {
			queues[l.Client] = append(queues[l.Client], l)
		}
	}
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	for client, queue := range queues {
		all.Go(func() {
			all, err := s.tellOne(ctx, queue)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
			aside[client] = !all
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// tellOne tells one application, one notice after the other, until it does not answer or its turn is over, and says whether
// it was told all. What was tried least goes first, so that one notice which it never takes is not in the way of all
// others for ever.
func (s *Sessions) tellOne(ctx context.Context, queue []store.Logout) (all bool, err error) {
	slices.SortStableFunc(queue, func(a, b store.Logout) int { return cmp.Compare(a.Attempts, b.Attempts) })
	began := s.Now()
	for _, l := range queue {
		if s.Now().Sub(began) >= turn {
			return false, nil
		}
		if answered, err := s.tell(ctx, l); err != nil || !answered {
			return false, err
		}
	}
	return true, nil
}

// tell makes one call, or finds that there is none to be made, and says whether the application answered.
func (s *Sessions) tell(ctx context.Context, l store.Logout) (answered bool, err error) {
	var client oauth.Client
	err = s.Store.View(ctx, func(tx store.Tx) (err error) {
		client, err = tx.Client(ctx, l.Client)
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, err
	}
	if client.BackChannelLogout == "" || client.Disabled {
		return true, s.settle(ctx, l.ID, nil)
	}
	now := s.Now().UTC()
	ev := audit.Event{Type: audit.LogoutTold, At: now, OK: true, User: string(l.User), Client: string(l.Client), Target: l.Session}
	giveUp := func() error {
		ev.Type, ev.OK, ev.Reason = audit.LogoutNotTold, false, "given up after an hour"
		return s.settle(ctx, l.ID, &ev)
	}
	if !now.Before(l.Ends) {
		return true, giveUp()
	}
	failed := s.call(ctx, client, l, now)
	if failed == nil {
		return true, s.settle(ctx, l.ID, &ev)
	}
	s.Log.WarnContext(ctx, "session: an application was not told of a logout", "client", string(l.Client), "attempt", l.Attempts+1, "error", failed)
	next := s.Now().UTC().Add(firstWait << min(l.Attempts, 10))
	if !next.Before(l.Ends) {
		return false, giveUp()
	}
	return false, s.Store.Update(ctx, func(tx store.Tx) error { return tx.PostponeLogout(ctx, l.ID, next) })
}

func (s *Sessions) call(ctx context.Context, client oauth.Client, l store.Logout, now time.Time) error {
	token, err := s.Sign(ctx, logoutToken{
		Issuer: s.Issuer(l.Server), Audience: l.Client, Issued: now.Unix(), Expires: now.Add(2 * time.Minute).Unix(), ID: "LO." + ident.NewID(""),
		Events: map[string]any{logoutEvent: struct{}{}}, Subject: l.User, Session: l.Session,
	})
	if err != nil {
		return err
	}
	ctx, end := context.WithTimeout(ctx, callTime)
	defer end()
	return s.Post(ctx, client.BackChannelLogout, token)
}

func (s *Sessions) settle(ctx context.Context, id string, ev *audit.Event) error {
	return s.Store.Update(ctx, func(tx store.Tx) error {
		if err := tx.DropLogout(ctx, id); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if ev == nil {
			return nil
		}
		return tx.Record(ctx, *ev)
	})
}
