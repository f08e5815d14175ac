//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"latchkey.dev/idx"
)

// A person is somebody of the organisation, by number.
type person int

func (p person) login() string { return fmt.Sprintf("person%06d@example.com", int(p)) }

// number is the person's phone. Neighbours differ in more than the last four digits, for those who share the rest
// share a limit (S-34).
func (p person) number() string {
	return fmt.Sprintf("+1202%07d", 2_000_000+int(p)%700*10_000+int(p)/700)
}

// enrolled says whether the organisation was seeded with the person's phone; else they set it up.
func (p person) enrolled() bool { return p%2 == 0 }

// addr is where the person sits. Everybody has an address of their own, as limits go by it.
func (p person) addr() netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(p >> 16), byte(p >> 8), byte(p)})
}

// people are handed out one by one: a number gets one text in 30 seconds.
type people struct {
	mu   sync.Mutex
	n    int
	next int
}

var errNobodyLeft = errors.New("everybody has signed in already: seed more people")

func (p *people) take() (person, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == p.n {
		return 0, errNobodyLeft
	}
	p.next++
	return person(p.next - 1), nil
}

// A visit is one person's sign-in, with what it takes to go on when an answer does not come.
type visit struct {
	h      *house
	who    person
	client *idx.Client
	tries  int           // of one request; more than one is a retry
	pause  time.Duration // between them

	tx      *idx.Transaction
	asking  *idx.Transaction // where the code was asked for
	had     int              // texts before this sign-in
	code    string           // the one that was accepted, or is about to be
	tokens  *idx.Tokens
	retried int
	seen    func(*seen) // hears of every answer
}

// A seen is one request and how it was answered.
type seen struct {
	status int // 0: no answer
	lost   bool
	retry  bool // there was a Retry-After
	read   bool // a GET
	path   string
	took   time.Duration
}

// visit prepares a sign-in.
func (h *house) visit(p person) (*visit, error) {
	v := &visit{h: h, who: p, tries: 1, pause: 600 * time.Millisecond}
	c, err := idx.New(idx.Config{
		Issuer: h.issuer(), ClientID: string(h.client), RedirectURI: redirect, Scopes: []string{"openid", "profile", "offline_access"},
	}, idx.WithHTTPClient(&http.Client{Transport: v, Timeout: 35 * time.Second}), idx.WithRetry(1, time.Second))
	if err != nil {
		return nil, err
	}
	v.client = c.For(idx.EndUser{IP: p.addr(), UserAgent: "chaos"})
	return v, nil
}

// line carries all requests of all visits.
var line = &http.Transport{MaxIdleConnsPerHost: 512, DisableCompression: true}

// RoundTrip lets the visit see how its requests are answered.
func (v *visit) RoundTrip(r *http.Request) (*http.Response, error) {
	began := time.Now()
	a, err := line.RoundTrip(r)
	s := &seen{took: time.Since(began), read: r.Method == http.MethodGet, path: r.URL.Path}
	if err == nil {
		s.status, s.lost, s.retry = a.StatusCode, a.Header.Get(lostHeader) != "", a.Header.Get("Retry-After") != ""
	}
	if v.seen != nil {
		v.seen(s)
	}
	return a, err
}

// passing reports whether the same request may be answered later: nobody answered it, or with 502, 503 or 504.
func passing(err error) bool {
	var no *idx.RejectedError
	var ill *idx.ServerError
	switch {
	case errors.As(err, &no):
		return no.Status >= 500 && no.Status != http.StatusInternalServerError
	case errors.As(err, &ill):
		return ill.Status >= 500 && ill.Status != http.StatusInternalServerError
	case errors.Is(err, idx.ErrExpired), errors.Is(err, idx.ErrNotOffered), errors.Is(err, idx.ErrRateLimited), errors.Is(err, idx.ErrIDToken):
		return false
	}
	return err != nil
}

// again makes a request until it is answered or the tries are used up.
func (v *visit) again(ctx context.Context, request func() error) error {
	for n := 1; ; n++ {
		err := request()
		if !passing(err) || n >= v.tries || ctx.Err() != nil {
			return err
		}
		v.retried++
		select {
		case <-time.After(v.pause):
		case <-ctx.Done():
			return err
		}
	}
}

// step proceeds by one form, with retries.
func (v *visit) step(ctx context.Context, a idx.Answers) error {
	from := v.tx
	return v.again(ctx, func() error {
		next, err := v.client.Continue(ctx, from, a)
		if err == nil {
			v.tx = next
		}
		return err
	})
}

// identify goes as far as the password.
func (v *visit) identify(ctx context.Context) error {
	v.had = len(v.h.carrier.sent(v.who.number()))
	if err := v.again(ctx, func() (err error) { v.tx, err = v.client.Start(ctx); return err }); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if err := v.step(ctx, idx.Answers{Username: v.who.login(), Password: passphrase}); err != nil {
		return fmt.Errorf("identify: %w", err)
	}
	return nil
}

// ask has a code sent. One that was asked for, and whose answer was lost, may have been sent: then asking again is
// too early, and the page that says so takes the code.
func (v *visit) ask(ctx context.Context) error {
	a := idx.Answers{Authenticator: "phone_number", Method: "sms"}
	if v.tx.NextStep() == nil {
		return fmt.Errorf("nothing is asked: %s", v.tx)
	}
	if v.tx.NextStep().Name == "select-authenticator-enroll" {
		a.PhoneNumber = v.who.number()
	}
	err := v.step(ctx, a)
	if no := (*idx.RejectedError)(nil); errors.As(err, &no) && no.Status == http.StatusTooManyRequests && v.retried > 0 &&
		no.Transaction.Status() == idx.StatusPending {
		v.tx, err = no.Transaction, nil
	}
	if err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	return nil
}

// receive waits for the code. The row of a node that died is taken up by another when its lease is over.
func (v *visit) receive() (err error) {
	v.code, err = v.h.code(v.who.number(), v.had, 20*time.Second)
	return err
}

// codeStep is where the code was asked for, to answer there once more.
func (v *visit) codeStep() *idx.Transaction { return v.asking }

// answer gives the code.
func (v *visit) answer(ctx context.Context) error {
	v.asking = v.tx
	if err := v.step(ctx, idx.Answers{VerificationCode: v.code}); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	if v.tx.Status() != idx.StatusSuccess {
		return fmt.Errorf("answer: it is %s", v.tx)
	}
	return nil
}

// signIn goes all the way to the interaction code: the flow.
func (v *visit) signIn(ctx context.Context) error {
	if err := v.identify(ctx); err != nil {
		return err
	}
	if err := v.ask(ctx); err != nil {
		return err
	}
	if err := v.receive(); err != nil {
		return err
	}
	return v.answer(ctx)
}

// redeem trades the interaction code, once: what it buys is shown to one, and a second one to show it is taken
// for a thief (S-56).
func (v *visit) redeem(ctx context.Context) (err error) {
	if v.tokens, err = v.client.Exchange(ctx, v.tx); err != nil {
		return fmt.Errorf("redeem: %w", err)
	}
	return nil
}
