package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/courier"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/session"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/postgres"
	"latchkey.dev/internal/store/sqlite"
	"latchkey.dev/internal/store/storetest"
)

var ended = time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC)

// A house is sessions over a real database, with applications that are told of their end.
type house struct {
	db   store.DB
	post func(ctx context.Context, client string) error

	mu     sync.Mutex
	now    time.Time
	called []call
}

// A call is one that an application got.
type call struct {
	Client  string `json:"aud"`
	Session string `json:"sid"`
	Issued  int64  `json:"iat"`
}

func onBoth(t *testing.T, f func(*testing.T, *house)) {
	keys, err := secret.NewKeys([secret.KeySize]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	run := func(t *testing.T, db store.DB, err error) {
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		f(t, &house{db: db, now: ended, post: func(context.Context, string) error { return nil }})
	}
	t.Run("sqlite", func(t *testing.T) {
		db, err := sqlite.Open(t.Context(), t.TempDir(), keys)
		run(t, db, err)
	})
	t.Run("postgres", func(t *testing.T) {
		db, err := postgres.Open(t.Context(), storetest.Schema(t), keys, slog.New(slog.DiscardHandler))
		run(t, db, err)
	})
}

func (h *house) clock() time.Time { h.mu.Lock(); defer h.mu.Unlock(); return h.now }

func (h *house) advance(d time.Duration) { h.mu.Lock(); defer h.mu.Unlock(); h.now = h.now.Add(d) }

// node is one of the servers that work on the database.
func (h *house) node() *session.Sessions {
	return session.New(session.Config{
		Store: h.db, Now: h.clock, Issuer: func(server string) string { return "https://id.example/oauth2/" + server },
		Sign: func(_ context.Context, claims any) (string, error) {
			b, err := json.Marshal(claims)
			return string(b), err
		},
		Post: func(ctx context.Context, _, token string) error {
			var c call
			if err := json.Unmarshal([]byte(token), &c); err != nil {
				return err
			}
			h.mu.Lock()
			h.called = append(h.called, c)
			h.mu.Unlock()
			return h.post(ctx, c.Client)
		},
	})
}

func (h *house) write(t *testing.T, f func(store.Tx) error) {
	t.Helper()
	if err := h.db.Update(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// end lets somebody sign in to an application in so many browsers, and out of all of them now.
func (h *house) end(t *testing.T, client oauth.ClientID, n int) {
	t.Helper()
	h.write(t, func(tx store.Tx) error {
		err := tx.PutClient(t.Context(), oauth.Client{ID: client, Label: string(client), BackChannelLogout: "https://app.example/" + string(client), Created: ended})
		for i := range n {
			id := fmt.Sprintf("ses%s%02d", client, i)
			err = errors.Join(err,
				tx.AddSession(t.Context(), store.Session{ID: id, Value: secret.DigestOf(secret.SessionValue, id), User: "00u1mary", Created: ended, Seen: ended, Expires: ended.Add(time.Hour)}),
				tx.JoinSession(t.Context(), id, store.Membership{Client: client, Server: "default", Joined: ended}),
				tx.EndSession(t.Context(), id, h.clock()))
		}
		return err
	})
}

func (h *house) tell(t *testing.T) {
	t.Helper()
	if err := h.node().Tell(t.Context()); err != nil {
		t.Error(err)
	}
}

// calls are how often an application was called, and how many sessions that was about.
func (h *house) calls(client string) (calls, sessions int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	about := map[string]bool{}
	for _, c := range h.called {
		if c.Client == client {
			calls++
			about[c.Session] = true
		}
	}
	return calls, len(about)
}

func (h *house) events(t *testing.T, kind audit.Type) (found []audit.Entry) {
	t.Helper()
	storetest.Events(t, h.db) // until all can be read
	err := h.db.View(t.Context(), func(tx store.Tx) (err error) {
		found, err = tx.Search(t.Context(), store.AuditQuery{Type: kind}, 1000)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// An application that is away is called once; all others are told meanwhile, and it is called again later.
func TestS65_AnApplicationThatIsAwayHoldsUpNobody(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		h.end(t, "0oa1away", 50) // more than are taken in hand at once, and before the others
		h.advance(time.Second)
		h.end(t, "0oa2here", 3)
		h.end(t, "0oa3here", 3)
		back := false
		h.post = func(ctx context.Context, client string) error {
			if client == "0oa1away" && !back {
				return errors.New("no answer")
			}
			return nil
		}
		h.tell(t)
		if calls, _ := h.calls("0oa1away"); calls != 1 {
			t.Errorf("who is away was called %d times", calls)
		}
		for _, client := range []string{"0oa2here", "0oa3here"} {
			if calls, sessions := h.calls(client); calls != 3 || sessions != 3 {
				t.Errorf("%s was told %d times of %d sessions", client, calls, sessions)
			}
		}
		back = true
		h.advance(time.Minute)
		h.tell(t)
		if calls, sessions := h.calls("0oa1away"); calls != 51 || sessions != 50 {
			t.Errorf("who is back was called %d times about %d sessions", calls, sessions)
		}
		if n := len(h.events(t, audit.LogoutTold)); n != 56 {
			t.Errorf("%d events", n)
		}
	})
}

// counting counts the commits of a database.
type counting struct {
	store.DB
	commits int
}

func (c *counting) Update(ctx context.Context, f func(store.Tx) error) error {
	c.commits++
	return c.DB.Update(ctx, f)
}

// What an application that is away has missed is put off in one piece, however much it is.
func TestS65_AnApplicationThatIsAwayCostsFewCommits(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		h.end(t, "0oa1away", 100)
		h.post = func(context.Context, string) error { return errors.New("no answer") }
		db := &counting{DB: h.db}
		h.db = db
		if h.tell(t); db.commits != 3 { // to take some in hand, to put off what was tried, and all else
			t.Errorf("%d commits", db.commits)
		}
		h.advance(time.Minute - time.Microsecond)
		h.tell(t)
		if calls, _ := h.calls("0oa1away"); calls != 2 { // the one that was tried is tried again
			t.Errorf("it was called %d times", calls)
		}
	})
}

// Applications are called side by side: one that keeps its caller waiting is not waited for by the others.
func TestS65_ApplicationsAreToldSideBySide(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		h.end(t, "0oa1slow", 1)
		h.end(t, "0oa2quick", 1)
		quick := make(chan struct{})
		h.post = func(ctx context.Context, client string) error {
			if client == "0oa2quick" {
				close(quick)
				return nil
			}
			select {
			case <-quick:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		h.tell(t)
		if n := len(h.events(t, audit.LogoutTold)); n != 2 {
			t.Errorf("%d were told", n)
		}
	})
}

// One that takes its time has a turn like all others; nobody is told twice, however many nodes there are.
func TestS65_NobodyIsToldTwice(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		h.end(t, "0oa1slow", 8)
		other := h.node()
		h.post = func(context.Context, string) error {
			h.advance(9 * time.Second)
			return other.Tell(t.Context())
		}
		for range 8 {
			h.tell(t)
			h.advance(time.Minute)
		}
		if calls, sessions := h.calls("0oa1slow"); calls != 8 || sessions != 8 {
			t.Errorf("called %d times about %d sessions", calls, sessions)
		}
		// Each call says when it was made, and not when the first of them was.
		before := int64(0)
		for _, c := range h.called {
			if c.Issued <= before {
				t.Errorf("issued at %d, after %d", c.Issued, before)
			}
			before = c.Issued
		}
	})
}

