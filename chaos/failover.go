//go:build linux

package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A watch writes down how requests are answered.
type watch struct {
	mu  sync.Mutex
	all []sighting
}

type sighting struct {
	seen
	at time.Time
}

func (w *watch) see(s *seen) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, sighting{*s, time.Now()})
}

// A summary is what was seen between two times.
type summary struct {
	good, well, bare, refused, other, lost int
	longest                                time.Duration
	odd                                    map[string]bool // paths whose answers were neither good nor 503 with Retry-After
}

// between counts answers: good, 503 with and without Retry-After, refusals, all else, and none.
func (w *watch) between(from, to time.Time) (s summary) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.odd = map[string]bool{}
	for _, a := range w.all {
		if a.at.Before(from) || a.at.After(to) {
			continue
		}
		s.longest = max(s.longest, a.took)
		if !(a.status > 0 && a.status < 400) && !(a.status == 503 && a.retry) {
			s.odd[fmt.Sprint(a.status, " ", a.path)] = true
		}
		switch {
		case a.status == 0 || a.lost:
			s.lost++
		case a.status < 400:
			s.good++
		case a.status == 503 && a.retry:
			s.well++
		case a.status == 503:
			s.bare++
		case a.status < 500:
			s.refused++
		default:
			s.other++
		}
	}
	return s
}

func (s summary) String() string {
	return fmt.Sprintf("%d good, %d 503 with Retry-After, %d 503 without, %d refused, %d other, %d unanswered, the longest %s",
		s.good, s.well, s.bare, s.refused, s.other, s.lost, s.longest.Round(time.Millisecond))
}

// dead: the primary dies, the standby is promoted, and nothing that was acknowledged is lost (S-80).
func (c *chaos) dead() ([]result, error) { return c.failover("failover", (*cluster).kill) }

// silent: the primary stops, as a machine does whose network is gone, and nobody is told.
func (c *chaos) silent() ([]result, error) {
	return c.failover("silent primary", func(primary *cluster) {
		_ = primary.cmd.Process.Signal(syscall.SIGSTOP)
		for _, pid := range children(primary.cmd.Process.Pid) {
			_ = syscall.Kill(pid, syscall.SIGSTOP)
		}
	})
}

func (c *chaos) failover(name string, fail func(primary *cluster)) ([]result, error) {
	place := strings.ReplaceAll(name, " ", "-")
	primary, err := newCluster(c.dir, place+"-primary", "")
	if err != nil {
		return nil, err
	}
	defer primary.kill()
	standby, err := primary.standby(place + "-standby")
	if err != nil {
		return nil, err
	}
	defer standby.kill()
	// Only now: with nobody to confirm, no commit would end.
	if err := primary.configure("synchronous_standby_names = '*'\n"); err != nil {
		return nil, err
	}
	if err := primary.exec(`SELECT pg_reload_conf()`); err != nil {
		return nil, err
	}
	dsn := dsnOf(url.Values{"sslmode": {"disable"}, "target_session_attrs": {"read-write"}}, primary, standby)
	h, err := c.build(plot{name: place, nodes: 2, people: 3000, database: dsn})
	if err != nil {
		return nil, err
	}
	defer h.close()
	if err := primary.synchronous(); err != nil {
		return nil, err
	}

	const workers = 8
	var w watch
	l := &ledger{}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var crowd sync.WaitGroup
	for range workers {
		crowd.Go(func() { l.persist(ctx, h, &w) })
	}
	time.Sleep(c.away)
	died := time.Now()
	fail(primary)
	var unready time.Duration
	var asking sync.WaitGroup
	asking.Go(func() { unready = h.untilUnready(c.away) })
	time.Sleep(c.away)
	asking.Wait()
	promoted := time.Now()
	if err := standby.promote(); err != nil {
		return nil, err
	}
	err = h.wellAgain()
	back := time.Now()
	time.Sleep(c.away)
	end := time.Now()
	stop()
	crowd.Wait()
	if err != nil {
		return nil, err
	}
	meanwhile := w.between(died, back)
	after := w.between(back, end)
	f, err := l.examine(context.Background(), 5)
	if err != nil {
		return nil, fmt.Errorf("looking: %w", err)
	}
	for _, wrong := range f.wrong {
		fmt.Fprintln(c.log, "after the failover:", wrong)
	}
	for what := range meanwhile.odd {
		fmt.Fprintln(c.log, "while there was no primary:", what)
	}
	for _, wrong := range l.refused {
		fmt.Fprintln(c.log, "refused:", wrong)
	}
	if after.good == 0 || f.tokens == 0 {
		return nil, fmt.Errorf("nothing happened: %s; %s", after, &f)
	}
	return []result{
		{name + ": answers while there was no primary that were not 503 with Retry-After", float64(meanwhile.bare + meanwhile.refused + meanwhile.other + meanwhile.lost), "", atMost, 0,
			fmt.Sprintf("%d sign-ins at once, two nodes, %s without a primary: %s", workers, promoted.Sub(died).Round(100*time.Millisecond), meanwhile)},
		{name + ": until a node says that it is not ready", seconds(unready), " s", atMost, 5, ""},
		{name + ": from promotion until sign-ins begin again", seconds(back.Sub(promoted)), " s", atMost, 10, "then: " + after.String()},
		{name + ": acknowledged and missing, or used and revived", float64(len(f.wrong)), "", atMost, 0, "synchronous replication; " + f.String()},
	}, nil
}

// synchronous waits until a standby confirms what the cluster commits.
func (c *cluster) synchronous() error {
	return await(30*time.Second, "a synchronous standby", func() bool {
		var n int
		return c.ask(`SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'`, &n) == nil && n == 1
	})
}

// persist signs people in until ctx ends, making each request again until it is answered.
func (l *ledger) persist(ctx context.Context, h *house, w *watch) {
	for ctx.Err() == nil {
		who, err := h.people.take()
		if err != nil {
			return
		}
		v, err := h.visit(who)
		if err != nil {
			return
		}
		v.tries, v.seen = 200, w.see
		if err := l.signIn(ctx, v); err != nil && ctx.Err() == nil {
			l.note(func() { l.refused = append(l.refused, err) })
		}
	}
}
