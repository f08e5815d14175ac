//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"latchkey.dev/idx"
)

// A gauge collects how long accepted requests took, and how others were sent away.
type gauge struct {
	from     time.Time // what was begun before is collected as early
	mu       sync.Mutex
	early    []time.Duration
	accepted []time.Duration
	away     []time.Duration // 503 and 429
	failed   int
}

func (g *gauge) see(s *seen) {
	if s.read {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case s.status == http.StatusServiceUnavailable || s.status == http.StatusTooManyRequests:
		g.away = append(g.away, s.took)
	case s.status == 0 || s.status >= 500:
		g.failed++
	case time.Now().Add(-s.took).Before(g.from):
		g.early = append(g.early, s.took)
	default:
		g.accepted = append(g.accepted, s.took)
	}
}

// comes is how long it takes until somebody else comes.
const comes = 200 * time.Millisecond

// load signs people in with so many workers for a while, and returns how requests were answered, leaving out those of the
// first moments.
func (h *house) load(workers int, first, lasts time.Duration) (*gauge, int) {
	g := &gauge{from: time.Now().Add(first)}
	ctx, stop := context.WithTimeout(context.Background(), first+lasts)
	defer stop()
	var signedIn atomic.Int64
	var crowd sync.WaitGroup
	for range workers {
		crowd.Go(func() {
			for ctx.Err() == nil {
				who, err := h.people.take()
				if err != nil {
					return
				}
				v, err := h.visit(who)
				if err != nil {
					return
				}
				v.seen = g.see
				// Who is sent away leaves, and somebody else comes.
				if v.signIn(context.Background()) == nil && v.redeem(context.Background()) == nil {
					signedIn.Add(1)
				} else {
					time.Sleep(comes)
				}
			}
		})
	}
	crowd.Wait()
	return g, int(signedIn.Load())
}

// openFlows begins sign-ins and leaves them.
func (h *house) openFlows(n int) error {
	client, err := idx.New(idx.Config{Issuer: h.issuer(), ClientID: string(h.client), RedirectURI: redirect}, idx.WithHTTPClient(&http.Client{Transport: line}))
	if err != nil {
		return err
	}
	var next, bad atomic.Int64
	var crowd sync.WaitGroup
	for range 8 {
		crowd.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				c := client.For(idx.EndUser{IP: person(1_000_000 + i).addr()})
				if _, err := c.Start(context.Background()); err != nil {
					bad.Add(1)
				}
			}
		})
	}
	crowd.Wait()
	if bad.Load() > 0 {
		return fmt.Errorf("%d of %d flows did not begin", bad.Load(), n)
	}
	return nil
}

// A bystander is a connection that asks for something small now and then.
type bystander struct {
	net.Conn
	in *bufio.Reader
}

func (n *node) bystanders(count int) ([]*bystander, error) {
	var all []*bystander
	for range count {
		c, err := net.DialTimeout("tcp", n.addr, 10*time.Second)
		if err != nil {
			return all, err
		}
		b := &bystander{c, bufio.NewReaderSize(c, 1024)}
		all = append(all, b)
		if err := b.ask(n.h.proxy.addr); err != nil {
			return all, err
		}
	}
	return all, nil
}

func (b *bystander) ask(host string) error {
	_ = b.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := fmt.Fprintf(b, "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n", host); err != nil {
		return err
	}
	a, err := http.ReadResponse(b.in, nil)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		return fmt.Errorf("a bystander was told %s", a.Status)
	}
	_, err = io.Copy(io.Discard, a.Body)
	return err
}

// capacity: ten thousand open flows and two thousand connections cost little memory and no time, and a crowd that is
// too large is sent away early (S-85).
func (c *chaos) capacity() ([]result, error) {
	h, err := c.build(plot{name: "capacity", nodes: 1, people: 1000 + int(c.spell/time.Second)*2000})
	if err != nil {
		return nil, err
	}
	defer h.close()
	const few, crowd = 2, 128
	if _, n := h.load(few, 0, c.spell/4); n == 0 {
		return nil, fmt.Errorf("nobody got in")
	}
	light, lightly := h.load(few, 0, c.spell)
	if err := h.openFlows(c.flows); err != nil {
		return nil, err
	}
	by, err := h.nodes[0].bystanders(c.idle)
	defer func() {
		for _, b := range by {
			b.Close()
		}
	}()
	if err != nil {
		return nil, fmt.Errorf("connection %d: %w", len(by), err)
	}
	laden, ladenly := h.load(few, 0, c.spell)
	gone := 0
	for _, b := range by {
		if b.ask(h.proxy.addr) != nil {
			gone++
		}
	}
	resident, _, err := h.nodes[0].resident()
	if err != nil {
		return nil, err
	}
	storm, stormy := h.load(crowd, c.spell/2, c.spell)
	_, peak, err := h.nodes[0].resident()
	if err != nil {
		return nil, err
	}
	ended := time.Now()
	if err := h.wellAgain(); err != nil {
		return nil, err
	}
	back := time.Since(ended)
	calm, calmly := h.load(few, 0, c.spell)
	p99 := func(g *gauge) time.Duration { return quantile(g.accepted, 0.99) }
	over := func(a, b time.Duration) float64 { return float64(a) / float64(b) }
	return []result{
		{"S-85: resident with 10,000 flows open and 2,000 connections, under light load", resident, " MiB", atMost, 400,
			fmt.Sprintf("%d flows, %d connections of which %d were closed; the highest under a crowd of %d was %.0f MiB", c.flows, len(by), gone, crowd, peak)},
		{"S-85: p99 of accepted steps with those, over light load", over(p99(laden), p99(light)), "×", atMost, 2,
			fmt.Sprintf("%d sign-ins at once: %.0f ms and %.0f ms, %d and %d sign-ins in %s", few, ms(p99(laden)), ms(p99(light)), ladenly, lightly, c.spell)},
		{"S-85: p99 of accepted steps in a crowd of 128, over light load", over(p99(storm), p99(light)), "×", atMost, 2,
			fmt.Sprintf("%.0f ms, and %.0f ms in the first %s; %d sign-ins in %s; %d requests sent away with 503 or 429, half of them within %.0f ms; %d failed", ms(p99(storm)), ms(quantile(storm.early, 0.99)), c.spell/2, stormy, c.spell+c.spell/2,
				len(storm.away), ms(quantile(storm.away, 0.5)), storm.failed)},
		{"S-85: from the end of the crowd until a sign-in begins as before", seconds(back), " s", atMost, 5,
			fmt.Sprintf("then p99 is %.0f ms, %d sign-ins in %s", ms(p99(calm)), calmly, c.spell)},
	}, nil
}
