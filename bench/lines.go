//go:build linux

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// lines are the promises, in the order in which they were made.
var lines = []struct {
	name    string
	measure func(*bench) ([]result, error)
}{
	{"signin", (*bench).signIn},
	{"load", (*bench).load},
	{"requests", (*bench).requests},
	{"throughput", (*bench).throughput},
	{"flows", (*bench).openFlows},
	{"users", (*bench).manyUsers},
	{"process", (*bench).oneProcess},
}

// signIn: a sign-in costs little more than the hash in it.
func (b *bench) signIn() (_ []result, err error) {
	g, h, done, err := b.stage("signin")
	if err != nil {
		return nil, err
	}
	defer done(&err)
	v, err := h.visitor()
	if err != nil {
		return nil, err
	}
	steps := make([]series, len(stepNames))
	costs, err := takeTurns(b.rounds+1,
		func() (float64, error) { return b.hashing(g) },
		func() (float64, error) { return b.signingIn(v, h.paul) },
		func() (float64, error) {
			each, err := b.stepByStep(v)
			for i := range each {
				steps[i] = append(steps[i], each[i])
			}
			return each[challenged] + each[proved], err
		},
	)
	if err != nil {
		return nil, err
	}
	hash, whole, second := warmed(costs[0]), warmed(costs[1]), warmed(costs[2])
	var spent []string
	for i, name := range stepNames {
		spent = append(spent, fmt.Sprintf("%s %.2f", name, warmed(steps[i]).median()))
	}
	return []result{
		{"sign-in with password and SMS, over one hash", whole.over(hash), "", atMost, 1.25,
			fmt.Sprintf("%.1f ms and %.1f ms of CPU", whole.median(), hash.median())},
		{"the same without the hash", b.scaled(whole.minus(hash), hash), " ms", atMost, 6,
			fmt.Sprintf("measured %.2f ms; step by step: %s", whole.minus(hash), strings.Join(spent, ", "))},
		{"second factor: challenge and answer", b.scaled(second.median(), hash), " ms", atMost, 2.2,
			fmt.Sprintf("measured %.2f ms, %.3f of a hash", second.median(), second.over(hash))},
	}, nil
}

// usualHash is what a hash costs on a machine of the kind that the promises in milliseconds were made for,
// when nobody else is on it.
const usualHash = 23

// scaled is what took t milliseconds here as it would be there: a promise is not to depend on the weather.
func (b *bench) scaled(t float64, hash series) float64 { return t / hash.median() * usualHash }

// stage starts a floor and a house. done stops them and adds what they have to say to an error.
func (b *bench) stage(name string) (g *ground, h *house, done func(*error), err error) {
	if g, err = b.ground(); err != nil {
		return nil, nil, nil, err
	}
	if h, err = b.house(name); err != nil {
		return nil, nil, nil, errors.Join(err, g.stop())
	}
	return g, h, func(err *error) { *err = errors.Join(*err, h.stop(), g.stop()) }, nil
}

func (b *bench) hashing(g *ground) (float64, error) {
	cost, err := g.hashCost(b.batch)
	return ms(cost), err
}

// signingIn is the server's CPU of one sign-in.
func (b *bench) signingIn(v *visitor, who func() person) (float64, error) {
	return b.cost(v.h, b.batch, func(int) error {
		_, err := v.signIn(who())
		return err
	})
}

// cost is the CPU in milliseconds that a house uses for one of n things to do.
func (b *bench) cost(h *house, n int, do func(i int) error) (float64, error) {
	time.Sleep(b.settling)
	before := h.cpu()
	for i := range n {
		if err := do(i); err != nil {
			return 0, err
		}
	}
	time.Sleep(b.settling) // an answer is out before all is done that belongs to it
	return ms(h.cpu()-before) / float64(n), nil
}

// The requests of a sign-in.
const (
	begun = iota
	looked
	identified
	challenged
	proved
	redeemed
	profiled
)

var stepNames = []string{"interact", "introspect", "identify", "challenge", "answer", "token", "userinfo"}

// stepByStep is the CPU of each request of a sign-in: many people take each step before any takes the next.
func (b *bench) stepByStep(v *visitor) ([]float64, error) {
	type visit struct {
		interaction, handle, code, token string
		phone                            enrolled
	}
	visits := make([]visit, b.batch)
	steps := []func(*visit) error{
		begun:      func(s *visit) (err error) { s.interaction, err = v.begin(); return err },
		looked:     func(s *visit) (err error) { s.handle, err = v.look(s.interaction); return err },
		identified: func(s *visit) (err error) { s.phone, err = v.identify(s.handle, v.h.paul()); return err },
		challenged: func(s *visit) error { return v.challenge(s.handle, s.phone) },
		proved:     func(s *visit) (err error) { s.code, err = v.prove(s.handle); return err },
		redeemed:   func(s *visit) (err error) { s.token, err = v.redeem(s.code); return err },
		profiled:   func(s *visit) error { return v.profile(s.token) },
	}
	costs := make([]float64, len(steps))
	for i, step := range steps {
		var err error
		if costs[i], err = b.cost(v.h, b.batch, func(n int) error { return step(&visits[n]) }); err != nil {
			return nil, err
		}
	}
	return costs, nil
}

