//go:build linux

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"latchkey.dev/idx"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlite"
)

// limitFiles bounds how far into a file the process may write, while it runs: its disk is full.
func (p *process) limitFiles(bytes uint64) error {
	limit := struct{ soft, hard uint64 }{bytes, ^uint64(0)}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(p.cmd.Process.Pid), syscall.RLIMIT_FSIZE, uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// noLimit lets files grow as they like.
const noLimit = ^uint64(0)

// illDisk: a database that cannot be written to is 503 and a refusal, and goes on by itself (S-77).
func (c *chaos) illDisk() (all []result, err error) {
	h, err := c.build(plot{name: "disk", nodes: 1, people: 200})
	if err != nil {
		return nil, err
	}
	defer h.close()
	node := h.nodes[0]
	for _, ill := range []struct {
		what        string
		begin, ends func() error
	}{
		{"disk full", func() error { return node.limitFiles(512) }, func() error { return node.limitFiles(noLimit) }},
		{"lock held by another process", nil, nil},
	} {
		if ill.begin == nil {
			other, err := sql.Open("sqlite", "file:"+filepath.Join(h.data(), sqlite.File))
			if err != nil {
				return nil, err
			}
			defer other.Close()
			other.SetMaxOpenConns(1)
			ill.begin = func() error { _, err := other.Exec(`BEGIN IMMEDIATE`); return err }
			ill.ends = func() error { _, err := other.Exec(`ROLLBACK`); return err }
		}
		r, err := c.whileIll(h, ill.what, ill.begin, ill.ends)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ill.what, err)
		}
		all = append(all, r...)
	}
	return all, nil
}

func (c *chaos) whileIll(h *house, what string, begin, end func() error) ([]result, error) {
	ctx := context.Background()
	// Somebody is before each kind of request when it begins.
	atCode, err := h.arrive(ctx)
	if err != nil {
		return nil, err
	}
	atEnd, err := h.signedIn(ctx)
	if err != nil {
		return nil, err
	}
	atRefresh, err := h.signedIn(ctx)
	if err == nil {
		err = atRefresh.redeem(ctx)
	}
	if err != nil {
		return nil, err
	}
	who, err := h.people.take()
	if err != nil {
		return nil, err
	}
	atStart, err := h.visit(who)
	if err == nil {
		_, err = atStart.client.Start(ctx) // so that discovery, which is only read, is behind us
	}
	if err != nil {
		return nil, err
	}
	var w watch
	for _, v := range []*visit{atCode, atEnd, atRefresh, atStart} {
		v.tries = 1
		v.seen = func(s *seen) {
			if !s.read { // discovery and keys are there as long as the process is
				w.see(s)
			}
		}
	}
	if err := begin(); err != nil {
		return nil, err
	}
	began := time.Now()
	var judged atomic.Int64
	var tried sync.WaitGroup
	for _, f := range []func(){
		func() { _, _ = atStart.client.Start(ctx) },
		func() { _, _ = atEnd.client.Exchange(ctx, atEnd.tx) },
		func() { _, _ = atRefresh.client.Refresh(ctx, atRefresh.tokens.RefreshToken) },
		func() { // six guesses: none may be judged, for none can be counted
			atOnce(6, func(int) {
				if ok, _ := (&guessing{visit: atCode}).wrong(ctx); ok {
					judged.Add(1)
				}
			})
		},
	} {
		tried.Go(f)
	}
	tried.Wait()
	s := w.between(began, time.Now())
	if err := end(); err != nil {
		return nil, err
	}
	healed := time.Now()
	if err := h.wellAgain(); err != nil {
		return nil, err
	}
	back := time.Since(healed)
	// What was refused was not done by half: everybody goes on from where they were.
	var broken []error
	if _, err := atRefresh.client.Refresh(ctx, atRefresh.tokens.RefreshToken); err != nil {
		broken = append(broken, err)
	}
	if err := atEnd.redeem(ctx); err != nil {
		broken = append(broken, err)
	}
	if tx, err := atCode.client.Continue(ctx, atCode.tx, idx.Answers{VerificationCode: atCode.code}); err != nil || tx.Status() != idx.StatusSuccess {
		broken = append(broken, fmt.Errorf("the code is not good any more: %w", err))
	}
	for _, err := range broken {
		fmt.Fprintf(c.log, "after %s: %v\n", what, err)
	}
	if h.nodes[0].ended() {
		return nil, errors.New("the node ended")
	}
	return []result{
		{"S-77, " + what + ": answers to what has to be written that were not 503 with Retry-After", float64(s.good + s.bare + s.refused + s.other + s.lost), "", atMost, 0, s.String()},
		{"S-77, " + what + ": guesses judged that could not be counted", float64(judged.Load()), "", atMost, 0, "of 6"},
		{"S-77, " + what + ": begun things that do not go on afterwards", float64(len(broken)), "", atMost, 0,
			fmt.Sprintf("a code, a code to redeem, a refresh token; without a restart, sign-ins begin again after %s", back.Round(time.Millisecond))},
	}, nil
}

