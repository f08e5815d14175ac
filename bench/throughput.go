//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// throughput: what the OAuth endpoints complete in a second when as many ask at once as usual, beside a bare handler that
// does the same work with signatures, in the same run. Both sides' clients run on the same cores.
func (b *bench) throughput() (_ []result, err error) {
	g, err := b.ground()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.stop()) }()
	h, err := b.house("throughput") // once, for the organisation
	if err != nil {
		return nil, err
	}
	if err = errors.Join(h.stop(), seedMachine(filepath.Join(b.dir, "throughput"))); err != nil {
		return nil, err
	}
	if h, err = b.house("throughput"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.stop()) }()
	crew, err := b.hire(g, h)
	if err != nil {
		return nil, err
	}
	defer crew.leave()

	alone, err := crew.compare("client_credentials", (*hand).alone, (*hand).signOne, "one RS256 signature each; ours also commits to disk")
	if err != nil {
		return nil, err
	}
	refreshed, err := crew.compare("refresh_token", (*hand).refresh, (*hand).sign, "two RS256 signatures each; ours also commits to disk")
	if err != nil {
		return nil, err
	}
	if err := crew.stock(b.tokens); err != nil {
		return nil, err
	}
	results := []result{alone, refreshed}
	for _, l := range []struct {
		what      string
		ours, its func(*hand) error
		how       string
	}{
		{"introspection", (*hand).introspect, (*hand).verify, "one RS256 verification each, of tokens that are not remembered"},
		{"userinfo", (*hand).userinfo, (*hand).verifyBearer, "likewise"},
		{"keys", (*hand).keys, (*hand).plain, "no signature"},
	} {
		r, err := crew.compare(l.what, l.ours, l.its, l.how)
		if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	return results, nil
}

// A crew asks as much as it can, all at once.
type crew struct {
	b     *bench
	hands []*hand
}

// A hand is one of them: somebody with a connection to each side and with a refresh token.
type hand struct {
	*visitor
	bare      *connection
	fresh     string   // the refresh token
	tokens    []string // access tokens that it was given
	next      int
	one, form string // a token of the floor's, and a form that asks for two like ours
	oneForm   string // a form that asks for one
	verifyAt  string
	bearerAt  string
	keysAt    string
}

// hire signs everybody in, and finds out how long our answers are, so that the floor's are as long.
func (b *bench) hire(g *ground, h *house) (*crew, error) {
	c := &crew{b: b}
	for range b.few {
		v, err := h.visitor()
		if err != nil {
			return nil, err
		}
		v.scope += " offline_access"
		code, err := v.proven(h.paul())
		if err != nil {
			return nil, err
		}
		bought, err := v.buy(code)
		if err != nil {
			return nil, err
		}
		w := &hand{visitor: v}
		id := ""
		for into, prefix := range map[*string]string{&w.fresh: `"refresh_token":"`, &id: `"id_token":"`} {
			if *into, err = v.find(prefix)(bought, nil); err != nil {
				return nil, err
			}
		}
		access, err := v.find(`"access_token":"`)(bought, nil)
		if err != nil {
			return nil, err
		}
		w.tokens = []string{access}
		if w.bare, err = dial(g.addr); err != nil {
			return nil, err
		}
		w.form = fmt.Sprintf("sizes=%d,%d", len(access), len(id))
		w.oneForm = fmt.Sprintf("sizes=%d", len(access))
		if w.one, err = v.find(`["`)(w.bare.post("/sign", form, w.oneForm)); err != nil {
			return nil, err
		}
		for path, ask := range map[*string]func() ([]byte, error){
			&w.verifyAt: func() ([]byte, error) { return w.about(access) },
			&w.bearerAt: func() ([]byte, error) { return w.get("/oauth2/default/v1/userinfo", access) },
			&w.keysAt:   func() ([]byte, error) { return w.get("/oauth2/default/v1/keys", "") },
		} {
			body, err := ask()
			if err != nil {
				return nil, err
			}
			*path = fmt.Sprintf("/verify/%d", len(body))
		}
		w.keysAt = strings.TrimPrefix(w.keysAt, "/verify")
		c.hands = append(c.hands, w)
	}
	return c, nil
}

