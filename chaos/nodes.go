//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"latchkey.dev/idx"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/store"
)

// threeNodes is an organisation on three nodes and a PostgreSQL of its own.
func (c *chaos) threeNodes(p plot) (h *house, done func(), err error) {
	db, err := newCluster(c.dir, p.name+"-db", "")
	if err != nil {
		return nil, nil, err
	}
	p.nodes, p.database = 3, db.dsn()
	if h, err = c.build(p); err != nil {
		db.kill()
		return nil, nil, err
	}
	return h, func() { h.close(); db.kill() }, nil
}

// A tally is what became of flows.
type tally struct {
	begun, finished, retried, redeemed, unclear atomic.Int64

	mu    sync.Mutex
	lost  []error
	worst time.Duration
}

// storm: one of three nodes is killed every two seconds, and whoever makes the same request again gets through (S-79).
func (c *chaos) dyingNodes() ([]result, error) {
	h, done, err := c.threeNodes(plot{name: "storm", people: 500 + int(c.storm/time.Second)*60})
	if err != nil {
		return nil, err
	}
	defer done()
	var t tally
	var crowd sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	for range c.crowd {
		crowd.Go(func() { t.signIns(ctx, h) })
	}
	kills, err := h.storm(c.storm, c.gust)
	stop()
	crowd.Wait()
	if err != nil {
		return nil, err
	}
	for _, err := range t.lost {
		fmt.Fprintln(c.log, "lost:", err)
	}
	how := fmt.Sprintf("%d flows, %d sign-ins at once, %d kills in %s, %d requests made again; the longest flow took %s",
		t.begun.Load(), c.crowd, kills, c.storm, t.retried.Load(), t.worst.Round(100*time.Millisecond))
	if t.finished.Load() == 0 {
		return nil, errors.New("nothing happened: " + how)
	}
	return []result{
		{"three nodes, one killed every 2 s: flows lost that the same request made again does not finish", float64(len(t.lost)), "", atMost, 0, how},
		{"the same: codes redeemed whose answer was lost, so that the person signs in once more (S-56)", float64(t.unclear.Load()), "", noPromise, 0,
			fmt.Sprintf("beside %d redeemed", t.redeemed.Load())},
	}, nil
}

// signIns signs people in, one after the other, until ctx ends; who has begun goes on to the end.
func (t *tally) signIns(ctx context.Context, h *house) {
	for ctx.Err() == nil {
		who, err := h.people.take()
		if err != nil {
			t.lose(err)
			return
		}
		v, err := h.visit(who)
		if err != nil {
			t.lose(err)
			return
		}
		v.tries = 100
		t.begun.Add(1)
		began := time.Now()
		err = v.signIn(context.Background())
		t.retried.Add(int64(v.retried))
		if err != nil {
			t.lose(fmt.Errorf("%s: %w", who.login(), err))
			continue
		}
		t.finished.Add(1)
		t.mu.Lock()
		t.worst = max(t.worst, time.Since(began))
		t.mu.Unlock()
		if v.again(context.Background(), func() error { return v.redeem(context.Background()) }) == nil {
			t.redeemed.Add(1)
		} else {
			t.unclear.Add(1)
		}
	}
}

func (t *tally) lose(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lost = append(t.lost, err)
}

// storm kills a node every gust, one that runs, and starts it again at once; the next gust does not wait until it does.
func (h *house) storm(lasts, gust time.Duration) (kills int, err error) {
	running := make(chan *node, len(h.nodes))
	failed := make(chan error, 1)
	for _, i := range rand.Perm(len(h.nodes)) {
		running <- h.nodes[i]
	}
	var starts sync.WaitGroup
	tick := time.NewTicker(gust)
	defer tick.Stop()
	for end := time.Now().Add(lasts); time.Now().Before(end); <-tick.C {
		select {
		case n := <-running:
			kills++
			n.kill()
			starts.Go(func() {
				if _, err := n.start(); err != nil {
					select {
					case failed <- err:
					default:
					}
				}
				running <- n
			})
		default: // all of them are still starting
		}
	}
	starts.Wait()
	close(failed)
	return kills, <-failed
}

