//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// killWorkers sign people in while things die.
const killWorkers = 8

// killSQLite: kill -9 loses nothing that was acknowledged, and revives nothing that was used (S-75).
func (c *chaos) killSQLite() ([]result, error) {
	h, err := c.build(plot{name: "kill-sqlite", nodes: 1, people: c.killed()})
	if err != nil {
		return nil, err
	}
	defer h.close()
	return c.killing(h, "SQLite", func(int) (string, error) {
		h.nodes[0].kill()
		if _, err := h.nodes[0].start(); err != nil {
			return "", err
		}
		return "latchkey", h.wellAgain()
	})
}

// killPostgres is the same, with the database dying too.
func (c *chaos) killPostgres() ([]result, error) {
	db, err := newCluster(c.dir, "kill-postgres-db", "")
	if err != nil {
		return nil, err
	}
	defer db.kill()
	h, err := c.build(plot{name: "kill-postgres", nodes: 1, people: c.killed(), database: db.dsn()})
	if err != nil {
		return nil, err
	}
	defer h.close()
	return c.killing(h, "PostgreSQL", func(round int) (string, error) {
		which := round % 3
		if which != 1 {
			h.nodes[0].kill()
		}
		if which != 0 {
			db.kill()
		}
		if which != 0 {
			if err := db.start(); err != nil {
				return "", err
			}
		}
		if which != 1 {
			if _, err := h.nodes[0].start(); err != nil {
				return "", err
			}
		}
		return [...]string{"latchkey", "the database", "both"}[which], h.wellAgain()
	})
}

// killed is how many people a run needs.
func (c *chaos) killed() int { return 200 + c.rounds*150 }

// wellAgain waits for the first sign-in to begin, which reads and writes.
func (h *house) wellAgain() error {
	who, err := h.people.take()
	if err != nil {
		return err
	}
	v, err := h.visit(who)
	if err != nil {
		return err
	}
	return await(60*time.Second, "the first sign-in after a kill", func() bool {
		ctx, done := context.WithTimeout(context.Background(), 5*time.Second)
		defer done()
		_, err := v.client.Start(ctx)
		return err == nil
	})
}

func (c *chaos) killing(h *house, database string, kill func(round int) (what string, err error)) ([]result, error) {
	var all findings
	var longest time.Duration
	for round := range c.rounds {
		l := &ledger{}
		ctx, stop := context.WithCancel(context.Background())
		var crowd sync.WaitGroup
		for w := range killWorkers {
			crowd.Go(func() { _ = l.live(ctx, h, w) }) // ends with the process that answers it
		}
		// However slow the machine is, people have got somewhere when death comes, and that at any moment.
		if err := await(60*time.Second, "a sign-in", l.begun); err != nil {
			stop()
			return nil, err
		}
		time.Sleep(rand.N(2 * c.load))
		began := time.Now()
		what, err := kill(round)
		ready := time.Since(began)
		stop()
		crowd.Wait()
		if err != nil {
			return nil, fmt.Errorf("round %d: %w", round, err)
		}
		longest = max(longest, ready)
		f, err := l.examine(context.Background(), 5)
		if err != nil {
			return nil, fmt.Errorf("round %d, after %s: looking: %w", round, what, err)
		}
		for _, w := range f.wrong {
			fmt.Fprintf(c.log, "round %d, after %s: %s\n", round, what, w)
		}
		all.add(f)
	}
	if all.tokens == 0 || all.tries == 0 || all.texts == 0 {
		return nil, fmt.Errorf("nothing happened: %s", &all)
	}
	return []result{
		{"kill -9 on " + database + ": acknowledged and missing, or used and revived", float64(len(all.wrong)), "", atMost, 0,
			fmt.Sprintf("%d rounds under %d sign-ins at once; %s", c.rounds, killWorkers, &all)},
		{"kill -9 on " + database + ": until the next sign-in begins, at worst", seconds(longest), " s", atMost, 5,
			"started again at once; production password hash, synchronous=FULL or fsync=on"},
	}, nil
}