// What was not told in time is told no more, and that is on record.
func TestS65_NothingIsToldAfterItsEnd(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		h.end(t, "0oa1late", 2)
		h.advance(store.LogoutLife)
		h.tell(t)
		if calls, _ := h.calls("0oa1late"); calls != 0 {
			t.Errorf("called %d times", calls)
		}
		given := h.events(t, audit.LogoutNotTold)
		if len(given) != 2 || given[0].OK || given[0].Client != "0oa1late" || !strings.HasPrefix(given[0].Target, "ses0oa1late") || !given[0].At.Equal(h.clock()) {
			t.Errorf("on record is %+v", given)
		}
		h.advance(time.Minute)
		if h.tell(t); len(h.events(t, audit.LogoutNotTold)) != 2 {
			t.Error("given up twice")
		}
	})
}

// An application that is slow is told all the same, turn by turn, and others between its turns.
func TestS65_ASlowApplicationIsToldAll(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		h.end(t, "0oa1slow", 100)
		h.advance(time.Second)
		h.end(t, "0oa2next", 1)
		h.advance(12 * time.Second)
		h.end(t, "0oa3later", 1)
		h.advance(-12 * time.Second)
		h.post = func(_ context.Context, client string) error {
			if client == "0oa1slow" {
				h.advance(550 * time.Millisecond)
			}
			return nil
		}
		h.tell(t)
		if calls, sessions := h.calls("0oa1slow"); calls != 100 || sessions != 100 {
			t.Errorf("the slow one was called %d times about %d sessions", calls, sessions)
		}
		slow, before := 0, map[string]int{} // how often the slow one was called before each of the others
		for _, c := range h.called {
			if before[c.Client] = slow; c.Client == "0oa1slow" {
				slow++
			}
		}
		// One is told in the first round, the other in the third: it comes in the second. A turn is good for 19 calls.
		if n, ok := before["0oa2next"]; !ok || n > 19 {
			t.Errorf("the next one waited for %d calls of the slow one, told: %v", n, ok)
		}
		if n, ok := before["0oa3later"]; !ok || n > 3*19 {
			t.Errorf("the one that came meanwhile waited for %d calls of the slow one, told: %v", n, ok)
		}
	})
}