// limitsTogether: what limits and what is used once does so over all nodes (S-11, S-13, S-14, S-23, S-32, S-56, S-60).
func (c *chaos) limitsTogether() ([]result, error) {
	h, done, err := c.threeNodes(plot{name: "limits", people: 100})
	if err != nil {
		return nil, err
	}
	defer done()
	quicker, doneToo, err := c.threeNodes(plot{name: "sends", people: 100, extra: "codes: {resend: 0s}\n"})
	if err != nil {
		return nil, err
	}
	defer doneToo()
	n := c.guesses
	var all []result
	for _, l := range []struct {
		what string
		want float64
		h    *house
		run  func(*house, int) (int, string, error)
	}{
		{"S-11: wrong codes judged, of many at once over three nodes", 5, h, guessAtOnce},
		{"S-13, S-23: interaction codes of one right code given many times at once", 1, h, answerAtOnce},
		{"S-14: texts in 30 s to one number, asked for in many flows at once", 1, h, askAtOnce},
		{"S-32: texts in 10 min to one number, asked for at once without the 30 s", 5, quicker, askAtOnce},
		{"S-56: redemptions of one interaction code that gave tokens", 1, h, redeemAtOnce},
		{"S-60: uses of one refresh token that gave tokens", 1, h, refreshAtOnce},
	} {
		got, how, err := l.run(l.h, n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.what, err)
		}
		all = append(all, result{l.what, float64(got), "", atMost, l.want, how})
	}
	return all, nil
}

// atOnce runs f n times in parallel, begun together.
func atOnce(n int, f func(i int)) {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			f(i)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
}

// arrive takes the next person as far as the page for the code.
func (h *house) arrive(ctx context.Context) (*visit, error) {
	who, err := h.people.take()
	if err != nil {
		return nil, err
	}
	v, err := h.visit(who)
	if err != nil {
		return nil, err
	}
	v.tries = 10
	if err := v.identify(ctx); err != nil {
		return nil, err
	}
	if err := v.ask(ctx); err != nil {
		return nil, err
	}
	return v, v.receive()
}

func guessAtOnce(h *house, n int) (int, string, error) {
	ctx := context.Background()
	v, err := h.arrive(ctx)
	if err != nil {
		return 0, "", err
	}
	var judged, refused, ill atomic.Int64
	atOnce(n, func(int) {
		ok, err := (&guessing{visit: v}).wrong(ctx)
		switch {
		case ok:
			judged.Add(1)
		case errors.Is(err, idx.ErrRateLimited):
			refused.Add(1)
		default:
			ill.Add(1)
		}
	})
	if judged.Load() == 0 {
		return 0, "", errors.New("none was judged")
	}
	_, err = v.client.Continue(ctx, v.tx, idx.Answers{VerificationCode: v.code})
	if err == nil {
		return int(judged.Load()) + 1, "and the right one was taken afterwards", nil
	}
	return int(judged.Load()), fmt.Sprintf("%d guesses: %d refused with 429, %d answered otherwise; the right code is refused afterwards",
		n, refused.Load(), ill.Load()), nil
}

func answerAtOnce(h *house, n int) (int, string, error) {
	ctx := context.Background()
	v, err := h.arrive(ctx)
	if err != nil {
		return 0, "", err
	}
	var mu sync.Mutex
	codes := map[string]int{}
	atOnce(n, func(int) {
		tx, err := v.client.Continue(ctx, v.tx, idx.Answers{VerificationCode: v.code})
		if err == nil && tx.Status() == idx.StatusSuccess {
			mu.Lock()
			codes[tx.InteractionCode()]++
			mu.Unlock()
		}
	})
	told := 0
	for _, n := range codes {
		told += n
	}
	if told == 0 {
		return 0, "", errors.New("nobody got in")
	}
	return len(codes), fmt.Sprintf("%d answers, %d of them told the code: the first and its repeats", n, told), nil
}

func askAtOnce(h *house, n int) (int, string, error) {
	ctx := context.Background()
	who, err := h.people.take()
	if err == nil && !who.enrolled() {
		who, err = h.people.take()
	}
	if err != nil {
		return 0, "", err
	}
	n = min(n, 20) // each is a password to hash
	var visits []*visit
	for range n {
		v, err := h.visit(who)
		if err != nil {
			return 0, "", err
		}
		v.tries = 10
		if err := v.identify(ctx); err != nil {
			return 0, "", err
		}
		visits = append(visits, v)
	}
	var asked atomic.Int64
	atOnce(n, func(i int) {
		visits[i].tries = 1
		if visits[i].ask(ctx) == nil {
			asked.Add(1)
		}
	})
	if _, err := h.code(who.number(), 0, 20*time.Second); err != nil {
		return 0, "", err
	}
	if got := int(asked.Load()); got > len(h.carrier.sent(who.number())) {
		return 0, "", fmt.Errorf("%d were told of a text, %d left", got, len(h.carrier.sent(who.number())))
	}
	return len(h.carrier.sent(who.number())), fmt.Sprintf("%d flows", n), nil
}

