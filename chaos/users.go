//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// manyUsers: on PostgreSQL a sign-in among a million people costs what it does among a thousand. On SQLite, bench measures it.
func (c *chaos) manyUsers() ([]result, error) {
	return c.compare("users", fmt.Sprintf("S-86, PostgreSQL, users %d → %d: a full sign-in", c.users[0], c.users[1]), c.users, nil)
}

// aYear: a year of traffic, as far as it is kept, costs a sign-in next to nothing.
func (c *chaos) aYear() ([]result, error) {
	what := fmt.Sprintf("S-86, PostgreSQL, a year of traffic (%d audit events, %d grants and refresh tokens, %d texts kept): a full sign-in", c.kept, c.kept/4, c.kept/50)
	return c.compare("year", what, [2]int{1000, 1000}, func(db *cluster) error { return db.age(c.kept) })
}

// age fills a database with what a year leaves behind. Texts are kept for 8 days, at the daily budget of 5,000.
func (c *cluster) age(events int) error {
	return errors.Join(
		c.exec(fmt.Sprintf(`INSERT INTO audit_events (seq, at, doc, type, user_id, client, source)
			SELECT -g, 1700000000000000 + g, '{"Reason":"'||repeat(md5(g::text), 8)||'"}', 'signin.started', '00u'||md5((g %% 5000)::text), '0oa1', '10.0.0.'||(g %% 250)
			FROM generate_series(1, %d) g`, events)),
		c.exec(fmt.Sprintf(`INSERT INTO grants (id, revoked, expires, doc)
			SELECT 'oar'||md5(g::text), FALSE, (extract(epoch FROM now()) * 1000000)::bigint + 3600000000 * (1 + g %% 2000), '{"Nonce":"'||repeat(md5(g::text), 6)||'"}'
			FROM generate_series(1, %d) g`, events/4)),
		c.exec(fmt.Sprintf(`INSERT INTO refreshes (digest, grant_id, created, expires, used)
			SELECT decode(md5(g::text)||md5((-g)::text), 'hex'), 'oar'||md5(g::text), 1, (extract(epoch FROM now()) * 1000000)::bigint + 3600000000 * (1 + g %% 160), 0
			FROM generate_series(1, %d) g`, events/4)),
		c.exec(fmt.Sprintf(`INSERT INTO sends (id, number, user_id, sent, proved, cleared, country)
			SELECT 'snd'||md5(g::text), decode(md5((g %% 5000)::text)||md5('n'), 'hex'), '00u'||md5((g %% 5000)::text), (extract(epoch FROM now()) * 1000000)::bigint - 17280000 * g::bigint, TRUE, TRUE, 'US'
			FROM generate_series(1, %d) g`, events/50)),
	)
}

// compare has people sign in at two houses in turns, of which the second one is larger, or older.
func (c *chaos) compare(name, what string, sizes [2]int, age func(*cluster) error) ([]result, error) {
	var houses [2]*house
	var dbs [2]*cluster
	for i, n := range sizes {
		// Seeding is no part of it, and may be quick.
		db, err := newCluster(c.dir, fmt.Sprintf("%s-db-%d", name, i), "shared_buffers = 256MB\nmax_wal_size = 4GB\nfsync = off\nautovacuum = off\n")
		if err != nil {
			return nil, err
		}
		defer db.kill()
		h, err := c.build(plot{name: fmt.Sprintf("%s-%d", name, i), nodes: 1, people: n, database: db.dsn()})
		if err != nil {
			return nil, err
		}
		defer h.close()
		if i == 1 && age != nil {
			if err := age(db); err != nil {
				return nil, err
			}
		}
		if err := errors.Join(db.exec(`VACUUM ANALYZE`), db.exec(`CHECKPOINT`)); err != nil {
			return nil, err
		}
		houses[i], dbs[i] = h, db
	}
	var ratios []float64
	var costs [2][]float64
	for turn := range c.turns + 1 {
		var cost [2]float64
		for i := range houses {
			d, err := cpuOfSignIns(houses[i], dbs[i], c.batch)
			if err != nil {
				return nil, err
			}
			cost[i] = ms(d) / float64(c.batch)
		}
		if turn > 0 { // the first is for warming up
			ratios = append(ratios, cost[1]/cost[0])
			costs[0], costs[1] = append(costs[0], cost[0]), append(costs[1], cost[1])
		}
	}
	return []result{{what, medianOf(ratios), "×", atMost, 1.1,
		fmt.Sprintf("%.1f ms → %.1f ms of CPU, of latchkey and PostgreSQL together; %d turns of %d sign-ins", medianOf(costs[0]), medianOf(costs[1]), c.turns, c.batch)}}, nil
}

// cpuOfSignIns is the CPU that a node and its database use for so many sign-ins.
func cpuOfSignIns(h *house, db *cluster, n int) (time.Duration, error) {
	cpu := func() time.Duration {
		sum := cpuOf(h.nodes[0].cmd.Process.Pid) + cpuOf(db.cmd.Process.Pid)
		for _, pid := range children(db.cmd.Process.Pid) {
			sum += cpuOf(pid)
		}
		return sum
	}
	before := cpu()
	for range n {
		who, err := h.people.take()
		if err != nil {
			return 0, err
		}
		v, err := h.visit(who)
		if err != nil {
			return 0, err
		}
		if err := v.signIn(context.Background()); err != nil {
			return 0, err
		}
		if err := v.redeem(context.Background()); err != nil {
			return 0, err
		}
	}
	return cpu() - before, nil
}

// cpuOf is what a process has used, its ended children included.
func cpuOf(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	f := strings.Fields(after)
	var ticks int64
	for i := 11; i < 15 && i < len(f); i++ { // utime, stime, cutime, cstime
		n, _ := strconv.ParseInt(f[i], 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func medianOf(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}
