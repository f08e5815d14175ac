package session

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/courier"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/store"
)

// How applications are told: a call may take so long, and who did not take it is called again later, each time twice as
// late. So many notices are taken in hand at once. Their applications are called side by side, and each has a turn to take
// one after the other, so that all of it is over long before the lease is, and nobody else tells the same meanwhile. What
// is left of a turn is given back, and goes on in the next round.
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

// Tell tells applications of sessions that ended, until nothing is due. Each has its turn, and all of them have theirs side
// by side: one that does not answer, or takes its time, holds up nobody else. One that does not answer is asked no more for
// as long as a lease.
func (s *Sessions) Tell(ctx context.Context) error {
	for {
		// Looking comes before leasing: nearly always there is nothing, and looking costs nobody a commit.
		now, ids := s.Now().UTC(), []string(nil)
		err := s.Store.View(ctx, func(tx store.Tx) (err error) {
			ids, err = tx.LogoutsDue(ctx, now, atOnce)
			return err
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		var due []store.Logout
		err = s.Store.Update(ctx, func(tx store.Tx) (err error) {
			due, err = tx.LeaseLogouts(ctx, ids, now, now.Add(lease))
			return err
		})
		if err != nil {
			return err
		}
		if err := s.tellAll(ctx, due); err != nil {
			return err
		}
	}
}

// tellAll tells each application what is due to it.
func (s *Sessions) tellAll(ctx context.Context, due []store.Logout) error {
	queues := map[oauth.ClientID][]store.Logout{}
	for _, l := range due {
		queues[l.Client] = append(queues[l.Client], l)
	}
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	for _, queue := range queues {
		all.Go(func() {
			err := s.tellOne(ctx, queue)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// tellOne tells one application, one notice after the other, until it does not answer or its turn is over. What was tried
// least goes first, so that one notice which it never takes is not in the way of all others for ever.
func (s *Sessions) tellOne(ctx context.Context, queue []store.Logout) error {
	slices.SortStableFunc(queue, func(a, b store.Logout) int { return cmp.Compare(a.Attempts, b.Attempts) })
	began := s.Now()
	for i, l := range queue {
		if s.Now().Sub(began) >= turn {
			return s.giveBack(ctx, queue[i:])
		}
		answered, err := s.tell(ctx, l)
		if err != nil {
			return err
		}
		if !answered {
			return s.setAside(ctx, l.Client)
		}
	}
	return nil
}

// giveBack is for what had no turn: it was not tried, and nothing is wrong with it.
func (s *Sessions) giveBack(ctx context.Context, untold []store.Logout) error {
	now := s.Now().UTC()
	return s.Store.Update(ctx, func(tx store.Tx) error {
		for _, l := range untold {
			if err := tx.ReturnLogout(ctx, l, now); err != nil {
				return err
			}
		}
		return nil
	})
}

// setAside lets an application that is away be: what is leased of it waits as it is, and the rest as long from now.
func (s *Sessions) setAside(ctx context.Context, client oauth.ClientID) error {
	now := s.Now().UTC()
	return s.Store.Update(ctx, func(tx store.Tx) error { return tx.HoldLogouts(ctx, client, now, now.Add(lease)) })
}

// tell makes one call, or finds that there is none to be made, and says whether the application answered. A no is an answer:
// this notice comes again later, and the others need not wait for it.
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
	_, answered = errors.AsType[*courier.Refused](failed)
	s.Log.WarnContext(ctx, "session: an application was not told of a logout", "client", string(l.Client), "attempt", l.Attempts+1, "error", failed)
	next := s.Now().UTC().Add(firstWait << min(l.Attempts, 10))
	if !next.Before(l.Ends) {
		return answered, giveUp()
	}
	return answered, s.Store.Update(ctx, func(tx store.Tx) error { return tx.PostponeLogout(ctx, l.ID, next) })
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