// signedIn is somebody with an interaction code.
func (h *house) signedIn(ctx context.Context) (*visit, error) {
	v, err := h.arrive(ctx)
	if err != nil {
		return nil, err
	}
	return v, v.answer(ctx)
}

func redeemAtOnce(h *house, n int) (int, string, error) {
	ctx := context.Background()
	v, err := h.signedIn(ctx)
	if err != nil {
		return 0, "", err
	}
	var mu sync.Mutex
	var bought []*idx.Tokens
	atOnce(min(n, 40), func(int) {
		if t, err := v.client.Exchange(ctx, v.tx); err == nil {
			mu.Lock()
			bought = append(bought, t)
			mu.Unlock()
		}
	})
	for _, t := range bought {
		if _, err := v.client.UserInfo(ctx, t); err == nil {
			return len(bought) + 1, "what a replayed code bought is still good", nil
		}
	}
	return len(bought), fmt.Sprintf("%d at once; what was bought is revoked by the replays", min(n, 40)), nil
}

func refreshAtOnce(h *house, n int) (int, string, error) {
	ctx := context.Background()
	v, err := h.signedIn(ctx)
	if err != nil {
		return 0, "", err
	}
	if err := v.redeem(ctx); err != nil {
		return 0, "", err
	}
	var got atomic.Int64
	atOnce(min(n, 40), func(int) {
		if _, err := v.client.Refresh(ctx, v.tokens.RefreshToken); err == nil {
			got.Add(1)
		}
	})
	if _, err := v.client.UserInfo(ctx, v.tokens); err == nil {
		return int(got.Load()) + 1, "the family survives the reuse", nil
	}
	return int(got.Load()), fmt.Sprintf("%d at once; the family is revoked by the reuse", min(n, 40)), nil
}

// disabled: who and what is disabled in the database is refused by every node within 30 s, tokens at once (S-79).
func (c *chaos) disabled() ([]result, error) {
	h, done, err := c.threeNodes(plot{name: "disabled", people: 20})
	if err != nil {
		return nil, err
	}
	defer done()
	ctx := context.Background()
	db, err := h.open(ctx)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	v, err := h.signedIn(ctx)
	if err == nil {
		err = v.redeem(ctx)
	}
	if err != nil {
		return nil, err
	}
	for range 2 * len(h.nodes) { // so that every node holds in memory what it ever holds
		if _, err := v.client.UserInfo(ctx, v.tokens); err != nil {
			return nil, err
		}
	}
	err = db.Update(ctx, func(tx store.Tx) error {
		u, err := tx.UserByLogin(ctx, v.who.login())
		if err != nil {
			return err
		}
		u.Status = ident.Suspended
		return tx.PutUser(ctx, u)
	})
	if err != nil {
		return nil, err
	}
	good := 0
	for range 2 * len(h.nodes) {
		if _, err := v.client.UserInfo(ctx, v.tokens); err == nil {
			good++
		}
	}
	client, err := h.disable(ctx, db)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	other, err := h.visit(1)
	if err != nil {
		return nil, err
	}
	for refused := 0; refused < 2*len(h.nodes); {
		switch _, err := other.client.Start(ctx); {
		case err == nil:
			refused = 0
		case !passing(err):
			refused++
		}
		if time.Since(began) > time.Minute {
			return nil, fmt.Errorf("client %s is served a minute after it was disabled", client)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return []result{
		{"S-79: access tokens of a suspended person that a node still takes", float64(good), "", atMost, 0, "asked of three nodes, twice each, at once"},
		{"S-79: until every node refuses a client that was disabled", seconds(time.Since(began)), " s", atMost, 30, "three nodes, all of which had served it before"},
	}, nil
}

func (h *house) disable(ctx context.Context, db store.DB) (id oauth.ClientID, err error) {
	return h.client, db.Update(ctx, func(tx store.Tx) error {
		c, err := tx.Client(ctx, h.client)
		if err != nil {
			return err
		}
		c.Disabled = true
		return tx.PutClient(ctx, c)
	})
}
