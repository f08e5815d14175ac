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
	var houses [2]*house
	var dbs [2]*cluster
	for i, n := range c.users {
		// Seeding is no part of it, and may be quick.
		db, err := newCluster(c.dir, fmt.Sprintf("users-db-%d", i), "shared_buffers = 256MB\nmax_wal_size = 4GB\nfsync = off\n")
		if err != nil {
			return nil, err
		}
		defer db.kill()
		h, err := c.build(plot{name: fmt.Sprintf("users-%d", i), nodes: 1, people: n, database: db.dsn()})
		if err != nil {
			return nil, err
		}
		defer h.close()
		if err := errors.Join(db.exec(`ANALYZE`), db.exec(`CHECKPOINT`)); err != nil {
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
	return []result{{fmt.Sprintf("PostgreSQL, users %d → %d: a full sign-in", c.users[0], c.users[1]), medianOf(ratios), "×", atMost, 1.1,
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