// warmed leaves the first round out: caches were cold, connections new.
func warmed(s series) series {
	if len(s) > 1 {
		return s[1:]
	}
	return s
}

// load: many at once get through about as fast as their hashes allow, and those who only look at a page
// do not wait behind them.
func (b *bench) load() (_ []result, err error) {
	g, err := b.ground()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.stop()) }()
	h, _, err := b.populated("load", b.crowd)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.stop()) }()
	var quiet, crowded, sentAway, shutOut series
	rates, err := takeTurns(b.turns,
		func() (float64, error) {
			began := time.Now()
			n, err := g.hash(b.few, 1<<30, b.window)
			return float64(n) / time.Since(began).Seconds(), err
		},
		func() (float64, error) {
			rate, _, err := b.rate(h, b.few)
			return rate, err
		},
		func() (float64, error) {
			enough := time.After(b.window / 4)
			waits, _, err := looks(h, func() bool { return ended(enough) })
			quiet = append(quiet, waits.median())
			return 0, err
		},
		func() (float64, error) {
			var all sync.WaitGroup
			var rate float64
			var busy int64
			var failed error
			over := make(chan struct{})
			all.Go(func() { defer close(over); rate, busy, failed = b.rate(h, b.crowd) })
			time.Sleep(b.warm)
			waits, shut, err := looks(h, func() bool { return ended(over) })
			all.Wait()
			if err = errors.Join(failed, err); err != nil {
				return 0, err
			}
			crowded, sentAway, shutOut = append(crowded, waits.median()), append(sentAway, float64(busy)), append(shutOut, shut)
			return rate, nil
		},
	)
	if err != nil {
		return nil, err
	}
	hash, few, crowd := rates[0], rates[1], rates[3]
	return []result{
		{fmt.Sprintf("rate with %d workers, over hashing alone", b.few), few.over(hash), "", atLeast, 0.8,
			fmt.Sprintf("%.1f and %.1f a second; the clients run on the same cores", few.median(), hash.median())},
		{fmt.Sprintf("rate with %d workers, over %d", b.crowd, b.few), crowd.over(few), "", atLeast, 0.9,
			fmt.Sprintf("%.1f a second; in all rounds %.0f were told to come again later (S-85)", crowd.median(), sentAway.sum())},
		{"interact and introspect meanwhile, over quiet (p50)", crowded.over(quiet), "", atMost, 10,
			fmt.Sprintf("%.2f ms and %.2f ms, of those let in; %.0f %% were told to come again later", crowded.median(), quiet.median(), 100*shutOut.median())},
	}, nil
}