// leaving: a node that is asked to stop leaves a pool of two without a failed request (S-78).
func (c *chaos) leaving() ([]result, error) {
	db, err := newCluster(c.dir, "leaving-db", "")
	if err != nil {
		return nil, err
	}
	defer db.kill()
	h, err := c.build(plot{name: "leaving", nodes: 2, people: 3000, database: db.dsn()})
	if err != nil {
		return nil, err
	}
	defer h.close()
	const workers = 6
	var w watch
	l := &ledger{}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	began := time.Now()
	var crowd sync.WaitGroup
	for range workers {
		crowd.Go(func() { l.persist(ctx, h, &w) })
	}
	time.Sleep(c.load)
	leaver := h.nodes[0]
	left := time.Now()
	stopped := make(chan error, 1)
	go func() { _, err := leaver.stop(30 * time.Second); stopped <- err }()
	unready := h.untilUnready(10 * time.Second)
	closed := await(25*time.Second, "the listener's end", func() bool { return !listens(leaver.addr) })
	accepted := time.Since(left)
	exit := <-stopped
	took := time.Since(left)
	time.Sleep(c.load)
	end := time.Now()
	s := w.between(began, end)
	stop()
	crowd.Wait()
	if err := errors.Join(closed, exit); err != nil {
		return nil, fmt.Errorf("stopping: %w", err)
	}
	if s.good == 0 {
		return nil, fmt.Errorf("nothing happened: %s", s)
	}
	return []result{
		{"S-78: failed requests when a node leaves a pool of two", float64(s.well + s.bare + s.other + s.lost), "", atMost, 0,
			fmt.Sprintf("%d sign-ins at once; %s; exit 0 after %s", workers, s, took.Round(10*time.Millisecond))},
		{"S-78: from SIGTERM until the node says that it is not ready", seconds(unready), " s", atMost, 0.5, ""},
		{"S-78: from SIGTERM until it takes no more connections", seconds(accepted), " s", atLeast, 2, ""},
	}, nil
}

func listens(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// handingBack: a node that stops while a gateway hangs hands the message back, so that another may take it at once (S-78).
func (c *chaos) handingBack() ([]result, error) {
	h, err := c.build(plot{name: "handing-back", nodes: 1, people: 10})
	if err != nil {
		return nil, err
	}
	defer h.close()
	h.carrier.mood = func(int) outcome { return hangs }
	ctx := context.Background()
	v, err := h.visit(0)
	if err == nil {
		err = v.identify(ctx)
	}
	if err == nil {
		err = v.ask(ctx) // answered after 2 s, while the gateway is still silent
	}
	if err != nil {
		return nil, err
	}
	took, err := h.nodes[0].stop(30 * time.Second)
	if err != nil {
		return nil, err
	}
	db, err := h.open(ctx)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	var due []store.Message
	// A lease would last ten seconds; what was handed back may be a moment away from its next try.
	_ = await(2*time.Second, "a message", func() bool {
		err = db.Update(ctx, func(tx store.Tx) (err error) {
			due, err = tx.LeaseMessages(ctx, "another", time.Now(), time.Now().Add(time.Minute), 10)
			return err
		})
		return err != nil || len(due) > 0
	})
	if err != nil {
		return nil, err
	}
	return []result{{"S-78: messages in hand that a node which stops hands back", float64(len(due)), "", atLeast, 1,
		fmt.Sprintf("of 1, with a gateway that hangs; exit 0 after %s", took.Round(10*time.Millisecond))}}, nil
}
