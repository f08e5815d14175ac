//go:build linux

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey.dev/internal/store/sqlite"
)

// manyUsers: a sign-in among a million people costs what it does among a thousand.
func (c *chaos) manyUsers() ([]result, error) {
	return c.compareOnBoth("users", fmt.Sprintf("users %d → %d: a full sign-in", c.users[0], c.users[1]), c.users, false)
}

// aYear: a year of traffic, as far as it is kept, costs a sign-in next to nothing.
func (c *chaos) aYear() ([]result, error) {
	what := fmt.Sprintf("a year of traffic (%d audit events, %d grants and refresh tokens, %d texts kept): a full sign-in", c.kept, c.kept/4, c.kept/50)
	return c.compareOnBoth("year", what, [2]int{1000, 1000}, true)
}

func (c *chaos) compareOnBoth(name, what string, sizes [2]int, aged bool) ([]result, error) {
	all, err := c.compare(name+"-sqlite", "S-86, SQLite, "+what, sizes, c.onSQLite, aged)
	if err != nil {
		return nil, err
	}
	more, err := c.compare(name+"-postgres", "S-86, PostgreSQL, "+what, sizes, c.onPostgres, aged)
	return append(all, more...), err
}

// A stock is a house with the database below it, as what is compared wants it.
type stock struct {
	*house
	age    func(events int) error
	settle func() error // after it was filled, so that nobody pays for that later
	pids   func() []int // whose CPU counts besides the node's
	close  func()
}

// onPostgres builds a house on a cluster of its own.
func (c *chaos) onPostgres(name string, people int) (*stock, error) {
	// Seeding is no part of it, and may be quick.
	db, err := newCluster(c.dir, name+"-db", "shared_buffers = 256MB\nmax_wal_size = 4GB\nfsync = off\nautovacuum = off\n")
	if err != nil {
		return nil, err
	}
	h, err := c.build(plot{name: name, nodes: 1, people: people, database: db.dsn()})
	if err != nil {
		db.kill()
		return nil, err
	}
	return &stock{
		house: h, age: db.age,
		settle: func() error { return errors.Join(db.exec(`VACUUM ANALYZE`), db.exec(`CHECKPOINT`)) },
		pids: func() []int {
			return append(children(db.cmd.Process.Pid), db.cmd.Process.Pid)
		},
		close: func() { h.close(); db.kill() },
	}, nil
}

// onSQLite builds a house on a file. Nothing tells SQLite how large its tables are, as nothing does in production.
func (c *chaos) onSQLite(name string, people int) (*stock, error) {
	h, err := c.build(plot{name: name, nodes: 1, people: people})
	if err != nil {
		return nil, err
	}
	run := func(statements ...string) error {
		db, err := sql.Open("sqlite", "file:"+filepath.Join(h.data(), sqlite.File)+"?_pragma=busy_timeout(60000)")
		if err != nil {
			return err
		}
		defer db.Close()
		for _, one := range statements {
			if _, err := db.Exec(one); err != nil {
				return fmt.Errorf("%.60s: %w", one, err)
			}
		}
		return nil
	}
	return &stock{
		house: h, age: func(events int) error { return run(yearInSQLite(events)...) },
		settle: func() error { return run(`PRAGMA wal_checkpoint(TRUNCATE)`) },
		pids:   func() []int { return nil }, close: h.close,
	}, nil
}

// yearInSQLite says what age says in the words of SQLite, which has no md5: what is spread over an index there is
// spread by chance here.
func yearInSQLite(events int) []string {
	count := func(n int) string {
		return fmt.Sprintf(`WITH RECURSIVE n(g) AS (SELECT 1 UNION ALL SELECT g + 1 FROM n WHERE g < %d) `, n)
	}
	now := time.Now().UnixMicro()
	return []string{
		`INSERT INTO audit_events (seq, at, doc, type, user_id, client, source) ` + count(events) +
			`SELECT -g, 1700000000000000 + g, '{"Reason":"'||hex(randomblob(128))||'"}', 'signin.started', printf('00u%032d', g % 5000), '0oa1', '10.0.0.'||(g % 250) FROM n`,
		`CREATE TEMP TABLE spread AS ` + count(events/4) + `SELECT g, lower(hex(randomblob(16))) AS id FROM n`,
		fmt.Sprintf(`INSERT INTO grants (id, revoked, expires, doc)
			SELECT 'oar'||id, FALSE, %d + 3600000000 * (1 + g %% 2000), '{"Nonce":"'||hex(randomblob(96))||'"}' FROM spread`, now),
		fmt.Sprintf(`INSERT INTO refreshes (digest, grant_id, created, expires, used)
			SELECT randomblob(32), 'oar'||id, 1, %d + 3600000000 * (1 + g %% 160), 0 FROM spread`, now),
		fmt.Sprintf(`INSERT INTO sends (id, number, user_id, sent, proved, cleared, country)
			SELECT 'snd'||id, CAST(printf('%%032d', g %% 5000) AS BLOB), printf('00u%%032d', g %% 5000), %d - 17280000 * g, TRUE, TRUE, 'US'
			FROM spread WHERE g <= %d`, now, events/50),
	}
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
func (c *chaos) compare(name, what string, sizes [2]int, build func(name string, people int) (*stock, error), aged bool) ([]result, error) {
	var houses [2]*stock
	for i, n := range sizes {
		s, err := build(fmt.Sprintf("%s-%d", name, i), n)
		if err != nil {
			return nil, err
		}
		defer s.close()
		if i == 1 && aged {
			if err := s.age(c.kept); err != nil {
				return nil, err
			}
		}
		if err := s.settle(); err != nil {
			return nil, err
		}
		houses[i] = s
	}
	var ratios []float64
	var costs [2][]float64
	for turn := range c.turns + 1 {
		var cost [2]float64
		for i := range houses {
			d, err := cpuOfSignIns(houses[i], c.batch)
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
		fmt.Sprintf("%.1f ms → %.1f ms of CPU, of latchkey and its database; %d turns of %d sign-ins", medianOf(costs[0]), medianOf(costs[1]), c.turns, c.batch)}}, nil
}

// cpuOfSignIns is the CPU that a node and its database use for so many sign-ins.
func cpuOfSignIns(h *stock, n int) (time.Duration, error) {
	cpu := func() time.Duration {
		sum := cpuOf(h.nodes[0].cmd.Process.Pid)
		for _, pid := range h.pids() {
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
