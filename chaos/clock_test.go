//go:build linux

package main

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"latchkey.dev/idx"
	"latchkey.dev/latchkeytest"
)

// A clockwork is the engine with a clock that can be set, and somebody who goes by the same clock.
type clockwork struct {
	*latchkeytest.Server
	*idx.Client
	user latchkeytest.User
}

// onBoth runs a test on both databases.
func onBoth(t *testing.T, test func(*testing.T, *clockwork)) {
	for name, with := range map[string]func(*testing.T) []latchkeytest.Option{
		"SQLite":     func(*testing.T) []latchkeytest.Option { return nil },
		"PostgreSQL": func(t *testing.T) []latchkeytest.Option { return []latchkeytest.Option{latchkeytest.Postgres(t, "")} },
	} {
		t.Run(name, func(t *testing.T) {
			srv := latchkeytest.Start(t, append(with(t), latchkeytest.ProductionLimits())...)
			c, err := idx.New(idx.Config{
				Issuer: srv.Env["ISSUER"], ClientID: srv.Env["CLIENT_ID"], RedirectURI: srv.Env["REDIRECT_URI"],
				Scopes: []string{"openid", "profile", "offline_access"},
			}, idx.WithClock(srv.Now))
			if err != nil {
				t.Fatal(err)
			}
			test(t, &clockwork{srv, c.For(idx.EndUser{IP: netip.MustParseAddr("192.0.2.1")}), srv.AddUser(latchkeytest.User{Phone: "+12025550177"})})
		})
	}
}

// atCode goes as far as the page for the code.
func (c *clockwork) atCode(t *testing.T, u latchkeytest.User) *idx.Transaction {
	t.Helper()
	tx, err := c.Authenticate(t.Context(), idx.Answers{Username: u.Login, Password: u.Password})
	if err == nil {
		tx, err = c.Continue(t.Context(), tx, idx.Answers{Authenticator: "phone_number", Method: "sms"})
	}
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

func (c *clockwork) give(tx *idx.Transaction, code string) (*idx.Transaction, error) {
	return c.Continue(context.Background(), tx, idx.Answers{VerificationCode: code})
}

// TestS82_AClockSetBackRevivesNothing: what was used, counted or ended stays so when it is earlier once more.
func TestS82_AClockSetBackRevivesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, c *clockwork) {
		ctx := t.Context()
		atCode := c.atCode(t, c.user)
		code := c.Code(t, c.user.Phone)
		success, err := c.give(atCode, code)
		if err != nil {
			t.Fatal(err)
		}
		first, err := c.Exchange(ctx, success)
		if err != nil {
			t.Fatal(err)
		}
		second, err := c.Refresh(ctx, first.RefreshToken)
		if err != nil {
			t.Fatal(err)
		}
		victim := c.AddUser(latchkeytest.User{Phone: "+12025550178"})
		guessed := c.atCode(t, victim)
		right := c.Code(t, victim.Phone)
		judged := 0
		guess := func(n int) {
			for range n {
				var no *idx.RejectedError
				if _, err := c.give(guessed, other(right)); errors.As(err, &no) && no.Status == 401 {
					judged++
				}
			}
		}
		guess(5)
		if judged != 5 {
			t.Fatalf("%d guesses were judged", judged)
		}
		ended := c.atCode(t, c.AddUser(latchkeytest.User{Phone: "+12025550179"}))
		if _, err := c.Cancel(ctx, ended); err != nil {
			t.Fatal(err)
		}

		for _, back := range []time.Duration{time.Minute, time.Hour} {
			c.Advance(-back)
			if again, err := c.give(atCode, code); err == nil && again.InteractionCode() != success.InteractionCode() {
				t.Errorf("%s back: a used code opened the flow once more", back)
			}
			guess(3)
			if _, err := c.give(guessed, right); err == nil || judged > 5 {
				t.Errorf("%s back: %d guesses were judged, and then the right code: %v", back, judged, err)
			}
			if _, err := c.Resume(ctx, ended); !errors.Is(err, idx.ErrExpired) {
				t.Errorf("%s back: a flow that was cancelled says %v", back, err)
			}
			if _, err := c.UserInfo(ctx, second); err != nil {
				t.Errorf("%s back: a token that nobody took back is not good: %v", back, err)
			}
		}
		if _, err := c.Refresh(ctx, first.RefreshToken); err == nil {
			t.Error("a used refresh token is good again")
		}
		if _, err := c.Exchange(ctx, success); err == nil {
			t.Error("a used interaction code is good again")
		}
		if _, err := c.UserInfo(ctx, second); err == nil {
			t.Error("the family of a refresh token that was shown twice is still good")
		}
	})
}

// TestS82_AClockSetAheadEndsThingsAndSpoilsNothing: what was begun is over, what is begun then works, and so does
// what is begun when the clock is right again.
func TestS82_AClockSetAheadEndsThingsAndSpoilsNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, c *clockwork) {
		ctx := t.Context()
		begun := c.atCode(t, c.user)
		code := c.Code(t, c.user.Phone)
		c.Advance(3 * time.Hour)
		if _, err := c.give(begun, code); !errors.Is(err, idx.ErrExpired) {
			t.Errorf("a flow of three hours ago says %v", err)
		}
		for i, set := range []time.Duration{0, 365 * 24 * time.Hour, -365*24*time.Hour - 3*time.Hour} {
			c.Advance(set)
			u := c.AddUser(latchkeytest.User{Phone: "+1202555018" + string(rune('0'+i))})
			tx := c.atCode(t, u)
			success, err := c.give(tx, c.Code(t, u.Phone))
			if err != nil {
				t.Fatalf("set by %s: %v", set, err)
			}
			tokens, err := c.Exchange(ctx, success)
			if err == nil {
				_, err = c.UserInfo(ctx, tokens)
			}
			if err != nil {
				t.Errorf("set by %s: %v", set, err)
			}
		}
	})
}