func (c *crew) leave() {
	for _, w := range c.hands {
		w.Close()
		w.bare.Close()
	}
}

// compare lets both sides take turns.
func (c *crew) compare(what string, ours, its func(*hand) error, how string) (result, error) {
	rates, err := takeTurns(2*c.b.turns+1,
		func() (float64, error) { return c.rate(ours) },
		func() (float64, error) { return c.rate(its) },
	)
	if err != nil {
		return result{}, fmt.Errorf("%s: %w", what, err)
	}
	we, they := warmed(rates[0]), warmed(rates[1])
	return result{fmt.Sprintf("%s a second with %d workers, over a bare handler", what, len(c.hands)), we.over(they), "", atLeast, 0.6,
		fmt.Sprintf("%.0f and %.0f a second; %s", we.median(), they.median(), how)}, nil
}

// rate is how often a second the crew gets something done.
func (c *crew) rate(do func(*hand) error) (float64, error) {
	var done atomic.Int64
	var all sync.WaitGroup
	failed := make([]error, len(c.hands))
	began := time.Now()
	over := began.Add(c.b.window / 4)
	for i, w := range c.hands {
		all.Go(func() {
			for time.Now().Before(over) {
				if failed[i] = do(w); failed[i] != nil {
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	return float64(done.Load()) / time.Since(began).Seconds(), errors.Join(failed...)
}

// stock refreshes until there are so many access tokens that the server cannot have all of them in mind.
func (c *crew) stock(n int) error {
	var all sync.WaitGroup
	failed := make([]error, len(c.hands))
	for i, w := range c.hands {
		all.Go(func() {
			for len(w.tokens) < n/len(c.hands)+1 && failed[i] == nil {
				failed[i] = w.refresh()
			}
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

// alone is a token for an application itself.
func (w *hand) alone() error {
	_, err := w.find(`"access_token":"`)(w.post("/oauth2/default/v1/token", form,
		"grant_type=client_credentials&scope="+machineScope+"&client_id="+machineID+"&client_secret="+machineSecret))
	return err
}

// refresh changes the refresh token into the next, an access token and an ID token.
func (w *hand) refresh() error {
	page, err := w.post("/oauth2/default/v1/token", form, url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {w.fresh}, "client_id": {w.client},
	}.Encode())
	access, err := w.find(`"access_token":"`)(page, err)
	next, err := w.find(`"refresh_token":"`)(page, err)
	if err != nil {
		return err
	}
	w.tokens, w.fresh = append(w.tokens, access), strings.Clone(next)
	return nil
}

// token is the one that was shown longest ago.
func (w *hand) token() string {
	w.next++
	return w.tokens[w.next%len(w.tokens)]
}

func (w *hand) about(token string) ([]byte, error) {
	return w.post("/oauth2/default/v1/introspect", form, "client_id="+w.client+"&token="+token)
}

func (w *hand) introspect() error {
	_, err := w.find(`"active":true,"scope":"`)(w.about(w.token()))
	return err
}

func (w *hand) userinfo() error { return w.profile(w.token()) }

func (w *hand) keys() error {
	_, err := w.get("/oauth2/default/v1/keys", "")
	return err
}

func (w *hand) sign() error {
	_, err := w.find(`","`)(w.bare.post("/sign", form, w.form))
	return err
}

func (w *hand) signOne() error {
	_, err := w.find(`["`)(w.bare.post("/sign", form, w.oneForm))
	return err
}

func (w *hand) verify() error {
	_, err := w.bare.post(w.verifyAt, form, "token="+w.one)
	return err
}

func (w *hand) verifyBearer() error {
	_, err := w.bare.get(w.bearerAt, w.one)
	return err
}

// plain is what fetches the keys at the floor.
func (w *hand) plain() error {
	_, err := w.bare.get(w.keysAt, "")
	return err
}
