//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// illGateway: a gateway that fails half of its calls and hangs on a tenth costs nobody their code (S-81).
func (c *chaos) illGateway() ([]result, error) {
	h, err := c.build(plot{name: "gateway", nodes: 1, people: c.messages * 2, more: true})
	if err != nil {
		return nil, err
	}
	defer h.close()
	h.carrier.mood = func(int) outcome {
		switch n := rand.N(10); {
		case n < 5:
			return fails
		case n < 6:
			return hangs
		}
		return takes
	}
	var mu sync.Mutex
	var took []time.Duration
	var bad []error
	var crowd sync.WaitGroup
	for range 4 {
		crowd.Go(func() {
			for range c.messages / 4 {
				d, err := h.arrival()
				mu.Lock()
				if took = append(took, d); err != nil {
					bad = append(bad, err)
				}
				mu.Unlock()
			}
		})
	}
	crowd.Wait()
	for _, err := range bad {
		fmt.Fprintln(c.log, "no code:", err)
	}
	twice, other := h.carried()
	return []result{
		{"S-81: codes that did not arrive, with a gateway that fails half of its calls and hangs on a tenth", float64(len(bad)), "", atMost, 0,
			fmt.Sprintf("of %d; %d calls of the ill one, %d texts by another", len(took), h.carrier.call, other)},
		{"S-81: until a code arrived, at worst", seconds(quantile(took, 1)), " s", atMost, 6, fmt.Sprintf("half within %.0f ms", ms(quantile(took, 0.5)))},
		{"S-81: texts carried twice", float64(twice), "", atMost, 0, "by the same or by another gateway"},
	}, nil
}

// arrival has a code sent and says how long it took.
func (h *house) arrival() (time.Duration, error) {
	ctx := context.Background()
	who, err := h.people.take()
	if err != nil {
		return 0, err
	}
	v, err := h.visit(who)
	if err != nil {
		return 0, err
	}
	v.tries = 5
	if err := v.identify(ctx); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := v.ask(ctx); err != nil {
		return 0, err
	}
	if err := v.receive(); err != nil {
		return 0, err
	}
	all := append(h.carrier.sent(who.number()), h.more.sent(who.number())...)
	return all[0].at.Sub(began), nil
}

// carried counts the texts that were carried more than once, and those that the second gateway carried.
func (h *house) carried() (twice, other int) {
	seen := map[string]int{}
	for _, c := range []*carrier{h.carrier, h.more} {
		c.mu.Lock()
		for _, texts := range c.taken {
			for _, t := range texts {
				if seen[t.id]++; seen[t.id] == 2 {
					twice++
				}
				if c == h.more {
					other++
				}
			}
		}
		c.mu.Unlock()
	}
	return twice, other
}