// A no is an answer: what an application did not take comes again later, and all else at once.
func TestS65_ANoIsNotInTheWay(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		h.end(t, "0oa1picky", 25)
		h.end(t, "0oa2never", 25)
		mends := false
		h.post = func(_ context.Context, client string) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			if last := h.called[len(h.called)-1]; !mends && (last.Client == "0oa2never" || last.Session == "ses0oa1picky00") {
				return fmt.Errorf("posting: %w", &courier.Refused{Status: 500})
			}
			return nil
		}
		h.tell(t)
		for _, client := range []string{"0oa1picky", "0oa2never"} {
			if calls, sessions := h.calls(client); calls != 25 || sessions != 25 {
				t.Errorf("%s was called %d times about %d sessions", client, calls, sessions)
			}
		}
		if n := len(h.events(t, audit.LogoutTold)); n != 24 {
			t.Errorf("%d were told", n)
		}
		mends = true
		h.tell(t)
		if n := len(h.events(t, audit.LogoutTold)); n != 24 {
			t.Errorf("%d were told before their time", n-24)
		}
		h.advance(2 * time.Second)
		h.tell(t)
		if n := len(h.events(t, audit.LogoutTold)); n != 50 {
			t.Errorf("%d were told in the end", n)
		}
	})
}

// A notice that an application never takes is not in the way of all others to it.
func TestS65_WhatIsNeverTakenIsNotInTheWay(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		h.end(t, "0oa1picky", 5)
		h.post = func(context.Context, string) error {
			if h.called[len(h.called)-1].Session == "ses0oa1picky00" {
				return errors.New("refused")
			}
			return nil
		}
		for range 4 {
			h.tell(t)
			h.advance(time.Minute)
		}
		if n := len(h.events(t, audit.LogoutTold)); n != 4 {
			t.Errorf("%d of the 4 others were told", n)
		}
	})
}
