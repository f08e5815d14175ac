package deliver

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/store"
)

// A race is one message among its gateways, from the first that is asked until one took it or none is left
// to be asked. They are asked one after the other; but one that does not answer within [hedge] does not hold
// up the next, for a code is worth nothing when it comes late. So two may carry the same text, with the same
// code: better twice than not at all. Who was asked and did not answer is charged for as unsure.
type race struct {
	*Worker
	m       store.Message
	ctx     context.Context
	answers chan reply
	waiting []*lane // not asked yet
	running map[*lane]time.Time
	tried   tries
	unsure  []*lane
	winners []*lane
	last    string // who answered last
}

// An end is how asking a gateway ended.
type end int

const (
	took      end = iota
	refused       // this number gets nothing by this gateway
	failed        // it said no, so often that we stop asking
	silent        // it said nothing in time
	brokenOff     // we did not wait for the answer
)

type reply struct {
	*lane
	end   end
	tries int
}

// A result is what came of a race.
type result struct {
	status store.MessageStatus
	reason string
	tried  tries
	took   []*lane // more than one only if two answered in the same instant
	unsure []*lane // may have taken it
}

// run asks gateways until there is a result; Waiting means that there should be another race.
func (w *Worker) run(ctx context.Context, m store.Message) result {
	t := triesOf(m.Tried)
	if !w.Now().Before(m.NotAfter) {
		return result{status: store.Failed, reason: "too late", tried: t} // the code in it is dead
	}
	ctx, done := context.WithTimeout(ctx, course)
	defer done()
	defer context.AfterFunc(w.quit, done)()
	lanes := w.order(m, t)
	r := &race{Worker: w, m: m, ctx: ctx, answers: make(chan reply, len(lanes)), waiting: lanes, running: map[*lane]time.Time{}, tried: t}
	late := time.NewTimer(hedge)
	defer late.Stop()
	for r.next(); len(r.running) > 0; {
		select {
		case <-late.C:
			r.next()
			late.Reset(hedge)
		case a := <-r.answers:
			r.heard(a)
			switch {
			case a.end == took && len(r.winners) == 1:
				w.tell(m.ID, store.Sent) // nobody need wait for our bookkeeping
				r.waiting = nil
				done()
			case len(r.winners) == 0 && ctx.Err() == nil:
				r.next()
				late.Reset(hedge)
			}
		}
	}
	return r.result(lanes)
}

// next asks the next gateway that is not at rest.
func (r *race) next() {
	for len(r.waiting) > 0 && r.ctx.Err() == nil {
		l := r.waiting[0]
		r.waiting = r.waiting[1:]
		if !l.rest.allow(time.Now()) {
			continue
		}
		r.running[l] = time.Now()
		go func() { r.answers <- r.ask(l) }()
		return
	}
}

// ask hands the message to one gateway, again after a short while if it says no at once.
func (r *race) ask(l *lane) reply {
	for n := r.tried[l.Name()] + 1; ; n++ {
		sending, span := obs.Call(r.ctx, "gateway.send")
		send, done := context.WithTimeout(sending, timeout)
		began := time.Now()
		err := l.Send(send, gateway.Text{
			ID: r.m.ID, Channel: r.m.Channel, To: r.m.To, Body: r.m.Body, NotAfter: r.m.NotAfter, Report: r.address(l, r.m.ID),
		})
		late := send.Err() != nil
		done()
		r.watched(l, err, late, time.Since(began), span)
		switch {
		case err == nil:
			l.rest.worked()
			return reply{l, took, n}
		case errors.Is(err, gateway.ErrRefused):
			l.rest.worked() // it answered; the number is at fault
			return reply{l, refused, n}
		case r.ctx.Err() != nil:
			return reply{l, brokenOff, n}
		}
		l.rest.failed(time.Now())
		r.Log.WarnContext(r.ctx, "a gateway did not take a message", "gateway", l.Name(), "message", r.m.ID,
			"try", n, "error", quote(err, r.m), obs.Attrs(r.ctx))
		switch {
		case late:
			return reply{l, silent, n}
		case n >= most, l.rest.open(time.Now()):
			return reply{l, failed, n}
		}
		select {
		case <-time.After(backoff(n)):
		case <-r.ctx.Done():
			return reply{l, failed, n}
		}
	}
}

// heard takes down how asking a gateway ended.
func (r *race) heard(a reply) {
	began := r.running[a.lane]
	delete(r.running, a.lane)
	switch a.end {
	case took:
		r.winners = append(r.winners, a.lane)
		return
	case refused:
		r.tried.refuse(a.Name())
	case failed:
		r.tried[a.Name()] = a.tries
	case silent:
		r.tried[a.Name()] = a.tries
		r.unsure = append(r.unsure, a.lane)
	case brokenOff:
		r.unsure = append(r.unsure, a.lane)
		if r.quit.Err() != nil {
			return // which says nothing of the gateway
		}
		if len(r.winners) == 0 {
			r.tried[a.Name()] = a.tries
		}
		if time.Since(began) >= hedge {
			a.rest.failed(time.Now()) // another one had to do its work
		}
	}
	r.last = a.Name()
}

func (r *race) result(lanes []*lane) result {
	res := result{tried: r.tried, took: r.winners, unsure: r.unsure, reason: r.last}
	switch {
	case len(r.winners) > 0:
		res.status, res.reason = store.Sent, r.winners[0].Name()
	case r.quit.Err() != nil:
		res.status, res.reason = store.Waiting, "stopping"
	case slices.ContainsFunc(r.unsure, func(l *lane) bool { return r.tried.left(l.Name()) }):
		res.status = store.Waiting
	case r.tried.refused():
		res.status = store.Refused
	default:
		res.status = store.Failed
		if r.last == "" {
			res.reason = "no gateway left"
		}
	}
	return res
}

// backoff is the pause after the n-th try at a gateway. Half of it is chance, so that what failed together
// does not come back together.
func backoff(n int) time.Duration {
	if n%most == 1 {
		return 100*time.Millisecond + rand.N(100*time.Millisecond)
	}
	return 300*time.Millisecond + rand.N(300*time.Millisecond)
}

// tries are how often each gateway was asked for a message.
type tries map[string]int

// never stands for a gateway that refused the number.
const never = 99

func (t tries) left(name string) bool { return t[name] < most }

func (t tries) refuse(name string) { t[name] = never }

func (t tries) refused() bool {
	for _, n := range t {
		if n == never {
			return true
		}
	}
	return false
}

// String is what the row remembers: a=1 b=99.
func (t tries) String() string {
	var all []string
	for name, n := range t {
		all = append(all, name+"="+strconv.Itoa(n))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// triesOf reads what String wrote. What makes no sense was not tried.
func triesOf(s string) tries {
	t := tries{}
	for _, one := range strings.Fields(s) {
		if name, n, ok := strings.Cut(one, "="); ok {
			t[name], _ = strconv.Atoi(n)
		}
	}
	return t
}
