package meter_test

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/meter"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/postgres"
	"latchkey.dev/internal/store/sqlite"
	"latchkey.dev/internal/store/storetest"
)

// databases runs a test on each.
func databases(t *testing.T, test func(t *testing.T, db store.DB)) {
	t.Run("sqlite", func(t *testing.T) {
		db, err := sqlite.Open(t.Context(), t.TempDir(), storetest.Key(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		test(t, db)
	})
	t.Run("postgres", func(t *testing.T) {
		db, err := postgres.Open(t.Context(), storetest.Schema(t), storetest.Key(t, 1), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		test(t, db)
	})
}

// A clock that somebody sets.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(1_900_000_000, c.at.Load()) }

// passed counts how many of n requests pass, each at a node that next names.
func passed(t *testing.T, nodes []*meter.Meter, n int, w limit.Window, next func(int) int) int {
	t.Helper()
	var ok atomic.Int64
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			r, err := nodes[next(i)].Count(t.Context(), "address", "192.0.2.1", w)
			if err != nil {
				t.Error(err)
			}
			if r.OK {
				ok.Add(1)
			}
			if r.Limit != w.Max || r.Reset <= 0 || r.Reset > w.Per {
				t.Errorf("reading %+v", r)
			}
		})
	}
	all.Wait()
	return int(ok.Load())
}

func TestS52_OneNodeCountsExactly(t *testing.T) {
	databases(t, func(t *testing.T, db store.DB) {
		for _, shared := range []bool{false, true} {
			c := &clock{}
			m := []*meter.Meter{meter.New(meter.Config{Store: db, Shared: shared, Now: c.now})}
			for _, w := range []limit.Window{{Max: 10, Per: 5 * time.Second}, {Max: 600, Per: time.Minute}, {Max: 1, Per: time.Hour}} {
				if n := passed(t, m, w.Max+50, w, func(int) int { return 0 }); n != w.Max {
					t.Errorf("shared %t: %d of %+v passed", shared, n, w)
				}
				c.at.Add(int64(w.Per))
				if n := passed(t, m, w.Max+1, w, func(int) int { return 0 }); n != w.Max {
					t.Errorf("shared %t: %d of %+v passed in the next window", shared, n, w)
				}
			}
			if r, err := m[0].Count(t.Context(), "address", "192.0.2.2", limit.Window{Max: 600, Per: time.Minute}); err != nil || !r.OK {
				t.Errorf("another address: %+v, %v", r, err)
			}
			c.at.Add(int64(24 * time.Hour))
		}
	})
}

func TestS79_S52_NodesCountTogether(t *testing.T) {
	databases(t, func(t *testing.T, db store.DB) {
		c := &clock{}
		var nodes []*meter.Meter
		for range 3 {
			nodes = append(nodes, meter.New(meter.Config{Store: db, Shared: true, Now: c.now}))
		}
		minute := limit.Window{Max: 600, Per: time.Minute}
		// One that is asked late may find the limit taken, and has its first share all the same.
		if n := passed(t, nodes, 3000, minute, func(i int) int { return i % 3 }); n < 600 || n > 660 {
			t.Errorf("%d passed by turns, want 600 to 660", n)
		}
		// The worst there is: two nodes are asked for just what they let pass without telling.
		c.at.Add(int64(time.Minute))
		n := passed(t, nodes, 30, minute, func(int) int { return 1 }) + passed(t, nodes, 30, minute, func(int) int { return 2 })
		if n += passed(t, nodes, 3000, minute, func(int) int { return 0 }); n != 660 {
			t.Errorf("%d passed, want 660: the limit and a share for each of the others", n)
		}
		short := limit.Window{Max: 10, Per: 5 * time.Second}
		if n := passed(t, nodes, 200, short, func(i int) int { return i % 3 }); n < 10 || n > 20 {
			t.Errorf("%d passed of a small limit, want 10 to 20", n)
		}
	})
}

func TestS52_AnOrdinaryPersonCostsTheDatabaseNothing(t *testing.T) {
	// Without a database a meter that asked it would panic.
	m := meter.New(meter.Config{Shared: true, Now: time.Now})
	for i := range 1000 {
		if r, err := m.Count(t.Context(), "handle", fmt.Sprint(i), limit.Window{Max: 10, Per: 5 * time.Second}); err != nil || !r.OK {
			t.Fatalf("%+v, %v", r, err)
		}
	}
}

func TestS52_MemoryIsBounded(t *testing.T) {
	c := &clock{}
	m := meter.New(meter.Config{Now: c.now})
	w := limit.Window{Max: 3, Per: time.Minute}
	count := func(thing string) bool {
		r, err := m.Count(t.Context(), "address", thing, w)
		return err == nil && r.OK
	}
	count("who was here before")
	refused := 0
	for i := range 1 << 17 {
		if !count(fmt.Sprint(i)) {
			refused++
		}
	}
	if refused < 1<<15 {
		t.Errorf("of %d addresses in a minute %d were refused", 1<<17, refused)
	}
	if !count("who was here before") {
		t.Error("who was there before was refused")
	}
	c.at.Add(int64(time.Minute))
	if !count("somebody new") {
		t.Error("and so was somebody a minute later")
	}
}

func TestS77_WhatCannotBeCountedDoesNotPass(t *testing.T) {
	db, err := sqlite.Open(t.Context(), t.TempDir(), storetest.Key(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	m := meter.New(meter.Config{Store: db, Shared: true, Now: time.Now})
	for range 5 {
		m.Count(t.Context(), "handle", "h", limit.Window{Max: 10, Per: time.Hour})
	}
	if r, err := m.Count(t.Context(), "handle", "h", limit.Window{Max: 10, Per: time.Hour}); err == nil || r.OK {
		t.Errorf("%+v, %v", r, err)
	}
}