// rate is the sign-ins a second that so many workers complete, and how often one was told to come later.
// Any other error of one is an error of all.
func (b *bench) rate(h *house, workers int) (rate float64, sentAway int64, err error) {
	var done, busy atomic.Int64
	var failed atomic.Pointer[error]
	began := time.Now()
	counting, over := began.Add(b.warm), began.Add(b.warm+b.window)
	var all sync.WaitGroup
	for i := range workers {
		who := h.seeded(i) // nobody types two codes at once
		all.Go(func() {
			v, err := h.visitor()
			if err != nil {
				failed.Store(&err)
				return
			}
			defer v.Close()
			for time.Now().Before(over) && failed.Load() == nil {
				if _, err := v.signIn(who); err != nil {
					if r := (refusal{}); errors.As(err, &r) && r.busy() {
						busy.Add(1)
						time.Sleep(comeAgain)
						continue
					}
					failed.Store(&err)
				}
				if now := time.Now(); now.After(counting) && now.Before(over) {
					done.Add(1)
				}
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return 0, 0, fmt.Errorf("with %d workers: %w", workers, *err)
	}
	return float64(done.Load()) / b.window.Seconds(), busy.Load(), nil
}

// comeAgain is what Retry-After says to who is sent away. Whoever comes sooner takes from those who were let in.
const comeAgain = 2 * time.Second

// looks is how long interact and introspect took, again and again until it is over, in milliseconds, and which share
// of them was told to come later.
func looks(h *house, over func() bool) (took series, shut float64, err error) {
	v, err := h.visitor()
	if err != nil {
		return nil, 0, err
	}
	defer v.Close()
	for !over() || len(took) == 0 {
		began := time.Now()
		_, err := v.open()
		if r := (refusal{}); errors.As(err, &r) && r.busy() {
			shut++
		} else if err != nil {
			return nil, 0, err
		} else {
			took = append(took, ms(time.Since(began)))
		}
		time.Sleep(100 * time.Millisecond) // one of those who begin, and not all of them
	}
	return took, shut / (shut + float64(len(took))), nil
}

func ended[T any](c <-chan T) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// requests: what needs no database costs what HTTP costs, and userinfo little more.
func (b *bench) requests() (_ []result, err error) {
	g, h, done, err := b.stage("requests")
	if err != nil {
		return nil, err
	}
	defer done(&err)
	v, err := h.visitor()
	if err != nil {
		return nil, err
	}
	token, err := v.signIn(h.paul())
	if err != nil {
		return nil, err
	}
	plain, err := dial(g.addr)
	if err != nil {
		return nil, err
	}
	var measured []result
	for _, page := range []struct {
		what, path, bearer string
		most               float64
	}{
		{"discovery", discovery, "", 1.3},
		{"keys", "/oauth2/default/v1/keys", "", 1.3},
		{"userinfo", "/oauth2/default/v1/userinfo", token, 3},
	} {
		body, err := v.get(page.path, page.bearer)
		if err != nil {
			return nil, err
		}
		size := len(body)
		costs, err := takeTurns(b.rounds+1,
			func() (float64, error) { return b.fetching(g.process, plain, fmt.Sprintf("/%d", size), "") },
			func() (float64, error) { return b.fetching(h.process, v.connection, page.path, page.bearer) },
		)
		if err != nil {
			return nil, err
		}
		bare, ours := warmed(costs[0]), warmed(costs[1])
		measured = append(measured, result{page.what + ", over a bare GET of its size", ours.over(bare), "", atMost, page.most,
			fmt.Sprintf("%.0f µs and %.0f µs, %d bytes", 1000*ours.median(), 1000*bare.median(), size)})
	}
	return measured, nil
}

// fetching is the CPU in milliseconds of one of many GETs.
func (b *bench) fetching(p *process, c *connection, path, bearer string) (float64, error) {
	before := p.cpu()
	for range b.gets {
		if _, err := c.get(path, bearer); err != nil {
			return 0, err
		}
	}
	return ms(p.cpu()-before) / float64(b.gets), nil
}

// openFlows: those who opened the page and went away slow nobody down.
func (b *bench) openFlows() (_ []result, err error) {
	g, few, done, err := b.stage("flows-few")
	if err != nil {
		return nil, err
	}
	defer done(&err)
	many, err := b.house("flows-many")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, many.stop()) }()
	if err := begin(few, min(b.flows, 10)); err != nil {
		return nil, err
	}
	if err := begin(many, b.flows/10); err != nil { // so that what a process that works holds anyway is held
		return nil, err
	}
	time.Sleep(b.idle)
	before, _, err := many.resident()
	if err != nil {
		return nil, err
	}
	if err := begin(many, b.flows); err != nil {
		return nil, err
	}
	time.Sleep(b.idle)
	after, _, err := many.resident()
	if err != nil {
		return nil, err
	}

	var measures []func() (float64, error)
	for _, h := range []*house{few, many} {
		v, err := h.visitor()
		if err != nil {
			return nil, err
		}
		named := &visitor{v.connection, h, h.env["CLIENT_ID_IDFIRST"], v.scope}
		measures = append(measures,
			func() (float64, error) { return b.beginning(v, v.byPassword) },
			func() (float64, error) { return b.beginning(named, named.byName) })
	}
	costs, err := takeTurns(b.rounds+1, append(measures, func() (float64, error) { return b.hashing(g) })...)
	if err != nil {
		return nil, err
	}
	for i := range costs {
		costs[i] = warmed(costs[i])
	}
	hash := costs[4]
	growth := fmt.Sprintf("open flows 10 → %d: ", b.flows)
	return []result{
		{growth + "interact and identify", costs[2].over(costs[0]), "", atMost, 1.1,
			fmt.Sprintf("%.2f ms → %.2f ms, of which %.1f ms are the hash", costs[0].median(), costs[2].median(), hash.median())},
		{growth + "the same without a hash", costs[3].over(costs[1]), "", atMost, 1.1,
			fmt.Sprintf("%.3f ms → %.3f ms, by name alone", costs[1].median(), costs[3].median())},
		{growth + "memory", float64(after - before), " MiB", atMost, 20, fmt.Sprintf("%.1f MiB → %.1f MiB", before, after)},
	}, nil
}

func (v *visitor) byPassword(handle string) error {
	_, err := v.identify(handle, v.h.paul())
	return err
}

func (v *visitor) byName(handle string) error { return v.name(handle, v.h.paul()) }

// beginning is the CPU of interact and identify.
func (b *bench) beginning(v *visitor, identify func(handle string) error) (float64, error) {
	interactions := make([]string, b.batch)
	begun, err := b.cost(v.h, b.batch, func(i int) (err error) {
		interactions[i], err = v.begin()
		return err
	})
	if err != nil {
		return 0, err
	}
	handles := make([]string, b.batch)
	for i, interaction := range interactions {
		if handles[i], err = v.look(interaction); err != nil {
			return 0, err
		}
	}
	identified, err := b.cost(v.h, b.batch, func(i int) error { return identify(handles[i]) })
	return begun + identified, err
}

// begin opens so many flows.
func begin(h *house, n int) error {
	v, err := h.visitor()
	if err != nil {
		return err
	}
	defer v.Close()
	for range n {
		if _, err := v.begin(); err != nil {
			return err
		}
	}
	return nil
}

// manyUsers: an organisation may be large.
func (b *bench) manyUsers() (_ []result, err error) {
	var visitors [2]*visitor
	var seeding time.Duration
	for i, n := range b.users {
		var h *house
		if h, seeding, err = b.populated(fmt.Sprint("users-", n), n); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, h.stop()) }()
		if visitors[i], err = h.visitor(); err != nil {
			return nil, err
		}
	}
	var measures []func() (float64, error)
	for i, v := range visitors {
		anybody := func() person { return v.h.seeded(rand.IntN(b.users[i])) }
		measures = append(measures, func() (float64, error) { return b.signingIn(v, anybody) })
	}
	costs, err := takeTurns(b.rounds+1, measures...)
	if err != nil {
		return nil, err
	}
	few, many := warmed(costs[0]), warmed(costs[1])
	now, _, err := visitors[1].h.resident()
	return []result{{
		fmt.Sprintf("users %d → %d: full sign-in", b.users[0], b.users[1]), many.over(few), "", atMost, 1.1,
		fmt.Sprintf("%.2f ms → %.2f ms; %.0f MiB resident; %.0f s of CPU to seed", few.median(), many.median(), now, seeding.Seconds()),
	}}, err
}

// oneProcess: it starts at once and is small.
func (b *bench) oneProcess() ([]result, error) {
	var first, later, idle, idleLater, rise series
	for i := range b.starts {
		name := fmt.Sprint("start-", i)
		h, err := b.house(name)
		if err != nil {
			return nil, err
		}
		first = append(first, ms(h.ready))
		time.Sleep(b.idle)
		now, _, err := h.resident()
		if err = errors.Join(err, h.stop(), seed(filepath.Join(b.dir, name), h.paul().login, b.few)); err != nil {
			return nil, err
		}
		idle = append(idle, float64(now))

		if h, err = b.houseAt(name, h.addr); err != nil { // the address stays, as people's does
			return nil, err
		}
		later = append(later, ms(h.ready))
		time.Sleep(b.idle)
		before, most, err := b.peak(h)
		if err = errors.Join(err, h.stop()); err != nil {
			return nil, err
		}
		idleLater = append(idleLater, float64(before))
		rise = append(rise, float64(most-before))
	}
	program, err := os.Stat(b.latchkey)
	if err != nil {
		return nil, err
	}
	cores := runtime.NumCPU()
	return []result{
		{"first start, to the first answer", first.median(), " ms", atMost, 1000, "signing key and three hashes made"},
		{"later start, to the first answer", later.median(), " ms", atMost, 100, ""},
		{"idle after the first start", idle.median(), " MiB", atMost, 45, "resident"},
		{"idle after a later start", idleLater.median(), " MiB", atMost, 45, "resident"},
		{fmt.Sprintf("%d sign-ins at once, over idle", b.few), rise.median(), " MiB", atMost, float64(cores*19 + 64),
			fmt.Sprintf("highest; %d cores × 19 MiB + 64 MiB", cores)},
		{"program, without cgo", float64(program.Size()) / 1e6, " MB", atMost, 45, ""},
	}, nil
}

// peak is what an idle house holds, and the most that it holds while so many sign in.
func (b *bench) peak(h *house) (idle, most mebibytes, err error) {
	if idle, _, err = h.resident(); err != nil {
		return 0, 0, err
	}
	if err := h.forgetPeak(); err != nil {
		return 0, 0, err
	}
	c, err := dial(h.addr)
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	if _, err := c.put("/dev/codes", pins); err != nil {
		return 0, 0, err
	}
	if _, _, err := b.rate(h, b.few); err != nil {
		return 0, 0, err
	}
	_, most, err = h.resident()
	return idle, most, err
}
